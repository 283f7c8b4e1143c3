"""The routing of a Hugging Face mixture of experts, computed on the user's own text or tokens.

A checkpoint is a folder with `config.json` and `*.safetensors`, in one file or in shards (OLMoE, Mixtral, Qwen-MoE,
DeepSeek). The model is `transformers`' own, run in single precision, one layer in memory at a time (`layerwise`) and
one sample at a time, without padding. The experts of a token and their weights are what its router hands to them.

Samples come from a file: `.txt`, one a line; or `.jsonl`, a line each `{"text": "..."}` or `{"tokens": [1, 2, 3]}`,
with a `"group"` where wanted. Text needs the tokenizer's files in the folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from torch import Tensor

from wheatstone.bench.errors import Fault, InputError, UserError
from wheatstone.bench.extras import need
from wheatstone.domains.routing.files import alone, lonely, read_bytes
from wheatstone.domains.routing.traces import Trace, dense
from wheatstone.interp.pathways import Floats

KINDS = ("olmoe", "flex_olmo", "mixtral", "qwen2_moe", "qwen3_moe", "deepseek_v2", "deepseek_v3")
"""Model types whose names of weights are known here."""
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")
LONGEST = 512
"""Tokens of a sample that are read, unless the user says otherwise: routing depends on those before alone."""
By = Literal["sample", "last", "token"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Sample:
    """One text, or its tokens, from a line of a file."""

    line: int
    group: str
    text: str | None = None
    tokens: tuple[int, ...] = ()


def is_checkpoint(folder: Path) -> bool:
    """A folder with a model's config in it."""
    return (folder / "config.json").is_file()


def read_samples(path: Path) -> tuple[Sample, ...]:
    """The samples in a text or JSON lines file. Raises InputError with lines and fields for what cannot be."""
    if path.suffix.lower() not in (".txt", ".jsonl"):
        raise UserError(f"{path}: the ending '{path.suffix}' names no format. Use .txt (a sample a line) or .jsonl.")
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = fault.object.count(b"\n", 0, fault.start) + 1
        raise InputError([Fault(str(path), line, None, "not UTF-8. Save the file as UTF-8.")]) from None
    faults: list[Fault] = []
    samples: list[Sample] = []
    for line, row in enumerate(text.split("\n"), start=1):
        if not row.strip():
            continue
        if path.suffix.lower() == ".txt":
            samples.append(Sample(line, "all", row.strip()))
            continue
        found = _sample(line, row)
        if isinstance(found, Sample):
            samples.append(found)
        else:
            faults.append(Fault(str(path), line, *found))
    lines, groups = [str(sample.line) for sample in samples], [sample.group for sample in samples]
    if faults := faults or [
        Fault(str(path), samples[at].line, "group", lonely(group)) for at, group in alone(lines, groups)
    ]:
        raise InputError(faults)
    if len(samples) < 2:
        raise UserError(f"{path}: got {len(samples)} samples, need at least 2: a distance is between two samples.")
    return tuple(samples)


def _sample(line: int, row: str) -> Sample | tuple[str | None, str]:
    """The sample of a JSON line, or (field, what is wrong)."""
    try:
        value = json.loads(row)
    except (ValueError, RecursionError):
        return None, "is not JSON"
    if not isinstance(value, dict) or not {"text", "tokens"} & set(cast("dict[str, Any]", value)):
        return None, 'must be {"text": "..."} or {"tokens": [1, 2, 3]}'
    record = cast("dict[str, Any]", value)
    group = str(record.get("group", "all"))
    if "tokens" in record:
        tokens = record["tokens"]
        if not isinstance(tokens, list) or not tokens or not all(type(t) is int for t in cast("list[Any]", tokens)):
            return "tokens", "must be a list of whole numbers, not empty"
        return Sample(line, group, tokens=tuple(cast("list[int]", tokens)))
    if not isinstance(record["text"], str) or not record["text"].strip():
        return "text", "must be text, not empty"
    return Sample(line, group, text=record["text"])


def read_config(folder: Path) -> dict[str, Any]:
    """The model's config. Raises UserError for a model that is not one of KINDS, or has weights in no safetensors."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error}).") from None
    kind = cast("dict[str, Any]", config).get("model_type") if isinstance(config, dict) else None
    if kind not in KINDS:
        raise UserError(
            f"{path} field 'model_type': got {kind!r}, must be one of {', '.join(KINDS)}. For other models, log the "
            "routing yourself and give the file."
        )
    if "quantization_config" in config:
        raise UserError(
            f"{path} field 'quantization_config': quantised weights are not read. Give the checkpoint in bfloat16 or "
            "single precision, or log the routing yourself and give the file."
        )
    if not any(folder.glob("*.safetensors")):
        raise UserError(
            f"{folder}: no .safetensors in it. Weights in other formats (.bin, .pt) are pickles: convert them."
        )
    return cast("dict[str, Any]", config)


def route(
    folder: Path,
    samples: Sequence[Sample],
    source: Path,
    progress: Progress | None = None,
    *,
    by: By = "token",
    longest: int = LONGEST,
    device: str = "cpu",
) -> Trace:
    """What the routers do with the samples.

    Args:
        source: the file that the samples come from, for messages.
        progress: called with how many samples have passed how many layers, and their number times all layers.
        by: a row a token; or, of each sample, its tokens' mean, or its last token: then no more is held in memory.
        longest: tokens of a sample that are read, at most.

    Raises UserError for a checkpoint that cannot be loaded whole, for text without a tokenizer, and for tokens that the
    model does not have.
    """
    need("transformers", extra="neural", to=f"run the checkpoint {folder.name}")
    from wheatstone.domains.routing.layerwise import Layers

    config = read_config(folder)
    whole = _encoded(folder, samples, source, int(config.get("vocab_size", 0)))
    tokens = [ids[:longest] for ids in whole]
    model = Layers(folder, device)
    embedding = model.embedding().double().numpy()
    n_layer, n_expert, _ = embedding.shape
    rows = [np.zeros((len(ids) if by == "token" else 1, n_layer, n_expert)) for ids in tokens]

    def keep(layer: int, sample: int, weights: Tensor, experts: Tensor) -> None:
        of_tokens = dense(experts.numpy()[:, None], weights.double().numpy()[:, None], n_expert)[:, 0]
        rows[sample][:, layer] = _reduced(of_tokens, by)

    model.route(tokens, keep, progress)
    of_row = [sample for sample, found in zip(samples, rows, strict=True) for _ in found]
    names, groups = (f"line {sample.line}" for sample in of_row), (sample.group for sample in of_row)
    cut = sum(len(ids) > longest for ids in whole)
    return Trace(np.concatenate(rows), tuple(names), tuple(groups), model.top_k, embedding, cut)


def _reduced(weights: Floats, by: By) -> Floats:
    """[token expert] -> [row expert]."""
    return weights if by == "token" else weights.mean(0, keepdims=True) if by == "sample" else weights[-1:]


def _encoded(folder: Path, samples: Sequence[Sample], source: Path, vocab: int) -> list[list[int]]:
    """The tokens of every sample."""
    tokenizer: Any = None
    if any(sample.text is not None for sample in samples):
        tokenizer = _tokenizer(folder, source)
    found: list[list[int]] = []
    faults: list[Fault] = []
    for sample in samples:
        ids = list(sample.tokens) if sample.text is None else list(tokenizer(sample.text)["input_ids"])
        if not ids:
            faults.append(Fault(str(source), sample.line, "text", "makes no token."))
        if wrong := [one for one in ids if not 0 <= one < vocab]:
            faults.append(
                Fault(str(source), sample.line, "tokens", f"got {wrong[0]}, the model has tokens 0 to {vocab - 1}.")
            )
        found.append(ids)
    if faults:
        raise InputError(faults)
    return found


def _tokenizer(folder: Path, source: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        # Without any file some classes make an empty tokenizer and say nothing.
        if not any((folder / name).is_file() for name in TOKENIZERS):
            raise OSError(f"no {' or '.join(TOKENIZERS)}")
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError) as error:
        why = " ".join(str(error).split())[:200]
        raise UserError(
            f"{source}: text needs a tokenizer, and {folder} has none that can be loaded ({why}). Put tokenizer.json "
            'there, or give tokens: {"tokens": [1, 2, 3]} a line in a .jsonl.'
        ) from None

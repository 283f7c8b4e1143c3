"""The routing of a Hugging Face mixture of experts, computed on the user's own text or tokens.

A checkpoint is a folder with `config.json` and `*.safetensors` (Mixtral, OLMoE, Qwen-MoE). The model is run by
`transformers` on one sample at a time, without padding. What its routers compute is read at the routers; what
they choose follows from it as it does in the model: softmax over all experts, then the `num_experts_per_tok` largest.

Samples come from a file: `.txt`, one a line; or `.jsonl`, a line each `{"text": "..."}` or `{"tokens": [1, 2, 3]}`,
with a `"group"` where wanted. Text needs the tokenizer's files in the folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from logging import CRITICAL
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from wheatstone.bench.errors import Fault, InputError, UserError
from wheatstone.bench.extras import need
from wheatstone.domains.routing.files import read_bytes
from wheatstone.domains.routing.traces import Trace
from wheatstone.interp.pathways import Floats

KINDS = ("mixtral", "olmoe", "qwen2_moe", "qwen3_moe")
"""Model types whose routers take the softmax over all experts and then the largest: what is computed here."""
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")
LONGEST = 512
"""Tokens of a sample that are read: routing at a position depends on those before it alone."""
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
    if faults:
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
    if not any(folder.glob("*.safetensors")):
        raise UserError(
            f"{folder}: no .safetensors in it. Weights in other formats (.bin, .pt) are pickles: convert them."
        )
    return cast("dict[str, Any]", config)


def route(folder: Path, samples: Sequence[Sample], source: Path, progress: Progress | None = None) -> Trace:
    """One row a token of every sample.

    Args:
        source: the file that the samples come from, for messages.

    Raises UserError for a checkpoint that cannot be loaded whole, for text without a tokenizer, and for tokens that the
    model does not have.
    """
    need("transformers", extra="neural", to=f"run the checkpoint {folder.name}")
    config = read_config(folder)
    tokens = _encoded(folder, samples, source, int(config.get("vocab_size", 0)))
    model = _loaded(folder)
    routers = _routers(model, folder)
    top_k = int(model.config.num_experts_per_tok)
    seen: list[torch.Tensor] = []

    def keep(_module: Any, _inputs: Any, output: Any) -> None:
        seen.append(output[0] if isinstance(output, tuple) else output)

    handles = [router.register_forward_hook(keep) for router in routers]
    rows: list[Floats] = []
    try:
        with torch.inference_mode():
            for done, ids in enumerate(tokens, start=1):
                seen.clear()
                model.model(input_ids=torch.tensor([ids]), use_cache=False)
                logits = torch.stack([one.reshape(len(ids), -1).float() for one in seen], dim=1)
                top = logits.softmax(-1).topk(top_k, dim=-1)
                weights = torch.zeros_like(logits).scatter(-1, top.indices, top.values)
                rows.append(weights.double().numpy())
                if progress is not None:
                    progress(done, len(tokens))
    finally:
        for handle in handles:
            handle.remove()
    embedding = torch.stack([router.weight.detach().float() for router in routers]).double().numpy()
    of_row = [sample for sample, ids in zip(samples, tokens, strict=True) for _ in ids]
    names, groups = (f"line {sample.line}" for sample in of_row), (sample.group for sample in of_row)
    return Trace(np.concatenate(rows), tuple(names), tuple(groups), embedding)


def _loaded(folder: Path) -> Any:
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # the caller shows one of its own
    said = logging.get_verbosity()
    logging.set_verbosity(CRITICAL)  # what is wrong with the weights is said below
    try:
        load: Any = AutoModelForCausalLM.from_pretrained  # its type does not know the report
        model, report = load(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        why = " ".join(str(error).split())[:300]
        raise UserError(f"{folder}: the checkpoint cannot be loaded ({why}).") from None
    finally:
        logging.set_verbosity(said)
    if other := sorted(report["mismatched_keys"]):
        name, stored, wanted = other[0]
        raise UserError(
            f"{folder}: {len(other)} of the model's weights have another shape than config.json says, '{name}' first: "
            f"{list(stored)}, not {list(wanted)}."
        )
    if missing := sorted(report["missing_keys"]):
        raise UserError(
            f"{folder}: {len(missing)} of the model's weights are not in its files, '{missing[0]}' first; they would "
            "be random numbers. Fetch the checkpoint again."
        )
    return model.eval()


def _routers(model: Any, folder: Path) -> list[Any]:
    """The routers in the order of their layers: modules called `gate` with one row an expert."""
    config = model.config
    n_expert = getattr(config, "num_local_experts", None) or getattr(config, "num_experts", None)
    found = [
        module
        for name, module in model.named_modules()
        if name.endswith(".gate") and getattr(module, "weight", None) is not None and len(module.weight) == n_expert
    ]
    if not found:
        raise UserError(
            f"{folder}: no router found among the model's modules. Log the routing yourself, give the file."
        )
    return found


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
        found.append(ids[:LONGEST])
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

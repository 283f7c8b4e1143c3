"""Router logs in files.

JSON lines (`.jsonl`, also `.jsonl.gz`): a line a token, with the chosen experts of every layer and their weights

    {"sample": "q1", "group": "math", "experts": [[3, 1], [0, 2]], "weights": [[0.6, 0.2], [0.5, 0.5]]}

`sample` may be left out (every line is a sample then), and so may `group`. The first line may instead say
`{"n_expert": 64}`, and `{"embedding": [[[...]]]}` with the routers' rows [layer expert d_model], or both.

Arrays (`.npz`, `.safetensors`): `experts` [row layer choice] whole numbers, `weights` [row layer choice]; and, where
wanted, `sample` [row], `group` [row] whole numbers, `n_expert` [], `embedding` [layer expert d_model].

Weights lie in [0, 1], and those of a layer sum to 1 at most.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from wheatstone.bench.errors import Fault, InputError, UserError
from wheatstone.domains.archives import read_archive
from wheatstone.domains.routing.traces import Trace, dense, names

ENDINGS = (".jsonl", ".jsonl.gz", ".npz", ".safetensors")
ROUNDING = 1e-2
"""How far the weights of a layer may exceed 1: logs are often in half precision."""
MAX_BYTES = 2 * 2**30
PIECE = 2**20
MAX_EXPERTS = 4096
MAX_FAULTS = 100
MAX_WEIGHTS = 2**28
"""Rows times layers times experts: 2 GB of weights."""
Array = np.ndarray[Any, np.dtype[Any]]


def is_log(path: Path) -> bool:
    """The ending names a format of this module."""
    return path.name.lower().endswith(ENDINGS)


def read_log(path: Path) -> Trace:
    """The routing in a file, in the format that its ending names.

    Raises InputError with lines and fields for what cannot be, UserError for a file that cannot be opened.
    """
    name = path.name.lower()
    if not is_log(path):
        raise UserError(f"{path}: the ending '{path.suffix}' names no format. Use {', '.join(ENDINGS)}.")
    if name.endswith((".jsonl", ".jsonl.gz")):
        return _from_lines(read_bytes(path), str(path))
    arrays = read_archive(read_bytes(path), str(path), MAX_BYTES) if name.endswith(".npz") else _safetensors(path)
    return _from_arrays(arrays, str(path))


def read_bytes(path: Path) -> bytes:
    """The content of a file, unzipped where its name ends in `.gz`. Raises UserError where that fails."""
    content = b""
    try:
        is_packed = path.name.lower().endswith(".gz")
        with gzip.open(path, "rb") if is_packed else path.open("rb") as stream:
            # In pieces: one read of the limit's size would allocate all of it, however small the file.
            while len(content) <= MAX_BYTES and (piece := stream.read(max(PIECE, len(content)))):
                content += piece
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise UserError(f"{path}: no whole gzip file, though its name ends in .gz") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if len(content) > MAX_BYTES:
        raise UserError(f"{path}: more than {MAX_BYTES // 2**30} GB, which is the limit. Give fewer samples.")
    return content


class _Lines:
    """The rows of a JSON lines file, and what is wrong with them."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.faults: list[Fault] = []
        self.experts: list[list[list[int]]] = []
        self.weights: list[list[list[float]]] = []
        self.samples: list[str] = []
        self.groups: list[str] = []
        self.lines: list[int] = []
        self.group_of: dict[str, str] = {}
        self.head: dict[str, Any] = {}

    def fault(self, line: int | None, field: str | None, text: str) -> None:
        self.faults.append(Fault(self.file, line, field, text))
        if len(self.faults) >= MAX_FAULTS:
            raise InputError(self.faults)

    def add(self, line: int, text: str) -> None:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            self.fault(line, None, "is not JSON")
            return
        if not isinstance(value, dict):
            self.fault(line, None, "is not an object like {'experts': [[3, 1]], 'weights': [[0.6, 0.2]]}")
            return
        record = cast("dict[str, Any]", value)
        if "experts" not in record and not self.experts and {"n_expert", "embedding"} & set(record):
            self.head = record
            return
        if not self._sound(line, record):
            return
        sample = str(record.get("sample", f"line {line}"))
        group = str(record.get("group", "all"))
        if self.group_of.setdefault(sample, group) != group:
            self.fault(line, "group", f"sample '{sample}' is in '{group}' here, in '{self.group_of[sample]}' before.")
        self.experts.append(record["experts"])
        self.weights.append(record["weights"])
        self.samples.append(sample)
        self.groups.append(group)
        self.lines.append(line)

    def _sound(self, line: int, record: Mapping[str, Any]) -> bool:
        for field, kinds in (("experts", (int,)), ("weights", (int, float))):
            if field not in record:
                self.fault(line, field, "missing. A line has the experts of each layer and their weights.")
                return False
            if not _is_table(record[field], kinds):
                kind = "whole numbers" if field == "experts" else "numbers"
                self.fault(line, field, f"must be a list of layers, each a list of {kind}, none empty.")
                return False
        layers = [len(record["experts"]), len(record["weights"])]
        expected = len(self.experts[0]) if self.experts else layers[0]
        for field, count in zip(("experts", "weights"), layers, strict=True):
            if count != expected:
                self.fault(line, field, f"got {count} layers, the lines before have {expected}.")
                return False
        for layer, (chosen, weights) in enumerate(zip(record["experts"], record["weights"], strict=True)):
            if text := _fault_of(chosen, weights):
                self.fault(line, text[0], f"layer {layer}: {text[1]}")
                return False
        return True


def _is_table(value: Any, kinds: tuple[type, ...]) -> bool:
    if not isinstance(value, list) or not value:
        return False
    rows = cast("list[Any]", value)
    return all(
        isinstance(row, list) and row and all(type(one) in kinds for one in cast("list[Any]", row)) for row in rows
    )


def _fault_of(chosen: list[int], weights: list[float]) -> tuple[str, str] | None:
    """(field, what is wrong) with one layer of one token; None when it is sound."""
    if len(chosen) != len(weights):
        return "weights", f"got {len(weights)} weights for {len(chosen)} experts."
    if len(set(chosen)) < len(chosen):
        return "experts", f"expert {repr(max(chosen, key=chosen.count))[:20]} twice."
    if wrong := [one for one in chosen if not 0 <= one < MAX_EXPERTS]:
        return "experts", f"got expert {repr(wrong[0])[:20]}, must lie between 0 and {MAX_EXPERTS - 1}."
    if wrong := [one for one in weights if not 0 <= one <= 1 + ROUNDING]:
        return "weights", f"got {repr(wrong[0])[:20]}, must lie between 0 and 1 (router probabilities, not logits)."
    if sum(weights) > 1 + ROUNDING:
        return "weights", f"sum to {sum(weights):.3g}, must be at most 1."
    return None


def alone(samples: Sequence[str], groups: Sequence[str]) -> list[tuple[int, str]]:
    """(first row, group) of each of several groups that has one sample; samples and groups are [row]."""
    rows: dict[str, dict[str, int]] = {}
    for row, (sample, group) in enumerate(zip(samples, groups, strict=True)):
        rows.setdefault(group, {}).setdefault(sample, row)
    found = [(row, group) for group, of in rows.items() if len(of) == 1 for row in of.values()]
    return found if len(rows) > 1 else []


def lonely(group: str) -> str:
    """What is wrong with a group of one sample."""
    return f"'{group}' has this sample alone, and a distance is between two. Add one, or give it to another group."


def _from_lines(content: bytes, file: str) -> Trace:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = fault.object.count(b"\n", 0, fault.start) + 1
        raise InputError([Fault(file, line, None, "not UTF-8. Save the file as UTF-8.")]) from None
    found = _Lines(file)
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            found.add(number, line)
    faults = found.faults or [
        Fault(file, found.lines[row], "group", lonely(group)) for row, group in alone(found.samples, found.groups)
    ]
    if faults:
        raise InputError(faults)
    if not found.experts:
        raise InputError([Fault(file, None, None, "no token in it.")])
    largest = max(max(map(max, layers)) for layers in found.experts)
    embedding, n_expert = _head(found.head, len(found.experts[0]), file)
    if n_expert is not None and largest >= n_expert:
        line = next(
            line for line, layers in zip(found.lines, found.experts, strict=True) if max(map(max, layers)) >= n_expert
        )
        raise InputError([Fault(file, line, "experts", f"got expert {largest}, there are {n_expert} (from 0).")])
    n_expert = n_expert or largest + 1
    _check_size(len(found.experts), len(found.experts[0]), n_expert, file)
    weights = np.zeros((len(found.experts), len(found.experts[0]), n_expert))
    for row, (layers, values) in enumerate(zip(found.experts, found.weights, strict=True)):
        for layer, (chosen, given) in enumerate(zip(layers, values, strict=True)):
            weights[row, layer, chosen] = given
    top_k = max(len(chosen) for layers in found.experts for chosen in layers)
    return Trace(weights, tuple(found.samples), tuple(found.groups), top_k, embedding)


def _head(head: Mapping[str, Any], n_layer: int, file: str) -> tuple[Array | None, int | None]:
    """The embedding and the number of experts that a first line states."""
    n_expert = head.get("n_expert")
    if n_expert is not None and (type(n_expert) is not int or not 1 <= n_expert <= MAX_EXPERTS):
        raise InputError([Fault(file, 1, "n_expert", f"must be a whole number from 1 to {MAX_EXPERTS}.")])
    if "embedding" not in head:
        return None, n_expert
    try:
        embedding: Array = np.asarray(head["embedding"], float)
    except (TypeError, ValueError, OverflowError):
        embedding = np.zeros((0, 0, 0))
    text = _fault_of_embedding(embedding, n_layer, n_expert)
    if text:
        raise InputError([Fault(file, 1, "embedding", text)])
    return embedding, embedding.shape[1]


def _fault_of_embedding(embedding: Array, n_layer: int, n_expert: int | None) -> str | None:
    shape: tuple[int, ...] = tuple(embedding.shape)
    if len(shape) != 3 or shape[0] != n_layer or n_expert not in (None, shape[1]) or not shape[1] or not shape[2]:
        wanted = f"[{n_layer}, {'n_expert' if n_expert is None else n_expert}, d_model]"
        return f"got shape {list(shape)}, must be {wanted}: the routers' rows."
    return None if np.isfinite(embedding).all() else "has values that are not finite."


def _safetensors(path: Path) -> dict[str, Array]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        stored = load(read_bytes(path))
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"{path}: damaged, or not of this format ({' '.join(str(error).split())[:200]}).") from None
    # numpy has no bfloat16, in which many logs are.
    return {name: (one.float() if one.is_floating_point() else one).numpy() for name, one in stored.items()}


def _from_arrays(arrays: Mapping[str, Array], file: str) -> Trace:
    def refuse(field: str, text: str) -> InputError:
        return InputError([Fault(file, None, field, text)])

    for field in ("experts", "weights"):
        if field not in arrays:
            raise refuse(field, f"missing. It holds {', '.join(sorted(arrays)) or 'nothing'}.")
    experts, weights = arrays["experts"], arrays["weights"]
    if experts.ndim != 3 or experts.dtype.kind not in "iu" or not experts.size:
        raise refuse(
            "experts", f"got {experts.dtype} {list(experts.shape)}, must be whole numbers [row, layer, choice]."
        )
    if weights.shape != experts.shape or weights.dtype.kind not in "fiu":
        raise refuse("weights", f"got {weights.dtype} {list(weights.shape)}, must be numbers {list(experts.shape)}.")
    experts, weights = experts.astype(np.int64), weights.astype(float)
    n_row, n_layer, _ = experts.shape
    embedding = arrays.get("embedding")
    n_expert = _whole(arrays["n_expert"], refuse) if "n_expert" in arrays else None
    if embedding is not None:
        embedding = embedding.astype(float) if embedding.dtype.kind in "fiu" else np.zeros((0, 0, 0))
        if text := _fault_of_embedding(embedding, n_layer, n_expert):
            raise refuse("embedding", text)
        n_expert = embedding.shape[1]
    limit = MAX_EXPERTS if n_expert is None else n_expert
    if experts.min() < 0 or experts.max() >= limit:
        row, layer, _ = np.argwhere((experts < 0) | (experts >= limit))[0]
        wrong = experts[row, layer][(experts[row, layer] < 0) | (experts[row, layer] >= limit)][0]
        raise refuse("experts", f"row {row}, layer {layer}: got expert {wrong}, must lie between 0 and {limit - 1}.")
    ordered = np.sort(experts, axis=-1)
    for field, wrong, text in (
        ("experts", (ordered[..., 1:] == ordered[..., :-1]).any(-1), "an expert twice."),
        ("weights", ~((weights >= 0) & (weights <= 1 + ROUNDING)).all(-1), "not between 0 and 1 (probabilities)."),
        ("weights", weights.sum(-1) > 1 + ROUNDING, "sum to more than 1."),
    ):
        if wrong.any():
            row, layer = np.argwhere(wrong)[0]
            raise refuse(field, f"row {row}, layer {layer}: {text}")
    samples, groups = (_labels(arrays, field, n_row, refuse) for field in ("sample", "group"))
    samples = samples or names(range(n_row))
    groups = groups or ("all",) * n_row
    of_sample: dict[str, str] = {}
    for row, (sample, group) in enumerate(zip(samples, groups, strict=True)):
        if of_sample.setdefault(sample, group) != group:
            raise refuse("group", f"row {row}: sample {sample} is in {group} here, in {of_sample[sample]} before.")
    for row, group in alone(samples, groups):
        raise refuse("group", f"row {row}: {lonely(group)}")
    n_expert = n_expert or int(experts.max()) + 1
    _check_size(n_row, n_layer, n_expert, file)
    return Trace(dense(experts, weights, n_expert), samples, groups, experts.shape[2], embedding)


def _check_size(n_row: int, n_layer: int, n_expert: int, file: str) -> None:
    """Raises UserError for a log whose weights would fill memory."""
    if n_row * n_layer * n_expert > MAX_WEIGHTS:
        raise UserError(
            f"{file}: {n_row:,} rows of {n_layer} layers of {n_expert} experts are too many to hold at once. Give "
            "fewer samples, or average the tokens of each."
        )


def _whole(value: Array, refuse: Any) -> int:
    if value.size != 1 or value.dtype.kind not in "iu" or not 1 <= int(value.reshape(-1)[0]) <= MAX_EXPERTS:
        raise refuse("n_expert", f"must be one whole number from 1 to {MAX_EXPERTS}.")
    return int(value.reshape(-1)[0])


def _labels(arrays: Mapping[str, Array], field: str, n_row: int, refuse: Any) -> tuple[str, ...] | None:
    """The names of samples or groups; None where the file has none."""
    if field not in arrays:
        return None
    value = arrays[field]
    if value.shape != (n_row,) or value.dtype.kind not in "iuU":
        raise refuse(field, f"got {value.dtype} {list(value.shape)}, must be whole numbers or text [{n_row}].")
    return names(value.tolist())

"""What dictionaries are trained on: inputs and outputs of feed-forward layers over training documents.

The first position of every row is left out: it takes the attention that goes nowhere, and its activations are outliers
(norms many times those of all other positions). Held-out documents are whole: none of their text is trained on.

Activations are kept as float16 on disk (memory-mapped) or in memory; a folder that holds the same collection already is
taken as it is. One standardisation of inputs and outputs (mean, and one scale for all dimensions) goes with them: a
trained dictionary has it folded into its weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from wheatstone.bench.errors import UserError
from wheatstone.bench.files import read_json, write_json
from wheatstone.learn.models.transformer import Hooks, Sites

SKIPPED = 1
"""Positions at the begin of a row that are neither trained on nor replaced."""
LARGEST_HALF = 60_000.0
READY = "store.json"
DOCUMENT_SHARE = 0.1
Progress = Callable[[int, int], None]


class Hooked(Protocol):
    """What is asked of a model: `Transformer` and `Decoder` are ones."""

    def embed(
        self, tokens: Int[Tensor, "batch pos"], positions: Int[Tensor, " pos"] | None, hooks: Hooks | None
    ) -> tuple[Float[Tensor, "batch pos d_model"], Int[Tensor, " pos"]]: ...
    def run_blocks(
        self,
        x: Float[Tensor, "batch pos d_model"],
        *,
        start: int = 0,
        stop: int | None = None,
        hooks: Hooks | None = None,
    ) -> Float[Tensor, "batch pos d_model"]: ...
    def unembed(
        self, resid: Float[Tensor, "*batch d_model"], *, hooks: Hooks | None = None
    ) -> Float[Tensor, "*batch vocab"]: ...


class Split(NamedTuple):
    """Rows of tokens; whole documents are on one side."""

    train: Int[Tensor, "row pos"]
    held_out: Int[Tensor, "row pos"]


class Scaling(NamedTuple):
    """x -> (x - mean) / scale."""

    mean: Float[Tensor, " d"]
    scale: float


@dataclass(frozen=True)
class LayerStore:
    """Inputs and outputs of one feed-forward layer, a row a token."""

    inputs: np.ndarray[Any, Any]
    outputs: np.ndarray[Any, Any]
    input_scaling: Scaling
    output_scaling: Scaling

    def __len__(self) -> int:
        return len(self.inputs)

    def read(self, kind: str) -> tuple[np.ndarray[Any, Any], Scaling]:
        """What a dictionary of this kind reads, and its scaling."""
        return (self.inputs, self.input_scaling) if kind == "transcoder" else (self.outputs, self.output_scaling)


def cut_documents(
    documents: Sequence[Sequence[int]], context: int, bos: int | None, tokens: int, held_out: int
) -> Split:
    """Rows of `context` tokens, each with `bos` (if any) first: whole documents to hold out until there are `held_out`
    tokens, the next ones to train until there are `tokens`. What a document leaves after its last whole row is dropped,
    and so are rows beyond these numbers.

    Raises UserError when there is not one row for each side.
    """
    size = context - (bos is not None)
    sides: list[list[list[int]]] = [[], []]
    wanted = (held_out, tokens)
    at = 0
    for document in documents:
        if len(sides[at]) * size >= wanted[at]:
            at += 1
            if at == len(sides):
                break
        rows = [list(document[i : i + size]) for i in range(0, len(document) - size + 1, size)]
        sides[at] += [row if bos is None else [bos, *row] for row in rows]
    if not all(sides):
        raise UserError(
            f"text: {sum(map(len, documents)):,} tokens in {len(documents):,} documents do not make two contexts of "
            f"{size} tokens in two documents, one to train on and one to hold out. Give a longer text, or a shorter "
            "context."
        )
    most = [-(-count // size) for count in wanted]
    return Split(torch.tensor(sides[1][: most[1]]), torch.tensor(sides[0][: most[0]]))


def collect(
    model: Hooked,
    rows: Int[Tensor, "row pos"],
    layers: Sequence[int],
    *,
    folder: Path | None = None,
    identity: str = "",
    batch: int = 16,
    progress: Progress | None = None,
) -> dict[int, LayerStore]:
    """Inputs and outputs of the feed-forward layers `layers` at every position of `rows` but the first.

    With `folder` they lie there as .npy files and are taken from there the next time, when `identity` (of the model),
    rows and layers are the same. Raises UserError when a layer writes nothing or something that is not finite.
    """
    key = hashlib.sha256(f"{identity}/{sorted(layers)}/{rows.shape}".encode() + rows.numpy().tobytes()).hexdigest()
    if folder is not None and (folder / READY).is_file() and read_json(folder / READY).get("key") == key:
        return {layer: _opened(folder, layer) for layer in layers}
    n = len(rows) * (rows.shape[1] - SKIPPED)
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / READY).unlink(missing_ok=True)
    done = 0
    for part in rows.split(batch):
        seen = watched(model, part, layers)
        for name, value in seen.items():
            flat = value[:, SKIPPED:].flatten(0, 1)
            if not bool(flat.isfinite().all()) or flat.abs().max().item() > LARGEST_HALF:
                raise UserError(f"layer {name}: an activation is not finite or above {LARGEST_HALF:g}")
            if name not in arrays:
                arrays[name] = _array(folder, name, (n, flat.shape[1]))
            arrays[name][done : done + len(flat)] = flat.numpy()
        done += len(part) * (rows.shape[1] - SKIPPED)
        if progress is not None:
            progress(done, n)
    if folder is not None:
        for array in arrays.values():
            array.flush()  # type: ignore[attr-defined]
        write_json(folder / READY, {"key": key, "layers": list(layers), "tokens": n})
    return {layer: _store(arrays[f"{layer}.in"], arrays[f"{layer}.out"]) for layer in layers}


@torch.no_grad()
def watched(model: Hooked, tokens: Int[Tensor, "batch pos"], layers: Sequence[int]) -> dict[str, Tensor]:
    """`LAYER.in` and `LAYER.out` of some feed-forward layers, [batch pos d_model]; none above them is computed."""
    seen: dict[str, Tensor] = {}
    hooks: dict[str, Callable[[Tensor], None]] = {}

    def keep(name: str) -> Callable[[Tensor], None]:
        def hook(value: Tensor) -> None:
            seen[name] = value

        return hook

    for layer in layers:
        sites = Sites.of(layer)
        hooks[sites.mlp_in], hooks[sites.mlp_out] = keep(f"{layer}.in"), keep(f"{layer}.out")
    x, _ = model.embed(tokens, None, None)
    model.run_blocks(x, stop=max(layers) + 1, hooks=hooks)
    return seen


def batches(n: int, batch: int, seed: int) -> Callable[[int], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Row numbers of a 0-based step: slices of one permutation an epoch, each sorted, so that a disk reads on."""
    size = min(batch, n)
    per_epoch = n // size
    current: dict[int, np.ndarray[Any, Any]] = {}

    def rows(step: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        epoch, slot = divmod(step, per_epoch)
        if epoch not in current:
            current.clear()
            current[epoch] = np.random.default_rng((seed, epoch)).permutation(n)
        return np.sort(current[epoch][slot * size : (slot + 1) * size])

    return rows


def standardised(array: np.ndarray[Any, Any], rows: np.ndarray[Any, Any], scaling: Scaling) -> Tensor:
    """Some rows, standardised, in float32."""
    return (torch.from_numpy(np.asarray(array[rows], np.float32)) - scaling.mean) / scaling.scale


def store_of(inputs: Float[Tensor, "token d_in"], outputs: Float[Tensor, "token d_out"]) -> LayerStore:
    """A store in memory of given activations."""
    return _store(inputs.numpy().astype(np.float32), outputs.numpy().astype(np.float32))


def _array(folder: Path | None, name: str, shape: tuple[int, int]) -> np.ndarray[Any, Any]:
    if folder is None:
        return np.empty(shape, np.float16)
    return np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float16, shape)


def _opened(folder: Path, layer: int) -> LayerStore:
    arrays = [np.lib.format.open_memmap(folder / f"{layer}.{side}.npy", "r") for side in ("in", "out")]
    return _store(*arrays)


def _store(inputs: np.ndarray[Any, Any], outputs: np.ndarray[Any, Any]) -> LayerStore:
    return LayerStore(inputs, outputs, _scaling(inputs), _scaling(outputs))


def _scaling(array: np.ndarray[Any, Any], sample: int = 20_000) -> Scaling:
    """Mean of every dimension, and the root mean square of what is left over all dimensions, of the first rows."""
    part = np.asarray(array[:sample], np.float64)
    mean = part.mean(0)
    scale = float(np.sqrt(((part - mean) ** 2).mean()))
    if not scale > 0:
        raise UserError("the layer writes the same at every token: there is nothing to learn")
    return Scaling(torch.tensor(mean, dtype=torch.float32), scale)


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """A hash of weights, for the identity of a store."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, list(tensor.shape)]).encode())
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]

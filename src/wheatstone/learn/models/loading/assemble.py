"""Weights of other names become a `Decoder`: every tensor is looked for by name, and its shape is checked first.

Nothing is allocated for what a file only claims: a decoder without weights takes no memory, tensors are fetched one by
one, and the search ends at the first that is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from wheatstone.bench.errors import UserError
from wheatstone.learn.models.decoder import Decoder, DecoderConfig

LARGEST = 1 << 31
"""No size of a known model comes near it."""


@runtime_checkable
class Weights(Protocol):
    """Named tensors of a file or a folder."""

    @property
    def place(self) -> str:
        """The file, for messages."""
        ...

    def __contains__(self, name: str) -> bool: ...

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape without reading the data."""
        ...

    def tensor(self, name: str) -> Tensor:
        """The data, float32."""
        ...


@dataclass(frozen=True)
class Wanted:
    """One parameter of ours: where it is in the file and what is done to it."""

    ours: str
    theirs: str
    shape: tuple[int, ...]
    """Of the tensor in the file."""
    change: Callable[[Tensor], Tensor] | None = None


def assemble(cfg: DecoderConfig, wanted: Iterator[Wanted], weights: Weights) -> Decoder:
    """The decoder with these weights, ready to be asked and not to be trained.

    Raises UserError for a tensor that is missing or of another shape than the settings say.
    """
    state: dict[str, Tensor] = {}
    for one in wanted:
        if one.theirs not in weights:
            raise UserError(f"{weights.place}: has no tensor '{one.theirs}', which a model of its settings has")
        shape = weights.shape(one.theirs)
        if shape != one.shape:
            raise UserError(
                f"{weights.place}: tensor '{one.theirs}' has shape {list(shape)}, its settings say {list(one.shape)}"
            )
        value = weights.tensor(one.theirs)
        state[one.ours] = (value if one.change is None else one.change(value)).contiguous()
    model = Decoder(cfg)
    model.load_state_dict(state, assign=True)
    return model.requires_grad_(False).eval()


def checked_config(place: str, **settings: object) -> DecoderConfig:
    """The settings as a config.

    Raises UserError for a size that is not a positive number or that no model has, and for sizes that do not fit.
    """
    for name, value in settings.items():
        if name in ("vocab", "context", "d_model", "n_layer", "n_head", "n_kv_head", "d_head", "d_mlp"):
            if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < LARGEST:
                raise UserError(f"{place}: {name} is {value!r}, must be a whole number from 1 to {LARGEST - 1}")
        elif name in ("norm_eps", "rotary_base") and (
            isinstance(value, bool) or not isinstance(value, float | int) or not 0 < value < LARGEST
        ):
            raise UserError(f"{place}: {name} is {value!r}, must be a positive number")
    try:
        return DecoderConfig(**settings)  # pyright: ignore[reportArgumentType]
    except ValueError as error:
        raise UserError(f"{place}: {error}") from None


def quotient(width: Any, heads: Any) -> int | None:
    """The width of a head; None, which no config accepts, where it is no whole number."""
    if not isinstance(width, int) or not isinstance(heads, int) or heads < 1 or width % heads:
        return None
    return width // heads


def halves_from_neighbours(heads: int) -> Callable[[Tensor], Tensor]:
    """Rows of queries or keys whose rotary features are paired (2 i, 2 i + 1), as pairs (i, i + d_head / 2)."""

    def change(weight: Tensor) -> Tensor:
        return weight.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)

    return change


def llama_tensors(cfg: DecoderConfig, names: LlamaNames, *, neighbours: bool) -> Iterator[Wanted]:
    """Every parameter of a Llama; `neighbours` says how the file pairs rotary features."""
    d, kv, q = cfg.d_model, cfg.n_kv_head * cfg.d_head, cfg.n_head * cfg.d_head
    turn_q = halves_from_neighbours(cfg.n_head) if neighbours else None
    turn_k = halves_from_neighbours(cfg.n_kv_head) if neighbours else None
    yield Wanted("embedding", names.embedding, (cfg.vocab, d))
    for layer in range(cfg.n_layer):
        ours, theirs = f"blocks.{layer}.", names.block.format(layer)
        yield Wanted(ours + "norm_attn.weight", f"{theirs}{names.norm_attn}.weight", (d,))
        for part, name, width, turn in (
            ("q", names.q, q, turn_q),
            ("k", names.k, kv, turn_k),
            ("v", names.v, kv, None),
        ):
            yield Wanted(f"{ours}attn.{part}.weight", f"{theirs}{name}.weight", (width, d), turn)
            if cfg.qkv_bias:
                yield Wanted(f"{ours}attn.{part}.bias", f"{theirs}{name}.bias", (width,), turn)
        yield Wanted(ours + "attn.out.weight", f"{theirs}{names.out}.weight", (d, q))
        yield Wanted(ours + "norm_mlp.weight", f"{theirs}{names.norm_mlp}.weight", (d,))
        yield Wanted(ours + "mlp.gate.weight", f"{theirs}{names.gate}.weight", (cfg.d_mlp, d))
        yield Wanted(ours + "mlp.up.weight", f"{theirs}{names.up}.weight", (cfg.d_mlp, d))
        yield Wanted(ours + "mlp.down.weight", f"{theirs}{names.down}.weight", (d, cfg.d_mlp))
    yield Wanted("norm_final.weight", names.norm_final, (d,))
    if not cfg.tied:
        yield Wanted("unembedding", names.unembedding, (cfg.vocab, d))


@dataclass(frozen=True)
class LlamaNames:
    """What a format calls the tensors of a Llama; those of a block follow `block`, and '.weight' follows them."""

    embedding: str
    block: str
    norm_attn: str
    q: str
    k: str
    v: str
    out: str
    norm_mlp: str
    gate: str
    up: str
    down: str
    norm_final: str
    unembedding: str


def as_float32(value: Tensor) -> Tensor:
    """A copy in float32 on the CPU, whatever the file holds."""
    return value.to(dtype=torch.float32, device="cpu")

"""What interventions at the last token cost: one column, not a forward pass.

Position END of a causal model is seen by no other position. So when a head's output, query, key or value changes there,
everything before END stays as in the run that was traced: keys and values of all blocks are kept, and only the column
of END is computed again (`column`), for many interventions at once. Rows may differ in length: they are padded on the
right, and each has its own END.

Shapes use the words `patch batch pos head kv_head d_head d_model`; `patch` counts interventions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from wheatstone.learn.models.decoder import Decoder
from wheatstone.learn.models.transformer import Heads

Component = Literal["q", "k", "v", "z"]


class Head(NamedTuple):
    """A head by its place. For keys and values `head` counts key heads, which several queries may share."""

    layer: int
    head: int

    def __str__(self) -> str:
        return f"{self.layer}.{self.head}"


@dataclass(frozen=True)
class EndTrace:
    """A forward pass with everything kept that a column needs."""

    end: Int[Tensor, " batch"]
    """The last real position of each row."""
    keys: list[Float[Tensor, "batch kv_head pos d_head"]]
    """Per block, after rotary turns."""
    values: list[Float[Tensor, "batch kv_head pos d_head"]]
    resid: Float[Tensor, "layer batch d_model"]
    """The stream at END before each block, and after the last: one more than there are blocks."""
    read: Float[Tensor, "layer batch d_model"]
    """What attention adds to it at END."""
    z: Float[Tensor, "layer batch head d_head"]
    """What each head has read at END, before the output matrix."""

    @property
    def size(self) -> int:
        return len(self.end)


@dataclass(frozen=True)
class Overrides:
    """What replaces computed values at END: component -> layer -> [(head, values [patch batch d_head])]."""

    values: Mapping[Component, Mapping[int, Sequence[tuple[int, Tensor]]]] = field(default_factory=dict)

    @staticmethod
    def of(component: Component, values: Mapping[Head, Tensor]) -> Overrides:
        """One component of several heads."""
        by_layer: dict[int, list[tuple[int, Tensor]]] = {}
        for head, value in values.items():
            by_layer.setdefault(head.layer, []).append((head.head, value))
        return Overrides({component: by_layer})

    def put(self, component: Component, layer: int, computed: Tensor) -> Tensor:
        """`computed` [patch batch head d_head] with the heads replaced that are named."""
        named = self.values.get(component, {}).get(layer, ())
        if not named:
            return computed
        patches = max(len(computed), *(len(value) for _, value in named))
        computed = computed.expand(patches, *computed.shape[1:]).clone()
        for head, value in named:
            computed[:, :, head] = value
        return computed

    def first(self, otherwise: int) -> int:
        """The first layer that anything is replaced in."""
        return min((layer for layers in self.values.values() for layer in layers), default=otherwise)


@torch.no_grad()
def trace_end(model: Decoder, tokens: Int[Tensor, "batch pos"], end: Int[Tensor, " batch"]) -> EndTrace:
    """One forward pass of rows that are padded on the right (what stands after `end` does not matter)."""
    rows = torch.arange(len(tokens))
    keys: list[Tensor] = []
    values: list[Tensor] = []
    resid: list[Tensor] = []
    read: list[Tensor] = []
    z: list[Tensor] = []

    def at_end(kept: list[Tensor]) -> Callable[[Tensor], None]:
        return lambda value: kept.append(value[rows, end])

    hooks: dict[str, Callable[[Tensor], None]] = {}
    for sites in model.sites:
        hooks |= {
            sites.resid_pre: at_end(resid),
            sites.attn_out: at_end(read),
            sites.z: at_end(z),
            sites.k: lambda value: keys.append(value.transpose(1, 2).contiguous()),
            sites.v: lambda value: values.append(value.transpose(1, 2).contiguous()),
        }
    last = model.resid(tokens, hooks=hooks)[rows, end]
    return EndTrace(end, keys, values, torch.stack([*resid, last]), torch.stack(read), torch.stack(z))


@torch.no_grad()
def trace_variant(
    model: Decoder, tokens: Int[Tensor, "batch pos"], other: Int[Tensor, "batch pos"], of_other: EndTrace
) -> EndTrace:
    """`trace_end` of `tokens`, which begin as `other` does: what both share is read from the trace of `other`."""
    end, rows = of_other.end, torch.arange(len(tokens))
    different = (tokens != other).any(0).nonzero()
    first = int(different[0]) if len(different) else tokens.shape[1]
    begin = min(first, int(end.min()))
    x, positions = model.embed(tokens[:, begin:], torch.arange(begin, tokens.shape[1]), None)
    keys: list[Tensor] = []
    values: list[Tensor] = []
    resid: list[Tensor] = []
    read: list[Tensor] = []
    z: list[Tensor] = []
    for layer in range(model.cfg.n_layer):
        block = model.block(layer)
        resid.append(x[rows, end - begin])
        q, k, v = block.attn.heads(block.norm_attn(x), positions)
        keys.append(torch.cat((of_other.keys[layer][:, :, :begin], k), 2))
        values.append(torch.cat((of_other.values[layer][:, :, :begin], v), 2))
        mixed = block.attn.mixed(Heads(q, keys[-1], values[-1]))
        attn = block.attn.out(mixed.flatten(2))
        z.append(mixed[rows, end - begin])
        read.append(attn[rows, end - begin])
        x = block.after(x, attn)
    resid.append(x[rows, end - begin])
    return EndTrace(end, keys, values, torch.stack(resid), torch.stack(read), torch.stack(z))


def column(
    model: Decoder, trace: EndTrace, overrides: Overrides, x: Float[Tensor, "patch batch d_model"] | None = None,
    start: int | None = None,
) -> Float[Tensor, "patch batch d_model"]:  # fmt: skip
    """The last state at END when the values in `overrides` take the place of what is computed.

    With `x`, the stream before block `start` (None: the first that is overridden) is `x` and not the trace's.
    """
    first = overrides.first(model.cfg.n_layer) if start is None else start
    if x is None:
        x = trace.resid[first][None]
    for layer in range(first, model.cfg.n_layer):
        block = model.block(layer)
        z = overrides.put("z", layer, _read(model, trace, layer, block.norm_attn(x), overrides))
        read = block.attn.out(z.flatten(2))
        x = block.after(x.expand_as(read), read)
    return x


def end_components(
    model: Decoder, layer: int, normed: Float[Tensor, "patch batch d_model"], end: Int[Tensor, " batch"]
) -> dict[Component, Float[Tensor, "patch batch head d_head"]]:
    """Queries, keys and values of block `layer` at END, turned to its position."""
    # Rows take the place of positions: each has its own.
    q, k, v = (part.transpose(1, 2) for part in model.block(layer).attn.heads(normed, end))
    return {"q": q, "k": k, "v": v}


def end_pattern(model: Decoder, trace: EndTrace, head: Head) -> Float[Tensor, "batch pos"]:
    """How END attends in the traced run."""
    normed = model.block(head.layer).norm_attn(trace.resid[head.layer])[None]
    parts = end_components(model, head.layer, normed, trace.end)
    return _pattern(model, trace, head.layer, parts["q"], parts["k"])[0, :, head.head]


def _read(
    model: Decoder, trace: EndTrace, layer: int, normed: Float[Tensor, "patch batch d_model"], overrides: Overrides
) -> Float[Tensor, "patch batch head d_head"]:
    """What each head reads at END, from the trace's keys and values and from END's own new ones."""
    parts = end_components(model, layer, normed, trace.end)
    q, k, v = (overrides.put(name, layer, parts[name]) for name in ("q", "k", "v"))
    pattern = _pattern(model, trace, layer, q, k)  # patch batch head pos
    groups = model.cfg.queries_per_kv_head
    grouped = pattern.unflatten(2, (-1, groups))  # patch batch kv_head query pos
    old = trace.values[layer]
    z = torch.einsum("sbkgp,bkpd->sbkgd", grouped, old)
    rows = torch.arange(trace.size)
    own = grouped[:, rows, :, :, trace.end].movedim(0, 1)  # patch batch kv_head query: the weight of END itself
    z = z + own[..., None] * (v - old[rows, :, trace.end])[:, :, :, None]
    return z.flatten(2, 3)


def _pattern(
    model: Decoder, trace: EndTrace, layer: int, q: Tensor, k: Tensor
) -> Float[Tensor, "patch batch head pos"]:
    """Attention of END: scores with the trace's keys, and with END's own key in its place."""
    groups, keys = model.cfg.queries_per_kv_head, trace.keys[layer]
    grouped = q.unflatten(2, (-1, groups))  # patch batch kv_head query d_head
    scores = torch.einsum("sbkgd,bkpd->sbkgp", grouped, keys)
    own = (grouped * k[:, :, :, None]).sum(-1)  # patch batch kv_head query
    position = torch.arange(keys.shape[2])
    at_end = (position == trace.end[:, None])[None, :, None, None]
    scores = torch.where(at_end, own[..., None], scores) / math.sqrt(model.cfg.d_head)
    beyond = (position > trace.end[:, None])[None, :, None, None]
    return scores.masked_fill(beyond, -torch.inf).softmax(-1).flatten(2, 3)

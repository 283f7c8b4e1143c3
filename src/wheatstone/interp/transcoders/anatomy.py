"""The weights of a decoder as circuits need them: what heads move, what norms do, what tokens write and read.

One view of `Transformer` and `Decoder` (GPT-2's and Llama's blocks, grouped queries): matrices per query head, norms
as gain, bias and whether they centre. The gain sits here and nowhere else: sites show values after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from wheatstone.bench.errors import UserError
from wheatstone.learn.models.decoder import Decoder
from wheatstone.learn.models.transformer import Transformer

Model = Transformer | Decoder
PRECISION = torch.float64
"""Contributions of the first position are large and cancel: in float32 their sums would miss the target by 1e-3."""


@dataclass(frozen=True)
class Norm:
    """y = (x - mean(x)) / scale(x) * gain + bias; without the mean for RMS norm."""

    gain: Float[Tensor, " d_model"]
    bias: Float[Tensor, " d_model"] | None
    eps: float
    centred: bool

    def scale(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch 1"]:
        """What x is divided by."""
        return (self.centre(x).square().mean(-1, keepdim=True) + self.eps).sqrt()

    def centre(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        return x - x.mean(-1, keepdim=True) if self.centred else x

    def pulled(self, g: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """What reads x as g reads y, up to the scale: the input-invariant part of the norm."""
        return self.centre(g * self.gain)

    def constant(self, g: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch"]:
        """What g reads of the bias."""
        return torch.zeros(g.shape[:-1], dtype=g.dtype) if self.bias is None else g @ self.bias


@dataclass(frozen=True)
class BlockParts:
    """One block without queries, keys and neurons: those decide what is frozen, not what flows."""

    norm_attn: Norm
    v: Float[Tensor, "head d_model d_head"]
    v_bias: Float[Tensor, "head d_head"]
    o: Float[Tensor, "head d_head d_model"]
    o_bias: Float[Tensor, " d_model"]
    norm_mlp: Norm | None


@dataclass(frozen=True)
class Anatomy:
    """All of a model that attributions go through."""

    embedding: Float[Tensor, "vocab d_model"]
    blocks: tuple[BlockParts, ...]
    norm_final: Norm
    unembedding: Float[Tensor, "vocab d_model"]

    @property
    def depth(self) -> int:
        return len(self.blocks)


@torch.no_grad()
def anatomy_of(model: Model) -> Anatomy:
    """The parts of a model, in double precision.

    Raises UserError for a transformer whose feed-forward layers share a memory: their output has two sources.
    """
    if isinstance(model, Transformer) and model.memory is not None:
        raise UserError("a model with a shared feed-forward memory cannot be traced: its output has two sources")
    blocks = tuple(_parts(model, layer) for layer in range(model.cfg.depth))
    unembedding = model.embedding if model.unembedding is None else model.unembedding
    return Anatomy(_exact(model.embedding), blocks, _norm(model.norm_final), _exact(unembedding))


def _parts(model: Model, layer: int) -> BlockParts:
    block, cfg = model.block(layer), model.cfg
    attn = block.attn
    groups = cfg.queries_per_kv_head if not isinstance(model, Transformer) else 1  # type: ignore[union-attr]
    value, out = attn.v, attn.out
    v = _exact(value.weight).view(-1, cfg.d_head, cfg.d_model).repeat_interleave(groups, 0)
    bias = _bias(value)
    o = _exact(out.weight).view(cfg.d_model, cfg.n_head, cfg.d_head)
    o_bias = _bias(out)
    return BlockParts(
        _norm(block.norm_attn),
        v.transpose(1, 2),
        bias.view(-1, cfg.d_head).repeat_interleave(groups, 0),
        o.permute(1, 2, 0),
        o_bias,
        None if block.norm_mlp is None else _norm(block.norm_mlp),
    )


def _bias(linear: nn.Linear) -> Tensor:
    bias = cast("nn.Parameter | None", linear.bias)
    return torch.zeros(linear.out_features, dtype=PRECISION) if bias is None else _exact(bias)


def _norm(module: nn.Module) -> Norm:
    if isinstance(module, nn.LayerNorm):
        return Norm(_exact(module.weight), _exact(module.bias), module.eps, centred=True)
    norm = cast("nn.RMSNorm", module)
    assert norm.eps is not None
    return Norm(_exact(norm.weight), None, norm.eps, centred=False)


def _exact(tensor: Tensor) -> Tensor:
    return tensor.detach().to(PRECISION)

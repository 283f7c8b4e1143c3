"""One prompt with attention and norms frozen: the model is then linear between feed-forward layers.

Given a vector g that reads the residual stream somewhere, `attribution` finds what every earlier place contributed to
g . resid (Dunefsky et al. 2024, arXiv:2406.11944, section 4; without stopping at heads as in Ameisen et al. 2025,
transformer-circuits.pub/2025/attribution-graphs). Going down from g:

feature i of layer l at s   z_i(s) * (W_dec[i] . g_s): input-dependent activation times input-invariant reading
skip path                   pulled through W_skip and the norm like any linear map
head h of layer l           g_t is read at the sources s with pattern[h, t, s] through O, V and the norm at s
error of layer l at s       (what the layer wrote - what the transcoder predicts) . g_s
feed-forward not modelled   its output . g_s: layers without a transcoder, and the first position
embedding at s, and biases  the rest

The norm is frozen by dividing by the scale that it had. Everything is a plain product with weights: no gradient is
taken through the softmax, which would be another definition. The sum of all is g . resid, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from wheatstone.bench.errors import UserError
from wheatstone.interp.transcoders.anatomy import PRECISION, Anatomy, Model, anatomy_of
from wheatstone.interp.transcoders.dictionary import Dictionary
from wheatstone.interp.transcoders.replacement import check_fit
from wheatstone.interp.transcoders.store import SKIPPED
from wheatstone.learn.models.transformer import Sites


@dataclass
class Contributions:
    """What every place gave to g . resid."""

    features: dict[int, Float[Tensor, "pos feature"]] = field(default_factory=dict)
    errors: dict[int, Float[Tensor, " pos"]] = field(default_factory=dict)
    unmodelled: dict[int, Float[Tensor, " pos"]] = field(default_factory=dict)
    embedding: Float[Tensor, " pos"] = field(default_factory=lambda: torch.zeros(0))
    heads: dict[int, Float[Tensor, "head pos"]] = field(default_factory=dict)
    """Only where heads are nodes: what each head brought from each source."""
    bias: float = 0.0

    def total(self) -> float:
        """The sum of all."""
        parts = [*self.features.values(), *self.errors.values(), *self.unmodelled.values(), *self.heads.values()]
        return sum(part.sum().item() for part in parts) + self.embedding.sum().item() + self.bias


@dataclass(frozen=True)
class FrozenLayer:
    """What one block did on the prompt."""

    pattern: Float[Tensor, "head pos pos"]
    scale_attn: Float[Tensor, "pos 1"]
    scale_mlp: Float[Tensor, "pos 1"]
    values: Float[Tensor, "head pos d_head"]
    """What each head carries from each position."""
    output: Float[Tensor, "pos d_model"]
    """What the feed-forward layer wrote."""


@dataclass(frozen=True)
class FrozenTranscoder:
    """A transcoder on the prompt; the first position is zero everywhere."""

    z: Float[Tensor, "pos feature"]
    error: Float[Tensor, "pos d_model"]
    W_dec: Float[Tensor, "feature d_model"]
    W_enc: Float[Tensor, "d_model feature"]
    b_enc: Float[Tensor, " feature"]
    b_dec: Float[Tensor, " d_model"]
    W_skip: Float[Tensor, "d_model d_model"] | None


@dataclass(frozen=True)
class Reading:
    """A vector that reads the stream at one position below some place, and the constant that goes with it."""

    below: int
    """Reads the stream in the middle of block `below`, after its attention; depth reads the end of the stream."""
    position: int
    g: Float[Tensor, " d_model"]
    constant: float
    value: float
    """What is read: g . resid + constant."""
    name: str


@dataclass(frozen=True)
class Frozen:
    """A model on one prompt."""

    anatomy: Anatomy
    tokens: Int[Tensor, " pos"]
    embedded: Float[Tensor, "pos d_model"]
    layers: tuple[FrozenLayer, ...]
    transcoders: Mapping[int, FrozenTranscoder]
    scale_final: Float[Tensor, "pos 1"]
    final: Float[Tensor, "pos d_model"]

    def feature(self, layer: int, position: int, index: int) -> Reading:
        """The pre-activation of a feature."""
        tc, norm = self.transcoders[layer], self.anatomy.blocks[layer].norm_mlp
        assert norm is not None
        column = tc.W_enc[:, index]
        g = norm.pulled(column) / self.layers[layer].scale_mlp[position]
        constant = (tc.b_enc[index] + norm.constant(column)).item()
        value = (self._middle(layer)[position] @ g).item() + constant
        return Reading(layer, position, g, constant, value, f"L{layer}.f{index}@{position}")

    def logits(self, direction: Float[Tensor, " d_model"], position: int, name: str) -> Reading:
        """The reading of the end of the stream in a direction of the unembedding: a logit or a difference of two."""
        norm = self.anatomy.norm_final
        g = norm.pulled(direction) / self.scale_final[position]
        constant = norm.constant(direction).item()
        value = (self.final[position] @ g).item() + constant
        return Reading(self.anatomy.depth, position, g, constant, value, name)

    def _middle(self, layer: int) -> Float[Tensor, "pos d_model"]:
        """The stream after the attention of a block, added up from its parts."""
        x = self.embedded
        for at in range(layer + 1):
            parts, one = self.anatomy.blocks[at], self.layers[at]
            z = one.pattern @ one.values  # head pos d_head
            x = x + torch.einsum("hpf,hfd->pd", z, parts.o) + parts.o_bias
            if at < layer:
                x = x + one.output
        return x


@torch.no_grad()
def freeze(model: Model, tokens: Int[Tensor, " pos"], transcoders: Mapping[int, Dictionary]) -> Frozen:
    """Runs the model on one prompt and keeps what is needed.

    Raises UserError for an autoencoder, which does not say how a layer's input makes its output, and for a dictionary
    of another width.
    """
    anatomy = anatomy_of(model)
    for layer, tc in transcoders.items():
        check_fit(tc, anatomy.embedding.shape[1], f"layer {layer}")
        if tc.cfg.kind != "transcoder":
            raise UserError(f"layer {layer}: an autoencoder says what a layer writes, not why; give a transcoder")
    seen: dict[str, Tensor] = {}
    hooks: dict[str, Callable[[Tensor], None]] = {}
    for layer in range(anatomy.depth):
        sites = Sites.of(layer)
        for site in (sites.resid_pre, sites.resid_mid, sites.pattern, sites.mlp_in, sites.mlp_out):
            hooks[site] = _keeping(seen, site)
    x, _ = model.embed(tokens[None], None, None)
    final = model.run_blocks(x, hooks=hooks)[0].to(PRECISION)
    layers: list[FrozenLayer] = []
    frozen: dict[int, FrozenTranscoder] = {}
    for layer, parts in enumerate(anatomy.blocks):
        sites = Sites.of(layer)
        pre, mid = (seen[site][0].to(PRECISION) for site in (sites.resid_pre, sites.resid_mid))
        scale = parts.norm_attn.scale(pre)
        normed = parts.norm_attn.centre(pre) / scale * parts.norm_attn.gain
        normed = normed if parts.norm_attn.bias is None else normed + parts.norm_attn.bias
        values = torch.einsum("pd,hdf->hpf", normed, parts.v) + parts.v_bias[:, None]
        has_mlp = parts.norm_mlp is not None
        output = seen[sites.mlp_out][0].to(PRECISION) if has_mlp else torch.zeros_like(pre)
        scale_mlp = parts.norm_mlp.scale(mid) if parts.norm_mlp is not None else torch.ones_like(mid[:, :1])
        layers.append(FrozenLayer(seen[sites.pattern][0].to(PRECISION), scale, scale_mlp, values, output))
        if layer in transcoders:
            frozen[layer] = _frozen_transcoder(transcoders[layer], seen[sites.mlp_in][0], output)
    scale_final = anatomy.norm_final.scale(final)
    return Frozen(anatomy, tokens, x[0].to(PRECISION), tuple(layers), frozen, scale_final, final)


def _frozen_transcoder(tc: Dictionary, x: Tensor, output: Tensor) -> FrozenTranscoder:
    z = tc.encode(x).to(PRECISION)
    w_dec, b_dec = tc.W_dec.to(PRECISION), tc.b_dec.to(PRECISION)
    w_skip = None if tc.W_skip is None else tc.W_skip.to(PRECISION)
    predicted = z @ w_dec + b_dec
    if w_skip is not None:
        predicted = predicted + x.to(PRECISION) @ w_skip
    error = output - predicted
    z[:SKIPPED], error[:SKIPPED] = 0.0, 0.0
    return FrozenTranscoder(z, error, w_dec, tc.W_enc.to(PRECISION), tc.b_enc.to(PRECISION), b_dec, w_skip)


def _keeping(seen: dict[str, Tensor], site: str) -> Callable[[Tensor], None]:
    def keep(value: Tensor) -> None:
        seen[site] = value

    return keep

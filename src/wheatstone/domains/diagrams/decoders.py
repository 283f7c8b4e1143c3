"""Pretrained language models as diagrams: the decoder of GPT-2 and Llama, block by block as `learn/models/decoder.py`.

Query heads stand in groups, `g` groups of `j` heads, because the heads of a group share one key and value head
(Ainslie et al. 2023, arXiv:2305.13245): the picture shows keys without the axis `j`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheatstone.domains.diagrams.drawing import draw
from wheatstone.domains.diagrams.models import CAPTION, transformer_domain
from wheatstone.domains.diagrams.terms import (
    Bias,
    Block,
    Elementwise,
    Embed,
    Map,
    Mask,
    Reduce,
    Rename,
    Repeat,
    Residual,
    Seq,
    Term,
    Weight,
    contract,
    copy,
    gain,
    identity,
    layer_norm,
    linear,
    par,
    seq,
)
from wheatstone.domains.diagrams.types import Axis

if TYPE_CHECKING:
    from torch import Tensor

    from wheatstone.bench.exhibit import Diagram
    from wheatstone.learn.models.decoder import Decoder, DecoderConfig


def decoder_term(cfg: DecoderConfig) -> Term:
    """The decoder on one sequence: tokens `t` to logits `t v`. Weights are named as in its state dictionary."""
    block: list[Term] = [Residual(seq(_norm(cfg, "blocks.{}.norm_attn"), _attention(cfg)))]
    if cfg.d_mlp:
        block.append(Residual(seq(_norm(cfg, "blocks.{}.norm_mlp"), _feed_forward(cfg))))
    parts: list[Term] = [Embed(cfg.vocab, Axis("m", cfg.d_model), Weight("embedding"))]
    if cfg.positions == "learned":
        parts.append(Bias(("t", "m"), Weight("position")))
    parts += [Repeat(Block("block", Seq(tuple(block))), cfg.n_layer), _norm(cfg, "norm_final")]
    unembed = Weight("embedding" if cfg.tied else "unembedding")
    return seq(*parts, Map(("m",), (Axis("v", cfg.vocab),), unembed))


def _norm(cfg: DecoderConfig, name: str) -> Term:
    if cfg.norm == "layer":
        return layer_norm("m", name, cfg.norm_eps)
    return seq(Reduce("rms", ("m",), cfg.norm_eps), gain("m", f"{name}.weight"))


def _attention(cfg: DecoderConfig) -> Term:
    """Every position asks (`t`) and is asked (`x`)."""
    group, each, width = cfg.n_kv_head, cfg.queries_per_kv_head, cfg.d_head

    def heads(part: str, axes: str, position: str) -> Term:
        names = " ".join(word.partition(":")[0] for word in axes.split())
        name = f"blocks.{{}}.attn.{part}"
        made = linear(f"m -> {axes}", name, stored=f"({names}) m", bias=cfg.qkv_bias)
        if cfg.positions != "rotary" or part == "v":
            return made
        turn = Map(("k",), (Axis("r", width),), Weight("rotary", "fixed", everywhere=True), batch=(position,))
        return seq(made, turn, Rename("r", "k"))

    out = Map(("g", "j", "k"), (Axis("m", cfg.d_model),), Weight("blocks.{}.attn.out.weight", stored="m (g j k)"))
    body = seq(
        par(identity(), copy()),
        par(
            heads("q", f"g:{group} j:{each} k:{width}", "t"),
            heads("k", f"g:{group} k:{width}", "x"),
            heads("v", f"g:{group} k:{width}", "x"),
        ),
        par(contract("t g j k, x g k -> g j t x"), identity()),
        par(seq(Elementwise("scale", 1, width**-0.5), Mask("t", "x"), Reduce("softmax", ("x",))), identity()),
        contract("g j t x, x g k -> t g j k"),
        out,
        *([Bias(("m",), Weight("blocks.{}.attn.out.bias"))] if cfg.bias else []),
    )
    return seq(copy(), par(identity(), Rename("t", "x")), Block("attention", body))


def _feed_forward(cfg: DecoderConfig) -> Term:
    """down(silu(gate) * up), or down(gelu(up))."""

    def layer(pattern: str, part: str) -> Term:
        return linear(pattern, f"blocks.{{}}.mlp.{part}", bias=cfg.bias)

    wide = f"m -> f:{cfg.d_mlp}"
    if cfg.mlp == "swiglu":
        gated = seq(
            copy(), par(seq(layer(wide, "gate"), Elementwise("silu")), layer(wide, "up")), Elementwise("mul", 2)
        )
    else:
        gated = seq(layer(wide, "up"), Elementwise(cfg.mlp))
    return Block("feed-forward", seq(gated, layer(f"f -> m:{cfg.d_model}", "down")))


def decoder_state(model: Decoder, length: int) -> dict[str, Tensor]:
    """The decoder's weights for a diagram of `length` tokens: its own, positions cut to it, turns as a table."""
    import torch

    from wheatstone.learn.models.transformer import rotate

    state = dict(model.state_dict())
    if "position" in state:
        state["position"] = state["position"][:length]
    if model.cfg.positions == "rotary":
        unit = torch.eye(model.cfg.d_head)[:, None, None].expand(-1, length, 1, -1)
        turned = rotate(unit, torch.arange(length), model.cfg.rotary_base)
        state["rotary"] = turned[:, :, 0].permute(1, 2, 0)
    return state


def decoder_diagram(
    cfg: DecoderConfig, *, name: str = "network", title: str = "", detail: int | None = None, width: float = 1100
) -> Diagram:
    """The drawing of a language model of this shape."""
    said = title or f"A decoder: {cfg.n_layer} blocks, d_model {cfg.d_model}"
    term, domain = decoder_term(cfg), transformer_domain()
    return draw(term, domain, name=name, title=said, caption=CAPTION, detail=detail, width=width)

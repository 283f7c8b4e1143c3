"""The house's own transformer as a diagram, and the drawing that a study shows of the network it trains.

The diagram is built from a `TransformerConfig` by hand, block by block as `learn/models/transformer.py` reads; the
tests load a transformer's weights into the compiled diagram and compare logits, so what is drawn is what is trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sympy

from wheatstone.domains.diagrams.drawing import draw
from wheatstone.domains.diagrams.terms import (
    Bias,
    Block,
    Elementwise,
    Embed,
    Map,
    Mask,
    Par,
    Reduce,
    Rename,
    Repeat,
    Residual,
    Seq,
    Term,
    Weight,
    contract,
    copy,
    identity,
    layer_norm,
    linear,
    par,
    seq,
)
from wheatstone.domains.diagrams.types import Axis, Obj, Size, obj, symbol

if TYPE_CHECKING:
    from torch import Tensor

    from wheatstone.bench.exhibit import Diagram
    from wheatstone.bench.run import Run
    from wheatstone.learn.models.transformer import Transformer, TransformerConfig

CAPTION = (
    "A wire is an axis, named where it begins; a dashed line parts the arrays of a tuple. Bold boxes are learned, thin "
    "ones are not; a wire past a box is an axis that the operation is repeated over. Wires that meet at a dot are "
    "multiplied, and where they end there, summed over."
)


def attention(
    width: str = "m",
    *,
    query: str = "y",
    key: str = "x",
    name: str = "attn",
    causal: bool = False,
    rotary: bool = False,
) -> Block:
    """Multi-head attention of (query array, key array), heads `h` of width `k`; weights `name`.q, k, v, out.

    `rotary` turns queries and keys by their positions: a fixed map of the features for each position.
    """

    def heads(part: str) -> Term:
        made = linear(f"{width} -> h k", f"{name}.{part}", stored=f"(h k) {width}")
        return seq(made, turned(query if part == "q" else key)) if rotary and part != "v" else made

    def turned(position: str) -> Term:
        turn = Map(("k",), (Axis("r", symbol("k")),), Weight("rotary", "fixed", everywhere=True), batch=(position,))
        return seq(turn, Rename("r", "k"))

    scores = contract(f"{query} h k, {key} h k -> h {query} {key}")
    scale = Elementwise("scale", 1, 1 / sympy.sqrt(symbol("k")))
    softmax = seq(scale, *([Mask(query, key)] if causal else []), Reduce("softmax", (key,)))
    out = seq(
        Map(("h", "k"), (Axis(width, symbol(width)),), Weight(f"{name}.out.weight", stored=f"{width} (h k)")),
        Bias((width,), Weight(f"{name}.out.bias")),
    )
    body = Seq(
        (
            Par((identity(), copy())),
            par(heads("q"), heads("k"), heads("v")),
            par(scores, identity()),
            par(softmax, identity()),
            contract(f"h {query} {key}, {key} h k -> {query} h k"),
            out,
        )
    )
    return Block("attention", body)


def transformer_term(cfg: TransformerConfig, vocab: Size | None = None) -> Term:
    """The transformer on one sequence: tokens `t` to logits `t v`. Weights are named as in its state dictionary.

    `vocab` may stand for the config's number of tokens, as a symbol.
    """
    vocab = cfg.vocab if vocab is None else vocab
    embed = [Embed(vocab, Axis("m", cfg.d_model), Weight("embedding")), *added_positions(cfg)]
    unembed = Weight("embedding" if cfg.tied else "unembedding")
    return seq(*embed, blocks_term(cfg), layer_norm("m", "norm_final"), Map(("m",), (Axis("v", vocab),), unembed))


def added_positions(cfg: TransformerConfig) -> list[Term]:
    """What is added to the stream for the positions: learned vectors, fixed waves, or nothing."""
    if cfg.positions not in ("learned", "sinusoidal"):
        return []
    kind = "learned" if cfg.positions == "learned" else "fixed"
    return [Bias(("t", "m"), Weight("position", kind))]


def blocks_term(cfg: TransformerConfig, *, causal: bool = True) -> Term:
    """The blocks with their loops: the stream `t m` to itself. Without `causal` every position sees every other."""
    d_mlp = 4 * cfg.d_model if cfg.d_mlp is None else cfg.d_mlp
    block: list[Term] = [
        Residual(seq(layer_norm("m", "blocks.{}.norm_attn"), _self_attention(cfg.positions == "rotary", causal)))
    ]
    branches: list[Term] = []
    if d_mlp:
        branches.append(_mlp("blocks.{}.mlp", "f", d_mlp))
    if cfg.shared_memory:
        branches.append(_mlp("memory", "s", cfg.shared_memory))
    if branches:
        answer = seq(copy(), Par(tuple(branches)), Elementwise("add", 2)) if len(branches) == 2 else branches[0]
        block.append(Residual(seq(layer_norm("m", "blocks.{}.norm_mlp"), answer)))
    stack: Term = Repeat(Block("block", Seq(tuple(block))), cfg.n_layer)
    return Repeat(stack, cfg.loops, shared=True) if cfg.loops > 1 else stack


def _self_attention(rotary: bool, causal: bool) -> Term:
    """Each position asks (`t`) and is asked (`x`)."""
    within = attention(query="t", key="x", name="blocks.{}.attn", causal=causal, rotary=rotary)
    return seq(copy(), par(identity(), Rename("t", "x")), within)


def _mlp(name: str, axis: str, width: int) -> Block:
    shared = name == "memory"
    body = seq(
        linear(f"m -> {axis}:{width}", f"{name}.up", everywhere=shared),
        Elementwise("gelu_tanh"),
        linear(f"{axis} -> m", f"{name}.down", everywhere=shared),
    )
    return Block("memory" if shared else "feed-forward", body)


def transformer_domain(length: int | str = "t") -> Obj:
    """What the diagram takes: `length` tokens."""
    return obj("int t", t=length)


def transformer_sizes(cfg: TransformerConfig) -> dict[str, int]:
    """The sizes that the terms leave open."""
    return {"m": cfg.d_model, "h": cfg.n_head, "k": cfg.d_head}


def transformer_state(model: Transformer, length: int) -> dict[str, Tensor]:
    """The weights for a diagram of `length` tokens: the model's own, positions cut to it, turns and waves as tables."""
    import torch

    from wheatstone.learn.models.transformer import rotate, waves

    state = dict(model.state_dict())
    if "position" in state:
        state["position"] = state["position"][:length]
    if model.cfg.positions == "sinusoidal":
        state["position"] = waves(torch.arange(length), model.cfg.d_model)
    if model.cfg.positions == "rotary":
        unit = torch.eye(model.cfg.d_head)[:, None, None].expand(-1, length, 1, -1)
        turned = rotate(unit, torch.arange(length))  # unit vectors become the columns of each position's matrix
        state["rotary"] = turned[:, :, 0].permute(1, 2, 0)
    return state


def transformer_diagram(
    cfg: TransformerConfig, *, name: str = "network", title: str = "", vocab: Size | None = None
) -> Diagram:
    """The drawing of the transformer that this config makes, for a study's exhibits.

    Built from the config alone: no weights, no torch module, a few milliseconds.
    """
    said = title or f"The network: {cfg.depth} block{'s' if cfg.depth > 1 else ''}, d_model {cfg.d_model}"
    term, sizes = transformer_term(cfg, vocab), dict[str, Size](transformer_sizes(cfg))
    return draw(term, transformer_domain(), sizes, name=name, title=said, caption=CAPTION)


def trained_network(run: Run, arm: str) -> Diagram:
    """The transformer that an arm of a run trains, drawn from the arm's recipe; the vocabulary stays a letter, `v`."""
    cfg = trained_config(run, arm)
    return transformer_diagram(cfg, title=trained_title(cfg, arm), vocab=symbol("v"))


def trained_config(run: Run, arm: str) -> TransformerConfig:
    """The shape of the transformer that an arm trains; its vocabulary and context, not in the recipe, are 1 here."""
    from wheatstone.learn.models.transformer import TransformerConfig

    values = run.trial(arm, run.seeds[0]).values
    taken = ("d_model", "n_layer", "n_head", "loops", "positions", "shared_memory", "d_mlp")
    chosen: dict[str, Any] = {name: values[name] for name in taken if name in values}
    return TransformerConfig(vocab=1, context=1, **chosen)


def trained_title(cfg: TransformerConfig, arm: str) -> str:
    """What is written over the drawing of an arm's network."""
    return f"The network that {arm} trains: {cfg.depth} block{'s' if cfg.depth > 1 else ''}, width {cfg.d_model}"

"""The architectures of arXiv:2402.05424 and their neighbours as terms, sizes open.

Weights are named and stored as in torch's own layers, so a term loads the state of the layer that it draws: the MLP
recogniser (figure 1 of the notebook), attention, multi-head attention, the transformer's two layers, convolutions with
stride, dilation, padding and groups, the identity ResNet, the U-Net, and attention over pictures.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import sympy

from wheatstone.domains.diagrams.terms import (
    Bias,
    Block,
    Cat,
    Elementwise,
    Fold,
    Map,
    Mask,
    Merge,
    Order,
    Par,
    Reduce,
    Rename,
    Residual,
    Route,
    Seq,
    Split,
    Term,
    Weight,
    Window,
    contract,
    copy,
    gain,
    identity,
    layer_norm,
    linear,
    par,
    permute,
    seq,
)
from wheatstone.domains.diagrams.types import Axis, Size, quotient, size_of, symbol

if TYPE_CHECKING:
    from torch import Tensor


def relu() -> Elementwise:
    return Elementwise("relu")


def mlp(*widths: str, prefix: str = "", classify: bool = False) -> Block:
    """Learned maps between these axes with relu between them, as nn.Sequential numbers them; softmax at the end."""
    parts: list[Term] = []
    for number, (source, target) in enumerate(itertools.pairwise(widths)):
        parts.append(linear(f"{source} -> {target}", f"{prefix}{2 * number}"))
        if number < len(widths) - 2:
            parts.append(relu())
    if classify:
        parts.append(Reduce("softmax", (widths[-1],)))
    return Block("recogniser" if classify else "feed-forward", Seq(tuple(parts)))


def scaled_attention() -> Block:
    """softmax(q k / sqrt(k)) v: (y k, x k, x k) -> (y k)."""
    body = Seq(
        (
            contract("y k, x k -> y x"),
            Elementwise("scale", 1, 1 / sympy.sqrt(symbol("k"))),
            Reduce("softmax", ("x",)),
            contract("y x, x k -> y k"),
        ),
        rest=True,
    )
    return Block("attention", body)


def multi_head_attention(
    prefix: str = "", *, query: str = "y", key: str = "x", width: int | None = None, causal: bool = False
) -> Block:
    """nn.MultiheadAttention on (query m, key m), heads h of width k; `width` (m) cuts its packed weights in three."""

    def heads(name: str, place: int) -> Term:
        rows = None if width is None else (place * width, (place + 1) * width)
        matrix = Weight(f"{prefix}in_proj_weight", stored="(h k) m", rows=rows, label=name)
        vector = Weight(f"{prefix}in_proj_bias", stored="(h k)", rows=rows)
        if width is None:
            matrix, vector = (
                Weight(f"{prefix}{name}.weight", stored="(h k) m"),
                Weight(f"{prefix}{name}.bias", stored="(h k)"),
            )
        made = Map(("m",), (Axis("h", symbol("h")), Axis("k", symbol("k"))), matrix)
        return seq(made, Bias(("h", "k"), vector))

    scores = contract(f"{query} h k, {key} h k -> h {query} {key}")
    scale = Elementwise("scale", 1, 1 / sympy.sqrt(symbol("k")))
    weigh = seq(scale, *([Mask(query, key)] if causal else []), Reduce("softmax", (key,)))
    out = Map(("h", "k"), (Axis("m", symbol("m")),), Weight(f"{prefix}out_proj.weight", stored="m (h k)"))
    body = seq(
        par(identity(), copy()),
        par(heads("q", 0), heads("k", 1), heads("v", 2)),
        par(scores, identity()),
        par(weigh, identity()),
        contract(f"h {query} {key}, {key} h k -> {query} h k"),
        out,
        Bias(("m",), Weight(f"{prefix}out_proj.bias")),
    )
    return Block("multi-head attention", body)


def self_attention(prefix: str, axis: str, key: str, *, width: int | None = None, causal: bool = False) -> Term:
    """Every index of `axis` asks, and every one is asked under the name `key`."""
    within = multi_head_attention(prefix, query=axis, key=key, width=width, causal=causal)
    return seq(copy(), par(identity(), Rename(axis, key)), within)


def feed_forward(prefix: str = "") -> Block:
    """m -> f -> m with relu, weights linear1 and linear2."""
    return Block(
        "feed-forward", seq(linear("m -> f", f"{prefix}linear1"), relu(), linear("f -> m", f"{prefix}linear2"))
    )


def encoder_layer(prefix: str = "", axis: str = "t", *, width: int | None = None) -> Block:
    """nn.TransformerEncoderLayer (post-norm, relu): `axis` m -> `axis` m."""
    body = seq(
        Residual(self_attention(f"{prefix}self_attn.", axis, f"{axis}'", width=width)),
        layer_norm("m", f"{prefix}norm1"),
        Residual(feed_forward(prefix)),
        layer_norm("m", f"{prefix}norm2"),
    )
    return Block("encoder layer", body)


def decoder_layer(prefix: str = "", *, width: int | None = None) -> Block:
    """nn.TransformerDecoderLayer (post-norm, relu, causal): (y m, x m) -> (y m)."""
    body = seq(
        par(Residual(self_attention(f"{prefix}self_attn.", "y", "y'", width=width, causal=True)), identity()),
        par(layer_norm("m", f"{prefix}norm1"), identity()),
        Residual(multi_head_attention(f"{prefix}multihead_attn.", query="y", key="x", width=width)),
        layer_norm("m", f"{prefix}norm2"),
        Residual(feed_forward(prefix)),
        layer_norm("m", f"{prefix}norm3"),
    )
    return Block("decoder layer", body)


def encoder_decoder(width: int | None = None) -> Seq:
    """One encoder and one decoder layer: (x m, y m) -> (y m)."""
    encoder = encoder_layer("encoder.", "x", width=width)
    return seq(par(encoder, identity()), permute(1, 0), decoder_layer("decoder.", width=width))


def conv(
    source: str,
    target: str,
    name: str,
    *,
    axes: tuple[str, ...] = ("y", "x"),
    kernel: int | str = 3,
    stride: int = 1,
    dilation: int = 1,
    padding: int = 0,
    groups: int = 1,
    bias: bool = True,
    out: Size | str | None = None,
) -> Block:
    """A convolution from the channels `source` to `target` (size `out`, or its name): windows and a learned map.

    Windows at the end that the stride leaves out are dropped, as torch does.
    """
    taps = tuple(f"w{axis}" for axis in axes)
    width = size_of(kernel)
    parts: list[Term] = [
        Window(axis, tap, width, stride, dilation, padding, exact=False) for axis, tap in zip(axes, taps, strict=True)
    ]
    size = size_of(target if out is None else out)
    if groups == 1:
        matrix = Map((source, *taps), (Axis(target, size),), Weight(f"{name}.weight"))
        parts.append(matrix)
    else:
        parts.append(Split(source, (Axis("g", groups), Axis("i", quotient(symbol(source), groups)))))
        order = ("g", "o", "i", *taps)
        weight = Weight(f"{name}.weight", stored=f"(g o) i {' '.join(taps)}")
        parts.append(Map(("i", *taps), (Axis("o", quotient(size, groups)),), weight, order, ("g",)))
        parts.append(Merge(("g", "o"), target))
    if bias:
        parts.append(Bias((target,), Weight(f"{name}.bias")))
    shape = " x ".join([str(kernel)] * len(axes))
    details = [f"/{stride}" if stride > 1 else "", f"dilation {dilation}" if dilation > 1 else ""]
    details.append(f"{groups} groups" if groups > 1 else "")
    return Block(" ".join(word for word in (f"conv {shape}", *details) if word), Seq(tuple(parts)))


def batch_norm(axis: str, name: str) -> Block:
    """Batch norm at rest: its running mean and variance are fixed, gain and bias are learned.

    The fixed parts are `name`.shift (minus the mean) and `name`.rate (one over the deviation); `at_rest` makes them.
    """
    body = seq(
        Bias((axis,), Weight(f"{name}.shift", "fixed")),
        gain(axis, f"{name}.rate", "fixed"),
        gain(axis, f"{name}.weight"),
        Bias((axis,), Weight(f"{name}.bias")),
    )
    return Block("batch norm", body)


def res_block(channels: str, prefix: str, *, stride: int = 1, widen: str | None = None) -> Block:
    """A bottleneck of the identity ResNet: 1 x 1, 3 x 3, 1 x 1 on a quarter of the channels, added to what came in.

    `widen` is the channel axis that comes out where it is another one; then what is added is mapped too.
    """
    target = widen or channels
    quarter = quotient(size_of(target), 4)
    body = seq(
        conv(channels, "a", f"{prefix}conv1", kernel=1, bias=False, out=quarter),
        batch_norm("a", f"{prefix}bn1"),
        relu(),
        conv("a", "b", f"{prefix}conv2", kernel=3, stride=stride, padding=1, bias=False, out=quarter),
        batch_norm("b", f"{prefix}bn2"),
        relu(),
        conv("b", "o", f"{prefix}conv3", kernel=1, bias=False, out=target),
        batch_norm("o", f"{prefix}bn3"),
        Rename("o", target),
    )
    if widen is None and stride == 1:
        return Block("residual block", seq(Residual(body), relu()))
    skip = seq(
        conv(channels, "o", f"{prefix}down", kernel=1, stride=stride, bias=False, out=target),
        batch_norm("o", f"{prefix}downbn"),
        Rename("o", target),
    )
    return Block("residual block", seq(copy(), par(skip, body), Elementwise("add", 2), relu()))


def resnet() -> Seq:
    """The identity ResNet: stem, three stages that widen and halve, mean over the picture, classes."""
    return seq(
        conv("c", "p", "stem", kernel=3, padding=1, bias=False),
        batch_norm("p", "stembn"),
        relu(),
        res_block("p", "stages.0.0.", widen="q"),
        res_block("q", "stages.0.1."),
        res_block("q", "stages.1.0.", stride=2, widen="r"),
        res_block("r", "stages.1.1."),
        res_block("r", "stages.2.0.", stride=2, widen="s"),
        Reduce("mean", ("y", "x")),
        linear("s -> o", "head"),
    )


def double_conv(source: str, target: str, prefix: str) -> Block:
    """Two convolutions of the U-Net: its notebook's own code gives the second one the first one's input channels."""
    body = seq(
        conv(source, "d", f"{prefix}0", padding=1, out=target),
        relu(),
        conv("d", target, f"{prefix}2", padding=1),
        relu(),
    )
    return Block("double conv", body)


def max_pool(axes: tuple[str, ...] = ("y", "x"), width: int = 2) -> Seq:
    """The largest of each window."""
    taps = tuple(f"w{axis}" for axis in axes)
    windows = [Window(axis, tap, width, width, exact=True) for axis, tap in zip(axes, taps, strict=True)]
    return seq(*windows, Reduce("max", taps))


def up_conv(source: str, target: str, name: str, axes: tuple[str, ...] = ("y", "x"), width: int = 2) -> Block:
    """nn.ConvTranspose2d with kernel and stride `width`: a learned map to windows, and their fold."""
    taps = tuple(f"w{axis}" for axis in axes)
    made = (Axis(target, size_of(target)), *(Axis(tap, width) for tap in taps))
    folds = [Fold(axis, tap, width) for axis, tap in zip(axes, taps, strict=True)]
    grow = Map((source,), made, Weight(f"{name}.weight"), (source, target, *taps))
    return Block(f"up {width} x {width}", seq(grow, *folds, Bias((target,), Weight(f"{name}.bias"))))


def unet(levels: tuple[str, ...] = ("p", "q", "r")) -> Seq:
    """A U-Net with skips that are concatenated, `levels` its channels from top to bottom."""

    def level(at: int, source: str) -> Term:
        here = double_conv(source, levels[at], f"down.{at}.")
        if at == len(levels) - 1:
            return here
        below = seq(max_pool(), level(at + 1, levels[at]), up_conv(levels[at + 1], levels[at], f"up.{at}"))
        join = seq(Cat(levels[at]), Rename(levels[at], "e"), double_conv("e", levels[at], f"join.{at}."))
        return seq(here, copy(), par(identity(), below), join)

    return seq(level(0, "c"), conv(levels[0], "o", "head", kernel=1))


def vision_transformer(patch: int, *, width: int | None = None, layers: int = 2) -> Seq:
    """ViT: patches as tokens, learned places, encoder layers, mean over tokens, classes: c y x -> o."""
    taps = ("wy", "wx")
    windows = [Window(axis, tap, patch, patch) for axis, tap in zip(("y", "x"), taps, strict=True)]
    embed = Map(("c", *taps), (Axis("m", symbol("m")),), Weight("patch.weight"))
    flat = (Merge(("y", "x"), "t"), Order(("t", "m")))
    stack = [encoder_layer(f"layers.{at}.", "t", width=width) for at in range(layers)]
    return seq(
        Block("patches", seq(*windows, embed, Bias(("m",), Weight("patch.bias")), *flat)),
        Bias(("t", "m"), Weight("places")),
        *stack,
        Reduce("mean", ("t",)),
        linear("m -> o", "head"),
    )


def visual_attention(kernel: int = 3) -> Block:
    """Attention over places of a picture whose learned maps are convolutions: c y x -> d y x."""

    def look(name: str, to: tuple[str, str, str]) -> Term:
        channel, row, column = to
        made: list[Term] = [conv("c", channel, name, kernel=kernel, padding=kernel // 2, out="d")]
        made += [Rename("y", row)] if row != "y" else []
        made += [Rename("x", column)] if column != "x" else []
        made += [Rename(channel, "d")] if channel != "d" else []
        return seq(*made)

    body = seq(
        Route(1, (0, 0, 0)),
        par(look("q", ("d", "y", "x")), look("k", ("d", "v", "u")), look("v", ("d", "v", "u"))),
        Par((contract("d y x, d v u -> y x v u"), identity())),
        Par((seq(Elementwise("scale", 1, 1 / sympy.sqrt(symbol("d"))), Reduce("softmax", ("v", "u"))), identity())),
        contract("y x v u, d v u -> d y x"),
    )
    return Block("visual attention", body)


def at_rest(state: Mapping[str, Tensor], eps: float = 1e-5) -> dict[str, Tensor]:
    """A state with the fixed parts of its batch norms: minus the running mean, and one over the deviation."""
    made = dict(state)
    for name, value in state.items():
        if name.endswith("running_mean"):
            made[name.replace("running_mean", "shift")] = -value
        if name.endswith("running_var"):
            made[name.replace("running_var", "rate")] = (value + eps).rsqrt()
    return made

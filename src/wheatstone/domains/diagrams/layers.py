"""torch's layers as terms on arrays of given types: what `from_torch` puts in the place of each module."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from torch import nn

from wheatstone.domains.diagrams.architectures import feed_forward, self_attention
from wheatstone.domains.diagrams.program import with_sizes
from wheatstone.domains.diagrams.terms import (
    Bias,
    Block,
    Contract,
    Elementwise,
    Embed,
    Fold,
    Lift,
    Map,
    Mask,
    Merge,
    Reduce,
    Rename,
    Residual,
    Seq,
    Split,
    Spread,
    Term,
    Weight,
    Window,
    gain,
    layer_norm,
    seq,
)
from wheatstone.domains.diagrams.types import Array, Axis, Size

Fresh = Callable[[str], str]
ACTIVATIONS: Mapping[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.SiLU: "silu",
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
}


def of_module(part: nn.Module, path: str, arrays: Sequence[Array], fresh: Fresh) -> Term:
    """The term of a layer on these arrays. Raises ValueError for a layer, or a form of one, that is not known."""
    array = arrays[0]
    match part:
        case nn.Linear():
            return _linear(part, path, array, fresh)
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
            return _conv(part, path, array, fresh)
        case nn.ConvTranspose1d() | nn.ConvTranspose2d():
            return _conv_transposed(part, path, array, fresh)
        case nn.LayerNorm():
            return _layer_norm(part, path, array)
        case nn.RMSNorm():
            over = array.names[-len(part.normalized_shape) :]
            eps = 1.1920928955078125e-07 if part.eps is None else part.eps
            norm = Reduce("rms", over, eps)
            return seq(norm, Map((), (), Weight(f"{path}.weight"), batch=over)) if part.elementwise_affine else norm
        case nn.BatchNorm1d() | nn.BatchNorm2d() | nn.BatchNorm3d():
            if not part.affine or not part.track_running_stats:
                raise ValueError("a batch norm without weights or running statistics")
            return _batch_norm(path, array.names[1])
        case nn.GELU():
            return Elementwise("gelu_tanh" if part.approximate == "tanh" else "gelu")
        case nn.Softmax():
            return Reduce("softmax", (array.names[cast(int, part.dim)],))
        case nn.Embedding():
            return Embed(part.num_embeddings, Axis(fresh("m"), part.embedding_dim), Weight(f"{path}.weight"))
        case nn.MaxPool1d() | nn.MaxPool2d():
            options = {"stride": part.stride, "padding": part.padding, "dilation": part.dilation}
            return pool("max", array, (None, part.kernel_size), {**options, "ceil_mode": part.ceil_mode}, fresh)
        case nn.AvgPool1d() | nn.AvgPool2d():
            options = {"stride": part.stride, "padding": part.padding, "ceil_mode": part.ceil_mode}
            return pool("mean", array, (None, part.kernel_size), options, fresh)
        case nn.AdaptiveAvgPool1d() | nn.AdaptiveAvgPool2d():
            if part.output_size not in (1, (1,), (1, 1)):
                raise ValueError("a mean over parts of a picture")
            return whole_mean(array, fresh)
        case nn.GroupNorm():
            return _group_norm(part, path, array, fresh)
        case nn.TransformerEncoderLayer():
            return _encoder_layer(part, path, array, fresh)
        case _:
            if type(part) in ACTIVATIONS:
                return Elementwise(ACTIVATIONS[type(part)])
            raise ValueError(f"{type(part).__name__} is not known")


def _linear(part: nn.Linear, path: str, array: Array, fresh: Fresh) -> Term:
    target = Axis(fresh(array.names[-1]), part.out_features)
    matrix = Map((array.names[-1],), (target,), Weight(f"{path}.weight"))
    return seq(matrix, Bias((target.name,), Weight(f"{path}.bias"))) if has_bias(part) else matrix


def has_bias(part: nn.Module) -> bool:
    """Whether a layer adds something; torch's types say that each does."""
    return getattr(part, "bias", None) is not None


def _layer_norm(part: nn.LayerNorm, path: str, array: Array) -> Term:
    over = array.names[-len(part.normalized_shape) :]
    parts: list[Term] = [Reduce("normalise", over, part.eps)]
    if part.elementwise_affine:
        parts.append(gain(" ".join(over), f"{path}.weight"))
        parts += [Bias(over, Weight(f"{path}.bias"))] if has_bias(part) else []
    return Seq(tuple(parts))


def whole_mean(array: Array, fresh: Fresh) -> Term:
    """The mean over every axis behind the channels, each kept with size 1."""
    axes = array.names[2:]
    return seq(Reduce("mean", axes), *(Spread(Axis(fresh("one"), 1)) for _ in axes))


def _group_norm(part: nn.GroupNorm, path: str, array: Array, fresh: Fresh) -> Term:
    channel, group, inner = array.names[1], fresh("g"), fresh("i")
    split = Split(channel, (Axis(group, part.num_groups), Axis(inner, part.num_channels // part.num_groups)))
    norm = Reduce("normalise", (inner, *array.names[2:]), part.eps)
    parts: list[Term] = [split, norm, Merge((group, inner), channel)]
    if part.affine:
        parts += [gain(channel, f"{path}.weight"), Bias((channel,), Weight(f"{path}.bias"))]
    return Block("group norm", Seq(tuple(parts)))


def _batch_norm(path: str, axis: str) -> Term:
    shift, rate = Weight(f"{path}.shift", "fixed"), Weight(f"{path}.rate", "fixed")
    body = (Bias((axis,), shift), Map((), (), rate, batch=(axis,)))
    learned = (Map((), (), Weight(f"{path}.weight"), batch=(axis,)), Bias((axis,), Weight(f"{path}.bias")))
    return Block("batch norm", seq(*body, *learned))


def _each(value: Any, count: int) -> tuple[int, ...]:
    return tuple(int(one) for one in value) if isinstance(value, tuple | list) else (int(value),) * count


def _conv(part: Any, path: str, array: Array, fresh: Fresh) -> Term:
    axes = array.names[2:]
    if part.padding_mode != "zeros" or isinstance(part.padding, str):
        raise ValueError("padding other than zeros of a given width")
    channel, taps = array.names[1], tuple(fresh("w") for _ in axes)
    shapes = zip(axes, taps, part.kernel_size, part.stride, part.dilation, part.padding, strict=True)
    parts: list[Term] = [Window(axis, tap, *(int(one) for one in rest), exact=False) for axis, tap, *rest in shapes]
    target = Axis(fresh(channel), part.out_channels)
    if part.groups == 1:
        parts.append(Map((channel, *taps), (target,), Weight(f"{path}.weight")))
    else:
        group, inner, outer = fresh("g"), fresh("i"), fresh("o")
        parts.append(Split(channel, (Axis(group, part.groups), Axis(inner, part.in_channels // part.groups))))
        weight = Weight(f"{path}.weight", stored=f"({group} {outer}) {inner} {' '.join(taps)}")
        made = Axis(outer, part.out_channels // part.groups)
        parts.append(Map((inner, *taps), (made,), weight, (group, outer, inner, *taps), (group,)))
        parts.append(Merge((group, outer), target.name))
    if part.bias is not None:
        parts.append(Bias((target.name,), Weight(f"{path}.bias")))
    shape = " x ".join(map(str, part.kernel_size))
    stride = f" /{part.stride[0]}" if part.stride[0] > 1 else ""
    return Block(f"conv {shape}{stride}", Seq(tuple(parts)))


def _conv_transposed(part: Any, path: str, array: Array, fresh: Fresh) -> Term:
    axes = array.names[2:]
    if part.groups != 1 or any(part.output_padding):
        raise ValueError("groups or output padding")
    channel, taps = array.names[1], tuple(fresh("w") for _ in axes)
    target = Axis(fresh(channel), part.out_channels)
    made = (target, *(Axis(tap, int(size)) for tap, size in zip(taps, part.kernel_size, strict=True)))
    grow = Map((channel,), made, Weight(f"{path}.weight"), (channel, target.name, *taps))
    shapes = zip(axes, taps, part.stride, part.dilation, part.padding, strict=True)
    folds = [Fold(axis, tap, *(int(one) for one in rest)) for axis, tap, *rest in shapes]
    bias = [Bias((target.name,), Weight(f"{path}.bias"))] if part.bias is not None else []
    return Block(f"up {' x '.join(map(str, part.kernel_size))}", seq(grow, *folds, *bias))


def pool(kind: str, array: Array, args: Sequence[Any], options: Mapping[str, Any], fresh: Fresh) -> Term:
    """Windows of the last axes and their largest or mean entry. `args`: the array, the width, the stride, ..."""
    width = args[1] if len(args) > 1 else options["kernel_size"]
    axes = array.names[2:]
    stride = args[2] if len(args) > 2 else options.get("stride")
    padding = args[3] if len(args) > 3 else options.get("padding", 0)
    if options.get("ceil_mode") or (kind == "mean" and padding not in (0, (0,), (0, 0))):
        raise ValueError("a pool that counts its padding")
    widths = _each(width, len(axes))
    strides = widths if stride is None else _each(stride, len(axes))
    apart, pads = _each(options.get("dilation", 1), len(axes)), _each(padding, len(axes))
    taps = tuple(fresh("w") for _ in axes)
    fill = float("-inf") if kind == "max" else 0.0
    shapes = zip(axes, taps, widths, strides, apart, pads, strict=True)
    windows = [Window(axis, tap, *rest, fill=fill, exact=False) for axis, tap, *rest in shapes]
    return Block(f"{kind} pool", seq(*windows, Reduce(kind, taps)))


def _encoder_layer(part: nn.TransformerEncoderLayer, path: str, array: Array, fresh: Fresh) -> Term:
    """nn.TransformerEncoderLayer on (batch, position, feature): its parts, lifted over the batch."""
    if not part.self_attn.batch_first or len(array.axes) != 3 or part.activation_relu_or_gelu != 1:
        raise ValueError("a layer with the batch second, or without relu")
    batch, position, feature = array.names
    heads = part.self_attn.num_heads
    key = fresh("x")
    width = part.self_attn.embed_dim
    attend = seq(self_attention(f"{path}.self_attn.", position, key, width=width))
    norms = [layer_norm("m", f"{path}.norm{number}", part.norm1.eps) for number in (1, 2)]
    forward = feed_forward(f"{path}.")
    if part.norm_first:
        body = seq(Residual(seq(norms[0], attend)), Residual(seq(norms[1], forward)))
    else:
        body = seq(Residual(attend), norms[0], Residual(forward), norms[1])
    sized = with_sizes(body, {"h": heads, "k": width // heads, "m": width, "f": part.linear1.out_features})
    renamed = seq(Rename(feature, "m"), sized, Rename("m", feature)) if feature != "m" else sized
    return Block("encoder layer", Lift(renamed, batch))


def attend(batch: Sequence[str], query: str, key: str, feature: str, value: str, width: Size, is_causal: bool) -> Term:
    """softmax(q k / sqrt(d)) v on arrays with these axes."""
    weights = (*batch, query, key)
    scores = Contract(((*batch, query, feature), (*batch, key, feature)), weights)
    mask = [Mask(query, key)] if is_causal else []
    read = Contract((weights, (*batch, key, value)), (*batch, query, value))
    scale = Elementwise("scale", 1, float(cast(int, width)) ** -0.5)
    return Block("attention", Seq((scores, scale, *mask, Reduce("softmax", (key,)), read), rest=True))

"""The architectures twice: as a diagram, and as torch's own layers or a plain module, which share no code.

Sizes are drawn so that no two axes have the same one, where the architecture allows: a transposition then cannot hide.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wheatstone.domains.diagrams import architectures as draw
from wheatstone.domains.diagrams.terms import Term
from wheatstone.domains.diagrams.types import Obj, obj

Run = Callable[..., Tensor]


@dataclass(frozen=True)
class Case:
    """A diagram with its sizes, and the torch code that it is compared with on the same weights."""

    name: str
    term: Term
    domain: Obj
    sizes: Mapping[str, int]
    module: nn.Module
    run: Run
    """The module on the diagram's own inputs, giving the diagram's own output."""
    state: Callable[[nn.Module], Mapping[str, Tensor]] = lambda module: module.state_dict()


class Recogniser(nn.Module):
    """Two hidden layers and a softmax over classes, which the notebook's own code returns as a module."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (source, target) in enumerate(itertools.pairwise(widths)):
            layers += [nn.Linear(source, target)] + ([nn.ReLU()] if number < len(widths) - 2 else [])
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(self.layers(x), -1)


class Bottleneck(nn.Module):
    """A residual block: weights of its own for every one, which `[block] * N` would not give."""

    def __init__(self, source: int, target: int, stride: int) -> None:
        super().__init__()
        inner = target // 4
        self.conv1, self.bn1 = nn.Conv2d(source, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, target, 1, bias=False), nn.BatchNorm2d(target)
        self.is_wider = source != target or stride > 1
        if self.is_wider:
            self.down, self.downbn = nn.Conv2d(source, target, 1, stride, bias=False), nn.BatchNorm2d(target)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y)).relu()
        y = self.bn3(self.conv3(y))
        return (y + (self.downbn(self.down(x)) if self.is_wider else x)).relu()


class ResNet(nn.Module):
    """Stem, stages, mean, classes."""

    def __init__(self, c: int, p: int, q: int, r: int, s: int, o: int) -> None:
        super().__init__()
        self.stem, self.stembn = nn.Conv2d(c, p, 3, 1, 1, bias=False), nn.BatchNorm2d(p)
        self.stages = nn.Sequential(
            nn.Sequential(Bottleneck(p, q, 1), Bottleneck(q, q, 1)),
            nn.Sequential(Bottleneck(q, r, 2), Bottleneck(r, r, 1)),
            nn.Sequential(Bottleneck(r, s, 2)),
        )
        self.head = nn.Linear(s, o)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stembn(self.stem(x)).relu()).mean((-1, -2)))


def _twice(source: int, target: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(source, target, 3, padding=1), nn.ReLU(), nn.Conv2d(target, target, 3, padding=1), nn.ReLU()
    )


class UNet(nn.Module):
    """Three levels with skips that are concatenated; every part is a registered module."""

    def __init__(self, c: int, widths: tuple[int, ...], o: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(_twice(*pair) for pair in itertools.pairwise((c, *widths)))
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in itertools.pairwise(widths))
        self.join = nn.ModuleList(_twice(2 * a, a) for a in widths[:-1])
        self.head = nn.Conv2d(widths[0], o, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for level, down in enumerate(self.down):
            x = down(x if level == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        for level in range(len(self.up) - 1, -1, -1):
            x = self.join[level](torch.cat((skips[level], self.up[level](x)), 1))
        return self.head(x)


class ViT(nn.Module):
    """Patches, places, encoder layers, mean, classes."""

    def __init__(self, c: int, m: int, h: int, f: int, patch: int, tokens: int, layers: int, o: int) -> None:
        super().__init__()
        self.patch = nn.Conv2d(c, m, patch, patch)
        self.places = nn.Parameter(torch.randn(tokens, m))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(m, h, f, dropout=0.0, batch_first=True) for _ in range(layers)
        )
        self.head = nn.Linear(m, o)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(-2).transpose(-1, -2) + self.places
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean(-2))


class EncoderDecoder(nn.Module):
    """One encoder layer and one causal decoder layer of torch."""

    def __init__(self, m: int, h: int, f: int) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(m, h, f, dropout=0.0, batch_first=True)
        self.decoder = nn.TransformerDecoderLayer(m, h, f, dropout=0.0, batch_first=True)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        ahead = torch.ones(y.shape[0], y.shape[0], dtype=torch.bool).triu(1)
        return self.decoder(y[None], self.encoder(x[None]), tgt_mask=ahead)[0]


class VisualAttention(nn.Module):
    """Attention over the places of a picture with convolutions in the place of learned maps."""

    def __init__(self, c: int, d: int, kernel: int) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Conv2d(c, d, kernel, padding=kernel // 2) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part(x[None]).flatten(2).transpose(1, 2) for part in (self.q, self.k, self.v))
        return F.scaled_dot_product_attention(q, k, v)[0].T.unflatten(1, x.shape[1:])


def cases(rng: np.random.Generator, *, only: tuple[str, ...] = ()) -> list[Case]:
    """Every architecture at sizes drawn from `rng`, all of them distinct within one."""
    return [make(rng) for name, make in MAKERS.items() if not only or name in only]


def _distinct(rng: np.random.Generator, names: str, low: int, high: int) -> dict[str, int]:
    """A size of its own for each name."""
    words = names.split()
    return dict(zip(words, (int(size) for size in rng.permutation(np.arange(low, high))[: len(words)]), strict=True))


def _mlp(rng: np.random.Generator) -> Case:
    s = _distinct(rng, "n i a b o", 2, 30)
    module = Recogniser((s["i"], s["a"], s["b"], s["o"]))
    term = draw.mlp("i", "a", "b", "o", prefix="layers.", classify=True)
    return Case("mlp", term, obj("n i"), s, module, module)


def _sdpa(rng: np.random.Generator) -> Case:
    s = _distinct(rng, "y x k", 2, 24)
    return Case(
        "attention", draw.scaled_attention(), obj("y k, x k, x k"), s, nn.Module(), F.scaled_dot_product_attention
    )


def _heads(rng: np.random.Generator) -> dict[str, int]:
    s = _distinct(rng, "h k", 2, 6)
    m = s["h"] * s["k"]
    free = [size for size in range(2, 24) if size not in (m, *s.values())]
    y, x, f = (int(size) for size in rng.permutation(free)[:3])
    return {**s, "m": m, "y": y, "x": x, "t": x, "f": f}


def _mha(rng: np.random.Generator) -> Case:
    s = _heads(rng)
    module = nn.MultiheadAttention(s["m"], s["h"], batch_first=True)

    def run(y: Tensor, x: Tensor) -> Tensor:
        return module(y[None], x[None], x[None], need_weights=False)[0][0]

    term = draw.multi_head_attention(width=s["m"])
    return Case("multi-head", term, obj("y m, x m"), s, module, run)


def _layers(rng: np.random.Generator) -> Case:
    s = _heads(rng)
    module = EncoderDecoder(s["m"], s["h"], s["f"])
    return Case("transformer", draw.encoder_decoder(s["m"]), obj("x m, y m"), s, module, module)


def _conv(name: str, axes: tuple[str, ...]) -> Callable[[np.random.Generator], Case]:
    kind = {1: nn.Conv1d, 2: nn.Conv2d}[len(axes)]

    def make(rng: np.random.Generator) -> Case:
        groups = int(rng.choice([1, 2, 3]))
        inner, outer = (int(size) for size in rng.permutation([1, 2, 3, 4])[:2])
        sizes = {"n": 2, "c": groups * inner, "d": groups * outer, **_distinct(rng, " ".join(axes), 9, 16)}
        kernel, stride, dilation, padding = (int(rng.integers(1, high)) for high in (4, 4, 3, 3))
        module = nn.Sequential(kind(sizes["c"], sizes["d"], kernel, stride, padding, dilation, groups))
        term = draw.conv(
            "c",
            "d",
            "0",
            axes=axes,
            kernel=kernel,
            stride=stride,
            dilation=dilation,
            padding=padding,
            groups=groups,
        )
        return Case(name, term, obj(f"n c {' '.join(axes)}"), sizes, module, module)

    return make


def _at_rest(module: nn.Module) -> Mapping[str, Tensor]:
    return draw.at_rest(module.state_dict())


def _resnet(rng: np.random.Generator) -> Case:
    p, q, r, s = (4 * int(size) for size in rng.permutation(np.arange(1, 7))[:4])
    y, x = (int(size) for size in rng.permutation([9, 10, 11, 13])[:2])
    module = ResNet(3, p, q, r, s, 7)
    _stir(module)
    sizes = {"n": 2, "c": 3, "p": p, "q": q, "r": r, "s": s, "o": 7, "y": y, "x": x}
    return Case("resnet", draw.resnet(), obj("n c y x"), sizes, module.eval(), module, _at_rest)


def _stir(module: nn.Module) -> None:
    """Running statistics away from zero and one, where a mistake in them would not show."""
    generator = torch.Generator().manual_seed(5)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.normal_(0, 0.5, generator=generator)
            part.running_var.uniform_(0.5, 2, generator=generator)


def _unet(rng: np.random.Generator) -> Case:
    p, q, r = (int(size) for size in rng.permutation(np.arange(2, 8))[:3])
    module = UNet(3, (p, q, r), 5)
    sizes = {"n": 2, "c": 3, "p": p, "q": q, "r": r, "o": 5, "y": 8, "x": 12}
    return Case("unet", draw.unet(), obj("n c y x"), sizes, module, module)


def _vit(rng: np.random.Generator) -> Case:
    s = _heads(rng)
    patch = int(rng.integers(2, 4))
    y, x = 3 * patch, 4 * patch
    module = ViT(3, s["m"], s["h"], s["f"], patch, 12, 2, 7)
    sizes = {"c": 3, "o": 7, "y": y, "x": x, "m": s["m"], "h": s["h"], "k": s["k"], "f": s["f"]}
    term = draw.vision_transformer(patch, width=s["m"])

    def run(picture: Tensor) -> Tensor:
        return module(picture[None])[0]

    return Case("vit", term, obj("c y x"), sizes, module, run)


def _visual(rng: np.random.Generator) -> Case:
    s = _distinct(rng, "c d y x", 2, 9)
    module = VisualAttention(s["c"], s["d"], 3)
    return Case("visual attention", draw.visual_attention(), obj("c y x"), s, module, module)


MAKERS: Mapping[str, Callable[[np.random.Generator], Case]] = {
    "mlp": _mlp,
    "attention": _sdpa,
    "multi-head": _mha,
    "transformer": _layers,
    "conv1d": _conv("conv1d", ("x",)),
    "conv2d": _conv("conv2d", ("y", "x")),
    "resnet": _resnet,
    "unet": _unet,
    "vit": _vit,
    "visual attention": _visual,
}
"""Nine architectures, attention over pictures in two forms."""

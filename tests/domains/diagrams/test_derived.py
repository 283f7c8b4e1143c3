"""What is made of a checked term: derivative, cost, orders, code, a term again, drawings, torch modules."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wheatstone.bench.draw import diagram_svg
from wheatstone.bench.errors import UserError
from wheatstone.domains.diagrams import architectures as arch
from wheatstone.domains.diagrams.architectures import at_rest
from wheatstone.domains.diagrams.backward import backward
from wheatstone.domains.diagrams.cost import cost, evaluate
from wheatstone.domains.diagrams.drawing import draw, draw_program
from wheatstone.domains.diagrams.from_torch import from_torch
from wheatstone.domains.diagrams.laws import Source
from wheatstone.domains.diagrams.network import TORCH, Network, compile_torch, execute
from wheatstone.domains.diagrams.program import check
from wheatstone.domains.diagrams.rewrite import best_tree, rewrite, work_of
from wheatstone.domains.diagrams.source import source
from wheatstone.domains.diagrams.terming import to_term
from wheatstone.domains.diagrams.terms import Elementwise, Reduce, Repeat, Seq, contract
from wheatstone.domains.diagrams.types import Array, Axis, DiagramError, obj

DOUBLE = torch.float64


@pytest.mark.parametrize("seed", range(40))
def test_the_derived_program_is_autograd(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = Source(rng)
    given = made.object(3)
    program = check(made.term(given, 3), given)
    network = Network(program, dtype=DOUBLE)
    generator = torch.Generator().manual_seed(seed)
    inputs = [torch.randn(one.shape(), dtype=DOUBLE, generator=generator, requires_grad=True) for one in program.domain]
    found = network(*inputs)
    outputs = list(found) if isinstance(found, tuple) else [found]
    seeds = [torch.randn(one.shape, dtype=DOUBLE, generator=generator) for one in outputs]
    torch.autograd.backward(outputs, seeds)
    if any(one.grad is None for one in network.parameters()):
        with pytest.raises(DiagramError, match="reaches no output"):
            backward(program)
        return
    derived = backward(program)
    weights = {name: network.value_of(name).detach() for name in program.weights}
    values = execute(derived.program, TORCH, [*(one.detach() for one in inputs), *seeds], weights)
    own = [torch.zeros_like(one) if one.grad is None else one.grad for one in inputs]
    expected = [*(own[at] for at in derived.inputs), *(network.gradients()[name] for name in derived.weights)]
    for one, other in zip(values, expected, strict=True):
        assert (one - other).abs().max() <= 1e-9 if one.numel() else True
    again = execute(check(to_term(derived.program), derived.program.domain), TORCH, [*inputs, *seeds], weights)
    assert all(torch.equal(one, other) for one, other in zip(values, again, strict=True))


def test_costs_are_polynomials() -> None:
    found = cost(check(arch.scaled_attention(), obj("y k, x k, x k")))
    assert str(found.flops) == "4*k*x*y"
    assert evaluate(found.flops, y=2, x=3, k=5) == 120
    assert found.peak is None
    with pytest.raises(ValueError, match="needs the sizes"):
        evaluate(found.flops, y=2)
    sized = cost(check(arch.scaled_attention(), obj("y k, x k, x k"), {"y": 2, "x": 3, "k": 5}))
    assert sized.peak == 10 + 15 + 15 + 6, "queries and keys are let go once there are scores"


def test_attention_without_softmax_is_linear_in_its_length() -> None:
    parts = (contract("y k, x k -> y x"), Elementwise("scale", 1, 0.5), contract("y x, x j -> y j"))
    domain = obj("y k, x k, x j", y=1024, x=1024, k=64, j=64)
    made = rewrite(check(Seq(parts, rest=True), domain))
    assert made.gain == 16
    soft = rewrite(check(Seq((*parts[:2], Reduce("softmax", ("x",)), parts[2]), rest=True), domain))
    assert soft.gain == 1
    generator = torch.Generator().manual_seed(0)
    given = [torch.randn(one.shape(), dtype=DOUBLE, generator=generator) for one in domain]
    (before,), (after,) = (execute(one, TORCH, given, {}) for one in (made.before, made.after))
    assert (before - after).abs().max() < 1e-9
    with pytest.raises(ValueError, match="needs the sizes"):
        rewrite(check(Seq(parts, rest=True), obj("y k, x k, x j")))


@pytest.mark.parametrize("seed", range(15))
def test_the_order_of_contractions_is_the_best_there_is(seed: int) -> None:
    """Against every order of pairs, tried one by one."""
    rng = np.random.default_rng(seed)
    extent = {name: int(rng.integers(2, 9)) for name in "abcdef"}
    operands = [
        Array(tuple(Axis(str(n), extent[str(n)]) for n in rng.permutation(list("abcdef"))[: int(rng.integers(1, 4))]))
        for _ in range(4)
    ]
    everywhere = [name for one in operands for name in one.names]
    target = Array(tuple(Axis(name, extent[name]) for name in dict.fromkeys(everywhere) if rng.random() < 0.4))

    def cheapest(parts: list[frozenset[str]]) -> int:
        if len(parts) == 1:
            return 0
        found: list[int] = []
        for one, other in itertools.combinations(range(len(parts)), 2):
            rest = [part for at, part in enumerate(parts) if at not in (one, other)]
            joined = parts[one] | parts[other]
            kept = frozenset(n for n in joined if n in target.names or any(n in part for part in rest))
            found.append(int(np.prod([extent[n] for n in joined])) + cheapest([*rest, kept]))
        return min(found)

    assert work_of(best_tree(operands, target, {})) == cheapest([frozenset(one.names) for one in operands])


def test_the_generated_file_is_the_diagram() -> None:
    term, domain, sizes = arch.multi_head_attention(), obj("y m, x m"), {"y": 3, "x": 5, "m": 6, "h": 2, "k": 3}
    network = compile_torch(term, domain, sizes, DOUBLE)
    space: dict[str, type[nn.Module]] = {}
    text = source(term, domain, dict(sizes), "Heads")
    exec(compile(text, "heads.py", "exec"), space)
    module = space["Heads"]().double()
    module.load_state_dict(network.state_dict())
    given = [torch.randn(n, 6, dtype=DOUBLE, generator=torch.Generator().manual_seed(n)) for n in (3, 5)]
    assert torch.allclose(module(*given), network(*given), atol=1e-12)  # type: ignore[arg-type]
    assert 'einsum(q2, k2, "y h k, x h k -> h y x")' in text
    assert "# -- multi-head attention" in text
    with pytest.raises(DiagramError, match="no name of a class"):
        source(term, domain, dict(sizes), "import")


@pytest.mark.parametrize("make", [arch.scaled_attention, arch.multi_head_attention, arch.visual_attention])
def test_a_drawing_follows_the_term(make: object) -> None:
    domain = {"scaled_attention": "y k, x k, x k", "multi_head_attention": "y m, x m", "visual_attention": "c y x"}
    term, given = make(), obj(domain[make.__name__])  # type: ignore[operator, attr-defined]
    drawn = draw(term, given, title="t")
    said = [text.text for text in drawn.texts]
    assert "softmax" in said
    other = draw(Seq((term, Elementwise("tanh"))), given, title="t")
    assert "tanh" in [text.text for text in other.texts]
    assert drawn == draw(term, given, title="t"), "the same term is drawn the same"
    for text in drawn.texts:
        assert 0 <= text.x <= drawn.width
        assert 0 <= text.y <= drawn.height
    assert ET.fromstring(diagram_svg(drawn, alone=True)) is not None


def test_labels_do_not_overlap() -> None:
    drawn = draw(arch.encoder_decoder(), obj("x m, y m"), title="t", detail=9)
    boxes = [(t.x, t.y, t.x + 5.4 * len(t.text)) for t in drawn.texts if t.size < 10]
    for one, other in itertools.combinations(boxes, 2):
        assert not (abs(one[1] - other[1]) < 8 and one[0] < other[2] - 1 and other[0] < one[2] - 1), (one, other)


def test_what_is_repeated_is_drawn_once_and_learned_boxes_are_bold() -> None:
    block = Seq((arch.linear("m -> o:4", "up"), arch.linear("o -> m:4", "down")))
    drawn = draw(Repeat(block, 7), obj("n m:4"), title="t")
    assert [text.text for text in drawn.texts].count("up + b") == 1
    assert "× 7" in [text.text for text in drawn.texts]
    assert {box.tone for box in drawn.boxes if box.stroke > 2} == {"learned"}


def test_a_long_network_goes_on_below_and_a_tall_one_opens_fewer_blocks() -> None:
    wide = draw(arch.unet(), obj("n c y x"), title="t", detail=9)
    assert wide.width < 1250
    small = draw(arch.resnet(), obj("n c y x"), title="t")
    assert small.height < 2000
    assert "residual block" in [text.text for text in small.texts]


class Model(nn.Module):
    """Own attention written with views, a parameter for places, functions and layers."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.places = nn.Embedding(9, 12), nn.Parameter(torch.randn(1, 5, 12))
        self.q, self.k, self.v, self.o = (nn.Linear(12, 12) for _ in range(4))
        self.norm = nn.LayerNorm(12)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.table(tokens) + self.places
        q, k, v = (part(x).view(2, 5, 3, 4).transpose(1, 2) for part in (self.q, self.k, self.v))
        weights = torch.softmax(q @ k.transpose(-2, -1) / 2.0, -1)
        x = x + self.o((weights @ v).transpose(1, 2).reshape(2, 5, 12))
        return F.gelu(self.norm(x)).mean(1)


class Picture(nn.Module):
    """Convolutions and norms of several kinds, pools, one operation that is not known."""

    def __init__(self, unknown: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, (3, 5), stride=(2, 1), padding=(1, 2), groups=1),
            nn.BatchNorm2d(8),
            nn.SiLU(),
            nn.Conv2d(8, 6, 3, dilation=2, padding=2, groups=2, bias=False),
            nn.GroupNorm(3, 6),
            nn.MaxPool2d(2),
            nn.ConvTranspose2d(6, 4, 3, 2, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.unknown = unknown

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        return x.cumsum(-1) if self.unknown else x * 2 - 1


@pytest.mark.parametrize(
    ("module", "shape"), [(Model(), (2, 5)), (Picture(False), (2, 3, 12, 9))], ids=["attention", "picture"]
)
def test_a_module_is_read_and_computes_the_same(module: nn.Module, shape: tuple[int, ...]) -> None:
    module = module.double().eval()
    generator = torch.Generator().manual_seed(0)
    given = torch.randint(9, shape, generator=generator) if len(shape) == 2 else torch.randn(shape, dtype=DOUBLE)
    traced = from_torch(module, given)
    assert traced.opaque == ()
    network = Network(traced.program, dtype=DOUBLE).load(at_rest(module.state_dict()))
    found = network(given)
    assert isinstance(found, Tensor)
    assert (found - module(given)).abs().max() < 1e-10
    assert draw_program(traced.program, title="t").width < 1300


def test_what_is_not_known_is_a_box_that_says_so() -> None:
    traced = from_torch(Picture(True), torch.zeros(1, 3, 12, 9))
    assert traced.opaque == ("cumsum: cumsum",)
    assert "cumsum" in [text.text for text in draw_program(traced.program, title="t").texts]
    with pytest.raises(DiagramError, match="cannot be computed"):
        Network(traced.program)(torch.zeros(1, 3, 12, 9))


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_a_module_that_cannot_be_read_is_told_why() -> None:
    with pytest.raises(UserError, match=r"Branching: cannot be traced on inputs of shape .2, 3.: TraceError"):
        from_torch(Branching(), torch.zeros(2, 3))
    with pytest.raises(UserError, match=r"Linear: cannot be run on inputs of shape .2, 3."):
        from_torch(nn.Linear(4, 4), torch.zeros(2, 3))

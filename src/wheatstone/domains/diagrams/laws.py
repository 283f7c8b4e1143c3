"""Laws of the picture language as data, and random terms to try them on.

A law makes two terms from a random generator and the object that both take; on every input they must give the same.
`LAWS` is a table: tests and reports read it, and a user adds a row. The generator makes tuples of up to four arrays and
axes of size 1, without which most mistakes of layout stay hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from wheatstone.domains.diagrams.program import check
from wheatstone.domains.diagrams.terms import (
    Bias,
    Contract,
    Elementwise,
    Index,
    Leaf,
    Lift,
    Map,
    Merge,
    Order,
    Par,
    Reduce,
    Rename,
    Route,
    Seq,
    Split,
    Spread,
    Term,
    Weight,
    Window,
    identity,
)
from wheatstone.domains.diagrams.types import Array, Axis, Obj

SMOOTH = ("tanh", "sigmoid", "gelu", "silu", "gelu_tanh")
LIFTED = "c"
"""The axis that laws lift over; random terms do not use it."""


@dataclass
class Source:
    """Random objects and terms on them."""

    rng: np.random.Generator
    count: int = 0
    names: list[str] = field(default_factory=lambda: list("abdefgijlmn"))

    def fresh(self, kind: str) -> str:
        """A name that was not used before."""
        self.count += 1
        return f"{kind}{self.count}"

    def size(self) -> int:
        """1 to 4, 1 once in six."""
        return int(self.rng.integers(1, 5)) if self.rng.random() > 0.1 else 1

    def array(self, most: int = 3) -> Array:
        """Up to `most` axes; none is possible."""
        count = int(self.rng.integers(0, most + 1)) if self.rng.random() < 0.15 else int(self.rng.integers(1, most + 1))
        chosen = self.rng.permutation(self.names)[:count]
        return Array(tuple(Axis(str(name), self.size()) for name in chosen))

    def object(self, most: int = 4) -> Obj:
        return tuple(self.array() for _ in range(int(self.rng.integers(1, most + 1))))

    def leaf(self, array: Array) -> Leaf:
        """A random operation on one array."""
        options: list[Callable[[], Leaf]] = [
            lambda: Elementwise(str(self.rng.choice(SMOOTH))),
            lambda: Elementwise("scale", 1, float(self.rng.normal())),
            lambda: Spread(Axis(self.fresh("s"), self.size())),
        ]
        if array.axes:
            axis = array.axes[int(self.rng.integers(len(array.axes)))]
            assert isinstance(axis.size, int)
            size = axis.size
            options += [
                lambda: Reduce(str(self.rng.choice(["softmax", "normalise", "sum", "mean", "max"])), (axis.name,), 0.1),
                lambda: Map((axis.name,), (Axis(self.fresh("w"), self.size()),), Weight(self.fresh("weight"))),
                lambda: Map((axis.name,), (self._axis("u"), self._axis("v")), Weight(self.fresh("weight"))),
                lambda: Bias((axis.name,), Weight(self.fresh("bias"))),
                lambda: Rename(axis.name, self.fresh("r")),
                lambda: Order(tuple(str(name) for name in self.rng.permutation(array.names))),
                lambda: Index(axis.name, int(self.rng.integers(size))),
                lambda: Window(axis.name, self.fresh("t"), int(self.rng.integers(1, size + 1)), exact=False),
                lambda: Split(axis.name, (Axis(self.fresh("p"), size), Axis(self.fresh("q"), 1))),
            ]
            if len(array.axes) > 1:
                options.append(lambda: Merge(array.names[:2], self.fresh("m")))
        return options[int(self.rng.integers(len(options)))]()

    def _axis(self, kind: str) -> Axis:
        return Axis(self.fresh(kind), self.size())

    def chain(self, array: Array, length: int) -> Term:
        """A sequence of operations on one array."""
        parts: list[Term] = []
        for _ in range(length):
            leaf = self.leaf(array)
            parts.append(leaf)
            array = check(leaf, (array,)).codomain[0]
        return Seq(tuple(parts)) if parts else identity()

    def term(self, given: Obj, length: int = 3) -> Term:
        """A random term on an object: chains side by side, routes, and contractions of neighbours."""
        parts: list[Term] = []
        for _ in range(length):
            chosen = self.rng.random()
            if chosen < 0.25:
                count = int(self.rng.integers(1, min(4, len(given) + 1) + 1))
                order = tuple(int(at) for at in self.rng.integers(len(given), size=count))
                part: Term = Route(len(given), order)
            elif chosen < 0.45 and len(given) > 1 and (joined := self._joined(given[0], given[1])) is not None:
                part = Par((joined, identity(len(given) - 2))) if len(given) > 2 else joined
            else:
                part = Par(tuple(self.chain(array, int(self.rng.integers(0, 3))) for array in given))
            parts.append(part)
            given = check(part, given).codomain
        return Seq(tuple(parts))

    def _joined(self, one: Array, other: Array) -> Contract | None:
        """A contraction of two arrays, None where an axis has another size in each."""
        for axis in other.axes:
            if axis.name in one.names and one.axis(axis.name).size != axis.size:
                return None
        names = list(dict.fromkeys((*one.names, *other.names)))
        kept = [name for name in names if self.rng.random() < 0.7]
        return Contract((one.names, other.names), tuple(str(name) for name in self.rng.permutation(kept)))


@dataclass(frozen=True)
class Equation:
    """Two terms on one object that must give the same."""

    left: Term
    right: Term
    domain: Obj


@dataclass(frozen=True)
class Law:
    """A law by name, in words, with what makes its instances."""

    name: str
    says: str
    make: Callable[[Source], Equation]


def _associative(source: Source) -> Equation:
    given = source.object()
    f = source.term(given, 1)
    g = source.term(between := check(f, given).codomain, 1)
    h = source.term(check(g, between).codomain, 1)
    return Equation(Seq((Seq((f, g)), h)), Seq((f, Seq((g, h)))), given)


def _unit(source: Source) -> Equation:
    given = source.object()
    f = source.term(given, 2)
    after = check(f, given).codomain
    return Equation(Seq((identity(len(given)), f)), Seq((f, identity(len(after)))), given)


def _interchange(source: Source) -> Equation:
    """(f ; g) beside (h ; k) = (f beside h) ; (g beside k)."""
    one, other = source.object(2), source.object(2)
    f, h = source.term(one, 1), source.term(other, 1)
    g, k = source.term(check(f, one).codomain, 1), source.term(check(h, other).codomain, 1)
    return Equation(Par((Seq((f, g)), Seq((h, k)))), Seq((Par((f, h)), Par((g, k)))), (*one, *other))


def _exchange(source: Source) -> Equation:
    """Exchange, then g beside f = f beside g, then exchange."""
    one, other = source.array(), source.array()
    f, g = source.chain(one, 2), source.chain(other, 2)
    swap = Route(2, (1, 0))
    return Equation(Seq((swap, Par((g, f)))), Seq((Par((f, g)), swap)), (one, other))


def _copied(source: Source) -> Equation:
    """f, then copy = copy, then f twice, with one set of weights."""
    array = source.array()
    f = source.chain(array, 2)
    return Equation(Seq((f, Route(1, (0, 0)))), Seq((Route(1, (0, 0)), Par((f, f)))), (array,))


def _dropped(source: Source) -> Equation:
    array = source.array()
    f = source.chain(array, 2)
    return Equation(Seq((Route(1, (0, 0)), Par((f, Route(1, ()))))), f, (array,))


def _lifted(array: Array, size: int, *, last: bool) -> Array:
    axis = Axis(LIFTED, size)
    return Array((*array.axes, axis) if last else (axis, *array.axes))


def _index_before_after(source: Source) -> Equation:
    """One index before = the same index after a lifted term: what broadcasting means (section 2)."""
    given = source.object(3)
    f = source.term(given, 2)
    size = source.size()
    lifted = tuple(_lifted(array, size, last=bool(source.rng.random() < 0.5)) for array in given)
    index = Index(LIFTED, int(source.rng.integers(size)))
    after = len(check(f, given).codomain)
    left = Seq((Lift(f, LIFTED), Par((index,) * after)))
    return Equation(left, Seq((Par((index,) * len(given)), f)), lifted)


def _lift_composes(source: Source) -> Equation:
    given = source.object(3)
    f = source.term(given, 1)
    g = source.term(check(f, given).codomain, 1)
    lifted = tuple(_lifted(array, source.size() and 3, last=False) for array in given)
    return Equation(Lift(Seq((f, g)), LIFTED), Seq((Lift(f, LIFTED), Lift(g, LIFTED))), lifted)


def _inner_lift(source: Source) -> Equation:
    """Lifting over an axis of one member: index it before or after, the other member being the same for all."""
    one, other = source.array(2), source.array(2)
    joined = Contract((one.names, other.names), tuple(dict.fromkeys((*one.names, *other.names))))
    for axis in other.axes:
        if axis.name in one.names:
            joined = None
    if joined is None:
        other = Array(tuple(Axis(source.fresh("z"), axis.size) for axis in other.axes))
        joined = Contract((one.names, other.names), (*one.names, *other.names))
    size = source.size()
    index = Index(LIFTED, int(source.rng.integers(size)))
    left = Seq((Lift(joined, LIFTED, (0,)), index))
    return Equation(left, Seq((Par((index, identity())), joined)), (_lifted(one, size, last=False), other))


def _snake(source: Source) -> Equation:
    """The unit, bent, and contracted again is the identity: a wire pulled straight."""
    array = source.array()
    while not array.axes:
        array = source.array()
    axis = array.axes[int(source.rng.integers(len(array.axes)))]
    bent = source.fresh("y")
    unit = Map((axis.name,), (Axis(bent, axis.size),), Weight(source.fresh("delta"), "fixed", label="unit"))
    back = Map((bent,), (axis,), unit.matrix, (bent, axis.name))
    return Equation(Seq((unit, back)), identity(), (array,))


def _permute_contract(source: Source) -> Equation:
    one, other = source.array(), source.array()
    other = Array(tuple(one.axis(a.name) if a.name in one.names else a for a in other.axes))
    names = list(dict.fromkeys((*one.names, *other.names)))
    kept = tuple(name for name in names if source.rng.random() < 0.6)
    straight = Contract((one.names, other.names), kept)
    turned = tuple(str(name) for name in source.rng.permutation(one.names))
    exchanged = Contract((other.names, turned), kept)
    left = Seq((Par((Order(turned), identity())), Route(2, (1, 0)), exchanged))
    return Equation(left, straight, (one, other))


def _linear_commute(source: Source) -> Equation:
    """Linear maps of different axes may be done in either order."""
    array = Array((Axis("a", source.size()), Axis("b", source.size()), *source.array(1).without("ab").axes))
    f = Map(("a",), (Axis("p", source.size()),), Weight(source.fresh("weight")))
    g = Map(("b",), (Axis("q", source.size()),), Weight(source.fresh("weight")))
    return Equation(Seq((f, g)), Seq((g, f)), (array,))


def _split_merge(source: Source) -> Equation:
    rows, columns = source.size(), source.size()
    array = Array((*source.array(1).without("w").axes, Axis("w", rows * columns)))
    split = Split("w", (Axis("p", rows), Axis("q", columns)))
    return Equation(Seq((split, Merge(("p", "q"), "w"))), identity(), (array,))


def _indexes_commute(source: Source) -> Equation:
    """X[i, j] = X[i][j] = X[:, j][i]."""
    array = Array((Axis("a", source.size() + 1), Axis("b", source.size() + 1), *source.array(1).without("ab").axes))
    i, j = Index("a", int(source.rng.integers(2))), Index("b", int(source.rng.integers(2)))
    return Equation(Seq((i, j)), Seq((j, i)), (array,))


LAWS: Mapping[str, Law] = {
    law.name: law
    for law in (
        Law("associativity", "(f ; g) ; h = f ; (g ; h)", _associative),
        Law("unit", "id ; f = f = f ; id", _unit),
        Law("interchange", "(f ; g) | (h ; k) = (f | h) ; (g | k)", _interchange),
        Law("exchange", "swap ; (g | f) = (f | g) ; swap", _exchange),
        Law("copy", "f ; copy = copy ; (f | f)", _copied),
        Law("copy then drop", "copy ; (f | drop) = f", _dropped),
        Law("broadcasting", "index before = index after", _index_before_after),
        Law("lift of a composite", "lift (f ; g) = lift f ; lift g", _lift_composes),
        Law("inner broadcasting", "index before = index after, in one member", _inner_lift),
        Law("snake", "unit ; contraction = id", _snake),
        Law("permuted contraction", "permute ; contract = contract", _permute_contract),
        Law("linear maps commute", "f on a ; g on b = g on b ; f on a", _linear_commute),
        Law("split then merge", "split ; merge = id", _split_merge),
        Law("indexes commute", "[i] ; [j] = [j] ; [i]", _indexes_commute),
    )
}


def gap(equation: Equation, seed: int) -> float:
    """Largest difference between the two sides on random inputs and weights, float64; infinite where types differ."""
    import torch

    from wheatstone.domains.diagrams.network import TORCH, execute

    programs = check(equation.left, equation.domain), check(equation.right, equation.domain)
    if [str(array) for array in programs[0].codomain] != [str(array) for array in programs[1].codomain]:
        pairs = zip(programs[0].codomain, programs[1].codomain, strict=True)
        if any(sorted(map(str, one.axes)) != sorted(map(str, other.axes)) for one, other in pairs):
            return float("inf")
    generator = torch.Generator().manual_seed(seed)
    inputs = [torch.randn(array.shape(), generator=generator, dtype=torch.float64) for array in equation.domain]
    weights: dict[str, torch.Tensor] = {}
    for program in programs:
        for name, one in program.weights.items():
            if name not in weights:
                shape = one.array.shape()
                is_unit = one.weight.label == "unit"
                drawn = torch.randn(shape, generator=generator, dtype=torch.float64)
                weights[name] = torch.eye(*shape, dtype=torch.float64) if is_unit else drawn
    sides = [execute(program, TORCH, inputs, weights) for program in programs]
    worst = 0.0
    for array, other, left, right in zip(programs[0].codomain, programs[1].codomain, *sides, strict=True):
        turned = right.permute([other.names.index(name) for name in array.names])
        difference = (left - turned).abs().max() if left.numel() else torch.zeros(())
        worst = max(worst, float(difference) if bool(torch.isfinite(difference)) else float("inf"))
    return worst

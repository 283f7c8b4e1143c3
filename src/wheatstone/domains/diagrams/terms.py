"""Terms: what a diagram is made of. Data only; `check` gives them types, and everything else works on what it returns.

Terms compose side by side in time (`Seq`) and in space (`Par`); `Route` copies, drops and exchanges members of the
tuple. A leaf takes arrays and gives one array. Leaves other than `Contract` name the axes that they touch, and every
other axis passes by: that is broadcasting, drawn as a wire past the box. `Lift` states it for a whole term.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from wheatstone.domains.diagrams.types import Axis, Obj, Place, Size, size_of


@dataclass(frozen=True, kw_only=True)
class Term:
    """A term, with the place where it was written."""

    at: Place | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Weight:
    """An array that a term brings along. The same name twice is the same array."""

    name: str
    """As in a state dictionary, 'blocks.{}.attn.q.weight': a `Repeat` puts the number of the copy for '{}', or in front
    of a name without it."""
    kind: str = "learned"
    """'learned' (drawn bold), 'fixed' (given, not trained), or 'ones', the unit array."""
    stored: str = ""
    """How its owner stores it, where it is not axis by axis: '(h k) m'."""
    rows: tuple[int, int] | None = None
    """The part of the stored array's first axis that this is."""
    everywhere: bool = False
    """The same array in every copy of a `Repeat`."""
    label: str = ""
    """What a drawing calls it, where that is not the last word of its name."""


@dataclass(frozen=True)
class Seq(Term):
    """One after another. Where a part takes fewer arrays than there are, `rest` lets the last ones pass."""

    parts: tuple[Term, ...]
    rest: bool = False


@dataclass(frozen=True)
class Par(Term):
    """Side by side: each part takes the next members of the tuple."""

    parts: tuple[Term, ...]


@dataclass(frozen=True)
class Route(Term):
    """Members of the tuple, copied, dropped and exchanged: output i is input `order[i]` of `count`."""

    count: int
    order: tuple[int, ...]


@dataclass(frozen=True)
class Lift(Term):
    """The body, done for every index of an axis that it does not see ("index before = index after").

    `members` are the inputs that have the axis, all of them unless given: with some, inner broadcasting.
    """

    body: Term
    axis: str
    members: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Repeat(Term):
    """The body `times` times, each time with weights of its own unless `shared`."""

    body: Term
    times: int
    shared: bool = False


@dataclass(frozen=True)
class Block(Term):
    """A fenced region with a name and, where declared, a type."""

    name: str
    body: Term
    domain: Obj | None = None
    codomain: Obj | None = None


@dataclass(frozen=True)
class Residual(Term):
    """The body's answer added to what it was given."""

    body: Term


@dataclass(frozen=True)
class Leaf(Term):
    """An operation: `inputs` arrays in, one out."""

    @property
    def inputs(self) -> int:
        return 1

    @property
    def weight(self) -> Weight | None:
        return None


@dataclass(frozen=True)
class Contract(Leaf):
    """A linear map of whole arrays by their axes' names, 'y k, x k -> y x': einsum, with the operands' order fixed."""

    sources: tuple[tuple[str, ...], ...]
    target: tuple[str, ...]

    @property
    def inputs(self) -> int:
        return len(self.sources)


@dataclass(frozen=True)
class Map(Leaf):
    """A linear map from some axes to others by an array of weights with the axes `order`."""

    source: tuple[str, ...]
    target: tuple[Axis, ...]
    matrix: Weight
    order: tuple[str, ...] = ()
    """The weight's axes, target first unless given."""
    batch: tuple[str, ...] = ()
    """Axes that the weight has too and that stay: one matrix for each of their indices."""

    @property
    def weight(self) -> Weight:
        return self.matrix

    @property
    def axes(self) -> tuple[str, ...]:
        return self.order or (*self.batch, *(axis.name for axis in self.target), *self.source)


@dataclass(frozen=True)
class Bias(Leaf):
    """Adds an array with these axes, the same for every index of the others."""

    axes: tuple[str, ...]
    vector: Weight

    @property
    def weight(self) -> Weight:
        return self.vector


@dataclass(frozen=True)
class Embed(Leaf):
    """Rows of a table, which the entries of an array of whole numbers index; the new axis is the last."""

    vocab: Size
    axis: Axis
    table: Weight

    @property
    def weight(self) -> Weight:
        return self.table


@dataclass(frozen=True)
class Elementwise(Leaf):
    """A function of numbers, broadcast over every axis; several inputs must have the same axes."""

    function: str
    count: int = 1
    value: object = None
    """The constant of 'scale' and 'shift'; a number or an expression of sizes."""

    @property
    def inputs(self) -> int:
        return self.count


@dataclass(frozen=True)
class Reduce(Leaf):
    """A function over whole axes: 'softmax' and 'normalise' keep them, 'sum', 'mean', 'max', 'rstd' do not."""

    function: str
    over: tuple[str, ...]
    eps: float = 1e-5


@dataclass(frozen=True)
class Spread(Leaf):
    """The same for every index of a new axis, put in before the axis `before` (at the end when None)."""

    axis: Axis
    before: str | None = None


@dataclass(frozen=True)
class Split(Leaf):
    """One axis as several, the last running fastest."""

    axis: str
    into: tuple[Axis, ...]


@dataclass(frozen=True)
class Merge(Leaf):
    """Neighbouring axes as one, the last running fastest."""

    axes: tuple[str, ...]
    into: str


@dataclass(frozen=True)
class Rename(Leaf):
    """The same axis under another name."""

    old: str
    new: str


@dataclass(frozen=True)
class Order(Leaf):
    """The same axes in another order."""

    axes: tuple[str, ...]


@dataclass(frozen=True)
class Window(Leaf):
    """An axis as windows: `axis` counts them, `tap` the places in one (convolution is this and a map over the tap)."""

    axis: str
    tap: str
    width: Size
    stride: int = 1
    dilation: int = 1
    padding: int = 0
    fill: float = 0.0
    exact: bool = True
    """Refuse a stride that leaves places at the end out; False drops them, as torch does."""


@dataclass(frozen=True)
class Fold(Leaf):
    """The transpose of `Window`: overlapping places are added. `size` is that of the axis made."""

    axis: str
    tap: str
    stride: int = 1
    dilation: int = 1
    padding: int = 0
    size: Size | None = None
    """None: as far as the last window reaches."""


@dataclass(frozen=True)
class Index(Leaf):
    """One index of an axis; `stop` gives the stretch up to it and keeps the axis."""

    axis: str
    start: int
    stop: int | None = None


@dataclass(frozen=True)
class Insert(Leaf):
    """The transpose of `Index`: zeros but for one index or stretch of an axis, put in before the axis `before`."""

    axis: Axis
    start: int
    stop: int | None = None
    before: str | None = None


@dataclass(frozen=True)
class Cat(Leaf):
    """Arrays one after another along an axis."""

    axis: str
    count: int = 2

    @property
    def inputs(self) -> int:
        return self.count


@dataclass(frozen=True)
class Mask(Leaf):
    """Minus infinity where the key's index is above the query's."""

    query: str
    key: str


@dataclass(frozen=True)
class Scatter(Leaf):
    """The transpose of `Embed` in its table: rows added up by their index. Inputs: indices, rows."""

    vocab: Axis

    @property
    def inputs(self) -> int:
        return 2


@dataclass(frozen=True)
class Opaque(Leaf):
    """An operation of which only the result's type is known: it is drawn, and cannot be computed."""

    name: str
    result: Obj
    count: int = 1

    @property
    def inputs(self) -> int:
        return self.count


# Short forms


def seq(*parts: Term) -> Seq:
    return Seq(parts)


def par(*parts: Term) -> Par:
    return Par(parts)


def identity(count: int = 1) -> Route:
    return Route(count, tuple(range(count)))


def permute(*order: int) -> Route:
    return Route(len(order), order)


def copy(times: int = 2) -> Route:
    return Route(1, (0,) * times)


def drop(count: int = 1) -> Route:
    return Route(count, ())


def contract(pattern: str, at: Place | None = None) -> Contract:
    """'y k, x k -> y x'."""
    left, _, right = pattern.partition("->")
    return Contract(tuple(tuple(part.split()) for part in left.split(",")), tuple(right.split()), at=at)


def linear(
    pattern: str, name: str, *, bias: bool = True, stored: str = "", everywhere: bool = False, **sizes: Size | str
) -> Seq | Map:
    """A learned map 'm -> h k' and, with `bias`, what is added to it; weights `name`.weight and `name`.bias.

    A new axis has the size of its name, or of `sizes`, or the one written with it, 'm -> f:256'.
    """
    left, _, right = pattern.partition("->")
    target: tuple[Axis, ...] = ()
    for word in right.split():
        axis, _, size = word.partition(":")
        target += (Axis(axis, size_of(size or sizes.get(axis, axis))),)
    matrix = Map(tuple(left.split()), target, Weight(f"{name}.weight", stored=stored, everywhere=everywhere))
    if not bias:
        return matrix
    names = tuple(axis.name for axis in target)
    merged = f"({' '.join(names)})" if stored and len(names) > 1 else ""
    return seq(matrix, Bias(names, Weight(f"{name}.bias", stored=merged, everywhere=everywhere)))


def gain(axes: str, name: str, kind: str = "learned") -> Map:
    """Multiplies every index of these axes by a weight of its own."""
    return Map((), (), Weight(name, kind), batch=tuple(axes.split()))


def layer_norm(axis: str, name: str, eps: float = 1e-5) -> Seq:
    """Normalised over an axis, then gain and bias, `name`.weight and `name`.bias."""
    return seq(Reduce("normalise", (axis,), eps), gain(axis, f"{name}.weight"), Bias((axis,), Weight(f"{name}.bias")))


def arity(term: Term) -> int:
    """How many arrays a term takes."""
    if isinstance(term, Leaf):
        return term.inputs
    if isinstance(term, Seq):
        return _needs(term)[0]
    if isinstance(term, Par):
        return sum(map(arity, term.parts))
    if isinstance(term, Route):
        return term.count
    if isinstance(term, Block) and term.domain is not None:
        return len(term.domain)
    if isinstance(term, Lift | Repeat | Block | Residual):
        return arity(term.body)
    raise TypeError(f"{type(term).__name__} is no term")


def coarity(term: Term) -> int:
    """How many arrays a term gives."""
    if isinstance(term, Leaf | Residual):
        return 1
    if isinstance(term, Seq):
        return _needs(term)[1]
    if isinstance(term, Par):
        return sum(map(coarity, term.parts))
    if isinstance(term, Route):
        return len(term.order)
    if isinstance(term, Lift | Repeat | Block):
        return coarity(term.body)
    raise TypeError(f"{type(term).__name__} is no term")


def _needs(term: Seq) -> tuple[int, int]:
    """Arrays in and out of a sequence whose parts may leave later arrays alone."""
    if not term.parts:
        return 1, 1
    taken = present = arity(term.parts[0])
    for part in term.parts:
        missing = max(0, arity(part) - present) if term.rest else 0
        taken, present = taken + missing, present + missing
        present += coarity(part) - arity(part)
    return taken, present


def leaves(term: Term) -> Iterator[Leaf]:
    """Every leaf, left to right, a repeated one once."""
    if isinstance(term, Leaf):
        yield term
    elif isinstance(term, Seq | Par):
        for part in term.parts:
            yield from leaves(part)
    elif isinstance(term, Lift | Repeat | Block | Residual):
        yield from leaves(term.body)

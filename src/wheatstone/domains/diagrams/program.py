"""`check`: a term and the object it is given become a straight-line program, in which every array has its type.

Each step applies one leaf to arrays that exist; copies, drops and exchanges leave no step, they only say which array is
read. A lifted axis is kept apart while the body is typed, so a body cannot touch it, and is put back into every result:
"index before = index after" holds by construction. Whatever is done with a diagram is done with this program: it is
run, drawn, counted, differentiated and rewritten, and nothing else is.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import sympy

from wheatstone.domains.diagrams.leaves import result
from wheatstone.domains.diagrams.terms import (
    Bias,
    Block,
    Cat,
    Contract,
    Elementwise,
    Embed,
    Leaf,
    Lift,
    Map,
    Merge,
    Order,
    Par,
    Repeat,
    Residual,
    Route,
    Seq,
    Spread,
    Term,
    Weight,
    arity,
)
from wheatstone.domains.diagrams.types import (
    Array,
    Axis,
    DiagramError,
    Obj,
    Size,
    SizeError,
    bound,
    demand_same,
    is_same,
    obj_text,
    refuse,
    substitute,
)


@dataclass(frozen=True)
class Scope:
    """One fence around a step: the block's name, how often it is repeated, and which fence it is."""

    name: str
    serial: int
    times: int = 1
    shared: bool = False


@dataclass(frozen=True)
class Step:
    """One leaf applied to arrays by their numbers."""

    leaf: Leaf
    inputs: tuple[int, ...]
    output: int
    scope: tuple[Scope, ...] = ()
    weight: str | None = None
    """Name of the weight in `Program.weights`."""


@dataclass(frozen=True)
class Parameter:
    """A weight with its type."""

    weight: Weight
    array: Array


@dataclass(frozen=True)
class Program:
    """A typed straight line: `arrays[n]` is the type of array n."""

    arrays: tuple[Array, ...]
    inputs: tuple[int, ...]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    weights: Mapping[str, Parameter] = field(default_factory=dict)

    @property
    def domain(self) -> Obj:
        return tuple(self.arrays[at] for at in self.inputs)

    @property
    def codomain(self) -> Obj:
        return tuple(self.arrays[at] for at in self.outputs)

    @property
    def learned(self) -> dict[str, Parameter]:
        """The weights that training sets."""
        return {name: one for name, one in self.weights.items() if one.weight.kind == "learned"}

    def uses(self) -> dict[int, int]:
        """How often each array is read, as an output too."""
        counts = dict.fromkeys(range(len(self.arrays)), 0)
        for at in itertools.chain(self.outputs, *(step.inputs for step in self.steps)):
            counts[at] += 1
        return counts


def check(term: Term, domain: Obj, sizes: Mapping[str, Size] | None = None, *, unroll: bool = True) -> Program:
    """The program of a term on `domain`, with `sizes` in the place of symbols.

    `unroll` False keeps one copy of what is repeated, for drawing. Raises DiagramError with the place and the two types
    where the term has no type.
    """
    given = dict(sizes or {})
    made = Elaboration(given, unroll)
    inputs = tuple(made.new(array) for array in bound(domain, given))
    outputs = made.run(term, inputs)
    return Program(tuple(made.arrays), inputs, tuple(made.steps), outputs, made.weights)


def infer(term: Term, domain: Obj) -> Program:
    """`check` with the symbols of `domain` as unknowns: sizes that must be equal are made equal.

    Raises DiagramError when no choice of sizes gives the term a type.
    """
    sizes: dict[str, Size] = {}
    for _ in range(100):
        try:
            return check(term, domain, sizes)
        except SizeError as fault:
            one, other = fault.one, fault.other
            if isinstance(one, int) or not getattr(one, "is_Symbol", False):
                one, other = other, one
            if isinstance(one, int) or not getattr(one, "is_Symbol", False):
                raise
            if not isinstance(other, int) and one in other.free_symbols:
                raise
            name = str(one)
            sizes = {key: substitute(value, {name: other}) for key, value in sizes.items()} | {name: other}
    raise DiagramError("the sizes of this term depend on each other without end")


class Elaboration:
    """Walks terms with the arrays that they are given, and keeps the steps; `check` is one walk."""

    def __init__(self, sizes: Mapping[str, Size], unroll: bool) -> None:
        self.sizes = sizes
        self.unroll = unroll
        self.arrays: list[Array] = []
        self.steps: list[Step] = []
        self.weights: dict[str, Parameter] = {}
        self.hidden: tuple[str, ...] = ()
        self.scope: tuple[Scope, ...] = ()
        self.copies: tuple[int, ...] = ()
        self._serial = 0

    def new(self, array: Array) -> int:
        self.arrays.append(array)
        return len(self.arrays) - 1

    def types(self, inputs: Sequence[int]) -> Obj:
        """What the term being typed sees of these arrays."""
        return tuple(self.arrays[at].without(self.hidden) for at in inputs)

    def run(self, term: Term, inputs: tuple[int, ...]) -> tuple[int, ...]:
        if len(inputs) != arity(term):
            word = f"{_title(term)}: takes {arity(term)} arrays, is given {len(inputs)}: {obj_text(self.types(inputs))}"
            refuse(term.at, word)
        match term:
            case Seq():
                for part in term.parts:
                    inputs = self._part(part, inputs, term.rest)
                return inputs
            case Par():
                outputs: list[int] = []
                for part in term.parts:
                    count = arity(part)
                    outputs += self.run(part, inputs[:count])
                    inputs = inputs[count:]
                return tuple(outputs)
            case Route():
                return tuple(inputs[at] for at in term.order)
            case Lift():
                return self._lift(term, inputs)
            case Repeat():
                return self._repeat(term, inputs)
            case Block():
                return self._block(term, inputs)
            case Residual():
                return self._residual(term, inputs)
            case Leaf():
                return (self.leaf(term, inputs),)
            case _:
                raise TypeError(f"{type(term).__name__} is no term")

    def _part(self, part: Term, inputs: tuple[int, ...], rest: bool) -> tuple[int, ...]:
        count = arity(part)
        if rest and len(inputs) > count:
            return self.run(part, inputs[:count]) + inputs[count:]
        return self.run(part, inputs)

    def _lift(self, term: Lift, inputs: tuple[int, ...]) -> tuple[int, ...]:
        seen = self.types(inputs)
        wanted = range(len(inputs)) if term.members is None else term.members
        for at, array in enumerate(seen):
            if (term.axis in array.names) != (at in wanted):
                word = "has no" if at in wanted else "has, and should not have,"
                refuse(term.at, f"lift {term.axis}: array {at + 1} of {obj_text(seen)} {word} axis {term.axis}")
        sizes = [array.axis(term.axis).size for array in seen if term.axis in array.names]
        for size in sizes[1:]:
            text = f"lift {term.axis}: axis {term.axis} has sizes {sizes[0]} and {size} in {obj_text(seen)}"
            demand_same(term.at, text, sizes[0], size)
        before, self.hidden = self.hidden, (*self.hidden, term.axis)
        outputs = self.run(term.body, inputs)
        self.hidden = before
        return outputs

    def _repeat(self, term: Repeat, inputs: tuple[int, ...]) -> tuple[int, ...]:
        if term.times < 1:
            refuse(term.at, f"repeat: {term.times} times, must be at least once")
        before = self.scope, self.copies
        for copy in range(term.times if self.unroll else 1):
            if not self.unroll or term.times == 1:
                name = "shared weights" if term.shared else ""
                self.scope = (*before[0], Scope(name, self._next(), term.times, term.shared))
            self.copies = before[1] if term.shared else (*before[1], copy)
            outputs = self.run(term.body, inputs)
            given, made = self.types(inputs), self.types(outputs)
            if _differ(given, made):
                refuse(
                    term.at, f"repeat: the body goes from {obj_text(given)} to {obj_text(made)}, not back to the first"
                )
            inputs = outputs
        self.scope, self.copies = before
        return inputs

    def _block(self, term: Block, inputs: tuple[int, ...]) -> tuple[int, ...]:
        if term.domain is not None:
            self._declared(term, "takes", term.domain, self.types(inputs))
        before, self.scope = self.scope, (*self.scope, Scope(term.name, self._next()))
        outputs = self.run(term.body, inputs)
        self.scope = before
        if term.codomain is not None:
            self._declared(term, "gives", term.codomain, self.types(outputs))
        return outputs

    def _declared(self, term: Block, word: str, declared: Obj, found: Obj) -> None:
        expected = bound(declared, self.sizes)
        text = f"{term.name}: is declared as one that {word} {obj_text(expected)}, and {word} {obj_text(found)}"
        if [array.names for array in expected] != [array.names for array in found] or [
            array.kind for array in expected
        ] != [array.kind for array in found]:
            refuse(term.at, text)
        for one, other in zip(expected, found, strict=True):
            for axis, there in zip(one.axes, other.axes, strict=True):
                demand_same(term.at, text, axis.size, there.size)

    def _residual(self, term: Residual, inputs: tuple[int, ...]) -> tuple[int, ...]:
        outputs = self.run(term.body, inputs)
        if len(outputs) != 1 or _differ(self.types(inputs[:1]), self.types(outputs)):
            given, made = obj_text(self.types(inputs[:1])), obj_text(self.types(outputs))
            refuse(term.at, f"residual: the body makes {made}, which cannot be added to {given}")
        return (self.leaf(Elementwise("add", 2, at=term.at), (inputs[0], outputs[0])),)

    def leaf(self, leaf: Leaf, inputs: tuple[int, ...]) -> int:
        """Types one operation on what it sees, then on whole arrays, and adds its step."""
        leaf = _with_sizes(leaf, self.sizes)
        seen = self.types(inputs)
        visible = result(leaf, seen)
        if self.hidden:
            inputs = self._aligned(leaf, inputs)
            if isinstance(leaf, Order):
                leaf = Order((*(axis.name for axis in self._hidden_axes(inputs)), *leaf.axes), at=leaf.at)
            if isinstance(leaf, Contract):
                whole = self._around(inputs, visible)
            else:
                whole = result(leaf, tuple(self.arrays[at] for at in inputs))
        else:
            whole = visible
        if isinstance(leaf, Contract):
            leaf = Contract(tuple(self.arrays[at].names for at in inputs), whole.names, at=leaf.at)
        return self._add(leaf, inputs, whole)

    def _add(self, leaf: Leaf, inputs: tuple[int, ...], array: Array) -> int:
        weight = self._weight(leaf, inputs, array) if leaf.weight is not None else None
        output = self.new(array)
        self.steps.append(Step(leaf, inputs, output, self.scope, weight))
        return output

    def _aligned(self, leaf: Leaf, inputs: tuple[int, ...]) -> tuple[int, ...]:
        """The inputs of an operation inside a lift, brought to one form where the operation needs that."""
        hidden = self._hidden_axes(inputs)
        if isinstance(leaf, Merge):
            array = self.arrays[inputs[0]]
            rest = array.without(axis.name for axis in hidden)
            names = (*(axis.name for axis in hidden), *rest.names)
            return inputs if names == array.names else (self._ordered(inputs[0], names),)
        if isinstance(leaf, Elementwise | Cat) and len(inputs) > 1:
            names = tuple(axis.name for axis in hidden)
            aligned: list[int] = []
            for at in inputs:
                for axis in hidden:
                    if axis.name not in self.arrays[at].names:
                        spread = Spread(axis)
                        at = self._add(spread, (at,), result(spread, (self.arrays[at],)))
                order = (*names, *self.arrays[at].without(names).names)
                aligned.append(at if order == self.arrays[at].names else self._ordered(at, order))
            if all(self.arrays[at].names == self.arrays[inputs[0]].names for at in inputs):
                return inputs
            return tuple(aligned)
        return inputs

    def _ordered(self, at: int, names: tuple[str, ...]) -> int:
        order = Order(names)
        return self._add(order, (at,), result(order, (self.arrays[at],)))

    def _hidden_axes(self, inputs: Sequence[int]) -> list[Axis]:
        found: dict[str, Axis] = {}
        for at in inputs:
            for axis in self.arrays[at].axes:
                if axis.name in self.hidden:
                    found.setdefault(axis.name, axis)
        return list(found.values())

    def _around(self, inputs: Sequence[int], visible: Array) -> Array:
        """The result with the lifted axes put back, before or after as in the array that brings them."""
        front: dict[str, Axis] = {}
        back: dict[str, Axis] = {}
        for at in inputs:
            names = self.arrays[at].names
            first = next((place for place, name in enumerate(names) if name not in self.hidden), len(names))
            for place, axis in enumerate(self.arrays[at].axes):
                if axis.name in self.hidden and axis.name not in front and axis.name not in back:
                    (front if place < first or not visible.axes else back)[axis.name] = axis
        return Array((*front.values(), *visible.axes, *back.values()), visible.kind)

    def _weight(self, leaf: Leaf, inputs: tuple[int, ...], array: Array) -> str:
        weight = leaf.weight
        assert weight is not None
        source = self.arrays[inputs[0]]
        match leaf:
            case Map():
                target = {axis.name: axis for axis in leaf.target}
                axes = tuple(source.axis(name) if name not in target else target[name] for name in leaf.axes)
            case Bias():
                axes = tuple(array.axis(name) for name in leaf.axes)
            case Embed():
                axes = (Axis("vocab", leaf.vocab), leaf.axis)
            case _:
                raise TypeError(f"{type(leaf).__name__} has no weight")
        full, shape = self._name(weight), Array(axes)
        name = full if weight.rows is None else f"{full}[{weight.rows[0]}:{weight.rows[1]}]"
        known = self.weights.setdefault(name, Parameter(dataclasses.replace(weight, name=full), shape))
        for one, other in zip(known.array.axes, axes, strict=False):
            demand_same(leaf.at, f"weight {name} is both '{known.array}' and '{shape}'", one.size, other.size)
        if len(known.array.axes) != len(axes):
            refuse(leaf.at, f"weight {name} is both '{known.array}' and '{shape}'")
        return name

    def _name(self, weight: Weight) -> str:
        """The weight's name in this copy of what is repeated: two copies share nothing unless the weight says so."""
        name, free = weight.name, list[str]()
        for copy in () if weight.everywhere else self.copies:
            if "{}" in name:
                name = name.replace("{}", str(copy), 1)
            else:
                free.append(str(copy))
        return ".".join([*free, name])

    def _next(self) -> int:
        self._serial += 1
        return self._serial


def with_sizes(term: Term, sizes: Mapping[str, Size]) -> Term:
    """The term with numbers for the symbols of its leaves."""
    match term:
        case Seq() | Par():
            return dataclasses.replace(term, parts=tuple(with_sizes(part, sizes) for part in term.parts))
        case Lift() | Repeat() | Block() | Residual():
            return dataclasses.replace(term, body=with_sizes(term.body, sizes))
        case Leaf():
            return _with_sizes(term, sizes)
        case _:
            return term


def _with_sizes(leaf: Leaf, sizes: Mapping[str, Size]) -> Leaf:
    """The leaf with numbers in the place of symbols, in its new axes too."""
    if not sizes:
        return leaf
    fields = {one.name: getattr(leaf, one.name) for one in dataclasses.fields(leaf) if one.name != "at"}
    changes = {name: _sized(name, value, sizes) for name, value in fields.items()}
    return dataclasses.replace(leaf, **changes)


def _sized(name: str, value: Any, sizes: Mapping[str, Size]) -> Any:
    """A field of a leaf with `sizes` in the place of symbols."""
    if isinstance(value, Axis):
        return Axis(value.name, substitute(value.size, sizes))
    if isinstance(value, Array):
        return bound((value,), sizes)[0]
    if isinstance(value, tuple):
        return tuple(_sized("", one, sizes) for one in cast("tuple[Any, ...]", value))
    if name in ("vocab", "width", "size") and value is not None:
        return substitute(value, sizes)
    if isinstance(value, sympy.Expr):
        known = {str(one): one for one in value.free_symbols}
        return value.subs(cast(Any, {known[one]: size for one, size in sizes.items() if one in known}))
    return value


def _differ(one: Obj, other: Obj) -> bool:
    if [array.names for array in one] != [array.names for array in other]:
        return True
    pairs: Iterator[tuple[Array, Array]] = zip(one, other, strict=True)
    return not all(is_same(axis.size, there.size) for a, b in pairs for axis, there in zip(a.axes, b.axes, strict=True))


def _title(term: Term) -> str:
    return term.name if isinstance(term, Block) else type(term).__name__.lower()

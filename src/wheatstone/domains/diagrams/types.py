"""Objects of the picture language: a tuple of arrays, each an ordered list of named axes (arXiv:2402.05424, section 2).

An axis has a name, which says what it counts, and a size, a number or an expression of sizes. Two axes of one size are
not one axis: a query position `y` and a key position `x` stay apart even where there are as many of each, and that is
what catches a softmax over the wrong one. Within an array a name stands once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, cast

import sympy

from wheatstone.bench.errors import UserError

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_']*")


Size = int | sympy.Expr
"""A whole number where it is known, so that most of the work is done without algebra."""


class DiagramError(UserError):
    """A term that has no type, with the place where it was written."""


class SizeError(DiagramError):
    """Two sizes that must be one are not: `one` and `other`, which may become one when a symbol is given a value."""

    def __init__(self, text: str, one: Size, other: Size) -> None:
        super().__init__(text)
        self.one, self.other = one, other


@dataclass(frozen=True)
class Place:
    """Where a term was written."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


def refuse(at: Place | None, text: str) -> NoReturn:
    """Raises DiagramError with the place in front, where there is one."""
    raise DiagramError(f"{at}: {text}" if at is not None else text)


def demand_same(at: Place | None, text: str, one: Size, other: Size) -> None:
    """Raises SizeError when two sizes differ; `text` says which."""
    if not is_same(one, other):
        raise SizeError(f"{at}: {text}" if at is not None else text, one, other)


def symbol(name: str) -> sympy.Expr:
    """The size that goes by this name: a positive whole number."""
    return sympy.Symbol(name, integer=True, positive=True)


def size_of(value: Size | str) -> Size:
    """A size from a number, a name, or an expression; whole numbers as Python's own."""
    if isinstance(value, str):
        return int(value) if value.isdigit() else symbol(value)
    if isinstance(value, int):
        return value
    return int(cast(Any, value)) if value.is_Integer else value


def is_same(one: Size, other: Size) -> bool:
    """Whether two sizes are equal, whatever their symbols stand for."""
    if isinstance(one, int) and isinstance(other, int):
        return one == other
    return one == other or sympy.simplify(sympy.sympify(one) - other) == 0


def quotient(size: Size, by: int) -> Size:
    """A part of a size. Raises DiagramError when a known size is not divisible."""
    if isinstance(size, int):
        if size % by:
            raise DiagramError(f"{size} is not divisible by {by}")
        return size // by
    return size / by


def product(sizes: Iterable[Size]) -> Size:
    """The product of sizes, 1 of none."""
    made: Any = 1
    for size in sizes:
        made = made * size
    return cast(Size, made)


def substitute(size: Size, sizes: Mapping[str, Size]) -> Size:
    """The size with these in the place of symbols. Raises DiagramError when it is no longer a whole number."""
    if isinstance(size, int) or not sizes:
        return size
    known: Any = {
        one: sizes[one.name] for one in size.free_symbols if isinstance(one, sympy.Symbol) and one.name in sizes
    }
    made = cast(sympy.Expr, size.subs(known))
    if made.is_number and not (made.is_Integer and made.is_positive):
        given = ", ".join(f"{name}={value}" for name, value in sizes.items())
        raise DiagramError(f"{size} is {made} with {given}: a size is a whole number above 0")
    return size_of(made)


@dataclass(frozen=True)
class Axis:
    """One wire of a diagram."""

    name: str
    size: Size

    def __str__(self) -> str:
        return self.name if str(self.size) == self.name else f"{self.name}:{self.size}"


@dataclass(frozen=True)
class Array:
    """A tensor: its axes in order, and what it holds."""

    axes: tuple[Axis, ...]
    kind: str = "float"
    """'float', or 'int' for tokens and other places in a table."""

    def __post_init__(self) -> None:
        if len(set(self.names)) < len(self.axes):
            raise DiagramError(f"an axis stands twice in '{self}'")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(axis.name for axis in self.axes)

    @property
    def size(self) -> Size:
        """Number of entries."""
        return product(axis.size for axis in self.axes)

    def axis(self, name: str) -> Axis:
        """The axis of that name; KeyError when there is none."""
        for axis in self.axes:
            if axis.name == name:
                return axis
        raise KeyError(name)

    def without(self, names: Iterable[str]) -> Array:
        """The array less these axes."""
        left_out = set(names)
        return Array(tuple(axis for axis in self.axes if axis.name not in left_out), self.kind)

    def shape(self) -> tuple[int, ...]:
        """The sizes as numbers. Raises DiagramError when one is still a symbol."""
        for axis in self.axes:
            if not isinstance(axis.size, int):
                raise DiagramError(f"axis {axis.name} has size {axis.size}: give its number, as {axis.size}=8")
        return tuple(cast(int, axis.size) for axis in self.axes)

    def __str__(self) -> str:
        return ("int " if self.kind == "int" else "") + (" ".join(map(str, self.axes)) or "1")


Obj = tuple[Array, ...]
"""A tuple of arrays: what one column of a diagram holds."""


def obj(text: str, **sizes: Size | str) -> Obj:
    """An object from its written form: 'y k, x k' is two arrays; sizes are the names unless given.

    'k:64' gives a size in place, 'int t' an array of whole numbers, '1' an array without axes.
    """
    arrays: list[Array] = []
    for part in text.split(","):
        words = part.split()
        kind = "int" if words[:1] == ["int"] else "float"
        axes: list[Axis] = []
        for word in words[1:] if kind == "int" else words:
            if word == "1":
                continue
            name, _, given = word.partition(":")
            if not NAME.fullmatch(name) or (given and not re.fullmatch(r"\w+", given)):
                raise DiagramError(f"'{word}' is no axis: write a name, or name:size")
            axes.append(Axis(name, size_of(given or sizes.get(name, name))))
        arrays.append(Array(tuple(axes), kind))
    return tuple(arrays)


def obj_text(arrays: Obj) -> str:
    """'(y k, x k)'."""
    return f"({', '.join(map(str, arrays))})"


def bound(arrays: Obj, sizes: Mapping[str, Size]) -> Obj:
    """The object with these in the place of symbols."""
    return tuple(
        Array(tuple(Axis(axis.name, substitute(axis.size, sizes)) for axis in array.axes), array.kind)
        for array in arrays
    )

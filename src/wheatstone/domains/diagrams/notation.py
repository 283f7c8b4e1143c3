"""`parse`: diagrams as text.

    # Scaled dot-product attention
    size k = 16
    attention : (y k, x k, x k) -> (y k) =
      contract("y k, x k -> y x") ; scale(1/sqrt(k)) ; softmax[x] ; contract("y x, x k -> y k")

A definition has a name, the types that it takes and gives, and a term. `;` is one after another: an operation takes the
first arrays of the tuple, the others run past. `[a, b]` is side by side. Operations name axes in brackets and constants
in parentheses; a definition is used by its name and drawn as a fenced block. `wheatstone apply neural-circuit-diagrams
check FILE` says where a text is wrong.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wheatstone.bench.errors import UserError, did_you_mean
from wheatstone.domains.diagrams.lexing import Reader, Token, shown, tokens
from wheatstone.domains.diagrams.operations import OPERATIONS, Call
from wheatstone.domains.diagrams.terms import (
    Block,
    Lift,
    Par,
    Repeat,
    Residual,
    Seq,
    Term,
)
from wheatstone.domains.diagrams.types import Array, Axis, Obj, Place, Size, refuse, size_of, symbol

FORMS = ("repeat", "shared", "residual", "lift")
"""Words that take a term."""
LARGEST = 1_000_000
"""Characters of a file: far beyond any diagram, and read in a second."""


@dataclass(frozen=True)
class Definition:
    """A named diagram of a file, with its type."""

    name: str
    block: Block
    domain: Obj
    codomain: Obj


@dataclass(frozen=True)
class Notebook:
    """A file's diagrams and the sizes that it sets."""

    definitions: Mapping[str, Definition]
    sizes: Mapping[str, int]

    def main(self, name: str | None = None) -> Definition:
        """The definition of that name, or the last one. Raises UserError when there is none."""
        if name is None:
            return list(self.definitions.values())[-1]
        if name not in self.definitions:
            known = self.definitions
            raise UserError(f"no diagram is called '{name}'.{did_you_mean(name, known)} There are: {', '.join(known)}")
        return self.definitions[name]


def read(path: Path) -> Notebook:
    """The diagrams of a file. Raises UserError for one that cannot be read, DiagramError with the place of a fault."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else "it is no UTF-8 text"
        raise UserError(f"{path}: cannot be read ({reason})") from None
    return parse(text, path.name)


def parse(text: str, file: str = "diagram") -> Notebook:
    """The diagrams of a text, untyped; raises DiagramError at the first fault, with its line and column."""
    if len(text) > LARGEST:
        raise UserError(f"{file}: {len(text)} characters, at most {LARGEST} are read")
    return _Parser(text, file).notebook()


class _Parser:
    def __init__(self, text: str, file: str) -> None:
        self.reader = Reader(tokens(text, file))
        self.sizes: dict[str, int] = {}
        self.bodies: dict[str, Term] = {}
        self.types: dict[str, tuple[Obj, Obj, Place]] = {}
        self.current = ""
        self.count = 0
        self.depth = 0

    def notebook(self) -> Notebook:
        while self.reader.next.kind != "end":
            if self.reader.sees("size"):
                self._sizes()
            else:
                self._definition()
        if not self.bodies:
            refuse(self.reader.next.at, "no diagram here: write 'name : (y k) -> (y k) = operation'")
        made = {name: self._linked(name, ()) for name in self.bodies}
        return Notebook(
            {name: Definition(name, block, self.types[name][0], self.types[name][1]) for name, block in made.items()},
            self.sizes,
        )

    def _sizes(self) -> None:
        self.reader.take()
        while True:
            word = self.reader.name("the name of a size")
            self.reader.expect("=", "after the name of a size")
            at = self.reader.next.at
            value = self.reader.size(self.sizes)
            if not isinstance(value, int) or value < 1:
                refuse(at, f"size {word.text} is {value}, must be a whole number above 0")
            self.sizes[word.text] = value
            if not self.reader.accept(","):
                return

    def _definition(self) -> None:
        word = self.reader.name("the name of a diagram")
        if word.text in self.bodies:
            refuse(word.at, f"'{word.text}' is defined twice")
        if word.text in OPERATIONS or word.text in FORMS:
            refuse(word.at, f"'{word.text}' is an operation; choose another name")
        self.reader.expect(":", f"after '{word.text}'")
        domain = self._object()
        self.reader.expect("->", "between the two types")
        codomain = self._object()
        self.reader.expect("=", "before the term")
        self.current, self.count = word.text, 0
        self.types[word.text] = (domain, codomain, word.at)
        self.bodies[word.text] = self._sequence()

    def _object(self) -> Obj:
        self.reader.expect("(", "before the arrays of a type")
        arrays: list[Array] = []
        while True:
            kind = "int" if self.reader.accept("int") else "float"
            axes: list[Axis] = []
            at = self.reader.next.at
            while not self.reader.sees(",", ")"):
                if self.reader.next.text == "1":
                    self.reader.take()
                    continue
                name = self.reader.name("an axis").text
                size: Size = symbol(name)
                if self.reader.accept(":"):
                    size = size_of(self.reader.size())
                axes.append(Axis(name, size))
            if len({axis.name for axis in axes}) < len(axes):
                refuse(at, f"an axis stands twice in '{' '.join(axis.name for axis in axes)}'")
            arrays.append(Array(tuple(axes), kind))
            if self.reader.accept(")"):
                return tuple(arrays)
            self.reader.expect(",", "between two arrays")

    def _sequence(self) -> Term:
        at = self.reader.next.at
        self.depth += 1
        if self.depth > 60:
            refuse(at, "brackets within brackets, more than 60 deep")
        parts = [self._item()]
        while self.reader.accept(";"):
            parts.append(self._item())
        self.depth -= 1
        return Seq(tuple(parts), rest=True, at=at)

    def _item(self) -> Term:
        if self.reader.accept("("):
            inner = self._sequence()
            self.reader.expect(")", "after a term")
            return inner
        if self.reader.sees("["):
            at = self.reader.take().at
            parts = [self._sequence()]
            while self.reader.accept(","):
                parts.append(self._sequence())
            self.reader.expect("]", "after terms side by side")
            return Par(tuple(parts), at=at)
        word = self.reader.name("an operation")
        if word.text in FORMS:
            return self._form(word)
        call = self._call(word)
        if word.text in OPERATIONS:
            return OPERATIONS[word.text](call, self)
        return _Use(word.text, at=word.at)

    def _form(self, word: Token) -> Term:
        """repeat 3 (...), shared 3 (...), residual (...), lift h (...)."""
        times, axis = 1, ""
        if word.text in ("repeat", "shared"):
            at = self.reader.next.at
            value = self.reader.size(self.sizes)
            if not isinstance(value, int) or not 1 <= value <= 1000:
                refuse(at, f"{word.text}: {value} times, must be a whole number from 1 to 1000")
            times = value
        if word.text == "lift":
            axis = self.reader.name("the axis of a lift").text
        self.reader.expect("(", f"after {word.text}")
        body = self._sequence()
        self.reader.expect(")", f"after the body of {word.text}")
        if word.text == "residual":
            return Residual(body, at=word.at)
        if word.text == "lift":
            return Lift(body, axis, at=word.at)
        return Repeat(body, times, word.text == "shared", at=word.at)

    def _call(self, word: Token) -> Call:
        call = Call(word)
        if self.reader.sees("["):
            self.reader.take()
            axes: list[str] = []
            while not self.reader.accept("]"):
                axes.append(self.reader.name("an axis").text)
            call.axes = tuple(axes)
        if self.reader.accept("("):
            while not self.reader.accept(")"):
                self._argument(call)
                if not self.reader.sees(")"):
                    self.reader.expect(",", f"between what {word.text} is given")
        return call

    def _argument(self, call: Call) -> None:
        word = self.reader.next
        if word.kind == "text":
            self.reader.take()
            call.values.append(word.text[1:-1])
            return
        following = self.reader.words[min(self.reader.position + 1, len(self.reader.words) - 1)]
        if word.kind == "name" and following.text == "=":
            self.reader.take()
            self.reader.take()
            if self.reader.next.kind == "text":
                call.options[word.text] = self.reader.take().text[1:-1]
            else:
                call.options[word.text] = self.reader.size(self.sizes)
            return
        if word.kind not in ("name", "number") and word.text not in ("(", "-"):
            refuse(word.at, f"expected a size or a pattern in quotes, found {shown(word)}")
        call.values.append(self.reader.size(self.sizes))

    def weight(self, call: Call, kind: str) -> str:
        """The name of a learned array: the one given, or the diagram's with a number."""
        given = call.options.get("name")
        if given is not None:
            return str(given)
        self.count += 1
        return f"{self.current}.{kind}{self.count}"

    def _linked(self, name: str, path: tuple[str, ...]) -> Block:
        """A definition with the ones that it uses in their places."""
        domain, codomain, at = self.types[name]
        return Block(name, self._resolved(self.bodies[name], (*path, name)), domain, codomain, at=at)

    def _resolved(self, term: Term, path: tuple[str, ...]) -> Term:
        match term:
            case _Use():
                if term.name not in self.bodies:
                    known = (*self.bodies, *OPERATIONS, *FORMS)
                    refuse(
                        term.at, f"'{term.name}' is neither an operation nor a diagram.{did_you_mean(term.name, known)}"
                    )
                if term.name in path:
                    circle = " -> ".join((*path[path.index(term.name) :], term.name))
                    refuse(term.at, f"a cycle: '{term.name}' is made of itself ({circle})")
                return dataclasses.replace(self._linked(term.name, path), at=term.at)
            case Seq():
                return Seq(tuple(self._resolved(part, path) for part in term.parts), term.rest, at=term.at)
            case Par():
                return Par(tuple(self._resolved(part, path) for part in term.parts), at=term.at)
            case Repeat():
                return Repeat(self._resolved(term.body, path), term.times, term.shared, at=term.at)
            case Residual():
                return Residual(self._resolved(term.body, path), at=term.at)
            case Lift():
                return Lift(self._resolved(term.body, path), term.axis, term.members, at=term.at)
            case _:
                return term


@dataclass(frozen=True)
class _Use(Term):
    """A definition, by its name, before it is known what that is."""

    name: str

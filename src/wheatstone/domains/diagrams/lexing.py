"""Words of the textual notation, each with its place, and the small arithmetic of sizes.

Sizes are read by a parser of their own, never by evaluating text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sympy

from wheatstone.domains.diagrams.types import Place, refuse, symbol

WORD = re.compile(
    r"""(?P<space>[ \t]+)|(?P<comment>\#[^\n]*)|(?P<line>\n)|(?P<text>"[^"\n]*")|(?P<arrow>->)"""
    r"""|(?P<number>\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_']*)|(?P<sign>[()\[\],;:=+\-*/^])"""
)


@dataclass(frozen=True)
class Token:
    """One word: what kind of, as written, and where."""

    kind: str
    text: str
    at: Place


def tokens(text: str, file: str) -> list[Token]:
    """The words of a text, with an 'end' behind them. Raises DiagramError at a character that begins none."""
    made: list[Token] = []
    line, start, at = 1, 0, 0
    while at < len(text):
        found = WORD.match(text, at)
        place = Place(file, line, at - start + 1)
        if found is None:
            refuse(
                place,
                f"{text[at]!r} begins nothing that is known here"
                + (" (a text ends on its line)" if text[at] == '"' else ""),
            )
        kind = str(found.lastgroup)
        if kind == "line":
            line, start = line + 1, found.end()
        elif kind not in ("space", "comment"):
            made.append(Token(kind, found.group(), place))
        at = found.end()
    made.append(Token("end", "the end of the file", Place(file, line, at - start + 1)))
    return made


class Reader:
    """Reads tokens one after another."""

    def __init__(self, words: list[Token]) -> None:
        self.words = words
        self.position = 0

    @property
    def next(self) -> Token:
        return self.words[self.position]

    def take(self) -> Token:
        word = self.words[self.position]
        self.position = min(self.position + 1, len(self.words) - 1)
        return word

    def sees(self, *texts: str) -> bool:
        """Whether the next word is one of these signs or names."""
        return self.next.text in texts and self.next.kind in ("sign", "name", "arrow")

    def accept(self, text: str) -> bool:
        """Takes the next word if it is this one."""
        if self.sees(text):
            self.take()
            return True
        return False

    def expect(self, text: str, where: str) -> Token:
        """The next word, which must be this one."""
        if not self.sees(text):
            refuse(self.next.at, f"expected '{text}' {where}, found {shown(self.next)}")
        return self.take()

    def name(self, what: str) -> Token:
        """The next word, which must be a name."""
        if self.next.kind != "name":
            refuse(self.next.at, f"expected {what}, found {shown(self.next)}")
        return self.take()

    def size(self, known: Mapping[str, Any] | None = None) -> Any:
        """A sum of products of numbers, names, powers, roots and parentheses, as a sympy expression or an int."""
        value = self._product(known or {})
        while self.sees("+", "-"):
            sign = self.take().text
            other = self._product(known or {})
            value = value + other if sign == "+" else value - other
        return value

    def _product(self, known: Mapping[str, Any]) -> Any:
        value = self._power(known)
        while self.sees("*", "/"):
            sign = self.take()
            other = self._power(known)
            if sign.text == "/" and other == 0:
                refuse(sign.at, "division by zero")
            value = value * other if sign.text == "*" else sympy.sympify(value) / other
        return value

    def _power(self, known: Mapping[str, Any]) -> Any:
        value = self._atom(known)
        if self.accept("^"):
            at = self.next.at
            exponent = self._atom(known)
            if not isinstance(exponent, int) or exponent > 16:
                refuse(at, f"the exponent {exponent} must be a whole number of at most 16")
            return value**exponent
        return value

    def _atom(self, known: Mapping[str, Any]) -> Any:
        word = self.take()
        if word.kind not in ("number", "name") and word.text not in ("-", "("):
            refuse(word.at, f"expected a size, found {shown(word)}")
        if word.kind == "number":
            return float(word.text) if "." in word.text else int(word.text)
        if word.text == "-":
            return -self._atom(known)
        if word.text == "(":
            value = self.size(known)
            self.expect(")", "after a size")
            return value
        if word.text == "sqrt" and self.accept("("):
            value = self.size(known)
            self.expect(")", "after a root")
            return sympy.sqrt(value)
        return known.get(word.text, symbol(word.text))


def shown(word: Token) -> str:
    """A word as an error quotes it."""
    return word.text if word.kind in ("end", "text") else f"'{word.text}'"

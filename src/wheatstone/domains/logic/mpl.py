"""The text format of theories: a small prefix language (MPL) with declarations around its formulas, with positions.

A formula is `(name[arguments])`, `!formula`, `(&formula formula)` or `(>[variables]premise conclusion)`, which says
that for all values of the variables the premise implies the conclusion; `!(>[y](P)!(Q))` says that some y with P has Q.
The language is that of Generative Logic (Sergeev 2025, arXiv:2508.00017); the declarations are our own:

    theory NAME                        the file's title
    object NAME TYPE                   (1) element, P(1) set, P(x(1)(1)) unary, P(x(1)(x(1)(1))) binary function
    anchor NAME[objects]               a name for all objects at once, as it opens a theorem
    axiom NAME formula                 what is assumed
    define NAME[parameters] formula    an abbreviation
    induct SET ZERO SUCCESSOR          the schema of induction; a theory without this line cannot use it
    # ...                              a comment, to the end of the line
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from wheatstone.bench.errors import Fault, InputError, did_you_mean

KEYWORDS = ("theory", "object", "anchor", "axiom", "define", "induct")
TYPES = {"(1)": "element", "P(1)": "set", "P(x(1)(1))": "unary", "P(x(1)(x(1)(1)))": "binary"}
TOKEN = re.compile(r"[()\[\],!]|[^\s()\[\],!#]+")
MOST_NESTED = 100


class Place(NamedTuple):
    """1-based line and column."""

    line: int
    column: int


class Token(NamedTuple):
    text: str
    place: Place


@dataclass(frozen=True)
class Node:
    """A formula as written."""

    kind: str
    """'atom', 'not', 'and', 'all'."""
    place: Place
    name: str = ""
    """The relation of an atom."""
    arguments: tuple[Token, ...] = ()
    """Arguments of an atom, variables of 'all'."""
    parts: tuple[Node, ...] = ()

    def __str__(self) -> str:
        if self.kind == "atom":
            return f"({self.name}[{','.join(token.text for token in self.arguments)}])"
        if self.kind == "not":
            return f"!{self.parts[0]}"
        inside = "".join(map(str, self.parts))
        if self.kind == "and":
            return f"(&{inside})"
        return f"(>[{','.join(token.text for token in self.arguments)}]{inside})"


@dataclass(frozen=True)
class Declaration:
    """One declaration: its keyword, its words and its formula, if it has one."""

    keyword: str
    place: Place
    name: Token
    arguments: tuple[Token, ...] = ()
    formula: Node | None = None


class SyntaxFault(Exception):  # noqa: N818, becomes one fault of an InputError
    def __init__(self, place: Place, text: str) -> None:
        super().__init__(text)
        self.place = place


@dataclass
class Faults:
    """Faults of one file, collected so that the first five are shown at once."""

    file: str
    found: list[tuple[Place, str]] = field(default_factory=list[tuple[Place, str]])

    def add(self, place: Place, text: str) -> None:
        self.found.append((place, text))

    def raise_any(self) -> None:
        """Raises InputError when there are any, in the order of their places."""
        if self.found:
            places = sorted(self.found)
            raise InputError([Fault(f"{self.file}:{at.line}:{at.column}", None, None, text) for at, text in places])


def tokens(text: str) -> list[Token]:
    """The tokens of a text without comments."""
    found: list[Token] = []
    for number, line in enumerate(text.split("\n")):
        code = line.partition("#")[0]
        found += [Token(hit.group(), Place(1 + number, 1 + hit.start())) for hit in TOKEN.finditer(code)]
    return found


class Reader:
    """Reads formulas from tokens."""

    def __init__(self, found: Sequence[Token], end: Place) -> None:
        self._tokens = found
        self._end = end
        self._at = 0

    @property
    def is_done(self) -> bool:
        return self._at >= len(self._tokens)

    def peek(self) -> Token:
        return self._tokens[self._at] if not self.is_done else Token("", self._end)

    def take(self, wanted: str | None = None, what: str = "") -> Token:
        token = self.peek()
        if not token.text:
            raise SyntaxFault(token.place, f"the text ends here, expected {what or repr(wanted)}")
        if wanted is not None and token.text != wanted:
            raise SyntaxFault(token.place, f"got '{token.text}', expected '{wanted}'{what and ' ' + what}")
        self._at += 1
        return token

    def name(self, what: str) -> Token:
        token = self.take(None, what)
        if token.text in "()[],!":
            raise SyntaxFault(token.place, f"got '{token.text}', expected {what}")
        return token

    def brackets(self, what: str) -> tuple[Token, ...]:
        """`[a,b,c]`, perhaps empty."""
        self.take("[", f"before {what}")
        found: list[Token] = []
        while self.peek().text != "]":
            if found:
                self.take(",", f"between {what}")
            found.append(self.name(what))
        self.take("]")
        return tuple(found)

    def formula(self, depth: int = 0) -> Node:
        token = self.peek()
        if depth > MOST_NESTED:
            raise SyntaxFault(token.place, f"nested more than {MOST_NESTED} deep")
        if token.text == "!":
            self.take()
            return Node("not", token.place, parts=(self.formula(depth + 1),))
        self.take("(", "to open a formula" if token.text else "")
        head = self.peek()
        if head.text == "&":
            self.take()
            node = Node("and", token.place, parts=(self.formula(depth + 1), self.formula(depth + 1)))
        elif head.text == ">":
            self.take()
            names = self.brackets("variables")
            node = Node("all", token.place, "", names, (self.formula(depth + 1), self.formula(depth + 1)))
        else:
            name = self.name("a relation, '&' or '>'")
            node = Node("atom", token.place, name.text, self.brackets("arguments"))
        closing = self.peek()
        if closing.text != ")":
            got = f"got '{closing.text}'" if closing.text else "the text ends here"
            raise SyntaxFault(
                closing.place,
                f"{got}, expected ')' that closes the '(' of line {token.place.line}, column {token.place.column}",
            )
        self.take()
        return node


def read_formula(text: str, where: str = "statement") -> Node:
    """One formula. Raises InputError with file:line:column."""
    faults = Faults(where)
    lines = text.split("\n")
    reader = Reader(tokens(text), Place(len(lines), len(lines[-1]) + 1))
    try:
        node = reader.formula()
        if not reader.is_done:
            extra = reader.peek()
            raise SyntaxFault(extra.place, f"'{extra.text}' after the end of the formula {node}")
    except SyntaxFault as fault:
        faults.add(fault.place, str(fault))
        faults.raise_any()
        raise
    return node


def read_declarations(text: str, file: str) -> list[Declaration]:
    """All declarations of a theory; a declaration begins with its keyword at the start of a line.

    Raises InputError with the first faults of all declarations.
    """
    faults = Faults(file)
    groups: list[list[Token]] = []
    for token in tokens(text):
        if token.place.column == 1 and token.text in KEYWORDS:
            groups.append([token])
        elif groups:
            groups[-1].append(token)
        else:
            faults.add(token.place, f"'{token.text}' before any declaration{_hint(token.text)}")
            break
    faults.raise_any()
    if not groups:
        return []
    lines = text.split("\n")
    ends = [group[0].place for group in groups[1:]] + [Place(len(lines), len(lines[-1]) + 1)]
    found: list[Declaration] = []
    for group, end in zip(groups, ends, strict=True):
        try:
            found.append(_declaration(group, end))
        except SyntaxFault as fault:
            faults.add(fault.place, str(fault))
    faults.raise_any()
    return found


def _declaration(group: list[Token], end: Place) -> Declaration:
    keyword, reader = group[0], Reader(group[1:], end)
    name = reader.name(f"a name after '{keyword.text}'")
    arguments: tuple[Token, ...] = ()
    formula: Node | None = None
    if keyword.text == "object":
        words: list[Token] = []
        while not reader.is_done and reader.peek().place.line == name.place.line:
            words.append(reader.take())
        kind = "".join(word.text for word in words)
        if kind not in TYPES:
            raise SyntaxFault(name.place, f"object '{name.text}': type '{kind}' must be one of {', '.join(TYPES)}")
        arguments = (Token(TYPES[kind], words[0].place),)
    elif keyword.text == "anchor":
        arguments = reader.brackets("objects")
    elif keyword.text == "axiom":
        formula = reader.formula()
    elif keyword.text == "define":
        arguments = reader.brackets("parameters")
        formula = reader.formula()
    elif keyword.text == "induct":
        arguments = (reader.name("the constant zero"), reader.name("the successor function"))
    if not reader.is_done:
        extra = reader.peek()
        raise SyntaxFault(
            extra.place,
            f"'{extra.text}' after the end of '{keyword.text} {name.text}'{_hint(extra.text)}",
        )
    return Declaration(keyword.text, keyword.place, name, arguments, formula)


def _hint(word: str) -> str:
    return did_you_mean(word, KEYWORDS) or f". A declaration begins a line with one of {', '.join(KEYWORDS)}"

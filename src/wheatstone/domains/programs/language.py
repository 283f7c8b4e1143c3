"""Programs as terms: over lists of tokens, or over the natural numbers.

Lists    [], [token], first (the list of the first element), rest, reverse, ++      (car, cdr, cons, singleton and ++ of
         Li et al. 2024, arXiv:2210.01603, with elements as lists of length one, so that there is one type)
Numbers  constants, incr, decr (not below 0), earlier programs by name, and one scheme of recursion:
         f(x, y) = base if condition = 0 else step(x, y, f(next x, next y))            (their if0 and fix2 as a sketch)

A program is total where it can be (first and rest of [] are []); a recursion that runs away, a value that grows beyond
`MAX_VALUE` or a list beyond `MAX_LENGTH` is undefined, which is None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

List = tuple[str, ...]
Value = int | List | str
"""A number, a list of tokens, or EMPTY."""
Inputs = tuple[Value, ...]
Function = Callable[[Inputs], Value | None]

EMPTY = "nothing"
"""The value of a symbol that has none, such as a parenthesis: its parent does not see it."""
NOTHING = "nothing"
"""The operation that gives EMPTY."""
MAX_VALUE = 10**9
MAX_LENGTH = 2000
MAX_DEPTH = 20_000
"""Steps of one recursion at most."""
VARIABLES = ("x", "y", "z", "w")


class Term(NamedTuple):
    """An operation on terms. `op` is a variable, '[]', 'first', 'rest', 'reverse', '++', a list or number constant
    ('=token', '#3'), 'incr', 'decr', 'self', or '@name' of an earlier program."""

    op: str
    args: tuple[Term, ...] = ()

    @property
    def size(self) -> int:
        return 1 + sum(arg.size for arg in self.args)

    def __str__(self) -> str:
        inner = [str(arg) for arg in self.args]
        match self.op[0], self.op:
            case "=", _:
                return f"[{self.op[1:]}]"
            case "#", _:
                return self.op[1:]
            case "@", _:
                return f"({inner[0]} {self.op[1:]} {inner[1]})" if len(inner) == 2 else f"{self.op[1:]}({inner[0]})"
            case _, "++":
                return " ++ ".join(inner)
            case _:
                return f"{self.op}({', '.join(inner)})" if inner else self.op


class Recursion(NamedTuple):
    """f(arguments) = base if condition = 0 else step, where 'self' in step is f(following)."""

    condition: Term
    base: Term
    following: tuple[Term, ...]
    step: Term

    @property
    def size(self) -> int:
        return 2 + sum(term.size for term in (self.condition, self.base, self.step, *self.following))

    def __str__(self) -> str:
        again = f"self({', '.join(map(str, self.following))})"
        step = re.sub(r"\bself\b", again, str(self.step))
        return f"{self.base} if {self.condition} = 0 else {step}"


Body = Term | Recursion


@dataclass(frozen=True)
class Program:
    """A function of `arity` values, with the earlier programs that it calls."""

    arity: int
    body: Body
    library: Mapping[str, Program] = field(default_factory=dict[str, "Program"])
    depth: int = MAX_DEPTH
    """Steps of recursion at most."""
    memo: dict[Inputs, Value | None] = field(default_factory=dict[Inputs, "Value | None"], compare=False, repr=False)

    def __call__(self, inputs: Inputs) -> Value | None:
        """The value, None where it is undefined or the inputs do not fit."""
        if inputs in self.memo:
            return self.memo[inputs]
        value = None
        if len(inputs) == self.arity:
            body = self.body
            is_recursion = isinstance(body, Recursion)
            value = self._recurse(body, inputs) if is_recursion else evaluate(body, inputs, self.library)
        if len(self.memo) > MEMO:
            self.memo.clear()
        self.memo[inputs] = value
        return value

    def __str__(self) -> str:
        return str(self.body)

    @property
    def size(self) -> int:
        return self.body.size

    def limited(self, depth: int) -> Program:
        """The same program that gives up after `depth` steps of a recursion, as do those that it calls."""
        library = {name: called.limited(depth) for name, called in self.library.items()}
        return Program(self.arity, self.body, library, depth)

    def _recurse(self, body: Recursion, inputs: Inputs) -> Value | None:
        """Walks down to the base case or to a known value, then computes the steps on the way back."""
        path: list[Inputs] = []
        at, value = inputs, None
        while True:
            if at in self.memo:
                value = self.memo[at]
                break
            condition = evaluate(body.condition, at, self.library)
            if condition is None or len(path) > self.depth or not all(isinstance(one, int) for one in at):
                return None
            if condition == 0:
                value = evaluate(body.base, at, self.library)
                self.memo[at] = value
                break
            path.append(at)
            following = tuple(evaluate(term, at, self.library) for term in body.following)
            if None in following or following == at:
                return None
            at = cast("Inputs", following)
        for at in reversed(path):
            if value is None:
                return None
            value = evaluate(body.step, at, self.library, value)
            self.memo[at] = value
        return value


MEMO = 200_000
"""Remembered calls of one program."""


def evaluate(
    term: Term, inputs: Inputs, library: Mapping[str, Program], recursive: Value | None = None
) -> Value | None:
    """The value of a term; `recursive` is what 'self' stands for."""
    op = term.op
    if op in VARIABLES:
        at = VARIABLES.index(op)
        return inputs[at] if at < len(inputs) else None
    if op == "self":
        return recursive
    if op[0] == "#":
        return int(op[1:])
    if op == "[]":
        return ()
    if op[0] == "=":
        return (op[1:],)
    if op == NOTHING:
        return EMPTY
    values = [evaluate(arg, inputs, library, recursive) for arg in term.args]
    if None in values:
        return None
    if op[0] == "@":
        return library[op[1:]](cast("Inputs", tuple(values)))
    if op in ("incr", "decr"):
        number = values[0]
        if not isinstance(number, int):
            return None
        return max(0, number - 1) if op == "decr" else number + 1 if number < MAX_VALUE else None
    if not all(isinstance(value, tuple) for value in values):
        return None
    return apply_list(op, cast("list[List]", values))


def apply_list(op: str, lists: Sequence[List]) -> List | None:
    """One list operation."""
    match op:
        case "first":
            return lists[0][:1]
        case "rest":
            return lists[0][1:]
        case "reverse":
            return lists[0][::-1]
        case "++":
            joined = tuple(token for part in lists for token in part)
            return joined if len(joined) <= MAX_LENGTH else None
        case _:
            raise ValueError(f"'{op}' is not an operation on lists")


def constant(value: Value) -> Program:
    """The program without arguments that is this value."""
    if isinstance(value, int):
        return Program(0, Term(f"#{value}"))
    if isinstance(value, str):
        return Program(0, Term(NOTHING))
    parts = tuple(Term(f"={token}") for token in value)
    return Program(0, Term("[]") if not parts else parts[0] if len(parts) == 1 else Term("++", parts))


def to_json(program: Program) -> dict[str, Any]:
    """The program, with those that it calls, as JSON values."""
    return {
        "arity": program.arity,
        "recursion": isinstance(program.body, Recursion),
        "terms": [_nested(part) for part in _parts(program.body)],
        "calls": {name: to_json(program.library[name]) for name in names_called(program.body)},
    }


def from_json(value: Mapping[str, Any]) -> Program:
    """The program that `to_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
    terms = [_term(part) for part in value["terms"]]
    library = {name: from_json(called) for name, called in value["calls"].items()}
    if value["recursion"]:
        condition, base, *following, step = terms
        return Program(value["arity"], Recursion(condition, base, tuple(following), step), library)
    (body,) = terms
    return Program(value["arity"], body, library)


def names_called(body: Body) -> list[str]:
    """Names of the earlier programs that a body calls."""
    return sorted({op[1:] for part in _parts(body) for op in _operations(part) if op[0] == "@"})


def _parts(body: Body) -> list[Term]:
    return [body] if isinstance(body, Term) else [body.condition, body.base, *body.following, body.step]


def _operations(term: Term) -> Iterator[str]:
    yield term.op
    for arg in term.args:
        yield from _operations(arg)


def _nested(term: Term) -> list[Any]:
    return [term.op, *(_nested(arg) for arg in term.args)]


def _term(value: Sequence[Any]) -> Term:
    return Term(value[0], tuple(_term(arg) for arg in value[1:]))

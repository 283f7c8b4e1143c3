"""Arithmetic that a user types, as `-s**2 + u` or `0.5*p**2 + cos(q)`: read once, then called on numbers or tensors.

The text is parsed into Python's syntax tree and compiled from a white list into closures: nothing is evaluated that is
not a number, a known name, + - * / **, or one of the functions below. A formula works on floats, numpy arrays and
torch tensors alike, so that its derivatives come from autograd; torch is never imported here.
"""

from __future__ import annotations

import ast
import math
import operator
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from wheatstone.bench.errors import UserError, did_you_mean

LONGEST = 500
"""Characters of a formula; more is not one that a person wrote."""
DEEPEST = 40
"""Operations inside one another."""
FUNCTIONS = ("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "log", "sqrt", "abs")
"""Functions of one argument, under the same name in numpy and torch."""
CONSTANTS: Mapping[str, float] = {"pi": math.pi}
OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
NAME = re.compile(r"[A-Za-z_]\w*")
Values = Mapping[str, Any]
Part = Callable[[Values], Any] | float
"""A piece of a formula: what computes it from the values of the names, or the number that it is."""


class Formula:
    """A formula in named variables.

    Args:
        text: the formula.
        names: variables that it may use.
        place: where it comes from, for errors: '--ode', 'system.toml, field energy'.

    Raises UserError that names the place, the character and the fault.
    """

    def __init__(self, text: str, names: Sequence[str], place: str = "formula") -> None:
        for name in names:
            if not NAME.fullmatch(name) or name in FUNCTIONS or name in CONSTANTS:
                raise UserError(f"{place}: '{name}' cannot name a variable of a formula.")
        self.text = " ".join(text.split())
        self.names = tuple(names)
        self.place = place
        tree = self._parsed()
        self.used = frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)) & set(names)
        """The variables that appear in it."""
        self._part = self._compiled(tree, 0)

    def __call__(self, **values: Any) -> Any:
        """The value for a value of every variable that is used: floats, numpy arrays or torch tensors that broadcast.

        Where the formula has none (log of a negative number) numbers and arrays give NaN or infinity, in silence.
        """
        if missing := sorted(self.used - values.keys()):
            raise TypeError(f"formula '{self.text}' needs a value of {', '.join(missing)}")
        part = self._part
        if not callable(part):
            return part
        if any(_is_tensor(value) for value in values.values()):
            return part(values)
        with np.errstate(all="ignore"):
            return part({name: np.asarray(value, np.float64)[()] for name, value in values.items()})

    def __repr__(self) -> str:
        return f"Formula({self.text!r}, {self.names!r})"

    def _parsed(self) -> ast.expr:
        if not self.text:
            raise UserError(f"{self.place}: an empty formula. It may use {self._vocabulary()}.")
        if len(self.text) > LONGEST:
            raise UserError(f"{self.place}: a formula of {len(self.text)} characters; {LONGEST} at most.")
        if "^" in self.text:
            raise self._fault(self.text.index("^"), "write ** for a power, not ^")
        try:
            return ast.parse(self.text, mode="eval").body
        except SyntaxError as error:
            at = min((error.offset or 1) - 1, len(self.text) - 1)
            raise self._fault(at, f"not a formula ({error.msg}). It may use {self._vocabulary()}") from None
        except (ValueError, RecursionError, MemoryError):
            raise UserError(f"{self.place}: '{self.text[:40]}' is not a formula.") from None

    def _compiled(self, node: ast.expr, depth: int) -> Part:
        if depth > DEEPEST:
            raise self._fault(self._at(node), f"more than {DEEPEST} operations inside one another")
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return self._number(lambda: float(value), node)
            case ast.Name(id=name) if name in CONSTANTS:
                return CONSTANTS[name]
            case ast.Name(id=name) if name in self.names:
                return operator.itemgetter(name)
            case ast.Name(id=name) if name in FUNCTIONS:
                raise self._fault(self._at(node), f"'{name}' is a function: {name}(...)")
            case ast.Name(id=name):
                known = [*self.names, *CONSTANTS, *FUNCTIONS]
                hint = did_you_mean(name, known)
                raise self._fault(self._at(node), f"unknown name '{name}'.{hint} It may use {self._vocabulary()}")
            case ast.UnaryOp(op=ast.UAdd(), operand=inner):
                return self._compiled(inner, depth + 1)
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                part = self._compiled(inner, depth + 1)
                return (lambda values: -part(values)) if callable(part) else -part
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                compute = OPERATORS[type(op)]
                return self._joined(compute, self._compiled(left, depth + 1), self._compiled(right, depth + 1), node)
            case ast.Call(func=ast.Name(id=name), args=[inner], keywords=[]) if name in FUNCTIONS:
                part = self._compiled(inner, depth + 1)
                if callable(part):
                    return lambda values: _apply(name, part(values))
                return self._number(lambda: float(_apply(name, part)), node)
            case ast.Call(func=ast.Name(id=name)):
                text = "takes one argument" if name in FUNCTIONS else f"is no function.{did_you_mean(name, FUNCTIONS)}"
                raise self._fault(self._at(node), f"'{name}' {text} Functions: {', '.join(FUNCTIONS)}")
            case _:
                raise self._fault(self._at(node), f"not arithmetic. It may use {self._vocabulary()}")

    def _joined(self, compute: Callable[[Any, Any], Any], left: Part, right: Part, node: ast.expr) -> Part:
        if callable(left) and callable(right):
            return lambda values: compute(left(values), right(values))
        if callable(left):
            return lambda values: compute(left(values), right)
        if callable(right):
            return lambda values: compute(left, right(values))
        return self._number(lambda: float(compute(left, right)), node)

    def _number(self, compute: Callable[[], float], node: ast.expr) -> float:
        """A part without variables. Raises UserError where it has no finite real value."""
        try:
            with np.errstate(all="ignore"):
                value = compute()
        except (ZeroDivisionError, OverflowError, TypeError):  # a complex power is a TypeError of float()
            value = math.nan
        if not math.isfinite(value):
            raise self._fault(self._at(node), "this has no finite value")
        return value

    def _at(self, node: ast.expr) -> int:
        """0-based character of the node; the syntax tree counts bytes."""
        return len(self.text.encode()[: node.col_offset].decode())

    def _fault(self, at: int, text: str) -> UserError:
        return UserError(f"{self.place}: '{self.text}', character {at + 1} ('{self.text[at:][:12]}'): {text}.")

    def _vocabulary(self) -> str:
        return f"{', '.join((*self.names, *CONSTANTS))}, numbers, + - * / **, and {', '.join(FUNCTIONS)}"


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")  # without torch imported, nothing is a tensor
    return torch is not None and isinstance(value, torch.Tensor)


def _apply(name: str, value: Any) -> Any:
    """The function of a number, an array or a tensor, in its own library."""
    library = sys.modules["torch"] if _is_tensor(value) else np
    return getattr(library, name)(value)

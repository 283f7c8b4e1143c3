"""Arithmetic of SPICE braces, {2*w1} or {sqrt(r1/r2)}: evaluated here when every name is known, else by ngspice."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from wheatstone.domains.electronic.analog.units import SUFFIXES

BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
CALLS: dict[str, Callable[..., Any]] = {
    "sqrt": math.sqrt, "abs": abs, "exp": math.exp, "ln": math.log, "min": min, "max": max, "int": math.trunc,
}  # fmt: skip
SUFFIXED = re.compile(
    r"(?<![\w.])((?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)(meg|mil|[tgkmunpfa])?[a-z]*(?![\w.])", re.IGNORECASE
)
NAME = re.compile(r"[a-z_]\w*", re.IGNORECASE)
LONGEST = 500
"""Characters of an expression; more is not one that a person wrote."""


class UnknownNameError(ValueError):
    """The expression needs a name that has no value."""


def names_in(text: str) -> set[str]:
    """Lower-case names of the expression, functions left out."""
    without_numbers = SUFFIXED.sub(" 0 ", text)
    return {name.lower() for name in NAME.findall(without_numbers)} - CALLS.keys()


def evaluate(text: str, values: Mapping[str, float]) -> float:
    """The value of the expression; `values` has lower-case names.

    Raises UnknownNameError for a name without a value, ValueError for what is not arithmetic or has no value.
    """
    if len(text) > LONGEST:
        raise ValueError(f"an expression of {len(text)} characters; {LONGEST} at most")
    plain = SUFFIXED.sub(lambda m: repr(float(m[1]) * SUFFIXES.get((m[2] or "").lower(), 1.0)), text.strip())
    try:
        tree = ast.parse(plain.replace("^", "**"), mode="eval")
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"'{text}' is not arithmetic") from None
    try:
        return float(_value(tree.body, values, text))
    except (ZeroDivisionError, OverflowError, TypeError):
        raise ValueError(f"'{text}' has no value") from None


def _value(node: ast.expr, values: Mapping[str, float], text: str) -> float:
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name(id=name):
            if name.lower() not in values:
                raise UnknownNameError(f"'{name}' in '{text}' has no value")
            return values[name.lower()]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, values, text)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand, values, text)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
            found = BINARY[type(op)](_value(left, values, text), _value(right, values, text))
            if isinstance(found, complex):  # a negative number to a broken power
                raise ValueError(f"'{text}' has no value")
            return found
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name.lower() in CALLS:
            return float(CALLS[name.lower()](*(_value(one, values, text) for one in args)))
        case _:
            raise ValueError(f"'{text}' is not arithmetic")

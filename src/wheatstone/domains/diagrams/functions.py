"""Elementwise functions: numbers to numbers, with their derivatives, on torch tensors and on numpy arrays alike.

A function is written once, with the library (torch or numpy) as its first argument; only `erf` is not in both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Library = Any
Numbers = Any
SQRT2, SQRT_2_PI = math.sqrt(2.0), math.sqrt(2.0 / math.pi)


@dataclass(frozen=True)
class Function:
    """An elementwise function of `inputs` arrays; `source` is its torch code with {0}, {1} and {value} in it."""

    compute: Callable[..., Any]
    """(library, constant, *arrays) -> array."""
    source: str
    """Empty where `source` has no short form of it."""
    inputs: int = 1
    slope: str | None = None
    """The function that is its derivative; None where `backward` has a rule of its own."""


def erf(lib: Library, x: Numbers) -> Numbers:
    """The error function; numpy has none, so it is asked of Python's, element by element."""
    if hasattr(lib, "erf"):
        return lib.erf(x)
    return lib.vectorize(math.erf, otypes=[x.dtype])(x) if x.size else x


def _sigmoid(lib: Library, x: Numbers) -> Numbers:
    return 0.5 * (lib.tanh(0.5 * x) + 1)


def _gelu(lib: Library, _: object, x: Numbers) -> Numbers:
    return 0.5 * x * (1 + erf(lib, x / SQRT2))


def _gelu_slope(lib: Library, _: object, x: Numbers) -> Numbers:
    return 0.5 * (1 + erf(lib, x / SQRT2)) + x * lib.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def _gelu_tanh(lib: Library, _: object, x: Numbers) -> Numbers:
    return 0.5 * x * (1 + lib.tanh(SQRT_2_PI * (x + 0.044715 * x**3)))


def _gelu_tanh_slope(lib: Library, _: object, x: Numbers) -> Numbers:
    inner = lib.tanh(SQRT_2_PI * (x + 0.044715 * x**3))
    return 0.5 * (1 + inner) + 0.5 * x * (1 - inner**2) * SQRT_2_PI * (1 + 3 * 0.044715 * x**2)


def _silu_slope(lib: Library, _: object, x: Numbers) -> Numbers:
    share = _sigmoid(lib, x)
    return share * (1 + x * (1 - share))


def _sigmoid_slope(lib: Library, _: object, x: Numbers) -> Numbers:
    share = _sigmoid(lib, x)
    return share * (1 - share)


def _positive(_: Library, __: object, x: Numbers) -> Numbers:
    return (x > 0) * _unit(x)


def _unit(x: Numbers) -> Numbers:
    return x.new_ones(()) if hasattr(x, "new_ones") else x.dtype.type(1)


def _one(compute: Callable[[Any, Any, Any], Any], source: str, slope: str | None = None) -> Function:
    return Function(compute, source, 1, slope)


def _two(compute: Callable[[Any, Any, Any, Any], Any], source: str) -> Function:
    return Function(compute, source, 2)


FUNCTIONS: Mapping[str, Function] = {
    "relu": _one(lambda _, __, x: x * (x > 0), "{0}.relu()", "relu'"),
    "relu'": _one(_positive, "({0} > 0).to({0})"),
    "gelu": _one(_gelu, "F.gelu({0})", "gelu'"),
    "gelu'": _one(_gelu_slope, ""),
    "gelu_tanh": _one(_gelu_tanh, 'F.gelu({0}, approximate="tanh")', "gelu_tanh'"),
    "gelu_tanh'": _one(_gelu_tanh_slope, ""),
    "silu": _one(lambda lib, _, x: x * _sigmoid(lib, x), "F.silu({0})", "silu'"),
    "silu'": _one(_silu_slope, ""),
    "sigmoid": _one(lambda lib, _, x: _sigmoid(lib, x), "{0}.sigmoid()", "sigmoid'"),
    "sigmoid'": _one(_sigmoid_slope, "{0}.sigmoid() * (1 - {0}.sigmoid())"),
    "tanh": _one(lambda lib, _, x: lib.tanh(x), "{0}.tanh()", "tanh'"),
    "tanh'": _one(lambda lib, _, x: 1 - lib.tanh(x) ** 2, "1 - {0}.tanh().square()"),
    "exp": _one(lambda lib, _, x: lib.exp(x), "{0}.exp()", "exp"),
    "square": _one(lambda _, __, x: x * x, "{0}.square()", "double"),
    "double": _one(lambda _, __, x: 2 * x, "2 * {0}", "two"),
    "two": _one(lambda lib, _, x: 2 * lib.ones_like(x), "2 * torch.ones_like({0})"),
    "scale": _one(lambda _, c, x: x * c, "{0} * {value}"),
    "shift": _one(lambda _, c, x: x + c, "{0} + {value}"),
    "add": _two(lambda _, __, x, y: x + y, "{0} + {1}"),
    "sub": _two(lambda _, __, x, y: x - y, "{0} - {1}"),
    "mul": _two(lambda _, __, x, y: x * y, "{0} * {1}"),
    "div": _two(lambda _, __, x, y: x / y, "{0} / {1}"),
    "equal": _two(lambda _, __, x, y: (x == y) * _unit(x), "({0} == {1}).to({0})"),
}
"""Every elementwise function. Those whose name ends in ' are slopes, which `backward` puts in."""

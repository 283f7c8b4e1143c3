"""Input functions of an operator: drawn from a space, or recorded by a user, and then known everywhere.

A function lives on the unit interval; an operator stretches it over its own domain. It is the cubic spline through its
values on a fine grid, so it can be read at any place, and what an operator makes of it does not depend on the sensors
through which a network sees it (labels that are computed from the sensors would turn the operator into a matrix).

    gaussian    Gaussian random field with the kernel exp(-d^2 / 2 l^2); l is a share of the interval
    rough       the same with the kernel exp(-d / l), Matérn 1/2: continuous, nowhere smooth
    power       a_0 + a_1 x + ... + a_7 x^7 with coefficients in [-1, 1]
    chebyshev   the same with Chebyshev polynomials on the interval

Source  Lu et al., Nature Machine Intelligence 3, 2021, arXiv:1910.03193, section 3 (fields and orthogonal polynomials)
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from wheatstone.bench.errors import UserError
from wheatstone.bench.extras import need

Array = np.ndarray[Any, np.dtype[np.float64]]
SpaceName = Literal["gaussian", "rough", "power", "chebyshev"]
TERMS = 8
"""Coefficients of a polynomial."""
SMALLEST = 1e-10
"""Eigenvalues of a covariance that are kept, over the largest: smaller ones move a function by less than 1e-4."""
NAMED: Mapping[str, Callable[[Array], Array]] = {
    "x": lambda x: x,
    "sin(pi x)": lambda x: np.sin(np.pi * x),
    "sin(2 pi x)": lambda x: np.sin(2 * np.pi * x),
    "x sin(2 pi x)": lambda x: x * np.sin(2 * np.pi * x),
}
"""Test functions with a formula, outside what a field usually gives (the paper's own four)."""


@dataclass(frozen=True, eq=False)
class FunctionBatch:
    """Functions on [0, 1].

    Attributes:
        grid: increasing places from 0 to 1, where the functions' values are given.
        values: the values there.
    """

    grid: Float[Array, " place"]
    values: Float[Array, "function place"]

    def __len__(self) -> int:
        return len(self.values)

    @functools.cached_property
    def spline(self) -> Any:
        """scipy's CubicSpline of all functions: call it with places to get [place, function]."""
        need("scipy", extra="physical", to="read functions between their points")
        from scipy.interpolate import CubicSpline

        return CubicSpline(self.grid, self.values.T)

    def at(self, x: Float[Array, " place"]) -> Float[Array, "function place"]:
        """The values at places in [0, 1]."""
        return np.ascontiguousarray(self.spline(np.asarray(x, np.float64)).T)

    def each_at(self, x: Float[Array, "function place"]) -> Float[Array, "function place"]:
        """The values of each function at places of its own."""
        coefficients = self.spline.c  # [power, piece, function], highest power first
        piece = np.clip(np.searchsorted(self.grid, x, side="right") - 1, 0, len(self.grid) - 2)
        d = x - self.grid[piece]
        rows = np.arange(len(self))[:, None]
        found = coefficients[0, piece, rows]
        for power in range(1, len(coefficients)):
            found = found * d + coefficients[power, piece, rows]
        return found

    def digests(self) -> list[str]:
        """A hash of each function: equal for equal functions, however many sensors look at them."""
        return [hashlib.sha256(row.tobytes()).hexdigest() for row in self.values]

    def __getitem__(self, rows: slice | Int[np.ndarray, " row"]) -> FunctionBatch:
        return FunctionBatch(self.grid, self.values[rows])

    def __add__(self, other: FunctionBatch) -> FunctionBatch:
        return FunctionBatch(self.grid, self.values + other.values)


@dataclass(frozen=True)
class FunctionSpace:
    """A distribution of functions.

    Attributes:
        name: see the module.
        length: correlation length of a field, a share of the interval.
        points: places of the grid (the paper's code: 1000).
        amplitude: factor on every function.
    """

    name: SpaceName = "gaussian"
    length: float = 0.2
    points: int = 500
    amplitude: float = 1.0

    def sample(self, n: int, rng: np.random.Generator) -> FunctionBatch:
        """`n` independent functions. Raises UserError for a length that no grid of this size resolves."""
        grid = np.linspace(0.0, 1.0, self.points)
        match self.name:
            case "power":
                basis = np.vander(grid, TERMS, increasing=True)
            case "chebyshev":
                basis = np.polynomial.chebyshev.chebvander(2 * grid - 1, TERMS - 1)
            case _:
                factor = _factor(self.name, self.length, self.points)
                return FunctionBatch(grid, self.amplitude * (rng.standard_normal((n, self.points)) @ factor.T))
        return FunctionBatch(grid, self.amplitude * (rng.uniform(-1, 1, (n, TERMS)) @ basis.T))


def named_functions(points: int = 500) -> FunctionBatch:
    """The functions of `NAMED`, in their order."""
    grid = np.linspace(0.0, 1.0, points)
    return FunctionBatch(grid, np.stack([function(grid) for function in NAMED.values()]))


@functools.lru_cache(maxsize=8)
def _factor(name: str, length: float, points: int) -> Float[Array, "place place"]:
    """F with F F^T = the field's covariance on the grid: eigenvectors times square roots, the largest first.

    The covariance of a smooth field is singular to rounding, so a Cholesky factor of it (the paper's code adds 1e-13 to
    the diagonal) draws other functions with another number of threads: 0.01 apart was seen. Eigenvectors down to
    `SMALLEST` are the same everywhere, once their signs are chosen.
    """
    if not length > 0 or length * (points - 1) < 1:
        raise UserError(f"correlation length: got {length:g}, must be above 1/{points - 1} of the interval.")
    distance = np.abs(np.subtract.outer(*2 * [np.linspace(0.0, 1.0, points)])) / length
    covariance = np.exp(-(distance**2) / 2) if name == "gaussian" else np.exp(-distance)
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = np.where(values > SMALLEST * values[0], values, 0.0)
    signs = np.where(vectors[0] < 0, -1.0, 1.0)  # none is zero at the end of the interval
    return np.asarray(vectors * (signs * np.sqrt(kept)), np.float64)

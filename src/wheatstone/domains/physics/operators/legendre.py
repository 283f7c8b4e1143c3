"""The Legendre transform: J_n{f} = integral of P_n(x) f(x) over [-1, 1], for n = 0 .. 19, by Gauss-Legendre quadrature.

Source  Lu et al. 2021, section 4.2 (a simple example of an explicit operator; its output has a whole number as place)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from wheatstone.domains.physics.function_spaces import Array, FunctionBatch
from wheatstone.domains.physics.operators import Box

NODES = 200
"""Of the quadrature: exact for polynomials up to degree 399."""


@dataclass(frozen=True)
class Legendre:
    """The operator from f on [-1, 1] to its coefficients, at places n = 0, 1, ..., orders - 1."""

    orders: int = 20

    @property
    def box(self) -> Box:
        return Box((0.0,), (self.orders - 1.0,), ("n",))

    @property
    def input_span(self) -> float:
        return 2.0

    def random_points(self, n: int, points: int, rng: np.random.Generator) -> Float[Array, "function point dim"]:
        """Random orders."""
        return rng.integers(0, self.orders, (n, points, 1)).astype(np.float64)

    def even_points(self, points: int) -> Float[Array, "point dim"]:  # noqa: ARG002, there are no more
        """All orders."""
        return np.arange(self.orders, dtype=np.float64)[:, None]

    def label(self, u: FunctionBatch, y: Float[Array, "function point dim"]) -> Float[Array, "function point"]:
        """The coefficients."""
        x, weights = np.polynomial.legendre.leggauss(NODES)
        polynomials = np.polynomial.legendre.legvander(x, self.orders - 1)
        all_orders = u.at((x + 1) / 2) @ (weights[:, None] * polynomials)
        return np.take_along_axis(all_orders, np.rint(y[:, :, 0]).astype(np.int64), axis=1)

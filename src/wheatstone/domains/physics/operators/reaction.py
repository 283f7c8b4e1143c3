"""Diffusion and reaction with a source: s_t = D s_xx + k s^2 + u(x) on [0, 1] x [0, T], zero at the start and edges.

Crank-Nicolson for diffusion and source, Adams-Bashforth of second order for the reaction (D is constant, so one sparse
factor serves every step and every function at once). The error falls with the square of both spacings.

Source  Lu et al. 2021, section 4.3: D = k = 0.01, 100 x 100 points
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from wheatstone.bench.errors import UserError
from wheatstone.bench.extras import need
from wheatstone.domains.physics.function_spaces import Array, FunctionBatch
from wheatstone.domains.physics.operators import Box


@dataclass(frozen=True)
class DiffusionReaction:
    """The operator from the source u(x) to s(x, t)."""

    diffusion: float = 0.01
    reaction: float = 0.01
    horizon: float = 1.0
    cells: int = 100
    """Spacings of the grid over x, and over t; labels exist on the grid (section 4.3)."""

    @property
    def box(self) -> Box:
        return Box((0.0, 0.0), (1.0, self.horizon), ("x", "t"))

    @property
    def input_span(self) -> float:
        return 1.0

    def random_points(self, n: int, points: int, rng: np.random.Generator) -> Float[Array, "function point dim"]:
        """Random points of the grid."""
        return rng.integers(0, self.cells + 1, (n, points, 2)) * np.array([1.0, self.horizon]) / self.cells

    def even_points(self, points: int) -> Float[Array, "point dim"]:
        """A coarser grid of the same kind, of about so many points."""
        side = np.unique(np.linspace(0, self.cells, max(2, round(points**0.5))).round()) / self.cells
        return np.stack(np.meshgrid(side, side * self.horizon, indexing="ij"), -1).reshape(-1, 2)

    def label(self, u: FunctionBatch, y: Float[Array, "function point dim"]) -> Float[Array, "function point"]:
        """s at points of the grid. Raises UserError for a function whose solution grows without bound."""
        s = self.solution(u)
        if not np.isfinite(s).all():
            index = int(np.flatnonzero(~np.isfinite(s).all((0, 1)))[0])
            raise UserError(f"diffusion-reaction: the solution for input function {index} grows without bound.")
        at = np.rint(y * self.cells / np.array([1.0, self.horizon])).astype(np.int64)
        return s[at[:, :, 1], at[:, :, 0], np.arange(len(u))[:, None]]

    def solution(self, u: FunctionBatch) -> Float[Array, "time x function"]:
        """s on the whole grid, edges included."""
        need("scipy", extra="physical", to="solve a diffusion-reaction equation")
        from scipy import sparse
        from scipy.sparse.linalg import splu

        n, dt = self.cells, self.horizon / self.cells
        inner = n - 1
        laplacian = sparse.diags_array([1.0, -2.0, 1.0], offsets=(-1, 0, 1), shape=(inner, inner)) * n**2  # pyright: ignore
        half = self.diffusion * dt / 2 * laplacian
        solve = splu(sparse.csc_array(sparse.eye_array(inner) - half)).solve
        forward = sparse.csr_array(sparse.eye_array(inner) + half)
        source = u.at(np.linspace(0, 1, n + 1)[1:-1]).T
        s = np.zeros((n + 1, n + 1, len(u)))
        before = np.zeros_like(source)
        with np.errstate(all="ignore"):
            for step in range(n):
                now = self.reaction * s[step, 1:-1] ** 2
                extrapolated = now if step == 0 else 1.5 * now - 0.5 * before
                s[step + 1, 1:-1] = solve(forward @ s[step, 1:-1] + dt * (source + extrapolated))
                before = now
        return s

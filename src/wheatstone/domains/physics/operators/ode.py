"""Ordinary differential equations driven by a function: s' = f(s, u, t) -> s(t), or any one of several states.

All functions are integrated at once by the classical Runge-Kutta method of order four; the number of steps is doubled
until doubling it again changes no value by more than the tolerance. What does not settle (a stiff equation) goes to
scipy's LSODA, function by function, and what has no solution up to the end is an error that names the function.
Between the steps the solution is the cubic Hermite polynomial of values and slopes, whose error has the same order.

Source  Lu et al. 2021, section 4.1: the antiderivative s' = u, s' = -s^2 + u, the pendulum s'' = -k sin s + u
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from wheatstone.bench.errors import UserError
from wheatstone.bench.extras import need
from wheatstone.domains.physics.formula import Formula
from wheatstone.domains.physics.function_spaces import Array, FunctionBatch
from wheatstone.domains.physics.operators import OverTime

BLOCK = 1000
"""Functions that are integrated at once: their steps have to fit in memory."""
FIRST_STEPS = 100
DOUBLINGS = 3
"""Then once more from steps that end where the pieces of the input's spline end: a rough input is smooth in them."""
BOUNDLESS = 1e6
"""A state that grows beyond this has no use as a label, and a solver would follow its pole for ever."""
TOLERANCE = 1e-7
"""Largest change of a value by doubling the steps, over the larger of 1 and the largest value of that solution."""
EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "antiderivative": ("u",),
    "riccati": ("-s**2 + u",),
    "pendulum": ("s2", "-sin(s) + u"),
}
"""Right-hand sides by name; the states are s, s2, s3 ... and the output is s."""


class Solution(NamedTuple):
    """Values and slopes of all states at even steps."""

    values: Float[Array, "step state function"]
    slopes: Float[Array, "step state function"]


@dataclass(frozen=True)
class Ode(OverTime):
    """An initial value problem; the states are s, s2, s3, ...

    Attributes:
        sides: the right-hand side of each state.
        horizon: the last time.
        start: the states at time 0; zeros when not given.
        output: which state is the operator's output, from 0.
        watch: called with the number of functions that have been solved since the last call.
    """

    sides: tuple[Formula, ...]
    horizon: float = 1.0
    start: tuple[float, ...] = ()
    output: int = 0
    watch: Callable[[int], None] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(
        cls,
        texts: Sequence[str],
        horizon: float = 1.0,
        start: Sequence[float] = (),
        place: str = "--ode",
        output: int = 0,
    ) -> Ode:
        """From text. Raises UserError for what is no formula of the states, u and t."""
        states = [_state(index) for index in range(len(texts))]
        if not texts:
            raise UserError(f"{place}: no equation.")
        if not horizon > 0 or not np.isfinite(horizon):
            raise UserError(f"{place}: the last time is {horizon:g}, must be above 0.")
        if start and len(start) != len(texts):
            raise UserError(f"{place}: {len(start)} initial values for {len(texts)} equations.")
        return cls(tuple(Formula(text, [*states, "u", "t"], place) for text in texts), horizon, tuple(start), output)

    def label(self, u: FunctionBatch, y: Float[Array, "function point dim"]) -> Float[Array, "function point"]:
        """The output of each function at times of its own. Raises UserError that names a function without solution."""
        if len(u) > BLOCK:
            blocks = [slice(first, first + BLOCK) for first in range(0, len(u), BLOCK)]
            return np.concatenate([self._solved(u[block], y[block, :, 0], block.start) for block in blocks])
        return self._solved(u, y[:, :, 0], 0)

    def _solved(self, u: FunctionBatch, t: Float[Array, "function point"], first: int) -> Array:
        """s of functions that are called `first`, `first` + 1, ... in errors."""
        found = np.empty(t.shape)
        left = np.arange(len(u))
        pieces = len(u.grid) - 1
        for first_steps in (FIRST_STEPS, pieces * -(-4 * FIRST_STEPS // pieces)):
            coarse = self._integrated(u[left], first_steps)
            for doubling in range(1, DOUBLINGS + 1):
                fine = self._integrated(u[left], first_steps * 2**doubling)
                settled = _settled(coarse, fine)
                found[left[settled]] = _between(fine, self.output, t[left], self.horizon)[settled]
                left, coarse = left[~settled], Solution(*(part[:, :, ~settled] for part in fine))
                self._told(int(settled.sum()))
                if not len(left):
                    return found
        for index in left:
            found[index] = self._stiff(u[index : index + 1], first + int(index), t[index])
            self._told(1)
        return found

    def _told(self, solved: int) -> None:
        if self.watch is not None:
            self.watch(solved)

    def _slopes(self, s: Float[Array, "state function"], u: Float[Array, " function"], t: float) -> Array:
        values: dict[str, Any] = {_state(index): row for index, row in enumerate(s)}
        return np.stack([np.broadcast_to(side(**values, u=u, t=t), u.shape) for side in self.sides])

    def _integrated(self, u: FunctionBatch, steps: int) -> Solution:
        """Runge-Kutta 4 over even steps; values that overflow stay infinite or NaN."""
        h = self.horizon / steps
        drive = u.at(np.linspace(0.0, 1.0, 2 * steps + 1)).T  # at every half step
        s = np.repeat(self._start()[:, None], len(u), axis=1)
        values, slopes = [s], [self._slopes(s, drive[0], 0.0)]
        with np.errstate(all="ignore"):
            for step in range(steps):
                t, k1 = step * h, slopes[-1]
                k2 = self._slopes(s + h / 2 * k1, drive[2 * step + 1], t + h / 2)
                k3 = self._slopes(s + h / 2 * k2, drive[2 * step + 1], t + h / 2)
                k4 = self._slopes(s + h * k3, drive[2 * step + 2], t + h)
                s = s + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
                values.append(s)
                slopes.append(self._slopes(s, drive[2 * step + 2], t + h))
        return Solution(np.stack(values), np.stack(slopes))

    def _stiff(self, one: FunctionBatch, index: int, t: Float[Array, " point"]) -> Float[Array, " point"]:
        need("scipy", extra="physical", to="solve a stiff equation")
        from scipy.integrate import solve_ivp

        def slopes(time: float, s: Array) -> Array:
            return self._slopes(s[:, None], one.at(np.array([time / self.horizon]))[:, 0], time)[:, 0]

        def is_bounded(_: float, s: Array) -> float:
            return BOUNDLESS - float(np.abs(s).max())

        setattr(is_bounded, "terminal", True)  # noqa: B010, scipy reads this attribute: the integration ends where the sign changes
        options: dict[str, Any] = {"rtol": 1e-8, "atol": 1e-10, "max_step": self.horizon / 50, "events": is_bounded}
        with np.errstate(all="ignore"):
            solved = solve_ivp(slopes, (0, self.horizon), self._start(), "LSODA", np.unique(t), **options)
        if solved.status != 0 or not np.isfinite(solved.y).all() or solved.y.shape[1] != len(np.unique(t)):
            equations = "; ".join(side.text for side in self.sides)
            raise UserError(
                f"{self.sides[0].place}: '{equations}' has no bounded solution up to t = {self.horizon:g} for input "
                f"function {index}. Shorten the time, or make the inputs smaller."
            )
        return solved.y[self.output][np.searchsorted(np.unique(t), t)]

    def _start(self) -> Float[Array, " state"]:
        return np.array(self.start or [0.0] * len(self.sides))


def _state(index: int) -> str:
    return "s" if index == 0 else f"s{index + 1}"


def _settled(coarse: Solution, fine: Solution) -> Bool[np.ndarray, " function"]:
    """Whether the steps of each function were small enough."""
    with np.errstate(all="ignore"):
        change = np.abs(fine.values[::2] - coarse.values).max((0, 1))
        return change <= TOLERANCE * np.maximum(1.0, np.abs(fine.values).max((0, 1)))


def _between(
    solution: Solution, state: int, t: Float[Array, "function point"], horizon: float
) -> Float[Array, "function point"]:
    """One state at any time: the cubic Hermite polynomial of the two steps around it."""
    steps = len(solution.values) - 1
    h = horizon / steps
    at = np.clip((t / h).astype(np.int64), 0, steps - 1)
    x, rows = t / h - at, np.arange(len(t))[:, None]
    s0, s1 = solution.values[at, state, rows], solution.values[at + 1, state, rows]
    d0, d1 = h * solution.slopes[at, state, rows], h * solution.slopes[at + 1, state, rows]
    with np.errstate(all="ignore"):
        return s0 + x * (d0 + x * (3 * (s1 - s0) - 2 * d0 - d1 + x * (2 * (s0 - s1) + d0 + d1)))

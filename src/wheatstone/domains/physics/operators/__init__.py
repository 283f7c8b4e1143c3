"""Operators: what makes an output function of an input function, solved by a real engine for each.

An operator knows its domain, says where its output can be asked for, and gives labels; it never sees the sensors.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float

from wheatstone.domains.physics.function_spaces import Array, FunctionBatch


class Box(NamedTuple):
    """The domain of an operator's output."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    names: tuple[str, ...]
    """Name of each coordinate with its unit, as 't [s]'."""


class Operator(Protocol):
    """A map from functions on [0, 1] (stretched over [0, `input_span`]) to functions on a box."""

    @property
    def box(self) -> Box: ...
    @property
    def input_span(self) -> float:
        """Length of the interval on which the input lives, in its own unit."""
        ...

    def random_points(self, n: int, points: int, rng: np.random.Generator) -> Float[Array, "function point dim"]:
        """Places for labels, drawn anew for each function."""
        ...

    def even_points(self, points: int) -> Float[Array, "point dim"]:
        """About so many places that cover the box evenly, the same for every function."""
        ...

    def label(self, u: FunctionBatch, y: Float[Array, "function point dim"]) -> Float[Array, "function point"]:
        """The output of each function at places of its own. Raises UserError that names a function without answer."""
        ...


class OverTime:
    """The part of an operator whose output is asked for at times from 0 to `horizon`."""

    horizon: float
    time_name = "t"

    @property
    def box(self) -> Box:
        return Box((0.0,), (self.horizon,), (self.time_name,))

    @property
    def input_span(self) -> float:
        return self.horizon

    def random_points(self, n: int, points: int, rng: np.random.Generator) -> Float[Array, "function point dim"]:
        """Uniform times."""
        return rng.uniform(0, self.horizon, (n, points, 1))

    def even_points(self, points: int) -> Float[Array, "point dim"]:
        """Even times from 0 to the horizon."""
        return np.linspace(0, self.horizon, points)[:, None]


def same_for_all(y: Float[Array, "point dim"], n: int) -> Float[Array, "function point dim"]:
    """The same places for each of n functions, as a view."""
    return np.broadcast_to(y, (n, *y.shape))

"""How fast something is learnt: a logistic curve of accuracy over the logarithm of steps.

accuracy(s) = ceiling / (1 + (midpoint / s) ** steepness), the three parameters that arXiv:2510.25791 describes the
learning of reasoning with: where it ends, when half of that is reached, and how suddenly. It says more than the first
step above a threshold, which only ever falls on an evaluation, and has a value too where the threshold is not reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

MIDPOINTS, STEEPNESSES = 200, 60
"""Values tried of each, evenly spaced by their logarithm; then twice more around the best."""
STEEPEST = 30.0
"""A rise between two evaluations looks the same from here on."""


class Logistic(NamedTuple):
    """A fitted curve."""

    ceiling: float
    """Accuracy at the end of learning, in [0, 1]."""
    midpoint: float
    """Steps at which half of it is reached."""
    steepness: float
    """Exponent: the odds of the ceiling grow as steps to this power; 10 % to 90 % takes 81 ** (1 / steepness) times."""
    rms: float
    """Root mean square of what the curve leaves over."""

    def at(self, steps: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The curve."""
        return self.ceiling * _rise(np.log(np.asarray(steps, float)), np.log(self.midpoint), self.steepness)


def fit_logistic(steps: Sequence[float], accuracy: Sequence[float]) -> Logistic | None:
    """The least-squares curve through evaluations; None below four of them, and where nothing is ever right.

    The midpoint lies within the steps, or up to a decade before them. For each midpoint and steepness of a grid the
    best ceiling is known in closed form, so no start has to be chosen and the same points always give the same curve.
    """
    known = np.isfinite(np.asarray(accuracy, float)) & (np.asarray(steps, float) > 0)
    x, y = np.log(np.asarray(steps, float)[known]), np.asarray(accuracy, float)[known]
    if len(x) < 4 or not y.max(initial=0.0) > 0:
        return None
    low, high = np.array([x.min() - np.log(10), np.log(0.5)]), np.array([x.max(), np.log(STEEPEST)])
    ends = low.copy(), high.copy()
    found = Logistic(0.0, 1.0, 1.0, np.inf)
    for _ in range(3):
        middle, steep = np.linspace(low[0], high[0], MIDPOINTS), np.exp(np.linspace(low[1], high[1], STEEPNESSES))
        rise = _rise(x, middle[:, None, None], steep[:, None])
        ceiling = np.clip((rise @ y) / np.square(rise).sum(-1), 0, 1)
        left = np.square(y - ceiling[..., None] * rise).mean(-1)
        best = np.unravel_index(left.argmin(), left.shape)
        found = Logistic(
            float(ceiling[best]), float(np.exp(middle[best[0]])), float(steep[best[1]]), float(left[best] ** 0.5)
        )
        width = 3 * (high - low) / (MIDPOINTS, STEEPNESSES)
        centre = np.log([found.midpoint, found.steepness])
        low, high = np.maximum(ends[0], centre - width), np.minimum(ends[1], centre + width)
    return found


def _rise(x: npt.NDArray[np.float64], middle: npt.ArrayLike, steep: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The curve with a ceiling of 1, at log steps x."""
    return 1 / (1 + np.exp(np.clip(np.asarray(steep) * (np.asarray(middle) - x), -700, 700)))

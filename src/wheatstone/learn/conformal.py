"""Error bars that hold whatever the model: their size is read off cases that the model was not fitted to.

A model says what it expects and on what scale it may err; neither has to be right. On `n` held-out cases the ratio of
error to scale is measured, and the factor that the scale is multiplied with is chosen so that a new case, drawn as the
held-out ones were, is covered as often as asked, in finite samples and on average over draws:

    split_quantile   a case has one score (a residual, the largest ratio of a whole curve, 1 - probability of the true
                     class): the new score is at most the returned one with probability `level` at least
    risk_factor      a case is a curve of several ratios: the expected share of its points within the returned factor is
                     `level` at least, although the points of one curve depend on each other

Cases, not points, are what is exchangeable: a hundred points of one curve are one case. Where there are too few cases
for the level no finite factor can be promised, and infinity is returned.

Source  Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; Lei et al., JASA 113, 2018 (split
        conformal prediction); Angelopoulos et al., ICLR 2024, arXiv:2208.02814 (expected losses, eq. 4)
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float

Array = np.ndarray[Any, np.dtype[np.float64]]
ROUNDING = 1e-9
"""So that 0.9 * 10 is 9, not a little more."""


def split_quantile(scores: Float[Array, " case"], level: float) -> float:
    """The score that a new case exceeds with probability 1 - level at most.

    Args:
        scores: of cases that the model was not fitted to; the larger, the worse.
        level: share of cases to be covered, in (0, 1).
    """
    rank = math.ceil((len(scores) + 1) * level - ROUNDING)
    return float(np.sort(scores)[rank - 1]) if 1 <= rank <= len(scores) else math.inf


def risk_factor(ratios: Float[Array, "case point"], level: float) -> float:
    """The factor that covers `level` of a new case's points at least, in expectation.

    Args:
        ratios: error over scale at every point of cases that the model was not fitted to; not negative.
        level: share of points to be covered, in (0, 1).
    """
    n, points = ratios.shape
    # A point outside is a loss of 1/points, a case loses 1 at most: (sum of losses + 1) / (n + 1) <= 1 - level.
    outside = math.floor(points * ((1 - level) * (n + 1) - 1) + ROUNDING)
    if outside < 0 or n == 0:
        return math.inf
    return float(np.sort(ratios, axis=None)[max(0, n * points - 1 - outside)])


def fewest_cases(level: float) -> int:
    """Held-out cases from which a finite factor can be promised."""
    return math.ceil(level / (1 - level) - ROUNDING)

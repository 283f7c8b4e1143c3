"""Does a number that is measured during training tell how the test fares? Rank correlation over the evaluations.

Two curves that only ever rise correlate perfectly and say nothing of each other. The correlation of their first
differences, and of the same monitor on data that cannot generalise, is what a correlation has to be read beside; so is
the number of evaluations that it rests on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Numbers = Sequence[float] | npt.NDArray[np.integer | np.floating]


def ranks(values: Numbers) -> npt.NDArray[np.float64]:
    """Ranks from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[inverse]


def spearman(x: Numbers, y: Numbers) -> float:
    """Spearman's rank correlation in [-1, 1]; NaN below two points, with a NaN, and where a side is constant."""
    if len(x) < 2 or np.isnan(np.asarray(x, float)).any() or np.isnan(np.asarray(y, float)).any():
        return float("nan")
    a, b = ranks(x), ranks(y)
    if a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def tells(monitor: Numbers, test: Numbers) -> float:
    """`spearman` of evaluations: 0 where a side is constant, since it foretells nothing; NaN below three of them."""
    if len(monitor) < 3 or np.isnan(np.asarray(monitor, float)).any() or np.isnan(np.asarray(test, float)).any():
        return float("nan")
    found = spearman(monitor, test)
    return 0.0 if np.isnan(found) else found


def settles(values: Sequence[float], at_least: float, times: int = 3) -> int | None:
    """The index of the first of `times` consecutive values that are all `at_least`; None if there are none."""
    run = 0
    for index, value in enumerate(values):
        run = run + 1 if value >= at_least else 0
        if run == times:
            return index - times + 1
    return None


def fall(values: Sequence[float]) -> float:
    """How far the last quarter of a curve lies below its peak, as a share of it; the peak is the highest mean of three
    consecutive values, so that one noisy value is none. NaN for fewer than three, or a peak that is not above 0."""
    found = np.asarray(values, float)
    if len(found) < 3 or np.isnan(found).any():
        return float("nan")
    peak = float((found[:-2] + found[1:-1] + found[2:]).max()) / 3
    return 1.0 - float(found[-max(1, len(found) // 4) :].mean()) / peak if peak > 0 else float("nan")

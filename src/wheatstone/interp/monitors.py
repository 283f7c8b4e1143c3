"""Does a number that is measured during training tell how the test fares? Rank correlation over the evaluations.

Two curves that only ever rise correlate perfectly and say nothing of each other. What a correlation has to be read
beside: that of first differences, that with the trend in time taken out (`detrended`), that of the same monitor on data
that cannot generalise, and how certain so few evaluations make it, neighbours being alike (`block_bootstrap`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from wheatstone.bench.verdict import Interval

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


def detrended(monitor: Numbers, test: Numbers) -> float:
    """`tells` with the order of the evaluations held fixed: the partial rank correlation given time (Kendall 1942).

    0 where either curve is a function of time alone, up to ranks; NaN below four evaluations.
    """
    if len(monitor) < 4:
        return float("nan")
    time = np.arange(len(monitor))
    both, of_monitor, of_test = tells(monitor, test), tells(monitor, time), tells(test, time)
    left = (1 - of_monitor**2) * (1 - of_test**2)
    return both if math.isnan(left) else (both - of_monitor * of_test) / math.sqrt(left) if left > 1e-12 else 0.0


def block_bootstrap(
    statistic: Callable[..., float],
    *curves: Numbers,
    rng: np.random.Generator,
    draws: int = 1000,
    block: int | None = None,
) -> Interval:
    """The 95 % interval of a statistic of curves over the same evaluations, from blocks of neighbours drawn at random.

    Moving blocks (Künsch, Annals of Statistics 17, 1989): neighbouring evaluations are alike, so that drawing them one
    by one would promise too much.

    Args:
        statistic: of as many sequences as there are curves.
        block: evaluations in a block; None is the square root of their number, rounded up.

    Returns percentiles 2.5 and 97.5 of the draws around the statistic itself; NaN where that is NaN.
    """
    values = np.array(curves, float)
    found, n = statistic(*values), values.shape[1]
    if math.isnan(found):
        return Interval(found, found, found)
    length = min(n, math.ceil(math.sqrt(n)) if block is None else block)
    starts = rng.integers(n - length + 1, size=(draws, -(-n // length)))
    rows = (starts[..., None] + np.arange(length)).reshape(draws, -1)[:, :n]
    drawn = [statistic(*values[:, row]) for row in rows]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Interval(float(low), found, float(high))


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

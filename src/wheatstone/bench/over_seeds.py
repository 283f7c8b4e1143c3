"""What a figure says of an arm: a measure of every seed, their mean with its interval, and how many seeds that are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from wheatstone.bench.exhibit import BarSeries
from wheatstone.bench.run import Run
from wheatstone.bench.verdict import t_interval


class Spread(NamedTuple):
    """A mean over seeds, and its 95 % t interval (NaN for a single seed)."""

    mean: float
    low: float
    high: float


UNKNOWN = Spread(math.nan, math.nan, math.nan)


def finished_arms(run: Run) -> list[str]:
    """The arms of which all seeds have finished."""
    return [arm for arm in run.arms if all(run.trial(arm, seed).is_finished for seed in run.seeds)]


def measured(run: Run, arm: str, measure: str) -> list[float]:
    """The measure of each seed; NaN where it has none."""
    return [(run.trial(arm, seed).measures() or {}).get(measure, math.nan) for seed in run.seeds]


def spread(values: Sequence[float]) -> Spread:
    """Mean and interval; unknown without values, and where one of them is NaN."""
    if not values or not all(map(math.isfinite, values)):
        return UNKNOWN
    if len(values) == 1:
        return Spread(values[0], math.nan, math.nan)
    interval = t_interval(values)
    return Spread(math.fsum(values) / len(values), interval.low, interval.high)


def bars_of(label: str, spreads: Sequence[Spread], arm: str | None = None) -> BarSeries:
    """One bar for each, with its interval."""
    return BarSeries(
        label, [one.mean for one in spreads], [one.low for one in spreads], [one.high for one in spreads], arm
    )


def n_seeds(run: Run) -> str:
    """'n = 3 seeds', for a title."""
    return f"n = {len(run.seeds)} seed{'' if len(run.seeds) == 1 else 's'}"

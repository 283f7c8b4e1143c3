"""Means over seeds with their intervals, and what stands for a seed without a value."""

from __future__ import annotations

import math

import pytest
from scipy.stats import t

from wheatstone.bench.over_seeds import UNKNOWN, Spread, bars_of, spread


def test_a_spread_is_the_mean_with_students_interval() -> None:
    found = spread([1.0, 2.0, 6.0])
    low, high = t.interval(0.95, 2, loc=3.0, scale=math.sqrt(7.0 / 3))
    assert found == pytest.approx(Spread(3.0, low, high))


def test_one_seed_has_no_interval_and_a_missing_value_no_mean() -> None:
    alone = spread([0.5])
    assert alone.mean == 0.5
    assert math.isnan(alone.low)
    assert all(map(math.isnan, spread([0.5, math.nan])))
    assert all(map(math.isnan, spread([])))


def test_bars_carry_their_intervals() -> None:
    bars = bars_of("x", [Spread(1.0, 0.5, 1.5), UNKNOWN], "arm")
    assert (bars.label, bars.arm, bars.values[0], bars.low and bars.low[0]) == ("x", "arm", 1.0, 0.5)
    assert math.isnan(bars.values[1])

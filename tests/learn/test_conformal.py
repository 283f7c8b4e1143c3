"""Conformal factors: coverage on average over draws, neither less nor much more, whatever the distribution."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wheatstone.learn.conformal import fewest_cases, risk_factor, split_quantile

RNG = np.random.default_rng


def test_ranks_against_arithmetic() -> None:
    scores = np.arange(1.0, 10)  # nine cases: the rank of 0.9 is ceil(10 * 0.9) = 9
    assert split_quantile(scores, 0.9) == 9
    assert split_quantile(scores, 0.5) == 5
    assert split_quantile(scores[:8], 0.9) == math.inf
    assert split_quantile(scores[::-1].copy(), 0.8) == 8
    # 19 cases of two points: (outside / 2 + 1) / 20 <= 0.1 allows two points outside of 38.
    ratios = np.arange(38.0).reshape(19, 2)
    assert risk_factor(ratios, 0.9) == 35
    assert risk_factor(ratios[:9], 0.9) == 17
    assert risk_factor(ratios[:8], 0.9) == math.inf
    assert risk_factor(ratios[:0], 0.9) == math.inf


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_the_fewest_cases_are_the_fewest(level: float) -> None:
    n = fewest_cases(level)
    ratios = RNG(0).exponential(size=(n, 3))
    assert math.isfinite(risk_factor(ratios, level))
    assert math.isfinite(split_quantile(ratios[:, 0], level))
    assert risk_factor(ratios[1:], level) == math.inf
    assert split_quantile(ratios[1:, 0], level) == math.inf


@pytest.mark.parametrize("n", [9, 20, 50])
def test_coverage_over_many_draws(n: int) -> None:
    """Points of a curve share a heavy-tailed factor: as if they were one point, so counting points would fail."""
    draw, points, level = RNG(n), 40, 0.9

    def curves(k: int) -> np.ndarray:
        return np.abs(draw.standard_t(2, (k, 1)) + 0.3 * draw.standard_normal((k, points)))

    covered, whole = [], []
    for _ in range(1500):
        held, new = curves(n), curves(20)
        covered.append((new <= risk_factor(held, level)).mean())
        whole.append((new.max(1) <= split_quantile(held.max(1), level)).mean())
    for found, most in ((covered, level + 1 / (n + 1)), (whole, level + 1 / (n + 1))):
        error = 3 * np.std(found) / math.sqrt(len(found))
        assert level - error < np.mean(found) < most + error

"""The logistic fit finds the curve that made the points, and says None where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from wheatstone.learn.kinetics import Logistic, fit_logistic

STEPS = np.unique(np.geomspace(1, 1000, 30).round())


@pytest.mark.parametrize("made", [(1.0, 90.0, 4.0), (0.6, 300.0, 2.0), (0.95, 12.0, 10.0)])
def test_the_curve_that_made_the_points(made: tuple[float, float, float]) -> None:
    points = Logistic(*made, 0.0).at(STEPS)
    found = fit_logistic(STEPS.tolist(), points.tolist())
    assert found is not None
    assert found[:3] == pytest.approx(made, rel=0.02)
    assert found.rms < 1e-3
    noisy = fit_logistic(STEPS.tolist(), (points + np.random.default_rng(0).normal(0, 0.03, len(points))).tolist())
    assert noisy is not None
    assert noisy.midpoint == pytest.approx(made[1], rel=0.15)
    assert noisy.rms == pytest.approx(0.03, rel=0.4)


def test_it_agrees_with_a_descent_from_the_true_start() -> None:
    optimize = pytest.importorskip("scipy.optimize")

    def curve(x: np.ndarray, ceiling: float, middle: float, steep: float) -> np.ndarray:
        return ceiling / (1 + np.exp(steep * (middle - x)))

    noisy = Logistic(0.8, 60.0, 3.0, 0.0).at(STEPS) + np.random.default_rng(1).normal(0, 0.05, len(STEPS))
    (ceiling, middle, steep), _ = optimize.curve_fit(curve, np.log(STEPS), noisy, p0=(0.8, np.log(60), 3))
    found = fit_logistic(STEPS.tolist(), noisy.tolist())
    assert found is not None
    assert found[:3] == pytest.approx((ceiling, np.exp(middle), steep), rel=0.01)


def test_no_curve_without_points_or_without_learning() -> None:
    assert fit_logistic([1, 2, 3], [0, 0.5, 1]) is None
    assert fit_logistic([1, 2, 3, 4], [0, 0, 0, 0]) is None
    assert fit_logistic([1, 2, 3, 4], [float("nan")] * 4) is None
    held = fit_logistic([1, 2, 4, 8, 16], [0.5, float("nan"), 0.5, 0.5, 0.5])
    assert held is not None  # a gap is no point
    assert held.at([16])[0] == pytest.approx(0.5, abs=0.02)

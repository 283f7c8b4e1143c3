"""What every trial of `deeponet` returns, and how a prediction is scored."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from wheatstone.domains.physics.function_spaces import Array

OUTLIERS = 0.001
"""Share of test points that the trimmed error leaves out: the worst ones."""
NAN = float("nan")

MEASURES = {
    "train_mse": "mean squared error on the training triples (squared unit of the output)",
    "test_mse": "mean squared error on test functions, all points (squared unit of the output)",
    "test_mse_trimmed": "the same without the worst 0.1 % of points (squared unit of the output)",
    "log10_test_mse": "decimal logarithm of test_mse",
    "generalisation_ratio": "test_mse over train_mse",
    "relative_l2": "L2 error of a test function's output over the L2 norm of the output, mean over functions",
    "r2": "1 - test_mse over that of predicting the mean of all test labels; 1 is perfect, 0 no better than the mean",
    "nonlinearity": "RMS of G(u1 + u2) - G(u1) - G(u2) over RMS of G(u1 + u2), for held-out pairs, as predicted",
    "true_nonlinearity": "the same of the operator itself; NaN where it is not computed",
    "log10_shorter_mse": "log10 of the mean squared error on functions of half the correlation length",
    "log10_longer_mse": "the same on functions of 2.5 times the correlation length",
    "log10_named_mse": "the same on x, sin(pi x), sin(2 pi x) and x sin(2 pi x)",
    "log10_mean_mse": "log10 of the error of predicting the mean of all test labels",
    "order": "exponent of test_mse as a power of what a sweep varies, by least squares of logarithms",
    "order_error": "standard error of that exponent in one trial",
    "best_width": "width of the network with the least test error of a grid",
    "best_rate": "its learning rate",
    "least_train_mse": "least training error of any network of a grid",
    "spread": "mean standard deviation of an ensemble's members on test functions (unit of the output)",
    "spread_shorter": "the same on functions of half the correlation length",
    "spread_error_correlation": "Spearman correlation of a function's mean spread and its RMS error, over test and "
    "other functions",
    "coverage": "share of test points whose truth lies within two standard deviations of the members' mean",
    "bar_coverage": "share of test points within the calibrated 90 % error bars",
    "bar_coverage_shorter": "the same on functions of half the correlation length, of which calibration promises "
    "nothing",
    "band_coverage": "share of test functions that lie within the calibrated 90 % band everywhere",
    "bar_width": "mean half-width of the error bars on test functions (unit of the output)",
    "n_shared": "functions that are in two of training, test and calibration: must be 0",
    "parameters": "numbers that training changes",
    "left_out": "input functions that ngspice found no answer for",
    "spice_runs": "simulations by ngspice behind the labels",
}


class Scores(NamedTuple):
    """How good predictions are."""

    mse: float
    trimmed: float
    relative_l2: float
    r2: float
    mean_mse: float


def scores(predicted: Float[Array, "function point"], truth: Float[Array, "function point"]) -> Scores:
    """All scores of predictions at the same places for each function."""
    squared = (predicted - truth) ** 2
    flat = np.sort(squared, axis=None)
    kept = flat[: max(1, int(np.ceil(len(flat) * (1 - OUTLIERS))))]
    norms = np.sqrt((truth**2).mean(1))
    # A function whose output is zero everywhere has no relative error.
    told = norms > 1e-12 * max(1.0, float(norms.max()))
    relative = (np.sqrt(squared.mean(1))[told] / norms[told]).mean() if told.any() else np.nan
    of_mean = float(((truth - truth.mean()) ** 2).mean())
    mse = float(squared.mean())
    return Scores(mse, float(kept.mean()), float(relative), 1 - mse / of_mean if of_mean > 0 else NAN, of_mean)


def rank_correlation(a: Float[Array, " one"], b: Float[Array, " one"]) -> float:
    """Spearman's correlation; NaN where one side is constant."""
    if len(a) < 3 or a.std() == 0 or b.std() == 0:
        return NAN
    one, other = (np.argsort(np.argsort(values)) - (len(values) - 1) / 2 for values in (a, b))
    return float((one * other).sum() / (one**2).sum())

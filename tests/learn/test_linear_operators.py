"""Closed forms: exact where the operator is linear, wrong where it is not, and blind to nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from wheatstone.domains.physics.function_spaces import FunctionSpace
from wheatstone.learn.linear_operators import LinearOperator, PodOperator, reduced

RNG = np.random.default_rng
FUNCTIONS = FunctionSpace(points=100, length=0.4).sample(300, RNG(0))
U = FUNCTIONS.at(np.linspace(0, 1, 40))
Y = np.linspace(0, 1, 21)[:, None]
S = FUNCTIONS.spline.antiderivative()(Y[:, 0]).T


def relative(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(((found - truth) ** 2).mean() / (truth**2).mean()))


def test_ridge_solves_an_antiderivative_from_scattered_labels() -> None:
    at = RNG(1).integers(0, 21, (250, 4))
    linear = LinearOperator(U[:250], Y[at], np.take_along_axis(S[:250], at, 1), (0.0,), (1.0,), RNG(2))
    assert relative(linear.everywhere(U[250:], Y), S[250:]) < 0.01
    assert np.allclose(linear.at(U[250:], np.broadcast_to(Y, (50, 21, 1))), linear.everywhere(U[250:], Y))


def test_components_solve_it_and_squares_of_it() -> None:
    assert relative(PodOperator(U[:250], S[:250], RNG(2)).everywhere(U[250:]), S[250:]) < 1e-3
    squares = PodOperator(U[:250], S[:250] ** 2, RNG(2))
    assert squares.setting[0] >= 2
    assert relative(squares.everywhere(U[250:]), S[250:] ** 2) < 0.05


def test_a_reduction_carries_the_outputs_and_knows_what_it_leaves() -> None:
    linear, squares = (reduced(U[:250], s, 16, RNG(0)) for s in (S[:250], S[:250] ** 2))
    x = np.concatenate([U[250:], np.ones((50, 1))], axis=1)
    assert relative(linear.mean + x @ linear.ridge @ linear.modes, S[250:]) < 1e-3
    assert linear.left.max() < 1e-3
    assert squares.left[0] > 0.3
    assert len(linear.modes) <= 16


def test_ridge_cannot_learn_squares() -> None:
    y = np.broadcast_to(Y, (250, 21, 1))
    linear = LinearOperator(U[:250], y, S[:250] ** 2, (0.0,), (1.0,), RNG(2))
    assert relative(linear.everywhere(U[250:], Y), S[250:] ** 2) > 0.3


@pytest.mark.parametrize("n", [2, 12])
def test_few_functions_are_no_fault(n: int) -> None:
    assert np.isfinite(PodOperator(U[:n], S[:n], RNG(0)).everywhere(U[:3])).all()

"""Every optimiser finds an easy optimum, beats uniform points, and repeats itself from its seed."""

from __future__ import annotations

import numpy as np
import pytest

from wheatstone.learn.blackbox import OPTIMISERS, BayesianOptimiser, Optimiser

DIM = 4


def bowl(point: np.ndarray) -> float:
    return -float(np.square(point - np.array([0.2, 0.4, 0.6, 0.9])).sum())


def searched(optimiser: Optimiser, steps: int) -> tuple[float, list[np.ndarray]]:
    points: list[np.ndarray] = []
    for _ in range(steps):
        points.append(optimiser.ask())
        optimiser.tell(points[-1], bowl(points[-1]))
    return max(map(bowl, points)), points


@pytest.mark.parametrize("name", OPTIMISERS)
def test_stays_in_the_cube_and_repeats_itself(name: str) -> None:
    first, points = searched(OPTIMISERS[name](DIM, np.random.default_rng(1)), 45)
    second, _ = searched(OPTIMISERS[name](DIM, np.random.default_rng(1)), 45)
    other, _ = searched(OPTIMISERS[name](DIM, np.random.default_rng(2)), 45)
    assert first == second != other
    assert all(point.shape == (DIM,) and (point >= 0).all() and (point <= 1).all() for point in points)


@pytest.mark.parametrize(("name", "steps", "reached"), [("bo", 60, 1e-3), ("cma_es", 300, 1e-3), ("tpe", 150, 0.03)])
def test_finds_the_bottom_of_a_bowl(name: str, steps: int, reached: float) -> None:
    best, _ = searched(OPTIMISERS[name](DIM, np.random.default_rng(0)), steps)
    uniform, _ = searched(OPTIMISERS["random"](DIM, np.random.default_rng(0)), steps)
    assert -best < reached
    assert best > uniform


def test_numpy_has_no_seed_set_by_a_library() -> None:
    np.random.seed(7)
    expected = np.random.random()
    np.random.seed(7)
    searched(OPTIMISERS["cma_es"](DIM, np.random.default_rng(0)), 30)
    assert np.random.random() == expected


def test_the_gaussian_process_forgets_what_is_neither_good_nor_new() -> None:
    optimiser = BayesianOptimiser(DIM, np.random.default_rng(0), start=50, most=20)
    _, points = searched(optimiser, 50)
    chosen = optimiser._chosen()  # pyright: ignore[reportPrivateUsage]
    assert len(chosen) == 20
    assert set(range(40, 50)) <= set(chosen)
    values = [bowl(point) for point in points[:40]]
    assert int(np.argmax(values)) in chosen

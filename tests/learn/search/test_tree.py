"""Tree search finds what is there, uses its prior, counts its rollouts, and finds nothing in noise."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wheatstone.learn.search.tree import Prior, TreeConfig, TreeSearch, share_out

DEPTH, MOVES = 4, 3
GOAL = (2, 0, 1, 1)


@dataclass
class Lock:
    """A number lock whose return grows with every right digit from the left."""

    weights: Prior = field(default_factory=lambda: np.full(MOVES, 1 / MOVES))
    seen: list[tuple[int, ...]] = field(default_factory=list[tuple[int, ...]])

    def moves(self, position: tuple[int, ...]) -> int:
        return MOVES if len(position) < DEPTH else 0

    def play(self, position: tuple[int, ...], move: int) -> tuple[int, ...]:
        return (*position, move)

    def prior(self, position: tuple[int, ...]) -> Prior:  # noqa: ARG002
        return self.weights

    def rollout(self, position: tuple[int, ...], rng: np.random.Generator) -> float:
        whole = (*position, *rng.integers(MOVES, size=DEPTH - len(position)).tolist())
        self.seen.append(whole)
        return self.worth(whole)

    def worth(self, whole: tuple[int, ...]) -> float:
        right = [a == b for a, b in zip(whole, GOAL, strict=True)]
        return (right.index(False) if False in right else DEPTH) / DEPTH


class Noise(Lock):
    def __init__(self, table: int) -> None:
        super().__init__()
        self.table = table

    def worth(self, whole: tuple[int, ...]) -> float:
        return float(np.random.default_rng((self.table, *whole)).random())


class Hinted(Lock):
    """The prior knows the lock, or believes in another one."""

    def __init__(self, believed: tuple[int, ...]) -> None:
        super().__init__()
        self.believed = believed

    def prior(self, position: tuple[int, ...]) -> Prior:
        weights = np.full(MOVES, 0.05)
        weights[self.believed[len(position)]] = 0.9
        return weights


def rollouts_until_open(problem: Lock, seed: int) -> int:
    search = TreeSearch(problem, TreeConfig(), np.random.default_rng(seed))
    search.decide((), share_out(200, [1] * DEPTH), on_rollout=lambda value: value == 1.0)
    return search.rollouts


def test_the_lock_is_opened() -> None:
    search = TreeSearch(Lock(), TreeConfig(exploration=0.5), np.random.default_rng(0))
    decisions = search.decide((), [60, 30, 20, 10])
    assert tuple(decision.move for decision in decisions) == GOAL
    assert search.rollouts == 120 == len(search.problem.seen)  # pyright: ignore[reportAttributeAccessIssue]
    assert [decision.position for decision in decisions] == [(), (2,), (2, 0), (2, 0, 1)]
    # A subtree is kept: what went through the first decision's move is still counted at the second one.
    assert decisions[0].visits.sum() == 60
    assert decisions[1].visits.sum() == 30 + decisions[0].visits[2] - 1


def test_a_prior_that_knows_opens_sooner_and_one_that_is_wrong_later() -> None:
    seeds = range(20)
    plain = np.mean([rollouts_until_open(Lock(), seed) for seed in seeds])
    knowing = np.mean([rollouts_until_open(Hinted(GOAL), seed) for seed in seeds])
    misled = np.mean([rollouts_until_open(Hinted((0, 1, 2, 2)), seed) for seed in seeds])
    assert knowing < 0.7 * plain < plain < 0.8 * misled


def test_in_noise_no_first_move_is_preferred() -> None:
    shares = np.zeros(MOVES)
    for seed in range(30):
        search = TreeSearch(Noise(seed), TreeConfig(), np.random.default_rng(seed))
        shares += search.decide((), [60])[0].visits / 60
    assert np.abs(shares / 30 - 1 / MOVES).max() < 0.08


def test_weights_that_do_not_sum_to_one_explore_more() -> None:
    def spread(scale: float) -> float:
        search = TreeSearch(Lock(np.full(MOVES, scale)), TreeConfig(), np.random.default_rng(1))
        return float(search.decide((), [90])[0].visits.std())

    assert spread(1.0) < spread(1 / MOVES)


def test_the_same_seed_is_the_same_search() -> None:
    def seen(seed: int) -> list[tuple[int, ...]]:
        problem = Lock()
        TreeSearch(problem, TreeConfig(noise=0.25), np.random.default_rng(seed)).decide((), [20, 20])
        return problem.seen

    assert seen(3) == seen(3) != seen(4)


def test_noise_keeps_the_sum_of_the_priors() -> None:
    search = TreeSearch(Lock(), TreeConfig(noise=0.25), np.random.default_rng(0))
    root = search.open(())
    search.add_noise(root)
    assert root.prior.sum() == pytest.approx(1.0)
    assert root.prior.std() > 0


def test_a_prior_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="a prior must be 3 finite weights"):
        TreeSearch(Lock(np.array([1.0, -1.0, 1.0])), TreeConfig(), np.random.default_rng(0)).open(())


@given(st.integers(0, 300), st.lists(st.floats(0.1, 10), min_size=1, max_size=12))
def test_shares_sum_to_the_total(total: int, weights: list[float]) -> None:
    parts = share_out(total, weights)
    assert sum(parts) == total
    assert min(parts) >= (1 if total >= len(weights) else 0)
    if total > 2 * len(weights):
        assert parts[int(np.argmax(weights))] == max(parts)


def test_shares_of_a_budget() -> None:
    assert share_out(60, (8, 4, 2, 2, 2, 2, 1, 1, 1, 1)) == [18, 10, 5, 5, 5, 5, 3, 3, 3, 3]
    with pytest.raises(ValueError, match="weights must be above 0"):
        share_out(3, (1, 0))

"""The plan: suggested rows cover what they say, and the extrapolation meets what was left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wheatstone.domains.compositions import SHAPES, compose, split
from wheatstone.domains.coverage.classes import Classes, Ints, classes, complement
from wheatstone.domains.coverage.graph import SubstitutionGraph, coverage
from wheatstone.domains.coverage.plan import Growth, growth, next_rows, rows_to_cover, unseen_combinations


def two_hop(n_train: int, n_token: int = 12, seed: int = 0) -> tuple[Ints, Ints, Ints, Ints]:
    made = compose(SHAPES["two_hop"], n_token, np.random.default_rng(seed))
    found = split(made, n_train, 0.8, np.random.default_rng(seed + 1))
    return made.inputs[found.train], made.targets[found.train], made.inputs[found.test_id], made.targets[found.test_id]


def test_a_suggested_row_covers_its_component() -> None:
    rows, targets, pool, _ = two_hop(250)
    found = classes(rows, targets, k_max=2)
    graph = SubstitutionGraph(found, pool)
    uncovered = graph.coverage().cutoff < 2
    suggested = next_rows(graph, 2, 5)
    assert [one.covers for one in suggested] == sorted((one.covers for one in suggested), reverse=True)
    component = graph.components(2)[len(rows) :]
    for one in suggested:
        assert uncovered[one.row]
        assert one.covers == int((component == component[one.row]).sum())
    everything = next_rows(graph, 2, len(pool))
    assert sum(one.covers for one in everything) == int(uncovered.sum())
    assert next_rows(SubstitutionGraph(found, rows[:3]), 2, 5) == []


def test_labelling_what_is_suggested_covers_more_than_labelling_at_random() -> None:
    """Classes are those of the rows before; both sets are as large, and what they are labelled with is the truth."""
    gains: dict[str, list[float]] = {"suggested": [], "random": []}
    for seed in range(4):
        rows, targets, pool, answers = two_hop(250, seed=seed)
        graph = SubstitutionGraph(classes(rows, targets, k_max=2), pool)
        chosen = [one.row for one in next_rows(graph, 2, 40)]
        drawn = np.random.default_rng(seed).permutation(len(pool))[:40].tolist()
        for name, labelled in (("suggested", chosen), ("random", drawn)):
            more = classes(np.concatenate([rows, pool[labelled]]), np.append(targets, answers[labelled]), k_max=2)
            gains[name].append(coverage(more, pool).share(2))
    assert np.mean(gains["suggested"]) > np.mean(gains["random"])


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(["two_hop", "non_tree"]),
    seed=st.integers(0, 10_000),
    n_token=st.integers(3, 4),
    share=st.floats(0.2, 0.7),
    k=st.integers(1, 2),
    limit=st.integers(1, 3),
)
def test_no_other_rows_cover_more_than_the_suggested_ones(
    name: str, seed: int, n_token: int, share: float, k: int, limit: int
) -> None:
    """Beside every set of as many rows, each flooded from one input to the next by the definition of a substitution."""
    made = compose(SHAPES[name], n_token, np.random.default_rng(seed))
    order = np.random.default_rng(seed + 1).permutation(len(made.inputs))
    n_train = max(1, round(share * len(order)))
    train, pool = made.inputs[order[:n_train]], made.inputs[order[n_train : n_train + 14]]
    found = classes(train, made.targets[order[:n_train]], k_max=k)
    graph = SubstitutionGraph(found, pool)
    beside = substitutes(found, np.concatenate([train, pool]), k)

    def covered(chosen: Sequence[int]) -> int:
        reached = {*range(n_train), *(n_train + row for row in chosen)}
        frontier = list(reached)
        while frontier:
            new = beside[frontier.pop()] - reached
            reached |= new
            frontier += new
        return len(reached) - n_train

    suggested = [one.row for one in next_rows(graph, k, limit)]
    best = max(covered(chosen) for chosen in combinations(range(len(pool)), min(limit, len(pool))))
    assert covered(suggested) == best
    assert covered([]) + sum(one.covers for one in next_rows(graph, k, limit)) == best


def substitutes(found: Classes, inputs: Ints, k: int) -> list[set[int]]:
    """The inputs that one substitution makes of each: same context, fragments equal or of one class."""
    label = {
        (fragments.subset, tuple(tokens)): int(number)
        for fragments in found.fragments
        for tokens, number in zip(fragments.tokens.tolist(), fragments.at(k), strict=True)
    }
    near: list[set[int]] = [set() for _ in inputs]
    for (i, a), (j, b) in permutations(enumerate(inputs.tolist()), 2):
        for fragments in found.fragments:
            inside, outside = fragments.subset, complement(fragments.subset, found.arity)
            one, other = (label.get((inside, tuple(row[place] for place in inside))) for row in (a, b))
            if one is not None and one == other and all(a[place] == b[place] for place in outside):
                near[i].add(j)
    return near


def test_a_suggested_row_is_worth_more_than_most_once_its_target_is_known() -> None:
    """Each row of the pool is labelled in turn, with its true target, and covers what it does with that evidence."""
    places: list[float] = []
    for seed in range(2):
        rows, targets, pool, answers = two_hop(60, n_token=6, seed=seed)
        graph = SubstitutionGraph(classes(rows, targets, k_max=2), pool)
        (first, *_) = next_rows(graph, 2, 1)
        worth = np.array([worth_of(row, rows, targets, pool, answers) for row in range(len(pool))])
        places.append(float((worth < worth[first.row]).mean() + (worth == worth[first.row]).mean() / 2))
    assert np.mean(places) > 0.7


def worth_of(row: int, rows: Ints, targets: Ints, pool: Ints, answers: Ints) -> float:
    """Share of the pool that is covered when one row of it has been labelled."""
    more = classes(np.concatenate([rows, pool[row : row + 1]]), np.append(targets, answers[row]), k_max=2)
    return coverage(more, pool).share(2)


def test_growth_is_nested_and_its_line_foretells_more_rows() -> None:
    made = compose(SHAPES["two_hop"], 20, np.random.default_rng(3))
    found = split(made, 900, 0.7, np.random.default_rng(4))
    pool = np.random.default_rng(5).permutation(found.test_id)[:500]
    rows, targets = made.inputs[found.train], made.targets[found.train]
    graph = SubstitutionGraph(classes(rows, targets, k_max=5), made.inputs[pool])
    grown = growth(graph, 2, np.random.default_rng(6))
    assert grown.rows[-1] == 900
    assert list(grown.covered) == sorted(grown.covered)
    whole = coverage(classes(rows, targets, k_max=2), made.inputs[pool]).share(2)
    assert grown.covered[-1] == pytest.approx(whole)
    foretold = 900 + rows_to_cover(grown, 0.9, len(pool))
    there = split(made, round(foretold), 0.7, np.random.default_rng(4)).train
    share = coverage(classes(made.inputs[there], made.targets[there], k_max=2), made.inputs[pool]).share(2)
    assert 0.8 < share <= 1.0


def test_rows_to_cover_at_its_ends() -> None:
    assert rows_to_cover(Growth((50, 100), (0.5, 0.95)), 0.9, 100) == 0
    assert math.isnan(rows_to_cover(Growth((50, 100), (0.3, 0.3)), 0.9, 100))
    assert math.isinf(rows_to_cover(Growth((50, 100), (0.0100, 0.0101)), 0.9, 10_000))
    # Odds of 1 : 3 at 50 and 1 : 1 at 100: they triple with each doubling, so 9 : 1 is two doublings further.
    assert rows_to_cover(Growth((50, 100), (0.25, 0.5)), 0.9, 1000) == pytest.approx(300)


def test_unseen_combinations_are_new_and_of_known_tokens() -> None:
    rows, *_ = two_hop(100, n_token=6)
    drawn = unseen_combinations(rows, 50, np.random.default_rng(0))
    told = {tuple(row) for row in rows.tolist()}
    assert len({tuple(row) for row in drawn.tolist()}) == len(drawn) == 50
    assert not told & {tuple(row) for row in drawn.tolist()}
    full = compose(SHAPES["two_hop"], 3, np.random.default_rng(0)).inputs
    assert len(unseen_combinations(full, 50, np.random.default_rng(0))) == 0

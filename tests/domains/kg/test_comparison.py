"""Comparison and complex reasoning: labels recomputed, pools apart, and hard questions re-derived by search."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wheatstone.bench.errors import UserError
from wheatstone.domains.kg import catalogue, comparison
from wheatstone.domains.kg.comparison import comparison_split, complex_split, numbers, split_comparisons
from wheatstone.domains.kg.graph import Graph
from wheatstone.domains.kg.load import load


@settings(max_examples=50)
@given(
    st.integers(2, 14), st.integers(1, 3), st.integers(1, 6), st.floats(0, 0.6), st.floats(0, 0.6), st.integers(0, 99)
)
def test_pools_are_apart_and_labels_true(e: int, a: int, v: int, ood: float, test: float, seed: int) -> None:
    try:
        split = comparison_split(e, a, v, phi=None, ood_share=ood, test_share=test, seed=seed)
    except UserError:
        return  # too few entities for a pair, or every pair a test: `test_more_than_there_is` has the message
    seen: set[tuple[int, frozenset[int]]] = set()
    for rows, inside in ((split.train, True), (split.test_id, True), (split.test_ood, False)):
        pairs = {(int(row[0]), frozenset(row[1:3].tolist())) for row in rows}
        assert len(rows) == 2 * len(pairs)  # both orders, and no entity with itself
        assert not pairs & seen
        seen |= pairs
        for attribute, e1, e2, label in rows.tolist():
            first, second = split.values[e1, attribute], split.values[e2, attribute]
            assert label == (0 if first < second else 1 if first == second else 2)
            assert split.id_entities[e1, attribute] == split.id_entities[e2, attribute] == inside
    assert len(split.atomic_id) + len(split.atomic_ood) == e * a


def test_the_papers_comparison_data() -> None:
    """1000 entities, 20 attributes, 10 % OOD: 18,000 ID facts, and phi = 7.2 gives 129,600 comparisons."""
    split = comparison_split(phi=7.2, seed=0)
    assert (len(split.atomic_id), len(split.atomic_ood), len(split.train)) == (18_000, 2_000, 129_600)
    assert split.phi == 7.2
    assert len(split.test_ood) == 20 * 100 * 99
    assert len(split.test_id) == pytest.approx(0.1 * 20 * 900 * 899, rel=0.01)


def test_more_than_there_is() -> None:
    with pytest.raises(UserError, match=r"phi: got 99, at most \d+.\d\d is reachable"):
        comparison_split(20, 2, 5, phi=99.0, seed=0)
    with pytest.raises(UserError, match="no two in-distribution entities share an attribute"):
        comparison_split(2, 1, 5, phi=1.0, ood_share=0.5, seed=0)
    with pytest.raises(UserError, match="got 0 entities"):
        comparison_split(0, 2, 5, phi=1.0, seed=0)


def test_a_leak_is_found() -> None:
    split = comparison_split(20, 2, 5, phi=2.0, ood_share=0.3, seed=0)
    for changed, why in (
        ({"test_id": split.train[:2]}, "a pair is in two pools"),
        ({"test_ood": split.test_id}, "a pair is in two pools"),
        ({"test_ood": split.test_id, "test_id": split.test_ood}, "a mixed pair"),
    ):
        with pytest.raises(AssertionError, match=why):
            comparison._assert_no_leak(dataclasses.replace(split, **changed))


def test_numbers_of_the_countries() -> None:
    """Comparisons of bins never contradict the numbers, and 20 bins of 164 countries have 8 or 9 each."""
    table = numbers(load(catalogue.numbers_of("countries")).graph)
    assert table.attributes == ("area", "population")
    assert len(table.entities) == 164
    column = dict(zip(table.entities, table.values[:, 1].tolist(), strict=True))
    assert column["China"] > column["Germany"] > column["Monaco"]
    bins = table.binned(20)
    assert set(np.bincount(bins[:, 0]).tolist()) == {8, 9}
    for (x, i), (y, j) in itertools.pairwise(zip(table.values[:, 0].tolist(), bins[:, 0].tolist(), strict=True)):
        assert (i - j) * (x - y) >= 0
    assert split_comparisons(bins, phi=6.0, seed=0).phi == pytest.approx(6.0, abs=0.01)


def test_missing_and_equal_numbers() -> None:
    facts = [("a", "height", "1"), ("b", "height", "1"), ("c", "height", "7.5"), ("a", "name", "Ann")]
    facts += [("b", "age", "3"), ("c", "age", "1e3")]
    table = numbers(Graph.from_facts(facts))
    assert table.attributes == ("age", "height")
    assert np.isnan(table.values[0, 0])
    assert table.binned(2).tolist() == [[-1, 0], [0, 0], [1, 1]]
    split = split_comparisons(table.binned(2), phi=None, ood_share=0.0, test_share=0.0, seed=0)
    assert len(split.atomic_id) == 5
    assert len(split.train) == 2 + 6


def test_words_cannot_be_compared() -> None:
    with pytest.raises(UserError, match="no relation of the graph has numbers only"):
        numbers(Graph.from_facts([("a", "name", "Ann"), ("b", "age", "nan")]))


def decided(edges: set[tuple[object, object, bool]], start: object, goal: object) -> bool:
    """Whether goal is above start: a path of edges upwards (from, to, strict) with at least one strict step."""
    open_, seen = [(start, False)], {(start, False)}
    while open_:
        at, strict = open_.pop()
        if at == goal and strict:
            return True
        for low, high, step in edges:
            state = (high, strict or step)
            if low == at and state not in seen:
                seen.add(state)
                open_.append(state)
    return False


def test_hard_questions_follow_only_from_comparisons_and_values_together() -> None:
    split = complex_split(60, 2, 6, n_ood=20, train_share=0.05, per_label=3, seed=3)
    ood = set(split.ood_entities.tolist())
    assert np.bincount(split.test[:, 3]).tolist() == [3, 3, 3]
    assert not ood & set(split.atomic[:, 0].tolist())
    assert len(split.atomic) == 40 * 2
    pairs = [{e1, e2} for _, e1, e2, _ in split.train.tolist()]
    assert not any(pair <= ood for pair in pairs)
    for attribute in (0, 1):
        alone: set[tuple[object, object, bool]] = set()
        for _, e1, e2, label in split.train[split.train[:, 0] == attribute].tolist():
            if label == 1:
                alone |= {(e1, e2, False), (e2, e1, False)}
            else:
                alone.add((e1, e2, True) if label == 0 else (e2, e1, True))
        values = {e: v for e, a, v in split.atomic.tolist() if a == attribute}
        known = alone | {
            (x, y, values[x] < values[y]) for x, y in itertools.permutations(values, 2) if values[x] <= values[y]
        }
        equal = {(x, y) for x, y, strict in known if not strict}
        for _, e1, e2, label in split.test[split.test[:, 0] == attribute].tolist():
            assert {e1, e2} <= ood
            truth = split.values[e1, attribute] - split.values[e2, attribute]
            assert label == np.sign(truth) + 1
            low, high = (e1, e2) if label == 0 else (e2, e1)
            if label == 1:
                assert linked(equal, e1, e2)
                assert not linked({(x, y) for x, y, strict in alone if not strict}, e1, e2)
            else:
                assert decided(known, low, high)
                assert not decided(alone, low, high)


def linked(equal: set[tuple[object, object]], start: object, goal: object) -> bool:
    open_, seen = [start], {start}
    while open_:
        at = open_.pop()
        for x, y in equal:
            if x == at and y not in seen and (y, x) in equal:
                seen.add(y)
                open_.append(y)
    return goal in seen


def test_the_papers_complex_task() -> None:
    split = complex_split(seed=0)
    assert len(split.test) == 150
    assert len(split.atomic) == 900 * 20
    # 3 % of 900 * 899 comparisons among known entities and of 2 * 900 * 100 across, for 20 attributes.
    assert len(split.train) == pytest.approx(0.03 * 20 * (900 * 899 + 2 * 900 * 100), rel=0.01)


def test_too_few_hard_questions() -> None:
    with pytest.raises(UserError, match=r"\d+ hard questions with the answer 'smaller', 5000 are asked for"):
        complex_split(40, 2, 5, n_ood=10, train_share=0.12, per_label=5000, seed=0)
    with pytest.raises(UserError, match="got 40 OOD entities of 40"):
        complex_split(40, 2, 5, n_ood=40, seed=0)

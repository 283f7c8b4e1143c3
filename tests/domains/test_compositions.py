"""Compositions: what is computed, and what a split calls seen."""

from __future__ import annotations

import numpy as np
import pytest

from wheatstone.domains.compositions import SHAPES, compose, split, usable


@pytest.mark.parametrize("name", ["two_hop", "parallel", "three_hop", "non_tree", "one_token"])
def test_targets_follow_the_tables(name: str) -> None:
    made = compose(SHAPES[name], 4, np.random.default_rng(0))
    tables = made.tables
    for row, target in zip(made.inputs[::7].tolist(), made.targets[::7].tolist(), strict=True):
        by_hand = {
            "two_hop": lambda x: tables[1][tables[0][x[0], x[1]], x[2]],
            "parallel": lambda x: tables[2][tables[0][x[0], x[1]], tables[1][x[2], x[3]]],
            "three_hop": lambda x: tables[2][tables[1][tables[0][x[0], x[1]], x[2]], x[3]],
            "non_tree": lambda x: tables[1][tables[0][x[0], x[1]], x[1], x[2]],
            "one_token": lambda x: tables[0][x[2]],
        }[name]
        assert by_hand(row) == target


def test_algebraic_calls_add_modulo_the_number_of_tokens() -> None:
    made = compose(SHAPES["two_hop"], 5, np.random.default_rng(0), algebraic=True)
    assert (made.targets == made.inputs.sum(axis=1) % 5).all()


def test_split_is_by_the_calls_that_training_really_makes() -> None:
    made = compose(SHAPES["two_hop"], 8, np.random.default_rng(0))
    parts = split(made, 60, 0.7, np.random.default_rng(1))
    called = [set(made.call_ids[parts.train, call].tolist()) for call in (0, 1)]
    assert len(parts.train) == 60
    everything = np.concatenate([parts.train, parts.test_id, parts.test_ood])
    assert sorted(everything.tolist()) == list(range(8**3))
    for row in parts.test_id.tolist():
        assert all(made.call_ids[row, call] in called[call] for call in (0, 1))
    for row, new in zip(parts.test_ood.tolist(), parts.new_calls.tolist(), strict=True):
        assert new == sum((made.call_ids[row, call] not in called[call]) << call for call in (0, 1))
    assert set(parts.new_calls.tolist()) == {1, 2, 3}


def test_sizes_are_nested_and_within_the_seen_share() -> None:
    made = compose(SHAPES["two_hop"], 8, np.random.default_rng(0))
    small = split(made, 30, 0.7, np.random.default_rng(1))
    large = split(made, 90, 0.7, np.random.default_rng(1))
    allowed = usable(made, 0.7, np.random.default_rng(1))
    assert set(small.train.tolist()) <= set(large.train.tolist()) <= set(allowed.tolist())
    for call in (0, 1):
        assert len(np.unique(made.call_ids[allowed, call])) <= round(0.7 * 64)


def test_too_many_rows_or_inputs_are_refused() -> None:
    made = compose(SHAPES["two_hop"], 4, np.random.default_rng(0))
    with pytest.raises(ValueError, match="fewer than the 64 training rows"):
        split(made, 64, 0.7, np.random.default_rng(1))
    with pytest.raises(ValueError, match="at most 8,000,000"):
        compose(SHAPES["five_hop"], 20, np.random.default_rng(0))

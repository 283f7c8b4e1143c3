"""The loop that coverage is timed against gives the same cutoffs, and is no straw man: it gives up early."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.peers.coverage_double_loop import cutoffs, evidence

from wheatstone.domains.compositions import SHAPES, compose
from wheatstone.domains.coverage.classes import classes
from wheatstone.domains.coverage.graph import coverage


@pytest.mark.parametrize(("name", "seed", "n_token", "share"), [("two_hop", 0, 5, 0.4), ("non_tree", 1, 4, 0.5)])
def test_cutoffs_agree(name: str, seed: int, n_token: int, share: float) -> None:
    made = compose(SHAPES[name], n_token, np.random.default_rng(seed))
    order = np.random.default_rng(seed).permutation(len(made.inputs))
    n = round(share * len(order))
    rows, targets, tests = made.inputs[order[:n]], made.targets[order[:n]], made.inputs[order[n:]]
    ours = coverage(classes(rows, targets, k_max=3, merging="chained"), tests).cutoff.tolist()
    assert cutoffs(list(map(tuple, rows.tolist())), targets.tolist(), list(map(tuple, tests.tolist())), 3) == ours
    assert len(set(ours)) > 1


def test_a_contradiction_leaves_no_evidence() -> None:
    rows = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]
    assert evidence(rows, [5, 6, 5, 7, 5], (0,)) == [((0,), (2,), 1), ((1,), (2,), 1)]

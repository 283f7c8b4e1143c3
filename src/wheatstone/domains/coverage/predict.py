"""Answering by substitution alone: what a pattern matcher can know, without a network.

Labels spread from the training rows along the substitution graph. A round gives each unlabelled input the target that
most labelled inputs of its groups have (the smaller one among equals); the strongest evidence goes first: only when
nothing more is reached at k does k - 1 begin. The tests' targets play no part, so what it reaches is the coverage in
its strict form, and how often it is right says how much of that coverage is sound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wheatstone.domains.coverage.classes import Ints
from wheatstone.domains.coverage.graph import SubstitutionGraph

NONE = -1


@dataclass(frozen=True)
class Substituted:
    """What substitution makes of some tests."""

    targets: Ints
    """[test] NONE where no chain of substitutions reaches it."""
    k: Ints
    """[test] the evidence that was enough; 0 where nothing was, k_max where the input is a training row."""
    steps: Ints
    """[test] rounds at that k; 0 for a training row, NONE where not reached."""
    disputed: Ints
    """[test] 1 where its groups offered more than one target."""

    def accuracy(self, expected: Ints) -> float:
        """Share answered right; an input that is not reached counts as wrong. NaN without tests."""
        return float((self.targets == expected).mean()) if len(expected) else float("nan")


def substitute(graph: SubstitutionGraph, *, least: int = 1) -> Substituted:
    """Answers every test of a graph without targets that some chain at k >= `least` reaches.

    Raises ValueError for a graph that was given the tests' targets.
    """
    if graph.labels is not None:
        raise ValueError("the graph links tests by their targets: answers from it would be read off, not found")
    from scipy.sparse import csr_array

    found, n = graph.found, len(graph)
    label = np.full(n, NONE, np.int64)
    label[: graph.n_train] = found.targets
    k_of, steps, disputed = np.zeros(n, np.int64), np.full(n, NONE, np.int64), np.zeros(n, np.int64)
    shown = graph.shown()
    given = np.flatnonzero(shown >= 0)
    label[graph.n_train + given] = found.targets[shown[given]]
    k_of[graph.n_train + given], steps[graph.n_train + given] = found.k_max, 0
    width = int(found.targets.max(initial=0)) + 1
    for k in range(found.k_max, least - 1, -1):
        groups = graph.groups(k)
        for step in range(1, n + 1):
            known, open_ = np.flatnonzero(label != NONE), np.flatnonzero(label == NONE)
            if not len(open_) or not len(known):
                break
            told = csr_array((np.ones(len(known), np.int32), (known, label[known])), shape=(n, width))
            votes = (groups[open_] @ (groups.T.tocsr() @ told)).tocsr()
            offered = np.diff(votes.indptr)
            if not offered.any():
                break
            winner = _winner(votes.indptr, votes.indices, votes.data)
            reached = open_[offered > 0]
            label[reached], k_of[reached], steps[reached] = winner[offered > 0], k, step
            disputed[reached] = offered[offered > 0] > 1
    tests = slice(graph.n_train, None)
    return Substituted(label[tests], k_of[tests], steps[tests], disputed[tests])


def _winner(indptr: Ints, indices: Ints, data: Ints) -> Ints:
    """[row] the column of the largest value of each sparse row, the smaller column among equals; NONE if empty."""
    row = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    order = np.lexsort((indices, -data, row))
    first = np.full(len(indptr) - 1, NONE, np.int64)
    rows_there, at = np.unique(row[order], return_index=True)
    first[rows_there] = indices[order][at]
    return first


def nearest(rows: Ints, targets: Ints, tests: Ints) -> Ints:
    """[test] the most frequent target among the training rows that differ at the fewest positions (smaller on a tie).

    The look-up learner: similarity of tokens alone, no equivalence of fragments.
    """
    found = np.empty(len(tests), np.int64)
    for index, test in enumerate(tests):
        distance = (rows != test).sum(axis=1)
        found[index] = np.bincount(targets[distance == distance.min()]).argmax()
    return found

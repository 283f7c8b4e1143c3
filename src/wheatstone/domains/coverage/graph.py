"""The substitution graph: which inputs are linked to a training row.

Two inputs are linked at k when for some subset of the positions they have one context and k-equivalent fragments. An
input is k-covered when some path of links leads to a training row (Chang et al. 2025, arXiv:2505.20278, section 3); the
graph holds the training rows and the tests. Classes come from the training rows alone.

With the tests' targets only inputs of the same target are linked, as in the paper's published code, which reads them.
Without, the tests' targets play no part, so the question can be asked before anybody knows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wheatstone.domains.coverage.classes import Classes, Fragments, Ints, Subset, complement, row_numbers

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True)
class Coverage:
    """What is covered of some tests."""

    cutoff: Ints
    """[test] the largest k for which the test is covered, 0 for none; k_max stands for k_max and more."""
    shown: Ints
    """[test] the training row that is the same input, -1 for none. Such a test is covered whatever k is."""
    k_max: int

    @property
    def n(self) -> int:
        return len(self.cutoff)

    def share(self, k: int) -> float:
        """Share of the tests that are covered at k, in [0, 1]; NaN without tests."""
        return float((self.cutoff >= k).mean()) if self.n else float("nan")


class Place(NamedTuple):
    """All inputs of the graph at one subset of the positions."""

    fragments: Fragments
    context: Ints
    """[input] number of its context."""
    fragment: Ints
    """[input] row of `fragments.tokens`; from len(tokens) on where training does not have the fragment."""

    def group(self, k: int) -> Ints:
        """[input] inputs with one number have one context, and fragments of one class at k."""
        labels, n = self.fragments.at(k), len(self.fragments.tokens)
        known = self.fragment < n
        column = np.where(known, labels[np.where(known, self.fragment, 0)], self.fragment)
        return self.context * (int(column.max(initial=0)) + 1) + column


class SubstitutionGraph:
    """Training rows and tests, linked where one can be got from the other by substituting an equivalent fragment."""

    def __init__(
        self, found: Classes, tests: Ints, targets: Ints | None = None, *, subsets: Sequence[Subset] | None = None
    ) -> None:
        """`tests` [test, position] may hold ids that training does not know; `targets` [test], None if not to be used.

        `subsets` are those to substitute at; all that `found` has when not given.
        """
        self.found = found
        self.tests = tests.reshape(-1, found.arity)
        self.rows = np.concatenate([found.rows, self.tests])
        self.n_train = len(found.rows)
        self.labels = None if targets is None else np.concatenate([found.targets, targets])
        self.places = tuple(
            self._place(fragments) for fragments in found.fragments if subsets is None or fragments.subset in subsets
        )

    def __len__(self) -> int:
        return len(self.rows)

    def _place(self, fragments: Fragments) -> Place:
        context = row_numbers(self.rows[:, complement(fragments.subset, self.found.arity)]).number
        joint = row_numbers(self.rows[:, fragments.subset]).number
        number = np.arange(int(joint.max(initial=-1)) + 1) + len(fragments.tokens)
        number[joint[: self.n_train]] = fragments.fragment
        return Place(fragments, context, number[joint])

    def groups(self, k: int) -> csr_array:
        """[input, group] of ones: the inputs of a group substitute for each other at k."""
        from scipy.sparse import csr_array

        columns: list[Ints] = []
        width = 0
        for place in self.places:
            number = place.group(k)
            if self.labels is not None:
                number = number * (int(self.labels.max(initial=0)) + 1) + self.labels
            number = np.unique(number, return_inverse=True)[1]
            columns.append(number + width)
            width += int(number.max(initial=-1)) + 1
        column = np.concatenate(columns) if columns else np.zeros(0, np.int64)
        row = np.tile(np.arange(len(self)), len(columns))
        return csr_array((np.ones(len(row), np.int32), (row, column)), shape=(len(self), width))

    def components(self, k: int) -> Ints:
        """[input] number of its connected component at k."""
        from scipy.sparse import block_array
        from scipy.sparse.csgraph import connected_components

        groups = self.groups(k)
        if not groups.nnz:
            return np.arange(len(self))
        links = block_array([[None, groups], [groups.T, None]], format="csr")
        return connected_components(links, directed=False)[1][: len(self)].astype(np.int64)

    def coverage(self, *, least: int = 1) -> Coverage:
        """Which tests are covered, for every k from `least` on."""
        shown, k_max = self.shown(), self.found.k_max
        cutoff = np.where(shown >= 0, k_max, 0)
        for k in range(least, k_max + 1):
            component = self.components(k)
            cutoff[np.isin(component[self.n_train :], component[: self.n_train]) & (cutoff < k)] = k
        return Coverage(cutoff, shown, k_max)

    def shown(self) -> Ints:
        """[test] the training row that is the same input, -1 for none."""
        number = row_numbers(self.rows).number
        row_of = np.full(int(number.max(initial=-1)) + 1, -1, np.int64)
        row_of[number[: self.n_train]] = np.arange(self.n_train)
        return row_of[number[self.n_train :]]


def coverage(
    found: Classes, tests: Ints, targets: Ints | None = None, *, subsets: Sequence[Subset] | None = None
) -> Coverage:
    """The coverage of some tests in one call; see `SubstitutionGraph`."""
    return SubstitutionGraph(found, tests, targets, subsets=subsets).coverage()


def direct_cutoff(found: Classes, tests: Ints, targets: Ints, subset: Subset) -> Ints:
    """[test] the largest evidence of a pair that takes the test to a training row of its target in one substitution.

    Pairs only, no classes: 0 where no single pair does.
    """
    place = SubstitutionGraph(found, tests, subsets=[subset]).places[0]
    n, n_train = len(place.fragments.tokens), len(found.rows)
    outcome: dict[tuple[int, int], list[int]] = {}
    for row in range(n_train):
        key = int(place.context[row]), int(found.targets[row])
        outcome.setdefault(key, []).append(int(place.fragment[row]))
    partners: list[dict[int, int]] = [{} for _ in range(n)]
    for a, b, evidence in zip(*(column.tolist() for column in place.fragments.pairs), strict=True):
        partners[a][b] = partners[b][a] = evidence
    best = np.zeros(len(tests), np.int64)
    for test in range(len(tests)):
        fragment = int(place.fragment[n_train + test])
        if fragment < n:
            key = int(place.context[n_train + test]), int(targets[test])
            best[test] = max((partners[fragment].get(other, 0) for other in outcome.get(key, [])), default=0)
    return best

"""What to label next: which rows, and about how many.

Two answers, both without a network and without the targets of the rows that are to be labelled.

`next_rows`      which rows of a pool to label first. A label covers its whole component of the substitution graph, so
                 larger components go first: for the classes as they are, no other order covers more. Among equals the
                 row goes first whose fragments would be compared with most others, for the sake of most uncovered rows:
                 that is where new equivalences come from.
`rows_to_cover`  how many more rows drawn like the training rows would cover a share of the pool, by taking random parts
                 of the training rows, and going on with the straight line of log-odds over log N.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from wheatstone.domains.coverage.classes import Ints, Subset, classes, complement, row_numbers
from wheatstone.domains.coverage.graph import SubstitutionGraph

PARTS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Shares of the training rows whose coverage is measured."""
ENUMERATED = 2_000_000
"""Combinations up to this number are drawn without replacement."""


class Suggestion(NamedTuple):
    """A row to label."""

    row: int
    """Its number in the pool."""
    covers: int
    """Rows of the pool that its label covers at once, itself included."""
    compared: int
    """Pairs of fragments that it lets be compared, times the uncovered rows that have the fragment."""


def next_rows(graph: SubstitutionGraph, k: int, limit: int) -> list[Suggestion]:
    """Rows of the pool in the order in which to label them, `limit` at most; none that is covered already.

    The pool are the graph's tests; the graph must not know their targets.
    """
    component = graph.components(k)
    trained = np.unique(component[: graph.n_train])
    uncovered = np.flatnonzero(~np.isin(component, trained))
    if not len(uncovered):
        return []
    sizes = np.bincount(component[uncovered], minlength=int(component.max()) + 1)
    compared = _compared(graph, uncovered)
    order = np.lexsort((uncovered, -compared, -sizes[component[uncovered]]))
    chosen: list[Suggestion] = []
    done: set[int] = set()
    for index in order.tolist():
        row = int(uncovered[index])
        if int(component[row]) not in done:
            done.add(int(component[row]))
            chosen.append(Suggestion(row - graph.n_train, int(sizes[component[row]]), int(compared[index])))
        if len(chosen) == limit:
            break
    return chosen


def _compared(graph: SubstitutionGraph, uncovered: Ints) -> Ints:
    """[uncovered row] summed over subsets: uncovered rows with its fragment, times training rows in its context."""
    total = np.zeros(len(uncovered), np.int64)
    for place in graph.places:
        in_context = np.bincount(place.context[: graph.n_train], minlength=int(place.context.max()) + 1)
        with_fragment = np.bincount(place.fragment[uncovered], minlength=int(place.fragment.max()) + 1)
        total += in_context[place.context[uncovered]] * with_fragment[place.fragment[uncovered]]
    return total


class Growth(NamedTuple):
    """Coverage of the pool by parts of the training rows."""

    rows: tuple[int, ...]
    covered: tuple[float, ...]


def growth(
    graph: SubstitutionGraph,
    k: int,
    rng: np.random.Generator,
    *,
    parts: Sequence[float] = PARTS,
    on_subset: Callable[[float, Subset], None] | None = None,
) -> Growth:
    """Share of the graph's tests that random parts of its training rows cover at k; the parts are nested.

    The graph must not know the tests' targets. `on_subset` is called with the part after each of its subsets.
    """
    found = graph.found
    order = rng.permutation(graph.n_train)
    subsets = [fragments.subset for fragments in found.fragments]
    sizes: list[int] = []
    covered: list[float] = []
    for part in parts:
        chosen = np.sort(order[: max(1, round(part * graph.n_train))])
        if sizes and len(chosen) == sizes[-1]:
            continue
        some = graph
        if len(chosen) < graph.n_train:
            tell = None if on_subset is None else functools.partial(on_subset, part)
            of_part = classes(
                found.rows[chosen],
                found.targets[chosen],
                k_max=k,
                least=k,
                subsets=subsets,
                merging=found.merging,
                on_subset=tell,
            )
            some = SubstitutionGraph(of_part, graph.tests)
        component = some.components(k)
        sizes.append(len(chosen))
        covered.append(float(np.isin(component[some.n_train :], component[: some.n_train]).mean()))
    return Growth(tuple(sizes), tuple(covered))


def rows_to_cover(grown: Growth, share: float, n_pool: int) -> float:
    """More rows, drawn as the training rows were, until `share` of the pool is covered: an extrapolation.

    0 where it is covered already; NaN where coverage does not grow over the parts, infinity beyond 100 times the rows.
    """
    now = grown.rows[-1]
    if grown.covered[-1] >= share:
        return 0.0
    if grown.covered[-1] <= grown.covered[0]:
        return math.nan
    half = 0.5 / max(1, n_pool)
    odds = [math.log(min(max(c, half), 1 - half) / (1 - min(max(c, half), 1 - half))) for c in grown.covered]
    slope, start = np.polyfit(np.log(grown.rows), odds, 1)
    if slope <= 0:
        return math.nan
    wanted = min(share, 1 - half)
    needed = math.exp(min((math.log(wanted / (1 - wanted)) - start) / slope, math.log(now) + 50))
    return max(1.0, needed - now) if needed <= 100 * now else math.inf


def unseen_combinations(rows: Ints, limit: int, rng: np.random.Generator) -> Ints:
    """Up to `limit` random inputs of tokens that training has in their columns, none of them a training row."""
    columns = [np.unique(column) for column in rows.T]
    sizes = [len(column) for column in columns]
    space = math.prod(sizes)
    # At least as many as rows are drawn beyond the limit, so that what training has cannot leave too few.
    wanted = min(space, limit + len(rows))
    flat = rng.permutation(space)[:wanted] if space <= ENUMERATED else rng.integers(space, size=wanted)
    places = np.unravel_index(np.unique(flat), sizes)
    drawn = np.stack([column[place] for column, place in zip(columns, places, strict=True)], axis=1)
    number = row_numbers(np.concatenate([rows, drawn])).number
    is_new = ~np.isin(number[len(rows) :], number[: len(rows)])
    return rng.permutation(drawn[is_new])[:limit]


def fragment_name(subset: Subset, columns: Sequence[str]) -> str:
    """'x1, x2' for the positions (0, 1)."""
    return ", ".join(columns[position] for position in subset)


def context_name(subset: Subset, columns: Sequence[str]) -> str:
    """The columns that a subset leaves."""
    return fragment_name(complement(subset, len(columns)), columns)

"""Why a test is covered, in words: the chain of substitutions that leads to a training row."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from wheatstone.domains.coverage.classes import Fragments, Ints, Subset
from wheatstone.domains.coverage.graph import SubstitutionGraph

Name = Callable[[int, int], str]
"""Position and token id -> what the token is called there."""
SHOWN_CONTEXTS = 3


@dataclass(frozen=True)
class Equivalence:
    """Two fragments that give the same targets in shared contexts."""

    subset: Subset
    first: tuple[int, ...]
    second: tuple[int, ...]
    shared: tuple[tuple[tuple[int, ...], int], ...]
    """Each shared context with the target that both gave there."""


@dataclass(frozen=True)
class Step:
    """One substitution: `source` becomes `result` because a chain of equivalences links their fragments."""

    source: tuple[int, ...]
    result: tuple[int, ...]
    because: tuple[Equivalence, ...]


@dataclass(frozen=True)
class Witness:
    """A path from a test to a training row."""

    test: tuple[int, ...]
    k: int
    steps: tuple[Step, ...]
    trained: tuple[int, ...]
    target: int
    """Of the training row."""


def witness(graph: SubstitutionGraph, test: int, k: int) -> Witness | None:
    """The shortest path of substitutions at k from a test to a training row; None when there is none."""
    groups = graph.groups(k)
    members = groups.T.tocsr()
    start = graph.n_train + test
    before: dict[int, int] = {start: start}
    queue = deque([start])
    shown = int(graph.shown()[test])
    end = shown if shown >= 0 else None
    while queue and end is None:
        here = queue.popleft()
        for group in groups.indices[groups.indptr[here] : groups.indptr[here + 1]]:
            # Training rows come first, since a row's members are sorted.
            for other in sorted(members.indices[members.indptr[group] : members.indptr[group + 1]].tolist()):
                if other not in before:
                    before[other] = here
                    queue.append(other)
                    if other < graph.n_train:
                        end = other
                        break
            if end is not None:
                break
    if end is None:
        return None
    path = [end]
    while shown < 0 and path[-1] != start:
        path.append(before[path[-1]])
    path.reverse()
    steps = tuple(_step(graph, a, b, k) for a, b in pairwise(path))
    trained = _tokens(graph.rows[end])
    return Witness(_tokens(graph.rows[start]), k, steps, trained, int(graph.found.targets[end]))


def _step(graph: SubstitutionGraph, a: int, b: int, k: int) -> Step:
    for place in graph.places:
        group = place.group(k)
        if group[a] == group[b]:
            chain = _chain(place.fragments, int(place.fragment[a]), int(place.fragment[b]), k)
            because = tuple(_equivalence(graph, place.fragments, x, y) for x, y in pairwise(chain))
            return Step(_tokens(graph.rows[a]), _tokens(graph.rows[b]), because)
    raise ValueError(f"inputs {a} and {b} are not linked at k = {k}")


def _chain(fragments: Fragments, a: int, b: int, k: int) -> list[int]:
    """The shortest chain of pairs with evidence of at least k within one class."""
    labels = fragments.at(k)
    mine = (fragments.pairs.evidence >= k) & (labels[fragments.pairs.first] == labels[a])
    mine &= labels[fragments.pairs.second] == labels[a]
    beside: dict[int, list[int]] = {}
    for x, y in zip(fragments.pairs.first[mine].tolist(), fragments.pairs.second[mine].tolist(), strict=True):
        beside.setdefault(x, []).append(y)
        beside.setdefault(y, []).append(x)
    before, queue = {a: a}, deque([a])
    while b not in before:
        here = queue.popleft()
        for other in beside.get(here, []):
            if other not in before:
                before[other] = here
                queue.append(other)
    chain = [b]
    while chain[-1] != a:
        chain.append(before[chain[-1]])
    return chain[::-1]


def _equivalence(graph: SubstitutionGraph, fragments: Fragments, x: int, y: int) -> Equivalence:
    rest = [position for position in range(graph.found.arity) if position not in fragments.subset]
    given: list[Mapping[int, int]] = [
        {int(fragments.context[row]): int(row) for row in np.flatnonzero(fragments.fragment == one)} for one in (x, y)
    ]
    shared = tuple(
        (_tokens(graph.found.rows[given[0][context], rest]), int(graph.found.targets[given[0][context]]))
        for context in sorted(given[0].keys() & given[1].keys())
    )
    return Equivalence(fragments.subset, _tokens(fragments.tokens[x]), _tokens(fragments.tokens[y]), shared)


def _tokens(row: Ints) -> tuple[int, ...]:
    return tuple(int(token) for token in row)


def in_words(
    found: Witness, columns: Sequence[str], name: Name, target: Callable[[int], str], *, limit: int = SHOWN_CONTEXTS
) -> list[str]:
    """The witness as lines of text; `limit` shared contexts of each equivalence are spelt out."""

    def row(tokens: Sequence[int], places: Sequence[int]) -> str:
        return "(" + ", ".join(name(place, token) for place, token in zip(places, tokens, strict=True)) + ")"

    everywhere = range(len(columns))
    lines = [f"{row(found.test, everywhere)} at k = {found.k}:"]
    for step in found.steps:
        lines.append(f"  {row(step.source, everywhere)} -> {row(step.result, everywhere)}")
        for one in step.because:
            rest = [place for place in everywhere if place not in one.subset]
            reasons = [
                f"{target(given)} with "
                + ", ".join(f"{columns[p]}={name(p, t)}" for p, t in zip(rest, at, strict=True))
                for at, given in one.shared[:limit]
            ]
            more = len(one.shared) - limit
            reasons += [f"{more} more"] if more > 0 else []
            first, second = row(one.first, one.subset), row(one.second, one.subset)
            lines.append(f"    {first} ≡ {second}: both gave " + "; ".join(reasons))
    end = "is itself a training row" if not found.steps else "is a training row"
    lines.append(f"  {row(found.trained, everywhere)} {end}: {target(found.target)}")
    return lines

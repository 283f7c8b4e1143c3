"""Coverage by a loop over all pairs of fragments: our own re-implementation of the idea, not anyone's code.

The code published with arXiv:2505.20278 compares every fragment of an input with every other, context by context, in
Python dictionaries; pairs with enough evidence are merged by union-find, and a flood through buckets of inputs that
have one context and fragments of one class says which tests are linked to a training row. Where the order of the tests
was ours to choose, it is the cheaper one: evidence is counted once for all k, the smaller behaviour is walked through,
and a pair is given up at its first contradiction.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

Row = tuple[int, ...]


def cutoffs(rows: list[Row], targets: list[int], tests: list[Row], k_max: int) -> list[int]:
    """The largest k at which each test is covered, 0 for none; the tests' targets are not used."""
    arity = len(rows[0])
    everywhere = range(arity)
    subsets = [subset for size in range(1, arity) for subset in combinations(everywhere, size)]
    compared = [(subset, evidence(rows, targets, subset)) for subset in subsets]
    inputs = rows + tests
    best = [0] * len(tests)
    for k in range(1, k_max + 1):
        buckets: dict[tuple[int, Row, Row], list[int]] = defaultdict(list)
        of_input: list[list[tuple[int, Row, Row]]] = [[] for _ in inputs]
        for number, (subset, pairs) in enumerate(compared):
            leader = merged(pairs, k)
            rest = [place for place in everywhere if place not in subset]
            for index, one in enumerate(inputs):
                fragment = tuple(one[place] for place in subset)
                key = number, root(leader, fragment), tuple(one[place] for place in rest)
                buckets[key].append(index)
                of_input[index].append(key)
        reached = set(range(len(rows)))
        frontier = list(reached)
        while frontier:
            for key in of_input[frontier.pop()]:
                for other in buckets.pop(key, ()):
                    if other not in reached:
                        reached.add(other)
                        frontier.append(other)
        for test in range(len(tests)):
            if len(rows) + test in reached:
                best[test] = k
    return best


def evidence(rows: list[Row], targets: list[int], subset: Row) -> list[tuple[Row, Row, int]]:
    """Pairs of fragments that never disagree, with the number of contexts that they share."""
    behaviour: dict[Row, dict[Row, int]] = defaultdict(dict)
    for row, target in zip(rows, targets, strict=True):
        context = tuple(token for place, token in enumerate(row) if place not in subset)
        behaviour[tuple(row[place] for place in subset)][context] = target
    found: list[tuple[Row, Row, int]] = []
    for (a, of_a), (b, of_b) in combinations(behaviour.items(), 2):
        small, large = (of_a, of_b) if len(of_a) < len(of_b) else (of_b, of_a)
        shared = 0
        for context, target in small.items():
            other = large.get(context)
            if other is None:
                continue
            if other != target:
                shared = 0
                break
            shared += 1
        if shared:
            found.append((a, b, shared))
    return found


def merged(pairs: list[tuple[Row, Row, int]], k: int) -> dict[Row, Row]:
    """Union-find of the pairs with evidence of at least k."""
    leader: dict[Row, Row] = {}
    for a, b, shared in pairs:
        if shared >= k and (one := root(leader, a)) != (other := root(leader, b)):
            leader[other] = one
    return leader


def root(leader: dict[Row, Row], one: Row) -> Row:
    """The fragment that stands for the class of `one`."""
    while (up := leader.get(one, one)) != one:
        leader[one] = leader.get(up, up)
        one = up
    return one

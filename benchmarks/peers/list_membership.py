"""The composition split by membership tests in Python lists: our own re-implementation of the idea, not anyone's code.

The data of arXiv:2405.15071 was published with a generator that keeps facts in lists and asks `fact in out_of_
distribution_facts` for the facts of every two-hop chain, which costs (chains x OOD facts) comparisons. Where the order
of the tests was ours to choose, it is the cheaper one: the shorter list is searched, and a chain's first fact is looked
up once for all its continuations.
"""

from __future__ import annotations

import random
from collections import defaultdict
from typing import NamedTuple

Fact = tuple[int, int, int]
Chain = tuple[int, int, int, int, int]


class Lists(NamedTuple):
    """The pools of the split, as lists of tuples."""

    id_facts: list[Fact]
    train: list[Chain]
    test_id: list[Chain]
    test_ood: list[Chain]


def random_facts(n_entity: int, n_relation: int, out_degree: int, rng: random.Random) -> list[Fact]:
    """`out_degree` distinct relations for each entity, each with a uniform tail."""
    return [
        (head, relation, rng.randrange(n_entity))
        for head in range(n_entity)
        for relation in sorted(rng.sample(range(n_relation), out_degree))
    ]


def split(facts: list[Fact], ood: list[Fact], *, phi: float, test_share: float, rng: random.Random) -> Lists:
    """Both facts ID: test with probability `test_share`, else pool; both OOD: OOD test; mixed: dropped."""
    id_facts = [fact for fact in facts if fact not in ood]
    leaving: dict[int, list[Fact]] = defaultdict(list)
    for fact in facts:
        leaving[fact[0]].append(fact)
    pool: list[Chain] = []
    test_id: list[Chain] = []
    test_ood: list[Chain] = []
    for first in facts:
        first_is_ood = first in ood
        for second in leaving[first[2]]:
            second_is_ood = second in ood
            chain = (*first, *second[1:])
            if first_is_ood and second_is_ood:
                test_ood.append(chain)
            elif not first_is_ood and not second_is_ood:
                (test_id if rng.random() < test_share else pool).append(chain)
    return Lists(id_facts, rng.sample(pool, min(len(pool), round(phi * len(id_facts)))), test_id, test_ood)

"""Splits of two-hop chains that cannot leak: the composition task and real graphs.

Composition (Wang et al., NeurIPS 2024, arXiv:2405.15071, sections 3.1 and 3.2):
  1  a share of the *facts* is out of distribution (OOD); every fact is trained as a one-hop question
  2  chains of two in-distribution (ID) facts: each goes to the ID test with probability `test_share`, else to the pool
  3  chains of two OOD facts are the OOD test; mixed chains are dropped
  4  the pool is cut to `phi` chains for each ID fact, without replacement

Real graphs (the split of Abramov et al., ICML 2025, arXiv:2504.20752, told apart by what training has shown):
  1  training chains: a number per fact, a share, or the user's own questions; never with a held-out fact
  2  every other chain is a test: *ID* when training shows both its facts in this very position, *OOD* when a fact of it
     is in no training chain at all, and *shifted* when both are, but one only in the other position
  3  round trips (r, then r~) and chains that training shows backwards are no test

`assert_no_leak` recomputes all of this from the rows, and runs at the end of every split.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from wheatstone.bench.errors import UserError
from wheatstone.domains.kg.comparison import (
    ComparisonSplit,
    ComplexSplit,
    comparison_split,
    complex_split,
)
from wheatstone.domains.kg.graph import Bool, Chains, Graph, Int32, chains, facts_of
from wheatstone.domains.kg.streams import stream

__all__ = [
    "ComparisonSplit",
    "ComplexSplit",
    "CompositionSplit",
    "Exposure",
    "RealSplit",
    "assert_no_leak",
    "comparison_split",
    "complex_split",
    "composition_split",
    "exposure",
    "real_split",
]


@dataclass(frozen=True)
class CompositionSplit:
    """Facts are int32 [n, 3] (head, relation, tail)."""

    atomic_id: Int32
    atomic_ood: Int32
    train: Chains
    test_id: Chains
    test_ood: Chains
    n_entity: int
    n_relation: int
    reachable_phi: float
    """Chains of the pool for each ID fact: the largest phi that this graph, seed and shares allow."""

    @property
    def atomic(self) -> Int32:
        """[n, 3]: every fact, ID first; all are trained as one-hop questions."""
        return np.concatenate([self.atomic_id, self.atomic_ood])

    @property
    def phi(self) -> float:
        """Inferred facts in training for each ID fact."""
        return len(self.train) / len(self.atomic_id)

    def digest(self) -> str:
        """SHA-256 of every pool, to state in a report which data a number was measured on."""
        return _digest(self.atomic_id, self.atomic_ood, self.train.rows, self.test_id.rows, self.test_ood.rows)


@dataclass(frozen=True)
class RealSplit:
    """Pools of real chains. Training shows every fact of the graph as a one-hop question."""

    graph: Graph
    real_train: Chains
    real_id_test: Chains
    """Both facts are in training chains, in the same positions."""
    real_shifted_test: Chains
    """Both facts are in training chains, at least one only in the other position."""
    real_ood_test: Chains
    """At least one fact is in no training chain."""
    held_out: Bool
    """[n_entity, n_relation]: facts kept out of every training chain on purpose."""
    excluded: int
    """Chains that are neither trained nor tested: round trips, and what training shows backwards."""

    @property
    def real_test(self) -> Chains:
        """Every test chain: ID, shifted, OOD."""
        return Chains.joined([self.real_id_test, self.real_shifted_test, self.real_ood_test])

    @property
    def phi(self) -> float:
        """Real training chains for each fact that may be in one."""
        return len(self.real_train) / int((self.graph.table >= 0).sum() - self.held_out.sum())

    def digest(self) -> str:
        """SHA-256 of every pool."""
        return _digest(self.graph.triples, self.real_train.rows, self.real_test.rows)


def composition_split(
    table: Int32, *, phi: float | None, ood_share: float = 0.05, test_share: float = 0.005, seed: int
) -> CompositionSplit:
    """Split the chains of a table [n_entity, n_relation] as the paper does.

    Splits of one seed that differ in `phi` alone have the same facts and tests, and the smaller training set is part of
    the larger one.

    Args:
        phi: inferred facts in training for each ID fact; None takes every chain of the pool.
        ood_share: share of the facts that are in no training chain.
        test_share: probability that a chain of two ID facts is an ID test.

    Raises UserError when the pool has fewer chains than `phi` asks for, naming the largest phi.
    """
    facts = facts_of(table)
    if not len(facts):
        raise UserError("composition split: the graph has no facts.")
    n_ood = round(ood_share * len(facts))
    is_ood = np.zeros(len(facts), bool)
    is_ood[stream(seed, "ood facts").permutation(len(facts))[:n_ood]] = True
    atomic_id, atomic_ood = facts[~is_ood], facts[is_ood]
    if not len(atomic_id):
        raise UserError(f"composition split: an OOD share of {ood_share} leaves no in-distribution fact.")
    in_distribution = np.zeros(table.shape, bool)
    in_distribution[atomic_id[:, 0], atomic_id[:, 1]] = True
    both_id = chains(table, keep=in_distribution)
    is_test = stream(seed, "id test").random(len(both_id)) < test_share
    pool = both_id[~is_test]
    reachable = len(pool) / len(atomic_id)
    wanted = len(pool) if phi is None else round(phi * len(atomic_id))
    if wanted > len(pool):
        raise UserError(
            f"phi: got {phi:g}, at most {reachable:.2f} is reachable: {len(pool):,} training chains for "
            f"{len(atomic_id):,} in-distribution facts. Ask for less, or for a graph with a higher out-degree."
        )
    chosen = np.sort(stream(seed, "train").permutation(len(pool))[:wanted])
    split = CompositionSplit(
        atomic_id,
        atomic_ood,
        pool[chosen],
        both_id[is_test],
        chains(table, keep=(table >= 0) & ~in_distribution),
        table.shape[0],
        table.shape[1],
        reachable,
    )
    assert_no_leak(split)
    return split


def real_split(
    graph: Graph,
    *,
    train_phi: float | None = None,
    train_share: float | None = None,
    questions: Chains | None = None,
    ood_share: float = 0.0,
    keep_round_trips: bool = False,
    seed: int,
) -> RealSplit:
    """Split the chains of a real graph into training and three kinds of tests.

    Exactly one of these says what is trained:
        train_phi: chains for each fact that is not held out
        train_share: share of the chains of facts that are not held out
        questions: the user's own, as chains of the graph
    The chosen chains do not depend on each other: more of them, with the same seed, contain the fewer.

    Args:
        ood_share: share of the facts that are held out of every training chain; with 0, OOD is what chance leaves out.
        keep_round_trips: keep chains of a relation and its inverse as tests.

    Raises UserError when the graph has no chain, or fewer than asked for.
    """
    if sum(given is not None for given in (train_phi, train_share, questions)) != 1:
        raise ValueError("give exactly one of train_phi, train_share and questions")
    if questions is not None and ood_share:
        raise ValueError("facts cannot be held out of the user's own questions")
    table = graph.table
    everything = chains(table)
    if not len(everything):
        raise UserError("the graph has no two-hop chain: no fact starts where another one ends.")
    facts = graph.triples
    held_facts = facts[stream(seed, "held out").permutation(len(facts))[: round(ood_share * len(facts))]]
    held_out = np.zeros(table.shape, bool)
    held_out[held_facts[:, 0], held_facts[:, 1]] = True
    if questions is not None:
        trained = np.isin(_keys(everything, graph), _keys(questions, graph))
    else:
        free = np.flatnonzero(~(_cells(everything.first_facts, held_out) | _cells(everything.second_facts, held_out)))
        n_free_fact = len(facts) - len(held_facts)
        wanted = round(train_phi * n_free_fact) if train_phi is not None else round((train_share or 0.0) * len(free))
        if wanted > len(free):
            raise UserError(
                f"phi: got {wanted / n_free_fact:g} of real chains, at most {len(free) / n_free_fact:.2f} can be had: "
                f"{len(free):,} chains for {n_free_fact:,} facts. Ask for less, or augment the graph."
            )
        trained = np.zeros(len(everything), bool)
        trained[free[stream(seed, "real train").permutation(len(free))[:wanted]]] = True
    train = everything[trained]
    fair = ~trained & ~_told_backwards(everything, train, graph)
    if not keep_round_trips:
        fair &= graph.inverse_of[everything.r1] != everything.r2
    tests = everything[fair]
    seen = exposure(tests, train, n_entity=len(graph.entities), n_relation=len(graph.relations))
    split = RealSplit(
        graph,
        train,
        tests[seen.in_position],
        tests[~seen.in_position & ~seen.unseen],
        tests[seen.unseen],
        held_out,
        len(everything) - len(train) - len(tests),
    )
    assert_no_leak(split)
    return split


class Exposure(NamedTuple):
    """What training has shown of each test chain; two masks [n_test], never both true."""

    in_position: Bool
    """Both facts are in training chains in the same position."""
    unseen: Bool
    """A fact is in no training chain."""


def exposure(tests: Chains, train: Chains, *, n_entity: int, n_relation: int) -> Exposure:
    """How far the facts of `tests` occur in the chains of `train`; augmented chains may be among these."""
    first = np.zeros((n_entity, n_relation), bool)
    second = np.zeros((n_entity, n_relation), bool)
    first[train.head, train.r1] = True
    second[train.bridge, train.r2] = True
    anywhere = first | second
    in_position = _cells(tests.first_facts, first) & _cells(tests.second_facts, second)
    return Exposure(in_position, ~(_cells(tests.first_facts, anywhere) & _cells(tests.second_facts, anywhere)))


def assert_no_leak(split: CompositionSplit | RealSplit, extra_train: Chains | None = None) -> None:
    """Recompute from the rows that no test is given away; raises AssertionError that says what leaks.

    Args:
        extra_train: further training chains, of augmentation; they may show no test and no held-out fact.
    """
    if isinstance(split, CompositionSplit):
        _assert_composition(split)
    else:
        _assert_real(split)
    if extra_train is not None and isinstance(split, RealSplit):
        graph = split.graph
        real = (extra_train.head < len(graph.entities)) & (extra_train.r1 < len(graph.relations))
        real &= extra_train.r2 < len(graph.relations)
        own = extra_train[real]
        _expect(not np.isin(_keys(own, graph), _keys(split.real_test, graph)).any(), "a test is among added chains")
        for facts in (extra_train.first_facts, extra_train.second_facts):
            inside = facts[(facts[:, 0] < len(graph.entities)) & (facts[:, 1] < len(graph.relations))]
            _expect(not _cells(inside, split.held_out).any(), "an added chain uses a held-out fact")


def _assert_composition(split: CompositionSplit) -> None:
    shape = (split.n_entity, split.n_relation)
    kind = np.zeros(shape, np.int8)  # 0 absent, 1 in distribution, 2 out of distribution
    kind[split.atomic_id[:, 0], split.atomic_id[:, 1]] = 1
    _expect(not kind[split.atomic_ood[:, 0], split.atomic_ood[:, 1]].any(), "a fact is both ID and OOD")
    kind[split.atomic_ood[:, 0], split.atomic_ood[:, 1]] = 2
    table = np.full(shape, -1, np.int32)
    for facts in (split.atomic_id, split.atomic_ood):
        table[facts[:, 0], facts[:, 1]] = facts[:, 2]
    for name, pool, allowed in (
        ("train", split.train, 1),
        ("test_id", split.test_id, 1),
        ("test_ood", split.test_ood, 2),
    ):
        for facts in (pool.first_facts, pool.second_facts):
            _expect((kind[facts[:, 0], facts[:, 1]] == allowed).all(), f"{name} has a mixed or foreign chain")
            _expect((table[facts[:, 0], facts[:, 1]] == facts[:, 2]).all(), f"{name} has a chain that is not true")
    # Train and OOD test share no fact, by the loop above; what is left is the two ID pools.
    names = [_question_keys(pool, split.n_relation) for pool in (split.train, split.test_id)]
    _expect(len(np.unique(np.concatenate(names))) == sum(map(len, names)), "a chain is twice in the ID pools")


def _assert_real(split: RealSplit) -> None:
    graph, train = split.graph, split.real_train
    pools = [train, split.real_id_test, split.real_shifted_test, split.real_ood_test]
    keys = np.concatenate([_keys(pool, graph) for pool in pools])
    _expect(len(np.unique(keys)) == len(keys), "a chain is in two pools")
    for pool in pools:
        for facts in (pool.first_facts, pool.second_facts):
            _expect((graph.table[facts[:, 0], facts[:, 1]] == facts[:, 2]).all(), "a chain is not true in the graph")
    for facts in (train.first_facts, train.second_facts):
        _expect(not _cells(facts, split.held_out).any(), "a held-out fact is in a training chain")
    seen = np.zeros(graph.table.shape, bool)
    seen[train.head, train.r1] = True
    seen[train.bridge, train.r2] = True
    ood = split.real_ood_test
    known = _cells(ood.first_facts, seen) & _cells(ood.second_facts, seen)
    _expect(not known.any(), "an OOD test has both facts in training chains")
    _expect(not _told_backwards(split.real_test, train, graph).any(), "training shows a test backwards")


def _expect(fact: bool | np.bool_, otherwise: str) -> None:
    if not fact:
        raise AssertionError(f"the split leaks: {otherwise}")


def _cells(facts: Int32, mask: Bool) -> Bool:
    """The value of a mask [n_entity, n_relation] at the head and relation of each fact."""
    return mask[facts[:, 0], facts[:, 1]]


def _question_keys(pool: Chains, n_relation: int) -> npt.NDArray[np.int64]:
    return (pool.head.astype(np.int64) * n_relation + pool.r1) * n_relation + pool.r2


def _keys(pool: Chains, graph: Graph) -> npt.NDArray[np.int64]:
    return _question_keys(pool, len(graph.relations))


def _told_backwards(tests: Chains, train: Chains, graph: Graph) -> Bool:
    """Which tests have their reversal (tail, r2~, bridge, r1~, head) among the training chains."""
    opposite = graph.inverse_of
    back_r1, back_r2 = opposite[tests.r2], opposite[tests.r1]
    reversible = (back_r1 >= 0) & (back_r2 >= 0)
    rows = np.stack([tests.tail, back_r1, tests.bridge, back_r2, tests.head], axis=1)[reversible]
    told = np.zeros(len(tests), bool)
    trained = _keys(train, graph)
    reverse = Chains(rows)
    same = np.isin(_keys(reverse, graph), trained)
    # The same question backwards gives the test away only where it goes through the same bridge to the same head.
    same &= graph.table[rows[:, 0], rows[:, 1]] == rows[:, 2]
    same &= graph.table[rows[:, 2], rows[:, 3]] == rows[:, 4]
    told[np.flatnonzero(reversible)] = same
    return told


def _digest(*arrays: Int32) -> str:
    whole = hashlib.sha256()
    for values in arrays:
        whole.update(repr(values.shape).encode())
        whole.update(np.ascontiguousarray(values, np.int32).tobytes())
    return whole.hexdigest()

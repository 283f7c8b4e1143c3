"""Splits: no leak on random graphs, checked again here with sets, and the numbers that the papers give."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.domains.kg.graphs import family, graphs

from wheatstone.bench.errors import UserError
from wheatstone.domains.kg.graph import Chains, Graph, chains
from wheatstone.domains.kg.questions import Question, question_chains
from wheatstone.domains.kg.split import (
    CompositionSplit,
    RealSplit,
    assert_no_leak,
    composition_split,
    exposure,
    real_split,
)
from wheatstone.domains.kg.synthetic import random_table

shares = st.floats(0.0, 0.6)
seeds = st.integers(0, 2**31)


def tuples(rows: np.ndarray) -> set[tuple[int, ...]]:
    return set(map(tuple, rows.tolist()))


@given(graphs(min_fact=1), shares, shares, st.floats(0.0, 1.0), seeds)
def test_composition_pools_are_apart(graph: Graph, ood_share: float, test_share: float, part: float, seed: int) -> None:
    if round(ood_share * len(graph.triples)) == len(graph.triples):
        return
    whole = composition_split(graph.table, phi=None, ood_share=ood_share, test_share=test_share, seed=seed)
    split = composition_split(
        graph.table, phi=part * whole.reachable_phi, ood_share=ood_share, test_share=test_share, seed=seed
    )
    known, ood = tuples(split.atomic_id), tuples(split.atomic_ood)
    assert known | ood == tuples(graph.triples)
    assert not known & ood
    assert len(ood) == round(ood_share * len(graph.triples))
    train, test_id, test_ood = (tuples(pool.rows) for pool in (split.train, split.test_id, split.test_ood))
    assert not train & test_id
    for chain in train | test_id:
        assert chain[:3] in known
        assert chain[2:] in known
    for chain in test_ood:
        assert chain[:3] in ood
        assert chain[2:] in ood
    # Nothing but mixed chains and what phi leaves out is missing.
    mixed = {c for c in tuples(chains(graph.table).rows) if (c[:3] in ood) != (c[2:] in ood)}
    assert tuples(whole.train.rows) | test_id | test_ood | mixed == tuples(chains(graph.table).rows)
    assert len(train) == round(part * whole.reachable_phi * len(known))
    assert train <= tuples(whole.train.rows)
    assert tuples(whole.test_id.rows) == test_id


def test_the_papers_composition_data() -> None:
    """E = 2000, R = 200, out-degree 20: 5 % OOD facts, 0.5 % ID test, and phi = 18 is almost every chain."""
    table = random_table(2000, 200, 20, np.random.default_rng(1))
    split = composition_split(table, phi=18.0, seed=1)
    assert (len(split.atomic_id), len(split.atomic_ood)) == (38_000, 2_000)
    assert len(split.train) == 18 * 38_000
    assert split.phi == 18.0
    # Chains of two ID facts: 800,000 * 0.95^2, of which 0.5 % are tests; both OOD: 800,000 * 0.05^2.
    assert len(split.test_id) == pytest.approx(3610, abs=200)
    assert len(split.test_ood) == pytest.approx(2000, abs=250)
    assert split.reachable_phi == pytest.approx(20 * 0.95 * 0.995, rel=0.01)
    with pytest.raises(
        UserError, match=r"phi: got 20, at most 18\.\d\d is reachable: \d+,\d+ training chains for 38,000"
    ):
        composition_split(table, phi=20.0, seed=1)


def test_the_same_seed_gives_the_same_split_and_another_does_not() -> None:
    table = random_table(30, 6, 4, np.random.default_rng(0))
    digests = {composition_split(table, phi=1.0, seed=seed).digest() for seed in (0, 0, 1)}
    assert len(digests) == 2
    graph = as_graph(table)
    assert len({real_split(graph, train_phi=1.0, seed=seed).digest() for seed in (3, 3, 4)}) == 2


def as_graph(table: np.ndarray) -> Graph:
    e, r = (tuple(f"{kind}{i}" for i in range(n)) for kind, n in zip("er", table.shape, strict=True))
    heads, relations = np.nonzero(table >= 0)
    return Graph(e, r, np.stack([heads, relations, table[heads, relations]], axis=1).astype(np.int32))


@pytest.fixture
def split() -> CompositionSplit:
    table = random_table(12, 4, 3, np.random.default_rng(0))
    return composition_split(table, phi=1.0, ood_share=0.3, test_share=0.2, seed=0)


@pytest.mark.parametrize(
    ("leak", "why"),
    [
        (lambda s: {"train": Chains.joined([s.train, s.test_id[:1]])}, "a chain is twice in the ID pools"),
        (lambda s: {"train": Chains.joined([s.train, s.test_ood[:1]])}, "train has a mixed or foreign chain"),
        (lambda s: {"test_ood": s.train[:1]}, "test_ood has a mixed or foreign chain"),
        (lambda s: {"atomic_ood": s.atomic_id[:1]}, "a fact is both ID and OOD"),
        (
            lambda s: {"train": Chains(s.train.rows + np.array([0, 0, 0, 0, 1], np.int32))},
            "train has a chain that is not true",
        ),
    ],
    ids=["test in train", "ood in train", "id in ood test", "fact twice", "untrue"],
)
def test_each_leak_of_a_composition_split_is_found(split: CompositionSplit, leak: object, why: str) -> None:
    assert_no_leak(split)
    with pytest.raises(AssertionError, match=why):
        assert_no_leak(dataclasses.replace(split, **leak(split)))  # pyright: ignore[reportCallIssue]


def with_inverse(graph: Graph) -> Graph:
    backwards = {(fact.tail, fact.relation + "~"): fact.head for fact in graph.facts()}
    return Graph.from_facts([*graph.facts(), *((h, r, t) for (h, r), t in backwards.items())])


@settings(max_examples=200)
@given(
    st.one_of(graphs(min_fact=1), graphs(min_fact=1).map(with_inverse)),
    st.floats(0.0, 1.0),
    shares,
    st.booleans(),
    seeds,
)
def test_real_pools_are_apart(graph: Graph, train_share: float, ood_share: float, trips: bool, seed: int) -> None:
    everything = tuples(chains(graph.table).rows)
    if not everything:
        with pytest.raises(UserError, match="no two-hop chain"):
            real_split(graph, train_share=train_share, seed=seed)
        return
    split = real_split(graph, train_share=train_share, ood_share=ood_share, keep_round_trips=trips, seed=seed)
    train = tuples(split.real_train.rows)
    pools = [tuples(p.rows) for p in (split.real_id_test, split.real_shifted_test, split.real_ood_test)]
    assert len(train) + sum(map(len, pools)) == len(train.union(*pools))
    assert train.union(*pools) <= everything
    assert len(everything) == len(train) + sum(map(len, pools)) + split.excluded
    firsts, seconds = {c[:3] for c in train}, {c[2:] for c in train}
    id_test, shifted, ood = pools
    assert all(c[:3] in firsts and c[2:] in seconds for c in id_test)
    assert all(c[:3] in firsts | seconds and c[2:] in firsts | seconds for c in shifted)
    assert not any(c[:3] in firsts and c[2:] in seconds for c in shifted)
    assert all(c[:3] not in firsts | seconds or c[2:] not in firsts | seconds for c in ood)
    held = {tuple(fact) for fact in graph.triples.tolist() if split.held_out[fact[0], fact[1]]}
    assert len(held) == round(ood_share * len(graph.triples))
    assert not (firsts | seconds) & held
    opposite = graph.inverse_of.tolist()
    for h, r1, b, r2, t in set().union(*pools):
        assert (t, opposite[r2], b, opposite[r1], h) not in train
        assert trips or opposite[r1] != r2


def test_the_users_own_questions_are_the_training_set() -> None:
    graph = family()
    questions = question_chains([Question("Ann", ("born_in", "country"))], graph)
    split = real_split(graph, questions=questions, seed=0)
    assert split.real_train.rows.tolist() == questions.rows.tolist()
    assert len(split.real_test) == 4
    assert split.phi == 1 / 7


def test_what_must_not_be_asked_together() -> None:
    questions = chains(family().table)[:1]
    with pytest.raises(ValueError, match="exactly one of"):
        real_split(family(), seed=0)
    with pytest.raises(ValueError, match="exactly one of"):
        real_split(family(), train_phi=1.0, train_share=0.5, seed=0)
    with pytest.raises(ValueError, match="cannot be held out"):
        real_split(family(), questions=questions, ood_share=0.5, seed=0)


def test_more_training_than_there_is() -> None:
    with pytest.raises(UserError, match=r"phi: got 3 of real chains, at most 0.71 can be had: 5 chains for 7 facts"):
        real_split(family(), train_phi=3.0, seed=0)


def test_more_training_contains_less() -> None:
    graph = as_graph(random_table(30, 6, 4, np.random.default_rng(0)))
    few, many = (real_split(graph, train_phi=phi, ood_share=0.1, seed=5) for phi in (0.5, 2.0))
    assert tuples(few.real_train.rows) < tuples(many.real_train.rows)
    assert np.array_equal(few.held_out, many.held_out)
    assert few.phi == pytest.approx(0.5, abs=0.01)


@pytest.fixture
def real() -> RealSplit:
    return real_split(as_graph(random_table(20, 5, 4, np.random.default_rng(0))), train_phi=1.0, ood_share=0.1, seed=0)


def test_added_chains_must_not_show_a_test_or_a_held_out_fact(real: RealSplit) -> None:
    assert_no_leak(real, real.real_train)
    with pytest.raises(AssertionError, match="a test is among added chains"):
        assert_no_leak(real, real.real_id_test[:1])
    head, relation = np.argwhere(real.held_out)[0]
    stranger = len(real.graph.entities)
    chain = [stranger, 0, head, relation, real.graph.table[head, relation]]
    with pytest.raises(AssertionError, match="an added chain uses a held-out fact"):
        assert_no_leak(real, Chains(np.array([chain], np.int32)))


def test_each_leak_of_a_real_split_is_found(real: RealSplit) -> None:
    doubled = dataclasses.replace(real, real_train=Chains.joined([real.real_train, real.real_id_test[:1]]))
    with pytest.raises(AssertionError, match="a chain is in two pools"):
        assert_no_leak(doubled)
    moved = dataclasses.replace(real, real_ood_test=real.real_id_test, real_id_test=real.real_ood_test)
    with pytest.raises(AssertionError, match="an OOD test has both facts in training chains"):
        assert_no_leak(moved)
    shown = real.real_ood_test[:1]
    leaked = dataclasses.replace(
        real, real_train=Chains.joined([real.real_train, shown]), real_ood_test=real.real_ood_test[1:]
    )
    with pytest.raises(AssertionError, match="the split leaks"):
        assert_no_leak(leaked)


def test_a_test_told_backwards_is_a_leak() -> None:
    facts = [("a", "r", "b"), ("b", "s", "c"), ("b", "r~", "a"), ("c", "s~", "b")]
    graph = Graph.from_facts(facts)
    trained = question_chains([Question("c", ("s~", "r~"))], graph)
    split = real_split(graph, questions=trained, seed=0)
    told = question_chains([Question("a", ("r", "s"))], graph).rows.tolist()
    assert told[0] not in split.real_test.rows.tolist()
    with pytest.raises(AssertionError, match="training shows a test backwards"):
        assert_no_leak(dataclasses.replace(split, real_ood_test=Chains(np.array(told, np.int32))))


def test_exposure_by_position() -> None:
    graph = family()
    rows = chains(graph.table)
    # Train: Ann's mother's birthplace. It shows (Ann, mother) as first and (Eve, born_in) as second hop.
    train = rows[[1]]
    seen = exposure(rows, train, n_entity=len(graph.entities), n_relation=len(graph.relations))
    assert seen.in_position.tolist() == [False, True, False, False, False]
    assert seen.unseen.tolist() == [True, False, True, True, True]

"""Augmentation: provenance and truth on random graphs, the three worlds, the targets, and the countries."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.domains.kg.graphs import family, graphs

from wheatstone.bench.errors import UserError
from wheatstone.domains.kg import catalogue, drawing
from wheatstone.domains.kg.augment import REAL, SYNTHETIC, Augmented, augment
from wheatstone.domains.kg.classes import first_hop, head_classes
from wheatstone.domains.kg.graph import Chains, Graph, chains
from wheatstone.domains.kg.load import load
from wheatstone.domains.kg.phi import phi_report
from wheatstone.domains.kg.split import assert_no_leak, real_split

WORLDS = ["true", "false_consistent", "inconsistent"]


def named(graph: Graph, rows: Chains) -> list[tuple[str, ...]]:
    e, r = graph.entities, graph.relations
    return [(e[h], r[a], e[b], r[c], e[t]) for h, a, b, c, t in rows.rows.tolist()]


def chainable(graph: Graph) -> bool:
    return bool(first_hop(graph.table, graph.table >= 0).any())


@settings(max_examples=60)
@given(
    graphs(min_fact=1).filter(chainable),
    st.sampled_from(WORLDS),
    st.integers(0, 9),
    st.integers(0, 2),
    st.floats(0, 1),
    st.integers(0, 2**31),
)
def test_provenance(graph: Graph, world: str, heads: int, n_relation: int, share: float, seed: int) -> None:
    def made() -> Augmented:
        return augment(graph, heads=heads, world=world, false_share=share, synthetic_relations=n_relation, seed=seed)

    result = made()
    whole = result.graph
    # Real names, ids and facts stay, and are told apart from the synthetic ones.
    n_entity, n_relation_old, n_fact = len(graph.entities), len(graph.relations), len(graph.triples)
    assert whole.entities[:n_entity] == graph.entities
    assert whole.relations[:n_relation_old] == graph.relations
    assert np.array_equal(whole.triples[:n_fact], graph.triples)
    assert np.array_equal(result.provenance, [REAL] * n_fact + [SYNTHETIC] * (len(whole.triples) - n_fact))
    assert all(name.startswith("syn:") for name in (*whole.entities[n_entity:], *whole.relations[n_relation_old:]))
    assert np.array_equal(result.is_synthetic_entity, np.arange(len(whole.entities)) >= n_entity)
    assert len(result.provenance) == len(result.is_false) == len(whole.triples)
    assert not result.is_false[result.provenance == REAL].any()
    # A chain is synthetic exactly when some part of it is.
    rows = result.chains.rows
    parts = (rows[:, [0, 2, 4]] >= n_entity).any(axis=1) | (rows[:, [1, 3]] >= n_relation_old).any(axis=1)
    assert np.array_equal(result.chain_provenance == SYNTHETIC, parts)
    assert sorted(named(whole, result.chains[~parts])) == sorted(named(graph, chains(graph.table)))
    # In a consistent world every chain is true in the augmented graph.
    firsts = whole.table[result.chains.head, result.chains.r1] == result.chains.bridge
    assert (whole.table[result.chains.bridge, result.chains.r2] == result.chains.tail).all()
    assert firsts.all() or world == "inconsistent"
    assert len(np.unique(result.chains.questions, axis=0)) == len(result.chains)
    # Every head has its class's relations, and every chain that follows.
    assert result.heads == heads
    again = made()
    assert again.graph == whole
    assert np.array_equal(again.chains.rows, rows)


def test_a_head_brings_all_that_follows_from_its_facts() -> None:
    result = augment(family(), heads=5, seed=0)
    whole = result.graph
    assert set(named(whole, result.synthetic_chains)) == {
        chain for chain in named(whole, chains(whole.table)) if chain[0].startswith("syn:")
    }


def test_classes_are_signatures_or_the_users_types() -> None:
    graph = family()
    leads = first_hop(graph.table, graph.table >= 0)
    born, mother = graph.relation_id("born_in"), graph.relation_id("mother")
    # Ann and Bob carry mother and born_in; Eve only born_in, which the larger class has already.
    (people,) = head_classes(graph, leads)
    assert (people.relations, people.members) == (tuple(sorted((born, mother))), 2)
    typed = Graph.from_facts(list(graph.facts()), {"Ann": "child", "Bob": "child", "Eve": "mother"})
    kinds = head_classes(typed, first_hop(typed.table, typed.table >= 0))
    assert [(kind.name, kind.relations, kind.members) for kind in kinds] == [
        ("child", people.relations, 2),
        ("mother", (born,), 1),
    ]
    result = augment(typed, heads=8, seed=0)
    assert "syn:child:0" in result.graph.entities
    assert result.graph.classes[result.graph.entity_id("syn:child:0")] == "child"


def test_every_first_hop_relation_is_in_a_class() -> None:
    facts = [(f"h{i}", f"r{i}", "b") for i in range(6)] + [("b", "s", "t")]
    graph = Graph.from_facts(facts)
    kinds = head_classes(graph, first_hop(graph.table, graph.table >= 0))
    assert sorted(r for kind in kinds for r in kind.relations) == [graph.relation_id(f"r{i}") for i in range(6)]
    result = augment(graph, contexts=1, phi=0.5, seed=0)
    assert not result.unreachable


def test_worlds_share_their_heads_and_differ_in_what_is_false() -> None:
    graph = countries()
    true, false, mixed = (augment(graph, heads=40, world=world, seed=4) for world in WORLDS)
    n_real = len(graph.entities)
    # Inconsistent: the chains are those of the true world, and half of the heads' facts contradict them.
    assert np.array_equal(true.chains.rows, mixed.chains.rows)
    changed = (true.graph.triples != mixed.graph.triples).any(axis=1)
    assert np.array_equal(changed, mixed.is_false)
    assert mixed.is_false.sum() == pytest.approx(120, abs=40)
    shown = mixed.synthetic_chains
    stated = mixed.graph.table[shown.head, shown.r1]
    assert (stated != shown.bridge).mean() == pytest.approx(0.5, abs=0.15)
    assert not true.is_false.any()
    # False but consistent: half of the links lead to twins, whose facts all have another tail than the original's.
    links = false.graph.triples[(false.graph.triples[:, 0] >= n_real) & (false.graph.triples[:, 0] < n_real + 40)]
    own = true.graph.triples[len(graph.triples) :]
    to_twin = links[:, 2] >= n_real
    assert to_twin.mean() == pytest.approx(0.5, abs=0.15)
    assert np.array_equal(links[~to_twin], own[~to_twin])
    for h, r, t in false.graph.triples[false.is_false].tolist():
        original = false.graph.entities[h].removeprefix("syn:twin of ")
        assert graph.table[graph.entity_id(original), r] != t
    twins = false.graph.triples[:, 0] >= n_real + 40
    assert np.array_equal(false.is_false, twins)
    # Each twin carries the relations of its original, and its tails are of the kind that the relation has.
    for _, r, t in false.graph.triples[twins].tolist():
        assert t in graph.table[:, r]
    assert len(false.synthetic_chains) == len(true.synthetic_chains)


def test_fewer_heads_are_the_first_of_more() -> None:
    graph = countries()
    few, many = (augment(graph, heads=heads, seed=1) for heads in (37, 90))
    size = len(few.graph.triples)
    assert np.array_equal(few.graph.triples, many.graph.triples[:size])
    assert few.graph.entities == many.graph.entities[: len(few.graph.entities)]
    assert np.array_equal(few.chains.rows, many.chains.rows[: len(few.chains)])


def test_the_countries_come_out_as_published() -> None:
    """Per head 6 facts and 72 chains; with 2558 real chains, 200 heads give phi 5.35 and 400 give 7.18."""
    graph = countries()
    split = real_split(graph, train_phi=1.3, seed=0)
    assert len(split.real_train) == 2558
    for heads, phi in ((0, 1.30), (200, 5.35), (400, 7.18)):
        result = augment(graph, heads=heads, train_chains=split.real_train, seed=0)
        assert len(result.graph.triples) == 1968 + 6 * heads
        assert len(result.chains) == 2558 + 72 * heads
        assert round(result.phi, 2) == phi
        assert_no_leak(split, result.synthetic_chains)


def test_the_targets_are_met() -> None:
    graph = countries()
    split = real_split(graph, train_phi=1.3, seed=0)
    for world in WORLDS:
        result = augment(graph, phi=8.0, contexts=8, train_chains=split.real_train, world=world, seed=2)
        assert not result.unreachable
        uses = Counter(map(tuple, result.chains.second_facts.tolist()))
        bridges = set(graph.triples[:, 0].tolist())
        assert min(uses[tuple(fact)] for fact in graph.triples.tolist() if fact[0] in bridges) >= 8
        if world != "inconsistent":
            report = phi_report(result.graph, result.chains)
            assert min(row.phi for row in report.relations) >= 8.0


def test_the_ratio_alone_can_be_the_target() -> None:
    graph = countries()
    none = chains(graph.table)[:0]
    result = augment(graph, phi=8.0, contexts=0, train_chains=none, seed=2)
    lowest = [
        min(row.phi for row in phi_report(g, c).relations) for g, c in ((graph, none), (result.graph, result.chains))
    ]
    assert lowest[0] == 0.0
    assert lowest[1] >= 8.0
    # The estimate of the feasibility report, which draws nothing, is close.
    assert result.heads == pytest.approx(phi_report(graph, none).heads_needed, rel=0.1)


def test_draws_even_out_the_contexts() -> None:
    """2400 links over 164 bridges: drawn evenly, the rarest would have about 4 and the most common 28."""
    result = augment(countries(), heads=400, train_chains=chains(countries().table)[:0], seed=0)
    through = Counter(result.synthetic_chains.bridge.tolist())
    contexts = [count / 12 for count in through.values()]
    assert len(contexts) == 164
    assert min(contexts) >= 10
    assert max(contexts) <= 25


def test_what_cannot_be_reached_is_named_with_its_limit() -> None:
    """Each bridge has one fact, so a new head adds as many chains of r as facts: phi_r tends to 1."""
    graph = Graph.from_facts([(f"a{i}", "r", f"b{i}") for i in range(5)] + [(f"b{i}", "s", f"c{i}") for i in range(5)])
    result = augment(graph, phi=4.0, contexts=2, seed=0)
    (missed,) = result.unreachable
    assert (missed.relation, missed.phi, missed.limit) == ("r", 1.0, 1.0)
    assert result.log[-1] == "'r' stays at phi 1.00: it tends to 1.00"
    # Two synthetic relations on the bridges lift the limit to 3 chains for each fact.
    lifted = augment(graph, phi=2.0, contexts=2, synthetic_relations=2, seed=0)
    assert not lifted.unreachable
    assert lifted.graph.relations == ("r", "s", "syn:relation:0", "syn:relation:1")


def test_synthetic_relations_are_total_on_the_bridges() -> None:
    graph = family()
    result = augment(graph, heads=0, synthetic_relations=1, seed=0)
    bridges = {"Eve", "Rome", "Oslo"}
    added = [fact for fact in result.graph.facts() if fact.relation == "syn:relation:0"]
    assert {fact.head for fact in added} == bridges
    assert {fact.tail for fact in added} <= bridges
    # Real heads get a chain through each of them: their first-hop facts gain contexts.
    assert len(result.synthetic_chains) == 5


def test_held_out_facts_are_in_no_synthetic_chain() -> None:
    graph = countries()
    split = real_split(graph, train_phi=1.0, ood_share=0.1, seed=3)
    result = augment(
        graph, heads=100, train_chains=split.real_train, held_out=split.held_out, synthetic_relations=1, seed=3
    )
    assert_no_leak(split, result.synthetic_chains)
    touched = augment(graph, heads=100, train_chains=split.real_train, seed=3)
    with pytest.raises(AssertionError, match="an added chain uses a held-out fact"):
        assert_no_leak(split, touched.synthetic_chains)


def test_giving_up_is_said() -> None:
    result = augment(countries(), phi=8.0, max_heads=10, train_chains=chains(countries().table)[:0], seed=0)
    assert result.heads == 10
    assert any(line.startswith("stopped at 10 heads with targets unmet") for line in result.log)


def test_errors() -> None:
    lonely = Graph.from_facts([("a", "r", "b")])
    with pytest.raises(UserError, match="no two-hop chain, so there is no bridge to lead to"):
        augment(lonely, seed=0)


def test_more_chains_than_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "MAX_CHAINS", 20_000)
    with pytest.raises(UserError, match=r"more than 20,000 chains are needed.*Ask for a lower phi"):
        augment(countries(), phi=8.0, contexts=50, seed=0)


def countries() -> Graph:
    return load(catalogue.get("countries")).graph

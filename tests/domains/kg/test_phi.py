"""phi against hand-made numbers, against ten lines of independent counting, and against published counts."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.domains.kg.graphs import family, graphs, obvious_chains

from wheatstone.bench.errors import UserError
from wheatstone.domains.kg.baselines import baselines
from wheatstone.domains.kg.core import core
from wheatstone.domains.kg.graph import Chains, Graph, chains
from wheatstone.domains.kg.phi import min_branching, phi_report


def test_phi_of_a_family() -> None:
    """7 facts, 5 chains; born_in has 3 facts and is in all 5 chains, first in 3 of them and second in 2."""
    report = phi_report(family())
    assert (report.n_fact, report.n_chain, report.phi, report.reachable) == (7, 5, 5 / 7, 5 / 7)
    by_name = {row.relation: row for row in report.relations}
    born = by_name["born_in"]
    assert (born.facts, born.phi, born.phi_first, born.phi_second) == (3, 5 / 3, 1.0, 2 / 3)
    assert (by_name["mother"].phi, by_name["mother"].branching) == (1.0, 1.0)
    assert (by_name["country"].phi_first, by_name["country"].phi_second, by_name["country"].branching) == (0, 1.5, 0)
    assert report.below == ("born_in", "country", "mother")
    assert report.out_degree == 7 / 5
    assert report.rows()[0][:3] == ("mother", 2, 1.0)


def test_a_chain_with_one_relation_twice_counts_once() -> None:
    report = phi_report(Graph.from_facts([("a", "r", "b"), ("b", "r", "c")]))
    (row,) = report.relations
    assert (row.phi, row.phi_first, row.phi_second) == (0.5, 0.5, 0.5)


@given(graphs(min_fact=1), st.randoms(use_true_random=False))
def test_phi_counted_again_in_ten_lines(graph: Graph, random: object) -> None:
    everything = obvious_chains([tuple(fact) for fact in graph.facts()])
    if not everything:
        with pytest.raises(UserError, match="no two-hop chain"):
            phi_report(graph)
        return
    rows = chains(graph.table)
    chosen = rows[np.arange(len(rows)) % 3 != random.randrange(3)]  # pyright: ignore[reportAttributeAccessIssue]
    named = [
        (graph.entities[h], graph.relations[a], graph.entities[b], graph.relations[c], graph.entities[t])
        for h, a, b, c, t in chosen.rows.tolist()
    ]
    report = phi_report(graph, chosen)
    facts = Counter(fact.relation for fact in graph.facts())
    for row in report.relations:
        assert row.phi == pytest.approx(sum(row.relation in (c[1], c[3]) for c in named) / facts[row.relation])
        assert row.phi_first == pytest.approx(sum(row.relation == c[1] for c in named) / facts[row.relation])
        assert row.phi_second == pytest.approx(sum(row.relation == c[3] for c in named) / facts[row.relation])
        used = sum(row.relation in (c[1], c[3]) for c in everything)
        assert row.reachable == pytest.approx(used / facts[row.relation])
    first = Counter(c[:3] for c in named)
    second = Counter(c[2:] for c in named)
    assert report.first_contexts.tolist() == [first[tuple(fact)] for fact in graph.facts()]
    assert report.second_contexts.tolist() == [second[tuple(fact)] for fact in graph.facts()]
    assert sum(number for _, number in report.histogram("first")) == len({c[:3] for c in everything})
    assert sum(number for _, number in report.histogram("second")) == len({c[2:] for c in everything})


def test_histogram_bins() -> None:
    chain = chains(family().table)[[0]]
    report = phi_report(family(), Chains(np.repeat(chain.rows, 5, axis=0)))
    assert [(label, n) for label, n in report.histogram("first") if n] == [("0", 4), ("4 to 7", 1)]
    assert report.histogram("first")[-1][0] == "32 or more"


def test_lemma_2() -> None:
    """phi* = 3.6 needs 3.6 ways on after one hop, and 3.6^(1/2) after two."""
    assert min_branching(3.6) == 3.6
    assert min_branching(3.6, hops=3) == pytest.approx(1.897, abs=1e-3)


def test_heads_needed_bring_the_relation_there() -> None:
    """Relation r has 2 facts, and its tails 3 facts each: a new head adds 1 fact of r and 3 chains."""
    facts = [("a", "r", "x"), ("b", "r", "y")] + [(b, f"s{i}", f"{b}{i}") for b in ("x", "y") for i in range(3)]
    graph = Graph.from_facts(facts)
    rows = {row.relation: row for row in phi_report(graph, chains(graph.table)[:0], target=2.0).relations}
    assert rows["r"].heads_needed == 4  # 3n >= 2(2 + n)
    assert rows["s0"].heads_needed == 4  # n >= 2 * 2
    assert {row.heads_needed for row in phi_report(graph, target=3.5).relations if row.relation == "r"} == {None}
    assert phi_report(graph, target=3.5).unreachable == ("r",)


def test_core_drops_what_leads_nowhere_and_keeps_attributes() -> None:
    facts = [("a", "next", "b"), ("b", "next", "c"), ("c", "next", "a"), ("a", "color", "red"), ("b", "color", "blue")]
    facts += [("a", "likes", "b"), ("b", "likes", "dead end")]
    kept = core(Graph.from_facts(facts))
    assert {tuple(fact) for fact in kept.facts()} == set(facts) - {("b", "likes", "dead end")}
    assert "dead end" not in kept.entities
    assert core(kept) == kept
    bare = core(Graph.from_facts(facts), keep_attributes=False)
    assert {fact.relation for fact in bare.facts()} == {"next", "likes"}


def test_an_empty_core_says_so() -> None:
    with pytest.raises(UserError, match="the core is empty: no entity keeps 9 facts"):
        core(family(), min_out_degree=9)


@given(graphs(min_fact=1), st.integers(1, 3))
def test_every_fact_of_a_core_leads_on(graph: Graph, degree: int) -> None:
    try:
        kept = core(graph, min_out_degree=degree, keep_attributes=False)
    except UserError:
        return
    out = Counter(fact.head for fact in kept.facts())
    assert all(out[fact.head] >= degree and out[fact.tail] >= degree for fact in kept.facts())


def test_what_guessing_scores() -> None:
    graph = family()
    everything = chains(graph.table)
    scores = baselines(everything, everything, graph.table)
    # (born_in, country): Italy twice, Norway once; (mother, born_in): Rome twice. Majority gets 4 of 5.
    assert scores.majority_pair == 0.8
    # r2 = country: Italy 2 of 3; r2 = born_in: Rome 2 of 2.
    assert scores.majority_relation == 0.8
    # Ann was born in Rome, and so was her mother: one answer of five is one hop away.
    assert (scores.direct, scores.returning) == (0.2, 0.0)
    assert baselines(everything[:0], everything, graph.table).majority_pair == 0.0
    assert np.isnan(baselines(everything, everything[:0], graph.table).direct)


@settings(max_examples=30)
@given(graphs(min_fact=1))
def test_majority_counted_again(graph: Graph) -> None:
    rows = chains(graph.table)
    train, tests = rows[::2], rows[1::2]
    if not len(tests):
        return
    votes: dict[tuple[int, int], Counter[int]] = {}
    for _, a, _, c, t in train.rows.tolist():
        votes.setdefault((a, c), Counter())[t] += 1
    guess = {pair: min(counts, key=lambda t: (-counts[t], t)) for pair, counts in votes.items()}
    right = [guess.get((a, c)) == t for _, a, _, c, t in tests.rows.tolist()]
    assert baselines(train, tests, graph.table).majority_pair == pytest.approx(sum(right) / len(right))

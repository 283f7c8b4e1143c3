"""Graphs and chains against hand-made answers and against trying all pairs of facts."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from tests.domains.kg.graphs import FAMILY, family, graphs, obvious_chains

from wheatstone.bench.errors import UserError
from wheatstone.domains.kg import graph as module
from wheatstone.domains.kg.graph import Chains, Fact, Graph, chain_count, chains, extended, facts_of
from wheatstone.domains.kg.synthetic import random_table


def named(graph: Graph, found: Chains) -> list[tuple[str, ...]]:
    e, r = graph.entities, graph.relations
    return [(e[h], r[r1], e[b], r[r2], e[t]) for h, r1, b, r2, t in found.rows.tolist()]


def test_chains_of_a_family() -> None:
    assert named(family(), chains(family().table)) == [
        ("Ann", "born_in", "Rome", "country", "Italy"),
        ("Ann", "mother", "Eve", "born_in", "Rome"),
        ("Bob", "born_in", "Oslo", "country", "Norway"),
        ("Bob", "mother", "Eve", "born_in", "Rome"),
        ("Eve", "born_in", "Rome", "country", "Italy"),
    ]


@given(graphs())
def test_chains_are_all_pairs_that_fit(graph: Graph) -> None:
    found = named(graph, chains(graph.table))
    assert len(found) == len(set(found))
    assert set(found) == obvious_chains([tuple(fact) for fact in graph.facts()])
    assert len(found) == chain_count(graph.triples, graph.triples, n_entity=len(graph.entities))


@given(graphs())
def test_chains_come_by_head_r1_r2(graph: Graph) -> None:
    questions = chains(graph.table).questions.tolist()
    assert questions == sorted(questions)


@given(graphs(min_fact=1))
def test_kept_facts_make_the_chains_of_the_smaller_graph(graph: Graph) -> None:
    keep = np.zeros(graph.table.shape, bool)
    kept = graph.triples[::2]
    keep[kept[:, 0], kept[:, 1]] = True
    part = Graph(graph.entities, graph.relations, kept)
    assert np.array_equal(chains(graph.table, keep=keep).rows, chains(part.table).rows)


@given(graphs())
def test_a_graph_does_not_depend_on_the_order_of_its_facts(graph: Graph) -> None:
    facts = list(graph.facts())
    assert Graph.from_facts(facts[::-1] + facts) == graph
    assert np.array_equal(facts_of(graph.table), graph.triples)


def test_names_and_ids_agree() -> None:
    graph = family()
    assert graph.entities[graph.entity_id("Rome")] == "Rome"
    assert graph.relations[graph.relation_id("country")] == "country"
    assert set(graph.facts()) == {Fact(*fact) for fact in FAMILY}
    assert graph.table[graph.entity_id("Italy")].tolist() == [-1, -1, -1]
    with pytest.raises(KeyError):
        graph.entity_id("rome")


def test_inverse_relations_know_each_other() -> None:
    graph = Graph.from_facts([("a", "r", "b"), ("b", "r~", "a"), ("a", "s", "b")])
    by_name = dict(zip(graph.relations, graph.inverse_of.tolist(), strict=True))
    assert by_name == {"r": graph.relation_id("r~"), "r~": graph.relation_id("r"), "s": -1}


@pytest.mark.parametrize(
    ("triples", "why"),
    [
        ([[0, 0, 1], [0, 0, 0]], "not functional"),
        ([[0, 0, 2]], "an id that the graph does not have"),
        ([[0, -1, 1]], "an id that the graph does not have"),
    ],
)
def test_impossible_graphs_are_refused(triples: list[list[int]], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Graph(("a", "b"), ("r",), np.array(triples, np.int32))


def test_facts_and_table_are_read_only() -> None:
    graph = family()
    for values in (graph.triples, graph.table):
        with pytest.raises(ValueError, match="read-only"):
            values[0, 0] = 1


def test_too_many_chains_are_refused_before_they_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CHAINS", 4)
    with pytest.raises(UserError, match="the graph has 5 two-hop chains, at most 4 are enumerated"):
        chains(family().table)


def test_too_large_a_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TABLE_CELLS", 20)
    with pytest.raises(UserError, match="7 entities and 3 relations needs a table of 21 cells, at most 20 fit"):
        _ = family().table


def test_no_facts_make_no_chains() -> None:
    nothing = np.empty((0, 3), np.int32)
    assert len(extended(nothing, nothing, n_entity=3)) == 0
    assert len(Chains.joined([])) == 0


def test_the_papers_random_graph() -> None:
    """2000 entities with 20 relations each: 40,000 facts and, as every tail has 20 facts, exactly 800,000 chains."""
    table = random_table(2000, 200, 20, np.random.default_rng(0))
    assert table.dtype == np.int32
    assert ((table >= 0).sum(axis=1) == 20).all()
    found = chains(table)
    assert len(found) == 800_000
    assert (table[found.head, found.r1] == found.bridge).all()
    assert (table[found.bridge, found.r2] == found.tail).all()
    # Tails and relations are uniform: each of 200 relations has 200 facts on average, sd 13.4.
    assert abs(np.bincount(np.nonzero(table >= 0)[1]) - 200).max() < 6 * 13.4


def test_graphs_need_no_torch() -> None:
    """Listing, loading and the feasibility report must not wait for it."""
    modules = ("augment", "catalogue", "comparison", "encode", "load", "phi", "questions", "save", "split")
    imports = "; ".join(f"import wheatstone.domains.kg.{name}" for name in modules)
    code = f"import sys; {imports}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_random_graphs_that_cannot_be() -> None:
    with pytest.raises(UserError, match="the out-degree must lie between 1 and the number of relations"):
        random_table(5, 3, 4, np.random.default_rng(0))

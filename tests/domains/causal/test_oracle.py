"""Reachability and d-separation against networkx and by hand; questions that are drawn are balanced and right."""

from __future__ import annotations

import itertools
import re

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wheatstone.domains.causal.axioms import AXIOMS, FAR, AxiomName, judge
from wheatstone.domains.causal.closure import d_connected, hops, undirected_hops
from wheatstone.domains.causal.encode import rows_of, stacked
from wheatstone.domains.causal.graphs import CausalGraph, Question, open_path
from wheatstone.domains.causal.instances import (
    Instances,
    Structure,
    adjacency_of,
    chain_edges,
    chains_by_distance,
    is_held_out,
    joined,
    structures,
)
from wheatstone.learn.models.statements import EDGE, QUESTION, pack, padding

DRAWN: list[tuple[AxiomName, Structure]] = [
    ("transitivity", "chain"),
    ("transitivity", "reversed"),
    ("transitivity", "flipped"),
    ("transitivity", "branching"),
    ("d_separation", "flipped"),
    ("d_separation", "branching"),
]


@st.composite
def dags(draw: st.DrawFn) -> np.ndarray:
    """The matrix of a graph without cycles, nodes in any order."""
    n = draw(st.integers(2, 7))
    upper = np.triu(np.array(draw(st.lists(st.booleans(), min_size=n * n, max_size=n * n))).reshape(n, n), 1)
    order = np.array(draw(st.permutations(range(n))))
    return upper[np.ix_(order, order)]


def network(matrix: np.ndarray) -> nx.DiGraph:
    return nx.from_numpy_array(matrix.astype(int), create_using=nx.DiGraph)


@given(dags())
def test_hops_are_the_shortest_paths_and_their_closure_is_networkxs(matrix: np.ndarray) -> None:
    lengths = dict(nx.all_pairs_shortest_path_length(network(matrix)))
    expected = [[lengths[i].get(j, -1) for j in range(len(matrix))] for i in range(len(matrix))]
    assert hops(matrix[None])[0].tolist() == expected
    closure = nx.to_numpy_array(nx.transitive_closure(network(matrix)), dtype=bool)
    np.testing.assert_array_equal(hops(matrix[None])[0] > 0, closure)
    either = dict(nx.all_pairs_shortest_path_length(network(matrix).to_undirected()))
    assert undirected_hops(matrix[None])[0].tolist() == [
        [either[i].get(j, -1) for j in range(len(matrix))] for i in range(len(matrix))
    ]


@settings(max_examples=60)
@given(dags(), st.data())
def test_d_connection_is_networkxs_and_a_path_proves_it(matrix: np.ndarray, data: st.DataObject) -> None:
    n, graph = len(matrix), network(matrix)
    pairs = [(a, b) for a in range(n) for b in range(n) if a != b]
    conditioned = [
        data.draw(st.sets(st.sampled_from(range(n)), max_size=n - 2)) - {a, b} if n > 2 else set() for a, b in pairs
    ]
    is_given = np.zeros((len(pairs), n), bool)
    for row, nodes in enumerate(conditioned):
        is_given[row, list(nodes)] = True
    source, target = np.array(pairs).T
    found = d_connected(np.broadcast_to(matrix, (len(pairs), n, n)), is_given)[np.arange(len(pairs)), source, target]
    for (a, b), nodes, connected in zip(pairs, conditioned, found.tolist(), strict=True):
        assert connected != nx.is_d_separator(graph, {a}, {b}, nodes)
        if connected:
            check_open(graph, open_path(graph, a, b, nodes), a, b, nodes)
        else:
            with pytest.raises(ValueError, match="no path is open"):
                open_path(graph, a, b, nodes)


@settings(max_examples=60)
@given(dags(), st.data())
def test_every_reason_names_a_node_that_blocks(matrix: np.ndarray, data: st.DataObject) -> None:
    n, network_ = len(matrix), network(matrix)
    if not matrix.any():
        return
    causal = CausalGraph(tuple(f"n{i}" for i in range(n)), tuple(network_.edges))
    nodes = data.draw(st.sets(st.sampled_from(range(n)), max_size=n - 2)) if n > 2 else set()
    for a, b in itertools.permutations(set(range(n)) - nodes, 2):
        answer = causal.answer(Question("d_separation", f"n{a}", f"n{b}", tuple(f"n{i}" for i in sorted(nodes))))
        assert answer.yes == nx.is_d_separator(network_, {a}, {b}, nodes)
        assert answer.why.startswith(("blocked: ", "no path joins them") if answer.yes else "open path: ")
        for reason in answer.why.removeprefix("blocked: ").split("; ") if answer.yes else ():
            if (found := re.match(r"(n\d.*) at n(\d) \(given\)", reason)) is not None:
                path, at = [int(name) for name in re.findall(r"n(\d)", found[1])], int(found[2])
                place = path.index(at)
                assert at in nodes
                assert network_.has_edge(at, path[place - 1]) or network_.has_edge(at, path[place + 1])
            elif (found := re.match(r"(n\d.*) at n(\d) \(collider", reason)) is not None:
                at = int(found[2])
                assert nodes.isdisjoint({at} | nx.descendants(network_, at))
                assert f"→ n{at} ←" in found[1]


def check_open(graph: nx.DiGraph, walk: list[int], first: int, second: int, conditioned: set[int]) -> None:
    """Every step is an edge; colliders are opened, all others are not given."""
    assert (walk[0], walk[-1]) == (first, second)
    opened = conditioned.union(*(nx.ancestors(graph, node) for node in conditioned))
    for left, node, right in zip(walk, walk[1:], walk[2:], strict=False):
        collider = graph.has_edge(left, node) and graph.has_edge(right, node)
        assert (node in opened) if collider else (node not in conditioned)
    assert all(graph.has_edge(a, b) or graph.has_edge(b, a) for a, b in itertools.pairwise(walk))


def separated(edges: list[tuple[int, int]], first: int, second: int, conditioned: set[int], n: int = 4) -> bool:
    matrix = np.zeros((1, n, n), bool)
    for cause, effect in edges:
        matrix[0, cause, effect] = True
    nodes = np.isin(np.arange(n), list(conditioned))[None]
    return not d_connected(matrix, nodes)[0, first, second]


def test_chain_fork_collider_and_its_descendant_by_hand() -> None:
    chain, fork, collider = [(0, 1), (1, 2)], [(1, 0), (1, 2)], [(0, 1), (2, 1), (1, 3)]
    for edges in (chain, fork):
        assert not separated(edges, 0, 2, set())
        assert separated(edges, 0, 2, {1})
    assert separated(collider, 0, 2, set())
    assert not separated(collider, 0, 2, {1})
    assert not separated(collider, 0, 2, {3})  # the collider's effect opens it as well


@pytest.mark.parametrize(("axiom", "structure"), DRAWN)
def test_drawn_questions_have_networkxs_answers_and_both_in_equal_number(
    axiom: AxiomName, structure: Structure
) -> None:
    for n_node in (4, 6):
        drawn = AXIOMS[axiom].draw(400, n_node, np.random.default_rng(n_node), structure)
        assert len(drawn) > 300
        np.testing.assert_array_equal(drawn.answer, judge(drawn, axiom))
        assert abs(drawn.answer.mean() - 0.5) < 0.03 if structure != "branching" else 0.3 < drawn.answer.mean() < 0.7
        assert (drawn.question[:, 0] != drawn.question[:, 1]).all()
        assert not drawn.given[np.arange(len(drawn))[:, None], drawn.question].any()
        adjacency = drawn.adjacency()
        assert all(nx.is_directed_acyclic_graph(network(matrix)) for matrix in adjacency[:50])


@pytest.mark.parametrize("structure", ["chain", "reversed", "flipped"])
def test_by_distance_every_distance_has_both_answers_alike(structure: Structure) -> None:
    drawn = chains_by_distance(6000, 6, np.random.default_rng(0), structure)
    np.testing.assert_array_equal(drawn.answer, judge(drawn, "transitivity"))
    span = abs(drawn.question[:, 0] - drawn.question[:, 1])
    np.testing.assert_array_equal(drawn.distance, span)
    for distance in range(1, 6):
        some = drawn.answer[span == distance]
        assert len(some) == pytest.approx(1200, abs=120)
        assert some.mean() == pytest.approx(0.5, abs=0.06)
    # so that "is the edge written" tells nothing from two hops on
    far = drawn.take(span > 1)
    assert not AXIOMS["transitivity"].guesses(far)["written"].any()


def test_d_separation_by_distance_asks_far_pairs_with_both_answers_alike() -> None:
    axiom = AXIOMS["d_separation"]
    for balance, most in (("label", 0.75), ("distance", 0.6)):
        drawn = axiom.draw(2000, 5, np.random.default_rng(0), "flipped", balance)
        np.testing.assert_array_equal(drawn.answer, judge(drawn, "d_separation"))
        assert (len(drawn), drawn.answer.mean()) == (2000, 0.5)
        far = drawn.answer[axiom.guesses(drawn)["not_adjacent"]]
        assert len(far) > 2000 * (FAR if balance == "distance" else 0.5)
        assert 0.5 < far.mean() < most if balance == "distance" else far.mean() > most


def test_trivial_rules_by_hand() -> None:
    edges = np.array([[[0, 1], [1, 2], [2, 3]]] * 4)
    question = np.array([[0, 1], [0, 2], [0, 3], [3, 0]])
    asked = Instances(4, edges, question, np.zeros((4, 4), bool), np.ones(4, bool), np.zeros(4, np.int64))
    guesses = AXIOMS["transitivity"].guesses(asked)
    assert guesses["no"].tolist() == [False] * 4
    assert guesses["written"].tolist() == [True, False, False, False]
    assert guesses["two_hops"].tolist() == [True, True, False, False]
    assert guesses["ends"].tolist() == [True, True, True, False]
    assert guesses["mentioned_first"].tolist() == [True, True, True, False]
    conditioned = Instances(4, edges, question, np.eye(4, dtype=bool)[[2, 1, 0, 1]], *asked_rest(asked))
    rules = AXIOMS["d_separation"].guesses(conditioned)
    assert rules["not_adjacent"].tolist() == [False, True, True, True]
    assert rules["cut"].tolist() == [False, True, True, True]


def asked_rest(asked: Instances) -> tuple[np.ndarray, np.ndarray]:
    return asked.answer, asked.distance


def test_graphs_of_several_sizes_are_padded_and_the_padding_is_no_edge() -> None:
    a = AXIOMS["transitivity"].draw(10, 5, np.random.default_rng(0), "chain")
    b = AXIOMS["transitivity"].draw(10, 5, np.random.default_rng(0), "branching")
    both = joined([a, b])
    np.testing.assert_array_equal(both.adjacency()[: len(a)], a.adjacency())
    assert adjacency_of(np.full((1, 3, 2), -1), 3).sum() == 0


def test_a_shape_is_held_out_whichever_end_it_is_read_from() -> None:
    drawn = AXIOMS["transitivity"].draw(3000, 6, np.random.default_rng(0), "flipped")
    held = is_held_out(drawn, 0.3, 7)
    assert 0.2 < held.mean() < 0.4
    mirrored = Instances(
        6,
        chain_edges(~(drawn.edges[..., 0] < drawn.edges[..., 1])[:, ::-1]),
        5 - drawn.question,
        drawn.given[:, ::-1],
        drawn.answer,
        drawn.distance,
    )
    np.testing.assert_array_equal(held, is_held_out(mirrored, 0.3, 7))
    assert not is_held_out(AXIOMS["transitivity"].draw(50, 6, np.random.default_rng(0), "chain"), 0.9, 7).any()


def test_rows_have_fresh_names_the_question_first_and_every_statement_once() -> None:
    drawn = AXIOMS["transitivity"].draw(20, 4, np.random.default_rng(0), "chain")
    rows = rows_of(drawn, 9, np.random.default_rng(1), "written")
    assert rows.shape == (20, 4)
    kind, pair = np.divmod(rows, 81)
    assert (kind[:, 0] == QUESTION).all()
    assert (kind[:, 1:] == EDGE).all()
    first, second = np.divmod(pair, 9)
    for row in range(20):
        names = [first[row, 1], *second[row, 1:]]  # a chain as written: a b, b c, c d
        assert len(set(names)) == 4
        assert [first[row, 0], second[row, 0]] == [names[node] for node in drawn.question[row]]
    shuffled = rows_of(drawn, 9, np.random.default_rng(1), "shuffled")
    np.testing.assert_array_equal(np.sort(shuffled[:, 1:]), np.sort(rows[:, 1:]))
    assert len({tuple(row) for row in rows[:, 1:].tolist()}) > 15  # names change from question to question
    both = stacked([rows, rows[:, :2]], padding(9))
    assert both.shape == (40, 4)
    assert (both[20:, 2:] == padding(9)).all()
    with pytest.raises(ValueError, match="4 nodes need as many names"):
        rows_of(drawn, 3, np.random.default_rng(0))
    assert pack(EDGE, np.array([2]), np.array([3]), 9).tolist() == [21]


def test_branching_graphs_have_the_edges_asked_for() -> None:
    edges = structures(50, 8, np.random.default_rng(0), "branching", 1.4)
    assert edges.shape == (50, 11, 2)
    assert (adjacency_of(edges, 8).sum((1, 2)) == 11).all()

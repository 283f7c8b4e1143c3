"""Horn rules against networkx, against a closure that tries every substitution, and every proof step by step."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wheatstone.bench.errors import InputError, UserError
from wheatstone.domains.causal import rules as rules_module
from wheatstone.domains.causal.graphs import CausalGraph, Edge, graph_of
from wheatstone.domains.causal.rules import Fact, Rule, closure, parse_goals, parse_rules

KIN = """
ancestor(X, Y) :- parent(X, Y).   % a direct cause
ancestor(X, Z) :-                 # and what causes it
    parent(X, Y), ancestor(Y, Z).
sibling(X, Y) :- parent(Z, X), parent(Z, Y), X != Y.
cousin(X, Y) :- parent(A, X), sibling(A, B), parent(B, Y).
root(n0).
far(X) :- ancestor(n0, X), node(X).
"""
WEATHER = [Edge("rain", "wet"), Edge("sprinkler", "wet"), Edge("wet", "slippery")]


@st.composite
def graphs(draw: st.DrawFn) -> CausalGraph:
    n = draw(st.integers(2, 6))
    pairs = list(itertools.combinations(range(n), 2))
    edges = draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=len(pairs), unique=True))
    return CausalGraph(tuple(f"n{i}" for i in range(n)), tuple(edges))


def by_substitution(rules: list[Rule], graph: CausalGraph) -> set[Fact]:
    """Every rule with every assignment of nodes to its variables, until nothing is added."""
    facts = {Fact("node", (name,)) for name in graph.names}
    facts |= {Fact("parent", (graph.names[a], graph.names[b])) for a, b in graph.edges}
    while True:
        added: set[Fact] = set()
        for head, body, unequal in rules:
            atoms = (head, *body)
            names = sorted({term.name for atom in atoms for term in atom.terms if term.is_variable})
            for chosen in itertools.product(graph.names, repeat=len(names)):
                value = dict(zip(names, chosen, strict=True))
                made = [
                    Fact(
                        atom.predicate,
                        tuple(value.get(t.name, t.name) if t.is_variable else t.name for t in atom.terms),
                    )
                    for atom in atoms
                ]
                if all(one in facts for one in made[1:]) and all(value[a.name] != value[b.name] for a, b in unequal):
                    added.add(made[0])
        if added <= facts:
            return facts
        facts |= added


@settings(max_examples=15, deadline=None)
@given(graphs())
def test_what_follows_is_what_every_substitution_gives(graph: CausalGraph) -> None:
    rules = parse_rules(KIN, "kin")
    found = closure(rules, graph, "kin")
    assert set(found.steps) == by_substitution(rules, graph)
    ancestors = {fact.names for fact in found.derived() if fact.predicate == "ancestor"}
    closed = nx.transitive_closure(graph.network)
    assert ancestors == {(f"n{a}", f"n{b}") for a, b in closed.edges}


@settings(max_examples=15, deadline=None)
@given(graphs())
def test_every_step_of_a_proof_is_a_rule_applied_to_what_was_shown_before(graph: CausalGraph) -> None:
    rules = parse_rules(KIN, "kin")
    found = closure(rules, graph, "kin")
    at_line = {rule.head.line: rule for rule in rules}
    for fact in found.derived():
        shown: set[Fact] = set()
        for step in found.proof(fact):
            assert step.fact not in shown
            assert shown.issuperset(step.premises)
            if step.line is None:
                assert step.fact.predicate in ("parent", "node")
            else:
                head, body, unequal = at_line[step.line]
                value: dict[str, str] = {}
                for atom, made in zip((head, *body), (step.fact, *step.premises), strict=True):
                    assert atom.predicate == made.predicate
                    for term, name in zip(atom.terms, made.names, strict=True):
                        assert (value.setdefault(term.name, name) if term.is_variable else term.name) == name
                assert all(value[a.name] != value[b.name] for a, b in unequal)
            shown.add(step.fact)
        assert fact in shown


def test_the_first_proof_is_a_shortest_path() -> None:
    rng = np.random.default_rng(0)
    pairs = [(a, b) for a in range(12) for b in range(a + 1, 12) if rng.random() < 0.25]
    graph = CausalGraph(tuple(f"n{i}" for i in range(12)), tuple(pairs))
    found = closure(parse_rules(KIN, "kin"), graph, "kin")
    lengths = dict(nx.all_pairs_shortest_path_length(graph.network))
    for fact in found.derived():
        if fact.predicate == "ancestor":
            first, second = (int(name[1:]) for name in fact.names)
            edges = [step for step in found.proof(fact) if step.fact.predicate == "parent"]
            assert len(edges) == lengths[first][second]


def test_a_fact_says_what_it_rests_on() -> None:
    graph = graph_of([*WEATHER, Edge("wet", "black ice")], "g")
    text = "ancestor(X, Y) :- parent(X, Y).\nancestor(X, Z) :- parent(X, Y), ancestor(Y, Z).\nseen(wet)."
    rules = parse_rules(text, "r")
    found = closure(rules, graph, "r")
    goals = parse_goals(
        'ancestor(rain, slippery)?\nancestor(rain, "black ice")? seen(wet).\nancestor(wet, rain)?\nparent(rain, wet)?',
        "q",
        rules,
        graph,
    )
    assert [goal.line for goal in goals] == [1, 2, 2, 3, 4]
    assert [found.why(goal.fact) for goal in goals] == [
        "from parent(rain, wet), parent(wet, slippery) by lines 1, 2",
        'from parent(rain, wet), parent(wet, "black ice") by lines 1, 2',
        "from nothing of the graph by line 3",
        "does not follow",
        "is given",
    ]
    said = [str(goal.fact) for goal in goals]
    assert parse_goals("?".join(said) + "?", "q", rules, graph)[1].fact == goals[1].fact  # as printed, so read


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "r: no rules"),
        ("a(X) :- parent(X, Y)", "r:1: the file ends where ',' or '.' must follow"),
        ("a(X) :- parent(X, Y).\nb(X :- a(X).", "r:2: ':-' stands where ',' or ')' must"),
        ("a(X) ? node(X).", "r:1: '?' stands where ':-' or '.' must"),
        ("(X) :- node(X).", "r:1: '(' stands where the name of a predicate must"),
        ("a(X) :- node(,).", "r:1: ',' stands where a name or a variable must"),
        ("\na(X, Y) :- parent(X, Z).", "r:2 field 'head': 'Y' is bound by nothing in the body; add node(Y)"),
        ("a(X) :- node(X), X != Y.", "r:1 field 'head': 'Y' is bound by nothing"),
        ("a(X) :- node(X),\n    parnt(X, Y).", "r:2 field 'body': no rule gives 'parnt'. Did you mean 'parent'?"),
        ("a(X) :- parent(X).", "r:1: 'parent' has 1 arguments here and 2 elsewhere"),
        ("a(X) :- node(X).\na(X, Y) :- parent(X, Y).", "r:2: 'a' has 2 arguments here and 1 elsewhere"),
        ("parent(X, Y) :- parent(Y, X).", "r:1 field 'head': 'parent' is what the graph gives"),
        ("a(X) :- parent(X, wett).", "r:1: no node 'wett' in the graph. Did you mean 'wet'?"),
    ],
)
def test_every_fault_of_a_rule_has_its_place(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        closure(parse_rules(text, "r"), graph_of(WEATHER, "g"), "r")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "q: no questions"),
        ("a(wet)?\na(fog)?", "q:2: no node 'fog' in the graph"),
        ("b(wet)?", "q:1: the rules do not have 'b'"),
        ("a(wet, rain)?", "q:1: 'a' has 2 arguments here and 1 elsewhere"),
        ("a(wet)", "q:1: the file ends where '.' or '?' must follow"),
    ],
)
def test_every_fault_of_a_question_has_its_place(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_goals(text, "q", parse_rules("a(X) :- node(X).", "r"), graph_of(WEATHER, "g"))
    assert message in str(caught.value)


def test_too_much_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules_module, "MAX_FACTS", 50)
    rules = parse_rules("all(A, B, C) :- node(A), node(B), node(C).", "r")
    with pytest.raises(UserError, match=r"^r: more than 50 facts follow"):
        closure(rules, graph_of(WEATHER, "g"), "r")


def test_a_large_graph_takes_no_longer_than_its_facts() -> None:
    """A chain of 200 nodes: 19 900 facts, each found once from what was new."""
    graph = graph_of([Edge(f"n{i}", f"n{i + 1}") for i in range(199)], "g")
    assert len(closure(parse_rules(KIN.split("sibling")[0], "kin"), graph, "kin").derived()) == 19_900

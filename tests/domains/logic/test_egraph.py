"""The congruence closure against textbook cases and brute force; explanations step by step."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wheatstone.domains.logic.egraph import EGraph, Exhausted


def power(count: int) -> Any:
    term: Any = ("a",)
    for _ in range(count):
        term = ("f", term)
    return term


def test_fifth_and_third_power() -> None:
    """f^5(a) = a and f^3(a) = a make f(a) = a (Nelson and Oppen, 1980)."""
    graph = EGraph()
    zero, one, three, five = (graph.add(power(count)) for count in (0, 1, 3, 5))
    graph.merge(five, zero, "five")
    assert not graph.same(one, zero)
    graph.merge(three, zero, "three")
    assert graph.same(one, zero)


def ground() -> st.SearchStrategy[Any]:
    leaves = st.sampled_from([("a",), ("b",), ("c",)])
    return st.recursive(
        leaves, lambda part: st.one_of(st.tuples(st.just("f"), part), st.tuples(st.just("g"), part, part)), max_leaves=4
    )


def closure(pool: list[Any], equations: list[tuple[Any, Any]]) -> dict[Any, int]:
    """Classes by repeated passes over all pairs."""
    number = {term: at for at, term in enumerate(pool)}

    def join(one: Any, other: Any) -> bool:
        old, new = number[one], number[other]
        for term, value in number.items():
            if value == old:
                number[term] = new
        return old != new

    for one, other in equations:
        join(one, other)
    changed = True
    while changed:
        changed = False
        for one, other in itertools.combinations(pool, 2):
            alike = one[0] == other[0] and len(one) == len(other)
            if alike and all(number[x] == number[y] for x, y in zip(one[1:], other[1:], strict=True)):
                changed |= join(one, other)
    return number


def parts(term: Any) -> set[Any]:
    return {term}.union(*(parts(part) for part in term[1:]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(ground(), ground()), max_size=5), st.lists(ground(), max_size=3))
def test_classes_are_those_of_brute_force(equations: list[tuple[Any, Any]], more: list[Any]) -> None:
    pool = sorted(set().union(*(parts(term) for pair in [*equations, (*more,)] for term in pair)), key=repr)
    graph = EGraph()
    nodes = {term: graph.add(term) for term in pool}
    for at, (one, other) in enumerate(equations):
        graph.merge(nodes[one], nodes[other], at)
    number = closure(pool, equations)
    for one, other in itertools.combinations(pool, 2):
        assert graph.same(nodes[one], nodes[other]) == (number[one] == number[other])
        if graph.same(nodes[one], nodes[other]):
            check_path(graph, nodes[one], nodes[other], equations)


def check_path(graph: EGraph, one: int, other: int, equations: list[tuple[Any, Any]]) -> None:
    """Every step is a given equation, or a congruence of arguments that are equal themselves."""
    here = one
    for edge in graph.explain(one, other):
        assert edge.source == here
        here = edge.target
        if edge.reason is None:
            pairs = zip(graph.children[edge.source], graph.children[edge.target], strict=True)
            assert graph.symbol[edge.source] == graph.symbol[edge.target]
            for left, right in pairs:
                check_path(graph, left, right, equations)
        else:
            stated = graph.term(edge.source), graph.term(edge.target)
            assert equations[edge.reason] == (stated if edge.is_forward else stated[::-1])
    assert here == other


def test_matching_modulo_equality() -> None:
    graph = EGraph()
    total = graph.add(("+", ("s", "x"), "y"))
    graph.merge(total, graph.add("z"), "given")
    found = list(graph.matches(("+", ("s", "a"), "b"), graph.add("z"), {}))
    assert [{name: graph.term(node) for name, node in one.items()} for one in found] == [{"a": "x", "b": "y"}]


def test_work_is_bounded() -> None:
    graph = EGraph(allowance=3)
    for name in "xyzuv":
        graph.add(("s", name))
    with pytest.raises(Exhausted):
        list(graph.anywhere(("s", "a"), {}))

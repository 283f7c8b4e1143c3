"""Terms: matching, unification, one form for all variants, and names that cannot capture."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from wheatstone.domains.logic.terms import (
    FALSE,
    Sequent,
    canonical,
    match,
    pretty_sequent,
    substitute,
    substitute_formula,
    unify,
    variables,
)


def terms(names: str = "abc") -> st.SearchStrategy[Any]:
    return st.recursive(
        st.sampled_from([*names, ("i0",), ("e",)]),
        lambda part: st.one_of(st.tuples(st.just("s"), part), st.tuples(st.sampled_from("+*"), part, part)),
        max_leaves=6,
    )


@given(terms(), st.dictionaries(st.sampled_from("abc"), terms("xy")))
def test_an_instance_is_matched(pattern: Any, values: dict[str, Any]) -> None:
    found: dict[str, Any] = {}
    term = substitute(pattern, values)
    assert match(pattern, term, found)
    assert substitute(pattern, found) == term


@given(terms("abc"), terms("abc"))
def test_a_unifier_unifies_and_is_solved(left: Any, right: Any) -> None:
    found = unify(left, right)
    if found is not None:
        assert substitute(left, found) == substitute(right, found)
        assert not set(found) & {name for value in found.values() for name in variables(value)}


@given(terms("ab"), terms("xy"), st.dictionaries(st.sampled_from("abxy"), terms("uv")))
def test_terms_with_a_common_instance_are_unifiable(left: Any, right: Any, values: dict[str, Any]) -> None:
    if substitute(left, values) == substitute(right, values):
        assert unify(left, right) is not None


def test_no_unifier_where_a_variable_would_hold_itself() -> None:
    assert unify("a", ("s", "a")) is None
    assert unify(("+", "a", "b"), ("+", ("s", "b"), ("s", "a"))) is None


@given(st.lists(st.tuples(terms(), terms()), max_size=2), terms(), terms(), st.randoms(use_true_random=False))
def test_variants_have_one_form(sides: list[tuple[Any, Any]], left: Any, right: Any, chance: random.Random) -> None:
    def variant(sequent: Sequent) -> Sequent:
        names = list("abc")
        chance.shuffle(names)
        renaming = dict(zip("abc", (f"v{name}" for name in names), strict=True))
        premises = [one if chance.random() < 0.5 else ("=", one[2], one[1]) for one in sequent.premises]
        chance.shuffle(premises)
        head = sequent.conclusion if chance.random() < 0.5 else ("=", *sequent.conclusion[:0:-1])
        return Sequent(tuple(substitute_formula(one, renaming) for one in premises), substitute_formula(head, renaming))

    sequent = Sequent(tuple(("=", *pair) for pair in sides), ("=", left, right))
    assert canonical(variant(sequent)) == canonical(sequent)


def test_different_statements_have_different_forms() -> None:
    one = canonical(Sequent((("=", ("+", "a", "b"), ("i0",)),), ("=", "a", ("i0",))))
    other = canonical(Sequent((("=", ("+", "a", "b"), ("i0",)),), ("=", "b", ("i0",))))
    assert one != other


def test_a_bound_variable_captures_nothing() -> None:
    body = ("ex", "z", ("=", ("+", "a", "z"), "b"))
    put = substitute_formula(body, {"a": "z"})
    assert put[1] != "z"
    assert put[2] == ("=", ("+", "z", put[1]), "b")


def test_usual_notation() -> None:
    product = ("*", ("+", "a", "b"), ("s", ("i0",)))
    assert pretty_sequent(Sequent((), ("=", product, ("i1",)))) == "(a + b) · s(0) = 1"
    assert pretty_sequent(Sequent((("leq", ("s", "a"), "a"),), FALSE)) == "¬(s(a) ≤ a)"
    assert pretty_sequent(Sequent((("=", "a", "b"), ("=", "b", "c")), ("=", "a", "c"))) == "a = b ∧ b = c ⇒ a = c"

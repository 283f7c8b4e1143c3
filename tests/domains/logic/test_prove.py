"""The prover: what it finds, that all of it is true, and that it stops."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.domains.logic.conftest import Explored

from wheatstone.domains.logic import kernel
from wheatstone.domains.logic.explore import contradiction
from wheatstone.domains.logic.library import Library, is_instance
from wheatstone.domains.logic.saturate import Limits
from wheatstone.domains.logic.terms import Sequent, free_variables, renamed
from wheatstone.domains.logic.theory import load, read, statement


def sides() -> st.SearchStrategy[Any]:
    return st.recursive(
        st.sampled_from(["a", "b", ("i0",)]),
        lambda part: st.one_of(st.tuples(st.just("s"), part), st.tuples(st.sampled_from("+*"), part, part)),
        max_leaves=4,
    )


def value(term: Any, at: dict[str, int]) -> int:
    if isinstance(term, str):
        return at[term]
    parts = [value(part, at) for part in term[1:]]
    return {"i0": lambda: 0, "s": lambda: parts[0] + 1, "+": lambda: sum(parts), "*": lambda: parts[0] * parts[1]}[
        term[0]
    ]()


def holds(atom: Any, at: dict[str, int]) -> bool:
    return value(atom[1], at) == value(atom[2], at)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(sides(), sides()), max_size=1), sides(), sides())
def test_what_is_proved_is_true_and_the_kernel_agrees(given_: list[tuple[Any, Any]], left: Any, right: Any) -> None:
    library = LEMMAS
    goal = renamed(Sequent(tuple(("=", *pair) for pair in given_), ("=", left, right)))
    proof = library.prover.prove(goal, limits=Limits(work=1500))
    if proof is None:
        return
    names = {name for atom in (*goal.premises, goal.conclusion) for name in free_variables(atom)}
    for a in range(5):
        for b in range(5):
            at = {name: (a, b)[place] for place, name in enumerate(sorted(names))}
            assert holds(goal.conclusion, at) or not all(holds(one, at) for one in goal.premises)
    state = kernel.kernel_for(library.document())
    for item in json.loads(json.dumps(library.document()))["items"]:
        state.add(item)
    listed = json.loads(json.dumps({"premises": goal.premises, "conclusion": goal.conclusion}))
    state.add({"item": "theorem", "name": "goal", **listed, "proof": proof.value})


def with_lemmas() -> Library:
    library = Library(load("peano"))
    for at, text in enumerate(
        ["(>[a](in[a,N])(in3[i0,a,a,+]))", "(>[a,b,c,d,e](&(in2[a,c,s])(in3[a,b,d,+]))(>[](in2[d,e,s])(in3[c,b,e,+])))"]
    ):
        goal = library.functional(statement(library.theory, text)[0])
        proof = library.prover.prove(goal)
        assert proof is not None
        assert proof.variable
        library.add(f"lemma{at}", goal, proof)
    return library


LEMMAS = with_lemmas()


def test_cancellation_needs_a_general_hypothesis_only_on_one_side() -> None:
    goal = Sequent((("=", ("+", "a", "b"), ("+", "c", "b")),), ("=", "a", "c"))
    proof = LEMMAS.prover.prove(goal)
    assert proof is not None
    assert proof.variable == "b"


def test_converses_of_what_is_not_functional_are_not_proved() -> None:
    """a <= b follows from a = b; the mirror image is false, and neither are order and divisibility symmetric."""
    library = Library(load("peano"))
    for text in (
        "(>[a,b](leq[a,b])(=[a,b]))",
        "(>[a,b](leq[a,b])(leq[b,a]))",
        "(>[a,b](divides[a,b])(divides[b,a]))",
        "(>[a,b,c](&(leq[a,c])(leq[b,c]))(leq[a,b]))",
    ):
        assert library.prover.prove(library.functional(statement(library.theory, text)[0])) is None
    reflexive = library.functional(statement(library.theory, "(>[a,b](=[a,b])(leq[a,b]))")[0])
    assert library.prover.prove(reflexive) is not None


def test_existence_is_opened_and_closed() -> None:
    library = Library(load("peano"))
    transitive = library.functional(
        statement(library.theory, "(>[a,b,c](&(divides[a,b])(in3[b,c,c,*]))(divides[a,c]))")[0]
    )
    assert library.prover.direct(transitive, Limits(work=200)) is None
    association = Sequent((), ("=", ("+", ("+", "a", "b"), "c"), ("+", "a", ("+", "b", "c"))))
    proof = library.prover.prove(association)
    assert proof is not None
    library.add("association", association, proof)
    order = library.functional(statement(library.theory, "(>[a,b,c](&(leq[a,b])(leq[b,c]))(leq[a,c]))")[0])
    proof = library.prover.prove(order)
    assert proof is not None
    assert proof.variable is None
    library.add("order", order, proof)
    assert kernel.check(json.loads(json.dumps(library.document())))["order"].lines >= 8


def test_an_attempt_ends(arithmetic: Explored) -> None:
    goal = Sequent((("=", ("*", ("s", "a"), ("s", "b")), ("i0",)),), ("=", "a", "b"))
    before = arithmetic.library.prover.work
    arithmetic.library.prover.prove(goal)
    assert arithmetic.library.prover.work - before < 200_000


def test_a_contradiction_is_derived_and_a_sound_theory_has_none() -> None:
    axioms = "axiom s_function (fXY[s,N,N])\naxiom first (>[n](in[n,N])!(in2[n,i0,s]))\n"
    head = "object N P(1)\nobject i0 (1)\nobject s P(x(1)(1))\n"
    assert contradiction(Library(read(head + axioms))) is None
    wrong = Library(read(head + axioms + "axiom loop (in2[i0,i0,s])\n"))
    proof = contradiction(wrong)
    assert proof is not None
    assert set(proof.cites) == {"first.f", "loop.f"}


@pytest.mark.parametrize("name", ["peano", "addition", "groups", "sums"])
def test_functional_forms_are_proved(name: str) -> None:
    library = Library(load(name))
    found = kernel.check(json.loads(json.dumps(library.document())))
    assert found
    assert all(one.axioms <= set(library.theory.axioms) for one in found.values())


def test_instances() -> None:
    general = Sequent((), ("=", ("+", "a", "b"), ("+", "b", "a")))
    special = Sequent((), ("=", ("+", ("i0",), "a"), ("+", "a", ("i0",))))
    assert is_instance(special, general)
    assert not is_instance(general, special)

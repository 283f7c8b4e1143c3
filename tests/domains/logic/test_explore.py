"""Exploration: what is found in small theories, twice the same, and what each part of it is good for."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.domains.logic.conftest import Explored, explored

from wheatstone.domains.logic.conjectures import Shape, Worlds, equations, terms
from wheatstone.domains.logic.explore import FOLLOWS, Exploration, Plan
from wheatstone.domains.logic.judges import Judges
from wheatstone.domains.logic.library import Library
from wheatstone.domains.logic.models import grid, standard_model
from wheatstone.domains.logic.terms import canonical, pretty_sequent, size
from wheatstone.domains.logic.theory import load, statement

SMALL = Plan(shape=Shape(5, 0, 0), work=60_000)


def statements(found: Explored) -> set[str]:
    return {pretty_sequent(found.library.sequents[name]) for name in found.library.theorems}


def test_addition_commutes_associates_and_cancels(addition: Explored) -> None:
    found = statements(addition)
    assert {"0 + a = a", "a + b = b + a", "a + b = a + c ⇒ b = c", "a + b = 0 ⇒ a = 0", "s(a) ≠ a"} <= found
    text = "(>[a,b,c,d,e,f](&(in3[a,b,d,+])(&(in3[b,c,e,+])(in3[d,c,f,+])))(in3[a,e,f,+]))"
    goal = addition.library.functional(statement(addition.library.theory, text)[0])
    assert addition.library.prover.direct(goal, FOLLOWS) is not None


def test_twice_the_same() -> None:
    first, second = explored("addition", SMALL), explored("addition", SMALL)
    assert first.document == second.document
    assert first.events == second.events


@pytest.mark.parametrize("count", [1, 3])
def test_the_number_of_workers_changes_nothing(count: int) -> None:
    alone = explored("addition", SMALL)
    library = Library(load("addition"))
    with Judges(count) as judges:
        together = Exploration(library, SMALL, np.random.default_rng(0), judges=judges)
        assert list(together.run()) == alone.events
    assert json.loads(json.dumps(library.document())) == alone.document
    assert (together.enumerated, together.tried) == (alone.exploration.enumerated, alone.exploration.tried)


def test_groups_from_one_sided_axioms(groups: Explored) -> None:
    """Without induction, and with `inv` a function only once that has been proved."""
    found = statements(groups)
    assert {"a · e = a", "a · a⁻¹ = e", "a · b = a · c ⇒ b = c", "a · b = a ⇒ b = e"} <= found
    assert any("(b · a)⁻¹" in one for one in found)
    items = [(item["item"], item["name"]) for item in groups.document["items"]]
    assert items.index(("function", "inv")) > items.index(("theorem", "t1"))
    assert not any("induction" in item.get("proof", {}) for item in groups.document["items"])
    refuted = [event for event in groups.events if event.refutation]
    assert any(pretty_sequent(event.sequent) == "a · b = b · a" for event in refuted)


def test_order_and_divisibility(arithmetic: Explored) -> None:
    assert {"0 ≤ a", "a ≤ a + b", "a ∣ a · b", "a ∣ 0", "a · b = b · a"} <= statements(arithmetic)


def test_without_induction_addition_does_not_commute() -> None:
    found = explored("addition", SMALL, induction=False)
    assert "a + b = b + a" not in statements(found)
    assert not any("induction" in item.get("proof", {}) for item in found.document["items"])


def test_no_two_theorems_are_variants(addition: Explored, groups: Explored, arithmetic: Explored) -> None:
    for found in (addition, groups, arithmetic):
        forms = [canonical(found.library.sequents[name]) for name in found.library.theorems]
        assert len(set(forms)) == len(forms)


def test_essential_theorems_do_not_follow_from_each_other(addition: Explored) -> None:
    library, essential = addition.library, addition.exploration.essential
    others = [name for name in library.prover.known if name in library.theorems and name not in essential]
    for name in essential:
        assert library.prover.direct(library.sequents[name], FOLLOWS, without=[*others, name]) is None


def test_the_work_is_what_was_allowed() -> None:
    found = explored("peano", Plan(work=30_000))
    spent = [event.work for event in found.events if event.work <= 30_000]
    assert spent
    assert found.exploration.is_exhausted


def test_terms_by_size() -> None:
    found = terms({"i0": 0, "s": 1, "+": 2}, 3)
    assert [size(term) for term in found] == sorted(size(term) for term in found)
    assert len(found) == 4 + 4 + (4 + 16)


def test_false_equations_do_not_pass_the_filter() -> None:
    library = Library(load("addition"))
    assert library.induction is not None
    model = standard_model(library.axioms(), library.arity, library.definitions, library.induction, 60)
    worlds = Worlds()
    worlds.add(model, grid(4, ("a", "b", "c")))
    found = equations(library.arity, worlds, Shape(3, 0, 0)).conjectures
    assert {pretty_sequent(one) for one in found} >= {"a + b = b + a", "0 + a = a"}
    assert not any(worlds.refutes(one) for one in found)
    assert "a + a = s(a)" not in {pretty_sequent(one) for one in found}

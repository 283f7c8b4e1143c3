"""Small worlds: tables against Python's own arithmetic, finite models against what groups are known to be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tests.domains.logic.conftest import Explored

from wheatstone.domains.logic.library import Library
from wheatstone.domains.logic.models import Model, counterexample, finite_model, grid, standard_model
from wheatstone.domains.logic.terms import Sequent
from wheatstone.domains.logic.theory import load

SIZE = 30


def window(name: str) -> Model:
    library = Library(load(name))
    assert library.induction is not None
    return standard_model(library.axioms(), library.arity, library.definitions, library.induction, SIZE)


def test_tables_are_those_of_arithmetic() -> None:
    model = window("peano")
    for a, b in itertools.product(range(SIZE), repeat=2):
        assert model.tables["+"][a, b] == (a + b if a + b < SIZE else SIZE)
        assert model.tables["*"][a, b] == (a * b if a * b < SIZE else SIZE)
    assert int(model.tables["i1"]) == 1


def test_definitions_are_order_and_divisibility() -> None:
    model, at = window("peano"), grid(12, ("a", "b"))
    assert (model.truth(("leq", "a", "b"), at) == (at["a"] <= at["b"])).all()
    divides = [(b == 0) if a == 0 else b % a == 0 for a, b in zip(at["a"], at["b"], strict=True)]
    assert (model.truth(("divides", "a", "b"), at) == np.array(divides)).all()


def test_the_sum_is_triangular() -> None:
    table = window("sums").tables["sum"]
    assert table[:7].tolist() == [0, 1, 3, 6, 10, 15, 21]


def test_what_leaves_the_window_refutes_nothing() -> None:
    model = window("peano")
    at = {"a": np.array([SIZE - 1])}
    assert counterexample(Sequent((), ("=", ("*", "a", "a"), ("*", "a", ("s", "a")))), model, at) is None
    wrong = counterexample(Sequent((), ("=", ("+", "a", "b"), "a")), model, grid(3, ("a", "b")))
    assert wrong == {"a": 0, "b": 1}


def test_the_smallest_group_that_does_not_commute_has_six_elements(groups: Explored) -> None:
    library = groups.library
    commutes = Sequent((), ("=", ("*", "a", "b"), ("*", "b", "a")))
    found = {
        size: finite_model(library.axioms(), library.arity, library.definitions, size, commutes) for size in range(2, 7)
    }
    assert [size for size, model in found.items() if model] == [6]
    model = found[6]
    assert model is not None
    table, inverse, identity = model.tables["*"], model.tables["inv"], int(model.tables["e"])
    for a, b, c in itertools.product(range(6), repeat=3):
        assert table[table[a, b], c] == table[a, table[b, c]]
        assert table[identity, a] == table[a, identity] == a
        assert table[a, inverse[a]] == identity
    assert (table[:6, :6] != table[:6, :6].T).any()


def test_z3_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    from wheatstone.bench.errors import UserError

    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install 'wheatstone\[logical\]'"):
        finite_model([], {"e": 0}, {}, 2)

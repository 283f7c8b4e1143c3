"""The kernel: what it must reject, one way to be wrong at a time, and what it shares with the search: nothing."""

from __future__ import annotations

import ast
import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.domains.logic.conftest import Explored

import wheatstone.domains.logic.kernel
from wheatstone.domains.logic import kernel, mutants
from wheatstone.domains.logic.kernel import Rejected

SOURCE = Path(wheatstone.domains.logic.kernel.__file__)
ZERO = ["i0"]


def axiom(name: str, premises: list[Any], conclusion: Any) -> dict[str, Any]:
    return {"item": "axiom", "name": name, "premises": premises, "conclusion": conclusion}


def theorem(name: str, premises: list[Any], conclusion: Any, *lines: list[Any]) -> dict[str, Any]:
    proof = {"lines": list(lines)}
    return {"item": "theorem", "name": name, "premises": premises, "conclusion": conclusion, "proof": proof}


def by_induction(name: str, conclusion: Any, plan: dict[str, Any], premises: list[Any] | None = None) -> dict[str, Any]:
    proof = {"induction": {"eigen": "k", "general": [], **plan}}
    return {"item": "theorem", "name": name, "premises": premises or [], "conclusion": conclusion, "proof": proof}


SUCCESSOR = [
    axiom("total", [], ["ex", "z", ["in2:s", "a", "z"]]),
    axiom("single", [["in2:s", "a", "c"], ["in2:s", "a", "d"]], ["=", "c", "d"]),
    {"item": "function", "name": "s", "relation": "in2:s", "total": "total", "single": "single"},
]
INDUCTION = {"item": "induction", "zero": ZERO, "successor": "s"}


def document(*items: dict[str, Any]) -> dict[str, Any]:
    relations = {"in2:s": 2, "in2:r": 2, "p": 1, "q": 2}
    return {"format": 1, "constants": ["i0", "e"], "relations": relations, "items": [*SUCCESSOR, *items]}


def accepts(*items: dict[str, Any]) -> bool:
    try:
        kernel.check(document(*items))
    except Rejected:
        return False
    return True


def test_it_imports_nothing_of_the_search_and_is_short() -> None:
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert imported == {"__future__", "collections.abc", "dataclasses", "itertools", "typing"}
    assert len(SOURCE.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("name", ["addition", "groups", "arithmetic"])
def test_every_broken_step_is_rejected(name: str, request: pytest.FixtureRequest) -> None:
    found: Explored = request.getfixturevalue(name)
    tried = mutants.try_kernel(found.document, 400, np.random.default_rng(1))
    assert (tried.mutants, tried.rejected, tried.accepted) == (400, 400, [])


def test_mutants_differ_from_what_they_were(addition: Explored) -> None:
    state = kernel.kernel_for(addition.document)
    rng = np.random.default_rng(0)
    kinds: set[str] = set()
    for item in addition.document["items"]:
        if item["item"] == "theorem":
            known = {name: (one.premises, one.conclusion) for name, one in state.sequents.items()}
            source = mutants.mutants(item, known, rng)
            for _ in range(40):
                mutant = next(source)
                assert mutant.item != item
                kinds.add(mutant.what.split(" of ")[0].split(" ")[0])
        state.add(item)
    assert kinds >= {"formula", "reference", "name", "substitution", "line", "variable", "eigenvariable", "base"}


@pytest.mark.parametrize("length", [2, 3, 5])
def test_a_circle_is_rejected_though_each_theorem_is_in_order(addition: Explored, length: int) -> None:
    circle = mutants.circle(length)
    assert mutants.in_order(addition.document, circle) == 0
    assert mutants.one_by_one(addition.document, circle) == length


def test_a_theorem_that_cites_itself_is_rejected() -> None:
    head = ["=", "a", "b"]
    assert not accepts(theorem("t", [], head, ["1", head, "cite", "t", {}, []]))


def test_a_theorem_of_another_theory_is_rejected(groups: Explored, addition: Explored) -> None:
    foreign = next(item for item in groups.document["items"] if item["item"] == "theorem")
    state = kernel.kernel_for(addition.document)
    for item in addition.document["items"]:
        state.add(item)
    with pytest.raises(Rejected):
        state.add({**foreign, "name": "foreign"})


def test_induction_must_be_declared() -> None:
    head = ["p", "a"]
    facts = [axiom("base", [], ["p", ZERO]), axiom("step", [["p", "a"]], ["p", ["s", "a"]])]
    proof = by_induction(
        "all",
        head,
        {
            "variable": "a",
            "base": [["1", ["p", ZERO], "cite", "base", {}, []]],
            "step": [
                ["1", ["p", "k"], "hypothesis", {}, []],
                ["2", ["p", ["s", "k"]], "cite", "step", {"a": "k"}, ["1"]],
            ],
        },
    )
    assert accepts(INDUCTION, *facts, proof)
    assert not accepts(*facts, proof)
    found = kernel.check(document(INDUCTION, *facts, proof))["all"]
    assert found.axioms == {"base", "step", "induction"}
    missing_step = copy.deepcopy(proof)
    missing_step["proof"]["induction"]["step"] = [["1", ["p", "k"], "hypothesis", {}, []]]
    assert not accepts(INDUCTION, *facts, missing_step)


def test_the_eigenvariable_must_be_fresh() -> None:
    """p(b) for an unrelated b does not make p hold of every successor."""
    step = [["1", ["q", ["s", "b"], "b"], "cite", "next", {"a": "b"}, []]]
    base = [["1", ["q", ZERO, "b"], "cite", "zero", {"a": "b"}, []]]
    facts = [axiom("next", [], ["q", ["s", "a"], "a"]), axiom("zero", [], ["q", ZERO, "a"])]
    plan = {"variable": "a", "eigen": "b", "base": base, "step": step}
    assert not accepts(INDUCTION, *facts, by_induction("wrong", ["q", "a", "b"], plan))


def test_the_hypothesis_is_general_only_where_it_says_so() -> None:
    head = ["q", "a", "b"]
    facts = [axiom("zero", [], ["q", ZERO, "b"]), axiom("next", [["q", "a", ["s", "b"]]], ["q", ["s", "a"], "b"])]
    base = [["1", ["q", ZERO, "b"], "cite", "zero", {}, []]]
    step = [
        ["1", ["q", "k", ["s", "b"]], "hypothesis", {"b": ["s", "b"]}, []],
        ["2", ["q", ["s", "k"], "b"], "cite", "next", {"a": "k"}, ["1"]],
    ]
    plan = {"variable": "a", "base": base, "step": step}
    assert accepts(INDUCTION, *facts, by_induction("right", head, {**plan, "general": ["b"]}))
    assert not accepts(INDUCTION, *facts, by_induction("wrong", head, plan))
    assert not accepts(INDUCTION, *facts, by_induction("wrong", head, {**plan, "general": ["a"]}))


def test_a_chosen_variable_stays_in_its_block() -> None:
    exists = ["ex", "z", ["in2:s", "a", "z"]]
    first = ["1", exists, "cite", "total", {}, []]

    def block(variable: str, conclusion: Any, *inside: list[Any]) -> list[Any]:
        return ["2", conclusion, "choose", "1", variable, list(inside)]

    again = ["ex", "z", ["in2:s", "a", "z"]]
    fine = block("w", again, ["3", again, "witness", "2*", "w"])
    assert accepts(theorem("fine", [], again, first, fine))
    assert not accepts(theorem("escapes", [], ["in2:s", "a", "w"], first, block("w", ["in2:s", "a", "w"])))
    taken = block("a", again, ["3", again, "witness", "2*", "a"])
    assert not accepts(theorem("not fresh", [], again, first, taken))
    assert not accepts(theorem("not fresh", [["p", "w"]], again, first, fine))


def test_a_relation_that_is_not_single_valued_is_no_function() -> None:
    total = axiom("r total", [], ["ex", "z", ["in2:r", "a", "z"]])
    function = {"item": "function", "name": "r", "relation": "in2:r", "total": "r total", "single": "single"}
    assert not accepts(total, function)
    single = axiom("r single", [["in2:r", "a", "c"], ["in2:r", "b", "c"]], ["=", "a", "b"])
    assert not accepts(total, single, {**function, "single": "r single"})
    other = axiom("r single", [["in2:r", "a", "c"], ["in2:r", "b", "d"]], ["=", "c", "d"])
    assert not accepts(total, other, {**function, "single": "r single"})
    right = axiom("r single", [["in2:r", "a", "c"], ["in2:r", "a", "d"]], ["=", "c", "d"])
    assert accepts(total, right, {**function, "single": "r single"})
    assert not accepts(right, {**function, "single": "r single", "total": "total"})


def test_definitions_are_not_circular_and_capture_nothing() -> None:
    assert not accepts({"item": "definition", "name": "d", "parameters": ["a"], "body": ["d", "a"]})
    body = ["ex", "z", ["q", "a", "z"]]
    definition = {"item": "definition", "name": "d", "parameters": ["a"], "body": body}
    captured = theorem("t", [["d", "z"]], ["ex", "z", ["q", "z", "z"]], ["1", ["d", "z"], "premise", 0],
                       ["2", ["ex", "z", ["q", "z", "z"]], "unfold", "1"])  # fmt: skip
    assert accepts(definition)
    assert not accepts(definition, captured)


@pytest.mark.parametrize(
    "line",
    [
        ["1", ["=", "a", "b"], "refl"],
        ["1", ["=", ["s", "a"], ["s", "b"]], "cong", [None]],
        ["1", ["p", "a"], "absurd", "0"],
        ["1", ["p", "a"], "premise", 7],
        ["1", ["p", "a"], "guess"],
        ["1", ["p", ["t", "a"]], "premise", 0],
        ["1", ["p", ["s", "a", "b"]], "premise", 0],
        ["1", ["p"], "premise", 0],
        ["1", "p", "premise", 0],
        [["1"], ["p", "b"], "premise", 0],
        ["1", ["=", "a", "b"], "trans", []],
        {"not": "a line"},
        None,
    ],
)
def test_lines_that_say_too_much_or_nothing(line: Any) -> None:
    conclusion = line[1] if isinstance(line, list) else ["p", "a"]
    assert not accepts(theorem("t", [["p", "b"]], conclusion, line))


def test_names_are_taken_once_and_the_format_is_named() -> None:
    assert not accepts(axiom("total", [], ["p", "a"]))
    assert not accepts(axiom("induction", [], ["p", "a"]))
    assert not accepts({"item": "wish", "name": "w"})
    with pytest.raises(Rejected, match="this kernel reads format 1"):
        kernel.check({"format": 2, "items": []})
    deep: Any = "a"
    for _ in range(3000):
        deep = ["s", deep]
    assert not accepts(axiom("deep", [], ["p", deep]))


def test_laws_rest_on_declared_axioms_alone(arithmetic: Explored) -> None:
    """Nothing like commutativity is assumed: the axioms of a proof are those of the file, and induction."""
    found = kernel.check(arithmetic.document)
    declared = set(arithmetic.library.theory.axioms) | {"induction"}
    assert all(one.axioms <= declared for one in found.values())
    commutes = next(
        item["name"] for item in arithmetic.document["items"]
        if item["item"] == "theorem" and item["conclusion"] == ["=", ["+", "a", "b"], ["+", "b", "a"]]
    )  # fmt: skip
    assert found[commutes].axioms == {
        "induction", "+_zero", "+_successor", "+_function.1", "+_function.2", "s_function.1", "s_function.2",
    }  # fmt: skip

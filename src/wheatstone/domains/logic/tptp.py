"""Export to TPTP: each theorem as a problem for a first-order prover such as E, with what its proof cites as axioms.

A direct theorem is one problem. A theorem by induction is two, base and step, with the induction hypothesis as an
axiom, so that a prover without induction can be asked for each of them.

Source  Sutcliffe, The TPTP problem library, Journal of Automated Reasoning 59 (2017)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Problem(NamedTuple):
    """One question to a prover."""

    name: str
    """The theorem, with '.base' or '.step' after it for an induction."""
    text: str


def problems(document: Mapping[str, Any]) -> list[Problem]:
    """The questions of all theorems of a document."""
    sequents: dict[str, tuple[list[Any], Any]] = {}
    meanings: list[str] = []
    found: list[Problem] = []
    zero, successor = ["zero"], "s"
    for item in document["items"]:
        kind = item["item"]
        if kind == "induction":
            zero, successor = item["zero"], item["successor"]
        elif kind == "function":
            arity = next(len(one) for one in _atoms(sequents[item["total"]][1]) if one[0] == item["relation"]) - 2
            names = [f"x{at}" for at in range(arity)]
            body = ["=", [item["name"], *names], "y"]
            meanings.append(_equivalence([item["relation"], *names, "y"], body))
        elif kind == "definition":
            meanings.append(_equivalence([item["name"], *item["parameters"]], item["body"]))
        else:
            sequents[item["name"]] = (item["premises"], item["conclusion"])
        if kind != "theorem":
            continue
        proof, goal = item["proof"], (item["premises"], item["conclusion"])
        if "induction" not in proof:
            found.append(_problem(item["name"], goal, proof["lines"], sequents, meanings, None))
            continue
        plan = proof["induction"]
        at = plan["variable"]
        base = _instance(goal, {at: zero})
        step, hypothesis = _instance(goal, {at: [successor, plan["eigen"]]}), _instance(goal, {at: plan["eigen"]})
        fixed = {name for part in [*hypothesis[0], hypothesis[1]] for name in _free(part)} - set(plan["general"])
        found.append(_problem(item["name"] + ".base", base, plan["base"], sequents, meanings, None))
        found.append(_problem(item["name"] + ".step", step, plan["step"], sequents, meanings, (hypothesis, fixed)))
    return found


def _problem(
    name: str,
    goal: tuple[list[Any], Any],
    lines: Sequence[Any],
    sequents: Mapping[str, tuple[list[Any], Any]],
    meanings: Sequence[str],
    hypothesis: tuple[tuple[list[Any], Any], set[str]] | None,
) -> Problem:
    text = [f"% {name}"]
    cited = dict.fromkeys(_cited(lines))
    text += [f"fof({_name(one)}, axiom, {_sequent(*sequents[one], set())})." for one in cited]
    text += [f"fof(meaning_{at}, axiom, {one})." for at, one in enumerate(meanings)]
    if hypothesis is not None:
        # The variables of the step are constants, so that the hypothesis and the goal speak of the same ones.
        (premises, conclusion), fixed = hypothesis
        text.append(f"fof(hypothesis, axiom, {_sequent(premises, conclusion, fixed)}).")
        text.append(f"fof(goal, conjecture, {_sequent(*goal, fixed)}).")
    else:
        text.append(f"fof(goal, conjecture, {_sequent(*goal, set())}).")
    return Problem(name, "\n".join(text) + "\n")


def _cited(lines: Sequence[Any]) -> list[str]:
    found: list[str] = []
    for line in lines:
        if line[2] == "cite":
            found.append(line[3])
        elif line[2] == "choose":
            found += _cited(line[5])
    return found


def _name(text: str) -> str:
    return "n_" + "".join(part if re.fullmatch(r"\w", part) and part.isascii() else f"_{ord(part):x}_" for part in text)


def _term(term: Any, fixed: set[str]) -> str:
    if isinstance(term, str):
        return _name(term) if term in fixed else "V" + _name(term)
    if len(term) == 1:
        return _name(term[0])
    return f"{_name(term[0])}({','.join(_term(part, fixed) for part in term[1:])})"


def _formula(formula: Any, fixed: set[str]) -> str:
    head = formula[0]
    if head == "false":
        return "$false"
    if head == "and":
        return f"({_formula(formula[1], fixed)} & {_formula(formula[2], fixed)})"
    if head == "ex":
        return f"(? [V{_name(formula[1])}] : {_formula(formula[2], fixed - {formula[1]})})"
    if head == "=":
        return f"({_term(formula[1], fixed)} = {_term(formula[2], fixed)})"
    return f"{_name(head)}({','.join(_term(part, fixed) for part in formula[1:])})"


def _sequent(premises: Sequence[Any], conclusion: Any, fixed: set[str]) -> str:
    said = _formula(conclusion, fixed)
    if premises:
        said = f"(({' & '.join(_formula(one, fixed) for one in premises)}) => {said})"
    return _closed(said, [name for one in [*premises, conclusion] for name in _free(one) if name not in fixed])


def _closed(said: str, names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    return f"(! [{','.join('V' + _name(name) for name in names)}] : {said})" if names else said


def _equivalence(short: list[Any], body: Any) -> str:
    return _closed(f"({_formula(short, set())} <=> {_formula(body, set())})", short[1:])


def _atoms(formula: Any) -> list[Any]:
    if formula[0] == "ex":
        return _atoms(formula[2])
    return [*_atoms(formula[1]), *_atoms(formula[2])] if formula[0] == "and" else [formula]


def _free(formula: Any) -> list[str]:
    if formula[0] == "ex":
        return [name for name in _free(formula[2]) if name != formula[1]]
    parts = formula[1:]
    return [name for part in parts for name in (_free(part) if formula[0] == "and" else _in_term(part))]


def _in_term(term: Any) -> list[str]:
    return [term] if isinstance(term, str) else [name for part in term[1:] for name in _in_term(part)]


def _put(term: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(term, str):
        return values.get(term, term)
    return [term[0], *(_put(part, values) for part in term[1:])]


def _instance(goal: tuple[list[Any], Any], values: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """Statements of theorems have no bound variables of the same name as their free ones."""
    return [_put(one, values) for one in goal[0]], _put(goal[1], values)

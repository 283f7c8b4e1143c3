"""Proofs that are wrong in one place: what a checker must reject.

Each mutant changes one line of one theorem (a formula, a reference, a cited name, a substitution), drops a line, or
changes the variable of an induction. Changes that could leave a valid proof are not made: the formula of a line follows
from its rule, so that another formula, or another instance, is wrong by construction.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from wheatstone.domains.logic.kernel import Kernel, Rejected, kernel_for
from wheatstone.domains.logic.prove import all_lines


class Mutant(NamedTuple):
    """A theorem with one fault."""

    theorem: str
    what: str
    item: dict[str, Any]


def mutants(
    item: Mapping[str, Any], sequents: Mapping[str, tuple[Any, Any]], rng: np.random.Generator
) -> Iterator[Mutant]:
    """Mutants of one theorem without end, in random order. `sequents` are those that it may cite."""
    while True:
        changed = copy.deepcopy(dict(item))
        what = _change(changed, sequents, rng)
        if what is not None:
            yield Mutant(item["name"], what, changed)


def _change(item: dict[str, Any], sequents: Mapping[str, tuple[Any, Any]], rng: np.random.Generator) -> str | None:
    proof = item["proof"]
    blocks = [proof["lines"]] if "lines" in proof else [proof["induction"]["base"], proof["induction"]["step"]]
    if "induction" in proof and rng.random() < 0.15:
        return _induction(item, proof["induction"], rng)
    lines = all_lines([line for block in blocks for line in block])
    line = lines[int(rng.integers(len(lines)))]
    kind = ("formula", "reference", "name", "substitution", "drop")[int(rng.integers(5))]
    ident = line[0]
    if kind == "formula" and line[2] != "witness":
        return f"formula of line {ident}" if _formula(line, rng) else None
    if kind == "reference":
        return f"reference of line {ident}" if _reference(line, lines, rng) else None
    if kind == "name" and line[2] == "cite":
        return f"name cited in line {ident}" if _name(line, sequents, rng) else None
    if kind == "substitution" and line[2] in ("cite", "hypothesis") and line[-2]:
        values = line[-2]
        name = sorted(values)[int(rng.integers(len(values)))]
        values[name] = "q1" if values[name] != "q1" else "q2"
        return f"substitution of line {ident}"
    if kind == "drop":
        block = next((block for block in _blocks(blocks) if any(one is line for one in block)), None)
        if block is None or (len(block) > 1 and block[-1] is line and block[-2][1] == line[1]):
            return None
        block[:] = [one for one in block if one is not line]
        return f"line {ident} dropped"
    return None


def _blocks(blocks: Sequence[list[Any]]) -> Iterator[list[Any]]:
    for block in blocks:
        yield block
        yield from _blocks([line[5] for line in block if line[2] == "choose"])


def _induction(item: dict[str, Any], plan: dict[str, Any], rng: np.random.Generator) -> str | None:
    free = sorted(_names([item["premises"], item["conclusion"]]))
    others = [name for name in free if name != plan["variable"]]
    if others and rng.random() < 0.5:
        plan["variable"] = others[int(rng.integers(len(others)))]
        return "variable of the induction"
    if rng.random() < 0.5:
        plan["eigen"] = free[int(rng.integers(len(free)))]
        return "eigenvariable that is not fresh"
    plan["base"], plan["step"] = plan["step"], plan["base"]
    return "base and step exchanged"


def _names(value: Any) -> set[str]:
    """Variables in nested lists of terms and formulas: strings that do not stand first."""
    if isinstance(value, str):
        return {value}
    parts = value[1:] if value and isinstance(value[0], str) else value
    return set[str]().union(*map(_names, parts))


def _formula(line: list[Any], rng: np.random.Generator) -> bool:
    places = list(_variables(line[1]))
    if not places:
        return False
    parent, at = places[int(rng.integers(len(places)))]
    parent[at] = "q1" if parent[at] != "q1" else "q2"
    return True


def _variables(term: list[Any]) -> Iterator[tuple[list[Any], int]]:
    """(list, index) of every variable in a formula, bound ones left out."""
    if term[0] == "ex":
        yield from ((parent, at) for parent, at in _variables(term[2]) if parent[at] != term[1])
        return
    for at, part in enumerate(term[1:], start=1):
        if isinstance(part, str):
            yield term, at
        else:
            yield from _variables(part)


def _reference(line: list[Any], lines: Sequence[list[Any]], rng: np.random.Generator) -> bool:
    """Drops a reference that matters, or points it to a line that says something else."""
    said = {one[0]: one[1] for one in lines}
    refs = line[-1]
    if line[2] in ("cite", "hypothesis", "trans", "cong", "subst") and isinstance(refs, list):
        places = [at for at, ref in enumerate(refs) if ref in said and _matters(said[ref])]
        if not places:
            return False
        at = places[int(rng.integers(len(places)))]
        if line[2] in ("cong", "subst"):
            refs[at] = None
        elif rng.random() < 0.5:
            del refs[at]
        else:
            return _redirect(refs, at, said, rng)
        return True
    if line[2] in ("sym", "unfold", "fold", "left", "right"):
        return line[3] in said and _redirect(line, 3, said, rng)
    return False


def _matters(formula: Any) -> bool:
    return formula[0] != "=" or formula[1] != formula[2]


def _redirect(refs: list[Any], at: int, said: Mapping[str, Any], rng: np.random.Generator) -> bool:
    others = [ident for ident, formula in said.items() if formula != said[refs[at]]]
    if others:
        refs[at] = others[int(rng.integers(len(others)))]
    return bool(others)


def _name(line: list[Any], sequents: Mapping[str, tuple[Any, Any]], rng: np.random.Generator) -> bool:
    """Cites another sequent, whose instance says something else: another number of premises, or other symbols."""
    shape = _shape(sequents[line[3]])
    others = [name for name, one in sequents.items() if _differs(_shape(one), shape)]
    if others:
        line[3] = others[int(rng.integers(len(others)))]
    return bool(others)


def _differs(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return one[0] != other[0] or (len(one) > 1 and len(other) > 1 and one != other)


def _shape(sequent: tuple[Any, Any]) -> Any:
    """A sequent's number of premises and the outermost symbols of its conclusion."""
    premises, head = sequent
    tops = [None if isinstance(part, str) else part[0] for part in head[1:]] if head[0] == "=" else []
    # A side that is a variable becomes anything: such sequents are only told apart by their number of premises.
    return (len(premises), *(tops if tops and None not in tops else ()))


class Trial(NamedTuple):
    """How a checker did on mutants."""

    mutants: int
    rejected: int
    noticed: int
    """Those that a look at the citations alone would notice: a name that is unknown at that place."""
    accepted: list[str]
    """What was wrong with the ones that were accepted."""


def try_kernel(document: Mapping[str, Any], count: int, rng: np.random.Generator) -> Trial:
    """Gives the kernel `count` mutants, spread over all theorems of an acceptable document."""
    kernel = kernel_for(document)
    theorems = [item["name"] for item in document["items"] if item["item"] == "theorem"]
    shares = dict.fromkeys(theorems, 0)
    for place in range(count):
        shares[theorems[place % len(theorems)]] += 1
    rejected, noticed, accepted = 0, 0, list[str]()
    for item in document["items"]:
        if item["item"] == "theorem":
            known = {name: (one.premises, one.conclusion) for name, one in kernel.sequents.items()}
            source = mutants(item, known, rng)
            for _ in range(shares[item["name"]]):
                mutant = next(source)
                if rejects(kernel, mutant.item):
                    rejected += 1
                else:
                    accepted.append(f"{mutant.theorem}: {mutant.what}")
                noticed += any(line[2] == "cite" and line[3] not in kernel.sequents for line in lines_of(mutant.item))
        kernel.add(item)
    return Trial(count, rejected, noticed, accepted)


def lines_of(item: Mapping[str, Any]) -> list[Any]:
    proof = item["proof"]
    plan = proof.get("induction", {})
    return all_lines([*proof.get("lines", []), *plan.get("base", []), *plan.get("step", [])])


def rejects(kernel: Kernel, item: Mapping[str, Any]) -> bool:
    """Whether the kernel rejects an item; it is afterwards as before."""
    name = item["name"]
    try:
        kernel.add(item)
    except Rejected:
        return True
    for table in (kernel.sequents, kernel.rests_on, kernel.accepted):
        table.pop(name, None)
    return False


def circle(length: int) -> list[dict[str, Any]]:
    """Theorems that all state a = b, false where there are two elements; each cites the next, the last the first.

    Every one of them is in order as long as the others are believed.
    """
    names = [f"circle.{at}" for at in range(1, length + 1)]
    head = ["=", "a", "b"]
    return [
        {
            "item": "theorem",
            "name": name,
            "premises": [],
            "conclusion": head,
            "proof": {"lines": [["1", head, "cite", names[(at + 1) % length], {}, []]]},
        }
        for at, name in enumerate(names)
    ]


def one_by_one(document: Mapping[str, Any], added: Sequence[Mapping[str, Any]]) -> int:
    """How many of the added theorems are in order when each is checked with all the others believed."""
    accepted = 0
    for item in added:
        kernel = kernel_for(document)
        for known in document["items"]:
            kernel.add(known)
        for other in added:
            if other is not item:
                kernel.add({**other, "item": "axiom"})
        accepted += not rejects(kernel, item)
    return accepted


def in_order(document: Mapping[str, Any], added: Sequence[Mapping[str, Any]]) -> int:
    """How many of the added theorems the kernel accepts, item after item."""
    kernel = kernel_for(document)
    for known in document["items"]:
        kernel.add(known)
    accepted = 0
    for item in added:
        try:
            kernel.add(item)
            accepted += 1
        except Rejected:
            continue
    return accepted

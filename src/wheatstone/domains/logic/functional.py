"""Functional extraction: relations that are total and single-valued become function symbols, with proofs.

`f(a) = y` abbreviates R(a, y) once R is total and single-valued; the kernel checks the two sequents that say so. Every
axiom then has a functional form, in which values of functions are written as terms: each premise that names the value
of a function is put in. The form is a theorem with a proof like any other: the premises by reflexivity and folding, the
axiom by citation, the conclusion by unfolding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from wheatstone.domains.logic.terms import (
    FALSE,
    Formula,
    Sequent,
    Term,
    listed,
    substitute,
    substitute_formula,
    variables,
)

Line = list[Any]


class Form(NamedTuple):
    """The functional form of a sequent, with the values of the variables that it puts in."""

    sequent: Sequent
    values: dict[str, Term]


def functional_formula(formula: Formula, functions: Mapping[str, str]) -> Formula:
    """The formula with every R(a, y) of an extracted relation written as f(a) = y. `functions`: relation -> symbol."""
    head = formula[0]
    if head == "and":
        return ("and", *(functional_formula(part, functions) for part in formula[1:]))
    if head == "ex":
        return ("ex", formula[1], functional_formula(formula[2], functions))
    if head in functions:
        return ("=", (functions[head], *formula[1:-1]), formula[-1])
    return formula


def functional(sequent: Sequent, functions: Mapping[str, str]) -> Form:
    """The functional form of a sequent."""
    values: dict[str, Term] = {}
    kept: list[Formula] = []

    def settle(name: str, term: Term) -> None:
        for other in list(values):
            values[other] = substitute(values[other], {name: term})
        values[name] = term

    for premise in sequent.premises:
        atom = substitute_formula(functional_formula(premise, functions), values)
        if atom[0] == "=":
            left, right = atom[1], atom[2]
            if isinstance(right, str) and right not in variables(left):
                settle(right, left)
                continue
            if isinstance(left, str) and left not in variables(right):
                settle(left, right)
                continue
            if left == right:
                continue
        kept.append(atom)
    premises = tuple(dict.fromkeys(substitute_formula(atom, values) for atom in kept))
    return Form(
        Sequent(premises, substitute_formula(functional_formula(sequent.conclusion, functions), values)), values
    )


def functional_proof(name: str, sequent: Sequent, form: Form, functions: Mapping[str, str]) -> list[Line]:
    """Lines that prove the functional form of a sequent that is known as `name`."""
    lines: list[Line] = []

    def add(formula: Formula, rule: str, *rest: Any) -> str:
        lines.append([str(len(lines) + 1), listed(formula), rule, *rest])
        return str(len(lines))

    refs: list[str] = []
    for premise in sequent.premises:
        short = substitute_formula(premise, form.values)
        long = functional_formula(short, functions)
        if long[0] == "=" and long[1] == long[2]:
            ident = add(long, "refl")
        else:
            ident = add(long, "premise", form.sequent.premises.index(long))
        refs.append(ident if long == short else add(short, "fold", ident))
    values = {variable: listed(term) for variable, term in form.values.items()}
    short = substitute_formula(sequent.conclusion, form.values)
    ident = add(short, "cite", name, values, refs)
    if short != form.sequent.conclusion:
        add(form.sequent.conclusion, "unfold", ident)
    return lines


def is_total(sequent: Sequent, relation: str) -> bool:
    """Whether a sequent says that the relation has a value everywhere."""
    head = sequent.conclusion
    if sequent.premises or head[0] != "ex" or head[2][0] != relation or head[2][-1] != head[1]:
        return False
    return _distinct(head[2][1:])


def single_valued(relation: str, arguments: int) -> Sequent:
    """The sequent that says that the relation has one value at most."""
    inputs = ("a", "b", "c", "d")[:arguments]
    one, other = ("c", "d") if arguments < 3 else ("x", "y")
    return Sequent(((relation, *inputs, one), (relation, *inputs, other)), ("=", one, other))


def is_single(sequent: Sequent, relation: str) -> bool:
    """Whether a sequent says that the relation has one value at most."""
    if len(sequent.premises) != 2 or any(premise[0] != relation for premise in sequent.premises):
        return False
    (*first, one), (*second, other) = (premise[1:] for premise in sequent.premises)
    if first != second or not _distinct([*first, one, other]):
        return False
    return sequent.conclusion in (("=", one, other), ("=", other, one))


def is_trivial(sequent: Sequent) -> bool:
    """Whether a sequent says nothing: its conclusion is one of its premises, or t = t."""
    head = sequent.conclusion
    return head != FALSE and (head in sequent.premises or (head[0] == "=" and head[1] == head[2]))


def _distinct(terms: Sequence[Term]) -> bool:
    return all(isinstance(term, str) for term in terms) and len(set(terms)) == len(terms)

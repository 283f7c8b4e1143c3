"""Terms and sequents: the first-order language that the search, the filter and the exports share.

A variable is a string, an application a tuple of its symbol and its arguments, a constant a tuple of its symbol alone:
`("+", "a", ("0",))` is a + 0. A formula is an atom `(predicate, term, ...)`, `("false",)`, `("and", F, G)` or
`("ex", x, F)`; equality is the predicate `=`. A sequent says that its conclusion follows from its premises for all
values of its variables. Plain tuples hash and compare fast, and are JSON but for the brackets.

Matching, unification and positions follow Baader and Nipkow, Term Rewriting and All That (1998), chapters 3 and 4.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Term = Any
"""str (a variable) or tuple (symbol, argument, ...)."""
Formula = tuple[Any, ...]
Substitution = Mapping[str, Term]
FALSE: Formula = ("false",)
CONNECTIVES = ("false", "and", "ex")
NAMES = "abcdefghijlmnopqrtuvxy"
"""Names of variables in the order of their first appearance: without those of proofs (k, w, z) and s."""


@dataclass(frozen=True)
class Sequent:
    """premises |- conclusion, for all values of the free variables."""

    premises: tuple[Formula, ...]
    conclusion: Formula

    def variables(self) -> list[str]:
        """Free variables in the order of their first appearance."""
        found: dict[str, None] = {}
        for formula in (*self.premises, self.conclusion):
            found.update(dict.fromkeys(free_variables(formula)))
        return list(found)

    def size(self) -> int:
        return sum(size(formula) for formula in (*self.premises, self.conclusion))


def variables(term: Term) -> Iterator[str]:
    """Variables of a term from left to right, with repetitions."""
    if isinstance(term, str):
        yield term
        return
    for argument in term[1:]:
        yield from variables(argument)


def free_variables(formula: Formula) -> Iterator[str]:
    """Free variables of a formula from left to right, with repetitions."""
    head = formula[0]
    if head == "ex":
        yield from (name for name in free_variables(formula[2]) if name != formula[1])
    elif head == "and":
        yield from free_variables(formula[1])
        yield from free_variables(formula[2])
    else:
        for term in formula[1:]:
            yield from variables(term)


def size(term: Term) -> int:
    """Number of symbols and variables of a term or formula; a connective and a predicate count as one."""
    if isinstance(term, str):
        return 1
    return 1 + sum(size(part) for part in term[1:])


def depth(term: Term) -> int:
    """0 for a variable or a constant."""
    if isinstance(term, str) or len(term) == 1:
        return 0
    return 1 + max(depth(part) for part in term[1:])


def symbols(term: Term) -> Iterator[str]:
    """Function symbols and constants from left to right, with repetitions."""
    if isinstance(term, str):
        return
    yield term[0]
    for part in term[1:]:
        yield from symbols(part)


def substitute(term: Term, values: Substitution) -> Term:
    """The term with its variables replaced at once."""
    if isinstance(term, str):
        return values.get(term, term)
    if len(term) == 1:
        return term
    return (term[0], *(substitute(part, values) for part in term[1:]))


def substitute_formula(formula: Formula, values: Substitution) -> Formula:
    """The formula with its free variables replaced; a bound variable that would capture one is renamed."""
    head = formula[0]
    if head == "and":
        return ("and", substitute_formula(formula[1], values), substitute_formula(formula[2], values))
    if head == "ex":
        bound, body = formula[1], formula[2]
        inner = {name: value for name, value in values.items() if name != bound}
        taken = {name for value in inner.values() for name in variables(value)} | set(free_variables(body))
        if any(bound in variables(value) for value in inner.values()):
            fresh = next(name for name in itertools.chain(NAMES, fresh_names("x")) if name not in taken)
            body, bound = substitute_formula(body, {bound: fresh}), fresh
        return ("ex", bound, substitute_formula(body, inner))
    return (head, *(substitute(part, values) for part in formula[1:]))


def fresh_names(stem: str) -> Iterator[str]:
    return (f"{stem}{number}" for number in itertools.count(1))


def match(pattern: Term, term: Term, values: dict[str, Term]) -> bool:
    """Whether `values` can be extended so that pattern becomes term; it is extended in place, also in vain."""
    if isinstance(pattern, str):
        if pattern in values:
            return values[pattern] == term
        values[pattern] = term
        return True
    if isinstance(term, str) or pattern[0] != term[0] or len(pattern) != len(term):
        return False
    return all(match(one, other, values) for one, other in zip(pattern[1:], term[1:], strict=True))


def unify(left: Term, right: Term) -> dict[str, Term] | None:
    """The most general unifier in solved form, None when there is none (Robinson 1965, with the occurs check)."""
    values: dict[str, Term] = {}
    todo = [(left, right)]
    while todo:
        one, other = (substitute(side, values) for side in todo.pop())
        if one == other:
            continue
        if isinstance(other, str):
            one, other = other, one
        if isinstance(one, str):
            if one in variables(other):
                return None
            values = {name: substitute(value, {one: other}) for name, value in values.items()} | {one: other}
        elif one[0] != other[0] or len(one) != len(other):
            return None
        else:
            todo.extend(zip(one[1:], other[1:], strict=True))
    return values


def renamed(sequent: Sequent) -> Sequent:
    """The same sequent with its variables named in the order of their first appearance."""
    names = sequent.variables()
    fresh = itertools.chain(NAMES, fresh_names("x"))
    values = dict(zip(names, fresh, strict=False))
    return Sequent(
        tuple(substitute_formula(formula, values) for formula in sequent.premises),
        substitute_formula(sequent.conclusion, values),
    )


def canonical(sequent: Sequent) -> Sequent:
    """One sequent for all that differ by names, by the order of premises, or by the sides of equations."""
    best: tuple[Any, Sequent] | None = None
    choices = [turned(formula) for formula in (*sequent.premises, sequent.conclusion)]
    for parts in itertools.product(*choices):
        for premises in itertools.permutations(parts[:-1]):
            candidate = renamed(Sequent(premises, parts[-1]))
            key = order_key(candidate)
            if best is None or key < best[0]:
                best = (key, candidate)
    assert best is not None
    return best[1]


def turned(formula: Formula) -> tuple[Formula, ...]:
    """An equation both ways round, any other formula alone."""
    if formula[0] == "=" and formula[1] != formula[2]:
        return (formula, ("=", formula[2], formula[1]))
    return (formula,)


def order_key(sequent: Sequent) -> tuple[Any, ...]:
    """Total order of sequents: fewer premises, fewer symbols, then what says more.

    An equation says more with more different variables and fewer repeated ones; a conditional sequent when it concludes
    an equation, and with more variables in its premises. The larger side of an equation is on the left, but in the
    conclusion of a conditional sequent a variable is.
    """
    formulas = (*sequent.premises, sequent.conclusion)
    used = [name for formula in formulas for name in free_variables(formula)]
    tilts = [_tilt(formula) for formula in sequent.premises]
    head = sequent.conclusion
    if sequent.premises:
        tilts.append(-_tilt(head) if isinstance(head[-1], str) else _tilt(head))
        bound = {name for formula in sequent.premises for name in free_variables(formula)}
        strength = (head[0] not in ("=", "false"), -len(bound), len(set(used)))
    else:
        tilts.append(_tilt(head))
        strength = (False, -len(set(used)))
    return (len(sequent.premises), sequent.size(), strength, len(used), tuple(tilts), _text(sequent))


def _tilt(formula: Formula) -> int:
    """Negative where the larger side of an equation is on the left."""
    return size(formula[2]) - size(formula[1]) if formula[0] == "=" else 0


def _text(sequent: Sequent) -> str:
    return repr((sequent.premises, sequent.conclusion))


def listed(value: Any) -> Any:
    """Tuples as lists, for JSON."""
    return [listed(part) for part in value] if isinstance(value, tuple | list) else value


def tupled(value: Any) -> Any:
    """Lists as tuples, from JSON."""
    return tuple(tupled(part) for part in value) if isinstance(value, tuple | list) else value


INFIX = {"+": 1, "*": 2}
"""Symbols that are written between their arguments, with how strongly they bind."""


def pretty(term: Term, outer: int = 0) -> str:
    """A term in usual notation: a + s(b) · c."""
    if isinstance(term, str):
        return term
    head, arguments = term[0], term[1:]
    if not arguments:
        return display_name(head)
    if len(arguments) == 2 and head in INFIX:
        strength = INFIX[head]
        # Both operators are printed without assuming that they associate: a nested one keeps its brackets.
        text = (
            f"{pretty(arguments[0], strength + 1)} {'·' if head == '*' else head} {pretty(arguments[1], strength + 1)}"
        )
        return f"({text})" if outer > strength else text
    if head == "inv" and len(arguments) == 1:
        return f"{pretty(arguments[0], 9)}⁻¹"
    return f"{display_name(head)}({', '.join(pretty(argument) for argument in arguments)})"


def display_name(symbol: str) -> str:
    """'i0' and 'i1', the numerals of the text format, are shown as 0 and 1."""
    return symbol[1:] if len(symbol) > 1 and symbol[0] == "i" and symbol[1:].isdigit() else symbol


RELATIONS = {"leq": "≤", "divides": "∣"}


def pretty_formula(formula: Formula) -> str:
    """A formula in usual notation."""
    head = formula[0]
    if head == "false":
        return "⊥"
    if head == "and":
        return f"{pretty_formula(formula[1])} ∧ {pretty_formula(formula[2])}"
    if head == "ex":
        return f"∃{formula[1]} {pretty_formula(formula[2])}"
    if head == "=":
        return f"{pretty(formula[1])} = {pretty(formula[2])}"
    if head in RELATIONS and len(formula) == 3:
        return f"{pretty(formula[1])} {RELATIONS[head]} {pretty(formula[2])}"
    if head.startswith("in2:"):
        return f"{display_name(head[4:])}[{pretty(formula[1])}] is {pretty(formula[2])}"
    if head.startswith("in3:"):
        return f"[{pretty(formula[1])} {head[4:]} {pretty(formula[2])}] is {pretty(formula[3])}"
    return f"{head}({', '.join(pretty(part) for part in formula[1:])})"


def pretty_sequent(sequent: Sequent) -> str:
    """'a + b = a + c ⇒ b = c'; a conclusion that is absurd is shown as a negation."""
    premises: Sequence[Formula] = sequent.premises
    if sequent.conclusion == FALSE and premises:
        denied = negated(premises[-1])
        rest = " ∧ ".join(map(pretty_formula, premises[:-1]))
        return f"{rest} ⇒ {denied}" if rest else denied
    head = pretty_formula(sequent.conclusion)
    return f"{' ∧ '.join(map(pretty_formula, premises))} ⇒ {head}" if premises else head


def negated(formula: Formula) -> str:
    if formula[0] == "=":
        return f"{pretty(formula[1])} ≠ {pretty(formula[2])}"
    return f"¬({pretty_formula(formula)})"

"""Conjectures: what could be said in the language of a theory, small things first, and what survives small worlds.

Terms over three variables are enumerated by size. Two terms that agree in every world are conjectured to be equal;
conditional conjectures join atoms the same way, and keep a premise only where the conclusion fails without it. Only one
of all variants by renaming, by the order of premises and by the sides of equations is kept.

Sources     the enumeration and the filter: Sergeev 2025, arXiv:2508.00017; grouping by values, smallest term first:
            Claessen, Smallbone and Hughes (QuickSpec), TAP 2010; here without random testing where a window suffices
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from wheatstone.domains.logic.models import Array, Model, counterexample, mentions
from wheatstone.domains.logic.saturate import Definition
from wheatstone.domains.logic.terms import (
    FALSE,
    Formula,
    Sequent,
    Term,
    canonical,
    depth,
    free_variables,
    order_key,
    size,
    variables,
)

VARIABLES = ("a", "b", "c")


@dataclass(frozen=True)
class Shape:
    """Which conjectures are made."""

    equation: int = 5
    """Largest term of an equation, in symbols; sums and products of two applications are added to it."""
    conditional: int = 10
    """Most symbols of a sequent with one premise, predicates counted as one symbol; 0 makes none."""
    joined: int = 9
    """Most symbols of a sequent with two premises; 0 makes none."""


class Refutation(NamedTuple):
    """Where a conjecture is false."""

    world: str
    values: dict[str, int]

    def __str__(self) -> str:
        where = ", ".join(f"{name} = {value}" for name, value in self.values.items())
        return f"false in {self.world}" + (f" at {where}" if where else "")


@dataclass
class Worlds:
    """The models that conjectures are tested in, each with assignments of the three variables."""

    models: list[tuple[Model, dict[str, Array]]] = field(default_factory=list[tuple[Model, dict[str, Array]]])

    def add(self, model: Model, at: Mapping[str, Array]) -> None:
        self.models.append((model, dict(at)))

    def key(self, term: Term) -> bytes:
        """Values of a term in all worlds: terms with different keys are not equal."""
        return b"".join(model.value(term, at).astype(np.int16).tobytes() for model, at in self.models)

    def truth(self, formula: Formula) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
        """1, 0 or 2 (unknown) of a formula at every assignment of every world."""
        return np.concatenate([model.truth(formula, at).astype(np.int8) for model, at in self.models])

    def refutes(self, sequent: Sequent) -> Refutation | None:
        """Where the sequent is false, None when no world shows it."""
        for model, at in self.models:
            if mentions(sequent, model) and (values := counterexample(sequent, model, at)) is not None:
                return Refutation(model.name, values)
        return None


def terms(arity: Mapping[str, int], limit: int) -> list[Term]:
    """All terms over the three variables up to a size, and f(g(x, y), h(x, y)) beyond it, by size and then by text."""
    by_size: list[list[Term]] = [[], [*VARIABLES, *((name,) for name, count in arity.items() if count == 0)]]
    for total in range(2, limit + 1):
        made: list[Term] = []
        for name, count in arity.items():
            if count == 1:
                made += [(name, part) for part in by_size[total - 1]]
            elif count == 2:
                for left in range(1, total - 1):
                    made += [(name, *pair) for pair in itertools.product(by_size[left], by_size[total - 1 - left])]
        by_size.append(made)
    found = [term for group in by_size for term in group]
    if limit >= 5:
        binary = [name for name, count in arity.items() if count == 2]
        flat = [(name, *pair) for name in binary for pair in itertools.product(VARIABLES, repeat=2)]
        found += [(name, *pair) for name in binary for pair in itertools.product(flat, repeat=2)]
    return sorted(dict.fromkeys(found), key=term_key)


def term_key(term: Term) -> tuple[int, int, str]:
    """Small terms first, then flat ones, then by their text."""
    return size(term), depth(term), repr(term)


class Counted(NamedTuple):
    """Conjectures, and how many were looked at to find them."""

    conjectures: list[Sequent]
    enumerated: int


REPRESENTATIVES = 8
"""Terms of one kind that a further term is compared with, as long as it has not been proved equal to one of them."""


@dataclass
class Kinds:
    """Terms by their values in all worlds; within a kind, terms that are not known to be equal."""

    worlds: Worlds
    terms: dict[bytes, list[Term]] = field(default_factory=dict[bytes, list[Term]])
    _models: int = 0

    def of(self, term: Term) -> list[Term]:
        """The terms of the same kind, oldest first; append a term that equals none of them."""
        if self._models != len(self.worlds.models):  # a new world tells more terms apart
            known = [one for same in self.terms.values() for one in same]
            self._models, self.terms = len(self.worlds.models), {}
            for one in sorted(known, key=term_key):
                self.terms.setdefault(self.worlds.key(one), []).append(one)
        return self.terms.setdefault(self.worlds.key(term), [])


def equations(arity: Mapping[str, int], worlds: Worlds, shape: Shape) -> Counted:
    """Pairs of terms that agree in every world: each term with the first of its kind."""
    kinds = Kinds(worlds)
    found: dict[Sequent, None] = {}
    pool = terms(arity, shape.equation)
    for term in pool:
        same = kinds.of(term)
        for other in same[:REPRESENTATIVES]:
            found.setdefault(canonical(Sequent((), ("=", term, other))))
        same.append(term)
    return Counted(sorted(found, key=order_key), pairs(pool))


def pairs(pool: Sequence[Term]) -> int:
    """Unordered pairs of different terms."""
    return len(pool) * (len(pool) - 1) // 2


def unfiltered(arity: Mapping[str, int], shape: Shape) -> Iterator[Sequent]:
    """All equations between the same terms, small ones first, true or not."""
    pool = [term for term in terms(arity, shape.equation) if size(term) <= shape.equation]
    seen: set[Sequent] = set()
    by_size: dict[int, list[Term]] = {}
    for term in pool:
        by_size.setdefault(size(term), []).append(term)
    for total in range(2, 2 * shape.equation + 1):
        for small in range(1, total // 2 + 1):
            for left, right in itertools.product(by_size.get(total - small, ()), by_size.get(small, ())):
                if left == right or isinstance(left, str):
                    continue
                sequent = canonical(Sequent((), ("=", left, right)))
                if sequent not in seen:
                    seen.add(sequent)
                    yield sequent


def conditionals(
    arity: Mapping[str, int], predicates: Mapping[str, Definition], worlds: Worlds, shape: Shape
) -> Counted:
    """Sequents with one or two premises, and predicates that hold always, over the first terms of their kinds."""
    kinds: dict[bytes, Term] = {}
    for term in terms(arity, 3):
        if depth(term) == 0 or (depth(term) == 1 and list(variables(term))):
            kinds.setdefault(worlds.key(term), term)
    pool = list(kinds.values())
    atoms = _atoms(pool, predicates, shape.conditional)
    table = np.stack([worlds.truth(atom) for atom in atoms])
    is_equation = np.array([atom[0] == "=" for atom in atoms])
    pins = [row for row, atom in enumerate(atoms) if is_equation[row] and depth(atom[1]) == depth(atom[2]) == 0]
    is_head = np.array([_is_head(atom) for atom in atoms])
    index = {atom: row for row, atom in enumerate(atoms)}
    weight = np.array([_weight(atom) for atom in atoms])
    is_possible, is_always = table != 0, (table != 0).all(axis=1)
    found: dict[Sequent, None] = {}
    enumerated = len(atoms)
    for row in np.flatnonzero(is_always):
        if atoms[row][0] != "=":
            found.setdefault(canonical(Sequent((), atoms[row])))
    for premises in _premises(atoms, is_always, shape):
        rows = [index[premise] for premise in premises]
        budget = (shape.conditional if len(rows) == 1 else shape.joined) - int(weight[rows].sum())
        holds = (table[rows] == 1).all(axis=0)
        fits = np.flatnonzero(is_head & ~is_always & (weight <= budget))
        enumerated += len(fits) + 1
        known = {name for premise in premises for name in free_variables(premise)}
        if not holds.any():
            if (table[rows] == 0).any(axis=0).all() and (
                len(rows) == 1 or all((table[row] == 1).any() for row in rows)
            ):
                found.setdefault(canonical(Sequent(premises, FALSE)))
            continue
        if any((is_possible[row] | ~holds).all() for row in pins if set(free_variables(atoms[row])) <= known):
            fits = fits[is_equation[fits]]  # the premise says what a variable is: the rest is an instance
        valid = fits[is_possible[np.ix_(fits, np.flatnonzero(holds))].all(axis=1)]
        for row in valid:
            head = atoms[row]
            if head in premises or not known & set(free_variables(head)):
                continue
            if len(rows) == 2 and any(is_possible[row][table[one] == 1].all() for one in rows):
                continue
            found.setdefault(canonical(Sequent(premises, head)))
    # What concludes an equation or a contradiction makes much of the rest follow, so it comes first.
    return Counted(sorted(found, key=lambda one: (one.conclusion[0] not in ("=", "false"), order_key(one))), enumerated)


def _is_head(atom: Formula) -> bool:
    """Conclusions are predicates, or equations without sums and products: what is solved for stands alone."""
    return atom[0] != "=" or all(len(side) <= 2 or isinstance(side, str) for side in atom[1:])


def _solves(atom: Formula) -> bool:
    """Whether an equation says what a variable is: as a premise it only names a term."""
    return atom[0] == "=" and any(
        isinstance(side, str) and side not in variables(other) for side, other in (atom[1:], atom[:0:-1])
    )


def _weight(atom: Formula) -> int:
    return sum(size(part) for part in atom[1:]) + (atom[0] != "=")


def _atoms(pool: Sequence[Term], predicates: Mapping[str, Definition], limit: int) -> list[Formula]:
    """Atoms over the pool that leave room for another atom within the limit."""
    found: list[Formula] = [
        ("=", right, left) for left, right in itertools.combinations(pool, 2) if size(left) + size(right) + 2 <= limit
    ]
    for name, definition in predicates.items():
        choices = itertools.product(pool, repeat=len(definition.parameters))
        found += [(name, *parts) for parts in choices if 1 + sum(map(size, parts)) + 2 <= limit]
    return found


def _premises(
    atoms: Sequence[Formula], is_always: np.ndarray[tuple[int], np.dtype[np.bool_]], shape: Shape
) -> Iterator[tuple[Formula, ...]]:
    """Premises up to renaming: one atom, or two small ones that share a variable."""
    seen: set[Sequent] = set()
    small = shape.joined // 3
    simple: list[Formula] = []
    if shape.conditional:
        for atom, always in zip(atoms, is_always, strict=True):
            if always or _weight(atom) > shape.conditional - 2 or not list(free_variables(atom)) or _solves(atom):
                continue
            if _weight(atom) <= small and atom[0] != "=":
                simple.append(atom)
            alone = canonical(Sequent((), atom))
            if alone not in seen:
                seen.add(alone)
                yield (atom,)
    if shape.joined:
        for pair in itertools.combinations(simple, 2):
            shared = set(free_variables(pair[0])) & set(free_variables(pair[1]))
            both = canonical(Sequent(pair, FALSE))
            if shared and both not in seen:
                seen.add(both)
                yield pair

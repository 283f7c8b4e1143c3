"""Small worlds in which a conjecture can be seen to be false: a window of the numbers, or finite models.

A theory with induction has a standard model. Its tables are filled in from the axioms alone, by forward chaining on a
window 0 ... V - 1 with the successor as + 1; what leaves the window is unknown and refutes nothing. A theory without
induction is filtered on finite models, which z3 finds: one that satisfies the axioms, and then, for each conjecture
that withstands both filter and prover, one that refutes it, as far as one exists below the size limit.

Sources     the filter on small tables: Sergeev 2025, arXiv:2508.00017; finite models on demand: Claessen and Sörensson,
            MODEL 2003; z3: de Moura and Bjørner, TACAS 2008
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wheatstone.bench.extras import need
from wheatstone.domains.logic.prove import Induction
from wheatstone.domains.logic.saturate import Definition, conjuncts
from wheatstone.domains.logic.terms import FALSE, Formula, Sequent, Term, symbols, variables

Array = np.ndarray[Any, np.dtype[np.int64]]
UNKNOWN_TRUTH = 2
"""Truth values are 0, 1 and this."""


@dataclass(frozen=True)
class Model:
    """Tables over 0 ... size - 1; `size` itself stands for unknown, in arguments and in values."""

    size: int
    tables: Mapping[str, Array]
    """Function symbol -> values, an axis of length size + 1 for each argument."""
    definitions: Mapping[str, Definition]
    name: str = ""
    truths: dict[str, Array] = field(default_factory=dict[str, Array], compare=False)
    """Truth tables of predicates, made when they are first asked for."""

    def value(self, term: Term, at: Mapping[str, Array]) -> Array:
        """Values of a term at assignments of its variables, all of one length."""
        if isinstance(term, str):
            return at[term]
        table = self.tables[term[0]]
        if len(term) == 1:
            length = len(next(iter(at.values()))) if at else 1
            return np.full(length, int(table), np.int64)
        return table[tuple(self.value(part, at) for part in term[1:])]

    def truth(self, formula: Formula, at: Mapping[str, Array]) -> Array:
        """1, 0 or UNKNOWN_TRUTH of a formula at assignments."""
        head = formula[0]
        if head == "false":
            return np.zeros(len(next(iter(at.values()))) if at else 1, np.int64)
        if head == "=":
            left, right = self.value(formula[1], at), self.value(formula[2], at)
            known = (left < self.size) & (right < self.size)
            return np.where(known, (left == right).astype(np.int64), UNKNOWN_TRUTH)
        if head not in self.truths:
            self.truths[head] = self._table(self.definitions[head])
        return self.truths[head][tuple(self.value(part, at) for part in formula[1:])]

    def _table(self, definition: Definition) -> Array:
        """Truth values of a predicate, an axis of length size + 1 for each argument."""
        count = len(definition.parameters)
        found = np.full((self.size + 1,) * count, UNKNOWN_TRUTH, np.int64)
        at = grid(self.size, definition.parameters)
        found[(slice(self.size),) * count] = self._exists(definition.body, at).reshape((self.size,) * count)
        return found

    def _exists(self, body: Formula, at: dict[str, Array]) -> Array:
        """Whether some elements satisfy the body. In a window a witness outside of it is not looked for."""
        names: list[str] = []
        while body[0] == "ex":
            names.append(body[1])
            body = body[2]
        found = np.zeros(len(next(iter(at.values()))), bool)
        for values in itertools.product(range(self.size), repeat=len(names)):
            inner = at | {name: np.full(len(found), value) for name, value in zip(names, values, strict=True)}
            found |= np.all([self.truth(part, inner) == 1 for part in conjuncts(body)], axis=0)
        return found.astype(np.int64)


def standard_model(
    axioms: Sequence[Sequent],
    arity: Mapping[str, int],
    definitions: Mapping[str, Definition],
    induction: Induction,
    size: int,
) -> Model:
    """The window of the standard model that unconditional equations fill in."""
    tables = {name: np.full((size + 1,) * count, size, np.int64) for name, count in arity.items()}
    successor = np.arange(1, size + 2)
    successor[-1] = size
    tables[induction.successor] = np.minimum(successor, size)
    tables[induction.zero[0]] = np.array(0)
    model = Model(size, tables, definitions, f"numbers below {size}")
    equations = [
        (left, right)
        for axiom in axioms
        if not axiom.premises and axiom.conclusion[0] == "="
        for left, right in (axiom.conclusion[1:], axiom.conclusion[:0:-1])
        if not isinstance(left, str) and left[0] not in (induction.successor, induction.zero[0])
    ]
    grids = {}
    for left, right in equations:
        names = sorted(set(variables(left)) | set(variables(right)))
        mesh = np.meshgrid(*[np.arange(size)] * len(names), indexing="ij")
        grids[left, right] = {name: axis.ravel() for name, axis in zip(names, mesh, strict=True)}
    changed = True
    while changed:
        changed = False
        for (left, right), at in grids.items():
            values = model.value(right, at)
            if len(left) == 1:
                known = values[values < size]
                if len(known) and int(tables[left[0]]) == size:
                    tables[left[0]] = np.array(int(known[0]))
                    changed = True
                continue
            places = tuple(model.value(part, at) for part in left[1:])
            fits = (values < size) & np.all([place < size for place in places], axis=0)
            table = tables[left[0]]
            fits &= table[places] == size
            if fits.any():
                table[tuple(place[fits] for place in places)] = values[fits]
                changed = True
    return model


RESOURCES = 3_000_000
"""z3's own unit of effort: a limit that is the same on every machine."""


def finite_model(
    axioms: Sequence[Sequent],
    arity: Mapping[str, int],
    definitions: Mapping[str, Definition],
    size: int,
    refuted: Sequent | None = None,
) -> Model | None:
    """A model of the axioms with `size` elements, in which a sequent is false if one is given; None when z3 has none.

    Raises UserError when z3 is not installed.
    """
    need("z3", extra="logical", to="look for finite models")
    import z3 as untyped

    z3: Any = untyped
    sort, elements = z3.EnumSort(f"world{size}", [f"e{number}_{size}" for number in range(size)], ctx=z3.Context())
    context = sort.ctx
    functions: dict[str, Any] = {
        name: z3.Function(name, *[sort] * (count + 1)) if count else z3.Const(name, sort)
        for name, count in arity.items()
    }

    def value(term: Term, at: Mapping[str, Any]) -> Any:
        if isinstance(term, str):
            return at[term]
        if len(term) == 1:
            return functions[term[0]]
        return functions[term[0]](*[value(part, at) for part in term[1:]])

    def truth(formula: Formula, at: Mapping[str, Any]) -> Any:
        head = formula[0]
        if head == "false":
            return z3.BoolVal(False, context)
        if head == "=":
            return value(formula[1], at) == value(formula[2], at)
        if head == "and":
            return z3.And(truth(formula[1], at), truth(formula[2], at))
        if head == "ex":
            return z3.Or([truth(formula[2], {**at, formula[1]: element}) for element in elements])
        definition = definitions[head]
        return truth(
            definition.body, dict(zip(definition.parameters, (value(part, at) for part in formula[1:]), strict=True))
        )

    solver = z3.Solver(ctx=context)
    solver.set("rlimit", RESOURCES)
    solver.set("random_seed", 0)
    for axiom in axioms:
        names = axiom.variables()
        for choice in itertools.product(elements, repeat=len(names)):
            at = dict(zip(names, choice, strict=True))
            head = truth(axiom.conclusion, at)
            premises = [truth(premise, at) for premise in axiom.premises]
            solver.add(z3.Implies(z3.And(premises), head) if premises else head)
    if refuted is not None:
        at = {name: z3.Const(f"at_{name}", sort) for name in refuted.variables()}
        solver.add(*[truth(premise, at) for premise in refuted.premises])
        if refuted.conclusion != FALSE:
            solver.add(z3.Not(truth(refuted.conclusion, at)))
    if solver.check() != z3.sat:
        return None
    solution = solver.model()
    number = {str(element): index for index, element in enumerate(elements)}
    tables: dict[str, Array] = {}
    for name, count in arity.items():
        table = np.full((size + 1,) * count, size, np.int64)
        for place in itertools.product(range(size), repeat=count):
            call = functions[name](*[elements[index] for index in place]) if count else functions[name]
            table[place] = number[str(solution.eval(call, model_completion=True))]
        tables[name] = table
    return Model(size, tables, definitions, f"{size} elements")


def counterexample(sequent: Sequent, model: Model, at: Mapping[str, Array]) -> dict[str, int] | None:
    """Values of the variables at which the sequent is false, None when no assignment shows it."""
    wrong = refutations(sequent, model, at)
    if not wrong.any():
        return None
    place = int(np.argmax(wrong))
    return {name: int(at[name][place]) for name in sequent.variables()}


def refutations(sequent: Sequent, model: Model, at: Mapping[str, Array]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which assignments make all premises true and the conclusion false."""
    wrong = model.truth(sequent.conclusion, at) == 0
    for premise in sequent.premises:
        wrong = wrong & (model.truth(premise, at) == 1)
    return wrong


def grid(size: int, names: Sequence[str]) -> dict[str, Array]:
    """Every assignment of 0 ... size - 1 to the names."""
    mesh = np.meshgrid(*[np.arange(size, dtype=np.int64)] * len(names), indexing="ij")
    return {name: axis.ravel() for name, axis in zip(names, mesh, strict=True)}


def mentions(sequent: Sequent, model: Model) -> bool:
    """Whether the model interprets every symbol of the sequent."""
    for formula in (*sequent.premises, sequent.conclusion):
        if formula[0] not in ("=", "false") and formula[0] not in model.definitions:
            return False
        if any(symbol not in model.tables for part in formula[1:] for symbol in symbols(part)):
            return False
    return True

"""A library: what a theory states and what has been proved from it, kept as the document that the kernel reads.

The document is an ordered list of items: axioms over relations, function symbols for the relations that are functions,
the functional forms of the axioms, definitions, induction, and then theorems. A relation that is total but not known to
be single-valued stays a relation until that has been proved.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from wheatstone.domains.logic.functional import (
    functional,
    functional_formula,
    functional_proof,
    is_single,
    is_total,
    is_trivial,
    single_valued,
)
from wheatstone.domains.logic.kernel import FORMAT
from wheatstone.domains.logic.prove import Proof, Prover
from wheatstone.domains.logic.saturate import Definition, Limits
from wheatstone.domains.logic.terms import Sequent, canonical, listed, match, renamed, tupled, turned
from wheatstone.domains.logic.theory import ARITY, Theory


class Pending(NamedTuple):
    """A relation that is total, and would be a function if it were single-valued."""

    function: str
    relation: str
    total: str
    goal: Sequent


class Library:
    """A theory and its theorems."""

    def __init__(self, theory: Theory, limits: Limits | None = None, *, induction: bool = True) -> None:
        self.theory = theory
        self.induction = theory.induction if induction else None
        self.items: list[dict[str, Any]] = []
        self.sequents: dict[str, Sequent] = {}
        """Every citable sequent."""
        self.functions: dict[str, str] = {}
        """Relation -> the function symbol that was introduced for it."""
        self.definitions: dict[str, Definition] = {}
        self.theorems: list[str] = []
        """Names of what was proved beyond functional forms, oldest first."""
        self.stated: dict[Sequent, str] = {}
        """Canonical form of a theorem -> its name."""
        self._forms: set[Sequent] = set()
        limits = limits or Limits(identities=0 if self.induction else 2)
        self.prover = Prover(self.definitions, self.induction, limits, theory.constants)
        for name, sequent in theory.axioms.items():
            self._add({"item": "axiom", "name": name}, name, sequent)
        for function in theory.functions:
            relation = theory.relation(function)
            single = next((name for name, one in theory.axioms.items() if is_single(one, relation)), None)
            if self._total(relation) and single:
                self._introduce(function, relation, single)
        for name, one in theory.definitions.items():
            self.definitions[name] = Definition(name, one.parameters, functional_formula(one.body, self.functions))
            body, parameters = listed(self.definitions[name].body), list(one.parameters)
            self.items.append({"item": "definition", "name": name, "parameters": parameters, "body": body})
        if self.induction is not None:
            zero, successor = self.induction
            self.items.append({"item": "induction", "zero": listed(zero), "successor": successor})
        for name, sequent in theory.axioms.items():
            self._form(name, sequent)

    @property
    def arity(self) -> dict[str, int]:
        """Function symbols and constants that terms may be built from."""
        introduced = {symbol: ARITY[self.theory.objects[symbol]] for symbol in self.functions.values()}
        return {symbol: 0 for (symbol,) in self.theory.constants} | introduced

    def document(self) -> dict[str, Any]:
        """Everything as the kernel reads it."""
        relations = {self.theory.relation(name): ARITY[self.theory.objects[name]] + 1 for name in self.theory.functions}
        return {
            "format": FORMAT,
            "theory": self.theory.name,
            "constants": [symbol for (symbol,) in self.theory.constants],
            "relations": relations,
            "text": self.theory.text,
            "items": self.items,
        }

    def functional(self, sequent: Sequent) -> Sequent:
        """The functional form of a statement, with its variables named in order."""
        return renamed(functional(sequent, self.functions).sequent)

    def axioms(self) -> list[Sequent]:
        """The axioms in functional form, as far as they say anything in it."""
        said = [sequent for sequent in self.theory.axioms.values() if not self._mentions_value(sequent)]
        forms = [functional(sequent, self.functions).sequent for sequent in said]
        return [form for form in forms if not is_trivial(form)]

    def add(self, name: str, sequent: Sequent, proof: Proof) -> None:
        """Takes a theorem, and lets the prover cite it."""
        self.theorems.append(name)
        self._add({"item": "theorem", "name": name}, name, sequent, proof.value)
        self.stated.setdefault(canonical(sequent), name)
        self.prover.know(name, sequent)
        for known in self.theorems[:-1]:
            if known in self.prover.known and is_instance(self.sequents[known], sequent):
                self.prover.forget(known)

    def note(self, name: str, sequent: Sequent, proof: Proof) -> None:
        """Adds a theorem to the document that was asked for rather than found; later proofs do not cite it."""
        self._add({"item": "theorem", "name": name}, name, sequent, proof.value)

    def withdraw(self, name: str) -> None:
        """Takes back the latest theorem, which nothing cites."""
        if self.theorems[-1] != name:
            raise ValueError(f"'{name}' is not the latest theorem")
        self.theorems.pop()
        self.items.pop()
        del self.sequents[name]
        self.stated = {form: known for form, known in self.stated.items() if known != name}
        self.prover.forget(name)

    def pending(self) -> list[Pending]:
        """Relations that only lack a proof that they are single-valued."""
        found: list[Pending] = []
        for function in self.theory.functions:
            relation = self.theory.relation(function)
            total = self._total(relation)
            if relation not in self.functions and total:
                goal = single_valued(relation, ARITY[self.theory.objects[function]])
                found.append(Pending(function, relation, total, goal))
        return found

    def extract(self, pending: Pending, name: str, proof: Proof) -> None:
        """Makes a function of a relation that has been proved single-valued, and restates what mentions it."""
        self.add(name, pending.goal, proof)
        self.prover.forget(name)
        self._introduce(pending.function, pending.relation, name)
        for known, sequent in list(self.sequents.items()):
            mentioned = (*sequent.premises, sequent.conclusion)
            if any(part[0] == pending.relation for part in mentioned):
                if known in self.prover.known:
                    self.prover.forget(known)
                self._form(known, sequent)

    def _total(self, relation: str) -> str | None:
        return next((name for name, one in self.theory.axioms.items() if is_total(one, relation)), None)

    def _introduce(self, function: str, relation: str, single: str) -> None:
        total = self._total(relation)
        assert total is not None
        self.functions[relation] = function
        if ARITY[self.theory.objects[function]] == 1:
            self.prover.proposed.append(function)
        self.prover.existences.pop(total, None)
        item = {"item": "function", "name": function, "relation": relation, "total": total, "single": single}
        self.items.append(item)

    def _add(self, item: dict[str, Any], name: str, sequent: Sequent, proof: Any = None) -> None:
        item |= {"premises": listed(sequent.premises), "conclusion": listed(sequent.conclusion)}
        self.items.append(item if proof is None else item | {"proof": proof})
        self.sequents[name] = sequent

    def _form(self, name: str, sequent: Sequent) -> None:
        """Adds the functional form of a sequent as a theorem, and lets the prover cite it."""
        if sequent.conclusion[0] == "ex":
            if not self._mentions_value(sequent) and not sequent.premises:
                variables = tuple(sequent.variables())
                self.prover.existences[name] = Definition(name, variables, sequent.conclusion)
            return
        form = functional(sequent, self.functions)
        if is_trivial(form.sequent):
            return
        if form.sequent == sequent:
            self.prover.know(name, sequent)
            return
        if canonical(form.sequent) in self._forms:
            return
        self._forms.add(canonical(form.sequent))
        lines = functional_proof(name, sequent, form, self.functions)
        known = next(f"{name}.{kind}" for kind in ("f", "ff", "fff") if f"{name}.{kind}" not in self.sequents)
        self._add({"item": "theorem", "name": known}, known, form.sequent, {"lines": lines})
        self.prover.know(known, form.sequent)

    def _mentions_value(self, sequent: Sequent) -> bool:
        """Whether the sequent says that an extracted relation has a value: what the function symbol says by itself."""
        head = sequent.conclusion
        return head[0] == "ex" and head[2][0] in self.functions


def is_instance(special: Sequent, general: Sequent) -> bool:
    """Whether an equation without premises is an instance of another one."""
    if special.premises or general.premises or special.conclusion[0] != "=" or general.conclusion[0] != "=":
        return False
    return any(match(("", *one[1:]), ("", *special.conclusion[1:]), {}) for one in turned(general.conclusion))


def sequent_of(item: dict[str, Any]) -> Sequent:
    """The sequent of a document's axiom or theorem."""
    return Sequent(tupled(item["premises"]), tupled(item["conclusion"]))

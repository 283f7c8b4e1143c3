"""Exploration: conjectures in, theorems out, each with a proof.

Conjectures are taken by size. One that follows from what is known by instantiation, equality and modus ponens alone,
without definitions or induction, is no discovery and is passed over. The rest is proved, or refuted in a larger world,
or put aside; whatever was put aside is tried again as long as a pass has found something. Every limit is a number of
matches, never a time, so that two machines, or two numbers of workers, find the same.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from wheatstone.domains.logic.conjectures import (
    REPRESENTATIVES,
    VARIABLES,
    Counted,
    Kinds,
    Refutation,
    Shape,
    Worlds,
    conditionals,
    equations,
    pairs,
    terms,
    unfiltered,
)
from wheatstone.domains.logic.judges import Judges
from wheatstone.domains.logic.library import Library
from wheatstone.domains.logic.models import Model, finite_model, grid, standard_model
from wheatstone.domains.logic.prove import Proof, cited, count, instance
from wheatstone.domains.logic.saturate import Limits
from wheatstone.domains.logic.terms import FALSE, Sequent, Term, canonical, order_key, pretty_sequent

FOLLOWS = Limits(nodes=100, rounds=2, unfold=False, work=1_000, slack=2)
FOLLOWS_IF = Limits(nodes=160, rounds=3, unfold=False, work=4_000, slack=2)
"""What may be used to find out that an equation, or a conditional sequent, says nothing new."""
RETRIED = 8
"""Open conjectures, the smallest, that are tried again after each theorem."""
ATTEMPTS = 2
"""Attempts after which an open conditional conjecture waits for the next pass."""
Order = Literal["size", "random"]
Outcome = Literal["theorem", "follows", "refuted", "open"]


@dataclass(frozen=True)
class Plan:
    """How a theory is explored."""

    shape: Shape = field(default_factory=Shape)
    window: int = 4
    """Values of each variable in the exhaustive part of the window of a theory with induction."""
    samples: int = 40
    """Random assignments beyond the exhaustive part."""
    reach: int = 100
    """Numbers in the window's tables."""
    largest_world: int = 6
    """Elements of the largest finite model of a theory without induction."""
    filter: bool = True
    """Whether conjectures are tested in worlds before they are proved."""
    reuse: bool = True
    """Whether a theorem may be cited by later ones."""
    order: Order = "size"
    work: int = 6_000_000
    """Matches that all attempts together may use."""


@dataclass(frozen=True)
class Event:
    """What became of one conjecture."""

    number: int
    sequent: Sequent
    outcome: Outcome
    name: str = ""
    """The theorem's name."""
    proof: Proof | None = None
    refutation: Refutation | None = None
    work: int = 0
    """Matches of all attempts up to here."""


@dataclass
class Exploration:
    """The state of an exploration; `run` yields one event a conjecture."""

    library: Library
    plan: Plan = field(default_factory=Plan)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    worlds: Worlds = field(default_factory=Worlds)
    judges: Judges | None = None
    """Further processes that judge conjectures ahead of time; they change nothing but the duration."""
    enumerated: int = 0
    """Statements that were looked at."""
    survived: int = 0
    """Distinct conjectures that no world refuted when they were made."""
    tried: int = 0
    passes: int = 0
    lemmas: list[str] = field(default_factory=list[str])
    """Theorems that were stated on the way to others."""
    essential: list[str] = field(default_factory=list[str])
    """Theorems that do not follow from the others."""
    _open: list[Sequent] = field(default_factory=list[Sequent])
    _attempts: Counter[Sequent] = field(default_factory=Counter[Sequent])

    @property
    def waiting(self) -> list[Sequent]:
        """Conjectures that are neither proved nor refuted, smallest first."""
        return sorted(self._open, key=order_key)

    @property
    def is_exhausted(self) -> bool:
        return self.library.prover.work >= self.plan.work

    def run(self) -> Iterator[Event]:
        """Explores until nothing new is found or the work is used up."""
        plan = self.plan
        self.prepare()
        while True:
            extracted = yield from self._extract()
            if plan.filter and plan.order == "size":
                yield from self._equations()
            else:
                yield from self._pass(self._listed_equations())
            yield from self._pass(self._conditionals())
            while self._open and not self.is_exhausted:
                known, waiting = len(self.library.theorems), self._open
                self._open = []
                yield from self._pass(waiting)
                if len(self.library.theorems) == known:
                    break
            if not self.library.pending() or self.is_exhausted:
                break
            if not (yield from self._extract()) and not extracted:
                break
        if self.plan.reuse:
            self.essential = self._irredundant()

    def prepare(self) -> None:
        """Makes the worlds; `run` does it itself where it has not been done."""
        library, plan = self.library, self.plan
        if not plan.filter or self.worlds.models:
            return
        if library.theory.induction is not None:
            axioms = library.axioms()
            model = standard_model(axioms, library.arity, library.definitions, library.theory.induction, plan.reach)
            self.worlds.add(model, grid(plan.window, VARIABLES))
            spread = self.rng.integers(0, max(plan.window + 1, 10), (len(VARIABLES), plan.samples))
            self.worlds.add(model, dict(zip(VARIABLES, spread.astype(np.int64), strict=True)))
            return
        for elements in range(2, plan.largest_world + 1):
            if model := self._world(elements):
                self.worlds.add(model, grid(elements, VARIABLES))
                return

    def _world(self, elements: int, refuted: Sequent | None = None) -> Model | None:
        """A finite model in which every relation that should be a function is one."""
        theory, functions = self.library.theory, dict(self.library.functions)
        functions.update({one.relation: one.function for one in self.library.pending()})
        from wheatstone.domains.logic.functional import functional, is_trivial
        from wheatstone.domains.logic.theory import ARITY

        arity = {name: ARITY[kind] for name, kind in theory.objects.items() if kind != "set"}
        said = [one for one in theory.axioms.values() if one.conclusion[0] != "ex"]
        axioms = [form for one in said if not is_trivial(form := functional(one, functions).sequent)]
        if refuted is not None:
            refuted = functional(refuted, functions).sequent
        return finite_model(axioms, arity, self.library.definitions, elements, refuted)

    def _equations(self) -> Iterator[Event]:
        """Each term with those of its kind that it is not yet known to equal, until it is proved to equal one."""
        self.passes += 1
        kinds, outcomes = Kinds(self.worlds), dict[Sequent, Outcome]()
        pool = terms(self.library.arity, self.plan.shape.equation)
        self.enumerated += pairs(pool)
        for place, term in enumerate(pool):
            self._offer_equations(kinds, pool[place : place + self._ahead], outcomes)
            same = kinds.of(term)
            for other in same[:REPRESENTATIVES]:
                sequent = canonical(Sequent((), ("=", term, other)))
                if sequent not in outcomes:
                    if self.is_exhausted:
                        return
                    self.survived += 1
                    event = self._settle(sequent)
                    outcomes[sequent] = event.outcome
                    yield event
                    if event.outcome == "theorem":
                        yield from self._again(True)
                if outcomes[sequent] in ("theorem", "follows"):
                    break
            else:
                same.append(term)

    @property
    def _ahead(self) -> int:
        """Conjectures that are looked at before their turn; without the filter their number itself is a finding."""
        return self.judges.ahead if self.judges and self.plan.filter else 0

    def _offer(self, coming: Iterable[Sequent]) -> None:
        """Lets the judges begin with conjectures that come next."""
        if self.judges:
            offered = ((one, follows_limits(one) if self.plan.reuse else None) for one in coming)
            self.judges.offer(self.library.prover, offered)

    def _offer_equations(self, kinds: Kinds, coming: Sequence[Term], outcomes: Mapping[Sequent, Outcome]) -> None:
        pairs_ahead = ((term, same[0]) for term in coming if (same := kinds.of(term)))
        sequents = (canonical(Sequent((), ("=", *pair))) for pair in pairs_ahead)
        self._offer(one for one in sequents if one not in outcomes)

    def _listed_equations(self) -> Iterator[Sequent]:
        library, plan = self.library, self.plan
        if not plan.filter:
            for sequent in unfiltered(library.arity, plan.shape):
                self.enumerated += 1
                self.survived += 1
                yield sequent
        else:
            yield from self._ordered(equations(library.arity, self.worlds, plan.shape))

    def _conditionals(self) -> Iterator[Sequent]:
        library, plan = self.library, self.plan
        if plan.filter and plan.shape.conditional and not self.is_exhausted:
            yield from self._ordered(conditionals(library.arity, library.definitions, self.worlds, plan.shape))

    def _ordered(self, made: Counted) -> Iterator[Sequent]:
        self.enumerated += made.enumerated
        self.survived += len(made.conjectures)
        order = range(len(made.conjectures))
        if self.plan.order == "random":
            order = self.rng.permutation(len(made.conjectures)).tolist()
        for place in order:
            yield made.conjectures[place]

    def _pass(self, conjectures: Iterator[Sequent] | Sequence[Sequent]) -> Iterator[Event]:
        self.passes += 1
        coming = iter(conjectures)
        ahead: deque[Sequent] = deque()
        while True:
            ahead += itertools.islice(coming, max(1, self._ahead) - len(ahead))
            if not ahead or self.is_exhausted:
                return
            self._offer(ahead)
            sequent = ahead.popleft()
            event = self._settle(sequent)
            yield event
            if event.outcome == "theorem" and self.plan.reuse:
                yield from self._again(is_equation(sequent))

    def _again(self, equational: bool) -> Iterator[Event]:
        """Tries the smallest open conjectures of the theorem's sort again, as long as one becomes a theorem."""
        found = True
        while found and not self.is_exhausted:
            found = False
            waiting = [
                sequent
                for sequent in self._open
                if is_equation(sequent) == equational and (equational or self._attempts[sequent] < ATTEMPTS)
            ]
            for sequent in sorted(waiting, key=order_key)[:RETRIED]:
                self._open.remove(sequent)
                event = self._settle(sequent)
                if event.outcome == "open":
                    continue
                yield event
                found |= event.outcome == "theorem"

    def _settle(self, sequent: Sequent) -> Event:
        library, prover = self.library, self.library.prover
        self.tried += 1
        if self.plan.filter and self.passes > 1 and (refutation := self.worlds.refutes(sequent)):
            return self._event(sequent, "refuted", refutation=refutation)
        follows = follows_limits(sequent) if self.plan.reuse else None
        judgement = self.judges.judge(prover, sequent, follows) if self.judges else prover.judge(sequent, follows)
        prover.work += judgement.work
        if judgement.outcome == "follows":
            return self._event(sequent, "follows")
        proof = judgement.proof
        if proof is None and sequent.premises and self.plan.reuse and library.induction is not None:
            proof = self._by_cases(sequent)
        if proof is not None:
            name = self._add(sequent, proof)
            return self._event(sequent, "theorem", name, proof)
        if self.plan.filter and not self._attempts[sequent] and (refutation := self.refute(sequent)):
            return self._event(sequent, "refuted", refutation=refutation)
        self._open.append(sequent)
        self._attempts[sequent] += 1
        return self._event(sequent, "open")

    def _add(self, sequent: Sequent, proof: Proof) -> str:
        name = f"t{len(self.library.theorems) + 1}"
        self.library.add(name, sequent, proof)
        if not self.plan.reuse:
            self.library.prover.forget(name)
        return name

    def _by_cases(self, sequent: Sequent) -> Proof | None:
        """A proof by way of a lemma: the same sequent about successors, which is proved on another variable.

        Two inductions, one in the other, split two variables into zero and successor. The lemma joins the theorems.
        """
        library, prover = self.library, self.library.prover
        assert library.induction is not None
        if sequent.conclusion[0] not in ("=", "false"):
            return None
        for variable in sequent.variables():
            lemma = instance(sequent, variable, (library.induction.successor, variable))
            proof = prover.prove(lemma)
            if proof is not None and proof.variable != variable:
                name = self._add(lemma, proof)
                if (whole := prover.prove(sequent)) is not None:
                    self.lemmas.append(name)
                    return whole
                library.withdraw(name)
        return None

    def _event(
        self,
        sequent: Sequent,
        outcome: Outcome,
        name: str = "",
        proof: Proof | None = None,
        refutation: Refutation | None = None,
    ) -> Event:
        return Event(self.tried, sequent, outcome, name, proof, refutation, self.library.prover.work)

    def refute(self, sequent: Sequent) -> Refutation | None:
        """A larger world that refutes a conjecture of a theory without induction; it joins the worlds."""
        if self.library.theory.induction is not None:
            return None
        for elements in range(2, self.plan.largest_world + 1):
            if model := self._world(elements, sequent):
                self.worlds.add(model, grid(elements, VARIABLES))
                return self.worlds.refutes(sequent)
        return None

    def _extract(self) -> Iterator[Event]:
        """Makes functions of relations that can be proved single-valued. Returns whether there were any."""
        done = False
        for pending in self.library.pending():
            self.tried += 1
            proof = self.library.prover.prove(pending.goal)
            if proof is not None:
                name = f"t{len(self.library.theorems) + 1}"
                self.library.extract(pending, name, proof)
                done = True
                yield self._event(pending.goal, "theorem", name, proof)
        return done

    def _irredundant(self) -> list[str]:
        """Theorems that stay when, latest first, each that follows from the others is dropped."""
        prover, dropped = self.library.prover, []
        names = [name for name in self.library.theorems if name in prover.known]
        for name in reversed(names):
            if (
                prover.direct(goal := self.library.sequents[name], follows_limits(goal), without=[*dropped, name])
                is not None
            ):
                dropped.append(name)
        return [name for name in names if name not in dropped]


def follows_limits(sequent: Sequent) -> Limits:
    return FOLLOWS_IF if sequent.premises else FOLLOWS


def contradiction(library: Library) -> Proof | None:
    """A proof that the axioms, with what is known, contradict each other; None when none is found."""
    lines = library.prover.direct(Sequent((), FALSE))
    return None if lines is None else Proof({"lines": lines}, cited(lines), None, count(lines))


def is_equation(sequent: Sequent) -> bool:
    """Whether it is an equation without premises."""
    return not sequent.premises and sequent.conclusion[0] == "="


def table(exploration: Exploration) -> list[tuple[str, str]]:
    """(name, statement) of every theorem, oldest first."""
    library = exploration.library
    return [(name, pretty_sequent(library.sequents[name])) for name in library.theorems]

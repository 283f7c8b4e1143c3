"""The prover: a sequent from known sequents, directly or by induction on one variable, with its proof as kernel lines.

Induction is tried only where the theory declares it: base with the constructor zero, step with a fresh eigenvariable
and the hypothesis as one more rule, first with the other variables fixed, then with all of them general.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from wheatstone.domains.logic.rules import Rule, Trigger, triggers
from wheatstone.domains.logic.saturate import Attempt, Definition, Limits
from wheatstone.domains.logic.terms import Sequent, Term, substitute_formula
from wheatstone.domains.logic.write import Line, Writer

EIGEN = "k"


class Induction(NamedTuple):
    """The schema: every element is zero or a successor."""

    zero: Term
    successor: str


@dataclass(frozen=True)
class Proof:
    """A proof as the kernel reads it."""

    value: dict[str, Any]
    """{"lines": [...]} or {"induction": {...}}."""
    cites: tuple[str, ...]
    variable: str | None
    """The induction variable, None for a direct proof."""
    lines: int
    """Lines in all blocks."""


class Judgement(NamedTuple):
    """What the prover makes of a conjecture: a pure function of the conjecture and of what is known."""

    outcome: Literal["follows", "theorem", "open"]
    proof: Proof | None
    work: int
    """Matches that it took."""


@dataclass
class Prover:
    """What is known, and how to prove from it. `work` counts matches over all attempts."""

    definitions: Mapping[str, Definition]
    induction: Induction | None
    limits: Limits = field(default_factory=Limits)
    constants: Sequence[Term] = ()
    """Constants of the theory, tried as witnesses."""
    existences: dict[str, Definition] = field(default_factory=dict[str, Definition])
    """Sequents without premises that say that something exists; their parameters are their variables."""
    proposed: list[str] = field(default_factory=list[str])
    """Functions that stand for existences: see Attempt."""
    work: int = 0
    rounds: int = 0
    version: int = 0
    """Counts the changes of what is known: judgements of one version are of one and the same prover."""
    _known: dict[str, Sequent] = field(default_factory=dict[str, Sequent])
    _triggers: dict[str, list[Trigger]] = field(default_factory=dict[str, list[Trigger]])

    def know(self, name: str, sequent: Sequent) -> None:
        """From now on the sequent may be cited."""
        self.version += 1
        self._known[name], self._triggers[name] = sequent, triggers(Rule(name, sequent))

    def forget(self, name: str) -> None:
        self.version += 1
        del self._known[name], self._triggers[name]

    @property
    def known(self) -> list[str]:
        return list(self._known)

    @property
    def sequents(self) -> dict[str, Sequent]:
        """What may be cited, oldest first."""
        return dict(self._known)

    def judge(self, goal: Sequent, follows: Limits | None) -> Judgement:
        """Whether a sequent follows within the first limits, or else has a proof; `work` is not counted yet."""
        before = self.work
        if follows is not None and self.direct(goal, follows) is not None:
            proof, has_news = None, False
        else:
            proof, has_news = self.prove(goal), True
        spent, self.work = self.work - before, before
        return Judgement("open" if proof is None and has_news else "theorem" if proof else "follows", proof, spent)

    def direct(
        self, goal: Sequent, limits: Limits | None = None, hypothesis: Rule | None = None, without: Sequence[str] = ()
    ) -> list[Line] | None:
        """Lines of a proof without induction, None when the limits end it."""
        attempt = Attempt(
            goal, self.definitions, limits or self.limits, self.constants, list(self.existences.values()), self.proposed
        )
        active = [trigger for name, plans in self._triggers.items() if name not in without for trigger in plans]
        if hypothesis is not None:
            active += triggers(hypothesis)
        proved = attempt.run(active)
        self.work += attempt.graph.work + len(attempt.graph)
        self.rounds += attempt.rounds
        return Writer(attempt).write() if proved else None

    def prove(self, goal: Sequent, without: Sequence[str] = (), limits: Limits | None = None) -> Proof | None:
        """A proof, direct where there is one, None when nothing within the limits is one."""
        lines = self.direct(goal, limits, without=without)
        if lines is not None:
            return Proof({"lines": lines}, cited(lines), None, count(lines))
        if self.induction is None:
            return None
        # A hypothesis for all values of the other variables is only ever needed to meet the premises of the step.
        for is_general in (False, True) if goal.premises else (False,):
            for variable in goal.variables():
                general = frozenset(goal.variables()) - {variable} if is_general else frozenset[str]()
                if is_general and not general:
                    continue
                proof = self._by_induction(goal, variable, general, without, limits)
                if proof is not None:
                    return proof
        return None

    def _by_induction(
        self, goal: Sequent, variable: str, general: frozenset[str], without: Sequence[str], limits: Limits | None
    ) -> Proof | None:
        assert self.induction is not None
        zero, successor = self.induction
        eigen = EIGEN if EIGEN not in goal.variables() else "k1"
        step_goal = instance(goal, variable, (successor, eigen))
        assumed = instance(goal, variable, eigen)
        fixed = frozenset(assumed.variables()) - general
        base = self.direct(instance(goal, variable, zero), limits, without=without)
        if base is None:
            return None
        step = self.direct(step_goal, limits, Rule("induction hypothesis", assumed, "hypothesis", fixed), without)
        if step is None:
            return None
        used = sorted(_generalised(step))
        plan = {"variable": variable, "eigen": eigen, "general": used, "base": base, "step": step}
        return Proof(
            {"induction": plan}, tuple(dict.fromkeys((*cited(base), *cited(step)))), variable, count(base) + count(step)
        )


def instance(goal: Sequent, variable: str, term: Term) -> Sequent:
    """The sequent with one variable replaced."""
    values = {variable: term}
    return Sequent(
        tuple(substitute_formula(premise, values) for premise in goal.premises),
        substitute_formula(goal.conclusion, values),
    )


def all_lines(lines: Sequence[Line]) -> list[Line]:
    """The lines of a block and of all blocks in it, in the order in which the kernel reads them."""
    found: list[Line] = []
    for line in lines:
        if line[2] == "choose":
            found += all_lines(line[5])
        found.append(line)
    return found


def cited(lines: Sequence[Line]) -> tuple[str, ...]:
    """Names that the lines cite, in the order of their first use."""
    return tuple(dict.fromkeys(line[3] for line in all_lines(lines) if line[2] == "cite"))


def count(lines: Sequence[Line]) -> int:
    return len(all_lines(lines))


def _generalised(lines: Sequence[Line]) -> set[str]:
    """Variables of the hypothesis that some line instantiates."""
    return {name for line in all_lines(lines) if line[2] == "hypothesis" for name in line[3]}


def with_limits(limits: Limits, **changes: Any) -> Limits:
    return dataclasses.replace(limits, **changes)

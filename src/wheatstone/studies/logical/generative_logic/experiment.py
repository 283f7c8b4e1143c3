"""One trial: explore a theory, check all that was found, and break the proofs to see whether the checker notices."""

from __future__ import annotations

import dataclasses
import json
import operator
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wheatstone.bench.errors import UserError
from wheatstone.bench.files import write_atomically
from wheatstone.bench.trial import Trial
from wheatstone.domains.logic import kernel, metamath, mutants
from wheatstone.domains.logic.conjectures import Shape
from wheatstone.domains.logic.explore import FOLLOWS_IF, Event, Exploration, Plan
from wheatstone.domains.logic.library import Library
from wheatstone.domains.logic.page import page
from wheatstone.domains.logic.prove import Proof, cited, count
from wheatstone.domains.logic.terms import Sequent, Term, canonical, pretty_sequent
from wheatstone.domains.logic.theory import Theory, load, statement
from wheatstone.studies.logical.generative_logic.config import Config
from wheatstone.studies.logical.generative_logic.laws import LAWS, REPORTED

NAN = float("nan")
CIRCLES = (2, 3, 4, 5)
"""Lengths of the circles of citations that are given to the kernel."""

MEASURES = {
    "theorems": "theorems found and proved, functional forms of axioms not counted",
    "essential": "theorems left when, latest first, each that follows from the others by instantiation, equality and "
    "modus ponens is dropped; NaN where nothing is reused",
    "laws": "share of the theory's laws (see the table of laws) that are theorems or follow from them without "
    "induction, each with a proof that the kernel accepts [0, 1]",
    "laws_stated": "share of the laws that were conjectured and proved as they stand [0, 1]",
    "reported": "share of the statements of the original's Peano stage that are theorems or follow from them without "
    "induction [0, 1]; NaN for other theories",
    "work_to_laws": "matches of all proof attempts until the last law was found; the allowed work + 1 if never",
    "enumerated": "statements that were looked at (pairs of terms, premises with conclusions)",
    "survived": "distinct conjectures that no small world refuted",
    "tried": "conjectures that were given to the prover, repetitions counted",
    "work": "matches of all proof attempts",
    "steps": "lines of all proofs",
    "kernel_accepted": "share of the theorems that the kernel accepts; must be 1 [0, 1]",
    "metamath_verified": "share of the theorems that the metamath program verifies [0, 1]; NaN if not installed",
    "false_at_large": "theorems about numbers that are false at a spot check; must be 0; NaN for other theories",
    "mutants_rejected": "share of proofs with one broken step that the kernel rejects [0, 1]; NaN without theorems",
    "mutants_noticed": "share of them that a look at the citations alone would notice [0, 1]; NaN without theorems",
    "circles_rejected": "share of planted circles of citations of which the kernel accepts no theorem [0, 1]",
    "circles_noticed": "the same when each theorem is checked by itself, the others believed [0, 1]",
}


class Status(NamedTuple):
    """What became of a statement that was asked for."""

    statement: str
    state: str
    """'theorem', 'follows' or 'missing'."""
    name: str
    """The theorem that states it, or the name under which its proof stands in the document."""


def run(trial: Trial[Config]) -> Mapping[str, float]:
    """Explores one theory in one arm. Short enough to start anew after a kill."""
    config = trial.config
    library = library_of(config)
    exploration = Exploration(library, plan_of(config), trial.rng("conjectures"))
    laws = {name: statement(library.theory, text)[0] for name, text in LAWS[config.theory].items()}
    watch = LawWatch(library, laws)
    events: list[Event] = []
    for event in exploration.run():
        trial.progress(min(event.work, config.work), config.work, f"{len(library.theorems)} theorems")
        if event.outcome == "theorem":
            events.append(event)
            watch.look(event.work)
            trial.log(len(events), theorems=len(library.theorems), laws=len(watch.found_at), work=event.work)
    found = len(library.theorems)
    answers = ask(library, laws, "law")
    reported: list[Status] = []
    if config.theory == "peano":
        asked = {str(at): statement(library.theory, text)[0] for at, text in enumerate(REPORTED, start=1)}
        reported = ask(library, asked, "reported")
    document = json.loads(json.dumps(library.document()))
    accepted = kernel.check(document)
    trial.write("theorems", [row(event, library, exploration, accepted) for event in events])
    trial.write("laws", [{"law": name, **answer._asdict()} for name, answer in zip(laws, answers, strict=True)])
    trial.write("reported", [answer._asdict() for answer in reported])
    trial.write("axioms", {one.name: sorted(accepted[one.name].axioms) for one in answers if one.name in accepted})
    trial.write("citations", {name: sorted(one.cites) for name, one in accepted.items()})
    trial.write("open", [pretty_sequent(one) for one in exploration.waiting])
    trial.write("proofs", document)
    write_atomically(trial.file("proofs.html"), page(document, accepted, exploration.essential).encode())
    share = shares(answers)
    when = max(watch.found_at.values(), default=0)
    return {
        "theorems": found,
        "essential": len(exploration.essential) if config.reuse else NAN,
        "laws": share["known"],
        "laws_stated": share["stated"],
        "reported": shares(reported)["known"] if reported else NAN,
        "work_to_laws": when if len(watch.found_at) == len(laws) else config.work + 1,
        "enumerated": exploration.enumerated,
        "survived": exploration.survived,
        "tried": exploration.tried,
        "work": events[-1].work if events and exploration.is_exhausted else library.prover.work,
        "steps": sum(one.lines for one in accepted.values()),
        "kernel_accepted": len(accepted) / max(1, sum(item["item"] == "theorem" for item in document["items"])),
        "metamath_verified": verified(document, trial),
        "false_at_large": false_at_large(library, config, trial.rng("spot checks")),
        **broken(document, found, config, trial.rng("mutants")),
    }


def library_of(config: Config) -> Library:
    """The theory of the settings, without the axiom that they leave out.

    Raises UserError for an axiom that the theory does not have.
    """
    theory = load(config.theory)
    if config.without_axiom:
        theory = without(theory, config.without_axiom)
    return Library(theory, induction=config.induction)


def without(theory: Theory, name: str) -> Theory:
    """The theory without an axiom. Raises UserError when it has none of that name."""
    kept = {known: one for known, one in theory.axioms.items() if known != name and not known.startswith(f"{name}.")}
    if len(kept) == len(theory.axioms):
        raise UserError(f"generative-logic --without_axiom: '{name}' is no axiom of {theory.name}: {', '.join(kept)}")
    return dataclasses.replace(theory, axioms=kept)


def plan_of(config: Config) -> Plan:
    return Plan(
        shape=Shape(config.equation, config.conditional, config.joined),
        window=config.window,
        samples=config.samples,
        reach=config.reach,
        largest_world=config.largest_world,
        filter=config.filter,
        reuse=config.reuse,
        order=config.order,
        work=config.work,
    )


class LawWatch:
    """Notes after how much work each law was first a theorem or followed from the theorems."""

    def __init__(self, library: Library, laws: Mapping[str, Sequent]) -> None:
        self.library = library
        self.laws = laws
        self.found_at: dict[str, int] = {}

    def look(self, work: int) -> None:
        """Looks for the laws that are still missing; what that costs is not counted."""
        prover = self.library.prover
        spent = prover.work, prover.rounds
        for name, law in self.laws.items():
            if name not in self.found_at and known(self.library, law) is not None:
                self.found_at[name] = work
        prover.work, prover.rounds = spent


def known(library: Library, law: Sequent) -> Proof | str | None:
    """The theorem that states a law, or its proof from the theorems without induction; None when there is neither."""
    goal = library.functional(law)
    stated = library.stated.get(canonical(goal)) or library.stated.get(canonical(law))
    if stated:
        return stated
    # Where theorems may not be reused the prover knows none of them: a law must then be a theorem itself.
    lines = library.prover.direct(goal, FOLLOWS_IF)
    return None if lines is None else Proof({"lines": lines}, cited(lines), None, count(lines))


def ask(library: Library, asked: Mapping[str, Sequent], prefix: str) -> list[Status]:
    """The state of every statement; a proof of one that follows joins the document."""
    found: list[Status] = []
    for at, law in enumerate(asked.values(), start=1):
        goal = library.functional(law)
        answer = known(library, law)
        if isinstance(answer, str):
            found.append(Status(pretty_sequent(goal), "theorem", answer))
        elif answer is None:
            found.append(Status(pretty_sequent(goal), "missing", ""))
        else:
            name = f"{prefix}.{at}"
            library.note(name, goal, answer)
            found.append(Status(pretty_sequent(goal), "follows", name))
    return found


def shares(answers: Sequence[Status]) -> dict[str, float]:
    total = max(1, len(answers))
    stated = sum(one.state == "theorem" for one in answers)
    return {"stated": stated / total, "known": sum(one.state != "missing" for one in answers) / total}


def row(event: Event, library: Library, exploration: Exploration, accepted: Mapping[str, Any]) -> dict[str, Any]:
    """What the tables say of a theorem."""
    assert event.proof is not None
    return {
        "name": event.name,
        "statement": pretty_sequent(library.sequents[event.name]),
        "kind": f"induction on {event.proof.variable}" if event.proof.variable else "direct",
        "lines": event.proof.lines,
        "work": event.work,
        "essential": event.name in exploration.essential,
        "axioms": sorted(accepted[event.name].axioms),
    }


def verified(document: Mapping[str, Any], trial: Trial[Config]) -> float:
    """Writes the Metamath database and lets the program verify it."""
    theorems = sum(item["item"] == "theorem" for item in document["items"])
    text = metamath.export(document)
    write_atomically(trial.file("proofs.mm"), text.encode())
    if metamath.installed() is None:
        return NAN
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "proofs.mm"
        place.write_text(text, encoding="utf-8")
        return metamath.verify(place, theorems).verified / max(1, theorems)


def broken(document: Mapping[str, Any], found: int, config: Config, rng: np.random.Generator) -> dict[str, float]:
    """How the kernel does on broken proofs and on circles of citations."""
    rejected = noticed = NAN
    if config.mutants and found:
        tried = mutants.try_kernel(document, config.mutants, rng)
        rejected, noticed = tried.rejected / tried.mutants, tried.noticed / tried.mutants
    circles = [mutants.circle(length) for length in CIRCLES]
    return {
        "mutants_rejected": rejected,
        "mutants_noticed": noticed,
        "circles_rejected": sum(mutants.in_order(document, one) == 0 for one in circles) / len(circles),
        "circles_noticed": sum(mutants.one_by_one(document, one) == 0 for one in circles) / len(circles),
    }


def _successor(a: int) -> int:
    return a + 1


def _sum(n: int) -> int:
    return n * (n + 1) // 2


FUNCTIONS: dict[str, Callable[..., int]] = {
    "i0": lambda: 0,
    "i1": lambda: 1,
    "s": _successor,
    "+": operator.add,
    "*": operator.mul,
    "sum": _sum,
}
"""The numbers as Python has them: the search and the filter never see this."""
PREDICATES: dict[str, Callable[[int, int], bool]] = {
    "=": operator.eq,
    "leq": operator.le,
    "divides": lambda a, b: b == 0 if a == 0 else b % a == 0,
}


def false_at_large(library: Library, config: Config, rng: np.random.Generator) -> float:
    """Theorems that are false at one of the spot checks; NaN for a theory that is not about numbers."""
    if library.theory.induction is None:
        return NAN
    wrong = 0
    for name in library.theorems:
        sequent = library.sequents[name]
        names = sequent.variables()
        # Small numbers too: a premise such as a * b = 1 is never met by large ones.
        scale = np.array([2, 4, 20, 10_000])[rng.integers(0, 4, config.spot_checks)]
        draws = rng.integers(0, scale[:, None] + 1, (config.spot_checks, len(names)))
        wrong += not all(_holds(sequent, dict(zip(names, map(int, values), strict=True))) for values in draws)
    return wrong


def _holds(sequent: Sequent, at: Mapping[str, int]) -> bool:
    def value(term: Term) -> int:
        return at[term] if isinstance(term, str) else FUNCTIONS[term[0]](*map(value, term[1:]))

    def truth(atom: Any) -> bool:
        return atom[0] != "false" and PREDICATES[atom[0]](*map(value, atom[1:]))

    return truth(sequent.conclusion) or not all(map(truth, sequent.premises))

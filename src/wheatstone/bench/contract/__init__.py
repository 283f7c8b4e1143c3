"""The contract: what every study must satisfy, as plain functions that a stranger can run on a study of their own.

A check takes a study and a folder, and raises `ContractFault` when the study breaks it. Checks that are given the same
folder share their smoke runs, so the whole contract costs about four of them. A check leaves alone what another one
reports: a study that cannot even be configured fails that check and no other.

Idea and form: scikit-learn's estimator checks (Buitinck et al., 2013, arXiv:1309.0238).
"""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from wheatstone.bench import registry
from wheatstone.bench.config import field_docs, from_json, to_json
from wheatstone.bench.contract.evidence import (
    artifact_numbers,
    difference,
    is_telling,
    seen,
    shown_numbers,
    steps,
    telling_numbers,
)
from wheatstone.bench.contract.refusal import faults_of_verb
from wheatstone.bench.contract.rehearsal import PRESET, Rehearsal, rehearse
from wheatstone.bench.contract.synthetic import just_past, repeated
from wheatstone.bench.errors import UserError
from wheatstone.bench.exhibit import to_json as exhibit_to_json
from wheatstone.bench.run import Run
from wheatstone.bench.study import Claim, Study
from wheatstone.bench.verdict import judge

Check = Callable[[Study[Any], Path], None]
DOC_PARTS = ("Source", "Idea", "Method", "Differs", "Falsified by")
SMOKE_SECONDS = 60.0
SMOKE_SEEDS = 2


class ContractFault(AssertionError):  # noqa: N818, the fault is the study's
    """A study breaks a check."""

    def __init__(self, study: str, check: str, text: str) -> None:
        super().__init__(f"{study} breaks {check}: {text}")
        self.study = study
        self.check = check
        self.text = text


def _check(faults: Callable[[Study[Any], Path], Iterator[str]]) -> Check:
    """A check from a function that yields what is wrong."""

    @functools.wraps(faults)
    def check(study: Study[Any], folder: Path) -> None:
        found = list(faults(study, folder))
        if found:
            raise ContractFault(study.name, faults.__name__, "\n".join(found))

    return check


# What can be said without running anything


@_check
def card_equals_its_literal(study: Study[Any], folder: Path) -> Iterator[str]:  # noqa: ARG001
    """What `list` reads from the source is what the study object says."""
    try:
        literal = registry.read_card(registry.source_file(study))
    except UserError:
        return
    if literal is not None and literal != study.card:
        yield f"the source says {literal}, the object {study.card}"
    if study.card.presets != tuple(study.presets):
        yield f"the card's presets are {study.card.presets}, the study's {tuple(study.presets)}"


@_check
def listed_without_import(study: Study[Any], folder: Path) -> Iterator[str]:  # noqa: ARG001
    """The card is a literal that a fresh interpreter reads without importing torch, numpy or the study."""
    script = """
import sys
from pathlib import Path
from wheatstone.bench.errors import UserError
from wheatstone.bench.registry import read_card
try:
    card = read_card(Path(sys.argv[1]))
except UserError as error:
    sys.exit(str(error))
if card is None:
    sys.exit(f"{sys.argv[1]}: no CARD = Card(...) at top level")
if heavy := sorted({"torch", "numpy"} & set(sys.modules)):
    sys.exit(f"{sys.argv[1]}: reading its card imports {heavy}")
"""
    command = [sys.executable, "-c", script, str(registry.source_file(study))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        yield done.stderr.strip()


@_check
def docstring_states_the_case(study: Study[Any], folder: Path) -> Iterator[str]:  # noqa: ARG001
    """The study's text has a title and says source, idea, method, where it differs, and what would falsify it."""
    if not study.doc.strip():
        yield "the study has no text; give it doc=__doc__"
        return
    for part in DOC_PARTS:
        if not re.search(rf"^\s*{part}\s+\S", study.doc, re.MULTILINE):
            yield f"the docstring has no line that starts with '{part}' and says it"


@_check
def config_round_trips(study: Study[Any], folder: Path) -> Iterator[str]:  # noqa: ARG001
    """The config is a frozen dataclass of explained scalars, and every preset's survives JSON exactly."""
    yield from _config_faults(study)


@_check
def arms_change_what_exists(study: Study[Any], folder: Path) -> Iterator[str]:  # noqa: ARG001
    """Arms change existing fields to values that the config accepts, in every preset, and presets run existing arms."""
    if not list(_config_faults(study)):
        yield from _arm_faults(study)


@_check
def claims_name_what_exists(study: Study[Any], folder: Path) -> Iterator[str]:  # noqa: ARG001
    """There is a claim, and each names arms and measures that exist, a source, and two different sides."""
    if not study.claims:
        yield "no claims: a study is a controlled experiment"
    names = [claim.name for claim in study.claims]
    yield from (f"two claims are called '{name}'" for name in {name for name in names if names.count(name) > 1})
    for claim in study.claims:
        yield from _claim_faults(study, claim)


@_check
def swapped_arms_flip_the_verdict(study: Study[Any], folder: Path) -> Iterator[str]:
    """Each claim can hold, and where it holds it fails once treatment and control are exchanged.

    Tried on made-up measures just past the margin and the bounds, and on what the smoke run measured.
    """
    rehearsal = _rehearsed(study, folder)
    findings = rehearsal.unbroken.findings if rehearsal else None
    for claim in study.claims:
        if list(_claim_faults(study, claim)):
            continue
        measures = just_past(claim)
        if measures is None or judge(claim, measures).outcome != "holds":
            yield f"claim '{claim.name}' can never hold: its bounds and requirements contradict its margin"
            continue
        trials = {"measures just past the margin": measures}
        if findings:
            trials["the measures of the smoke run"] = repeated(findings.measures)
        for place, values in trials.items():
            swapped = judge(claim.swapped(), values)
            if judge(claim, values).outcome == "holds" and swapped.outcome != "fails":
                yield f"claim '{claim.name}' on {place}: holds, and {swapped.outcome} with its arms swapped"


# What needs a smoke run


@_check
def smoke_writes_a_valid_run(study: Study[Any], folder: Path) -> Iterator[str]:
    """The smoke preset has two seeds at most, ends within a minute, and leaves findings, figures and a report."""
    rehearsal = _rehearsed(study, folder)
    if rehearsal is None:
        return
    if study.presets[PRESET].seeds > SMOKE_SEEDS:
        yield f"{study.presets[PRESET].seeds} seeds; smoke has {SMOKE_SEEDS} at most"
    attempt = rehearsal.unbroken
    if attempt.fault:
        yield attempt.fault
        return
    if attempt.seconds > SMOKE_SECONDS:
        yield f"took {attempt.seconds:.0f} s; smoke ends within {SMOKE_SECONDS:.0f} s"
    stored = Run.open(attempt.run.path).findings()
    if attempt.findings is None or stored is None or stored.decided() != attempt.findings.decided():
        yield "findings.json does not hold the findings"
    if rehearsal.report_fault:
        yield f"the report cannot be written: {rehearsal.report_fault}"
    elif not any((attempt.run.path / "figures").glob("*.png")):
        yield "no figures: exhibits(run) shows nothing that can be drawn"


@_check
def measures_are_declared(study: Study[Any], folder: Path) -> Iterator[str]:
    """Every trial returns every declared measure and no other, and every measure is explained."""
    yield from (
        f"measure '{name}' has no text that says what it is" for name, text in study.measures.items() if not text
    )
    rehearsal = _rehearsed(study, folder)
    if rehearsal is None:
        return
    for record in rehearsal.unbroken.run.records():
        measures = record.measures()
        if measures is None:
            continue
        yield from (f"{record.arm} does not return '{name}'" for name in study.measures if name not in measures)
        yield from (f"{record.arm} returns '{name}', undeclared" for name in measures if name not in study.measures)


@_check
def same_seed_same_findings(study: Study[Any], folder: Path) -> Iterator[str]:
    """The same run again, in another process and another engine, finds the same, bit for bit."""
    rehearsal = _rehearsed(study, folder)
    if rehearsal and rehearsal.unbroken.findings and not _is_repeatable(rehearsal):
        other = rehearsal.repeated
        yield other.fault or difference(rehearsal.unbroken.run, other.run) + (
            ". Draw everything from trial.rng(name) or trial.seed_for(name), and keep times out of the measures"
        )


@_check
def another_seed_differs(study: Study[Any], folder: Path) -> Iterator[str]:
    """Another seed gives other measures or other curves: the seed reaches the experiment."""
    rehearsal = _rehearsed(study, folder)
    if rehearsal is None or rehearsal.unbroken.findings is None:
        return
    other = rehearsal.reseeded
    if other.fault:
        yield other.fault
        return
    unbroken, first, seed = rehearsal.unbroken.run, rehearsal.unbroken.run.seeds[0], other.run.seeds[0]
    if all(seen(unbroken, arm, first) == seen(other.run, arm, seed) for arm in other.run.arms):
        yield f"seeds {first} and {seed} give the same measures and metrics in every arm"


@_check
def killed_and_resumed_is_unbroken(study: Study[Any], folder: Path) -> Iterator[str]:
    """A run whose trials were killed in the middle ends with the findings, and the logged steps, of an unbroken one."""
    rehearsal = _rehearsed(study, folder)
    if rehearsal is None or rehearsal.unbroken.findings is None or not _is_repeatable(rehearsal):
        return
    unbroken, resumed = rehearsal.unbroken, rehearsal.resumed
    if resumed.findings is None:
        yield resumed.fault
        return
    if resumed.findings.decided() != rehearsal.unbroken.findings.decided():
        yield difference(unbroken.run, resumed.run) + ". A checkpoint must hold the state of every random generator"
    for arm in resumed.run.arms:
        for seed in resumed.run.seeds:
            before, after = steps(unbroken.run, arm, seed), steps(resumed.run, arm, seed)
            if before != after:
                yield f"{arm}, seed {seed}: logs {len(after)} lines when killed and resumed, {len(before)} when not"


@_check
def report_numbers_come_from_the_run(study: Study[Any], folder: Path) -> Iterator[str]:
    """The exhibits are a function of the run directory, and when its numbers change so does every number shown."""
    rehearsal = _rehearsed(study, folder)
    if rehearsal is None or rehearsal.unbroken.findings is None or rehearsal.report_fault:
        return
    moved = rehearsal.moved
    if moved.fault:
        yield f"with slightly other numbers in the run directory: {moved.fault}"
        return
    if study.exhibits is not None:
        here, there = (
            [exhibit_to_json(item) for item in study.exhibits(run)]
            for run in (rehearsal.unbroken.run, rehearsal.copied)
        )
        if here != there:
            yield "the exhibits of a run and of its copy in another folder differ"
    old, new = telling_numbers(rehearsal.unbroken.run), telling_numbers(moved.run)
    only_measured = old - artifact_numbers(moved.run)
    shown_before, shown_after = shown_numbers(rehearsal.unbroken.run), shown_numbers(moved.run)
    for name, numbers in shown_after.items():
        if stale := sorted(numbers & (only_measured - new)):
            yield f"{name} shows {stale[0]!r}, which the run directory no longer holds"
        elif shown_before[name] & only_measured and not numbers & new:
            yield f"{name} showed measured numbers, and shows none after they have changed"
    for record in moved.run.records():
        for measure, value in (record.measures() or {}).items():
            if is_telling(value) and value not in shown_after["report.html"]:
                yield f"report.html does not show {measure} of {record.arm}, seed {record.seed}"


@_check
def broken_input_is_refused(study: Study[Any], folder: Path) -> Iterator[str]:
    """Each verb ends on its broken input with exit code 2, one message, no traceback, and no file left behind."""
    for verb in study.verbs:
        yield from (f"verb '{verb.name}': {fault}" for fault in faults_of_verb(study, verb, folder))


CHECKS: tuple[Check, ...] = (
    card_equals_its_literal,
    listed_without_import,
    docstring_states_the_case,
    config_round_trips,
    arms_change_what_exists,
    claims_name_what_exists,
    swapped_arms_flip_the_verdict,
    smoke_writes_a_valid_run,
    measures_are_declared,
    same_seed_same_findings,
    another_seed_differs,
    killed_and_resumed_is_unbroken,
    report_numbers_come_from_the_run,
    broken_input_is_refused,
)


# Parts of the checks


def _config_faults(study: Study[Any]) -> Iterator[str]:
    if not study.config.__dataclass_params__.frozen:
        yield f"{study.config.__name__} is not frozen: @dataclass(frozen=True)"
    yield from (f"field '{name}' has no text under it" for name, text in field_docs(study.config).items() if not text)
    if PRESET not in study.presets:
        yield f"no preset '{PRESET}'"
    for name, preset in study.presets.items():
        try:
            if from_json(study.config, json.loads(json.dumps(to_json(preset.config)))) != preset.config:
                yield f"preset '{name}' comes back from JSON as another config"
        except (TypeError, UserError) as error:
            yield f"preset '{name}': {error}"


def _arm_faults(study: Study[Any]) -> Iterator[str]:
    names = [arm.name for arm in study.arms]
    yield from (f"two arms are called '{name}'" for name in {name for name in names if names.count(name) > 1})
    for name, preset in study.presets.items():
        yield from (f"preset '{name}': there is no arm '{arm}'" for arm in preset.arms or () if arm not in names)
        for arm in study.arms:
            values = {**to_json(preset.config), **arm.changes}
            try:
                config = from_json(study.config, values)
            except UserError as error:
                yield f"arm '{arm.name}' of preset '{name}': {error}"
            else:
                if config != study.arm_config(preset.config, arm.name):
                    yield f"arm '{arm.name}' changes a field to a value of another type: {dict(arm.changes)}"


def _claim_faults(study: Study[Any], claim: Claim) -> Iterator[str]:
    yield from claim.faults()
    arms = {arm.name for arm in study.arms}
    sides = [(claim.treatment, claim.measure), (claim.control, claim.measure_of_control)]
    for arm, measure in sides + [(need.arm, need.measure) for need in claim.requires]:
        if arm not in arms:
            yield f"claim '{claim.name}': there is no arm '{arm}'"
        if measure not in study.measures:
            yield f"claim '{claim.name}': there is no measure '{measure}'"
    if not claim.source.strip():
        yield f"claim '{claim.name}': no source"


def _rehearsed(study: Study[Any], folder: Path) -> Rehearsal | None:
    """The shared smoke runs, None for a study that cannot be configured, which other checks report."""
    if list(_config_faults(study)) or list(_arm_faults(study)):
        return None
    return rehearse(study, folder)


def _is_repeatable(rehearsal: Rehearsal) -> bool:
    first, second = rehearsal.unbroken.findings, rehearsal.repeated.findings
    return first is not None and second is not None and first.decided() == second.decided()

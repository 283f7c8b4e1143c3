"""`wheatstone apply cot-mechanisms reason` and `trace`: chain of thought on a user's own facts."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from annotated_types import Ge, Gt, Lt

from wheatstone.bench.errors import UserError
from wheatstone.bench.run import Run
from wheatstone.bench.shown import say

if TYPE_CHECKING:
    from wheatstone.studies.neural.cot_mechanisms.trace import Stage

NAME = "cot-mechanisms"
ARMS = ("own_facts", "own_facts_no_cot")
SHOWN = 3
"""Questions of each test that are printed with what the model writes."""


def reason(
    facts: str,
    *,
    phi: Annotated[float, Ge(0)] = 0.0,
    noise: str = "none",
    steps: Annotated[int, Ge(1)] = 600,
    seeds: Annotated[int, Ge(1)] = 1,
    d_model: Annotated[int, Gt(0)] = 128,
    ood_share: Annotated[float, Ge(0), Lt(1)] = 0.15,
    control: bool = True,
    out: Path | None = None,
) -> int:
    """Train a model to write the bridge on your own facts, beside one that answers at once: ID and OOD accuracy.

    Args:
        facts: a file of triples (.tsv, .csv, .jsonl, .nt, also .gz) or the name of a graph (countries, umls, ...).
        phi: two-hop training questions for each fact; 0 takes all that the graph has.
        noise: wrong steps in training: none, or t, b or both with a share, as t:0.2.
        steps: optimiser steps.
        seeds: how many trainings, each with a split of its own.
        d_model: width of the transformer.
        ood_share: share of the facts that are kept out of all training chains; chains of two of them are the OOD test.
        control: also train without chain of thought, in the same steps.
        out: the run directory; runs/... named after the content when not given.
    """
    from wheatstone.bench.config import to_json, validate
    from wheatstone.bench.engine import InlineEngine, execute_run
    from wheatstone.bench.place import run_path
    from wheatstone.bench.progress import follow
    from wheatstone.bench.registry import load
    from wheatstone.domains.kg import catalogue
    from wheatstone.domains.steps import parse_noise
    from wheatstone.studies.neural.cot_mechanisms.config import Config
    from wheatstone.studies.neural.cot_mechanisms.experiment import FACTS, check_facts

    study = load(NAME)
    wrong, rate = parse_noise(noise)
    changes = {
        "phi": phi,
        "wrong": wrong,
        "noise": rate,
        "steps": steps,
        "d_model": d_model,
        "ood_share": ood_share,
        "test_share": 0.1,
    }
    config = validate(Config, to_json(study.presets["cpu"].config) | changes, f"{NAME} reason")
    path = catalogue.resolve(facts)
    split = check_facts(path, config)
    say(
        f"{split.n_entity:,} entities, {split.n_relation:,} relations, {len(split.atomic):,} facts; two-hop questions: "
        f"{len(split.train):,} train, {len(split.test_id):,} ID tests, {len(split.test_ood):,} OOD tests."
    )
    numbers, arms, inputs = range(seeds), ARMS if control else ARMS[:1], {FACTS: path}
    place = out or run_path(study, "cpu", config, numbers, arms, inputs)
    # One thread: a model of this size gains little from a second, and two that fight for a busy core lose twentyfold.
    run = Run.create(place, study, "cpu", config, numbers, arms, 1, inputs)
    with follow(run) as watch:
        execute_run(run, study, InlineEngine(), watch)
    print_outcome(run)
    return 0


def print_outcome(run: Run) -> None:
    """Accuracies of every trial with their intervals, some questions, and where to look."""
    from wheatstone.bench.verdict import share_interval

    width = max(map(len, run.arms))
    say("\nAnswers right, with the 95 % interval of so many questions (Wilson), and bridges right:")
    for record in run.records():
        found = record.measures() or {}
        for name, title in (("id", "ID"), ("ood", "OOD")):
            n, share = int(found[f"n_{name}"]), found[f"{name}_accuracy"]
            if not n:
                say(f"  {record.arm:<{width}}  seed {record.seed}  {title:<3}  no questions")
                continue
            low, _, high = share_interval(round(share * n), n)
            bridge = found[f"{name}_bridge"]
            steps = "" if bridge != bridge else f"  bridges {bridge:.3f}"
            say(
                f"  {record.arm:<{width}}  seed {record.seed}  {title:<3}  {share:.3f} [{low:.3f}, {high:.3f}] of {n:,}"
                f"{steps}"
            )
    first = run.trial(run.arms[0], run.seeds[0])
    say("\nWhat the model writes:")
    for pool in ("ID test", "OOD test"):
        for row in [row for row in first.artifact("samples") if row["pool"] == pool][:SHOWN]:
            say(f"  {pool}: {row['question']}  ->  {row['written']}   (right: {row['right']})")
    say(f"\nReport: {run.path / 'report.html'}")


def trace(
    run: Path,
    question: tyro.conf.Positional[str],
    *,
    arm: str | None = None,
    seed: int | None = None,
    as_json: bool = False,
) -> int:
    """Show both stages of a question: what the model reads and writes, and what each layer holds.

    Args:
        run: a run directory of this study, of `reason` say.
        question: a head and two relations, as "Germany | largest neighbour | capital".
        arm: which model of the run; its first one with chain of thought when not given.
        seed: which seed of the run; the first when not given.
        as_json: print JSON.
    """
    from wheatstone.bench.registry import load
    from wheatstone.domains.kg.questions import parse_question
    from wheatstone.studies.neural.cot_mechanisms.trace import load_reasoner

    made = Run.open(run)
    if made.study_name != NAME:
        raise UserError(f"{run}: holds a run of '{made.study_name}'. Make one: wheatstone apply {NAME} reason FACTS")
    record = made.trial(made.arms[0] if arm is None else arm, made.seeds[0] if seed is None else seed)
    reasoner = load_reasoner(record, record.config(load(NAME)))
    found = reasoner.trace(parse_question(question, reasoner.graph))
    if as_json:
        print(json.dumps(dataclasses.asdict(found), ensure_ascii=False, indent=2))
        return 0
    say(f"{found.question}  ->  {found.one.written.name}, {found.two.written.name}")
    print_stage("Stage one, the bridge", found.one)
    print_stage("Stage two, the answer", found.two)
    say(
        f"\nThe question {'was' if found.in_training else 'was not'} a training question; "
        f"the model {'then wrote the end' if found.ended else 'did not stop after the answer'}."
    )
    return 0


def print_stage(title: str, stage: Stage) -> None:
    """One stage in words: what it reads and writes, whether that is right, and what can be read on the way."""
    mark = "right" if stage.written.name == stage.right else f"wrong, the graph says {stage.right}"
    if stage.follows != stage.right:  # after a wrong bridge
        led = f"from {stage.read[-1]} it would be {stage.follows or 'nothing'}"
        mark += "; it follows from what was read" if stage.written.name == stage.follows else f"; {led}"
    say(f"\n{title}: reads {' | '.join(stage.read)}")
    say(f"  writes {stage.written.name}, probability {stage.written.probability:.3f} ({mark})")
    for reading in stage.readings:
        top = ", ".join(f"{token.name} {token.probability:.2f}" for token in reading.top)
        say(f"  after layer {reading.layer} at {reading.position:<2}: {top}")

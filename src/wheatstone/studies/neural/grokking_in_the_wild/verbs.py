"""`wheatstone grok`, `ask` and `circuit`: the study on a user's own knowledge graph."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro
from annotated_types import Ge

from wheatstone.bench.errors import UserError
from wheatstone.bench.record import TrialRecord
from wheatstone.bench.run import Run
from wheatstone.bench.shown import printable, say
from wheatstone.domains.kg import catalogue
from wheatstone.domains.kg.questions import parse_question
from wheatstone.studies.neural.grokking_in_the_wild.world import (
    FACTS,
    QUESTIONS,
    THRESHOLD,
    Config,
    World,
    build,
)

NAME = "grokking-in-the-wild"
ARMS = ("augmented", "plain")
SHOWN_RELATIONS = 12


def grok(
    facts: str,
    *,
    questions: Path | None = None,
    phi: float = 8.0,
    contexts: int = 8,
    heads: int = -1,
    steps: int = 1000,
    seeds: Annotated[int, Ge(1)] = 1,
    n_layer: int = 2,
    d_model: int = 128,
    inverse: bool = False,
    multi: str = "first",
    control: bool = True,
    jobs: int | None = None,
    out: Path | None = None,
    check_only: bool = False,
) -> int:
    """Train a transformer on a knowledge graph, augmented until it groks, beside the same run without augmentation.

    Run the same command again to go on with an interrupted run.

    Args:
        facts: a file of triples (.tsv, .csv, .jsonl, .nt, also .gz) or the name of a graph (countries, umls, ...).
        questions: two-hop questions to train on (.tsv: head, r1, r2[, answer]); all other real chains are the test.
        phi: chains for each fact that augmentation aims at.
        contexts: training chains that shall use each second-hop fact.
        heads: exactly so many synthetic heads; -1 as many as phi and contexts need.
        steps: optimiser steps.
        seeds: how many seeds; three or more give verdicts.
        n_layer: blocks of the transformer.
        d_model: width of the transformer.
        inverse: add the inverse of every relation.
        multi: a head with several tails in one relation: first (keep one), strict (drop them) or error.
        control: also train without augmentation, on the same budget.
        jobs: worker processes; one a core when not given.
        out: the run directory; runs/... named after the content when not given.
        check_only: print what the graph needs and stop.
    """
    from wheatstone.bench.config import validate
    from wheatstone.bench.engine import LocalEngine, execute_run, share_cores
    from wheatstone.bench.place import run_path
    from wheatstone.bench.progress import follow
    from wheatstone.bench.registry import load

    study = load(NAME)
    base = dataclasses.asdict(study.presets["cpu"].config)
    chosen: dict[str, Any] = {
        "phi": phi,
        "contexts": contexts,
        "heads": heads,
        "steps": steps,
        "n_layer": n_layer,
        "d_model": d_model,
        "inverse": inverse,
        "multi": multi,
    }
    if questions is not None:
        chosen["ood_share"] = 0.0
    cfg = validate(Config, base | chosen, "grok")
    inputs = {FACTS: catalogue.resolve(facts)}
    if questions is not None:
        inputs[QUESTIONS] = questions
    arms = ARMS if control else ARMS[:1]
    _print_feasibility(build(cfg, inputs, seed=0), cfg)
    if check_only:
        return 0
    numbers = tuple(range(seeds))
    path = out or run_path(study, "cpu", cfg, numbers, arms, inputs)
    threads = share_cores(len(arms) * seeds, jobs).threads
    run = Run.create(path, study, "cpu", cfg, numbers, arms, threads, inputs)
    with follow(run) as watch:
        execute_run(run, study, LocalEngine(jobs), watch)
    sys.stderr.flush()
    _print_outcome(run)
    return 0


def ask(
    run: Path,
    question: tyro.conf.Positional[str | None] = None,
    *,
    arm: str = ARMS[0],
    seed: int | None = None,
    as_json: bool = False,
) -> int:
    """Answer multi-hop questions from the weights of a trained model; without a question, each line of stdin is one.

    Args:
        run: the run directory that `grok` printed.
        question: a head and its relations, as "Germany | largest neighbour | capital".
        arm: which model of the run.
        seed: which seed of the run; the first when not given.
        as_json: print JSON.
    """
    from wheatstone.studies.neural.grokking_in_the_wild.knowledge import Answer, load_knowledge

    record, cfg = _trial(run, arm, seed)
    known = load_knowledge(record, cfg)

    def show(answer: Answer) -> None:
        if as_json:
            _print_json(dataclasses.asdict(answer) | {"right": answer.right})
            return
        say(f"{answer.question}  ->  {answer.answer}")
        for hop in answer.hops:
            say(f"  {' | '.join(hop.asked)}: {hop.answer}, probability {hop.probability:.3f}")
            if hop.bridge is not None:
                say(
                    f"    by way of {hop.bridge}, read at r1 after layer {hop.layer}, lens {hop.bridge_probability:.2f}"
                )
        check = "as in the graph" if answer.right else f"the graph says {answer.graph_says}"
        shown = "was a training question" if answer.in_training else "was not a training question"
        say(f"  {check}; the question {shown}")

    if question is not None:
        show(known.ask(parse_question(question, known.graph)))
        return 0
    for number, line in enumerate(sys.stdin, start=1):
        if not line.strip():
            continue
        try:
            show(known.ask(parse_question(line, known.graph, f"line {number}")))
        except UserError as error:  # one bad line of many must not end the conversation
            print(printable(str(error)), file=sys.stderr)
    return 0


def circuit(run: Path, *, arm: str = ARMS[0], seed: int | None = None, as_json: bool = False) -> int:
    """Show the circuit of a trained model: which state holds the bridge, and what reads it.

    Args:
        run: the run directory that `grok` printed.
        arm: which model of the run.
        seed: which seed of the run; the first when not given.
        as_json: print JSON.
    """
    from wheatstone.interp.circuit import Circuit
    from wheatstone.interp.pictures import layer_names

    record, _ = _trial(run, arm, seed)
    stored = record.artifact("circuit")
    if as_json:
        _print_json(stored)
        return 0
    found = Circuit.from_json(stored)
    say(f"Circuit of {arm}, seed {record.seed}: {found.structure} (n = {found.n} questions answered right)")
    names = layer_names(found.depth)
    for variable, layer in found.sites.items():
        place = f"after layer {layer}" if layer is not None else "in no single state"
        say(f"\nThe {variable} is held {place}. Share of answers that follow it when a state is exchanged:")
        _print_map(found.interchange.get(variable, []), found.labels, names)
    for corruption, values in found.effects.items():
        say(f"\nShare of answers that change when the state comes from a question with another {corruption}:")
        _print_map(values, found.labels, names)
    if found.edges:
        say("\nWhat reads what (share of answers that change):")
    for edge in found.edges:
        say(
            f"  {found.labels[edge.source]} -> {found.labels[edge.reader]} in block {edge.layer + 1}: {edge.effect:.2f}"
        )
    say(f"\nPictures: {Path(run) / 'report.html'}")
    return 0


def _trial(path: Path, arm: str, seed: int | None) -> tuple[TrialRecord, Config]:
    from wheatstone.bench.registry import load

    run = Run.open(path)
    if run.study_name != NAME:
        raise UserError(
            f"{path}: holds a run of '{run.study_name}', not of a knowledge graph. Make one: wheatstone grok"
        )
    record = run.trial(arm, run.seeds[0] if seed is None else seed)
    return record, record.config(load(NAME))


def _print_feasibility(world: World, cfg: Config) -> None:
    """What the graph has, what it lacks, and what augmentation adds: before any training."""
    from wheatstone.domains.kg.phi import phi_report

    before = phi_report(world.graph, world.real_train, threshold=THRESHOLD, target=cfg.phi)
    say(
        f"{before.n_entity:,} entities, {len(before.relations):,} relations, {before.n_fact:,} facts, "
        f"{before.n_chain:,} two-hop chains; {len(world.real_train):,} of them train, {len(world.test):,} test."
    )
    say(
        f"phi is {before.phi:.2f} chains for each fact, {before.reachable:.2f} with every real chain; "
        f"below {THRESHOLD} nothing generalises. Below it: {len(before.below)} of {len(before.relations)} relations."
    )
    for line in world.log[:SHOWN_RELATIONS]:
        say(f"  {line}")
    if len(world.log) > SHOWN_RELATIONS:
        say(f"  ... and {len(world.log) - SHOWN_RELATIONS} more lines, in the report")
    sys.stdout.flush()


def _print_outcome(run: Run) -> None:
    """Accuracies of every trial, sample answers, and where to look."""
    width = max(len(arm) for arm in run.arms)
    say("\nUnseen real questions answered, those whose answer is an entity, training questions, interchange accuracy:")
    for record in run.records():
        found = record.measures() or {}
        say(
            f"  {record.arm:<{width}}  seed {record.seed}: {found['real_accuracy']:.3f}  "
            f"entities {found['entity_accuracy']:.3f}  training {found['train_accuracy']:.3f}  "
            f"bridge exchanged {found['bridge_interchange']:.2f}"
        )
    first = run.trial(run.arms[0], run.seeds[0])
    say("\nA few of them, drawn at random:")
    for row in first.artifact("questions")[:5]:
        mark = "right" if row["answer"] == row["graph_says"] else f"wrong, the graph says {row['graph_says']}"
        say(f"  {row['question']}  ->  {row['answer']} (by way of {row['bridge_decoded']}; {mark})")
    example = first.artifact("questions")[0]["question"] if first.artifact("questions") else "head | r1 | r2"
    # Quoted for the shell: a name may hold what a shell would carry out.
    say(f"\nAsk it:       {shlex.join(['wheatstone', 'ask', str(run.path), example])}")
    say(f"Its circuit:  {shlex.join(['wheatstone', 'circuit', str(run.path)])}")
    say(f"Report:       {run.path / 'report.html'}")


def _print_map(values: list[list[float]], labels: tuple[str, ...], names: tuple[str, ...]) -> None:
    if not values:
        say("  nothing measured")
        return
    width = max(map(len, names))
    say(f"  {'':<{width}}  " + "  ".join(f"{label:>6}" for label in labels))
    for name, row in reversed(list(zip(names, values, strict=True))):
        say(f"  {name:<{width}}  " + "  ".join(f"{value:6.2f}" for value in row))


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))

"""`wheatstone apply ketgpt learn`, `generate` and `judge`: a generator of a user's own circuits, and judges of any."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt, Le

from wheatstone.bench.errors import Fault, InputError, UserError, did_you_mean
from wheatstone.bench.extras import need
from wheatstone.bench.run import Run
from wheatstone.bench.shown import say

if TYPE_CHECKING:
    import numpy as np

    from wheatstone.domains.quantum.corpus import Corpus, Limits
    from wheatstone.domains.quantum.program import Op, Program
    from wheatstone.studies.quantum.ketgpt.generator import Generator

NAME = "ketgpt"
ARMS = ("own", "own_matched")
FEWEST = 8
"""Circuits that can be learnt from."""
TABLE = "metrics.csv"


def learn(
    circuits: Path,
    *,
    steps: Annotated[int, Ge(1)] = 240,
    seeds: Annotated[int, Ge(1)] = 1,
    max_qubits: Annotated[int, Ge(2), Le(128)] = 24,
    max_words: Annotated[int, Ge(16)] = 320,
    d_model: Annotated[int, Gt(0)] = 128,
    relabelled: Annotated[float, Ge(0), Le(1)] = 0.0,
    held_out_families: Annotated[int, Ge(0)] | None = None,
    samples: Annotated[int, Ge(2)] = 200,
    control: bool = True,
    skip_bad: bool = False,
    out: Path | None = None,
) -> int:
    """Train a generator on a folder of your own OpenQASM files, and measure how real and how new its circuits are.

    Args:
        circuits: a folder of .qasm files (its folders, or names up to a digit, are families); or one file.
        steps: optimiser steps.
        seeds: how many trainings, each with a split of its own.
        max_qubits: circuits with more qubits are left out.
        max_words: circuits with more gates, operands and angles are left out.
        d_model: width of the transformer.
        relabelled: share of training copies whose qubits are renumbered at random.
        held_out_families: families that training does not see; a tenth of them when not given.
        samples: circuits that are made and measured.
        control: also measure random circuits with the same statements.
        skip_bad: leave out the files that cannot be read, instead of stopping at them.
        out: the run directory; runs/... named after the content when not given.
    """
    need("qiskit", extra="quantum", to=f"read {circuits.name}")
    from wheatstone.bench.config import to_json, validate
    from wheatstone.bench.engine import InlineEngine, execute_run
    from wheatstone.bench.files import write_atomically
    from wheatstone.bench.place import run_path
    from wheatstone.bench.progress import follow
    from wheatstone.bench.registry import load
    from wheatstone.domains.quantum.corpus import Limits, dumped, words
    from wheatstone.studies.quantum.ketgpt.config import Config
    from wheatstone.studies.quantum.ketgpt.experiment import OWN

    corpus, left_out = _read(circuits, Limits(max_qubits, max_words), skip_bad)
    for fault in left_out:
        say(f"left out  {fault}")
    if len(corpus.programs) < FEWEST:
        raise UserError(
            f"{circuits}: {len(corpus.programs)} different circuits up to {max_qubits} qubits and {max_words} words, "
            f"at least {FEWEST} are needed. Give more files, or raise --max-qubits and --max-words."
        )
    families = corpus.families()
    apart = len(families) // 10 if held_out_families is None else held_out_families
    study = load(NAME)
    changes = {
        "source": "own",
        "steps": steps,
        "max_qubits": max_qubits,
        "max_words": max_words,
        "d_model": d_model,
        "relabelled": relabelled,
        "held_out_families": apart,
        "samples": samples,
    }
    config = validate(Config, to_json(study.presets["cpu"].config) | changes, f"{NAME} learn")
    say(
        f"{len(corpus.programs):,} circuits of {len(families)} families, {sum(map(words, corpus.programs)):,} words; "
        f"left out: {corpus.dropped.too_long} empty or too long, {corpus.dropped.duplicates} equal to another."
    )
    numbers, arms = range(seeds), ARMS if control else ARMS[:1]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / OWN
        write_atomically(copy, dumped(corpus.programs))
        inputs = {OWN: copy}
        place = out or run_path(study, "cpu", config, numbers, arms, inputs)
        # One thread: a network of this size gains little from a second, and two that fight for a busy core lose much.
        run = Run.create(place, study, "cpu", config, numbers, arms, 1, inputs)
    with follow(run) as watch:
        execute_run(run, study, InlineEngine(), watch)
    _print_outcome(run)
    return 0


def _print_outcome(run: Run) -> None:
    width = max(map(len, run.arms))
    say("\nAUC: how well a judge tells these circuits from real ones (0.5 not at all, 1 always), and what is copied:")
    for record in run.records():
        found = record.measures() or {}
        free = found["loads_free"]
        say(
            f"  {record.arm:<{width}}  seed {record.seed}  AUC {found['auc']:.3f}  structure {found['structure']:.2f}  "
            f"copied runs {found['copied_words']:.2f}  copies {found['copied'] + found['copied_fixed']:.2f}  "
            f"valid {found['loads']:.0%}" + ("" if free != free else f" (without the grammar {free:.0%})")
        )
    say(f"\nReport: {run.path / 'report.html'}\nDraw circuits: wheatstone apply {NAME} generate {run.path} --qubits 8")


def generate(
    model: Path,
    *,
    qubits: Annotated[int, Ge(1)] = 8,
    family: str = "",
    count: Annotated[int, Ge(1)] = 100,
    out: Path = Path("circuits"),
    min_gates: Annotated[int, Ge(1)] = 1,
    max_gates: Annotated[int, Ge(1)] | None = None,
    temperature: Annotated[float, Gt(0)] = 1.0,
    top_k: Annotated[int, Ge(0)] = 5,
    top_p: Annotated[float, Gt(0), Le(1)] | None = None,
    first: Path | None = None,
    measure: bool = False,
    arm: str | None = None,
    seed: Annotated[int, Ge(0)] | None = None,
    draw_seed: int = 0,
) -> int:
    """Draw new circuits from a trained generator: OpenQASM 2 files, and a table of their metrics.

    Args:
        model: a run directory of this study (of `learn`, say), or a model.safetensors in one.
        qubits: size of the register.
        family: draw circuits like those of this family of the training set; of any when not given.
        count: circuits to draw.
        out: folder for the .qasm files and metrics.csv; it must be new or empty.
        min_gates: gates of a circuit, at least.
        max_gates: gates of a circuit, at most.
        temperature: below 1 more usual circuits, above 1 more unusual ones.
        top_k: draw from the so many most probable tokens only; 0 for all.
        top_p: draw from the most probable tokens that add up to this.
        first: an OpenQASM file whose gates every circuit begins with.
        measure: measure all qubits at the end.
        arm: which model of the run; its first one when not given.
        seed: which seed of the run; its first when not given.
        draw_seed: another number gives other circuits.
    """
    import torch

    from wheatstone.bench.files import write_atomically
    from wheatstone.bench.progress import follow_trials
    from wheatstone.bench.work import Task
    from wheatstone.domains.quantum.program import Program, text_of
    from wheatstone.learn.generation import Draw

    generator = _generator(model, arm, seed)
    _check(generator, qubits, min_gates, max_gates)
    if family and family not in generator.text.families:
        known = ", ".join(generator.text.families) or "none, it was trained without them"
        close = did_you_mean(family, generator.text.families)
        raise UserError(f"generate --family: '{family}' is unknown.{close} This model knows: {known}.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: exists and is not an empty folder. Name another with --out.")
    prefix = _first_gates(first, qubits) if first is not None else ()
    task = Task("circuits", 0)
    draw = Draw(torch.Generator().manual_seed(draw_seed), temperature, top_k or None, top_p)
    with follow_trials(f"drawing {count} circuits", 1, 0) as watch:
        watch.started(task)
        drawn = generator.drawn(
            [qubits] * count,
            draw,
            [family] * count if family else (),
            least=max(min_gates, len(prefix)),
            most=max_gates,
            prefix=prefix,
            note=lambda done, total: watch.progress(task, done, total, "circuits"),
        )
        watch.finished(task, {})
    programs = [Program(*one) for one in drawn]
    out.mkdir(parents=True, exist_ok=True)
    width = len(str(count))
    names = [f"circuit_{number:0{width}}.qasm" for number in range(1, count + 1)]
    for name, one in zip(names, programs, strict=True):
        write_atomically(out / name, text_of(one, measure=measure).encode())
    write_atomically(out / TABLE, _table(names, programs).encode())
    gates = sorted(len(one.ops) for one in programs)
    median = gates[count // 2]
    say(f"{out}: {count} circuits of {qubits} qubits, {gates[0]} to {gates[-1]} gates (median {median}), and {TABLE}")
    return 0


def judge(
    real: Path,
    candidates: Path,
    *,
    skip_bad: bool = False,
    max_qubits: Annotated[int, Ge(2), Le(128)] = 64,
    max_words: Annotated[int, Ge(16)] = 20_000,
) -> int:
    """Tell whether a folder of circuits can be told from a folder of real ones, and how much of it is copied.

    Args:
        real: a folder of OpenQASM files of real circuits.
        candidates: a folder of OpenQASM files to be judged.
        skip_bad: leave out the files that cannot be read, instead of stopping at them.
        max_qubits: circuits with more qubits are left out.
        max_words: circuits with more gates, operands and angles are left out.
    """
    need("qiskit", extra="quantum", to=f"read {real.name}")
    need("sklearn", extra="quantum", to="train judges")
    import numpy as np

    from wheatstone.domains.quantum.corpus import Limits
    from wheatstone.domains.quantum.judging import copied_share, nearest, two_sample
    from wheatstone.domains.quantum.structure import distances, table

    limits = Limits(max_qubits, max_words)
    sets = [_read(folder, limits, skip_bad) for folder in (real, candidates)]
    known, asked = (corpus.programs for corpus, _ in sets)
    for fault in (*sets[0][1], *sets[1][1]):
        say(f"left out  {fault}")
    if min(len(known), len(asked)) < FEWEST:
        raise UserError(
            f"{len(known)} different circuits in {real}, {len(asked)} in {candidates}; a judge needs {FEWEST} of both."
        )
    near = nearest(asked, known)
    by_family = len({one.family for one in known}) > 1
    groups = [one.family if by_family else one.name for one in known]
    rng: np.random.Generator = np.random.default_rng(0)
    verdicts = two_sample(known, groups, asked, [groups[one.place] for one in near], rng)
    apart = distances(table(known), table(asked))
    say(
        f"{len(known)} real, {len(asked)} candidates\n"
        f"AUC on unseen {'families' if by_family else 'circuits'}: {verdicts.auc():.3f} (0.5: cannot tell; 1: always)\n"
        f"structure: {np.mean(list(apart.values())):.2f} standard deviations; most apart: "
        + ", ".join(f"{name} {apart[name]:.2f}" for name in sorted(apart, key=apart.__getitem__)[:-4:-1])
        + f"\ncopied runs of 20 words: {copied_share(asked, known):.3f}; exactly like a real circuit: "
        f"{np.mean([one.distance == 0 for one in near]):.3f}; edits to the nearest: "
        f"{np.mean([one.distance for one in near]):.2f} of the gates"
    )
    return 0


def _read(folder: Path, limits: Limits, skip_bad: bool) -> tuple[Corpus, tuple[Fault, ...]]:
    """The circuits of a folder; the faults of its files, and what to do about them."""
    from wheatstone.domains.quantum.corpus import read_folder

    try:
        return read_folder(folder, limits, skip_bad=skip_bad)
    except InputError as fault:
        if folder.is_dir():
            raise UserError(f"{fault}\n--skip-bad leaves such files out.") from None
        raise


def _generator(model: Path, arm: str | None, seed: int | None) -> Generator:
    from wheatstone.studies.quantum.ketgpt.generator import MODEL, Generator

    if not model.is_dir():
        return Generator.load(model)
    run = Run.open(model)
    if run.study_name != NAME:
        raise UserError(f"{model}: holds a run of '{run.study_name}'. Make one: wheatstone apply {NAME} learn FOLDER")
    chosen = run.seeds[0] if seed is None else seed
    with_model = [name for name in run.arms if run.trial(name, run.seeds[0]).file(MODEL).is_file()]
    if arm is None and not with_model:
        raise UserError(f"{model}: no trained generator in it. Finish the run, or make one with `learn`.")
    return Generator.load(run.trial(with_model[0] if arm is None else arm, chosen).file(MODEL))


def _check(generator: Generator, qubits: int, least: int, most: int | None) -> None:
    known = generator.text.max_qubits
    if qubits > known:
        raise UserError(f"generate --qubits: got {qubits}; this model has seen at most {known}.")
    if most is not None and most < least:
        raise UserError(f"generate --max-gates: got {most}, must be at least --min-gates, {least}.")


def _first_gates(path: Path, qubits: int) -> tuple[Op, ...]:
    need("qiskit", extra="quantum", to=f"read {path.name}")
    from wheatstone.domains.quantum.circuit_text import snapped
    from wheatstone.domains.quantum.program import program_of
    from wheatstone.domains.quantum.qasm import read_circuit

    one = snapped(program_of(read_circuit(path)))
    if one.n > qubits:
        raise UserError(f"{path.name}: {one.n} qubits; the circuits that are asked for have {qubits}.")
    return one.ops


def _table(names: list[str], programs: list[Program]) -> str:
    from wheatstone.domains.quantum.structure import LOGARITHMS, METRICS, metrics

    text = io.StringIO()
    writer: Any = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "qubits", "gate_count", *(f"log2_{key}" if key in LOGARITHMS else key for key in METRICS)])
    for name, one in zip(names, programs, strict=True):
        found = metrics(one)
        writer.writerow([name, one.n, len(one.ops), *(f"{found[key]:.6g}" for key in METRICS)])
    return text.getvalue()

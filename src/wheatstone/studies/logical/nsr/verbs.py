"""`learn` and `explain`: the machine on a user's own pairs of sentences and answers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt

from wheatstone.bench.errors import UserError, did_you_mean
from wheatstone.studies.logical.nsr.config import Config

if TYPE_CHECKING:
    from wheatstone.bench.record import TrialRecord
    from wheatstone.studies.logical.nsr.learner import Machine

NAME = "nsr"
ARM = "own_examples"
SHOWN = 20
"""Examples without an explanation that are printed; all of them are in the report's run directory."""


def learn(
    examples: Path,
    arities: Path | None = None,
    test: Path | None = None,
    answers: Literal["auto", "lists", "numbers"] = "auto",
    rounds: Annotated[int, Ge(1)] = 60,
    seed: Annotated[int, Ge(0)] = 0,
    held_out: Annotated[float, Gt(0)] = 0.2,
    out: Path | None = None,
) -> None:
    """Learn your own language from pairs of sentences and answers, and print the programs of its words.

    Args:
        examples: a line is words, a tab, the answer: tokens, or one whole number. Short sentences are needed as well.
        arities: a JSON object word -> number of children; found from the examples when not given.
        test: pairs to ask afterwards; a share of the examples when not given.
        answers: whether answers are lists of tokens or whole numbers; auto looks.
        rounds: rounds of learning.
        seed: seed of the learning, and of the share that is kept out.
        held_out: share of the examples that is asked afterwards, when there is no test file.
        out: the run directory; named after its content when not given.
    """
    import numpy as np

    from wheatstone.bench.config import to_json, validate
    from wheatstone.bench.engine import InlineEngine, execute_run
    from wheatstone.bench.place import run_path
    from wheatstone.bench.progress import follow
    from wheatstone.bench.registry import load
    from wheatstone.bench.run import Run
    from wheatstone.bench.work import share_cores
    from wheatstone.studies.logical.nsr import userdata

    study = load(NAME)
    numbers = userdata.answers_are_numbers(examples, answers)
    base = study.presets["cpu"].config
    config = dataclasses.replace(base, task="own", rounds=rounds, held_out=held_out, numbers=numbers)
    config = validate(Config, to_json(config), f"{NAME} learn")
    userdata.own_task(examples, config, np.random.default_rng(0), arities=arities, test=test)  # refuses before writing
    inputs = {userdata.EXAMPLES: examples}
    inputs |= {name: path for name, path in ((userdata.ARITIES, arities), (userdata.TESTS, test)) if path is not None}
    path = out or run_path(study, "cpu", config, (seed,), (ARM,), inputs)
    run = Run.create(path, study, "cpu", config, (seed,), (ARM,), share_cores(1).threads, inputs)
    with follow(run) as watch:
        execute_run(run, study, InlineEngine(), watch)
    _print_outcome(run, seed)


def explain(run: Path, sentence: str, seed: Annotated[int, Ge(-1)] = -1, arm: str = "") -> None:
    """Show how a learnt machine reads a sentence: its tree, and the value and the program of each word.

    Args:
        run: the run directory that `learn` or `run` printed.
        sentence: its words, separated by blanks.
        seed: which seed of the run; -1 is the first.
        arm: which arm of the run; the first that learnt a machine when empty.
    """
    from wheatstone.bench.run import Run
    from wheatstone.studies.logical.nsr.experiment import readable
    from wheatstone.studies.logical.nsr.learner import symbols_of
    from wheatstone.studies.logical.nsr.semantics import Key

    opened = Run.open(run)
    if opened.study_name != NAME:
        raise UserError(f"{run}: holds a run of '{opened.study_name}', not of '{NAME}'")
    arms = [arm] if arm else list(opened.arms)
    records = [opened.trial(one, opened.seeds[0] if seed < 0 else seed) for one in arms]
    record = next((one for one in records if one.has("machine.safetensors")), records[0])
    machine = load_machine(record)
    words = sentence.split()
    if not words:
        raise UserError("sentence: empty. Give its words, separated by blanks.")
    unknown = [word for word in words if word not in machine.names]
    if unknown:
        raise UserError(f"sentence: '{unknown[0]}' was never learnt.{did_you_mean(unknown[0], machine.names)}")
    (tree,) = machine.trees([[machine.names.index(word) for word in words]])

    def show(node: int, depth: int) -> None:
        inputs = tree.inputs(node)
        key = Key(tree.symbols[node], len(inputs or ()))
        meaning = machine.semantics.meanings.get(key)
        program = "no meaning" if meaning is None else "seen, no program" if meaning.program is None else None
        rule = program or f"{symbols_of(key, machine.names)} = {meaning.program if meaning else ''}"
        print(f"{'  ' * depth}{words[node]}: {readable(tree.values[node])}    [{rule}]")
        for child in tree.children[node]:
            show(child, depth + 1)

    print(f"{sentence} -> {readable(tree.values[tree.root])}")
    show(tree.root, 1)


def load_machine(record: TrialRecord) -> Machine:
    """The machine that a trial stored. Raises UserError where there is none, or one that reads pictures."""
    from wheatstone.studies.logical.nsr.learner import Machine, Settings

    stored: dict[str, Any] = record.artifact("machine")
    tensors = record.tensors("machine")
    if any(name.startswith("perception.") for name in tensors):
        raise UserError(f"{record.path}: this machine reads pictures, not words. Choose another --arm.")
    values = record.values
    settings = Settings(width=int(values["width"] or 0), hidden=int(values["hidden"] or 0))
    machine = Machine(stored["names"], stored["given"], settings, record.seed, extra=stored["extra"])
    machine.load(tensors, stored["machine"])
    return machine


def _print_outcome(run: Any, seed: int) -> None:
    from wheatstone.studies.logical.nsr.experiment import readable
    from wheatstone.studies.logical.nsr.userdata import stored_task

    record: TrialRecord = run.trial(ARM, seed)
    measures = record.measures() or {}
    print("Meanings:")
    for row in record.artifact("programs"):
        variables = f"({', '.join('xyzw'[: row['arity']])})" if row["arity"] else ""
        note = "" if row["likelihood"] >= 0.95 else f"    uncertain ({row['likelihood']:.2f})"
        print(f"  {row['symbol']}{variables} = {row['program']}{note}")
    machine = load_machine(record)
    learnt = {row["symbol"] for row in record.artifact("programs")}
    if missing := [name for name in machine.names if name not in learnt]:
        print(f"Without a program: {', '.join(missing)}")
    task = stored_task(record, run)
    print(f"Right answers: {measures['accuracy']:.3f} of {len(task.tests['test'])} sentences kept out of training")
    number = {name: at for at, name in enumerate(machine.names)}
    pairs = list(dict.fromkeys((*task.pairs["train"], *task.pairs["test"])))
    trees = machine.trees([[number[word] for word in pair.source] for pair in pairs])
    wrong = [
        (pair, readable(tree.values[tree.root]))
        for pair, tree in zip(pairs, trees, strict=True)
        if readable(tree.values[tree.root]) != (" ".join(pair.target) or "[]")
    ]
    print(f"Examples that these programs do not explain: {len(wrong)} of {len(pairs)}")
    for pair, given in wrong[:SHOWN]:
        print(f"  {' '.join(pair.source)} -> {' '.join(pair.target) or '[]'}    the machine says {given}")
    if len(wrong) > SHOWN:
        print(f"  ... and {len(wrong) - SHOWN} more")
    print(f"Report: {run.path / 'report.html'}")
    print(f'How it reads a sentence: wheatstone apply {NAME} explain {run.path} "{" ".join(pairs[0].source)}"')

"""One trial: make the data, learn, ask, and compare trees and programs with the rules."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from wheatstone.bench.trial import Trial
from wheatstone.domains.programs.language import EMPTY, Inputs, Value
from wheatstone.domains.sequences import hint
from wheatstone.studies.logical.nsr.abduction import Tree
from wheatstone.studies.logical.nsr.baseline import run_baseline
from wheatstone.studies.logical.nsr.config import Config
from wheatstone.studies.logical.nsr.learner import Machine, Round, Sentence, Sentences, Settings
from wheatstone.studies.logical.nsr.perception import Perception
from wheatstone.studies.logical.nsr.semantics import Key
from wheatstone.studies.logical.nsr.tasks import Task, make_task
from wheatstone.studies.logical.nsr.userdata import ARITIES, EXAMPLES, TESTS, own_task

NAN = float("nan")
REACHED = 0.95
"""Accuracy from which a trial counts as having got there."""
SAVE_SECONDS = 15.0
WATCHED = 300
"""Questions of each test at an evaluation while learning, at most."""
SHOWN_TREES = 3

MEASURES = {
    "accuracy": "exactly right test answers [0, 1]; HINT symbols: mean of SL and LL; pictures: mean of I and SS",
    "validation_accuracy": "the same for unseen sentences of the training distribution [0, 1]",
    "head_accuracy": "test sentences whose tree is the one of the rule, symbols without value aside [0, 1]; NaN for "
    "the transformer and where there is no rule",
    "programs": "symbols whose learnt program gives the rule's values on probes [0, 1]; NaN for the transformer",
    "explained": "sentences of the last round with an explanation, deduced or abduced [0, 1]",
    "deduced": "sentences of the last round whose first tree gave the answer as it was [0, 1]",
    "missing": "test sentences to which the machine gives no value [0, 1]",
    "round_95": "first evaluated round with accuracy >= 0.95; rounds + 1 if never",
    "accuracy_i": "HINT: accuracy on seen expressions [0, 1]",
    "accuracy_ss": "HINT: on unseen short expressions with small values [0, 1]",
    "accuracy_sl": "HINT: on short expressions with large values [0, 1]",
    "accuracy_ls": "HINT: on long expressions with small values [0, 1]",
    "accuracy_ll": "HINT: on long expressions with large values [0, 1]",
    "perception_accuracy": "pictures that were not learnt from, seen as a symbol that mostly shows what they show "
    "[0, 1]; NaN where symbols are given",
    "without_vector": "accuracy with a random vector for the word that training shows only alone [0, 1]; NaN where the "
    "split is not about one",
}


def run(trial: Trial[Config]) -> Mapping[str, float]:
    """Learns one arm with one seed; goes on from the last checkpoint."""
    config = trial.config
    own = None
    if config.task == "own":
        given = trial.run.inputs
        own = own_task(
            trial.input(EXAMPLES),
            config,
            trial.rng("data"),
            arities=trial.input(ARITIES) if ARITIES in given else None,
            test=trial.input(TESTS) if TESTS in given else None,
        )
    task = make_task(config, trial.rng("data"), own)
    if config.learner == "transformer":
        right = run_baseline(trial, task)
        trial.write("by_length", _by_length(task, right))
        return {**dict.fromkeys(MEASURES, NAN), **_accuracies(task, right)}
    machine = make_machine(task, config, trial.seed_for("learner"))
    return _learn(trial, task, machine)


def make_machine(task: Task, config: Config, seed: int) -> Machine:
    """A machine that has learnt nothing yet."""
    settings = Settings(
        rounds=config.rounds,
        batch=config.batch,
        exploration=config.exploration,
        tries=config.tries,
        gate=config.gate,
        abduction=config.abduction,
        recursion=config.recursion,
        curriculum=config.curriculum,
        width=config.width,
        hidden=config.hidden,
        lr=config.lr,
    )
    perception = None
    if task.pictures is not None:
        shown, n_train = task.pictures.shown, task.pictures.n_train
        perception = Perception(shown, n_train, config.n_symbol, seed, taught=config.taught_perception)
    return Machine(task.names, task.arities, settings, seed, extra=task.extra, perception=perception)


def _learn(trial: Trial[Config], task: Task, machine: Machine) -> Mapping[str, float]:
    config = trial.config
    data = Sentences(task.train)
    watched = {name: some[:WATCHED] for name, some in task.tests.items() if name in (*task.main, "validation")}
    plan = {round((at + 1) * config.rounds / config.evaluations) for at in range(config.evaluations)}
    reached, last = config.rounds + 1, Round(0, NAN, NAN, 0, NAN)
    saved = trial.load_checkpoint()
    if saved is not None:
        machine.load(saved.tensors, saved.state["machine"])
        reached, last = saved.state["reached"], Round(*saved.state["last"])
    saved_at = time.monotonic()
    while machine.rounds < config.rounds:
        last = machine.round(data)
        at = machine.rounds
        trial.progress(at, config.rounds)
        if at in plan or at == config.rounds:
            share = {name: float(np.mean(_right(machine, some))) for name, some in watched.items()}
            accuracy = float(np.mean([share[name] for name in task.main]))
            reached = min(reached, at) if accuracy >= REACHED else reached
            trial.log(
                at,
                accuracy=accuracy,
                validation_accuracy=share["validation"],
                explained=last.explained,
                deduced=last.deduced,
                solved=last.solved,
                length=last.length,
            )
        if at in plan or time.monotonic() - saved_at > SAVE_SECONDS:
            trial.save_checkpoint(
                machine.tensors(), {"machine": machine.state(), "reached": reached, "last": list(last)}
            )
            saved_at = time.monotonic()
    trees = {name: machine.trees([one.symbols for one in some]) for name, some in task.tests.items()}
    right = {
        name: [tree.values[tree.root] == one.answer for tree, one in zip(trees[name], some, strict=True)]
        for name, some in task.tests.items()
    }
    asked = [tree for name in task.main for tree in trees[name]]
    trial.write("by_length", _by_length(task, right))
    trial.write("programs", program_rows(machine, task))
    trial.write("trees", [tree_rows(machine, tree) for tree in _shown(trees, right, task)])
    save_machine(trial, machine, task)
    return {
        **dict.fromkeys(MEASURES, NAN),
        **_accuracies(task, right),
        "head_accuracy": head_accuracy(task, trees),
        "programs": programs_right(machine, task),
        "explained": last.explained,
        "deduced": last.deduced,
        "missing": float(np.mean([tree.values[tree.root] is None for tree in asked])),
        "round_95": float(reached),
        "perception_accuracy": perception_accuracy(machine, task),
        "without_vector": _without_vector(trial, machine, task),
    }


def _right(machine: Machine, sentences: Sequence[Sentence]) -> list[bool]:
    trees = machine.trees([sentence.symbols for sentence in sentences])
    return [tree.values[tree.root] == one.answer for tree, one in zip(trees, sentences, strict=True)]


def _accuracies(task: Task, right: Mapping[str, Sequence[bool]]) -> dict[str, float]:
    share = {name: float(np.mean(some)) for name, some in right.items()}
    found = {
        "accuracy": float(np.mean([share[name] for name in task.main])),
        "validation_accuracy": share["validation"],
    }
    return found | {f"accuracy_{name.lower()}": share[name] for name in hint.TESTS if name in share}


def _by_length(task: Task, right: Mapping[str, Sequence[bool]]) -> list[dict[str, float]]:
    """Accuracy on the main tests by the number of words."""
    lengths = np.array([len(one.symbols) for name in task.main for one in task.tests[name]])
    found = np.array([hit for name in task.main for hit in right[name]])
    return [
        {"words": int(length), "n": int((lengths == length).sum()), "accuracy": float(found[lengths == length].mean())}
        for length in np.unique(lengths)
    ]


def head_accuracy(task: Task, trees: Mapping[str, Sequence[Tree]]) -> float:
    """Share of the main tests' sentences whose tree is the rule's, symbols without value aside."""
    if task.heads is None:
        return NAN
    hits: list[bool] = []
    for name in task.main:
        for pair, tree in zip(task.pairs[name], trees[name], strict=True):
            wanted = task.heads(pair.source)
            shown = [at for at in range(len(wanted)) if pair.source[at] not in "()"]
            hits.append(all(tree.heads[at] == wanted[at] for at in shown))
    return float(np.mean(hits))


def meaning_of(task: Task, machine: Machine, symbol: int) -> str | None:
    """The rule's name of a symbol: its own, or what most pictures that are seen as it show."""
    if task.pictures is None:
        return machine.names[symbol]
    assert machine.perception is not None
    seen = machine.perception.log_probabilities().argmax(1)[: task.pictures.n_train]
    labels = task.pictures.labels[: task.pictures.n_train][seen == symbol]
    return hint.SYMBOLS[int(np.bincount(labels).argmax())] if len(labels) else None


def program_agrees(machine: Machine, task: Task, key: Key) -> bool | None:
    """Whether a learnt program gives the rule's values on the probes; None for a symbol without a rule."""
    name = meaning_of(task, machine, key.symbol)
    reference = task.references.get(name) if name is not None else None
    if reference is None:
        return None
    if reference.arity != key.arity:
        return False
    for probe in task.probes:
        inputs: Inputs = probe[: key.arity]
        if machine.semantics.value(key, inputs) != reference.meaning(inputs):
            return False
    return True


def programs_right(machine: Machine, task: Task) -> float:
    """Share of the rule's symbols for which some learnt program agrees."""
    if not task.references:
        return NAN
    agreed = {
        meaning_of(task, machine, key.symbol)
        for key in machine.semantics.programs()
        if program_agrees(machine, task, key)
    }
    return len(agreed) / len(task.references)


def perception_accuracy(machine: Machine, task: Task) -> float:
    """Share of the pictures kept out of training that are seen as a symbol which mostly shows what they show."""
    if task.pictures is None or machine.perception is None:
        return NAN
    named = [meaning_of(task, machine, symbol) for symbol in range(len(machine.names))]
    seen = machine.perception.log_probabilities().argmax(1)[task.pictures.n_train :]
    labels = task.pictures.labels[task.pictures.n_train :]
    return float(np.mean([named[int(a)] == hint.SYMBOLS[int(b)] for a, b in zip(seen, labels, strict=True)]))


def _without_vector(trial: Trial[Config], machine: Machine, task: Task) -> float:
    if task.held_out is None:
        return NAN
    machine.parser.scramble(machine.names.index(task.held_out), trial.seed_for("scramble"))
    return float(np.mean(_right(machine, task.tests[task.main[0]])))


def program_rows(machine: Machine, task: Task) -> list[dict[str, Any]]:
    """Every program in use, readable, with its support and whether it agrees with the rule."""
    return [
        {
            "symbol": machine.names[key.symbol],
            "shows": meaning_of(task, machine, key.symbol) if task.pictures is not None else None,
            "arity": key.arity,
            "program": str(meaning.program),
            "likelihood": meaning.likelihood,
            "examples": len(meaning.trusted()),
            "agrees": program_agrees(machine, task, key),
        }
        for key, meaning in machine.semantics.programs().items()
    ]


def tree_rows(machine: Machine, tree: Tree) -> list[dict[str, Any]]:
    """One row a word: symbol, head and value."""
    return [
        {"word": machine.names[symbol], "head": tree.heads[at], "value": readable(tree.values[at])}
        for at, symbol in enumerate(tree.symbols)
    ]


def readable(value: Value | None) -> str:
    """A value as a reader sees it."""
    if value is None:
        return "?"
    if value == EMPTY:
        return "nothing"
    return str(value) if isinstance(value, int) else " ".join(cast("tuple[str, ...]", value)) or "[]"


def _shown(trees: Mapping[str, Sequence[Tree]], right: Mapping[str, Sequence[bool]], task: Task) -> list[Tree]:
    """A few trees of test sentences that fit a figure, right ones first."""
    some = [
        (not hit, len(tree.symbols), at, tree)
        for name in task.main
        for at, (tree, hit) in enumerate(zip(trees[name], right[name], strict=True))
        if 5 <= len(tree.symbols) <= 14
    ]
    some.sort(key=lambda item: (item[0], -item[1], item[2]))
    return [tree for *_, tree in some[:SHOWN_TREES]]


def save_machine(trial: Trial[Config], machine: Machine, task: Task) -> None:
    """What `explain` needs to go on from."""
    trial.save_tensors("machine", machine.tensors())
    state = {"names": machine.names, "given": machine.given, "extra": machine.extra, "machine": machine.state()}
    trial.write("machine", {**state, "heads_known": task.heads is not None})

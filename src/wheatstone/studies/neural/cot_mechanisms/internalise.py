"""Internalising: the bridge is written in fewer and fewer training questions, until the model answers at once.

After Deng, Choi, Shieber 2024, arXiv:2405.14838, who drop the tokens of the written steps a few at a time and start
the optimiser anew at each removal. Our chains have one token, so what grows is the share of the questions that have
lost it: 0 in the first stage, then 1/n, 2/n, ..., 1 over n more. Which questions are next is drawn once, so one that
has lost its bridge never gets it back. The facts stay as they are, and each stage takes the arm's steps.

The question is what survives: a model that writes bridges answers questions of facts that were in no training chain.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from wheatstone.bench.trial import Checkpoint, Trial
from wheatstone.domains.steps import Asked, Written, chain_questions, fact_questions, written
from wheatstone.learn.models.transformer import Transformer
from wheatstone.learn.sequences import Sequences
from wheatstone.learn.training import Fitted, Point
from wheatstone.studies.neural.cot_mechanisms.config import Config
from wheatstone.studies.neural.cot_mechanisms.experiment import Task, accuracies, measure, prepare


@dataclass
class Stage:
    """One stage's place in its trial: where `Training` leaves its traces, with the steps before it counted in."""

    trial: Trial[Config]
    number: int
    before: list[Point]
    """Evaluations of the stages before it, at steps of the whole."""
    saved: Checkpoint | None
    """What a stopped trial goes on from, if it was stopped in this stage."""
    steps: int = field(init=False)

    def __post_init__(self) -> None:
        self.steps = self.trial.config.fitting().steps

    def log(self, step: int, **values: float) -> None:
        """A line of metrics, at the step of the whole."""
        self.trial.log(self.number * self.steps + step, **values)

    def progress(self, done: int, total: int, note: str = "") -> None:  # noqa: ARG002, of the stage alone
        """How far the whole is."""
        dropped = f"{self.number / self.trial.config.stages:.0%} without bridge"
        self.trial.progress(self.number * self.steps + done, (self.trial.config.stages + 1) * self.steps, dropped)

    def save_checkpoint(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """The stage's own checkpoint, with what came before."""
        self.trial.save_checkpoint(tensors, {**state, "stage": self.number, "before": self.before})

    def load_checkpoint(self) -> Checkpoint | None:
        """What the stage goes on from."""
        return self.saved

    def shifted(self, history: tuple[Point, ...]) -> list[Point]:
        """Evaluations of this stage at the steps and seconds of the whole."""
        spent = self.before[-1].seconds if self.before else 0.0
        return [Point(self.number * self.steps + point.step, spent + point.seconds, point.values) for point in history]


def internalise(trial: Trial[Config]) -> Mapping[str, float]:
    """The measures of an arm with stages; goes on after a kill from where it was."""
    config, saved = trial.config, trial.load_checkpoint()
    prepared = prepare(trial)
    task, training = prepared.task, prepared.training
    order = trial.rng("dropped").random(len(task.split.train))
    first = 0 if saved is None else int(saved.state["stage"])
    points = [] if saved is None else [Point(*point) for point in saved.state["before"]]

    def evaluate(model: Transformer) -> dict[str, float]:
        return {**accuracies(model, task, config.form), **bridges_written(model, task)}

    for number in range(first, config.stages + 1):
        stage = Stage(trial, number, points, saved if number == first else None)
        fitted = dataclasses.replace(
            training,
            data=rows_of_stage(task, order < number / config.stages),
            order_seed=trial.seed_for(f"order-{number}") % 2**31,
            evaluate=evaluate,
            keeper=stage,
        ).fit()
        points = [*points, *stage.shifted(fitted.history)]
    each = config.fitting().steps
    at = {point.step: point.values for point in points}
    trial.write(
        "stages",
        [
            {"begins": number * each, "dropped": number / config.stages, **at[(number + 1) * each]}
            for number in range(config.stages + 1)
        ],
    )
    steps = (config.stages + 1) * each
    whole = Fitted(steps, points[-1].seconds, steps * config.batch, tuple(points))
    return measure(trial, prepared, whole)


def rows_of_stage(task: Task, dropped: npt.NDArray[np.bool_]) -> Sequences:
    """Every fact, and every two-hop training question, without its bridge where it is `dropped` [question]."""
    tokens, split = task.tokens, task.split
    questions, paths = chain_questions(split.train, tokens), task.noise.written
    groups = [Written(fact_questions(split.atomic, tokens), tokens.continuation(split.atomic[:, 2:], "direct"))]
    if dropped.any():
        groups.append(Written(questions[dropped], tokens.continuation(paths[dropped], "direct")))
    if not dropped.all():
        groups.append(Written(questions[~dropped], tokens.continuation(paths[~dropped], "cot")))
    return written(groups)


def bridges_written(model: Transformer, task: Task) -> dict[str, float]:
    """What the same model scores as one that writes bridges: whether the habit is still there."""

    def answered(pool: Asked) -> float:
        return pool.rates(model, "cot", task.tokens, task.table).answer

    return {"id_with_bridge": answered(task.test_id), "ood_with_bridge": answered(task.test_ood)}

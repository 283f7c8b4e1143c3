"""A study's trials as trainings: alone, or several at once (`Study.together`).

A study that trains one model a trial says how a trial is prepared and what is measured when it has been trained; the
two ways of running it follow. Whether training together pays is measured, on the models and the data at hand.
"""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch

from wheatstone.bench.parallel import place
from wheatstone.bench.study import Together
from wheatstone.bench.trial import Trial
from wheatstone.learn.models.transformer import Transformer
from wheatstone.learn.training import Fitted, Training, fit_together, shape

C = TypeVar("C")
STEPS = 4
"""Measured steps, after a first one that does not count."""


class Prepared(Protocol):
    """A trial with its data made and its model initialised."""

    @property
    def training(self) -> Training: ...


PreparedT = TypeVar("PreparedT", bound=Prepared)


@dataclass(frozen=True)
class Trained(Generic[C, PreparedT]):
    """A trial that is prepared, trained and measured."""

    prepare: Callable[[Trial[C]], PreparedT]
    measure: Callable[[Trial[C], PreparedT, Fitted], Mapping[str, float]]

    def run(self, trial: Trial[C]) -> Mapping[str, float]:
        """`Study.run`."""
        return self.run_together([trial])[0]

    def run_together(self, trials: Sequence[Trial[C]]) -> list[Mapping[str, float]]:
        """`Together.run`."""
        prepared = [self.prepare(trial) for trial in trials]
        fitted = fit_together([one.training for one in prepared])
        if not place().leads:
            return [{} for _ in trials]  # the leader measures
        return [self.measure(*parts) for parts in zip(trials, prepared, fitted, strict=True)]

    def gain(self, trials: Sequence[Trial[C]], workers: int) -> float:
        """`Together.gain`."""
        return gain([self.prepare(trial).training for trial in trials], workers)

    @property
    def together(self) -> Together[C]:
        return Together(self.run_together, self.gain)


def gain(trainings: Sequence[Training], workers: int) -> float:
    """Steps a second of the largest group of `trainings` that share a shape, over those of so many workers.

    The workers are taken to be as fast together as their number says, on a CPU; an accelerator does one thing at a
    time. 1 where there is nothing to stack.
    """
    by_shape: dict[object, list[Training]] = {}
    for training in trainings:
        if (key := shape(training)) is not None:
            by_shape.setdefault(key, []).append(training)
    group = max(by_shape.values(), key=len, default=[])
    if len(group) < 2:
        return 1.0
    on_cpu = next(group[0].model.parameters()).device.type == "cpu"
    threads = torch.get_num_threads()
    together = _seconds(group)
    torch.set_num_threads(max(1, threads // workers))
    try:
        alone = _seconds(group[:1])
    finally:
        torch.set_num_threads(threads)
    return len(group) * alone / (workers if on_cpu else 1) / together


def _seconds(group: Sequence[Training]) -> float:
    """Seconds of one step of all trainings of the group, on copies of the models; their first step does not count."""
    marks: list[float] = []

    def mark(_: Transformer) -> Mapping[str, float]:
        marks.append(time.perf_counter())
        return {}

    cfg = dataclasses.replace(group[0].cfg, steps=1 + STEPS, evaluations=2, stop_metric=None)
    copies = [Training(copy.deepcopy(one.model), one.data, cfg, one.order_seed) for one in group]
    copies[0] = dataclasses.replace(copies[0], evaluate=mark)
    fit_together(copies)
    return (marks[-1] - marks[0]) / STEPS

"""The replica engine: the trials of a run trained at once in one process, as one batched computation.

Small models leave an accelerator idle most of the time; n of them trained in the same kernels take little longer than
one. On a CPU that its trials keep busy there is nothing to gain, so `--engine auto` measures before it chooses.

A trial in company ends with what it would measure alone up to rounding, not bit for bit: `local` is the engine whose
findings repeat to the last digit.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wheatstone.bench.environment import usable_cores
from wheatstone.bench.errors import UserError
from wheatstone.bench.files import read_json, write_json
from wheatstone.bench.pool import LocalEngine, TrialsFailedError
from wheatstone.bench.trial import Trial
from wheatstone.bench.work import Assignment, Task, perform_together, torch_threads, unheard

if TYPE_CHECKING:
    from wheatstone.bench.study import Study

AT_ONCE = 16
"""Trials in one batch at most: memory grows with them, and beyond this the kernels are full."""
NOTE = "engine.json"
ENOUGH = 1.2
"""Measured gain from which replicas are chosen: below it the noise of the measurement would choose."""


class ReplicaEngine:
    """Trials of one run at once, in this process; the threads of all cores."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        """`at_once` is the number of trials in one batch at most."""
        self.at_once = at_once

    def execute(self, study: Study[Any], assignments: Sequence[Assignment]) -> None:
        """Performs all tasks. Trials that fail in company are tried alone.

        Raises UserError for a study that cannot train trials together, TrialsFailedError when some trials failed.
        """
        if study.together is None:
            raise UserError(
                f"{study.name}: its trials cannot be trained together as replicas. Leave out --engine replicas."
            )
        failures: dict[str, str] = {}
        with torch_threads(usable_cores()):
            for assignment in assignments:
                for first in range(0, len(assignment.tasks), self.at_once):
                    self._perform(study, assignment, assignment.tasks[first : first + self.at_once], failures)
        if failures:
            raise TrialsFailedError(study.name, failures)

    def _perform(
        self, study: Study[Any], assignment: Assignment, tasks: Sequence[Task], failures: dict[str, str]
    ) -> None:
        watch, run = assignment.watch, assignment.run
        reports = {task: functools.partial(watch.progress, task) for task in tasks}
        for task in tasks:
            watch.started(task)
        try:
            for task, measures in perform_together(run, study, reports).items():
                watch.finished(task, measures)
            return
        except UserError as error:
            fault = str(error)
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
        if len(tasks) == 1:
            failures[assignment.called(tasks[0])] = fault
            watch.failed(tasks[0], fault)
            return
        for task in tasks:
            watch.progress(task, 0, 1, f"failed in company ({fault}); trying it alone")
            self._perform(study, assignment, [task], failures)


class AutoEngine:
    """Replicas where they pay, else worker processes: measured on the first trials, on this machine.

    The choice stays in the run directory (engine.json) with what was measured, and a run that goes on stays with it.
    """

    def __init__(self, jobs: int | None = None) -> None:
        """`jobs` is the number of worker processes at most; None is one a usable core."""
        self.jobs = jobs

    def execute(self, study: Study[Any], assignments: Sequence[Assignment]) -> None:
        """Performs all tasks with the engine that is chosen for the first run, and notes the choice in each."""
        noted = _noted(assignments[0].run.path / NOTE)
        choice = noted or self._measured(study, assignments[0])
        for assignment in assignments:
            if not (assignment.run.path / NOTE).exists():
                write_json(assignment.run.path / NOTE, choice._asdict())
        engine = ReplicaEngine() if choice.engine == "replicas" else LocalEngine(self.jobs)
        engine.execute(study, assignments)

    def _measured(self, study: Study[Any], assignment: Assignment) -> Choice:
        run, batch = assignment.run, assignment.tasks[:AT_ONCE]
        workers = min(len(assignment.tasks), self.jobs or usable_cores())
        if study.together is None or len(batch) < 2:
            return Choice("local", None, len(batch), workers)
        records = (run.trial(*task) for task in batch)
        trials = [Trial(run, record, record.config(study), unheard) for record in records]
        with torch_threads(usable_cores()):
            gain = study.together.gain(trials, workers)
        name = "replicas" if gain >= ENOUGH else "local"
        for task in batch[:1]:
            assignment.watch.progress(task, 0, 1, f"{len(batch)} at once are {gain:.2f} times as fast: {name}")
        return Choice(name, round(gain, 3), len(batch), workers)


class Choice(NamedTuple):
    """What was measured, and chosen."""

    engine: str
    gain: float | None
    """Steps a second of the trials at once, over those of the workers; None where nothing could be measured."""
    at_once: int
    workers: int


def _noted(place: Path) -> Choice | None:
    """The choice of a run that goes on; None before it, or where the note cannot be read (it is then measured anew)."""
    try:
        return Choice(**read_json(place))
    except (FileNotFoundError, TypeError, ValueError):
        return None

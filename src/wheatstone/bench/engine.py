"""Engines: who performs the trials of a run, and where.

An engine gets the trials that have not finished and calls `work.perform` for each, in whatever place it likes:
`InlineEngine` in this process, `LocalEngine` in worker processes that share the machine's cores. A trial that was
interrupted goes on from its checkpoint, so an engine may die at any moment.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from wheatstone.bench.errors import UserError
from wheatstone.bench.files import sweep_stale, write_json
from wheatstone.bench.findings import Findings, collect
from wheatstone.bench.pool import LocalEngine, TrialsFailedError
from wheatstone.bench.trial import CHECKPOINT
from wheatstone.bench.work import Assignment, SilentWatcher, Task, Watcher, perform, share_cores, torch_threads

if TYPE_CHECKING:
    from wheatstone.bench.run import Run
    from wheatstone.bench.study import Study

__all__ = [
    "Assignment",
    "Engine",
    "InlineEngine",
    "LocalEngine",
    "SilentWatcher",
    "Task",
    "TrialsFailedError",
    "Watcher",
    "conclude",
    "execute_run",
    "perform",
    "share_cores",
    "unfinished",
]


class Engine(Protocol):
    """Performs trials."""

    def execute(self, study: Study[Any], assignments: Sequence[Assignment]) -> None:
        """Returns when all tasks of all runs have finished, in whatever order.

        Raises UserError when one cannot, after trying all the others.
        """
        ...


class InlineEngine:
    """One trial after the other in this process, for debugging: faults of the study come through as they are."""

    def execute(self, study: Study[Any], assignments: Sequence[Assignment]) -> None:
        """Stops at the first fault."""
        for run, tasks, watch, _ in assignments:
            with torch_threads(run.threads):
                for task in tasks:
                    watch.started(task)
                    try:
                        measures = perform(run, study, task, functools.partial(watch.progress, task))
                    except Exception as error:
                        watch.failed(task, str(error))
                        raise
                    watch.finished(task, measures)


def execute_run(
    run: Run, study: Study[Any], engine: Engine, watch: Watcher | None = None, *, report: bool = True
) -> Findings:
    """Performs the trials that have not finished, then writes findings.json, figures and report.html.

    Interrupted at any moment and called again, it ends with the same findings as if it had never been.

    Raises UserError when another process works on the directory, the study is not the run's, or a trial fails.
    """
    if study.name != run.study_name:
        raise UserError(f"{run.path}: holds a run of '{run.study_name}', not of '{study.name}'")
    with run.lock():
        if tasks := unfinished(run, study):
            engine.execute(study, [Assignment(run, tasks, watch or SilentWatcher())])
        return conclude(run, study, report=report)


def unfinished(run: Run, study: Study[Any]) -> list[Task]:
    """The trials that are left, after what killed processes left behind is swept away; the caller holds the run's lock.

    Raises UserError for settings that the study refuses in any arm.
    """
    sweep_stale(run.path, run.path / "inputs", run.path / "figures")
    for arm in run.arms:
        run.trial(arm, run.seeds[0]).config(study)
    tasks: list[Task] = []
    for record in run.records():
        if record.is_finished:  # and was killed, perhaps, before it had dropped its checkpoint
            (record.path / CHECKPOINT).unlink(missing_ok=True)
        else:
            tasks.append(Task(record.arm, record.seed))
    return tasks


def conclude(run: Run, study: Study[Any], *, report: bool) -> Findings:
    """Writes findings.json and, if asked for, figures and report.html; the caller holds the run's lock."""
    findings = collect(run, study)
    write_json(run.path / "findings.json", findings.to_json())
    if report:
        from wheatstone.bench.report import write_report

        write_report(run, study)
    return findings

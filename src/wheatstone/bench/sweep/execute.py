"""Performing a sweep: the trials of all points share one pool of workers, and each point ends as an ordinary run."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wheatstone.bench.engine import (
    Assignment,
    Engine,
    SilentWatcher,
    Task,
    TrialsFailedError,
    Watcher,
    conclude,
    unfinished,
)
from wheatstone.bench.errors import UserError
from wheatstone.bench.files import read_json, sweep_stale, write_json
from wheatstone.bench.findings import collect
from wheatstone.bench.sweep.findings import SweepFindings, collect_sweep

if TYPE_CHECKING:
    from wheatstone.bench.run import Run
    from wheatstone.bench.study import Study
    from wheatstone.bench.sweep.directory import Sweep

FINDINGS = "sweep_findings.json"


def execute_sweep(
    sweep: Sweep, study: Study[Any], engine: Engine, watch: Watcher | None = None, *, report: bool = True
) -> SweepFindings:
    """Performs the trials of all points that have not finished, then writes sweep_findings.json and the reports.

    Trials are handed out point by point, so points finish early, and no worker waits for the last trial of a point. A
    point's findings.json is written as soon as its last trial has finished. Interrupted at any moment and called again,
    it ends with the same findings as if it had never been. Where trials fail, the others go on and the report shows
    what there is; then TrialsFailedError is raised.

    Raises UserError when another process works on the directory or one of its points, or the study is not the sweep's.
    """
    if study.name != sweep.study_name:
        raise UserError(f"{sweep.path}: holds a sweep of '{sweep.study_name}', not of '{study.name}'")
    follower = watch or SilentWatcher()
    with sweep.lock(), contextlib.ExitStack() as locks:
        sweep_stale(sweep.path, sweep.path / "figures")
        runs: list[Run] = []
        assignments: list[Assignment] = []
        for point in sweep.grid.points():
            run = sweep.run(point, study)
            locks.enter_context(run.lock())
            runs.append(run)
            if tasks := unfinished(run, study):
                ending = _PointWatcher(follower, point.label, run, study, len(tasks))
                assignments.append(Assignment(run, tasks, ending, point.label))
        failure: TrialsFailedError | None = None
        try:
            if assignments:
                engine.execute(study, assignments)
        except TrialsFailedError as fault:
            failure = fault
        for run in runs:
            if not _is_concluded(run, study, report=report):
                conclude(run, study, report=report)
        found = collect_sweep(sweep, study)
        write_json(sweep.path / FINDINGS, found.to_json())
        if report:
            from wheatstone.bench.sweep.report import write_sweep_report

            write_sweep_report(sweep, study, found)
        if failure:
            raise failure
    return found


def _is_concluded(run: Run, study: Study[Any], *, report: bool) -> bool:
    """Whether findings and report are those of the trials: a sweep of hundreds of points goes on without a pause."""
    place, page = run.path / "findings.json", run.path / "report.html"
    try:
        stored = read_json(place)
    except (FileNotFoundError, UserError):
        return False
    is_current = stored == collect(run, study).to_json()
    return is_current and (not report or (page.exists() and page.stat().st_mtime_ns >= place.stat().st_mtime_ns))


class _PointWatcher:
    """Passes on what a point's trials do under the point's label, and writes its findings after the last of them."""

    def __init__(self, watch: Watcher, label: str, run: Run, study: Study[Any], left: int) -> None:
        self._watch = watch
        self._label = label
        self._run = run
        self._study = study
        self._left = left

    def started(self, task: Task) -> None:
        self._watch.started(labelled(self._label, task))

    def progress(self, task: Task, done: int, total: int, note: str) -> None:
        self._watch.progress(labelled(self._label, task), done, total, note)

    def finished(self, task: Task, measures: Mapping[str, float]) -> None:
        self._watch.finished(labelled(self._label, task), measures)
        self._left -= 1
        if not self._left:
            conclude(self._run, self._study, report=False)

    def failed(self, task: Task, message: str) -> None:
        self._watch.failed(labelled(self._label, task), message)


def labelled(label: str, task: Task) -> Task:
    """The trial as a watcher of all points sees it: its arm is named together with its point."""
    return Task(f"{label}, {task.arm}", task.seed)

"""One trial as a piece of work: what it is called, who watches it, and how it is performed in whatever process."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from wheatstone.bench.environment import usable_cores
from wheatstone.bench.files import disk_faults, hold, sweep_stale
from wheatstone.bench.trial import Report, Trial

if TYPE_CHECKING:
    from wheatstone.bench.run import Run
    from wheatstone.bench.study import Study

ORPHAN_PATIENCE = 10.0
"""Seconds that a trial waits for a worker whose parent was killed; the worker notices within milliseconds."""
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class Task(NamedTuple):
    """One trial to perform."""

    arm: str
    seed: int

    def __str__(self) -> str:
        return f"{self.arm}, seed {self.seed}"


class Watcher(Protocol):
    """Follows the trials of a run; called from the process and thread that called the engine.

    A trial whose worker died is tried once more: it is started once, and a progress note says what happened.
    """

    def started(self, task: Task) -> None:
        """The trial has been handed to a worker."""
        ...

    def progress(self, task: Task, done: int, total: int, note: str) -> None:
        """The trial has come so far, in its own unit; about five times a second at most."""
        ...

    def finished(self, task: Task, measures: Mapping[str, float]) -> None:
        """The trial's measures are stored."""
        ...

    def failed(self, task: Task, message: str) -> None:
        """The trial has stopped with a fault; the others go on, and the engine raises in the end."""
        ...


class SilentWatcher:
    """Watches without a word."""

    def started(self, task: Task) -> None: ...

    def progress(self, task: Task, done: int, total: int, note: str) -> None: ...

    def finished(self, task: Task, measures: Mapping[str, float]) -> None: ...

    def failed(self, task: Task, message: str) -> None: ...


def unheard(done: int, total: int, note: str) -> None:
    """A report of progress that nobody follows."""


class Assignment(NamedTuple):
    """What an engine is to do for one run: several share the engine's workers."""

    run: Run
    tasks: Sequence[Task]
    """The trials that have not finished."""
    watch: Watcher
    label: str = ""
    """Names the run in messages where several are executed together."""

    def called(self, task: Task) -> str:
        """'phi=9, plain, seed 0'; without the label where there is none."""
        return f"{self.label}, {task}" if self.label else str(task)


class Share(NamedTuple):
    """How trials share the machine's cores."""

    jobs: int
    """Worker processes."""
    threads: int
    """Threads of each."""


def share_cores(tasks: int, jobs: int | None = None) -> Share:
    """As many workers as there are tasks and usable cores, or `jobs` of them, and an equal share of cores for each."""
    cores = usable_cores()
    workers = max(1, min(tasks, jobs or cores))
    return Share(workers, max(1, cores // workers))


def perform(
    run: Run, study: Study[Any], task: Task, report: Report, trial_type: type[Trial[Any]] = Trial
) -> dict[str, float]:
    """Runs one trial in this process, from its checkpoint if it has one, and stores and returns its measures.

    Two processes can never be at the same trial: the second waits for the first to vanish, then gives up.

    Raises UserError for a held trial, a full disk or a refused config, and whatever the study's code raises.
    """
    with contextlib.ExitStack() as stack:
        trial = _begin(run, study, task, report, trial_type, stack)
        return trial.finish(study.run(trial), _device()) if isinstance(trial, Trial) else trial


def perform_together(run: Run, study: Study[Any], reports: Mapping[Task, Report]) -> dict[Task, dict[str, float]]:
    """Runs several trials at once in this process, as the study's `together` does; otherwise as `perform`."""
    assert study.together is not None
    with contextlib.ExitStack() as stack:
        begun = {task: _begin(run, study, task, report, Trial, stack) for task, report in reports.items()}
        trials = {task: trial for task, trial in begun.items() if isinstance(trial, Trial)}
        for trial in trials.values():
            trial.company = len(trials)
        measured = study.together.run(list(trials.values()))
        for (task, trial), measures in zip(trials.items(), measured, strict=True):
            begun[task] = trial.finish(measures, _device())
    return {task: stored for task, stored in begun.items() if not isinstance(stored, Trial)}


def _begin(
    run: Run, study: Study[Any], task: Task, report: Report, trial_type: type[Trial[Any]], stack: contextlib.ExitStack
) -> Trial[Any] | dict[str, float]:
    """The trial, held for as long as `stack` is open; its measures when it has finished already."""
    record = run.trial(task.arm, task.seed)
    with disk_faults(record.path):
        record.path.mkdir(parents=True, exist_ok=True)
    stack.enter_context(
        hold(record.path / "trial.lock", lambda holder: f"{record.path}: {holder} is at this trial", ORPHAN_PATIENCE)
    )
    if (stored := record.measures()) is not None:
        return stored
    sweep_stale(record.path, record.path / "artifacts")
    stack.enter_context(disk_faults(record.path))
    trial = trial_type(run, record, record.config(study), report)
    stack.callback(trial.close)
    return trial


@contextlib.contextmanager
def torch_threads(threads: int) -> Generator[None]:
    """Holds torch to this many threads, if the study has imported it."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _device() -> str:
    """The accelerator that this process has used, 'cpu' for none."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return torch.cuda.get_device_name()
    return "cpu"

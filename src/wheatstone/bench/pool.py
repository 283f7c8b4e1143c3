"""The local engine: persistent worker processes that take trials from a queue.

Each worker is `python -m wheatstone.bench.worker`, with its share of the cores set in the environment before any
numerical library starts. Tasks go in as JSON lines on its stdin, events come back as JSON lines on its stdout, and it
exits by itself when stdin closes, so however this process ends no worker is left behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import wheatstone
from wheatstone.bench import registry
from wheatstone.bench.environment import usable_cores
from wheatstone.bench.errors import SHOWN_FAULTS, UserError
from wheatstone.bench.files import disk_faults
from wheatstone.bench.record import numeric
from wheatstone.bench.work import THREAD_VARIABLES, Assignment, Task

if TYPE_CHECKING:
    from wheatstone.bench.run import Run
    from wheatstone.bench.study import Study

ATTEMPTS = 2
"""A worker that dies may have been killed for memory that is free by now; one that dies twice will die again."""
SHOWN_LINES = 6
CLOSING_SECONDS = 5.0


class TrialsFailedError(UserError):
    """Some trials could not be performed; the finished ones are kept."""

    def __init__(self, study_name: str, failures: Mapping[str, str]) -> None:
        """`failures`: trial, as 'plain, seed 0' -> what went wrong."""
        self.failures = dict(failures)
        lines = [f"{study_name} ({trial}): {message}" for trial, message in list(failures.items())[:SHOWN_FAULTS]]
        hidden = len(failures) - SHOWN_FAULTS
        super().__init__("\n".join(lines + ([f"... and {hidden} more trials"] if hidden > 0 else [])))


class Job(NamedTuple):
    """One trial of one of the runs."""

    assignment: Assignment
    task: Task

    @property
    def key(self) -> tuple[str, Task]:
        """What tells this trial from every other one."""
        return str(self.assignment.run.path), self.task


class LocalEngine:
    """Worker processes on this machine."""

    def __init__(self, jobs: int | None = None) -> None:
        """`jobs` is the number of workers at most; None is one a usable core."""
        self.jobs = jobs

    def execute(self, study: Study[Any], assignments: Sequence[Assignment]) -> None:
        """Performs all tasks. Raises TrialsFailedError when some of them failed, after all others have finished."""
        waiting = deque(Job(assignment, task) for assignment in assignments for task in assignment.tasks)
        attempts: Counter[tuple[str, Task]] = Counter()
        failures: dict[str, str] = {}
        with _crew(registry.origin(study)) as crew:
            jobs = min(len(waiting), self.jobs or usable_cores())
            while waiting or crew.busy():
                while waiting and len(crew.busy()) < jobs:
                    job = waiting.popleft()
                    attempts[job.key] += 1
                    if attempts[job.key] == 1:
                        job.assignment.watch.started(job.task)
                    crew.give(job)
                for worker, event in crew.events():
                    job = worker.job
                    if job is None:
                        continue
                    (run, _, watch, _), task = job
                    match event:
                        case {"event": "progress", "done": done, "total": total, "note": note}:
                            watch.progress(task, done, total, note)
                            continue
                        case {"event": "finished", "measures": measures}:
                            watch.finished(task, {name: numeric(value) for name, value in measures.items()})
                        case {"event": "failed", "message": message}:
                            failures[job.assignment.called(task)] = message
                            watch.failed(task, message)
                        case {"event": "died", "how": how} if attempts[job.key] < ATTEMPTS:
                            waiting.appendleft(job)
                            watch.progress(task, 0, 1, f"the worker {how}; trying again from the last checkpoint")
                        case {"event": "died", "how": how}:
                            logs = run.trial(task.arm, task.seed).path / "worker.log", run.path / "worker.log"
                            message = f"the worker {how}, {ATTEMPTS} times." + last_words(*logs)
                            failures[job.assignment.called(task)] = message
                            watch.failed(task, message)
                        case _:
                            continue
                    worker.job = None
        if failures:
            raise TrialsFailedError(study.name, failures)


def last_words(*logs: Path) -> str:
    """' Its last lines, from <log>:' and the lines, indented, of the first log that has any; else where to look."""
    for log in logs:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
        if shown := [f"    {line}" for line in lines if line.strip()][-SHOWN_LINES:]:
            return "\n".join([f" Its last lines, from {log}:", *shown])
    return f" It left nothing in {logs[0]}."


class Worker:
    """One worker process and the trial it is at."""

    def __init__(self, process: subprocess.Popen[bytes], threads: int) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self.threads = threads
        self.tasks = process.stdin
        self.replies = process.stdout
        self.job: Job | None = None
        self.unread = b""

    def read(self) -> list[dict[str, Any]]:
        """The events that have arrived, at least one; the last is 'died' when the process is gone."""
        chunk = os.read(self.replies.fileno(), 1 << 16)
        if not chunk:
            return [{"event": "died", "how": _how_it_ended(self.process.wait())}]
        *lines, self.unread = (self.unread + chunk).split(b"\n")
        return [json.loads(line) for line in lines]


class _Crew:
    """The workers of one call of the engine."""

    def __init__(self, origin: registry.Origin) -> None:
        self._origin = origin
        self._selector = selectors.DefaultSelector()
        self._workers: list[Worker] = []
        self._logs: set[Path] = set()

    def busy(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.job is not None]

    def give(self, job: Job) -> None:
        """Hands the trial to an idle worker with the threads of its run, or to a new one."""
        run = job.assignment.run
        idle = (worker for worker in self._workers if worker.job is None and worker.threads == run.threads)
        worker = next(idle, None) or self._hire(run)
        worker.job = job
        with contextlib.suppress(BrokenPipeError):  # it has died; its end of file says so
            worker.tasks.write(task_line(run.path, job.task))

    def events(self) -> Iterator[tuple[Worker, dict[str, Any]]]:
        """What the workers have to say, once at least one of them does."""
        for key, _ in self._selector.select():
            worker: Worker = key.data
            for event in worker.read():
                if event["event"] == "died":
                    self._dismiss(worker)
                yield worker, event

    def close(self) -> None:
        """Lets go of all workers and waits until they are gone."""
        for worker in self._workers:
            with contextlib.suppress(BrokenPipeError):
                worker.tasks.close()
        for worker in self._workers:
            try:
                worker.process.wait(CLOSING_SECONDS)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            worker.replies.close()
        self._selector.close()
        for log in self._logs:
            if log.exists() and log.stat().st_size == 0:
                log.unlink()

    def _hire(self, run: Run) -> Worker:
        self._logs.add(run.path / "worker.log")
        worker = Worker(start_worker(self._origin, run.path, run.threads), run.threads)
        self._workers.append(worker)
        self._selector.register(worker.replies, selectors.EVENT_READ, worker)
        return worker

    def _dismiss(self, worker: Worker) -> None:
        self._selector.unregister(worker.replies)
        self._workers.remove(worker)
        worker.replies.close()
        with contextlib.suppress(BrokenPipeError):
            worker.tasks.close()


@contextlib.contextmanager
def _crew(origin: registry.Origin) -> Generator[_Crew]:
    crew = _Crew(origin)
    try:
        yield crew
    finally:
        crew.close()


def task_line(run: Path, task: Task) -> bytes:
    """The line on a worker's stdin that asks for one trial of the run in that directory."""
    return json.dumps({"run": str(run), **task._asdict()}).encode() + b"\n"


def start_worker(origin: registry.Origin, run: Path, threads: int) -> subprocess.Popen[bytes]:
    """A worker process for a study, with pipes to its stdin and stdout; before its first trial it prints to a log.

    `run` is the directory of that log, and what a person sees of the worker in a list of processes.
    """
    log = run / "worker.log"
    with disk_faults(log), log.open("ab") as printed:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "wheatstone.bench.worker", str(run), *origin],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=printed,
            bufsize=0,
            env=worker_environment(threads),
            process_group=0,  # Ctrl-C is for this process alone, which then closes the workers' stdin
        )


def worker_environment(threads: int) -> dict[str, str]:
    """The workers' environment: their share of the cores, this very package, and no accidental randomness."""
    package = str(Path(wheatstone.__file__).parent.parent)
    known = os.environ.get("PYTHONPATH")
    return {
        # A training step frees and takes the same memory: glibc would hand it back to the system each time and pay
        # for some 7,000 page faults a step (measured: a tenth of a step on two busy cores).
        "MALLOC_MMAP_THRESHOLD_": str(32 << 20),  # glibc's largest
        "MALLOC_TRIM_THRESHOLD_": str(2_000_000_000),
        # Waiting threads sleep: two trials with two spinning threads each on two cores were 20 times slower.
        "OMP_WAIT_POLICY": "PASSIVE",
        **os.environ,
        **dict.fromkeys(THREAD_VARIABLES, str(threads)),
        "PYTHONPATH": os.pathsep.join([package, known] if known else [package]),
        "PYTHONHASHSEED": "0",  # the order of a set must not depend on the process
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # cuBLAS is deterministic only with a fixed workspace
    }


def _how_it_ended(code: int) -> str:
    """'was killed by SIGKILL (out of memory?)' or 'ended with exit code 3'."""
    if code >= 0:
        return f"ended with exit code {code}"
    hint = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-code).name}{hint}"

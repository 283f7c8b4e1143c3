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
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wheatstone
from wheatstone.bench import registry
from wheatstone.bench.environment import usable_cores
from wheatstone.bench.errors import SHOWN_FAULTS, UserError
from wheatstone.bench.files import disk_faults
from wheatstone.bench.record import numeric
from wheatstone.bench.work import THREAD_VARIABLES, Task, Watcher

if TYPE_CHECKING:
    from wheatstone.bench.run import Run
    from wheatstone.bench.study import Study

ATTEMPTS = 2
"""A worker that dies may have been killed for memory that is free by now; one that dies twice will die again."""
SHOWN_LINES = 6
CLOSING_SECONDS = 5.0


class TrialsFailedError(UserError):
    """Some trials could not be performed; the finished ones are kept."""

    def __init__(self, study_name: str, failures: dict[Task, str]) -> None:
        self.failures = failures
        lines = [f"{study_name} ({task}): {message}" for task, message in list(failures.items())[:SHOWN_FAULTS]]
        hidden = len(failures) - SHOWN_FAULTS
        super().__init__("\n".join(lines + ([f"... and {hidden} more trials"] if hidden > 0 else [])))


class LocalEngine:
    """Worker processes on this machine."""

    def __init__(self, jobs: int | None = None) -> None:
        """`jobs` is the number of workers at most; None is one a usable core."""
        self.jobs = jobs

    def execute(self, run: Run, study: Study[Any], tasks: Sequence[Task], watch: Watcher) -> None:
        """Performs all tasks. Raises TrialsFailedError when some of them failed, after all others have finished."""
        waiting = deque(tasks)
        attempts: Counter[Task] = Counter()
        failures: dict[Task, str] = {}
        with _crew(run, registry.origin(study)) as crew:
            jobs = min(len(tasks), self.jobs or usable_cores())
            while waiting or crew.busy():
                while waiting and len(crew.busy()) < jobs:
                    task = waiting.popleft()
                    attempts[task] += 1
                    if attempts[task] == 1:
                        watch.started(task)
                    crew.give(task)
                for worker, event in crew.events():
                    task = worker.task
                    if task is None:
                        continue
                    match event:
                        case {"event": "progress", "done": done, "total": total, "note": note}:
                            watch.progress(task, done, total, note)
                            continue
                        case {"event": "finished", "measures": measures}:
                            watch.finished(task, {name: numeric(value) for name, value in measures.items()})
                        case {"event": "failed", "message": message}:
                            failures[task] = message
                            watch.failed(task, message)
                        case {"event": "died", "how": how} if attempts[task] < ATTEMPTS:
                            waiting.appendleft(task)
                            watch.progress(task, 0, 1, f"the worker {how}; trying again from the last checkpoint")
                        case {"event": "died", "how": how}:
                            logs = run.trial(task.arm, task.seed).path / "worker.log", run.path / "worker.log"
                            failures[task] = f"the worker {how}, {ATTEMPTS} times." + last_words(*logs)
                            watch.failed(task, failures[task])
                        case _:
                            continue
                    worker.task = None
        if failures:
            raise TrialsFailedError(run.study_name, failures)


def last_words(*logs: Path) -> str:
    """' Its last lines, from <log>:' and the lines, indented, of the first log that has any; else where to look."""
    for log in logs:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
        if shown := [f"    {line}" for line in lines if line.strip()][-SHOWN_LINES:]:
            return "\n".join([f" Its last lines, from {log}:", *shown])
    return f" It left nothing in {logs[0]}."


class _Worker:
    """One worker process and the task it is at."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self.tasks = process.stdin
        self.replies = process.stdout
        self.task: Task | None = None
        self.unread = b""

    def read(self) -> list[dict[str, Any]]:
        """The events that have arrived, at least one; the last is 'died' when the process is gone."""
        chunk = os.read(self.replies.fileno(), 1 << 16)
        if not chunk:
            return [{"event": "died", "how": _how_it_ended(self.process.wait())}]
        *lines, self.unread = (self.unread + chunk).split(b"\n")
        return [json.loads(line) for line in lines]


class _Crew:
    """The workers of one run."""

    def __init__(self, run: Run, origin: registry.Origin) -> None:
        self._run = run
        self._origin = origin
        self._selector = selectors.DefaultSelector()
        self._workers: list[_Worker] = []
        self._log = run.path / "worker.log"

    def busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.task is not None]

    def give(self, task: Task) -> None:
        """Hands the task to an idle worker, or to a new one."""
        worker = next((worker for worker in self._workers if worker.task is None), None) or self._hire()
        worker.task = task
        with contextlib.suppress(BrokenPipeError):  # it has died; its end of file says so
            worker.tasks.write(json.dumps(task._asdict()).encode() + b"\n")

    def events(self) -> Iterator[tuple[_Worker, dict[str, Any]]]:
        """What the workers have to say, once at least one of them does."""
        for key, _ in self._selector.select():
            worker: _Worker = key.data
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
        if self._log.exists() and self._log.stat().st_size == 0:
            self._log.unlink()

    def _hire(self) -> _Worker:
        with disk_faults(self._log), self._log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "wheatstone.bench.worker", str(self._run.path), *self._origin],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                env=worker_environment(self._run.threads),
                process_group=0,  # Ctrl-C is for this process alone, which then closes the workers' stdin
            )
        worker = _Worker(process)
        self._workers.append(worker)
        self._selector.register(worker.replies, selectors.EVENT_READ, worker)
        return worker

    def _dismiss(self, worker: _Worker) -> None:
        self._selector.unregister(worker.replies)
        self._workers.remove(worker)
        worker.replies.close()
        with contextlib.suppress(BrokenPipeError):
            worker.tasks.close()


@contextlib.contextmanager
def _crew(run: Run, origin: registry.Origin) -> Generator[_Crew]:
    crew = _Crew(run, origin)
    try:
        yield crew
    finally:
        crew.close()


def worker_environment(threads: int) -> dict[str, str]:
    """The workers' environment: their share of the cores, this very package, and no accidental randomness."""
    package = str(Path(wheatstone.__file__).parent.parent)
    known = os.environ.get("PYTHONPATH")
    return {
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

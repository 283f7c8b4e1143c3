"""The Ray engine: trials as tasks of a Ray cluster, each in the same worker process that the local engine starts.

Method
    1  Every node that can take a trial proves that it sees the run directory (a token written here is read there, and
       the answer is read here), that file locks hold across nodes, and that it has the same versions and study.
    2  A task is plain text and numbers: run directory, arm, seed, threads, origin of the study. On its node it starts
       `wheatstone.bench.worker`, relays the worker's events as a stream, and ends with it.
    3  Ray never repeats a task by itself. A worker, a task or a node that dies is told to this process, which hands the
       trial out once more; it goes on from its last checkpoint. The new worker first waits for the trial's lock, so a
       node that only seemed to be dead never writes to a trial together with its successor.
    4  When this process ends, in whatever way, Ray ends its tasks; a worker whose task has gone exits at once, because
       its stdin closes.

Source  Moritz et al., OSDI 2018, arXiv:1712.05889 (Ray)
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import time
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wheatstone.bench import registry
from wheatstone.bench.errors import UserError
from wheatstone.bench.extras import need
from wheatstone.bench.files import hold
from wheatstone.bench.pool import (
    ATTEMPTS,
    CLOSING_SECONDS,
    Job,
    TrialsFailedError,
    Worker,
    last_words,
    start_worker,
    task_line,
)
from wheatstone.bench.ray_cluster import Cluster, check_nodes, cluster, wait_for
from wheatstone.bench.record import numeric
from wheatstone.bench.work import Assignment, Task

if TYPE_CHECKING:
    from wheatstone.bench.study import Study

RELAY_INTERVAL = 1.0
"""Seconds between two progress reports of one trial over the network: hundreds of trials report to one process."""
SUCCESSOR_PATIENCE = 120.0
"""Seconds that a trial waits for a worker on a node that was given up; Ray ends such a node within a minute."""
VISIBLE_SECONDS = 60.0
"""Seconds until a file that another node has written must be seen here; network file systems remember absences."""
LEAST_WINDOW = 64
"""Trials handed to Ray at once, at least: it sees that there is more to do, and an autoscaler can act on it."""


class RayEngine:
    """Worker processes on the nodes of a Ray cluster."""

    def __init__(self, address: str | None = None, jobs: int | None = None, gpus: float = 1.0) -> None:
        """`address` of a cluster, 'auto' for the one of this machine; None is RAY_ADDRESS, else a cluster of its own.

        `jobs` is the number of trials at once, at most; None is as many as there is room for. `gpus` is the share of a
        GPU that a trial reserves whose settings ask for an accelerator, on a cluster that has any.

        Raises UserError when Ray is not installed, or the address is one of Ray's client protocol.
        """
        need("ray", extra="scale", to="spread trials over a cluster")
        self.address = address or os.environ.get("RAY_ADDRESS") or "local"
        if self.address not in ("auto", "local") and not re.fullmatch(r"[^/]+:\d{1,5}", self.address):
            raise UserError(
                f"--address: got {self.address}, must be auto or host:port of a cluster that this machine is part of."
            )
        if not 0 < gpus <= 1:
            raise UserError(f"--gpus: got {gpus:g}, must be above 0 and at most 1 (share of a GPU for each trial).")
        self.jobs = jobs
        self.gpus = gpus

    def execute(self, study: Study[Any], assignments: Sequence[Assignment]) -> None:
        """Performs all tasks. Raises TrialsFailedError when some of them failed, after all others have finished.

        Raises UserError before any trial begins when the cluster cannot be reached, a node does not see the run
        directories or is not equal to this machine, or no node has the cores for a trial.
        """
        origin = registry.origin(study)
        runs = [assignment.run for assignment in assignments]
        folder = Path(os.path.commonpath([run.path.resolve() for run in runs]))
        threads = max(run.threads for run in runs)
        with cluster(self.address, threads, folder / "worker.log") as connected:
            check_nodes(connected, folder, origin, threads)
            failures = _Dispatch(connected, origin, assignments, self.jobs, self.gpus).perform()
        if failures:
            raise TrialsFailedError(study.name, failures)


@dataclass
class _Flight:
    """A trial that Ray has, and where it is."""

    job: Job
    node: str = "a node that did not answer"


class _Dispatch:
    """The trials of one call of the engine: who waits, who is under way, what went wrong."""

    def __init__(
        self,
        connected: Cluster,
        origin: registry.Origin,
        assignments: Sequence[Assignment],
        jobs: int | None,
        gpus: float,
    ) -> None:
        self._ray = connected.ray
        self._origin = origin
        self._waiting = deque(Job(assignment, task) for assignment in assignments for task in assignment.tasks)
        self._window = jobs or max(LEAST_WINDOW, 2 * round(connected.cores))
        self._gpus = gpus if connected.gpus else 0.0
        self._flights: dict[Any, _Flight] = {}
        self._attempts: Counter[tuple[str, Task]] = Counter()
        self._begun: set[tuple[str, Task]] = set()
        self._failures: dict[str, str] = {}
        # By reference and without retries: a repetition that this process does not know of could write beside another.
        self._relay = connected.ray.remote(max_retries=0)(relay)

    def perform(self) -> dict[str, str]:
        """Trial -> what went wrong, once all have ended. On an interrupt it takes back what it has handed out."""
        try:
            while self._waiting or self._flights:
                while self._waiting and len(self._flights) < self._window:
                    self._submit(self._waiting.popleft())
                ready, _ = self._ray.wait(list(self._flights), num_returns=1, timeout=1.0, fetch_local=False)
                for stream in ready:
                    self._hear(stream, self._next(stream))
        except BaseException:
            for stream in self._flights:
                with contextlib.suppress(Exception):  # the first fault is the one to tell
                    self._ray.cancel(stream, force=True)
            raise
        return self._failures

    def _submit(self, job: Job) -> None:
        run, task = job.assignment.run, job.task
        self._attempts[job.key] += 1
        wants_gpu = run.trial(task.arm, task.seed).values.get("accelerator") is True
        resources = {"num_cpus": run.threads, "num_gpus": self._gpus if wants_gpu else 0}
        place = str(run.path.resolve())
        stream = self._relay.options(num_returns="streaming", **resources).remote(
            place, task.arm, task.seed, run.threads, *self._origin
        )
        self._flights[stream] = _Flight(job)

    def _next(self, stream: Any) -> dict[str, Any]:
        """The next event of a trial; what Ray itself has to say becomes one of the worker's own."""
        from ray.exceptions import RayError, RayTaskError

        try:
            return self._ray.get(next(stream))
        except StopIteration:
            return {"event": "died", "how": "ended without a result"}
        except RayTaskError as fault:
            return {"event": "failed", "message": str(fault).strip().splitlines()[-1]}
        except RayError as fault:
            lost = f"was lost with its Ray worker on {self._flights[stream].node} ({type(fault).__name__})"
            return {"event": "died", "how": lost}

    def _hear(self, stream: Any, event: dict[str, Any]) -> None:
        flight = self._flights[stream]
        job, attempts = flight.job, self._attempts[flight.job.key]
        (run, _, watch, _), task = job
        record = run.trial(task.arm, task.seed)
        if job.key not in self._begun:  # a task may be lost before it has said a word
            self._begun.add(job.key)
            watch.started(task)
        match event:
            case {"event": "began", "node": node}:
                flight.node = node
                return
            case {"event": "progress", "done": done, "total": total, "note": note}:
                watch.progress(task, done, total, note)
                return
            case {"event": "finished", "measures": measures}:
                if wait_for(record.path / "measures.json", VISIBLE_SECONDS):
                    watch.finished(task, {name: numeric(value) for name, value in measures.items()})
                else:
                    self._fail(job, f"finished on {flight.node}, but its measures.json cannot be seen from here.")
            case {"event": "died", "how": how} if attempts < ATTEMPTS:
                self._waiting.appendleft(job)
                watch.progress(task, 0, 1, f"the worker {how}; trying again from the last checkpoint")
            case {"event": "died", "how": how}:
                logs = record.path / "worker.log", run.path / "worker.log"
                self._fail(job, f"the worker {how}, {ATTEMPTS} times." + last_words(*logs))
            case _:
                self._fail(job, str(event.get("message")))
        del self._flights[stream]

    def _fail(self, job: Job, message: str) -> None:
        self._failures[job.assignment.called(job.task)] = message
        job.assignment.watch.failed(job.task, message)


def relay(run: str, arm: str, seed: int, threads: int, place: str, attribute: str) -> Iterator[dict[str, Any]]:
    """The Ray task: performs one trial in a worker process on this node and yields its events as they come.

    The first is {'event': 'began', 'node': name}; the last says that the trial has finished or failed, or that the
    worker has died.
    """
    node, path, task = socket.gethostname(), Path(run), Task(arm, seed)
    yield {"event": "began", "node": node}
    if not (path / "run.json").exists():  # a node that has joined since the others were asked
        yield {"event": "failed", "message": f"{path}: cannot be seen from the node {node}."}
        return
    try:
        wait_for_predecessor(path / "arms" / arm / f"seed-{seed}")
        with _worker(registry.Origin(place, attribute), path, threads) as worker:
            with contextlib.suppress(BrokenPipeError):  # it has died; its end of file says so
                worker.tasks.write(task_line(path, task))
            yield from _thinned(worker)
    except UserError as fault:
        yield {"event": "failed", "message": str(fault)}


def wait_for_predecessor(trial: Path, patience: float = SUCCESSOR_PATIENCE) -> None:
    """Returns when no worker is at the trial any more. Raises UserError when one still is after `patience` seconds."""
    if trial.exists():
        with hold(trial / "trial.lock", lambda holder: f"{trial}: {holder} is still at this trial", patience):
            pass


@contextlib.contextmanager
def _worker(origin: registry.Origin, run: Path, threads: int) -> Generator[Worker]:
    worker = Worker(start_worker(origin, run, threads), threads)
    try:
        yield worker
    finally:
        with contextlib.suppress(BrokenPipeError):
            worker.tasks.close()
        try:
            worker.process.wait(CLOSING_SECONDS)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
        worker.replies.close()


def _thinned(worker: Worker) -> Iterator[dict[str, Any]]:
    """The worker's events up to its last, with at most one progress report in `RELAY_INTERVAL` and the final one."""
    said_at = -RELAY_INTERVAL
    while True:
        for event in worker.read():
            if event["event"] == "progress":
                now = time.monotonic()
                if now - said_at < RELAY_INTERVAL and event["done"] < event["total"]:
                    continue
                said_at = now
                yield event
            else:
                yield event
                return

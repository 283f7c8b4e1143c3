"""A worker process of the local engine: `python -m wheatstone.bench.worker RUN_DIR PLACE ATTRIBUTE`.

Tasks arrive as JSON lines on stdin, each with its run directory (RUN_DIR is only the first one, to be seen in a list of
processes), events leave as JSON lines on what was stdout. Whatever the study prints goes to
the trial's worker.log, so it cannot corrupt the protocol. When stdin ends the process exits at once, in the middle of
whatever it does: its parent is gone, and everything it writes survives a kill.
"""

from __future__ import annotations

import faulthandler
import json
import os
import queue
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from wheatstone.bench.errors import UserError
from wheatstone.bench.files import disk_faults, plain
from wheatstone.bench.pool import last_words
from wheatstone.bench.registry import Origin
from wheatstone.bench.run import Run
from wheatstone.bench.work import Task, perform, torch_threads


def main() -> None:
    """Performs tasks until stdin ends."""
    _, *place = sys.argv[1:]
    channel = _Channel(tasks=os.dup(0), events=os.dup(1))  # private copies: a study's child processes get neither
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    origin = Origin(*place)
    while True:
        _attempt(origin, channel.take(), channel)


class _Order(NamedTuple):
    """What one line on stdin asks for."""

    run: Path
    task: Task


class _Channel:
    """The two pipes to the parent."""

    def __init__(self, tasks: int, events: int) -> None:
        self._events = events
        self._sending = threading.Lock()
        self._inbox: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        threading.Thread(target=self._listen, args=(tasks,), daemon=True).start()

    def take(self) -> _Order:
        """The next trial to perform; waits for it."""
        return self._inbox.get()

    def send(self, **event: Any) -> None:
        """Tells the parent, or exits when it is gone."""
        data = json.dumps(plain(event)).encode() + b"\n"
        try:
            with self._sending:
                while data:
                    data = data[os.write(self._events, data) :]
        except BrokenPipeError:
            os._exit(0)

    def _listen(self, tasks: int) -> None:
        with os.fdopen(tasks, "rb") as lines:
            for line in lines:
                order = json.loads(line)
                self._inbox.put(_Order(Path(order.pop("run")), Task(**order)))
        os._exit(0)


def _attempt(origin: Origin, order: _Order, channel: _Channel) -> None:
    """Performs one trial and says how it went. The study is imported here, so that its faults are the trial's."""
    try:
        run, task = Run.open(order.run), order.task
        log = run.trial(task.arm, task.seed).path / "worker.log"
    except UserError as error:
        return channel.send(event="failed", message=str(error))
    try:
        with disk_faults(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            _redirect_output(log)
        study = origin.load()
        with torch_threads(run.threads):
            measures = perform(
                run,
                study,
                task,
                lambda done, total, note: channel.send(event="progress", done=done, total=total, note=note),
            )
    except UserError as error:
        channel.send(event="failed", message=str(error))
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        sys.stderr.flush()
        channel.send(event="failed", message=f"{type(error).__name__}: {error}." + last_words(log))
    else:
        channel.send(event="finished", measures=measures)


def _redirect_output(log: Path) -> None:
    """From now on everything this process prints, also from C code, goes to `log`."""
    sys.stdout.flush()
    sys.stderr.flush()
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    sys.stdout.reconfigure(line_buffering=True)  # pyright: ignore[reportAttributeAccessIssue]


if __name__ == "__main__":
    main()

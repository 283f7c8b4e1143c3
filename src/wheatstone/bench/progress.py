"""What a person sees while a run runs: its directory, a bar for each running trial, rate and time left.

On a terminal the bars move (rich), with fewer columns where it is narrow. In a Jupyter notebook one table of bars is
drawn again in place. Into a file, a pipe, a dumb terminal or the log of a CI job go plain lines, one every few seconds,
without control codes. Everything goes to stderr, so that stdout keeps only the answer of a command.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, TextIO

from wheatstone.bench.work import Task, Watcher

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from wheatstone.bench.run import Run

PLAIN_INTERVAL = 10.0
"""Seconds between two plain lines."""
NOTEBOOK_INTERVAL = 0.5
"""Seconds between two drawings in a notebook: each is sent to the reader's browser and kept by it."""
WIDE = 76
"""Columns of a terminal that has room for rate and notes beside a bar."""


@dataclass
class Pace:
    """How fast one trial goes, since this process first heard of it: it may have gone on from a checkpoint."""

    started: float
    first: int | None = None
    done: int = 0
    total: int = 1
    note: str = ""

    def update(self, done: int, total: int, note: str, now: float) -> None:
        """Takes a report of the trial."""
        if self.first is None or done < self.first:
            self.first, self.started = done, now
        self.done, self.total, self.note = done, max(total, 1), note

    @property
    def share(self) -> float:
        return min(1.0, self.done / self.total)

    def rate(self, now: float) -> float:
        """Units a second; 0 before anything can be said."""
        seconds = now - self.started
        return (self.done - (self.first or 0)) / seconds if seconds > 0.5 else 0.0


@dataclass
class Tally:
    """All trials of a run together."""

    total: int
    finished: int
    started: float
    before: float
    """Trials and shares of trials that were done when this process began."""
    running: dict[Task, Pace] = field(default_factory=dict[Task, Pace])

    @property
    def done(self) -> float:
        return self.finished + sum(pace.share for pace in self.running.values())

    def heard(self, task: Task, done: int, total: int, note: str, now: float) -> Pace:
        """Takes a report of one trial; what it had done before this process does not count for the pace."""
        pace = self.running.setdefault(task, Pace(now))
        is_first = pace.first is None
        pace.update(done, total, note, now)
        if is_first:
            self.before += pace.share
        return pace

    def seconds_left(self, now: float) -> float | None:
        """Estimated from the whole run's pace so far; None before anything can be said."""
        gained, seconds = self.done - self.before, now - self.started
        return (self.total - self.done) * seconds / gained if gained > 0.002 and seconds > 1 else None


def clock(seconds: float | None) -> str:
    """'0:42', '3:05', '2:10:00'; '-:--' when unknown."""
    if seconds is None:
        return "-:--"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def rate_text(rate: float) -> str:
    """'113/s', or '0.4/s' below 10."""
    return "" if rate <= 0 else f"{rate:.1f}/s" if rate < 10 else f"{rate:.0f}/s"


@contextmanager
def follow(run: Run, stream: TextIO | None = None) -> Generator[Watcher]:
    """A watcher for `execute_run`; prints where the run is first, and what has been done at the end.

    `stream` is stderr when None.
    """
    trials = list(run.records())
    finished = sum(record.is_finished for record in trials)
    with follow_trials(f"Run directory: {run.path}", len(trials), finished, stream) as watch:
        yield watch


@contextmanager
def follow_trials(head: str, total: int, finished: int, stream: TextIO | None = None) -> Generator[Watcher]:
    """A watcher of `total` trials, of which `finished` are done already; prints `head` and these numbers first."""
    target: TextIO = stream or sys.stderr
    state = f", {finished} of {total} trials are done already" if finished else f", {total} trials"
    print(f"{head}{state}", file=target, flush=True)
    tally = Tally(total, finished, time.monotonic(), finished)
    if finished == total:
        yield PlainWatcher(tally, target)
    elif stream is None and (show := notebook_display()):
        yield NotebookWatcher(tally, show)
    elif moves(target):
        with _bars(target) as bars:
            yield BarWatcher(tally, bars)
    else:
        yield PlainWatcher(tally, target)


def moves(stream: TextIO) -> bool:
    """Whether what has been written can be drawn over: not in a file, a dumb terminal or the log of a CI job."""
    return stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")


def notebook_display() -> Callable[[str], None] | None:
    """Shows HTML in the running cell of a Jupyter notebook, and over it what it is called with next; None elsewhere."""
    shell = sys.modules.get("IPython")  # a notebook has loaded it; nobody else has to
    kernel = shell.get_ipython() if shell is not None else None
    if kernel is None or not hasattr(kernel, "kernel"):
        return None
    from importlib import import_module

    display: Any = import_module("IPython.display")
    handle: list[Any] = []

    def show(html: str) -> None:
        if handle:
            handle[0].update(display.HTML(html))
        else:
            handle.append(display.display(display.HTML(html), display_id=True))

    return show


class PlainWatcher:
    """Lines for a file: one when a trial ends, and one every `PLAIN_INTERVAL` seconds in between."""

    def __init__(self, tally: Tally, stream: TextIO, now: Callable[[], float] = time.monotonic) -> None:
        self._tally = tally
        self._stream = stream
        self._now = now
        self._said_at = now()

    def started(self, task: Task) -> None:
        self._tally.running[task] = Pace(self._now())

    def progress(self, task: Task, done: int, total: int, note: str) -> None:
        now = self._now()
        self._tally.heard(task, done, total, note, now)
        if now - self._said_at < PLAIN_INTERVAL:
            return
        self._said_at = now
        for one, its in self._tally.running.items():
            words = [f"{100 * its.share:.0f} %", rate_text(its.rate(now)), its.note]
            self._say(f"{one}: {', '.join(word for word in words if word)}")
        left = clock(self._tally.seconds_left(now))
        self._say(f"{self._tally.finished} of {self._tally.total} trials done, {left} left")

    def finished(self, task: Task, measures: Mapping[str, float]) -> None:
        self._tally.running.pop(task, None)
        self._tally.finished += 1
        self._say(f"{task}: done. {measures_text(measures)}")

    def failed(self, task: Task, message: str) -> None:
        self._tally.running.pop(task, None)
        self._say(f"{task}: failed. {message}")

    def _say(self, text: str) -> None:
        print(f"[{clock(self._now() - self._tally.started)}] {text}", file=self._stream, flush=True)


class NotebookWatcher:
    """A table of bars in a notebook, drawn again in place; what has ended is a line below it."""

    def __init__(self, tally: Tally, show: Callable[[str], None], now: Callable[[], float] = time.monotonic) -> None:
        self._tally = tally
        self._show = show
        self._now = now
        self._drawn_at = -NOTEBOOK_INTERVAL
        self._ended: list[str] = []
        self._draw()

    def started(self, task: Task) -> None:
        self._tally.running[task] = Pace(self._now())
        self._draw()

    def progress(self, task: Task, done: int, total: int, note: str) -> None:
        self._tally.heard(task, done, total, note, self._now())
        if self._now() - self._drawn_at >= NOTEBOOK_INTERVAL:
            self._draw()

    def finished(self, task: Task, measures: Mapping[str, float]) -> None:
        self._tally.running.pop(task, None)
        self._tally.finished += 1
        self._ended.append(f"{task}: done. {measures_text(measures)}")
        self._draw()

    def failed(self, task: Task, message: str) -> None:
        self._tally.running.pop(task, None)
        self._ended.append(f"{task}: failed. {message}")
        self._draw()

    def _draw(self) -> None:
        now, tally = self._now(), self._tally
        self._drawn_at = now
        whole = f"{tally.finished} of {tally.total} trials, {clock(tally.seconds_left(now))} left"
        rows = [("all trials", tally.done / max(1, tally.total), whole)]
        for task, pace in tally.running.items():
            rows.append(
                (str(task), pace.share, ", ".join(word for word in (rate_text(pace.rate(now)), pace.note) if word))
            )
        cells = "".join(
            f"<tr><td>{escape(name)}</td><td><progress value='{share:.3f}' max='1'></progress> {100 * share:.0f} %</td>"
            f"<td>{escape(words)}</td></tr>"
            for name, share, words in rows
        )
        ended = "".join(f"<div>{escape(line)}</div>" for line in self._ended)
        self._show(f"<table>{cells}</table>{ended}")


class BarWatcher:
    """A bar for the run and one for each trial that is running."""

    def __init__(self, tally: Tally, bars: Progress) -> None:
        self._tally = tally
        self._bars = bars
        self._ids: dict[Task, TaskID] = {}
        self._whole = bars.add_task("all trials", total=tally.total, note="", rate="", left="-:--")
        self._show_whole()

    def started(self, task: Task) -> None:
        self._tally.running[task] = Pace(time.monotonic())
        self._ids[task] = self._bars.add_task(str(task), total=1.0, note="", rate="", left="-:--")

    def progress(self, task: Task, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        pace = self._tally.heard(task, done, total, note, now)
        rate = pace.rate(now)
        left = clock((pace.total - pace.done) / rate if rate > 0 else None)
        self._bars.update(self._ids[task], completed=pace.share, note=note, rate=rate_text(rate), left=left)
        self._show_whole()

    def finished(self, task: Task, measures: Mapping[str, float]) -> None:
        self._end(task)
        self._tally.finished += 1
        self._show_whole()
        self._bars.console.print(f"{task}: done. {measures_text(measures)}", markup=False, highlight=False)

    def failed(self, task: Task, message: str) -> None:
        self._end(task)
        self._bars.console.print(f"{task}: failed. {message}", markup=False, highlight=False)

    def _end(self, task: Task) -> None:
        self._tally.running.pop(task, None)
        if task in self._ids:
            self._bars.remove_task(self._ids.pop(task))

    def _show_whole(self) -> None:
        tally = self._tally
        note = f"{tally.finished} of {tally.total} trials"
        left = clock(tally.seconds_left(time.monotonic()))
        self._bars.update(self._whole, completed=tally.done, note=note, left=left)


def measures_text(measures: Mapping[str, float], shown: int = 4) -> str:
    """'accuracy 0.93, loss 0.12, ...': the first few measures that apply."""
    known = [f"{name} {value:.4g}" for name, value in measures.items() if value == value]
    return ", ".join(known[:shown] + (["..."] if len(known) > shown else []))


def _bars(stream: TextIO) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn
    from rich.progress import Task as Bar
    from rich.table import Column
    from rich.text import Text

    class Words(ProgressColumn):
        """Words of the run or of the study, which are no markup, on one line."""

        def __init__(self, field: str, style: str, **column: Any) -> None:
            super().__init__(table_column=Column(no_wrap=True, overflow="ellipsis", **column))
            self._field, self._style = field, style

        def render(self, task: Bar) -> Text:
            said = task.description if self._field == "description" else task.fields[self._field]
            return Text(str(said), style=self._style, overflow="ellipsis", no_wrap=True)

    console = Console(file=stream)
    is_wide = console.width >= WIDE
    name = Words("description", "", max_width=console.width // 3 if is_wide else max(8, console.width - 28))
    left = TextColumn("{task.fields[left]} left", markup=False, table_column=Column(no_wrap=True, min_width=10))
    bar = BarColumn(bar_width=min(40, console.width // 5) if is_wide else 8)
    note = max(8, console.width - console.width // 3 - min(40, console.width // 5) - 32)
    columns: list[ProgressColumn] = [name, bar, TaskProgressColumn(table_column=Column(no_wrap=True, min_width=4))]
    columns += [Words("rate", "cyan"), left, Words("note", "dim", max_width=note)] if is_wide else [left]
    return Progress(*columns, console=console, refresh_per_second=5)

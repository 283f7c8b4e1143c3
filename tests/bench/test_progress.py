"""The progress view: the directory first, honest rates, and plain lines where there is no terminal."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest

from wheatstone.bench.engine import InlineEngine, execute_run
from wheatstone.bench.progress import (
    BarWatcher,
    NotebookWatcher,
    Pace,
    PlainWatcher,
    Tally,
    clock,
    follow,
    follow_trials,
    measures_text,
    notebook_display,
    rate_text,
)
from wheatstone.bench.run import Run
from wheatstone.bench.study import Study
from wheatstone.bench.work import Task

TASK = Task("plain", 0)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-:--"), (0, "0:00"), (42.4, "0:42"), (185, "3:05"), (7800, "2:10:00")]
)
def test_clock(seconds: float | None, text: str) -> None:
    assert clock(seconds) == text


def test_rates_and_measures_in_words() -> None:
    assert (rate_text(0), rate_text(0.42), rate_text(113.4)) == ("", "0.4/s", "113/s")
    assert measures_text({"accuracy": 0.93456, "gone": float("nan")}) == "accuracy 0.9346"
    assert measures_text({str(n): n for n in range(6)}).endswith("...")


def test_what_a_checkpoint_had_done_does_not_count_for_the_rate() -> None:
    pace = Pace(0.0)
    pace.update(900, 1000, "", 5.0)
    pace.update(950, 1000, "", 10.0)
    assert pace.rate(10.0) == 10.0
    assert pace.share == 0.95


def test_time_left_counts_only_what_this_process_has_done() -> None:
    tally = Tally(total=4, finished=2, started=0.0, before=2)
    assert tally.seconds_left(10.0) is None
    tally.heard(TASK, 50, 100, "", 10.0)
    assert tally.seconds_left(10.0) is None
    tally.heard(TASK, 100, 100, "", 20.0)
    # Half a trial in 20 seconds, one more trial to go.
    assert tally.seconds_left(20.0) == pytest.approx(40.0)


def test_plain_lines_come_every_ten_seconds_and_at_the_end_of_each_trial() -> None:
    now, stream = Clock(), io.StringIO()
    watcher = PlainWatcher(Tally(2, 0, 0.0, 0), stream, now)
    watcher.started(TASK)
    for second in range(1, 26):
        now.seconds = second
        watcher.progress(TASK, second * 10, 1000, "loss 0.5")
    watcher.finished(TASK, {"accuracy": 0.5})
    watcher.failed(Task("plain", 1), "no room")
    lines = stream.getvalue().splitlines()
    assert lines == [
        "[0:10] plain, seed 0: 10 %, 10/s, loss 0.5",
        "[0:10] 0 of 2 trials done, 3:31 left",
        "[0:20] plain, seed 0: 20 %, 10/s, loss 0.5",
        "[0:20] 0 of 2 trials done, 3:09 left",
        "[0:25] plain, seed 0: done. accuracy 0.5",
        "[0:25] plain, seed 1: failed. no room",
    ]


def test_a_run_into_a_file_prints_its_directory_first_and_no_control_codes(
    toy: Study[Any], new_run: Callable[..., Run]
) -> None:
    stream = io.StringIO()
    run = new_run()
    with follow(run, stream) as watch:
        execute_run(run, toy, InlineEngine(), watch, report=False)
    text = stream.getvalue()
    assert text.startswith(f"Run directory: {run.path}, 2 trials\n")
    assert "\x1b" not in text
    assert text.count("done.") == 2


def test_a_finished_run_says_so(toy: Study[Any], new_run: Callable[..., Run]) -> None:
    run = new_run()
    execute_run(run, toy, InlineEngine(), report=False)
    stream = Terminal()
    with follow(run, stream) as watch:
        execute_run(run, toy, InlineEngine(), watch, report=False)
    assert stream.getvalue() == f"Run directory: {run.path}, 2 of 2 trials are done already\n"


def test_bars_on_a_terminal(toy: Study[Any], new_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream = Terminal()
    run = new_run()
    with follow(run, stream) as watch:
        assert isinstance(watch, BarWatcher)
        watch.started(TASK)
        watch.progress(TASK, 1, 4, "[bold]no markup[/bold]")
        watch.failed(TASK, "[red]no markup[/red]")
        execute_run(run, toy, InlineEngine(), watch, report=False)
    text = stream.getvalue()
    assert "all trials" in text
    assert "[red]no markup[/red]" in text
    assert "drifting, seed 0: done." in text


@pytest.mark.parametrize("width", [32, 40, 60, 79, 200])
def test_a_line_is_never_longer_than_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    stream = Terminal()
    with follow_trials("Run directory: x", 2, 0, stream) as watch:
        task = Task("an_arm_with_a_rather_long_name", 12)
        watch.started(task)
        watch.progress(task, 1, 4, "loss 0.5 and many other things that the study wants to say about itself")
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).replace("\r", "\n").splitlines()[1:]
    assert max(map(len, drawn)) <= width
    assert any("25%" in line for line in drawn)
    assert any("an_arm" in line for line in drawn)


@pytest.mark.parametrize(("name", "value"), [("CI", "true"), ("TERM", "dumb")])
def test_a_terminal_that_cannot_draw_over_gets_plain_lines(
    name: str, value: str, toy: Study[Any], new_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    stream, run = Terminal(), new_run()
    with follow(run, stream) as watch:
        execute_run(run, toy, InlineEngine(), watch, report=False)
    assert "\x1b" not in stream.getvalue()
    assert "still, seed 0: done." in stream.getvalue()


class Notebook:
    """What of IPython a kernel's process has: a shell with a kernel, and displays that can be drawn again."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.displays = 0
        self.kernel = True

    def get_ipython(self) -> Notebook:
        return self

    def HTML(self, text: str) -> str:  # noqa: N802, IPython's name
        return text

    def display(self, html: str, *, display_id: bool) -> Notebook:
        assert display_id
        self.displays += 1
        self.shown.append(html)
        return self

    def update(self, html: str) -> None:
        self.shown.append(html)


def test_a_notebook_has_one_table_of_bars_that_changes(
    toy: Study[Any], new_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = Notebook()
    monkeypatch.setitem(sys.modules, "IPython", notebook)  # pyright: ignore[reportArgumentType]
    monkeypatch.setitem(sys.modules, "IPython.display", notebook)  # pyright: ignore[reportArgumentType]
    run = new_run()
    with follow(run) as watch:
        assert isinstance(watch, NotebookWatcher)
        watch.started(TASK)
        watch.progress(TASK, 1, 4, "<b>no markup</b>")
        watch.failed(TASK, "<i>no markup</i>")
        execute_run(run, toy, InlineEngine(), watch, report=False)
    assert notebook.displays == 1
    assert "0 of 2 trials" in notebook.shown[0]
    assert "2 of 2 trials" in notebook.shown[-1]
    assert "still, seed 0: done." in notebook.shown[-1]
    assert not any("<b>no" in html or "<i>no" in html for html in notebook.shown)
    assert capsys.readouterr().err.startswith("Run directory: ")


def test_a_shell_without_a_kernel_is_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Notebook()
    del shell.kernel
    monkeypatch.setitem(sys.modules, "IPython", shell)  # pyright: ignore[reportArgumentType]
    assert notebook_display() is None

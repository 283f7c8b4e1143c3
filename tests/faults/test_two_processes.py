"""Two processes at one directory: the second is refused and told why, reading goes on, and a kill frees the lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wheatstone.bench.run import Run

TOY = Path(__file__).parents[1] / "contract" / "toy.py"
SLOW = ("--preset", "smoke", "--seeds", "1", "--config.pause", "0.2")
Start = Callable[..., "subprocess.Popen[str]"]


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wheatstone", *map(str, words)], capture_output=True, text=True, timeout=200
    )


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a command that goes on in the background, and waits until `sign` is there."""
    started: list[subprocess.Popen[str]] = []

    def begin(sign: Path, *words: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "wheatstone", *map(str, words)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        deadline = time.monotonic() + 100
        while not (sign.exists() and sign.stat().st_size):
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline, f"{sign} never came"
            time.sleep(0.01)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_a_second_process_is_refused_until_the_first_is_killed(start: Start, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = ("run", TOY, *SLOW, "--out", out)
    first = start(out / "arms" / "drifting" / "seed-0" / "metrics.jsonl", *run)

    for words in (run, (*run, "--fresh"), (*run, "--engine", "inline")):
        second = command(*words)
        assert second.returncode == 2
        assert (
            f"process {first.pid} is already working on this run. Wait for it, or choose another --out."
            in second.stderr
        )
        assert "Traceback" not in second.stderr

    report = command("report", out, "--study", TOY)
    assert report.returncode == 0, report.stderr
    assert "This run has not finished" in (out / "report.html").read_text(encoding="utf-8")

    assert first.poll() is None
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    last = command("run", TOY, *SLOW, "--out", out)
    assert last.returncode == 0, last.stderr
    findings = Run.open(out).findings()
    assert findings is not None
    assert [len(findings.measures[arm]["position"]) for arm in ("drifting", "still")] == [1, 1]


def test_a_sweep_and_its_points_are_held(start: Start, tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    sweep = ("sweep", TOY, "--grid", "spread=0.3,0.5", *SLOW, "--out", out)
    start(out / "points" / "spread=0.3" / "arms" / "drifting" / "seed-0" / "metrics.jsonl", *sweep)
    second = command(*sweep)
    assert second.returncode == 2
    assert "is already working on this sweep" in second.stderr
    point = command("run", TOY, *SLOW, "--config.spread", "0.3", "--out", out / "points" / "spread=0.3")
    assert point.returncode == 2
    assert "is already working on this run" in point.stderr


def test_two_that_start_at_once_are_one_run(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "wheatstone", "run", str(TOY), "--preset", "smoke", "--out", str(tmp_path / "run")]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ends = [(process.communicate(timeout=200), process.returncode) for process in both]
    assert sorted(code for _, code in ends) in ([0, 0], [0, 2]), ends
    for (_, error), code in ends:
        assert "Traceback" not in error
        assert "bug" not in error
        assert code == 0 or "is already working on this run" in error, error
    assert Run.open(tmp_path / "run").findings() is not None

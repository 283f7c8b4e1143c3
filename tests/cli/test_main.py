"""The front door: help, unknown words, and the three ways in which a command can end badly."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
from tests.cli.conftest import TOY, Command

from wheatstone import __version__
from wheatstone.bench.errors import UserError
from wheatstone.cli import main as front
from wheatstone.cli.main import COMMANDS


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("help",)])
def test_help_names_every_command(wheatstone: Command, words: tuple[str, ...]) -> None:
    done = wheatstone(*words)
    assert (done.code, done.err) == (0, "")
    assert all(command.usage in done.out for command in COMMANDS.values())


def test_version(wheatstone: Command) -> None:
    assert wheatstone("--version").out == f"wheatstone {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_exists_and_explains_itself(name: str) -> None:
    module, _, function = COMMANDS[name].place.partition(":")
    assert getattr(importlib.import_module(f"wheatstone.cli.{module}"), function).__doc__


def test_an_unknown_command_is_answered_with_the_nearest(wheatstone: Command) -> None:
    done = wheatstone("lst")
    assert done == (2, "", "unknown command 'lst'. Did you mean 'list'? All of them: wheatstone --help\n")


def test_a_fault_of_the_user_is_one_message(wheatstone: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "call", Mock(side_effect=UserError("facts.tsv:17 field 'tail': empty.")))
    assert wheatstone("list") == (2, "", "facts.tsv:17 field 'tail': empty.\n")


def test_a_bug_is_one_line_with_the_traceback_in_a_file(wheatstone: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "call", Mock(side_effect=ZeroDivisionError("division\nby zero")))
    done = wheatstone("run", "a b")
    assert (done.code, done.out) == (1, "")
    assert done.err.count("\n") == 1
    assert done.err.startswith("This is a bug in wheatstone: ZeroDivisionError: division by zero. The traceback is in ")
    log = Path(done.err.rpartition(" ")[2].strip())
    text = log.read_text(encoding="utf-8")
    log.unlink()
    assert "Traceback" in text
    assert "wheatstone run 'a b'" in text


def test_a_bug_is_shown_whole_when_debugging(wheatstone: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "call", Mock(side_effect=ZeroDivisionError))
    monkeypatch.setenv("WHEATSTONE_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        wheatstone("list")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "toy", "--fresh", "--out", "a b"), "to go on: wheatstone run toy --out 'a b'"),
        (("grok", "facts.tsv"), "to go on: wheatstone grok facts.tsv"),
        (("list",), "\nInterrupted.\n"),
    ],
)
def test_ctrl_c_says_how_to_go_on(
    wheatstone: Command, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.setattr(front, "call", Mock(side_effect=KeyboardInterrupt))
    done = wheatstone(*words)
    assert (done.code, done.out) == (130, "")
    assert message in done.err


def test_a_real_ctrl_c_ends_a_run_and_the_same_command_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "wheatstone", "run", str(TOY), "--preset", "smoke", "--out", "run"]
    command += ["--seeds", "1", "--arms", "still", "--config.pause", "0.02", "--config.steps", "100"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, process_group=0) as process:
        metrics = tmp_path / "run" / "arms" / "still" / "seed-0" / "metrics.jsonl"
        deadline = time.monotonic() + 30
        while not (metrics.exists() and metrics.stat().st_size > 300):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Interrupted. What is done is kept; to go on: wheatstone run" in err
    assert "Traceback" not in err
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert again.returncode == 0
    steps = [int(step) for step in re.findall(r'"step": (\d+)', metrics.read_text(encoding="utf-8"))]
    assert steps == list(range(1, 101))


def test_a_reader_that_leaves_early_is_no_bug() -> None:
    # `wheatstone --help | head -1`, with a pipe whose reading end is closed before anything is written.
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "wheatstone", "show", str(TOY)], stdout=pipe, stderr=subprocess.PIPE, timeout=30
        )
    assert done.stderr == b""


@pytest.mark.parametrize("words", [["--help"], ["list"], ["list", "--json"], ["run", "--help"], ["apply"]])
def test_what_answers_at_once_imports_neither_torch_nor_numpy(tmp_path: Path, words: list[str]) -> None:
    code = (
        "import sys\nfrom wheatstone.cli.main import main\n"
        f"main({words!r})\n"
        "heavy = {'torch', 'numpy', 'matplotlib', 'scipy', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True, capture_output=True, timeout=30
    )

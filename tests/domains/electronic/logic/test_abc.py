"""The process that stays: answers, failures with their command, crashes, silence, and a fresh start after each."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from wheatstone.bench.errors import UserError
from wheatstone.domains.electronic.logic import abc as module
from wheatstone.domains.electronic.logic.abc import Abc, AbcError, find_abc

FAKE = """#!/usr/bin/env python3
import sys, time
for line in sys.stdin:
    word = line.strip()
    if word == "sleep": time.sleep(60)
    if word == "crash": import os; os.abort()
    print("abc 01> " + word)
    if word.startswith("echo"): print(word[5:])
    sys.stdout.flush()
"""


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    path = tmp_path / "fake-abc"
    path.write_text(FAKE)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_answers_belong_to_their_commands(abc: Abc) -> None:
    assert abc.run("echo one").split() == ["one"]
    before = abc.starts
    assert abc.run("echo two", "echo three").split() == ["two", "three"]
    assert abc.starts == before


def test_a_failed_command_is_named_and_the_next_call_starts_afresh(abc: Abc) -> None:
    abc.run("echo first")  # the process runs, whichever test of this module came first
    before = abc.starts
    for command, said in (("foo", "unknown command 'foo'"), ("read_aiger no.aig", "Cannot open"), ("map", "network")):
        with pytest.raises(AbcError, match=said) as fault:
            abc.run("echo fine", command)
        assert f"(at '{command}')" in str(fault.value)
        assert "again" in abc.run("echo again")
    assert abc.starts == before + 3


def test_on_start_is_repeated_by_every_process() -> None:
    with Abc(on_start=["echo hello"]) as abc:
        abc.run("echo a")
        with pytest.raises(AbcError):
            abc.run("foo")
        abc.run("echo b")
        assert abc.starts == 2


def test_a_process_that_ends_says_where(abc: Abc, fake: Path) -> None:
    with pytest.raises(AbcError, match=r"ABC ended \(exit code 0\) at 'quit'"):
        abc.run("quit")
    with Abc(fake) as crashing:
        with pytest.raises(AbcError, match=r"ABC ended \(signal 6\)"):
            crashing.run("crash")
        assert crashing.run("echo back").split() == ["back"]


def test_silence_is_given_up(fake: Path) -> None:
    with Abc(fake, timeout=2.0) as silent:
        with pytest.raises(AbcError, match=r"no answer for 2 s at 'echo before'"):
            silent.run("echo before", "sleep")
        assert silent.run("echo back").split() == ["back"]


def test_folders_of_killed_processes_are_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "FAST_FOLDER", tmp_path)
    stale = tmp_path / f"{module.PREFIX}old"
    stale.mkdir()
    (stale / module.LOCK).touch()
    with Abc() as first, Abc() as second:
        assert not stale.exists()
        assert first.folder.parent == second.folder.parent == tmp_path
        assert first.folder.exists()
    assert list(tmp_path.iterdir()) == []


def test_which_binary_is_used(monkeypatch: pytest.MonkeyPatch, fake: Path) -> None:
    assert find_abc().name == "yosys-abc"
    monkeypatch.setenv("WHEATSTONE_ABC", str(fake))
    assert find_abc() == fake
    assert find_abc(Path("/bin/true")) == Path(os.path.realpath("/bin/true"))
    with pytest.raises(UserError, match=r"no-such-abc: not a program. Name ABC's binary with --abc or WHEATSTONE_ABC"):
        find_abc(Path("no-such-abc"))

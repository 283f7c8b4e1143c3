"""A disk that is full, failing or read-only: one message that names the file and the way out, and nothing is lost."""

from __future__ import annotations

import builtins
import dataclasses
import errno
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from tests.faults.harness import Chain, Reference, check_finished, check_whole

from wheatstone.bench import registry
from wheatstone.bench.engine import InlineEngine, execute_run
from wheatstone.bench.errors import UserError
from wheatstone.bench.files import write_atomically
from wheatstone.bench.run import Run
from wheatstone.bench.study import Study

TOY = Path(__file__).parents[1] / "contract" / "toy.py"
CODES = {
    errno.ENOSPC: "the disk is full. Free some space and run the same command again",
    errno.EDQUOT: "the disk is full. Free some space and run the same command again",
    errno.EIO: "the system could not read or write it (Input/output error). When that is mended, run the same command",
    errno.EROFS: "cannot be written (Read-only file system). Choose another folder with --out.",
}


class Disk:
    """Refuses the `broken`-th writing operation below `root` and every later one, with the error `code`."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.broken = 0
        self.code = errno.ENOSPC
        self.operations = 0

    def ask(self, path: Any) -> None:
        """Counts an operation on `path`, or refuses it."""
        text = os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else os.path.abspath(os.fspath(path))
        if text.startswith(self.root):
            self.operations += 1
            if self.broken and self.operations >= self.broken:
                raise OSError(self.code, os.strerror(self.code), None if isinstance(path, int) else text)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Disk]:
    """Every way in which the bench writes, on a disk that can be broken."""
    made = Disk(tmp_path / "run")

    def guarded(function: Callable[..., Any], asks: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **more: Any) -> Any:
            if (path := asks(*given, **more)) is not None:
                made.ask(path)
            return function(*given, **more)

        return call

    class Log(io.FileIO):
        """A file without buffer, as metrics.jsonl is."""

        def write(self, data: Any) -> int:
            made.ask(str(self.name))
            return super().write(data)

    def opened(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **more: Any) -> Any:
        if any(letter in mode for letter in "wax+"):
            made.ask(file)
            if buffering == 0:
                return Log(file, mode.replace("b", ""))
        return real(file, mode, buffering, *rest, **more)

    real = io.open
    monkeypatch.setattr(io, "open", opened)
    monkeypatch.setattr(builtins, "open", opened)
    for name in ("fsync", "mkdir", "unlink"):
        monkeypatch.setattr(os, name, guarded(getattr(os, name), lambda path, *_, **__: path))
    monkeypatch.setattr(os, "replace", guarded(os.replace, lambda _source, target: target))
    yield made
    monkeypatch.undo()


def toy_run(path: Path, toy: Study[Any]) -> Run:
    config = dataclasses.replace(toy.presets["smoke"].config, steps=6, every=3)
    return Run.create(path, toy, "smoke", config, (0,), ("drifting",), 1)


def results(run: Run) -> dict[str, bytes]:
    return {str(path.relative_to(run.path)): path.read_bytes() for path in sorted(run.path.rglob("me*.json*"))}


@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.__getitem__)
def test_every_write_may_be_the_one_that_fails(code: int, disk: Disk, tmp_path: Path) -> None:
    toy = registry.load_file(TOY)
    whole = toy_run(tmp_path / "whole", toy)
    decided = execute_run(whole, toy, InlineEngine(), report=False).decided()
    disk.code = code
    message, number = "?", 0
    while message:
        number += 1
        disk.operations, disk.broken = 0, number
        path = tmp_path / "run" / str(number)
        message = ""
        try:
            execute_run(toy_run(path, toy), toy, InlineEngine(), report=False)
        except UserError as fault:
            message = str(fault)
        if message:
            assert CODES[code] in message, number
            assert re.match(rf"{re.escape(str(tmp_path))}/run[^:]*: ", message), (number, message)
        disk.broken = 0
        run = toy_run(path, toy)
        assert execute_run(run, toy, InlineEngine(), report=False).decided() == decided, number
        assert results(run) == results(whole), number
        assert not list(path.rglob(".*.tmp")), number
    assert number > 40, "the disk never broke"


def test_a_folder_that_cannot_be_synced_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = os.fsync

    def refused(descriptor: int) -> None:
        if os.path.isdir(os.readlink(f"/proc/self/fd/{descriptor}")):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refused)
    write_atomically(tmp_path / "a", b"content")
    assert (tmp_path / "a").read_bytes() == b"content"


def mounted(folder: Path, size: str) -> bool:
    """Whether a disk of that size could be put at `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.parametrize("moment", ["in training", "while the report is written"])
def test_a_small_disk_that_grows(moment: str, reference: Reference, tmp_path: Path) -> None:
    """The real command on a real full disk."""
    chain = Chain(tmp_path / "small", 0)
    if not mounted(chain.run, "128k" if moment == "in training" else "64m"):
        pytest.skip("mounting a small disk needs root")
    try:
        if moment == "while the report is written":
            assert chain.start().code == 0
            shutil.rmtree(chain.run / "figures")
            for name in ("findings.json", "report.html"):
                (chain.run / name).unlink()
            disk = os.statvfs(chain.run)
            remount(chain.run, f"{(disk.f_blocks - disk.f_bfree) * disk.f_frsize // 1024 + 40}k")
        outcome = chain.start()
        assert outcome.code == 2, (outcome.out, outcome.err)
        assert "the disk is full. Free some space and run the same command again" in outcome.err
        assert str(chain.run) in outcome.err
        assert "Traceback" not in outcome.err
        check_whole(chain.run)
        remount(chain.run, "64m")
        outcome = chain.start()
        assert outcome.code == 0, outcome.err
        check_finished(chain.run, reference.content)
    finally:
        subprocess.run(["umount", str(chain.run)], check=True)


def remount(folder: Path, size: str) -> None:
    """Gives the disk at `folder` another size."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


def test_a_disk_that_fails_under_the_real_command(reference: Reference, tmp_path: Path) -> None:
    chain = Chain(tmp_path, 0)
    for refuse, code in ((f"{errno.EIO} 60", errno.EIO), (f"{errno.EDQUOT} =25", errno.EDQUOT)):
        outcome = chain.start(refuse=refuse)
        assert any(point.startswith("REFUSED") for point in outcome.points)
        assert outcome.code == 2, outcome.err
        assert CODES[code] in outcome.err
        assert "Traceback" not in outcome.err
        check_whole(chain.run)
    assert chain.start().code == 0
    check_finished(chain.run, reference.content)


def test_output_into_a_full_disk(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "wheatstone", "list"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "standard output: the disk is full. Free some space and run the same command again.\n"

"""The black box of a run under test: says what each process is writing, and may kill it there or refuse the write.

Python loads this module by itself in every process whose PYTHONPATH names its folder, so the commands under test are
the real ones. Nothing happens without FAULTS_BOX.

  FAULTS_BOX     folder: `<pid>.now` holds what the process is at, `points` has one line a point that any of them passed
  FAULTS_KILL    '<point> <n> <whom> <seconds>': SIGKILL so long after the n-th such point is reached by any process;
                 whom is 'tree' (parent and workers), 'parent' (the process of the command alone) or 'self'
  FAULTS_REFUSE  '<errno> <n>': from the n-th write on every write to the run fails; a '=' before n: that one alone

A point is an operation and a file, as 'replace checkpoint.safetensors': open, write (half of it is written), sync,
replace, replaced, settle (the sync of the folder), unlink.
"""

from __future__ import annotations

import builtins
import contextlib
import fcntl
import io
import os
import re
import signal
import threading
import time
from pathlib import Path

BOX = os.environ.get("FAULTS_BOX", "")
KILL = os.environ.get("FAULTS_KILL", "")
REFUSE = os.environ.get("FAULTS_REFUSE", "")
TARGET = os.environ.get("FAULTS_TARGET", "")
"""Only files below this folder count."""


def _name(path: object) -> str | None:
    """The file's own name, without the marks of a temporary one; None for a file outside the run."""
    try:
        text = os.fspath(path)  # pyright: ignore[reportArgumentType, reportCallIssue]
    except TypeError:
        return None
    if isinstance(text, bytes) or not os.path.abspath(text).startswith(TARGET):
        return None
    base = os.path.basename(text)
    return re.sub(r"^\.(.*)\.\d+\.tmp$", r"\1", base) if os.path.abspath(text) != TARGET else "the folder"


def _of(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")


class _Box:
    def __init__(self) -> None:
        os.environ.setdefault("FAULTS_ROOT", str(os.getpid()))
        self.root = int(os.environ["FAULTS_ROOT"])
        self.now = os.open(f"{BOX}/{os.getpid()}.now", os.O_CREAT | os.O_WRONLY, 0o600)
        self.points = os.open(f"{BOX}/points", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self.last = ""
        self.say("starting")

    def say(self, text: str) -> None:
        os.pwrite(self.now, text.ljust(80)[:80].encode(), 0)

    def at(self, operation: str, name: str) -> None:
        point = f"{operation} {name}"
        self.say(point)
        os.write(self.points, f"{point}\n".encode())
        if KILL:
            wanted, number, whom, seconds = KILL.rsplit(" ", 3)
            if point == wanted and self.count(wanted, "reached") == int(number):
                if float(seconds):
                    threading.Thread(target=self.kill, args=(whom, float(seconds)), daemon=True).start()
                else:
                    self.kill(whom)

    def count(self, what: str, kind: str) -> int:
        """How often `what` has come to pass in all processes, this time included."""
        file = os.open(f"{BOX}/{kind}", os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)  # two processes that count at once must not both see the later number
            os.write(file, f"{what}\n".encode())
            return os.pread(file, 1 << 22, 0).decode().split("\n").count(what)
        finally:
            os.close(file)

    def past(self, name: str) -> None:
        self.last = name
        self.say(f"after {name}")

    def kill(self, whom: str, seconds: float = 0.0) -> None:
        time.sleep(seconds)
        os.write(self.points, b"KILLED\n")
        if whom == "tree":
            others = [self.root] if os.getpid() != self.root else []
            for task in Path(f"/proc/{self.root}/task").iterdir():
                others += map(int, (task / "children").read_text().split())
            for other in others:
                if other != os.getpid():
                    _kill(other)
        elif whom == "parent":
            _kill(self.root)
            if os.getpid() != self.root:
                return
        _kill(os.getpid())

    def refuse(self, name: str) -> None:
        if REFUSE:
            code, number = REFUSE.split()
            reached = self.count("write", "writes")
            if reached == int(number.lstrip("=")) or (reached > int(number.lstrip("=")) and number[0] != "="):
                os.write(self.points, f"REFUSED {name}\n".encode())
                raise OSError(int(code), os.strerror(int(code)))


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def _install(box: _Box) -> None:
    fsync, replace, unlink, opened = os.fsync, os.replace, os.unlink, io.open

    class BoxedLog(io.FileIO):
        """metrics.jsonl: the one file that grows in place."""

        def write(self, data: bytes) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
            box.refuse("metrics.jsonl")
            if KILL.startswith("write metrics.jsonl "):
                half = super().write(data[: (len(data) + 1) // 2])  # never nothing: the writer goes on with the rest
                box.at("write", "metrics.jsonl")
                return half
            box.at("log", "metrics.jsonl")
            written = super().write(data)
            box.past("metrics.jsonl")
            return written

    def box_fsync(descriptor: int) -> None:
        path = _of(descriptor)
        name = _name(path)
        if name is None:
            return fsync(descriptor)
        if os.path.isdir(path):
            box.at("settle", box.last)
            fsync(descriptor)
            return box.past(box.last)
        box.refuse(name)
        if name != "metrics.jsonl" and KILL.startswith(f"write {name} "):
            with opened(path, "rb") as file:
                whole = file.read()
            os.ftruncate(descriptor, len(whole) // 2)
            box.at("write", name)
            os.pwrite(descriptor, whole, 0)  # the kill was for another time
        box.at("sync", name)
        fsync(descriptor)
        return box.past(name)

    def box_replace(source: object, target: object, **more: int) -> None:
        name = _name(target)
        if name is not None:
            box.refuse(name)
        if name is None:
            return replace(source, target, **more)  # pyright: ignore[reportArgumentType, reportCallIssue]
        box.at("replace", name)
        replace(source, target, **more)  # pyright: ignore[reportArgumentType, reportCallIssue]
        box.at("replaced", name)
        return box.past(name)

    def box_unlink(path: object, **more: int) -> None:
        name = _name(path)
        if name is None:
            return unlink(path, **more)  # pyright: ignore[reportArgumentType, reportCallIssue]
        box.at("unlink", name)
        unlink(path, **more)  # pyright: ignore[reportArgumentType, reportCallIssue]
        return box.past(f"{name} was dropped")

    def box_open(file: object, mode: str = "r", *rest: object, **more: object) -> object:
        name = _name(file) if any(letter in mode for letter in "wax") else None
        if name is not None:
            box.refuse(name)
            box.at("open", name)
            if name == "metrics.jsonl":
                return BoxedLog(file, mode.replace("b", ""))  # pyright: ignore[reportArgumentType, reportCallIssue]
            if name.endswith((".lock", ".log")):  # held or inherited for long: nothing is being written
                box.past(name)
        return opened(file, mode, *rest, **more)  # pyright: ignore

    os.fsync, os.replace, os.unlink = box_fsync, box_replace, box_unlink
    io.open = builtins.open = box_open  # pyright: ignore


if BOX:
    _install(_Box())

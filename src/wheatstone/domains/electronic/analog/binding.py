"""libngspice through ctypes: load a deck, run an analysis, read vectors. One circuit at a time, one library a process.

Two traps of the library are closed here. After an error it keeps the old plot, so vectors read then are those of the
design before: every analysis starts by destroying all plots, and only vectors of plots that it has made are read. After
a fault that it cannot recover from it asks to be detached (`controlled exit`): the process that holds it must end.

Source: ngspice user's manual, version 39, chapter 19 (ngspice as shared library), and sharedspice.h.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from collections.abc import Sequence
from typing import NamedTuple

from wheatstone.domains.electronic.analog.jobs import OPTIONAL

NAMES = ("libngspice.so.0", "libngspice.so", "libngspice.0.dylib", "libngspice.dylib")
LOG_LINES = 400
QUIET = ("Note: No compatibility mode", "Circuit:", "Doing analysis at TEMP", "No. of Data Rows", "Reference value")


class VectorInfo(ctypes.Structure):
    """`vector_info` of sharedspice.h."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("flags", ctypes.c_short),
        ("real", ctypes.POINTER(ctypes.c_double)),
        ("complex", ctypes.POINTER(ctypes.c_double)),
        ("length", ctypes.c_int),
    )


class Vector(NamedTuple):
    """A vector's numbers as native doubles; real and imaginary part alternate where it is complex."""

    data: bytes
    length: int
    is_complex: bool


class SpiceError(Exception):
    """ngspice could not do it; `kind` is netlist, convergence or missing."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


SEND = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p)
EXIT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_bool, ctypes.c_bool, ctypes.c_int, ctypes.c_void_p)


def library_path() -> str | None:
    """What ctypes can load libngspice from, None where it is not installed; NGSPICE_LIBRARY_PATH is asked first."""
    chosen = os.environ.get("NGSPICE_LIBRARY_PATH")
    if chosen:
        return chosen if os.path.exists(chosen) else None
    for name in NAMES:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return name
    return ctypes.util.find_library("ngspice")


class Library:
    """The library in this process."""

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)
        self.log: list[str] = []
        self.is_dead = False
        self._callbacks = (SEND(self._say), SEND(lambda *_: 0), EXIT(self._exit))
        self._library.ngGet_Vec_Info.restype = ctypes.POINTER(VectorInfo)
        self._library.ngSpice_AllPlots.restype = ctypes.POINTER(ctypes.c_char_p)
        say, status, leave = self._callbacks
        self._library.ngSpice_Init(say, status, leave, None, None, None, None)
        # Its default of two OpenMP threads spins while it waits for a core: 20 ms instead of 1 ms on a busy machine.
        self.command("set num_threads=1")

    def load(self, deck: Sequence[str]) -> None:
        """Replaces the circuit. Raises SpiceError with ngspice's message when it has none afterwards."""
        self.command("destroy all")
        self.command("remcirc")
        self.log.clear()
        lines = (ctypes.c_char_p * (len(deck) + 1))(*(line.encode() for line in deck), None)
        code = self._library.ngSpice_Circ(lines)
        if fault := _load_fault(self.log):
            raise SpiceError("netlist", fault)
        if code or self.is_dead:
            raise SpiceError("netlist", "ngspice does not accept the netlist")

    def analyse(self, command: str, vectors: Sequence[str]) -> list[Vector]:
        """Runs one analysis of the loaded circuit and reads vectors of the plots that it made.

        Raises SpiceError when it does not converge, and when a vector does not exist.
        """
        self.command("destroy all")
        self.log.clear()
        self.command(command)
        plots = [name for name in self._plots() if name != "const"]
        fault = _run_fault(self.log)
        if self.is_dead or not plots or fault:
            raise SpiceError("convergence", fault or _last(self.log))
        found = [self._vector(name, plots) for name in vectors]
        if self.is_dead:
            raise SpiceError("missing", _last(self.log))
        return found

    def command(self, text: str) -> None:
        """Gives one command to ngspice."""
        if not self.is_dead:
            self._library.ngSpice_Command(text.encode())

    def _plots(self) -> list[str]:
        if self.is_dead:
            return []
        names, found = self._library.ngSpice_AllPlots(), list[str]()
        while names[len(found)]:
            found.append(names[len(found)].decode())
        return found

    def _vector(self, name: str, plots: Sequence[str]) -> Vector:
        for plot in plots if len(plots) > 1 else (None,):
            if plot is not None:
                self.command(f"setplot {plot}")
            pointer = self._library.ngGet_Vec_Info(name.removeprefix(OPTIONAL).encode())
            if pointer and pointer.contents.length > 0:
                info = pointer.contents
                is_complex = bool(info.complex)
                source, size = (info.complex, 16) if is_complex else (info.real, 8)
                return Vector(ctypes.string_at(source, size * info.length), info.length, is_complex)
        if name.startswith(OPTIONAL):
            return Vector(b"", 0, False)
        raise SpiceError("missing", f"the simulation has no vector '{name}'")

    def _say(self, text: bytes, _number: int, _data: object) -> int:
        line = text.decode(errors="replace")
        words = line.removeprefix("stdout ").removeprefix("stderr ").strip()
        if words and len(self.log) < LOG_LINES and not words.startswith(QUIET):
            self.log.append(words)
        return 0

    def _exit(self, *_: object) -> int:
        self.is_dead = True
        return 0


def _load_fault(log: Sequence[str]) -> str:
    """ngspice's own message about a netlist that it could not take; '' when it took it."""
    for at, line in enumerate(log):
        if line.startswith("Error on line"):
            return ": ".join(reversed(log[at + 1 : at + 3]))
        if line.startswith(("Undefined parameter", "Cannot compute", "Too few", "Too many")):
            return f"{line} ({log[at - 1]})" if at else line
        if line.startswith(("Error", "ERROR", "Fatal error")):
            return line.partition(":")[2].strip() or line
    return ""


def _run_fault(log: Sequence[str]) -> str:
    """ngspice's own message about an analysis that it could not finish; '' when it did."""
    for line in log:
        if "aborted" in line or line.startswith(("doAnalyses", "Error", "Fatal")) or "imestep too small" in line:
            reasons = [one for one in log if one.startswith(("doAnalyses", "Error", "Fatal")) or "too small" in one]
            singular = [one for one in log if "singular matrix" in one]
            return "; ".join(dict.fromkeys([*reasons[:2], *(one.partition("Warning: ")[2] for one in singular[:1])]))
    return ""


def _last(log: Sequence[str]) -> str:
    return log[-1] if log else "ngspice made no result and said nothing"

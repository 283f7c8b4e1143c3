"""ngspice in worker processes under a watchdog: `Engine.run(deck, analyses)` gives waves, or a failure as a value.

The library is a singleton of its process and may die with a deck, so it lives in workers: a worker that is silent for
longer than the time limit is killed, one that died is replaced, and the next job runs as if nothing had happened. Where
only the `ngspice` program is installed, each job is a process of its own: the same numbers, more slowly.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, cast

import numpy as np

from wheatstone.bench.errors import UserError
from wheatstone.domains.electronic.analog.binding import library_path
from wheatstone.domains.electronic.analog.jobs import OPTIONAL, Analysis, Failure, Waves
from wheatstone.domains.electronic.analog.program import program_path, run_program
from wheatstone.domains.electronic.analog.worker import write

Backend = Literal["auto", "library", "program"]
INSTALL = "apt-get install -y ngspice libngspice0"
TIMEOUT = 5.0
"""Seconds that one job may take; a usual one takes milliseconds."""
START = 30.0
"""Seconds more for the first job of a worker, which has to start."""
RENEWED = 5000
"""Jobs after which a worker is replaced: ngspice leaks a little with every circuit."""


def chosen_backend(backend: Backend = "auto") -> Literal["library", "program"]:
    """Which of the two will be used.

    Raises UserError with the command that installs ngspice where it is missing.
    """
    if backend in ("auto", "library") and library_path() is not None:
        return "library"
    if backend in ("auto", "program") and program_path() is not None:
        return "program"
    what = {"auto": "neither libngspice nor ngspice is", "library": "libngspice is not", "program": "ngspice is not"}
    raise UserError(f"SPICE simulations need ngspice, and {what[backend]} installed. Install it: {INSTALL}")


class Engine:
    """A pool of simulators; close it, or use it as a context manager.

    Args:
        workers: simulators that `run_all` keeps busy at once.
        timeout: seconds that one job may take before its simulator is stopped.
        backend: the library in worker processes, or one process a job; 'auto' takes the library where it is installed.
    """

    def __init__(self, workers: int = 1, timeout: float = TIMEOUT, backend: Backend = "auto") -> None:
        self.backend = chosen_backend(backend)
        self.timeout = timeout
        self.runs = 0
        """Jobs so far, failures included."""
        self._idle: queue.SimpleQueue[_Worker | None] = queue.SimpleQueue()
        for _ in range(workers):
            self._idle.put(_Worker() if self.backend == "library" else None)
        self._size = workers

    def run(self, deck: Sequence[str], analyses: Sequence[Analysis]) -> Waves | Failure:
        """Simulates one deck: lines without analyses, title or '.end'.

        Returns the vectors of each analysis in its order, or why there are none.
        """
        self.runs += 1
        worker = self._idle.get()
        try:
            if worker is None:
                waves = run_program(program_path() or "ngspice", deck, analyses, self.timeout)
            else:
                waves = worker.run(deck, analyses, self.timeout)
        finally:
            self._idle.put(worker)
        return waves if isinstance(waves, Failure) else _finite(waves)

    def run_all(self, jobs: Iterable[tuple[Sequence[str], Sequence[Analysis]]]) -> list[Waves | Failure]:
        """Simulates many decks, as many at once as there are workers; results are in the order of the jobs."""
        with ThreadPoolExecutor(self._size) as threads:
            running = [threads.submit(self.run, deck, analyses) for deck, analyses in jobs]
            return [one.result() for one in running]

    def close(self) -> None:
        """Ends the workers."""
        for _ in range(self._size):
            worker = self._idle.get()
            if worker is not None:
                worker.stop()
            self._idle.put(worker)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def version() -> str:
    """The version of the program, as 'ngspice-39', or that of the library."""
    program = program_path()
    if program is None:
        return "libngspice"
    text = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=TIMEOUT).stdout
    return next((word for word in text.split() if word.startswith("ngspice-")), "ngspice")


class _Worker:
    """One worker process, started with its first job and again after it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._jobs = 0

    def run(self, deck: Sequence[str], analyses: Sequence[Analysis], timeout: float) -> Waves | Failure:
        if self._process is None or self._process.poll() is not None or self._jobs >= RENEWED:
            self._start()
            timeout += START
        self._jobs += 1
        process = cast("subprocess.Popen[bytes]", self._process)
        assert process.stdin is not None
        job = {"deck": ["* job", *deck, ".end"], "analyses": [(one.command, one.vectors) for one in analyses]}
        deadline = time.monotonic() + timeout
        try:
            write(process.stdin, job)
            answer = self._message(deadline)
            payload = self._read(answer["size"], deadline)
        except TimeoutError:
            self.stop()
            return Failure("timeout", f"no answer within {timeout:g} s")
        except (BrokenPipeError, EOFError):
            self.stop()
            return Failure("crash", "ngspice ended in the middle of this circuit")
        if answer["dead"]:
            self.stop()
        if answer["failure"] is not None:
            kind, message = answer["failure"]
            return Failure(kind, message, answer["log"])
        return _unpacked(payload, answer["shapes"], analyses)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
            self._process.wait()
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _start(self) -> None:
        self.stop()
        self._jobs = 0
        # An empty home and working folder: whatever .spiceinit lies about must not reach the simulation.
        self._folder = tempfile.TemporaryDirectory()
        package = str(Path(__file__).parents[4])
        path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = os.environ | {"HOME": self._folder.name, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "wheatstone.domains.electronic.analog.worker", library_path() or ""],
            cwd=self._folder.name,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def _message(self, deadline: float) -> dict[str, Any]:
        size = int.from_bytes(self._read(4, deadline), "big")
        return json.loads(self._read(size, deadline))

    def _read(self, size: int, deadline: float) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        descriptor, parts = self._process.stdout.fileno(), bytearray()
        while len(parts) < size:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise TimeoutError
            part = os.read(descriptor, size - len(parts))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)


def _unpacked(payload: bytes, shapes: Sequence[Sequence[tuple[int, bool]]], analyses: Sequence[Analysis]) -> Waves:
    waves: Waves = []
    at = 0
    for analysis, sizes in zip(analyses, shapes, strict=True):
        found: dict[str, np.ndarray] = {}
        for vector, (length, is_complex) in zip(analysis.vectors, sizes, strict=True):
            name = vector.removeprefix(OPTIONAL)
            kind = np.complex128 if is_complex else np.float64
            found[name] = np.frombuffer(payload, kind, length, at)
            at += length * np.dtype(kind).itemsize
        waves.append(found)
    return waves


def _finite(waves: Waves) -> Waves | Failure:
    for found in waves:
        for name, values in found.items():
            if not np.isfinite(values).all():
                return Failure("convergence", f"{name} is not finite")
    return waves

"""The same jobs by the `ngspice` program: one process for each. For where the library is not installed, and as a check.

A job becomes a deck with a `.control` block that writes every vector to an ASCII raw file; the block is also what makes
a deck a self-contained file that anyone can run by hand.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wheatstone.domains.electronic.analog.jobs import OPTIONAL, Analysis, Failure, Waves


def program_path() -> str | None:
    """The `ngspice` program, None where it is not installed."""
    return shutil.which("ngspice")


def run_program(program: str, deck: Sequence[str], analyses: Sequence[Analysis], timeout: float) -> Waves | Failure:
    """One job in a process of its own, stopped after `timeout` seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        script = ["set filetype=ascii", "set numdgt=15", "set num_threads=1"]
        for at, analysis in enumerate(analyses):
            script += ["destroy all", analysis.command]
            for number, vector in enumerate(analysis.vectors):
                script += [f"setplot {_plot(vector)}"] if _plot(vector) else []
                script.append(f"write {at}-{number}.raw {vector.removeprefix(OPTIONAL)}")
        lines = [line for line in deck if line.lower() != ".end"]
        text = "\n".join(["* job", *lines, ".control", *script, "quit 0", ".endc", ".end", ""])
        (folder / "job.cir").write_text(text, encoding="utf-8")
        environment = os.environ | {"HOME": name, "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(
            [program, "-b", "job.cir"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                log, _ = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                return Failure("timeout", f"no answer within {timeout:g} s")
        return _waves(folder, analyses, log)


def _plot(vector: str) -> str:
    """The plot that a vector of a noise analysis lies in; '' for the current one."""
    return {"noise_spectrum": "noise1", "noise_total": "noise2"}.get(vector.removeprefix(OPTIONAL)[1:], "")


def _waves(folder: Path, analyses: Sequence[Analysis], log: str) -> Waves | Failure:
    waves: Waves = []
    for at, analysis in enumerate(analyses):
        found: dict[str, np.ndarray] = {}
        for number, vector in enumerate(analysis.vectors):
            path = folder / f"{at}-{number}.raw"
            if not path.is_file():
                if not vector.startswith(OPTIONAL):
                    return _failure(log, vector)
                found[vector.removeprefix(OPTIONAL)] = np.empty(0)
                continue
            found[vector.removeprefix(OPTIONAL)] = read_raw(path.read_text(encoding="utf-8", errors="replace"))
        waves.append(found)
    return waves


def _failure(log: str, vector: str) -> Failure:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for at, line in enumerate(lines):
        if line.startswith("Error on line"):
            return Failure("netlist", ": ".join(reversed(lines[at + 1 : at + 3])), log[-4000:])
        if "circuit not parsed" in line or "unknown subckt" in line or line.startswith("Undefined parameter"):
            return Failure("netlist", line, log[-4000:])
    for line in lines:
        if "aborted" in line or line.startswith("doAnalyses"):
            return Failure("convergence", line, log[-4000:])
    return Failure("missing", f"the simulation has no vector '{vector}'", log[-4000:])


def read_raw(text: str) -> np.ndarray:
    """The last vector of the first plot of an ASCII raw file, [point], complex where its flags say so.

    Raises ValueError for another format.
    """
    head, found, body = text.partition("\nValues:\n")
    if not found:
        raise ValueError("not an ASCII raw file")
    fields = {
        key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in head.splitlines())
    }
    variables, points = int(fields["no. variables"]), int(fields["no. points"])
    is_complex = "complex" in fields["flags"]
    words = body.partition("\nTitle:")[0].split()
    width = variables + 1
    last = [words[row * width + variables] for row in range(points)]
    if is_complex:
        return np.array([complex(*map(float, word.split(","))) for word in last])
    return np.array([float(word) for word in last])

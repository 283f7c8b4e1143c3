"""A SPICE netlist as an operator: the waveform of one source in, the waveform at a probe out, by ngspice.

There is no other solver behind it: where ngspice is missing this is an error, and `runs` counts its simulations. One
simulation answers all probes, and what was simulated is remembered, in a file where one is named: several networks on
one circuit, or a run that was killed, simulate a drive once.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from wheatstone.bench.checkpoint import read_tensors, write_tensors
from wheatstone.bench.errors import UserError, did_you_mean
from wheatstone.domains.electronic.analog.drive import nodes, respond
from wheatstone.domains.electronic.analog.engine import TIMEOUT, Engine
from wheatstone.domains.electronic.analog.jobs import Failure
from wheatstone.domains.electronic.analog.netlist import Netlist
from wheatstone.domains.physics.function_spaces import Array, FunctionBatch
from wheatstone.domains.physics.operators import OverTime

POINTS = 201
"""Points of the piecewise linear source."""
CHUNK = 8
"""Simulations of each worker between two reports of progress."""
SAVE_SECONDS = 10.0
"""Seconds of simulation that a kill may cost."""


@dataclass
class Circuit(OverTime):
    """The operator of a netlist: offset + amplitude * u over [0, horizon] at the source, to a probe's waveform.

    Attributes:
        netlist: a circuit without open values.
        source: name of a voltage or current source.
        probes: what one simulation reads, as 'v(out)', 'v(a,b)', 'i(v2)', '@q1[ic]'.
        horizon: end of the simulation, in seconds.
        amplitude, offset: volts or amperes of the drive.
        output: which of the probes is the operator's output.
        workers: simulations at once.
        timeout: seconds that one simulation may take.
        may_fail: share of the drives that ngspice may find no answer for; their labels are NaN.
        file: where simulated waveforms are kept; None keeps them in memory.
        watch: called with the number of functions that have been answered since the last call.
    """

    time_name = "t [s]"

    netlist: Netlist
    source: str
    probes: tuple[str, ...]
    horizon: float
    amplitude: float = 1.0
    offset: float = 0.0
    output: int = 0
    workers: int = 1
    timeout: float = TIMEOUT
    may_fail: float = 0.0
    file: Path | None = None
    watch: Callable[[int], None] | None = None
    runs: int = field(default=0, init=False)
    """Simulations behind the labels given so far."""

    def __post_init__(self) -> None:
        if not 0 < self.horizon < np.inf:
            raise UserError(f"{self.netlist.name}: the simulation ends at {self.horizon:g} s, must be above 0.")
        circuit = [*self.netlist.render({}), self.source, *self.probes, repr(self.horizon)]
        self._circuit = hashlib.sha256("\n".join(circuit).encode()).hexdigest()
        self._known = self._read() if self.file is not None else dict[str, Array]()

    def label(self, u: FunctionBatch, y: Float[Array, "function point dim"]) -> Float[Array, "function point"]:
        """The probe's waveform at times of each function.

        Raises UserError with ngspice's own words where more than `may_fail` of the functions have no answer.
        """
        unit = np.linspace(0.0, 1.0, POINTS)
        drives = self.offset + self.amplitude * u.at(unit)
        fine = np.linspace(0.0, self.horizon, 4 * (POINTS - 1) + 1)
        waves = self._simulated(unit * self.horizon, drives, fine)
        self.runs += len(drives)
        return np.stack([np.interp(t, fine, wave[self.output]) for t, wave in zip(y[:, :, 0], waves, strict=True)])

    def _simulated(
        self, times: Float[Array, " point"], drives: Float[Array, "drive point"], fine: Float[Array, " asked"]
    ) -> list[Float[Array, "probe asked"]]:
        names = [hashlib.sha256(row.tobytes()).hexdigest() for row in drives]
        left = [index for index, name in enumerate(names) if name not in self._known]
        if self.watch is not None:
            self.watch(len(names) - len(left))
        try:
            self._simulate_in_turn([(names[index], drives[index], index) for index in left], times, fine, len(names))
        finally:  # Ctrl-C too
            if left and self.file is not None:
                self._write(self.file)
        return [self._known[name] for name in names]

    def _simulate_in_turn(self, left: list[tuple[str, Array, int]], times: Array, fine: Array, asked: int) -> None:
        """Simulates drives, given with their name and number among those `asked` for."""
        failed, saved, first = 0, time.monotonic(), 0
        with Engine(self.workers, self.timeout) as engine:
            while first < len(left):
                # One first: what is wrong with the circuit is wrong for every drive.
                chunk = left[first : first + (CHUNK * self.workers if first else 1)]
                first += len(chunk)
                values = np.stack([drive for _, drive, _ in chunk])
                found = respond(engine, self.netlist, self.source, self.probes, times, values, fine)
                for (name, _, index), wave in zip(chunk, found, strict=True):
                    if isinstance(wave, Failure):
                        failed += 1
                        if failed > self.may_fail * asked:
                            raise self._refusal(wave, index)
                        wave = np.full((len(self.probes), len(fine)), np.nan)
                    self._known[name] = wave
                if self.watch is not None:
                    self.watch(len(chunk))
                if self.file is not None and time.monotonic() - saved > SAVE_SECONDS:
                    self._write(self.file)
                    saved = time.monotonic()

    def _refusal(self, failure: Failure, index: int) -> UserError:
        words = " ".join(str(failure.message).split())[:200]
        log = next((line.strip() for line in reversed(str(failure.log).splitlines()) if "rror" in line), "")[:160]
        hint = ""
        if failure.kind == "missing":
            known = [f"v({node})" for node in nodes(self.netlist) if node != "0"]
            asked = next((probe for probe in self.probes if f"'{probe}'" in words), self.probes[0])
            hint = did_you_mean(asked.lower(), known) + f" Nodes: {', '.join(known[:12])}."
        return UserError(
            f"{self.netlist.name}: ngspice gives no {','.join(self.probes)} for input function {index}: {words}"
            f"{f' ({log})' if log and log not in words else ''}.{hint}"
        )

    def _read(self) -> dict[str, Array]:
        """What a file of this circuit holds; nothing where it is missing, damaged or of another circuit."""
        assert self.file is not None
        try:
            tensors, record = read_tensors(self.file)
            if record.get("circuit") != self._circuit:
                return {}
            return dict(zip(record["drives"], tensors["waves"], strict=True))
        except (FileNotFoundError, UserError, KeyError, ValueError):
            return {}

    def _write(self, path: Path) -> None:
        if not self._known:
            return
        waves: dict[str, Any] = {"waves": np.stack(list(self._known.values()))}
        write_tensors(path, waves, {"circuit": self._circuit, "drives": list(self._known)})

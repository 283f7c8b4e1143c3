"""A SPICE netlist as an operator: the waveform of one source in, the waveform at a probe out, by ngspice.

There is no other solver behind it: where ngspice is missing this is an error, and `runs` counts its simulations.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from wheatstone.bench.errors import UserError
from wheatstone.domains.electronic.analog.drive import respond
from wheatstone.domains.electronic.analog.engine import Engine
from wheatstone.domains.electronic.analog.jobs import Failure
from wheatstone.domains.electronic.analog.netlist import Netlist
from wheatstone.domains.physics.function_spaces import Array, FunctionBatch
from wheatstone.domains.physics.operators import OverTime

POINTS = 201
"""Points of the piecewise linear source."""


@dataclass
class Circuit(OverTime):
    """The operator of a netlist: offset + amplitude * u over [0, horizon] at the source, to the probe's waveform.

    Attributes:
        netlist: a circuit without open values.
        source: name of a voltage or current source.
        probe: vector that is read, as 'v(out)'.
        horizon: end of the simulation, in seconds.
        amplitude, offset: volts or amperes of the drive.
        workers: simulations at once.
    """

    time_name = "t [s]"

    netlist: Netlist
    source: str
    probe: str
    horizon: float
    amplitude: float = 1.0
    offset: float = 0.0
    workers: int = 1
    runs: int = field(default=0, init=False)
    """Simulations so far."""

    def __post_init__(self) -> None:
        if not 0 < self.horizon < np.inf:
            raise UserError(f"{self.netlist.name}: the simulation ends at {self.horizon:g} s, must be above 0.")

    def label(self, u: FunctionBatch, y: Float[Array, "function point dim"]) -> Float[Array, "function point"]:
        """The probe's waveform at times of each function. Raises UserError with ngspice's own words."""
        unit = np.linspace(0.0, 1.0, POINTS)
        drives = self.offset + self.amplitude * u.at(unit)
        fine = np.linspace(0.0, self.horizon, 4 * (POINTS - 1) + 1)
        with Engine(self.workers) as engine:
            # One first: what is wrong with the circuit is wrong for every drive.
            waves = respond(engine, self.netlist, self.source, self.probe, unit * self.horizon, drives[:1], fine)
            _refuse(self.netlist, self.probe, waves, 0)
            rest = respond(engine, self.netlist, self.source, self.probe, unit * self.horizon, drives[1:], fine)
            self.runs += engine.runs
        _refuse(self.netlist, self.probe, rest, 1)
        pairs = zip(y[:, :, 0], [*waves, *rest], strict=True)
        return np.stack([np.interp(t, fine, np.asarray(wave)) for t, wave in pairs])


def _refuse(netlist: Netlist, probe: str, waves: list[Array | Failure], first: int) -> None:
    for index, wave in enumerate(waves, start=first):
        if isinstance(wave, Failure):
            words = " ".join(str(wave.message).split())[:200]
            log = next((line.strip() for line in reversed(str(wave.log).splitlines()) if "rror" in line), "")[:160]
            raise UserError(
                f"{netlist.name}: ngspice gives no {probe} for input function {index}: {words}"
                f"{f' ({log})' if log and log not in words else ''}."
            )

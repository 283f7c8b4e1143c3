"""What a designer reads off a simulated circuit: gain, bandwidth, peaking, noise, power, gate area, margins.

A measure that a response does not have is missing with a reason, never a number that looks good: a response that is
still within 3 dB at the last frequency has no bandwidth here, and one that crosses -3 dB several times has the last
crossing, with its peaking beside it. The crossing is linear between two points of the sweep, as ngspice's own `meas`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

Kind = Literal[
    "gain", "gain_db", "bandwidth", "unity_gain", "peaking", "phase_margin", "noise_density", "noise_average", "power",
    "gate_area", "saturation_margin", "vector", "final", "swing", "settling",
]  # fmt: skip
HALF_POWER = 1 / math.sqrt(2)
NEEDS: Mapping[str, str] = {
    "gain": "ac", "gain_db": "ac", "bandwidth": "ac", "unity_gain": "ac", "peaking": "ac", "phase_margin": "ac",
    "noise_density": "noise", "noise_average": "noise", "final": "tran", "swing": "tran", "settling": "tran",
}  # fmt: skip
"""Kind -> the analysis that it reads; the operating point otherwise."""


class MissingMeasureError(ValueError):
    """The response does not have this measure; the message says why."""


class Response(NamedTuple):
    """A frequency response."""

    frequency: np.ndarray
    """[point] in hertz, ascending."""
    value: np.ndarray
    """[point], complex."""


class Transient(NamedTuple):
    """A waveform."""

    time: np.ndarray
    """[point] in seconds."""
    value: np.ndarray


class Noise(NamedTuple):
    """Input-referred noise."""

    frequency: np.ndarray
    density: np.ndarray
    """[point] in V or A per square root of a hertz."""


@dataclass(frozen=True)
class Transistor:
    """The operating point of one transistor, in SI units; a MOS transistor's voltages are positive when it conducts."""

    name: str
    kind: Literal["m", "q"]
    values: Mapping[str, float]

    def get(self, name: str) -> float:
        """One value, NaN where the model does not have it."""
        return self.values.get(name, math.nan)

    @property
    def region(self) -> str:
        """'saturation', 'triode', 'off' of a MOS transistor; 'active', 'saturated', 'off' of a bipolar one."""
        if self.kind == "q":
            if self.get("vbe") < BIPOLAR_ON:
                return "off"
            return "active" if self.get("vbe") - self.get("vbc") > BIPOLAR_VCE else "saturated"
        if self.get("vgs") < self.get("vth") and not self.get("id") > CONDUCTS:
            return "off"
        return "saturation" if self.get("vds") > self.get("vdsat") else "triode"


BIPOLAR_ON = 0.5
"""Volts between base and emitter below which a transistor is off."""
BIPOLAR_VCE = 0.3
"""Volts between collector and emitter below which it saturates."""
CONDUCTS = 1e-7
"""Amperes above which a MOS transistor below threshold still works (weak inversion)."""


@dataclass(frozen=True)
class Simulated:
    """Everything that measures are read off."""

    voltages: Mapping[str, float]
    """Node, branch and other vectors of the operating point, as 'v(out)', 'i(vdd)'."""
    transistors: Sequence[Transistor]
    ac: Response | None = None
    noise: Noise | None = None
    tran: Transient | None = None
    supplies: Mapping[str, float] = field(default_factory=dict[str, float])
    """Voltage of each source that power is measured at."""


@dataclass(frozen=True)
class Measure:
    """One number of a design, with its unit."""

    name: str
    kind: Kind
    unit: str
    at: float | None = None
    """Frequency in hertz: of the reference gain (default: the lowest), or of the noise density."""
    source: str = ""
    """Supplies that power is summed over, separated by commas, or a vector of the operating point."""

    @property
    def in_decibel(self) -> bool:
        return self.unit in ("dB", "dBohm")


def measure(one: Measure, found: Simulated) -> float:
    """The number in SI units (decibels where it is in decibels).

    Raises MissingMeasureError that says why there is none.
    """
    value = KINDS[one.kind](one, found)
    if not math.isfinite(value):
        raise MissingMeasureError(f"{one.kind} is not finite")
    return value


def reference_gain(response: Response, at: float | None) -> float:
    """Magnitude on the plateau: at the lowest frequency, or at the one given (linear between points)."""
    magnitude = np.abs(response.value)
    return float(magnitude[0] if at is None else np.interp(at, response.frequency, magnitude))


def bandwidth(response: Response, at: float | None = None) -> float:
    """The last frequency at which the magnitude falls through 1/sqrt(2) of the plateau, in hertz.

    Raises MissingMeasureError for no gain at all, and for a response still above that at the last frequency.
    """
    reference = reference_gain(response, at)
    if reference <= 0:
        raise MissingMeasureError("no gain")
    try:
        return _last_fall(response.frequency, np.abs(response.value), reference * HALF_POWER)
    except MissingMeasureError:
        last = response.frequency[-1]
        raise MissingMeasureError(f"still within 3 dB at the last frequency, {last:g} Hz: sweep further") from None


def _last_fall(x: np.ndarray, y: np.ndarray, level: float) -> float:
    above = np.flatnonzero(y >= level)
    if not len(above) or above[-1] + 1 >= len(y):
        raise MissingMeasureError("no crossing")
    i = int(above[-1])
    return float(x[i] + (x[i + 1] - x[i]) * (y[i] - level) / (y[i] - y[i + 1]))


def _response(found: Simulated) -> Response:
    if found.ac is None:
        raise MissingMeasureError("no AC analysis")
    return found.ac


def _gain(one: Measure, found: Simulated) -> float:
    return reference_gain(_response(found), one.at)


def _gain_db(one: Measure, found: Simulated) -> float:
    gain = _gain(one, found)
    if gain <= 0:
        raise MissingMeasureError("no gain")
    return 20 * math.log10(gain)


def _bandwidth(one: Measure, found: Simulated) -> float:
    return bandwidth(_response(found), one.at)


def _unity(one: Measure, found: Simulated) -> float:  # noqa: ARG001
    response = _response(found)
    try:
        return _last_fall(response.frequency, np.abs(response.value), 1.0)
    except MissingMeasureError:
        raise MissingMeasureError("the magnitude never falls through 1") from None


def _phase_margin(one: Measure, found: Simulated) -> float:
    response = _response(found)
    phase = np.degrees(np.unwrap(np.angle(response.value)))
    start = 180.0 * round(float(phase[0]) / 180.0)  # an inverting amplifier begins at 180 degrees
    return 180.0 + float(np.interp(_unity(one, found), response.frequency, phase)) - start


def _peaking(one: Measure, found: Simulated) -> float:
    response = _response(found)
    reference = reference_gain(response, one.at)
    if reference <= 0:
        raise MissingMeasureError("no gain")
    return max(0.0, 20 * math.log10(float(np.abs(response.value).max()) / reference))


def _noise(found: Simulated) -> Noise:
    if found.noise is None:
        raise MissingMeasureError("no noise analysis")
    return found.noise


def _noise_density(one: Measure, found: Simulated) -> float:
    noise = _noise(found)
    return float(np.interp(noise.frequency[0] if one.at is None else one.at, noise.frequency, noise.density))


def _noise_average(one: Measure, found: Simulated) -> float:
    """Root of the mean square density from the lowest frequency to the bandwidth."""
    noise, end = _noise(found), bandwidth(_response(found), one.at)
    end = min(end, float(noise.frequency[-1]))
    inside = noise.frequency < end
    x = np.append(noise.frequency[inside], end)
    y = np.append(noise.density[inside], np.interp(end, noise.frequency, noise.density)) ** 2
    if len(x) < 2:
        raise MissingMeasureError("the bandwidth lies below the noise sweep")
    return math.sqrt(float(np.trapezoid(y, x)) / float(x[-1] - x[0]))


def _power(one: Measure, found: Simulated) -> float:
    total = 0.0
    for source in (name.strip().lower() for name in one.source.split(",")):
        total += -found.voltages[f"i({source})"] * found.supplies[source]
    return total


def _gate_area(one: Measure, found: Simulated) -> float:  # noqa: ARG001
    """Sum of W L M over all MOS transistors, in square metres, from the simulator's own instances."""
    areas = [t.get("w") * t.get("l") * t.get("m") for t in found.transistors if t.kind == "m"]
    if not areas:
        raise MissingMeasureError("no MOS transistor")
    return math.fsum(areas)


def _saturation_margin(one: Measure, found: Simulated) -> float:  # noqa: ARG001
    margins = [t.get("vds") - t.get("vdsat") for t in found.transistors if t.kind == "m"]
    margins += [t.get("vbe") - t.get("vbc") - BIPOLAR_VCE for t in found.transistors if t.kind == "q"]
    if not margins:
        raise MissingMeasureError("no transistor")
    return min(margins)


def _vector(one: Measure, found: Simulated) -> float:
    return found.voltages[one.source.lower()]


def _wave(found: Simulated) -> Transient:
    if found.tran is None:
        raise MissingMeasureError("no transient analysis")
    return found.tran


def _final(one: Measure, found: Simulated) -> float:  # noqa: ARG001
    return float(_wave(found).value[-1])


def _swing(one: Measure, found: Simulated) -> float:  # noqa: ARG001
    return float(np.ptp(_wave(found).value))


def _settling(one: Measure, found: Simulated) -> float:  # noqa: ARG001
    """Time from which the waveform stays within 1 % of its whole swing around its last value."""
    wave = _wave(found)
    outside = np.flatnonzero(np.abs(wave.value - wave.value[-1]) > 0.01 * np.ptp(wave.value))
    return float(wave.time[min(int(outside[-1]) + 1, len(wave.time) - 1)]) if len(outside) else 0.0


KINDS: Mapping[str, Callable[[Measure, Simulated], float]] = {
    "gain": _gain, "gain_db": _gain_db, "bandwidth": _bandwidth, "unity_gain": _unity, "peaking": _peaking,
    "phase_margin": _phase_margin, "noise_density": _noise_density, "noise_average": _noise_average, "power": _power,
    "gate_area": _gate_area, "saturation_margin": _saturation_margin, "vector": _vector, "final": _final,
    "swing": _swing, "settling": _settling,
}  # fmt: skip

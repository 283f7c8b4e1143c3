"""Measures of responses whose answer is known, and of responses that only look good."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wheatstone.domains.electronic.analog.measures import (
    Measure,
    MissingMeasureError,
    Noise,
    Response,
    Simulated,
    Transistor,
    measure,
)

FREQUENCY = np.logspace(2, 9, 701)


def simulated(value: np.ndarray) -> Simulated:
    return Simulated({}, (), Response(FREQUENCY, value.astype(complex)))


def test_one_pole() -> None:
    found = simulated(1000 / (1 + 1j * FREQUENCY / 1e6))
    assert measure(Measure("gain", "gain", ""), found) == pytest.approx(1000, rel=1e-6)
    assert measure(Measure("gain", "gain_db", "dB"), found) == pytest.approx(60, abs=1e-6)
    assert measure(Measure("bandwidth", "bandwidth", "Hz"), found) == pytest.approx(1e6, rel=2e-4)
    assert measure(Measure("peaking", "peaking", "dB"), found) == 0


def test_a_peaking_response_is_read_at_its_last_crossing() -> None:
    """Two resonances: it dips through -3 dB in between, and falls for good after the second."""
    s = 1j * FREQUENCY
    first, second = 1 / (1 + 0.6 * s / 1e5 + (s / 1e5) ** 2), (s / 1e7) ** 2 / (1 + 0.1 * s / 1e7 + (s / 1e7) ** 2)
    found = simulated(first + 2.0 * second * np.exp(-((FREQUENCY / 3e7) ** 2)))
    crossing = measure(Measure("bandwidth", "bandwidth", "Hz"), found)
    magnitude = np.abs(found.ac.value) if found.ac else np.empty(0)
    above = magnitude >= magnitude[0] / math.sqrt(2)
    assert np.count_nonzero(np.diff(above.astype(int)) == -1) >= 2
    assert crossing > 1e7
    assert measure(Measure("peaking", "peaking", "dB"), found) > 20


def test_a_response_that_does_not_fall_has_no_bandwidth() -> None:
    with pytest.raises(MissingMeasureError, match="still within 3 dB at the last frequency"):
        measure(Measure("bandwidth", "bandwidth", "Hz"), simulated(np.full(len(FREQUENCY), 5.0)))
    with pytest.raises(MissingMeasureError, match="no gain"):
        measure(Measure("bandwidth", "bandwidth", "Hz"), simulated(np.zeros(len(FREQUENCY))))


def test_white_noise_is_its_own_average() -> None:
    found = Simulated(
        {}, (), Response(FREQUENCY, 1 / (1 + 1j * FREQUENCY / 1e6)), Noise(FREQUENCY, np.full(len(FREQUENCY), 3e-12))
    )
    assert measure(Measure("noise", "noise_average", "A/sqrtHz"), found) == pytest.approx(3e-12, rel=1e-9)


def test_gate_area_counts_multipliers_and_every_device() -> None:
    devices = [
        Transistor("m1", "m", {"w": 2e-6, "l": 1e-6, "m": 3.0}),
        Transistor("m2", "m", {"w": 1e-6, "l": 1e-6, "m": 1.0}),
    ]
    assert measure(Measure("area", "gate_area", "m^2"), Simulated({}, devices)) == pytest.approx(7e-12)


@pytest.mark.parametrize(
    ("values", "region"),
    [
        ({"vgs": 0.9, "vth": 0.6, "vds": 0.8, "vdsat": 0.2, "id": 1e-4}, "saturation"),
        ({"vgs": 0.9, "vth": 0.6, "vds": 0.1, "vdsat": 0.2, "id": 1e-4}, "triode"),
        ({"vgs": 0.1, "vth": 0.6, "vds": 1.8, "vdsat": 0.05, "id": 1e-12}, "off"),
    ],
)
def test_regions(values: dict[str, float], region: str) -> None:
    assert Transistor("m1", "m", values).region == region

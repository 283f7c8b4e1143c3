"""A circuit as an operator, beside answers that are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from wheatstone.bench.errors import UserError
from wheatstone.domains.electronic.analog.binding import library_path
from wheatstone.domains.electronic.analog.drive import driven, respond
from wheatstone.domains.electronic.analog.engine import Engine
from wheatstone.domains.electronic.analog.jobs import Failure
from wheatstone.domains.electronic.analog.netlist import parse_netlist

LADDER = "t\nVIN in 0 SIN(0 1 1k)\nR1 in out 1k\nC1 out 0 1u\n"
TIME = np.linspace(0, 5e-3, 101)


@pytest.mark.skipif(library_path() is None, reason="ngspice is not installed: apt-get install ngspice libngspice0")
def test_a_low_pass_follows_ramps_and_clippers_clip() -> None:
    ramps = np.array([[1.0], [-2.0]]) * TIME / TIME[-1]
    at = np.linspace(1e-4, 5e-3, 17)
    with Engine(workers=2, timeout=20) as engine:
        found = respond(engine, parse_netlist(LADDER, "l.sp"), "Vin", "v(out)", TIME, ramps, at)
        clipper = parse_netlist("t\nV1 a 0 0\nR1 a out 1k\nD1 out 0 d\n.model d D(IS=1e-14)\n", "c.sp")
        (clipped,) = respond(engine, clipper, "v1", "v(out)", TIME, 5 * ramps[:1], at)
        (failed,) = respond(engine, clipper, "v1", "v(none)", TIME, ramps[:1], at)
    for slope, wave in zip((200.0, -400.0), found, strict=True):
        assert not isinstance(wave, Failure)
        np.testing.assert_allclose(wave, slope * (at - 1e-3 * (1 - np.exp(-at / 1e-3))), atol=2e-4)
    assert not isinstance(clipped, Failure)
    assert 0.6 < clipped[-1] < 0.8
    assert isinstance(failed, Failure)


@pytest.mark.parametrize(
    ("source", "time", "message"),
    [
        ("vinn", TIME, r"l\.sp: no source 'vinn'. Did you mean 'vin'"),
        ("vin", TIME[::-1], "times must increase"),
        ("vin", TIME[:5], "101 values at 5 times"),
    ],
)
def test_what_cannot_be_driven(source: str, time: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        driven(parse_netlist(LADDER, "l.sp"), source, time, np.zeros(101))

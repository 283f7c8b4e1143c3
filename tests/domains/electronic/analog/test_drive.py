"""A circuit as an operator, beside answers that are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from wheatstone.bench.errors import UserError
from wheatstone.domains.electronic.analog.binding import library_path
from wheatstone.domains.electronic.analog.drive import driven, nodes, respond, split_probes
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
        found = respond(engine, parse_netlist(LADDER, "l.sp"), "Vin", ["v(out)"], TIME, ramps, at)
        clipper = parse_netlist("t\nV1 a 0 0\nR1 a out 1k\nD1 out 0 d\n.model d D(IS=1e-14)\n", "c.sp")
        (clipped,) = respond(engine, clipper, "v1", ["v(out)"], TIME, 5 * ramps[:1], at)
        (failed,) = respond(engine, clipper, "v1", ["v(none)"], TIME, ramps[:1], at)
    for slope, wave in zip((200.0, -400.0), found, strict=True):
        assert not isinstance(wave, Failure)
        np.testing.assert_allclose(wave[0], slope * (at - 1e-3 * (1 - np.exp(-at / 1e-3))), atol=2e-4)
    assert not isinstance(clipped, Failure)
    assert 0.6 < clipped[0, -1] < 0.8
    assert isinstance(failed, Failure)


@pytest.mark.skipif(library_path() is None, reason="ngspice is not installed: apt-get install ngspice libngspice0")
def test_differences_and_currents_of_devices_are_read_in_one_simulation() -> None:
    at = np.linspace(1e-4, 5e-3, 17)
    with Engine(timeout=20) as engine:
        probes = ["v(in)", "V(out)", "v(in, out)", "i(vin)", "@r1[i]"]
        (found,) = respond(engine, parse_netlist(LADDER, "l.sp"), "Vin", probes, TIME, 200 * TIME[None], at)
        assert engine.runs == 1
        (single,) = respond(engine, parse_netlist(LADDER, "l.sp"), "Vin", ["@r1[resistance]"], TIME, TIME[None], at)
    assert not isinstance(found, Failure)
    np.testing.assert_allclose(found[2], found[0] - found[1], atol=1e-12)
    np.testing.assert_allclose(found[4], found[2] / 1e3, atol=1e-9)
    np.testing.assert_allclose(found[3], -found[4], atol=1e-9)
    assert not isinstance(single, Failure)
    np.testing.assert_allclose(single, 1e3)


def test_a_source_of_the_same_name_in_a_subcircuit_stays() -> None:
    text = "t\nV1 in 0 1\nX1 in out amp\n.subckt amp a b\nV1 a b 2\nV2 a 0 3\n.ends\n"
    deck = driven(parse_netlist(text, "s.sp"), "V1", TIME, np.zeros(101))
    assert [line for line in deck if line.startswith("v1 in 0 PWL")]
    assert "V1 a b 2" in deck
    with pytest.raises(UserError, match=r"no source 'V2'.* Sources: v1\."):
        driven(parse_netlist(text, "s.sp"), "V2", TIME, np.zeros(101))


def test_probes_are_split_where_no_bracket_is_open() -> None:
    assert split_probes("v(out), v(a,b),i(v1),@m.x1.m2[id]") == ("v(out)", "v(a,b)", "i(v1)", "@m.x1.m2[id]")
    with pytest.raises(UserError, match="must be vectors separated by commas"):
        split_probes("v(out),")


def test_nodes_are_those_of_the_circuit() -> None:
    text = "t\nV1 IN 0 1\nQ1 c b 0 mod\nX1 p out amp\n.subckt amp a b\nR1 a b 1\n.ends\n"
    assert nodes(parse_netlist(text, "n.sp")) == ["in", "0", "c", "b", "p", "out"]


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

"""ngspice itself: known circuits, both ways of calling it, and every way in which it can fail."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np
import pytest

from wheatstone.bench.errors import UserError
from wheatstone.domains.electronic.analog import engine as engines
from wheatstone.domains.electronic.analog.binding import library_path
from wheatstone.domains.electronic.analog.engine import Engine
from wheatstone.domains.electronic.analog.jobs import Analysis, Failure, Waves
from wheatstone.domains.electronic.analog.library import OutOfBinError, library
from wheatstone.domains.electronic.analog.netlist import parse_netlist
from wheatstone.domains.electronic.analog.program import program_path, read_raw

pytestmark = pytest.mark.skipif(
    library_path() is None or program_path() is None,
    reason="ngspice is not installed: apt-get install ngspice libngspice0",
)
BOLTZMANN = 1.380649e-23
RC = ("V1 in 0 dc 2 ac 1", "R1 in out 1k", "C1 out 0 1n")
OP = (Analysis("op", ("v(out)",)),)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(timeout=20) as one:
        yield one


def waves(found: Waves | Failure) -> Waves:
    assert not isinstance(found, Failure), found
    return found


def test_a_low_pass_does_what_the_textbook_says(engine: Engine) -> None:
    analyses = (
        *OP,
        Analysis("ac dec 50 1k 100meg", ("frequency", "v(out)")),
        Analysis("noise v(out) v1 dec 10 1 10k", ("frequency", "inoise_spectrum", "onoise_spectrum")),
    )
    point, ac, noise = waves(engine.run(RC, analyses))
    assert point["v(out)"][0] == pytest.approx(2.0, rel=1e-6)
    f = np.real(ac["frequency"])
    expected = 1 / (1 + 2j * np.pi * f * 1e-6)
    assert np.abs(ac["v(out)"] - expected).max() < 1e-9
    assert noise["onoise_spectrum"][0] == pytest.approx(math.sqrt(4 * BOLTZMANN * 300.15 * 1e3), rel=1e-4)


def test_a_step_settles_with_the_time_constant(engine: Engine) -> None:
    deck = ("V1 in 0 PULSE(0 1 0 1p 1p 1 2)", *RC[1:])
    (tran,) = waves(engine.run(deck, (Analysis("tran 10n 5u", ("time", "v(out)")),)))
    assert np.interp(1e-6, tran["time"], tran["v(out)"]) == pytest.approx(1 - math.exp(-1), abs=2e-3)


def test_the_program_gives_the_same_numbers(engine: Engine) -> None:
    analyses = (
        *OP,
        Analysis("ac dec 5 1k 1g", ("frequency", "v(out)")),
        Analysis("noise v(out) v1 dec 2 1 1k", ("inoise_spectrum",)),
    )
    ours = waves(engine.run(RC, analyses))
    with Engine(backend="program", timeout=20) as other:
        theirs = waves(other.run(RC, analyses))
    for one, two in zip(ours, theirs, strict=True):
        for name, values in one.items():
            np.testing.assert_allclose(values, two[name], rtol=1e-12)


@pytest.mark.parametrize(
    ("deck", "kind", "words"),
    [
        (("V1 out 0 1", "V2 out 0 2"), "convergence", "singular matrix"),
        (("V1 out 0 1", "M1 out out 0 0 foo w=1u l=1u"), "netlist", "valid modelname"),
        (("V1 out 0 1", "X1 out 0 foo"), "netlist", "unknown subckt"),
        (("V1 out 0 {foo}",), "netlist", "Undefined parameter"),
        (("V1 a 0 1", "R1 a 0 1k"), "missing", r"no vector 'v\(out\)'"),
        (("V1 a 0 1", "B1 out 0 V={exp(v(out)*50)+1}", "R1 out 0 1k"), "convergence", "Timestep too small"),
    ],
)
@pytest.mark.parametrize("backend", ["library", "program"])
def test_a_failure_is_a_value_and_the_next_job_runs(
    deck: tuple[str, ...], kind: str, words: str, backend: engines.Backend, engine: Engine
) -> None:
    with Engine(backend="program", timeout=20) if backend == "program" else Engine(timeout=20) as one:
        found = one.run(deck, OP)
        assert isinstance(found, Failure)
        assert found.kind == kind
        if backend == "library":
            assert re.search(words, found.message, re.IGNORECASE)
        assert waves(one.run(RC, OP))[0]["v(out)"][0] == pytest.approx(2.0, rel=1e-6)
    del engine


def test_a_failure_never_returns_the_numbers_of_the_design_before(engine: Engine) -> None:
    waves(engine.run(RC, OP))
    found = engine.run(("V1 out 0 1", "V2 out 0 2"), OP)
    assert isinstance(found, Failure)


@pytest.mark.parametrize("backend", ["library", "program"])
def test_the_watchdog_stops_what_does_not_end(backend: engines.Backend) -> None:
    with Engine(backend=backend, timeout=20) as one:
        waves(one.run(RC, OP))
        one.timeout = 0.5
        found = one.run(("V1 in 0 SIN(0 1 1g)", *RC[1:]), (Analysis("tran 1p 1", ("v(out)",)),))
        assert isinstance(found, Failure)
        assert found.kind == "timeout"
        one.timeout = 20
        waves(one.run(RC, OP))


def test_several_workers_keep_the_order(engine: Engine) -> None:
    decks = [("V1 in 0 1", f"R1 in out {r}k", "R2 out 0 1k") for r in range(1, 9)]
    with Engine(workers=2, timeout=20) as two:
        found = [waves(one)[0]["v(out)"][0] for one in two.run_all((deck, OP) for deck in decks)]
    assert found == pytest.approx([1 / (1 + r) for r in range(1, 9)], rel=1e-6)
    assert two.runs == 8
    del engine


def test_optional_vectors_may_be_absent(engine: Engine) -> None:
    (point,) = waves(engine.run(RC, (Analysis("op", ("?@m1[gm]", "v(out)")),)))
    assert len(point["@m1[gm]"]) == 0
    assert point["v(out)"][0] == pytest.approx(2.0, rel=1e-6)


def test_without_ngspice_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "library_path", lambda: None)
    assert engines.chosen_backend() == "program"
    monkeypatch.setattr(engines, "program_path", lambda: None)
    with pytest.raises(UserError, match="apt-get install -y ngspice libngspice0"):
        Engine()


def test_raw_files_of_another_format_are_refused() -> None:
    with pytest.raises(ValueError, match="not an ASCII raw file"):
        read_raw("Binary:\n...")


# Real device models


def amplifier(width: str, multiplier: int = 1) -> list[str]:
    text = f"""t
VDD vdd 0 1.8
VIN in 0 dc 0.8 ac 1
M1 out in 0 0 sky130_fd_pr__nfet_01v8__model w={width} l=0.15u m={multiplier}
R1 vdd out 5k
C1 out 0 100f
"""
    return parse_netlist(text, "a.sp").render({})


@pytest.fixture(scope="module")
def sky130() -> None:
    try:
        library("sky130").models("tt")
    except UserError as fault:
        pytest.skip(str(fault).splitlines()[0])


@pytest.mark.usefixtures("sky130")
def test_the_needed_bins_give_exactly_what_all_bins_give(engine: Engine) -> None:
    models = library("sky130").models("tt")
    everything = [line for cards in models.bins.values() for card in cards for line in card.lines]
    analyses = (Analysis("op", ("v(out)", "@m1[gm]", "@m1[vth]")), Analysis("ac dec 5 1k 10g", ("v(out)",)))
    for width in ("2u", "1.1u", "20u"):
        deck = amplifier(width)
        needed = models.needed(deck)
        assert len(needed) <= 4 < len(everything)
        few, many = waves(engine.run(deck + needed, analyses)), waves(engine.run(deck + everything, analyses))
        for one, two in zip(few, many, strict=True):
            for name, values in one.items():
                assert np.array_equal(values, two[name]), name


@pytest.mark.usefixtures("sky130")
def test_sizes_outside_every_bin_are_refused() -> None:
    with pytest.raises(OutOfBinError, match=r"M1: L 0.15 um, W 900 um lie in no bin of .* \(L 0.15 to"):
        library("sky130").models("tt").needed(amplifier("900u"))


@pytest.mark.usefixtures("sky130")
def test_the_model_card_and_the_corner_matter(engine: Engine) -> None:
    """Were the simulator a formula of our own, neither would move anything."""
    deck = amplifier("2u")
    card = library("sky130").models("tt").needed(deck)
    thicker = [line.replace("toxe = 4.148e-09", "toxe = 4.5e-09") for line in card]
    assert thicker != card
    slow = library("sky130").models("ss").needed(deck)
    outs = [waves(engine.run(deck + lines, OP))[0]["v(out)"][0] for lines in (card, thicker, slow)]
    assert outs[1] > outs[0] + 0.005
    assert outs[2] > outs[0] + 0.05


@pytest.mark.usefixtures("sky130")
def test_the_multiplier_is_read_back_from_the_simulator(engine: Engine) -> None:
    deck = amplifier("2u", multiplier=3)
    read = (Analysis("op", ("@m1[w]", "@m1[l]", "@m1[m]")),)
    (point,) = waves(engine.run(deck + library("sky130").models("tt").needed(deck), read))
    assert [values[0] for values in point.values()] == pytest.approx([2e-6, 0.15e-6, 3.0], rel=1e-6)

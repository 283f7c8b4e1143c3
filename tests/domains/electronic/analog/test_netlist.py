"""Numbers, braces, netlists and specifications as people write them, and what is said about the broken ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from wheatstone.bench.errors import InputError
from wheatstone.domains.electronic.analog.expression import UnknownNameError, evaluate, names_in
from wheatstone.domains.electronic.analog.netlist import parse_device, parse_netlist, read_netlist
from wheatstone.domains.electronic.analog.specification import parse_specification
from wheatstone.domains.electronic.analog.testbench import Testbench
from wheatstone.domains.electronic.analog.units import number, shown

SPEC = """
[analyses]
output = "v(out)"
ac = "dec 10 1 1g"
[params.r1]
low = "1k"
high = "10k"
[measures.gain]
kind = "gain"
[constraints.gain]
at_least = 0.5
"""
DIVIDER = "divider\nV1 in 0 dc 1 ac 1\nR1 in out {r1}\nR2 out 0 1k\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [("2.5u", 2.5e-6), ("10meg", 1e7), ("1m", 1e-3), ("250fF", 250e-15), ("1e-6", 1e-6), ("3", 3.0), ("1kohm", 1e3)],
)
def test_spice_numbers(text: str, value: float) -> None:
    assert number(text) == pytest.approx(value, rel=1e-12)


def test_what_is_no_number() -> None:
    for text in ("", "u", "1..2", "nan", "2 3", "1e999"):
        with pytest.raises(ValueError, match=r"number|finite"):
            number(text)


def test_numbers_as_a_designer_reads_them() -> None:
    assert shown(20_700, "ohm") == "20.7 kohm"
    assert shown(9.25e-12, "m^2") == "9.25 um^2"
    assert shown(57.9, "dBohm") == "57.9 dBohm"
    assert shown(float("nan"), "Hz") == "none"


def test_braces() -> None:
    assert evaluate("2*w1 + 1u", {"w1": 2e-6}) == pytest.approx(5e-6)
    assert evaluate("sqrt(W1/1u)", {"w1": 4e-6}) == pytest.approx(2.0)
    assert names_in("2*w1 + 10meg*sqrt(r_x)") == {"w1", "r_x"}
    with pytest.raises(UnknownNameError):
        evaluate("w2", {})
    for text in ("__import__('os')", "(1).real", "1/0", "(-1)^0.5", "[1]", "a" * 600):
        with pytest.raises(ValueError, match=r"arithmetic|value|characters"):
            evaluate(text, {})


def test_holes_are_filled_and_own_params_give_way() -> None:
    netlist = parse_netlist("t\n.param r1=5k c=1p\nR1 a 0 {2*r1}\nC1 a 0 {c}\nV1 a\n+ 0 1\n.ac dec 10 1 10\n", "t.sp")
    assert netlist.render({"r1": 1000.0}) == [
        ".param r1=1000.0",
        ".param c=1p",
        "R1 a 0 2000.0",
        "C1 a 0 1e-12",
        "V1 a 0 1",
    ]
    assert netlist.render({})[0] == ".param r1=5k c=1p"


def test_fields_without_holes_are_set() -> None:
    netlist = parse_netlist("t\nM1 d g 0 0 nch w=1u l=1u\nR1 d 0 5k\n", "t.sp")
    lines = netlist.render({}, {("m1", "w"): 2e-6, ("r1", "value"): 7.0, ("m1", "m"): 3.0})
    assert lines == ["M1 d g 0 0 nch w=2e-06 l=1u m=3.0", "R1 d 0 7.0"]


def test_control_blocks_are_left_out() -> None:
    netlist = parse_netlist("t\nR1 a 0 1k\n.control\nshell touch x\n.endc\n.end\n", "t.sp")
    assert [line.text for line in netlist.lines] == ["R1 a 0 1k"]


def test_included_sections_become_part_of_the_deck(tmp_path: Path) -> None:
    (tmp_path / "m.lib").write_text(
        ".lib tt\n.model nch nmos vto=0.5\n.endl tt\n.lib ss\n.model nch nmos vto=0.7\n.endl\n"
    )
    (tmp_path / "a.sp").write_text("t\nM1 d g 0 0 nch w=1u l=1u\n.lib 'm.lib' ss\n")
    assert [line.text for line in read_netlist(tmp_path / "a.sp").lines][-1] == ".model nch nmos vto=0.7"
    (tmp_path / "a.sp").write_text("t\nR1 a 0 1\n.lib 'm.lib' ff\n")
    with pytest.raises(InputError, match=r"a\.sp:3: m\.lib has no section 'ff'; it has tt, ss"):
        read_netlist(tmp_path / "a.sp")
    (tmp_path / "a.sp").write_text("t\nR1 a 0 1\n.include none.lib\n")
    with pytest.raises(InputError, match=r"a\.sp:3: .*none\.lib: no such model file"):
        read_netlist(tmp_path / "a.sp")
    (tmp_path / "a.sp").write_text("t\nR1 a 0 1\n.include a.sp\n")
    with pytest.raises(InputError, match="a circle"):
        read_netlist(tmp_path / "a.sp")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t\nR1 a 0\n", r"x\.sp:2: R1 has no value"),
        ("t\nM1 a b\n", r"x\.sp:2: M1 has 2 nodes, must have 4"),
        ("t\nM1 a b c d w=1u\n", r"x\.sp:2: M1 has no model"),
        ("t\nR1 a 0 {r\n", r"x\.sp:2: .*brace without its partner"),
        ("t\n+ 3\n", r"x\.sp:2: a continuation"),
        ("t\n.param a=1\n", r"x\.sp: no device"),
        ("", r"x\.sp: no device"),
    ],
)
def test_broken_netlists(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_netlist(text, "x.sp")


def test_devices() -> None:
    device = parse_device("M1 d g 0 0 nch w=2u l=0.15u m=2")
    assert device is not None
    assert (device.name, device.kind, device.model, device.value("w")) == ("m1", "m", "nch", 2e-6)
    assert parse_device(".model nch nmos") is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('low = "1k"', 'low = "20k"', r"s\.toml field 'params.r1.low': low 20k must be below high 10k"),
        ('low = "1k"', 'low = "-1"', r"params.r1.low': is -1; a logarithmic range lies above 0"),
        ('low = "1k"', 'low = "x"', r"params.r1.low': 'x' is not a number"),
        ('low = "1k"\n', "", r"params.r1.low': missing"),
        ('kind = "gain"', 'kind = "gian"', r"measures.gain.kind': no measure 'gian'. Did you mean 'gain'"),
        ("[constraints.gain]", "[constraints.area]", r"constraints.area': no measure 'area' is produced"),
        ('ac = "dec 10 1 1g"\n', "", r"measures.gain': gain is not produced without \[analyses\] ac"),
        ("at_least", "atleast", r"constraints.gain.atleast': no such field. Did you mean 'at_least'"),
        ("[params.r1]", "[parms.r1]", r"field 'parms': no such field. Did you mean 'params'"),
        ("[params.r1]", "[params.r1", r"s\.toml: not TOML"),
        ("0.5", "-1", r"bounds are compared by their ratio"),
    ],
)
def test_broken_specifications(old: str, new: str, message: str) -> None:
    assert old in SPEC
    with pytest.raises(InputError, match=message):
        parse_specification(SPEC.replace(old, new), "s.toml", "s")


@pytest.mark.parametrize(
    ("netlist", "spec", "message"),
    [
        (DIVIDER.replace("{r1}", "{rx}"), SPEC, r"d\.sp:3: '\{rx\}' has no range"),
        (DIVIDER.replace("{r1}", "1k"), SPEC, r"params.r1': d\.sp has no hole '\{r1\}'"),
        (DIVIDER, SPEC.replace('high = "10k"', 'high = "10k"\nsets = "R9.value"'), r"no R9 in d\.sp"),
        (DIVIDER + "M1 out in 0 0 foo w=1u l=1u\n", SPEC, r"d\.sp:5: M1: no model 'foo'"),
        (DIVIDER, SPEC.replace("1 1g", "1 1g; shell ls"), r"analyses.ac': has a sign that no analysis has"),
        (
            DIVIDER,
            SPEC + '[measures.power]\nsource = "vdd"\n',
            r"power is measured at 'vdd', and there is no such source",
        ),
        (DIVIDER, SPEC + '[models]\nlibrary = "sky31"\n', r"unknown models 'sky31'. Did you mean 'sky130'"),
    ],
)
def test_netlist_and_specification_that_do_not_belong_together(netlist: str, spec: str, message: str) -> None:
    with pytest.raises(Exception, match=message):
        Testbench(parse_specification(spec, "s.toml", "s"), parse_netlist(netlist, "d.sp"))


def test_grids_keep_values_inside_their_range() -> None:
    param = parse_specification(SPEC.replace('high = "10k"', 'high = "10k"\ngrid = 300'), "s.toml", "s").params[0]
    values = {param.value(share / 50) for share in range(51)}
    assert all(1e3 <= value <= 1e4 and value % 300 == 0 for value in values)
    assert param.share(param.value(0.4)) == pytest.approx(0.4, abs=0.1)

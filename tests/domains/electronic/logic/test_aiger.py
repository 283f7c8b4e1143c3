"""AIGER in and out: round trips, faults with their place, and what the format's own paper gives as examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from aigverse.io import read_aiger_into_aig
from hypothesis import given
from hypothesis import strategies as st
from tests.domains.electronic.logic.graphs import aigs

from wheatstone.bench.errors import UserError
from wheatstone.domains.data import data_folder
from wheatstone.domains.electronic.logic.aig import Aig, side_by_side
from wheatstone.domains.electronic.logic.aiger import aiger_bytes, parse_aiger, read_aiger, structure_end, write_aiger

HERE = Path("c.aig")
# From the format's paper: an AND gate, an OR gate, and a half adder with names.
AND = b"aag 3 2 0 1 1\n2\n4\n6\n6 2 4\n"
OR = b"aag 3 2 0 1 1\n2\n4\n7\n6 3 5\n"
HALF_ADDER = b"""aag 7 2 0 2 3
2
4
6
12
6 13 15
12 2 4
14 3 5
i0 x
i1 y
o0 s
o1 c
c
half adder
"""
TOGGLE = b"aag 1 0 1 2 0\n2 3\n2\n3\n"
PUBLISHED_GATES = {
    "adder": 1020, "arbiter": 11839, "bar": 3336, "cavlc": 693, "ctrl": 174, "dec": 304, "div": 57247, "i2c": 1342,
    "int2float": 260, "log2": 32060, "max": 2865, "mem_ctrl": 46836, "multiplier": 27062, "priority": 978,
    "router": 257, "sin": 5416, "sqrt": 24618, "square": 18484, "voter": 13758,
}  # fmt: skip
"""Gates of the EPFL benchmarks (Amarù, Gaillardon, De Micheli, IWLS 2015, table of the suite)."""

FAULTS = {
    b"": "c.aig:1: the file ends here; expected aig or aag, then the numbers M I L O A",
    b"hello\n": "c.aig:1: starts with 'hello': not an AIGER file.",
    b"aag 3 2 0 1\n": "c.aig:1: got 'aag 3 2 0 1', expected aig or aag",
    b"aag 1 2 0 1 1\n2\n4\n6\n": "c.aig:1: I + L + A is 3 and M is 1; the sum must not exceed M",
    b"aig 9 2 0 1 1\n6\n": "c.aig:1: I + L + A is 3 and M is 9; the sum must equal M",
    b"aag 3 2 0 1 1 1\n2\n4\n6\n6 2 4\n": "c.aig:1: bad states, constraints, justice and fairness",
    b"aag 99999999 0 0 1 99999999\n": "c.aig:1: the header promises more than the file holds",
    b"aig 90000000 90000000 0 0 0\n": "c.aig:1: 90000000 inputs, far more than a file of 28 bytes can use",
    b"aag 3 2 0 1 1\n2\nx\n6\n6 2 4\n": "c.aig:3: got 'x', expected an even literal from 2 to 2 M",
    b"aag 3 2 0 1 1\n2\n3\n6\n6 2 4\n": "c.aig:3: 3 cannot be defined; expected an even literal",
    b"aag 3 2 0 1 1\n2\n2\n6\n6 2 4\n": "c.aig:3: literal 2 is defined twice",
    b"aag 3 2 0 1 1\n2\n4\n8\n6 2 4\n": "c.aig:4: literal 8 is above 2 M + 1 = 7",
    b"aag 3 2 0 1 1\n2\n4\n6\n6 2\n": "c.aig:5: got '6 2', expected a gate: its literal and those of its two fan-ins",
    b"aag 3 2 0 1 1\n2\n4\n6\n4 2 4\n": "c.aig:5: literal 4 is defined twice",
    b"aag 5 2 0 1 2\n2\n4\n6\n6 8 2\n8 6 4\n": "depends on itself",
    b"aag 5 2 0 1 1\n2\n4\n10\n6 2 4\n": "c.aig: literal 10 is used and never defined",
    AND + b"i7 a\n": "c.aig:6: symbol i7 a: there are 2 of its kind, counted from 0",
    AND + b"nonsense\n": "c.aig:6: got 'nonsense', expected a symbol as 'i0 name'",
    b"aig 3 2 0 1 1\n6\n\x02": "c.aig: byte 17: the file ends within gate 1 of 1",
    b"aig 3 2 0 1 1\n6\n\x07\x00": "c.aig: byte 16: gate 1: delta 7 from literal 6; a fan-in is below its gate",
    b"aig 3 2 0 1 1\n6\n\x00\x02": "c.aig: byte 16: gate 1: delta 0 from literal 6",
    TOGGLE: "c.aig:1: 1 latches; only combinational circuits are taken. Cut them (--cut-latches)",
}


@pytest.mark.parametrize("data", FAULTS, ids=lambda data: data[:30].decode("latin-1").encode("unicode_escape").decode())
def test_a_fault_has_its_place(data: bytes) -> None:
    with pytest.raises(UserError) as fault:
        parse_aiger(data, HERE)
    assert FAULTS[data] in str(fault.value)


def test_examples_of_the_format() -> None:
    assert parse_aiger(AND, HERE).truth_table()[:, 0].tolist() == [False, False, False, True]
    assert parse_aiger(OR, HERE).truth_table()[:, 0].tolist() == [False, True, True, True]
    adder = parse_aiger(HALF_ADDER, HERE)
    assert adder.input_names == ("x", "y")
    assert adder.output_names == ("s", "c")
    assert adder.truth_table().tolist() == [[False, False], [True, False], [True, False], [False, True]]
    assert adder.n_gates == 3
    assert adder.depth == 2


def test_a_latch_that_is_cut_is_an_input_and_an_output() -> None:
    toggle = parse_aiger(TOGGLE, HERE, cut_latches=True)
    assert toggle.input_names == ("l0",)
    assert toggle.output_names == ("o0", "o1", "l0_next")
    assert toggle.truth_table().tolist() == [[False, True, True], [True, False, False]]


@given(aigs(), st.booleans())
def test_what_is_written_is_read_back(aig: Aig, ascii_form: bool) -> None:
    again = parse_aiger(aiger_bytes(aig, ascii_form=ascii_form), HERE)
    # The binary form orders the two fan-ins of a gate.
    expected = aig.fanins if ascii_form else np.sort(aig.fanins, axis=1)[:, ::-1]
    assert np.array_equal(again.fanins, expected)
    assert np.array_equal(again.outputs, aig.outputs)
    assert (again.input_names, again.output_names) == (aig.input_names, aig.output_names)
    assert np.array_equal(again.truth_table(), aig.truth_table())


@given(aigs(most_gates=12), st.randoms(use_true_random=False))
def test_gates_may_come_in_any_order(aig: Aig, random: object) -> None:
    lines = aiger_bytes(aig, ascii_form=True).splitlines(keepends=True)
    first = 1 + aig.n_inputs + aig.n_outputs
    gates = lines[first : first + aig.n_gates]
    random.shuffle(gates)  # pyright: ignore[reportAttributeAccessIssue]
    mixed = b"".join([*lines[:first], *gates, *lines[first + aig.n_gates :]])
    assert np.array_equal(parse_aiger(mixed, HERE).truth_table(), aig.truth_table())


@given(aigs(), st.binary(max_size=20))
def test_the_structure_ends_where_names_begin(aig: Aig, comment: bytes) -> None:
    data = aiger_bytes(Aig(aig.n_inputs, aig.fanins, aig.outputs))
    assert structure_end(data + b"c\n" + comment) == len(data)


@given(aigs(named=False))
def test_another_reader_sees_the_same_graph(tmp_path_factory: pytest.TempPathFactory, aig: Aig) -> None:
    path = tmp_path_factory.mktemp("aig") / "c.aig"
    write_aiger(path, aig)
    other = read_aiger_into_aig(str(path))
    assert (other.num_pis, other.num_pos) == (aig.n_inputs, aig.n_outputs)
    assert other.num_gates <= aig.n_gates  # it shares equal gates


@given(aigs(), aigs())
def test_two_graphs_side_by_side_do_not_meet(left: Aig, right: Aig) -> None:
    both = side_by_side(left, right).truth_table()
    rows = np.arange(len(both))
    assert np.array_equal(both[:, : left.n_outputs], left.truth_table()[rows % 2**left.n_inputs])
    assert np.array_equal(both[:, left.n_outputs :], right.truth_table()[rows >> left.n_inputs])


@pytest.mark.parametrize("name", PUBLISHED_GATES)
def test_published_gate_counts(name: str) -> None:
    path = data_folder() / "aig" / "epfl" / f"{name}.aig"
    if not path.is_file():
        pytest.skip("the EPFL benchmarks are not in the data folder")
    assert read_aiger(path).n_gates == PUBLISHED_GATES[name]


def test_the_published_adder_adds() -> None:
    path = data_folder() / "aig" / "epfl" / "adder.aig"
    if not path.is_file():
        pytest.skip("the EPFL benchmarks are not in the data folder")
    adder, rng = read_aiger(path), np.random.default_rng(0)
    bits = rng.integers(0, 2, size=(200, 256)).astype(bool)
    found = adder.evaluate(bits)

    def number(row: np.ndarray) -> int:
        return sum(int(bit) << place for place, bit in enumerate(row))

    for row, out in zip(bits, found, strict=True):
        assert number(out) == number(row[:128]) + number(row[128:])

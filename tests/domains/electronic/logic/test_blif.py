"""BLIF in and out: known functions, faults with their line, and ABC's own reader for what is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from tests.domains.electronic.logic.graphs import aigs

from wheatstone.bench.errors import UserError
from wheatstone.domains.electronic.logic.aig import Aig
from wheatstone.domains.electronic.logic.blif import blif_text, read_blif

HEAD = ".model m\n.inputs a b\n.outputs y\n"
FAULTS = {
    "": "c.blif:1: no .model: not a BLIF file",
    "hello\n": "c.blif:1: 'hello' stands outside of any .names",
    HEAD + ".names a b y\n1x 1\n.end\n": "c.blif:5: got '1x 1'; a cube is made of 0, 1 and -",
    HEAD + ".names a b y\n1 1\n.end\n": "c.blif:5: got '1 1', expected 2 of 0, 1, - and an output",
    HEAD + ".names a b y\n11 1\n00 0\n": "c.blif:6: cubes with output 0 and 1 in one .names",
    HEAD + ".names a c y\n11 1\n": "c.blif: net 'c' is used and never driven",
    HEAD + ".names y b y\n11 1\n": "c.blif:4: net 'y' depends on itself",
    HEAD + ".names b a\n1 1\n.names a b y\n11 1\n": "c.blif:4: net 'a' is an input (or a latch) and driven by .names",
    HEAD + ".names a y\n1 1\n.names b y\n1 1\n": "c.blif:6: net 'y' is driven a second time",
    HEAD + ".subckt sub a=a y=y\n": "c.blif:4: .subckt is not read: the model must be flat",
    HEAD + ".names\n": "c.blif:4: .names without a net",
    ".model m\n.inputs a a\n.outputs y\n.names a y\n1 1\n": "c.blif: input 'a' is declared twice",
    HEAD + ".latch y q 0\n.names a b y\n11 1\n": "c.blif:4: 1 latches; only combinational circuits are taken.",
}


@pytest.mark.parametrize("text", FAULTS, ids=lambda text: FAULTS[text][:50])
def test_a_fault_has_its_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.blif").write_text(text)
    with pytest.raises(UserError) as fault:
        read_blif(tmp_path / "c.blif")
    assert FAULTS[text] in str(fault.value)


def test_sums_of_products_mean_what_they_say(tmp_path: Path) -> None:
    (tmp_path / "c.blif").write_text(
        "# a full adder, its carry as the off-set, and two constants\n.model full\n.inputs a b \\\nc\n"
        ".outputs s k one zero\n.names a b c s\n100 1\n010 1\n001 1\n111 1\n"
        ".names a b c k\n00- 0\n0-0 0\n-00 0\n.names one\n1\n.names zero\n.end\n"
    )
    table = read_blif(tmp_path / "c.blif").truth_table()
    ones = np.array([bin(row).count("1") for row in range(8)])
    assert table[:, 0].tolist() == (ones % 2 == 1).tolist()
    assert table[:, 1].tolist() == (ones >= 2).tolist()
    assert table[:, 2].all()
    assert not table[:, 3].any()


def test_a_latch_that_is_cut_is_an_input_and_an_output(tmp_path: Path) -> None:
    (tmp_path / "c.blif").write_text(".model m\n.inputs a\n.outputs q\n.latch n q 0\n.names a q n\n10 1\n01 1\n")
    aig = read_blif(tmp_path / "c.blif", cut_latches=True)
    assert (aig.input_names, aig.output_names) == (("a", "q"), ("q", "q_next"))
    assert aig.truth_table()[:, 1].tolist() == [False, True, True, False]


@given(aigs())
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, aig: Aig) -> None:
    path = tmp_path_factory.mktemp("blif") / "c.blif"
    path.write_text(blif_text(aig))
    assert np.array_equal(read_blif(path).truth_table(), aig.truth_table())


def test_a_deep_chain_needs_no_recursion(tmp_path: Path) -> None:
    lines = [".model deep", ".inputs a", ".outputs n5000", ".names a n0", "0 1"]
    for number in range(5000):
        lines += [f".names n{number} n{number + 1}", "0 1"]
    (tmp_path / "c.blif").write_text("\n".join(lines))
    assert read_blif(tmp_path / "c.blif").truth_table()[:, 0].tolist() == [True, False]

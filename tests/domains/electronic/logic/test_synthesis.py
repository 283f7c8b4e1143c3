"""Passes, costs and proofs: the same from the cache, from the file, from a fresh process and from ABC's own script."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from wheatstone.bench.errors import UserError
from wheatstone.domains.data import data_folder
from wheatstone.domains.electronic.logic.abc import Abc, AbcError
from wheatstone.domains.electronic.logic.aig import AigBuilder
from wheatstone.domains.electronic.logic.aiger import write_aiger
from wheatstone.domains.electronic.logic.circuits import circuit
from wheatstone.domains.electronic.logic.equivalence import check_equivalence, check_netlist
from wheatstone.domains.electronic.logic.formats import read_design, write_design
from wheatstone.domains.electronic.logic.liberty import CELLS, generic_liberty, generic_library, read_library
from wheatstone.domains.electronic.logic.synthesis import (
    ACTIONS,
    MAPPING,
    RESYN2,
    Qor,
    Synthesis,
    parse_stime,
    replay,
    script_text,
)

STIME = (
    'WireLoad = "none"  \x1b[1;33mGates =    102\x1b[0m ( 12.7 %)   Cap =  7.3 ff (  0.0 %)   Area =      859.87 '
    "( 99.0 %)   Delay =   469.63 ps  ( 20.6 %)"
)
RECIPE = ("rewrite", "refactor -z", "balance", "resub -K 8", "rewrite -z", "balance")


@pytest.fixture(scope="module")
def synthesis(abc: Abc) -> Synthesis:
    return Synthesis(abc, generic_library())


def random_recipe(rng: np.random.Generator) -> list[str]:
    return [ACTIONS[action] for action in rng.integers(len(ACTIONS), size=10)]


def test_area_and_delay_are_what_stime_prints() -> None:
    assert parse_stime(STIME) == Qor(859.87, 469.63)
    assert Qor(2.0, 3.0).adp == 6.0
    with pytest.raises(AbcError, match="stime printed no area and delay"):
        parse_stime("nothing")


def test_area_is_the_sum_of_the_cells(synthesis: Synthesis) -> None:
    root = synthesis.add(circuit("pla1"))
    qor = synthesis.walk(root, RECIPE).qor
    said = synthesis.abc.run("print_gates")  # of the network that was just mapped
    counts = re.findall(r"^(\w+)\s+Fanin.*Instance =\s*(\d+)", said, re.MULTILINE)
    areas = {cell.name: cell.area for cell in CELLS}
    assert qor.area == sum(areas[name] * int(count) for name, count in counts)


def test_what_is_remembered_is_what_a_fresh_process_finds(synthesis: Synthesis) -> None:
    rng, aig = np.random.default_rng(0), circuit("pla2")
    root = synthesis.add(aig)
    for _ in range(4):
        recipe = random_recipe(rng)
        first = synthesis.evaluate(root, recipe)
        assert synthesis.evaluate(root, recipe) == first
        # From a prefix in the cache, and after other circuits have passed through the same process:
        assert replay(aig, recipe, synthesis.library) == first.qor
        longer = [*recipe[:5], *random_recipe(rng)[:5]]
        assert synthesis.evaluate(root, longer).qor == replay(aig, longer, synthesis.library)
    assert len(first.keys) == 11


def test_a_small_memory_changes_nothing(abc: Abc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wheatstone.domains.electronic.logic.synthesis.HELD_BYTES", 2000)
    forgetful, rng, aig = Synthesis(abc, generic_library()), np.random.default_rng(1), circuit("pla1")
    root = forgetful.add(aig)
    for _ in range(4):
        recipe = [*RECIPE[:4], *random_recipe(rng)[:6]]
        assert forgetful.evaluate(root, recipe).qor == replay(aig, recipe, forgetful.library)


def test_a_known_recipe_costs_no_pass(synthesis: Synthesis) -> None:
    root = synthesis.add(circuit("mult4"))
    synthesis.evaluate(root, RECIPE)
    before = synthesis.passes, synthesis.evaluations
    synthesis.evaluate(root, RECIPE)
    assert (synthesis.passes, synthesis.evaluations) == (before[0], before[1] + 1)


def test_the_script_does_what_was_measured(synthesis: Synthesis, tmp_path: Path) -> None:
    aig = circuit("pla1")
    root = synthesis.add(aig)
    qor = synthesis.evaluate(root, RECIPE).qor
    write_aiger(tmp_path / "in.aig", aig)
    (tmp_path / "g.lib").write_text(generic_liberty())
    (tmp_path / "recipe.abc").write_text(script_text(RECIPE, "in.aig", ["g.lib"], "out.v"))
    done = subprocess.run(
        [synthesis.abc.binary, "-f", "recipe.abc"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert parse_stime(done.stdout.replace("\x1b[0m", "")) == qor
    assert check_netlist(tmp_path / "out.v", aig, synthesis.library).verdict == "equivalent"


def test_resyn2_is_abcs_own_alias() -> None:
    """ABC's distribution (abc.rc) spells it b; rw; rf; b; rw; rwz; b; rfz; rwz; b."""
    short = {"b": "balance", "rw": "rewrite", "rf": "refactor", "rwz": "rewrite -z", "rfz": "refactor -z"}
    assert [short[word] for word in ["b", "rw", "rf", "b", "rw", "rwz", "b", "rfz", "rwz", "b"]] == list(RESYN2)


def test_a_sum_stays_a_sum(synthesis: Synthesis) -> None:
    adder = circuit("rca6")
    root = synthesis.add(adder)
    result = synthesis.graph(synthesis.walk(root, RECIPE).keys[-1])
    rows = np.arange(4096)
    bits = rows[:, None] >> np.arange(12) & 1  # a0 b0 a1 b1 ...
    a, b = bits[:, 0::2] @ (1 << np.arange(6)), bits[:, 1::2] @ (1 << np.arange(6))
    assert np.array_equal(result.truth_table() @ (1 << np.arange(7)), a + b)
    assert check_equivalence(adder, result, synthesis.abc).verdict == "equivalent"


def test_two_ways_to_add_are_equivalent(abc: Abc) -> None:
    assert check_equivalence(circuit("rca16"), circuit("cla16"), abc).verdict == "equivalent"
    assert check_equivalence(circuit("rca16"), circuit("rca15"), abc).verdict == "different"


def test_a_wiring_fault_is_refused(synthesis: Synthesis, tmp_path: Path) -> None:
    aig = circuit("mult4")
    root = synthesis.add(aig)
    result = synthesis.graph(synthesis.walk(root, RECIPE).keys[-1])
    broken = result.with_inverted_fanin(result.n_gates // 2, 0)
    assert not np.array_equal(broken.truth_table(), aig.truth_table())
    assert check_equivalence(aig, broken, synthesis.abc).verdict == "different"
    for graph, verdict in ((result, "equivalent"), (broken, "different")):
        write_aiger(synthesis.abc.folder / "n.aig", graph)
        synthesis.abc.run("read_aiger n.aig", *MAPPING, "write_verilog n.v")
        netlist = tmp_path / "n.v"
        netlist.write_bytes((synthesis.abc.folder / "n.v").read_bytes())
        assert check_netlist(netlist, aig, synthesis.library).verdict == verdict
    netlist.write_text("module n(a); input a; endmodule\n")
    assert check_netlist(netlist, aig, synthesis.library).verdict != "equivalent"


def test_two_builds_of_abc_agree() -> None:
    """Debian's is years older than the one in pyosys: same passes, same mapper, same numbers."""
    debian = shutil.which("berkeley-abc")
    if debian is None:
        pytest.skip("berkeley-abc is not installed (Debian: apt install berkeley-abc)")
    for name in ("pla1", "mult4", "cla12"):
        aig = circuit(name)
        assert replay(aig, RECIPE, generic_library(), Path(debian)) == replay(aig, RECIPE, generic_library())


def test_a_circuit_without_inputs_is_refused(synthesis: Synthesis) -> None:
    with pytest.raises(UserError, match="0 inputs and 1 outputs has nothing to optimise"):
        synthesis.add(AigBuilder(0).build([1]))


def test_libraries_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    cells = generic_liberty()
    cases = {
        "text.lib": ("hello", "not a Liberty file"),
        "empty.lib": ("library (e) { }\n", "cell"),
        "no_inverter.lib": (
            cells.partition("  cell (INV)")[0] + cells[cells.index("  cell (OR2)") : cells.index("  cell (AOI")] + "}",
            "must hold at least an inverter",
        ),
    }  # fmt: skip
    for name, (text, said) in cases.items():
        (tmp_path / name).write_text(text)
        with Abc() as abc, pytest.raises(UserError, match=said):
            Synthesis(abc, read_library([tmp_path / name]))
    with pytest.raises(UserError, match=r"none\.lib: cannot be read \(No such file"):
        read_library([tmp_path / "none.lib"])
    (tmp_path / "cut.lib.gz").write_bytes(gzip.compress(cells.encode())[:100])
    with pytest.raises(UserError, match=r"cut\.lib\.gz: cannot be read"):
        read_library([tmp_path / "cut.lib.gz"])


def test_the_generic_library_has_the_cells_it_says(synthesis: Synthesis) -> None:
    assert synthesis.cells == len(CELLS)


@pytest.mark.parametrize(
    ("files", "cells"),
    [
        (["sg13g2_stdcell_typ_1p20V_25C.lib.gz"], 54),
        (["asap7sc7p5t_SIMPLE_RVT_FF_nldm_211120.lib.gz", "asap7sc7p5t_INVBUF_RVT_FF_nldm_220122.lib.gz"], 0),
    ],
)
def test_real_libraries(files: list[str], cells: int) -> None:
    paths = [data_folder() / "liberty" / name for name in files]
    if not all(path.is_file() for path in paths):
        pytest.skip("no Liberty files in the data folder")
    library, aig = read_library(paths), circuit("pla1")
    with Abc() as abc:
        synthesis = Synthesis(abc, library)
        assert not cells or synthesis.cells == cells
        qor = synthesis.evaluate(synthesis.add(aig), RECIPE).qor
    assert replay(aig, RECIPE, library) == qor
    assert qor.area > 0


VERILOG = """module alu(input [3:0] a, b, input op, output reg [4:0] y);
always @* if (op) y = a + b; else y = a & b;
endmodule
"""


def test_verilog_in_and_every_format_out(abc: Abc, tmp_path: Path) -> None:
    (tmp_path / "alu.v").write_text(VERILOG)
    aig = read_design(tmp_path / "alu.v")
    rows = np.arange(512)
    a, b, op = rows & 15, rows >> 4 & 15, rows >> 8
    assert np.array_equal(aig.truth_table() @ (1 << np.arange(5)), np.where(op, a + b, a & b))
    assert aig.input_names[:5] == ("a[0]", "a[1]", "a[2]", "a[3]", "b[0]")
    for suffix in (".aig", ".aag", ".blif", ".v"):
        out = tmp_path / f"8-bit out{suffix}"
        write_design(out, aig, abc)
        again = read_design(out)
        assert again.input_names == aig.input_names
        assert check_equivalence(aig, again, abc).verdict == "equivalent"
    with pytest.raises(UserError, match=r"out\.edif: not a format that is written"):
        write_design(tmp_path / "out.edif", aig, abc)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.v", "module d(input a, output q);\n assign q = a\nendmodule\n", r"Yosys cannot read it. a\.v:3: ERROR"),
        ("a.v", "module d(input a, output q);\n foo f(a, q);\nendmodule\n", r"Module .*foo.* is not part of"),
        ("a.v", "module d(input c, a, output reg q);\nalways @(posedge c) q <= a;\nendmodule\n", "1 latches"),
        ("a.edif", "", "not a circuit that can be read; its name ends in one of"),
        ("a.blif", "\x00", "outside of any .names"),
    ],
)  # fmt: skip
def test_designs_that_cannot_be_read(name: str, text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=said):
        read_design(tmp_path / name)
    with pytest.raises(UserError, match="no such file"):
        read_design(tmp_path / "absent.v")

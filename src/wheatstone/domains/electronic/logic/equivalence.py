"""Combinational equivalence, proved by ABC's `cec`: a miter of both circuits, simulation, then SAT.

Inputs and outputs are matched by their order, so both sides must have as many of each. The answer is `equivalent`,
`different`, or `undecided` when the solver's time is up; nothing but `equivalent` is a proof.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from wheatstone.domains.electronic.logic.abc import Abc, AbcError
from wheatstone.domains.electronic.logic.aig import Aig
from wheatstone.domains.electronic.logic.aiger import aiger_bytes
from wheatstone.domains.electronic.logic.liberty import Library

Verdict = Literal["equivalent", "different", "undecided"]
SECONDS = 60
"""Time limit that `cec` is given."""


class Proof(NamedTuple):
    """What `cec` said."""

    verdict: Verdict
    said: str
    """Its own words."""


def check_equivalence(left: Aig, right: Aig, abc: Abc, seconds: int = SECONDS) -> Proof:
    """Whether two graphs compute the same function of their inputs in order."""
    if (left.n_inputs, left.n_outputs) != (right.n_inputs, right.n_outputs):
        return Proof(
            "different",
            f"{left.n_inputs} inputs and {left.n_outputs} outputs against {right.n_inputs} and {right.n_outputs}",
        )
    (abc.folder / "left.aig").write_bytes(aiger_bytes(left))
    (abc.folder / "right.aig").write_bytes(aiger_bytes(right))
    return _decided(abc, f"cec -n -T {seconds} left.aig right.aig")


def check_netlist(netlist: Path, source: Aig, library: Library, binary: Path | None = None) -> Proof:
    """Whether a mapped Verilog netlist computes what `source` does; read back by a fresh process."""
    with Abc(binary, timeout=SECONDS + 60) as abc:
        library.load(abc)
        (abc.folder / "netlist.v").write_bytes(netlist.read_bytes())
        (abc.folder / "source.aig").write_bytes(aiger_bytes(source))
        try:
            abc.run("read_verilog -m netlist.v")
        except AbcError as failure:
            return Proof("different", f"the netlist cannot be read: {failure}")
        return _decided(abc, f"cec -n -T {SECONDS} source.aig")


def _decided(abc: Abc, command: str) -> Proof:
    try:
        said = abc.run(command)
    except AbcError as error:
        if "miter computation" in str(error).lower():  # the sides have not as many inputs or outputs
            return Proof("different", "the two sides have different numbers of inputs or outputs")
        raise
    lines = [" ".join(line.split()) for line in said.splitlines()]
    marks: tuple[tuple[Verdict, str], ...] = (
        ("equivalent", "networks are equivalent"),
        ("different", "not equivalent"),
    )
    for verdict, mark in marks:
        for line in lines:
            if mark in line.lower():
                return Proof(verdict, line)
    return Proof("undecided", " ".join(lines)[:200])

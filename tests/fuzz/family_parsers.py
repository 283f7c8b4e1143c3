"""The readers of the families' own formats, as functions of bytes: see `parsers.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.fuzz.model_files import model_readers

from wheatstone.domains.electronic.logic.aiger import read_aiger
from wheatstone.domains.electronic.logic.blif import read_blif
from wheatstone.domains.logic import theory
from wheatstone.domains.quantum.hamiltonian import read_hamiltonian
from wheatstone.domains.quantum.qasm import read_circuit
from wheatstone.domains.sequences.pairs import load_pairs

DATA = Path(__file__).parents[1] / "data"
GROUPS = theory.load("groups")
QASM = b"""OPENQASM 2.0;
include "qelib1.inc";
qreg q[2];
gate g(a) b { rx(a*pi/2) b; }
h q[0]; cx q[0],q[1]; g(0.5) q[1]; rz(sin(1)) q[0];
"""
QASM_3 = b'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[2] q;\nh q[0];\ncx q[0], q[1];\n'
AAG = b"aag 7 2 0 2 3\n2\n4\n6\n12\n6 13 15\n12 2 4\n14 3 5\ni0 x\no1 carry\nc\nhalf adder\n"
AIG = b"aig 5 2 0 2 3\n10\n6\n\x02\x02\x03\x02\x01\x02i0 x\no1 carry\n"
BLIF = b".model m\n.inputs a b \\\nc\n.outputs y\n.names a b n\n1- 1\n-0 1\n.names n c y\n11 0\n.end\n"
PAULIS = b'[[0.5, "ZZ"], [1.0, "XI"]]'


def _file(name: str, read: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    def reader(data: bytes, folder: Path) -> None:
        (folder / name).write_bytes(data)
        read(folder / name)

    return reader


def _statement(data: bytes, _folder: Path) -> None:
    theory.statement(GROUPS, data.decode("utf-8", errors="replace"))


def _samples(*patterns: str) -> list[bytes]:
    found = [path.read_bytes() for pattern in patterns for path in sorted(DATA.glob(pattern)) if path.is_file()]
    return [data for data in found if len(data) < 20_000]


def family_readers() -> dict[str, tuple[Callable[[bytes, Path], object], list[bytes]]]:
    """Name -> reader and seeds."""
    return {
        "qasm": (_file("circuit.qasm", read_circuit), [QASM, QASM_3, *_samples("quantum/**/*.qasm")]),
        "hamiltonian": (_file("chain.json", read_hamiltonian), [PAULIS, *_samples("quantum/**/*.json")]),
        "theory": (_file("a.mpl", theory.load), [theory.shipped("groups").encode(), *_samples("**/*.mpl")]),
        "statement": (_statement, [b"(>[a](in[a,G])(in3[e,a,a,*]))", b"(&(in[a,G])!(in[b,G]))", b"(x"]),
        "aiger": (_file("c.aig", read_aiger), [AAG, AIG]),
        "blif": (_file("c.blif", read_blif), [BLIF]),
        **model_readers(),
        "pairs": (_file("pairs.txt", load_pairs), [b"IN: jump twice OUT: I_JUMP I_JUMP\n", b"a b\tc d\n"]),
    }

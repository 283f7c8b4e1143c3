"""OpenQASM in and out: faults have their line, instructions too, and real circuits survive the way out and back."""

from __future__ import annotations

import math
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator

from wheatstone.bench.errors import InputError, UserError
from wheatstone.domains.quantum.qasm import parse_circuit, qasm_text, read_circuit, write_circuit

HEAD2 = 'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\n'
HEAD3 = 'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[2] q;\n'
QASMBENCH = (
    Path(os.environ.get("WHEATSTONE_DATA") or Path(__file__).parents[3].parent / "shared" / "data")
    / "quantum"
    / "qasmbench_small.tar.gz"
)

FAULTS = {
    HEAD2 + "h q[0];\ncx q[0],q[5];\n": "c.qasm:5: index 5 is out-of-range for register 'q' of size 2 (column 11).",
    HEAD2 + "foo q[0];\n": "c.qasm:4: 'foo' is not defined in this scope (column 1).",
    "OPENQASM 2.0;\nqreg q[2]\nU(0,0,0) q[0];\n": "c.qasm:3: needed ';', but instead saw an identifier (column 1).",
    HEAD2 + "\nrx(1/0) q[0];\n": "c.qasm:5: cannot divide by zero (column 5).",
    HEAD2 + "rx(nan) q[0];\n": (
        "c.qasm:4: 'nan' is not a parameter or custom instruction defined in this scope (column 4)."
    ),
    "": "c.qasm: no qubits. Declare a register: qreg q[2];",
    "// v4\nOPENQASM 4.0;\n": "c.qasm:2: OPENQASM 4.0 is unknown. Versions 2 and 3 are read.",
    HEAD3 + "h q[0];\ncx q[0], q[5];\nh q[1];\n": "c.qasm:5: index out of range.",
    HEAD3 + "foo q[0];\n": "c.qasm:4: gate 'foo' is not defined (column 1).",
    HEAD3 + "h q[0]\ncx q[0], q[1];\n": "c.qasm:5: unexpected 'cx'; is a ';' missing before it?",
    HEAD3 + "h q[0];\nrx(1.0/0) q[0];\n": "c.qasm:5: float division by zero.",
}


@pytest.mark.parametrize("text", FAULTS)
def test_a_fault_has_its_line(text: str) -> None:
    with pytest.raises(InputError) as fault:
        parse_circuit(text, "c.qasm")
    assert str(fault.value) == FAULTS[text]


def test_text_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "c.qasm").write_bytes(b"OPENQASM 2.0;\n// \xff\n")
    with pytest.raises(InputError, match=r"c\.qasm:2: not UTF-8"):
        read_circuit(tmp_path / "c.qasm")


def test_each_instruction_has_the_line_of_its_statement() -> None:
    text = HEAD2 + "creg c[2]; h q; // both;\n\n// a;\n cx q[0],\n q[1]; barrier q;\nmeasure q -> c;\n"
    source = parse_circuit(text)
    assert [item.operation.name for item in source.circuit.data] == ["h", "h", "cx", "barrier", "measure", "measure"]
    assert source.lines == (4, 4, 7, 8, 9, 9)


def test_lines_are_unknown_where_a_loop_hides_them() -> None:
    source = parse_circuit(HEAD3 + "for int i in [0:1] { rx(0.5) q[0]; }\n")
    assert set(source.lines) == {None}


def test_control_flow_needs_version_three(tmp_path: Path) -> None:
    circuit = QuantumCircuit(1, 1)
    with circuit.while_loop((circuit.clbits[0], 0)):
        circuit.x(0)
    with pytest.raises(UserError, match="Write version 3"):
        qasm_text(circuit, 2)
    write_circuit(tmp_path / "loop.qasm3", circuit)
    assert "while" in (tmp_path / "loop.qasm3").read_text()


@settings(max_examples=25, deadline=None)
@given(
    gates=st.lists(
        st.tuples(st.sampled_from(["rx", "rz", "rxx", "cx"]), st.floats(-math.pi, math.pi), st.permutations([0, 1, 2])),
        max_size=8,
    ),
    version=st.sampled_from([2, 3]),
)
def test_a_circuit_survives_the_way_out_and_back(gates: list[tuple[str, float, list[int]]], version: int) -> None:
    circuit = QuantumCircuit(3)
    for name, angle, (first, second, _) in gates:
        if name == "cx":
            circuit.cx(first, second)
        elif name == "rxx":
            circuit.rxx(angle, first, second)
        else:
            getattr(circuit, name)(angle, first)
    back = parse_circuit(qasm_text(circuit, version)).circuit  # pyright: ignore[reportArgumentType]
    assert Operator(back).equiv(Operator(circuit))


@pytest.mark.skipif(not QASMBENCH.exists(), reason=f"{QASMBENCH} is absent")
def test_every_line_of_real_circuits_names_its_gate() -> None:
    refused, read = dict[str, str](), 0
    with tarfile.open(QASMBENCH) as archive:
        for member in archive:
            if not member.name.endswith(".qasm"):
                continue
            file = archive.extractfile(member)
            assert file is not None
            text, name = file.read().decode(), Path(member.name).name
            try:
                source = parse_circuit(text, name)
            except InputError as fault:
                refused[name] = str(fault)
                continue
            lines = text.lower().splitlines()
            for item, line in zip(source.circuit.data, source.lines, strict=True):
                assert line is not None
                word = "if" if item.operation.name == "if_else" else item.operation.name
                assert word.lower() in lines[line - 1], (name, line)
            read += 1
    assert read == 104
    # These two apply gates to a register that they never declare: faults of the data, told with their line.
    assert refused == {
        f"vqe_uccsd_n{n}.qasm": f"vqe_uccsd_n{n}.qasm:{line}: 'q' is not defined in this scope (column 9)."
        for n, line in ((4, 225), (6, 2286))
    }

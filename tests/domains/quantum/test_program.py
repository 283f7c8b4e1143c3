"""The normal form keeps a circuit's unitary, and drops what only tells who wrote the file."""

from __future__ import annotations

import math

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Operator

from wheatstone.bench.errors import InputError
from wheatstone.domains.quantum.program import (
    GATES,
    NotUnitaryError,
    Op,
    angle_text,
    faults,
    line_of,
    program,
    program_of,
    text_of,
    wrapped,
)
from wheatstone.domains.quantum.qasm import parse_circuit
from wheatstone.domains.quantum.routing import optimises_away

HAND = """OPENQASM 2.0;
include "qelib1.inc";
gate majority a,b,c { cx c,b; cx c,a; ccx a,b,c; }
qreg node[2]; qreg coin[1]; creg meas[2];
barrier node;
h node[0]; u1(pi/4) node[1];
majority node[0],node[1],coin[0];
u(0.1,0.2,0.3) coin[0]; id coin[0];
measure node -> meas;
"""


@pytest.mark.parametrize("seed", range(6))
def test_the_unitary_stays(seed: int) -> None:
    circuit = random_circuit(4, 5, max_operands=4, seed=seed)
    one = program(circuit)
    assert not faults(one.n, one.ops)
    assert Operator(parse_circuit(text_of(one)).circuit).equiv(Operator(circuit))


def test_open_controls_and_many_controls_are_written_out() -> None:
    circuit = QuantumCircuit(4)
    circuit.mcx([0, 1, 2], 3)
    circuit.cx(0, 1, ctrl_state=0)
    circuit.crz(3 * math.pi, 0, 1)
    circuit.cp(7 * math.pi / 2, 1, 2)
    assert Operator(parse_circuit(text_of(program(circuit))).circuit).equiv(Operator(circuit))


def test_names_and_definitions_do_not_survive() -> None:
    one = program_of(parse_circuit(HAND))
    lines = text_of(one).splitlines()
    assert lines[:3] == ["OPENQASM 2.0;", 'include "qelib1.inc";', "qreg q[3];"]
    assert lines[3:5] == ["h q[0];", "p(pi/4) q[1];"]
    assert lines[5:8] == ["cx q[2],q[1];", "cx q[2],q[0];", "ccx q[0],q[1],q[2];"]
    assert lines[8] == "u3(0.1,0.2,0.3) q[2];"
    assert not {"node", "coin", "meas", "majority", "barrier", "measure"} & set(" ".join(lines).split())


@pytest.mark.parametrize("gate", GATES, ids=str)
def test_every_gate_is_one_that_qiskit_reads_back(gate: str) -> None:
    shape = GATES[gate]
    op = Op(gate, tuple(range(shape.qubits)), tuple(0.25 + place / 2 for place in range(shape.angles)))
    text = f'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[3];\n{line_of(op)}\n'
    assert program_of(parse_circuit(text)).ops == (op,)


@pytest.mark.parametrize("gate", [gate for gate, shape in GATES.items() if shape.angles], ids=str)
def test_folded_angles_are_the_same_gate(gate: str) -> None:
    shape = GATES[gate]
    for turns in ((7, 11, 5, 9), (-8, 3, -4, 13)):
        angles = ",".join(str(0.3 + turn) for turn in turns[: shape.angles])
        operands = ",".join(f"q[{place}]" for place in range(shape.qubits))
        head = 'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[3];\nh q[0];\n'
        circuit = parse_circuit(f"{head}{gate}({angles}) {operands};").circuit
        assert Operator(parse_circuit(text_of(program(circuit))).circuit).equiv(Operator(circuit))


REFUSED = {
    "x q[0];\nmeasure q[0] -> c[0];\nx q[0];": (6, "acts on qubit 0 after its measurement"),
    "reset q[0];": (4, "'reset' is not unitary"),
    "opaque magic a;\nmagic q[0];": (5, "'magic' has no definition"),
}


@pytest.mark.parametrize("body", REFUSED)
def test_what_is_no_circuit_is_refused_with_its_line(body: str) -> None:
    line, said = REFUSED[body]
    with pytest.raises(InputError, match=said) as caught:
        program_of(parse_circuit(f'OPENQASM 2.0;\ninclude "qelib1.inc"; qreg q[2];\ncreg c[2];\n{body}\n', "mine.qasm"))
    assert str(caught.value).startswith(f"mine.qasm:{line}: ")


def test_a_free_parameter_and_a_flood_are_refused() -> None:
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("theta"), 0)
    with pytest.raises(NotUnitaryError, match="free parameter 'theta'"):
        program(circuit)
    many = QuantumCircuit(1)
    for _ in range(6):
        many.x(0)
    with pytest.raises(NotUnitaryError, match="more than 5 gates"):
        program(many, most=5)


def test_angles_are_folded_and_written_exactly() -> None:
    assert wrapped(3 * math.pi) == pytest.approx(math.pi)
    assert wrapped(3 * math.pi, wide=True) == pytest.approx(-math.pi)
    assert angle_text(-3 * math.pi / 8) == "-3*pi/8"
    assert angle_text(math.pi) == "pi"
    assert float(angle_text(0.1234567890123)) == 0.1234567890123
    rng = np.random.default_rng(0)
    assert all(-math.pi < wrapped(angle) <= math.pi for angle in rng.normal(size=200) * 50)


def test_faults_name_what_is_wrong() -> None:
    ops = [Op("cx", (0, 0)), Op("cx", (0, 3)), Op("rx", (0,)), Op("magic", (0,))]
    said = faults(2, ops)
    assert [one.partition(": ")[2] for one in said] == [
        "'cx' on one qubit twice",
        "'cx' outside of q[2]",
        "'rx' on 1 qubits with 0 angles",
        "'magic' is unknown",
    ]


def test_an_empty_circuit_in_disguise_optimises_away() -> None:
    circuit = QuantumCircuit(3)
    for _ in range(2):
        circuit.h(0)
        circuit.cx(0, 1)
        circuit.cx(0, 1)
        circuit.barrier()
    assert optimises_away(program(circuit))
    circuit.x(2)
    assert not optimises_away(program(circuit))

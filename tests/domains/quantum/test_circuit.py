"""Layered circuits equal their source, refusals name the line, and depth is counted the same for everybody."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Operator

from wheatstone.bench.errors import InputError
from wheatstone.domains.quantum.circuit import chain_circuit, cost, layered, two_qubit_depth
from wheatstone.domains.quantum.qasm import parse_circuit, qasm_text

HEAD = 'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[4];\ncreg c[4];\n'


def on_chain(n: int, depth: int, seed: int) -> QuantumCircuit:
    """Random one- and two-qubit gates, far partners joined by swaps."""
    circuit = random_circuit(n, depth, max_operands=2, seed=seed)
    return chain_circuit(parse_circuit(qasm_text(circuit)), allow_swaps=True)


@pytest.mark.parametrize("seed", range(5))
def test_a_layered_circuit_equals_its_source(seed: int) -> None:
    circuit = on_chain(4, 6, seed)
    again = layered(circuit)
    assert Operator(again.to_circuit()).equiv(Operator(circuit))
    for layer in again.layers:
        assert np.all(np.diff(layer.qubits) >= 2)
        assert layer.gates.shape == (len(layer.qubits), 4, 4)
        products = layer.gates @ layer.gates.conj().swapaxes(1, 2)
        np.testing.assert_allclose(products, np.broadcast_to(np.eye(4), products.shape), atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_swaps_do_not_change_the_unitary(seed: int) -> None:
    circuit = random_circuit(5, 4, max_operands=3, seed=seed)
    near = chain_circuit(parse_circuit(qasm_text(circuit)), allow_swaps=True)
    assert Operator(near).equiv(Operator(circuit))


def test_gates_of_the_users_own_are_read() -> None:
    text = HEAD + "gate pair(t) a, b { rx(t) a; cx a, b; }\n"
    circuit = chain_circuit(parse_circuit(text.replace("creg", "creg ") + "pair(0.3) q[2],q[1];\n"))
    expected = QuantumCircuit(4)
    expected.rx(0.3, 2)
    expected.cx(2, 1)
    assert Operator(layered(circuit).to_circuit()).equiv(Operator(expected))


def test_every_refusal_has_its_line() -> None:
    text = HEAD + "h q[0];\nccx q[0],q[1],q[2];\ncx q[0],q[3];\nmeasure q[1] -> c[1];\nx q[1];\nreset q[2];\n"
    with pytest.raises(InputError) as fault:
        chain_circuit(parse_circuit(text, "c.qasm"))
    assert str(fault.value).splitlines() == [
        "c.qasm:6: 'ccx' acts on 3 qubits; write it in one- and two-qubit gates, or give --allow-swaps.",
        "c.qasm:7: 'cx' acts on qubits 0 and 3, which are no neighbours; --allow-swaps joins them.",
        "c.qasm:9: 'x' acts on qubit 1 after its measurement; only measurements at the end can be left out.",
        "c.qasm:10: 'reset' is not unitary; only gates can be compiled.",
    ]


def test_one_qubit_is_no_chain_and_free_parameters_have_no_matrix() -> None:
    with pytest.raises(InputError, match="1 qubit; a chain has at least 2"):
        chain_circuit(parse_circuit("OPENQASM 2.0;\nqreg q[1];\nU(0,0,0) q[0];"))
    text = 'OPENQASM 3.0;\ninclude "stdgates.inc";\ninput float theta;\nqubit[2] q;\nrx(theta) q[0];\n'
    with pytest.raises(InputError, match="has the free parameter 'theta'"):
        chain_circuit(parse_circuit(text))


def test_measurements_at_the_end_are_left_out() -> None:
    circuit = chain_circuit(parse_circuit(HEAD + "h q[0];\nbarrier q;\nmeasure q -> c;\n"))
    assert [item.operation.name for item in circuit.data] == ["h"]


def test_depth_is_counted_on_merged_blocks() -> None:
    circuit = QuantumCircuit(4)
    for first in (0, 2, 1):
        circuit.rxx(0.3, first, first + 1)
        circuit.ryy(0.2, first, first + 1)
        circuit.rzz(0.1, first, first + 1)
    assert two_qubit_depth(circuit) == 6
    found = cost(circuit)
    assert (found.two_qubit_depth, found.two_qubit_gates) == (6, 9)  # 3 CX a block, two layers of blocks

"""quimb and Aer see the same states, in the same order of qubits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator
from tests.domains.quantum.chains import brick, coarse, evolved

from wheatstone.domains.quantum.ansatz import fit
from wheatstone.domains.quantum.bridges import (
    aer_state,
    aer_vector,
    fidelity_by_others,
    from_quimb,
    to_aer,
    to_quimb,
)
from wheatstone.domains.quantum.mps import MPS, run_circuit


@pytest.mark.parametrize("n", [2, 5])
def test_quimb_reads_and_returns_a_state(n: int) -> None:
    state = run_circuit(brick(n, 4))
    np.testing.assert_allclose(np.ravel(to_quimb(state).to_dense()), state.to_dense(), atol=1e-12)
    assert state.overlap(from_quimb(to_quimb(state))) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("n", [2, 5])
def test_aer_reads_and_returns_a_state(n: int) -> None:
    state = run_circuit(brick(n, 4))
    circuit: Any = QuantumCircuit(n)
    circuit.set_matrix_product_state(to_aer(state))
    circuit.save_statevector(label="state")
    found = AerSimulator(method="matrix_product_state").run(circuit, shots=1).result().data()["state"]
    reversed_order = np.asarray(found).reshape((2,) * n).transpose(range(n)[::-1]).reshape(-1)
    np.testing.assert_allclose(reversed_order, state.to_dense(), atol=1e-9)


def test_the_neel_state_of_an_odd_chain_keeps_its_direction() -> None:
    """100 is not 001: a bit order that is the wrong way round shows."""
    circuit = QuantumCircuit(3)
    circuit.x(0)
    expected = MPS.product(np.array([[0, 1], [1, 0], [1, 0]]))
    assert expected.fidelity(aer_state(circuit)) == pytest.approx(1)
    np.testing.assert_allclose(np.abs(aer_vector(circuit)), np.abs(expected.to_dense()), atol=1e-12)
    np.testing.assert_allclose(expected.magnetisation(), [-1, 1, 1])


@pytest.mark.parametrize("n", [7, 24])
def test_other_libraries_find_our_fidelity(n: int) -> None:
    target = evolved(n)
    ansatz, angles = fit(coarse(n))
    ours = target.fidelity(run_circuit(coarse(n)))
    assert fidelity_by_others(ansatz.quantum_circuit(angles), target) == pytest.approx(ours, abs=1e-9)

"""Blocks of nine angles: any circuit has them, and they cost three CX."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import Operator, Statevector
from scipy.linalg import expm
from tests.domains.quantum.chains import brick, coarse, qubit_zero_first

from wheatstone.bench.errors import UserError
from wheatstone.domains.quantum.ansatz import BLOCK, FRONT, Ansatz, brickwork, fit, random_angles, widened
from wheatstone.domains.quantum.circuit import LayeredCircuit, as_it_stands, cost, layered
from wheatstone.domains.quantum.hamiltonian import PAULIS
from wheatstone.domains.quantum.mps import run_circuit


@settings(max_examples=20, deadline=None)
@given(n=st.integers(2, 6), layers=st.integers(1, 5), seed=st.integers(0, 1000))
def test_any_circuit_is_met_exactly(n: int, layers: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layout = brick(n, layers, seed)
    gates = [np.linalg.qr(rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4)))[0] for _ in range(n * layers)]
    circuit = LayeredCircuit(
        layout.front,
        tuple(type(layer)(layer.qubits, np.stack([gates.pop() for _ in layer.qubits])) for layer in layout.layers),
    )
    ansatz, angles = fit(circuit)
    assert ansatz.size == FRONT * n + BLOCK * ansatz.n_blocks == len(angles)
    assert run_circuit(circuit).fidelity(run_circuit(ansatz.circuit(angles))) == pytest.approx(1, abs=1e-10)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(2, 6), layers=st.integers(1, 5), seed=st.integers(0, 1000))
def test_the_exported_circuit_is_the_same_circuit(n: int, layers: int, seed: int) -> None:
    ansatz = brickwork(n, layers)
    angles = random_angles(ansatz, np.random.default_rng(seed))
    exported = ansatz.quantum_circuit(angles)
    assert as_it_stands(exported).two_qubit_gates == 3 * ansatz.n_blocks
    expected = run_circuit(ansatz.circuit(angles)).to_dense()
    assert abs(np.vdot(expected, qubit_zero_first(Statevector(exported).data))) == pytest.approx(1, abs=1e-10)
    assert run_circuit(layered(exported)).fidelity(run_circuit(ansatz.circuit(angles))) == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("core", [(0.1, -0.2, 0.3), (0.0, 0.0, 0.0), (np.pi / 4, np.pi / 4, np.pi / 4)])
def test_a_core_is_the_exponential_and_three_cx(core: tuple[float, float, float]) -> None:
    ansatz = Ansatz(2, ((0,),))
    angles = np.array([0.0] * 4 + [*core] + [0.0] * 6)
    expected = expm(1j * sum(a * np.kron(PAULIS[p], PAULIS[p]) for a, p in zip(core, "XYZ", strict=True)))
    np.testing.assert_allclose(ansatz.circuit(angles).layers[0].gates[0], expected, atol=1e-14)
    assert Operator(ansatz.quantum_circuit(angles)).equiv(UnitaryGate(expected))  # symmetric in its qubits


def test_trotter_blocks_start_at_the_trotter_circuit() -> None:
    """s steps are 2s + 1 layers and 3 (2s + 1) CX deep, before and after transpilation."""
    ansatz, angles = fit(coarse(7, steps=2))
    exported = ansatz.quantum_circuit(angles)
    assert cost(exported).two_qubit_depth == as_it_stands(exported).two_qubit_depth == 15
    assert run_circuit(coarse(7)).fidelity(run_circuit(ansatz.circuit(angles))) == pytest.approx(1, abs=1e-12)


def test_shared_ends_are_the_same_blocks() -> None:
    ansatz = brickwork(5, 3, share_ends=True)
    circuit = ansatz.circuit(random_angles(ansatz, np.random.default_rng(0)))
    np.testing.assert_array_equal(circuit.layers[0].gates, circuit.layers[2].gates)
    assert ansatz.size == brickwork(5, 3).size - BLOCK * 2
    assert fit(coarse(5), share_ends=True).angles.size == brickwork(5, 5, share_ends=True).size
    with pytest.raises(ValueError, match="act on the same qubits"):
        brickwork(5, 2, share_ends=True)


def test_more_layers_do_not_move_the_state() -> None:
    start = fit(coarse(6))
    wider = widened(start, [(1, 3), (0, 2, 4)])
    before, after = (run_circuit(one.ansatz.circuit(one.angles)) for one in (start, wider))
    assert before.fidelity(after) == pytest.approx(1, abs=1e-12)


def test_an_ansatz_needs_qubits_layers_and_its_angles() -> None:
    with pytest.raises(UserError, match="1 qubits and 3 layers"):
        brickwork(1, 3)
    with pytest.raises(ValueError, match=r"\(3,\) angles for an ansatz of 28"):
        brickwork(5, 1).circuit(np.zeros(3))

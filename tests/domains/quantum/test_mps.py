"""Matrix product states against dense vectors and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import Statevector
from tests.domains.quantum.chains import brick, coarse, evolved, qubit_zero_first

from wheatstone.domains.quantum.mps import EXACT, MPS, Truncation, run_circuit


@settings(max_examples=20, deadline=None)
@given(n=st.integers(2, 7), layers=st.integers(1, 6), seed=st.integers(0, 1000))
def test_a_circuit_gives_the_state_that_qiskit_gives(n: int, layers: int, seed: int) -> None:
    circuit = brick(n, layers, seed)
    state = run_circuit(circuit)
    expected = qubit_zero_first(Statevector(circuit.to_circuit()).data)
    np.testing.assert_allclose(state.to_dense(), expected, atol=1e-12)
    assert state.norm() == pytest.approx(1, abs=1e-12)
    z = np.abs(expected.reshape((2,) * n)) ** 2
    profile = [z.take(0, site).sum() - z.take(1, site).sum() for site in range(n)]
    np.testing.assert_allclose(state.magnetisation(), profile, atol=1e-12)


@pytest.mark.parametrize("centre", [0, 6])
def test_tensors_are_isometries_away_from_the_centre(centre: int) -> None:
    state = run_circuit(brick(7, 5)).with_centre(centre)
    for site, tensor in enumerate(state.tensors):
        left, _, right = tensor.shape
        if site < centre:
            matrix = tensor.reshape(left * 2, right)
            np.testing.assert_allclose(matrix.conj().T @ matrix, np.eye(right), atol=1e-12)
        if site > centre:
            matrix = tensor.reshape(left, 2 * right)
            np.testing.assert_allclose(matrix @ matrix.conj().T, np.eye(left), atol=1e-12)


def test_entropies_of_known_states() -> None:
    bell = MPS.from_dense(np.array([1, 0, 0, 1]) / np.sqrt(2))
    assert bell.entropies() == pytest.approx([1.0])
    ghz = np.zeros(16, dtype=complex)
    ghz[[0, -1]] = 1 / np.sqrt(2)
    assert MPS.from_dense(ghz).entropies() == pytest.approx([1.0, 1.0, 1.0])
    assert MPS.zeros(4).entropies() == pytest.approx([0.0, 0.0, 0.0])


def test_schmidt_values_are_the_singular_values_of_the_vector() -> None:
    state = run_circuit(brick(6, 4))
    for cut, values in enumerate(state.schmidt_values(), start=1):
        expected = np.linalg.svd(state.to_dense().reshape(2**cut, -1), compute_uv=False)
        np.testing.assert_allclose(np.pad(values, (0, len(expected) - len(values))), expected, atol=1e-12)


def test_overlap_is_the_inner_product() -> None:
    one, two = run_circuit(brick(6, 4, 1)), run_circuit(brick(6, 4, 2))
    assert one.overlap(two) == pytest.approx(np.vdot(one.to_dense(), two.to_dense()), abs=1e-12)
    with pytest.raises(ValueError, match="states of 6 and of 5 qubits"):
        one.overlap(MPS.zeros(5))


@pytest.mark.parametrize("cutoff", [1e-4, 1e-8])
def test_what_is_discarded_is_what_the_norm_loses(cutoff: float) -> None:
    circuit = brick(10, 6)
    exact, cut = run_circuit(circuit, EXACT), run_circuit(circuit, Truncation(cutoff))
    assert cut.max_bond <= exact.max_bond
    assert 0 < cut.discarded < 60 * cutoff
    assert 1 - cut.norm() ** 2 == pytest.approx(cut.discarded, rel=0.05)
    assert abs(1 - exact.fidelity(cut) / cut.norm() ** 2) < 4 * cut.discarded


def test_pivoted_qr_keeps_a_rank_close_to_the_best_one() -> None:
    """The engine's own cut against the optimal one, on a state that physics made."""
    state = evolved(16, 2.4, 60)
    for cutoff in (1e-6, 1e-10):
        swept = run_circuit(coarse(16, 2.4, 60), Truncation(cutoff))
        tails = [np.cumsum(values[::-1] ** 2) for values in state.schmidt_values()]
        best = max(len(weights) - int(np.searchsorted(weights, cutoff)) for weights in tails)
        assert swept.max_bond <= best + 4
        assert state.compressed(Truncation(cutoff)).max_bond <= best
        assert state.fidelity(state.compressed(Truncation(cutoff))) > 1 - 40 * cutoff


def test_max_bond_is_obeyed() -> None:
    state = run_circuit(brick(10, 6), Truncation(0.0, 5))
    assert state.max_bond == 5
    assert state.compressed(Truncation(0.0, 2)).max_bond == 2


def test_any_tensors_are_brought_into_canonical_form() -> None:
    rng = np.random.default_rng(0)
    tensors = [rng.normal(size=shape) + 0j for shape in ((1, 2, 3), (3, 2, 4), (4, 2, 1))]
    state = MPS.from_tensors(tensors)
    dense = np.einsum("asb,btc,cud->stu", *tensors).reshape(-1)
    np.testing.assert_allclose(state.to_dense(), dense, atol=1e-12)
    assert state.norm() == pytest.approx(np.linalg.norm(dense))
    with pytest.raises(ValueError, match="bonds do not fit"):
        MPS.from_tensors([tensors[0], tensors[2]])


def test_a_long_chain_is_not_written_out() -> None:
    with pytest.raises(ValueError, match="24 qubits at most"):
        MPS.zeros(25).to_dense()

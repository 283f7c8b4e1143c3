"""Staircases: one is the best state of bond dimension 2, and their depth grows with the chain."""

from __future__ import annotations

import numpy as np
import pytest
from tests.domains.quantum.chains import evolved

from wheatstone.domains.quantum.mps import MPS, Truncation, run_circuit
from wheatstone.domains.quantum.staircase import staircase


@pytest.mark.parametrize("n", [2, 3, 9, 20])
def test_one_staircase_is_the_cut_to_bond_dimension_two(n: int) -> None:
    state = evolved(n)
    cut = state.compressed(Truncation(0.0, 2)).normalised()
    circuit = staircase(state, 1)
    assert state.fidelity(run_circuit(circuit)) == pytest.approx(state.fidelity(cut), abs=1e-9)
    for layer in circuit.layers:
        products = layer.gates @ layer.gates.conj().swapaxes(1, 2)
        np.testing.assert_allclose(products, np.broadcast_to(np.eye(4), products.shape), atol=1e-12)


def test_a_state_of_bond_dimension_two_is_prepared_exactly() -> None:
    ghz = np.zeros(64, dtype=complex)
    ghz[[0, -1]] = np.array([0.6, 0.8j])
    assert MPS.from_dense(ghz).fidelity(run_circuit(staircase(MPS.from_dense(ghz), 1))) == pytest.approx(1, abs=1e-12)
    product = MPS.zeros(5)
    assert product.fidelity(run_circuit(staircase(product, 2))) == pytest.approx(1, abs=1e-12)


def test_more_staircases_are_better_and_two_gates_deeper_each() -> None:
    state = evolved(12, 2.4, 60)
    circuits = [staircase(state, layers) for layers in (1, 2, 3)]
    fidelities = [state.fidelity(run_circuit(circuit)) for circuit in circuits]
    assert fidelities == sorted(fidelities)
    assert [len(circuit.layers) for circuit in circuits] == [11, 13, 15]

"""The objective and its derivatives against differences, dense vectors and the published package."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from qiskit.quantum_info import Statevector
from tests.domains.quantum.chains import coarse, evolved, qubit_zero_first

from wheatstone.bench.errors import UserError
from wheatstone.domains.quantum.ansatz import brickwork, fit, perturbed, random_angles
from wheatstone.domains.quantum.mps import MPS, Truncation, run_circuit
from wheatstone.domains.quantum.objective import WORKING, BitFlips, Fidelity, flips, undone

TIGHT = Truncation(1e-15)


@pytest.mark.parametrize(("n", "share"), [(8, False), (8, True), (20, False)])
def test_the_gradient_is_the_central_difference(n: int, share: bool) -> None:
    ansatz, angles = fit(coarse(n), share_ends=share)
    rng = np.random.default_rng(n)
    angles = perturbed(angles, 0.1, rng)
    objective = Fidelity(evolved(n), ansatz, TIGHT)
    gradient = objective(angles).gradient
    scale = np.linalg.norm(gradient)
    for chosen in rng.integers(0, ansatz.size, 10):
        step = np.zeros_like(angles)
        step[chosen] = 1e-5
        below, above = (abs(objective.overlap(angles + sign * step)) ** 2 for sign in (-1, 1))
        assert abs(gradient[chosen] + (above - below) / 2e-5) < 1e-5 * scale


def test_the_value_is_one_minus_the_fidelity_of_the_exported_circuit() -> None:
    target = evolved(7)
    ansatz, angles = fit(coarse(7))
    angles = perturbed(angles, 0.3, np.random.default_rng(0))
    found = Fidelity(target, ansatz, TIGHT)(angles)
    vector = qubit_zero_first(Statevector(ansatz.quantum_circuit(angles)).data)
    assert found.fidelity == pytest.approx(abs(np.vdot(target.to_dense(), vector)) ** 2, abs=1e-12)
    assert found.value == 1 - found.fidelity


def test_a_perfect_circuit_has_no_slope() -> None:
    circuit = coarse(9)
    ansatz, angles = fit(circuit)
    found = Fidelity(run_circuit(circuit), ansatz)(angles)
    assert found.fidelity == pytest.approx(1, abs=1e-7)
    assert np.abs(found.gradient).max() < 1e-5


def test_truncation_costs_about_its_cutoff() -> None:
    ansatz, angles = fit(coarse(20))
    target = evolved(20)
    tight, loose = (Fidelity(target, ansatz, truncation)(angles) for truncation in (TIGHT, WORKING))
    assert abs(tight.fidelity - loose.fidelity) < 1e-5
    assert loose.max_bond < tight.max_bond


def test_lengths_must_agree() -> None:
    with pytest.raises(UserError, match="the target has 5 qubits and the ansatz 4"):
        Fidelity(MPS.zeros(5), brickwork(4, 2))


def test_flip_projections_are_amplitudes() -> None:
    ansatz = brickwork(5, 2)
    circuit = ansatz.circuit(random_angles(ansatz, np.random.default_rng(0)))
    state = undone(evolved(5), circuit, TIGHT)
    dense = state.to_dense()
    expected = [abs(dense[1 << (4 - site)]) ** 2 for site in range(5)]
    np.testing.assert_allclose(flips(state), expected, atol=1e-12)


def test_the_surrogate_is_the_fidelity_where_no_flip_leads() -> None:
    ansatz, angles = fit(coarse(8))
    target = evolved(8)
    surrogate, plain = BitFlips(target, ansatz, TIGHT)(angles), Fidelity(target, ansatz, TIGHT)(angles)
    assert surrogate.value == pytest.approx(plain.value, abs=1e-12)
    np.testing.assert_allclose(surrogate.gradient, plain.gradient, atol=1e-12)


def test_the_surrogate_follows_a_flipped_bit() -> None:
    """The target is the circuit with one bit flipped: the fidelity vanishes, the surrogate has value and slope."""
    ansatz, angles = fit(coarse(6))
    flipped = angles.copy()
    flipped[2 * 3] += np.pi
    target = run_circuit(ansatz.circuit(flipped))
    objective = BitFlips(target, ansatz, TIGHT)
    found = objective(angles)
    assert objective.leader == 3
    assert found.fidelity < 1e-12
    assert found.value < 1e-12  # weight 1: all on the leading projection
    assert objective.weight == pytest.approx(0.9, abs=1e-6)


def test_the_surrogate_gradient_is_the_central_difference() -> None:
    ansatz = brickwork(5, 3)
    angles, target = random_angles(ansatz, np.random.default_rng(1)), evolved(5)

    def surrogate(at: np.ndarray) -> Any:
        objective = BitFlips(target, ansatz, TIGHT)
        objective.weight = 0.6
        return objective(at)

    gradient = surrogate(angles).gradient
    for chosen in (0, 7, 20):
        step = np.zeros_like(angles)
        step[chosen] = 1e-6
        difference = (surrogate(angles + step).value - surrogate(angles - step).value) / 2e-6
        assert gradient[chosen] == pytest.approx(difference, abs=1e-7)


def test_the_published_package_agrees() -> None:
    """Same target, same circuit: fidelity to 1e-5, and its gradient has our norm where it has our angles."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a third party's imports
        addon = pytest.importorskip("qiskit_addon_aqc_tensor")
        from qiskit_addon_aqc_tensor.objective import MaximizeStateFidelity
        from qiskit_addon_aqc_tensor.simulation import tensornetwork_from_circuit
        from qiskit_aer import AerSimulator
    n = 5
    exported = [fitted.ansatz.quantum_circuit(fitted.angles) for fitted in (fit(coarse(n)), fit(coarse(n, steps=20)))]
    simulator = AerSimulator(method="matrix_product_state", max_parallel_threads=1)
    theirs, start = addon.generate_ansatz_from_circuit(exported[0])
    loss, _ = MaximizeStateFidelity(
        tensornetwork_from_circuit(exported[1], simulator), theirs, simulator
    ).loss_function(np.array(start))
    ansatz, angles = fit(coarse(n))
    found = Fidelity(run_circuit(coarse(n, steps=20)), ansatz, TIGHT)(angles)
    assert found.fidelity == pytest.approx(1 - loss, abs=1e-5)

"""Optimisers find what is known to be there, and go on exactly where they were stopped."""

from __future__ import annotations

import numpy as np
import pytest
from tests.domains.quantum.chains import coarse, evolved

from wheatstone.domains.quantum.ansatz import fit, perturbed
from wheatstone.domains.quantum.mps import EXACT, Truncation, run_circuit
from wheatstone.domains.quantum.objective import Evaluation, Fidelity
from wheatstone.domains.quantum.optimise import minimise, sweep_blocks


def test_a_perturbed_circuit_is_found_again() -> None:
    circuit = coarse(7)
    ansatz, angles = fit(circuit)
    start = perturbed(angles, 0.1, np.random.default_rng(0))
    found = minimise(Fidelity(run_circuit(circuit), ansatz), start, iterations=200)
    assert found.start.fidelity < 0.9
    assert found.best.fidelity > 0.99999
    assert run_circuit(circuit).fidelity(run_circuit(ansatz.circuit(found.angles))) > 0.99999


def test_a_good_start_is_never_thrown_away() -> None:
    """Every evaluation stays near the start: the first step is as long as the slope suggests."""
    ansatz, angles = fit(coarse(10))
    seen: list[float] = []
    minimise(
        Fidelity(evolved(10), ansatz), angles, iterations=10, on_evaluation=lambda _, found: seen.append(found.fidelity)
    )
    assert min(seen) == seen[0] > 0.9


def test_it_stops_when_the_fidelity_is_reached() -> None:
    ansatz, angles = fit(coarse(8))
    found = minimise(Fidelity(evolved(8), ansatz), angles, iterations=50, stop_fidelity=0.995)
    assert 0.995 < found.best.fidelity < 0.9995
    assert found.iterations < 50


def test_no_iterations_leave_the_start() -> None:
    ansatz, angles = fit(coarse(6))
    found = minimise(Fidelity(evolved(6), ansatz), angles, iterations=0)
    assert (found.evaluations, found.iterations) == (1, 0)
    np.testing.assert_array_equal(found.angles, angles)


@pytest.mark.parametrize("stopped_after", [1, 2, 7])
def test_a_stopped_optimisation_goes_on_as_if_it_had_not_been(stopped_after: int) -> None:
    ansatz, angles = fit(coarse(8))
    made: list[Evaluation] = []
    whole = minimise(
        Fidelity(evolved(8), ansatz), angles, iterations=12, on_evaluation=lambda _, found: made.append(found)
    )
    again = minimise(Fidelity(evolved(8), ansatz), angles, iterations=12, past=made[:stopped_after])
    np.testing.assert_array_equal(whole.angles, again.angles)
    assert whole.evaluations == again.evaluations == len(made)


def test_a_sweep_never_falls_and_ends_at_unitaries() -> None:
    target = evolved(10, 2.4, 60)
    found = sweep_blocks(target, coarse(10, 2.4, 3), Truncation(1e-14), 10)
    assert np.all(np.diff(found.fidelities) > -1e-9)
    assert target.fidelity(run_circuit(found.circuit, EXACT)) == pytest.approx(found.fidelities[-1], abs=1e-8)
    for layer in found.circuit.layers:
        products = layer.gates @ layer.gates.conj().swapaxes(1, 2)
        np.testing.assert_allclose(products, np.broadcast_to(np.eye(4), products.shape), atol=1e-10)


def test_sweeping_finds_a_circuit_again() -> None:
    ansatz, angles = fit(coarse(6))
    start = ansatz.circuit(perturbed(angles, 0.05, np.random.default_rng(0)))
    start = type(start)(coarse(6).front, start.layers)  # sweeping leaves the front as it is
    assert sweep_blocks(run_circuit(coarse(6)), start, EXACT, 200, 0.9999).fidelities[-1] > 0.9999

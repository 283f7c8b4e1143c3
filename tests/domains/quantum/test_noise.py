"""A device's noise: none of it gives our own numbers, more gates give more error."""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import numpy as np
import pytest
from qiskit.transpiler import CouplingMap
from tests.domains.quantum.chains import coarse

from wheatstone.bench.errors import UserError
from wheatstone.domains.quantum.ansatz import fit
from wheatstone.domains.quantum.mps import run_circuit
from wheatstone.domains.quantum.noise import fake_backend, noisy_magnetisation, on_device

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("qiskit_ibm_runtime") is None, reason="quantum-hardware is absent"),
    pytest.mark.filterwarnings("ignore"),  # of a third party's web client
]


@pytest.fixture(scope="module")
def device() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fake_backend("FakeMontrealV2")


def magnetisation(steps: int, device: Any) -> tuple[np.ndarray, np.ndarray, int]:
    ansatz, angles = fit(coarse(5, 1.2, steps))
    placed = on_device(ansatz.quantum_circuit(angles), device)
    ideal = run_circuit(coarse(5, 1.2, steps)).magnetisation()
    return ideal, noisy_magnetisation(placed, device), placed.cost.two_qubit_depth


def test_noise_grows_with_depth_and_pulls_towards_rest(device: Any) -> None:
    shallow, deep = (magnetisation(steps, device) for steps in (1, 6))
    assert shallow[2] < deep[2]
    errors = [float(np.abs(noisy - ideal).max()) for ideal, noisy, _ in (shallow, deep)]
    assert 0.001 < errors[0] < errors[1] < 0.5
    # Every qubit keeps its own sign: a wrong mapping of qubits would mix them up.
    assert np.all(np.sign(shallow[0]) == np.sign(shallow[1]))


def test_a_device_couples_only_neighbours(device: Any) -> None:
    ansatz, angles = fit(coarse(5))
    placed = on_device(ansatz.quantum_circuit(angles), device)
    coupling = CouplingMap(device.coupling_map.get_edges())
    for item in placed.circuit.data:
        if len(item.qubits) == 2:
            one, two = (placed.circuit.find_bit(qubit).index for qubit in item.qubits)
            assert coupling.distance(one, two) == 1


def test_an_unknown_device_gets_a_suggestion() -> None:
    with pytest.raises(UserError, match=r"no device 'FakeMontreal2'\. Did you mean 'FakeMontrealV2'\?"):
        fake_backend("FakeMontreal2")


def test_too_many_qubits_are_refused(device: Any) -> None:
    ansatz, angles = fit(coarse(30))
    with pytest.raises(UserError, match=r"30 qubits do not fit on fake_montreal, which has 27"):
        on_device(ansatz.quantum_circuit(angles), device)

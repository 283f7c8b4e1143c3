"""What noisy hardware makes of a circuit: calibration snapshots of real devices, simulated exactly.

The snapshots ship with qiskit-ibm-runtime and need no network. A circuit is transpiled to the device's own gates and
couplings, and Aer's density matrix simulator applies the device's gate errors and relaxation; no shots, so the numbers
are expectations and the same every time. Readout error is left out: it is the same for every circuit.

Source  Aleksandrowicz et al., Qiskit; Javadi-Abhari et al., arXiv:2405.08810
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile

from wheatstone.bench.errors import UserError, did_you_mean
from wheatstone.bench.extras import need
from wheatstone.domains.quantum.circuit import FULL_LEVEL, Cost, as_it_stands

DENSE_UP_TO = 12
"""Qubits up to which a density matrix is simulated."""


class OnDevice(NamedTuple):
    """A circuit on a device."""

    circuit: QuantumCircuit
    """In the device's gates, on its physical qubits."""
    places: tuple[int, ...]
    """Physical qubit that holds each qubit at the end."""
    cost: Cost


def fake_backend(name: str) -> Any:
    """The snapshot of that name, as 'FakeMontrealV2'.

    Raises UserError for an unknown name or when the extra is missing.
    """
    need("qiskit_ibm_runtime", extra="quantum-hardware", to=f"use the device {name}")
    from qiskit_ibm_runtime import fake_provider

    names = sorted(word for word in dir(fake_provider) if word.startswith("Fake") and word[4:5].isupper())
    if name not in names:
        hint = did_you_mean(name, names)
        raise UserError(f"no device '{name}'.{hint} There are {len(names)}, such as FakeMontrealV2.")
    return getattr(fake_provider, name)()


def on_device(circuit: QuantumCircuit, backend: Any, seed: int = 0) -> OnDevice:
    """The circuit transpiled to a device. Raises UserError when it has more qubits than the device."""
    if circuit.num_qubits > backend.num_qubits:
        raise UserError(f"{circuit.num_qubits} qubits do not fit on {backend.name}, which has {backend.num_qubits}.")
    done = transpile(circuit, backend, optimization_level=FULL_LEVEL, seed_transpiler=seed)
    layout: Any = done.layout
    places = tuple(layout.final_index_layout()[: circuit.num_qubits])
    return OnDevice(done, places, as_it_stands(done))


def noisy_magnetisation(placed: OnDevice, backend: Any) -> NDArray[np.float64]:
    """(qubit,) expectation of Z after the circuit with the device's gate errors and relaxation.

    Raises UserError above 12 active qubits: a density matrix has 4^n entries.
    """
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel

    circuit = placed.circuit
    active = {circuit.find_bit(qubit).index for item in circuit.data for qubit in item.qubits}
    if len(active) > DENSE_UP_TO:
        raise UserError(f"{len(active)} active qubits; a density matrix is simulated for {DENSE_UP_TO} at most.")
    n = len(placed.places)
    measured: Any = circuit.copy()
    measured.save_probabilities(list(placed.places), label="p")  # Aer's expectation values lose the mapping of qubits
    model = NoiseModel.from_backend(backend, readout_error=False)
    simulator = AerSimulator(method="density_matrix", noise_model=model, max_parallel_threads=1)
    chances = np.asarray(simulator.run(measured, shots=1).result().data()["p"]).reshape((2,) * n)
    marginal = [chances.sum(axis=tuple(axis for axis in range(n) if axis != n - 1 - qubit)) for qubit in range(n)]
    return np.array([float(zero - one) for zero, one in marginal])

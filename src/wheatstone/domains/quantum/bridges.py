"""Matrix product states to and from quimb and Aer, and fidelities that other libraries compute.

Source  Gray, JOSS 3 (2018), quimb; Javadi-Abhari et al., arXiv:2405.08810, Qiskit and Aer
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from wheatstone.domains.quantum.circuit import Complex
from wheatstone.domains.quantum.mps import MPS

AER_CUTOFF = 1e-13
"""Weight that Aer may discard at one gate: at 1e-16 it keeps rounding noise and needs 20 times longer."""
DENSE_UP_TO = 20
"""Qubits up to which Aer writes out the whole state."""
AerState = tuple[Sequence[tuple[Complex, Complex]], Sequence[NDArray[np.float64]]]
"""Aer's saved form: for each qubit the matrices of 0 and of 1, and the Schmidt coefficients of each cut."""


def to_quimb(state: MPS) -> Any:
    """A quimb `MatrixProductState` with the same tensors."""
    import quimb.tensor as qtn

    tensors: list[Any] = [tensor.transpose(0, 2, 1) for tensor in state.tensors]  # quimb: left, right, physical
    tensors[0], tensors[-1] = tensors[0][0], tensors[-1][:, 0]
    return qtn.MatrixProductState(tensors, shape="lrp")


def from_quimb(state: Any) -> MPS:
    """The state in a quimb `MatrixProductState` of qubits."""
    ordered = state.copy()
    ordered.permute_arrays("lrp")
    arrays = [np.asarray(array, dtype=complex) for array in ordered.arrays]
    first, last = arrays[0][None], arrays[-1][:, None]
    return MPS.from_tensors([array.transpose(0, 2, 1) for array in (first, *arrays[1:-1], last)])


def from_aer(saved: AerState) -> MPS:
    """The state that Aer's `save_matrix_product_state` returns, qubit 0 the leftmost site."""
    gammas, weights = saved
    tensors: list[Complex] = []
    for site, (zero, one) in enumerate(gammas):
        tensor = np.stack([np.asarray(zero), np.asarray(one)], axis=1)
        if site < len(weights):
            tensor = tensor * np.asarray(weights[site])
        tensors.append(tensor)
    return MPS.from_tensors(tensors)


def to_aer(state: MPS) -> AerState:
    """What Aer's `set_matrix_product_state` takes: Vidal's form of the state."""
    right = state.with_centre(0)
    gammas, weights = list[tuple[Complex, Complex]](), list[NDArray[np.float64]]()
    rest, before = np.eye(1, dtype=complex), np.ones(1)
    for site, tensor in enumerate(right.tensors):
        centre = np.tensordot(rest, tensor, 1)
        left, _, bond = centre.shape
        if site == right.n - 1:
            isometry, values = centre, None
        else:
            u, values, v = np.linalg.svd(centre.reshape(left * 2, bond), full_matrices=False)
            rank = max(1, int(np.count_nonzero(values > 1e-14 * values[0])))
            isometry, values, rest = u[:, :rank].reshape(left, 2, rank), values[:rank], values[:rank, None] * v[:rank]
        gamma: Complex = (isometry / before[:, None, None]).astype(complex)
        gammas.append((np.ascontiguousarray(gamma[:, 0]), np.ascontiguousarray(gamma[:, 1])))  # Aer ignores strides
        if values is not None:
            weights.append(values)
            before = values
    return gammas, weights


def aer_state(circuit: QuantumCircuit) -> MPS:
    """The state that Aer's matrix product simulator makes of a circuit, truncated at `AER_CUTOFF`."""
    from qiskit_aer import AerSimulator

    done = circuit.copy()
    cast("Any", done).save_matrix_product_state(label="state")
    simulator = AerSimulator(
        method="matrix_product_state", matrix_product_state_truncation_threshold=AER_CUTOFF, max_parallel_threads=1
    )
    return from_aer(simulator.run(done, shots=1).result().data()["state"])


def aer_vector(circuit: QuantumCircuit) -> Complex:
    """(2^n,) amplitudes that Aer's statevector simulator makes of a circuit, qubit 0 the most significant bit."""
    from qiskit_aer import AerSimulator

    done = circuit.copy()
    cast("Any", done).save_statevector(label="state")
    simulator = AerSimulator(method="statevector", max_parallel_threads=1)
    vector = np.asarray(simulator.run(done, shots=1).result().data()["state"])
    n = circuit.num_qubits
    return vector.reshape((2,) * n).transpose(range(n)[::-1]).reshape(-1)


def fidelity_by_others(circuit: QuantumCircuit, target: MPS) -> float:
    """|<target|circuit>|^2 without this package's engine: Aer makes the state, quimb the overlap above 20 qubits."""
    if circuit.num_qubits <= DENSE_UP_TO:
        vector = aer_vector(circuit)
        return float(abs(np.vdot(target.to_dense(), vector)) ** 2) / target.norm() ** 2
    made, wanted = to_quimb(aer_state(circuit)), to_quimb(target)
    return float(abs(made.overlap(wanted)) ** 2 / abs(wanted.overlap(wanted) * made.overlap(made)))

"""Any matrix product state as a circuit: staircases of two-qubit gates, one disentangling layer after another.

A state of bond dimension 2 is prepared exactly by one staircase of n - 1 gates. A layer is the staircase of the state's
best approximation of bond dimension 2; undoing it leaves a state with less entanglement, of which the next is taken.
The depth grows with the number of qubits: n - 1 + 2 (layers - 1) gates. This is the generic method that the depth of
compiled circuits is compared with.

Source  Ran, Physical Review A 101 (2020), arXiv:1908.07958; Rudolph et al., arXiv:2209.00595, for refining its angles
"""

from __future__ import annotations

import numpy as np

from wheatstone.domains.quantum.circuit import Complex, LayeredCircuit, arrange
from wheatstone.domains.quantum.mps import MPS, Truncation, run_circuit

WORKING = Truncation(1e-13, 128)
"""Truncation while layers are undone."""


def staircase(state: MPS, layers: int) -> LayeredCircuit:
    """The circuit of so many staircases that prepares the state as well as the method can from |0...0>."""
    rest, stairs = state.normalised(), list[list[tuple[int, Complex]]]()
    identity = np.tile(np.eye(2, dtype=complex), (state.n, 1, 1))
    for _ in range(layers):
        stairs.append(_stair(rest))
        undo = [(left, gate.conj().T) for left, gate in reversed(stairs[-1])]
        rest = run_circuit(LayeredCircuit(identity, arrange(state.n, undo)), WORKING, rest.with_centre(0))
    blocks = [block for stair in reversed(stairs) for block in stair]
    return LayeredCircuit(identity, arrange(state.n, blocks))


def _stair(state: MPS) -> list[tuple[int, Complex]]:
    """(left qubit, gate) in order, which make the best approximation of bond dimension 2 from |0...0>.

    Its tensors are right-isometric: read from the left, each takes the bond's bit to this qubit and the next bond's
    bit, which the next qubit carries on.
    """
    tensors = state.compressed(Truncation(0.0, 2)).normalised().tensors
    gates: list[tuple[int, Complex]] = []
    for site, tensor in enumerate(tensors[:-1]):
        left, _, right = tensor.shape
        columns = np.zeros((4, 2), dtype=complex)  # of |bond's bit>|0>
        columns.reshape(2, 2, 2)[:, :right, :left] = tensor.transpose(1, 2, 0)
        gates.append((site, _completed(columns, left)))
    last = tensors[-1][:, :, 0].T
    closing = _completed_qubit(last)
    site, gate = gates[-1]
    gates[-1] = site, np.kron(np.eye(2), closing) @ gate
    return gates


def _completed(columns: Complex, known: int) -> Complex:
    """A unitary that takes |b>|0> to column b for the known ones."""
    basis, _ = np.linalg.qr(np.concatenate([columns[:, :known], np.eye(4)], axis=1))
    gate = np.empty((4, 4), dtype=complex)
    gate[:, [0, 2][:known]] = columns[:, :known]
    gate[:, [index for index in range(4) if index not in [0, 2][:known]]] = basis[:, known:4]
    return gate


def _completed_qubit(columns: Complex) -> Complex:
    """(2, left) isometry to a 2x2 unitary that takes |b> to column b."""
    if columns.shape[1] == 2:
        return columns
    (zero,), (one,) = columns
    return np.array([[zero, -np.conj(one)], [one, np.conj(zero)]])

"""Small chains that the tests of the quantum layer share."""

from __future__ import annotations

import numpy as np

from wheatstone.domains.quantum.ansatz import Ansatz, brickwork, random_angles
from wheatstone.domains.quantum.circuit import Complex, LayeredCircuit
from wheatstone.domains.quantum.hamiltonian import chain
from wheatstone.domains.quantum.mps import MPS, Truncation, run_circuit
from wheatstone.domains.quantum.trotter import neel, trotter


def brick(n: int, layers: int, seed: int = 0) -> LayeredCircuit:
    """Brickwork at random angles."""
    ansatz = brickwork(n, layers)
    return ansatz.circuit(random_angles(ansatz, np.random.default_rng(seed)))


def evolved(n: int, time: float = 1.2, steps: int = 30) -> MPS:
    """The Heisenberg chain after a quench from the Néel state."""
    return run_circuit(trotter(chain("heisenberg", n), time, steps, neel(n)), Truncation(1e-14)).normalised()


def coarse(n: int, time: float = 1.2, steps: int = 2) -> LayeredCircuit:
    """The same evolution in a few steps."""
    return trotter(chain("heisenberg", n), time, steps, neel(n))


def qubit_zero_first(vector: Complex) -> Complex:
    """qiskit's amplitudes with qubit 0 as the most significant bit."""
    n = int(vector.size).bit_length() - 1
    return vector.reshape((2,) * n).transpose(range(n)[::-1]).reshape(-1)


__all__ = ["Ansatz", "brick", "coarse", "evolved", "qubit_zero_first"]

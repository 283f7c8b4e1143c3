"""Time evolution of a chain by Trotter circuits in brickwork form.

One step of order 2 is half a layer on the even bonds, a layer on the odd bonds, and half a layer on the even bonds;
adjacent halves of successive steps are one layer, so s steps are 2s + 1 layers.

Source  Suzuki, Physics Letters A 146 (1990) for orders 2 and 4; the layout of Robertson et al., arXiv:2301.08609
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit.circuit.library import PauliEvolutionGate
from qiskit.quantum_info import SparsePauliOp
from qiskit.synthesis import SuzukiTrotter

from wheatstone.domains.quantum.circuit import Complex, Layer, LayeredCircuit, chain_circuit, layered
from wheatstone.domains.quantum.hamiltonian import PAULIS, Hamiltonian, Term
from wheatstone.domains.quantum.qasm import Source

Order = Literal[1, 2, 4]


def neel(n: int) -> Complex:
    """(n, 2, 2) gates that make |1010...>, X on the even qubits."""
    return np.stack([PAULIS["X"] if site % 2 == 0 else PAULIS["I"] for site in range(n)])


def trotter(hamiltonian: Hamiltonian, time: float, steps: int, front: Complex, order: Order = 2) -> LayeredCircuit:
    """exp(-i H time) after the one-qubit gates `front`, in `steps` steps of the given order.

    Raises UserError for a Hamiltonian with a term on no bond, ValueError below one step.
    """
    if steps < 1:
        raise ValueError(f"{steps} Trotter steps; there must be at least 1")
    bonds = hamiltonian.bonds()
    values, vectors = np.linalg.eigh(bonds)
    layers: list[Layer] = []
    for parity, span in schedule(time / steps, steps, order):
        chosen = np.arange(parity, hamiltonian.n - 1, 2)
        if not chosen.size:
            continue
        phases = np.exp(-1j * span * values[chosen])
        gates = (vectors[chosen] * phases[:, None, :]) @ vectors[chosen].conj().swapaxes(1, 2)
        layers.append(Layer(tuple(chosen.tolist()), gates))
    return LayeredCircuit(front, tuple(layers))


def routed_trotter(hamiltonian: Hamiltonian, time: float, steps: int, front: Complex) -> LayeredCircuit:
    """The same in order 2 for any Pauli strings: qiskit writes their circuit, swaps bring distant qubits together."""
    labels = [(letters, sites, value) for value, letters, sites in map(_sparse, hamiltonian.terms) if letters]
    operator = SparsePauliOp.from_sparse_list(labels, hamiltonian.n)
    evolution = PauliEvolutionGate(operator, time, synthesis=SuzukiTrotter(order=2, reps=steps))
    circuit = QuantumCircuit(hamiltonian.n)
    circuit.append(evolution, range(hamiltonian.n))
    written = transpile(circuit, basis_gates=["u", "cx"], optimization_level=1, seed_transpiler=0)
    source = Source(written, (None,) * len(written.data), "the evolution")
    routed = layered(chain_circuit(source, allow_swaps=True))
    return LayeredCircuit(routed.front @ front, routed.layers)


def _sparse(term: Term) -> tuple[float, str, list[int]]:
    return term.coefficient, "".join(letter for _, letter in term.paulis), [site for site, _ in term.paulis]


def schedule(step: float, steps: int, order: Order) -> list[tuple[int, float]]:
    """(parity of the bonds, time span) of each layer; neighbouring layers of one parity are one."""
    if order == 1:
        once = [(0, step), (1, step)]
    elif order == 2:
        once = _second(step)
    else:
        outer = step / (4 - 4 ** (1 / 3))
        once = [item for span in (outer, outer, step - 4 * outer, outer, outer) for item in _second(span)]
    merged: list[tuple[int, float]] = []
    for parity, span in once * steps:
        if merged and merged[-1][0] == parity:
            merged[-1] = parity, merged[-1][1] + span
        else:
            merged.append((parity, span))
    return merged


def _second(step: float) -> list[tuple[int, float]]:
    return [(0, step / 2), (1, step), (0, step / 2)]

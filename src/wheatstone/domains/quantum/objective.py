"""How well a parametrised circuit prepares a state, with all derivatives, in two sweeps.

Method
    1  forward: apply the layers to |0...0> one by one and keep every state
    2  backward: undo the layers on the target one by one. Between both states the overlap with one block left open is a
       4x4 matrix (its environment); a layer's blocks take theirs from one pass of the overlap in each direction
    3  chain rule from the entries of the blocks to their angles, for all blocks at once

The cost is O(layers x qubits x bond^3) whatever the number of angles; there is no loop over angles.

Surrogate for bad starts (`BitFlips`): f = 1 - (1 - w) p_0 - w p_max, where p_0 is the fidelity and p_max the largest
of it and the fidelities with one bit of |0...0> flipped; the leader changes when another is 1.1 times larger, and w
follows sqrt(f) with a step of 0.1.

Source  Robertson, Akhriev, Vala, Zhuk, arXiv:2301.08609: the objective and the surrogate; Evenbly and Vidal,
        arXiv:0707.1454, for environments
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import numpy as np

from wheatstone.bench.errors import UserError
from wheatstone.domains.quantum.ansatz import Ansatz, Real
from wheatstone.domains.quantum.circuit import Complex, Layer, LayeredCircuit
from wheatstone.domains.quantum.mps import MPS, Truncation, pass_left, pass_right

WORKING = Truncation(1e-8)
"""Truncation while optimising: the fidelity is off by about as much, and every reported one is computed anew."""
LEAD = 1.1
"""How much larger another projection must be to take over."""
FOLLOW = 0.1
"""How fast the surrogate's weight follows."""


class Evaluation(NamedTuple):
    """The objective at one set of angles."""

    value: float
    """What is minimised."""
    gradient: Real
    fidelity: float
    """|<target|circuit>|^2 as the truncated sweeps see it."""
    max_bond: int
    """Largest bond dimension on the way."""


class Objective(Protocol):
    """Something that an optimiser can minimise."""

    def __call__(self, angles: Real) -> Evaluation: ...


class _Slopes(NamedTuple):
    overlap: complex
    front: Complex
    blocks: Complex
    max_bond: int


class Fidelity:
    """1 - |<target|V(angles)|0>|^2."""

    def __init__(self, target: MPS, ansatz: Ansatz, truncation: Truncation = WORKING) -> None:
        """Raises UserError for a target of another length than the ansatz."""
        if target.n != ansatz.n:
            raise UserError(f"the target has {target.n} qubits and the ansatz {ansatz.n}: they must be equal.")
        self.target = target.normalised().with_centre(0)
        self.ansatz = ansatz
        self.truncation = truncation

    def __call__(self, angles: Real) -> Evaluation:
        found = slopes(self.target, self.ansatz.circuit(angles), self.truncation, np.zeros(self.ansatz.n, dtype=int))
        return self._evaluation(angles, found)

    def overlap(self, angles: Real) -> complex:
        """<target|V(angles)|0> without derivatives."""
        state = MPS.zeros(self.ansatz.n)
        circuit = self.ansatz.circuit(angles)
        state = state.apply_front(circuit.front)
        for layer in circuit.layers:
            state = state.apply(layer, self.truncation)
        return self.target.overlap(state)

    def _evaluation(self, angles: Real, found: _Slopes) -> Evaluation:
        by_angles = self.ansatz.gradient(angles, found.front, found.blocks)
        fidelity = abs(found.overlap) ** 2
        gradient = -2 * (np.conj(found.overlap) * by_angles).real
        return Evaluation(1 - fidelity, gradient, fidelity, found.max_bond)


class BitFlips(Fidelity):
    """The surrogate: it still has a slope where the fidelity itself has vanished. Stateful, as its weight follows."""

    weight = 1.0
    leader: int | None = None
    """Which bit is flipped in the leading projection; None for none."""

    def __call__(self, angles: Real) -> Evaluation:
        circuit, n = self.ansatz.circuit(angles), self.ansatz.n
        plain = slopes(self.target, circuit, self.truncation, np.zeros(n, dtype=int))
        here = self._evaluation(angles, plain)
        projections = flips(undone(self.target, circuit, self.truncation))
        leading = here.fidelity if self.leader is None else float(projections[self.leader])
        best = int(np.argmax(projections))
        if projections[best] > LEAD * leading:
            self.leader, leading = best, float(projections[best])
        if here.fidelity > LEAD * leading:
            self.leader, leading = None, here.fidelity
        if self.leader is None:
            led = here
        else:
            bits = np.zeros(n, dtype=int)
            bits[self.leader] = 1
            led = self._evaluation(angles, slopes(self.target, circuit, self.truncation, bits))
        value = max(0.0, 1 - (1 - self.weight) * here.fidelity - self.weight * led.fidelity)
        gradient = (1 - self.weight) * here.gradient + self.weight * led.gradient
        self.weight += FOLLOW * (math.sqrt(value) - self.weight)
        return Evaluation(value, gradient, here.fidelity, here.max_bond)


def slopes(target: MPS, circuit: LayeredCircuit, truncation: Truncation, bits: np.ndarray) -> _Slopes:
    """<target|circuit|bits> and its derivatives by every entry of every gate."""
    basis = np.eye(2, dtype=complex)[bits]
    forward = [MPS.product(basis).apply_front(circuit.front)]
    for layer in circuit.layers:
        forward.append(forward[-1].apply(layer, truncation))
    overlap = target.overlap(forward.pop())
    backward, blocks = target, list[Complex]()
    max_bond = max(state.max_bond for state in (target, *forward))
    for layer, before in zip(reversed(circuit.layers), reversed(forward), strict=True):
        backward = backward.apply(adjoint(layer), truncation)
        max_bond = max(max_bond, backward.max_bond)
        blocks.append(layer.gates.conj() @ environments(backward, before, layer.qubits))
    undone_front = backward.apply_front(circuit.front.conj().swapaxes(1, 2))
    front = circuit.front.conj() @ _site_environments(undone_front, basis)
    return _Slopes(overlap, front, np.concatenate(blocks[::-1]), max_bond)


def adjoint(layer: Layer) -> Layer:
    """The layer that undoes this one."""
    return Layer(layer.qubits, layer.gates.conj().swapaxes(1, 2))


def undone(target: MPS, circuit: LayeredCircuit, truncation: Truncation) -> MPS:
    """The target after the inverse of the circuit: |0...0> when the circuit prepares it."""
    state = target
    for layer in reversed(circuit.layers):
        state = state.apply(adjoint(layer), truncation)
    return state.apply_front(circuit.front.conj().swapaxes(1, 2))


def environments(bra: MPS, ket: MPS, qubits: tuple[int, ...]) -> Complex:
    """(pair, 4, 4): <bra|ket> with both indices of the sites (q, q+1) left open, bra index first."""
    rights: list[Complex] = [np.ones((1, 1), dtype=complex)]
    for one, two in zip(reversed(bra.tensors[1:]), reversed(ket.tensors[1:]), strict=True):
        rights.append(pass_left(rights[-1], one, two))
    rights.reverse()
    found = np.empty((len(qubits), 4, 4), dtype=complex)
    left, site, at = np.ones((1, 1), dtype=complex), 0, 0
    while at < len(qubits):
        if site < qubits[at]:
            left = pass_right(left, bra.tensors[site], ket.tensors[site])
            site += 1
            continue
        one, two = bra.tensors[site], bra.tensors[site + 1]
        height, width = one.shape[0], two.shape[2]
        pair = (one.reshape(height * 2, -1) @ two.reshape(two.shape[0], -1)).conj()
        first, second = ket.tensors[site], ket.tensors[site + 1]
        seen = (left @ first.reshape(first.shape[0], -1)).reshape(height * 2, -1) @ second.reshape(second.shape[0], -1)
        closed = seen.reshape(height * 4, -1) @ rights[site + 1].T
        rows = pair.reshape(height, 4, width).transpose(1, 0, 2).reshape(4, -1)
        found[at] = rows @ closed.reshape(height, 4, width).transpose(0, 2, 1).reshape(-1, 4)
        left = pair.reshape(height * 4, width).T @ seen.reshape(height * 4, -1)
        site, at = site + 2, at + 1
    return found


def flips(state: MPS) -> Real:
    """(qubit,) |<0|X_j|state>|^2 for each j."""
    vectors = np.tile(np.eye(2, dtype=complex)[0], (state.n, 1))
    return np.abs(_site_environments(state, vectors)[:, 1, 0].conj()) ** 2


def _site_environments(bra: MPS, vectors: Complex) -> Complex:
    """(qubit, 2, 2): the overlap of `bra` with a product of (qubit, 2) vectors, one site's indices open, bra first."""
    closed = [tensor.conj().transpose(0, 2, 1) @ vector for tensor, vector in zip(bra.tensors, vectors, strict=True)]
    rights = [np.ones(1, dtype=complex)]
    for matrix in reversed(closed[1:]):
        rights.append(matrix @ rights[-1])
    rights.reverse()
    found, left = np.empty((bra.n, 2, 2), dtype=complex), np.ones(1, dtype=complex)
    for site, (tensor, vector) in enumerate(zip(bra.tensors, vectors, strict=True)):
        open_site = np.einsum("a,asb,b->s", left, tensor.conj(), rights[site], optimize=True)
        found[site] = np.outer(open_site, vector)
        left = left @ closed[site]
    return found

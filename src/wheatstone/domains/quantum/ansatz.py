"""Parametrised circuits of two-qubit blocks: nine angles a block, two a qubit before the first layer.

A block is exp(i(a XX + b YY + c ZZ)) followed by Rz Rx Rz on each of its qubits; the front is Rx then Rz on |0>. Every
two-qubit gate is such a block with one-qubit gates in front of it (the KAK or Weyl decomposition), which the blocks
before it absorb. So any circuit of layers has angles at which the ansatz equals it up to phase, and every block costs
three CX.

Source  Vidal and Dawson, arXiv:quant-ph/0307177; Vatan and Williams, arXiv:quant-ph/0308006, figure 6 (three CX); the
        layout of Robertson et al., arXiv:2301.08609
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.synthesis import OneQubitEulerDecomposer, TwoQubitWeylDecomposition

from wheatstone.bench.errors import UserError
from wheatstone.domains.quantum.circuit import Complex, Layer, LayeredCircuit
from wheatstone.domains.quantum.hamiltonian import PAULIS

Real = NDArray[np.float64]
BLOCK = 9
"""Angles of a block: a, b, c of the core, then first, middle and last rotation of the left and of the right qubit."""
FRONT = 2
"""Angles of a qubit's front: Rx, then Rz."""
_CORE = np.stack([np.kron(PAULIS[letter], PAULIS[letter]) for letter in "XYZ"])
_EULER = OneQubitEulerDecomposer("ZXZ")


class _Rotations(NamedTuple):
    """Rz(last) Rx(middle) Rz(first) and its derivatives."""

    value: Complex
    """(..., 2, 2)"""
    slopes: Complex
    """(..., 3, 2, 2) derivatives by first, middle, last."""


@dataclass(frozen=True)
class Ansatz:
    """The layout: which pairs of neighbours have a block in which layer."""

    n: int
    layers: tuple[tuple[int, ...], ...]
    """Left qubits of the blocks of each layer, ascending and at least two apart."""
    share_ends: bool = False
    """Whether the last layer has the angles of the first, as in the research code of arXiv:2301.08609."""

    def __post_init__(self) -> None:
        if self.share_ends and (len(self.layers) < 2 or self.layers[0] != self.layers[-1]):
            raise ValueError("the first and the last layer can only share angles when they act on the same qubits")

    @property
    def n_blocks(self) -> int:
        return sum(map(len, self.layers))

    @property
    def size(self) -> int:
        """How many free angles there are."""
        shared = len(self.layers[-1]) if self.share_ends else 0
        return FRONT * self.n + BLOCK * (self.n_blocks - shared)

    def circuit(self, angles: Real) -> LayeredCircuit:
        """The circuit at these angles, (size,)."""
        front, blocks = self._parts(angles)
        gates, layers, at = _Blocks(blocks).gates, list[Layer](), 0
        for qubits in self.layers:
            layers.append(Layer(qubits, gates[at : at + len(qubits)]))
            at += len(qubits)
        return LayeredCircuit(_front(front).value, tuple(layers))

    def gradient(self, angles: Real, front_slopes: Complex, block_slopes: Complex) -> Complex:
        """(size,) derivatives of a number by the angles, by the chain rule.

        `front_slopes` (qubit, 2, 2) and `block_slopes` (block, 4, 4) are its derivatives by the entries of the gates.
        """
        front, blocks = self._parts(angles)
        by_front = np.einsum("nij,npij->np", front_slopes, _front(front).slopes)
        by_block = _Blocks(blocks).chain(block_slopes)
        if self.share_ends:
            shared = len(self.layers[-1])
            by_block[:shared] += by_block[-shared:]
            by_block = by_block[:-shared]
        return np.concatenate([by_front.ravel(), by_block.ravel()])

    def quantum_circuit(self, angles: Real) -> QuantumCircuit:
        """The circuit for qiskit: three CX a block and rotations, as it is exported."""
        front, blocks = self._parts(angles)
        circuit = QuantumCircuit(self.n)
        for qubit, (first, second) in enumerate(front.tolist()):
            _rotate(circuit, "rx", first, qubit)
            _rotate(circuit, "rz", second, qubit)
        remaining = iter(blocks.tolist())
        for layer in self.layers:
            for left in layer:
                a, b, c, *rotations = next(remaining)
                _core(circuit, a, b, c, left)
                for qubit, (first, middle, last) in ((left, rotations[:3]), (left + 1, rotations[3:])):
                    _rotate(circuit, "rz", first, qubit)
                    _rotate(circuit, "rx", middle, qubit)
                    _rotate(circuit, "rz", last, qubit)
        return circuit

    def _parts(self, angles: Real) -> tuple[Real, Real]:
        """((qubit, 2), (block, 9)) angles, shared ones repeated."""
        if angles.shape != (self.size,):
            raise ValueError(f"{angles.shape} angles for an ansatz of {self.size}")
        front = angles[: FRONT * self.n].reshape(self.n, FRONT)
        blocks = angles[FRONT * self.n :].reshape(-1, BLOCK)
        if self.share_ends:
            blocks = np.concatenate([blocks, blocks[: len(self.layers[-1])]])
        return front, blocks


class Fitted(NamedTuple):
    """An ansatz with the angles at which it is some circuit."""

    ansatz: Ansatz
    angles: Real


def brickwork(n: int, layers: int, *, share_ends: bool = False) -> Ansatz:
    """Layers of blocks on the even and the odd bonds in turn, the even ones first.

    Raises UserError below 2 qubits or 1 layer.
    """
    if n < 2 or layers < 1:
        raise UserError(f"{n} qubits and {layers} layers: an ansatz has at least 2 qubits and 1 layer.")
    chosen = (tuple(range(number % 2, n - 1, 2)) for number in range(layers))
    return Ansatz(n, tuple(layer for layer in chosen if layer), share_ends)


def fit(circuit: LayeredCircuit, *, share_ends: bool = False) -> Fitted:
    """The ansatz with the layout of a circuit, at the angles where it equals that circuit up to phase.

    One-qubit gates in front of a block are absorbed by the blocks before it, so the last layer's angles can differ from
    the first's: with `share_ends` the angles are those of the first layer and the equality only holds where it can.
    """
    pending = [gate.copy() for gate in circuit.front]
    angles: list[list[float]] = []
    places: dict[int, tuple[int, int]] = {}  # qubit -> (block, side) that takes what comes before the next block
    front: list[list[float] | None] = [None] * circuit.n
    for layer in circuit.layers:
        for left, gate in zip(layer.qubits, layer.gates, strict=True):
            weyl = TwoQubitWeylDecomposition(gate)
            before, after = (weyl.K2l, weyl.K2r), (weyl.K1l, weyl.K1r)
            for side in (0, 1):
                qubit = left + side
                _place(before[side] @ pending[qubit], qubit, places, front, angles)
                pending[qubit] = after[side]
                places[qubit] = len(angles), side
            angles.append([weyl.a, weyl.b, weyl.c, *[0.0] * 6])
    for qubit in range(circuit.n):
        _place(pending[qubit], qubit, places, front, angles)
    ansatz = Ansatz(circuit.n, tuple(layer.qubits for layer in circuit.layers), share_ends)
    kept = angles[: len(angles) - len(ansatz.layers[-1])] if share_ends else angles
    return Fitted(ansatz, np.array([angle for part in (front, kept) for angles in part for angle in angles or ()]))


def _place(
    gate: Complex,
    qubit: int,
    places: dict[int, tuple[int, int]],
    front: list[list[float] | None],
    angles: list[list[float]],
) -> None:
    """Writes a one-qubit gate into the block before it, or into the front, where only its effect on |0> counts."""
    if qubit in places:
        block, side = places[qubit]
        middle, last, first, _ = _EULER.angles_and_phase(gate)
        angles[block][3 + 3 * side : 6 + 3 * side] = [first, middle, last]
    else:
        zero, one = gate[:, 0]
        front[qubit] = [2 * math.atan2(abs(one), abs(zero)), float(np.angle(one) - np.angle(zero)) + math.pi / 2]


class _Blocks:
    """All blocks at once: their gates, and the chain rule through them."""

    def __init__(self, angles: Real) -> None:
        self.core = _cores(angles[:, :3])
        self.left = _euler(angles[:, 3:6])
        self.right = _euler(angles[:, 6:9])

    @functools.cached_property
    def gates(self) -> Complex:
        """(block, 4, 4)"""
        return self._after @ self.core

    @functools.cached_property
    def _after(self) -> Complex:
        both = np.einsum("nij,nkl->nikjl", self.left.value, self.right.value)
        return both.reshape(-1, 4, 4)

    def chain(self, slopes: Complex) -> Complex:
        """(block, 9) from (block, 4, 4) derivatives by the entries of the gates."""
        by_core = np.einsum("nki,nkj->nij", self._after, slopes)
        moved = 1j * np.einsum("pij,njk->npik", _CORE, self.core)
        by_after = (slopes @ self.core.swapaxes(1, 2)).reshape(-1, 2, 2, 2, 2)
        by_left = np.einsum("nikjl,nkl->nij", by_after, self.right.value)
        by_right = np.einsum("nikjl,nij->nkl", by_after, self.left.value)
        return np.concatenate(
            [
                np.einsum("nij,npij->np", by_core, moved),
                np.einsum("nij,npij->np", by_left, self.left.slopes),
                np.einsum("nij,npij->np", by_right, self.right.slopes),
            ],
            axis=1,
        )


def _cores(angles: Real) -> Complex:
    """(block, 4, 4) of exp(i(a XX + b YY + c ZZ)): it mixes 00 with 11 and 01 with 10."""
    a, b, c = angles.T
    even, odd = np.exp(1j * c), np.exp(-1j * c)
    gates = np.zeros((len(angles), 4, 4), dtype=complex)
    gates[:, 0, 0] = gates[:, 3, 3] = even * np.cos(a - b)
    gates[:, 0, 3] = gates[:, 3, 0] = 1j * even * np.sin(a - b)
    gates[:, 1, 1] = gates[:, 2, 2] = odd * np.cos(a + b)
    gates[:, 1, 2] = gates[:, 2, 1] = 1j * odd * np.sin(a + b)
    return gates


def _euler(angles: Real) -> _Rotations:
    """(..., 3) angles first, middle, last of Rz(last) Rx(middle) Rz(first)."""
    first, middle, last = (_phase(angles[..., 0]), _rx(angles[..., 1]), _phase(angles[..., 2]))
    value = last[..., :, None] * middle * first[..., None, :]
    z, x = np.array([-0.5j, 0.5j]), -0.5j * PAULIS["X"]
    slopes = np.stack(
        [value * z[None, :], last[..., :, None] * (x @ middle) * first[..., None, :], z[:, None] * value], axis=-3
    )
    return _Rotations(value, slopes)


def _front(angles: Real) -> _Rotations:
    """(qubit, 2) angles of Rz(second) Rx(first)."""
    full = _euler(np.concatenate([np.zeros_like(angles[:, :1]), angles], axis=1))
    return _Rotations(full.value, full.slopes[:, 1:])


def _phase(angle: Real) -> Complex:
    """(..., 2) diagonal of Rz."""
    half = np.exp(0.5j * angle)
    return np.stack([half.conj(), half], axis=-1)


def _rx(angle: Real) -> Complex:
    cosine, sine = np.cos(angle / 2) + 0j, -1j * np.sin(angle / 2)
    return np.stack([np.stack([cosine, sine], axis=-1), np.stack([sine, cosine], axis=-1)], axis=-2)


def _rotate(circuit: QuantumCircuit, name: str, angle: float, qubit: int) -> None:
    turned = math.remainder(angle, 2 * math.pi)  # a full turn is a phase
    if turned:
        getattr(circuit, name)(turned, qubit)


def _core(circuit: QuantumCircuit, a: float, b: float, c: float, left: int) -> None:
    """exp(i(a XX + b YY + c ZZ)) on (left, left + 1) in three CX."""
    one, two = left, left + 1
    circuit.rz(-math.pi / 2, two)
    circuit.cx(two, one)
    _rotate(circuit, "rz", math.pi / 2 - 2 * c, one)
    _rotate(circuit, "ry", 2 * a - math.pi / 2, two)
    circuit.cx(one, two)
    _rotate(circuit, "ry", math.pi / 2 - 2 * b, two)
    circuit.cx(two, one)
    circuit.rz(math.pi / 2, one)


def perturbed(angles: Real, spread: float, rng: np.random.Generator) -> Real:
    """The angles with independent normal noise of this standard deviation (radians)."""
    return angles + spread * rng.standard_normal(angles.shape)


def random_angles(ansatz: Ansatz, rng: np.random.Generator) -> Real:
    """Angles drawn uniformly from a full turn."""
    return rng.uniform(-math.pi, math.pi, ansatz.size)


def widened(fitted: Fitted, layers: Sequence[tuple[int, ...]]) -> Fitted:
    """The same circuit with more layers behind it, whose angles are all zero: its state does not change."""
    ansatz = Ansatz(fitted.ansatz.n, (*fitted.ansatz.layers, *layers))
    return Fitted(ansatz, np.concatenate([fitted.angles, np.zeros(ansatz.size - fitted.ansatz.size)]))

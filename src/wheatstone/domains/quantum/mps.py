"""Matrix product states of qubits, with layers of two-qubit gates applied in one sweep.

A state is a list of (left, 2, right) tensors with an orthogonality centre: all tensors left of it are left-isometric,
all right of it right-isometric. A layer is applied by a sweep from the centre's end of the chain to the other one, so
that every truncation happens at the centre, where the discarded weight is exactly the squared distance that it costs.

Method
    1  at a gate: join the centre with its neighbour, multiply by the gate, split
    2  split by a QR decomposition with column pivoting (LAPACK geqp3): its trailing block is what truncation discards,
       so the kept rank is the smallest whose trailing norm is below the cutoff. It costs a third of an SVD and keeps
       the isometry exact; its rank is at most a few per cent above the SVD's
    3  elsewhere: pass the centre on by a plain QR decomposition

Source  Schollwöck, Annals of Physics 326 (2011), arXiv:1008.3477 (canonical forms); Vidal, arXiv:quant-ph/0301063
        (gates on neighbours); pivoted QR in place of the SVD: Unfried, Hauschild, Pollmann, arXiv:2212.09782 (the idea)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_lapack_funcs

from wheatstone.domains.quantum.circuit import Complex, Layer, LayeredCircuit

_PROTOTYPE = np.empty((1, 1), dtype=complex)
_FUNCTIONS: Any = get_lapack_funcs(("geqp3", "geqrf", "ungqr"), (_PROTOTYPE,))
_pivoted_qr, _plain_qr, _isometry_of = _FUNCTIONS
DENSE_QUBITS = 24
"""Largest chain that is written out as a vector."""


class Truncation(NamedTuple):
    """When a bond is cut."""

    cutoff: float = 1e-12
    """Weight (squared norm) that one cut may discard, relative to the state."""
    max_bond: int = 1 << 20
    """Largest bond dimension."""


EXACT = Truncation(0.0)
"""Nothing is discarded."""


class _Split(NamedTuple):
    isometry: Complex
    rest: Complex
    discarded: float


@dataclass(frozen=True)
class MPS:
    """A state of n qubits; not renormalised after a truncation, so that a truncated state never looks too good."""

    tensors: tuple[Complex, ...]
    """n tensors (left, 2, right); the outer bonds have dimension 1."""
    centre: int
    """Site of the orthogonality centre: 0 or n - 1."""
    discarded: float = 0.0
    """Sum of the weights that truncations have discarded on the way here."""

    @property
    def n(self) -> int:
        return len(self.tensors)

    @property
    def bonds(self) -> tuple[int, ...]:
        """Dimension of the n - 1 inner bonds."""
        return tuple(tensor.shape[2] for tensor in self.tensors[:-1])

    @property
    def max_bond(self) -> int:
        return max(self.bonds, default=1)

    @classmethod
    def product(cls, vectors: Complex) -> MPS:
        """The product of one-qubit states, (qubit, 2) amplitudes of norm 1."""
        return cls(tuple(np.ascontiguousarray(vector.reshape(1, 2, 1)) for vector in vectors.astype(complex)), 0)

    @classmethod
    def zeros(cls, n: int) -> MPS:
        """|00...0>."""
        return cls.product(np.tile(np.array([1.0, 0.0]), (n, 1)))

    @classmethod
    def from_tensors(cls, tensors: Sequence[Complex]) -> MPS:
        """Any (left, 2, right) tensors, brought into canonical form with the centre at site 0.

        Raises ValueError for bonds that do not fit.
        """
        if any(one.shape[2] != two.shape[0] for one, two in itertools.pairwise(tensors)):
            raise ValueError(f"bonds do not fit: {[tensor.shape for tensor in tensors]}")
        state = cls(tuple(np.asarray(tensor, dtype=complex) for tensor in tensors), len(tensors) - 1)
        return state.with_centre(0, force=True)

    @classmethod
    def from_dense(cls, vector: Complex) -> MPS:
        """The state with these 2^n amplitudes, qubit 0 the most significant bit of the index."""
        n = int(vector.size).bit_length() - 1
        rest, tensors = np.asarray(vector, dtype=complex).reshape(1, -1), list[Complex]()
        for _ in range(n - 1):
            split = _split(rest.reshape(rest.shape[0] * 2, -1), Truncation(1e-32))
            tensors.append(split.isometry.reshape(rest.shape[0], 2, -1))
            rest = split.rest
        tensors.append(rest.reshape(-1, 2, 1))
        return cls(tuple(tensors), n - 1)

    def to_dense(self) -> Complex:
        """(2^n,) amplitudes, qubit 0 the most significant bit. Raises ValueError above 24 qubits."""
        if self.n > DENSE_QUBITS:
            raise ValueError(f"{self.n} qubits have 2^{self.n} amplitudes; {DENSE_QUBITS} qubits at most")
        vector = np.ones((1, 1), dtype=complex)
        for tensor in self.tensors:
            vector = (vector @ tensor.reshape(tensor.shape[0], -1)).reshape(-1, tensor.shape[2])
        return vector.reshape(-1)

    def apply(self, layer: Layer, truncation: Truncation = EXACT) -> MPS:
        """The state after a layer of two-qubit gates; the centre ends at the other end of the chain."""
        gates = dict(zip(layer.qubits, layer.gates, strict=True))
        return self._to_right(gates, truncation) if self.centre == 0 else self._to_left(gates, truncation)

    def apply_front(self, gates: Complex) -> MPS:
        """The state after a one-qubit gate on every qubit, (qubit, 2, 2)."""
        tensors = tuple(gate @ tensor for gate, tensor in zip(gates, self.tensors, strict=True))
        return MPS(tensors, self.centre, self.discarded)

    def with_centre(self, site: int, *, force: bool = False) -> MPS:
        """The same state with its centre at site 0 or n - 1; `force` redoes it even if it is said to be there."""
        if site not in (0, self.n - 1):
            raise ValueError(f"the centre is kept at an end, 0 or {self.n - 1}, not at {site}")
        if self.centre == site and not force:
            return self
        return self._to_left({}, EXACT) if site == 0 else self._to_right({}, EXACT)

    def compressed(self, truncation: Truncation) -> MPS:
        """The state truncated at every bond in one sweep (by SVD, the optimal cut at each bond)."""
        state = self.with_centre(self.n - 1)
        tensors, rest, lost = list(state.tensors), np.eye(1, dtype=complex), state.discarded
        for site in range(self.n - 1, 0, -1):
            centre = tensors[site] @ rest
            left, _, right = centre.shape
            u, values, v = np.linalg.svd(centre.reshape(left, 2 * right), full_matrices=False)
            rank, discarded = _rank(values, truncation)
            tensors[site] = v[:rank].reshape(rank, 2, right)
            rest = u[:, :rank] * values[:rank]
            lost += discarded
        tensors[0] = tensors[0] @ rest
        return MPS(tuple(tensors), 0, lost)

    def norm(self) -> float:
        """Square root of <self|self>, read off the centre."""
        return float(np.linalg.norm(self.tensors[self.centre]))

    def normalised(self) -> MPS:
        """The same direction with norm 1."""
        tensors = list(self.tensors)
        tensors[self.centre] = tensors[self.centre] / self.norm()
        return MPS(tuple(tensors), self.centre, self.discarded)

    def overlap(self, other: MPS) -> complex:
        """<self|other>. Raises ValueError for another number of qubits."""
        if self.n != other.n:
            raise ValueError(f"states of {self.n} and of {other.n} qubits have no overlap")
        left = np.ones((1, 1), dtype=complex)
        for bra, ket in zip(self.tensors, other.tensors, strict=True):
            left = pass_right(left, bra, ket)
        return complex(left[0, 0])

    def fidelity(self, other: MPS) -> float:
        """|<self|other>|^2, in [0, 1] for normalised states."""
        return abs(self.overlap(other)) ** 2

    def schmidt_values(self) -> list[NDArray[np.float64]]:
        """Schmidt coefficients of each of the n - 1 cuts, descending."""
        state = self.with_centre(0)
        values, rest = list[NDArray[np.float64]](), np.eye(1, dtype=complex)
        for tensor in state.tensors[:-1]:
            left, _, right = tensor.shape
            centre = (rest @ tensor.reshape(left, -1)).reshape(-1, right)
            _, found, v = np.linalg.svd(centre, full_matrices=False)
            values.append(found)
            rest = found[:, None] * v
        return values

    def entropies(self) -> list[float]:
        """Von Neumann entanglement entropy of each cut, in bits."""
        found: list[float] = []
        for values in self.schmidt_values():
            weights = values**2 / np.sum(values**2)
            weights = weights[weights > 0]
            found.append(max(0.0, float(-np.sum(weights * np.log2(weights)))))
        return found

    def magnetisation(self) -> NDArray[np.float64]:
        """(qubit,) expectation of Z on each qubit, of the normalised state."""
        state = self.with_centre(0)
        total, found = state.norm() ** 2, np.empty(self.n)
        left = np.ones((1, 1), dtype=complex)
        sign = np.array([1.0, -1.0]).reshape(1, 2, 1)
        for site, tensor in enumerate(state.tensors):  # everything to the right is isometric and drops out
            found[site] = np.einsum("ab,asc,bsc->", left, tensor.conj() * sign, tensor, optimize=True).real / total
            left = pass_right(left, tensor, tensor)
        return found

    def _to_right(self, gates: dict[int, Complex], truncation: Truncation) -> MPS:
        tensors, centre, lost = list(self.tensors), self.tensors[0], self.discarded
        for site in range(self.n - 1):
            left, _, middle = centre.shape
            following = self.tensors[site + 1]
            right = following.shape[2]
            if site in gates:
                joined = centre.reshape(-1, middle) @ following.reshape(middle, -1)
                joined = gates[site] @ joined.reshape(left, 4, right)
                split = _split(joined.reshape(left * 2, 2 * right), truncation)
                tensors[site] = split.isometry.reshape(left, 2, -1)
                centre = split.rest.reshape(-1, 2, right)
                lost += split.discarded
            else:
                isometry, rest = _qr(centre.reshape(left * 2, middle))
                tensors[site] = isometry.reshape(left, 2, -1)
                centre = (rest @ following.reshape(middle, -1)).reshape(-1, 2, right)
        tensors[-1] = centre
        return MPS(tuple(tensors), self.n - 1, lost)

    def _to_left(self, gates: dict[int, Complex], truncation: Truncation) -> MPS:
        tensors, centre, lost = list(self.tensors), self.tensors[-1], self.discarded
        for site in range(self.n - 1, 0, -1):
            middle, _, right = centre.shape
            before = self.tensors[site - 1]
            left = before.shape[0]
            if site - 1 in gates:
                joined = before.reshape(-1, middle) @ centre.reshape(middle, -1)
                joined = gates[site - 1] @ joined.reshape(left, 4, right)
                split = _split(joined.reshape(left * 2, 2 * right).T, truncation)
                tensors[site] = split.isometry.T.reshape(-1, 2, right)
                centre = split.rest.T.reshape(left, 2, -1)
                lost += split.discarded
            else:
                isometry, rest = _qr(centre.reshape(middle, 2 * right).T)
                tensors[site] = isometry.T.reshape(-1, 2, right)
                centre = (before.reshape(-1, middle) @ rest.T).reshape(left, 2, -1)
        tensors[0] = centre
        return MPS(tuple(tensors), 0, lost)


def run_circuit(circuit: LayeredCircuit, truncation: Truncation = EXACT, start: MPS | None = None) -> MPS:
    """The state after the circuit, from |0...0> or `start`."""
    state = (start or MPS.zeros(circuit.n)).apply_front(circuit.front)
    for layer in circuit.layers:
        state = state.apply(layer, truncation)
    return state


def pass_right(left: Complex, bra: Complex, ket: Complex) -> Complex:
    """The overlap's left part (bra bond, ket bond) one site further."""
    height = bra.shape[0]
    inner = (left @ ket.reshape(ket.shape[0], -1)).reshape(height * 2, -1)
    return bra.reshape(height * 2, -1).conj().T @ inner


def pass_left(right: Complex, bra: Complex, ket: Complex) -> Complex:
    """The overlap's right part (bra bond, ket bond) one site further."""
    width = bra.shape[2]
    inner = (ket.reshape(-1, ket.shape[2]) @ right.T).reshape(-1, 2 * width)
    return bra.reshape(-1, 2 * width).conj() @ inner.T


def _split(matrix: Complex, truncation: Truncation) -> _Split:
    """matrix = isometry @ rest, the rank as small as the truncation allows."""
    factor: Any
    factor, pivots, tau, _, _ = _pivoted_qr(matrix)
    size = min(matrix.shape)
    triangle = np.triu(factor[:size])
    # |R22|^2 for every rank: the norms of the trailing rows, smallest first.
    rows = np.einsum("ij,ij->i", triangle, triangle.conj()).real
    tails = np.cumsum(rows[::-1])[::-1]
    total = tails[0] if size else 0.0
    rank = int(np.count_nonzero(tails > max(truncation.cutoff, 1e-31) * total)) if total > 0 else 1
    rank = max(1, min(rank, truncation.max_bond))
    discarded = float(tails[rank]) / total if rank < size else 0.0
    isometry, _, _ = _isometry_of(factor[:, :rank], tau[:rank])
    rest = np.empty((rank, matrix.shape[1]), dtype=complex)
    rest[:, pivots - 1] = triangle[:rank]
    return _Split(isometry, rest, discarded)


def _qr(matrix: Complex) -> tuple[Complex, Complex]:
    factor: Any
    factor, tau, _, _ = _plain_qr(matrix)
    size = min(matrix.shape)
    rest = np.triu(factor[:size])
    isometry, _, _ = _isometry_of(factor[:, :size], tau)
    return isometry, rest


def _rank(values: NDArray[np.float64], truncation: Truncation) -> tuple[int, float]:
    weights = values**2
    tails = np.cumsum(weights[::-1])[::-1]
    total = float(tails[0])
    rank = max(1, min(int(np.count_nonzero(tails > max(truncation.cutoff, 1e-31) * total)), truncation.max_bond))
    return rank, float(tails[rank]) / total if rank < len(values) and not math.isclose(total, 0.0) else 0.0

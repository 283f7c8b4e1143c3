"""Circuits on a chain of qubits: layers of two-qubit gates, and what a circuit costs.

Conventions. Qubit 0 is the leftmost site of the chain. A gate on qubits (q, q+1) is a 4x4 matrix over |s_q s_q+1>, q
the more significant: this is the order of matrix product states, the reverse of qiskit's. Depth is always counted after
the same transpilation, whatever made the circuit: merged two-qubit blocks, at most three CX each (Vidal and Dawson,
arXiv:quant-ph/0307177).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import Operator

from wheatstone.bench.errors import Fault, InputError
from wheatstone.domains.quantum.qasm import Source

Complex = NDArray[np.complex128]
BASIS = ("cx", "rz", "sx", "x")
"""The gates in which every depth is counted."""
NOT_GATES = ("barrier", "delay")
FULL_LEVEL = 3
"""qiskit's optimisation level that merges two-qubit blocks."""


class Cost(NamedTuple):
    """What a circuit costs after transpilation to `BASIS`."""

    two_qubit_depth: int
    """CX gates on the longest path."""
    two_qubit_gates: int
    depth: int
    gates: int


@dataclass(frozen=True)
class Layer:
    """Two-qubit gates that act at the same time."""

    qubits: tuple[int, ...]
    """Left qubit of each gate, ascending and at least two apart."""
    gates: Complex
    """(gate, 4, 4) unitaries over |s_q s_q+1>."""


@dataclass(frozen=True)
class LayeredCircuit:
    """One-qubit gates on every qubit, then layers of two-qubit gates on neighbours; equal to its source up to phase."""

    front: Complex
    """(qubit, 2, 2) unitaries."""
    layers: tuple[Layer, ...]

    @property
    def n(self) -> int:
        return len(self.front)

    def to_circuit(self) -> QuantumCircuit:
        """The same circuit for qiskit, with its gates as matrices."""
        circuit = QuantumCircuit(self.n)
        for qubit, gate in enumerate(self.front):
            circuit.append(UnitaryGate(gate), [qubit])
        for layer in self.layers:
            for qubit, gate in zip(layer.qubits, layer.gates, strict=True):
                circuit.append(UnitaryGate(gate), [qubit + 1, qubit])
        return circuit


def two_qubit_depth(circuit: QuantumCircuit) -> int:
    """Two-qubit gates on the longest path, of the circuit as it stands."""
    return circuit.depth(_is_two_qubit)


def cost(circuit: QuantumCircuit, basis: Sequence[str] = BASIS) -> Cost:
    """Counts after transpilation to `basis` with merged blocks; measurements at the end don't count."""
    unmeasured: Any = circuit.remove_final_measurements(inplace=False)
    done = transpile(
        unmeasured,
        basis_gates=list(basis),
        optimization_level=FULL_LEVEL,
        seed_transpiler=0,
    )
    return as_it_stands(done)


def as_it_stands(circuit: QuantumCircuit) -> Cost:
    """Counts without any transpilation."""
    return Cost(
        two_qubit_depth(circuit),
        sum(map(_is_two_qubit, circuit.data)),
        circuit.depth(_is_gate),
        sum(map(_is_gate, circuit.data)),
    )


def chain_circuit(source: Source, *, allow_swaps: bool = False) -> QuantumCircuit:
    """The unitary circuit on a chain in a source: at most two neighbours a gate, no measurement but at the end.

    With `allow_swaps` larger gates are decomposed, and distant qubits are swapped together and back.

    Raises InputError with the line of every gate that cannot be taken.
    """
    circuit, faults = source.circuit, list[Fault]()
    kept = QuantumCircuit(circuit.num_qubits)
    measured: dict[int, int] = {}
    for index, item in enumerate(circuit.data):
        operation, qubits = item.operation, [circuit.find_bit(qubit).index for qubit in item.qubits]
        if operation.name == "barrier":
            continue
        if operation.name == "measure":
            measured.setdefault(qubits[0], index)
            continue
        text = _refusal(item, qubits, measured, allow_swaps)
        if text:
            faults.append(source.fault(index, text))
        else:
            kept.append(operation, qubits)
    if not faults and circuit.num_qubits < 2:
        faults.append(Fault(source.name, None, None, "1 qubit; a chain has at least 2."))
    if faults:
        raise InputError(faults)
    return _swapped(kept) if allow_swaps else kept


def layered(circuit: QuantumCircuit) -> LayeredCircuit:
    """Merges every gate into a one-qubit front and as few layers of two-qubit blocks as its order allows.

    `circuit` is what `chain_circuit` returns. The gates before a qubit's first two-qubit gate make the front; every
    later one-qubit gate joins the block before it, and successive gates on one pair make one block.
    """
    n = circuit.num_qubits
    front = np.tile(np.eye(2, dtype=complex), (n, 1, 1))
    blocks: list[tuple[int, Complex]] = []
    last: list[int | None] = [None] * n
    for item in circuit.data:
        qubits = [circuit.find_bit(qubit).index for qubit in item.qubits]
        matrix = np.asarray(Operator(item.operation).data)
        if len(qubits) == 1:
            block, qubit = last[qubits[0]], qubits[0]
            if block is None:
                front[qubit] = matrix @ front[qubit]
            else:
                left, before = blocks[block]
                identity = np.eye(2)
                wide = np.kron(matrix, identity) if qubit == left else np.kron(identity, matrix)
                blocks[block] = left, wide @ before
            continue
        left = min(qubits)
        if qubits[0] == left:  # qiskit's first qubit is the less significant one
            matrix = matrix.reshape(2, 2, 2, 2).transpose(1, 0, 3, 2).reshape(4, 4)
        block = last[left]
        if block is not None and block == last[left + 1]:
            blocks[block] = left, matrix @ blocks[block][1]
        else:
            last[left] = last[left + 1] = len(blocks)
            blocks.append((left, matrix))
    return LayeredCircuit(front, arrange(n, blocks))


def arrange(n: int, blocks: Sequence[tuple[int, Complex]]) -> tuple[Layer, ...]:
    """Blocks (left qubit, 4x4 matrix) in layers, each block as early as its qubits are free."""
    free = [0] * n
    layers: list[dict[int, Complex]] = []
    for left, matrix in blocks:
        level = max(free[left], free[left + 1])
        if level == len(layers):
            layers.append({})
        layers[level][left] = matrix
        free[left] = free[left + 1] = level + 1
    return tuple(Layer(tuple(sorted(layer)), np.stack([layer[left] for left in sorted(layer)])) for layer in layers)


def _is_gate(item: Any) -> bool:
    return item.operation.name not in NOT_GATES


def _is_two_qubit(item: Any) -> bool:
    return len(item.qubits) == 2 and _is_gate(item)


def _refusal(item: Any, qubits: list[int], measured: dict[int, int], allow_swaps: bool) -> str:
    """Why a chain cannot take this instruction; '' when it can."""
    operation = item.operation
    gate = f"'{operation.name}'"
    if seen := [qubit for qubit in qubits if qubit in measured]:
        return f"{gate} acts on qubit {seen[0]} after its measurement; only measurements at the end can be left out."
    if operation.name in ("if_else", "while_loop", "for_loop", "switch_case", "reset", "initialize"):
        return f"{gate} is not unitary; only gates can be compiled."
    for parameter in operation.params:
        number = getattr(parameter, "parameters", None)
        if number:
            return f"{gate} has the free parameter '{next(iter(number)).name}'; give it a value."
        if isinstance(parameter, int | float) and not math.isfinite(parameter):
            return f"{gate} has the angle {parameter}; angles are finite numbers."
    if len(qubits) > 2 and not allow_swaps:
        return f"{gate} acts on {len(qubits)} qubits; write it in one- and two-qubit gates, or give --allow-swaps."
    if len(qubits) == 2 and abs(qubits[0] - qubits[1]) != 1 and not allow_swaps:
        return f"{gate} acts on qubits {qubits[0]} and {qubits[1]}, which are no neighbours; --allow-swaps joins them."
    return ""


def _swapped(circuit: QuantumCircuit) -> QuantumCircuit:
    """The same unitary on neighbours only: distant partners are swapped together and, after their gate, back."""
    if any(len(item.qubits) > 2 for item in circuit.data):
        circuit = transpile(circuit, basis_gates=["u", "cx"], optimization_level=0)
    near = QuantumCircuit(circuit.num_qubits)
    for item in circuit.data:
        qubits = [circuit.find_bit(qubit).index for qubit in item.qubits]
        if len(qubits) == 1 or abs(qubits[0] - qubits[1]) == 1:
            near.append(item.operation, qubits)
            continue
        low, high = min(qubits), max(qubits)
        for site in range(low, high - 1):
            near.swap(site, site + 1)
        near.append(item.operation, [high - 1 if qubit == low else high for qubit in qubits])
        for site in reversed(range(low, high - 1)):
            near.swap(site, site + 1)
    return near

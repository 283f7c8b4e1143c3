"""What compilers make of a circuit: gates that a chip's couplings add, and circuits that optimise away.

A circuit is compiled to CX and one-qubit gates twice, for couplings between all qubits and for those of a chip. The
overhead is the logarithm of the ratio of their CX gates: 0 is free, 1 doubles them. A generated set is useful for
testing compilers when its overheads are distributed like those of real circuits.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from qiskit import transpile
from qiskit.transpiler import CouplingMap

from wheatstone.domains.quantum.program import Program, text_of
from wheatstone.domains.quantum.qasm import parse_circuit

MAPS = ("line", "grid", "heavy_hex")
BASIS = ["cx", "u"]


def coupling(kind: str, n: int) -> CouplingMap:
    """The smallest map of its kind with at least `n` qubits."""
    if kind == "line":
        return CouplingMap.from_line(n)
    if kind == "grid":
        rows = math.isqrt(n)
        return CouplingMap.from_grid(rows, -(-n // rows))
    distance = 3
    while (5 * distance**2 - 2 * distance - 1) // 2 < n:  # qubits of the heavy hexagon code of an odd distance
        distance += 2
    return CouplingMap.from_heavy_hex(distance)


def overheads(one: Program) -> dict[str, float]:
    """Map -> log2 of CX gates with its couplings over CX gates without; 0 for a circuit without two-qubit gates."""
    circuit: Any = parse_circuit(text_of(one)).circuit
    free = _compiled(circuit, None, 1)
    before = free.count_ops().get("cx", 0)
    found: dict[str, float] = {}
    for kind in MAPS:
        after = _compiled(free, coupling(kind, one.n), 1).count_ops().get("cx", 0) if before else 0
        found[kind] = math.log2(after / before) if before and after else 0.0
    return found


def optimises_away(one: Program) -> bool:
    """Nothing is left of the circuit at qiskit's highest level: it is the identity up to its phase."""
    return not _compiled(parse_circuit(text_of(one)).circuit, None, 3).data


def _compiled(circuit: Any, couplings: CouplingMap | None, level: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return transpile(
            circuit, basis_gates=BASIS, coupling_map=couplings, optimization_level=level, seed_transpiler=0
        )

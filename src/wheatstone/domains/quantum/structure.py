"""The shape of a circuit in numbers: size, depth, gate mix, who meets whom; and an identity that relabelling keeps.

The numbers are those that benchmark suites report of their circuits (Tomesh et al., SupermarQ, HPCA 2022,
arXiv:2202.11045, section IV; Li et al., QASMBench, ACM TQC 2023, arXiv:2005.13018) and the measures of interaction
graphs (Bandic, Almudever and Feld, Quantum Machine Intelligence 2023). A distance between two sets of circuits is the
Wasserstein-1 distance of each number's distribution, in standard deviations of the first set, and its mean over all.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from wheatstone.domains.quantum.program import CLIFFORD, HALF_TURN, Op, Program, line_of

METRICS = {
    "gates": "log2 of 1 + gates",
    "depth": "log2 of 1 + gates on the longest path",
    "two_qubit_depth": "log2 of 1 + gates on two or more qubits on the longest path",
    "two_qubit_share": "gates on two or more qubits in all gates [0, 1]",
    "parallelism": "gates beyond one a layer, of what would fit ((gates / depth - 1) / (n - 1)) [0, 1]",
    "liveness": "places of the qubit-by-layer grid in which a gate acts [0, 1]",
    "used": "qubits with a gate, in all qubits of the register [0, 1]",
    "kinds": "different gates",
    "clifford": "Clifford gates in all gates [0, 1]",
    "density": "pairs of used qubits that meet in a gate, in all pairs [0, 1]",
    "degree": "partners of a used qubit, mean",
    "clustering": "closed triangles of the interaction graph, mean over used qubits [0, 1]",
    "path": "edges between two connected qubits, mean over pairs",
    "repetition": "meetings of the most frequent pair, in all meetings [0, 1]",
}

LOGARITHMS = ("gates", "depth", "two_qubit_depth")


def metrics(one: Program) -> dict[str, float]:
    """Every number of `METRICS`; zeros where there is nothing to count."""
    n, ops = one.n, one.ops
    level, pair_level = [0] * n, [0] * n
    touched, many = 0, 0
    pairs: Counter[tuple[int, int]] = Counter()
    for op in ops:
        top = max(level[q] for q in op.qubits) + 1
        pair_top = max(pair_level[q] for q in op.qubits) + (len(op.qubits) > 1)
        for q in op.qubits:
            level[q], pair_level[q] = top, pair_top
        touched += len(op.qubits)
        many += len(op.qubits) > 1
        for i, a in enumerate(op.qubits):
            pairs.update((min(a, b), max(a, b)) for b in op.qubits[i + 1 :])
    depth, size = max(level, default=0), len(ops)
    used = sum(1 for q in level if q)
    return {
        "gates": math.log2(1 + size),
        "depth": math.log2(1 + depth),
        "two_qubit_depth": math.log2(1 + max(pair_level, default=0)),
        "two_qubit_share": many / max(size, 1),
        "parallelism": (size / depth - 1) / (n - 1) if depth and n > 1 else 0.0,
        "liveness": touched / (n * depth) if depth else 0.0,
        "used": used / n,
        "kinds": float(len({op.gate for op in ops})),
        "clifford": sum(map(_is_clifford, ops)) / max(size, 1),
        "repetition": max(pairs.values(), default=0) / max(sum(pairs.values()), 1),
        **_graph(n, used, list(pairs)),
    }


def _is_clifford(op: Op) -> bool:
    """Named Clifford gates, and rotations by quarter turns; controlled rotations do not count."""
    if op.gate in CLIFFORD:
        return True
    quarter = (angle / (HALF_TURN / 2) for angle in op.angles)
    return op.gate in ("rx", "ry", "rz", "p", "u2", "u3", "rxx", "rzz") and all(
        abs(value - round(value)) < 1e-9 for value in quarter
    )


def _graph(n: int, used: int, edges: Sequence[tuple[int, int]]) -> dict[str, float]:
    """Density, degree, clustering and path length of the interaction graph."""
    if not edges:
        return {"density": 0.0, "degree": 0.0, "clustering": 0.0, "path": 0.0}
    adjacency = np.zeros((n, n))
    for a, b in edges:
        adjacency[a, b] = adjacency[b, a] = 1
    degree = adjacency.sum(1)
    triangles = np.einsum("ij,jk,ki->i", adjacency, adjacency, adjacency) / 2
    wedges = degree * (degree - 1) / 2
    clustering = np.where(wedges > 0, triangles / np.maximum(wedges, 1), 0).sum() / used
    reach, distance, total, count = np.eye(n, dtype=bool), 0, 0, 0
    while True:
        further = reach | ((reach.astype(float) @ adjacency) > 0)
        distance += 1
        new = int((further & ~reach).sum())
        if not new:
            break
        total, count, reach = total + distance * new, count + new, further
    return {
        "density": len(edges) / (used * (used - 1) / 2),
        "degree": float(degree.sum() / used),
        "clustering": float(clustering),
        "path": total / count,
    }


def table(programs: Sequence[Program]) -> Mapping[str, np.ndarray]:
    """Metric -> its values, one a circuit."""
    rows = [metrics(one) for one in programs]
    return {name: np.array([row[name] for row in rows]) for name in METRICS}


def distances(real: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Metric -> Wasserstein-1 distance in standard deviations of the real values."""
    from scipy.stats import wasserstein_distance

    found: dict[str, float] = {}
    for name in METRICS:
        spread = float(real[name].std()) or 1.0
        found[name] = float(wasserstein_distance(real[name], other[name])) / spread
    return found


def identity(one: Program) -> str:
    """A fingerprint that relabelled qubits, and gates on other qubits in another order, leave as it is.

    Each gate gets a hash of itself and of what came before it on each of its qubits, and one of what comes after
    (Weisfeiler-Lehman on the circuit's graph); the circuit is the sorted collection of both. Symmetric gates keep their
    operands in order, so a `cz` turned round counts as another gate.
    """
    before = _one_way(one.n, one.ops)
    after = _one_way(one.n, one.ops[::-1])[::-1]
    whole = f"{one.n};" + ";".join(sorted(f"{a},{b}" for a, b in zip(before, after, strict=True)))
    return hashlib.sha256(whole.encode()).hexdigest()


def _one_way(n: int, ops: Sequence[Op]) -> list[str]:
    last, found = [""] * n, list[str]()
    for op in ops:
        gate = line_of(op).partition(" ")[0]
        mark = hashlib.blake2b("|".join([gate, *(last[q] for q in op.qubits)]).encode(), digest_size=12).hexdigest()
        for position, q in enumerate(op.qubits):
            last[q] = f"{mark}.{position}"
        found.append(mark)
    return found


def first_use(one: Program) -> Program:
    """The same circuit with qubits numbered in the order in which gates reach them."""
    places: dict[int, int] = {}
    for op in one.ops:
        for q in op.qubits:
            places.setdefault(q, len(places))
    for q in range(one.n):
        places.setdefault(q, len(places))
    return one.relabelled([places[q] for q in range(one.n)])

"""Fitting all angles at once: L-BFGS on an objective, and the local rival that updates one block at a time.

SciPy's L-BFGS-B takes a first step of length one, which throws a good start away (a fidelity of 0.99 falls to 0.2 and
has to be earned back). Here the angles are measured in units in which that step is the one that would reach zero if the
objective were linear: f / |gradient|.

A stopped optimisation goes on exactly: the evaluations it had made are played back to a new L-BFGS, which then asks for
the next one.

Source  Byrd, Lu, Nocedal, Zhu, SIAM J. Sci. Comput. 16 (1995), L-BFGS-B; Evenbly and Vidal, arXiv:0707.1454, for the
        update of one unitary by the polar decomposition of its environment
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize

from wheatstone.domains.quantum.ansatz import Real
from wheatstone.domains.quantum.circuit import Complex, Layer, LayeredCircuit
from wheatstone.domains.quantum.mps import MPS, Truncation, pass_left, pass_right
from wheatstone.domains.quantum.objective import Evaluation, Objective, adjoint

HISTORY = 20
"""Pairs that L-BFGS remembers."""
OnEvaluation = Callable[[Real, Evaluation], None]


class Optimised(NamedTuple):
    """What an optimisation has found."""

    angles: Real
    """The angles of its best evaluation."""
    best: Evaluation
    start: Evaluation
    evaluations: int
    iterations: int


class _EnoughError(Exception):
    """The fidelity that was asked for is reached."""


def minimise(
    objective: Objective,
    start: Real,
    *,
    iterations: int,
    stop_fidelity: float = 1.0,
    on_evaluation: OnEvaluation | None = None,
    past: Sequence[Evaluation] = (),
) -> Optimised:
    """The best angles that at most `iterations` of L-BFGS find from `start`, (size,).

    Ends early when an evaluation has more than `stop_fidelity`. `past` are the evaluations of the same optimisation
    before it was stopped, in order; `on_evaluation` is called for new ones only.
    """
    made, best, best_angles, scale = 0, None, start, 1.0
    first: Evaluation | None = None

    def evaluate(angles: Real) -> Evaluation:
        nonlocal made, best, best_angles, first
        found = past[made] if made < len(past) else objective(angles)
        is_new = made >= len(past)
        made += 1
        if best is None or found.value < best.value:
            best, best_angles = found, angles.copy()
        first = first or found
        if is_new and on_evaluation is not None:
            on_evaluation(angles, found)
        if found.fidelity > stop_fidelity:
            raise _EnoughError
        return found

    opening: Evaluation | None = None

    def scaled(steps: Real) -> tuple[float, Real]:
        nonlocal opening
        if opening is not None:  # SciPy asks for the start again
            found, opening = opening, None
        else:
            found = evaluate(start + scale * steps)
        return found.value, scale * found.gradient

    done = 0
    try:
        opening = evaluate(start)
        slope = float(np.linalg.norm(opening.gradient))
        if slope > 0 and iterations:
            scale = min(opening.value / slope, math.pi) or 1.0
            options: Any = {"maxiter": iterations, "maxcor": HISTORY, "ftol": 1e-13, "gtol": 1e-10}

            def count(_: Real) -> None:
                nonlocal done
                done += 1

            minimize(scaled, np.zeros_like(start), jac=True, method="L-BFGS-B", options=options, callback=count)
    except _EnoughError:
        pass
    assert best is not None
    assert first is not None  # the start was evaluated
    return Optimised(best_angles, best, first, made, done)


class Swept(NamedTuple):
    """What sweeping has found."""

    circuit: LayeredCircuit
    fidelities: tuple[float, ...]
    """After each half sweep."""


def sweep_blocks(
    target: MPS, circuit: LayeredCircuit, truncation: Truncation, half_sweeps: int, stop_fidelity: float = 1.0
) -> Swept:
    """Replaces one block after another by the unitary that is best while all others stay, layer by layer, up and down.

    The front is left as it is. A half sweep goes from the last layer to the first or back.
    """
    target = target.normalised().with_centre(0)
    forward = [MPS.zeros(circuit.n).apply_front(circuit.front)]
    for layer in circuit.layers:
        forward.append(forward[-1].apply(layer, truncation))
    layers = list(circuit.layers)
    backward: list[MPS] = [target] * (len(layers) + 1)
    fidelities: list[float] = []
    for number in range(half_sweeps):
        downwards = number % 2 == 0
        overlap = 0j
        for k in reversed(range(len(layers))) if downwards else range(len(layers)):
            if downwards:
                backward[k] = backward[k + 1].apply(adjoint(layers[k]), truncation)
            layers[k], overlap = _improved(backward[k], forward[k], layers[k])
            if downwards:
                backward[k] = backward[k + 1].apply(adjoint(layers[k]), truncation)
            else:
                forward[k + 1] = forward[k].apply(layers[k], truncation)
        fidelities.append(abs(overlap) ** 2)
        if fidelities[-1] > stop_fidelity:
            break
    return Swept(LayeredCircuit(circuit.front, tuple(layers)), tuple(fidelities))


def _improved(bra: MPS, ket: MPS, layer: Layer) -> tuple[Layer, complex]:
    """The layer with each block, from the left, at its best, and the overlap then; `bra` has the old layer undone."""
    rights: list[Complex] = [np.ones((1, 1), dtype=complex)]
    for one, two in zip(reversed(bra.tensors[1:]), reversed(ket.tensors[1:]), strict=True):
        rights.append(pass_left(rights[-1], one, two))
    rights.reverse()
    gates, left, site, overlap = list[Complex](), np.ones((1, 1), dtype=complex), 0, 0j
    olds = dict(zip(layer.qubits, layer.gates, strict=True))
    while site < bra.n:
        if site not in olds:
            left = pass_right(left, bra.tensors[site], ket.tensors[site])
            site += 1
            continue
        one, two = bra.tensors[site], bra.tensors[site + 1]
        pair = olds[site] @ np.tensordot(one, two, 1).reshape(one.shape[0], 4, two.shape[2])
        seen = np.tensordot(ket.tensors[site], ket.tensors[site + 1], 1)
        seen = (left @ seen.reshape(seen.shape[0], -1)).reshape(one.shape[0], 4, -1)
        environment = np.einsum("aib,ajc,bc->ij", pair.conj(), seen, rights[site + 1], optimize=True)
        u, values, v = np.linalg.svd(environment)
        gates.append((u @ v).conj())
        overlap = complex(values.sum())
        undone = gates[-1].conj().T @ pair
        width = undone.shape[2]
        left = undone.reshape(-1, width).conj().T @ seen.reshape(-1, seen.shape[2])
        site += 2
    return Layer(layer.qubits, np.stack(gates)), overlap

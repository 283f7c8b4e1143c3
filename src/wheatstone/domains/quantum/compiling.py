"""From a target state to a shallow circuit: choose a start, fit all angles, grow where that is not enough.

Starts, for a target that came from a circuit of one's own:
    averaged   the circuit's blocks on each bond, their generators added up and spread evenly over fewer layers. For a
               Trotter circuit this is the Trotter circuit with fewer, longer steps
    cut        the circuit's own first layers
    product    the nearest product state and blocks that do nothing
`auto` takes whichever has the highest fidelity. Where even that is below `LOST`, the fit begins with one layer and
adds the others one at a time, on the bit-flip surrogate. A start without a slope (the nearest product state of a cat
state, say) is a saddle, which a little noise leaves.

Source  Robertson et al., arXiv:2301.08609, for the Trotter start and layer expansion; the averaged start is the first
        term of the Magnus expansion (Magnus, 1954), applied bond by bond
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from scipy.linalg import logm

from wheatstone.domains.quantum.ansatz import Fitted, Real, brickwork, fit, perturbed, widened
from wheatstone.domains.quantum.circuit import Complex, Layer, LayeredCircuit
from wheatstone.domains.quantum.mps import MPS, Truncation, run_circuit
from wheatstone.domains.quantum.objective import WORKING, BitFlips, Evaluation, Fidelity
from wheatstone.domains.quantum.optimise import Optimised, minimise

Start = Literal["auto", "averaged", "cut", "product"]
LOST = 0.1
"""Fidelity of a start below which the circuit is grown layer by layer."""
FLAT = 1e-3
"""Gradient norm, relative to what is missing of the fidelity, below which a start is a saddle."""
KICK = 0.1
"""Noise on the angles of a saddle, in radians."""
GROWTH_ITERATIONS = 30
"""L-BFGS iterations after each layer that is added."""


class Compiled(NamedTuple):
    """A circuit that was fitted to a target."""

    fitted: Fitted
    start: str
    """Which start it was."""
    found: Optimised

    @property
    def circuit(self) -> LayeredCircuit:
        return self.fitted.ansatz.circuit(self.fitted.angles)


def compile_state(
    target: MPS,
    source: LayeredCircuit,
    layers: int,
    *,
    expand: int = 0,
    start: Start = "auto",
    iterations: int = 100,
    stop_fidelity: float = 1.0,
    truncation: Truncation = WORKING,
    on_evaluation: Callable[[Real, Evaluation], None] | None = None,
) -> Compiled:
    """A brickwork circuit of `layers` layers for `target`, the state that `source` prepares.

    Where `stop_fidelity` is not reached, up to `expand` layers are added, one at a time, each with a fit from the
    start; the best circuit is returned.

    Raises UserError for another number of qubits, or for no layers.
    """
    tried: list[Compiled] = []
    for number in range(layers, layers + expand + 1):
        tried.append(_compile(target, source, number, start, iterations, stop_fidelity, truncation, on_evaluation))
        if tried[-1].found.best.fidelity >= stop_fidelity:
            break
    return max(tried, key=lambda one: one.found.best.fidelity)


def _compile(
    target: MPS,
    source: LayeredCircuit,
    layers: int,
    start: Start,
    iterations: int,
    stop_fidelity: float,
    truncation: Truncation,
    on_evaluation: Callable[[Real, Evaluation], None] | None,
) -> Compiled:
    name, begin = best_start(target, source, layers, start, truncation)
    opening = Fidelity(target, begin.ansatz, truncation)(begin.angles)
    if opening.fidelity < LOST and start == "auto":
        name, begin = "grown", grown(target, layers, truncation)
    elif float(np.linalg.norm(opening.gradient)) < FLAT * opening.value:
        begin = Fitted(begin.ansatz, perturbed(begin.angles, KICK, np.random.default_rng(0)))
    found = minimise(
        Fidelity(target, begin.ansatz, truncation),
        begin.angles,
        iterations=iterations,
        stop_fidelity=stop_fidelity,
        on_evaluation=on_evaluation,
    )
    return Compiled(Fitted(begin.ansatz, found.angles), name, found)


def best_start(
    target: MPS, source: LayeredCircuit, layers: int, start: Start, truncation: Truncation
) -> tuple[str, Fitted]:
    """The start of that name, or the one with the highest fidelity, and its name."""
    brickwork(source.n, layers)  # refuses what is no ansatz
    starts: dict[str, Callable[[], list[LayeredCircuit]]] = {
        "averaged": lambda: [averaged(source, layers, first) for first in (0, 1)],
        "cut": lambda: [LayeredCircuit(source.front, source.layers[:layers])],
        "product": lambda: [product(target, layers)],
    }
    chosen = starts if start == "auto" else {start: starts[start]}
    best: tuple[float, str, LayeredCircuit] | None = None
    for name, make in chosen.items():
        for circuit in make():
            fidelity = target.fidelity(run_circuit(circuit, truncation))
            if circuit.layers and (best is None or fidelity > best[0]):
                best = fidelity, name, circuit
    assert best is not None  # there is a layer at least, so the product start exists
    return best[1], fit(best[2])


def averaged(source: LayeredCircuit, layers: int, first: int = 0) -> LayeredCircuit:
    """The source's generators, summed on each bond and spread over brickwork layers that begin at parity `first`."""
    generators = np.zeros((source.n - 1, 4, 4), dtype=complex)
    for layer in source.layers:
        for left, gate in zip(layer.qubits, layer.gates, strict=True):
            generators[left] += generator(gate)
    made: list[Layer] = []
    for number in range(layers):
        qubits = np.arange((number + first) % 2, source.n - 1, 2)
        if not qubits.size:
            continue
        values, vectors = np.linalg.eigh(generators[qubits])
        phases = np.exp(1j * _share(number, layers) * values)
        gates = (vectors * phases[:, None, :]) @ vectors.conj().swapaxes(1, 2)
        made.append(Layer(tuple(qubits.tolist()), gates))
    return LayeredCircuit(source.front, tuple(made))


def generator(gate: Complex) -> Complex:
    """The smallest Hermitian, traceless 4x4 G with gate = exp(iG) up to phase."""
    phase = np.linalg.det(gate) ** -0.25
    found: list[Complex] = []
    for quarter in range(4):
        matrix = np.asarray(logm(gate * phase * 1j**quarter)) / 1j
        hermitian = (matrix + matrix.conj().T) / 2
        found.append(hermitian - np.eye(4) * np.trace(hermitian) / 4)
    return min(found, key=lambda matrix: float(np.linalg.norm(matrix)))


def product(target: MPS, layers: int) -> LayeredCircuit:
    """The nearest product state that one truncation finds, then blocks that do nothing."""
    vectors = [tensor.reshape(2) for tensor in target.compressed(Truncation(0.0, 1)).tensors]
    front = np.empty((target.n, 2, 2), dtype=complex)
    for site, vector in enumerate(vectors):
        zero, one = vector / np.linalg.norm(vector)
        front[site] = [[zero, -np.conj(one)], [one, np.conj(zero)]]
    layout = brickwork(target.n, layers).layers
    return LayeredCircuit(
        front, tuple(Layer(qubits, np.tile(np.eye(4, dtype=complex), (len(qubits), 1, 1))) for qubits in layout)
    )


def grown(target: MPS, layers: int, truncation: Truncation) -> Fitted:
    """Begins with the product start and one layer, and adds a layer after every fit."""
    layout = brickwork(target.n, layers).layers
    fitted = fit(product(target, 1))
    fitted = Fitted(fitted.ansatz, perturbed(fitted.angles, KICK, np.random.default_rng(0)))
    for number in range(1, len(layout) + 1):
        found = minimise(BitFlips(target, fitted.ansatz, truncation), fitted.angles, iterations=GROWTH_ITERATIONS)
        fitted = Fitted(fitted.ansatz, found.angles)
        if number < len(layout):
            fitted = widened(fitted, [layout[number]])
    return fitted


def _share(number: int, layers: int) -> float:
    """What share of a bond's generator this layer takes: an odd number of layers begins and ends with half a step."""
    steps, is_symmetric = max(layers // 2, 1), layers % 2 == 1 and layers > 1
    return 0.5 / steps if is_symmetric and number in (0, layers - 1) else 1 / steps


def per_site(fidelity: float, n: int) -> float:
    """1 - F^(1/n): the error of one site, comparable between chains of different length."""
    return -math.expm1(math.log(max(fidelity, 1e-300)) / n)

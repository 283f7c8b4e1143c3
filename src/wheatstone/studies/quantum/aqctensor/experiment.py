"""One trial: make the target, prepare it by one method, export the circuit, and measure what was exported."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from qiskit import QuantumCircuit

from wheatstone.bench.extras import need
from wheatstone.bench.run import Trial
from wheatstone.domains.quantum.ansatz import BLOCK, FRONT, Fitted, Real, fit, perturbed, random_angles
from wheatstone.domains.quantum.bridges import fidelity_by_others
from wheatstone.domains.quantum.circuit import Cost, LayeredCircuit, cost
from wheatstone.domains.quantum.compiling import per_site
from wheatstone.domains.quantum.mps import MPS, Truncation, run_circuit
from wheatstone.domains.quantum.objective import BitFlips, Evaluation, Fidelity
from wheatstone.domains.quantum.optimise import minimise, sweep_blocks
from wheatstone.domains.quantum.qasm import parse_circuit, qasm_text
from wheatstone.domains.quantum.staircase import staircase
from wheatstone.domains.quantum.trotter import trotter
from wheatstone.studies.quantum.aqctensor.config import Config
from wheatstone.studies.quantum.aqctensor.measures import empty
from wheatstone.studies.quantum.aqctensor.memory import Memory
from wheatstone.studies.quantum.aqctensor.target import (
    Chain,
    deviation,
    later_times,
    make_chain,
    make_target,
    target_error,
)

ENOUGH = 0.99
"""Fidelity whose depth is looked for."""
DEEPEST = 12
"""Trotter steps at which the search for it gives up."""
FINE = Truncation(1e-13, 256)
"""Truncation of what is reported; the bound is only met by circuits far from the target, such as 38 staircases."""


class Made(NamedTuple):
    """A circuit that prepares the target, and how it was found."""

    fitted: Fitted
    start: float
    """Fidelity before optimisation, NaN without one."""
    reported: float
    """Fidelity that the optimiser saw last, NaN without one."""
    evaluations: int
    work: float
    """Layers applied to a state until the fidelity reached the reference's; NaN if it never did."""


def run(trial: Trial[Config]) -> Mapping[str, float]:
    """Prepares the target by one method and measures the exported circuit; goes on from the last checkpoint."""
    need("qiskit_aer", extra="quantum", to="measure the circuits of this study")
    config = trial.config
    if config.method == "slopes":
        from wheatstone.studies.quantum.aqctensor.slopes import measure_slopes

        return empty() | measure_slopes(trial)
    chain = make_chain(config, trial.rng("couplings"))
    target = make_target(chain, config)
    reference = trotter(chain.hamiltonian, config.time, config.reference_steps, chain.front)
    goal = target.fidelity(run_circuit(reference, FINE))
    memory = Memory(trial)
    made = _make(trial, chain, target, goal, memory)
    exported = parse_circuit(qasm_text(made.fitted.ansatz.quantum_circuit(made.fitted.angles))).circuit
    trial.file("circuit.qasm").write_text(qasm_text(exported), encoding="utf-8")
    counted = cost(exported)
    measures = empty() | _quality(exported, made, target, counted)
    measures |= {
        "target_error": target_error(chain, target, config),
        "target_bond": float(target.max_bond),
        "target_discarded": target.discarded,
        "reference_fidelity": goal,
    }
    if config.scan:
        measures["depth_99"] = _smallest_depth(trial, chain, target, made, counted, memory)
    if config.method == "compiled":
        measures |= _equal_depths(chain, target, config, measures["fidelity"])
    if config.later_steps:
        measures |= later_times(trial, chain, target, made.fitted.ansatz.circuit(made.fitted.angles))
    if config.device:
        measures |= _on_hardware(exported, target, config.device)
    trial.write("bonds", {"bond": target.bonds, "entropy": target.entropies()})
    trial.write("blocks", _blocks(made.fitted))
    return measures


def _make(trial: Trial[Config], chain: Chain, target: MPS, goal: float, memory: Memory) -> Made:
    config = trial.config
    working = Truncation(config.cutoff, config.max_bond)
    if config.method == "trotter":
        return _fixed(trotter(chain.hamiltonian, config.time, config.reference_steps, chain.front))
    if config.method == "staircase":
        circuit = staircase(target, config.stairs)
        if not config.refine:
            return _fixed(circuit)
        return _optimised(trial, fit(circuit), target, goal, memory, config.refine)
    coarse = trotter(chain.hamiltonian, config.time, config.steps, chain.front)
    if config.method == "swept":
        found = sweep_blocks(target, coarse, working, config.half_sweeps)
        for number, fidelity in enumerate(found.fidelities):
            trial.log(number, fidelity=fidelity)
            trial.progress(number + 1, config.half_sweeps)
        # A half sweep undoes each layer twice on the way down, and applies it once on the way up.
        layers = len(coarse.layers)
        spent = np.cumsum([layers * (2 if number % 2 == 0 else 1) for number in range(len(found.fidelities))]) + layers
        reached = [int(work) for work, fidelity in zip(spent, found.fidelities, strict=True) if fidelity >= goal]
        start = target.fidelity(run_circuit(coarse, FINE))
        work = float(reached[0]) if reached else math.nan
        return Made(fit(found.circuit), start, found.fidelities[-1], len(found.fidelities), work)
    return _optimised(trial, fit(coarse, share_ends=config.share_ends), target, goal, memory, config.iterations)


def _fixed(circuit: LayeredCircuit) -> Made:
    return Made(fit(circuit), math.nan, math.nan, 0, math.nan)


def _optimised(
    trial: Trial[Config], begin: Fitted, target: MPS, goal: float, memory: Memory, iterations: int, stage: str = "fit"
) -> Made:
    """All angles at once; evaluations are logged and kept for a restart."""
    config, ansatz = trial.config, begin.ansatz
    if config.start == "random":
        angles = random_angles(ansatz, trial.rng("start"))
    else:
        angles = perturbed(begin.angles, config.start_noise, trial.rng("start noise"))
    objective = (BitFlips if config.surrogate else Fidelity)(target, ansatz, Truncation(config.cutoff, config.max_bond))
    past = [] if config.surrogate else memory.recall(stage)
    seen = [evaluation.fidelity for evaluation in past]

    def note(_: Real, found: Evaluation) -> None:
        seen.append(found.fidelity)
        if stage == "fit":
            trial.log(len(seen) - 1, fidelity=found.fidelity, max_bond=found.max_bond)
        trial.progress(len(seen), iterations + 2)
        if not config.surrogate:
            memory.keep(stage, found)

    result = minimise(objective, angles, iterations=iterations, on_evaluation=note, past=past)
    # An evaluation applies every layer to two states.
    reached = [number for number, fidelity in enumerate(seen, start=1) if fidelity >= goal]
    work = 2.0 * len(ansatz.layers) * reached[0] if reached else math.nan
    return Made(Fitted(ansatz, result.angles), seen[0], result.best.fidelity, result.evaluations, work)


def _quality(exported: QuantumCircuit, made: Made, target: MPS, counted: Cost) -> dict[str, float]:
    """What the exported circuit is worth: its fidelity comes from Aer and, above 20 qubits, quimb."""
    ours = run_circuit(made.fitted.ansatz.circuit(made.fitted.angles), FINE)
    fidelity, seen = fidelity_by_others(exported, target), target.fidelity(ours)
    return {
        "fidelity": fidelity,
        "engine_gap": abs(seen - fidelity),
        "optimiser_gap": abs(made.reported - fidelity),
        "start_fidelity": seen if math.isnan(made.start) else made.start,
        "infidelity_per_site": per_site(fidelity, target.n),
        "cx_depth": float(counted.two_qubit_depth),
        "cx_gates": float(counted.two_qubit_gates),
        "block_depth": float(len(made.fitted.ansatz.layers)),
        "evaluations": float(made.evaluations),
        "work_to_reference": made.work,
        "magnetisation_error": deviation(ours.normalised().magnetisation(), target.magnetisation()),
    }


def _blocks(fitted: Fitted) -> list[dict[str, float]]:
    """Where each block is, and the norm of its core's three angles in radians: how much it entangles."""
    places = [(row, left) for row, layer in enumerate(fitted.ansatz.layers) for left in layer]
    angles = np.concatenate([fitted.angles, np.zeros(BLOCK * len(places))])[FRONT * fitted.ansatz.n :]
    cores = angles[: BLOCK * len(places)].reshape(-1, BLOCK)[:, :3]
    return [
        {"layer": row, "left": left, "core": round(float(np.linalg.norm(core)), 4)}
        for (row, left), core in zip(places, cores, strict=True)
    ]


def _smallest_depth(
    trial: Trial[Config], chain: Chain, target: MPS, made: Made, counted: Cost, memory: Memory
) -> float:
    """CX depth of the shallowest circuit of this method with fidelity 0.99; one beyond the deepest tried if none has.

    Every depth is written down with its fidelity.
    """
    config = trial.config
    found: list[dict[str, float]] = []
    for steps in range(1, DEEPEST + 1):
        coarse = trotter(chain.hamiltonian, config.time, steps, chain.front)
        if config.method == "trotter":
            fidelity, depth = target.fidelity(run_circuit(coarse, FINE)), 3.0 * len(coarse.layers)
        elif steps == config.steps:
            fidelity, depth = _reported(made.fitted, target), float(counted.two_qubit_depth)
        else:
            fitted = _optimised(trial, fit(coarse), target, 2.0, memory, config.iterations, f"scan{steps}").fitted
            fidelity, depth = _reported(fitted, target), float(len(coarse.layers) * 3)
        found.append({"steps": float(steps), "depth": depth, "fidelity": fidelity})
        if fidelity >= ENOUGH:
            break
    trial.write("scan", found)
    return found[-1]["depth"] if found[-1]["fidelity"] >= ENOUGH else found[-1]["depth"] + 1


def _reported(fitted: Fitted, target: MPS) -> float:
    return target.fidelity(run_circuit(fitted.ansatz.circuit(fitted.angles), FINE))


def _equal_depths(chain: Chain, target: MPS, config: Config, fidelity: float) -> dict[str, float]:
    """The Trotter circuit of the same depth, and the depth of the first Trotter circuit of the same fidelity."""
    same = trotter(chain.hamiltonian, config.time, config.steps, chain.front)
    equal = math.nan
    for steps in range(config.steps, config.target_steps):
        circuit = trotter(chain.hamiltonian, config.time, steps, chain.front)
        if target.fidelity(run_circuit(circuit, Truncation(1e-10))) >= fidelity:
            equal = 3.0 * len(circuit.layers)
            break
    return {
        "equal_depth_fidelity": target.fidelity(run_circuit(same, FINE)),
        "equal_fidelity_depth": equal,
    }


def _on_hardware(exported: QuantumCircuit, target: MPS, device: str) -> dict[str, float]:
    from wheatstone.domains.quantum.noise import fake_backend, noisy_magnetisation, on_device

    backend = fake_backend(device)
    placed = on_device(exported, backend)
    noisy = noisy_magnetisation(placed, backend)
    return {
        "noisy_error": deviation(noisy, target.magnetisation()),
        "device_depth": float(placed.cost.two_qubit_depth),
    }

"""The chain of a trial, its target state and how far that is from the exact one, and what comes after it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import expm_multiply

from wheatstone.bench.run import Trial
from wheatstone.domains.quantum.ansatz import Real
from wheatstone.domains.quantum.circuit import Complex, LayeredCircuit
from wheatstone.domains.quantum.hamiltonian import PAULIS, Hamiltonian, chain
from wheatstone.domains.quantum.mps import MPS, Truncation, run_circuit
from wheatstone.domains.quantum.trotter import neel, trotter
from wheatstone.studies.quantum.aqctensor.config import Config

EXACT_UP_TO = 12
"""Qubits up to which the target is compared with the exact exponential."""
STEP = 0.4
"""Time of a Trotter step behind the compiled circuit (research code)."""
FINER = 10
"""Steps of the target for each of these."""


class Chain(NamedTuple):
    """A Hamiltonian and the product state that evolves under it."""

    hamiltonian: Hamiltonian
    front: Complex


def make_chain(config: Config, rng: np.random.Generator, n: int = 0) -> Chain:
    """The chain of a seed: couplings uniform in 1 ± disorder, from the Néel state; of `n` qubits if given."""
    size = n or config.n
    couplings = 1 + config.disorder * rng.uniform(-1, 1, size - 1)
    hamiltonian = chain(config.model, size, couplings.tolist(), delta=config.delta, field=config.field)
    return Chain(hamiltonian, neel(size))


def make_target(made: Chain, config: Config) -> MPS:
    """The state after the fine Trotter circuit, normalised; `discarded` says what truncation took away."""
    circuit = trotter(made.hamiltonian, config.time, config.target_steps, made.front)
    return run_circuit(circuit, Truncation(config.target_cutoff)).normalised().with_centre(0)


def target_error(made: Chain, target: MPS, config: Config) -> float:
    """1 - fidelity with the exact state, or with the Trotter circuit of order 4 where that has too many amplitudes."""
    if target.n > EXACT_UP_TO:
        finer = trotter(made.hamiltonian, config.time, config.target_steps, made.front, order=4)
        other = run_circuit(finer, Truncation(config.target_cutoff)).normalised()
        return max(0.0, 1 - target.fidelity(other))
    start = MPS.zeros(target.n).apply_front(made.front).to_dense()
    exact = expm_multiply(-1j * config.time * sparse(made.hamiltonian), start)
    return max(0.0, 1 - float(abs(np.vdot(exact, target.to_dense()))) ** 2)


def sparse(hamiltonian: Hamiltonian) -> csr_matrix:
    """(2^n, 2^n) sparse matrix, site 0 the most significant bit."""
    from scipy.sparse import identity, kron

    total = csr_matrix((2**hamiltonian.n, 2**hamiltonian.n), dtype=complex)
    for bond, matrix in enumerate(hamiltonian.bonds()):
        wide = kron(kron(identity(2**bond), csr_matrix(matrix)), identity(2 ** (hamiltonian.n - 2 - bond)))
        total = csr_matrix(total + wide)
    return total


def deviation(found: Real, expected: Real) -> float:
    """Root mean square difference."""
    return math.sqrt(float(np.mean((found - expected) ** 2)))


def later_times(trial: Trial[Config], made: Chain, target: MPS, circuit: LayeredCircuit) -> dict[str, float]:
    """Goes on with Trotter steps behind the compiled circuit, beside the Trotter circuit of the same depth throughout.

    The profiles of <Z> over time are written down.
    """
    config = trial.config
    identity = np.tile(PAULIS["I"], (config.n, 1, 1))
    truncation = Truncation(config.target_cutoff)
    exact, compiled = target, run_circuit(circuit, truncation)
    times, profiles = list[float](), {"target": list[Real](), "compiled": list[Real](), "trotter": list[Real]()}
    fidelities = {"compiled": list[float](), "trotter": list[float]()}
    for number in range(config.later_steps + 1):
        time = config.time + number * STEP
        if number:
            exact = run_circuit(trotter(made.hamiltonian, STEP, FINER, identity), truncation, exact)
            compiled = run_circuit(trotter(made.hamiltonian, STEP, 1, identity), truncation, compiled)
        coarse = run_circuit(trotter(made.hamiltonian, time, config.steps + number, made.front), truncation)
        times.append(time)
        for name, state in (("target", exact), ("compiled", compiled), ("trotter", coarse)):
            profiles[name].append(state.magnetisation())
            if name != "target":
                fidelities[name].append(exact.fidelity(state) / exact.norm() ** 2)
    trial.write("later", {"time": times, **profiles, "fidelity": fidelities})
    return {"later_fidelity": fidelities["compiled"][-1], "later_trotter_fidelity": fidelities["trotter"][-1]}

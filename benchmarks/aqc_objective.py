"""Objective with gradient, and time to a fidelity, beside the published package for the same method.

Same target circuit, same ansatz (blocks of nine angles with the layout of the coarse Trotter circuit), same starting
point, same truncation. The package (qiskit-addon-aqc-tensor, on Aer's matrix product simulator) loops over the angles,
wheatstone takes all of them from one forward and one backward sweep. Both optimise with SciPy's L-BFGS-B: the package
as its tutorial does, wheatstone with its own first step.

Every fidelity is compared to 1e-5 before anything is timed; what each optimisation found is recomputed by Aer from its
own circuit.
"""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit_aer import AerSimulator
from scipy.optimize import minimize

from benchmarks.side_by_side import Benchmark, Options, Part, alternate, timed
from wheatstone.cli.benchmarks import Comparison
from wheatstone.domains.quantum.ansatz import Ansatz, Real, fit
from wheatstone.domains.quantum.bridges import fidelity_by_others
from wheatstone.domains.quantum.hamiltonian import chain
from wheatstone.domains.quantum.mps import MPS, Truncation, run_circuit
from wheatstone.domains.quantum.objective import Fidelity
from wheatstone.domains.quantum.optimise import minimise
from wheatstone.domains.quantum.trotter import neel, trotter

PEER = "qiskit-addon-aqc-tensor"
TOLERANCE = 1e-5
GOAL = 20.0
TIME, STEPS, FINE = 2.4, 4, 60
MAX_BOND = 100
CUTOFF = 1e-10
"""Truncation on both sides: at 1e-8 either is off by 1e-5 at 50 qubits."""
SETTLED = 0.9995
"""Fidelity that both optimisations have to reach; the start has 0.997 at 10 qubits and 0.991 at 20."""
LIMIT_EVALUATIONS = 60
PATIENCE = 180.0
"""Seconds after which the package's optimisation is stopped, and its time is a lower bound."""
BASIS = ["cx", "rz", "sx", "x"]
"""What the package's own blocks are written in before Aer reads them."""


@dataclass(frozen=True)
class ObjectiveOptions(Options):
    """Nothing of its own: --full adds 50 qubits, and time to fidelity at 20."""


class Problem(NamedTuple):
    """One state to prepare, for both sides."""

    n: int
    target: MPS
    ansatz: Ansatz
    start: Real
    theirs: Any
    """The package's objective; its `loss_function` gives value and gradient."""
    their_ansatz: QuantumCircuit
    their_start: Real


def problem(n: int, time: float = TIME, steps: int = STEPS, fine: int = FINE) -> Problem:
    """A quench of the Heisenberg chain, and both sides' ansatz at the coarse Trotter circuit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a third party's imports
        from qiskit_addon_aqc_tensor import generate_ansatz_from_circuit
        from qiskit_addon_aqc_tensor.objective import MaximizeStateFidelity
        from qiskit_addon_aqc_tensor.simulation import tensornetwork_from_circuit
    hamiltonian = chain("heisenberg", n)
    deep, coarse = (trotter(hamiltonian, time, count, neel(n)) for count in (fine, steps))
    fitted, wanted = fit(coarse), fit(deep)
    simulator: Any = AerSimulator(
        method="matrix_product_state",
        matrix_product_state_max_bond_dimension=MAX_BOND,
        matrix_product_state_truncation_threshold=CUTOFF,
        max_parallel_threads=1,
    )
    theirs, start = generate_ansatz_from_circuit(fitted.ansatz.quantum_circuit(fitted.angles))
    exact = AerSimulator(method="matrix_product_state", max_parallel_threads=1)
    state: Any = tensornetwork_from_circuit(wanted.ansatz.quantum_circuit(wanted.angles), exact)
    target = run_circuit(deep, Truncation(1e-14)).normalised()
    objective = MaximizeStateFidelity(state, theirs, simulator)
    return Problem(n, target, *fitted, objective, theirs, np.array(start))


def measure(options: ObjectiveOptions, threads: int, part: Part) -> None:
    """Objective and gradient at each size, then time to a fidelity."""
    sizes = {4: 1} if options.quick else {10: 5, 20: 3} | ({50: 1} if options.full else {})
    for n, rounds in sizes.items():
        given = problem(n, 0.4, 1, 5) if options.quick else problem(n)
        objective = Fidelity(given.target, given.ansatz, Truncation(CUTOFF, MAX_BOND))
        found, (loss, slope) = objective(given.start), given.theirs.loss_function(given.their_start)
        part.equal(f"fidelity at the start, {n} qubits", abs(found.fidelity - (1 - loss)), TOLERANCE)
        norms = float(np.linalg.norm(found.gradient)), float(np.linalg.norm(slope))
        part.equal(f"gradient norm at the start, {n} qubits", abs(norms[0] / norms[1] - 1), 1e-3)
        repeat = max(1, 40 // n)
        taken = alternate(
            {
                "ours": timed(lambda o=objective, g=given: o(g.start), repeat),
                "theirs": timed(lambda g=given: g.theirs.loss_function(g.their_start)),
            },
            rounds,
        )
        part.compared(
            Comparison(
                f"objective and gradient, {n} qubits, {given.ansatz.size} angles",
                "s",
                taken["ours"],
                PEER,
                taken["theirs"],
                threads,
                goal=None if options.quick else GOAL,
            )
        )
    if not options.quick:
        for n in (10, 20) if options.full else (10,):
            _time_to_fidelity(part, problem(n), threads)


def _time_to_fidelity(part: Part, given: Problem, threads: int) -> None:
    """Both optimisers from the same start until the objective is past `SETTLED`."""
    reached: dict[str, tuple[float, int]] = {}

    def ours() -> float:
        started = time.perf_counter()
        objective = Fidelity(given.target, given.ansatz, Truncation(CUTOFF, MAX_BOND))
        found = minimise(objective, given.start, iterations=LIMIT_EVALUATIONS, stop_fidelity=SETTLED)
        taken = time.perf_counter() - started
        circuit = given.ansatz.quantum_circuit(found.angles)
        reached["wheatstone"] = fidelity_by_others(circuit, given.target), found.evaluations
        return taken

    def theirs() -> float:
        started, evaluations, best = time.perf_counter(), 0, (2.0, given.their_start)

        class Settled(Exception):  # noqa: N818
            pass

        def counted(angles: Real) -> tuple[float, Real]:
            nonlocal evaluations, best
            value, slope = given.theirs.loss_function(angles)
            evaluations += 1
            best = min(best, (value, angles.copy()), key=lambda pair: pair[0])
            if 1 - value > SETTLED or time.perf_counter() - started > PATIENCE:
                raise Settled
            return value, slope

        limits: Any = {"maxiter": LIMIT_EVALUATIONS, "maxfun": LIMIT_EVALUATIONS}
        with contextlib.suppress(Settled):
            minimize(counted, given.their_start, jac=True, method="L-BFGS-B", options=limits)
        taken = time.perf_counter() - started
        bound: Any = given.their_ansatz.assign_parameters(best[1])
        circuit = transpile(bound, basis_gates=BASIS, optimization_level=0)
        reached[PEER] = fidelity_by_others(circuit, given.target), evaluations
        return taken

    taken = alternate({"ours": ours, "theirs": theirs}, 1, warmup=0)
    for name, (fidelity, evaluations) in reached.items():
        part.figure(f"{name}, {given.n} qubits", f"fidelity {fidelity:.6f} by Aer after {evaluations} evaluations")
    settled = reached[PEER][0] > SETTLED - TOLERANCE
    part.compared(
        Comparison(
            f"time to fidelity {SETTLED}, {given.n} qubits",
            "s",
            taken["ours"],
            PEER,
            taken["theirs"],
            threads,
            goal=GOAL,
            bound="" if settled else "at least",
        )
    )


BENCHMARK = Benchmark(
    "aqc_objective",
    "Compiling circuits",
    "Objective with all derivatives, and time to a fidelity, for preparing a quenched Heisenberg chain: same target, "
    "same ansatz of nine angles a block, same starting point, same truncation. The package loops over the angles; "
    "wheatstone takes all of them from one forward and one backward sweep.",
    ObjectiveOptions,
    measure,
)


if __name__ == "__main__":
    sys.exit(BENCHMARK.main())

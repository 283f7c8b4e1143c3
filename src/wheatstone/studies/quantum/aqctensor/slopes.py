"""How the gradient at the start vanishes, or not, as the chain grows."""

from __future__ import annotations

import math

import numpy as np

from wheatstone.bench.run import Trial
from wheatstone.domains.quantum.ansatz import fit, random_angles
from wheatstone.domains.quantum.mps import Truncation, run_circuit
from wheatstone.domains.quantum.objective import Fidelity
from wheatstone.domains.quantum.trotter import trotter
from wheatstone.studies.quantum.aqctensor.config import Config
from wheatstone.studies.quantum.aqctensor.target import make_chain

KEPT = Truncation(1e-10, 128)
"""Truncation of the sweeps: an overlap of 1e-10 keeps its leading digits, because truncation errors shrink with it."""


def measure_slopes(trial: Trial[Config]) -> dict[str, float]:
    """The gradient norm of 1 - fidelity at the start, for chains that double in length."""
    config = trial.config
    sizes, norms = [config.smallest * 2**power for power in range(config.doublings + 1)], list[float]()
    for number, n in enumerate(sizes):
        chain = make_chain(config, trial.rng(f"couplings {n}"), n)
        steps = max(config.slope_steps * FINE, 1)
        fine = trotter(chain.hamiltonian, config.slope_time, steps, chain.front)
        target = run_circuit(fine, Truncation(config.target_cutoff)).normalised().compressed(Truncation(1e-10))
        ansatz, angles = fit(trotter(chain.hamiltonian, config.slope_time, config.slope_steps, chain.front))
        if config.start == "random":
            angles = random_angles(ansatz, trial.rng(f"start {n}"))
        norms.append(float(np.linalg.norm(Fidelity(target, ansatz, KEPT)(angles).gradient)))
        trial.log(n, gradient=norms[-1])
        trial.progress(number + 1, len(sizes))
    return {
        "decades_per_doubling": math.log10(norms[0] / norms[-1]) / config.doublings,
        "first_gradient": norms[0],
        "last_gradient": norms[-1],
    }


FINE = 15
"""Trotter steps of the target for each of the ansatz's."""

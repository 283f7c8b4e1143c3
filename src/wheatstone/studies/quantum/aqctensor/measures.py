"""What a trial measures."""

from __future__ import annotations

MEASURES = {
    "fidelity": "|<target|circuit>|^2 of the exported OpenQASM, by Aer, above 20 qubits with quimb [0, 1]",
    "engine_gap": "difference between that and what our own engine says of the same circuit (0 to 1)",
    "optimiser_gap": "difference between that and what the optimiser saw (0 to 1); NaN without an optimiser",
    "start_fidelity": "fidelity before optimisation [0, 1]",
    "infidelity_per_site": "1 - fidelity^(1/n): comparable between chains of different length (0 to 1)",
    "cx_depth": "CX gates on the longest path after the same transpilation for every method (a whole number)",
    "cx_gates": "CX gates in all after it (a whole number)",
    "block_depth": "layers of two-qubit blocks (a whole number)",
    "depth_99": "CX depth of the shallowest circuit of the method with fidelity 0.99; one beyond the deepest if none",
    "equal_depth_fidelity": "fidelity of the Trotter circuit of the compiled circuit's depth [0, 1]",
    "equal_fidelity_depth": "CX depth of the first Trotter circuit that is as good as the compiled one",
    "reference_fidelity": "fidelity of the reference Trotter circuit on the same target [0, 1]",
    "evaluations": "times that the objective and its gradient were computed, or half sweeps (a whole number)",
    "work_to_reference": "layers applied to a state until the fidelity was the reference's; NaN if never",
    "magnetisation_error": "root mean square error of <Z> over the qubits (0 to 2)",
    "later_fidelity": "fidelity after more Trotter steps behind the circuit [0, 1]; NaN where not asked for",
    "later_trotter_fidelity": "fidelity at the same time of the Trotter circuit of the same depth [0, 1]",
    "noisy_error": "root mean square error of <Z> with a real device's noise (0 to 2); NaN where not asked for",
    "device_depth": "two-qubit gates on the longest path after transpilation to that device",
    "target_error": "1 - fidelity of the target with the exact state (12 qubits at most) or with order 4 Trotter",
    "target_bond": "largest bond dimension of the target (a whole number)",
    "target_discarded": "weight that truncations of the target have discarded",
    "decades_per_doubling": "log10 of the factor by which the gradient norm falls per doubling of n, geometric mean",
    "first_gradient": "gradient norm of the smallest chain",
    "last_gradient": "gradient norm of the largest chain",
}


def empty() -> dict[str, float]:
    """NaN for every measure."""
    return dict.fromkeys(MEASURES, float("nan"))

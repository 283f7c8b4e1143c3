"""The settings of the study: which chain, which circuit, how it is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt


@dataclass(frozen=True)
class Config:
    """One trial makes a target state by a fine Trotter circuit and prepares it by the method that is measured."""

    method: Literal["compiled", "trotter", "staircase", "swept", "slopes"] = "compiled"
    """What prepares the target; `slopes` measures gradients at the start for growing chains instead."""
    n: Annotated[int, Ge(2)] = 20
    """Qubits of the open chain (paper: up to 100)."""
    model: Literal["heisenberg", "xxz", "tfim", "ising"] = "heisenberg"
    """Hamiltonian of the chain (paper: spin-half Heisenberg and XXZ)."""
    delta: float = 1.0
    """ZZ coupling of the XXZ chain relative to XX and YY."""
    field: float = 0.0
    """Field of the Ising models, in units of the coupling."""
    disorder: Annotated[float, Ge(0), Lt(1)] = 0.05
    """Half-width of the couplings around 1; each seed draws another chain (paper: 0)."""
    time: Annotated[float, Gt(0)] = 2.4
    """Time of the evolution from the Néel state, in units of 1 / coupling (research code: 1.2 to 7.2)."""
    target_steps: Annotated[int, Ge(1)] = 60
    """Trotter steps of the target (research code: ten times the reference's)."""
    target_cutoff: Annotated[float, Ge(0)] = 1e-12
    """Weight that one truncation of the target may discard."""
    reference_steps: Annotated[int, Ge(1)] = 6
    """Trotter steps of the circuit that the compiled one is compared with (research code: step 0.4)."""
    steps: Annotated[int, Ge(1)] = 4
    """Trotter steps of the ansatz: 2 steps + 1 layers of blocks (research code: 2 for each 3 of the reference)."""
    start: Literal["trotter", "random"] = "trotter"
    """Where the angles start: at the Trotter circuit of the ansatz's own depth, or anywhere."""
    start_noise: Annotated[float, Ge(0)] = 0.0
    """Standard deviation of noise on the starting angles, in radians."""
    surrogate: bool = False
    """Minimise the bit-flip surrogate instead of 1 - fidelity."""
    share_ends: bool = False
    """Give the last layer the angles of the first (research code: yes; its successor: no)."""
    iterations: Annotated[int, Ge(0)] = 40
    """L-BFGS iterations at most (research code: 40)."""
    half_sweeps: Annotated[int, Ge(1)] = 60
    """Half sweeps of the local rival, which updates one block at a time."""
    cutoff: Annotated[float, Ge(0), Lt(1)] = 1e-8
    """Weight that one truncation may discard while optimising (research code: 1e-6)."""
    max_bond: Annotated[int, Ge(2)] = 64
    """Largest bond dimension while optimising."""
    scan: bool = False
    """Also find the smallest depth with fidelity 0.99, one Trotter step of the ansatz after the other."""
    stairs: Annotated[int, Ge(1)] = 6
    """Staircases of the generic method."""
    refine: Annotated[int, Ge(0)] = 0
    """L-BFGS iterations on the angles of the staircases."""
    later_steps: Annotated[int, Ge(0)] = 0
    """Trotter steps of 0.4 after the compiled circuit, to reach later times."""
    device: str = ""
    """Calibration snapshot whose noise both circuits meet, as 'FakeMontrealV2'; empty for none."""
    smallest: Annotated[int, Ge(2)] = 8
    """Smallest chain of the gradient measurement."""
    doublings: Annotated[int, Ge(1)] = 3
    """How often that chain is doubled."""
    slope_time: Annotated[float, Gt(0)] = 1.2
    """Time of the evolution in the gradient measurement."""
    slope_steps: Annotated[int, Ge(1)] = 2
    """Trotter steps of the ansatz in the gradient measurement."""

"""`wheatstone apply aqctensor compile` and `evolve`: a shallow circuit for a user's own circuit or Hamiltonian."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from annotated_types import Ge, Gt, Le

from wheatstone.bench.errors import UserError
from wheatstone.bench.extras import need

if TYPE_CHECKING:
    from wheatstone.domains.quantum.circuit import Cost, LayeredCircuit
    from wheatstone.domains.quantum.mps import MPS

Start = Literal["auto", "averaged", "cut", "product"]
WORRY = 1e-6
"""Discarded weight of a target above which its circuit's fidelity says little."""


class Wish(NamedTuple):
    """What a user asks of the new circuit."""

    layers: int
    expand: int
    start: Start
    fidelity: float
    iterations: int
    max_bond: int


def compile_circuit(
    circuit: Path,
    *,
    layers: Annotated[int, Ge(1)] = 9,
    out: Path | None = None,
    start: Start = "auto",
    fidelity: Annotated[float, Gt(0), Le(1)] = 0.9999,
    iterations: Annotated[int, Ge(0)] = 100,
    max_bond: Annotated[int, Ge(2)] = 128,
    cutoff: Annotated[float, Ge(0)] = 1e-12,
    expand: Annotated[int, Ge(0)] = 0,
    allow_swaps: bool = False,
    device: str = "",
) -> int:
    """Find a shallow circuit that prepares the same state as a deep one.

    The fidelity that is printed is computed by Aer from the file that was written.

    Args:
        circuit: OpenQASM 2 or 3 on a chain of qubits; measurements at its end are left out.
        layers: layers of two-qubit blocks of the new circuit, three CX each.
        out: where to write the new circuit; .qasm3 gives OpenQASM 3. Beside the old one when not given.
        start: where the angles start; auto takes the best of the three.
        fidelity: stop when it is exceeded.
        iterations: L-BFGS iterations at most.
        max_bond: largest bond dimension of the state.
        cutoff: weight that one truncation of the state may discard.
        expand: layers that may be added, one at a time, until the fidelity is reached.
        allow_swaps: join distant qubits by swaps, and decompose gates on more than two qubits.
        device: also count depth on this device's gates and couplings, as FakeMontrealV2.
    """
    need("qiskit", extra="quantum", to=f"read {circuit.name}")
    from wheatstone.domains.quantum.circuit import chain_circuit, cost, layered
    from wheatstone.domains.quantum.mps import Truncation, run_circuit
    from wheatstone.domains.quantum.qasm import read_circuit

    source = chain_circuit(read_circuit(circuit), allow_swaps=allow_swaps)
    wide = layered(source)
    if not wide.layers:
        raise UserError(f"{circuit.name}: no two-qubit gate, so its state is a product: there is nothing to compile.")
    target = run_circuit(wide, Truncation(cutoff, max_bond))
    wish = Wish(layers, expand, start, fidelity, iterations, max_bond)
    return _compile(circuit, target, wide, cost(source), wish, out, device)


def evolve(
    hamiltonian: Path,
    *,
    time: Annotated[float, Gt(0)] = 1.0,
    layers: Annotated[int, Ge(1)] = 9,
    steps: Annotated[int, Ge(1)] = 100,
    initial: str = "",
    out: Path | None = None,
    fidelity: Annotated[float, Gt(0), Le(1)] = 0.9999,
    iterations: Annotated[int, Ge(0)] = 100,
    max_bond: Annotated[int, Ge(2)] = 128,
    cutoff: Annotated[float, Ge(0)] = 1e-12,
    expand: Annotated[int, Ge(0)] = 0,
    allow_swaps: bool = False,
    device: str = "",
) -> int:
    """Find a shallow circuit for the time evolution under your own Hamiltonian.

    Args:
        hamiltonian: a Pauli sum on neighbours: lines such as '-0.25 XXI' or '-0.25 X0 X1', or JSON pairs of the same.
        time: time of the evolution, in units of 1 / coefficient.
        layers: layers of two-qubit blocks of the circuit; an odd number starts at a Trotter circuit of order 2.
        steps: Trotter steps of the target.
        initial: the product state that evolves, as 1010; the Néel state when not given.
        out: where to write the circuit; .qasm3 gives OpenQASM 3. Beside the Hamiltonian when not given.
        fidelity: stop when it is exceeded.
        iterations: L-BFGS iterations at most.
        max_bond: largest bond dimension of the state.
        cutoff: weight that one truncation of the state may discard.
        expand: layers that may be added, one at a time, until the fidelity is reached.
        allow_swaps: take Pauli strings on distant or many qubits, joined by swaps.
        device: also count depth on this device's gates and couplings, as FakeMontrealV2.
    """
    need("qiskit", extra="quantum", to=f"compile the evolution under {hamiltonian.name}")
    import numpy as np

    from wheatstone.domains.quantum.ansatz import fit
    from wheatstone.domains.quantum.circuit import cost
    from wheatstone.domains.quantum.hamiltonian import PAULIS, read_hamiltonian
    from wheatstone.domains.quantum.mps import Truncation, run_circuit
    from wheatstone.domains.quantum.trotter import neel, routed_trotter, trotter

    found = read_hamiltonian(hamiltonian)
    front = neel(found.n)
    if initial:
        if set(initial) - {"0", "1"} or len(initial) != found.n:
            raise UserError(f"evolve --initial: got '{initial}', must be {found.n} digits 0 or 1, one a site.")
        front = np.stack([PAULIS["X" if bit == "1" else "I"] for bit in initial])
    is_routed = allow_swaps and bool(found.far_terms())
    fine = routed_trotter(found, time, steps, front) if is_routed else trotter(found, time, steps, front)
    target = run_circuit(fine, Truncation(cutoff, max_bond))
    fitted = fit(fine)
    before = cost(fitted.ansatz.quantum_circuit(fitted.angles))
    wish = Wish(layers, expand, "auto" if is_routed else "averaged", fidelity, iterations, max_bond)
    return _compile(hamiltonian, target, fine, before, wish, out, device)


def _compile(
    path: Path, target: MPS, source: LayeredCircuit, before: Cost, wish: Wish, out: Path | None, device: str
) -> int:
    from wheatstone.bench.progress import follow_trials
    from wheatstone.bench.work import Task
    from wheatstone.domains.quantum.ansatz import Real
    from wheatstone.domains.quantum.bridges import fidelity_by_others
    from wheatstone.domains.quantum.circuit import cost
    from wheatstone.domains.quantum.compiling import compile_state, per_site
    from wheatstone.domains.quantum.mps import Truncation
    from wheatstone.domains.quantum.noise import fake_backend, on_device
    from wheatstone.domains.quantum.objective import WORKING, Evaluation
    from wheatstone.domains.quantum.qasm import read_circuit, write_circuit

    backend = fake_backend(device) if device else None
    _warn(target, wish.max_bond)
    print(
        f"{path.name}: {target.n} qubits, CX depth {before.two_qubit_depth}, {before.two_qubit_gates} CX, largest bond "
        f"dimension {target.max_bond}, entropy up to {max(target.entropies()):.2f} bits, discarded weight "
        f"{target.discarded:.1e}"
    )
    target = target.normalised().with_centre(0)
    task, made = Task("fit", 0), 0
    budget = max(wish.iterations, 1) * (wish.expand + 1)
    with follow_trials(f"compiling {path.name}", 1, 0) as watch:
        watch.started(task)

        def note(_: Real, found: Evaluation) -> None:
            nonlocal made
            made += 1
            watch.progress(task, min(made, budget), budget, f"fidelity {found.fidelity:.6f}")

        compiled = compile_state(
            target,
            source,
            wish.layers,
            expand=wish.expand,
            start=wish.start,
            iterations=wish.iterations,
            stop_fidelity=wish.fidelity,
            truncation=Truncation(WORKING.cutoff, wish.max_bond),
            on_evaluation=note,
        )
        watch.finished(task, {"fidelity": compiled.found.best.fidelity})
    place = out or path.with_suffix(".short.qasm")
    exported = compiled.fitted.ansatz.quantum_circuit(compiled.fitted.angles)
    write_circuit(place, exported)
    written = read_circuit(place).circuit
    reached, after = fidelity_by_others(written, target), cost(written)
    print(
        f"start '{compiled.start}': fidelity {compiled.found.start.fidelity:.6f}, "
        f"{compiled.found.evaluations} evaluations\n"
        f"{place}: CX depth {after.two_qubit_depth}, {after.two_qubit_gates} CX, fidelity {reached:.6f} by Aer "
        f"(error per site {per_site(reached, target.n):.1e})"
    )
    if after.two_qubit_depth >= before.two_qubit_depth:
        print(f"note: no shallower than {path.name}; give fewer --layers, or keep it.", file=sys.stderr)
    if backend is not None:
        placed = on_device(written, backend).cost
        print(f"on {device}: two-qubit depth {placed.two_qubit_depth}, {placed.two_qubit_gates} two-qubit gates")
    return 0


def _warn(target: MPS, max_bond: int) -> None:
    if target.discarded > WORRY:
        print(
            f"warning: truncation took {target.discarded:.1e} of the state's weight, so fidelities hold for the "
            f"truncated state only. Raise --max-bond above {max_bond}.",
            file=sys.stderr,
        )
    if max_bond >= 2 ** (target.n // 2):
        print(
            f"note: a bond dimension of {max_bond} holds any state of {target.n} qubits; nothing here says how longer "
            "chains behave.",
            file=sys.stderr,
        )

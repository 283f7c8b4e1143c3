"""Circuits as plain lists of gates in one normal form, so that two of them can be compared, counted and judged.

Normal form: one register `q`, gates of OpenQASM 2's `qelib1.inc` on at most three qubits, synonyms under one name (`u1`
is `p`, `u` is `u3`), every gate definition written out, no barrier, no identity, and no measurement at the end: all
files of a benchmark end in the same measurements, so they say nothing about the algorithm. Register names, classical
bits and definitions, which tell real files from generated ones before any gate is read, do not survive it.

Source  Cross et al., "Open Quantum Assembly Language", 2017, arXiv:1707.03429
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from wheatstone.bench.errors import InputError

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from wheatstone.domains.quantum.qasm import Source

HALF_TURN = math.pi
SNAP = 1e-10
"""Radians within which an angle is a multiple of pi over a power of two."""


class Shape(NamedTuple):
    """What a gate takes."""

    qubits: int
    angles: int = 0
    wide: bool = False
    """The first angle has period 4 pi, because its sign is seen by a control; all others have 2 pi up to phase."""


GATES: dict[str, Shape] = {
    **{name: Shape(1) for name in ("x", "y", "z", "h", "s", "sdg", "t", "tdg", "sx", "sxdg")},
    **{name: Shape(1, 1) for name in ("rx", "ry", "rz", "p")},
    "u2": Shape(1, 2),
    "u3": Shape(1, 3),
    **{name: Shape(2) for name in ("cx", "cy", "cz", "ch", "csx", "swap")},
    **{name: Shape(2, 1) for name in ("cp", "rxx", "rzz")},
    **{name: Shape(2, 1, True) for name in ("crx", "cry", "crz")},
    "cu3": Shape(2, 3, True),
    "cu": Shape(2, 4, True),
    **{name: Shape(3) for name in ("ccx", "cswap")},
}
"""Name -> what it takes; all are in the `qelib1.inc` that qiskit reads and writes."""
SYNONYMS = {"u1": "p", "cu1": "cp", "u": "u3"}
SILENT = ("barrier", "id", "delay")
DEEPEST = 40
"""Definitions within definitions; more is a circle."""
MOST_GATES = 200_000
"""Gates of one circuit that are written out; a Grover search of 20 qubits has millions."""
CLIFFORD = ("x", "y", "z", "h", "s", "sdg", "sx", "sxdg", "cx", "cy", "cz", "swap")
BANNER = 'OPENQASM 2.0;\ninclude "qelib1.inc";\n'


class Op(NamedTuple):
    """One gate on its qubits, operands in order."""

    gate: str
    qubits: tuple[int, ...]
    angles: tuple[float, ...] = ()
    """Radians, in (-pi, pi], the first angle of a controlled rotation in (-2 pi, 2 pi]."""


@dataclass(frozen=True)
class Program:
    """A unitary circuit in normal form."""

    n: int
    """Qubits of the register."""
    ops: tuple[Op, ...]
    family: str = ""
    """The algorithm that it belongs to, as 'qft'."""
    name: str = ""

    def relabelled(self, places: Sequence[int], n: int | None = None) -> Program:
        """Qubit q becomes `places[q]`, in a register of `n` (as many as before when not given)."""
        ops = tuple(Op(op.gate, tuple(places[q] for q in op.qubits), op.angles) for op in self.ops)
        return Program(self.n if n is None else n, ops, self.family, self.name)


class NotUnitaryError(ValueError):
    """An instruction that no normal form holds; `instruction` is its index in the circuit."""

    def __init__(self, instruction: int, text: str) -> None:
        super().__init__(text)
        self.instruction = instruction


def program(circuit: QuantumCircuit, family: str = "", name: str = "", most: int = MOST_GATES) -> Program:
    """The normal form of a circuit.

    Raises NotUnitaryError for a measurement that is not the last on its qubit, a reset, control flow, a free
    parameter, a gate without definition, or more than `most` gates.
    """
    ops: list[Op] = []
    measured: set[int] = set()
    for index, item in enumerate(circuit.data):
        qubits = tuple(circuit.find_bit(qubit).index for qubit in item.qubits)
        operation: Any = item.operation
        if operation.name == "measure":
            measured.update(qubits)
            continue
        if operation.name in SILENT:
            continue
        if again := measured.intersection(qubits):
            where = f"qubit {min(again)} after its measurement"
            raise NotUnitaryError(index, f"'{operation.name}' acts on {where}; only measurements at the end are read.")
        try:
            for op in _written_out(operation, DEEPEST):
                if len(ops) == most:
                    raise NotUnitaryError(index, f"more than {most:,} gates when its definitions are written out.")
                ops.append(Op(op.gate, tuple(qubits[q] for q in op.qubits), op.angles))
        except _Unwritten as fault:
            raise NotUnitaryError(index, str(fault)) from None
    return Program(circuit.num_qubits, tuple(ops), family, name)


def program_of(source: Source, family: str = "") -> Program:
    """The normal form of a file that was read.

    Raises InputError with the line of the instruction that has none.
    """
    try:
        return program(source.circuit, family, source.name)
    except NotUnitaryError as fault:
        raise InputError([source.fault(fault.instruction, str(fault))]) from None


class _Unwritten(Exception):  # noqa: N818
    """Why a gate cannot be written out."""


def _written_out(operation: Any, depth: int) -> Iterator[Op]:
    """The gate on qubits 0, 1, ... in gates of the normal form."""
    name = SYNONYMS.get(str(operation.name), str(operation.name))
    shape = GATES.get(name)
    if shape is not None:  # a gate with open controls has another name, as 'ccx_o1'
        yield Op(name, tuple(range(shape.qubits)), _angles(name, shape, operation.params))
        return
    definition = getattr(operation, "definition", None)
    if operation.name in ("reset", "initialize", "if_else", "while_loop", "for_loop", "switch_case", "box", "store"):
        raise _Unwritten(f"'{operation.name}' is not unitary; only gates can be learnt.")
    if definition is None:
        raise _Unwritten(f"'{operation.name}' has no definition; write it in gates of qelib1.inc.")
    if not depth:
        raise _Unwritten(f"'{operation.name}' is defined by more than {DEEPEST} definitions within each other.")
    for item in definition.data:
        if item.operation.name in SILENT:
            continue
        places = [definition.find_bit(qubit).index for qubit in item.qubits]
        if item.operation.name == "measure":
            raise _Unwritten(f"'{operation.name}' measures; only gates can be learnt.")
        for op in _written_out(item.operation, depth - 1):
            yield Op(op.gate, tuple(places[q] for q in op.qubits), op.angles)


def _angles(name: str, shape: Shape, values: Sequence[Any]) -> tuple[float, ...]:
    found: list[float] = []
    for position, value in enumerate(values):
        try:
            angle = float(value)
        except TypeError:
            raise _Unwritten(f"'{name}' has the free parameter '{value}'; give it a value.") from None
        if not math.isfinite(angle):
            raise _Unwritten(f"'{name}' has the angle {angle}; angles are finite numbers.")
        found.append(wrapped(angle, wide=shape.wide and position == 0))
    return tuple(found)


def wrapped(angle: float, *, wide: bool = False) -> float:
    """The angle in (-pi, pi], or with `wide` in (-2 pi, 2 pi]; multiples of pi / 2^24 are exact."""
    turn = (4 if wide else 2) * HALF_TURN
    folded = math.fmod(angle, turn)
    units = folded / HALF_TURN * 2**24
    if abs(units - round(units)) * HALF_TURN / 2**24 < SNAP:
        folded = round(units) / 2**24 * HALF_TURN
    if folded > turn / 2:
        return folded - turn
    return folded + turn if folded <= -turn / 2 else folded


def faults(n: int, ops: Sequence[Op]) -> list[str]:
    """What makes a list of gates no circuit on `n` qubits; empty when it is one."""
    found: list[str] = []
    for index, op in enumerate(ops):
        shape = GATES.get(op.gate)
        if shape is None:
            found.append(f"gate {index}: '{op.gate}' is unknown")
        elif (len(op.qubits), len(op.angles)) != shape[:2]:
            found.append(f"gate {index}: '{op.gate}' on {len(op.qubits)} qubits with {len(op.angles)} angles")
        elif len(set(op.qubits)) < len(op.qubits):
            found.append(f"gate {index}: '{op.gate}' on one qubit twice")
        elif op.qubits and not 0 <= min(op.qubits) <= max(op.qubits) < n:
            found.append(f"gate {index}: '{op.gate}' outside of q[{n}]")
    return found


def line_of(op: Op) -> str:
    """The OpenQASM 2 statement of a gate."""
    angles = f"({','.join(map(angle_text, op.angles))})" if op.angles else ""
    return f"{op.gate}{angles} {','.join(f'q[{qubit}]' for qubit in op.qubits)};"


def angle_text(angle: float) -> str:
    """The angle as a multiple of pi where it is one over a power of two up to 2^24, else with all digits."""
    for power in range(25):
        units = angle / HALF_TURN * 2**power
        if abs(units - round(units)) * HALF_TURN / 2**power < SNAP:
            whole = round(units)
            if whole == 0:
                return "0"
            top = {1: "pi", -1: "-pi"}.get(whole, f"{whole}*pi")
            return top if power == 0 else f"{top}/{2**power}"
    return repr(angle)


def text_of(one: Program, *, measure: bool = False) -> str:
    """The circuit as an OpenQASM 2 file; with `measure` every qubit is measured at its end."""
    lines = [BANNER + f"qreg q[{one.n}];"]
    if measure:
        lines.append(f"creg c[{one.n}];")
    lines += map(line_of, one.ops)
    if measure:
        lines.append("measure q -> c;")
    return "\n".join(lines) + "\n"

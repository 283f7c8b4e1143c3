"""Circuits as sequences of tokens, in two ways behind one interface, and the grammar that keeps a sequence a circuit.

`Words`   a gate, each of its qubits and each of its angles is a token: `cx q3 q5`, `cp q0 q1 pi/8`. Angles lie on the
          grid of multiples of pi/16 and the powers pi/2^m, or in one of 128 bins. Some 300 tokens say any circuit.
`Lines`   a whole statement is a token, angles with all digits, as in KetGPT (arXiv:2402.13352): every line is correct
          by construction, but a line that training has not seen cannot be said, and most lines occur once.

A sequence is START, a family or ANY, the register, the gates, END. The grammar is decided from the last few tokens and
the register, so it needs no state: which gate is open, how many of its operands are there, which qubits they were.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from wheatstone.bench.errors import UserError
from wheatstone.domains.quantum.program import GATES, HALF_TURN, Op, Program, angle_text, line_of, wrapped

START, END, PAD, UNKNOWN, ANY = range(5)
HEADER = 3
"""Tokens that are given and not predicted: START, the family (or ANY) and the register."""
N_BIN = 128
"""Bins of equal width over (-2 pi, 2 pi] for angles off the grid."""
BIN = 4 * HALF_TURN / N_BIN
WITHIN = 0.47
"""Where in its bin the angle of a bin is; the exact middle of two bins is pi/64, which is on the grid."""
ON_GRID = 1e-6
"""Radians from a grid angle within which an angle is that one."""
GRID = tuple(
    sorted({k / 16 * HALF_TURN for k in range(-31, 33)} | {s * HALF_TURN / 2**m for m in range(5, 13) for s in (-1, 1)})
)
LONGEST_GATE = 1 + max(shape.qubits + shape.angles for shape in GATES.values())
MALFORMED = "?"
"""Gate of an operand that belongs to none; no circuit has it."""


@dataclass(frozen=True)
class Room:
    """How much a sequence may hold."""

    tokens: int
    """Tokens in all, START, register and END included."""
    least: int = 1
    """Gates at least."""
    most: int | None = None
    """Gates at most."""


class CircuitText(Protocol):
    """Circuits to token numbers and back."""

    kind: str
    size: int
    """Tokens in the vocabulary."""
    max_qubits: int
    families: tuple[str, ...]

    def encode(self, one: Program, *, named: bool = False) -> list[int]:
        """START, family (ANY unless `named` and known), register, gates, END."""
        ...

    def decode(self, tokens: Sequence[int]) -> tuple[int, tuple[Op, ...]]:
        """(register, gates) up to END, whatever stands there: `program.faults` says whether it is a circuit."""
        ...

    def prompt(self, n: int, family: str = "") -> list[int]:
        """What a circuit of `n` qubits begins with, of a family that training knew or of any."""
        ...

    def allowed(self, sequences: Int[Tensor, "sequence pos"], room: Room) -> Bool[Tensor, "sequence vocab"]:
        """Which tokens may come next."""
        ...

    def to_json(self) -> dict[str, object]:
        """What `from_json` makes it from again."""
        ...


def angle_number(angle: float) -> int:
    """Number of an angle's token: the grid first, then the bins."""
    place = bisect.bisect(GRID, angle)
    for near in (place - 1, place):
        if 0 <= near < len(GRID) and abs(GRID[near] - angle) < ON_GRID:
            return near
    return len(GRID) + min(int((angle + 2 * HALF_TURN) / BIN), N_BIN - 1)


def number_angle(number: int) -> float:
    """The grid angle, or one near the middle of the bin."""
    return GRID[number] if number < len(GRID) else -2 * HALF_TURN + (number - len(GRID) + WITHIN) * BIN


def snapped(one: Program) -> Program:
    """The circuit with every angle as its token says it: on the grid or near the middle of its bin."""
    ops = tuple(
        Op(
            op.gate,
            op.qubits,
            tuple(
                wrapped(number_angle(angle_number(angle)), wide=GATES[op.gate].wide and position == 0)
                for position, angle in enumerate(op.angles)
            ),
        )
        for op in one.ops
    )
    return Program(one.n, ops, one.family, one.name)


class Words:
    """A token for each gate, operand and angle; the size of the register is said by its last qubit.

    A size with a token of its own would have to be related to the qubits from data, and there are few circuits a size.
    """

    kind = "words"

    def __init__(self, max_qubits: int, families: Sequence[str] = ()) -> None:
        self.max_qubits, self.families = max_qubits, tuple(families)
        self.gates = tuple(GATES)
        self.first_qubit = 1 + ANY + len(self.families)
        self.first_gate = self.first_qubit + max_qubits
        self.first_angle = self.first_gate + len(self.gates)
        self.size = self.first_angle + len(GRID) + N_BIN
        self._gate_number = {name: number for number, name in enumerate(self.gates)}
        token = torch.arange(self.size)
        self._is_gate = (token >= self.first_gate) & (token < self.first_angle)
        self._is_qubit = (token >= self.first_qubit) & (token < self.first_gate)
        narrow = [abs(number_angle(number)) <= HALF_TURN for number in range(len(GRID) + N_BIN)]
        self._narrow = torch.zeros(self.size, dtype=torch.bool)
        self._narrow[self.first_angle :] = torch.tensor(narrow)
        shapes = [GATES[name] for name in self.gates]
        self._qubits = torch.tensor([shape.qubits for shape in shapes])
        self._operands = torch.tensor([shape.qubits + shape.angles for shape in shapes])
        self._wide = torch.tensor([shape.wide for shape in shapes])

    def encode(self, one: Program, *, named: bool = False) -> list[int]:
        """START, family, last qubit, then gate, qubits, angles of each gate, END.

        Raises UserError for a register larger than the vocabulary's.
        """
        found = self.prompt(one.n, one.family if named else "")
        for op in one.ops:
            found.append(self.first_gate + self._gate_number[op.gate])
            found += [self.first_qubit + qubit for qubit in op.qubits]
            found += [self.first_angle + angle_number(angle) for angle in op.angles]
        return [*found, END]

    def decode(self, tokens: Sequence[int]) -> tuple[int, tuple[Op, ...]]:
        n = tokens[HEADER - 1] - self.first_qubit + 1
        ops: list[Op] = []
        for token in tokens[HEADER:]:
            if token == END:
                break
            if self.first_gate <= token < self.first_angle:
                ops.append(Op(self.gates[token - self.first_gate], (), ()))
                continue
            last = ops.pop() if ops else Op(MALFORMED, (), ())
            if self.first_qubit <= token < self.first_gate and not last.angles:
                ops.append(Op(last.gate, (*last.qubits, token - self.first_qubit), ()))
            elif token >= self.first_angle:
                shape = GATES.get(last.gate)
                wide = shape is not None and shape.wide and not last.angles
                angle = wrapped(number_angle(token - self.first_angle), wide=wide)
                ops.append(Op(last.gate, last.qubits, (*last.angles, angle)))
            else:
                ops += [last, Op(MALFORMED, (), ())]
        return n, tuple(ops)

    def prompt(self, n: int, family: str = "") -> list[int]:
        _check_size(n, self.max_qubits)
        return [START, _family_token(self.families, family), self.first_qubit + n - 1]

    def allowed(self, sequences: Int[Tensor, "sequence pos"], room: Room) -> Bool[Tensor, "sequence vocab"]:
        rows, length = sequences.shape
        register = sequences[:, HEADER - 1] - self.first_qubit + 1
        tail = sequences[:, max(HEADER, length - LONGEST_GATE + 1) :]
        since = tail.shape[1]
        # How many operands the last gate has: LONGEST_GATE - 1 tokens without a gate hold one that is complete.
        is_gate = self._is_gate[tail]
        back = torch.where(is_gate, torch.arange(since), -1).amax(1) if since else torch.full((rows,), -1)
        gate = tail.gather(1, back.clamp(min=0)[:, None])[:, 0] - self.first_gate if since else back
        present = since - 1 - back
        gate = gate.clamp(0, len(self.gates) - 1)
        is_open = (back >= 0) & (present < self._operands[gate])
        wants_qubit = is_open & (present < self._qubits[gate])
        wants_angle = is_open & ~wants_qubit

        mask = torch.zeros(rows, self.size, dtype=torch.bool)
        qubit = torch.arange(self.max_qubits)
        free = qubit < register[:, None]
        if since:
            operand = self._is_qubit[tail] & (torch.arange(since) > back[:, None])
            row, place = operand.nonzero(as_tuple=True)
            free[row, tail[row, place] - self.first_qubit] = False
        mask[:, self.first_qubit : self.first_gate] = free & wants_qubit[:, None]
        first = present == self._qubits[gate]
        all_angles = torch.zeros(self.size, dtype=torch.bool)
        all_angles[self.first_angle :] = True
        mask |= (wants_angle & first & self._wide[gate])[:, None] & all_angles
        mask |= (wants_angle & ~(first & self._wide[gate]))[:, None] & self._narrow
        count = self._is_gate[sequences].sum(1)
        fits = self._operands + 2 <= room.tokens - length
        may = (self._qubits <= register[:, None]) & fits & (~is_open)[:, None]
        if room.most is not None:
            may &= (count < room.most)[:, None]
        mask[:, self.first_gate : self.first_angle] = may
        mask[:, END] = ~is_open & ((count >= room.least) | ~may.any(1))
        return mask

    def to_json(self) -> dict[str, object]:
        return {"kind": self.kind, "max_qubits": self.max_qubits, "families": list(self.families)}


class Lines:
    """A token for each statement of the training files."""

    kind = "lines"

    def __init__(self, max_qubits: int, lines: Sequence[Op], families: Sequence[str] = ()) -> None:
        self.max_qubits, self.families = max_qubits, tuple(families)
        self.ops = tuple(lines)
        self.first_size = 1 + ANY + len(self.families)
        self.first_line = self.first_size + max_qubits
        self.size = self.first_line + len(self.ops)
        self._number = {line_of(op): number for number, op in enumerate(self.ops)}
        self._reach = torch.tensor([1 + max(op.qubits) for op in self.ops], dtype=torch.int64)

    @classmethod
    def of(cls, programs: Sequence[Program], max_qubits: int, families: Sequence[str] = ()) -> Lines:
        """The vocabulary of a training set, in order of first use."""
        seen = {line_of(op): op for one in programs for op in one.ops}
        return cls(max_qubits, tuple(seen.values()), families)

    def encode(self, one: Program, *, named: bool = False) -> list[int]:
        """START, family, size, lines (or UNKNOWN), END.

        Raises UserError for a register larger than the vocabulary's.
        """
        numbers = (self._number.get(line_of(op)) for op in one.ops)
        return [
            *self.prompt(one.n, one.family if named else ""),
            *(UNKNOWN if number is None else self.first_line + number for number in numbers),
            END,
        ]

    def decode(self, tokens: Sequence[int]) -> tuple[int, tuple[Op, ...]]:
        ops: list[Op] = []
        for token in tokens[HEADER:]:
            if token == END:
                break
            ops.append(self.ops[token - self.first_line] if token >= self.first_line else Op(MALFORMED, (), ()))
        return tokens[HEADER - 1] - self.first_size + 1, tuple(ops)

    def prompt(self, n: int, family: str = "") -> list[int]:
        _check_size(n, self.max_qubits)
        return [START, _family_token(self.families, family), self.first_size + n - 1]

    def allowed(self, sequences: Int[Tensor, "sequence pos"], room: Room) -> Bool[Tensor, "sequence vocab"]:
        rows, length = sequences.shape
        register = sequences[:, HEADER - 1] - self.first_size + 1
        count = length - HEADER
        full = length + 2 > room.tokens or (room.most is not None and count >= room.most)
        mask = torch.zeros(rows, self.size, dtype=torch.bool)
        if not full:
            mask[:, self.first_line :] = self._reach <= register[:, None]
        mask[:, END] = (count >= room.least) | ~mask.any(1)
        return mask

    def to_json(self) -> dict[str, object]:
        return {
            "kind": self.kind,
            "max_qubits": self.max_qubits,
            "families": list(self.families),
            "ops": [[*op] for op in self.ops],
        }


def text_from(record: dict[str, object]) -> CircuitText:
    """The vocabulary that `to_json` described.

    Raises KeyError, TypeError or ValueError for anything else.
    """
    size = int(record["max_qubits"])  # pyright: ignore[reportArgumentType]
    families = [str(name) for name in record["families"]]  # pyright: ignore[reportGeneralTypeIssues]
    if record["kind"] == Words.kind:
        return Words(size, families)
    if record["kind"] != Lines.kind:
        raise ValueError(f"unknown kind of tokens {record['kind']!r}")
    rows: list[list[object]] = record["ops"]  # pyright: ignore[reportAssignmentType]
    ops = [Op(str(g), tuple(q), tuple(a)) for g, q, a in rows]  # pyright: ignore[reportArgumentType]
    return Lines(size, ops, families)


def judged_words(one: Program) -> list[str]:
    """The circuit's gates, operands and angles as text tokens, without header: what a judge may read."""
    found: list[str] = []
    for op in one.ops:
        found += [op.gate, *(f"q{qubit}" for qubit in op.qubits)]
        for angle in op.angles:
            number = angle_number(angle)
            found.append(angle_text(GRID[number]) if number < len(GRID) else f"~{number - len(GRID)}")
    return found


def judged_lines(one: Program) -> list[str]:
    """One text token a gate: its name and operands, without angles."""
    return [f"{op.gate} {','.join(map(str, op.qubits))}" for op in one.ops]


def _family_token(families: Sequence[str], name: str) -> int:
    return 1 + ANY + families.index(name) if name in families else ANY


def _check_size(n: int, most: int) -> None:
    if not 1 <= n <= most:
        raise UserError(f"a register of {n} qubits: this vocabulary has 1 to {most}.")

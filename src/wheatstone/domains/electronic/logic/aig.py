"""And-inverter graphs: the one form in which logic is held here.

A literal is 2 * variable + inverted, as in AIGER (Biere, "The AIGER And-Inverter Graph (AIG) Format", 2007). Variable 0
is the constant false, variables 1 .. n_inputs are the inputs, and gate k is variable n_inputs + 1 + k; a gate's fan-ins
are variables below its own, so the order of the gates is a topological one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
MOST_ENUMERATED = 16
"""Inputs up to which a whole truth table is made."""


@dataclass(frozen=True, eq=False)
class Aig:
    """A combinational and-inverter graph."""

    n_inputs: int
    fanins: Ints
    """Two literals of each gate, (gate, 2)."""
    outputs: Ints
    """One literal an output, (output,)."""
    input_names: tuple[str, ...] = ()
    """One an input, or none at all."""
    output_names: tuple[str, ...] = ()

    @property
    def n_gates(self) -> int:
        return len(self.fanins)

    @property
    def n_outputs(self) -> int:
        return len(self.outputs)

    def __eq__(self, other: object) -> bool:
        """Whether both have the same gates in the same order, and the same names."""
        return isinstance(other, Aig) and (
            self.n_inputs == other.n_inputs
            and np.array_equal(self.fanins, other.fanins)
            and np.array_equal(self.outputs, other.outputs)
            and self.input_names == other.input_names
            and self.output_names == other.output_names
        )

    def __hash__(self) -> int:
        return hash(self.digest())

    def digest(self) -> str:
        """64 hex digits of the structure, names left out."""
        sizes = np.array([self.n_inputs, self.n_gates, self.n_outputs], dtype=np.int64)
        parts = (sizes, self.fanins, self.outputs)
        return hashlib.sha256(b"".join(part.astype("<i8").tobytes() for part in parts)).hexdigest()

    def levels(self) -> Ints:
        """Gates on the longest path to each variable, (variable,); inputs and the constant have 0."""
        level = np.zeros(1 + self.n_inputs + self.n_gates, dtype=np.int64)
        variables = self.fanins >> 1
        for gate in range(self.n_gates):
            left, right = variables[gate]
            level[1 + self.n_inputs + gate] = 1 + max(level[left], level[right])
        return level

    @property
    def depth(self) -> int:
        """Gates on the longest path to an output."""
        level = self.levels()
        return int(level[self.outputs >> 1].max()) if self.n_outputs else 0

    def simulate(self, patterns: Words) -> Words:
        """Outputs under many input vectors at once, one bit of a word each.

        Args:
            patterns: (input, word); bit b of word w of every input is one vector.

        Returns:
            (output, word).
        """
        if patterns.shape[0] != self.n_inputs:
            raise ValueError(f"patterns for {patterns.shape[0]} inputs, the graph has {self.n_inputs}")
        values = np.zeros((1 + self.n_inputs + self.n_gates, patterns.shape[1]), dtype=np.uint64)
        values[1 : 1 + self.n_inputs] = patterns
        flip = np.array([0, np.iinfo(np.uint64).max], dtype=np.uint64)
        for gate in range(self.n_gates):
            left, right = self.fanins[gate]
            values[1 + self.n_inputs + gate] = (values[left >> 1] ^ flip[left & 1]) & (
                values[right >> 1] ^ flip[right & 1]
            )
        return values[self.outputs >> 1] ^ flip[self.outputs & 1][:, None]

    def evaluate(self, vectors: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Outputs (vector, output) of given input vectors (vector, input)."""
        count = len(vectors)
        padded = np.zeros((-(-max(count, 1) // 64) * 64, self.n_inputs), dtype=np.uint8)
        padded[:count] = vectors
        packed = np.ascontiguousarray(np.packbits(padded.T, axis=1, bitorder="little")).view("<u8").astype(np.uint64)
        words = np.ascontiguousarray(self.simulate(packed).astype("<u8"))
        bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little", count=len(padded))
        return bits[:, :count].T.astype(bool)

    def truth_table(self) -> NDArray[np.bool_]:
        """Outputs (2^n_inputs, output) of every input vector; input 0 is the lowest bit of the row's number.

        Raises ValueError above 16 inputs.
        """
        if self.n_inputs > MOST_ENUMERATED:
            raise ValueError(f"{self.n_inputs} inputs have too many vectors; {MOST_ENUMERATED} at most")
        rows = np.arange(1 << self.n_inputs)[:, None]
        return self.evaluate(((rows >> np.arange(self.n_inputs)) & 1).astype(bool))

    def with_inverted_fanin(self, gate: int, side: int) -> Aig:
        """The graph with one fan-in inverted: a wiring fault, for checking that a check sees it."""
        fanins = self.fanins.copy()
        fanins[gate, side] ^= 1
        return Aig(self.n_inputs, fanins, self.outputs, self.input_names, self.output_names)


class AigBuilder:
    """An and-inverter graph that grows gate by gate; equal gates are made once and constants are folded."""

    def __init__(self, n_inputs: int) -> None:
        self.n_inputs = n_inputs
        self._fanins: list[tuple[int, int]] = []
        self._known: dict[tuple[int, int], int] = {}

    def input(self, number: int) -> int:
        """The literal of an input."""
        return 2 * (number + 1)

    def conjunction(self, left: int, right: int) -> int:
        """The literal of left AND right."""
        low, high = min(left, right), max(left, right)
        if low == 0 or low ^ 1 == high:
            return 0
        if low == 1 or low == high:
            return high
        if (low, high) not in self._known:
            self._fanins.append((low, high))
            self._known[low, high] = 2 * (self.n_inputs + len(self._fanins))
        return self._known[low, high]

    def disjunction(self, left: int, right: int) -> int:
        """The literal of left OR right."""
        return self.conjunction(left ^ 1, right ^ 1) ^ 1

    def exclusive(self, left: int, right: int) -> int:
        """The literal of left XOR right."""
        return self.disjunction(self.conjunction(left, right ^ 1), self.conjunction(left ^ 1, right))

    def build(self, outputs: Sequence[int], input_names: Sequence[str] = (), output_names: Sequence[str] = ()) -> Aig:
        """The graph with these output literals."""
        fanins = np.array(self._fanins, dtype=np.int64).reshape(-1, 2)
        literals = np.array(outputs, dtype=np.int64)
        return Aig(self.n_inputs, fanins, literals, tuple(input_names), tuple(output_names))


def side_by_side(left: Aig, right: Aig) -> Aig:
    """One graph that holds both, without a common input: first the left one's inputs, gates and outputs."""

    def moved(literals: Ints, aig: Aig, first_input: int, first_gate: int) -> Ints:
        variables, signs = literals >> 1, literals & 1
        shift = np.where(variables == 0, 0, np.where(variables <= aig.n_inputs, first_input, first_gate - aig.n_inputs))
        return 2 * (variables + shift) + signs

    n_inputs = left.n_inputs + right.n_inputs
    parts: list[tuple[Any, ...]] = [(left, 0, n_inputs), (right, left.n_inputs, n_inputs + left.n_gates)]
    fanins = np.concatenate([moved(aig.fanins, aig, start, gates) for aig, start, gates in parts])
    outputs = np.concatenate([moved(aig.outputs, aig, start, gates) for aig, start, gates in parts])
    return Aig(n_inputs, fanins, outputs)

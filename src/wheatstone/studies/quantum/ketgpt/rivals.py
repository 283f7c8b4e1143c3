"""Circuits that no network has made: random ones, n-grams, and training circuits that were spoilt or copied.

Each rival isolates one thing that a judge may look at. `uniform` and `matched` draw statements as the paper's random
circuits do, with the same probability or with their frequency; `shuffled` has the very gates of a training circuit in
random order; `copied` is a training circuit; `spliced` begins like a real circuit and goes on at random; an n-gram
model knows what follows the last few words, and the grammar.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from wheatstone.domains.quantum.circuit_text import END, HEADER, PAD, Room, Words
from wheatstone.domains.quantum.judging import FIRST_LINES
from wheatstone.domains.quantum.program import Op, Program, program


class Shape(NamedTuple):
    """What a wanted circuit has in common with a known one."""

    n: int
    """Qubits of its register."""
    gates: int
    family: str


def drawn_shapes(training: Sequence[Program], count: int, rng: np.random.Generator) -> list[Shape]:
    """Sizes, lengths and families as training circuits have them."""
    chosen = (training[place] for place in rng.integers(len(training), size=count))
    return [Shape(one.n, len(one.ops), one.family) for one in chosen]


class Statements:
    """The distinct statements of a training set with their frequency."""

    def __init__(self, training: Sequence[Program]) -> None:
        counts = Counter(op for one in training for op in one.ops)
        self.ops = list(counts)
        self.weight = np.array([counts[op] for op in self.ops], float)
        self.reach = np.array([1 + max(op.qubits) for op in self.ops])

    def drawn(self, shapes: Sequence[Shape], rng: np.random.Generator, *, matched: bool) -> list[Program]:
        """Circuits of statements that fit the register, with their frequency or all equally."""
        found: list[Program] = []
        for n, gates, _ in shapes:
            usable = np.flatnonzero(self.reach <= n)
            weight = self.weight[usable] if matched else np.ones(len(usable))
            chosen = rng.choice(usable, size=gates, p=weight / weight.sum()) if len(usable) else usable
            found.append(Program(n, tuple(self.ops[place] for place in chosen)))
        return found


def shuffled(training: Sequence[Program], count: int, rng: np.random.Generator) -> list[Program]:
    """Training circuits with their gates in random order."""
    found: list[Program] = []
    for place in rng.integers(len(training), size=count):
        one = training[place]
        order = rng.permutation(len(one.ops))
        found.append(Program(one.n, tuple(one.ops[index] for index in order)))
    return found


def copied(training: Sequence[Program], count: int, rng: np.random.Generator) -> list[Program]:
    """Training circuits as they are, without their name."""
    return [Program(one.n, one.ops) for one in (training[place] for place in rng.integers(len(training), size=count))]


def spliced(real: Sequence[Program], statements: Statements, rng: np.random.Generator) -> list[Program]:
    """The first 46 gates of each real circuit, then statements with their frequency."""
    shapes = [Shape(one.n, len(one.ops) - FIRST_LINES, "") for one in real]
    tails = statements.drawn(shapes, rng, matched=True)
    return [Program(one.n, one.ops[:FIRST_LINES] + tail.ops, one.family) for one, tail in zip(real, tails, strict=True)]


def library_random(shapes: Sequence[Shape], rng: np.random.Generator) -> list[Program]:
    """qiskit's `random_circuit`, cut to the length that is wanted."""
    from qiskit.circuit.random import random_circuit

    found: list[Program] = []
    for n, gates, _ in shapes:
        ops: list[Op] = []
        while len(ops) < gates:
            made = random_circuit(n, max(2, 2 * gates // n), max_operands=min(n, 3), seed=int(rng.integers(2**31)))
            ops += program(made).ops
        found.append(Program(n, tuple(ops[:gates])))
    return found


class Ngram:
    """What follows the last `order` - 1 words, interpolated with shorter memories (Witten and Bell 1991)."""

    def __init__(self, text: Words, training: Sequence[Program], order: int) -> None:
        self.text, self.order = text, order
        self.counts: list[defaultdict[tuple[int, ...], Counter[int]]] = [defaultdict(Counter) for _ in range(order)]
        for one in training:
            tokens = text.encode(one)
            for place in range(HEADER, len(tokens)):
                for memory in range(order):
                    if place - memory >= 0:
                        self.counts[memory][tuple(tokens[place - memory : place])][tokens[place]] += 1

    def probabilities(self, before: Sequence[int]) -> NDArray[np.float64]:
        """[vocab] of the next token."""
        found = np.full(self.text.size, 1 / self.text.size)
        for memory in range(min(self.order, len(before) + 1)):
            seen = self.counts[memory].get(tuple(before[len(before) - memory :]))
            if not seen:
                break
            total, kinds = sum(seen.values()), len(seen)
            found *= kinds / (total + kinds)
            for token, count in seen.items():
                found[token] += count / (total + kinds)
        return found

    def nats(self, programs: Sequence[Program]) -> float:
        """Mean loss of a token after the header."""
        losses: list[float] = []
        for one in programs:
            tokens = self.text.encode(one)
            losses += [
                -float(np.log(self.probabilities(tokens[:place])[tokens[place]]))
                for place in range(HEADER, len(tokens))
            ]
        return float(np.mean(losses)) if losses else float("nan")

    def drawn(
        self, sizes: Sequence[int], rng: np.random.Generator, room: Room, note: Callable[[int, int], None]
    ) -> list[Program]:
        """Circuits that the grammar allows."""
        rows = [self.text.prompt(n) for n in sizes]
        for step in range(room.tokens - HEADER):
            live = [row for row in rows if row[-1] != END]
            if not live:
                break
            note(step, room.tokens)
            allowed = self.text.allowed(torch.tensor(live), room).numpy()
            for row, mask in zip(live, allowed, strict=True):
                weight = self.probabilities(row) * mask
                weight[PAD] = 0
                row.append(int(rng.choice(self.text.size, p=weight / weight.sum())))
        return [Program(*self.text.decode(row)) for row in rows]

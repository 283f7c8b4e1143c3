"""Compositions of random functions over one set of tokens: `t = f2(f1(x1, x2), x3)` and its relatives.

Every function is a uniformly random table. Of each table a random share is marked as seen; an input may be used in
training when all calls that it makes are marked. What was really called is counted again on the training rows that were
drawn, so that a test row is

    ID      when training made each of its calls, but not this combination;
    OOD     when at least one of its calls is new (its `new_calls` say which).

Chang et al. 2025, arXiv:2505.20278, section 4: only whole compositions are trained on, never a call by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
MAX_INPUTS = 8_000_000
"""Inputs of a composition are enumerated; more than this do not fit into memory comfortably."""


@dataclass(frozen=True)
class Shape:
    """What is computed from what. Slots 0 .. arity - 1 are the inputs, the next ones the results of the calls."""

    name: str
    arity: int
    calls: tuple[tuple[int, ...], ...]
    """Slots that each call reads; the last call gives the target."""
    text: str


SHAPES: Mapping[str, Shape] = {
    shape.name: shape
    for shape in (
        Shape("two_hop", 3, ((0, 1), (3, 2)), "t = f2(f1(x1, x2), x3)"),
        Shape("parallel", 4, ((0, 1), (2, 3), (4, 5)), "t = f3(f1(x1, x2), f2(x3, x4))"),
        Shape("three_hop", 4, ((0, 1), (4, 2), (5, 3)), "t = f3(f2(f1(x1, x2), x3), x4)"),
        Shape("five_hop", 6, ((0, 1), (6, 2), (7, 3), (8, 4), (9, 5)), "t = f5(... f1(x1, x2) ..., x6)"),
        Shape("non_tree", 3, ((0, 1), (3, 1, 2)), "t = f2(f1(x1, x2), x2, x3)"),
        Shape("one_token", 3, ((2,),), "t = f(x3): nothing is composed"),
    )
}


class Tests(NamedTuple):
    """Row numbers of the inputs of each kind."""

    train: Ints
    test_id: Ints
    test_ood: Ints
    new_calls: Ints
    """[test_ood] bit i is set when call i is new; never 0."""


@dataclass(frozen=True)
class Composition:
    """A shape with its tables, and everything that it computes for every input there is."""

    shape: Shape
    n_token: int
    tables: tuple[Ints, ...]
    """One table a call, with an axis of n_token for each slot that it reads."""
    inputs: Ints
    """[input, arity], all of them in lexicographic order; or the rows that were drawn."""
    algebraic: bool = False

    @cached_property
    def slots(self) -> Ints:
        """[input, arity + calls]: the inputs and the result of every call."""
        columns = list(self.inputs.T)
        for table, reads in zip(self.tables, self.shape.calls, strict=True):
            columns.append(table[tuple(columns[slot] for slot in reads)])
        return np.stack(columns, axis=1)

    @cached_property
    def call_ids(self) -> Ints:
        """[input, call]: which cell of its table each call reads."""
        ids = [
            np.ravel_multi_index(tuple(self.slots[:, slot] for slot in reads), table.shape)
            for table, reads in zip(self.tables, self.shape.calls, strict=True)
        ]
        return np.stack(ids, axis=1).astype(np.int64)

    @property
    def targets(self) -> Ints:
        return self.slots[:, -1]

    def results(self, call: int) -> Ints:
        """[input]: what a call gives, the bridge of a two-hop composition for call 0."""
        return self.slots[:, self.shape.arity + call]

    def compute(self, inputs: Ints) -> Ints:
        """[row, arity + calls] for rows that need not be among `inputs`."""
        return Composition(self.shape, self.n_token, self.tables, inputs).slots


def compose(shape: Shape, n_token: int, rng: np.random.Generator, *, algebraic: bool = False) -> Composition:
    """Random tables and all inputs.

    With `algebraic` each call is addition modulo n_token instead: structure that a learner may find without coverage.
    Raises ValueError for more inputs than can be enumerated.
    """
    if n_token**shape.arity > MAX_INPUTS:
        raise ValueError(
            f"{n_token} tokens at {shape.arity} places are {n_token**shape.arity:,} inputs, at most {MAX_INPUTS:,}"
        )
    tables: list[Ints] = []
    for reads in shape.calls:
        size = (n_token,) * len(reads)
        drawn = rng.integers(n_token, size=size)
        tables.append(np.indices(size).sum(axis=0) % n_token if algebraic else drawn)
    inputs = np.indices((n_token,) * shape.arity).reshape(shape.arity, -1).T
    return Composition(shape, n_token, tuple(tables), np.ascontiguousarray(inputs), algebraic)


def usable(composition: Composition, seen_share: float, rng: np.random.Generator) -> Ints:
    """Sorted row numbers of the inputs whose calls all lie in a random `seen_share` of their tables."""
    allowed = np.ones(len(composition.inputs), bool)
    for call, table in enumerate(composition.tables):
        marked = np.zeros(table.size, bool)
        marked[rng.permutation(table.size)[: round(seen_share * table.size)]] = True
        allowed &= marked[composition.call_ids[:, call]]
    return np.flatnonzero(allowed)


def split(composition: Composition, n_train: int, seen_share: float, rng: np.random.Generator) -> Tests:
    """A training set of `n_train` usable inputs and what it leaves as ID and OOD tests.

    The first rows of a longer training set are those of a shorter one from the same generator: sizes are nested.
    Raises ValueError when there are fewer usable inputs.
    """
    possible = rng.permutation(usable(composition, seen_share, rng))
    if n_train > len(possible):
        raise ValueError(
            f"{composition.shape.name} over {composition.n_token} tokens has {len(possible)} inputs of seen calls "
            f"(share {seen_share:g}), fewer than the {n_train} training rows"
        )
    train = np.sort(possible[:n_train])
    new = np.zeros(len(composition.inputs), np.int64)
    for call, table in enumerate(composition.tables):
        called = np.zeros(table.size, bool)
        called[composition.call_ids[train, call]] = True
        new |= (~called[composition.call_ids[:, call]]).astype(np.int64) << call
    is_train = np.zeros(len(new), bool)
    is_train[train] = True
    test_ood = np.flatnonzero(new)
    return Tests(train, np.flatnonzero((new == 0) & ~is_train), test_ood, new[test_ood])

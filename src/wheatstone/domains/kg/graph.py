"""A functional knowledge graph as arrays, and every two-hop chain in it.

A fact is a triple (head, relation, tail). A graph is *functional* when a pair (head, relation) has at most one tail, so
that a question has one answer. A *chain* is a path of two facts (head, r1, bridge), (bridge, r2, tail): the inferred
fact "the r2 of the r1 of head is tail" (Wang et al., NeurIPS 2024, arXiv:2405.15071, section 2).

Arrays are int32. Columns of facts are head, relation, tail; columns of chains are head, r1, bridge, r2, tail.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from wheatstone.bench.errors import UserError

Int32 = npt.NDArray[np.int32]
Bool = npt.NDArray[np.bool_]

MAX_TABLE_CELLS = 2**28
"""A table of head x relation is dense; this many cells are 1 GiB."""
MAX_CHAINS = 50_000_000
"""Chains held at once; this many are 1 GB."""
INVERSE = "~"
"""Suffix of an inverse relation: (t, r~, h) for (h, r, t)."""


class Fact(NamedTuple):
    """One atomic fact, by name."""

    head: str
    relation: str
    tail: str


@dataclass(frozen=True, eq=False)
class Chains:
    """Two-hop chains; `rows` is int32 [n, 5] with the columns head, r1, bridge, r2, tail."""

    rows: Int32

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or self.rows.shape[1] != 5:
            raise ValueError(f"chains are [n, 5], got {self.rows.shape}")

    @property
    def head(self) -> Int32:
        return self.rows[:, 0]

    @property
    def r1(self) -> Int32:
        return self.rows[:, 1]

    @property
    def bridge(self) -> Int32:
        return self.rows[:, 2]

    @property
    def r2(self) -> Int32:
        return self.rows[:, 3]

    @property
    def tail(self) -> Int32:
        return self.rows[:, 4]

    @property
    def first_facts(self) -> Int32:
        """[n, 3]: the facts (head, r1, bridge)."""
        return self.rows[:, :3]

    @property
    def second_facts(self) -> Int32:
        """[n, 3]: the facts (bridge, r2, tail)."""
        return self.rows[:, 2:]

    @property
    def questions(self) -> Int32:
        """[n, 3]: head, r1, r2, which is what a model reads."""
        return self.rows[:, [0, 1, 3]]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: npt.NDArray[np.integer] | Bool | slice) -> Chains:
        return Chains(self.rows[chosen])

    @staticmethod
    def joined(parts: Sequence[Chains]) -> Chains:
        """All chains of `parts`, in order; no part gives no chain."""
        return Chains(np.concatenate([np.empty((0, 5), np.int32), *(part.rows for part in parts)], dtype=np.int32))


@dataclass(frozen=True, eq=False)
class Graph:
    """A functional knowledge graph. Two graphs are equal when they have the same names and facts in the same order."""

    entities: tuple[str, ...]
    relations: tuple[str, ...]
    triples: Int32
    """[n_fact, 3]: ids of head, relation, tail; read-only."""
    classes: tuple[str, ...] = ()
    """The class of each entity as the user gave it, '' where unknown; the empty tuple when the user gave none."""

    def __post_init__(self) -> None:
        triples = np.array(self.triples, dtype=np.int32).reshape(-1, 3)
        triples.flags.writeable = False
        object.__setattr__(self, "triples", triples)
        if len(set(self.entities)) != len(self.entities) or len(set(self.relations)) != len(self.relations):
            raise ValueError("an entity or relation is named twice")
        if self.classes and len(self.classes) != len(self.entities):
            raise ValueError(f"{len(self.classes)} classes for {len(self.entities)} entities")
        limits = (len(self.entities), len(self.relations), len(self.entities))
        if len(triples) and (triples.min() < 0 or (triples.max(axis=0) >= limits).any()):
            raise ValueError("a fact names an id that the graph does not have")
        pairs = triples[:, 0].astype(np.int64) * max(len(self.relations), 1) + triples[:, 1]
        if len(np.unique(pairs)) != len(pairs):
            raise ValueError("the graph is not functional: a pair of head and relation has two facts")

    @classmethod
    def from_facts(cls, facts: Iterable[Fact | tuple[str, str, str]], classes: dict[str, str] | None = None) -> Graph:
        """The graph of `facts`, with names and facts sorted: it does not depend on their order. Repeats count once.

        Raises ValueError where a pair of head and relation has two tails.
        """
        distinct = sorted(set(map(Fact._make, facts)))
        entities = tuple(sorted({name for fact in distinct for name in (fact.head, fact.tail)}))
        relations = tuple(sorted({fact.relation for fact in distinct}))
        entity, relation = _index(entities), _index(relations)
        triples = [(entity[head], relation[name], entity[tail]) for head, name, tail in distinct]
        named = tuple((classes or {}).get(name, "") for name in entities)
        return cls(entities, relations, np.array(triples, np.int32).reshape(-1, 3), named if any(named) else ())

    def facts(self) -> Iterator[Fact]:
        """Every fact by name, in the order of `triples`."""
        for head, relation, tail in self.triples.tolist():
            yield Fact(self.entities[head], self.relations[relation], self.entities[tail])

    def entity_id(self, name: str) -> int:
        """Raises KeyError for a name that is not in the graph."""
        return self._entity_ids[name]

    def relation_id(self, name: str) -> int:
        """Raises KeyError for a name that is not in the graph."""
        return self._relation_ids[name]

    @cached_property
    def table(self) -> Int32:
        """[n_entity, n_relation]: the tail of each head and relation, -1 where there is none; read-only."""
        cells = len(self.entities) * len(self.relations)
        if cells > MAX_TABLE_CELLS:
            raise UserError(
                f"a graph of {len(self.entities):,} entities and {len(self.relations):,} relations needs a table of "
                f"{cells:,} cells, at most {MAX_TABLE_CELLS:,} fit. Keep fewer entities or relations."
            )
        table = np.full((len(self.entities), len(self.relations)), -1, np.int32)
        table[self.triples[:, 0], self.triples[:, 1]] = self.triples[:, 2]
        table.flags.writeable = False
        return table

    @cached_property
    def inverse_of(self) -> Int32:
        """[n_relation]: the id of r~ for r and of r for r~, -1 where a relation has no inverse."""
        found = np.full(len(self.relations), -1, np.int32)
        for name, position in self._relation_ids.items():
            opposite = self._relation_ids.get(name + INVERSE)
            if opposite is not None:
                found[position], found[opposite] = opposite, position
        return found

    @cached_property
    def _entity_ids(self) -> dict[str, int]:
        return _index(self.entities)

    @cached_property
    def _relation_ids(self) -> dict[str, int]:
        return _index(self.relations)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Graph):
            return NotImplemented
        return (self.entities, self.relations, self.classes) == (
            other.entities,
            other.relations,
            other.classes,
        ) and np.array_equal(self.triples, other.triples)

    __hash__ = None  # pyright: ignore[reportAssignmentType]


def _index(names: Sequence[str]) -> dict[str, int]:
    return {name: position for position, name in enumerate(names)}


def facts_of(table: Int32, keep: Bool | None = None) -> Int32:
    """[n, 3]: the facts of a table, by head and then relation; only where `keep` [n_entity, n_relation] is true."""
    present = table >= 0 if keep is None else (table >= 0) & keep
    head, relation = np.nonzero(present)
    return np.stack([head, relation, table[head, relation]], axis=1).astype(np.int32)


def chains(table: Int32, *, keep: Bool | None = None) -> Chains:
    """All two-hop chains of a table, ordered by head, r1, r2.

    Args:
        table: [n_entity, n_relation], tails or -1.
        keep: [n_entity, n_relation]; both facts of a chain are among those where this is true. None keeps all.

    Raises UserError when there are more than `MAX_CHAINS`.
    """
    facts = facts_of(table, keep)
    return extended(facts, facts, n_entity=len(table))


def chain_count(first: Int32, second: Int32, *, n_entity: int) -> int:
    """How many chains `extended` would give, without building them."""
    fan = np.bincount(second[:, 0], minlength=n_entity)
    return int(fan[first[:, 2]].sum())


def extended(first: Int32, second: Int32, *, n_entity: int) -> Chains:
    """Every chain of a fact in `first` with a fact in `second` that starts where it ends.

    Args:
        first: [n, 3] facts; the order of the chains follows theirs.
        second: [m, 3] facts, in any order.
        n_entity: how many entities the ids come from.

    Raises UserError when there are more than `MAX_CHAINS`.
    """
    fan = np.bincount(second[:, 0], minlength=n_entity)
    copies = fan[first[:, 2]]
    total = int(copies.sum())
    if total > MAX_CHAINS:
        raise UserError(
            f"the graph has {total:,} two-hop chains, at most {MAX_CHAINS:,} are enumerated. "
            "Take a part of the graph, or its core."
        )
    order = np.lexsort((second[:, 1], second[:, 0]))
    start = np.concatenate([[0], np.cumsum(fan)[:-1]])
    source = np.repeat(np.arange(len(first)), copies)
    # The j-th chain of a fact takes the j-th fact of its bridge: count j without a loop.
    nth = np.arange(total) - np.repeat(np.cumsum(copies) - copies, copies)
    chosen = order[np.repeat(start[first[:, 2]], copies) + nth]
    rows = np.empty((total, 5), np.int32)
    rows[:, :3] = first[source]
    rows[:, 3:] = second[chosen, 1:]
    return Chains(rows)

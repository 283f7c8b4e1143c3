"""The ratio phi of inferred to atomic facts, and what a graph can reach: the report to read before training.

Definitions (Abramov, Steinbauer, Kasneci, ICML 2025, arXiv:2504.20752, section 3): phi = chains / facts; for a relation
r, phi_r = chains that use r / facts of r, where a chain counts once for each distinct relation in it. A chain uses r as
its first hop or its second: both are kept apart, because they diagnose different failures.

Lemma 1 there: with branching factor b the number of n-hop paths is of order |V| b^n, so phi is at most about b^(n-1).
Lemma 2 turns it round: a threshold phi* needs b >= phi*^(1/(n-1)), that is b >= phi* for two hops. The branching factor
of a relation is the mean out-degree of its tails.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wheatstone.bench.errors import UserError
from wheatstone.domains.kg.classes import bridge_ranges, chains_per_head, first_hop, head_classes
from wheatstone.domains.kg.graph import Bool, Chains, Graph, chains

Counts = npt.NDArray[np.int64]
THRESHOLD = 3.6
"""The smallest ratio at which generalisation was seen (arXiv:2504.20752, section 5)."""
HISTOGRAM = (0, 1, 2, 4, 8, 16, 32)
"""Lower edges of the bins for contexts per fact; the last bin is open."""


@dataclass(frozen=True)
class RelationPhi:
    """One relation's ratios."""

    relation: str
    facts: int
    phi: float
    """Training chains that use it, for each fact."""
    phi_first: float
    """... as first hop."""
    phi_second: float
    """... as second hop."""
    reachable: float
    """With every chain of the graph."""
    branching: float
    """Mean out-degree of its tails."""
    below: bool
    """phi is below the threshold."""
    heads_needed: int | None
    """Synthetic heads that bring it to the target; 0 when it is there, None when none would."""


@dataclass(frozen=True)
class PhiReport:
    """What a graph has and needs."""

    n_entity: int
    n_fact: int
    n_chain: int
    """Every two-hop chain of the graph."""
    n_train: int
    threshold: float
    target: float
    min_branching: float
    """Lemma 2: the branching factor that the threshold needs."""
    out_degree: float
    """Mean out-degree of the entities that have any fact."""
    relations: tuple[RelationPhi, ...]
    first_contexts: Counts
    """[n_fact]: training chains that use each fact as first hop, in the order of `graph.triples`."""
    second_contexts: Counts
    """[n_fact]: ... as second hop."""
    can_be_first: Bool
    """[n_fact]: the tail leads on."""
    can_be_second: Bool
    """[n_fact]: the head is a bridge."""

    @property
    def phi(self) -> float:
        """Training chains for each fact."""
        return self.n_train / self.n_fact

    @property
    def reachable(self) -> float:
        """phi with every chain of the graph."""
        return self.n_chain / self.n_fact

    @property
    def below(self) -> tuple[str, ...]:
        """Relations below the threshold."""
        return tuple(row.relation for row in self.relations if row.below)

    @property
    def heads_needed(self) -> int:
        """Synthetic heads that bring every relation which can to the target."""
        return max((row.heads_needed or 0 for row in self.relations), default=0)

    @property
    def unreachable(self) -> tuple[str, ...]:
        """Relations that no number of synthetic heads brings to the target."""
        return tuple(row.relation for row in self.relations if row.heads_needed is None)

    columns = ("relation", "facts", "phi", "first hop", "second hop", "reachable", "branching", "heads needed")

    def rows(self) -> list[tuple[str | int | float | None, ...]]:
        """One row a relation, under `columns`; the lowest phi first."""
        ordered = sorted(self.relations, key=lambda row: (row.phi, row.relation))
        return [
            (
                row.relation,
                row.facts,
                round(row.phi, 2),
                round(row.phi_first, 2),
                round(row.phi_second, 2),
                round(row.reachable, 2),
                round(row.branching, 2),
                row.heads_needed,
            )
            for row in ordered
        ]

    def histogram(self, position: str) -> list[tuple[str, int]]:
        """Facts by the number of their contexts in a position, 'first' or 'second'; only facts that can be there."""
        if position == "first":
            counts = self.first_contexts[self.can_be_first]
        else:
            counts = self.second_contexts[self.can_be_second]
        edges = [*HISTOGRAM, np.iinfo(np.int64).max]
        numbers = np.histogram(counts, edges)[0].tolist()
        labels = [str(low) if high == low + 1 else f"{low} to {high - 1}" for low, high in itertools.pairwise(edges)]
        return list(zip([*labels[:-1], f"{HISTOGRAM[-1]} or more"], numbers, strict=True))


def phi_report(
    graph: Graph, train_chains: Chains | None = None, *, threshold: float = THRESHOLD, target: float = 8.0
) -> PhiReport:
    """Count what a graph offers and what training on `train_chains` (None: every chain) would show of it.

    Raises UserError for a graph without a two-hop chain.
    """
    require_chains(graph)
    n_relation, table, triples = len(graph.relations), graph.table, graph.triples
    everything = chains(table)
    train = everything if train_chains is None else train_chains
    facts = np.bincount(triples[:, 1], minlength=n_relation)
    of = np.maximum(facts, 1)
    uses, every_use = relation_uses(train, n_relation), relation_uses(everything, n_relation)
    firsts = np.bincount(train.r1, minlength=n_relation)
    seconds = np.bincount(train.r2, minlength=n_relation)
    degree = (table >= 0).sum(axis=1)
    tails_degree = np.bincount(triples[:, 1], weights=degree[triples[:, 2]], minlength=n_relation)
    needed = _heads_needed(graph, facts, uses, target)
    relations = tuple(
        RelationPhi(
            graph.relations[r],
            int(facts[r]),
            float(uses[r] / of[r]),
            float(firsts[r] / of[r]),
            float(seconds[r] / of[r]),
            float(every_use[r] / of[r]),
            float(tails_degree[r] / of[r]),
            bool(uses[r] / of[r] < threshold),
            needed[r],
        )
        for r in range(n_relation)
    )
    in_degree = np.bincount(triples[:, 2], minlength=len(graph.entities))
    return PhiReport(
        len(graph.entities),
        len(triples),
        len(everything),
        len(train),
        threshold,
        target,
        min_branching(threshold),
        float(degree[degree > 0].mean()),
        relations,
        _contexts(train.head, train.r1, graph),
        _contexts(train.bridge, train.r2, graph),
        degree[triples[:, 2]] > 0,
        in_degree[triples[:, 0]] > 0,
    )


def min_branching(threshold: float, hops: int = 2) -> float:
    """Lemma 2: the smallest branching factor with which `hops`-hop chains reach `threshold` per fact."""
    return threshold ** (1 / (hops - 1))


def require_chains(graph: Graph) -> None:
    """Raises UserError for a graph of which no two-hop question can be asked."""
    if not first_hop(graph.table, graph.table >= 0).any():
        raise UserError(
            f"the graph has no two-hop chain: none of its {len(graph.triples):,} facts ends at an entity that has a "
            "fact of its own. Check that heads and tails are spelt alike, or add inverse relations."
        )


def relation_uses(through: Chains, n_relation: int) -> Counts:
    """[n_relation]: chains that use each relation; a chain with the same relation twice counts once."""
    twice = through.r1 == through.r2
    return np.bincount(through.r1, minlength=n_relation) + np.bincount(through.r2[~twice], minlength=n_relation)


def _contexts(heads: npt.NDArray[np.int32], relations: npt.NDArray[np.int32], graph: Graph) -> Counts:
    """[n_fact]: how often each fact of the graph is named by (head, relation)."""
    n_relation = len(graph.relations)
    inside = (heads < len(graph.entities)) & (relations < n_relation)
    named = heads[inside].astype(np.int64) * n_relation + relations[inside]
    facts = graph.triples[:, 0].astype(np.int64) * n_relation + graph.triples[:, 1]
    found, times = np.unique(named, return_counts=True)
    if not len(found):
        return np.zeros(len(facts), np.int64)
    position = np.minimum(np.searchsorted(found, facts), len(found) - 1)
    return np.where(found[position] == facts, times[position], 0)


def _heads_needed(graph: Graph, facts: Counts, uses: Counts, target: float) -> list[int | None]:
    """For each relation the synthetic heads that bring it to the target, by what a head of the best class adds.

    An estimate, with bridges drawn evenly: `augment` draws until the target is met.
    """
    has = graph.table >= 0
    leads = first_hop(graph.table, has)
    needed: list[int | None] = [0 if uses[r] >= target * facts[r] else None for r in range(len(facts))]
    ranges = bridge_ranges(graph.table, leads)
    for kind in head_classes(graph, leads):
        gain = chains_per_head(kind, ranges, has)
        cost = np.isin(np.arange(len(facts)), kind.relations)
        for r in np.flatnonzero(gain > target * cost).tolist():
            heads = math.ceil((target * facts[r] - uses[r]) / (gain[r] - target * cost[r]))
            known = needed[r]
            needed[r] = max(heads, 0) if known is None else min(known, max(heads, 0))
    return needed

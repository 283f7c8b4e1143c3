"""Drawing synthetic heads: which class comes next, which bridges it gets, and what that does to the targets.

The steps and their source are in `augment.py`, which turns what is drawn here into facts and chains.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wheatstone.bench.errors import UserError
from wheatstone.domains.kg.classes import (
    Ids,
    bridge_ranges,
    chains_per_head,
    first_hop,
    head_classes,
)
from wheatstone.domains.kg.graph import MAX_CHAINS, Bool, Chains, Graph, Int32, chains, extended, facts_of
from wheatstone.domains.kg.load import SYNTHETIC_PREFIX
from wheatstone.domains.kg.phi import relation_uses
from wheatstone.domains.kg.streams import stream

SYNTHETIC_RELATION = f"{SYNTHETIC_PREFIX}relation:"
REACH = 1.25
"""A relation counts as reachable when what it tends to is this far above the target: nearer than that, it would need
more than four synthetic facts for each real one."""


class Plan:
    """What a graph offers: second-hop facts (real, and of synthetic relations), classes, ranges, contexts so far."""

    def __init__(
        self, graph: Graph, n_synthetic: int, train_chains: Chains | None, held_out: Bool | None, seed: int
    ) -> None:
        available = graph.table >= 0
        if held_out is not None:
            available &= ~held_out
        leads = first_hop(graph.table, available)
        self.graph = graph
        self.classes = head_classes(graph, leads)
        self.real_chains = chains(graph.table, keep=available) if train_chains is None else train_chains
        bridges = np.unique(graph.table[leads])
        draws = stream(seed, "synthetic relations")
        columns = np.full((len(graph.entities), n_synthetic), -1, np.int32)
        columns[bridges] = draws.choice(bridges, (len(bridges), n_synthetic)) if len(bridges) else 0
        self.table = np.concatenate([np.where(available, graph.table, -1), columns], axis=1, dtype=np.int32)
        self.has = self.table >= 0
        self.synthetic_facts = facts_of(self.table, keep=np.arange(self.table.shape[1]) >= len(graph.relations))
        self.relation_chains = extended(
            facts_of(graph.table, leads), self.synthetic_facts, n_entity=len(graph.entities)
        )
        self.ranges = bridge_ranges(graph.table, leads)
        everything = Chains.joined([self.real_chains, self.relation_chains])
        uses = np.zeros(self.table.shape, np.int64)
        np.add.at(uses, (everything.bridge, everything.r2), 1)
        self.rarest = np.where(self.has, uses, np.iinfo(np.int64).max).min(axis=1)
        """[n_entity]: contexts of the rarest second-hop fact of each entity."""
        self.facts = self.has.sum(axis=0).astype(np.int64)
        """[n_relation]: facts of each relation."""
        n_relation = self.table.shape[1]
        self.chain_uses = relation_uses(everything, n_relation)
        """[n_relation]: chains that use each relation, once each."""

        own = np.array([np.isin(np.arange(n_relation), kind.relations) for kind in self.classes], bool)
        self.own = own.reshape(-1, n_relation)
        """[n_class, n_relation]: the first-hop relations of each class."""
        gain = [chains_per_head(kind, self.ranges, self.has) for kind in self.classes]
        self.gain = np.array(gain).reshape(-1, n_relation)
        """[n_class, n_relation]: chains using each relation that a head of the class adds."""

    def limits(self) -> npt.NDArray[np.float64]:
        """[n_relation]: what phi_r tends to with heads of the best class; infinite where only chains are added."""
        tends = np.where(self.own, self.gain, np.where(self.gain > 0, np.inf, 0.0))
        return np.maximum(tends.max(axis=0, initial=0.0), self.chain_uses / np.maximum(self.facts, 1))


class Drawing:
    """Heads drawn so far, in blocks of one class, with the contexts and ratios that they bring about."""

    def __init__(self, plan: Plan, false_share: float, *, twins: bool, seed: int) -> None:
        self.plan = plan
        self.false_share = false_share
        self.twins = twins
        """False links lead to twins, and bring no context to a real fact."""
        n_bridge = len(np.unique(np.concatenate([*plan.ranges.values(), np.empty(0, np.int64)])))
        self.block = max(4, n_bridge // 64)
        self.links_draws, self.false_draws = stream(seed, "links"), stream(seed, "false links")
        self.limit = plan.limits()
        self.kinds: list[int] = []
        """Class of each head."""
        self.links: list[Int32] = []
        """Parts [n, 4]: head's number, r1, bridge, whether the link is false."""
        self.weighed = plan.rarest.astype(np.float64)
        """Contexts as drawn, in whatever world: so that the draws are those of the true world."""
        self.served = plan.rarest.astype(np.float64)
        """Contexts that real facts have."""
        self.facts, self.chain_uses = plan.facts.copy(), plan.chain_uses.copy()
        self.has_twin = np.zeros(len(plan.graph.entities), bool)
        self.n_chain = len(plan.real_chains)
        self.turns = np.zeros(len(plan.classes))
        self.members = np.array([kind.members for kind in plan.classes], np.float64)

    def neediest(self, phi: float, contexts: int) -> int | None:
        """The class whose next head does the largest part of what is left to do; None when none can do any.

        What is left: chains missing for each relation that can reach `phi`, and bridges with too few contexts.
        """
        missing = phi * self.facts - self.chain_uses
        low = (missing > 0) & (self.limit > REACH * phi)
        done = ((self.plan.gain - phi * self.plan.own) / np.maximum(missing, 1.0))[:, low].sum(axis=1)
        starved = {r: self.served[bridges] < contexts for r, bridges in self.plan.ranges.items()}
        left = np.zeros(len(self.served), bool)
        for relation, bridges in self.plan.ranges.items():
            left[bridges[starved[relation]]] = True
        has_starved = np.zeros(self.plan.own.shape[1])
        has_starved[[relation for relation, hungry in starved.items() if hungry.any()]] = 1.0
        done += self.plan.own @ has_starved / max(int(left.sum()), 1)
        best = int(done.argmax())
        return best if done[best] > 0 else None

    def next_in_turn(self) -> int:
        """Classes take turns in proportion to their members."""
        return int(((self.turns + 1) / self.members).argmin())

    def draw(self, position: int) -> None:
        """One block of heads of a class."""
        kind = self.plan.classes[position]
        self.turns[position] += 1
        first = len(self.kinds)
        self.kinds += [position] * self.block
        numbers = np.arange(first, first + self.block)
        for relation in kind.relations:
            bridges = self._weighted(self.plan.ranges[relation])
            false = self.false_draws.random(self.block) < self.false_share
            self.links.append(
                np.stack([numbers, np.full(self.block, relation), bridges, false], axis=1).astype(np.int32)
            )
            self._account(relation, bridges, false)
        if self.n_chain > MAX_CHAINS:
            raise UserError(
                f"augmentation: more than {MAX_CHAINS:,} chains are needed for the target. "
                "Ask for a lower phi, fewer contexts or a number of heads."
            )

    def _weighted(self, bridges: Ids) -> Ids:
        have = self.weighed[bridges]
        # Beyond 30 halvings a weight is lost against 1 anyway; the floor keeps every bridge possible.
        weights = np.exp2(-np.minimum(have - have.min(), 30.0)).cumsum()
        return bridges[np.searchsorted(weights, self.links_draws.random(self.block) * weights[-1], side="right")]

    def _account(self, relation: int, bridges: Ids, false: Bool) -> None:
        carried = self.plan.has[bridges]
        np.add.at(self.weighed, bridges, 1)
        real = bridges[~false] if self.twins else bridges
        np.add.at(self.served, real, 1)
        if self.twins:
            fresh = np.unique(bridges[false])
            fresh = fresh[~self.has_twin[fresh]]
            self.has_twin[fresh] = True
            self.facts += self.plan.has[fresh].sum(axis=0)
        added = carried.sum(axis=0)
        self.n_chain += int(added.sum())
        self.chain_uses += added
        self.chain_uses[relation] += added.sum() - added[relation]
        self.facts[relation] += len(bridges)

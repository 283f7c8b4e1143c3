"""Synthetic facts that push a sparse graph past the ratio at which the two-hop circuit forms.

Source: Abramov, Steinbauer, Kasneci, ICML 2025, arXiv:2504.20752. The paper lets a language model invent facts; here
synthetic heads are drawn, which needs no text and reaches any ratio:
  1  find the classes of heads and, for each first-hop relation, its range: the bridges that it leads to
  2  invent a head of a class; for each first-hop relation of the class draw a bridge from the range, the sooner the
     fewer contexts (training chains through it as second hop) its rarest fact has: weight 2^-contexts
  3  add the facts (head, r1, bridge) and every chain (head, r1, bridge, r2, tail) that follows from them
  4  go on until every second-hop fact has `contexts` contexts and every relation that can has phi_r >= `phi`
  5  where too few relations leave the bridges, synthetic relations (random total functions on the bridges) are added

Three worlds, equal in heads and draws for one seed:
  true              bridges are real, so the second hop of every synthetic chain is a real fact
  false_consistent  `false_share` of the links lead to a *twin* of the bridge instead: a synthetic entity that carries
                    the bridge's relations with wrong tails. Facts and chains agree with each other and contradict
                    reality. (The invented heads alone cannot be false: nothing is true of them.)
  inconsistent      `false_share` of the synthetic facts name another bridge than the one that their chains go through:
                    the negative control. The chains are those of the true world.
Real facts are never altered, real ids stay, and every fact and chain says where it comes from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from wheatstone.bench.errors import UserError
from wheatstone.domains.kg.drawing import REACH, SYNTHETIC_RELATION, Drawing, Plan
from wheatstone.domains.kg.graph import Bool, Chains, Graph, Int32, extended, facts_of
from wheatstone.domains.kg.load import SYNTHETIC_PREFIX
from wheatstone.domains.kg.phi import relation_uses
from wheatstone.domains.kg.streams import stream

World = Literal["true", "false_consistent", "inconsistent"]
UInt8 = npt.NDArray[np.uint8]
REAL, SYNTHETIC = 0, 1
TWIN = f"{SYNTHETIC_PREFIX}twin of "


@dataclass(frozen=True)
class Unreachable:
    """A relation that augmentation cannot bring to the target."""

    relation: str
    phi: float
    """Reached."""
    limit: float
    """What more heads tend to."""


@dataclass(frozen=True)
class Augmented:
    """A graph with synthetic facts. Real entities, relations and facts come first, with their ids."""

    graph: Graph
    provenance: UInt8
    """[n_fact]: REAL or SYNTHETIC, in the order of `graph.triples`."""
    is_false: Bool
    """[n_fact]: contradicts reality (false_consistent) or the chains (inconsistent)."""
    is_synthetic_entity: Bool
    chains: Chains
    """All training chains: the real ones first, as they were given."""
    chain_provenance: UInt8
    """[n_chain]: SYNTHETIC when any part of the chain is."""
    heads: int
    """Synthetic heads."""
    unreachable: tuple[Unreachable, ...]
    log: tuple[str, ...]
    """What was done, one line a step, for the report."""

    @property
    def synthetic_chains(self) -> Chains:
        return self.chains[self.chain_provenance == SYNTHETIC]

    @property
    def phi(self) -> float:
        """Training chains for each fact, real and synthetic."""
        return len(self.chains) / len(self.graph.triples)


def augment(
    graph: Graph,
    *,
    phi: float = 8.0,
    contexts: int = 8,
    heads: int | None = None,
    max_heads: int = 20_000,
    world: World = "true",
    false_share: float = 0.5,
    synthetic_relations: int = 0,
    train_chains: Chains | None = None,
    held_out: Bool | None = None,
    seed: int,
) -> Augmented:
    """Add synthetic heads, with their facts and chains, until the targets are met.

    Args:
        phi: chains for each fact that every relation which can shall reach.
        contexts: training chains that shall use each second-hop fact.
        heads: add exactly so many heads instead; fewer heads are the first of more.
        max_heads: stop after so many, whatever is left to do; the log says it.
        false_share: share of the synthetic links that are false, in the worlds that have any.
        synthetic_relations: random relations on the bridges to add.
        train_chains: the real chains that training has; None for all of them.
        held_out: [n_entity, n_relation], facts that no training chain may use.

    Raises UserError for a graph without a two-hop chain, and when more chains would be needed than are held at once.
    """
    plan = Plan(graph, synthetic_relations, train_chains, held_out, seed)
    if not plan.classes:
        raise UserError("augmentation: the graph has no two-hop chain, so there is no bridge to lead to.")
    share = 0.0 if world == "true" else false_share
    drawing = Drawing(plan, share, twins=world == "false_consistent", seed=seed)
    if heads is None:
        while (kind := drawing.neediest(phi, contexts)) is not None and len(drawing.kinds) < max_heads:
            drawing.draw(kind)
        wanted = min(len(drawing.kinds), max_heads)
        stopped = kind is not None
    else:
        while len(drawing.kinds) < heads:
            drawing.draw(drawing.next_in_turn())
        wanted, stopped = heads, False
    result = _assemble(plan, drawing, wanted, _linked(plan, drawing, wanted, world, seed))
    log = _account(result, plan, phi, contexts)
    if stopped:
        log.append(
            f"stopped at {wanted:,} heads with targets unmet: ask for more, for a lower phi or for fewer contexts"
        )
    missed = _missed(result, drawing, phi)
    log += [f"'{item.relation}' stays at phi {item.phi:.2f}: it tends to {item.limit:.2f}" for item in missed]
    return replace(result, unreachable=missed, log=tuple(log))


class _Links(NamedTuple):
    """The synthetic links of one world, and what had to be invented for them."""

    taken: Int32
    """[n, 3]: facts (head, r1, bridge) that the chains go through."""
    stated: Int32
    """[n, 3]: the same facts as the graph states them."""
    is_false: Bool
    """[n]: stated otherwise than taken."""
    twins: Int32
    """Real bridges that have a twin."""
    twin_facts: Int32
    twin_is_false: Bool
    """Tails other than the bridge's own."""


def _linked(plan: Plan, drawing: Drawing, n_head: int, world: World, seed: int) -> _Links:
    """The links of the first `n_head` heads, told as `world` wants them."""
    n_real = len(plan.graph.entities)
    links = np.concatenate([np.empty((0, 4), np.int32), *drawing.links])
    links = links[links[:, 0] < n_head]
    links = links[np.lexsort((links[:, 1], links[:, 0]))]
    chosen = links[:, 3] == 1
    taken = links[:, :3] + np.array([n_real, 0, 0], np.int32)
    true = np.zeros(len(taken), bool)
    nothing = np.empty(0, np.int32)
    if world == "inconsistent":
        stated = taken.copy()
        stated[chosen, 2] = _other_bridges(plan, taken[chosen], stream(seed, "other bridges"))
        lies = stated[:, 2] != taken[:, 2]
        return _Links(taken, stated, lies, nothing, nothing.reshape(0, 3), nothing.astype(bool))
    if world == "false_consistent":
        twins = np.unique(taken[chosen, 2])
        twin_id = np.full(n_real, -1, np.int32)
        twin_id[twins] = n_real + n_head + np.arange(len(twins), dtype=np.int32)
        taken[chosen, 2] = twin_id[taken[chosen, 2]]
        return _Links(taken, taken, true, twins, *_twin_facts(plan, twins, twin_id, stream(seed, "twins")))
    return _Links(taken, taken, true, nothing, nothing.reshape(0, 3), nothing.astype(bool))


def _assemble(plan: Plan, drawing: Drawing, n_head: int, links: _Links) -> Augmented:
    """Graph, chains and provenance of the first `n_head` heads."""
    graph = plan.graph
    n_real = len(graph.entities)
    n_entity = n_real + n_head + len(links.twins)
    second = np.concatenate([facts_of(plan.table), links.twin_facts])
    every_chain = Chains.joined(
        [plan.real_chains, plan.relation_chains, extended(links.taken, second, n_entity=n_entity)]
    )
    added = np.concatenate([plan.synthetic_facts, links.stated, links.twin_facts])
    lies = np.concatenate([np.zeros(len(plan.synthetic_facts), bool), links.is_false, links.twin_is_false])
    kinds = [plan.classes[position].name for position in drawing.kinds[:n_head]]
    counts: dict[str, int] = {}
    names: list[str] = []
    for kind in kinds:
        names.append(f"{SYNTHETIC_PREFIX}{kind}:{counts.get(kind, 0)}")
        counts[kind] = counts.get(kind, 0) + 1
    names += [TWIN + graph.entities[bridge] for bridge in links.twins.tolist()]
    relations = [f"{SYNTHETIC_RELATION}{k}" for k in range(plan.table.shape[1] - len(graph.relations))]
    whole = Graph(
        (*graph.entities, *names),
        (*graph.relations, *relations),
        np.concatenate([graph.triples, added]),
        (*graph.classes, *kinds, *[""] * len(links.twins)) if graph.classes else (),
    )
    return Augmented(
        whole,
        _provenance(len(graph.triples), len(added)),
        np.concatenate([np.zeros(len(graph.triples), bool), lies]),
        np.arange(n_entity) >= n_real,
        every_chain,
        _provenance(len(plan.real_chains), len(every_chain) - len(plan.real_chains)),
        n_head,
        (),
        (),
    )


def _provenance(n_real: int, n_synthetic: int) -> UInt8:
    return np.repeat(np.array([REAL, SYNTHETIC], np.uint8), [n_real, n_synthetic])


def _other_bridges(plan: Plan, links: Int32, draws: np.random.Generator) -> Int32:
    """For each link another bridge of its relation's range, or its own where there is no other."""
    other = links[:, 2].copy()
    for relation, bridges in plan.ranges.items():
        chosen = np.flatnonzero(links[:, 1] == relation)
        if len(chosen) and len(bridges) > 1:
            # A shift by 1..n-1 along the range never comes back to the link's own bridge.
            shift = draws.integers(1, len(bridges), len(chosen))
            other[chosen] = bridges[(np.searchsorted(bridges, links[chosen, 2]) + shift) % len(bridges)]
    return other


def _twin_facts(plan: Plan, twins: Int32, twin_id: Int32, draws: np.random.Generator) -> tuple[Int32, Bool]:
    """Facts [n, 3] of the twins and which of them contradict the bridge's own: all, but for one-tailed relations."""
    bridge, relation = np.nonzero(plan.has[twins])
    truth = plan.table[twins[bridge], relation]
    tails = truth.copy()
    for r in np.unique(relation).tolist():
        rows = np.flatnonzero(relation == r)
        known = np.unique(plan.table[plan.has[:, r], r])
        if len(known) > 1:
            shift = draws.integers(1, len(known), len(rows))
            tails[rows] = known[(np.searchsorted(known, truth[rows]) + shift) % len(known)]
    return np.stack([twin_id[twins[bridge]], relation, tails], axis=1).astype(np.int32), tails != truth


def _reached(result: Augmented) -> npt.NDArray[np.float64]:
    """[n_relation]: training chains that use each relation, for each fact of it."""
    n_relation = len(result.graph.relations)
    facts = np.bincount(result.graph.triples[:, 1], minlength=n_relation)
    return relation_uses(result.chains, n_relation) / np.maximum(facts, 1)


def _missed(result: Augmented, drawing: Drawing, phi: float) -> tuple[Unreachable, ...]:
    """The relations that stay below the target whatever is added."""
    reached = _reached(result)
    below = np.flatnonzero((reached < phi) & (drawing.limit <= REACH * phi)).tolist()
    return tuple(Unreachable(result.graph.relations[r], float(reached[r]), float(drawing.limit[r])) for r in below)


def _account(result: Augmented, plan: Plan, phi: float, contexts: int) -> list[str]:
    """What was added and what came of it, one line a thing."""
    n_old, n_new = len(plan.graph.triples), len(result.graph.triples)
    uses = np.zeros(plan.table.shape, np.int64)
    through = result.chains[result.chains.bridge < len(plan.graph.entities)]
    np.add.at(uses, (through.bridge, through.r2), 1)
    bridges = np.unique(np.concatenate(list(plan.ranges.values())))
    counts = uses[bridges][plan.has[bridges]]
    reached = _reached(result)
    kinds = f"{len(plan.classes)} kind{'s' if len(plan.classes) > 1 else ''}"
    return [
        f"{result.heads:,} synthetic heads of {kinds}: {n_new - n_old:,} facts and "
        f"{len(result.synthetic_chains):,} chains added",
        f"chains for each fact: {len(plan.real_chains) / n_old:.2f} before, {result.phi:.2f} after",
        f"relations at phi {phi:g} or more: {int((reached >= phi).sum())} of {len(reached)}",
        f"contexts of a second-hop fact: at least {counts.min():,}, {counts.mean():.1f} on average (target {contexts})",
    ]

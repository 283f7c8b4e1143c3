"""Classes of heads: which relations lead from an entity to a bridge, so that an invented entity can carry them too.

The class is the user's own type of an entity where the file gives one. Else it is the entity's *signature*, the set of
first-hop relations that it carries; the most common signatures are kept until every first-hop relation is in one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wheatstone.domains.kg.graph import Bool, Graph, Int32

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class HeadClass:
    """A kind of entity that can start a chain."""

    name: str
    relations: tuple[int, ...]
    """First-hop relations, by id."""
    members: int
    """Real entities of the class."""


def first_hop(table: Int32, available: Bool) -> Bool:
    """[n_entity, n_relation]: the available facts whose tail has an available fact of its own."""
    has_outgoing: Bool = np.any(available, axis=1)
    return available & has_outgoing[np.where(available, table, 0)]


def bridge_ranges(table: Int32, leads: Bool) -> dict[int, Ids]:
    """The distinct bridges that each first-hop relation leads to, sorted."""
    relations = np.flatnonzero(leads.any(axis=0)).tolist()
    return {relation: np.unique(table[leads[:, relation], relation]).astype(np.int64) for relation in relations}


def chains_per_head(kind: HeadClass, ranges: Mapping[int, Ids], has: Bool) -> npt.NDArray[np.float64]:
    """[n_relation]: chains using each relation that a new head of the class adds, bridges drawn evenly.

    For r among the relations of the class that is the out-degree of r's own bridge; for any r, one chain for each other
    bridge of the head that carries r.

    Args:
        has: [n_entity, n_relation], the facts that can be a second hop.
    """
    gain = np.zeros(has.shape[1])
    for relation in kind.relations:
        carried = has[ranges[relation]]
        gain += carried.mean(axis=0)
        gain[relation] += carried.sum(axis=1).mean() - carried[:, relation].mean()
    return gain


def head_classes(graph: Graph, leads: Bool) -> tuple[HeadClass, ...]:
    """The classes of a graph, largest first; empty when no fact leads to another.

    Args:
        leads: [n_entity, n_relation], as `first_hop` gives it.
    """
    starts = leads.any(axis=1)
    kinds = np.array(graph.classes if graph.classes else [""] * len(graph.entities), object)
    found: list[HeadClass] = []
    for kind in sorted(set(kinds[starts].tolist()) - {""}):
        members = starts & (kinds == kind)
        relations = tuple(np.flatnonzero(leads[members].any(axis=0)).tolist())
        found.append(HeadClass(kind, relations, int(members.sum())))
    covered = {relation for kind in found for relation in kind.relations}
    untyped = leads[starts & (kinds == "")]
    if len(untyped):
        found += _signatures(untyped, covered, taken={kind.name for kind in found})
    return tuple(sorted(found, key=lambda kind: (-kind.members, kind.name)))


def _signatures(leads: Bool, covered: set[int], taken: set[str]) -> list[HeadClass]:
    """The most common signatures, each with a relation that no class before it has."""
    packed, counts = np.unique(np.packbits(leads, axis=1), axis=0, return_counts=True)
    signatures = np.unpackbits(packed, axis=1, count=leads.shape[1]).astype(bool)
    kept: list[HeadClass] = []
    for position in np.lexsort((np.arange(len(counts)), -counts)).tolist():
        relations = tuple(np.flatnonzero(signatures[position]).tolist())
        if covered.issuperset(relations):
            continue
        covered.update(relations)
        name = f"kind{len(kept)}"
        while name in taken:
            name += "_"
        kept.append(HeadClass(name, relations, int(counts[position])))
    return kept

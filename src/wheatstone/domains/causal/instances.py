"""Questions about small causal graphs, drawn as arrays: chains, flipped chains and branching graphs.

The structures are those of Vashishtha et al. 2025 (arXiv:2407.07612): chains of n nodes whose edges all point one way,
chains whose edges are flipped with probability 0.5 each, and branching graphs, undirected G(n, m) with m = int(b n)
edges oriented along a random order. Node names are drawn without repeats for each question: released test sets of the
paper name two nodes alike now and then, which closes a cycle and makes the label wrong.

Two ways of asking. `by_label` is the paper's: a pair drawn uniformly among those with the wanted answer; on flipped
chains most positive pairs are then one hop apart, so that "yes if the edge is written" is hard to beat. `by_distance`
draws distance and answer first and the chain around them, so that positive pairs are equally often 1, 2, ... n - 1 hops
apart and written edges tell nothing about pairs of two hops and more. Of d-separation asked as published, most negative
pairs are adjacent, and "yes if not adjacent" is hard to beat: `separations` can leave adjacent pairs out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from wheatstone.domains.causal.closure import Bools, Ints, d_connected, hops, undirected_hops

Rng = np.random.Generator
Structure = Literal["chain", "reversed", "flipped", "branching"]
AGAINST, INSIDE = 1 / 3, 1 / 3
"""Of the negative questions by distance: the share whose path points the wrong way throughout, and the share whose path
begins and ends in the right direction and is broken between (three hops and more). Others are broken anywhere."""
MAX_ROUNDS = 200
"""Rounds of drawing until there are enough questions of both answers."""


@dataclass(frozen=True)
class Instances:
    """Questions with their graphs and answers. Nodes are numbered 0 .. n - 1; statements are kept in written order."""

    n_node: int
    edges: Ints
    """[question, edge, 2] cause and effect in the order of writing; -1 where a graph has fewer edges than others."""
    question: Ints
    """[question, 2] what is asked: does the first reach the second, or are they d-separated."""
    given: Bools
    """[question, node] conditioned on (d-separation only)."""
    answer: Bools
    """[question] the right answer is yes."""
    distance: Ints
    """[question] hops between the two, along the arrows where there is such a path, else along any edges; -1: none."""

    def __len__(self) -> int:
        return len(self.answer)

    def adjacency(self) -> Bools:
        """[question, i, j] the graphs as matrices."""
        return adjacency_of(self.edges, self.n_node)

    def take(self, rows: Ints | Bools) -> Instances:
        """Some of the questions."""
        return Instances(
            self.n_node,
            self.edges[rows],
            self.question[rows],
            self.given[rows],
            self.answer[rows],
            self.distance[rows],
        )


class Chosen(NamedTuple):
    """Pairs of nodes that are asked about."""

    pairs: Ints
    is_possible: Bools
    """Whether the graph has a pair with the wanted answer at all."""


def adjacency_of(edges: Ints, n_node: int) -> Bools:
    """[graph, i, j] matrices of edge lists [graph, edge, 2] padded with -1."""
    found = np.zeros((len(edges), n_node, n_node), bool)
    row, column = np.nonzero(edges[..., 0] >= 0)
    found[row, edges[row, column, 0], edges[row, column, 1]] = True
    return found


def chains_by_distance(n: int, n_node: int, rng: Rng, structure: Structure) -> Instances:
    """Transitivity questions on chains, balanced over answer and distance. Raises ValueError for branching graphs."""
    distance = rng.integers(1, n_node, n)
    start = (rng.random(n) * (n_node - distance)).astype(np.int64)
    yes, forward = rng.random(n) < 0.5, rng.random(n) < 0.5
    if structure == "flipped":
        orientation = _around(start, distance, yes, forward, n_node, rng)
    elif structure == "branching":
        raise ValueError("a branching graph cannot be built around a path; ask `by_label`")
    else:
        points_on = structure == "chain"
        forward = yes == points_on
        orientation = np.full((n, n_node - 1), points_on)
    ends = np.stack([start, start + distance], 1)
    question = np.where(forward[:, None], ends, ends[:, ::-1])
    return Instances(n_node, chain_edges(orientation), question, np.zeros((n, n_node), bool), yes, distance)


def _around(start: Ints, distance: Ints, yes: Bools, forward: Bools, n_node: int, rng: Rng) -> Bools:
    """[chain, edge] orientations with an unbroken path over the asked distance where the answer is yes, else none."""
    n, place = len(start), np.arange(n_node - 1)
    between = (place >= start[:, None]) & (place < (start + distance)[:, None])
    kind = rng.random(n)
    against = ~yes & (kind < AGAINST)
    inside = ~yes & (kind > 1 - INSIDE) & (distance > 2)
    at_ends = (place == start[:, None]) | (place == (start + distance - 1)[:, None])
    right_way = (between & yes[:, None]) | (at_ends & inside[:, None])
    orientation = rng.random((n, n_node - 1)) < 0.5
    orientation = np.where(right_way, forward[:, None], orientation)
    orientation = np.where(between & against[:, None], ~forward[:, None], orientation)
    # A path that was to be broken and happens to be whole: one edge of it is turned.
    turned = np.where(
        inside, start + 1 + (rng.random(n) * (distance - 2)).astype(np.int64), start + (rng.random(n) * distance)
    ).astype(np.int64)
    mend = ~yes & ((orientation == forward[:, None]) | ~between).all(1)
    orientation[mend, turned[mend]] = ~forward[mend]
    return orientation


def chain_edges(orientation: Bools) -> Ints:
    """[chain, edge, 2] the edges of chains along their nodes; True points from node i to node i + 1."""
    left = np.broadcast_to(np.arange(orientation.shape[1]), orientation.shape)
    return np.where(orientation[..., None], np.stack([left, left + 1], -1), np.stack([left + 1, left], -1)).astype(
        np.int64
    )


def structures(n: int, n_node: int, rng: Rng, structure: Structure, branching: float = 1.4) -> Ints:
    """[graph, edge, 2] edges of n random graphs, in the order of writing.

    A chain is written from its cause to its last effect, a reversed one from the last effect to the cause.
    """
    if structure in ("chain", "reversed"):
        return chain_edges(np.full((n, n_node - 1), structure == "chain"))
    if structure == "flipped":
        return chain_edges(rng.random((n, n_node - 1)) < 0.5)
    pairs = np.stack(np.triu_indices(n_node, 1), 1)
    n_edge = min(int(branching * n_node), len(pairs))
    chosen = np.argsort(rng.random((n, len(pairs))), axis=1)[:, :n_edge]
    order = np.argsort(rng.random((n, n_node)), axis=1)
    edges = pairs[chosen]
    return order[np.arange(n)[:, None, None], edges]


def by_label(edges: Ints, n_node: int, rng: Rng) -> Instances:
    """Transitivity questions as the paper asks them; graphs without a pair of the wanted answer are left out."""
    n = len(edges)
    found = hops(adjacency_of(edges, n_node))
    yes = np.arange(n) % 2 == 0
    pairs, is_possible = _choose((found > 0) == yes[:, None, None], rng)
    return _instances(edges, n_node, pairs, np.zeros((n, n_node), bool), yes).take(is_possible)


def separations(edges: Ints, n_node: int, rng: Rng, *, far: bool = False) -> Instances:
    """d-separation questions: a random set of up to n - 2 nodes is given, and a pair outside it is asked.

    `far` asks no pair that an edge joins, which nothing separates. Half of the graphs are searched for a separated
    pair, half for a connected one; those without are left out, so that the answers are not balanced: small graphs
    rarely have a separated pair.
    """
    n = len(edges)
    adjacency = adjacency_of(edges, n_node)
    size = (rng.random(n) * (n_node - 1)).astype(np.int64)
    given = np.argsort(np.argsort(rng.random((n, n_node)), 1), 1) < size[:, None]
    connected = d_connected(adjacency, given)
    yes = np.arange(n) % 2 == 0
    outside = ~given[:, :, None] & ~given[:, None, :]
    if far:
        outside &= ~(adjacency | adjacency.swapaxes(1, 2))
    pairs, is_possible = _choose((connected != yes[:, None, None]) & outside, rng)
    return _instances(edges, n_node, pairs, given, yes).take(is_possible)


def balanced(draw: Callable[[], Instances], n: int, rng: Rng) -> Instances:
    """n questions, half of them (rounded up) with the answer yes, from as many rounds of `draw` as that takes.

    Raises ValueError where one of the answers never comes.
    """
    drawn: list[Instances] = []
    wanted = {True: n - n // 2, False: n // 2}
    for _ in range(MAX_ROUNDS):
        found = draw()
        for answer, missing in wanted.items():
            some = found.take(np.flatnonzero(found.answer == answer)[:missing])
            wanted[answer] -= len(some)
            drawn.append(some)
        if not any(wanted.values()):
            return joined(drawn).take(rng.permutation(n))
    raise ValueError(f"{MAX_ROUNDS} rounds gave too few questions: {wanted} missing")


def joined(parts: Sequence[Instances]) -> Instances:
    """Questions about graphs of one size, one after the other."""
    width = max(part.edges.shape[1] for part in parts)
    edges = [
        np.pad(part.edges, ((0, 0), (0, width - part.edges.shape[1]), (0, 0)), constant_values=-1) for part in parts
    ]
    return Instances(
        parts[0].n_node,
        np.concatenate(edges),
        np.concatenate([part.question for part in parts]),
        np.concatenate([part.given for part in parts]),
        np.concatenate([part.answer for part in parts]),
        np.concatenate([part.distance for part in parts]),
    )


def _choose(wanted: Bools, rng: Rng) -> Chosen:
    """One random pair of different nodes a graph for which `wanted` [graph, i, j] is true."""
    n, n_node, _ = wanted.shape
    wanted = wanted & ~np.eye(n_node, dtype=bool)
    best = np.where(wanted, rng.random(wanted.shape), -1.0).reshape(n, -1).argmax(1)
    return Chosen(np.stack(np.divmod(best, n_node), 1), np.asarray(wanted.reshape(n, -1).any(1), bool))


def _instances(edges: Ints, n_node: int, pairs: Ints, given: Bools, yes: Bools) -> Instances:
    adjacency, rows = adjacency_of(edges, n_node), np.arange(len(edges))
    along = hops(adjacency)[rows, pairs[:, 0], pairs[:, 1]]
    either = undirected_hops(adjacency)[rows, pairs[:, 0], pairs[:, 1]]
    return Instances(n_node, edges, pairs, given, yes, np.where(along > 0, along, either))


def is_held_out(chains: Instances, share: float, salt: int) -> Bools:
    """[question] a fixed random `share` of the shapes of flipped chains of four nodes and more.

    A shape is the orientation of all edges, the places of what is asked and given, without names; read from either end
    it is the same shape. Chains that point one way are not held out: for each distance they have a single shape.
    """
    n_node = chains.n_node
    points_on = chains.edges[..., 0] < chains.edges[..., 1]
    codes: list[Ints] = []
    for bits, question, given in (
        (points_on, chains.question, chains.given),
        (~points_on[:, ::-1], n_node - 1 - chains.question, chains.given[:, ::-1]),
    ):
        digits = np.concatenate([bits, given], 1) @ (1 << np.arange(2 * n_node - 1))
        codes.append((digits * n_node + question[:, 0]) * n_node + question[:, 1])
    code = np.minimum(*codes).astype(np.uint64)
    # Knuth's multiplicative hash: neighbouring codes fall far apart, and no list of shapes is needed.
    mixed = ((code + np.uint64(salt % 2**20)) * np.uint64(2654435761) % np.uint64(2**32)) * np.uint64(2246822519)
    drawn = (mixed % np.uint64(2**32)).astype(np.float64) / 2**32
    one_way = points_on.all(1) | ~points_on.any(1)
    return (drawn < share) & ~one_way & (n_node > 3)

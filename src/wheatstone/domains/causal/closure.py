"""Paths of many small causal graphs at once: who reaches whom, in how many hops, and who is d-connected given what.

A graph is a boolean matrix, `adjacency[i, j]` for an edge from cause i to effect j; all functions take a stack of them.
d-connection walks over (node, direction) states (Shachter 1998; Koller and Friedman 2009, algorithm 3.1): arriving
from a child one may go on anywhere unless the node is conditioned on; arriving from a parent one goes on to children
unless the node is conditioned on, and back to parents if the node or a descendant of it is (a collider that is opened).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def hops(adjacency: Bools) -> Ints:
    """[graph, i, j] length of the shortest directed path from i to j; 0 on the diagonal, -1 where there is none."""
    n_node = adjacency.shape[-1]
    steps = adjacency.astype(np.float32)
    frontier = np.broadcast_to(np.eye(n_node, dtype=np.float32), adjacency.shape).copy()
    found = np.where(frontier > 0, 0, -1).astype(np.int64)
    for length in range(1, n_node):
        frontier = ((frontier @ steps > 0) & (found < 0)).astype(np.float32)
        if not frontier.any():
            break
        found[frontier > 0] = length
    return found


def undirected_hops(adjacency: Bools) -> Ints:
    """`hops` when an edge may be walked both ways."""
    return hops(adjacency | adjacency.swapaxes(-1, -2))


def d_connected(adjacency: Bools, given: Bools) -> Bools:
    """[graph, i, j] whether i and j, both outside `given` [graph, node], are not d-separated by it."""
    n_graph, n_node, _ = adjacency.shape
    reached = hops(adjacency) >= 0
    is_given = given[:, None, :]
    opened = np.asarray((reached & is_given).any(-1))[:, None, :]  # the node or a descendant of it is in `given`
    edges = adjacency.astype(np.float32)
    parents = edges.swapaxes(-1, -2)
    # [graph, i, j] whether a walk from i has come to j from a child of it, or from a parent.
    up, down = np.broadcast_to(np.eye(n_node, dtype=bool), adjacency.shape), np.zeros((n_graph, n_node, n_node), bool)
    while True:
        to_parents = (up & ~is_given) | (down & opened)
        to_children = (up | down) & ~is_given
        new_up = up | (to_parents.astype(np.float32) @ parents > 0)
        new_down = down | (to_children.astype(np.float32) @ edges > 0)
        if (new_up == up).all() and (new_down == down).all():
            return up | down
        up, down = new_up, new_down

"""An and-inverter graph as arrays for a graph network.

Source  ABC-RL (arXiv:2401.12205, code): a node type (input, gate, output), the number of inverted fan-ins as a
        feature, and an edge from each fan-in to its gate.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wheatstone.domains.electronic.logic.aig import Aig, Ints

CONSTANT, INPUT, GATE, OUTPUT = range(4)
N_KINDS = 4


class GraphArrays(NamedTuple):
    """Nodes: the constant, inputs, gates, then one for each output."""

    kinds: Ints
    """(node,): CONSTANT, INPUT, GATE or OUTPUT."""
    inverted: NDArray[np.float32]
    """(node,): how many of the fan-ins are inverted, 0 to 2."""
    edges: Ints
    """(2, edge): fan-in, then what it feeds."""


def graph_arrays(aig: Aig) -> GraphArrays:
    """The graph as arrays."""
    gates = 1 + aig.n_inputs + np.arange(aig.n_gates)
    ends = 1 + aig.n_inputs + aig.n_gates + np.arange(aig.n_outputs)
    kinds = np.repeat([CONSTANT, INPUT, GATE, OUTPUT], [1, aig.n_inputs, aig.n_gates, aig.n_outputs])
    inverted = np.zeros(len(kinds), dtype=np.float32)
    inverted[gates] = (aig.fanins & 1).sum(axis=1)
    inverted[ends] = aig.outputs & 1
    sources = np.concatenate([aig.fanins[:, 0] >> 1, aig.fanins[:, 1] >> 1, aig.outputs >> 1])
    return GraphArrays(kinds.astype(np.int64), inverted, np.stack([sources, np.concatenate([gates, gates, ends])]))

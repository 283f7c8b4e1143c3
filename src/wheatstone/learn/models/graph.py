"""Graph convolutions over circuits: several graphs at once, whose edges are one list.

Source  Kipf, Welling, "Semi-Supervised Classification with Graph Convolutional Networks", ICLR 2017, equation 2: the
        adjacency with self-loops, normalised by the square roots of both degrees. Here edges may have a direction, and
        the degrees are those of the edges that are given.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


@dataclass(frozen=True)
class GraphBatch:
    """Graphs laid end to end."""

    kinds: Int[Tensor, " node"]
    """A node's type."""
    features: Float[Tensor, "node feature"]
    sources: Int[Tensor, " edge"]
    targets: Int[Tensor, " edge"]
    owner: Int[Tensor, " node"]
    """The graph that a node belongs to."""
    n_graphs: int

    @classmethod
    def of(cls, graphs: Sequence[GraphBatch]) -> GraphBatch:
        """All graphs of several batches as one."""
        nodes, count = 0, 0
        sources, targets, owner = list[Tensor](), list[Tensor](), list[Tensor]()
        for graph in graphs:
            sources.append(graph.sources + nodes)
            targets.append(graph.targets + nodes)
            owner.append(graph.owner + count)
            nodes += len(graph.kinds)
            count += graph.n_graphs
        return cls(
            torch.cat([graph.kinds for graph in graphs]),
            torch.cat([graph.features for graph in graphs]),
            torch.cat(sources),
            torch.cat(targets),
            torch.cat(owner),
            count,
        )


class GraphConvolution(nn.Module):
    """One layer: a weighted mean over a node and the sources of its edges, then a linear map."""

    def __init__(self, d_in: int, d_out: int, init: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(d_out, d_in))
        self.bias = nn.Parameter(torch.zeros(d_out))
        with torch.no_grad():
            nn.init.kaiming_uniform_(self.weight, a=5**0.5, generator=init)

    def forward(
        self, x: Float[Tensor, "node d_in"], sources: Int[Tensor, " edge"], targets: Int[Tensor, " edge"]
    ) -> Float[Tensor, "node d_out"]:
        ones = torch.ones(len(sources))
        into = torch.ones(len(x)).index_add(0, targets, ones)
        out_of = torch.ones(len(x)).index_add(0, sources, ones)
        weight = (into[targets] * out_of[sources]).rsqrt()
        own = x * (into * out_of).rsqrt()[:, None]
        return F.linear(own.index_add(0, targets, x[sources] * weight[:, None]), self.weight, self.bias)


class GraphEncoder(nn.Module):
    """A vector for each graph: node types and features, convolutions, mean and maximum over the nodes."""

    def __init__(
        self, n_kinds: int, n_features: int, width: int, layers: int, init: torch.Generator, d_kind: int = 3
    ) -> None:
        super().__init__()
        self.kinds = nn.Parameter(torch.empty(n_kinds, d_kind))
        with torch.no_grad():
            self.kinds.normal_(0.0, 1.0, generator=init)
        sizes = [d_kind + n_features, *[width] * layers]
        pairs = itertools.pairwise(sizes)
        self.layers = nn.ModuleList([GraphConvolution(d_in, d_out, init) for d_in, d_out in pairs])
        self.d_out = 2 * width

    def forward(self, graphs: GraphBatch) -> Float[Tensor, "graph d_out"]:
        x = torch.cat([F.embedding(graphs.kinds, self.kinds), graphs.features], dim=1)
        for layer in self.layers:
            x = F.relu(layer(x, graphs.sources, graphs.targets))
        owner, width = graphs.owner[:, None].expand_as(x), x.shape[1]
        empty = x.new_zeros(graphs.n_graphs, width)
        mean = empty.scatter_reduce(0, owner, x, "mean", include_self=False)
        largest = empty.scatter_reduce(0, owner, x, "amax", include_self=False)
        return torch.cat([mean, largest], dim=1)

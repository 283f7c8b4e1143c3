"""Graph convolutions: the paper's formula on a dense matrix, and graphs that do not see each other."""

from __future__ import annotations

import torch

from wheatstone.learn.models.graph import GraphBatch, GraphConvolution, GraphEncoder


def random_graph(seed: int, nodes: int = 9, edges: int = 20) -> GraphBatch:
    random = torch.Generator().manual_seed(seed)
    ends = torch.randint(nodes, (2, edges), generator=random)
    kinds = torch.randint(3, (nodes,), generator=random)
    features = torch.randn(nodes, 2, generator=random)
    return GraphBatch(kinds, features, ends[0], ends[1], torch.zeros(nodes, dtype=torch.int64), 1)


def test_a_layer_is_the_normalised_adjacency() -> None:
    graph, x = random_graph(0), torch.randn(9, 4)
    layer = GraphConvolution(4, 5, torch.Generator().manual_seed(1))
    adjacency = torch.eye(9)
    for source, target in zip(graph.sources, graph.targets, strict=True):
        adjacency[target, source] += 1
    into, out_of = adjacency.sum(dim=1), adjacency.sum(dim=0)
    dense = adjacency * (into[:, None] * out_of[None]).rsqrt()
    expected = dense @ x @ layer.weight.T + layer.bias
    torch.testing.assert_close(layer(x, graph.sources, graph.targets), expected)


def test_a_graph_does_not_see_its_company() -> None:
    encoder = GraphEncoder(3, 2, 8, 2, torch.Generator().manual_seed(0))
    graphs = [random_graph(seed, nodes=5 + seed) for seed in range(4)]
    alone = torch.cat([encoder(graph) for graph in graphs])
    torch.testing.assert_close(encoder(GraphBatch.of(graphs)), alone)
    assert alone.shape == (4, encoder.d_out)


def test_the_order_of_nodes_does_not_matter() -> None:
    encoder, graph = GraphEncoder(3, 2, 8, 2, torch.Generator().manual_seed(0)), random_graph(5)
    order = torch.randperm(9)
    place = torch.argsort(order)
    moved = GraphBatch(
        graph.kinds[order], graph.features[order], place[graph.sources], place[graph.targets], graph.owner, 1
    )
    torch.testing.assert_close(encoder(moved), encoder(graph))

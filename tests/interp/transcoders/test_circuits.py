"""Attributions add up, agree with the frozen model's gradient, and the weights' part does not move with the prompt."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from torch import Tensor

from wheatstone.bench.errors import UserError
from wheatstone.interp.transcoders.anatomy import Model, anatomy_of
from wheatstone.interp.transcoders.attribution import direct, one_hop, relative_error, total
from wheatstone.interp.transcoders.connections import (
    boosted,
    connection_table,
    connections,
    deembed,
    reading_of,
    table_hash,
    top_tokens,
)
from wheatstone.interp.transcoders.dictionary import Dictionary, DictionaryConfig, random_dictionary
from wheatstone.interp.transcoders.frozen import Frozen, freeze
from wheatstone.interp.transcoders.graph import FeatureGraph, build_graph
from wheatstone.learn.models.decoder import Decoder, DecoderConfig
from wheatstone.learn.models.transformer import Transformer, TransformerConfig

WIDTH, VOCAB = 16, 30


def model_of(kind: str) -> Model:
    """Random models with biases and gains far from their start, so that a forgotten one shows."""
    g = torch.Generator().manual_seed(0)
    if kind == "gpt2":
        model: Model = Transformer(TransformerConfig(VOCAB, 12, WIDTH, n_layer=3, n_head=4), g)
    else:
        cfg = DecoderConfig(VOCAB, 12, WIDTH, n_layer=3, n_head=4, n_kv_head=2, d_head=4, d_mlp=32)
        model = Decoder(cfg, g)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=g))
    return model.eval()


def transcoders(layers: tuple[int, ...] = (0, 1, 2)) -> dict[int, Dictionary]:
    g = torch.Generator().manual_seed(3)
    found: dict[int, Dictionary] = {}
    for layer in layers:
        made = random_dictionary(DictionaryConfig(WIDTH, WIDTH, 64, k=5, skip=layer == 1), g)
        skip = None if made.W_skip is None else 0.3 * torch.randn(made.W_skip.shape, generator=g)
        b_enc, b_dec = torch.randn(64, generator=g), torch.randn(WIDTH, generator=g)
        found[layer] = dataclasses.replace(made, b_enc=b_enc, b_dec=b_dec, W_skip=skip)
    return found


def prompt(seed: int, length: int = 8) -> Tensor:
    return torch.randint(0, VOCAB, (length,), generator=torch.Generator().manual_seed(seed))


KINDS = pytest.mark.parametrize("kind", ["gpt2", "llama"])


@KINDS
@pytest.mark.parametrize("layers", [(0, 1, 2), (0, 2), (1,), ()])
def test_contributions_add_up_to_the_target(kind: str, layers: tuple[int, ...]) -> None:
    model = model_of(kind)
    frozen = freeze(model, prompt(5), transcoders(layers))
    with torch.no_grad():
        logits = model(frozen.tokens[None])[0]
    difference = frozen.anatomy.unembedding[3] - frozen.anatomy.unembedding[4]
    readings = [frozen.logits(difference, 7, "3 - 4")]
    assert readings[0].value == pytest.approx((logits[7, 3] - logits[7, 4]).item(), rel=1e-4)
    for layer, tc in frozen.transcoders.items():
        position, feature = tc.z.nonzero()[-1].tolist()
        readings.append(frozen.feature(layer, position, feature))
        assert readings[-1].value == pytest.approx(tc.z[position, feature].item(), rel=1e-5)
    for reading in readings:
        assert relative_error(direct(frozen, reading), reading) < 1e-5
        assert relative_error(one_hop(frozen, reading), reading) < 1e-5
        without = direct(frozen, reading)
        without.errors.clear()
        without.unmodelled.clear()
        if reading.below > 0:  # the errors are a part of the sum: without them it must miss
            assert relative_error(without, reading) > 1e-3


@KINDS
def test_contributions_are_the_gradient_of_the_model_with_frozen_attention_and_norms(kind: str) -> None:
    """An independent way: autograd through a forward pass whose patterns and scales are constants."""
    model = model_of(kind)
    tcs = transcoders()
    frozen = freeze(model, prompt(6), tcs)
    reading = frozen.logits(frozen.anatomy.unembedding[2], 6, "2")
    z = {layer: tc.z.clone().requires_grad_() for layer, tc in frozen.transcoders.items()}
    value = replayed(frozen, z, reading.g, 6)
    grads = torch.autograd.grad(value, list(z.values()))
    found = direct(frozen, reading)
    for (layer, active), grad in zip(z.items(), grads, strict=True):
        assert torch.allclose(found.features[layer], active.detach() * grad, atol=1e-9), layer
    assert value.item() + reading.constant == pytest.approx(reading.value, rel=1e-6)


def replayed(frozen: Frozen, z: dict[int, Tensor], g: Tensor, position: int) -> Tensor:
    x = frozen.embedded
    for layer, (parts, one) in enumerate(zip(frozen.anatomy.blocks, frozen.layers, strict=True)):
        norm, tc = parts.norm_attn, frozen.transcoders[layer]
        normed = norm.centre(x) / one.scale_attn * norm.gain + (0 if norm.bias is None else norm.bias)
        values = torch.einsum("pd,hdf->hpf", normed, parts.v) + parts.v_bias[:, None]
        x = x + torch.einsum("hpf,hfd->pd", one.pattern @ values, parts.o) + parts.o_bias
        assert parts.norm_mlp is not None
        norm = parts.norm_mlp
        read = norm.centre(x) / one.scale_mlp * norm.gain + (0 if norm.bias is None else norm.bias)
        predicted = z[layer] @ tc.W_dec + tc.b_dec + (0 if tc.W_skip is None else read @ tc.W_skip)
        x = x + torch.cat([one.output[:1], predicted[1:] + tc.error[1:]])
    return x[position] @ g


@KINDS
def test_total_passes_through_active_features(kind: str) -> None:
    """The total effect of the first layer's features, by hand for two layers: direct, and by way of the second's."""
    model = model_of(kind)
    tcs = transcoders((0, 2))
    frozen = freeze(model, prompt(7), tcs)
    reading = frozen.logits(frozen.anatomy.unembedding[1], 7, "1")
    by_hand = direct(frozen, reading).features[0].clone()
    outer = direct(frozen, reading).features[2]
    for position, feature in frozen.transcoders[2].z.nonzero().tolist():
        inner = direct(frozen, frozen.feature(2, position, feature)).features[0]
        by_hand += inner * (outer[position, feature] / frozen.transcoders[2].z[position, feature])
    assert torch.allclose(total(frozen, reading).features[0], by_hand, atol=1e-9)


@KINDS
def test_the_weights_part_of_an_edge_is_the_same_for_every_prompt(kind: str) -> None:
    """Contribution x scale / activation, read off two prompts, is the connection table's entry."""
    model = model_of(kind)
    tcs = transcoders((0, 2))
    anatomy = anatomy_of(model)
    table = connection_table(anatomy, tcs, 0, 2)
    seen: list[set[tuple[int, int]]] = []
    for seed in (8, 9):
        frozen = freeze(model, prompt(seed, 12), tcs)
        pairs: set[tuple[int, int]] = set()
        for position in range(1, 12):
            for target in frozen.transcoders[2].z[position].nonzero()[:, 0].tolist():
                found = one_hop(frozen, frozen.feature(2, position, target)).features[0][position]
                for source in frozen.transcoders[0].z[position].nonzero()[:, 0].tolist():
                    activation = frozen.transcoders[0].z[position, source]
                    weight = found[source] * frozen.layers[2].scale_mlp[position, 0] / activation
                    assert weight.item() == pytest.approx(table[source, target].item(), abs=1e-9)
                    pairs.add((source, target))
        seen.append(pairs)
    assert seen[0] & seen[1]
    assert seen[0] != seen[1]
    assert table_hash(table) == table_hash(connection_table(anatomy, tcs, 0, 2))
    moved = dataclasses.replace(tcs[0], W_dec=tcs[0].W_dec.roll(1, 0))
    assert table_hash(connection_table(anatomy, {**tcs, 0: moved}, 0, 2)) != table_hash(table)


def test_strongest_connections_are_the_largest_of_the_table() -> None:
    model, tcs = model_of("llama"), transcoders()
    anatomy = anatomy_of(model)
    found = connections(anatomy, tcs, 2, 7, top=5)
    columns = torch.cat([connection_table(anatomy, tcs, layer, 2)[:, 7] for layer in (0, 1)])
    assert [abs(one.weight) for one in found] == pytest.approx(columns.abs().topk(5).values.tolist())
    through = connections(anatomy, tcs, 2, 7, top=50, heads=True)
    assert any(one.head is not None for one in through)


@KINDS
def test_deembedding_is_what_a_token_gives_a_feature_of_the_first_layer(kind: str) -> None:
    """With attention silent, the difference of two tokens' pre-activations at scale one is that of their scores."""
    model, tcs = model_of(kind), transcoders((0,))
    anatomy = anatomy_of(model)
    scores = deembed(anatomy, tcs, 0, 3)
    g = reading_of(anatomy, tcs, 0, 3)
    assert (scores[4] - scores[5]).item() == pytest.approx(((anatomy.embedding[4] - anatomy.embedding[5]) @ g).item())
    assert scores.mean().item() == pytest.approx(0.0, abs=1e-9)
    best = top_tokens(scores, 3)
    assert best[0].score == scores.max().item()
    assert len(boosted(anatomy, tcs[0], 3)) == VOCAB


@KINDS
def test_a_graph_conserves_influence_and_says_what_is_not_explained(kind: str) -> None:
    model = model_of(kind)
    frozen = freeze(model, prompt(10), transcoders())
    target = frozen.logits(frozen.anatomy.unembedding[2], 7, "2")
    words = [str(token) for token in frozen.tokens.tolist()]
    graph = build_graph(frozen, target, words, branches=4, rounds=3)
    assert graph.error_mass + graph.token_mass + graph.closed_mass == pytest.approx(1.0)
    assert graph.relative_error < 1e-5
    opened = [node for node in graph.nodes if node.opened and node.kind == "feature"]
    assert len(opened) == 12
    shares = direct(frozen, target)
    for edge in graph.edges:
        if edge.target == "target" and edge.source.startswith("token"):
            assert edge.contribution == pytest.approx(shares.embedding[int(edge.source.split("@")[1])].item())
    deeper = build_graph(frozen, target, words, branches=50, rounds=20, smallest=0.0)
    closed = [node for node in deeper.nodes if node.kind == "feature" and not node.opened and node.influence > 1e-9]
    assert not closed
    kept = graph.kept(10)
    assert len(kept.nodes) == 11
    assert {edge.source for edge in kept.edges} <= {node.id for node in kept.nodes}
    assert FeatureGraph.from_json(json.loads(json.dumps(graph.to_json()))) == graph


def test_a_damaged_graph_is_refused() -> None:
    with pytest.raises(UserError, match="not a record"):
        FeatureGraph.from_json({"nodes": []})
    with pytest.raises(UserError, match="damaged"):
        FeatureGraph.from_json({"schema": "wheatstone/feature-graph/1", "nodes": 3})


def test_what_cannot_be_traced_is_refused() -> None:
    model = model_of("llama")
    g = torch.Generator().manual_seed(0)
    sae = random_dictionary(DictionaryConfig(WIDTH, WIDTH, 32, kind="sae", k=2), g)
    with pytest.raises(UserError, match="autoencoder"):
        freeze(model, prompt(1), {0: sae})
    wide = random_dictionary(DictionaryConfig(20, 20, 32, k=2), g)
    with pytest.raises(UserError, match="layer 0: d_in 20, model 16"):
        freeze(model, prompt(1), {0: wide})
    shared = Transformer(TransformerConfig(VOCAB, 12, WIDTH, n_head=4, shared_memory=8), g)
    with pytest.raises(UserError, match="shared feed-forward memory"):
        anatomy_of(shared)

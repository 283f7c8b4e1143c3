"""Interventions against a whole forward pass with hooks, and against what must be exactly true of any network."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from wheatstone.interp.lens import lens_mrr, logit_lens, reciprocal_rank
from wheatstone.interp.patching import (
    Edge,
    answers,
    edge_effects,
    effect_map,
    interchange,
    interchange_map,
    patched,
    patched_resid_by_hooks,
    states,
    trace,
)
from wheatstone.learn.models.transformer import Transformer, TransformerConfig

CFG = TransformerConfig(vocab=40, context=3, d_model=16, n_layer=3, n_head=4)


def build(cfg: TransformerConfig = CFG, spread: float = 0.5) -> Transformer:
    generator = torch.Generator().manual_seed(3)
    model = Transformer(cfg, generator).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64), alpha=spread)
    return model


def questions(seed: int, n: int = 200) -> Tensor:
    return torch.randint(40, (n, 3), generator=torch.Generator().manual_seed(seed))


VARIANTS = (
    CFG,
    dataclasses.replace(CFG, positions="rotary"),
    dataclasses.replace(CFG, n_layer=2, loops=2, shared_memory=8),
    dataclasses.replace(CFG, d_mlp=0, positions="none"),
)


@pytest.mark.parametrize("cfg", VARIANTS, ids=("learned", "rotary", "looped", "attention only"))
def test_fast_patching_agrees_with_hooks_on_a_whole_pass(cfg: TransformerConfig) -> None:
    model, clean, other = build(cfg), questions(0), questions(1)
    here, there, other_states = trace(model, clean), trace(model, other), states(model, other)
    for layer in range(cfg.depth + 1):
        for pos in range(3):
            fast = patched(model, here, there, layer, pos)
            slow = patched_resid_by_hooks(model, clean, other_states, layer, pos)[:, -1]
            assert (fast - slow).abs().max() < 1e-10


def test_an_edge_agrees_with_hooks_that_give_its_reader_alone_another_state() -> None:
    """The reader's output in a pass with the source's state goes by a hook into an otherwise clean pass."""
    model, clean, other = build(), questions(0), questions(1)
    there = states(model, other)
    before = answers(model, states(model, clean)[-1][:, -1])
    effects = edge_effects(model, clean, other)
    for edge in (Edge(0, 0, 1), Edge(1, 1, 2), Edge(1, 0, 0), Edge(2, 1, 2)):
        kept: list[Tensor] = []

        def exchange(value: Tensor, edge: Edge = edge) -> Tensor:
            return value.index_copy(1, torch.tensor([edge.source]), there[edge.layer][:, [edge.source]])

        def give(value: Tensor, edge: Edge = edge, kept: list[Tensor] = kept) -> Tensor:
            return value.index_copy(1, torch.tensor([edge.reader]), kept[0][:, [edge.reader]])

        site = model.sites[edge.layer]
        with torch.no_grad():
            model.resid(clean, hooks={site.resid_pre: exchange, site.resid_post: kept.append})
            after = model(clean, hooks={site.resid_post: give})[:, -1].argmax(-1)
        assert effects[edge] == (after != before).float().mean().item() > 0


def test_patching_a_run_with_itself_changes_nothing() -> None:
    model, clean = build(), questions(0)
    assert effect_map(model, clean, clean).max() == 0
    assert max(edge_effects(model, clean, clean).values()) == 0
    here = trace(model, clean)
    with torch.no_grad():
        whole = model.resid(clean)[:, -1]
    assert (patched(model, here, here, 1, 1) - whole).abs().max() < 1e-12


def test_the_last_state_is_the_answer_and_dead_states_do_nothing() -> None:
    model, clean, other = build(), questions(0), questions(1)
    effects = effect_map(model, clean, other)
    differ = answers(model, trace(model, clean).answer_state) != answers(model, trace(model, other).answer_state)
    assert effects[3, 2] == differ.float().mean() > 0.5  # last layer, last position
    assert effects[3, 0] == effects[3, 1] == 0  # nothing reads them any more


def test_a_position_that_does_not_differ_has_no_effect_at_layer_zero() -> None:
    model, clean = build(), questions(0)
    corrupted = clean.clone()
    corrupted[:, 1] = (corrupted[:, 1] + 7) % 40
    effects = effect_map(model, clean, corrupted)
    assert effects[0, 0] == effects[0, 2] == 0  # wrong-position control
    assert effects[0, 1] > 0.2
    assert (effects[:, 0] == 0).all()  # the causal mask hides position 1 from position 0


def test_exchanging_everything_gives_the_source_answer() -> None:
    model, clean, other = build(), questions(0), questions(1)
    answer = answers(model, trace(model, other).answer_state)
    result = interchange(model, trace(model, clean), trace(model, other), answer, 3, 2)
    assert result.counterfactual == 1.0
    assert interchange_map(model, clean, other, answer)[3, 2] == 1.0


def test_edges_of_an_attention_free_reader_are_only_its_own() -> None:
    """With attention writing nothing, only the last position's own residual path is left."""
    model, clean, other = build(), questions(0), questions(1)
    with torch.no_grad():
        for block in model.blocks:
            block.attn.out.weight.zero_()
            block.attn.out.bias.zero_()
    effects = edge_effects(model, clean, other)
    assert all(effect == 0 for edge, effect in effects.items() if edge.source != edge.reader)
    assert effects[(2, 2, 2)] > 0.5
    assert len(effects) == 6 + 6 + 3


def test_reciprocal_rank_counts_larger_logits() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [3.0, 1.0, 2.0]])
    assert reciprocal_rank(logits, torch.tensor([0, 2, 1])).tolist() == [1.0, 0.5, torch.tensor(1 / 3).item()]


def test_the_lens_on_the_last_state_is_the_model_itself() -> None:
    model, clean = build(), questions(0)
    here = states(model, clean)
    with torch.no_grad():
        assert torch.equal(logit_lens(model, here[-1]), model(clean))
        top = model(clean)[:, -1].argmax(-1)
    assert lens_mrr(model, here, top)[3, 2] == 1.0


def test_an_untrained_model_shows_nothing_under_the_lens() -> None:
    model = Transformer(CFG, torch.Generator().manual_seed(0)).eval()
    tokens = torch.randint(40, (2000, 3), generator=torch.Generator().manual_seed(1))
    wanted = torch.randint(40, (2000,), generator=torch.Generator().manual_seed(2))
    chance = sum(1 / (1 + rank) for rank in range(40)) / 40
    assert (lens_mrr(model, states(model, tokens), wanted) - chance).abs().max() < 0.03

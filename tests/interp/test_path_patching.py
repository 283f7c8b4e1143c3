"""Path patching: the exact fast way against whole passes with hooks, and known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.learn.test_decoder import GROUPED, LEARNED, random_decoder

from wheatstone.interp.end_column import Head, Overrides, column, end_pattern, trace_end, trace_variant
from wheatstone.interp.head_sets import count_of, overlap, random_heads, stability, top_heads
from wheatstone.interp.path_patching import Contrast, Traced, by_hooks, path_effects
from wheatstone.learn.models.decoder import DecoderConfig


@pytest.fixture
def contrast() -> Contrast:
    """Rows of lengths 9, 6 and 8, padded with tokens that would be seen if they could be."""
    draw = torch.Generator().manual_seed(2)
    clean, other = (torch.randint(0, 50, (3, 9), generator=draw) for _ in range(2))
    return Contrast(clean, other, torch.tensor([8, 5, 7]), ((1,), (2, 3), (4,)), ((5,), (6,), (7, 8, 9)))


CASES = [
    (None, "q"),
    ([Head(1, 2)], "q"),
    ([Head(1, 0), Head(1, 1)], "k"),
    ([Head(1, 1)], "v"),
    ([Head(1, 1), Head(0, 0)], "q"),
]


@pytest.mark.parametrize("cfg", [GROUPED, LEARNED], ids=["grouped", "learned"])
@pytest.mark.parametrize("freeze_mlps", [True, False], ids=["frozen", "free"])
@pytest.mark.parametrize(("receivers", "component"), CASES)
def test_fast_and_hooks_agree(
    cfg: DecoderConfig, freeze_mlps: bool, receivers: list[Head] | None, component: str, contrast: Contrast
) -> None:
    model = random_decoder(cfg)
    found = path_effects(
        model,
        Traced.of(model, contrast),
        receivers,
        component,
        freeze_mlps=freeze_mlps,
    )
    senders = [Head(layer, head) for layer in range(cfg.n_layer) for head in range(cfg.n_head)]
    slow = by_hooks(model, contrast, senders, receivers, component, freeze_mlps=freeze_mlps)
    assert (found.effect.flatten(1).T - slow).abs().max() < 1e-4
    assert found.effect.abs().max() > 2e-3, "something must have an effect"
    whole = model(contrast.clean)
    for row, end in enumerate(contrast.end.tolist()):
        logits = whole[row, end]
        expected = logits[list(contrast.answers[row])].mean() - logits[list(contrast.wrong[row])].mean()
        assert abs(found.clean[row] - expected) < 1e-4


@pytest.mark.parametrize("cfg", [GROUPED, LEARNED], ids=["grouped", "learned"])
@pytest.mark.parametrize("first", [0, 3, 5, 7])
def test_a_variant_is_traced_from_where_it_differs(cfg: DecoderConfig, first: int, contrast: Contrast) -> None:
    model = random_decoder(cfg)
    other = contrast.clean.clone()
    other[:, first:] = contrast.counterfactual[:, first:]
    clean = trace_end(model, contrast.clean, contrast.end)
    found = trace_variant(model, other, contrast.clean, clean)
    expected = trace_end(model, other, contrast.end)
    for name in ("resid", "read", "z"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(found.keys + found.values, expected.keys + expected.values, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    same = trace_variant(model, contrast.clean, contrast.clean, clean)
    torch.testing.assert_close(same.z, clean.z, rtol=1e-4, atol=1e-5)


def test_padding_changes_nothing(contrast: Contrast) -> None:
    model = random_decoder(GROUPED)
    together = path_effects(model, Traced.of(model, contrast), [Head(2, 0)]).effect
    for row, end in enumerate(contrast.end.tolist()):
        alone = contrast.part([row])
        cut = Contrast(
            alone.clean[:, : end + 1], alone.counterfactual[:, : end + 1], alone.end, alone.answers, alone.wrong
        )
        single = path_effects(model, Traced.of(model, cut), [Head(2, 0)]).effect
        torch.testing.assert_close(single[0], together[row], rtol=1e-4, atol=1e-5)


def test_a_head_that_writes_the_answer_is_found(contrast: Contrast) -> None:
    """All heads but one write nothing: the one has the whole effect, and its patching is the counterfactual run."""
    model = random_decoder(GROUPED)
    for layer in range(3):
        model.block(layer).mlp.down.weight.zero_()
        matrix = model.block(layer).attn.out.weight.view(24, 6, 8)
        matrix[:, [head for head in range(6) if (layer, head) != (1, 4)]] = 0
    rows = torch.arange(3)
    same_end = Contrast(contrast.clean, contrast.counterfactual.clone(), contrast.end, contrast.answers, contrast.wrong)
    same_end.counterfactual[rows, same_end.end] = same_end.clean[rows, same_end.end]
    found = path_effects(model, Traced.of(model, same_end))
    assert top_heads(found.mean, 1) == (Head(1, 4),)
    torch.testing.assert_close(found.effect[:, 1, 4], found.counterfactual - found.clean, rtol=1e-4, atol=1e-5)
    assert found.effect.abs().sum((1, 2)).allclose(found.effect[:, 1, 4].abs())
    assert found.normalised()[1, 4] == pytest.approx(1.0, abs=1e-4) or found.normalised().isnan().all()


def test_a_column_without_overrides_is_the_run(contrast: Contrast) -> None:
    model = random_decoder(GROUPED)
    trace = trace_end(model, contrast.clean, contrast.end)
    again = column(model, trace, Overrides(), trace.resid[0][None], 0)
    torch.testing.assert_close(again[0], trace.resid[-1], rtol=1e-5, atol=1e-5)
    kept = {}
    model.resid(contrast.clean, hooks={model.sites[1].pattern: lambda value: kept.update(pattern=value)})
    for row, end in enumerate(contrast.end.tolist()):
        torch.testing.assert_close(
            end_pattern(model, trace, Head(1, 3))[row], kept["pattern"][row, 3, end], rtol=1e-4, atol=1e-6
        )


def test_chance_levels() -> None:
    assert count_of(0.02, 270) == 6
    assert count_of(0.02, 384) == 8
    assert count_of(0.5, 40) == 20
    random = np.random.default_rng(0)
    maps = [torch.from_numpy(random.normal(size=(30, 9))) for _ in range(400)]
    shared = [len(overlap(a, b, 27).shared) for a, b in zip(maps[::2], maps[1::2], strict=True)]
    pair = overlap(maps[0], maps[1], 27)
    assert pair.by_chance == pytest.approx(2.7)
    assert np.mean(shared) == pytest.approx(2.7, abs=0.35)
    same = overlap(maps[0], maps[0], 6)
    assert same.jaccard == 1
    assert same.p_value == pytest.approx(1 / 507_098_670_060 * 1, rel=1) or same.p_value < 1e-10
    p_values = [overlap(a, b, 27).p_value for a, b in zip(maps[::2], maps[1::2], strict=True)]
    assert np.mean([p <= 0.05 for p in p_values]) <= 0.1, "small p-values are rare by chance"


def test_stability_knows_signal_from_noise() -> None:
    random = np.random.default_rng(0)
    noise = torch.from_numpy(random.normal(size=(40, 10, 10)))
    signal = noise.clone()
    for head in range(4):
        signal[:, head, head] += 5
    steady = stability(signal, 4, 50, np.random.default_rng(1))
    shaky = stability(noise, 4, 50, np.random.default_rng(1))
    assert steady.mean > 0.99
    assert shaky.mean < 0.7
    assert set(steady.frequency) == {Head(i, i) for i in range(4)}


def test_random_heads_are_others_in_the_same_layers() -> None:
    given = (Head(3, 1), Head(3, 2), Head(7, 0))
    for seed in range(20):
        found = random_heads(given, 6, {Head(3, 0)}, np.random.default_rng(seed))
        assert sorted(head.layer for head in found) == [3, 3, 7]
        assert not {*given, Head(3, 0)} & set(found)

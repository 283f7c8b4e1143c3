"""Replacement, ablation and evaluation on a model whose feed-forward layer a dictionary can copy exactly."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from wheatstone.bench.errors import UserError
from wheatstone.interp.transcoders.dictionary import Dictionary, DictionaryConfig, random_dictionary
from wheatstone.interp.transcoders.evaluation import evaluate, layer_faith, replacement_hooks
from wheatstone.interp.transcoders.examples import activations, live_features, marked, sampled_features, top_examples
from wheatstone.interp.transcoders.replacement import check_fit, keeping_neurons, largest_neurons, replaced, replacing
from wheatstone.interp.transcoders.store import collect, watched
from wheatstone.learn.models.decoder import Decoder, DecoderConfig

WIDTH = 16


def model_of() -> Decoder:
    g = torch.Generator().manual_seed(0)
    cfg = DecoderConfig(20, 12, WIDTH, n_layer=2, n_head=4, n_kv_head=2, d_head=4, d_mlp=24)
    model = Decoder(cfg, g)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=g))
    return model.eval().requires_grad_(False)


def rows(n: int = 6, length: int = 10) -> torch.Tensor:
    return torch.randint(0, 20, (n, length), generator=torch.Generator().manual_seed(1))


def copying_sae() -> Dictionary:
    """y = relu(y) - relu(-y): an exact autoencoder."""
    made = random_dictionary(
        DictionaryConfig(WIDTH, WIDTH, 2 * WIDTH, kind="sae", activation="relu", k=0), torch.Generator()
    )
    eye = torch.eye(WIDTH)
    return dataclasses.replace(made, W_enc=torch.cat([eye, -eye], 1), W_dec=torch.cat([eye, -eye]))


def test_an_exact_copy_recovers_everything_and_zero_nothing() -> None:
    model, text = model_of(), rows()
    means = {layer: torch.zeros(WIDTH) for layer in (0, 1)}
    exact = {0: copying_sae(), 1: copying_sae()}
    nothing = {layer: dataclasses.replace(one, W_dec=torch.zeros_like(one.W_dec)) for layer, one in exact.items()}
    hooks = {**replacement_hooks(exact), "nothing": replacing(nothing)}
    found = evaluate(model, text, (0, 1), means, hooks, batch=2)
    for name in ("layer 0", "layer 1", "all"):
        assert found.recovered(name) == pytest.approx(1.0, abs=1e-4)
        assert found.replaced[name].kl == pytest.approx(0.0, abs=1e-5)
    assert found.recovered("nothing") == pytest.approx(0.0, abs=1e-6)
    assert found.replaced["nothing"].ce == pytest.approx(found.mean.ce)  # the means given are zero
    logits = model(text)[:, 1:-1].log_softmax(-1)
    expected = -logits.gather(-1, text[:, 2:, None]).mean().item()
    assert found.original == pytest.approx(expected, rel=1e-5)


def test_the_first_position_passes_through() -> None:
    model, text = model_of(), rows()
    zero = {1: dataclasses.replace(copying_sae(), W_dec=torch.zeros(2 * WIDTH, WIDTH))}
    changed = model(text, hooks=replacing(zero))
    plain = model(text)
    assert torch.equal(changed[:, 0], plain[:, 0])
    assert not torch.allclose(changed[:, 1], plain[:, 1])


def test_the_context_manager_gives_what_the_hooks_give_and_leaves_no_trace() -> None:
    model, text = model_of(), rows()
    g = torch.Generator().manual_seed(2)
    dictionaries = {
        0: random_dictionary(DictionaryConfig(WIDTH, WIDTH, 40, k=4, skip=True), g),
        1: random_dictionary(DictionaryConfig(WIDTH, WIDTH, 40, kind="sae", k=4), g),
    }
    plain = model(text)
    with replaced(model, dictionaries):
        inside = model(text)
    assert torch.allclose(inside, model(text, hooks=replacing(dictionaries)), atol=1e-5)
    assert torch.equal(model(text), plain)


def test_activations_are_collected_without_the_first_position_on_disk_and_in_memory(tmp_path) -> None:
    model, text = model_of(), rows()
    stores = collect(model, text, (0, 1), folder=tmp_path / "store", identity="m", batch=4)
    inside = collect(model, text, (0, 1))
    expected = watched(model, text, (0, 1))
    for layer in (0, 1):
        flat = expected[f"{layer}.out"][:, 1:].flatten(0, 1)
        assert torch.allclose(torch.from_numpy(stores[layer].outputs.astype("float32")), flat, rtol=2e-3, atol=1e-3)
        assert (stores[layer].inputs == inside[layer].inputs).all()
    before = (tmp_path / "store" / "0.in.npy").stat().st_mtime_ns
    again = collect(model, text, (0, 1), folder=tmp_path / "store", identity="m")
    assert (tmp_path / "store" / "0.in.npy").stat().st_mtime_ns == before
    assert (again[1].outputs == stores[1].outputs).all()
    collect(model, text, (0, 1), folder=tmp_path / "store", identity="another model")
    assert (tmp_path / "store" / "0.in.npy").stat().st_mtime_ns != before


def test_faith_of_a_layer() -> None:
    model, text = model_of(), rows()
    exact = layer_faith(model, text, {1: copying_sae()}, batch=4)[1]
    assert exact.fvu == pytest.approx(0.0, abs=1e-6)
    assert exact.l0 == pytest.approx(WIDTH, abs=0.1)  # one of each pair is positive
    made = random_dictionary(DictionaryConfig(WIDTH, WIDTH, 200, k=3), torch.Generator().manual_seed(0))
    silent = dataclasses.replace(made, b_enc=torch.cat([torch.full((50,), -1e6), torch.zeros(150)]))
    found = layer_faith(model, text, {0: silent})[0]
    assert found.l0 <= 3
    assert found.dead >= 0.25
    assert found.frequencies[:50].sum() == 0


def test_all_neurons_are_the_layer_and_none_is_nothing() -> None:
    model, text = model_of(), rows()
    lengths = torch.ones(24)
    kept = model(text, hooks=keeping_neurons(1, largest_neurons(24, lengths)))
    assert torch.allclose(kept, model(text), atol=1e-5)
    few = model(text, hooks=keeping_neurons(1, largest_neurons(1, lengths)))
    assert not torch.allclose(few, model(text), atol=1e-2)


def test_examples_are_where_a_feature_is_most_active() -> None:
    model, text = model_of(), rows(20)
    tc = random_dictionary(DictionaryConfig(WIDTH, WIDTH, 40, k=4), torch.Generator().manual_seed(3))
    z = activations(model, text, 0, tc)
    assert z[:, 0].abs().max() == 0
    feature = int(z.flatten(0, 1).sum(0).argmax())
    found = top_examples(z[..., feature], text, 4)
    peaks = [one.activations[one.peak] for one in found]
    assert peaks == sorted(peaks, reverse=True)
    assert peaks[0] == z[..., feature].max().item()
    assert "⟦" in marked(found[0], lambda tokens: " ".join(map(str, tokens)))
    import numpy as np

    chosen = sampled_features(z, 5, np.random.default_rng(0))
    assert set(chosen) <= set(live_features(z).tolist())
    assert chosen == sampled_features(z, 5, np.random.default_rng(0))


def test_a_dictionary_of_another_width_is_refused() -> None:
    wide = random_dictionary(DictionaryConfig(768, 768, 32, k=2), torch.Generator())
    with pytest.raises(UserError, match=r"tc: d_in 768, model 576"):
        check_fit(wide, 576, "tc")

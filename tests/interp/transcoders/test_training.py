"""Training: exact gradients, unit rows, what is planted is found, noise is not, resumed is unbroken."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from wheatstone.bench.errors import UserError
from wheatstone.interp.transcoders.dictionary import Activation, Dictionary, DictionaryConfig, Kind
from wheatstone.interp.transcoders.planted import mean_max_cosine, planted
from wheatstone.interp.transcoders.steps import Learner, active_entries, dense_step, sparse_step
from wheatstone.interp.transcoders.store import batches, cut_documents, store_of
from wheatstone.interp.transcoders.training import Learnt, TrainConfig, Training, train


def learners(activation: Activation, skip: bool) -> tuple[Learner, Learner]:
    cfg = DictionaryConfig(12, 10, 40, activation=activation, k=5, skip=skip)
    return Learner(cfg, torch.Generator().manual_seed(1)), Learner(cfg, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("activation", ["topk", "batchtopk"])
def test_sparse_gradients_are_those_of_autograd(activation: Activation, skip: bool) -> None:
    ours, plain = learners(activation, skip)
    g = torch.Generator().manual_seed(2)
    x, y = torch.randn(30, 12, generator=g), torch.randn(30, 10, generator=g)
    ours.encoder_bias.data.uniform_(-0.5, 0.5, generator=g)
    plain.encoder_bias.data.copy_(ours.encoder_bias)
    found, expected = sparse_step(ours, x, y), dense_step(plain, x, y, 0.0)
    assert torch.allclose(found.loss, expected.loss)
    assert found.l0 == expected.l0
    assert torch.equal(found.fired, expected.fired)
    grads = dict(plain.named_parameters())
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, grads[name].grad, atol=1e-7), name


def test_active_entries_are_the_largest_positive_ones() -> None:
    p = torch.tensor([[3.0, -1.0, 2.0, 1.0], [-1.0, -2.0, -3.0, 0.5]])
    each = active_entries(p, 2, each=True)
    assert sorted(zip(each.token.tolist(), each.feature.tolist(), strict=True)) == [(0, 0), (0, 2), (1, 3)]
    together = active_entries(p, 2, each=False)
    assert sorted(zip(together.token.tolist(), together.feature.tolist(), together.z.tolist(), strict=True)) == [
        (0, 0, 3.0),
        (0, 2, 2.0),
        (0, 3, 1.0),
        (1, 3, 0.5),
    ]
    assert together.offsets.tolist() == [0, 3]


def trained(activation: Activation, *, kind: Kind = "transcoder", steps: int = 400, sparsity: float = 0.0) -> Learnt:
    truth = planted(32, 48, 12_000, np.random.default_rng(0))
    cfg = DictionaryConfig(32, 32, 96, kind=kind, activation=activation, k=4)
    how = TrainConfig(steps=steps, sparsity=sparsity)
    return train(Training(cfg, how, store_of(truth.inputs, truth.outputs), init=0, order=0))


def test_planted_features_are_found_and_not_in_shuffled_outputs() -> None:
    truth = planted(32, 48, 12_000, np.random.default_rng(0))
    assert mean_max_cosine(truth.directions, trained("topk").dictionary.W_dec) >= 0.9
    shuffled = truth.outputs[torch.from_numpy(np.random.default_rng(1).permutation(len(truth.outputs)))]
    cfg = DictionaryConfig(32, 32, 96, k=4)
    control = train(Training(cfg, TrainConfig(steps=400), store_of(truth.inputs, shuffled), init=0, order=0))
    x, y = truth.inputs, shuffled
    unexplained = (control.dictionary(x) - y).square().sum() / (y - y.mean(0)).square().sum()
    assert unexplained > 0.9


@pytest.mark.parametrize("activation", ["topk", "batchtopk", "relu", "jumprelu"])
def test_rows_have_length_one_and_l0_counts_what_is_not_zero(activation: Activation) -> None:
    sparsity = {"relu": 0.02, "jumprelu": 1.0}.get(activation, 0.0)
    found = trained(activation, steps=150, sparsity=sparsity).dictionary
    assert found.unit_norm_fault() < 1e-5
    x = planted(32, 48, 500, np.random.default_rng(3)).inputs
    z = found.encode(x)
    assert bool((z >= 0).all())
    l0 = (z != 0).sum(-1).float()
    if activation == "topk":
        assert l0.max() <= 4
    if activation == "batchtopk":
        assert 2 < l0.mean() < 6
    if found.threshold is not None:
        assert bool((z[z > 0] >= found.threshold.min()).all())


def test_a_dictionary_predicts_raw_outputs() -> None:
    truth = planted(32, 48, 4_000, np.random.default_rng(0))
    shifted, scaled = truth.inputs * 3 + 5, truth.outputs * 0.01 - 2
    cfg = DictionaryConfig(32, 32, 96, k=4, skip=True)
    found = train(Training(cfg, TrainConfig(steps=300), store_of(shifted, scaled), init=0, order=0)).dictionary
    left = (found(shifted) - scaled).square().sum() / (scaled - scaled.mean(0)).square().sum()
    assert left < 0.3


def test_resumed_is_unbroken_bit_for_bit() -> None:
    truth = planted(16, 24, 2_000, np.random.default_rng(0))
    store = store_of(truth.inputs, truth.outputs)
    cfg, how = DictionaryConfig(16, 16, 48, k=3), TrainConfig(steps=40, dead_after=500, batch=64)

    def fresh() -> Training:
        return Training(cfg, how, store, init=0, order=5)

    whole, first, second = fresh(), fresh(), fresh()
    unbroken = train(whole).dictionary
    for _ in range(17):
        first.step()
    second.load_state(first.state_tensors(), first.done)
    resumed = train(second).dictionary
    for name in ("W_enc", "b_enc", "W_dec", "b_dec"):
        assert torch.equal(getattr(unbroken, name), getattr(resumed, name)), name


def test_dead_features_come_back() -> None:
    truth = planted(16, 64, 4_000, np.random.default_rng(0))
    store = store_of(truth.inputs, truth.outputs)
    cfg = DictionaryConfig(16, 16, 64, k=4)
    alive: dict[int, int] = {}
    for dead_after in (1_000, 10**9):  # the second never counts a feature as dead, so nothing revives it
        how = TrainConfig(steps=400, batch=64, dead_after=dead_after)
        training = Training(cfg, how, store, init=0, order=0)
        with torch.no_grad():
            training.learner.encoder_bias[:48] = -3.0
        found = train(training).dictionary
        alive[dead_after] = int((found.encode(truth.inputs)[:, :48] > 0).any(0).sum())
    assert alive[1_000] >= 46
    assert alive[10**9] <= 36


def test_sae_and_transcoder_share_the_code_and_differ_in_what_they_read() -> None:
    truth = planted(32, 48, 3_000, np.random.default_rng(0))
    sae = trained("topk", kind="sae", steps=200).dictionary
    left = (sae(truth.outputs) - truth.outputs).square().sum() / (truth.outputs - truth.outputs.mean(0)).square().sum()
    assert left < 0.3


def test_batches_hold_every_row_once_an_epoch() -> None:
    rows = batches(10, 3, 0)
    epoch = np.concatenate([rows(step) for step in range(3)])
    assert len(set(epoch.tolist())) == 9
    assert not np.array_equal(np.concatenate([rows(step) for step in range(3, 6)]), epoch)
    assert np.array_equal(batches(10, 3, 0)(1), rows(1))


def test_held_out_documents_are_whole() -> None:
    documents = [[i] * 10 for i in range(8)]
    split = cut_documents(documents, 5, 99, 30, 10)
    assert set(split.held_out[:, 1:].flatten().tolist()).isdisjoint(split.train[:, 1:].flatten().tolist())
    assert split.train.shape[1] == split.held_out.shape[1] == 5
    assert bool((split.train[:, 0] == 99).all())
    with pytest.raises(UserError, match="two contexts"):
        cut_documents([[1, 2, 3]], 8, None, 10, 10)


def test_more_active_features_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="from 1 to the number of features"):
        DictionaryConfig(4, 4, 8, k=9)


def test_a_threshold_takes_the_place_of_topk() -> None:
    found = trained("topk", steps=100).dictionary
    x = planted(32, 48, 2_000, np.random.default_rng(4)).inputs
    changed: Dictionary = found.with_threshold(x)
    assert changed.cfg.activation == "jumprelu"
    assert abs((changed.encode(x) > 0).sum(-1).float().mean().item() - 4) < 0.5

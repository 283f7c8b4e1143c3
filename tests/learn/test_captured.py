"""A step that is replayed as a CUDA graph is the step that it was captured from; rows of one shape need no mask."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from tests.learn.test_training import CFG, additions, fit_config, model_of

from wheatstone.learn.captured import Captured
from wheatstone.learn.models.transformer import Transformer
from wheatstone.learn.sequences import NO_TARGET, Sequences, padded
from wheatstone.learn.training import Training, fit_together, target_logits

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="captures CUDA graphs: needs a GPU")


def rows(kind: str) -> Sequences:
    """Sums that are asked at the last position, at the last two, or at all of them."""
    prompts, sums = additions()
    tokens, targets = torch.from_numpy(prompts), torch.full(prompts.shape, NO_TARGET)
    answers = torch.from_numpy(sums)
    asked = {"one": [2], "two": [1, 2], "all": [0, 1, 2]}[kind]
    targets[:, asked] = answers[:, None].expand(-1, len(asked))
    return Sequences(tokens, targets)


@pytest.mark.parametrize("kind", ["one", "two", "all"])
def test_positions_choose_what_the_mask_chooses(kind: str) -> None:
    data, model, some = rows(kind), model_of(), torch.tensor([5, 0, 7])
    positions = data.target_positions()
    assert positions is not None
    masked, by_mask = target_logits(model, data, some, None)
    found, by_position = target_logits(model, data, some, None, positions)
    torch.testing.assert_close(found, masked, rtol=0, atol=0)
    assert torch.equal(by_position, by_mask)


def test_rows_that_differ_in_targets_have_no_positions() -> None:
    prompts, sums = additions()
    data = padded([prompts], [sums])
    data.targets[0, 0] = 1
    assert data.target_positions() is None


@on_gpu
def test_every_call_does_the_work_once() -> None:
    total = torch.zeros(3, device="cuda")
    add = Captured(lambda x: total.add_(x))
    for number in range(1, 9):
        found = add(torch.full((3,), float(number), device="cuda"))
        assert found.tolist() == [number * (number + 1) / 2] * 3


@on_gpu
@pytest.mark.parametrize("name", ["adamw", "muon", "grokfast", "orthograd"])
@pytest.mark.parametrize("kind", ["one", "two", "all"])
def test_a_captured_training_is_the_training(name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained() -> tuple[Transformer, list[float]]:
        model = model_of().cuda()
        cfg = fit_config(name, steps=30, evaluations=6)
        history = Training(model, rows(kind), cfg, order_seed=0).fit().history
        return model, [point.values["train_loss"] for point in history]

    captured, losses = trained()
    monkeypatch.setattr("wheatstone.learn.training.Captured", lambda function: function)
    plain, expected = trained()
    np.testing.assert_allclose(losses, expected, rtol=2e-3)
    for a, b in zip(captured.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0.02, atol=2e-3)


@on_gpu
def test_captured_replicas_are_trained_as_alone() -> None:
    def trainings() -> list[Training]:
        cfg: Any = fit_config("adamw", steps=20, evaluations=4)
        return [Training(copy.deepcopy(model_of(seed)).cuda(), rows("one"), cfg, order_seed=seed) for seed in (0, 1, 2)]

    alone = [[point.values["train_loss"] for point in one.fit().history] for one in trainings()]
    together = [[point.values["train_loss"] for point in one.history] for one in fit_together(trainings())]
    np.testing.assert_allclose(together, alone, rtol=2e-3)
    assert CFG.dropout == 0

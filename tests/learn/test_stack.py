"""A replica in a stack is trained as it would be alone, keeps its own checkpoints, and may change its company."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.learn.test_training import CFG, LEARNERS, Memory, additions, fit_config, model_of

from wheatstone.learn.optimisers import StackedMuon
from wheatstone.learn.sequences import Sequences, padded
from wheatstone.learn.stack import Stack
from wheatstone.learn.training import FitConfig, Training, fit_together, shape

SEEDS = (0, 1, 2)


def data_of(seed: int) -> Sequences:
    """Additions of two numbers, answered with a shift that is this seed's own."""
    prompts, sums = additions()
    return padded([prompts], [(sums + seed) % CFG.vocab])


def training_of(seed: int, cfg: FitConfig, **rest: Any) -> Training:
    return Training(model_of(seed), data_of(seed), cfg, order_seed=seed, **rest)


def weights(training: Training) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in training.model.parameters()])


def moved(training: Training, seed: int) -> torch.Tensor:
    """How far a training has brought its weights."""
    return weights(training) - torch.cat([p.detach().flatten() for p in model_of(seed).parameters()])


@pytest.mark.parametrize(("name", "loss"), [case for case in LEARNERS if case[0] != "muon"])
def test_each_replica_ends_where_it_would_end_alone(name: str, loss: str) -> None:
    cfg = fit_config(name, loss=loss, steps=12, evaluations=4)
    alone, together = ([training_of(seed, cfg) for seed in SEEDS] for _ in range(2))
    of_alone = [training.fit() for training in alone]
    of_together = fit_together(together)
    for seed, one, other in zip(SEEDS, alone, together, strict=True):
        assert (weights(other) - weights(one)).norm() < 1e-3 * moved(one, seed).norm()
    for one, other in zip(of_alone, of_together, strict=True):
        assert [point.step for point in one.history] == [point.step for point in other.history]
        losses = [[point.values["train_loss"] for point in fitted.history] for fitted in (one, other)]
        np.testing.assert_allclose(*losses, rtol=1e-3)


@pytest.mark.parametrize("steps", [1, 12])
def test_under_muon_replicas_differ_from_the_lone_by_no_more_than_a_last_bit_does(steps: int) -> None:
    # Newton-Schulz lifts the smallest singular values of a gradient, which are rounding, to the size of the largest.
    cfg = fit_config("muon", steps=steps, evaluations=1)
    alone, together, nudged = ([training_of(seed, cfg) for seed in SEEDS] for _ in range(3))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for training in nudged:
            for parameter in training.model.parameters():
                parameter.mul_(1 + 1e-7 * torch.randn(parameter.shape, generator=generator).sign())
    for training in (*alone, *nudged):
        training.fit()
    fit_together(together)
    for seed, one, other, third in zip(SEEDS, alone, together, nudged, strict=True):
        distance = moved(one, seed).norm()
        assert (weights(other) - weights(one)).norm() < 3 * (weights(third) - weights(one)).norm() + 0.01 * distance
        assert (weights(other) - weights(one)).norm() < 0.2 * distance


def test_replicas_differ_from_each_other() -> None:
    trainings = [training_of(seed, fit_config(steps=5)) for seed in SEEDS]
    fit_together(trainings)
    assert not torch.allclose(weights(trainings[0]), weights(trainings[1]), atol=1e-3)


def test_stacked_muon_makes_the_update_of_the_library() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 8), (8, 32), (32, 8)]
    stacks = [torch.randn(3, *size, generator=generator).requires_grad_() for size in shapes]
    singles = [[stack.detach()[i].clone().requires_grad_() for stack in stacks] for i in range(3)]
    settings = {"lr": 0.04, "weight_decay": 0.5, "momentum": 0.95}
    ours = StackedMuon(stacks, **settings)
    library = [torch.optim.Muon(parameters, **settings) for parameters in singles]
    for _ in range(4):
        for position, stack in enumerate(stacks):
            stack.grad = torch.randn(stack.shape, generator=generator)
            for i in range(3):
                singles[i][position].grad = stack.grad[i].clone()
        ours.step()
        for optimiser in library:
            optimiser.step()
    for position, stack in enumerate(stacks):
        for i in range(3):
            torch.testing.assert_close(stack.detach()[i], singles[i][position].detach(), rtol=1e-2, atol=2e-3)


def test_a_gradient_is_clipped_by_the_norm_of_its_own_replica() -> None:
    calm, wild = model_of(0), model_of(1)
    with torch.no_grad():
        for parameter in wild.parameters():
            parameter.mul_(40)
    cfg = fit_config("adamw", steps=3, evaluations=1)
    alone = Training(model_of(0), data_of(0), cfg, order_seed=0)
    alone.fit()
    beside = Training(calm, data_of(0), cfg, order_seed=0)
    fit_together([beside, Training(wild, data_of(1), cfg, order_seed=1)])
    torch.testing.assert_close(weights(beside), weights(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("together_again", [True, False])
def test_a_broken_stack_goes_on_from_the_checkpoints_of_its_replicas(together_again: bool) -> None:
    cfg = fit_config("adamw", steps=40)
    whole = [training_of(seed, cfg) for seed in SEEDS]
    unbroken = fit_together(whole)
    keepers = [Memory(), Memory(breaks_after=3), Memory()]  # the third replica is one checkpoint behind the first two
    with pytest.raises(KeyboardInterrupt):
        fit_together([training_of(seed, cfg, keeper=keepers[seed]) for seed in SEEDS])
    assert keepers[0].saved is not None
    assert keepers[2].saved is not None
    assert keepers[0].saved[1]["step"] > keepers[2].saved[1]["step"]
    resumed = [dataclasses.replace(training_of(seed, cfg, keeper=keepers[seed]), model=model_of(9)) for seed in SEEDS]
    again = fit_together(resumed) if together_again else [training.fit() for training in resumed]
    for one, other, keeper in zip(whole, resumed, keepers, strict=True):
        torch.testing.assert_close(weights(other), weights(one), rtol=1e-3, atol=1e-4)
        assert len({line["step"] for line in keeper.lines}) == len(keeper.lines)
    assert [len(fitted.history) for fitted in again] == [len(fitted.history) for fitted in unbroken]


def test_a_replica_that_has_learnt_leaves_and_the_others_go_on() -> None:
    prompts, sums = additions()
    easy = Training(model_of(0), padded([prompts], [prompts[:, 0]]), fit_config(steps=80, evaluations=20), 0)
    noise = padded([prompts], [np.random.default_rng(0).permutation(sums)])
    cfg = dataclasses.replace(easy.cfg, stop_metric="right", stop_at=1.0, stop_times=1)

    def right(data: Sequences) -> Any:
        at = data.single_targets()
        assert at is not None
        return lambda model: {
            "right": (model(data.tokens)[:, 2].argmax(-1) == data.targets[:, 2]).float().mean().item()
        }

    trainings = [
        dataclasses.replace(easy, cfg=cfg, evaluate=right(easy.data)),
        Training(model_of(1), noise, cfg, 1, evaluate=right(noise)),
    ]
    early, late = fit_together(trainings)
    assert early.steps < late.steps
    assert early.history[-1].values["right"] == 1.0


def test_only_equal_shapes_are_stacked() -> None:
    cfg = fit_config()
    one = training_of(0, cfg)
    assert shape(one) == shape(training_of(1, cfg))
    other_steps = dataclasses.replace(cfg, steps=cfg.steps + 1)
    assert shape(one) != shape(training_of(0, other_steps))
    dropped = dataclasses.replace(one, model=model_of(cfg=dataclasses.replace(CFG, dropout=0.1)))
    assert shape(dropped) is None
    wider = dataclasses.replace(one, model=model_of(cfg=dataclasses.replace(CFG, d_mlp=8)))
    assert shape(wider) != shape(one)
    with pytest.raises(ValueError, match="same config"):
        Stack([one.model, wider.model])


def test_trainings_of_several_shapes_are_all_trained() -> None:
    cfg = fit_config("adamw", steps=6, evaluations=2)
    narrow = dataclasses.replace(CFG, d_model=16)
    trainings = [
        training_of(0, cfg),
        Training(model_of(1, narrow), data_of(1), cfg, 1),
        training_of(2, cfg),
        Training(model_of(3, dataclasses.replace(CFG, dropout=0.1)), data_of(3), cfg, 3),
    ]
    before = [weights(training).clone() for training in trainings]
    fitted = fit_together(trainings)
    assert [one.steps for one in fitted] == [6] * 4
    assert all(not torch.equal(weights(t), start) for t, start in zip(trainings, before, strict=True))


def test_a_stack_gives_each_model_its_own_loss_and_its_memory_back() -> None:
    models = [model_of(seed) for seed in SEEDS]
    expected = []
    rows = [data_of(seed) for seed in SEEDS]
    for model, data in zip(models, rows, strict=True):
        expected.append(F.cross_entropy(model(data.tokens)[:, 2], data.targets[:, 2]).item())
    stack = Stack(models)
    at = torch.full((3, len(rows[0])), 2)
    targets = torch.stack([data.targets[:, 2] for data in rows])
    losses = stack.losses(torch.stack([data.tokens for data in rows]), at, targets, F.cross_entropy)
    np.testing.assert_allclose(losses.detach(), expected, rtol=1e-5)
    with torch.no_grad():
        stack.named["embedding"].add_(1.0)
    assert models[1].embedding.mean() > 0.9  # a slice of the common tensor
    stack.release()
    with torch.no_grad():
        stack.named["embedding"].zero_()
    assert models[1].embedding.mean() > 0.9

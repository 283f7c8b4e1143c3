"""A learner proves both directions: it finds the best action where there is one, and nothing in noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from wheatstone.learn.rl.ddpg import DDPG, DDPGConfig, truncated_noise
from wheatstone.learn.rl.policies import MLPActor, MLPCritic, Seq2SeqActor, SequenceCritic
from wheatstone.learn.rl.replay import Replay

PARTS, FEATURE, DIM = 3, 4, 2
GOAL = torch.tensor([[0.5, -0.3], [0.1, 0.6], [-0.7, 0.2]])


def networks(kind: str, seed: int = 0) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(seed)
    if kind == "seq2seq":
        return Seq2SeqActor(FEATURE, DIM, 32), SequenceCritic(FEATURE, DIM, 32)
    return MLPActor(PARTS, FEATURE, DIM, 64), MLPCritic(PARTS, FEATURE, DIM, 64)


def trained(kind: str, reward: Callable[[Tensor], Tensor], steps: int, seed: int = 0, gamma: float = 0.0) -> DDPG:
    learner = DDPG(*networks(kind, seed), DDPGConfig(gamma=gamma))
    rng = np.random.default_rng(seed)
    obs = torch.eye(PARTS, FEATURE)
    replay = Replay(600, (PARTS, FEATURE), (PARTS, DIM))
    actions = torch.from_numpy(rng.uniform(-1, 1, (600, PARTS, DIM)).astype(np.float32))
    for action, value in zip(actions, reward(actions), strict=True):
        replay.add(obs, action, float(value), obs, goes_on=gamma > 0)
    for _ in range(steps):
        learner.update(replay.draw(64, rng))
    return learner


def near_goal(actions: Tensor) -> Tensor:
    return 1 - (actions - GOAL).square().sum((-1, -2))


@pytest.mark.parametrize(("kind", "simulations"), [("seq2seq", 300), ("mlp", 400)])
def test_finds_the_best_action_by_its_own_proposals(kind: str, simulations: int) -> None:
    """1 is best; the best of as many uniform actions is near 0.7, the middle of the range worth -0.2."""
    learner = DDPG(*networks(kind), DDPGConfig(critic_lr=3e-3))
    rng = np.random.default_rng(0)
    obs = torch.eye(PARTS, FEATURE)
    replay = Replay(simulations, (PARTS, FEATURE), (PARTS, DIM))
    for number in range(simulations):
        if number < 60:
            action = rng.uniform(-1, 1, (PARTS, DIM))
        else:
            sigma = 0.5 - 0.45 * number / simulations
            action = truncated_noise(learner.act(obs).numpy().astype(np.float64), sigma, rng)
        tensor = torch.from_numpy(action.astype(np.float32))
        replay.add(obs, tensor, float(near_goal(tensor[None])), obs, goes_on=False)
        if number >= 60:
            for _ in range(2):
                learner.update(replay.draw(32, rng))
    found = float(near_goal(learner.act(obs)[None]))
    assert found > 0.8, found


def test_learns_nothing_from_noise() -> None:
    """Rewards that have nothing to do with the action: what it proposes is no better than a random one."""
    noise = torch.Generator().manual_seed(3)
    learner = trained("mlp", lambda actions: torch.randn(len(actions), generator=noise), 500)
    found = near_goal(learner.act(torch.eye(PARTS, FEATURE))[None])
    assert found < 0.5


def test_a_discount_adds_up_what_follows() -> None:
    """A reward of 1 for ever, discounted by 0.5, is worth 2."""
    learner = trained("mlp", lambda actions: torch.ones(len(actions)), 800, gamma=0.5)
    obs = torch.eye(PARTS, FEATURE)[None]
    assert float(learner.critic(obs, learner.act(obs[0])[None]).detach()) == pytest.approx(2.0, abs=0.2)


def test_a_learner_goes_on_from_its_tensors() -> None:
    def batch(seed: int) -> Replay:
        replay = Replay(32, (PARTS, FEATURE), (PARTS, DIM))
        rng = np.random.default_rng(seed)
        for _ in range(40):
            action = torch.from_numpy(rng.uniform(-1, 1, (PARTS, DIM)).astype(np.float32))
            obs = torch.from_numpy(rng.standard_normal((PARTS, FEATURE)).astype(np.float32))
            replay.add(obs, action, float(near_goal(action[None])), obs, goes_on=True)
        return replay

    replay, rng = batch(0), np.random.default_rng(1)
    unbroken = DDPG(*networks("seq2seq"), DDPGConfig(gamma=0.5))
    for _ in range(5):
        unbroken.update(replay.draw(8, rng))
    stored = {name: tensor.clone() for name, tensor in unbroken.tensors().items()}
    kept, state = {name: tensor.clone() for name, tensor in replay.tensors().items()}, rng.bit_generator.state
    resumed, again = (
        DDPG(*networks("seq2seq", seed=9), DDPGConfig(gamma=0.5)),
        Replay(32, (PARTS, FEATURE), (PARTS, DIM)),
    )
    resumed.restore(stored)
    again.restore(kept, 40)
    other = np.random.default_rng()
    other.bit_generator.state = state
    for _ in range(5):
        assert unbroken.update(replay.draw(8, rng)) == resumed.update(again.draw(8, other))
    for name, tensor in unbroken.tensors().items():
        assert torch.equal(tensor, resumed.tensors()[name]), name


def test_masked_actions_stay_zero() -> None:
    mask = torch.ones(PARTS, DIM)
    mask[1, 1] = 0
    learner = DDPG(*networks("seq2seq"), DDPGConfig(), mask)
    assert learner.act(torch.randn(PARTS, FEATURE))[1, 1] == 0


def test_the_oldest_transition_gives_way() -> None:
    replay = Replay(3, (1, 1), (1, 1))
    with pytest.raises(ValueError, match="empty"):
        replay.draw(1, np.random.default_rng(0))
    for value in range(5):
        one = torch.full((1, 1), float(value))
        replay.add(one, one, value, one, goes_on=False)
    assert sorted(replay.tensors()["reward"].tolist()) == [2, 3, 4]


def test_truncated_noise_stays_inside_and_makes_no_heap_at_the_ends() -> None:
    noisy = truncated_noise(np.full(20_000, 0.95), 0.5, np.random.default_rng(0))
    assert noisy.min() >= -1
    assert noisy.max() <= 1
    assert np.mean(noisy > 0.999) < 0.01

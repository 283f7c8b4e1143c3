"""Deep deterministic policy gradients: a critic learns what an action is worth, the actor climbs the critic.

Method
    1  Critic: squared error to reward + gamma Q'(s', mu'(s')), with slowly following copies Q', mu'.
    2  Actor: gradient of the mean of Q(s, mu(s)), with a small penalty on what goes into its tanh.
    3  The copies follow by a share tau of the way.

Source  Lillicrap et al., ICLR 2016, arXiv:1509.02971, algorithm 1; the penalty keeps actions off the ends of their
        range, where a tanh has no gradient. With gamma 0 (episodes of one step) the copies play no part.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn

from wheatstone.learn.rl.replay import Transitions


@dataclass(frozen=True)
class DDPGConfig:
    """How actor and critic learn."""

    actor_lr: Annotated[float, Gt(0)] = 1e-3
    """Adam's learning rate of the actor."""
    critic_lr: Annotated[float, Gt(0)] = 1e-3
    """Adam's learning rate of the critic."""
    gamma: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Discount; 0 where an episode is one step."""
    tau: Annotated[float, Gt(0), Le(1)] = 0.01
    """Share of the way that the copies follow."""
    penalty: Annotated[float, Ge(0)] = 1e-3
    """Weight of the mean square of the actor's output before its tanh."""
    clip: Annotated[float, Gt(0)] = 1.0
    """Largest norm of a gradient."""


class DDPG:
    """Trains an actor (obs -> Decision) and a critic (obs, action -> value).

    Args:
        actor: module that returns a `Decision`.
        critic: module that returns values [batch].
        config: how they learn.
        mask: [part dim], 0 where a part has no such action; it stays 0.
    """

    def __init__(self, actor: nn.Module, critic: nn.Module, config: DDPGConfig, mask: Tensor | None = None) -> None:
        self.actor, self.critic, self.config = actor, critic, config
        self.mask = mask
        self._slow_actor, self._slow_critic = copy.deepcopy(actor), copy.deepcopy(critic)
        self._actor_adam = torch.optim.Adam(actor.parameters(), lr=config.actor_lr)
        self._critic_adam = torch.optim.Adam(critic.parameters(), lr=config.critic_lr)

    @torch.no_grad()
    def act(self, obs: Tensor) -> Tensor:
        """The actor's action for one observation, without noise: [part dim]."""
        return self._masked(self.actor(obs[None]).action)[0]

    def update(self, batch: Transitions) -> float:
        """One step of critic and actor; returns the critic's loss."""
        config = self.config
        with torch.no_grad():
            wanted = batch.reward
            if config.gamma:
                after = self._slow_critic(batch.next_obs, self._masked(self._slow_actor(batch.next_obs).action))
                wanted = wanted + config.gamma * batch.goes_on * after
        loss = nn.functional.mse_loss(self.critic(batch.obs, batch.action), wanted)
        _step(self._critic_adam, loss, config.clip)
        # Episodes of one step begin with the same observation: one row has the gradient of all, at a third of the cost.
        obs = batch.obs[:1] if bool((batch.obs == batch.obs[:1]).all()) else batch.obs
        decision = self.actor(obs)
        for weight in self.critic.parameters():
            weight.requires_grad_(False)
        value = self.critic(obs, self._masked(decision.action)).mean()
        _step(self._actor_adam, config.penalty * self._masked(decision.raw).square().mean() - value, config.clip)
        for weight in self.critic.parameters():
            weight.requires_grad_(True)
        if config.gamma:
            self._follow()
        return float(loss.detach())

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint needs: weights, their copies, both optimisers."""
        found: dict[str, Tensor] = {}
        for name, module in self._modules().items():
            found |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
        for name, adam in (("actor_adam", self._actor_adam), ("critic_adam", self._critic_adam)):
            for index, state in adam.state_dict()["state"].items():
                found |= {f"{name}.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
        return found

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Goes on from `tensors()`."""
        for name, module in self._modules().items():
            module.load_state_dict(_under(tensors, name))
        for name, adam in (("actor_adam", self._actor_adam), ("critic_adam", self._critic_adam)):
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in _under(tensors, name).items():
                index, _, field = key.partition(".")
                state.setdefault(int(index), {})[field] = value.clone()
            adam.load_state_dict({"state": state, "param_groups": adam.state_dict()["param_groups"]})

    def _modules(self) -> dict[str, nn.Module]:
        return {
            "actor": self.actor,
            "critic": self.critic,
            "slow_actor": self._slow_actor,
            "slow_critic": self._slow_critic,
        }

    def _masked(self, action: Tensor) -> Tensor:
        return action if self.mask is None else action * self.mask

    @torch.no_grad()
    def _follow(self) -> None:
        for fast, slow in ((self.actor, self._slow_actor), (self.critic, self._slow_critic)):
            for new, old in zip(fast.parameters(), slow.parameters(), strict=True):
                old.lerp_(new, self.config.tau)


def truncated_noise(
    action: np.ndarray, sigma: float, rng: np.random.Generator, low: float = -1.0, high: float = 1.0
) -> np.ndarray:
    """Gaussian noise around each action, drawn again where it leaves [low, high]: no heap of actions at the ends."""
    noisy = action + sigma * rng.standard_normal(action.shape)
    for _ in range(100):
        outside = (noisy < low) | (noisy > high)
        if not outside.any():
            break
        noisy = np.where(outside, action + sigma * rng.standard_normal(action.shape), noisy)
    return np.clip(noisy, low, high)


def _step(adam: torch.optim.Adam, loss: Tensor, clip: float) -> None:
    adam.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_([weight for group in adam.param_groups for weight in group["params"]], clip)
    adam.step()


def _under(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}

"""A replay buffer: the last transitions, drawn uniformly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


class Transitions(NamedTuple):
    """Some transitions; `...` is the shape of one observation or of one action."""

    obs: Float[Tensor, "batch ..."]
    action: Float[Tensor, "batch ..."]
    reward: Float[Tensor, " batch"]
    next_obs: Float[Tensor, "batch ..."]
    goes_on: Float[Tensor, " batch"]
    """1 where the episode goes on after the transition, 0 where it ended."""


class Replay:
    """Holds `capacity` transitions at most; the oldest gives way.

    Args:
        capacity: transitions.
        obs_shape: shape of one observation.
        action_shape: shape of one action.
    """

    def __init__(self, capacity: int, obs_shape: tuple[int, ...], action_shape: tuple[int, ...]) -> None:
        self.capacity = capacity
        self.size = 0
        self._next = 0
        self._tensors = {
            "obs": torch.zeros(capacity, *obs_shape),
            "action": torch.zeros(capacity, *action_shape),
            "reward": torch.zeros(capacity),
            "next_obs": torch.zeros(capacity, *obs_shape),
            "goes_on": torch.zeros(capacity),
        }

    def add(self, obs: Tensor, action: Tensor, reward: float, next_obs: Tensor, *, goes_on: bool) -> None:
        """Stores one transition."""
        values = {"obs": obs, "action": action, "next_obs": next_obs}
        for name, value in values.items():
            self._tensors[name][self._next] = value
        self._tensors["reward"][self._next] = reward
        self._tensors["goes_on"][self._next] = float(goes_on)
        self._next = (self._next + 1) % self.capacity
        self.size = min(self.size + 1, self.capacity)

    def draw(self, batch: int, rng: np.random.Generator) -> Transitions:
        """Transitions drawn with replacement. Raises ValueError from an empty buffer."""
        if not self.size:
            raise ValueError("nothing to draw from: the replay buffer is empty")
        rows = torch.from_numpy(rng.integers(self.size, size=batch))
        return Transitions(**{name: tensor[rows] for name, tensor in self._tensors.items()})

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint needs."""
        return {name: tensor[: self.size] for name, tensor in self._tensors.items()}

    def restore(self, tensors: Mapping[str, Tensor], added: int) -> None:
        """Goes on from `tensors()` of a buffer to which `added` transitions had been added in all."""
        self.size = len(tensors["reward"])
        self._next = added % self.capacity
        for name, tensor in self._tensors.items():
            tensor[: self.size] = tensors[name]

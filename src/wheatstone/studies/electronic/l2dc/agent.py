"""The agent: a sequence of components in, a sequence of sizes out, trained by DDPG on its own simulations.

Method
    1  Components are the devices with open values, in the order of the netlist: put them along the signal path.
    2  Observation of a component: what it is and where, its sizes, its operating point, and the whole response at a few
       frequencies.
    3  Action of a component: up to `width` numbers in [-1, 1], its parameters over their ranges.
    4  Uniform proposals first, then the actor's with truncated Gaussian noise that decays.

Source  Wang et al., 2018, arXiv:1812.02734; sizes of its networks and its exploration are not given there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wheatstone.domains.electronic.analog.testbench import Outcome, Testbench
from wheatstone.learn.rl.ddpg import DDPG, DDPGConfig, truncated_noise
from wheatstone.learn.rl.policies import MLPActor, MLPCritic, Seq2SeqActor, SequenceCritic
from wheatstone.learn.rl.replay import Replay
from wheatstone.studies.electronic.l2dc.config import Config

KINDS = "mqrclvidx"
"""First letters of components that have a place of their own in the observation; others share the last."""
POINT = {"m": ("id", "gm", "vgs", "vds", "vdsat", "vth"), "q": ("ic", "gm", "vbe", "vbc")}
CURRENTS = {"id": 1e-5, "ic": 1e-3, "gm": 1e-4}
"""What a current or a transconductance is compared with, in decades."""
POINTS = 6
SAMPLES = 8
"""Frequencies at which the response is shown."""


class Sequence:
    """Parameters of a testbench as components, and back."""

    def __init__(self, bench: Testbench) -> None:
        self.bench = bench
        self.parts = bench.components()
        index = {one.name: i for i, one in enumerate(bench.params)}
        listed = {name for _, names in self.parts for name in names}
        loose = [name for name in index if name not in listed]
        self.names = [*(names for _, names in self.parts), *((name,) for name in loose)]
        self.width = max(len(names) for names in self.names)
        mask = np.zeros((len(self.names), self.width), dtype=np.float32)
        self._at = np.zeros((len(index), 2), dtype=np.int64)
        for part, names in enumerate(self.names):
            for place, name in enumerate(names):
                mask[part, place] = 1.0
                self._at[index[name]] = part, place
        self.mask = torch.from_numpy(mask)
        self.feature = len(KINDS) + 1 + 2 * self.width + len(self.names) + POINTS + 2 * SAMPLES

    def shares(self, action: np.ndarray) -> np.ndarray:
        """Place of each parameter in its range, [param], from an action [part width]."""
        return (action[self._at[:, 0], self._at[:, 1]] + 1.0) / 2.0

    def action(self, shares: np.ndarray) -> np.ndarray:
        """The action that proposes these places, [part width]."""
        found = np.zeros(tuple(self.mask.shape), dtype=np.float32)
        found[self._at[:, 0], self._at[:, 1]] = 2.0 * shares - 1.0
        return found

    def observation(self, outcome: Outcome | None) -> Tensor:
        """[part feature] of a simulated design; only what the components are where there is none."""
        found = np.zeros((len(self.names), self.feature), dtype=np.float32)
        sizes = None if outcome is None else self.action(self.bench.shares(outcome.values))
        # Of a subcircuit, its last transistor: those of the process's own models have one.
        operating = {} if outcome is None else {one.name.partition(".")[0]: one for one in outcome.transistors}
        response = _response(outcome)
        for part in range(len(self.names)):
            device = self.parts[part][0] if part < len(self.parts) else None
            row = found[part]
            row[KINDS.find(device.kind) if device and device.kind in KINDS else len(KINDS)] = 1.0
            at = len(KINDS) + 1
            row[at : at + self.width] = self.mask[part].numpy()
            at += self.width
            if sizes is not None:
                row[at : at + self.width] = sizes[part]
            at += self.width
            row[at + part] = 1.0
            at += len(self.names)
            one = operating.get(device.name) if device else None
            if one is not None:
                for place, name in enumerate(POINT[one.kind]):
                    row[at + place] = _scaled(name, one.get(name))
            row[at + POINTS :] = response
        return torch.from_numpy(found)


def _scaled(name: str, value: float) -> float:
    if not math.isfinite(value):
        return 0.0
    if name in CURRENTS:
        return min(2.0, max(-2.0, math.log10(abs(value) / CURRENTS[name] + 1e-9) / 2.0))
    return min(2.0, max(-2.0, value))


def _response(outcome: Outcome | None) -> np.ndarray:
    """Magnitude (decades over 5) and phase (over pi) at a few frequencies, [2 SAMPLES]."""
    if outcome is None or outcome.response is None:
        return np.zeros(2 * SAMPLES, dtype=np.float32)
    at = np.linspace(0, len(outcome.response.frequency) - 1, SAMPLES).astype(int)
    value = outcome.response.value[at]
    magnitude = np.clip(np.log10(np.abs(value) + 1e-12) / 5.0, -2, 2)
    return np.concatenate([magnitude, np.angle(value) / np.pi]).astype(np.float32)


class Agent:
    """Proposes sizings and learns from what they were worth."""

    def __init__(self, sequence: Sequence, config: Config, rng: np.random.Generator, seed: int) -> None:
        self.sequence, self.config, self.rng = sequence, config, rng
        parts, width = sequence.mask.shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if config.network == "seq2seq":
                actor = Seq2SeqActor(sequence.feature, width, config.hidden)
                critic = SequenceCritic(sequence.feature, width, config.hidden)
            else:
                actor = MLPActor(parts, sequence.feature, width, config.hidden)
                critic = MLPCritic(parts, sequence.feature, width, config.hidden)
        learning = DDPGConfig(config.actor_lr, config.critic_lr, config.gamma, penalty=config.penalty)
        self.ddpg = DDPG(actor, critic, learning, sequence.mask)
        self.replay = Replay(config.simulations, (parts, sequence.feature), (parts, width))
        self.count = 0
        """Simulations so far."""
        self._start = sequence.observation(None)
        self._obs = self._start
        self._action = np.zeros((parts, width), dtype=np.float32)

    def propose(self) -> np.ndarray:
        """Place of each parameter in its range, [param]."""
        config, shape = self.config, tuple(self.sequence.mask.shape)
        if self.count < config.warmup:
            action = self.rng.uniform(-1.0, 1.0, shape)
        else:
            mean = self.ddpg.act(self._obs).numpy().astype(np.float64)
            action = truncated_noise(mean, self.noise(), self.rng)
        self._action = (action * self.sequence.mask.numpy()).astype(np.float32)
        return self.sequence.shares(self._action)

    def noise(self) -> float:
        """Standard deviation of the exploration now."""
        config = self.config
        steps = max(1.0, config.decay * config.simulations - config.warmup)
        left = 1.0 - min(1.0, (self.count - config.warmup) / steps)
        return config.noise_end + (config.noise - config.noise_end) * left

    def learn(self, outcome: Outcome, reward: float) -> float:
        """Stores what the last proposal was worth and takes some gradient steps; returns the critic's last loss."""
        config = self.config
        self.count += 1
        goes_on = self.count % config.episode != 0
        after = self.sequence.observation(outcome) if config.observe and config.episode > 1 else self._start
        self.replay.add(self._obs, torch.from_numpy(self._action), reward, after, goes_on=goes_on)
        self._obs = after if goes_on else self._start
        loss = math.nan
        if self.count >= config.warmup:
            for _ in range(config.updates):
                loss = self.ddpg.update(self.replay.draw(config.batch, self.rng))
        return loss

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint needs, beside `state`."""
        kept = {f"replay.{name}": value for name, value in self.replay.tensors().items()}
        return {**self.ddpg.tensors(), **kept, "obs": self._obs}

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs, beside `tensors`."""
        return {"count": self.count, "rng": self.rng.bit_generator.state}

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Goes on from `tensors` and `state`."""
        self.count = state["count"]
        self.rng.bit_generator.state = state["rng"]
        self.ddpg.restore(tensors)
        prefix = "replay."
        self.replay.restore({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}, self.count)
        self._obs = tensors["obs"]

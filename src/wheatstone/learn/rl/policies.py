"""Actors and critics for actions that belong to the parts of a thing: one vector of actions in [-1, 1] for each part.

    Seq2SeqActor     an LSTM reads the parts' observations in order, a second one writes their actions in the same
                     order, attending to what was read and seeing the action before (arXiv:1812.02734; attention as
                     Luong et al., arXiv:1508.04025, dot product)
    SequenceCritic   the same reader over (observation, action) pairs, one value at its end
    MLPActor, MLPCritic   all parts as one vector: the usual networks of DDPG (arXiv:1509.02971)

Shapes: obs [batch part feature], action [batch part dim].
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

START = 0.003
"""Half-width of the uniform start of last layers (arXiv:1509.02971, section 7): actions begin near the middle."""


class Decision(NamedTuple):
    """What an actor says."""

    action: Float[Tensor, "batch part dim"]
    """In [-1, 1]."""
    raw: Float[Tensor, "batch part dim"]
    """Before the tanh: a penalty on it keeps the tanh from saturating."""


class Seq2SeqActor(nn.Module):
    """LSTM encoder, LSTM decoder with dot-product attention, one action vector a part."""

    def __init__(self, feature: int, dim: int, hidden: int = 128) -> None:
        super().__init__()
        self.dim = dim
        self.encoder = nn.LSTM(feature, hidden, batch_first=True)
        self.decoder = nn.LSTMCell(dim + hidden, hidden)
        self.mix = nn.Linear(2 * hidden, hidden)
        self.out = _near_zero(nn.Linear(hidden, dim))

    def forward(self, obs: Float[Tensor, "batch part feature"]) -> Decision:
        read, (h, c) = self.encoder(obs)  # read [batch part hidden]
        h, c = h[0], c[0]
        before = obs.new_zeros(len(obs), self.dim)
        raws: list[Tensor] = []
        for part in range(obs.shape[1]):
            h, c = self.decoder(torch.cat([before, read[:, part]], dim=-1), (h, c))
            weights = torch.softmax(torch.einsum("bh,bph->bp", h, read), dim=-1)
            seen = torch.einsum("bp,bph->bh", weights, read)
            raws.append(self.out(torch.tanh(self.mix(torch.cat([h, seen], dim=-1)))))
            before = torch.tanh(raws[-1])
        raw = torch.stack(raws, dim=1)
        return Decision(torch.tanh(raw), raw)


class SequenceCritic(nn.Module):
    """The value of an action: an LSTM over (observation, action) of the parts, read at its end and on average."""

    def __init__(self, feature: int, dim: int, hidden: int = 128) -> None:
        super().__init__()
        self.encoder = nn.LSTM(feature + dim, hidden, batch_first=True)
        self.value = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.ReLU(), _near_zero(nn.Linear(hidden, 1)))

    def forward(
        self, obs: Float[Tensor, "batch part feature"], action: Float[Tensor, "batch part dim"]
    ) -> Float[Tensor, " batch"]:
        read, (h, _) = self.encoder(torch.cat([obs, action], dim=-1))
        return self.value(torch.cat([h[0], read.mean(dim=1)], dim=-1))[:, 0]


class MLPActor(nn.Module):
    """Two hidden layers over all parts at once."""

    def __init__(self, part: int, feature: int, dim: int, hidden: int = 128) -> None:
        super().__init__()
        self.shape = (part, dim)
        last = _near_zero(nn.Linear(hidden, part * dim))
        self.layers = nn.Sequential(*_hidden(part * feature, hidden), last)

    def forward(self, obs: Float[Tensor, "batch part feature"]) -> Decision:
        raw = self.layers(obs.flatten(1)).unflatten(1, self.shape)
        return Decision(torch.tanh(raw), raw)


class MLPCritic(nn.Module):
    """Two hidden layers over all parts' observations and actions at once."""

    def __init__(self, part: int, feature: int, dim: int, hidden: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_hidden(part * (feature + dim), hidden), _near_zero(nn.Linear(hidden, 1)))

    def forward(
        self, obs: Float[Tensor, "batch part feature"], action: Float[Tensor, "batch part dim"]
    ) -> Float[Tensor, " batch"]:
        return self.layers(torch.cat([obs.flatten(1), action.flatten(1)], dim=-1))[:, 0]


def _hidden(width: int, hidden: int) -> list[nn.Module]:
    return [nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]


def _near_zero(layer: nn.Linear) -> nn.Linear:
    nn.init.uniform_(layer.weight, -START, START)
    nn.init.zeros_(layer.bias)
    return layer

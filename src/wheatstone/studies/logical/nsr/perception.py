"""Which symbol a picture shows: learnt from clusters first, then from what explains the answers.

Source   Li et al., ICLR 2024, arXiv:2210.01603, section 3 and appendix (perception that starts from clusters without
         labels, 78 % of which match, and is then taught by the explanations)
Method   1 k-means on the pixels (Lloyd, 1982, seeded as in Arthur, Vassilvitskii, 2007): a cluster is a symbol without
         a name; what it means is for the semantics to find  2 a small convolutional network learns the clusters  3
         every explained sentence votes for the symbols of its pictures  4 the network learns the votes

Nothing here sees a label. Symbols are numbers of clusters, so each has one meaning only if the learning finds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

OTHERS = 3
"""Other symbols that a picture may be, the most probable first."""
LEAST = 1e-3
"""Probability below which another symbol is not considered."""
STARTS, SWEEPS = 4, 60
"""k-means: how often it starts, and how long it runs."""
VOTE_DECAY = 0.9
"""Share of old votes that a new round keeps."""


class Network(nn.Module):
    """8 x 8 picture -> scores of the symbols."""

    def __init__(self, n_symbol: int, init: torch.Generator) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 24, 3, padding=1)
        self.second = nn.Conv2d(24, 48, 3, padding=1)
        self.hidden = nn.Linear(48 * 4, 96)
        self.out = nn.Linear(96, n_symbol)
        with torch.no_grad():
            for parameter in self.parameters():
                if parameter.ndim > 1:
                    fan = parameter[0].numel()
                    parameter.normal_(0.0, (2 / fan) ** 0.5, generator=init)
                else:
                    parameter.zero_()

    def forward(self, pictures: Float[Tensor, "picture 8 8"]) -> Float[Tensor, "picture symbol"]:
        x = F.max_pool2d(F.relu(self.first(pictures[:, None])), 2)
        x = F.max_pool2d(F.relu(self.second(x)), 2)
        return self.out(F.relu(self.hidden(x.flatten(1))))


class Perception:
    """The network, the pictures that sentences are made of, and the votes on them."""

    def __init__(
        self, pictures: NDArray[np.float32], n_train: int, n_symbol: int, seed: int, *, taught: bool = True
    ) -> None:
        """`pictures` (picture, 8, 8): the first `n_train` may be learnt from, the others are asked about; without
        `taught` it stays at what the clusters taught it."""
        self.taught = taught
        self.pictures = torch.from_numpy(pictures)
        self.n_train, self.n_symbol = n_train, n_symbol
        self.net = Network(n_symbol, torch.Generator().manual_seed(seed))
        self.optimiser = torch.optim.Adam(self.net.parameters(), lr=2e-3)
        rng = np.random.default_rng((seed, 0))
        self.clusters = kmeans(pictures[:n_train].reshape(n_train, -1), n_symbol, rng)
        self.votes = np.zeros((n_train, n_symbol), np.float32)
        self.votes[np.arange(n_train), self.clusters] = 1.0
        self._log: NDArray[np.float64] | None = None
        for _ in range(15):
            self._epoch(rng)

    def symbols(self, pictures: NDArray[np.int64]) -> NDArray[np.int64]:
        """The most probable symbol of each picture (any shape of picture numbers)."""
        return self.log_probabilities().argmax(1)[pictures]

    def others(self, picture: int) -> Sequence[tuple[int, float]]:
        """Other symbols that a picture may show, with how much less probable they are (difference of logarithms)."""
        log = self.log_probabilities()[picture]
        best = float(log.max())
        order = np.argsort(-log)[1 : OTHERS + 1]
        return [(int(at), best - float(log[at])) for at in order if log[at] > np.log(LEAST)]

    def note(self, picture: int, symbol: int) -> None:
        """One explained sentence saw this symbol in the picture."""
        if picture < self.n_train:
            self.votes[picture, symbol] += 1

    def train(self, rng: np.random.Generator) -> float:
        """One pass over the pictures with their votes as targets; the mean loss."""
        if not self.taught:
            return float("nan")
        loss = self._epoch(rng)
        self.votes *= VOTE_DECAY
        return loss

    def log_probabilities(self) -> NDArray[np.float64]:
        """(picture, symbol) of all pictures."""
        if self._log is None:
            with torch.no_grad():
                self._log = F.log_softmax(self.net(self.pictures), 1).numpy().astype(np.float64)
        return self._log

    def tensors(self) -> dict[str, Tensor]:
        """Weights, optimiser state and votes, for a checkpoint."""
        found = {f"net.{name}": tensor for name, tensor in self.net.state_dict().items()}
        for at, state in self.optimiser.state_dict()["state"].items():
            found |= {f"adam.{at}.{name}": torch.as_tensor(value) for name, value in state.items()}
        return found | {"votes": torch.from_numpy(self.votes.copy())}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """What `tensors` gave."""
        self.net.load_state_dict({n.removeprefix("net."): t for n, t in tensors.items() if n.startswith("net.")})
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("adam."):
                _, at, part = name.split(".")
                state.setdefault(int(at), {})[part] = tensor
        self.optimiser.load_state_dict({"state": state, "param_groups": self.optimiser.state_dict()["param_groups"]})
        self.votes = tensors["votes"].numpy().copy()
        self._log = None

    def _epoch(self, rng: np.random.Generator, batch: int = 128) -> float:
        targets = self.votes / self.votes.sum(1, keepdims=True)
        order, total = rng.permutation(self.n_train), 0.0
        for start in range(0, self.n_train, batch):
            rows = order[start : start + batch]
            shown = self.pictures[rows]
            moved = torch.roll(shown, int(rng.integers(-1, 2)), dims=2)  # one pixel sideways: writers differ as much
            loss = F.cross_entropy(self.net(moved), torch.from_numpy(targets[rows]))
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            total += loss.item() * len(rows)
        self._log = None
        return total / self.n_train


def kmeans(points: NDArray[np.float32], n_cluster: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Cluster of each point (point, feature), the best of `STARTS` runs of Lloyd's algorithm from k-means++ seeds."""
    best, best_cost = np.zeros(len(points), np.int64), np.inf
    for _ in range(STARTS):
        centres = points[[int(rng.integers(len(points)))]]
        while len(centres) < n_cluster:
            nearest = _distances(points, centres).min(1)
            centres = np.concatenate([centres, points[[int(rng.choice(len(points), p=nearest / nearest.sum()))]]])
        for _ in range(SWEEPS):
            found = _distances(points, centres).argmin(1)
            moved = np.stack(
                [points[found == k].mean(0) if (found == k).any() else centres[k] for k in range(n_cluster)]
            )
            if np.array_equal(moved, centres):
                break
            centres = moved
        distances = _distances(points, centres)
        if (cost := float(distances.min(1).sum())) < best_cost:
            best, best_cost = distances.argmin(1), cost
    return best


def _distances(points: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.float64]:
    """Squared distances (point, centre), never below 0."""
    squares = (points**2).sum(1)[:, None] - 2.0 * points @ centres.T + (centres**2).sum(1)[None]
    return np.maximum(squares.astype(np.float64), 0.0)

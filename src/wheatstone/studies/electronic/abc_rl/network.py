"""The policy: a graph network over the circuit and a small transformer over the passes so far.

Source  ABC-RL's code: two graph convolutions of width 32 with mean and maximum read-out (64 numbers), joined to an
        encoding of the recipe, a dense layer of 256, a policy head whose weights start small and a value head.
Differs The recipe is encoded by a transformer that is trained here, not by a frozen text model on a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from wheatstone.domains.electronic.logic.aig import Aig
from wheatstone.domains.electronic.logic.features import N_KINDS, graph_arrays
from wheatstone.domains.electronic.logic.synthesis import ACTIONS, LENGTH
from wheatstone.learn.models.graph import GraphBatch, GraphEncoder
from wheatstone.learn.models.transformer import Transformer, TransformerConfig

WIDTH, DENSE, D_MODEL = 32, 256, 32
LIMIT = 3.0
"""Standard deviations beyond which a strange circuit is no stranger to the heads."""
START, PADDING = len(ACTIONS), len(ACTIONS) + 1
RECIPE = TransformerConfig(vocab=PADDING + 1, context=LENGTH + 1, d_model=D_MODEL, n_layer=1, n_head=4)


def graph_batch(aig: Aig) -> GraphBatch:
    """One circuit for the graph network."""
    arrays = graph_arrays(aig)
    edges = torch.from_numpy(arrays.edges)
    kinds = torch.from_numpy(arrays.kinds)
    features = torch.from_numpy(arrays.inverted)[:, None]
    return GraphBatch(kinds, features, edges[0], edges[1], torch.zeros_like(kinds), 1)


class Judgement(NamedTuple):
    """What the network says of (circuit, passes so far)."""

    logits: Float[Tensor, "batch action"]
    value: Float[Tensor, " batch"]


class PolicyNet(nn.Module):
    """Circuit and passes so far -> logits of the next pass, and the expected return."""

    def __init__(self, init: torch.Generator, *, recipe_encoder: bool = True) -> None:
        super().__init__()
        self.recipe_encoder = recipe_encoder
        self.encoder = GraphEncoder(N_KINDS, 1, WIDTH, 2, init)
        self.centre = nn.Buffer(torch.zeros(self.encoder.d_out))
        """Mean of the training circuits' vectors: they are so alike that the heads see nothing but it without this."""
        self.spread = nn.Buffer(torch.ones(self.encoder.d_out))
        """Their standard deviation."""
        self.recipe = Transformer(RECIPE, init)
        self.dense = nn.Linear(self.encoder.d_out + D_MODEL, DENSE)
        self.policy = nn.Linear(DENSE, len(ACTIONS))
        self.value = nn.Linear(DENSE, 1)
        with torch.no_grad():
            for layer in (self.dense, self.policy, self.value):
                nn.init.kaiming_uniform_(layer.weight, a=5**0.5, generator=init)
                layer.bias.zero_()
            self.policy.weight *= 0.01

    def standardise(self, circuits: Float[Tensor, "circuit d_circuit"]) -> None:
        """Sets centre and spread to those of these vectors."""
        self.centre.copy_(circuits.mean(dim=0))
        self.spread.copy_(circuits.std(dim=0, correction=0).clamp(min=1e-4))

    def forward(self, circuits: Float[Tensor, "batch d_circuit"], recipes: Int[Tensor, "batch pos"]) -> Judgement:
        """Circuits as the encoder's vectors, standardised here; recipes as `recipe_tokens`."""
        tokens = recipes if self.recipe_encoder else torch.where(recipes == PADDING, PADDING, START)
        last = (recipes != PADDING).sum(dim=1) - 1
        vectors = ((circuits - self.centre) / self.spread).clamp(-LIMIT, LIMIT)
        x = torch.cat([vectors, self.recipe.resid_at(tokens, last)], dim=1)
        x = F.relu(self.dense(x))
        return Judgement(self.policy(x), torch.tanh(self.value(x)[:, 0]))


def recipe_tokens(recipes: Sequence[Sequence[int]]) -> Int[Tensor, "batch pos"]:
    """Passes so far as rows: a start, the passes, padding."""
    rows = np.full((len(recipes), LENGTH + 1), PADDING, dtype=np.int64)
    rows[:, 0] = START
    for row, recipe in zip(rows, recipes, strict=True):
        row[1 : 1 + len(recipe)] = recipe
    return torch.from_numpy(rows)


class CircuitPolicy:
    """The policy of one circuit: probabilities of the next pass, remembered."""

    def __init__(self, net: PolicyNet, vector: Float[Tensor, " d_circuit"]) -> None:
        self.net, self.vector = net, vector
        self._known: dict[tuple[int, ...], np.ndarray] = {}

    def __call__(self, recipe: tuple[int, ...]) -> np.ndarray:
        """Probabilities (action,), which sum to 1."""
        if recipe not in self._known:
            with torch.no_grad():
                logits = self.net(self.vector[None], recipe_tokens([recipe])).logits[0]
                self._known[recipe] = torch.softmax(logits.double(), dim=0).numpy()
        return self._known[recipe]


def embed(net: PolicyNet, graphs: Sequence[GraphBatch]) -> Float[Tensor, "graph d_circuit"]:
    """The encoder's vector of each circuit, one at a time so that none depends on its company."""
    with torch.no_grad():
        return torch.cat([net.encoder(graph) for graph in graphs])

"""The policy's past: recipes that self-play found on the training circuits, and the network fitted to them.

Method
    1  On each training circuit one episode of tree search with the policy as it is, with noise at the root (code)
    2  Everything that was evaluated is remembered; the targets of a position are the next passes of the best recipes
       through it, weighted by exp(return / temperature), or the tree's visit counts (code)
    3  The network is fitted to all targets: cross-entropy for the passes, squared error for the returns
    4  Again, with the better policy
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wheatstone.domains.electronic.logic.aig import Aig
from wheatstone.domains.electronic.logic.synthesis import ACTIONS, Synthesis
from wheatstone.learn.models.graph import GraphBatch
from wheatstone.learn.search.tree import TreeConfig, share_out
from wheatstone.studies.electronic.abc_rl.config import Config
from wheatstone.studies.electronic.abc_rl.network import CircuitPolicy, PolicyNet, embed, graph_batch, recipe_tokens
from wheatstone.studies.electronic.abc_rl.search import SCHEDULE, Bench, Guide, Recipe, tree

BEST = 8
"""Recipes of each circuit that the policy learns from."""
TEMPERATURE = 0.03
"""Difference in return by which one recipe weighs e times another."""
NOISE = 0.15
BATCH = 320
VALUES = 32
"""Returns of each circuit that the value head learns from."""


@dataclass
class Memory:
    """What self-play has seen of each training circuit."""

    names: tuple[str, ...]
    returns: list[dict[Recipe, float]] = field(default_factory=list[dict[Recipe, float]])
    """Recipe -> return, circuit by circuit."""
    visits: list[dict[Recipe, list[int]]] = field(default_factory=list[dict[Recipe, list[int]]])
    """Passes so far -> visit counts of the next pass."""

    def __post_init__(self) -> None:
        self.returns = self.returns or [{} for _ in self.names]
        self.visits = self.visits or [{} for _ in self.names]

    def to_json(self) -> dict[str, Any]:
        return {
            "names": self.names,
            "returns": [[[list(recipe), value] for recipe, value in one.items()] for one in self.returns],
            "visits": [[[list(recipe), counts] for recipe, counts in one.items()] for one in self.visits],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Memory:
        return cls(
            tuple(value["names"]),
            [{tuple(recipe): number for recipe, number in one} for one in value["returns"]],
            [{tuple(recipe): counts for recipe, counts in one} for one in value["visits"]],
        )

    def best(self, circuit: int, count: int = BEST) -> list[tuple[Recipe, float]]:
        """The recipes with the largest returns."""
        return sorted(self.returns[circuit].items(), key=lambda item: (-item[1], item[0]))[:count]


class Targets(NamedTuple):
    """Rows that the network is fitted to."""

    circuit: Tensor
    tokens: Tensor
    passes: Tensor
    """(row, action): probabilities times the row's weight, all 0 in a row that only has a return."""
    returns: Tensor
    """(row,): NaN in a row that only has passes."""


def targets_of(memory: Memory, kind: str, rng: np.random.Generator) -> Targets:
    """The rows that a memory gives: see the method above."""
    circuits, recipes, passes, returns = list[int](), list[Recipe](), list[np.ndarray](), list[float]()
    for number in range(len(memory.names)):
        wanted = _best_passes(memory, number) if kind == "best" else _visit_shares(memory, number)
        for prefix, shares in wanted.items():
            circuits.append(number)
            recipes.append(prefix)
            passes.append(shares)
            returns.append(math.nan)
        seen = list(memory.returns[number].items())
        for place in rng.permutation(len(seen))[:VALUES].tolist():
            recipe, value = seen[place]
            circuits.append(number)
            recipes.append(recipe[: int(rng.integers(len(recipe) + 1))])
            passes.append(np.zeros(len(ACTIONS)))
            returns.append(value)
    return Targets(
        torch.tensor(circuits),
        recipe_tokens(recipes),
        torch.tensor(np.array(passes), dtype=torch.float32),
        torch.tensor(returns, dtype=torch.float32),
    )


def _best_passes(memory: Memory, circuit: int) -> dict[Recipe, np.ndarray]:
    found: dict[Recipe, np.ndarray] = defaultdict(lambda: np.zeros(len(ACTIONS)))
    best = memory.best(circuit)
    for recipe, value in best:
        for step, action in enumerate(recipe):
            found[recipe[:step]][action] += math.exp((value - best[0][1]) / TEMPERATURE)
    # A position that only lesser recipes pass through weighs as much as they do.
    return {prefix: weights / max(1.0, weights.sum()) for prefix, weights in found.items()}


def _visit_shares(memory: Memory, circuit: int) -> dict[Recipe, np.ndarray]:
    return {prefix: np.array(counts) / sum(counts) for prefix, counts in memory.visits[circuit].items() if sum(counts)}


def fit(
    net: PolicyNet, graphs: Sequence[GraphBatch], targets: Targets, cfg: Config, generator: torch.Generator
) -> float:
    """Fits the network in place; returns the mean loss of the last epoch."""
    batch = GraphBatch.of(graphs)
    optimiser = torch.optim.Adam(net.parameters(), lr=cfg.learning_rate)
    rows = len(targets.circuit)
    steps = cfg.epochs * -(-rows // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    net.train()
    losses = list[float]()
    for _ in range(cfg.epochs):
        losses = []
        order = torch.randperm(rows, generator=generator)
        for chosen in order.split(BATCH):
            vectors = net.encoder(batch)
            net.standardise(vectors.detach())
            said = net(vectors[targets.circuit[chosen]], targets.tokens[chosen])
            wanted, value = targets.passes[chosen], targets.returns[chosen]
            loss = -(wanted * F.log_softmax(said.logits, dim=1)).sum() / wanted.sum().clamp(min=1.0)
            has_value = ~value.isnan()
            if has_value.any():
                loss = loss + F.mse_loss(said.value[has_value], value[has_value])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
    net.eval()
    with torch.no_grad():
        net.standardise(net.encoder(batch))
    return math.fsum(losses) / len(losses)


class Course:
    """Self-play on the training circuits, one iteration at a time."""

    def __init__(self, cfg: Config, synthesis: Synthesis, aigs: Mapping[str, Aig], seeds: Callable[[str], int]) -> None:
        """`seeds` gives a number for the name of a random stream."""
        self.cfg, self.synthesis, self.seeds = cfg, synthesis, seeds
        self.names = tuple(aigs)
        self.graphs = [graph_batch(aig) for aig in aigs.values()]
        self.roots = [synthesis.add(aig) for aig in aigs.values()]

    def new_net(self, *, recipe_encoder: bool = True) -> PolicyNet:
        """An untrained network."""
        return PolicyNet(torch.Generator().manual_seed(self.seeds("init")), recipe_encoder=recipe_encoder).eval()

    def play(self, net: PolicyNet, memory: Memory, iteration: int, on_episode: Callable[[int], None]) -> float:
        """One episode on each circuit, into the memory; returns the mean best return so far."""
        vectors = embed(net, self.graphs)
        parts = share_out(self.cfg.simulations, SCHEDULE)
        for number, root in enumerate(self.roots):
            rng = np.random.default_rng(self.seeds(f"play/{iteration}/{self.names[number]}"))
            bench = Bench(self.synthesis, root, sum(parts))
            guide = Guide(CircuitPolicy(net, vectors[number]), 1.0, rollout=self.cfg.rollout)
            for decision in tree(bench, guide, TreeConfig(self.cfg.exploration, NOISE), rng):
                memory.visits[number][decision.position] = decision.visits.tolist()
            for found in bench.trace:
                value = max(-1.0, 1.0 - found.qor.adp / bench.baseline.adp)
                memory.returns[number][found.recipe] = value
            on_episode(number)
        return math.fsum(memory.best(number, 1)[0][1] for number in range(len(self.roots))) / len(self.roots)

    def learn(self, net: PolicyNet, memory: Memory, stage: str, kind: str) -> float:
        """Fits the network to the memory; returns the loss."""
        targets = targets_of(memory, kind, np.random.default_rng(self.seeds(f"targets/{stage}")))
        generator = torch.Generator().manual_seed(self.seeds(f"fit/{stage}"))
        return fit(net, self.graphs, targets, self.cfg, generator)


def shuffled(memory: Memory) -> Memory:
    """The memory with every circuit's games given to the next circuit."""
    turned = [*range(1, len(memory.names)), 0]
    return Memory(memory.names, [memory.returns[k] for k in turned], [memory.visits[k] for k in turned])

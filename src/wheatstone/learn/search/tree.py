"""Monte Carlo tree search with a prior (PUCT), for one player and deterministic moves.

A problem says which moves a position has and where a move leads; a *rollout* plays a position to its end and returns
what the end is worth. The search owns neither: it counts rollouts, so two searches with the same number have seen the
same number of ends. Any building of something step by step fits: a synthesis recipe, a quantum circuit, an attack.

Method
    1  From the root follow, at each position, the move with the largest score
       M / (1 + N) + c P sqrt(1 + N_parent) / (1 + N): M the sum of returns below it, N its visits, P its prior; equal
       scores are settled by a random order
    2  Open the first position that has not been seen: its priors come from `prior`
    3  Play it to its end by `rollout`, and add the return to every position on the way
    4  After the rollouts of one decision move to the child with most visits, keep its subtree, and go on

Source  Rosin, "Multi-armed bandits with episode context", 2011 (PUCT); Silver et al., Science 362 (2018), for priors
        and noise at the root; the score with 1 + N in both terms is that of ABC-RL's code (arXiv:2401.12205).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

S = TypeVar("S")
Prior = NDArray[np.float64]


class Problem(Protocol[S]):
    """What is searched. Positions are values that are never changed."""

    def moves(self, position: S) -> int:
        """How many moves a position has, 0 at an end."""
        ...

    def play(self, position: S, move: int) -> S:
        """Where a move leads, 0 <= move < moves(position)."""
        ...

    def prior(self, position: S) -> Prior:
        """A weight of each move, (move,), not negative. It need not sum to 1: larger weights explore more."""
        ...

    def rollout(self, position: S, rng: np.random.Generator) -> float:
        """Plays the position to an end and returns its worth, about -1 to 1."""
        ...


@dataclass(frozen=True)
class TreeConfig:
    """How a tree is grown."""

    exploration: float = 1.38
    """c of the score (ABC-RL's code: 1.38)."""
    noise: float = 0.0
    """Share of Dirichlet noise in the priors of the root (ABC-RL's code while training: 0.15)."""
    concentration: float = 0.03
    """Concentration of that noise (ABC-RL's code: 0.03)."""


@dataclass
class Node(Generic[S]):
    """A position that has been opened."""

    position: S
    moves: int
    prior: Prior
    order: NDArray[np.int64]
    """A random order of the moves, which settles equal scores."""
    visits: int = 0
    child_visits: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    child_returns: Prior = field(default_factory=lambda: np.zeros(0))
    children: dict[int, Node[S]] = field(default_factory=dict[int, Any])

    def best(self, exploration: float) -> int:
        """The move with the largest score."""
        visits = 1 + self.child_visits
        score = self.child_returns / visits + exploration * self.prior * math.sqrt(1 + self.visits) / visits
        return int(self.order[np.argmax(score[self.order])])

    def robust(self) -> int:
        """The move with most visits; among equals the one with the larger mean return."""
        mean = self.child_returns / np.maximum(self.child_visits, 1)
        return int(self.order[np.lexsort((mean[self.order], self.child_visits[self.order]))[-1]])


class Decision(NamedTuple):
    """One move of a finished search."""

    position: Any
    visits: NDArray[np.int64]
    """Rollouts through each move, (move,)."""
    move: int


class TreeSearch(Generic[S]):
    """A tree over one problem; draws everything from `rng`."""

    def __init__(self, problem: Problem[S], cfg: TreeConfig, rng: np.random.Generator) -> None:
        self.problem, self.cfg, self.rng = problem, cfg, rng
        self.rollouts = 0

    def open(self, position: S) -> Node[S]:
        """A node of this position, without visits."""
        moves = self.problem.moves(position)
        prior = np.asarray(self.problem.prior(position), dtype=np.float64) if moves else np.zeros(0)
        if prior.shape != (moves,) or (prior < 0).any() or not np.isfinite(prior).all():
            raise ValueError(f"a prior must be {moves} finite weights, none below 0; got {prior}")
        order = self.rng.permutation(moves)
        return Node(position, moves, prior, order, 0, np.zeros(moves, dtype=np.int64), np.zeros(moves))

    def simulate(self, root: Node[S]) -> float:
        """One rollout from the root: select, open, play to the end, add up. Returns what the end was worth."""
        node, path = root, list[tuple[Node[S], int]]()
        while node.moves:
            move = node.best(self.cfg.exploration)
            path.append((node, move))
            if move not in node.children:
                node.children[move] = self.open(self.problem.play(node.position, move))
                node = node.children[move]
                break
            node = node.children[move]
        value = self.problem.rollout(node.position, self.rng)
        self.rollouts += 1
        for parent, move in path:
            parent.visits += 1
            parent.child_visits[move] += 1
            parent.child_returns[move] += value
        node.visits += not node.moves
        return value

    def add_noise(self, root: Node[S]) -> None:
        """Mixes Dirichlet noise into the root's priors, keeping their sum."""
        if self.cfg.noise and root.moves:
            drawn = self.rng.dirichlet(np.full(root.moves, self.cfg.concentration))
            root.prior = (1 - self.cfg.noise) * root.prior + self.cfg.noise * root.prior.sum() * drawn

    def decide(
        self, position: S, rollouts: Sequence[int], on_rollout: Callable[[float], bool] | None = None
    ) -> list[Decision]:
        """Searches and moves until the rollouts are spent or an end is reached.

        Args:
            position: where to start.
            rollouts: how many to spend before each move.
            on_rollout: called with every return; the search stops when it answers True.
        """
        root, decisions = self.open(position), list[Decision]()
        for count in rollouts:
            if not root.moves:
                break
            self.add_noise(root)
            for _ in range(count):
                value = self.simulate(root)
                if on_rollout is not None and on_rollout(value):
                    return decisions
            move = root.robust()
            decisions.append(Decision(root.position, root.child_visits.copy(), move))
            root = root.children.get(move) or self.open(self.problem.play(root.position, move))
        return decisions


def share_out(total: int, weights: Sequence[float]) -> list[int]:
    """Whole numbers in proportion to the weights that sum to `total`, none below 1 while there is enough.

    Raises ValueError for weights that are not positive.
    """
    if not weights or min(weights) <= 0:
        raise ValueError(f"weights must be above 0, got {list(weights)}")
    spare = max(0, total - len(weights))
    scale = spare / sum(weights)
    parts = [int(weight * scale) for weight in weights]
    by_rest = sorted(range(len(weights)), key=lambda place: parts[place] - weights[place] * scale)
    for place in by_rest[: spare - sum(parts)]:
        parts[place] += 1
    return [part + (place < total) for place, part in enumerate(parts)]

"""Searching recipes for one circuit: random, greedy, annealing, and tree search, all by the same counter.

Every method calls `Bench.evaluate` and nothing else, which counts: a recipe that was evaluated before costs as much as
a new one. The return of a recipe is max(-1, (B - ADP) / B), B the area-delay product of resyn2 (code).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from wheatstone.domains.electronic.logic.synthesis import ACTIONS, LENGTH, RESYN2, Qor, Synthesis
from wheatstone.learn.search.tree import Decision, TreeConfig, TreeSearch, share_out

Recipe = tuple[int, ...]
Policy = Callable[[Recipe], np.ndarray]
"""Passes so far -> probabilities of the next pass."""
SCHEDULE = (8, 4, 2, 2, 2, 2, 1, 1, 1, 1)
"""Shares of the rollouts before each pass (code: 512, 256, four times 128, four times 64)."""
NEGLIGIBLE = 1e-3
"""Below this exponent a policy is not asked: else its faint preferences, not chance, would settle equal scores."""
HOTTEST, COLDEST = 0.1, 0.005
"""Temperatures of the annealing, in units of ln ADP."""


class Found(NamedTuple):
    """One evaluated recipe."""

    recipe: Recipe
    qor: Qor


class BudgetSpent(Exception):  # noqa: N818, not an error: how a search ends
    """All evaluations have been used."""


@dataclass
class Bench:
    """Evaluates recipes on one circuit, and counts."""

    synthesis: Synthesis
    root: str
    budget: int
    baseline: Qor = field(init=False)
    """resyn2's."""
    trace: list[Found] = field(default_factory=list[Found])
    seen: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    """Every (graph, pass) that was needed: what has to run when everything is remembered."""
    on_evaluation: Callable[[int, float], None] | None = None
    """Called with the number of evaluations and the best gain so far."""

    def __post_init__(self) -> None:
        self.baseline = self.synthesis.script(self.root, RESYN2)

    def evaluate(self, recipe: Recipe) -> float:
        """The return of a recipe. Raises BudgetSpent once the budget is used."""
        if len(self.trace) >= self.budget:
            raise BudgetSpent
        keys, qor = self.synthesis.evaluate(self.root, [ACTIONS[action] for action in recipe])
        self.seen.update(zip(keys, recipe, strict=False))
        self.trace.append(Found(recipe, qor))
        if self.on_evaluation is not None:
            self.on_evaluation(len(self.trace), self.baseline.adp / self.best.qor.adp)
        return max(-1.0, 1.0 - qor.adp / self.baseline.adp)

    @property
    def best(self) -> Found:
        return min(self.trace, key=lambda found: found.qor.adp)

    def curve(self) -> list[float]:
        """B / ADP of the best recipe so far, after each evaluation."""
        adps = np.minimum.accumulate([found.qor.adp for found in self.trace])
        return (self.baseline.adp / adps).tolist()


def random_recipes(bench: Bench, rng: np.random.Generator) -> None:
    """Independent recipes."""
    while True:
        bench.evaluate(tuple(rng.integers(len(ACTIONS), size=LENGTH).tolist()))


def greedy(bench: Bench, rng: np.random.Generator) -> None:
    """At each step the pass after which the mapped circuit is cheapest; what is left of the budget is random."""
    recipe: Recipe = ()
    for _ in range(LENGTH):
        returns = [bench.evaluate((*recipe, action)) for action in range(len(ACTIONS))]
        recipe = (*recipe, int(np.argmax(returns)))
    random_recipes(bench, rng)


def annealing(bench: Bench, rng: np.random.Generator) -> None:
    """One or two passes of the recipe are changed at a time; worse ones are kept with a chance that falls."""
    current = tuple(rng.integers(len(ACTIONS), size=LENGTH).tolist())
    bench.evaluate(current)
    cost = math.log(bench.trace[-1].qor.adp)
    while True:
        share = len(bench.trace) / bench.budget
        temperature = HOTTEST * (COLDEST / HOTTEST) ** share
        changed = list(current)
        for place in rng.choice(LENGTH, size=int(rng.integers(1, 3)), replace=False).tolist():
            changed[place] = int(rng.integers(len(ACTIONS)))
        bench.evaluate(tuple(changed))
        proposed = math.log(bench.trace[-1].qor.adp)
        if proposed <= cost or rng.random() < math.exp((cost - proposed) / temperature):
            current, cost = tuple(changed), proposed


def uniform(recipe: Recipe) -> np.ndarray:  # noqa: ARG001, a policy
    """Every pass alike."""
    return np.full(len(ACTIONS), 1 / len(ACTIONS))


@dataclass(frozen=True)
class Guide:
    """How a policy enters the tree."""

    policy: Policy
    alpha: float
    normalise: bool = True
    rollout: str = "policy"

    def weights(self, recipe: Recipe) -> np.ndarray:
        """policy^alpha, which does not sum to 1; of a policy that is not trusted, exactly what plain search has."""
        if self.alpha >= NEGLIGIBLE:
            return self.policy(recipe) ** self.alpha
        return uniform(recipe) if self.normalise else np.ones(len(ACTIONS))

    def prior(self, recipe: Recipe) -> np.ndarray:
        """policy^alpha, which sums to 1 unless it is not to be normalised."""
        weights = self.weights(recipe)
        return weights / weights.sum() if self.normalise else weights

    def finish(self, recipe: Recipe, rng: np.random.Generator) -> Recipe:
        """The recipe with all of its passes."""
        if self.rollout == "greedy" and len(recipe) < LENGTH:
            recipe = (*recipe, int(np.argmax(self.policy(recipe))))
        while len(recipe) < LENGTH:
            if self.rollout == "greedy":
                action = int(rng.integers(len(ACTIONS)))
            else:
                weights = self.weights(recipe)
                action = int(rng.choice(len(ACTIONS), p=weights / weights.sum()))
            recipe = (*recipe, action)
        return recipe


class RecipeProblem:
    """Recipes as positions of a tree: see `learn.search.tree.Problem`."""

    def __init__(self, bench: Bench, guide: Guide) -> None:
        self.bench, self.guide = bench, guide

    def moves(self, position: Recipe) -> int:
        return len(ACTIONS) if len(position) < LENGTH else 0

    def play(self, position: Recipe, move: int) -> Recipe:
        return (*position, move)

    def prior(self, position: Recipe) -> np.ndarray:
        return self.guide.prior(position)

    def rollout(self, position: Recipe, rng: np.random.Generator) -> float:
        return self.bench.evaluate(self.guide.finish(position, rng))


def tree(bench: Bench, guide: Guide, cfg: TreeConfig, rng: np.random.Generator) -> Sequence[Decision]:
    """Tree search with the whole budget; returns its decisions."""
    search = TreeSearch(RecipeProblem(bench, guide), cfg, rng)
    return search.decide((), share_out(bench.budget, SCHEDULE))


def tree_method(bench: Bench, guide: Guide | None, rng: np.random.Generator, exploration: float = 1.38) -> None:
    """Tree search; without a guide its prior is uniform."""
    tree(bench, guide or Guide(uniform, 1.0), TreeConfig(exploration), rng)


METHODS: dict[str, Callable[[Bench, np.random.Generator], None]] = {
    "random": random_recipes,
    "greedy": greedy,
    "annealing": annealing,
}
"""Searches without a tree."""


def evaluations_to(curve: Sequence[float], value: float) -> int:
    """How many evaluations a best-so-far curve needs to be at least `value`; one more than it has if it never is."""
    # A factor is a quotient of products of printed numbers: equal netlists give equal floats, so no tolerance.
    return next((number for number, reached in enumerate(curve, start=1) if reached >= value), len(curve) + 1)

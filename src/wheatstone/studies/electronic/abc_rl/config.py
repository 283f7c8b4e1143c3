"""The settings of the study: which circuits, which method, how the prior is trained and searched with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

Method = Literal["random", "greedy", "annealing", "tree"]


@dataclass(frozen=True)
class Config:
    """One trial searches recipes for every test circuit by one method, with the same number of evaluations each."""

    method: Method = "tree"
    """What proposes recipes; `tree` is Monte Carlo tree search."""
    prior: Literal["uniform", "policy"] = "policy"
    """Prior of the tree: every pass alike, or the pretrained policy's."""
    alpha: Literal["retrieved", "fixed"] = "retrieved"
    """Exponent of the policy: from the distance to the nearest training circuit, or always `fixed_alpha`."""
    fixed_alpha: Annotated[float, Ge(0), Le(1)] = 1.0
    """That exponent: 1 is the policy itself, 0 plain search."""
    normalise: bool = True
    """Let flattened priors sum to 1 (code: no, so that exploration grows up to sevenfold)."""
    rollout: Literal["policy", "greedy"] = "policy"
    """How a leaf is played to its end: passes drawn from the flattened policy, or its best pass once and then any pass
    (code). Chosen on the validation circuits."""
    stream: str = "search"
    """Name of the random stream of the search; another name is an independent repetition."""
    budget: Annotated[int, Ge(4)] = 60
    """Recipes evaluated on each test circuit, remembered ones counted (paper: 100)."""
    exploration: Annotated[float, Gt(0)] = 1.38
    """c of the tree's score (code: 1.38)."""
    circuits: Literal["auto", "benchmarks", "published", "generated"] = "auto"
    """Small MCNC, ISCAS-85 and EPFL circuits from the data folder, the paper's sets, or generated ones; auto takes the
    small benchmarks where they are there and generated circuits elsewhere."""
    library: Literal["auto", "generic", "asap7"] = "auto"
    """IHP SG13G2 from the data folder (auto, where it is there), ASAP7's simple cells and inverters, or the generic
    library of this package."""
    size: Annotated[int, Ge(1)] = 10
    """Training circuits; with fewer than 10 there is one circuit of each other kind."""
    iterations: Annotated[int, Ge(1)] = 3
    """Rounds of self-play and fitting (code: about 101)."""
    simulations: Annotated[int, Ge(10)] = 88
    """Rollouts of one self-play episode, a third of them before the first pass (code: 1536)."""
    targets: Literal["best", "visits"] = "best"
    """What the policy learns: the passes of the best recipes seen so far, or the tree's visit counts (code)."""
    epochs: Annotated[int, Ge(1)] = 60
    """Passes over all targets in each iteration (code: 60 updates)."""
    learning_rate: Annotated[float, Gt(0)] = 3e-3
    """Of Adam, on a cosine to zero (code: 0.01, reduced on plateaus)."""
    shuffle: bool = False
    """Give every training circuit the targets of another one: a memory of the right size and the wrong content."""
    recipe_encoder: bool = True
    """Let the policy see the passes so far; without it, their number only."""
    validation_budget: Annotated[int, Ge(4)] = 40
    """Recipes evaluated on each validation circuit for each exponent that is tried."""
    fault: bool = False
    """Invert one fan-in of every circuit that is returned: the proof of equivalence has to refuse it."""

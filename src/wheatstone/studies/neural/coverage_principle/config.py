"""The settings of the study: the composition and its training rows beside the recipe of model and training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from wheatstone.bench.errors import UserError
from wheatstone.learn.recipe import Recipe

ShapeName = Literal["two_hop", "parallel", "three_hop", "non_tree", "one_token"]


@dataclass(frozen=True)
class Config(Recipe):
    """The last fields belong to the search for the number of rows that a composition needs."""

    shape: ShapeName = "two_hop"
    """What is composed: f2(f1(x1,x2),x3), two such trees side by side, three calls, a shared input, or nothing."""
    n_token: Annotated[int, Gt(1)] = 20
    """Tokens |X|; inputs, bridges and targets share them (paper: 50)."""
    n_train: Annotated[int, Gt(0)] = 2400
    """Training rows N (paper: 10000 and more)."""
    seen_share: Annotated[float, Gt(0), Le(1)] = 0.7
    """Share of each function's calls that training may use (paper: 0.7)."""
    form: Literal["direct", "cot", "filler"] = "direct"
    """What is written before the target: nothing, the intermediate results, or as many constant tokens."""
    algebraic: bool = False
    """Every call is addition modulo |X| instead of a random table."""
    first_call_told: bool = False
    """Training also has the first call of every input it uses as a question of its own: x1 x2 -> f1(x1, x2)."""
    k_max: Annotated[int, Gt(0), Le(64)] = 8
    """Largest evidence k that is told apart (paper: 8 and 20)."""
    asked: Annotated[int, Gt(0)] = 1500
    """Tests of each kind, at most (paper: 2000)."""
    probe: Annotated[int, Gt(0)] = 400
    """ID tests whose states are compared and exchanged."""
    search: bool = False
    """Search for the rows that ID accuracy needs, at several token-set sizes, instead of one training."""
    sizes: str = "10,14,20,28,40"
    """The token-set sizes |X| of the search, separated by commas."""
    learner: Literal["substitution", "transformer"] = "substitution"
    """What has to answer in the search: substitution alone, which takes seconds, or a trained transformer."""
    halvings: Annotated[int, Gt(0)] = 7
    """Sizes of training set tried at each |X|: the logarithm of the range of N is halved each time."""
    needed_accuracy: Annotated[float, Gt(0), Lt(1)] = 0.9
    """ID accuracy that counts as generalising in the search."""
    most: Annotated[float, Gt(0), Lt(1)] = 0.9
    """The search lies between 2 |X| rows and this share of the usable inputs."""
    search_steps: Annotated[int, Ge(2)] = 300
    """Optimiser steps of each training of the search."""
    search_batch: Annotated[int, Gt(0)] = 256
    """Rows a step in the search."""

    def token_set_sizes(self) -> tuple[int, ...]:
        """`sizes` as numbers. Raises UserError unless they are at least two different whole numbers above 1."""
        words = self.sizes.split(",")
        numbers = tuple(int(word) for word in words if word.strip().isdigit())
        if len(numbers) != len(words) or len(set(numbers)) < 2 or min(numbers) < 2:
            raise UserError(f"sizes: got '{self.sizes}', must be two or more different numbers above 1, as 10,14,20.")
        return numbers

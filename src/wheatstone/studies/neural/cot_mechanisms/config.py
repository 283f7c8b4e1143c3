"""The settings of the study: data, form of the answer, noise, beside the recipe of model, optimiser and training."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from wheatstone.domains.steps import Form, Wrong
from wheatstone.learn.models.transformer import TransformerConfig
from wheatstone.learn.recipe import Recipe
from wheatstone.learn.training import FitConfig


@dataclass(frozen=True)
class Config(Recipe):
    """One arm: which facts, what is written before the answer, what of it is wrong, how long it trains."""

    form: Form = "cot"
    """What is written before the answer: nothing (direct), the bridge (cot), or a constant token (filler)."""
    wrong: Wrong = "none"
    """What is wrong in training: none, the answer (t), the bridge (b), both, or all bridges shuffled."""
    noise: Annotated[float, Ge(0), Le(1)] = 0.0
    """Share of the two-hop training questions that get random steps, a few right by chance (paper: 0.05 to 0.8)."""
    stages: Annotated[int, Ge(0)] = 0
    """Stages that drop the bridge from ever more of the training questions, after one that has all; 0: `form` stays."""
    longer: Annotated[float, Gt(0)] = 1.0
    """Times `steps`: how much longer this arm trains."""
    n_entity: Annotated[int, Gt(1)] = 60
    """Entities (paper: 2000)."""
    n_relation: Annotated[int, Gt(0)] = 20
    """Relations (paper: 200)."""
    out_degree: Annotated[int, Gt(0)] = 20
    """Facts of each entity (paper: 20)."""
    phi: Annotated[float, Ge(0)] = 3.6
    """Two-hop training questions for each ID fact, the paper's lambda; 0 takes all there are (paper: 0.001 to 18)."""
    three_hop: Annotated[float, Ge(0)] = 0.0
    """Three-hop questions in training for each ID fact (paper: 0)."""
    ood_share: Annotated[float, Ge(0), Lt(1)] = 0.05
    """Share of the facts that are in no training chain (paper: 0.05)."""
    test_share: Annotated[float, Gt(0), Lt(1)] = 0.05
    """Share of the chains of two ID facts that are kept as the ID test (paper: 0.005)."""
    positions: Literal["learned", "rotary", "none"] = "learned"
    """How positions enter the model (paper: learned)."""
    asked: Annotated[int, Gt(0)] = 1000
    """Questions of each pool at an evaluation, at most (paper: 3000)."""
    probe: Annotated[int, Gt(0)] = 400
    """ID test questions that the circuit is measured on, at most; those answered right count (paper: 10 to 20)."""
    accelerator: bool = False
    """Train on a GPU where there is one; its sums are not bit for bit repeatable."""

    def transformer(self, vocab: int, context: int) -> TransformerConfig:
        """The model, with this study's positions."""
        return dataclasses.replace(super().transformer(vocab, context), positions=self.positions)

    def fitting(self) -> FitConfig:
        """The training loop's settings, with the arm's own length."""
        fitting = super().fitting()
        return dataclasses.replace(fitting, steps=max(1, round(fitting.steps * self.longer)))

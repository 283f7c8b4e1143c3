"""The settings of the study: the axiom and its demonstrations beside the recipe of model and training."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from wheatstone.bench.errors import UserError
from wheatstone.domains.causal.axioms import AxiomName, Balance
from wheatstone.domains.causal.encode import Order
from wheatstone.learn.models.transformer import TransformerConfig
from wheatstone.learn.recipe import Recipe
from wheatstone.learn.training import FitConfig


@dataclass(frozen=True)
class Config(Recipe):
    """One arm: which axiom, which demonstrations, in which order, and what the model knows of positions."""

    d_model: Annotated[int, Gt(0)] = 96
    """Width of the residual stream (paper: 512)."""
    n_layer: Annotated[int, Gt(0)] = 4
    """Blocks with weights of their own (paper: 12)."""
    weight_decay: Annotated[float, Ge(0)] = 0.0
    """Decoupled decay of what AdamW updates."""
    matrix_decay: Annotated[float, Ge(0)] = 0.0
    """Decoupled decay of what Muon updates."""
    axiom: AxiomName = "transitivity"
    """transitivity, or d_separation."""
    shortest: Annotated[int, Ge(3), Le(20)] = 3
    """Nodes of the shortest chains that are demonstrated (paper: 3)."""
    longest: Annotated[int, Ge(3), Le(20)] = 6
    """Nodes of the longest chains that are demonstrated (paper: 6)."""
    flipped: Annotated[float, Ge(0), Le(1)] = 0.5
    """Share of the demonstrations on chains whose edges are flipped with probability 0.5 each; others point one way."""
    balance: Balance = "distance"
    """Demonstrations balanced by distance and answer, or by answer alone (paper: label)."""
    order: Order = "shuffled"
    """Statements in random order, or as written along the chain; in training and in tests."""
    encoding: Literal["statements", "text"] = "statements"
    """A position holds a whole statement, or a word or a character of the text (paper: text)."""
    positions: Literal["none", "learned", "rotary", "sinusoidal"] = "none"
    """What the model knows of the order of statements, or of tokens beyond the causal mask."""
    true_answers: bool = True
    """False: the answers of training are shuffled among its questions."""
    demonstrations: Annotated[int, Ge(0)] = 0
    """Demonstrations in training; 0 draws fresh ones for every step (paper: 175000, read 100 times)."""
    n_name: Annotated[int, Ge(4), Le(200)] = 24
    """Names of nodes, of which each question draws its own; of text, which spells its names, the largest tests."""
    held_out: Annotated[float, Ge(0), Lt(1)] = 0.2
    """Share of the shapes of flipped chains of four nodes and more that training never shows."""
    asked: Annotated[int, Ge(20)] = 500
    """Questions of each test (paper: 500)."""
    separation_steps: Annotated[int, Ge(0)] = 0
    """Optimiser steps where the axiom is d-separation, which takes longer to learn; 0: as many as of transitivity."""

    @property
    def length(self) -> int:
        """Optimiser steps of this arm."""
        return self.separation_steps if self.axiom == "d_separation" and self.separation_steps else self.steps

    def fitting(self) -> FitConfig:
        """The training loop's settings."""
        return dataclasses.replace(super().fitting(), steps=self.length)

    def sizes(self) -> range:
        """Nodes of the chains that are demonstrated. Raises UserError where that is no range."""
        if self.longest < self.shortest:
            raise UserError(f"longest: got {self.longest}, must not be below shortest, which is {self.shortest}.")
        if self.n_name < self.longest:
            raise UserError(f"n_name: got {self.n_name}, must not be below longest, which is {self.longest}.")
        return range(self.shortest, self.longest + 1)

    def network(self, vocab: int, context: int) -> TransformerConfig:
        """The model's shape for so many names or tokens, and questions of at most so many positions."""
        return dataclasses.replace(self.transformer(vocab, context), positions=self.positions, tied=False)

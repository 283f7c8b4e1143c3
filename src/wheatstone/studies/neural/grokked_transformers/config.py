"""The settings of the study: data sizes beside the recipe of model, optimiser and training."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt

from wheatstone.learn.recipe import Recipe


@dataclass(frozen=True)
class Config(Recipe):
    """Composition is sized by the first fields, comparison and complex reasoning by those named after them."""

    task: Literal["composition", "comparison", "complex"] = "composition"
    """What is asked: two hops, a comparison of two facts, or a comparison of values that are never told."""
    n_entity: Annotated[int, Gt(1)] = 50
    """Entities of the composition task (paper: 2000)."""
    n_relation: Annotated[int, Gt(0)] = 20
    """Relations (paper: 200)."""
    out_degree: Annotated[int, Gt(0)] = 20
    """Facts of each entity (paper: 20)."""
    phi: Annotated[float, Ge(0)] = 15.0
    """Inferred facts in training for each ID fact; 0 takes every chain there is (paper: 3.6 to 18)."""
    ood_share: Annotated[float, Ge(0), Lt(1)] = 0.05
    """Share of the facts that are in no training chain (paper: 0.05)."""
    test_share: Annotated[float, Gt(0), Lt(1)] = 0.05
    """Share of the chains of two ID facts that are kept as the ID test (paper: 0.005)."""
    relabel: bool = False
    """Give the entities new names after the split: a check that names carry nothing."""
    comparison_entities: Annotated[int, Gt(3)] = 200
    """Entities of the comparison tasks (paper: 1000)."""
    n_attribute: Annotated[int, Gt(0)] = 6
    """Attributes, each with a value for each entity (paper: 20)."""
    n_value: Annotated[int, Gt(1)] = 10
    """Values of an attribute, uniform (paper: 20)."""
    comparison_phi: Annotated[float, Gt(0)] = 30.0
    """Comparisons in training for each ID fact (paper: up to 12.6)."""
    comparison_ood_share: Annotated[float, Gt(0), Lt(1)] = 0.1
    """Share of the entities that are OOD, drawn anew for each attribute but in complex reasoning (paper: 0.1)."""
    comparison_test_share: Annotated[float, Gt(0), Lt(1)] = 0.1
    """Share of the pairs of ID entities that are kept as the ID test (paper: 0.1)."""
    comparison_width: Annotated[int, Gt(0)] = 64
    """Width of the residual stream in the comparison tasks: half of it generalised better and cost half as much."""
    comparison_steps: Annotated[int, Gt(0)] = 1000
    """Optimiser steps in the comparison tasks."""
    comparison_weight_decay: Annotated[float, Ge(0)] = 2.0
    """Decoupled decay of what AdamW updates in the comparison tasks."""
    comparison_matrix_decay: Annotated[float, Ge(0)] = 1.5
    """Decoupled decay of what Muon updates in the comparison tasks."""
    fact_copies: Annotated[int, Gt(0)] = 4
    """Copies of each fact beside one of each comparison, so that a batch holds enough facts (paper: 1)."""
    complex_share: Annotated[float, Gt(0), Lt(1)] = 0.03
    """Share of the comparisons that complex reasoning trains on (paper: 0.03)."""
    complex_tests: Annotated[int, Gt(0)] = 50
    """Hard questions for each of the three answers (paper: 50)."""
    asked: Annotated[int, Gt(0)] = 3000
    """Questions of each pool at an evaluation, at most (paper: 3000)."""
    probe: Annotated[int, Gt(0)] = 400
    """Training questions that the circuit is measured on (paper: 300)."""
    accelerator: bool = False
    """Train on a GPU where there is one; its sums are not bit for bit repeatable."""

    def recipe(self) -> Recipe:
        """The recipe of this config's task."""
        if self.task == "composition":
            return self
        return dataclasses.replace(
            self,
            d_model=self.comparison_width,
            steps=self.comparison_steps,
            weight_decay=self.comparison_weight_decay,
            matrix_decay=self.comparison_matrix_decay,
        )

"""The settings of the study: four domains and the mixture, beside the recipe of model, optimiser and training."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt

from wheatstone.bench.errors import UserError
from wheatstone.learn.models.mixture import Mixture, MixtureConfig, Router
from wheatstone.learn.models.transformer import Transformer
from wheatstone.learn.recipe import Recipe
from wheatstone.learn.training import FitConfig


@dataclass(frozen=True)
class Config(Recipe):
    """One arm: which domains, which router, how long it trains."""

    n_expert: Annotated[int, Gt(1)] = 8
    """Experts in a block (OLMoE: 64)."""
    top_k: Annotated[int, Gt(0)] = 2
    """Experts that compute a position (OLMoE: 8)."""
    d_expert: Annotated[int, Gt(0)] = 48
    """Width of an expert."""
    router: Router = "learned"
    """How experts are chosen: learned, frozen at the start, or scrambled (a hash of the state)."""
    balance: Annotated[float, Ge(0)] = 0.01
    """Weight of the load-balancing loss (OLMoE: 0.01)."""
    dense: bool = False
    """No experts: a layer as wide as the chosen ones together, whose most active neurons are the pathway."""
    n_entity: Annotated[int, Gt(1)] = 50
    """Entities of the two-hop domain."""
    n_relation: Annotated[int, Gt(0)] = 20
    """Relations of the two-hop domain."""
    phi: Annotated[float, Gt(0)] = 15.0
    """Two-hop questions in training for each fact."""
    modulus: Annotated[int, Gt(2)] = 59
    """Modulus p of the addition domain."""
    table_share: Annotated[float, Gt(0), Lt(1)] = 0.45
    """Share of the addition table in training."""
    n_compared: Annotated[int, Ge(20)] = 40
    """Entities of the comparison domain, with four attributes."""
    n_value: Annotated[int, Gt(1)] = 10
    """Values of an attribute: the fewer, the more entities are equal in it."""
    compared_phi: Annotated[float, Gt(0)] = 12.0
    """Comparisons in training for each fact."""
    n_noise: Annotated[int, Gt(1)] = 1000
    """Questions of the domain whose answers are drawn at random."""
    repeat: Annotated[int, Gt(0)] = 1
    """Times that each question of the addition domain is in the training rows: it is learnt last."""
    test_share: Annotated[float, Gt(0), Lt(1)] = 0.05
    """Share of the two-hop chains of known facts that are kept as the test."""
    probe: Annotated[int, Gt(2)] = 200
    """Training questions of each domain whose pathways are measured."""
    asked: Annotated[int, Gt(0)] = 400
    """Test questions of each domain at an evaluation, at most."""
    pairs: Annotated[int, Gt(0)] = 2000
    """Pairs of pathways of each kind that are compared, at most."""

    accelerator: bool = False
    """Train on a GPU where there is one; its sums are not bit for bit repeatable."""

    def model(self, vocab: int, context: int, init: torch.Generator) -> Transformer:
        """The model with initial weights. Raises UserError for more chosen experts than there are."""
        if self.top_k > self.n_expert:
            raise UserError(f"top_k: got {self.top_k}, must not be above n_expert, which is {self.n_expert}.")
        plain = self.transformer(vocab, context)
        if self.dense:
            return Transformer(dataclasses.replace(plain, d_mlp=self.top_k * self.d_expert), init)
        sizes = dataclasses.asdict(plain) | {"d_mlp": self.d_expert}
        routing = {name: getattr(self, name) for name in ("n_expert", "top_k", "router", "balance")}
        return Mixture(MixtureConfig(**sizes, **routing), init)

    def fitting(self) -> FitConfig:
        """The training loop's settings; evaluations are evenly spaced, so that the time after memorising has many."""
        return dataclasses.replace(super().fitting(), spacing="even")

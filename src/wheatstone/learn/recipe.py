"""The settings of a study that trains one transformer, flat, so that each is an option and an arm can change it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt

from wheatstone.learn.models.transformer import TransformerConfig
from wheatstone.learn.optimisers import Name, OptimiserConfig
from wheatstone.learn.training import FitConfig


@dataclass(frozen=True)
class Recipe:
    """Model, optimiser and length of training; a study's Config extends it.

    The defaults are the ones that brought two-hop composition to grok soonest among those tried on one CPU thread: Muon
    on the matrices inside blocks, strong decay everywhere, rates falling linearly.
    """

    d_model: Annotated[int, Gt(0)] = 128
    """Width of the residual stream."""
    n_layer: Annotated[int, Gt(0)] = 2
    """Blocks with weights of their own."""
    n_head: Annotated[int, Gt(0)] = 4
    """Attention heads."""
    loops: Annotated[int, Gt(0)] = 1
    """Times that the stack of blocks is applied with the same weights."""
    optimiser: Name = "muon"
    """adamw, muon, grokfast or orthograd."""
    lr: Annotated[float, Gt(0)] = 2e-3
    """Peak learning rate of AdamW (of embeddings and norms only, under Muon)."""
    weight_decay: Annotated[float, Ge(0)] = 1.0
    """Decoupled decay of what AdamW updates."""
    matrix_lr: Annotated[float, Gt(0)] = 0.04
    """Peak learning rate of Muon."""
    matrix_decay: Annotated[float, Ge(0)] = 0.5
    """Decoupled decay of what Muon updates."""
    beta2: Annotated[float, Gt(0)] = 0.98
    """Second-moment decay of AdamW."""
    schedule: Literal["constant", "cosine", "linear"] = "linear"
    """Decay of the rates after warm-up, to 5 % of the peak."""
    warmup: Annotated[int, Ge(0)] = 100
    """Steps of linear warm-up."""
    steps: Annotated[int, Gt(0)] = 500
    """Optimiser steps."""
    batch: Annotated[int, Gt(0)] = 1024
    """Questions a step."""
    dropout: Annotated[float, Ge(0)] = 0.0
    """Dropout (GPT-2: 0.1)."""
    evaluations: Annotated[int, Gt(0)] = 25
    """Log-spaced evaluations."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the forward matrix products."""
    loss: Literal["softmax", "stablemax"] = "softmax"
    """Cross-entropy of softmax or of StableMax."""

    def transformer(self, vocab: int, context: int) -> TransformerConfig:
        """The model for a vocabulary and a longest question."""
        return TransformerConfig(
            vocab=vocab,
            context=context,
            d_model=self.d_model,
            n_layer=self.n_layer,
            n_head=self.n_head,
            loops=self.loops,
            dropout=self.dropout,
        )

    def fitting(self) -> FitConfig:
        """The training loop's settings."""
        optimiser = OptimiserConfig(
            name=self.optimiser,
            lr=self.lr,
            weight_decay=self.weight_decay,
            beta2=self.beta2,
            matrix_lr=self.matrix_lr,
            matrix_decay=self.matrix_decay,
            warmup=self.warmup,
            schedule=self.schedule,
        )
        return FitConfig(
            steps=self.steps,
            batch=self.batch,
            evaluations=self.evaluations,
            loss=self.loss,
            precision=self.precision,
            optimiser=optimiser,
        )

"""A tiny transformer learns sums modulo 11: a real study of a second, with every kind of file that a run can leave.

Source        Power et al., arXiv:2201.02177, section 2
Idea          Weights that move learn sums; weights that stand still do not.
Method        1 half of all sums  2 train with checkpoints  3 the training loss  4 weights and answers as artifacts
Differs       one block, forty steps: it measures memorising only
Falsified by  `frozen` reaching the loss of `learns`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Gt

from wheatstone.bench.exhibit import Exhibit, Lines, Table, curve_line
from wheatstone.bench.run import Run, Trial
from wheatstone.bench.study import Arm, Card, Claim, Preset, Study
from wheatstone.learn.models.transformer import Transformer, TransformerConfig
from wheatstone.learn.optimisers import OptimiserConfig
from wheatstone.learn.sequences import padded
from wheatstone.learn.training import FitConfig, accuracy, fit

CARD = Card(
    name="tiny",
    family="neural",
    title="Sums modulo 11",
    source="Power et al., arXiv:2201.02177",
    claim="A learning rate of zero learns nothing",
    presets=("smoke",),
)
MODULUS = 11


@dataclass(frozen=True)
class Config:
    steps: Annotated[int, Gt(0)] = 40
    """Optimiser steps."""
    lr: Annotated[float, Gt(0)] = 5e-3
    """Peak learning rate."""
    d_model: Annotated[int, Gt(0)] = 32
    """Width."""
    evaluations: Annotated[int, Gt(0)] = 12
    """Evaluations, each of which writes a checkpoint."""


def run(trial: Trial[Config]) -> Mapping[str, float]:
    """Trains on half of all sums and keeps the weights."""
    config = trial.config
    pairs = np.stack(np.divmod(np.arange(MODULUS**2), MODULUS), 1)
    prompts = np.concatenate([pairs, np.zeros((len(pairs), 1), pairs.dtype)], 1)
    sums = pairs.sum(1) % MODULUS
    seen = trial.rng("split").permutation(len(pairs)) < len(pairs) // 2
    shape = TransformerConfig(vocab=MODULUS, context=3, d_model=config.d_model, n_layer=1, n_head=2)
    model = Transformer(shape, torch.Generator().manual_seed(trial.seed_for("init")))
    asked, expected = torch.from_numpy(prompts[seen]), torch.from_numpy(sums[seen])
    fitted = fit(
        model,
        padded([prompts[seen]], [sums[seen]]),
        FitConfig(
            steps=config.steps,
            batch=20,
            evaluations=config.evaluations,
            optimiser=OptimiserConfig(name="adamw", lr=config.lr, warmup=5),
        ),
        order_seed=trial.seed_for("order") % 2**31,
        evaluate=lambda trained: {"train_accuracy": accuracy(trained, asked, expected)},
        keeper=trial,
    )
    trial.save_tensors("model", model.state_dict())
    trial.write("history", [[point.step, point.values["train_loss"]] for point in fitted.history])
    return {"train_loss": fitted.history[-1].values["train_loss"], "steps": fitted.steps}


def exhibits(run: Run) -> Sequence[Exhibit]:
    """The losses of every arm, as curves and as a table."""
    curves = [curve_line(run, "train_loss", arm, arm) for arm in run.arms]
    rows = [(record.arm, record.seed, len(record.artifact("history"))) for record in run.records()]
    return [
        Lines("losses", "Training loss", "optimiser steps", "loss [nats]", curves),
        Table("points", "Evaluations", ("arm", "seed", "points"), rows),
    ]


STUDY = Study(
    card=CARD,
    doc=__doc__ or "",
    config=Config,
    presets={"smoke": Preset(Config(), seeds=2, about="a second")},
    measures={"train_loss": "cross-entropy of the training sums (nats)", "steps": "optimiser steps"},
    arms=(Arm("learns", "a useful rate"), Arm("frozen", "a rate near zero", {"lr": 1e-9})),
    claims=(
        Claim(
            name="learns",
            text="A useful rate lowers the loss, a rate near zero does not.",
            measure="train_loss",
            treatment="learns",
            control="frozen",
            direction="lower",
            margin=0.1,
            source="section 2",
        ),
    ),
    run=run,
    exhibits=exhibits,
)

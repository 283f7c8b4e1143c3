"""Training until unseen two-hop questions are answered: with `fit`, and in a plain Hugging Face loop.

Both stop at the first evaluation with 0.95 of the ID questions right, count only the time between evaluations, and
evaluate at steps that grow by the same factor.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.composition import transformer, with_answers
from benchmarks.peers import hugging_face
from wheatstone.domains.tasks import Task
from wheatstone.learn.models.transformer import TransformerConfig
from wheatstone.learn.recipe import Recipe
from wheatstone.learn.sequences import NO_TARGET
from wheatstone.learn.training import fit

GENERALISED = 0.95
"""Share of unseen ID questions answered exactly at which the clock stops."""
FINER = 1.05
"""Ratio of two evaluated steps."""
PUBLISHED_WARMUP = 2000
CLIP = 1.0


class Evaluated(NamedTuple):
    """One evaluation."""

    step: int
    seconds: float
    """Training time so far, evaluation excluded."""
    id_accuracy: float


@dataclass(frozen=True)
class Reached:
    """How a training went."""

    step: int | None
    """Optimiser steps until 0.95 ID accuracy; None if it did not get there."""
    seconds: float
    """Training time until then, or all of it."""
    steps: int
    """Steps done."""
    id_accuracy: float
    """At the end."""
    history: tuple[Evaluated, ...]

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def reached(history: list[Evaluated]) -> Reached:
    """What a history comes to."""
    last = history[-1]
    done = last.id_accuracy >= GENERALISED
    return Reached(last.step if done else None, last.seconds, last.step, last.id_accuracy, tuple(history))


def with_fit(recipe: Recipe, task: Task, seed: int, keeper: Any = None) -> Reached:
    """Our own loop with a study's recipe."""
    cfg = dataclasses.replace(
        recipe.fitting(),
        evaluations=max(2, round(math.log(recipe.steps) / math.log(FINER))),
        stop_metric="id_accuracy",
        stop_at=GENERALISED,
        stop_times=1,
    )

    def evaluate(model: Any) -> dict[str, float]:
        return {"id_accuracy": task.test_id.accuracy(model)}

    done = fit(transformer(recipe, task, seed), task.train, cfg, order_seed=seed, evaluate=evaluate, keeper=keeper)
    return reached([Evaluated(p.step, p.seconds, p.values["id_accuracy"]) for p in done.history])


@dataclass(frozen=True)
class PlainRecipe:
    """Settings of the Hugging Face loop; the defaults are those published with arXiv:2405.15071."""

    lr: float = 1e-4
    weight_decay: float = 0.1
    beta2: float = 0.999
    batch: int = 512
    dropout: float = 0.1
    warmup: int = PUBLISHED_WARMUP
    steps: int = 1_500_000
    linear_to: float = 1.0
    """Share of the peak rate at the last step: 1 is constant after warm-up."""


def answer_rows(task: Task) -> tuple[Tensor, Tensor]:
    """Rows as the authors' format has them: question, answer, end of answer; labels at the last two."""
    tokens, labels = with_answers(task.train)
    tokens = torch.cat((tokens, torch.zeros_like(tokens[:, :1])), 1)
    labels = torch.cat((labels, torch.full_like(labels[:, :1], NO_TARGET)), 1)
    end = (labels != NO_TARGET).int().argmax(1) + 1
    row = torch.arange(len(tokens))
    tokens[row, end] = task.vocab
    labels[row, end] = task.vocab
    return tokens, labels


def gpt2_for(task: Task, recipe: Recipe, dropout: float, seed: int) -> Any:
    """Hugging Face GPT-2 of the recipe's size, with a token more (end of answer) and room for answers in the rows."""
    torch.manual_seed(seed)
    cfg = TransformerConfig(
        task.vocab + 1, task.context + 2, d_model=recipe.d_model, n_layer=recipe.n_layer, n_head=recipe.n_head
    )
    return hugging_face.gpt2(cfg, dropout=dropout)


def with_hugging_face(plain: PlainRecipe, recipe: Recipe, task: Task, seed: int, budget: float) -> Reached:
    """A plain loop over a `DataLoader`, eager, AdamW, for `budget` seconds of training at most."""
    model = gpt2_for(task, recipe, plain.dropout, seed)
    optimiser = hugging_face.adamw(model, lr=plain.lr, weight_decay=plain.weight_decay, beta2=plain.beta2)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, share_of_rate(plain))
    batches = endless(task, plain.batch, seed)
    model.train()
    step, seconds, history = 0, 0.0, list[Evaluated]()
    while step < plain.steps and seconds < budget:
        until = min(plain.steps, max(step + 1, math.ceil(step * FINER)))
        started = time.perf_counter()
        while step < until and seconds + time.perf_counter() - started < budget:
            tokens, labels = next(batches)
            model(input_ids=tokens, labels=labels).loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
            step += 1
        seconds += time.perf_counter() - started
        history.append(Evaluated(step, seconds, hugging_face.accuracy(model, *task.test_id)))
        if history[-1].id_accuracy >= GENERALISED:
            break
    return reached(history)


def share_of_rate(plain: PlainRecipe) -> Callable[[int], float]:
    """Linear warm-up, then constant or linear down to `linear_to`."""

    def share(step: int) -> float:
        if step < plain.warmup:
            return (step + 1) / plain.warmup
        done = min(1.0, (step - plain.warmup) / max(1, plain.steps - plain.warmup))
        return 1.0 - done * (1.0 - plain.linear_to)

    return share


def endless(task: Task, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled batches from a DataLoader, epoch after epoch."""
    loader = DataLoader(
        TensorDataset(*answer_rows(task)),
        batch_size=batch,
        shuffle=True,
        drop_last=True,
        generator=torch.Generator().manual_seed(seed),
    )
    while True:
        yield from loader


def random_rows(task: Task, batch: int, seed: int) -> Iterator[Tensor]:
    """Row numbers of batches, drawn without replacement within an epoch."""
    rng = np.random.default_rng(seed)
    while True:
        order = torch.from_numpy(rng.permutation(len(task.train)))
        yield from order[: len(order) // batch * batch].split(batch)

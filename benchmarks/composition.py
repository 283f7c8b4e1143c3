"""The two-hop data that the benchmarks train on: that of the study `grokked-transformers`, preset `cpu`."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from wheatstone.domains.kg.split import composition_split
from wheatstone.domains.kg.synthetic import random_table
from wheatstone.domains.tasks import Sampling, Task, composition_task
from wheatstone.learn.models.transformer import Transformer, TransformerConfig
from wheatstone.learn.recipe import Recipe
from wheatstone.learn.sequences import NO_TARGET, Sequences
from wheatstone.studies.neural.grokked_transformers.config import Config
from wheatstone.studies.neural.grokked_transformers.study import CPU

PHI = 15.0
"""Inferred facts for each fact: the study's arm that generalises."""


def settings(n_entity: int, **changes: object) -> Config:
    """The study's settings at this size."""
    return dataclasses.replace(CPU, **{"n_entity": n_entity, "phi": PHI, **changes})


def composition(config: Config, seed: int) -> Task:
    """Facts, split and questions for one seed."""
    table = random_table(config.n_entity, config.n_relation, config.out_degree, np.random.default_rng((seed, 1)))
    split = composition_split(
        table, phi=config.phi, ood_share=config.ood_share, test_share=config.test_share, seed=seed
    )
    return composition_task(split, Sampling(np.random.default_rng((seed, 2)), config.asked, config.probe))


def transformer(recipe: Recipe, task: Task, seed: int) -> Transformer:
    """A fresh model for a task."""
    return Transformer(recipe.transformer(task.vocab, task.context), torch.Generator().manual_seed(seed))


def dense(rows: Sequences) -> Sequences:
    """The same rows with a target at every position: the next token, and the answer at the position that asks."""
    following = torch.cat((rows.tokens[:, 1:], torch.zeros_like(rows.tokens[:, :1])), 1)
    return Sequences(rows.tokens, torch.where(rows.targets == NO_TARGET, following, rows.targets))


def with_answers(rows: Sequences) -> tuple[Tensor, Tensor]:
    """(tokens, labels) as a causal language model library wants them: the answer is a token of the row.

    Both are [row, pos + 1]; labels are -100 everywhere but at the answer, and the library shifts them itself.
    """
    tokens = torch.cat((rows.tokens, torch.zeros_like(rows.tokens[:, :1])), 1)
    labels = torch.full_like(tokens, NO_TARGET)
    labels[:, 1:] = rows.targets
    return torch.where(labels == NO_TARGET, tokens, labels), labels


def step_flops(cfg: TransformerConfig, batch: int, length: int, *, answer_only: bool) -> float:
    """Floating-point operations of forward and backward for one batch; a multiplication and an addition count as two.

    Per block: queries, keys, values and output are 4 matrices [d, d], the feed-forward two of [d, m]; attention
    multiplies queries with keys and weights with values, all `length` of them. The unembedding is [d, vocab]. Backward
    is twice forward (the gradient of the weights and of the input). With `answer_only` the last block computes queries,
    output, attention and feed-forward for one position a row, and one position is unembedded.
    """
    d, m = cfg.d_model, 4 * cfg.d_model if cfg.d_mlp is None else cfg.d_mlp
    everywhere = batch * length
    asked = batch if answer_only else everywhere
    whole_block = everywhere * (4 * d * d + 2 * d * m + 2 * length * d)
    last_block = everywhere * 2 * d * d + asked * (2 * d * d + 2 * d * m + 2 * length * d)
    forward = 2.0 * ((cfg.depth - 1) * whole_block + last_block + asked * d * cfg.vocab)
    return 3.0 * forward

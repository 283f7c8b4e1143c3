"""The control: a decoder-only transformer on the same pairs, `source | answer end`, asked for the answer alone.

Rotary positions, so that lengths beyond training are not met by vectors that were never trained. An answer counts when
every token of it is the most probable one and the end comes right after it: one forward pass over the right answer says
whether greedy decoding would give it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wheatstone.bench.trial import Trial
from wheatstone.domains.sequences.pairs import Pair
from wheatstone.learn.models.transformer import Transformer, TransformerConfig
from wheatstone.learn.optimisers import OptimiserConfig
from wheatstone.learn.sequences import NO_TARGET, Sequences
from wheatstone.learn.training import FitConfig, fit
from wheatstone.studies.logical.nsr.config import Config
from wheatstone.studies.logical.nsr.tasks import Task

ASKED = 300
"""Pairs of each test at an evaluation during training, at most."""
HEADS = 4


class Vocabulary(NamedTuple):
    """Token -> number, for words and for the tokens of answers."""

    words: Mapping[str, int]
    answers: Mapping[str, int]
    separator: int
    end: int

    @property
    def size(self) -> int:
        return self.end + 1


def vocabulary(task: Task, numbers: bool) -> Vocabulary:
    """Words and answer tokens apart from each other; a number is spelt in digits."""
    words = {name: at for at, name in enumerate(task.names)}
    tokens = sorted({token for pairs in task.pairs.values() for pair in pairs for token in _spelt(pair, numbers)})
    answers = {token: len(words) + at for at, token in enumerate(tokens)}
    separator = len(words) + len(answers)
    return Vocabulary(words, answers, separator, separator + 1)


def _spelt(pair: Pair, numbers: bool) -> Sequence[str]:
    return tuple(pair.target[0]) if numbers else pair.target


def as_rows(pairs: Sequence[Pair], vocabulary: Vocabulary, numbers: bool) -> Sequences:
    """One pair a row, padded on the right; the targets are the answer and its end."""
    rows = [
        (
            [vocabulary.words[word] for word in pair.source],
            [vocabulary.answers[token] for token in _spelt(pair, numbers)],
        )
        for pair in pairs
    ]
    longest = max(len(source) + len(answer) + 1 for source, answer in rows)
    tokens = np.full((len(rows), longest), vocabulary.end, np.int64)
    targets = np.full((len(rows), longest), NO_TARGET, np.int64)
    for row, (source, answer) in enumerate(rows):
        start = len(source)
        tokens[row, :start] = source
        tokens[row, start] = vocabulary.separator
        tokens[row, start + 1 : start + 1 + len(answer)] = answer
        targets[row, start : start + len(answer)] = answer
        targets[row, start + len(answer)] = vocabulary.end
    return Sequences(torch.from_numpy(tokens), torch.from_numpy(targets))


@torch.no_grad()
def exact(model: Transformer, rows: Sequences, batch: int = 64) -> list[bool]:
    """Which answers greedy decoding gives, end included."""
    model.eval()
    found: list[bool] = []
    for start in range(0, len(rows), batch):
        tokens, targets = rows.tokens[start : start + batch], rows.targets[start : start + batch]
        asked: Tensor = targets != NO_TARGET
        used = int(asked.any(0).nonzero().max()) + 1
        best = model(tokens[:, :used]).argmax(-1)
        found += ((best == targets[:, :used]) | ~asked[:, :used]).all(1).tolist()
    return found


def run_baseline(trial: Trial[Config], task: Task) -> dict[str, list[bool]]:
    """Trains on the pairs of the task; test -> which answers are right."""
    config = trial.config
    numbers = isinstance(task.train[0].answer, int)
    words = vocabulary(task, numbers)
    train = as_rows(task.pairs["train"], words, numbers)
    context = max(as_rows(pairs, words, numbers).tokens.shape[1] for pairs in task.pairs.values() if pairs)
    model = Transformer(
        TransformerConfig(
            vocab=words.size,
            context=context,
            d_model=config.baseline_width,
            n_layer=config.baseline_layers,
            n_head=HEADS,
            positions="rotary",
        ),
        torch.Generator().manual_seed(trial.seed_for("init")),
    )
    fitting = FitConfig(
        steps=config.baseline_steps,
        batch=config.baseline_batch,
        evaluations=config.evaluations,
        optimiser=OptimiserConfig(
            name="adamw", lr=config.baseline_lr, weight_decay=0.01, beta2=0.98, warmup=100, schedule="linear"
        ),
    )
    tests = {name: as_rows(task.pairs[name], words, numbers) for name in task.tests}
    watched = {name: Sequences(rows.tokens[:ASKED], rows.targets[:ASKED]) for name, rows in tests.items()}

    def evaluate(model: Transformer) -> dict[str, float]:
        share = {name: float(np.mean(exact(model, rows))) for name, rows in watched.items()}
        return {
            "accuracy": float(np.mean([share[name] for name in task.main])),
            "validation_accuracy": share["validation"],
        }

    fit(model, train, fitting, order_seed=trial.seed_for("order"), evaluate=evaluate, keeper=trial)
    return {name: exact(model, rows) for name, rows in tests.items()}

"""How many rows a composition needs: a search at several token-set sizes, and the slope of log N over log |X|.

At each |X| the range of N is halved on a logarithmic scale: with the N in its middle the learner either reaches the
needed ID accuracy (then fewer rows are tried) or does not (then more are). The rows needed lie between the last failure
and the last success, and are read there by interpolating log N at the needed accuracy. Training sets of one |X| are
nested. The learner is a transformer, or substitution alone: then what is searched for is the data that coverage asks
for, before any network plays a part.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from wheatstone.bench.run import Trial
from wheatstone.domains.compositions import SHAPES, Composition, Tests, compose, split, usable
from wheatstone.domains.coverage.classes import classes
from wheatstone.domains.coverage.graph import SubstitutionGraph
from wheatstone.domains.coverage.predict import substitute
from wheatstone.learn.models.transformer import Transformer
from wheatstone.learn.training import fit
from wheatstone.studies.neural.coverage_principle.config import Config
from wheatstone.studies.neural.coverage_principle.experiment import NAN, NOT_MEASURED, share
from wheatstone.studies.neural.coverage_principle.task import Tokens, sampled

LEARNT = 0.999
"""Training accuracy below which a training says nothing about the rows that are needed."""
RISING = 0.05
"""ID accuracy gained in the second half of the steps: a training that falls short and gains so much was too short."""
ROWS_A_TOKEN = 2
"""The search begins at so many rows for each token."""


class Tried(NamedTuple):
    """One size of training set."""

    n_token: int
    n_train: int
    train_accuracy: float
    id_accuracy: float
    before: float
    """ID accuracy at half of the steps: how much it was still rising; NaN for substitution."""


def search(trial: Trial[Config]) -> Mapping[str, float]:
    """The measures of an arm that searches; goes on after a kill from the last size that was finished."""
    config = trial.config
    saved = trial.load_checkpoint()
    done = [_read(row) for row in saved.state["tried"]] if saved is not None else []
    sizes = config.token_set_sizes()
    tried: list[Tried] = []
    for n_token in sizes:
        composition = compose(SHAPES[config.shape], n_token, trial.rng(f"tables-{n_token}"))
        n_usable = len(usable(composition, config.seen_share, trial.rng(f"rows-{n_token}")))
        low, high = ROWS_A_TOKEN * n_token, round(config.most * n_usable)
        for halving in range(config.halvings):
            middle, number = round(math.sqrt(low * high)), len(tried)
            if number < len(done):
                one = done[number]
            else:
                parts = split(composition, middle, config.seen_share, trial.rng(f"rows-{n_token}"))
                learn = _substitution if config.learner == "substitution" else _transformer
                one = learn(trial, composition, parts, halving)
                trial.log(number + 1, **one._asdict())
            tried.append(one)
            if number >= len(done):
                trial.save_checkpoint({"none": np.zeros(1)}, {"tried": [list(row) for row in tried]})
            note = f"|X| = {n_token}, {middle} rows: ID {one.id_accuracy:.2f}"
            trial.progress(number + 1, len(sizes) * config.halvings, note)
            low, high = (low, middle) if one.id_accuracy >= config.needed_accuracy else (middle, high)
    rows = [rows_needed([one for one in tried if one.n_token == size], config.needed_accuracy) for size in sizes]
    trial.write("tried", [row._asdict() for row in tried])
    trial.write("needed", [{"n_token": size, "rows": needed} for size, needed in zip(sizes, rows, strict=True)])
    return searched(sizes, rows)


def _read(row: Sequence[float | None]) -> Tried:
    """A row of the checkpoint, where NaN is null."""
    n_token, n_train, *rates = row
    assert n_token is not None, "written by us"
    assert n_train is not None, "written by us"
    return Tried(int(n_token), int(n_train), *(NAN if rate is None else rate for rate in rates))


def searched(sizes: Sequence[int], rows: Sequence[float]) -> dict[str, float]:
    """The measures: the exponent, and the rows needed at the smallest and the largest size."""
    return {
        **NOT_MEASURED,
        "exponent": slope(sizes, rows),
        "rows_smallest": rows[sizes.index(min(sizes))],
        "rows_largest": rows[sizes.index(max(sizes))],
    }


def _substitution(trial: Trial[Config], composition: Composition, parts: Tests, halving: int) -> Tried:
    rows = sampled(parts, trial.config.asked, trial.rng(f"asked-{composition.n_token}-{halving}"))
    found = classes(composition.inputs[rows.train], composition.targets[rows.train], k_max=trial.config.k_max)
    answered = substitute(SubstitutionGraph(found, composition.inputs[rows.test_id]))
    accuracy = answered.accuracy(composition.targets[rows.test_id])
    return Tried(composition.n_token, len(rows.train), 1.0, accuracy, NAN)


def _transformer(trial: Trial[Config], composition: Composition, parts: Tests, halving: int) -> Tried:
    config, name = trial.config, f"{composition.n_token}-{halving}"
    rows = sampled(parts, config.asked, trial.rng(f"asked-{name}"))
    tokens = Tokens(composition, config.form)
    init = torch.Generator().manual_seed(trial.seed_for(f"init-{name}"))
    model = Transformer(config.transformer(tokens.vocab, tokens.context), init)
    half = config.search_steps // 2
    changed = dataclasses.replace(config, steps=config.search_steps, batch=config.search_batch)
    cfg = dataclasses.replace(changed.fitting(), evaluations=8)

    def evaluate(model: Transformer) -> dict[str, float]:
        return {
            "train_accuracy": share(tokens.right(model, rows.train_asked)),
            "id_accuracy": share(tokens.right(model, rows.test_id)),
        }

    order = trial.seed_for(f"order-{name}") % 2**31
    fitted = fit(model, tokens.train(rows.train), cfg, order_seed=order, evaluate=evaluate)
    last = fitted.history[-1].values
    before = [point for point in fitted.history if point.step <= half][-1].values
    return Tried(
        composition.n_token, len(rows.train), last["train_accuracy"], last["id_accuracy"], before["id_accuracy"]
    )


def rows_needed(tried: Sequence[Tried], needed: float) -> float:
    """Rows at which ID accuracy crosses `needed`; NaN where all trainings lie on one side of it.

    Trainings that did not learn their rows do not count, nor do those that fell short while they were still rising.
    """
    learnt = [one for one in tried if one.train_accuracy >= LEARNT and not math.isnan(one.id_accuracy)]
    enough = [one for one in learnt if one.id_accuracy >= needed]
    if not enough:
        return NAN
    above = min(enough, key=lambda one: one.n_train)
    too_few = [one for one in learnt if one.n_train < above.n_train and not one.id_accuracy - one.before >= RISING]
    if not too_few:
        return NAN
    below = max(too_few, key=lambda one: one.n_train)
    part = (needed - below.id_accuracy) / (above.id_accuracy - below.id_accuracy)
    return math.exp(math.log(below.n_train) + part * (math.log(above.n_train) - math.log(below.n_train)))


def slope(sizes: Sequence[int], rows: Sequence[float]) -> float:
    """Least-squares slope of log rows over log size; NaN unless every size has its rows."""
    if any(math.isnan(one) for one in rows):
        return NAN
    return float(np.polyfit(np.log(sizes), np.log(rows), 1)[0])


class Exponent(NamedTuple):
    """Quantiles of a bootstrap."""

    low: float
    middle: float
    high: float


def bootstrap_exponent(
    sizes: Sequence[int], rows: Sequence[Sequence[float]], rng: np.random.Generator, times: int = 2000
) -> Exponent:
    """2.5 %, 50 % and 97.5 % quantiles of the slope when each size draws anew among its seeds' rows.

    `rows[size][seed]`; a seed without a value is left out; NaN where a size has none. With as few points as a search
    has, the interval is indicative.
    """
    known = [[one for one in of_size if not math.isnan(one)] for of_size in rows]
    if not all(known):
        return Exponent(NAN, NAN, NAN)
    x = np.log(sizes) - np.log(sizes).mean()
    means = np.stack([rng.choice(np.log(of_size), size=(times, len(of_size))).mean(axis=1) for of_size in known])
    return Exponent(*np.quantile(x @ means / (x @ x), [0.025, 0.5, 0.975]).tolist())

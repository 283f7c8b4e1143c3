"""What is checked on traced prompts: do contributions add up, is the weights' part constant, do attributions predict.

Adding up     one hop (heads as nodes) and direct, for the prompt's top prediction against the runner-up and for the
              most active feature of each layer at the last position: |sum - value| / |value|
Constant      an edge's contribution x scale / activation is one number for every prompt, that of the connection table
Predicting    of the 30 features of largest total attribution to the prediction, the rank correlation of the attribution
              with what the real model loses when the feature's output is taken out at its position and all that follows
              is computed anew; beside it that of the attribution to another target
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from wheatstone.interp.transcoders.attribution import direct, one_hop, relative_error, total
from wheatstone.interp.transcoders.connections import connection_table, table_hash
from wheatstone.interp.transcoders.dictionary import Dictionary
from wheatstone.interp.transcoders.frozen import Frozen, Reading, freeze
from wheatstone.interp.transcoders.store import SKIPPED
from wheatstone.learn.models.decoder import Decoder
from wheatstone.learn.models.transformer import Sites

ABLATED = 30
LEAST_VALUE = 1e-2
"""A target nearer to zero has no relative error worth a number."""


@dataclass(frozen=True)
class Sums:
    """Largest relative errors of sums of contributions over all targets of all prompts."""

    complete: float
    without_errors: float
    """Median over targets of the same with the error nodes left out: how much they carry."""
    n_target: int


class Ranks(NamedTuple):
    """Mean rank correlations with the measured effects over prompts."""

    attribution: float
    other_target: float
    points: tuple[tuple[float, float], ...]
    """(attribution, effect) of every feature, in logits."""


def prediction(frozen: Frozen, model: Decoder) -> tuple[Reading, Reading]:
    """The last position's top prediction against the runner-up, and as another target the third against the fourth."""
    logits = model.unembed(frozen.final[-1].float())
    first, second, third, fourth = logits.topk(4).indices.tolist()
    last, u = len(frozen.tokens) - 1, frozen.anatomy.unembedding
    main = frozen.logits(u[first] - u[second], last, f"{first}-{second}")
    return main, frozen.logits(u[third] - u[fourth], last, f"{third}-{fourth}")


def sums(frozen: Frozen, model: Decoder) -> list[tuple[float, float]]:
    """(relative error, the same without error nodes) of every target of a prompt."""
    found: list[tuple[float, float]] = []
    readings = [prediction(frozen, model)[0]]
    last = len(frozen.tokens) - 1
    for layer, tc in frozen.transcoders.items():
        if tc.z[last].max() > 0:
            readings.append(frozen.feature(layer, last, int(tc.z[last].argmax())))
    for reading in readings:
        if abs(reading.value) < LEAST_VALUE:
            continue
        parts = direct(frozen, reading)
        error = max(relative_error(parts, reading), relative_error(one_hop(frozen, reading), reading))
        if reading.below > 0:  # before the first layer's output there is no error node to leave out
            parts.errors.clear()
            parts.unmodelled.clear()
            found.append((error, relative_error(parts, reading)))
    return found


@torch.no_grad()
def measured_effects(
    model: Decoder, frozen: Frozen, places: list[tuple[int, int, int]], reading: Reading
) -> list[float]:
    """What the reading loses when a feature's output is taken out: attention, norms and layers after it are real."""
    effects: list[float] = []
    direction = reading.g * frozen.scale_final[reading.position]  # the unembedding with the final norm's gain
    for layer, position, feature in places:
        tc = frozen.transcoders[layer]
        written = (tc.z[position, feature] * tc.W_dec[feature]).float()

        def without(value: Tensor, at: int = position, amount: Tensor = written) -> Tensor:
            value = value.clone()
            value[:, at] -= amount
            return value

        x, _ = model.embed(frozen.tokens[None], None, None)
        final = model.run_blocks(x, hooks={Sites.of(layer).mlp_out: without})[0, reading.position].to(direction.dtype)
        scale = frozen.anatomy.norm_final.scale(final)
        now = (final @ direction / scale).item() + reading.constant
        effects.append(reading.value - now)
    return effects


def ranks(model: Decoder, frozen: Frozen) -> tuple[float, float, list[tuple[float, float]]] | None:
    """Rank correlation of attributions with effects, of another target's with the same, and the points."""
    main, other = prediction(frozen, model)
    found, elsewhere = total(frozen, main).features, total(frozen, other).features
    places = [(layer, *place) for layer in found for place in (frozen.transcoders[layer].z > 0).nonzero().tolist()]
    values = torch.tensor([found[layer][p, f].item() for layer, p, f in places])
    if len(values) < ABLATED:
        return None
    top = values.abs().topk(ABLATED).indices.tolist()
    chosen = [places[i] for i in top]
    effects = measured_effects(model, frozen, chosen, main)
    attributions = [values[i].item() for i in top]
    others = [elsewhere[layer][p, f].item() for layer, p, f in chosen]
    points = list(zip(attributions, effects, strict=True))
    return spearman(attributions, effects), spearman(others, effects), points


def spearman(a: list[float], b: list[float]) -> float:
    """Rank correlation, -1 to 1; ties share their mean rank. NaN for constant values."""
    first, second = _ranks(a), _ranks(b)
    first, second = first - first.mean(), second - second.mean()
    scale = (first.square().sum() * second.square().sum()).sqrt().item()
    return (first @ second).item() / scale if scale > 0 else math.nan


def _ranks(values: list[float]) -> Float[Tensor, " n"]:
    x = torch.tensor(values, dtype=torch.float64)
    below = (x[:, None] > x).sum(1).double()
    equal = (x[:, None] == x).sum(1).double()
    return below + (equal - 1) / 2


@dataclass(frozen=True)
class Invariance:
    """Edges between two layers' features at the same token, read off prompts."""

    weight_error: float
    """Largest relative distance of an edge's weight from the connection table, over prompts."""
    contribution_spread: float
    """Relative difference of an edge's contribution between two prompts, median over the edges seen in several."""
    hash: str
    """Of the whole connection table."""
    n_edge: int
    n_shared: int
    """Edges seen in several prompts."""


def invariance(frozens: list[Frozen], dictionaries: Mapping[int, Dictionary]) -> Invariance | None:
    """Compares edges from the first to the last layer between prompts, at every position; None with fewer than two.

    An edge is read where both of its features are active; of each position the two most active targets are taken.
    """
    source, target = min(dictionaries), max(dictionaries)
    if source == target or len(frozens) < 2:
        return None
    table = connection_table(frozens[0].anatomy, dictionaries, source, target)
    worst, n_edge = 0.0, 0
    seen: dict[tuple[int, int], dict[int, float]] = {}
    for number, frozen in enumerate(frozens):
        z, active = frozen.transcoders[source].z, frozen.transcoders[target].z
        for position in range(SKIPPED, len(frozen.tokens)):
            at = z[position].nonzero()[:, 0]
            for feature in active[position].topk(2).indices.tolist():
                found = one_hop(frozen, frozen.feature(target, position, feature)).features[source][position, at]
                weights = found * frozen.layers[target].scale_mlp[position, 0] / z[position, at]
                true = table[at, feature]
                worst = max(worst, ((weights - true).abs() / true.abs().clamp(min=1e-6)).max().item())
                n_edge += len(at)
                for i, value in zip(at.tolist(), found.tolist(), strict=True):
                    seen.setdefault((i, feature), {})[number] = value
    spreads = [
        (max(values.values()) - min(values.values())) / max(map(abs, values.values()))
        for values in seen.values()
        if len(values) > 1
    ]
    return Invariance(
        worst, float(np.median(spreads)) if spreads else math.nan, table_hash(table), n_edge, len(spreads)
    )


def traced(
    model: Decoder, rows: Int[Tensor, "row pos"], n: int, length: int, dictionaries: Mapping[int, Dictionary]
) -> list[Frozen]:
    """The first `length` tokens of `n` rows, frozen."""
    return [freeze(model, row[:length], dictionaries) for row in rows[:n]]

"""Where a feature fires: the positions of highest activation on some text, with the words around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from wheatstone.interp.transcoders.dictionary import Dictionary
from wheatstone.interp.transcoders.store import SKIPPED, Hooked, watched

AROUND = 8


@dataclass(frozen=True)
class Example:
    """Tokens around the position where a feature is most active in a row, and its activation at each."""

    tokens: tuple[int, ...]
    activations: tuple[float, ...]
    peak: int
    """Index of the position of highest activation."""


@torch.no_grad()
def activations(
    model: Hooked, rows: Int[Tensor, "row pos"], layer: int, dictionary: Dictionary, *, batch: int = 8
) -> Float[Tensor, "row pos feature"]:
    """Activations of all features; zero at the positions that are left out."""
    side = "out" if dictionary.cfg.kind == "sae" else "in"
    parts = [dictionary.encode(watched(model, part, [layer])[f"{layer}.{side}"]) for part in rows.split(batch)]
    found = torch.cat(parts)
    found[:, :SKIPPED] = 0.0
    return found


def top_examples(
    z: Float[Tensor, "row pos"], rows: Int[Tensor, "row pos"], n: int = 5, around: int = AROUND
) -> list[Example]:
    """The `n` rows where a feature (its activations `z`) is most active, one example a row, highest first."""
    peaks = z.max(1)
    found: list[Example] = []
    for row in peaks.values.argsort(descending=True)[:n].tolist():
        if peaks.values[row] <= 0:
            break
        at = int(peaks.indices[row])
        part = slice(max(0, at - around), at + around // 2 + 1)
        found.append(Example(tuple(rows[row, part].tolist()), tuple(z[row, part].tolist()), at - part.start))
    return found


def live_features(z: Float[Tensor, "row pos feature"], least: float = 1e-4) -> Int[Tensor, " live"]:
    """Features that fire at more than a share `least` of the positions (the paper's rule for its cards: 1e-4)."""
    return ((z > 0).flatten(0, 1).float().mean(0) > least).nonzero()[:, 0]


def sampled_features(z: Float[Tensor, "row pos feature"], n: int, rng: np.random.Generator) -> list[int]:
    """`n` live features drawn at random: cards must not be chosen by how well they read."""
    live = live_features(z).tolist()
    return sorted(int(i) for i in rng.choice(live, size=min(n, len(live)), replace=False)) if live else []


def marked(example: Example, word: Callable[[Sequence[int]], str]) -> str:
    """The words of an example with the token of highest activation between ⟦ and ⟧."""
    before, after = example.tokens[: example.peak], example.tokens[example.peak + 1 :]
    return f"{word(before)}⟦{word(example.tokens[example.peak : example.peak + 1])}⟧{word(after)}"


def token_share(z: Float[Tensor, "row pos feature"], rows: Int[Tensor, "row pos"], most: int = 512) -> float:
    """How much of a live feature's variance the current token alone explains, mean over the first `most` live features.

    One for features that only say which token this is: what remains of "interpretable" features in a random network.
    """
    live = live_features(z)[:most]
    if not len(live):
        return float("nan")
    values, tokens = z[:, SKIPPED:, live].flatten(0, 1).double(), rows[:, SKIPPED:].flatten()
    _, group, counts = tokens.unique(return_inverse=True, return_counts=True)
    sums = torch.zeros(len(counts), len(live), dtype=torch.float64).index_add_(0, group, values)
    between = (sums.square() / counts[:, None]).sum(0) - values.sum(0).square() / len(values)
    total = values.square().sum(0) - values.sum(0).square() / len(values)
    # With few tokens a group, groups explain some of any noise: the share is adjusted as R^2 is for regressors.
    share = 1 - (1 - between / total) * (len(values) - 1) / max(1, len(values) - len(counts))
    return share.clamp(0, 1).mean().item()

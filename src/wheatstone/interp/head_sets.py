"""Sets of heads: the strongest of a map, what two tasks share, what chance shares, how far the sample decides.

Overlap of two circuits as in Merullo et al. 2024 (arXiv:2310.08744): the top share of all heads by absolute effect, and
how many are common. Chance: k heads of n drawn twice share k^2 / n on average, hypergeometric. Stability as in Méloux
et al. 2025 (arXiv:2510.00845): the set again from prompts drawn with replacement, and its Jaccard index with the set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from wheatstone.interp.end_column import Head


@dataclass(frozen=True)
class Overlap:
    """What two sets of equal size have in common."""

    shared: tuple[Head, ...]
    size: int
    """Heads in each set."""
    n: int
    """Heads to choose from."""

    @property
    def jaccard(self) -> float:
        """Shared over united."""
        return len(self.shared) / max(1, 2 * self.size - len(self.shared))

    @property
    def by_chance(self) -> float:
        """Shared on average when both sets are drawn."""
        return self.size**2 / self.n

    @property
    def p_value(self) -> float:
        """Probability of so many shared heads or more when both sets are drawn (hypergeometric)."""
        k, n = self.size, self.n
        return sum(math.comb(k, i) * math.comb(n - k, k - i) for i in range(len(self.shared), k + 1)) / math.comb(n, k)


@dataclass(frozen=True)
class Stability:
    """How a head set changes with the sample of prompts."""

    mean: float
    """Mean Jaccard index with the set of all prompts, over resamples."""
    low: float
    """2.5 % quantile."""
    high: float
    frequency: dict[Head, float]
    """Share of resamples in which a head belongs to the set; heads below 5 % are left out."""


def count_of(share: float, n: int) -> int:
    """Heads in the top `share` of `n`, one at least: 2 % of 270 are 5.4, hence 6 (rounded up)."""
    return max(1, math.ceil(share * n - 1e-9))


def top_heads(effect: Float[Tensor, "layer head"], count: int) -> tuple[Head, ...]:
    """The `count` heads of the largest absolute effect, strongest first; ties go to the earlier head."""
    flat = effect.abs().flatten()
    order = torch.sort(flat, descending=True, stable=True).indices[:count]
    return tuple(Head(int(i) // effect.shape[1], int(i) % effect.shape[1]) for i in order)


def overlap(first: Float[Tensor, "layer head"], second: Float[Tensor, "layer head"], count: int) -> Overlap:
    """Of the top `count` of each map."""
    other = set(top_heads(second, count))
    return Overlap(tuple(head for head in top_heads(first, count) if head in other), count, first.numel())


def group_overlap(
    first: Float[Tensor, "layer head"], second: Float[Tensor, "layer head"], count: int, queries: int
) -> float:
    """Jaccard index at the level of key heads, which `queries` neighbouring heads share."""
    sets = [{(head.layer, head.head // queries) for head in top_heads(effect, count)} for effect in (first, second)]
    return len(sets[0] & sets[1]) / max(1, len(sets[0] | sets[1]))


def stability(
    effect: Float[Tensor, "batch layer head"], count: int, resamples: int, rng: np.random.Generator
) -> Stability:
    """The set of the mean over prompts against the sets of `resamples` means over prompts drawn with replacement."""
    whole = set(top_heads(effect.mean(0), count))
    n = len(effect)
    indices: list[float] = []
    hits: dict[Head, int] = {}
    for _ in range(resamples):
        drawn = torch.from_numpy(rng.integers(0, n, n))
        found = set(top_heads(effect[drawn].mean(0), count))
        indices.append(len(found & whole) / len(found | whole))
        for head in found:
            hits[head] = hits.get(head, 0) + 1
    frequency = {head: hit / resamples for head, hit in sorted(hits.items()) if hit / resamples >= 0.05}
    low, high = np.quantile(indices, (0.025, 0.975))
    return Stability(float(np.mean(indices)), float(low), float(high), frequency)


def random_heads(like: tuple[Head, ...], n_head: int, avoid: set[Head], rng: np.random.Generator) -> tuple[Head, ...]:
    """As many heads in the same layers, drawn from those that are not in `avoid`.

    A layer whose heads are all taken gives heads that are not in `like` at least.
    """
    found: list[Head] = []
    for layer in sorted({head.layer for head in like}):
        needed = sum(head.layer == layer for head in like)
        free = [Head(layer, i) for i in range(n_head) if Head(layer, i) not in avoid and Head(layer, i) not in like]
        if len(free) < needed:
            free = [Head(layer, i) for i in range(n_head) if Head(layer, i) not in like] or list(like)
        chosen = rng.choice(len(free), min(needed, len(free)), replace=False)
        found += [free[int(i)] for i in sorted(chosen)]
    return tuple(found)

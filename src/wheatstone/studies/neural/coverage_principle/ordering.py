"""Whether evidence decides what is answered: accuracy by k-cutoff, with frequency held equal."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wheatstone.domains.compositions import Ints
from wheatstone.interp.monitors import spearman

NAN = float("nan")


class Ordering(NamedTuple):
    """How the cutoff of a test goes with its being answered."""

    spearman: float
    """Rank correlation of k-cutoff and correctness, with mean ranks for ties [-1, 1]."""
    top: float
    """Accuracy of the third of the tests with the largest cutoffs [0, 1]."""
    bottom: float
    """Accuracy of the third with the smallest."""
    matched: float
    """Top minus bottom third within tests whose fragments are equally frequent in training, mean over frequencies."""


def thirds(cutoff: Ints, right: Ints, rng: np.random.Generator) -> tuple[float, float]:
    """Accuracy of the top and of the bottom third by cutoff; which of equals belongs to a third is drawn."""
    n = len(cutoff) // 3
    if not n:
        return NAN, NAN
    order = np.lexsort((rng.permutation(len(cutoff)), cutoff))
    return float(right[order[-n:]].mean()), float(right[order[:n]].mean())


def ordering(cutoff: Ints, right: Ints, frequency: Ints, rng: np.random.Generator) -> Ordering:
    """All of it. `frequency` [test] is how often training has the test's fragment."""
    top, bottom = thirds(cutoff, right, rng)
    differences: list[float] = []
    weights: list[int] = []
    for one in np.unique(frequency):
        here = frequency == one
        if here.sum() >= 3 and len(np.unique(cutoff[here])) > 1:
            high, low = thirds(cutoff[here], right[here], rng)
            differences.append(high - low)
            weights.append(int(here.sum()))
    matched = float(np.average(differences, weights=weights)) if differences else NAN
    return Ordering(spearman(cutoff, right), top, bottom, matched)

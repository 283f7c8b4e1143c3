"""When single questions are memorised and single test questions generalised, and which belong together.

Source      Li, Fan, Zhou, ICLR 2026, arXiv:2506.21551, section 3: "local and asynchronous" grokking
Method      1 a training question is memorised at the first evaluation from which it is always answered right, a test
              question generalised likewise  2 both are cut into quarters by that time  3 quarters are matched one to
              one so that matched ones are as similar as can be (the paper: Hungarian algorithm); similarity is the
              share of pairs that need the same last step  4 the lag of a match is the difference of the median times
Control     the rank correlation over last steps of the mean time of memorising and of generalising: matching cannot
            flatter it
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from wheatstone.interp.monitors import spearman

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
QUARTERS = 4
ORDERS = tuple(itertools.permutations(range(QUARTERS)))
"""All 24 ways to match four groups with four: small enough to try."""


class Match(NamedTuple):
    """A quarter of the training questions and the test questions that are most like it."""

    memorised: float
    """Median step."""
    generalised: float
    """Median step."""
    similarity: float
    """Share of pairs, a question of each, that need the same last step [0, 1]."""


@dataclass(frozen=True)
class Asynchrony:
    """One domain of one run."""

    matches: tuple[Match, ...]
    """By the time of memorising; empty where fewer than four questions were memorised or generalised."""
    similarity: float
    """That of all questions together: matches that are no more alike say nothing [0, 1]."""
    correlation: float
    """Over last steps: memorised early, generalised early? Spearman's, [-1, 1]; NaN below three of them."""
    never_memorised: float
    """Share of the training questions [0, 1]."""
    never_generalised: float
    """Share of the test questions [0, 1]."""


def settled(right: Bools) -> Ints:
    """[question]: the evaluation from which it is always answered right; the number of evaluations if never.

    Args:
        right: [evaluation question].
    """
    always = np.logical_and.accumulate(right[::-1], axis=0)[::-1]
    return len(right) - always.sum(0)


def asynchrony(steps: Sequence[int], train: Bools, test: Bools, keys: Ints, test_keys: Ints) -> Asynchrony:
    """How the times of memorising and of generalising lie to each other.

    Args:
        steps: [evaluation].
        train, test: [evaluation question], answered right.
        keys, test_keys: [question], the same number where the same last step is needed.
    """
    memorised, generalised = settled(train), settled(test)
    known, found = memorised < len(steps), generalised < len(steps)
    at = np.asarray(steps, float)
    times, test_times = at[memorised[known]], at[generalised[found]]
    return Asynchrony(
        matched(times, test_times, keys[known], test_keys[found]),
        float((keys[:, None] == test_keys).mean()),
        _correlation(times, test_times, keys[known], test_keys[found]),
        1.0 - float(known.mean()),
        1.0 - float(found.mean()),
    )


def matched(times: Floats, test_times: Floats, keys: Ints, test_keys: Ints) -> tuple[Match, ...]:
    """Quarters of `times` matched with quarters of `test_times`; each is [question], with a key a question."""
    if min(len(times), len(test_times)) < QUARTERS:
        return ()
    groups, test_groups = (np.array_split(np.argsort(one, kind="stable"), QUARTERS) for one in (times, test_times))
    similarity = np.array(
        [[(keys[group][:, None] == test_keys[other]).mean() for other in test_groups] for group in groups]
    )
    rows = list(range(QUARTERS))
    best = max(ORDERS, key=lambda order: float(similarity[rows, list(order)].sum()))
    return tuple(
        Match(
            float(np.median(times[groups[row]])),
            float(np.median(test_times[test_groups[column]])),
            float(similarity[row, column]),
        )
        for row, column in enumerate(best)
    )


def _correlation(times: Floats, test_times: Floats, keys: Ints, test_keys: Ints) -> float:
    both = np.intersect1d(keys, test_keys)
    if len(both) < 3:
        return float("nan")
    return spearman([times[keys == key].mean() for key in both], [test_times[test_keys == key].mean() for key in both])

"""What guessing scores on two-hop questions: the numbers to read an accuracy against.

The traps that they show (Wang et al., arXiv:2405.15071; Abramov et al., arXiv:2504.20752): answers of low entropy, so
that the most frequent one of a relation wins, and answers that are one hop away from the head anyway.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wheatstone.domains.kg.graph import Chains, Int32


@dataclass(frozen=True)
class Baselines:
    """Accuracies [0, 1] on the test chains; NaN when there is none."""

    majority_pair: float
    """The most frequent training answer of (r1, r2)."""
    majority_relation: float
    """The most frequent training answer of r2."""
    direct: float
    """Share of tests whose answer is also a one-hop tail of the head."""
    returning: float
    """Share of tests whose answer is the head itself."""


def baselines(train: Chains, tests: Chains, table: Int32) -> Baselines:
    """Guess the tests from the training chains; a question whose relations training never shows counts as wrong.

    Args:
        table: [n_entity, n_relation] of the graph, for `direct`.
    """
    if not len(tests):
        return Baselines(np.nan, np.nan, np.nan, np.nan)
    n_relation = table.shape[1]
    pairs = [chains.r1.astype(np.int64) * n_relation + chains.r2 for chains in (train, tests)]
    return Baselines(
        float(_majority_right(pairs[0], train.tail, pairs[1], tests.tail).mean()),
        float(_majority_right(train.r2.astype(np.int64), train.tail, tests.r2.astype(np.int64), tests.tail).mean()),
        float((table[tests.head] == tests.tail[:, None]).any(axis=1).mean()),
        float((tests.head == tests.tail).mean()),
    )


def _majority_right(
    train_keys: npt.NDArray[np.int64], train_tails: Int32, keys: npt.NDArray[np.int64], tails: Int32
) -> npt.NDArray[np.bool_]:
    """Whether each test's tail is the most frequent training tail of its key; the smallest id wins a tie."""
    if not len(train_keys):
        return np.zeros(len(keys), bool)
    seen, counts = np.unique(np.stack([train_keys, train_tails], axis=1), axis=0, return_counts=True)
    order = np.lexsort((seen[:, 1], -counts, seen[:, 0]))
    known, first = np.unique(seen[order, 0], return_index=True)
    guess = seen[order[first], 1]
    position = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return (known[position] == keys) & (guess[position] == tails)

"""What the routers of a mixture of experts did with some tokens, and what is measured of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wheatstone.bench.errors import UserError
from wheatstone.interp.pathways import (
    Floats,
    Ints,
    chosen,
    consistencies,
    mean_distance,
    pathways,
    random_pairs,
    related_pairs,
    shuffled,
    usage_entropy,
)

ALL = "all"


@dataclass(frozen=True)
class Trace:
    """One row a token (or a sample), as a router log has it."""

    weights: Floats
    """[row layer expert]: 0 where an expert was not chosen."""
    samples: tuple[str, ...]
    """The sample of each row."""
    groups: tuple[str, ...]
    """The group of each row (domain, task, ...); all rows of a sample share it."""
    top_k: int
    """Experts of a layer that a token is sent to, at most."""
    embedding: Floats | None = None
    """[layer expert d_model]: the routers' rows; without them there is no consistency."""
    cut: int = 0
    """Samples of which only the first tokens were read."""

    def by_sample(self) -> Trace:
        """One row a sample: the mean weights of its tokens. Samples keep the order in which they first appear."""
        number = {sample: at for at, sample in enumerate(dict.fromkeys(self.samples))}
        of_row = np.array([number[sample] for sample in self.samples])
        total = np.zeros((len(number), *self.weights.shape[1:]))
        np.add.at(total, of_row, self.weights)
        count = np.bincount(of_row, minlength=len(number))
        groups = dict(zip(self.samples, self.groups, strict=True))
        return dataclasses.replace(
            self,
            weights=total / count[:, None, None],
            samples=tuple(number),
            groups=tuple(groups[sample] for sample in number),
        )

    def last_tokens(self) -> Trace:
        """One row a sample: its last token."""
        last = {sample: row for row, sample in enumerate(self.samples)}
        rows = list(last.values())
        groups = tuple(self.groups[row] for row in rows)
        return dataclasses.replace(self, weights=self.weights[rows], samples=tuple(last), groups=groups)


@dataclass(frozen=True)
class Measured:
    """The two metrics of one group of samples, with what they have to be read beside."""

    group: str
    samples: int
    pairs: int
    distance: float | None
    """Mean edit distance of the pathways of two samples of the group, as a share of the longer one [0, 1]."""
    symbols: float
    """Mean length of a pathway, in symbols."""
    shuffled: float | None
    """The same distance with experts renamed at random in every sample and layer: what unrelated ways have."""
    consistency: float | None
    """Mean cosine between consecutive layers [-1, 1]; None without embeddings, or with one layer."""
    complexity: float | None
    """1 - consistency."""
    entropy: float
    """Entropy of expert use over that of even use [0, 1]."""


def measure(trace: Trace, *, top_k: int | None, share: float | None, pairs: int, seed: int = 0) -> tuple[Measured, ...]:
    """The metrics of all samples together and of each group.

    Args:
        trace: one row a sample.
        top_k, share: which experts belong to a pathway, see `interp.pathways`.
        pairs: pairs of samples that are compared in each group, at most.

    Raises UserError for fewer than two samples.
    """
    if len(trace.samples) < 2:
        raise UserError(f"got {len(trace.samples)} sample, need at least 2: a distance is between two samples.")
    rng = np.random.default_rng(seed)
    weights = chosen(trace.weights, top_k=top_k, share=share)
    paths, mixed = pathways(weights), pathways(shuffled(weights, rng))
    # The paper's sum runs over the selected experts; averaged tokens give nearly every expert some weight.
    smooth = None if trace.embedding is None else consistencies(weights, trace.embedding)
    names = list(dict.fromkeys(trace.groups))
    found = [_measured(ALL, np.arange(len(paths)), trace, paths, mixed, smooth, pairs, rng)]
    for name in names if len(names) > 1 else []:
        rows = np.flatnonzero(np.array(trace.groups, object) == name)
        found.append(_measured(name, rows, trace, paths, mixed, smooth, pairs, rng))
    return tuple(found)


def _measured(
    name: str,
    rows: Ints,
    trace: Trace,
    paths: Ints,
    mixed: Ints,
    smooth: Floats | None,
    pairs: int,
    rng: np.random.Generator,
) -> Measured:
    few = len(rows) * (len(rows) - 1) // 2 <= pairs
    chosen = related_pairs([0] * len(rows), pairs, rng) if few else random_pairs(len(rows), pairs, rng)
    chosen = rows[chosen]
    consistency = None if smooth is None or np.isnan(smooth[rows]).any() else float(smooth[rows].mean())
    return Measured(
        name,
        len(rows),
        len(chosen),
        mean_distance(paths, chosen) if len(chosen) else None,
        float((paths[rows] >= 0).sum(1).mean()),
        mean_distance(mixed, chosen) if len(chosen) else None,
        consistency,
        None if consistency is None else 1.0 - consistency,
        usage_entropy(trace.weights[rows]),
    )


def dense(experts: Ints, weights: Floats, n_expert: int) -> Floats:
    """[row layer expert] from the chosen experts and their weights, both [row layer choice]."""
    found = np.zeros((*experts.shape[:2], n_expert))
    np.put_along_axis(found, experts, weights, axis=-1)
    return found


def names(values: Sequence[object]) -> tuple[str, ...]:
    """Labels as text."""
    return tuple(map(str, values))

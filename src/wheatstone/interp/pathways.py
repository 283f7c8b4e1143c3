"""The way of a sample through a mixture of experts, and two numbers of it that need no test data.

Source      Li, Fan, Zhou, ICLR 2026, arXiv:2506.21551, section 4
Pathway     the experts that compute a sample, layer after layer, in each layer by falling weight. A symbol of the
            pathway is a layer together with an expert: expert 3 of layer 1 is not expert 3 of layer 2
Distance    Levenshtein's between the pathways of two samples; it falls when samples come to share their way
Consistency the cosine between a sample's weighted mean of router rows in one layer and in the next, mean over layers;
            it rises when the way becomes smooth. Complexity is 1 - consistency. Rows may be `centred`

What the paper leaves open is fixed here: the embedding of an expert is its row of the router's matrix, which lies in
the residual stream, as the rows of all layers do; experts of equal weight are ordered by their number.

A dense network has no experts: there the pathway is the feed-forward neurons that answer most (`most_active`).

Weights are arrays [row layer expert], 0 where an expert was not chosen. A row is a token, or a sample whose tokens were
averaged.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
NOTHING = -1
"""Fills the end of a pathway that is shorter than others."""
PAIRS = 2048
"""Pairs compared at once: the table of one row of Levenshtein's recurrence stays in cache."""


def chosen(weights: Floats, *, top_k: int | None = None, share: float | None = None) -> Floats:
    """The weights of the experts that make up a pathway [row layer expert], 0 for all others.

    Args:
        weights: [row layer expert], not negative.
        top_k: keep so many experts of a layer at most, the heaviest; None keeps all that have a weight.
        share: keep the heaviest experts that together hold this share of a layer's weight; for averaged tokens.
    """
    order = np.argsort(-weights, axis=-1, kind="stable")
    sorted_weights = np.take_along_axis(weights, order, axis=-1)
    kept = sorted_weights > 0
    if top_k is not None:
        kept[..., top_k:] = False
    if share is not None:
        total = np.maximum(sorted_weights.sum(-1, keepdims=True), np.finfo(float).tiny)
        before = np.cumsum(sorted_weights, axis=-1) - sorted_weights
        kept &= before < share * total - 1e-12
    found = np.zeros_like(weights)
    np.put_along_axis(found, order, np.where(kept, sorted_weights, 0.0), axis=-1)
    return found


def pathways(weights: Floats, *, top_k: int | None = None, share: float | None = None) -> Ints:
    """The symbols `layer * n_expert + expert` of each row, [row symbol], padded with NOTHING at the end.

    Args: those of `chosen`.
    """
    weights = chosen(weights, top_k=top_k, share=share)
    _, n_layer, n_expert = weights.shape
    order = np.argsort(-weights, axis=-1, kind="stable")
    kept = np.take_along_axis(weights, order, axis=-1) > 0
    symbols = np.where(kept, np.arange(n_layer)[:, None] * n_expert + order, NOTHING).reshape(len(weights), -1)
    # A stable sort by "is missing" moves the gaps to the end and leaves the order of the symbols.
    packed = np.take_along_axis(symbols, np.argsort(symbols == NOTHING, axis=1, kind="stable"), axis=1)
    longest = int((packed != NOTHING).sum(1).max(initial=0))
    return packed[:, :longest]


def most_active(activations: Floats, count: int) -> Floats:
    """Neurons as if they were experts: the sizes of the `count` largest activations of a layer, with sum 1; else 0.

    Args:
        activations: [row layer neuron]; the sign does not count.
    """
    sizes = np.abs(activations)
    order = np.argsort(-sizes, axis=-1, kind="stable")[..., :count]
    kept = np.zeros_like(sizes)
    np.put_along_axis(kept, order, np.take_along_axis(sizes, order, axis=-1), axis=-1)
    return kept / np.maximum(kept.sum(-1, keepdims=True), np.finfo(float).tiny)


def edit_distances(a: Ints, b: Ints) -> Ints:
    """Levenshtein's distance of each pathway in `a` [pair symbol] from the one beside it in `b` [pair symbol]."""
    parts = range(0, len(a), PAIRS)
    return np.concatenate(
        [_edit_distances(a[at : at + PAIRS], b[at : at + PAIRS]) for at in parts] or [np.zeros(0, int)]
    )


def _edit_distances(a: Ints, b: Ints) -> Ints:
    length_a, length_b = (a != NOTHING).sum(1), (b != NOTHING).sum(1)
    columns = np.arange(b.shape[1] + 1)
    row = np.broadcast_to(columns, (len(a), len(columns))).copy()
    found = row[np.arange(len(a)), length_b].copy()  # of an empty pathway
    for i in range(a.shape[1]):
        kept_or_changed = row[:, :-1] + (a[:, i, None] != b)
        new = np.concatenate([np.full((len(a), 1), i + 1), np.minimum(kept_or_changed, row[:, 1:] + 1)], axis=1)
        # Insertions: new[j] = min over k <= j of new[k] + j - k.
        row = np.minimum.accumulate(new - columns, axis=1) + columns
        ends = length_a == i + 1
        found[ends] = row[ends, length_b[ends]]
    return found


def mean_distance(paths: Ints, pairs: Ints) -> float:
    """Mean edit distance of pairs of rows [pair 2], as a share of the longer pathway in [0, 1]; NaN without pairs."""
    if not len(pairs):
        return float("nan")
    a, b = paths[pairs[:, 0]], paths[pairs[:, 1]]
    longer = np.maximum((a != NOTHING).sum(1), (b != NOTHING).sum(1))
    return float((edit_distances(a, b) / np.maximum(longer, 1)).mean())


def consistencies(weights: Floats, embedding: Floats) -> Floats:
    """The consistency of each row in [-1, 1]; NaN with one layer.

    Args:
        weights: [row layer expert].
        embedding: [layer expert d_model], the routers' rows.
    """
    means = np.einsum("rle,led->rld", weights, embedding)
    lengths = np.maximum(np.linalg.norm(means, axis=-1, keepdims=True), np.finfo(float).tiny)
    means = means / lengths
    if means.shape[1] < 2:
        return np.full(len(weights), np.nan)
    return (means[:, :-1] * means[:, 1:]).sum(-1).mean(1)


def centred(embedding: Floats) -> Floats:
    """Router rows without the mean row of their layer.

    A softmax over experts does not change when one vector is added to all rows of a layer, so that vector says nothing
    about the routing; but it can make the rows of two layers look alike.
    """
    return embedding - embedding.mean(axis=1, keepdims=True)


def usage_entropy(weights: Floats) -> float:
    """How evenly experts are used: entropy of their shares of the weight over that of even use, mean over layers.

    1 is even use, 0 one expert for everything. A distance that falls because the router collapses is no sign of
    anything, so this stands beside it.
    """
    share = weights.sum(0)
    share = share / np.maximum(share.sum(-1, keepdims=True), np.finfo(float).tiny)
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(-1)
    return float(entropy.mean() / np.log(weights.shape[-1])) if weights.shape[-1] > 1 else 1.0


def shuffled(weights: Floats, rng: np.random.Generator) -> Floats:
    """The control: in every row and layer the names of the experts are exchanged at random. Nothing can be shared."""
    return rng.permuted(weights, axis=-1)


def random_pairs(n_row: int, count: int, rng: np.random.Generator) -> Ints:
    """[pair 2]: two different rows each, `count` pairs; none where there are fewer than two rows."""
    if n_row < 2:
        return np.zeros((0, 2), np.int64)
    first = rng.integers(n_row, size=count)
    return np.stack([first, (first + rng.integers(1, n_row, size=count)) % n_row], axis=1)


def related_pairs(keys: Sequence[Hashable], count: int, rng: np.random.Generator) -> Ints:
    """[pair 2]: pairs of different rows with the same key, all of them or `count` drawn without repeats."""
    rows: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    found = [(one, other) for group in rows.values() for i, one in enumerate(group) for other in group[i + 1 :]]
    pairs = np.array(found, np.int64).reshape(-1, 2)
    return pairs if len(pairs) <= count else pairs[np.sort(rng.permutation(len(pairs))[:count])]

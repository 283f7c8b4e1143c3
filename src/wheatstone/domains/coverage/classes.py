"""Functional k-equivalence of fragments, computed from training rows with sparse matrices.

A fragment is what an input has at a set of positions, its context is the rest. Two fragments are k-equivalent when they
give the same target in at least k contexts that both are seen in, and never different ones (Chang et al. 2025,
arXiv:2505.20278, section 3). With S [fragment, context] and A [fragment, (context, target)] of ones, S Sᵀ counts shared
contexts and A Aᵀ agreements; a pair is consistent where both are equal.

Equivalence of pairs is not transitive, so classes are a choice:

`chained`     connected components: a and c are in one class when a ≡ b and b ≡ c, even if a contradicts c. This is what
              the paper's published code does.
`consistent`  pairs are merged in the order of falling evidence, and two classes whose behaviours disagree in any
              context stay apart; ties are broken by the order of the fragments.

The classes of k lie within those of k - 1, so one pass gives all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wheatstone.bench.errors import UserError
from wheatstone.bench.extras import need

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Ints = NDArray[np.int64]
Merging = Literal["chained", "consistent"]
Subset = tuple[int, ...]
PRODUCTS_A_BLOCK = 20_000_000
"""Multiplications of one block of rows of S Sᵀ: about 0.3 GB at most."""
MAX_PAIRS = 30_000_000
PAIRS_A_BATCH = 100_000
"""Pairs that are sorted out at once before they are merged one by one."""


class Pairs(NamedTuple):
    """Consistent pairs of fragments, `first` < `second`."""

    first: Ints
    second: Ints
    evidence: Ints
    """Shared contexts, in all of which both give the same target."""


@dataclass(frozen=True)
class Fragments:
    """The training rows seen as fragment and context at one subset of the positions."""

    subset: Subset
    tokens: Ints
    """[fragment, len(subset)] sorted."""
    fragment: Ints
    """[train] which fragment each row has."""
    context: Ints
    """[train] number of its context."""
    pairs: Pairs
    """With evidence of at least 1, or of `least` where the classes were asked from there on."""
    labels: Ints
    """[k_max + 1, fragment] the class of each fragment at each k; row 0 is not used and equals row 1."""

    def at(self, k: int) -> Ints:
        """[fragment] the class at k; two fragments with one class substitute for each other."""
        return self.labels[k]


@dataclass(frozen=True)
class Classes:
    """Equivalence classes of fragments at every subset of the positions, for k = 1 .. k_max."""

    rows: Ints
    """[train, position] token ids."""
    targets: Ints
    """[train]"""
    k_max: int
    merging: Merging
    fragments: tuple[Fragments, ...]

    @property
    def arity(self) -> int:
        return self.rows.shape[1]


def proper_subsets(arity: int) -> tuple[Subset, ...]:
    """All non-empty proper subsets of the positions 0 .. arity - 1, small ones first."""
    return tuple(subset for size in range(1, arity) for subset in combinations(range(arity), size))


def complement(subset: Subset, arity: int) -> Subset:
    return tuple(position for position in range(arity) if position not in subset)


def classes(
    rows: Ints,
    targets: Ints,
    *,
    k_max: int = 8,
    least: int = 1,
    subsets: Sequence[Subset] | None = None,
    merging: Merging = "consistent",
    on_subset: Callable[[Subset], None] | None = None,
) -> Classes:
    """The classes that the training rows show; test rows play no part.

    Args:
        rows: [train, position] token ids, each row once.
        targets: [train].
        k_max: largest k to tell apart.
        least: smallest k that will be asked for; pairs with less evidence are not kept.
        subsets: positions of fragments; all proper subsets when not given.
        on_subset: called after each subset; `comparisons` says what share of the work it was.

    Raises ValueError for a row that is there twice, UserError for more equivalent pairs than fit into memory.
    """
    need("scipy", extra="neural", to="compute coverage")
    arity = rows.shape[1]
    if len(rows) != len(row_numbers(rows).tokens):
        raise ValueError("a training row is there twice")
    found: list[Fragments] = []
    for subset in proper_subsets(arity) if subsets is None else subsets:
        found.append(_fragments(rows, targets, subset, k_max, least, merging))
        if on_subset is not None:
            on_subset(subset)
    return Classes(rows, targets, k_max, merging, tuple(found))


def comparisons(rows: Ints, subset: Subset) -> int:
    """Pairs of rows with one context: what the classes at this subset cost, in proportion."""
    _, context = row_numbers(rows[:, complement(subset, rows.shape[1])])
    return int((np.bincount(context) ** 2).sum())


class Numbered(NamedTuple):
    """Distinct rows of a matrix, sorted, and which of them each row is."""

    tokens: Ints
    number: Ints


def row_numbers(rows: Ints) -> Numbered:
    """[row, column] -> its distinct rows in lexicographic order with the number of each row."""
    if rows.shape[1] == 0:
        return Numbered(rows[:1], np.zeros(len(rows), np.int64))
    code = rows[:, 0].astype(np.int64)
    for column in rows.T[1:]:
        # Codes are made dense again at each column, so that they never overflow.
        code = np.unique(code, return_inverse=True)[1] * (int(column.max(initial=0)) + 1) + column
    _, first, number = np.unique(code, return_index=True, return_inverse=True)
    return Numbered(rows[first], number.astype(np.int64))


def _fragments(rows: Ints, targets: Ints, subset: Subset, k_max: int, least: int, merging: Merging) -> Fragments:
    tokens, fragment = row_numbers(rows[:, subset])
    _, context = row_numbers(rows[:, complement(subset, rows.shape[1])])
    pairs = consistent_pairs(fragment, context, targets, least)
    if len(pairs.first) > MAX_PAIRS:
        named = ", ".join(f"x{position + 1}" for position in subset)
        raise UserError(
            f"more than {MAX_PAIRS:,} pairs of fragments at {named} look equivalent with k >= {least}. "
            "Ask for a larger k, or leave this subset out."
        )
    merge = chained if merging == "chained" else consistent
    labels = merge(len(tokens), pairs, k_max, fragment, context, targets)
    return Fragments(tuple(subset), tokens, fragment, context, pairs, labels)


def consistent_pairs(fragment: Ints, context: Ints, targets: Ints, least: int = 1) -> Pairs:
    """Pairs of fragments that agree in at least `least` shared contexts and disagree in none, sorted."""
    from scipy.sparse import csr_array

    n_fragment, n_context = int(fragment.max(initial=-1)) + 1, int(context.max(initial=-1)) + 1
    # A fragment that is seen in fewer contexts has no pair with so much evidence.
    kept = np.flatnonzero(np.bincount(fragment, minlength=n_fragment) >= least)
    row = np.full(n_fragment, -1, np.int64)
    row[kept] = np.arange(len(kept))
    chosen = row[fragment] >= 0
    fragment, context, targets = row[fragment[chosen]], context[chosen], targets[chosen]
    _, outcome = row_numbers(np.stack([context, targets], axis=1))
    # One product counts both, agreements in the high bits and shared contexts in the low ones.
    low = len(fragment).bit_length()
    ones = np.ones(len(fragment), np.int64)
    entries = np.tile(fragment, 2), np.concatenate([context, n_context + outcome])
    shape = len(kept), n_context + int(outcome.max(initial=-1)) + 1
    both: csr_array = csr_array((np.concatenate([ones, ones << low]), entries), shape=shape)
    other: csr_array = csr_array((np.tile(ones, 2), entries), shape=shape)
    seen: csr_array = csr_array((ones, (fragment, context)), shape=(len(kept), n_context))
    parts: list[tuple[Ints, Ints, Ints]] = []
    total = 0
    for begin, end in _blocks(context, seen.indptr, seen.indices):
        product = (both[begin:end] @ other[begin:].T.tocsr()).tocsr()
        first = np.repeat(np.arange(end - begin), np.diff(product.indptr))
        evidence = product.data >> low
        enough = np.flatnonzero(
            (evidence >= least) & (product.indices > first) & (product.data == (evidence << low) + evidence)
        )
        parts.append((first[enough] + begin, product.indices[enough] + begin, evidence[enough]))
        total += len(enough)
        if total > MAX_PAIRS:
            break
    first, second, evidence = (
        np.concatenate([part[column] for part in parts]).astype(np.int64) if parts else np.zeros(0, np.int64)
        for column in range(3)
    )
    order = np.lexsort((second, first))
    return Pairs(kept[first[order]], kept[second[order]], evidence[order])


def _blocks(context: Ints, starts: NDArray[np.integer], contexts: NDArray[np.integer]) -> Iterator[tuple[int, int]]:
    """Ranges of fragments whose products with all others fit into memory; fragment f is seen in
    `contexts[starts[f] : starts[f + 1]]`, each at least once.
    """
    fragments_of = np.bincount(context)
    cost = np.add.reduceat(fragments_of[contexts], starts[:-1]) if len(contexts) else np.zeros(0, np.int64)
    block = np.cumsum(cost) // PRODUCTS_A_BLOCK
    begin = 0
    for end in [*(np.flatnonzero(np.diff(block)) + 1).tolist(), len(starts) - 1]:
        yield begin, end
        begin = end


def chained(n: int, pairs: Pairs, k_max: int, *_: Ints) -> Ints:
    """[k_max + 1, fragment] connected components of the pairs with evidence of at least k."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    labels = np.empty((k_max + 1, n), np.int64)
    for k in range(1, k_max + 1):
        enough = pairs.evidence >= k
        ones = np.ones(int(enough.sum()), np.int8)
        links = coo_array((ones, (pairs.first[enough], pairs.second[enough])), shape=(n, n))
        labels[k] = connected_components(links, directed=False)[1] if n else 0
    labels[0] = labels[1]
    return labels


def consistent(n: int, pairs: Pairs, k_max: int, fragment: Ints, context: Ints, targets: Ints) -> Ints:
    """[k_max + 1, fragment] classes within which no two fragments disagree in any context."""
    # Most fragments are in no pair: they stay alone, and what they give is never asked.
    paired = np.zeros(n, np.bool_)
    paired[pairs.first] = paired[pairs.second] = True
    behaviour: dict[int, dict[int, int]] = {one: {} for one in np.flatnonzero(paired).tolist()}
    known = paired[fragment]
    for row, place, target in zip(*(column[known].tolist() for column in (fragment, context, targets)), strict=True):
        behaviour[row][place] = target
    parent = list(range(n))

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    labels = np.empty((k_max + 1, n), np.int64)
    level = np.minimum(pairs.evidence, k_max)
    apart: set[tuple[int, int]] = set()
    for k in range(k_max, 0, -1):
        chosen = np.flatnonzero(level == k)
        # Beyond k_max, more evidence still goes first.
        chosen = chosen[np.argsort(-pairs.evidence[chosen], kind="stable")]
        for a, b in _between(parent, pairs.first[chosen], pairs.second[chosen]):
            a, b = root(a), root(b)
            if a == b or (a, b) in apart or (b, a) in apart:
                continue
            small, large = (a, b) if len(behaviour[a]) <= len(behaviour[b]) else (b, a)
            into = behaviour[large]
            if any(into.get(place, target) != target for place, target in behaviour[small].items()):
                apart.add((a, b))
                continue
            into.update(behaviour[small])
            behaviour[small] = {}
            parent[small] = large
        labels[k] = _roots(parent)
    labels[0] = labels[1]
    return labels


def _between(parent: Sequence[int], first: Ints, second: Ints) -> Iterator[tuple[int, int]]:
    """Pairs of classes that the pairs of fragments ask to merge, in their order, while merging changes `parent`.

    What has been asked once need not be asked again: two classes that stay apart do so however they grow.
    """
    for begin in range(0, len(first), PAIRS_A_BATCH):
        up = _roots(parent)
        a, b = up[first[begin : begin + PAIRS_A_BATCH]], up[second[begin : begin + PAIRS_A_BATCH]]
        code = np.minimum(a, b) * len(up) + np.maximum(a, b)
        once = np.sort(np.unique(code, return_index=True)[1])
        once = once[a[once] != b[once]]
        yield from zip(a[once].tolist(), b[once].tolist(), strict=True)


def _roots(parent: Sequence[int]) -> Ints:
    """[fragment] the end of the way up from each fragment."""
    up = np.array(parent, np.int64)
    while not np.array_equal(further := up[up], up):
        up = further
    return up

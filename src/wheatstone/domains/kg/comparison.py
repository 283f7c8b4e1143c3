"""Comparison questions "is the attribute of e1 smaller than, equal to or larger than that of e2?", and the hard ones.

Source: Wang et al., NeurIPS 2024, arXiv:2405.15071, sections 4 (comparison) and 5 (complex reasoning).

Comparison, for each attribute on its own:
  1  a share of the entities is out of distribution (OOD); every value is trained as a fact (entity, attribute, value)
  2  pairs of ID entities: a share is the ID test, the rest the pool; both orders of a pair are on the same side
  3  pairs of OOD entities are the OOD test; mixed pairs are dropped
  4  the pool is cut to `phi` comparisons for each ID fact, both orders of a pair together

Complex reasoning: the OOD entities have no facts at all. Training shows a small share of the comparisons between ID
entities and between an ID and an OOD entity. A test compares two OOD entities whose order follows from those and the ID
values together (o1 < a, a <= b by value, b < o2), but not from the comparisons alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from wheatstone.bench.errors import UserError
from wheatstone.domains.kg.graph import Bool, Graph, Int32
from wheatstone.domains.kg.streams import stream

LESS, EQUAL, GREATER = 0, 1, 2
"""Labels: the first value compared with the second."""


@dataclass(frozen=True)
class ComparisonSplit:
    """Facts are int32 [n, 3] (entity, attribute, value), comparisons int32 [n, 4] (attribute, e1, e2, label)."""

    values: Int32
    """[n_entity, n_attribute]; -1 where an entity lacks the attribute."""
    id_entities: Bool
    """[n_entity, n_attribute]: in distribution for this attribute."""
    atomic_id: Int32
    atomic_ood: Int32
    train: Int32
    test_id: Int32
    test_ood: Int32

    @property
    def phi(self) -> float:
        """Comparisons in training for each ID fact."""
        return len(self.train) / len(self.atomic_id)


@dataclass(frozen=True)
class ComplexSplit:
    """Facts and comparisons as in `ComparisonSplit`; the OOD entities have no facts."""

    values: Int32
    ood_entities: npt.NDArray[np.int64]
    atomic: Int32
    train: Int32
    test: Int32


def comparison_split(
    n_entity: int = 1000,
    n_attribute: int = 20,
    n_value: int = 20,
    *,
    phi: float | None,
    ood_share: float = 0.1,
    test_share: float = 0.1,
    seed: int,
) -> ComparisonSplit:
    """The paper's data: uniform values, split as the module says. Raises UserError when `phi` is out of reach."""
    if min(n_entity, n_attribute, n_value) < 1:
        raise UserError(
            f"comparison: got {n_entity} entities, {n_attribute} attributes, {n_value} values; each must be at least 1."
        )
    values = stream(seed, "values").integers(0, n_value, (n_entity, n_attribute), dtype=np.int32)
    return split_comparisons(values, phi=phi, ood_share=ood_share, test_share=test_share, seed=seed)


def split_comparisons(
    values: Int32, *, phi: float | None, ood_share: float = 0.1, test_share: float = 0.1, seed: int
) -> ComparisonSplit:
    """Split the comparisons of given values [n_entity, n_attribute] (-1: none), which may come from a real graph.

    Args:
        phi: comparisons in training for each ID fact; None takes the whole pool.

    Raises UserError when the pool has fewer comparisons than `phi` asks for, naming the largest phi.
    """
    n_entity, n_attribute = values.shape
    in_distribution = np.zeros(values.shape, bool)
    pools: dict[str, list[Int32]] = {"pool": [], "test_id": [], "test_ood": []}
    for attribute in range(n_attribute):
        draws = stream(seed, f"comparison {attribute}")
        having = draws.permutation(np.flatnonzero(values[:, attribute] >= 0))
        n_ood = round(ood_share * len(having))
        ood, known = np.sort(having[:n_ood]), np.sort(having[n_ood:])
        in_distribution[known, attribute] = True
        pairs = _pairs(known, attribute, values)
        is_test = draws.random(len(pairs)) < test_share
        pools["pool"].append(pairs[~is_test])
        pools["test_id"].append(pairs[is_test])
        pools["test_ood"].append(_pairs(ood, attribute, values))
    atomic_id, atomic_ood = _facts(values, in_distribution), _facts(values, (values >= 0) & ~in_distribution)
    pool = np.concatenate(pools["pool"])
    if not len(atomic_id) or not len(pool):
        raise UserError(f"comparison: no two in-distribution entities share an attribute ({n_entity} entities).")
    reachable = 2 * len(pool) / len(atomic_id)
    wanted = len(pool) if phi is None else round(phi * len(atomic_id) / 2)
    if wanted > len(pool):
        raise UserError(
            f"phi: got {phi:g}, at most {reachable:.2f} is reachable: {2 * len(pool):,} training comparisons for "
            f"{len(atomic_id):,} in-distribution facts. Ask for less, or for more entities."
        )
    chosen = np.sort(stream(seed, "comparison train").permutation(len(pool))[:wanted])
    split = ComparisonSplit(
        values,
        in_distribution,
        atomic_id,
        atomic_ood,
        _both_orders(pool[chosen]),
        _both_orders(np.concatenate(pools["test_id"])),
        _both_orders(np.concatenate(pools["test_ood"])),
    )
    _assert_no_leak(split)
    return split


def _facts(values: Int32, chosen: Bool) -> Int32:
    entity, attribute = np.nonzero(chosen)
    return np.stack([entity, attribute, values[entity, attribute]], axis=1).astype(np.int32)


def _pairs(entities: npt.NDArray[np.int64], attribute: int, values: Int32) -> Int32:
    """Every unordered pair, once, as rows (attribute, e1, e2, label)."""
    first, second = np.triu_indices(len(entities), 1)
    return _labelled(attribute, entities[first], entities[second], values)


def _labelled(attribute: int, e1: npt.NDArray[np.int64], e2: npt.NDArray[np.int64], values: Int32) -> Int32:
    label = np.sign(values[e1, attribute].astype(np.int64) - values[e2, attribute]) + 1
    return np.stack([np.full(len(e1), attribute), e1, e2, label], axis=1).astype(np.int32)


def _both_orders(pairs: Int32) -> Int32:
    """Each comparison and its mirror image, next to each other."""
    mirrored = np.stack([pairs[:, 0], pairs[:, 2], pairs[:, 1], 2 - pairs[:, 3]], axis=1)
    return np.stack([pairs, mirrored], axis=1).reshape(-1, 4)


def _assert_no_leak(split: ComparisonSplit) -> None:
    def unordered(rows: Int32) -> npt.NDArray[np.int64]:
        n_entity = len(split.values)
        low, high = rows[:, 1:3].min(axis=1, initial=n_entity), rows[:, 1:3].max(axis=1, initial=0)
        return np.unique((rows[:, 0].astype(np.int64) * n_entity + low) * n_entity + high)

    pools = [unordered(rows) for rows in (split.train, split.test_id, split.test_ood)]
    if len(np.unique(np.concatenate(pools))) != sum(map(len, pools)):
        raise AssertionError("the split leaks: a pair is in two pools")
    for rows, wanted in ((split.train, True), (split.test_id, True), (split.test_ood, False)):
        if not all((split.id_entities[rows[:, column], rows[:, 0]] == wanted).all() for column in (1, 2)):
            raise AssertionError("the split leaks: a mixed pair")


class Numbers(NamedTuple):
    """Numeric attributes of named entities, from a graph whose tails are numbers."""

    entities: tuple[str, ...]
    attributes: tuple[str, ...]
    values: npt.NDArray[np.float64]
    """[n_entity, n_attribute]; NaN where there is none."""

    def binned(self, n_value: int) -> Int32:
        """[n_entity, n_attribute]: each value's quantile bin 0..n_value-1 within its attribute; -1 where there is none.

        Equal values share a bin, so a comparison of bins never contradicts the numbers: it can only call two equal.
        """
        bins = np.full(self.values.shape, -1, np.int32)
        for attribute in range(len(self.attributes)):
            column = self.values[:, attribute]
            present = np.flatnonzero(~np.isnan(column))
            ranks = np.searchsorted(np.sort(column[present]), column[present])
            bins[present, attribute] = ranks * n_value // len(present)
        return bins


def numbers(graph: Graph) -> Numbers:
    """The relations of a graph whose every tail is a finite number, as attributes.

    Raises UserError when there is none.
    """
    as_number: dict[int, float] = {}
    for tail in np.unique(graph.triples[:, 2]).tolist():
        try:
            as_number[tail] = float(graph.entities[tail])
        except ValueError:
            as_number[tail] = np.nan
    tails = np.array([as_number[tail] for tail in graph.triples[:, 2].tolist()], np.float64)
    relations = graph.triples[:, 1]
    numeric = [r for r in range(len(graph.relations)) if np.isfinite(tails[relations == r]).all()]
    if not numeric:
        raise UserError("comparison: no relation of the graph has numbers only, so there is nothing to compare.")
    chosen = np.isin(relations, numeric)
    heads = np.unique(graph.triples[chosen, 0])
    values = np.full((len(heads), len(numeric)), np.nan)
    values[np.searchsorted(heads, graph.triples[chosen, 0]), np.searchsorted(numeric, relations[chosen])] = tails[
        chosen
    ]
    names = tuple(graph.entities[head] for head in heads.tolist())
    return Numbers(names, tuple(graph.relations[relation] for relation in numeric), values)


def complex_split(
    n_entity: int = 1000,
    n_attribute: int = 20,
    n_value: int = 20,
    *,
    n_ood: int = 100,
    train_share: float = 0.03,
    per_label: int = 50,
    seed: int,
) -> ComplexSplit:
    """The paper's complex reasoning task (150 questions with `per_label` 50).

    Raises UserError when there are fewer than `per_label` hard questions of a label, with the number.
    """
    if not 2 <= n_ood < n_entity:
        raise UserError(f"complex reasoning: got {n_ood} OOD entities of {n_entity}; at least 2 and fewer than all.")
    values = stream(seed, "values").integers(0, n_value, (n_entity, n_attribute), dtype=np.int32)
    order = stream(seed, "complex ood").permutation(n_entity)
    ood, known = np.sort(order[:n_ood]), np.sort(order[n_ood:])
    train: list[Int32] = []
    hard: list[Int32] = []
    for attribute in range(n_attribute):
        draws = stream(seed, f"complex {attribute}")
        among = _ordered_pairs(known, known, attribute, values)
        cross = np.concatenate(
            [_ordered_pairs(known, ood, attribute, values), _ordered_pairs(ood, known, attribute, values)]
        )
        shown = np.concatenate([rows[draws.random(len(rows)) < train_share] for rows in (among, cross)])
        train.append(shown)
        hard.append(_hard_questions(shown, ood, known, attribute, values))
    candidates = np.concatenate(hard)
    tests: list[Int32] = []
    for label, name in ((LESS, "smaller"), (EQUAL, "equal"), (GREATER, "larger")):
        rows = candidates[candidates[:, 3] == label]
        if len(rows) < per_label:
            raise UserError(
                f"complex reasoning: {len(rows)} hard questions with the answer '{name}', {per_label} are asked for. "
                "Ask for fewer, or for more attributes or OOD entities."
            )
        chosen = stream(seed, f"hard {name}").permutation(len(rows))[:per_label]
        tests.append(rows[np.sort(chosen)])
    has_facts = np.zeros(values.shape, bool)
    has_facts[known] = True
    return ComplexSplit(values, ood, _facts(values, has_facts), np.concatenate(train), np.concatenate(tests))


def _ordered_pairs(left: npt.NDArray[np.int64], right: npt.NDArray[np.int64], attribute: int, values: Int32) -> Int32:
    e1, e2 = (grid.ravel() for grid in np.meshgrid(left, right, indexing="ij"))
    different = e1 != e2
    return _labelled(attribute, e1[different], e2[different], values)


def _hard_questions(
    shown: Int32, ood: npt.NDArray[np.int64], known: npt.NDArray[np.int64], attribute: int, values: Int32
) -> Int32:
    """Pairs of OOD entities whose order follows from `shown` and the values of `known`, but not from `shown` alone."""
    column = values[:, attribute].astype(np.int64)
    is_known = np.zeros(len(column), bool)
    is_known[known] = True
    rows = shown[is_known[shown[:, 1]] != is_known[shown[:, 2]]].astype(np.int64)
    flipped = is_known[rows[:, 1]]
    stranger = np.where(flipped, rows[:, 2], rows[:, 1])
    value = column[np.where(flipped, rows[:, 1], rows[:, 2])]
    label = np.where(flipped, 2 - rows[:, 3], rows[:, 3])  # the stranger compared with the known entity
    # The lowest known value that a stranger is at most, and the highest that it is at least.
    none_above, none_below = int(column.max()) + 1, -1
    upper, lower = np.full(len(column), none_above), np.full(len(column), none_below)
    np.minimum.at(upper, stranger, np.where(label == GREATER, none_above, value))
    np.maximum.at(lower, stranger, np.where(label == LESS, none_below, value))
    exact = np.zeros(len(column), bool)
    exact[stranger[label == EQUAL]] = True
    pairs = _ordered_pairs(ood, ood, attribute, values)
    e1, e2, truth = pairs[:, 1], pairs[:, 2], pairs[:, 3]
    # o1 <= x <= y <= o2 is a path from o1 to o2; where o1 < o2 is true it has a strict step, and only there it counts.
    bounded = (upper < none_above)[:, None] & (lower > none_below)[None, :]
    below = bounded & (upper[:, None] <= lower[None, :])
    # Where two are truly equal, each must be called equal to a known entity: their values then are.
    follows = np.select([truth == LESS, truth == EQUAL], [below[e1, e2], exact[e1] & exact[e2]], below[e2, e1])
    alone = _follows_alone(shown, ood, column)
    return pairs[follows & ~alone[np.searchsorted(ood, e1), np.searchsorted(ood, e2)]]


def _follows_alone(shown: Int32, ood: npt.NDArray[np.int64], column: npt.NDArray[np.int64]) -> Bool:
    """[n_ood, n_ood]: whether the comparisons alone decide the order, by reachability in their graph.

    Entities called equal are one node; every other comparison is an edge upwards. The graph has no cycle, since the
    comparisons are true, so one pass from the highest value down collects all that lies above each node, as bits.
    """
    group = np.arange(len(column))
    equal = shown[shown[:, 3] == EQUAL]
    while True:
        low = np.minimum(group[equal[:, 1]], group[equal[:, 2]])
        merged = group.copy()
        np.minimum.at(merged, equal[:, 1], low)
        np.minimum.at(merged, equal[:, 2], low)
        merged = merged[merged]
        if np.array_equal(merged, group):
            break
        group = merged
    strict = shown[shown[:, 3] != EQUAL]
    low = np.where(strict[:, 3] == LESS, strict[:, 1], strict[:, 2])
    high = np.where(strict[:, 3] == LESS, strict[:, 2], strict[:, 1])
    edges = np.unique(np.stack([group[low], group[high]], axis=1), axis=0)
    edges = edges[np.argsort(-column[edges[:, 0]], kind="stable")]
    above = [0] * len(column)
    for below, over in edges.tolist():
        above[below] |= above[over] | (1 << over)
    nodes = group[ood].tolist()
    reach = np.array([[(above[a] >> b) & 1 == 1 for b in nodes] for a in nodes], bool)
    return reach | reach.T | (group[ood][:, None] == group[ood][None, :])

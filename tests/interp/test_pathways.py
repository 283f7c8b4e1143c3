"""Distance and consistency of pathways in closed form, and what must not change them."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from wheatstone.interp.monitors import block_bootstrap, detrended, fall, ranks, settles, spearman, tells
from wheatstone.interp.pathways import (
    NOTHING,
    centred,
    consistencies,
    edit_distances,
    mean_distance,
    most_active,
    pathways,
    random_pairs,
    related_pairs,
    shuffled,
    usage_entropy,
)

WORDS = st.lists(st.integers(0, 4), max_size=7)


def levenshtein(a: list[int], b: list[int]) -> int:
    """By its definition."""

    @functools.cache
    def of(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        return min(of(i - 1, j) + 1, of(i, j - 1) + 1, of(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

    return of(len(a), len(b))


def padded(words: list[list[int]]) -> np.ndarray:
    longest = max(map(len, words))
    return np.array([word + [NOTHING] * (longest - len(word)) for word in words]).reshape(len(words), longest)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6))
def test_edit_distance_is_its_definition(pairs: list[tuple[list[int], list[int]]]) -> None:
    a, b = (padded([pair[side] for pair in pairs]) for side in (0, 1))
    assert edit_distances(a, b).tolist() == [levenshtein(*pair) for pair in pairs]


def test_a_known_distance_and_many_pairs_at_once() -> None:
    kitten, sitting = ([ord(c) for c in word] for word in ("kitten", "sitting"))
    a, b = np.array([[*kitten, NOTHING]] * 5000), np.array([sitting] * 5000)
    assert (edit_distances(a, b) == 3).all()
    assert (edit_distances(a, a) == 0).all()
    assert len(edit_distances(a[:0], b[:0])) == 0


def some_weights(n: int = 30, n_layer: int = 4, n_expert: int = 6, top_k: int = 2, seed: int = 0) -> np.ndarray:
    weights = np.random.default_rng(seed).random((n, n_layer, n_expert))
    weights[weights < np.sort(weights, axis=-1)[..., [-top_k]]] = 0.0
    return weights / weights.sum(-1, keepdims=True)


def test_a_pathway_names_layer_and_expert_by_falling_weight() -> None:
    weights = np.array([[[0.2, 0.0, 0.8], [0.5, 0.5, 0.0]]])
    assert pathways(weights).tolist() == [[2, 0, 3, 4]]  # a tie goes by number
    assert pathways(weights, top_k=1).tolist() == [[2, 3]]
    assert pathways(weights, share=0.5).tolist() == [[2, 3]]
    assert pathways(weights, share=0.9).tolist() == [[2, 0, 3, 4]]
    two = np.concatenate([weights, np.array([[[0.0, 1.0, 0.0], [0.0, 0.3, 0.7]]])])
    assert pathways(two).tolist() == [[2, 0, 3, 4], [1, 5, 4, NOTHING]]
    assert mean_distance(pathways(two), np.array([[0, 1], [0, 0]])) == pytest.approx(0.5 * 3 / 4)
    assert math.isnan(mean_distance(pathways(two), np.zeros((0, 2), int)))


def test_the_most_active_neurons_are_a_pathway() -> None:
    activations = np.array([[[-3.0, 1.0, 0.0, 2.0], [0.0, 0.5, 0.5, -0.1]]])
    weights = most_active(activations, 2)
    np.testing.assert_allclose(weights, [[[0.6, 0.0, 0.0, 0.4], [0.0, 0.5, 0.5, 0.0]]])
    assert pathways(weights).tolist() == [[0, 3, 5, 6]]
    assert pathways(most_active(np.zeros((1, 2, 4)), 2)).shape == (1, 0)  # silent: no way at all
    np.testing.assert_allclose(most_active(5 * activations, 2), weights)


def test_identical_pathways_have_no_distance_and_disjoint_ones_the_largest() -> None:
    weights = some_weights()
    pairs = random_pairs(30, 100, np.random.default_rng(0))
    assert mean_distance(pathways(np.repeat(weights[:1], 30, axis=0)), pairs) == 0.0
    apart = np.zeros((2, 3, 6))
    apart[0, :, :2], apart[1, :, 2:4] = 0.5, 0.5
    assert mean_distance(pathways(apart), np.array([[0, 1]])) == 1.0


def test_renaming_the_experts_of_a_layer_changes_nothing() -> None:
    weights, rng = some_weights(), np.random.default_rng(1)
    embedding = rng.normal(size=(4, 6, 5))
    pairs = random_pairs(30, 200, rng)
    orders = [rng.permutation(6) for _ in range(4)]
    renamed = np.stack([weights[:, layer, order] for layer, order in enumerate(orders)], axis=1)
    rows = np.stack([embedding[layer, order] for layer, order in enumerate(orders)])
    assert mean_distance(pathways(renamed), pairs) == mean_distance(pathways(weights), pairs)
    np.testing.assert_allclose(consistencies(renamed, rows), consistencies(weights, embedding))
    assert usage_entropy(renamed) == pytest.approx(usage_entropy(weights))
    # Two ways of equal length share symbols within a layer alone, so the order of the layers cannot matter either.
    assert mean_distance(pathways(weights[:, ::-1]), pairs) == pytest.approx(mean_distance(pathways(weights), pairs))


def test_a_symbol_is_a_layer_with_an_expert_and_the_heavier_expert_comes_first() -> None:
    one = np.eye(3)[[[0, 1, 2], [1, 2, 0]]]  # [row layer expert]: without layers in symbols, 1 2 could stay
    assert mean_distance(pathways(one), np.array([[0, 1]])) == 1.0
    two = np.array([[[0.7, 0.3], [0.7, 0.3]], [[0.3, 0.7], [0.7, 0.3]]])  # 0 1 | 0 1 and 1 0 | 0 1
    assert mean_distance(pathways(two), np.array([[0, 1]])) == 0.5


def test_renaming_in_every_sample_leaves_nothing_to_share() -> None:
    same = np.repeat(some_weights(1), 400, axis=0)
    pairs = random_pairs(400, 2000, np.random.default_rng(0))
    mixed = pathways(shuffled(same, np.random.default_rng(0)))
    by_chance = pathways(some_weights(400, seed=5))
    assert mean_distance(mixed, pairs) == pytest.approx(mean_distance(by_chance, pairs), abs=0.02)
    np.testing.assert_allclose(np.sort(shuffled(same, np.random.default_rng(0))), np.sort(same))


def test_consistency_in_closed_form() -> None:
    weights = np.zeros((3, 3, 2))
    weights[0, :, 0] = 1.0  # expert 0 in all layers
    weights[1, [0, 2], 0], weights[1, 1, 1] = 1.0, 1.0  # 0, 1, 0
    weights[2] = 0.5  # both alike
    axes = np.repeat(np.eye(2)[None], 3, axis=0)
    np.testing.assert_allclose(consistencies(weights, axes), [1.0, 0.0, 1.0], atol=1e-12)
    opposite = np.array([[[1.0, 0.0], [-1.0, 0.0]]] * 3)
    np.testing.assert_allclose(consistencies(weights[:2], opposite), [1.0, -1.0])
    assert np.isnan(consistencies(weights[:, :1], axes[:1])).all()
    np.testing.assert_allclose(consistencies(3 * weights, axes), consistencies(weights, axes))


def test_centred_rows_do_not_see_what_routes_nothing() -> None:
    weights, rng = some_weights(), np.random.default_rng(0)
    rows, common = rng.normal(size=(4, 6, 5)), 10 * rng.normal(size=(1, 1, 5))
    assert consistencies(weights, rows + common).mean() > 0.9
    np.testing.assert_allclose(centred(rows + common), centred(rows))


def test_even_use_has_entropy_one_and_collapse_none() -> None:
    even = np.repeat(np.eye(4)[:, None], 3, axis=1)
    assert usage_entropy(even) == pytest.approx(1.0)
    collapsed = np.zeros((5, 3, 4))
    collapsed[..., 2] = 1.0
    assert usage_entropy(collapsed) == 0.0
    half = np.zeros((2, 1, 4))
    half[0, 0, 0], half[1, 0, 1] = 1.0, 1.0
    assert usage_entropy(half) == pytest.approx(0.5)
    tokens = some_weights()  # and it does not matter whether tokens are averaged first
    averaged = tokens.reshape(10, 3, 4, 6).mean(1)
    assert usage_entropy(averaged) == pytest.approx(usage_entropy(tokens))


def test_pairs_are_of_different_rows_and_related_ones_share_their_key() -> None:
    rng = np.random.default_rng(0)
    pairs = random_pairs(5, 1000, rng)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert len(np.unique(pairs, axis=0)) == 20
    assert len(random_pairs(1, 10, rng)) == 0
    assert related_pairs("abaab", 100, rng).tolist() == [[0, 2], [0, 3], [2, 3], [1, 4]]
    assert len(np.unique(related_pairs("a" * 50, 30, rng), axis=0)) == 30
    assert related_pairs("abc", 5, rng).shape == (0, 2)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=20))
def test_rank_correlation_is_scipys(points: list[tuple[int, int]]) -> None:
    x, y = ([float(point[side]) for point in points] for side in (0, 1))
    if len(set(x)) > 1 and len(set(y)) > 1:
        assert spearman(x, y) == tells(x, y) == pytest.approx(spearmanr(x, y).statistic)
    else:
        assert math.isnan(spearman(x, y))
        assert tells(x, y) == 0.0


@given(st.permutations(range(9)), st.permutations(range(9)))
def test_detrended_is_what_regression_on_the_ranks_of_time_leaves(x: list[int], y: list[int]) -> None:
    time = np.arange(9)
    if abs(spearman(x, time)) > 0.999 or abs(spearman(y, time)) > 0.999:
        assert detrended(x, y) == 0.0  # only time can be seen
    else:
        rests = [np.array(z) - np.polyval(np.polyfit(time, z, 1), time) for z in (x, y)]
        assert detrended(x, y) == pytest.approx(np.corrcoef(*rests)[0, 1], abs=1e-9)


def test_two_curves_that_only_rise_tell_nothing_once_detrended() -> None:
    rising, rng = np.arange(30.0), np.random.default_rng(0)
    assert tells(rising, rising**3) == pytest.approx(1.0)
    assert detrended(rising, rising**3) == 0.0
    wobble = 3 * rng.normal(size=30)
    assert tells(rising + wobble, rising - wobble) > 0.5
    assert detrended(rising + wobble, rising - wobble) < -0.5
    assert math.isnan(detrended([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]))


def test_blocks_of_neighbours_keep_what_is_between_neighbours() -> None:
    def mean(x: np.ndarray) -> float:
        return float(x.mean())

    rng, n = np.random.default_rng(0), 400
    noise = rng.normal(size=n)
    alone = block_bootstrap(mean, noise, rng=rng, block=1)
    half = 1.96 * noise.std() / math.sqrt(n)
    assert (alone.low, alone.mid, alone.high) == pytest.approx(
        (noise.mean() - half, noise.mean(), noise.mean() + half), abs=0.15 * half
    )
    walk = np.repeat(noise[::8], 8)  # neighbours are alike: as good as 50 values
    width = {block: np.ptp(block_bootstrap(mean, walk, rng=rng, block=block)[::2]) for block in (1, 40)}
    assert width[40] > 2 * width[1]
    whole = block_bootstrap(mean, noise, rng=rng, block=n)
    assert whole.low == whole.mid == whole.high
    assert all(map(math.isnan, block_bootstrap(tells, [], [], rng=rng)))


def test_the_interval_of_a_correlation_covers_none_for_noise_and_not_for_a_line() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=60)
    assert block_bootstrap(tells, x, 2 * x + 0.1 * rng.normal(size=60), rng=rng, draws=200).low > 0.9
    unrelated = block_bootstrap(tells, x, rng.normal(size=60), rng=rng, draws=200)
    assert unrelated.low < 0 < unrelated.high


def test_curves_are_read_as_said() -> None:
    assert ranks([3.0, 1.0, 3.0]).tolist() == [2.5, 1.0, 2.5]
    assert (spearman([1.0, 2.0], [1.0, 2.0]), spearman([1.0, 2.0], [2.0, 1.0])) == pytest.approx((1.0, -1.0))
    assert math.isnan(tells([1.0, 2.0], [1.0, 2.0]))
    assert math.isnan(tells([1.0, 2.0, math.nan], [1.0, 2.0, 3.0]))
    assert math.isnan(spearman([], []))
    assert settles([0.1, 0.96, 0.5, 0.95, 0.97, 0.99, 0.2], 0.95) == 3
    assert settles([0.1, 0.96, 0.97], 0.95) is None
    assert fall([1.0, 5.0, 3.0, 4.0, 2.0, 2.0, 1.0, 1.0]) == pytest.approx(0.75)
    assert fall([2.0, 2.0, 2.0, 9.0, 2.0, 2.0, 2.0, 2.0]) == pytest.approx(1 - 6 / 13)
    assert math.isnan(fall([0.0, 0.0, 0.0]))
    assert math.isnan(fall([1.0, 0.5]))

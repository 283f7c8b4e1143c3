"""Verdicts against scipy's quantiles and cases worked out by hand."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from wheatstone.bench.study import Claim, Require
from wheatstone.bench.verdict import judge, share_interval, t_interval, t_quantile

CLAIM = Claim(
    name="augmented-wins",
    text="Augmentation raises accuracy.",
    measure="accuracy",
    treatment="augmented",
    control="plain",
    direction="higher",
    margin=0.10,
    source="Table 2",
)


def measures(treatment: Any, control: Any, **extra: dict[str, list[float]]) -> dict[str, dict[str, dict[int, float]]]:
    """Arm -> measure -> seed -> value, from lists over seeds."""
    table = {"augmented": {"accuracy": treatment}, "plain": {"accuracy": control}}
    for arm, added in extra.items():
        table[arm] = table[arm] | added
    return {arm: {name: dict(enumerate(values)) for name, values in row.items()} for arm, row in table.items()}


@pytest.mark.parametrize("degrees", [*range(1, 61), 100, 1000])
def test_quantiles_agree_with_scipy(degrees):
    assert t_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), abs=1e-7)


def test_no_quantile_without_a_degree_of_freedom():
    with pytest.raises(ValueError, match="at least 1"):
        t_quantile(0)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40).filter(lambda values: len(set(values)) > 1))
def test_the_interval_agrees_with_scipy(values):
    low, mid, high = t_interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-6)
    assert low <= mid <= high


@pytest.mark.parametrize(
    ("treatment", "control", "outcome", "reason"),
    [
        # differences 0.48, 0.50, 0.52: sd 0.02, reach 4.302653 * 0.02 / sqrt(3) = 0.04968
        ([0.88, 0.90, 0.92], [0.40] * 3, "holds", "0.5 [0.4503, 0.5497] lies above the margin 0.1 in all 3 seeds"),
        ([0.42, 0.40, 0.41], [0.40, 0.41, 0.40], "fails", "lies below the margin 0.1"),
        ([0.40, 0.40, 0.40], [0.90, 0.90, 0.91], "fails", "lies below the margin 0.1"),
        ([0.90, 0.55, 0.60], [0.40, 0.40, 0.40], "inconclusive", "straddles the margin 0.1"),
        ([0.90, 0.90], [0.40, 0.40], "inconclusive", "only 2 common seeds, a verdict needs 3"),
        ([0.90], [0.40], "inconclusive", "only 1 common seed, a verdict needs 3"),
        ([0.90, math.nan, 0.9], [0.4, 0.4, 0.4], "inconclusive", "accuracy of augmented is undefined for seed 1"),
        ([0.90, 0.9, 0.9], [0.4, math.inf, math.nan], "inconclusive", "accuracy of plain is undefined for seeds 1, 2"),
        ([], [0.4, 0.4, 0.4], "inconclusive", "augmented has no accuracy"),
    ],
)  # fmt: skip
def test_known_cases(treatment, control, outcome, reason):
    verdict = judge(CLAIM, measures(treatment, control))
    assert verdict.outcome == outcome
    assert reason in verdict.reason


def test_exactly_the_margin_is_neither_above_nor_below():
    claim = dataclasses.replace(CLAIM, margin=0.125)
    assert judge(claim, measures([0.625] * 3, [0.5] * 3)).outcome == "inconclusive"


def test_one_seed_below_the_margin_is_enough_to_doubt():
    treatment = [0.90] * 19 + [0.45]  # the interval of twenty differences lies above the margin, one seed does not
    verdict = judge(CLAIM, measures(treatment, [0.40] * 20))
    assert verdict.difference is not None
    assert verdict.difference.low > CLAIM.margin
    assert verdict.outcome == "inconclusive"
    assert "1 seed not above the margin 0.1" in verdict.reason


def test_lower_is_oriented():
    claim = dataclasses.replace(CLAIM, direction="lower", bound=0.3, control_bound=0.8)
    table = measures([0.10, 0.11, 0.12], [0.90, 0.91, 0.92])
    verdict = judge(claim, table)
    assert (verdict.outcome, verdict.difference and verdict.difference.mid) == ("holds", pytest.approx(0.8))
    assert judge(dataclasses.replace(claim, bound=0.05), table).outcome == "fails"
    assert judge(dataclasses.replace(claim, control_bound=0.95), table).outcome == "fails"


@pytest.mark.parametrize(
    ("bound", "control_bound", "outcome", "reason"),
    [
        (0.85, 0.45, "holds", "lies above"),
        (0.99, None, "fails", "augmented 0.9 [0.8752, 0.9248] misses its bound 0.99"),
        (0.89, None, "inconclusive", "augmented 0.9 [0.8752, 0.9248] straddles its bound 0.89"),
        (None, 0.30, "fails", "plain 0.4 [0.4, 0.4] misses its bound 0.3"),
        (None, 0.40, "holds", "lies above"),  # weakly on the right side
    ],
)
def test_bounds(bound, control_bound, outcome, reason):
    claim = dataclasses.replace(CLAIM, bound=bound, control_bound=control_bound)
    verdict = judge(claim, measures([0.89, 0.90, 0.91], [0.40, 0.40, 0.40]))
    assert verdict.outcome == outcome
    assert reason in verdict.reason


def test_a_control_interval_across_its_bound_is_inconclusive():
    claim = dataclasses.replace(CLAIM, control_bound=0.41)
    verdict = judge(claim, measures([0.89, 0.90, 0.91], [0.39, 0.40, 0.42]))
    assert verdict.outcome == "inconclusive"
    assert "plain 0.4033" in verdict.reason
    assert "straddles its bound 0.41" in verdict.reason


@pytest.mark.parametrize("outcome_without", [[0.9, 0.9, 0.9], [0.4, 0.4, 0.4]])
def test_an_unmet_requirement_decides_nothing(outcome_without):
    claim = dataclasses.replace(CLAIM, requires=(Require("plain", "train_accuracy", at_least=0.97),))
    trained = measures(outcome_without, [0.4, 0.4, 0.4], plain={"train_accuracy": [0.99, 0.91, 1.0]})
    verdict = judge(claim, trained)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "plain does not reach train_accuracy >= 0.97: 0.91")
    assert judge(claim, measures(outcome_without, [0.4] * 3)).outcome == "inconclusive"
    met = measures(outcome_without, [0.4] * 3, plain={"train_accuracy": [0.99, 0.98, 1.0]})
    assert judge(claim, met).outcome != "inconclusive"


def test_a_requirement_from_above():
    claim = dataclasses.replace(CLAIM, requires=(Require("plain", "loss", at_most=0.1),))
    verdict = judge(claim, measures([0.9] * 3, [0.4] * 3, plain={"loss": [0.05, 0.2, 0.01]}))
    assert verdict.reason == "plain does not keep loss <= 0.1: 0.2"


def test_two_measures_of_one_arm():
    claim = dataclasses.replace(CLAIM, control="augmented", control_measure="ood_accuracy")
    table = measures([0.9, 0.91, 0.92], [0] * 3, augmented={"ood_accuracy": [0.1, 0.12, 0.1]})
    assert judge(claim, table).outcome == "holds"
    assert judge(claim.swapped(), table).outcome == "fails"


seeds_of = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=6)


@given(seeds_of, st.sampled_from(["higher", "lower"]), st.floats(0, 0.5))
def test_swapping_the_arms_flips_holds_into_fails(pairs, direction, margin):
    claim = dataclasses.replace(CLAIM, direction=direction, margin=margin)
    table = measures([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    if judge(claim, table).outcome == "holds":
        assert judge(claim.swapped(), table).outcome == "fails"


@given(seeds_of, st.permutations(range(6)))
def test_the_verdict_does_not_depend_on_the_order_of_seeds(pairs, order):
    table = measures([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    shuffled = {
        arm: {name: {seed: values[seed] for seed in order if seed in values} for name, values in row.items()}
        for arm, row in table.items()
    }
    assert judge(CLAIM, shuffled) == judge(CLAIM, table)


@given(st.integers(1, 500), st.floats(0, 1))
def test_share_interval_is_scipys_wilson(n: int, share: float) -> None:
    hits = round(share * n)
    reference = stats.binomtest(hits, n).proportion_ci(method="wilson")
    low, mid, high = share_interval(hits, n)
    assert (low, high) == pytest.approx((reference.low, reference.high), abs=1e-12)
    assert mid == hits / n


@pytest.mark.parametrize(("hits", "n"), [(1, 0), (3, 2), (-1, 2)])
def test_a_share_of_nothing_has_no_interval(hits: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"{hits} hits of {n}"):
        share_interval(hits, n)

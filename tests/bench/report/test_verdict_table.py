"""The verdict table says what was compared, what came out and what would have been needed."""

from __future__ import annotations

import dataclasses
import math

import pytest

from wheatstone.bench.report.verdicts import differences, interval_text, mean, needed, verdict_table
from wheatstone.bench.study import Claim, Require
from wheatstone.bench.verdict import judge

CLAIM = Claim(
    name="augmented-generalises",
    text="Augmentation makes the model generalise.",
    measure="accuracy",
    treatment="augmented",
    control="plain",
    direction="higher",
    margin=0.1,
    source="Table 2",
    bound=0.9,
    control_bound=0.5,
    paper=0.95,
    requires=(Require("plain", "train_accuracy", at_least=0.97), Require("plain", "loss", at_most=0.1)),
)
MEASURES = {
    "augmented": {"accuracy": {0: 0.95, 1: 0.97, 2: 0.96}},
    "plain": {
        "accuracy": {0: 0.4, 1: 0.41, 2: 0.42},
        "train_accuracy": {0: 1.0, 1: 1.0, 2: 1.0},
        "loss": {0: 0.01, 1: 0.01, 2: 0.01},
    },
}


def test_a_row_has_everything_that_a_verdict_rests_on() -> None:
    html = verdict_table([judge(CLAIM, MEASURES)], ["augmented", "plain"])
    for text in ("✓ holds", "Augmentation makes the model generalise.", "0.96", "0.41", "0.55", "Table 2", "0.95"):
        assert text in html


def test_what_is_needed_in_both_directions() -> None:
    assert needed(CLAIM) == (
        "difference > 0.1; augmented ≥ 0.9; plain ≤ 0.5; requires train_accuracy of plain ≥ 0.97; "
        "requires loss of plain ≤ 0.1"
    )
    lower = dataclasses.replace(CLAIM, direction="lower", requires=())
    assert needed(lower) == "difference > 0.1; augmented ≤ 0.9; plain ≥ 0.5"


def test_differences_point_in_the_claims_direction() -> None:
    verdict = judge(dataclasses.replace(CLAIM, direction="lower"), MEASURES)
    assert differences(verdict) == pytest.approx({0: -0.55, 1: -0.56, 2: -0.54})


def test_a_verdict_without_values_is_a_row_of_dashes() -> None:
    html = verdict_table([judge(CLAIM, {})], ["augmented", "plain"])
    assert "? inconclusive" in html
    assert html.count('class="estimate">–<') == 3


def test_seeds_without_a_value_do_not_count() -> None:
    assert mean({}) is None
    assert interval_text(mean({0: math.nan})) == "–"
    assert interval_text(mean({0: 0.5, 1: math.nan})) == "0.5"
    # By hand: mean 0.41, t(0.975, 2) * 0.01 / sqrt(3) = 0.0248
    assert interval_text(mean({0: 0.40, 1: 0.41, 2: 0.42})) == "0.41 [0.3852, 0.4348]"

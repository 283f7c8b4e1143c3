"""Made-up measures reach every claim that can be reached, and the verdict on them turns with the arms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wheatstone.bench.contract.synthetic import just_past, repeated
from wheatstone.bench.study import Claim, Require
from wheatstone.bench.verdict import judge

numbers = st.integers(-50, 50).map(lambda number: number / 50)
maybe = st.none() | numbers


def claim(**changes) -> Claim:
    known = {"name": "c", "text": "t", "measure": "m", "treatment": "a", "control": "b", "direction": "higher"}
    return Claim(**{**known, "margin": 0.1, "source": "s", **changes})


@given(st.sampled_from(["higher", "lower"]), st.integers(0, 50).map(lambda number: number / 50), maybe, maybe)
def test_every_claim_with_bounds_can_hold_and_turns(direction, margin, bound, control_bound):
    sound = claim(direction=direction, margin=margin, bound=bound, control_bound=control_bound)
    measures = just_past(sound)
    assert measures is not None
    assert judge(sound, measures).outcome == "holds"
    assert judge(sound.swapped(), measures).outcome == "fails"


@given(
    st.sampled_from(["higher", "lower"]),
    maybe,
    maybe,
    st.lists(st.builds(Require, st.sampled_from("ab"), st.sampled_from("mn"), maybe, maybe), max_size=4),
)
def test_what_is_found_holds_and_what_is_not_cannot(direction, bound, control_bound, needs):
    sound = claim(direction=direction, bound=bound, control_bound=control_bound, requires=tuple(needs))
    measures = just_past(sound)
    if measures is not None:
        assert judge(sound, measures).outcome == "holds"
        return
    grid = [number / 50 for number in range(-151, 152)]  # finer than the margin, wider than every bound
    for (
        name
    ) in "ab":  # a second measure plays no part in the contrast, so any value that the requirements allow will do
        others = [need for need in needs if (need.arm, need.measure) == (name, "n")]
        if not any(all(_meets(need, value) for need in others) for value in grid):
            return
    sides = [
        [value for value in grid if all(_meets(n, value) for n in needs if (n.arm, n.measure) == (arm, "m"))]
        for arm in "ab"
    ]
    sign = 1 if direction == "higher" else -1
    treated = [sign * value for value in sides[0] if bound is None or sign * value >= sign * bound]
    untreated = [sign * value for value in sides[1] if control_bound is None or sign * value <= sign * control_bound]
    assert not treated or not untreated or max(treated) - min(untreated) <= 0.1 + 1e-5


def _meets(need: Require, value: float) -> bool:
    return (need.at_least is None or value >= need.at_least) and (need.at_most is None or value <= need.at_most)


@pytest.mark.parametrize(
    "needs",
    [
        [Require("b", "m", at_least=0.5)],
        [Require("a", "m", at_most=0.5)],
        [Require("b", "loss", at_least=0.5, at_most=0.4)],
    ],
)
def test_contradictions_are_found(needs):
    assert just_past(claim(bound=0.9, control_bound=0.4, requires=tuple(needs))) is None


def test_seeds_are_repeated():
    assert repeated({"a": {"m": {0: 0.1, 2: 0.2}}}) == {"a": {"m": {0: 0.1, 1: 0.1, 2: 0.1, 6: 0.2, 7: 0.2, 8: 0.2}}}

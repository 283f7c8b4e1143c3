"""A claim's picture shows every seed, the paper's value and the bounds where their numbers say."""

from __future__ import annotations

import dataclasses
import math
import re
import xml.etree.ElementTree as ET

import pytest
from tests.bench.report.test_verdict_table import CLAIM, MEASURES

from wheatstone.bench.report.claims import claims_section
from wheatstone.bench.report.contrast import contrast_svg
from wheatstone.bench.verdict import judge

SVG = "{http://www.w3.org/2000/svg}"
ARMS = ("augmented", "plain")


def test_every_seed_is_a_dot_in_both_arms_and_in_their_difference() -> None:
    drawing = contrast_svg(judge(CLAIM, MEASURES), ARMS)
    assert drawing is not None
    root = ET.fromstring(drawing)
    dots = [float(dot.attrib["cx"]) for dot in root.iter(f"{SVG}circle")]
    assert len(dots) == 9
    treated, untreated = dots[:3], dots[3:6]
    # One axis for both: equal steps of the measure are equal steps of the drawing.
    assert (treated[1] - treated[0]) / 0.02 == pytest.approx((untreated[2] - untreated[0]) / 0.02, rel=0.1)
    assert min(treated) > max(untreated)


def test_the_papers_value_lies_on_the_axis_of_the_measure() -> None:
    drawing = contrast_svg(judge(CLAIM, MEASURES), ARMS)
    assert drawing is not None
    at = float(re.findall(r'class="paper" d="M([\d.]+)', drawing)[0])
    dots = [float(place) for place in re.findall(r'cx="([\d.]+)"', drawing)]
    assert at == pytest.approx(dots[0], abs=0.1), "seed 0 of the treatment has the paper's value, 0.95"
    assert "paper 0.95" in drawing
    none = contrast_svg(judge(dataclasses.replace(CLAIM, paper=None), MEASURES), ARMS)
    assert none is not None
    assert "paper" not in re.sub(r"--paper", "", none)


def test_what_is_shown_is_said_in_words() -> None:
    drawing = contrast_svg(judge(CLAIM, MEASURES), ARMS)
    assert drawing is not None
    said = ET.fromstring(drawing).attrib["aria-label"]
    assert said.startswith(
        "accuracy: augmented 0.96 [0.9352, 0.9848], plain 0.41 [0.3852, 0.4348]; paper 0.95; difference"
    )
    assert said.endswith("margin 0.1")


def test_an_interval_that_is_far_wider_than_the_rest_is_cut_and_says_so() -> None:
    wide = {"augmented": {"accuracy": {0: 0.1, 1: 0.9}}, "plain": {"accuracy": {0: 0.4, 1: 0.41}}}
    drawing = contrast_svg(judge(dataclasses.replace(CLAIM, requires=()), wide), ARMS)
    assert drawing is not None
    assert drawing.count("l5-5v10z") + drawing.count("l-5-5v10z") >= 2
    assert all(-6 <= float(x) <= 436 for x in re.findall(r' x[12]="([-\d.]+)"', drawing))


def test_seeds_without_a_value_are_left_out() -> None:
    holes = {"augmented": {"accuracy": {0: 0.5, 1: math.nan}}, "plain": {"accuracy": {}}}
    drawing = contrast_svg(judge(CLAIM, holes), ARMS)
    assert drawing is not None
    assert drawing.count("<circle") == 1
    assert contrast_svg(judge(CLAIM, {}), ARMS) is None


def test_a_card_says_why_and_what_the_paper_has() -> None:
    page = claims_section([judge(CLAIM, MEASURES)], ARMS)
    assert page is not None
    assert 'id="claim-augmented-generalises"' in page
    assert "lies above the margin 0.1 in all 3 seeds" in page
    assert "The paper: 0.95 (Table 2)." in page
    assert claims_section([judge(CLAIM, MEASURES)], ("plain",)) is None

"""Colours follow arms; numbers are written as people read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wheatstone.bench.draw.theme import LABEL_LENGTH, MOST_TICKS, PALETTE, cut, number, styles, ticks
from wheatstone.bench.exhibit import Line

ARMS = ("augmented", "plain", "inconsistent")


def line(label: str, arm: str | None = None) -> Line:
    return Line(label, [1], [1], arm=arm)


def test_an_arm_has_one_colour_in_whatever_company() -> None:
    alone = styles([line("held-out", "plain")], ARMS)[0]
    among = styles([line("a"), line("b", "augmented"), line("plain")], ARMS)[2]
    assert alone.colour == among.colour == PALETTE[1]


def test_series_that_are_no_arm_never_borrow_an_arms_colour() -> None:
    others = styles([line(f"series {n}") for n in range(5)], ARMS)
    assert {style.colour for style in others} == set(PALETTE[3:])


def test_two_curves_of_one_arm_differ_in_dash() -> None:
    first, second = styles([line("train", "plain"), line("test", "plain")], ARMS)
    assert first.colour == second.colour
    assert first.dash != second.dash


def test_no_two_of_twenty_series_look_the_same() -> None:
    assert len(set(styles([line(str(n)) for n in range(20)], ()))) == 20


def contrast(colour: str, ground: str) -> float:
    """Contrast ratio of two hex colours (WCAG 2.1, 1.4.11)."""

    def luminance(hexed: str) -> float:
        parts = [int(hexed[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(colour), luminance(ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("ground", ["#ffffff", "#1c2026"])
@pytest.mark.parametrize("colour", PALETTE)
def test_every_colour_is_seen_on_a_light_and_a_dark_page(colour: str, ground: str) -> None:
    assert contrast(colour, ground) > 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "0.1235"),
        (0.5, "0.5"),
        (0.49999999999, "0.5"),
        (0.0, "0"),
        (1.0, "1"),
        (3, "3"),
        (-0.25, "-0.25"),
        (123.456, "123.5"),
        (5000, "5000"),
        (123456, "123\u202f456"),
        (1.5e7, "15\u202f000\u202f000"),
        (12345678.9, "1.23e+07"),
        (0.00001234, "1.23e-05"),
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "–"),
    ],
)
def test_number(value: float | None, text: str) -> None:
    assert number(value) == text


@given(st.floats(-1e300, 1e300))
def test_a_written_number_is_close_to_the_number(value: float) -> None:
    read = float(number(value).replace("\u202f", ""))
    assert read == pytest.approx(value, rel=6e-3, abs=1e-300)


@given(st.text())
def test_a_cut_label_fits_on_its_line(label: str) -> None:
    short = cut(label)
    assert len(short) <= LABEL_LENGTH
    assert "\n" not in short


@given(st.integers(0, 5000))
def test_an_axis_never_has_more_labels_than_it_can_show(count: int) -> None:
    shown = ticks(count)
    assert len(shown) <= MOST_TICKS
    assert all(at < count for at in shown)
    assert count == 0 or shown[0] == 0

"""Plots as SVG: what is drawn lies where its number says, labels stay text, nothing is lost or invented."""

from __future__ import annotations

import dataclasses
import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.bench.exhibit_cases import ARMS, BARS, DRAWN, HEATMAP, HOSTILE, LINES, SCATTER

from wheatstone.bench.draw.bands import bands
from wheatstone.bench.draw.chart import MOST_POINTS, NARROW, WIDE, stroke, thin
from wheatstone.bench.draw.heatmap import is_dark, mixed, shade_of
from wheatstone.bench.draw.picture import Plot, drawings, legend, plot_svg, standing_svg
from wheatstone.bench.draw.scale import Scale, scale_of, tick_text
from wheatstone.bench.draw.theme import PALETTE
from wheatstone.bench.exhibit import Bars, BarSeries, Heatmap, Line, Lines, Mark, Scatter, ScatterSeries

SVG = "{http://www.w3.org/2000/svg}"
PLOTS = [one for one in DRAWN if isinstance(one, Plot)]


def parsed(exhibit: Plot, width: int = WIDE) -> ET.Element:
    """The drawing, which must be well-formed XML."""
    return ET.fromstring(plot_svg(exhibit, ARMS, width))


def words(root: ET.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def scales(root: ET.Element) -> tuple[Scale, Scale]:
    def read(axis: str) -> Scale:
        low, high, start, end, log = map(float, root.attrib[f"data-{axis}"].split(" "))
        return Scale(low, high, start, end, bool(log))

    return read("x"), read("y")


def numbers(path: str) -> list[float]:
    return [float(word) for word in re.findall(r"-?\d+\.?\d*", path)]


@pytest.mark.parametrize("exhibit", PLOTS, ids=lambda one: one.name)
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_drawing_is_well_formed_and_no_label_is_markup(exhibit: Plot, width: int) -> None:
    root = parsed(exhibit, width)
    assert root.attrib["aria-label"] == exhibit.title
    assert not list(root.iter(f"{SVG}script"))
    for element in root.iter():
        assert not any(name.startswith("on") for name in element.attrib)


@pytest.mark.parametrize("exhibit", PLOTS, ids=lambda one: one.name)
def test_everything_lies_in_the_drawing(exhibit: Plot) -> None:
    for width in (WIDE, NARROW):
        root = parsed(exhibit, width)
        _, _, whole, height = map(float, root.attrib["viewBox"].split(" "))
        for text in root.iter(f"{SVG}text"):
            assert -1 <= float(text.attrib["x"]) <= whole + 1
            assert 0 <= float(text.attrib["y"]) <= height


def test_a_curve_goes_through_its_points_and_is_lifted_over_a_gap() -> None:
    root = parsed(LINES)
    x, y = scales(root)
    first, second = (path.attrib["d"] for path in root.iter(f"{SVG}path") if path.get("class") == "curve")
    assert first.count("M") == 2, "the gap lifts the pen"
    expected = [value for at, up in zip([1, 10, 100], [0.1, 0.2, 0.3], strict=True) for value in (x(at), y(up))]
    assert numbers(second) == pytest.approx(expected, abs=0.06)


def test_a_band_is_a_closed_polygon_around_its_line() -> None:
    root = parsed(LINES)
    x, y = scales(root)
    (band,) = (path.attrib["d"] for path in root.iter(f"{SVG}path") if path.get("class") == "band")
    there = [(x(at), y(high)) for at, high in zip([1, 10, 100], [0.2, 0.3, 0.4], strict=True)]
    back = [(x(at), y(low)) for at, low in zip([100, 10, 1], [0.2, 0.1, 0.0], strict=True)]
    assert numbers(band) == pytest.approx([value for point in [*there, *back] for value in point], abs=0.06)
    assert band.endswith("Z")


def test_a_band_breaks_at_a_gap() -> None:
    nan = float("nan")
    stretches = list(bands([1, 2, 3, 4, 5], [0, 0, nan, 0, 0], [1, 1, 1, 1, 1]))
    assert [xs for xs, _, _ in stretches] == [[1, 2], [4, 5]]
    assert list(bands([1, 2], None, None)) == []


def test_axes_say_what_they_show_and_marks_lie_where_they_should() -> None:
    root = parsed(LINES)
    x, y = scales(root)
    assert {"accuracy [0, 1]", "optimiser steps (log)", "memorised", HOSTILE, "1", "10", "100"} <= set(words(root))
    marks = [group for group in root.iter(f"{SVG}g") if group.get("class") == "mark"]
    places = {group.attrib["data-axis"]: next(iter(group.iter(f"{SVG}line"))).attrib for group in marks}
    assert float(places["y"]["y1"]) == pytest.approx(y(0.9), abs=0.06)
    assert float(places["x"]["x1"]) == pytest.approx(x(10), abs=0.06)


def test_points_are_drawn_once_each() -> None:
    root = parsed(SCATTER)
    x, y = scales(root)
    (points,) = (path for path in root.iter(f"{SVG}path") if path.get("class") == "points")
    starts = re.findall(r"M(\S+) ([\d.]+?)(?=m)", points.attrib["d"])
    assert [float(at) for at, _ in starts] == pytest.approx([x(0.5), x(3.6)], abs=0.06)
    assert [float(up) for _, up in starts] == pytest.approx([y(0.1), y(0.9)], abs=0.06)
    assert PALETTE[0] in points.attrib["style"]


@pytest.mark.parametrize("width", [WIDE, NARROW], ids=["upright", "lying"])
def test_bars_are_as_long_as_their_numbers(width: int) -> None:
    root = parsed(BARS, width)
    along = "height" if width == WIDE else "width"
    lengths = [float(rect.attrib[along]) for rect in root.iter(f"{SVG}rect")]
    assert [length / lengths[0] for length in lengths] == pytest.approx([1, 8 / 9, 4 / 9, 3 / 9, 2 / 9], abs=0.01)
    titles = [title.text for title in root.iter(f"{SVG}title")]
    assert titles == [
        f"{HOSTILE}, augmented: 0.9 [0.8, 0.95]",
        "capital, augmented: 0.8 [0.7, 0.9]",
        "capital, augmented: –",
        f"{HOSTILE}, plain: 0.4",
        "capital, plain: 0.3",
        "capital, plain: 0.2",
    ]


def test_bars_below_zero_hang_and_a_value_beyond_the_axis_ends_at_its_edge() -> None:
    bars = Bars("b", "t", "y", ["a"], [BarSeries("s", [-2.0]), BarSeries("r", [9.0])], y_range=(-1, 1))
    down, up = (float(rect.attrib["height"]) for rect in parsed(bars).iter(f"{SVG}rect"))
    assert down == pytest.approx(up, abs=0.1)


def test_cells_have_the_colour_of_their_value_and_a_gap_has_none() -> None:
    root = parsed(HEATMAP)
    assert {"1", "0.25", "0.12", "0.5", "–"} <= set(words(root))
    fills = [path.attrib.get("fill") for path in root.iter(f"{SVG}path")]
    assert {mixed(HEATMAP, shade_of(HEATMAP, value)) for value in (0, 0.5, 1, 0.25, 0.125)} | {None} == set(fills)
    assert (mixed(HEATMAP, 0), mixed(HEATMAP, 63)) == ("#440154", "#fde725")
    assert is_dark("#440154")
    assert not is_dark("#fde725")


def test_a_scale_around_zero_is_white_at_zero_and_ends_in_its_colours() -> None:
    around = dataclasses.replace(HEATMAP, value_range=(-1, 1))
    red, green, blue = (int(mixed(around, 31)[at : at + 2], 16) for at in (1, 3, 5))
    assert min(red, green, blue) > 240
    assert shade_of(around, -7) == 0


def test_ten_thousand_cells_are_few_elements() -> None:
    side = range(100)
    large = Heatmap(
        "h", "t", "x", "y", [*map(str, side)], [*map(str, side)], [[a * b / 1e4 for a in side] for b in side], "v"
    )
    root = parsed(large)
    assert len(list(root.iter(f"{SVG}path"))) <= 64
    assert len(plot_svg(large, (), WIDE)) < 450_000


def test_legends_are_there_where_there_is_more_than_one_series() -> None:
    assert [entry.label for entry in legend(BARS, ARMS)] == ["augmented", "plain"]
    assert legend(SCATTER, ARMS) == legend(HEATMAP, ARMS) == []


@pytest.mark.parametrize("exhibit", PLOTS, ids=lambda one: one.name)
def test_a_file_stands_alone_with_title_and_legend(exhibit: Plot) -> None:
    root = ET.fromstring(standing_svg(exhibit, ARMS))
    said = words(root)
    assert exhibit.title in said
    assert all(entry.label in said for entry in legend(exhibit, ARMS))


def test_a_small_matrix_is_drawn_once_and_everything_else_for_two_widths() -> None:
    assert len(drawings(HEATMAP, ARMS)) == 1
    assert [len(drawings(one, ARMS)) for one in (LINES, BARS, SCATTER)] == [2, 2, 2]


@pytest.mark.parametrize(
    "empty",
    [
        Lines("n", "t", "x", "y", []),
        Lines("n", "t", "x", "y", [Line("l", [], [])], log_x=True, log_y=True),
        Lines("n", "t", "x", "y", [Line("l", [1], [math.nan])], log_y=True),
        Lines("n", "t", "x", "y", [Line("l", [3, 3], [2, 2])]),
        Lines("n", "t", "x", "y", [Line("l", [1e9, 2e9], [1e-9, 1e300])]),
        Bars("n", "t", "y", [], []),
        Bars("n", "t", "y", ["a"], [BarSeries("s", [math.nan])]),
        Scatter("n", "t", "x", "y", [ScatterSeries("s", [], [])]),
        Heatmap("n", "t", "x", "y", [], [], [], "v"),
    ],
)
def test_nothing_to_show_is_an_empty_frame(empty: Plot) -> None:
    for width in (WIDE, NARROW):
        assert "nan" not in plot_svg(empty, ARMS, width)
        parsed(empty, width)


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12), st.integers(2, 9))
def test_ticks_are_few_round_and_inside(low: float, span: float, count: int) -> None:
    assume(span > 1e-6 * abs(low))
    scale = Scale(low, low + span, 0, 100)
    ticks = scale.ticks(count)
    assert len(ticks) <= count + 2
    assert all(low - 1e-6 * span <= tick <= low + span * (1 + 1e-6) for tick in ticks)
    assert all(tick_text(tick) for tick in ticks)


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=9), st.booleans())
def test_every_value_has_a_place(values: list[float], is_log: bool) -> None:
    scale = scale_of(values, 10, 90, is_log=is_log)
    assert all(10 - 1e-6 <= scale(value) <= 90 + 1e-6 for value in values)


def test_ticks_that_lie_close_together_are_told_apart() -> None:
    assert [words for _, words in Scale(0.9998, 1.0001, 0, 1).labels(3)] == ["0.9998", "0.9999", "1", "1.0001"]
    assert [words for _, words in Scale(1e-5, 1.2e-5, 0, 1).labels(2)] == ["1e-05", "1.1e-05", "1.2e-05"]


def test_logarithmic_ticks() -> None:
    assert Scale(0.9, 1100, 0, 1, True).ticks(8) == pytest.approx([1, 10, 100, 1000])
    assert Scale(1, 30, 0, 1, True).ticks(8) == pytest.approx([1, 2, 5, 10, 20])
    assert [tick_text(value) for value in (0, 2000, 15_000, 2.5e6, 1e-5)] == ["0", "2000", "15k", "2.5M", "1e-05"]


def test_a_long_line_keeps_its_spikes() -> None:
    points = [(float(at), 0.0) for at in range(100_000)]
    points[54_321] = (54_321.0, 9.0)
    points[70_000] = (70_000.0, math.nan)
    kept = thin(points)
    assert len(kept) <= 1.1 * MOST_POINTS
    assert (54_321.0, 9.0) in kept
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert stroke([(0, 0), (math.nan, 1), (2, 2)]) == "M0.0 0.0M2.0 2.0"


def test_marks_at_the_right_edge_have_their_name_on_the_left() -> None:
    lines = Lines("n", "t", "x", "y", [Line("l", [0, 1], [0, 1])], marks=[Mark("x", 1, "the end")])
    (name,) = (text for text in parsed(lines).iter(f"{SVG}text") if text.text == "the end")
    assert name.attrib["text-anchor"] == "end"

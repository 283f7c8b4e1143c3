"""The interactive figure shows the exhibit's own numbers, and labels stay text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.bench.exhibit_cases import ARMS, BARS, CIRCUIT, DRAWN, HEATMAP, HOSTILE, LINES, NOTE, SCATTER, TABLE

from wheatstone.bench.draw.interactive import bands, figure
from wheatstone.bench.draw.theme import PALETTE
from wheatstone.bench.exhibit import Exhibit, Line, Lines, Mark


def drawn(exhibit: Exhibit) -> dict[str, Any]:
    made = figure(exhibit, ARMS)
    assert made is not None
    return made


@pytest.mark.parametrize("exhibit", DRAWN, ids=lambda one: one.name)
def test_a_figure_is_plain_json_and_no_label_is_markup(exhibit: Exhibit) -> None:
    made = figure(exhibit, ARMS)
    text = json.dumps(made, allow_nan=False)
    assert "<script" not in text
    assert "<b>" not in text


@pytest.mark.parametrize("exhibit", [TABLE, CIRCUIT, NOTE], ids=lambda one: one.name)
def test_what_has_no_axes_has_no_interactive_figure(exhibit: Exhibit) -> None:
    assert figure(exhibit, ARMS) is None


def test_lines_show_their_numbers_with_gaps_as_null() -> None:
    traces = [trace for trace in drawn(LINES)["data"] if "name" in trace]
    assert traces[0]["x"] == [1.0, 10.0, 100.0]
    assert traces[0]["y"] == [0.1, None, 0.9]
    assert traces[0]["name"] == "&lt;script&gt;alert(1)&lt;/script&gt;"
    assert traces[1]["line"]["color"] == PALETTE[1]


def test_a_band_is_a_closed_polygon_around_its_line() -> None:
    bands_drawn = [trace for trace in drawn(LINES)["data"] if trace.get("fill") == "toself"]
    assert len(bands_drawn) == 1, "the first line's band has a gap and no stretch of two points"
    assert bands_drawn[0]["x"] == [1.0, 10.0, 100.0, 100.0, 10.0, 1.0]
    assert bands_drawn[0]["y"] == [0.2, 0.3, 0.4, 0.2, 0.1, 0.0]


def test_a_band_breaks_at_a_gap() -> None:
    nan = float("nan")
    stretches = list(bands([1, 2, 3, 4, 5], [0, 0, nan, 0, 0], [1, 1, 1, 1, 1]))
    assert [xs for xs, _, _ in stretches] == [[1, 2], [4, 5]]
    assert list(bands([1, 2], None, None)) == []


def test_axes_say_what_they_show_and_marks_lie_where_they_should() -> None:
    layout = drawn(LINES)["layout"]
    assert layout["xaxis"]["title"]["text"] == "optimiser steps"
    assert layout["xaxis"]["type"] == "log"
    assert layout["yaxis"]["range"] == pytest.approx([-0.015, 1.015])
    across, down = layout["shapes"]
    assert (across["y0"], across["y1"], across["xref"]) == (0.9, 0.9, "paper")
    # Shapes on a logarithmic axis are placed by value, annotations by its exponent.
    assert (down["x0"], layout["annotations"][1]["x"]) == (10, 1.0)


def test_bars_with_one_name_stay_two_groups() -> None:
    made = drawn(BARS)
    first = made["data"][0]
    assert first["x"] == [0, 1, 2]
    assert first["y"] == [0.9, 0.8, None]
    assert first["error_y"]["array"] == pytest.approx([0.05, 0.1, None])
    assert first["error_y"]["arrayminus"] == pytest.approx([0.1, 0.1, None])
    assert "error_y" not in made["data"][1]
    assert made["layout"]["xaxis"]["ticktext"] == ["&lt;script&gt;alert(1)&lt;/script&gt;", "capital", "capital"]


def test_heatmap_cells_are_named_on_hover() -> None:
    trace = drawn(HEATMAP)["data"][0]
    assert trace["z"] == [[0.0, 0.5, None], [1.0, 0.25, 0.125]]
    assert trace["customdata"][1][0] == "layer 1 · Paris: 1"
    assert trace["text"] == [["0", "0.5", "–"], ["1", "0.25", "0.12"]]
    assert (trace["zmin"], trace["zmax"]) == (0, 1)


def test_a_scale_around_zero_is_white_at_zero() -> None:
    import dataclasses

    trace = drawn(dataclasses.replace(HEATMAP, value_range=(-1, 1)))["data"][0]
    assert trace["colorscale"][1] == [0.5, "#F7F7F7"]


def test_points_carry_their_names() -> None:
    trace = drawn(SCATTER)["data"][0]
    assert trace["text"] == ["&lt;script&gt;alert(1)&lt;/script&gt;", "capital"]
    assert HOSTILE not in json.dumps(trace)


def test_a_long_legend_makes_room_for_itself() -> None:
    def height(count: int) -> int:
        lines = [Line(f"line {n}", [1], [1]) for n in range(count)]
        return drawn(Lines("n", "t", "x", "y", lines))["layout"]["height"]

    assert height(12) > height(2)


def test_a_mark_on_a_logarithmic_range() -> None:
    line, mark = Line("a", [1], [1]), Mark("y", 0.1, "m")
    lines = Lines("n", "t", "x", "y", [line], y_range=(0.01, 10), log_y=True, marks=[mark])
    layout = drawn(lines)["layout"]
    assert layout["yaxis"]["range"] == pytest.approx([-2, 1])
    assert layout["annotations"][0]["y"] == pytest.approx(-1)

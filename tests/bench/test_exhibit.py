"""Exhibits: what they keep, what they refuse, and that they come back from JSON as they were."""

from __future__ import annotations

import dataclasses
import json
import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bench.exhibit_cases import EVERY_KIND, LINES

from wheatstone.bench.errors import UserError
from wheatstone.bench.exhibit import (
    KINDS,
    PARTS,
    Bars,
    BarSeries,
    Circuit,
    CircuitEdge,
    CircuitNode,
    Exhibit,
    Heatmap,
    Line,
    Lines,
    Mark,
    Note,
    ScatterSeries,
    Table,
    curve_line,
    from_json,
    to_json,
)
from wheatstone.bench.run import Run

anything = st.floats(allow_nan=True, allow_infinity=True)


@pytest.mark.parametrize("exhibit", EVERY_KIND, ids=lambda one: one.name)
def test_comes_back_from_json_as_it_was(exhibit: Exhibit) -> None:
    text = json.dumps(to_json(exhibit), allow_nan=False)
    assert from_json(json.loads(text)) == exhibit


@given(st.lists(st.tuples(anything, anything, anything, anything)), st.text(), st.booleans())
def test_any_line_comes_back_from_json(points: list[tuple[float, ...]], label: str, log_x: bool) -> None:
    x, y, low, high = (list(column) for column in zip(*points, strict=True)) if points else ([], [], [], [])
    lines = Lines("name", label, label, label, [Line(label, x, y, low, high)], log_x=log_x, caption=label)
    assert from_json(json.loads(json.dumps(to_json(lines), allow_nan=False))) == lines


cells = st.one_of(st.none(), st.text(), st.integers(), anything)


@given(st.lists(st.lists(cells, min_size=2, max_size=2)))
def test_any_table_comes_back_from_json(rows: list[list[Any]]) -> None:
    table = Table("name", "title", ["a", "b"], rows)
    assert from_json(json.loads(json.dumps(to_json(table), allow_nan=False))) == table


def test_values_that_are_not_finite_are_gaps() -> None:
    line = Line("label", [1, 2, 3], [math.inf, -math.inf, math.nan])
    assert all(map(math.isnan, line.y))
    assert line == Line("label", (1.0, 2.0, 3.0), (math.nan, cast(float, None), float("nan")))


def test_arrays_become_python_numbers() -> None:
    heatmap = Heatmap("name", "t", "x", "y", ["a", "b"], ["c"], np.array([[1, 2]], np.float32), "v")
    assert heatmap.values == ((1.0, 2.0),)
    table = Table("name", "t", ["a", "b", "c"], [[np.float32(0.5), np.int64(3), np.bool_(True)]])
    assert table.rows == ((0.5, 3, "yes"),)
    assert [type(cell) for cell in table.rows[0]] == [float, int, str]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Line("l", [1, 2], [1]),
        lambda: Line("l", [1, 2], [1, 2], low=[1]),
        lambda: BarSeries("l", [1, 2], high=[1]),
        lambda: Bars("b", "t", "y", ["a"], [BarSeries("l", [1, 2])]),
        lambda: Heatmap("h", "t", "x", "y", ["a"], ["b"], [[1, 2]], "v"),
        lambda: Heatmap("h", "t", "x", "y", ["a"], ["b", "c"], [[1]], "v"),
        lambda: ScatterSeries("l", [1, 2], [1, 2], ["a"]),
        lambda: Table("t", "t", ["a", "b"], [["c"]]),
    ],
)
def test_lengths_that_differ_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="lengths differ"):
        make()


@pytest.mark.parametrize("name", ["", "Upper", "with space", "../up", "a/b", ".", "a--b", "naïve"])
def test_a_name_that_is_no_slug_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="exhibit name"):
        Note(name, "title", "text")


def test_an_axis_that_runs_backwards_is_refused() -> None:
    with pytest.raises(ValueError, match="lower one"):
        dataclasses.replace(LINES, y_range=(1, 0))


@pytest.mark.parametrize(
    "change",
    [{"y_range": (0, 1), "log_y": True}, {"marks": (Mark("x", 0, "m"),), "log_x": True}],
)
def test_zero_has_no_place_on_a_logarithmic_axis(change: Any) -> None:
    with pytest.raises(ValueError, match="logarithmic"):
        dataclasses.replace(LINES, **({"marks": ()} | change))


def test_an_edge_to_nowhere_is_refused() -> None:
    with pytest.raises(ValueError, match="names no node"):
        Circuit("c", "t", [CircuitNode("a", "a", 0, 0)], [CircuitEdge("a", "b", 1.0)])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"kind": "pie"}, "kind is 'pie', must be one of lines, bars"),
        ({}, "kind is None"),
        ({"kind": "note", "name": "n", "title": "t"}, "exhibit 'n' of kind note: .*text"),
        ({"kind": "note", "name": "n", "title": "t", "text": "x", "size": 3}, "size"),
        ({"kind": "lines", "name": "n", "lines": [{"label": "a"}]}, "missing"),
    ],
)
def test_json_of_something_else_is_refused(value: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_json(value)


def test_every_nested_part_is_known_to_the_reader() -> None:
    # A new field that holds dataclasses must be entered in PARTS, or from_json would hand back dicts.
    nested = {
        field.name
        for kind in KINDS.values()
        for field in dataclasses.fields(kind)
        if any(part.__name__ + "]" in str(field.type) for part in PARTS.values())
    }
    assert nested == set(PARTS)


def run_with(**curves: dict[int, list[tuple[int, float]]]) -> Run:
    """Stands in for a run: curves(metric, arm) -> seed -> points."""
    return cast(Run, SimpleNamespace(curves=lambda metric, arm: curves[f"{metric}_{arm}"]))


def test_curve_line_is_the_mean_with_its_t_interval() -> None:
    run = run_with(acc_plain={0: [(1, 0.1), (2, 0.4)], 1: [(1, 0.2), (2, 0.5)], 2: [(1, 0.3), (2, 0.9)]})
    line = curve_line(run, "acc", "plain", "label")
    assert (line.label, line.arm, line.x) == ("label", "plain", (1.0, 2.0))
    assert line.y == pytest.approx((0.2, 0.6))
    # n = 3: half-width t(0.975, 2) * s / sqrt(3) with s = 0.1, by hand 4.302653 * 0.1 / 1.7320508
    assert line.low is not None
    assert line.high is not None
    assert line.high[0] - 0.2 == pytest.approx(0.2484138, rel=1e-6)
    assert 0.2 - line.low[0] == pytest.approx(0.2484138, rel=1e-6)


def test_a_seed_that_stops_early_keeps_its_last_value() -> None:
    run = run_with(acc_a={0: [(1, 0.0), (3, 1.0)], 1: [(1, 0.0), (3, 0.2), (5, 0.4)]})
    line = curve_line(run, "acc", "a", "a")
    assert line.x == (1.0, 3.0, 5.0)
    assert line.y == pytest.approx((0.0, 0.6, 0.7))


def test_steps_that_differ_are_read_between_and_late_seeds_do_not_count_before_their_start() -> None:
    run = run_with(acc_a={0: [(0, 0.0), (4, 1.0)], 1: [(2, 0.5), (4, 0.5)]})
    line = curve_line(run, "acc", "a", "a")
    assert line.x == (0.0, 2.0, 4.0)
    assert line.y == pytest.approx((0.0, 0.5, 0.75))
    assert line.low is not None
    assert math.isnan(line.low[0])


def test_logged_nan_is_left_out() -> None:
    run = run_with(acc_a={0: [(1, math.nan), (2, 0.5)], 1: [(1, 0.1), (2, math.nan)], 2: [(1, math.nan)]})
    line = curve_line(run, "acc", "a", "a")
    assert line.x == (1.0, 2.0)
    assert line.y == pytest.approx((0.1, 0.3))


def test_a_metric_that_nobody_logged_is_an_empty_line() -> None:
    line = curve_line(run_with(acc_a={}), "acc", "a", "a")
    assert line.x == line.y == ()

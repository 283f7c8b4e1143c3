"""A plot in a page: legend, drawings for wide and narrow places, its numbers as a table, and what the script reads.

The drawing is complete before any script runs. The script adds what paper cannot: values under the pointer or the
arrow keys, series that can be hidden, and a closer look at a stretch of the x axis.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

from wheatstone.bench.draw.picture import Plot, drawings, legend, swatch_svg
from wheatstone.bench.draw.theme import number
from wheatstone.bench.exhibit import Bars, Cell, Heatmap, Line, Lines, Scatter, to_json
from wheatstone.bench.report.html import Html, embedded_json, table, tag, value_cell

MOST_ROWS = 40
"""Rows of a table of numbers; of more, evenly spaced ones are shown, and figures/<name>.json has them all."""
MOST_COLUMNS = 24
MOST_EMBEDDED = 4000
"""Points of a line that the page's script reads."""


def plot(exhibit: Plot, arms: Sequence[str]) -> Html:
    """The plot with everything around it."""
    identity = f"figure-{exhibit.name}"
    drawn = drawings(exhibit, arms)
    places = ("wide", "narrow") if len(drawn) > 1 else ("both",)
    return tag(
        "div",
        _legend(exhibit, arms),
        *(tag("div", Html(svg), class_=f"drawing {place}") for svg, place in zip(drawn, places, strict=True)),
        numbers(exhibit),
        embedded_json(identity, to_json(_thinned(exhibit))),
        class_="plot",
        data_figure=identity,
        data_title=exhibit.title,
    )


def _legend(exhibit: Plot, arms: Sequence[str]) -> Html | None:
    entries = legend(exhibit, arms)
    if not entries:
        return None
    items = (
        tag("li", Html(swatch_svg(exhibit, entry.style)), tag("span", entry.label), data_entry=str(place))
        for place, entry in enumerate(entries)
    )
    return tag("ul", *items, class_="legend")


def _thinned(exhibit: Plot) -> Plot:
    """What the script gets: every n-th point of very long lines."""
    if not isinstance(exhibit, Lines) or all(len(line.x) <= MOST_EMBEDDED for line in exhibit.lines):
        return exhibit
    return dataclasses.replace(exhibit, lines=[_every(line, MOST_EMBEDDED) for line in exhibit.lines])


def _every(line: Line, most: int) -> Line:
    kept = spaced(len(line.x), most)
    columns = {name: getattr(line, name) for name in ("x", "y", "low", "high")}
    return dataclasses.replace(
        line, **{name: None if column is None else [column[at] for at in kept] for name, column in columns.items()}
    )


def spaced(count: int, most: int) -> list[int]:
    """At most `most` of `count` places, evenly spaced, first and last among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(place * (count - 1) / (most - 1)) for place in range(most)})


def numbers(exhibit: Plot) -> Html:
    """The figure's numbers, folded away: what a screen reader reads, and what can be copied."""
    match exhibit:
        case Lines():
            head, rows, whole = _of_lines(exhibit)
        case Scatter():
            head, rows, whole = _of_points(exhibit)
        case Bars():
            head, rows, whole = _of_bars(exhibit)
        case Heatmap():
            head, rows, whole = _of_matrix(exhibit)
    shown = [tag("tr", *(_cell(cell, place) for place, cell in enumerate(row))) for row in rows]
    more = f"{len(shown)} of {whole} rows; all of them are in figures/{exhibit.name}.json."
    return tag(
        "details",
        tag("summary", "Numbers"),
        table([tag("th", name, class_="number" if place else None) for place, name in enumerate(head)], shown),
        tag("p", more, class_="about") if len(shown) < whole else None,
        class_="numbers",
    )


Rows = tuple[list[str], Iterator[Sequence[Cell]], int]
"""Heads of the columns, rows, and how many rows there are in all."""


def _of_lines(exhibit: Lines) -> Rows:
    xs = sorted({x for line in exhibit.lines for x in line.x if not math.isnan(x)})
    known = [
        {
            x: (line.y[at], line.low[at] if line.low else math.nan, line.high[at] if line.high else math.nan)
            for at, x in enumerate(line.x)
        }
        for line in exhibit.lines
    ]

    def rows() -> Iterator[Sequence[Cell]]:
        for at in spaced(len(xs), MOST_ROWS):
            yield [xs[at], *(_estimate(*values.get(xs[at], (math.nan,) * 3)) for values in known)]

    return [exhibit.x_title, *(line.label for line in exhibit.lines)], rows(), len(xs)


def _of_points(exhibit: Scatter) -> Rows:
    points = [
        (series.label, series.text[at] if series.text else "", x, series.y[at])
        for series in exhibit.points
        for at, x in enumerate(series.x)
    ]
    rows = ([*points[at]] for at in spaced(len(points), MOST_ROWS))
    return ["series", "point", exhibit.x_title, exhibit.y_title], rows, len(points)


def _of_bars(exhibit: Bars) -> Rows:
    def rows() -> Iterator[Sequence[Cell]]:
        for at in spaced(len(exhibit.groups), MOST_ROWS):
            ends = [
                _estimate(one.values[at], one.low[at] if one.low else math.nan, one.high[at] if one.high else math.nan)
                for one in exhibit.series
            ]
            yield [exhibit.groups[at], *ends]

    return [exhibit.y_title, *(one.label for one in exhibit.series)], rows(), len(exhibit.groups)


def _of_matrix(exhibit: Heatmap) -> Rows:
    columns = spaced(len(exhibit.x), MOST_COLUMNS)
    rows = (
        [exhibit.y[row], *(exhibit.values[row][column] for column in columns)]
        for row in reversed(spaced(len(exhibit.y), MOST_ROWS))
    )
    return [f"{exhibit.y_title} \\ {exhibit.x_title}", *(exhibit.x[column] for column in columns)], rows, len(exhibit.y)


def _estimate(value: float, low: float, high: float) -> Cell:
    """The value, with its interval where there is one."""
    return value if math.isnan(low + high) else f"{number(value)} [{number(low)}, {number(high)}]"


def _cell(cell: Cell, place: int) -> Html:
    style = "number" if place else None
    return tag("td", cell, class_=style) if isinstance(cell, str) else value_cell(cell, style)

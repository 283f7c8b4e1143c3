"""Exhibit -> plotly figure as plain JSON; plotly's Python package is not needed to make one.

Text colour, background and grid are left to the page, which knows whether it is light or dark. plotly reads a little
HTML in every label (<b>, <a href>), so labels are escaped: a user's entity stays the text it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from wheatstone.bench.draw.theme import MARK_COLOUR, MOST_WRITTEN_CELLS, cut, number, styles, ticks, translucent
from wheatstone.bench.exhibit import Bars, Exhibit, Heatmap, Lines, Mark, Scatter

Json = dict[str, Any]
SEQUENTIAL = "Viridis"
DIVERGING = [[0.0, "#D55E00"], [0.5, "#F7F7F7"], [1.0, "#0072B2"]]


def figure(exhibit: Exhibit, arms: Sequence[str] = ()) -> Json | None:
    """{'data': [...], 'layout': {...}} for plotly, or None for an exhibit without axes (table, circuit, note).

    `arms` are the study's arms in their order: they fix the colours.
    """
    match exhibit:
        case Lines():
            return _lines(exhibit, arms)
        case Bars():
            return _bars(exhibit, arms)
        case Scatter():
            return _scatter(exhibit, arms)
        case Heatmap():
            return _heatmap(exhibit)
        case _:
            return None


def _lines(exhibit: Lines, arms: Sequence[str]) -> Json:
    data: list[Json] = []
    for line, style in zip(exhibit.lines, styles(exhibit.lines, arms), strict=True):
        group = f"line {len(data)}"
        for xs, lows, highs in bands(line.x, line.low, line.high):
            data.append(
                {
                    "type": "scatter",
                    "x": [*xs, *reversed(xs)],
                    "y": [*highs, *reversed(lows)],
                    "mode": "lines",
                    "line": {"width": 0, "color": style.colour},
                    "fill": "toself",
                    "fillcolor": translucent(style.colour, 0.18),
                    "hoverinfo": "skip",
                    "legendgroup": group,
                    "showlegend": False,
                }
            )
        data.append(
            {
                "type": "scatter",
                "x": [*line.x],
                "y": gaps(line.y),
                "name": text(line.label),
                "mode": "lines+markers" if len(line.x) <= 40 else "lines",
                "line": {"color": style.colour, "dash": style.dash, "width": 2},
                "marker": {"size": 6, "symbol": style.marker},
                "legendgroup": group,
                "hovertemplate": "%{fullData.name}: %{y:.4~g}<extra></extra>",
            }
        )
    layout = _layout(exhibit, len(exhibit.lines))
    layout["hovermode"] = "x unified" if len(exhibit.lines) <= 10 else "closest"
    return {"data": data, "layout": layout}


def _scatter(exhibit: Scatter, arms: Sequence[str]) -> Json:
    data: list[Json] = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": gaps(series.x),
            "y": gaps(series.y),
            "name": text(series.label),
            "text": [text(one) for one in series.text or [""] * len(series.x)],
            "marker": {"color": style.colour, "symbol": style.marker, "size": 8, "opacity": 0.8},
            "hovertemplate": "%{text}<br>%{x:.4~g}, %{y:.4~g}<extra>%{fullData.name}</extra>",
        }
        for series, style in zip(exhibit.points, styles(exhibit.points, arms), strict=True)
    ]
    return {"data": data, "layout": _layout(exhibit, len(data)) | {"hovermode": "closest"}}


def _bars(exhibit: Bars, arms: Sequence[str]) -> Json:
    data: list[Json] = []
    for series, style in zip(exhibit.series, styles(exhibit.series, arms), strict=True):
        bar: Json = {
            "type": "bar",
            "x": list(range(len(exhibit.groups))),
            "y": gaps(series.values),
            "name": text(series.label),
            "marker": {"color": style.colour, "pattern": {"shape": _PATTERNS[style.dash], "solidity": 0.25}},
            "customdata": [text(group) for group in exhibit.groups],
            "hovertemplate": "%{customdata}<br>%{fullData.name}: %{y:.4~g}<extra></extra>",
        }
        if series.low is not None and series.high is not None:
            ends = list(zip(series.values, series.low, series.high, strict=True))
            bar["error_y"] = {
                "type": "data",
                "symmetric": False,
                "array": gaps([high - value for value, _, high in ends]),
                "arrayminus": gaps([value - low for value, low, _ in ends]),
                "thickness": 1.5,
                "width": 4,
            }
        data.append(bar)
    layout: Json = _layout(exhibit, len(data)) | {"barmode": "group", "hovermode": "closest"}
    layout["bargap"] = 1 - min(0.75, 0.3 * max(1, len(data)))
    # Many or long names stand aslant below the axis, which must not eat the plot.
    longest = max((len(cut(group)) for group in exhibit.groups), default=0)
    layout["height"] += min(130, 4 * longest) if longest * len(exhibit.groups) > 90 else 0
    layout["xaxis"] |= {**_categories(exhibit.groups), "showgrid": False, "zeroline": False}
    return {"data": data, "layout": layout}


_PATTERNS = {"solid": "", "dash": "/", "dot": ".", "dashdot": "x"}


def _heatmap(exhibit: Heatmap) -> Json:
    low, high = exhibit.value_range
    trace: Json = {
        "type": "heatmap",
        "x": list(range(len(exhibit.x))),
        "y": list(range(len(exhibit.y))),
        "z": [gaps(row) for row in exhibit.values],
        "customdata": [
            [f"{text(row)} · {text(column)}: {number(value)}" for column, value in zip(exhibit.x, values, strict=True)]
            for row, values in zip(exhibit.y, exhibit.values, strict=True)
        ],
        "hovertemplate": "%{customdata}<extra></extra>",
        "zmin": low,
        "zmax": high,
        "colorscale": DIVERGING if low == -high else SEQUENTIAL,
        "colorbar": {"title": {"text": text(exhibit.value_title), "side": "right"}, "thickness": 14, "outlinewidth": 0},
        "xgap": 1,
        "ygap": 1,
    }
    if len(exhibit.x) * len(exhibit.y) <= MOST_WRITTEN_CELLS:
        trace |= {"text": [[number(value, 2) for value in row] for row in exhibit.values], "texttemplate": "%{text}"}
    layout = _layout(exhibit, 1)
    layout["plot_bgcolor"] = translucent(MARK_COLOUR, 0.3)  # a missing value is grey: white is a value
    layout["height"] = min(1100, max(300, 150 + 24 * len(exhibit.y)))
    layout["xaxis"] |= {**_categories(exhibit.x), "showgrid": False, "zeroline": False}
    layout["yaxis"] |= {**_categories(exhibit.y), "showgrid": False, "zeroline": False}
    return {"data": [trace], "layout": layout}


def _layout(exhibit: Lines | Bars | Scatter | Heatmap, entries: int) -> Json:
    layout: Json = {
        # The legend stands above the plot, where no tick label and no data can be; each row of it costs some height.
        "height": 400 + 20 * max(0, math.ceil(entries / 3) - 1),
        "margin": {"l": 60, "r": 20, "t": 20, "b": 50},
        "showlegend": entries > 1,
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        "xaxis": {"title": {"text": text(getattr(exhibit, "x_title", "")), "standoff": 12}, "automargin": True},
        "yaxis": {"title": {"text": text(exhibit.y_title), "standoff": 12}, "automargin": True},
        "shapes": [],
        "annotations": [],
    }
    if isinstance(exhibit, Heatmap):
        return layout
    log = {"x": getattr(exhibit, "log_x", False), "y": getattr(exhibit, "log_y", False)}
    for axis, is_log in log.items():
        if is_log:
            layout[f"{axis}axis"] |= {"type": "log", "dtick": 1, "exponentformat": "none"}
    if exhibit.y_range is not None:
        low, high = exhibit.y_range
        room = 0.015 * (high - low)
        whole = [low if isinstance(exhibit, Bars) else low - room, high + room]
        layout["yaxis"]["range"] = [math.log10(low), math.log10(high)] if log["y"] else whole
    for mark in exhibit.marks:
        shape, annotation = _mark(mark, log[mark.axis])
        layout["shapes"].append(shape)
        layout["annotations"].append(annotation)
    return layout


def _mark(mark: Mark, is_log: bool) -> tuple[Json, Json]:
    across = "y" if mark.axis == "x" else "x"
    shape: Json = {
        "type": "line",
        f"{mark.axis}0": mark.at,
        f"{mark.axis}1": mark.at,
        f"{across}ref": "paper",
        f"{across}0": 0,
        f"{across}1": 1,
        "line": {"color": MARK_COLOUR, "width": 1.2, "dash": "dash"},
    }
    annotation: Json = {
        "text": text(cut(mark.label)),
        "showarrow": False,
        "font": {"size": 11, "color": MARK_COLOUR},
        mark.axis: math.log10(mark.at) if is_log else mark.at,
        f"{across}ref": "paper",
        across: 1,
        "xanchor": "right" if mark.axis == "y" else "left",
        "yanchor": "bottom" if mark.axis == "y" else "top",
    }
    return shape, annotation


def _categories(labels: Sequence[str]) -> Json:
    shown = ticks(len(labels))
    return {
        "tickmode": "array",
        "tickvals": list(shown),
        "ticktext": [text(cut(labels[at])) for at in shown],
        "range": [-0.5, len(labels) - 0.5],
    }


def bands(
    x: Sequence[float], low: Sequence[float] | None, high: Sequence[float] | None
) -> Iterator[tuple[list[float], list[float], list[float]]]:
    """The stretches of a band (x, low, high) between gaps."""
    stretch: list[tuple[float, float, float]] = []
    for point in [*zip(x, low or (), high or (), strict=False), (math.nan, math.nan, math.nan)]:
        if not any(map(math.isnan, point)):
            stretch.append(point)
        elif stretch:
            xs, lows, highs = (list(column) for column in zip(*stretch, strict=True))
            stretch = []
            if len(xs) > 1:
                yield xs, lows, highs


def gaps(values: Sequence[float]) -> list[float | None]:
    """The values with NaN as null, which plotly leaves out."""
    return [None if math.isnan(value) else value for value in values]


def text(label: str) -> str:
    """A label that plotly shows as it is: it reads tags and entities in every text."""
    return escape(label, quote=False)

"""Exhibit -> PNG with matplotlib's Agg canvas: no pyplot, no global style, no display.

The picture stands on its own: it carries the title that the page shows as a heading. matplotlib reads `$...$` as
formulas, so dollars in labels are escaped.
"""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wheatstone.bench.draw import circuit as drawing
from wheatstone.bench.draw.bands import bands
from wheatstone.bench.draw.scale import Scale
from wheatstone.bench.draw.theme import LABEL_LENGTH, MARK_COLOUR, MOST_WRITTEN_CELLS, Style, cut, number, styles, ticks
from wheatstone.bench.exhibit import Bars, Circuit, Diagram, Exhibit, Heatmap, Lines, Mark, Scatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 144
WIDTH = 8.0
"""Inches."""
DASHES: dict[str, Any] = {"solid": "-", "dash": (0, (5, 2)), "dot": (0, (1, 1.4)), "dashdot": (0, (5, 2, 1, 2))}
HATCHES = {"solid": "", "dash": "//", "dot": "..", "dashdot": "xx"}
MARKERS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "cross": "P",
    "x": "X",
    "triangle-down": "v",
    "pentagon": "p",
}
DIVERGING = ("#D55E00", "#F7F7F7", "#0072B2")


def png(exhibit: Exhibit, arms: Sequence[str] = ()) -> bytes | None:
    """The picture as PNG bytes, the same bytes for the same exhibit; None for a table or a note.

    `arms` are the study's arms in their order: they fix the colours.
    """
    match exhibit:
        case Lines():
            figure, axes = _new(exhibit, 4.6)
            _lines(axes, exhibit, arms)
        case Scatter():
            figure, axes = _new(exhibit, 4.8)
            _scatter(axes, exhibit, arms)
        case Bars():
            figure, axes = _new(exhibit, 4.8)
            _bars(axes, exhibit, arms)
        case Heatmap():
            figure, axes = _new(exhibit, min(12.0, max(3.2, 1.9 + 0.27 * len(exhibit.y))))
            _heatmap(figure, axes, exhibit)
        case Circuit():
            figure = _circuit(exhibit)
            return _bytes(figure)
        case Diagram():
            from wheatstone.bench.draw.diagram_png import diagram_figure

            return _bytes(diagram_figure(exhibit))
        case _:
            return None
    if not isinstance(exhibit, Heatmap):
        _finish(figure, axes, exhibit)
    return _bytes(figure)


def _new(exhibit: Lines | Scatter | Bars | Heatmap, height: float) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    figure.suptitle(_wrapped(exhibit.title), x=0.012, ha="left", fontsize=11, fontweight="bold")
    axes.set_ylabel(plain(exhibit.y_title), fontsize=10)
    axes.set_xlabel(plain(getattr(exhibit, "x_title", "")), fontsize=10)
    axes.tick_params(labelsize=9, color="#999999")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#999999")
    return figure, axes


def _finish(figure: Figure, axes: Axes, exhibit: Lines | Scatter | Bars) -> None:
    axes.grid(axis="y" if isinstance(exhibit, Bars) else "both", color="#E3E3E3", linewidth=0.7)
    axes.set_axisbelow(True)
    for axis, is_log in (("x", getattr(exhibit, "log_x", False)), ("y", getattr(exhibit, "log_y", False))):
        if is_log:
            make_logarithmic(axes, axis)
    if exhibit.y_range is not None:
        # A line along the end of the range is drawn whole; bars stand on the axis.
        low, high = exhibit.y_range
        room = 0.0 if getattr(exhibit, "log_y", False) else 0.015 * (high - low)
        axes.set_ylim(low if isinstance(exhibit, Bars) else low - room, high + room)
    for mark in exhibit.marks:
        _mark(axes, mark)
    handles, labels = axes.get_legend_handles_labels()
    if len(handles) > 1:
        columns = 1 if max(map(len, labels)) > 44 else min(len(handles), 3 if max(map(len, labels)) <= 24 else 2)
        figure.legend(handles, labels, loc="outside lower left", ncols=columns, fontsize=9, frameon=False)


def make_logarithmic(axes: Axes, axis: str) -> None:
    """A logarithmic scale for 'x' or 'y', with ticks that can be read over any range."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    smallest = axes.dataLim.minposx if axis == "x" else axes.dataLim.minposy
    if not math.isfinite(smallest):  # no positive value to begin the axis with
        return
    getattr(axes, f"set_{axis}scale")("log")
    which = getattr(axes, f"{axis}axis")
    low, high = which.get_view_interval()
    if high < 100 * low:  # matplotlib would write one decade, or none: as the charts of the report do
        which.set_major_locator(FixedLocator(Scale(low, high, 0.0, 1.0, is_log=True).ticks(5)))
    which.set_major_formatter(FuncFormatter(_tick))
    which.set_minor_formatter(NullFormatter())


def _tick(value: float, _position: int) -> str:
    return f"{value:g}" if abs(value) < 1e5 else number(value)


def _mark(axes: Axes, mark: Mark) -> None:
    if mark.axis == "y":
        axes.axhline(mark.at, color=MARK_COLOUR, linewidth=1, linestyle=(0, (4, 3)))
        place: dict[str, Any] = {"xy": (1, mark.at), "xycoords": axes.get_yaxis_transform(), "ha": "right"}
        offset, vertical = (-2, 2), "bottom"
    else:
        axes.axvline(mark.at, color=MARK_COLOUR, linewidth=1, linestyle=(0, (4, 3)))
        place = {"xy": (mark.at, 1), "xycoords": axes.get_xaxis_transform(), "ha": "left"}
        offset, vertical = (3, -2), "top"
    axes.annotate(
        plain(cut(mark.label)),
        **place,
        va=vertical,
        xytext=offset,
        textcoords="offset points",
        fontsize=8,
        color="#666666",
        annotation_clip=False,
    )


def _lines(axes: Axes, exhibit: Lines, arms: Sequence[str]) -> None:
    for line, style in zip(exhibit.lines, styles(exhibit.lines, arms), strict=True):
        for xs, lows, highs in bands(line.x, line.low, line.high):
            axes.fill_between(xs, lows, highs, color=style.colour, alpha=0.18, linewidth=0)
        axes.plot(
            line.x,
            line.y,
            color=style.colour,
            linestyle=DASHES[style.dash],
            linewidth=1.8,
            marker=MARKERS[style.marker] if len(line.x) <= 40 else None,
            markersize=4,
            label=_series_label(line.label),
        )


def _scatter(axes: Axes, exhibit: Scatter, arms: Sequence[str]) -> None:
    for series, style in zip(exhibit.points, styles(exhibit.points, arms), strict=True):
        axes.scatter(
            series.x,
            series.y,
            s=34,
            color=style.colour,
            marker=MARKERS[style.marker],
            alpha=0.8,
            linewidths=0,
            label=_series_label(series.label),
        )


def _bars(axes: Axes, exhibit: Bars, arms: Sequence[str]) -> None:
    width = min(0.3, 0.78 / max(1, len(exhibit.series)))
    for place, (series, style) in enumerate(zip(exhibit.series, styles(exhibit.series, arms), strict=True)):
        at = [group + (place - (len(exhibit.series) - 1) / 2) * width for group in range(len(exhibit.groups))]
        _one_bar(axes, at, width, series.values, _series_label(series.label), style)
        if series.low is not None and series.high is not None:
            axes.vlines(at, series.low, series.high, color="#333333", linewidth=1.1)
    _name_ticks(axes, "x", exhibit.groups)
    axes.set_xlim(-0.6, len(exhibit.groups) - 0.4)
    axes.tick_params(axis="x", length=0)


def _one_bar(axes: Axes, at: list[float], width: float, values: Sequence[float], label: str, style: Style) -> None:
    heights = [0.0 if math.isnan(value) else value for value in values]
    axes.bar(
        at,
        heights,
        width=width * 0.92,
        color=style.colour,
        hatch=HATCHES[style.dash],
        edgecolor="white",
        linewidth=0,
        label=label,
    )


def _heatmap(figure: Figure, axes: Axes, exhibit: Heatmap) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    low, high = exhibit.value_range
    colours: Any = LinearSegmentedColormap.from_list("diverging", DIVERGING) if low == -high else "viridis"
    if exhibit.x and exhibit.y:
        image = axes.imshow(
            exhibit.values, origin="lower", aspect="auto", vmin=low, vmax=high, cmap=colours, interpolation="nearest"
        )
        bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
        bar.set_label(plain(exhibit.value_title), fontsize=9)
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    axes.set_facecolor("#EDEDED")
    _name_ticks(axes, "x", exhibit.x)
    _name_ticks(axes, "y", exhibit.y)
    axes.spines[:].set_visible(False)
    if len(exhibit.x) * len(exhibit.y) <= MOST_WRITTEN_CELLS:
        _write_values(axes, exhibit)


def _write_values(axes: Axes, exhibit: Heatmap) -> None:
    low, high = exhibit.value_range
    for row, values in enumerate(exhibit.values):
        for column, value in enumerate(values):
            share = (value - low) / (high - low)
            is_dark = abs(share - 0.5) > 0.35 if low == -high else share < 0.6
            colour = "white" if is_dark and not math.isnan(value) else "#222222"
            axes.text(column, row, number(value, 2), ha="center", va="center", fontsize=7.5, color=colour)


def _name_ticks(axes: Axes, axis: str, labels: Sequence[str]) -> None:
    shown = ticks(len(labels))
    is_crowded = len(shown) > 24
    names = [plain(cut(labels[at], 24 if is_crowded and axis == "x" else LABEL_LENGTH)) for at in shown]
    getattr(axes, f"set_{axis}ticks")(list(shown), names)
    if axis == "x":
        # Level while the labels fit side by side in the width of the plot (about 95 characters at 9 points).
        room = 95 / max(1, len(shown))
        if any(len(name) + 1 > room for name in names):
            for tick in axes.get_xticklabels():
                tick.set(rotation=90 if is_crowded else 35, ha="center" if is_crowded else "right")
                tick.set_rotation_mode("anchor" if not is_crowded else "default")


def _circuit(exhibit: Circuit) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
    from matplotlib.path import Path

    drawn = drawing.layout(exhibit)
    title = _wrapped(exhibit.title, max(40, round(drawn.width / 8)))
    head = 22.0 * (title.count("\n") + 1) + 8
    width, height = max(drawn.width, 420.0), drawn.height + head
    figure = Figure(figsize=(width / 96, height / 96), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    axes.text(drawing.MARGIN, 10, title, fontsize=11, fontweight="bold", va="top")
    for path in drawn.paths:
        points = [(point.x, point.y + head) for point in path.points]
        curve = Path(points, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
        axes.add_patch(
            FancyArrowPatch(
                path=curve,
                arrowstyle="-|>",
                mutation_scale=9 + 2 * path.width,
                linewidth=path.width * 0.75,
                linestyle=DASHES["dash"] if path.edge.strength < 0 else "-",
                color=path.colour,
                alpha=path.opacity,
                shrinkA=0,
                shrinkB=0,
            )
        )
    for box in drawn.boxes:
        emphasis = min(1.0, max(0.0, box.node.emphasis))
        corner = (box.centre.x - box.width / 2, box.top.y + head)
        shape = FancyBboxPatch(
            corner,
            box.width,
            drawing.NODE_HEIGHT,
            boxstyle="round,pad=0,rounding_size=7",
            facecolor=tuple(1 - 0.55 * emphasis * (1 - part) for part in (0.902, 0.624, 0.0)),
            edgecolor="#222222" if emphasis >= 0.5 else "#999999",
            linewidth=0.8 + emphasis,
        )
        axes.add_patch(shape)
        weight = "bold" if emphasis >= 0.5 else "normal"
        name = plain(cut(box.node.label, drawing.LABEL))
        axes.text(box.centre.x, box.centre.y + head, name, ha="center", va="center", fontsize=9.2, fontweight=weight)
    for path in drawn.paths:
        if path.edge.label:
            name = plain(cut(path.edge.label, drawing.LABEL))
            at = path.label_at
            halo = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
            axes.text(at.x, at.y + head, name, ha="center", va="center", fontsize=8.2, bbox=halo)
    for label in drawn.labels:
        side = "right" if label.is_row else "center"
        name = plain(label.text)
        axes.text(label.at.x, label.at.y + head, name, ha=side, va="center", fontsize=9, color="#666666")
    return figure


def _series_label(label: str) -> str:
    # matplotlib leaves labels that begin with '_' out of the legend; a zero-width space keeps them in.
    shown = plain(cut(label, 60))
    return f"\u200b{shown}" if shown.startswith("_") else shown


def _wrapped(title: str, width: int = 92) -> str:
    return plain("\n".join(textwrap.wrap(title, width)))


def plain(label: str) -> str:
    """The label as matplotlib text that holds no formula."""
    return label.replace("$", r"\$")


def _bytes(figure: Figure) -> bytes:
    target = io.BytesIO()
    with warnings.catch_warnings():
        # A glyph that the bundled font lacks is drawn as a box: no reason to end a run of hours.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(target, format="png", dpi=DPI, metadata={"Software": None})
    return target.getvalue()

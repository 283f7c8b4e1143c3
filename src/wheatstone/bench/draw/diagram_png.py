"""A diagram on a matplotlib canvas: the same parts in the same order as its SVG, in the light colours."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from wheatstone.bench.draw.diagram import COLOURS, curves, points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from wheatstone.bench.diagram import DiagramStroke
    from wheatstone.bench.exhibit import Diagram

PIXELS_PER_INCH = 96
POINT = 72 / PIXELS_PER_INCH
"""A pixel in points: matplotlib gives line widths and letters in points."""
DASH = (0, (4, 3))
TITLE, LINE, MARGIN = 14.0, 20.0, 14.0
LONGEST_SIDE = 9000.0
"""Pixels of the drawing; a larger one would not fit the canvas at the resolution of reports."""


def diagram_figure(diagram: Diagram) -> Figure:
    """The drawing under its title. One that is larger than any canvas is drawn smaller."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    title = textwrap.wrap(diagram.title, max(40, round(diagram.width / 8)))
    head = LINE * len(title) + MARGIN
    width, height = max(diagram.width, 420.0), diagram.height + head
    scale = min(1.0, LONGEST_SIDE / max(width, height)) / PIXELS_PER_INCH
    figure = Figure(figsize=(width * scale, height * scale), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    point = POINT * scale * PIXELS_PER_INCH
    name = "\n".join(title).replace("$", r"\$")
    axes.text(MARGIN, MARGIN, name, fontsize=TITLE * point, fontweight="bold", va="top")
    _strokes(axes, diagram.strokes, head, point, 1)
    _boxes(axes, diagram, head, point)
    _strokes(axes, diagram.front, head, point, 3)
    for text in diagram.texts:
        axes.text(
            text.x,
            text.y + head,
            text.text.replace("$", r"\$"),
            fontsize=text.size * point,
            ha={"start": "left", "middle": "center", "end": "right"}[text.anchor],
            va="center",
            color=COLOURS[text.tone],
            fontweight="bold" if text.bold else "normal",
            rotation=90 if text.vertical else 0,
            rotation_mode="anchor",
            zorder=4,
        )
    return figure


def _boxes(axes: Axes, diagram: Diagram, head: float, point: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    for box in diagram.boxes:
        radius = min(box.radius, box.width / 2, box.height / 2)
        axes.add_patch(
            FancyBboxPatch(
                (box.x, box.y + head),
                box.width,
                box.height,
                boxstyle=f"round,pad=0,rounding_size={radius}" if radius else "square,pad=0",
                facecolor="none" if box.fill is None else COLOURS[box.fill],
                edgecolor=COLOURS[box.tone],
                linewidth=box.stroke * point,
                linestyle=DASH if box.dashed else "-",
                zorder=2,
            )
        )


def _strokes(axes: Axes, strokes: Sequence[DiagramStroke], head: float, point: float, order: int) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    for stroke in strokes:
        places = points(stroke)
        if stroke.curved:
            places = [places[0], *(place for piece in curves(stroke) for place in piece)]
            codes = [Path.MOVETO, *[Path.CURVE4] * (len(places) - 1)]
        else:
            codes = [Path.MOVETO, *[Path.LINETO] * (len(places) - 1)]
        path = Path([(x, y + head) for x, y in places], codes)
        axes.add_patch(
            PathPatch(
                path,
                facecolor="none",
                edgecolor=COLOURS[stroke.tone],
                linewidth=stroke.width * point,
                linestyle=DASH if stroke.dashed else "-",
                capstyle="butt",
                zorder=order,
            )
        )

"""Exhibit -> SVG for a page: lines, bars, points and matrices, in the page's own colours, light or dark.

Everything is drawn here, so a page needs no plotting library, prints sharp and can be read before any script runs.
Colours are CSS variables with the theme's value as fallback (`var(--c0,#0072B2)`), so the same element stands in a
report, in a notebook and in a file. What a script needs to read values under the pointer and to zoom stands in
`data-` attributes: the scales of both axes, and which group belongs to which series.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from wheatstone.bench.draw.bands import bands
from wheatstone.bench.draw.scale import Scale, scale_of
from wheatstone.bench.draw.theme import PALETTE, Style, cut, styles
from wheatstone.bench.exhibit import Line, Lines, Mark, Scatter

WIDE, NARROW = 860, 400
"""Pixels of the two drawings of a figure: for a page, and for a phone or half a page."""
CHARACTER = 6.7
"""Width of a character at 12 px, on the generous side."""
MOST_MARKED = 40
"""Points of a line before their markers would run into each other."""
MOST_POINTS = 1600
"""Points of a drawn line; of a longer one the extremes of each stretch are kept."""
INK, MUTED, GRID, PAPER = "var(--ink,#1b1f24)", "var(--muted,#59626c)", "var(--grid,#e3e7ec)", "var(--paper,#fff)"
DASH_ARRAYS = {"solid": "", "dash": "7 4", "dot": "2 3.5", "dashdot": "8 3 2 3"}
SHAPES = {
    "circle": "m-3.4 0a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0-6.8 0",
    "square": "m-3-3h6v6h-6z",
    "diamond": "m0-4.3l4.3 4.3l-4.3 4.3l-4.3-4.3z",
    "triangle-up": "m0-4l4 7h-8z",
    "cross": "m-1.3-4h2.6v2.7h2.7v2.6h-2.7v2.7h-2.6v-2.7h-2.7v-2.6h2.7z",
    "x": "m-3.8-2l1.8-1.8l2 2l2-2l1.8 1.8l-2 2l2 2l-1.8 1.8l-2-2l-2 2l-1.8-1.8l2-2z",
    "triangle-down": "m0 4l4-7h-8z",
    "pentagon": "m0-4l3.8 2.8l-1.5 4.4h-4.6l-1.5-4.4z",
}
"""Each marker around its point, as relative path commands."""


def colour(style: Style) -> str:
    """The style's colour as CSS: the page's shade of it where the page has one."""
    return f"var(--c{PALETTE.index(style.colour)},{style.colour})"


def lines_svg(exhibit: Lines | Scatter, arms: Sequence[str], width: int) -> str:
    """Curves or points over two numeric axes."""
    height = 330 if width >= WIDE else 270
    series = exhibit.lines if isinstance(exhibit, Lines) else exhibit.points
    xs = [x for one in series for x in one.x]
    ys = [y for one in series for y in one.y]
    if isinstance(exhibit, Lines):
        ys += [y for line in exhibit.lines for y in (*(line.low or ()), *(line.high or ()))]
    xs += [mark.at for mark in exhibit.marks if mark.axis == "x"]
    ys += [mark.at for mark in exhibit.marks if mark.axis == "y"]
    top, bottom = 30.0, height - 46.0
    y = _y_scale(exhibit, ys, bottom, top)
    left = _left_of(y)
    room = 0.0 if isinstance(exhibit, Lines) and not any(mark.axis == "x" for mark in exhibit.marks) else 0.03
    x = scale_of(xs, left, width - 14.0, is_log=exhibit.log_x, room=room)
    drawn: list[str] = []
    for place, (one, style) in enumerate(zip(series, styles(series, arms), strict=True)):
        inner = _line(one, style, x, y) if isinstance(one, Line) else _points(one.x, one.y, style, x, y, 0.8)
        drawn.append(f'<g data-series="{place}">{inner}</g>')
    clip = f"clip-{exhibit.name}-{width}"
    parts = [
        *axes(x, y, exhibit.x_title, exhibit.y_title, width, height),
        f'<clipPath id="{clip}"><rect x="{left - 5:.1f}" y="{top - 5:.1f}" width="{width - 14 - left + 10:.1f}"'
        f' height="{bottom - top + 10:.1f}"/></clipPath>',
        f'<g clip-path="url(#{clip})">{"".join(drawn)}</g>',
        *(mark_svg(mark, x, y) for mark in exhibit.marks),
    ]
    return element(exhibit.title, width, height, parts, x=x, y=y)


def element(title: str, width: float, height: float, parts: Sequence[str], **scales: Scale) -> str:
    """The SVG element around the parts. `scales` are written down for the page's script."""
    data = "".join(
        f' data-{axis}="{scale.low!r} {scale.high!r} {scale.start:.1f} {scale.end:.1f} {int(scale.is_log)}"'
        for axis, scale in scales.items()
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img"'
        f' aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="12"{data}>{"".join(parts)}</svg>'
    )


def text(at_x: float, at_y: float, words: str, anchor: str = "start", fill: str = MUTED, extra: str = "") -> str:
    """A text element, its words escaped."""
    return (
        f'<text x="{at_x:.1f}" y="{at_y:.1f}" text-anchor="{anchor}" style="fill:{fill}"{extra}>{escape(words)}</text>'
    )


HALO = f' paint-order="stroke" stroke-width="3.5" stroke-linejoin="round" stroke="{PAPER}"'


def _y_scale(exhibit: Lines | Scatter, values: Sequence[float], bottom: float, top: float) -> Scale:
    if exhibit.y_range is None:
        return scale_of(values, bottom, top, is_log=exhibit.log_y)
    low, high = exhibit.y_range
    room = 0.0 if exhibit.log_y else 0.015 * (high - low)
    return Scale(low - room, high + room, bottom, top, exhibit.log_y)


def _left_of(y: Scale) -> float:
    """Where the plot begins: right of its tick labels."""
    return 16.0 + CHARACTER * max([1, *(len(words) for _, words in y.labels(6))])


def axes(x: Scale, y: Scale, x_title: str, y_title: str, width: float, height: float) -> Iterator[str]:
    """Grid, tick labels and titles; the title of the y axis stands level above it, where it is read most easily."""
    yield '<g class="ticks-y">'
    for value, words in y.labels(6):
        yield (
            f'<line x1="{x.start:.1f}" x2="{x.end:.1f}" y1="{y(value):.1f}" y2="{y(value):.1f}" style="stroke:{GRID}"/>'
        )
        yield text(x.start - 8, y(value) + 4, words, "end")
    yield '</g><g class="ticks-x">'
    for value, words in x.labels(9 if width >= WIDE else 4):
        yield (
            f'<line x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{y.start:.1f}" y2="{y.start + 5:.1f}"'
            f' style="stroke:{MUTED}"/>'
        )
        yield text(x(value), y.start + 19, words, "middle")
    yield "</g>"
    yield f'<line x1="{x.start:.1f}" x2="{x.end:.1f}" y1="{y.start:.1f}" y2="{y.start:.1f}" style="stroke:{MUTED}"/>'
    most = int(width / CHARACTER) - 4
    yield text(0, 13, cut(y_title, most), fill=INK)
    yield text(x.end, height - 8, cut(x_title, most) + (" (log)" if x.is_log else ""), "end", INK)


def mark_svg(mark: Mark, x: Scale, y: Scale) -> str:
    """A threshold with its label."""
    at = x(mark.at) if mark.axis == "x" else y(mark.at)
    if math.isnan(at):
        return ""
    label = cut(mark.label)
    dash = f'style="stroke:{MUTED}" stroke-dasharray="4 4"'
    if mark.axis == "y":
        line = f'<line x1="{x.start:.1f}" x2="{x.end:.1f}" y1="{at:.1f}" y2="{at:.1f}" {dash}/>'
        below = at < y.end + 24  # near the top is where the thresholds of the other axis have their names
        name = text(x.end - 2, at + 14 if below else at - 5, label, "end", extra=HALO)
        return f'<g class="mark" data-axis="y" data-at="{mark.at!r}">{line}{name}</g>'
    line = f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y.start:.1f}" y2="{y.end:.1f}" {dash}/>'
    is_right = at + 6 + CHARACTER * len(label) > x.end
    name = text(at - 5 if is_right else at + 5, y.end + 11, label, "end" if is_right else "start", extra=HALO)
    return f'<g class="mark" data-axis="x" data-at="{mark.at!r}">{line}{name}</g>'


def _line(line: Line, style: Style, x: Scale, y: Scale) -> str:
    shade, parts = colour(style), list[str]()
    for xs, lows, highs in bands(line.x, line.low, line.high):
        there = [(x(at), y(high)) for at, high in zip(xs, highs, strict=True)]
        back = [(x(at), y(low)) for at, low in zip(xs, lows, strict=True)]
        if outline := stroke([*thin(there), *reversed(thin(back))]):
            parts.append(f'<path class="band" d="{outline}Z" style="fill:{shade}" fill-opacity="0.16"/>')
    dash = DASH_ARRAYS[style.dash]
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    curve = stroke(thin([(x(at), y(value)) for at, value in zip(line.x, line.y, strict=True)]))
    parts.append(
        f'<path class="curve" d="{curve}" style="stroke:{shade}" fill="none" stroke-width="2" stroke-linejoin="round"'
        f"{dashes}/>"
    )
    if len(line.x) <= MOST_MARKED:
        parts.append(_points(line.x, line.y, style, x, y, 1.0))
    return "".join(parts)


def _points(xs: Sequence[float], ys: Sequence[float], style: Style, x: Scale, y: Scale, opacity: float) -> str:
    """All points of a series as one path."""
    shape = SHAPES[style.marker]
    places = ((x(at), y(value)) for at, value in zip(xs, ys, strict=True))
    drawn = "".join(f"M{at:.1f} {up:.1f}{shape}" for at, up in places if not math.isnan(at + up))
    look = f'style="fill:{colour(style)}" fill-opacity="{opacity:g}"'
    return f'<path class="points" d="{drawn}" data-shape="{shape}" {look}/>'


def stroke(points: Sequence[tuple[float, float]]) -> str:
    """The points as path commands; a gap lifts the pen."""
    words, is_down = list[str](), False
    for at, up in points:
        if math.isnan(at + up):
            is_down = False
            continue
        words.append(f"{'L' if is_down else 'M'}{at:.1f} {up:.1f}")
        is_down = True
    return "".join(words)


def thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of a long line, the first, lowest, highest and last point of each stretch, so that no spike is lost."""
    if len(points) <= MOST_POINTS:
        return list(points)
    size = math.ceil(4 * len(points) / MOST_POINTS)
    kept: list[tuple[float, float]] = []
    for first in range(0, len(points), size):
        stretch = points[first : first + size]
        known = [place for place, (_, up) in enumerate(stretch) if not math.isnan(up)]
        if not known:
            kept.append((math.nan, math.nan))
            continue
        lowest = min(known, key=lambda place: stretch[place][1])
        highest = max(known, key=lambda place: stretch[place][1])
        kept += [stretch[place] for place in sorted({known[0], lowest, highest, known[-1]})]
    return kept

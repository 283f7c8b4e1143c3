"""Grouped bars as SVG: upright where the groups' names fit below them, lying where they do not.

A name is never turned: what has to be read with the head on the side is not read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from wheatstone.bench.draw.chart import (
    CHARACTER,
    GRID,
    INK,
    MUTED,
    PAPER,
    WIDE,
    colour,
    element,
    mark_svg,
    text,
)
from wheatstone.bench.draw.scale import Scale, scale_of
from wheatstone.bench.draw.theme import Style, cut, number, styles
from wheatstone.bench.exhibit import Bars, BarSeries, Mark

LYING_NAME = 24
"""Characters of a group's name beside lying bars."""
CUTS = {"solid": "", "dash": "2 9", "dot": "2 3", "dashdot": "2 9 2 3"}
"""Series of one colour differ in how their bars are cut: gap and rest, in pixels."""


class Slot(NamedTuple):
    """Where a bar stands across its group."""

    start: float
    width: float


def bars_svg(exhibit: Bars, arms: Sequence[str], width: int) -> str:
    """One group of bars for each of `groups`, with an interval on each bar that has one."""
    count = max(1, len(exhibit.groups))
    room = (width - 80) / count / CHARACTER
    fits = all(len(cut(group)) + 1 <= room for group in exhibit.groups)
    upright = fits and count * max(1, len(exhibit.series)) * 7 <= width - 80
    return (_upright if upright else _lying)(exhibit, arms, width)


def _upright(exhibit: Bars, arms: Sequence[str], width: int) -> str:
    height = 300 if width >= WIDE else 260
    top, bottom = 30.0, height - 28.0
    y = _values_scale(exhibit, bottom, top)
    left = 16.0 + CHARACTER * max(len(words) for _, words in y.labels(6))
    x = Scale(-0.5, len(exhibit.groups) - 0.5, left, width - 10.0)
    parts = ['<g class="ticks-y">']
    for value, words in y.labels(6):
        parts.append(
            f'<line x1="{left:.1f}" x2="{x.end:.1f}" y1="{y(value):.1f}" y2="{y(value):.1f}" style="stroke:{GRID}"/>'
        )
        parts.append(text(left - 8, y(value) + 4, words, "end"))
    parts.append("</g>")
    parts += [text(x(place), bottom + 18, cut(name), "middle", INK) for place, name in enumerate(exhibit.groups)]
    pitch = (x.end - x.start) / max(1, len(exhibit.groups))
    for place, (series, style) in enumerate(zip(exhibit.series, styles(exhibit.series, arms), strict=True)):
        drawn = [
            _bar(exhibit, series, style, group, _slot(exhibit, place, x(group), pitch), y, upright=True)
            for group in range(len(exhibit.groups))
        ]
        parts.append(f'<g data-series="{place}">{"".join(drawn)}</g>')
    zero = y(0.0) if y.low <= 0 <= y.high else bottom
    parts.append(f'<line x1="{left:.1f}" x2="{x.end:.1f}" y1="{zero:.1f}" y2="{zero:.1f}" style="stroke:{MUTED}"/>')
    parts.append(text(0, 13, cut(exhibit.y_title, int(width / CHARACTER) - 4), fill=INK))
    parts += [mark_svg(mark, x, y) for mark in exhibit.marks if mark.axis == "y"]
    return element(exhibit.title, width, height, parts)


def _lying(exhibit: Bars, arms: Sequence[str], width: int) -> str:
    names = [cut(name, LYING_NAME) for name in exhibit.groups]
    series = max(1, len(exhibit.series))
    thick = 15.0 if series == 1 else 11.0
    pitch, top = thick * series + 9.0, 34.0
    bottom = top + pitch * max(1, len(names))
    left = 12.0 + CHARACTER * max([1, *map(len, names)])
    x = _values_scale(exhibit, left, width - 26.0)
    parts = ['<g class="ticks-y">']
    for value, words in x.labels(8 if width >= WIDE else 4):
        parts.append(
            f'<line x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{top:.1f}" y2="{bottom:.1f}" style="stroke:{GRID}"/>'
        )
        parts.append(text(x(value), bottom + 16, words, "middle"))
    parts.append("</g>")
    centres = [top + pitch * (place + 0.5) for place in range(len(names))]
    parts += [text(left - 8, at + 4, name, "end", INK) for name, at in zip(names, centres, strict=True)]
    for place, (one, style) in enumerate(zip(exhibit.series, styles(exhibit.series, arms), strict=True)):
        drawn = [
            _bar(exhibit, one, style, group, _slot(exhibit, place, centres[group], pitch), x, upright=False)
            for group in range(len(names))
        ]
        parts.append(f'<g data-series="{place}">{"".join(drawn)}</g>')
    zero = x(0.0) if x.low <= 0 <= x.high else left
    parts.append(f'<line x1="{zero:.1f}" x2="{zero:.1f}" y1="{top:.1f}" y2="{bottom:.1f}" style="stroke:{MUTED}"/>')
    parts.append(text(0, 13, cut(exhibit.y_title, int(width / CHARACTER) - 4), fill=INK))
    # A threshold of the value axis stands upright here, with its name above the bars.
    y = Scale(0.0, 1.0, bottom, top - 14)
    parts += [mark_svg(Mark("x", mark.at, mark.label), x, y) for mark in exhibit.marks if mark.axis == "y"]
    return element(exhibit.title, width, bottom + 26, parts)


def _values_scale(exhibit: Bars, start: float, end: float) -> Scale:
    if exhibit.y_range is not None:
        low, high = exhibit.y_range
        return Scale(low, high, start, end)
    values = [mark.at for mark in exhibit.marks if mark.axis == "y"]
    for series in exhibit.series:
        values += [*series.values, *(series.low or ()), *(series.high or ())]
    return scale_of(values, start, end, zero=True)


def _slot(exhibit: Bars, place: int, centre: float, pitch: float) -> Slot:
    count = max(1, len(exhibit.series))
    each = min(46.0, 0.8 * pitch / count)
    return Slot(centre + (place - count / 2) * each, each * 0.92)


def _bar(exhibit: Bars, series: BarSeries, style: Style, group: int, slot: Slot, scale: Scale, *, upright: bool) -> str:
    """One bar with its interval, and what it shows in words."""
    value = series.values[group]
    low = series.low[group] if series.low else math.nan
    high = series.high[group] if series.high else math.nan
    end = "" if math.isnan(low + high) else f" [{number(low)}, {number(high)}]"
    about = escape(f"{exhibit.groups[group]}, {series.label}: {number(value)}{end}")

    def at(value: float) -> float:
        """The pixel of a value, at the edge where it lies beyond the axis."""
        return scale(min(max(value, scale.low), scale.high))

    base, middle = at(0.0), slot.start + slot.width / 2
    if math.isnan(value):
        place = (middle, base - 4, "–", "middle") if upright else (base + 4, middle + 4, "–", "start")
        return f"<g><title>{about}</title>{text(*place)}</g>"
    parts = [_body(slot, base, at(value), style, upright=upright)]
    if not math.isnan(low + high):
        for stroke, thick in ((PAPER, 3), (INK, 1.4)):
            look = f'style="stroke:{stroke}" stroke-width="{thick}"'
            parts.append(_along(middle, at(low), at(high), look, upright=upright))
    return f"<g><title>{about}</title>{''.join(parts)}</g>"


def _body(slot: Slot, base: float, tip: float, style: Style, *, upright: bool) -> str:
    start, reach = min(base, tip), max(abs(tip - base), 0.5)
    x, y, width, height = (slot.start, start, slot.width, reach) if upright else (start, slot.start, reach, slot.width)
    body = f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" style="fill:{colour(style)}"/>'
    if not (cuts := CUTS[style.dash]):
        return body
    look = f'stroke-width="{slot.width:.1f}" stroke-dasharray="{cuts}" style="stroke:{PAPER}" stroke-opacity="0.75"'
    return body + _along(slot.start + slot.width / 2, base, tip, look, upright=upright)


def _along(middle: float, start: float, end: float, look: str, *, upright: bool) -> str:
    """A line along a bar."""
    x1, y1, x2, y2 = (middle, start, middle, end) if upright else (start, middle, end, middle)
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {look}/>'

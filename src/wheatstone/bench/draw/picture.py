"""Any exhibit as SVG: the drawings of a page, and one that stands alone with its title and legend."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from wheatstone.bench.draw.bars import CUTS, bars_svg
from wheatstone.bench.draw.chart import (
    CHARACTER,
    DASH_ARRAYS,
    INK,
    NARROW,
    PAPER,
    SHAPES,
    WIDE,
    colour,
    lines_svg,
    text,
)
from wheatstone.bench.draw.heatmap import heatmap_svg
from wheatstone.bench.draw.theme import Named, Style, cut, styles
from wheatstone.bench.exhibit import Bars, Exhibit, Heatmap, Lines, Scatter

Plot = Lines | Bars | Scatter | Heatmap
ENTRY = 40
"""Characters of a legend's entry in a drawing that stands alone."""


class Entry(NamedTuple):
    """One line of a legend."""

    label: str
    style: Style


def plot_svg(exhibit: Plot, arms: Sequence[str], width: int) -> str:
    """The plot without title and legend, `width` pixels wide (a matrix: at most)."""
    match exhibit:
        case Lines() | Scatter():
            return lines_svg(exhibit, arms, width)
        case Bars():
            return bars_svg(exhibit, arms, width)
        case Heatmap():
            return heatmap_svg(exhibit, width)


def drawings(exhibit: Plot, arms: Sequence[str]) -> list[str]:
    """The plot for a page and for a phone; a single drawing where it fits both."""
    wide = plot_svg(exhibit, arms, WIDE)
    if isinstance(exhibit, Heatmap) and _width(wide) <= NARROW:
        return [wide]
    return [wide, plot_svg(exhibit, arms, NARROW)]


def legend(exhibit: Exhibit, arms: Sequence[str]) -> list[Entry]:
    """What each colour, dash and marker means; empty where there is only one series, which the title names."""
    series: Sequence[Named] = ()
    match exhibit:
        case Lines():
            series = exhibit.lines
        case Scatter():
            series = exhibit.points
        case Bars():
            series = exhibit.series
        case _:
            pass
    if len(series) < 2:
        return []
    return [Entry(one.label, style) for one, style in zip(series, styles(series, arms), strict=True)]


def swatch_svg(exhibit: Exhibit, style: Style) -> str:
    """How a series looks, 26 by 12 pixels."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" class="key" width="26" height="12" viewBox="0 0 26 12"'
        f' aria-hidden="true">{_key(exhibit, style, 0, 6)}</svg>'
    )


def standing_svg(exhibit: Plot, arms: Sequence[str], width: int = WIDE) -> str:
    """The plot with its title above and its legend below, on white: a file that stands alone."""
    inner = plot_svg(exhibit, arms, width)
    width = max(round(_width(inner)), 320)
    title = _wrapped(exhibit.title, int(width / (CHARACTER * 1.12)))
    head = 8.0 + 19 * len(title)
    rows = list(_legend_rows(legend(exhibit, arms), width))
    height = head + _height(inner) + 20 * len(rows) + (8 if rows else 0)
    bold = ' font-weight="600" font-size="14"'
    parts = [text(0, 15 + 19 * place, line, fill=INK, extra=bold) for place, line in enumerate(title)]
    parts.append(inner.replace("<svg ", f'<svg y="{head:.0f}" height="{_height(inner):.0f}" ', 1))
    foot = head + _height(inner) + 12
    for row, entries in enumerate(rows):
        for at, entry in entries:
            parts.append(_key(exhibit, entry.style, at, foot + 20 * row))
            parts.append(text(at + 32, foot + 20 * row + 4, cut(entry.label, ENTRY), fill=INK))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-14 -8 {width + 28} {height + 20:.0f}" width="{width + 28}"'
        f' role="img" aria-label="{escape(exhibit.title)}" font-family="system-ui, sans-serif" font-size="12">'
        f'<rect x="-14" y="-8" width="{width + 28}" height="{height + 20:.0f}" style="fill:{PAPER}"/>'
        f"{''.join(parts)}</svg>"
    )


def _legend_rows(entries: Sequence[Entry], width: float) -> list[list[tuple[float, Entry]]]:
    """Each row of a legend: where an entry begins, and the entry."""
    rows: list[list[tuple[float, Entry]]] = []
    at = width
    for entry in entries:
        needed = 50 + CHARACTER * len(cut(entry.label, ENTRY))
        if at + needed > width:
            rows.append([])
            at = 0.0
        rows[-1].append((at, entry))
        at += needed
    return rows


def _key(exhibit: Exhibit, style: Style, at: float, up: float) -> str:
    shade = colour(style)
    if isinstance(exhibit, Bars):
        body = f'<rect x="{at + 2:.1f}" y="{up - 6:.1f}" width="22" height="12" style="fill:{shade}"/>'
        look = f'stroke-width="12" stroke-dasharray="{CUTS[style.dash]}" style="stroke:{PAPER}" stroke-opacity="0.75"'
        cuts = f'<line x1="{at + 2:.1f}" x2="{at + 24:.1f}" y1="{up:.1f}" y2="{up:.1f}" {look}/>'
        return body + (cuts if CUTS[style.dash] else "")
    marker = f'<path d="M{at + 13:.1f} {up:.1f}{SHAPES[style.marker]}" style="fill:{shade}"/>'
    if isinstance(exhibit, Scatter):
        return marker
    dash = DASH_ARRAYS[style.dash]
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{at:.1f}" x2="{at + 26:.1f}" y1="{up:.1f}" y2="{up:.1f}" stroke-width="2"{dashes}'
        f' style="stroke:{shade}"/>{marker}'
    )


def _wrapped(title: str, width: int) -> list[str]:
    return textwrap.wrap(title, max(20, width)) or [""]


def _width(svg: str) -> float:
    return float(_view_box(svg)[2])


def _height(svg: str) -> float:
    return float(_view_box(svg)[3])


def _view_box(svg: str) -> list[str]:
    return svg.partition('viewBox="')[2].partition('"')[0].split(" ")

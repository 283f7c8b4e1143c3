"""A matrix as SVG: one path for all cells of a colour, so that ten thousand cells are no more than 64 elements."""

from __future__ import annotations

import math
from collections.abc import Sequence

from wheatstone.bench.draw.chart import CHARACTER, INK, MUTED, WIDE, element, text
from wheatstone.bench.draw.scale import Scale
from wheatstone.bench.draw.theme import MOST_TICKS, MOST_WRITTEN_CELLS, cut, number
from wheatstone.bench.exhibit import Heatmap

SEQUENTIAL = (
    "#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725",
)  # fmt: skip
"""Viridis (Smith and van der Walt, 2015) at nine places: even steps of lightness, also in grey."""
DIVERGING = ("#D55E00", "#F7F7F7", "#0072B2")
SHADES = 64
"""Colours that cells are drawn in."""
NAME = 22
"""Characters of a row's name."""


def heatmap_svg(exhibit: Heatmap, width: int) -> str:
    """The matrix with its scale of colours at the right; row 0 is at the bottom, a missing value is grey."""
    columns, rows = max(1, len(exhibit.x)), max(1, len(exhibit.y))
    names = [cut(name, NAME) for name in exhibit.y]
    left = 14.0 + CHARACTER * max([1, *map(len, names)])
    bar = 64.0
    cell_x = min(90.0, max(3.0, (width - left - bar - 12) / columns))
    cell_y = min(30.0, max(3.0, (560.0 if width >= WIDE else 420.0) / rows))
    is_level = all(CHARACTER * (len(cut(name, NAME)) + 1) <= cell_x for name in exhibit.x)
    shown = [cut(name, NAME if is_level else 16) for name in exhibit.x]
    slant = 0.0 if is_level else 0.72 * CHARACTER * max([1, *map(len, shown)])
    top, right = 30.0, left + cell_x * columns
    bottom = top + cell_y * rows
    x, y = Scale(-0.5, columns - 0.5, left, right), Scale(-0.5, rows - 0.5, bottom, top)
    whole = max(right + bar, min(float(width), 240.0))
    title = f"{exhibit.y_title} · colour: {exhibit.value_title}"
    parts = [text(0, 13, cut(title, max(44, int(whole / CHARACTER))), fill=INK)]
    parts += _cells(exhibit, x, y, cell_x, cell_y)
    parts += [
        text(left - 7, y(row) + 4, names[row], "end", INK)
        for row in range(0, len(names), _stride(len(names), cell_y, 13))
    ]
    for column in range(0, len(shown), _stride(len(shown), cell_x, 13 if is_level else 18)):
        at, below = x(column), bottom + 15
        turn = "" if is_level else f' transform="rotate(-45 {at:.1f} {below:.1f})"'
        parts.append(text(at, below, shown[column], "middle" if is_level else "end", INK, turn))
    height = bottom + slant + 42
    parts.append(text(right, height - 8, exhibit.x_title, "end", INK))
    parts += _colour_bar(exhibit, right + 14, top, max(bottom, top + 70))
    whole = max(whole, CHARACTER * min(len(title), 44))
    return element(exhibit.title, whole, max(height, top + 108), parts, x=x, y=y)


def _stride(count: int, cell: float, least: float) -> int:
    """Every which label is written, so that they neither run into each other nor become too many."""
    return max(1, math.ceil(least / cell), math.ceil(count / MOST_TICKS))


def _cells(exhibit: Heatmap, x: Scale, y: Scale, cell_x: float, cell_y: float) -> list[str]:
    gap = 1.0 if min(cell_x, cell_y) > 6 else 0.0
    by_shade: dict[int | None, list[str]] = {}
    written: list[str] = []
    is_written = len(exhibit.x) * len(exhibit.y) <= MOST_WRITTEN_CELLS and cell_x >= 26 and cell_y >= 14
    for row, values in enumerate(exhibit.values):
        for column, value in enumerate(values):
            at, up = x(column) - cell_x / 2, y(row) - cell_y / 2
            shade = None if math.isnan(value) else shade_of(exhibit, value)
            w, h = cell_x - gap, cell_y - gap
            by_shade.setdefault(shade, []).append(f"M{at:.1f} {up:.1f}h{w:.1f}v{h:.1f}h-{w:.1f}z")
            if is_written:
                ink = MUTED if shade is None else "#fff" if is_dark(mixed(exhibit, shade)) else "#1b1f24"
                written.append(
                    text(x(column) - gap / 2, y(row) + 3.5, number(value, 2), "middle", ink, ' font-size="11"')
                )
    return [
        f'<path d="{"".join(paths)}" '
        + (f'style="fill:{MUTED}" fill-opacity="0.25"/>' if shade is None else f'fill="{mixed(exhibit, shade)}"/>')
        for shade, paths in by_shade.items()
    ] + written


def shade_of(exhibit: Heatmap, value: float) -> int:
    """Which of the colours a value has; what lies beyond the scale has the colour of its end."""
    low, high = exhibit.value_range
    return round((SHADES - 1) * min(1.0, max(0.0, (value - low) / (high - low))))


def mixed(exhibit: Heatmap, shade: int) -> str:
    """The colour of a shade, as '#rrggbb'."""
    low, high = exhibit.value_range
    stops: Sequence[str] = DIVERGING if low == -high else SEQUENTIAL
    place = shade / (SHADES - 1) * (len(stops) - 1)
    at = min(int(place), len(stops) - 2)
    pairs = zip(_parts(stops[at]), _parts(stops[at + 1]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * (place - at)):02x}" for a, b in pairs)


def is_dark(colour: str) -> bool:
    """Whether white text is read more easily on it than dark text (relative luminance of WCAG 2.1)."""
    linear = [part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in _parts(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] < 0.18


def _parts(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return red, green, blue


def _colour_bar(exhibit: Heatmap, at: float, top: float, bottom: float) -> list[str]:
    low, high = exhibit.value_range
    scale = Scale(low, high, bottom, top)
    step = (bottom - top) / SHADES
    parts = [
        f'<rect x="{at:.1f}" y="{bottom - step * (shade + 1):.2f}" width="12" height="{step + 0.3:.2f}"'
        f' fill="{mixed(exhibit, shade)}"/>'
        for shade in range(SHADES)
    ]
    parts += [text(at + 17, scale(value) + 4, words) for value, words in scale.labels(4)]
    return parts

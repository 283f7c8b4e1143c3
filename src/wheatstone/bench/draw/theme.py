"""One theme for every picture: colours that colour-blind readers can tell apart, and one colour per arm everywhere.

The palette is Okabe and Ito's (2008, "Color Universal Design"), ordered by contrast on white; its black becomes grey
and its yellow olive, because lines must be seen on a white and on a dark page. Colour is never the only channel: dash
and marker change with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#8C7A00")
DASHES = ("solid", "dash", "dot", "dashdot")
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "triangle-down", "pentagon")
MARK_COLOUR = "#8A8A8A"
LABEL_LENGTH = 36
"""Characters of an axis label before it is cut."""
MOST_WRITTEN_CELLS = 150
"""Cells of a heatmap that have their value written in them; in a larger one the colour has to do."""
MOST_TICKS = 48
"""Category labels on one axis before only every second, third, ... is written."""


class Style(NamedTuple):
    """How one series looks."""

    colour: str
    dash: str
    marker: str


class Named(Protocol):
    """A series of an exhibit."""

    @property
    def label(self) -> str: ...
    @property
    def arm(self) -> str | None: ...


def styles(series: Sequence[Named], arms: Sequence[str]) -> list[Style]:
    """A style for each series, in order.

    A series of an arm (its `arm`, or a label that is an arm's name) has the colour of that arm's place in `arms`, the
    order in which the study declares them. Others take the colours that no arm of the study has, as far as there are
    any. Series of one colour differ in dash.
    """
    chosen: list[Style] = []
    free = [index for index in range(len(PALETTE)) if index >= len(arms)] or list(range(len(PALETTE)))
    others: dict[str, int] = {}
    seen: dict[int, int] = {}
    for one in series:
        arm = one.arm if one.arm is not None else one.label
        if arm in arms:
            index = list(arms).index(arm) % len(PALETTE)
        else:
            index = free[others.setdefault(arm, len(others)) % len(free)]
        repeat = seen.get(index, 0)
        seen[index] = repeat + 1
        chosen.append(Style(PALETTE[index], DASHES[repeat % len(DASHES)], MARKERS[(index + repeat) % len(MARKERS)]))
    return chosen


def cut(label: str, length: int = LABEL_LENGTH) -> str:
    """The label on one line, cut with an ellipsis when it is longer than `length`."""
    flat = " ".join(label.split())
    return flat if len(flat) <= length else flat[: length - 1].rstrip() + "…"


def ticks(count: int) -> range:
    """Which of `count` categories are labelled."""
    return range(0, count, max(1, math.ceil(count / MOST_TICKS)))


def number(value: float | int | None, digits: int = 4) -> str:
    """A number as people read it: 4 significant digits, of [0.01, 1) 4 decimals; whole numbers whole; '–' for none."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", "\u202f") if abs(value) >= 1e5 else str(int(value))
    size = abs(value)
    if size >= 1e6 or size < 1e-4:
        return f"{value:.{digits - 1}g}"
    places = max(0, digits - 1 - math.floor(math.log10(size)))
    shown = f"{value:.{places if size < 0.01 else min(places, digits)}f}"
    short = shown.rstrip("0").rstrip(".") if "." in shown else shown
    return "0" if short == "-0" else short

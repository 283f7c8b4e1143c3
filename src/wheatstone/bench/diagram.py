"""The parts of a drawn diagram, in pixels from its top left corner: strokes, boxes, texts.

A diagram reaches a report as these plain values and never as markup, so nothing that a user calls an axis or a layer
can become an element of the page. A part has a tone rather than a colour: page, file and picture choose their own.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

Tone = Literal["ink", "muted", "line", "learned", "paper"]
"""What is said, what explains it, what separates, what training has set, the ground."""
Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class DiagramStroke:
    """A line through `points` (x0, y0, x1, y1, ...); curved: two points are joined by a level S, more by a spline."""

    points: tuple[float, ...]
    tone: Tone = "ink"
    width: float = 1.2
    dashed: bool = False
    curved: bool = False

    def __post_init__(self) -> None:
        points = _places(self.points)
        if len(points) < 4 or len(points) % 2:
            raise ValueError(f"a stroke needs two or more points of two numbers each, got {len(points)} numbers")
        _freeze(self, points=points, width=_place(self.width), tone=_tone(self.tone))


@dataclass(frozen=True)
class DiagramBox:
    """A rectangle; `radius` rounds its corners, `fill` None leaves what lies behind visible."""

    x: float
    y: float
    width: float
    height: float
    tone: Tone = "ink"
    fill: Tone | None = "paper"
    stroke: float = 1.2
    radius: float = 0.0
    dashed: bool = False
    about: str = ""
    """What a reader sees who points at it."""

    def __post_init__(self) -> None:
        fill = None if self.fill is None else _tone(self.fill)
        for name in ("x", "y", "width", "height", "stroke", "radius"):
            _freeze(self, **{name: _place(getattr(self, name))})
        if self.width < 0 or self.height < 0:
            raise ValueError(f"a box of {self.width} by {self.height} pixels: neither may be negative")
        _freeze(self, tone=_tone(self.tone), fill=fill, about=str(self.about))


@dataclass(frozen=True)
class DiagramText:
    """One line of text around the height `y`."""

    x: float
    y: float
    text: str
    tone: Tone = "ink"
    size: float = 11.0
    anchor: Anchor = "middle"
    bold: bool = False
    vertical: bool = False
    """Read from bottom to top."""

    def __post_init__(self) -> None:
        if self.anchor not in get_args(Anchor):
            raise ValueError(f"anchor is {self.anchor!r}, must be one of {', '.join(get_args(Anchor))}")
        _freeze(self, x=_place(self.x), y=_place(self.y), size=_place(self.size))
        _freeze(self, text=" ".join(str(self.text).split()), tone=_tone(self.tone))


DiagramPart = DiagramStroke | DiagramBox | DiagramText


def moved(part: DiagramPart, x: float, y: float) -> DiagramPart:
    """The part, `x` pixels to the right and `y` down."""
    if isinstance(part, DiagramStroke):
        points = tuple(value + (y if at % 2 else x) for at, value in enumerate(part.points))
        return dataclasses.replace(part, points=points)
    return dataclasses.replace(part, x=part.x + x, y=part.y + y)


def _freeze(part: Any, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(part, name, value)


def _place(value: Any) -> float:
    """A tenth of a pixel is as fine as anything is drawn."""
    number = round(float(value), 1)
    if not math.isfinite(number):
        raise ValueError(f"{value} is no place on a drawing")
    return number


def _places(values: Iterable[Any]) -> tuple[float, ...]:
    return tuple(_place(value) for value in values)


def _tone(value: Any) -> Any:
    if value not in get_args(Tone):
        raise ValueError(f"tone is {value!r}, must be one of {', '.join(get_args(Tone))}")
    return value

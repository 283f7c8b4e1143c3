"""A diagram as SVG, in the page or as a file that stands alone, light and dark.

Every part carries its light colours as attributes and a class; its style asks for the page's variables (--ink, --muted,
--wire, --paper, --accent), or in a file of its own follows the reader's system. A viewer that knows neither draws the
light one. All text is escaped here.
"""

from __future__ import annotations

import itertools
from html import escape
from typing import TYPE_CHECKING

from wheatstone.bench.diagram import DiagramBox, DiagramStroke, DiagramText, Tone
from wheatstone.bench.exhibit import Diagram

if TYPE_CHECKING:
    from collections.abc import Iterator

COLOURS: dict[Tone, str] = {
    "ink": "#1b1f24",
    "muted": "#5c6670",
    "line": "#b4bcc6",
    "learned": "#0060a0",
    "paper": "#ffffff",
}
VARIABLES: dict[Tone, str] = {
    "ink": "--ink",
    "muted": "--muted",
    "line": "--wire",
    "learned": "--accent",
    "paper": "--paper",
}
DARK = {"--ink": "#e7eaee", "--muted": "#a0a9b3", "--wire": "#5d6773", "--accent": "#6cb8ee", "--paper": "#1c2026"}
DASH = "5 4"


def diagram_svg(diagram: Diagram, *, alone: bool = False) -> str:
    """The drawing as an SVG element; `alone` makes a file of it, with a ground and colours of its own."""
    width, height = round(diagram.width), round(diagram.height)
    head = [
        f'<svg class="diagram" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" role="img" aria-label="{escape(diagram.title)}" font-family="system-ui, sans-serif">',
        f"<style>{_style(alone)}</style>",
    ]
    if alone:
        head.append(f"<title>{escape(diagram.title)}</title>")
        head.append(f'<rect width="{width}" height="{height}" {_paint("paper", "fill")}/>')
    drawn = [
        *(_stroke(one) for one in diagram.strokes),
        *(_box(one) for one in diagram.boxes),
        *(_stroke(one) for one in diagram.front),
        *(_text(one) for one in diagram.texts),
    ]
    return "\n".join([*head, *drawn, "</svg>"])


def _style(alone: bool) -> str:
    """In a page the colours are the page's; a file of its own names them, because not every viewer knows variables."""
    kinds: list[tuple[Tone, str]] = [(tone, kind) for tone in COLOURS for kind in ("fill", "stroke")]
    if alone:
        dark = "".join(f".d-{kind}-{tone}{{{kind}:{DARK[VARIABLES[tone]]}}}" for tone, kind in kinds)
        return f"@media(prefers-color-scheme:dark){{{dark}}}"
    rules = "".join(f".d-{kind}-{tone}{{{kind}:var({VARIABLES[tone]},{COLOURS[tone]})}}" for tone, kind in kinds)
    return f"{rules}@media(prefers-color-scheme:dark){{svg.diagram{{--wire:{DARK['--wire']}}}}}"


def _paint(tone: Tone | None, kind: str) -> str:
    return f'{kind}="none"' if tone is None else f'{kind}="{COLOURS[tone]}" class="d-{kind}-{tone}"'


def _stroke(stroke: DiagramStroke) -> str:
    dash = f' stroke-dasharray="{DASH}"' if stroke.dashed else ""
    width = f'stroke-width="{stroke.width:g}"'
    return f'<path d="{path(stroke)}" fill="none" {_paint(stroke.tone, "stroke")} {width}{dash}/>'


def path(stroke: DiagramStroke) -> str:
    """The stroke as SVG path data."""
    (x, y), *rest = points(stroke)
    if not stroke.curved:
        return f"M{x:g} {y:g}" + "".join(f"L{to_x:g} {to_y:g}" for to_x, to_y in rest)
    return f"M{x:g} {y:g}" + "".join(
        f"C{a:g} {b:g} {c:g} {d:g} {to_x:g} {to_y:g}" for (a, b), (c, d), (to_x, to_y) in curves(stroke)
    )


def points(stroke: DiagramStroke) -> list[tuple[float, float]]:
    """The stroke's points as pairs."""
    return list(zip(stroke.points[::2], stroke.points[1::2], strict=True))


def curves(stroke: DiagramStroke) -> Iterator[tuple[tuple[float, float], tuple[float, float], tuple[float, float]]]:
    """Two handles and an end for each piece of a curved stroke: level where it starts and ends."""
    at = points(stroke)
    for (x, y), (to_x, to_y) in itertools.pairwise(at):
        middle = (x + to_x) / 2
        yield (middle, y), (middle, to_y), (to_x, to_y)


def _box(box: DiagramBox) -> str:
    dash = f' stroke-dasharray="{DASH}"' if box.dashed else ""
    classes = " ".join([f"d-stroke-{box.tone}", *([] if box.fill is None else [f"d-fill-{box.fill}"])])
    fill = "none" if box.fill is None else COLOURS[box.fill]
    about = f"<title>{escape(box.about)}</title>" if box.about else ""
    return (
        f'<rect x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="{box.radius:g}"'
        f' class="{classes}" fill="{fill}" stroke="{COLOURS[box.tone]}" stroke-width="{box.stroke:g}"{dash}'
        + (f">{about}</rect>" if about else "/>")
    )


def _text(text: DiagramText) -> str:
    turn = f' transform="rotate(-90 {text.x:g} {text.y:g})"' if text.vertical else ""
    bold = ' font-weight="600"' if text.bold else ""
    return (
        f'<text x="{text.x:g}" y="{text.y:g}" text-anchor="{text.anchor}" dominant-baseline="central"'
        f' font-size="{text.size:g}"{bold} {_paint(text.tone, "fill")}{turn}>{escape(text.text)}</text>'
    )

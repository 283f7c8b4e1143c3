"""A circuit drawn in layers: columns are positions of the sequence, rows are layers, information flows upwards.

The layout is computed once, in pixels, and rendered twice: as SVG for the page (its colours follow the page's) and by
`png` for paper. An edge leaves the top of its source and enters the bottom of its target; an edge within a row bows
below it, and one that would run through a box of its own column bows around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from wheatstone.bench.draw.theme import cut, number
from wheatstone.bench.exhibit import Circuit, CircuitEdge, CircuitNode

NODE_HEIGHT, ROW_GAP, COLUMN_GAP, MARGIN = 34, 62, 46, 18
CHARACTER = 7.1
"""Width of a character at 13 px, on the generous side."""
LABEL = 26
POSITIVE, NEGATIVE = "#0072B2", "#D55E00"


class Point(NamedTuple):
    """A place on the drawing, in pixels from its top left corner."""

    x: float
    y: float


@dataclass(frozen=True)
class Box:
    """A node's rectangle around its centre."""

    node: CircuitNode
    centre: Point
    width: float

    @property
    def top(self) -> Point:
        return Point(self.centre.x, self.centre.y - NODE_HEIGHT / 2)

    @property
    def bottom(self) -> Point:
        return Point(self.centre.x, self.centre.y + NODE_HEIGHT / 2)


@dataclass(frozen=True)
class Path:
    """An edge as a cubic Bézier curve: start, two handles, end; `label_at` is on the curve."""

    edge: CircuitEdge
    points: tuple[Point, Point, Point, Point]
    label_at: Point

    @property
    def width(self) -> float:
        return 1.0 + 5.0 * min(1.0, abs(self.edge.strength))

    @property
    def opacity(self) -> float:
        return 0.35 + 0.6 * min(1.0, abs(self.edge.strength))

    @property
    def colour(self) -> str:
        return POSITIVE if self.edge.strength >= 0 else NEGATIVE


@dataclass(frozen=True)
class Label:
    """The name of a row (right-aligned at `at`) or a column (centred at `at`)."""

    text: str
    at: Point
    is_row: bool


@dataclass(frozen=True)
class Layout:
    """Everything that is drawn, in pixels."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    paths: tuple[Path, ...]
    labels: tuple[Label, ...]


def layout(circuit: Circuit) -> Layout:
    """Where everything goes. A circuit without nodes is an empty strip."""
    nodes = circuit.nodes
    node_width = max([56.0, *(CHARACTER * len(cut(node.label, LABEL)) + 22 for node in nodes)])
    header = max([0.0, *(CHARACTER * len(cut(row, LABEL)) + 16 for row in circuit.rows)])
    pitch_x, pitch_y = node_width + COLUMN_GAP, NODE_HEIGHT + ROW_GAP
    low_column = min([0.0, *(node.column for node in nodes)])
    high_column = max([0.0, *(node.column for node in nodes), len(circuit.columns) - 1.0])
    low_row = min([0.0, *(node.row for node in nodes)])
    high_row = max([0.0, *(node.row for node in nodes), len(circuit.rows) - 1.0])

    def place(column: float, row: float) -> Point:
        x = MARGIN + header + node_width / 2 + (column - low_column) * pitch_x
        return Point(x, MARGIN + NODE_HEIGHT / 2 + (high_row - row) * pitch_y)

    boxes = {node.id: Box(node, place(node.column, node.row), node_width) for node in nodes}
    lowest = place(0, low_row).y + NODE_HEIGHT / 2
    has_row_edge = any(boxes[edge.source].node.row == boxes[edge.target].node.row for edge in circuit.edges)
    foot = lowest + (ROW_GAP / 2 if has_row_edge else 0)
    labels = [
        Label(cut(name, LABEL), Point(MARGIN + header - 12, place(0, row).y), is_row=True)
        for row, name in enumerate(circuit.rows)
    ]
    labels += [
        Label(cut(name, LABEL), Point(place(column, 0).x, foot + 24), is_row=False)
        for column, name in enumerate(circuit.columns)
    ]
    return Layout(
        width=place(high_column, 0).x + node_width / 2 + MARGIN + COLUMN_GAP / 2,
        height=foot + (34 if circuit.columns else 0) + MARGIN,
        boxes=tuple(boxes.values()),
        # Weak edges first: the strong ones, which the reader came for, lie on top.
        paths=tuple(_paths(sorted(circuit.edges, key=lambda edge: abs(edge.strength)), boxes)),
        labels=tuple(labels),
    )


def _paths(edges: list[CircuitEdge], boxes: dict[str, Box]) -> Iterator[Path]:
    for edge in edges:
        source, target = boxes[edge.source], boxes[edge.target]
        if source.node.row == target.node.row:
            start, end, dip = source.bottom, target.bottom, ROW_GAP * 0.62
            handles = Point(start.x, start.y + dip), Point(end.x, end.y + dip)
        else:
            up = target.node.row > source.node.row
            start, end = (source.top, target.bottom) if up else (source.bottom, target.top)
            reach = (end.y - start.y) * 0.5
            # A cubic curve reaches three quarters of the way to its handles.
            bow = (source.width + COLUMN_GAP) / 2 / 0.75 if _is_blocked(source.node, target.node, boxes) else 0.0
            handles = Point(start.x + bow, start.y + reach), Point(end.x + bow, end.y - reach)
        points = (start, *handles, end)
        yield Path(edge, points, _on_curve(points, 0.5))


def _is_blocked(source: CircuitNode, target: CircuitNode, boxes: dict[str, Box]) -> bool:
    """Whether a box stands between two nodes of one column."""
    low, high = sorted((source.row, target.row))
    between = (box.node for box in boxes.values() if low < box.node.row < high)
    return source.column == target.column and any(abs(node.column - source.column) < 1 for node in between)


def _on_curve(points: tuple[Point, Point, Point, Point], share: float) -> Point:
    rest = 1 - share
    weights = (rest**3, 3 * rest**2 * share, 3 * rest * share**2, share**3)
    pairs = list(zip(weights, points, strict=True))
    return Point(sum(weight * point.x for weight, point in pairs), sum(weight * point.y for weight, point in pairs))


def svg(circuit: Circuit) -> str:
    """The circuit as an SVG element; the page's CSS variables --ink, --muted, --paper and --line give its greys."""
    drawn = layout(circuit)
    width, height = round(drawn.width), round(drawn.height)
    parts = [
        f'<svg class="circuit" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' style="min-width:{round(0.62 * width)}px"'
        f' role="img" aria-label="{escape(circuit.title)}" font-family="system-ui, sans-serif" font-size="13">',
        *(_svg_label(label) for label in drawn.labels),
        *(_svg_path(path) for path in drawn.paths),
        *(_svg_box(box) for box in drawn.boxes),
        *(_svg_edge_label(path) for path in drawn.paths if path.edge.label),
        "</svg>",
    ]
    return "\n".join(parts)


def _svg_label(label: Label) -> str:
    anchor = "end" if label.is_row else "middle"
    return (
        f'<text x="{label.at.x:.1f}" y="{label.at.y:.1f}" text-anchor="{anchor}" dominant-baseline="central"'
        f' style="fill:var(--muted,#666)">{escape(label.text)}</text>'
    )


def _svg_path(path: Path) -> str:
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = path.points
    dash = ' stroke-dasharray="7 5"' if path.edge.strength < 0 else ""
    size = 3.0 + path.width
    tip = f"{x3:.1f},{y3:.1f} {x3 - size * 0.8:.1f},{y3 + _way(path) * size * 1.5:.1f}"
    tip += f" {x3 + size * 0.8:.1f},{y3 + _way(path) * size * 1.5:.1f}"
    about = f"{path.edge.source} → {path.edge.target}: {number(path.edge.strength)} {path.edge.label}".strip()
    return (
        f'<g stroke="{path.colour}" opacity="{path.opacity:.2f}"><title>{escape(about)}</title>'
        f'<path d="M{x0:.1f} {y0:.1f}C{x1:.1f} {y1:.1f} {x2:.1f} {y2:.1f} {x3:.1f} {y3 + _way(path) * size:.1f}"'
        f' fill="none" stroke-width="{path.width:.1f}"{dash}/>'
        f'<polygon points="{tip}" fill="{path.colour}" stroke="none"/></g>'
    )


def _way(path: Path) -> int:
    """1 where the edge arrives from below, -1 from above."""
    return 1 if path.points[2].y > path.points[3].y else -1


def _svg_box(box: Box) -> str:
    emphasis = min(1.0, max(0.0, box.node.emphasis))
    x, y = box.centre.x - box.width / 2, box.top.y
    weight = ' font-weight="600"' if emphasis >= 0.5 else ""
    return (
        f"<g><title>{escape(box.node.label)}</title>"
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{box.width:.1f}" height="{NODE_HEIGHT}" rx="7"'
        f' style="fill:var(--paper,#fff)"/>'
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{box.width:.1f}" height="{NODE_HEIGHT}" rx="7"'
        f' fill="#E69F00" fill-opacity="{0.55 * emphasis:.2f}" style="stroke:var(--ink,#222)"'
        f' stroke-opacity="{0.35 + 0.65 * emphasis:.2f}" stroke-width="{1 + emphasis:.1f}"/>'
        f'<text x="{box.centre.x:.1f}" y="{box.centre.y:.1f}" text-anchor="middle" dominant-baseline="central"'
        f'{weight} style="fill:var(--ink,#222)">{escape(cut(box.node.label, LABEL))}</text></g>'
    )


def _svg_edge_label(path: Path) -> str:
    return (
        f'<text x="{path.label_at.x:.1f}" y="{path.label_at.y:.1f}" text-anchor="middle" dominant-baseline="central"'
        f' font-size="11.5" paint-order="stroke" stroke-width="4" stroke-linejoin="round"'
        f' style="fill:var(--ink,#222);stroke:var(--paper,#fff)">{escape(cut(path.edge.label, LABEL))}</text>'
    )

"""What a report shows, as pure data: lines, bars, heatmaps, scatters, tables, circuits, diagrams, notes.

A study's `exhibits(run)` returns these and nothing else: no file, no figure object, no global style. `draw` turns them
into pictures, `report` into a page, `to_json` into a value that `from_json` reads back unchanged. So the numbers that a
figure shows can be compared with the findings in a test, and a study needs no drawing library.

Every exhibit has a `name` (a slug: its picture is `figures/<name>.png`), a `title` that says what is shown, of how many
and in which unit, and a `caption`. A value that is not finite means "nothing here": it is kept as NaN, written as null
and drawn as a gap. Sequences become tuples and numbers become Python's own, so that two exhibits are equal when they
show the same.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from wheatstone.bench.diagram import DiagramBox, DiagramStroke, DiagramText
from wheatstone.bench.errors import UserError

if TYPE_CHECKING:
    from wheatstone.bench.run import Run

Cell = str | int | float | None
SLUG = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")


class Span(NamedTuple):
    """The two ends of an axis."""

    low: float
    high: float


class _Shown:
    """What a Jupyter notebook shows of an exhibit that is the value of a cell."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        from wheatstone.bench.report.notebook import exhibit_html

        return exhibit_html(cast("Exhibit", self))

    def _repr_svg_(self) -> str | None:
        from wheatstone.bench.report.notebook import exhibit_svg

        return exhibit_svg(cast("Exhibit", self))


@dataclass(frozen=True)
class Mark:
    """A threshold: a thin line across the plot at one value of one axis."""

    axis: Literal["x", "y"]
    at: float
    label: str


@dataclass(frozen=True)
class Line:
    """One curve; `low` and `high` bound its band."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    arm: str | None = None
    """The arm that the curve belongs to: an arm has one colour in the whole report."""

    def __post_init__(self) -> None:
        _freeze(self, x=_numbers(self.x), y=_numbers(self.y), low=_numbers(self.low), high=_numbers(self.high))
        _same_length(f"line '{self.label}'", x=self.x, y=self.y, low=self.low, high=self.high)


@dataclass(frozen=True)
class Lines(_Shown):
    """Curves over one shared axis."""

    name: str
    title: str
    x_title: str
    """With its unit, as 'optimiser steps' or 'time [s]'."""
    y_title: str
    lines: Sequence[Line]
    log_x: bool = False
    y_range: Sequence[float] | None = None
    caption: str = ""
    marks: Sequence[Mark] = ()
    log_y: bool = False

    def __post_init__(self) -> None:
        _check_name(self.name)
        _freeze(self, lines=tuple(self.lines), marks=tuple(self.marks), y_range=_span(self.y_range))
        _check_logarithms(self)


@dataclass(frozen=True)
class BarSeries:
    """One bar in each group, with an interval where `low` and `high` are given."""

    label: str
    values: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    arm: str | None = None

    def __post_init__(self) -> None:
        _freeze(self, values=_numbers(self.values), low=_numbers(self.low), high=_numbers(self.high))
        _same_length(f"bars '{self.label}'", values=self.values, low=self.low, high=self.high)


@dataclass(frozen=True)
class Bars(_Shown):
    """Grouped bars: one group of bars for each of `groups`, one bar in it for each of `series`."""

    name: str
    title: str
    y_title: str
    groups: Sequence[str]
    series: Sequence[BarSeries]
    y_range: Sequence[float] | None = None
    caption: str = ""
    marks: Sequence[Mark] = ()

    def __post_init__(self) -> None:
        _check_name(self.name)
        _freeze(
            self,
            groups=tuple(map(str, self.groups)),
            series=tuple(self.series),
            marks=tuple(self.marks),
            y_range=_span(self.y_range),
        )
        for one in self.series:
            _same_length(f"bars '{one.label}' of '{self.name}'", groups=self.groups, values=one.values)


@dataclass(frozen=True)
class Heatmap(_Shown):
    """A matrix: `values[row][column]` with a row for each of `y`, a column for each of `x`; row 0 is at the bottom."""

    name: str
    title: str
    x_title: str
    y_title: str
    x: Sequence[str]
    y: Sequence[str]
    values: Sequence[Sequence[float]]
    value_title: str
    value_range: Sequence[float] = (0.0, 1.0)
    """Two ends of the colour scale; a scale from -a to a is drawn with white at zero."""
    caption: str = ""

    def __post_init__(self) -> None:
        _check_name(self.name)
        _freeze(
            self,
            x=tuple(map(str, self.x)),
            y=tuple(map(str, self.y)),
            values=tuple(_numbers(row) for row in self.values),
            value_range=_span(self.value_range),
        )
        _same_length(f"heatmap '{self.name}'", y=self.y, rows=self.values)
        for label, row in zip(self.y, self.values, strict=True):
            _same_length(f"heatmap '{self.name}', row '{label}'", x=self.x, row=row)


@dataclass(frozen=True)
class ScatterSeries:
    """Points of one kind; `text` names each point."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    text: Sequence[str] | None = None
    arm: str | None = None

    def __post_init__(self) -> None:
        text = None if self.text is None else tuple(map(str, self.text))
        _freeze(self, x=_numbers(self.x), y=_numbers(self.y), text=text)
        _same_length(f"points '{self.label}'", x=self.x, y=self.y, text=self.text)


@dataclass(frozen=True)
class Scatter(_Shown):
    """Points in a plane."""

    name: str
    title: str
    x_title: str
    y_title: str
    points: Sequence[ScatterSeries]
    log_x: bool = False
    y_range: Sequence[float] | None = None
    caption: str = ""
    marks: Sequence[Mark] = ()
    log_y: bool = False

    def __post_init__(self) -> None:
        _check_name(self.name)
        _freeze(self, points=tuple(self.points), marks=tuple(self.marks), y_range=_span(self.y_range))
        _check_logarithms(self)


@dataclass(frozen=True)
class Table(_Shown):
    """Rows of text and numbers; an empty cell is None."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""

    def __post_init__(self) -> None:
        _check_name(self.name)
        rows = tuple(tuple(_cell(value) for value in row) for row in self.rows)
        _freeze(self, columns=tuple(map(str, self.columns)), rows=rows)
        for number, row in enumerate(self.rows, start=1):
            _same_length(f"table '{self.name}', row {number}", columns=self.columns, row=row)


@dataclass(frozen=True)
class CircuitNode:
    """A place in a network: `column` is the position in the sequence, `row` the layer; row 0 is drawn at the bottom."""

    id: str
    label: str
    column: float
    row: float
    emphasis: float = 0.0
    """0 (background) to 1 (what the reader should see first)."""


@dataclass(frozen=True)
class CircuitEdge:
    """Information that flows from one node to another; drawn as wide as it is strong, dashed where it is negative."""

    source: str
    target: str
    strength: float
    """-1 to 1: share of the effect that flows here."""
    label: str = ""


@dataclass(frozen=True)
class Circuit(_Shown):
    """A drawn circuit: columns are positions, rows are layers, edges carry what one place gives another."""

    name: str
    title: str
    nodes: Sequence[CircuitNode]
    edges: Sequence[CircuitEdge]
    caption: str = ""
    columns: Sequence[str] = ()
    """Label of column 0, 1, ...: the tokens, say."""
    rows: Sequence[str] = ()
    """Label of row 0, 1, ...: 'embedding', 'layer 1'."""

    def __post_init__(self) -> None:
        _check_name(self.name)
        _freeze(
            self,
            nodes=tuple(self.nodes),
            edges=tuple(self.edges),
            columns=tuple(map(str, self.columns)),
            rows=tuple(map(str, self.rows)),
        )
        known = {node.id for node in self.nodes}
        for edge in self.edges:
            if absent := {edge.source, edge.target} - known:
                raise ValueError(f"circuit '{self.name}': edge {edge.source} -> {edge.target} names no node {absent}")


@dataclass(frozen=True)
class Diagram(_Shown):
    """A finished drawing of a network: strokes under boxes under `front` strokes under texts, each in its order."""

    name: str
    title: str
    width: float
    """Pixels at the size at which it is meant to be read."""
    height: float
    strokes: Sequence[DiagramStroke]
    boxes: Sequence[DiagramBox]
    front: Sequence[DiagramStroke] = ()
    """What passes in front of the boxes: wires that an operation leaves alone."""
    texts: Sequence[DiagramText] = ()
    caption: str = ""

    def __post_init__(self) -> None:
        _check_name(self.name)
        if not (0 < self.width < math.inf and 0 < self.height < math.inf):
            raise ValueError(f"diagram '{self.name}': {self.width} by {self.height} pixels is no size of a drawing")
        _freeze(self, width=float(self.width), height=float(self.height))
        _freeze(self, strokes=tuple(self.strokes), boxes=tuple(self.boxes))
        _freeze(self, front=tuple(self.front), texts=tuple(self.texts))


@dataclass(frozen=True)
class Note(_Shown):
    """A paragraph of plain text; a blank line begins a new one."""

    name: str
    title: str
    text: str

    def __post_init__(self) -> None:
        _check_name(self.name)


Exhibit = Lines | Bars | Heatmap | Scatter | Table | Circuit | Diagram | Note
KINDS: Mapping[str, type[Any]] = {
    kind.__name__.lower(): kind for kind in (Lines, Bars, Heatmap, Scatter, Table, Circuit, Diagram, Note)
}
PARTS: Mapping[str, type[Any]] = {
    "lines": Line,
    "marks": Mark,
    "series": BarSeries,
    "points": ScatterSeries,
    "nodes": CircuitNode,
    "edges": CircuitEdge,
    "strokes": DiagramStroke,
    "boxes": DiagramBox,
    "front": DiagramStroke,
    "texts": DiagramText,
}


def to_json(exhibit: Exhibit) -> dict[str, Any]:
    """The exhibit as plain JSON values, NaN as null; `from_json` gives an equal exhibit back."""
    return {"kind": type(exhibit).__name__.lower(), **cast(dict[str, Any], _plain(dataclasses.asdict(exhibit)))}


def from_json(value: Mapping[str, Any]) -> Exhibit:
    """The exhibit that `to_json` wrote.

    Raises UserError for an unknown kind, a missing or an unknown field.
    """
    if not isinstance(value, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance], it comes from a file
        raise UserError(f"exhibit: {repr(value)[:40]} is not an object with a kind")
    fields = dict(value)
    kind = fields.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise UserError(f"exhibit: kind is {kind!r}, must be one of {', '.join(KINDS)}")
    try:
        for name, part in PARTS.items():
            if name in fields:
                fields[name] = [part(**one) for one in fields[name]]
        return KINDS[kind](**fields)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as fault:
        raise UserError(f"exhibit '{fields.get('name')}' of kind {kind}: {fault}") from None


def curve_line(run: Run, metric: str, arm: str, label: str) -> Line:
    """Mean over the seeds of a logged metric, with the 95 % t interval as its band.

    The seeds need not share their steps: each curve is read at the union of all steps, linearly between its own. Before
    its first value a seed does not count; after its last it keeps that value, so that the mean does not jump where one
    seed stops earlier than the others. Steps at which a seed logged NaN are left out. The band is empty (NaN) where
    fewer than two seeds have a value.
    """
    return mean_line([logged for _, logged in sorted(run.curves(metric, arm).items())], label, arm)


def mean_line(seeds: Iterable[Iterable[tuple[float, float]]], label: str, arm: str | None = None) -> Line:
    """The same of (step, value) pairs, one sequence a seed."""
    from wheatstone.bench.verdict import t_interval

    curves = [
        sorted(points)
        for logged in seeds
        if (points := {step: value for step, value in logged if not math.isnan(value)}.items())
    ]
    steps = sorted({step for curve in curves for step, _ in curve})
    y, low, high = [], [], []
    for values in zip(*(_held(curve, steps) for curve in curves), strict=True):
        present = [value for value in values if not math.isnan(value)]
        interval = t_interval(present) if len(present) > 1 else None
        y.append(math.fsum(present) / len(present))
        low.append(interval.low if interval else math.nan)
        high.append(interval.high if interval else math.nan)
    return Line(label, x=steps, y=y, low=low, high=high, arm=arm)


def _held(curve: Sequence[tuple[float, float]], steps: Sequence[float]) -> list[float]:
    """The curve at `steps`: linear between its points, its last value after them, NaN before them."""
    read, at = [], 0
    for step in steps:
        while at + 1 < len(curve) and curve[at + 1][0] <= step:
            at += 1
        (x0, y0), (x1, y1) = curve[at], curve[min(at + 1, len(curve) - 1)]
        if step < x0:
            read.append(math.nan)
        else:
            read.append(y0 if step == x0 or x1 == x0 else y0 + (y1 - y0) * (step - x0) / (x1 - x0))
    return read


def _freeze(exhibit: Any, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(exhibit, name, value)


def _numbers(values: Iterable[Any] | None) -> tuple[float, ...] | None:
    """Python floats; every gap is the one object `math.nan`, so that tuples with gaps compare equal."""
    if values is None:
        return None
    floats = (math.nan if value is None else float(value) for value in values)
    return tuple(value if math.isfinite(value) else math.nan for value in floats)


def _span(ends: Sequence[float] | None) -> Span | None:
    if ends is None:
        return None
    low, high = (float(end) for end in ends)
    if not low < high:
        raise ValueError(f"an axis runs from {low} to {high}: the first end must be the lower one")
    return Span(low, high)


def _cell(value: Any) -> Cell:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return int(value)
    if hasattr(value, "item"):
        return _cell(value.item())
    return float(value) if math.isfinite(value) else None


def _check_name(name: str) -> None:
    """The name becomes a file name and an anchor: nothing but a slug may reach either."""
    if not SLUG.fullmatch(name):
        raise ValueError(f"exhibit name {name!r} must be lower-case words of letters and digits joined by '-'")


def _check_logarithms(exhibit: Lines | Scatter) -> None:
    """Curves may touch zero on a logarithmic axis (there they have a gap); its range and its marks may not."""
    is_log = {"x": exhibit.log_x, "y": exhibit.log_y}
    ends = [end for end in exhibit.y_range or () if exhibit.log_y]
    ends += [mark.at for mark in exhibit.marks if is_log[mark.axis]]
    if any(end <= 0 for end in ends):
        raise ValueError(f"'{exhibit.name}': {min(ends)} has no place on a logarithmic axis")


def _same_length(place: str, **columns: Sequence[Any] | None) -> None:
    lengths = {name: len(column) for name, column in columns.items() if column is not None}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{place}: lengths differ: {', '.join(f'{name} {size}' for name, size in lengths.items())}")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in cast(Sequence[Any], value)]
    return None if isinstance(value, float) and math.isnan(value) else value

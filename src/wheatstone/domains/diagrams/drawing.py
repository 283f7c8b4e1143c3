"""`draw`: a program as a picture in the notation of arXiv:2402.05424, left to right.

Wires are axes. Steps stand in columns, as early as what they read allows, so that what is independent stands side by
side. A fenced block is drawn on its own and then stands in its surroundings like one step; a repeated block is drawn
once. An array that is read again later runs past what stands between. Columns that do not fit the width go on below.
Heights follow the wires: each column takes the places closest to where its wires come from (least squares under the
order and the gaps between neighbours, by pooling adjacent violators).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from wheatstone.bench.diagram import DiagramBox, DiagramStroke, DiagramText
from wheatstone.bench.exhibit import Diagram
from wheatstone.domains.diagrams.glyphs import LETTER, MEMBERS, PITCH, Cell, Parts, Port, box_cell, leaf_cell, stack
from wheatstone.domains.diagrams.program import Program, Scope, Step, check
from wheatstone.domains.diagrams.terms import Bias, Map, Term
from wheatstone.domains.diagrams.types import Axis, Obj, Size

LABEL = 9.5
SMALL = 5.4
"""Width of a letter at the size of a label."""
MARGIN, FENCE, FENCE_TOP = 16.0, 11.0, 22.0
BEND = 26.0
"""Room for wires to change their heights between two columns."""
TALLEST = 1900.0
"""Pixels of a drawing that is still read as one; a taller one opens fewer of its blocks."""
ROW = 30.0
"""Between two rows of a drawing that goes on below."""


@dataclass(frozen=True)
class Group:
    """The steps of one fence, in order."""

    scope: Scope
    items: tuple[Item, ...]


Item = Step | Group


@dataclass(frozen=True)
class Fused:
    """A learned map and the bias that is added to it, drawn as one."""

    step: Step
    bias: Step


def draw(
    term: Term,
    domain: Obj,
    sizes: dict[str, Size] | None = None,
    *,
    name: str = "diagram",
    title: str = "",
    caption: str = "",
    width: float = 1100,
    detail: int | None = None,
) -> Diagram:
    """The term as a drawing that a report can hold; repeated blocks once with how often.

    `detail` is how many fences deep blocks are opened, deeper ones being one box; None opens as many as stay readable.
    Raises DiagramError when the term has no type on `domain`.
    """
    program = check(term, domain, sizes, unroll=False)
    return draw_program(program, name=name, title=title, caption=caption, width=width, detail=detail)


def draw_program(
    program: Program,
    *,
    name: str = "diagram",
    title: str = "",
    caption: str = "",
    width: float = 1100,
    detail: int | None = None,
) -> Diagram:
    """A program as a drawing at most about `width` pixels wide."""
    if detail is None:
        deepest = max((len(step.scope) for step in program.steps), default=0)
        for depth in range(deepest, -1, -1):
            drawn = draw_program(program, name=name, title=title, caption=caption, width=width, detail=depth)
            if drawn.height <= TALLEST:
                return drawn
        return draw_program(program, name=name, title=title, caption=caption, width=width, detail=deepest)
    artist = _Artist(program, detail)
    cell = artist.layout(_grouped(program.steps, 0), program.inputs, program.outputs, width - 2 * MARGIN, whole=True)
    parts = Parts()
    parts.add(cell.parts, MARGIN, MARGIN)
    return Diagram(
        name,
        title or "A network",
        round(cell.width + 2 * MARGIN),
        round(cell.height + 2 * MARGIN),
        parts.strokes,
        parts.boxes,
        parts.front,
        parts.texts,
        caption,
    )


def _grouped(steps: Sequence[Step], depth: int) -> tuple[Item, ...]:
    """Steps by their fences, from `depth` fences inwards."""
    made: list[Item] = []
    for scope, run in itertools.groupby(steps, key=lambda step: step.scope[depth] if len(step.scope) > depth else None):
        inside = tuple(run)
        if scope is None:
            made += inside
            continue
        items = _grouped(inside, depth + 1)
        if len(items) == 1 and isinstance(only := items[0], Group) and not (scope.name and only.scope.times > 1):
            # A fence around nothing but another fence says its part in the same frame.
            inner = only.scope
            name = ", ".join(word for word in (inner.name, scope.name) if word)
            scope = Scope(name, inner.serial, scope.times * inner.times, scope.shared or inner.shared)
            items = only.items
        made.append(Group(scope, items))
    return tuple(made)


def _steps(item: Item) -> Iterable[Step]:
    if isinstance(item, Step):
        yield item
    else:
        for one in item.items:
            yield from _steps(one)


@dataclass
class _Drawn:
    """An item of a column, with what it reads from outside itself, each array once."""

    item: Item
    fused: Fused | None
    reads: list[int] = field(default_factory=list[int])
    cell: Cell | None = None
    """Its drawing, once made: a row that turns out too long must not name axes twice."""


@dataclass
class _Placed:
    """A cell in a column, or an array that runs past the others."""

    cell: Cell
    y: float = 0.0
    is_passing: bool = False
    order: int = 0
    centre: float = 0.0


@dataclass
class _Row:
    """A row of columns while it is drawn."""

    parts: Parts
    sources: list[Port]
    """The arrays that are there, with the heights of their wires."""
    labels: dict[tuple[int, int], str]
    """(array, axis) -> what is written on the wire."""
    x: float = 0.0
    low: float = 0.0
    high: float = 0.0

    def reach(self, low: float, high: float) -> None:
        self.low, self.high = min(self.low, low), max(self.high, high)


class _Artist:
    def __init__(self, program: Program, detail: int) -> None:
        self.program = program
        self.detail = detail
        self.depth = 0
        self.arrays = program.arrays
        self.uses = program.uses()
        self.named: set[str] = set()
        """Axes whose size has been written already."""

    def layout(
        self, items: Sequence[Item], inputs: Sequence[int], outputs: Sequence[int], width: float, *, whole: bool = False
    ) -> Cell:
        """Items between their inputs and outputs as one cell, in as many rows as the width asks for.

        `whole`: the drawing itself, whose first and last wires are all named.
        """
        columns = self._columns(items, inputs)
        last = self._last_readers(columns, outputs)
        row = self._new_row(inputs, label_all=whole)
        first = [Port(port.value, port.ys) for port in row.sources]
        rows: list[_Row] = []
        for at, column in enumerate(columns):
            kept = {port.value for port in row.sources if last[port.value] > at}
            placed = self._column(column, row.sources, kept, width)
            span = self._lead(row) + BEND + max(one.cell.width for one in placed)
            if row.x > 0 and row.x + span > width:
                self._finish(row, is_end=False)
                rows.append(row)
                row = self._new_row([port.value for port in row.sources], label_all=True)
                self._begin(row)
                placed = self._column(column, row.sources, kept, width)
            self._add_column(row, placed)
        row.sources = [next(port for port in row.sources if port.value == value) for value in outputs]
        if whole:
            row.labels = self._named(self._all(row.sources))
        self._finish(row, is_end=whole)
        rows.append(row)
        return self._stacked(rows, first, whole)

    def _stacked(self, rows: Sequence[_Row], first: Sequence[Port], whole: bool) -> Cell:
        parts, top = Parts(), 0.0
        width = max(row.x for row in rows)
        shifts: list[float] = []
        for row in rows:
            shifts.append(top - row.low)
            parts.add(row.parts, 0, shifts[-1])
            top += row.high - row.low + ROW
        left = [Port(port.value, [y + shifts[0] for y in port.ys]) for port in first]
        right = [Port(port.value, [y + shifts[-1] for y in port.ys]) for port in rows[-1].sources]
        if not whole:
            for port in right:
                for y in port.ys:
                    parts.wire(rows[-1].x, y, width, y, dashed=not self.arrays[port.value].axes)
        return Cell(width, top - ROW, left, right, parts)

    # Rows

    def _new_row(self, values: Sequence[int], *, label_all: bool) -> _Row:
        values = list(dict.fromkeys(values))
        ys, height = stack([self.arrays[value] for value in values])
        sources = [Port(value, heights) for value, heights in zip(values, ys, strict=True)]
        fresh = self._all(sources) if label_all else frozenset[tuple[int, int]]()
        return _Row(Parts(), sources, self._named(fresh), high=height)

    def _begin(self, row: _Row) -> None:
        """A row that goes on from the one above: an arrow before every array."""
        for port in row.sources:
            row.parts.texts.append(DiagramText(4, sum(port.ys) / len(port.ys), "↳", "muted", 13))
        row.x = 14.0

    def _finish(self, row: _Row, *, is_end: bool) -> None:
        """Wires out of the row's last column; the last row of all names them."""
        before = row.x
        lead = max(10.0, self._lead(row)) if row.labels or is_end else 10.0
        self._labels(row)
        for port in row.sources:
            for y in port.ys:
                row.parts.wire(before, y, before + lead, y, dashed=not self.arrays[port.value].axes)
            row.reach(min(port.ys) - PITCH / 2, max(port.ys) + PITCH / 2)
        row.x = before + lead

    def _all(self, ports: Iterable[Port]) -> frozenset[tuple[int, int]]:
        return frozenset((port.value, at) for port in ports for at in range(len(port.ys)))

    def _lead(self, row: _Row) -> float:
        """Room for the labels that are due."""
        there = {port.value for port in row.sources}
        return max((SMALL * len(word) + 8 for (value, _), word in row.labels.items() if value in there), default=2.0)

    def _named(self, marks: Iterable[tuple[int, int]]) -> dict[tuple[int, int], str]:
        """Axes by name, with their size where they are first named: in the order of reading, so before what follows."""
        labels: dict[tuple[int, int], str] = {}
        for value, at in sorted(marks):
            axes = self.arrays[value].axes
            if not axes:
                labels[value, at] = "1"
                continue
            axis = axes[at]
            is_known = _key(axis) in self.named or str(axis.size) == axis.name
            labels[value, at] = axis.name if is_known else f"{axis.name}={axis.size}"
        self.named |= {_key(self.arrays[value].axes[at]) for value, at in labels if self.arrays[value].axes}
        return labels

    def _labels(self, row: _Row) -> None:
        for port in row.sources:
            for at, y in enumerate(port.ys):
                if text := row.labels.get((port.value, at)):
                    row.parts.texts.append(DiagramText(row.x + 3, y - 6, text, "muted", LABEL, "start"))

    def _add_column(self, row: _Row, placed: Sequence[_Placed]) -> None:
        """The wires to a column and the column."""
        lead = self._lead(row)
        self._labels(row)
        self._separate(row, lead)
        self._connect(row, placed, lead)
        at = row.x + lead + BEND
        width = max(one.cell.width for one in placed)
        ports: list[Port] = []
        for one in placed:
            indent = (width - one.cell.width) / 2
            row.parts.add(one.cell.parts, at + indent, one.y)
            for port in one.cell.left:
                self._level(row.parts, port, one.y, at, at + (width if one.is_passing else indent))
            if not one.is_passing:
                for port in one.cell.right:
                    self._level(row.parts, port, one.y, at + width - indent, at + width)
            ports += [Port(port.value, [y + one.y for y in port.ys]) for port in one.cell.right]
            row.reach(one.y, one.y + one.cell.height)
        row.sources = ports
        row.labels = self._named(mark for one in placed for mark in one.cell.fresh)
        row.x = at + width

    def _level(self, parts: Parts, port: Port, top: float, x: float, to_x: float) -> None:
        if to_x - x > 0.05:
            for y in port.ys:
                parts.wire(x, y + top, to_x, y + top, dashed=not self.arrays[port.value].axes)

    def _separate(self, row: _Row, lead: float) -> None:
        """Dashed lines between the members of the tuple."""
        ports = sorted(row.sources, key=lambda port: port.ys[0])
        for one, other in itertools.pairwise(ports):
            y = (one.ys[-1] + other.ys[0]) / 2 - 1
            ends = (row.x, y, row.x + max(lead, 12.0), y)
            row.parts.strokes.append(DiagramStroke(ends, "line", 1.0, dashed=True))

    def _connect(self, row: _Row, placed: Sequence[_Placed], lead: float) -> None:
        """Wires from where arrays are to where they are read; a dot where one is read more than once."""
        starts = {port.value: port.ys for port in row.sources}
        reads: dict[int, int] = {}
        for one in placed:
            for port in one.cell.left:
                reads[port.value] = reads.get(port.value, 0) + 1
                for y, to_y in zip(starts[port.value], port.ys, strict=True):
                    dashed = not self.arrays[port.value].axes
                    row.parts.wire(row.x + lead, y, row.x + lead + BEND, to_y + one.y, dashed=dashed)
        for value, ys in starts.items():
            for y in ys:
                row.parts.wire(row.x, y, row.x + lead, y, dashed=not self.arrays[value].axes)
                if reads.get(value, 0) > 1:
                    row.parts.dot(row.x + lead + 1, y, 2.0)
                elif not reads.get(value):
                    row.parts.dot(row.x + lead, y, 2.0)

    # Columns

    def _columns(self, items: Sequence[Item], inputs: Sequence[int]) -> list[list[_Drawn]]:
        """Items as early as what they read allows; a bias that only follows a learned map is drawn with it."""
        fused = self._fused(items)
        skipped = {id(one.bias) for one in fused.values()}
        level = dict.fromkeys(inputs, 0)
        columns: list[list[_Drawn]] = []
        for item in items:
            if id(item) in skipped:
                continue
            steps = tuple(_steps(item))
            if isinstance(item, Step) and item.output in fused:
                drawn = _Drawn(item, fused[item.output])
                steps = (item, drawn.fused.bias) if drawn.fused else steps
            else:
                drawn = _Drawn(item, None)
            made = {step.output for step in steps}
            drawn.reads = list(dict.fromkeys(v for step in steps for v in step.inputs if v not in made))
            at = max((level[value] for value in drawn.reads), default=0)
            while len(columns) <= at:
                columns.append([])
            columns[at].append(drawn)
            level.update(dict.fromkeys(made, at + 1))
        return columns

    def _fused(self, items: Sequence[Item]) -> dict[int, Fused]:
        steps = [item for item in items if isinstance(item, Step)]
        readers = {step.inputs[0]: step for step in steps if isinstance(step.leaf, Bias)}
        return {
            step.output: Fused(step, readers[step.output])
            for step in steps
            if isinstance(step.leaf, Map) and step.output in readers and self.uses[step.output] == 1
        }

    def _last_readers(self, columns: Sequence[Sequence[_Drawn]], outputs: Sequence[int]) -> dict[int, int]:
        """Array -> the last column that reads it; beyond all columns for an output."""
        last = dict.fromkeys(range(len(self.arrays)), -1)
        for at, column in enumerate(columns):
            last.update({value: at for drawn in column for value in drawn.reads})
        return last | dict.fromkeys(outputs, len(columns))

    def _column(self, items: Sequence[_Drawn], sources: Sequence[Port], kept: set[int], width: float) -> list[_Placed]:
        """The cells of one column at their heights: what runs past, and what is done."""
        heights = {port.value: port.ys for port in sources}
        for drawn in items:  # what a block reads enters it in the order in which it arrives
            if isinstance(drawn.item, Group):
                drawn.reads.sort(key=lambda value: heights[value][0])
        placed = [_Placed(drawn.cell or self._cell(drawn, width), order=n + 1) for n, drawn in enumerate(items)]
        for drawn, one in zip(items, placed, strict=True):
            drawn.cell = one.cell
        for port in sources:
            if port.value in kept:
                ys = [y - port.ys[0] + PITCH / 2 for y in port.ys]
                passing = Cell(0, ys[-1] + PITCH / 2, [Port(port.value, ys)], [Port(port.value, ys)], Parts())
                placed.append(_Placed(passing, is_passing=True))
        for one in placed:
            pairs = [pair for port in one.cell.left for pair in zip(heights[port.value], port.ys, strict=True)]
            one.y = sum(y - at for y, at in pairs) / len(pairs) if pairs else 0.0
            one.centre = sum(y for y, _ in pairs) / len(pairs) if pairs else 0.0
        placed.sort(key=lambda one: (round(one.centre, 3), one.order))
        _settle(placed)
        return placed

    def _cell(self, drawn: _Drawn, width: float) -> Cell:
        item = drawn.item
        if isinstance(item, Group):
            return self._fenced(item, drawn.reads, width)
        if drawn.fused is not None:
            return leaf_cell(item.leaf, item.inputs, drawn.fused.bias.output, self.arrays, bias=True)
        return leaf_cell(item.leaf, item.inputs, item.output, self.arrays)

    def _fenced(self, group: Group, reads: Sequence[int], width: float) -> Cell:
        """A block: its own drawing in a dashed frame with its name and how often it is repeated."""
        steps = list(_steps(group))
        outside = {id(step) for step in steps}
        read = {at for step in self.program.steps if id(step) not in outside for at in step.inputs}
        read |= set(self.program.outputs)
        made = [step.output for step in steps if step.output in read] or [steps[-1].output]
        scope = group.scope
        times = f"× {scope.times}" if scope.times > 1 else ""
        name = ", ".join(word for word in (scope.name, times) if word)
        if self.depth >= self.detail:
            return box_cell(name or "block", reads, made, self.arrays, any(step.weight for step in steps))
        self.depth += 1
        inner = self.layout(group.items, reads, made, width - 2 * FENCE - 8)
        self.depth -= 1
        wide = max(inner.width, LETTER * len(name) + 6) + 2 * FENCE
        high = inner.height + FENCE_TOP + FENCE
        parts = Parts()
        parts.boxes.append(DiagramBox(2, 4, wide - 4, high - 8, "muted", None, 1.0, 8, dashed=True))
        parts.texts.append(DiagramText(12, 15, name, "ink" if times else "muted", 11, "start", bold=True))
        parts.add(inner.parts, FENCE, FENCE_TOP)
        left = [Port(port.value, [y + FENCE_TOP for y in port.ys]) for port in inner.left]
        right = [Port(port.value, [y + FENCE_TOP for y in port.ys]) for port in inner.right]
        for port in left:
            self._level(parts, port, 0, 0, FENCE)
        for port in right:
            self._level(parts, port, 0, FENCE + inner.width, wide)
        return Cell(wide, high, left, right, parts)


def _key(axis: Axis) -> str:
    return f"{axis.name}={axis.size}"


def _settle(placed: Sequence[_Placed]) -> None:
    """Heights closest to the wanted ones, in order and without overlap (pool adjacent violators)."""
    offsets, total = [0.0], 0.0
    for one, other in itertools.pairwise(placed):
        total += one.cell.height + (MEMBERS if one.is_passing and other.is_passing else MEMBERS + 4) - PITCH / 2
        offsets.append(total)
    pools: list[tuple[float, int]] = []
    for one, offset in zip(placed, offsets, strict=True):
        pools.append((one.y - offset, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (first, count), (second, more) = pools[-2:]
            pools[-2:] = [((first * count + second * more) / (count + more), count + more)]
    settled = [value for value, count in pools for _ in range(count)]
    for one, value, offset in zip(placed, settled, offsets, strict=True):
        one.y = value + offset

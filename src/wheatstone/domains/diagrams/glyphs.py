"""How one operation looks: wires in on the left, wires out on the right, and what is between them.

A wire is an axis. What an operation leaves alone runs past its box; learned operations are bold; arrays that are
contracted meet at a dot. Coordinates are pixels from the cell's top left corner.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from wheatstone.bench.diagram import DiagramBox, DiagramStroke, DiagramText
from wheatstone.domains.diagrams.leaves import title
from wheatstone.domains.diagrams.terms import (
    Bias,
    Contract,
    Elementwise,
    Embed,
    Fold,
    Index,
    Insert,
    Leaf,
    Map,
    Mask,
    Merge,
    Order,
    Reduce,
    Rename,
    Split,
    Spread,
    Window,
)
from wheatstone.domains.diagrams.types import Array

PITCH = 17.0
"""Between two wires of one array: room for a label above each."""
MEMBERS = 15.0
"""Between two arrays of a tuple, more than between two wires."""
LETTER = 6.3
"""Width of a letter at 11 px."""
HEAVY = 7.0
"""Of a bold one."""
BOLD, THIN = 2.6, 1.1
SIGNS = {"add": "+", "sub": "−", "mul": "×", "div": "÷", "equal": "="}


@dataclass
class Parts:
    """What is drawn, by layer."""

    strokes: list[DiagramStroke] = field(default_factory=list[DiagramStroke])
    boxes: list[DiagramBox] = field(default_factory=list[DiagramBox])
    front: list[DiagramStroke] = field(default_factory=list[DiagramStroke])
    texts: list[DiagramText] = field(default_factory=list[DiagramText])

    def wire(self, x: float, y: float, to_x: float, to_y: float, *, front: bool = False, dashed: bool = False) -> None:
        """A wire from left to right, level at both ends."""
        stroke = DiagramStroke((x, y, to_x, to_y), width=THIN, curved=y != to_y, dashed=dashed)
        (self.front if front else self.strokes).append(stroke)

    def dot(self, x: float, y: float, radius: float = 2.6) -> None:
        """Where wires meet, end or part."""
        self.boxes.append(DiagramBox(x - radius, y - radius, 2 * radius, 2 * radius, "ink", "ink", 0, radius))

    def add(self, other: Parts, x: float, y: float) -> None:
        """Another drawing with its corner at (x, y)."""
        for one in other.strokes:
            self.strokes.append(_moved_stroke(one, x, y))
        for one in other.front:
            self.front.append(_moved_stroke(one, x, y))
        self.boxes += [dataclasses.replace(one, x=one.x + x, y=one.y + y) for one in other.boxes]
        self.texts += [dataclasses.replace(one, x=one.x + x, y=one.y + y) for one in other.texts]


@dataclass
class Port:
    """Where an array enters or leaves: its number in the program and the height of each wire."""

    value: int
    ys: list[float]


@dataclass
class Cell:
    """A drawn operation or block."""

    width: float
    height: float
    left: list[Port]
    right: list[Port]
    parts: Parts
    fresh: frozenset[tuple[int, int]] = frozenset()
    """(array, axis) of the wires on the right that are new and want a label."""


def wires(array: Array) -> int:
    """Wires that an array is drawn with: a number without axes still has one, dashed."""
    return max(1, len(array.axes))


def stack(arrays: Sequence[Array]) -> tuple[list[list[float]], float]:
    """Heights of the wires of arrays one below the other, and the height of all."""
    ys: list[list[float]] = []
    y = PITCH / 2
    for number, array in enumerate(arrays):
        y += MEMBERS if number else 0
        ys.append([y + at * PITCH for at in range(wires(array))])
        y += wires(array) * PITCH
    return ys, y - PITCH / 2 if arrays else PITCH


def leaf_cell(leaf: Leaf, inputs: Sequence[int], output: int, arrays: Sequence[Array], *, bias: bool = False) -> Cell:
    """The drawing of one step. `bias`: what follows a learned map and is drawn with it."""
    sources, target = [arrays[at] for at in inputs], arrays[output]
    if isinstance(leaf, Contract | Order):
        return _joined(inputs, output, sources, target)
    if len(inputs) > 1:
        return _merged(leaf, inputs, output, sources, target)
    return _on_axes(leaf, inputs[0], output, sources[0], target, bias)


def label(leaf: Leaf, bias: bool) -> str:
    """What stands in the box."""
    match leaf:
        case Map():
            name = leaf.matrix.label or _short(leaf.matrix.name, "linear")
            if not leaf.source and not leaf.target:
                return "gain, bias" if bias else "gain"
            return f"{name} + b" if bias else name
        case Bias():
            return "+ " + (leaf.vector.label or _short(leaf.vector.name, "bias"))
        case Elementwise():
            if leaf.value is None:
                return leaf.function
            return f"× {_number(leaf.value)}" if leaf.function == "scale" else f"+ {_number(leaf.value)}"
        case Reduce():
            return leaf.function
        case Window():
            step = f" /{leaf.stride}" if leaf.stride > 1 else ""
            apart = f" ·{leaf.dilation}" if leaf.dilation > 1 else ""
            return f"win {leaf.width}{step}{apart}"
        case Fold():
            return f"fold /{leaf.stride}" if leaf.stride > 1 else "fold"
        case Mask():
            return "causal"
        case Index():
            return f"{leaf.axis} = {leaf.start}" if leaf.stop is None else f"{leaf.start}:{leaf.stop}"
        case Insert():
            return f"at {leaf.start}"
        case Embed():
            return leaf.table.label or _short(leaf.table.name, "embed")
        case _:
            return title(leaf)


def _on_axes(leaf: Leaf, value: int, output: int, source: Array, target: Array, bias: bool) -> Cell:
    """An operation of one array: a box on the axes that it touches, every other wire past it."""
    touched = _touched(leaf, source)
    made = [name for name in target.names if name not in source.names or name in touched]
    rows_in, rows_out, box_rows = _rows(source, target, touched, made)
    text = label(leaf, bias)
    is_learned = leaf.weight is not None and leaf.weight.kind == "learned"
    is_slim = isinstance(leaf, Split | Merge | Rename | Spread)
    width = 26.0 if is_slim else max(30.0, (HEAVY if is_learned else LETTER) * len(text) + 20)
    parts = Parts()
    left = [PITCH / 2 + row * PITCH for row in rows_in]
    right = [PITCH / 2 + row * PITCH for row in rows_out]
    rows = [*rows_in, *rows_out, *box_rows]
    height = (max(rows, default=0.0) + 1) * PITCH
    passing = [name for name in source.names if name in target.names and name not in touched]
    first, last = min(box_rows, default=0.0), max(box_rows, default=0.0)
    top, bottom = first * PITCH + 1.0, (last + 1) * PITCH - 1.0
    for name in passing:
        y, to_y = left[source.names.index(name)], right[target.names.index(name)]
        parts.wire(0, y, width, to_y, front=top < y < bottom)
    if is_slim:
        _slim(
            parts, leaf, width, [left[source.names.index(n)] for n in source.names if n in touched], right, target, made
        )
    else:
        for at, y in enumerate(left):
            if not source.axes or source.names[at] in touched:
                parts.wire(0, y, 6, y, dashed=not source.axes)
        for at, y in enumerate(right):
            if not target.axes or target.names[at] in made:
                parts.wire(width - 6, y, width, y, dashed=not target.axes)
        radius = 8.0 if isinstance(leaf, Elementwise) else 2.0
        tone, stroke = ("learned", BOLD) if is_learned else ("ink", THIN)
        parts.boxes.append(
            DiagramBox(
                5, top, width - 10, bottom - top, tone, stroke=stroke, radius=radius, about=about(leaf, source, target)
            )
        )
        crossed = [left[source.names.index(name)] for name in passing]
        middle = (top + bottom) / 2
        if any(abs(y - middle) < 6 for y in crossed):
            middle = (box_rows[0] + 0.5) * PITCH
        parts.texts.append(DiagramText(width / 2, middle, text, tone, 10.5, bold=is_learned))
    fresh = frozenset(
        (output, at)
        for at, axis in enumerate(target.axes)
        if axis.name not in source.names or str(source.axis(axis.name).size) != str(axis.size)
    )
    return Cell(width, height, [Port(value, left)], [Port(output, right)], parts, fresh)


def _touched(leaf: Leaf, source: Array) -> tuple[str, ...]:
    """The axes that an operation is about."""
    match leaf:
        case Map():
            return (*leaf.source, *leaf.batch)
        case Bias():
            return leaf.axes
        case Reduce():
            return leaf.over
        case Split() | Window() | Index():
            return (leaf.axis,)
        case Insert():
            return (leaf.axis.name,) if leaf.stop is not None else ()
        case Merge():
            return leaf.axes
        case Rename():
            return (leaf.old,)
        case Fold():
            return (leaf.axis, leaf.tap)
        case Mask():
            return (leaf.query, leaf.key)
        case Spread():
            return ()
        case _:
            return source.names


def _rows(
    source: Array, target: Array, touched: Sequence[str], made: Sequence[str]
) -> tuple[list[float], list[float], list[float]]:
    """Row of each wire in, of each wire out, and of the box: untouched axes run level, runs of others share rows."""
    row, rows_in, rows_out = 0.0, dict[str, float](), dict[str, float]()
    box: list[float] = []
    before, after = list(source.names), list(target.names)
    if not before and not after:
        return [0.0], [0.0], [0.0]
    while before or after:
        taken = _leading(before, touched)
        given = _leading(after, made)
        if taken or given:
            room = max(len(taken), len(given), 1)
            for names, rows in ((taken, rows_in), (given, rows_out)):
                for at, name in enumerate(names):
                    rows[name] = row + (room - len(names)) / 2 + at
            box += [row + at for at in range(room)]
            row += room
            before, after = before[len(taken) :], after[len(given) :]
            continue
        rows_in[before[0]] = rows_out[after[0]] = row
        row += 1
        before, after = before[1:], after[1:]
    first_in = [rows_in[name] for name in source.names] or [box[0] if box else 0.0]
    return first_in, [rows_out[name] for name in target.names] or [box[0] if box else 0.0], box or [row]


def _leading(names: list[str], wanted: Sequence[str]) -> list[str]:
    """The names at the front that are wanted."""
    count = next((at for at, name in enumerate(names) if name not in wanted), len(names))
    return names[:count]


def _slim(
    parts: Parts, leaf: Leaf, width: float, left: list[float], right: list[float], target: Array, made: Sequence[str]
) -> None:
    """Axes that are split, merged or renamed: wires through a bar; a new axis begins at a dot."""
    ends = [right[target.names.index(name)] for name in made]
    middle = width / 2
    if isinstance(leaf, Spread):
        for y in ends:
            parts.wire(middle, y, width, y)
            parts.dot(middle, y)
        return
    for y in left:
        parts.wire(0, y, middle, y)
    for y in ends:
        parts.wire(middle, y, width, y)
    low, high = min([*left, *ends]) - 5, max([*left, *ends]) + 5
    parts.boxes.append(DiagramBox(middle - 1.5, low, 3, high - low, "ink", "ink", 0, about=title(leaf)))


def _joined(inputs: Sequence[int], output: int, sources: Sequence[Array], target: Array) -> Cell:
    """Arrays whose axes meet: an axis of the result runs on, one that is summed over ends where its wires meet."""
    ys, height = stack(sources)
    (right,), out_height = stack([target])
    width, meet = 58.0, 26.0
    total = max(height, out_height) + PITCH / 2
    left = [[y + (total - PITCH / 2 - height) / 2 for y in one] for one in ys]
    right = [y + (total - PITCH / 2 - out_height) / 2 for y in right]
    parts = Parts()
    places: dict[str, list[float]] = {}
    for array, heights in zip(sources, left, strict=True):
        for name, y in zip(array.names, heights, strict=False):
            places.setdefault(name, []).append(y)
    for name, starts in places.items():
        if name in target.names:
            end = right[target.names.index(name)]
            if len(starts) == 1:
                parts.wire(0, starts[0], width, end)
                continue
            for y in starts:
                parts.wire(0, y, meet + 10, end)
            parts.dot(meet + 10, end, 2.0)
            parts.wire(meet + 10, end, width, end)
        else:
            middle = sum(starts) / len(starts)
            for y in starts:
                parts.wire(0, y, meet, middle)
            parts.dot(meet, middle)
    if not target.axes:
        parts.wire(meet, right[0], width, right[0], dashed=True)
    ports = [Port(value, heights) for value, heights in zip(inputs, left, strict=True)]
    return Cell(width, total, ports, [Port(output, right)], parts)


def _merged(leaf: Leaf, inputs: Sequence[int], output: int, sources: Sequence[Array], target: Array) -> Cell:
    """Arrays that become one: wires that come together in a narrow box."""
    ys, height = stack(sources)
    (right,), out_height = stack([target])
    text = SIGNS.get(leaf.function, leaf.function) if isinstance(leaf, Elementwise) else label(leaf, False)
    box = max(18.0, LETTER * len(text) + 10)
    width = 30 + box + 8
    total = max(height, out_height) + PITCH / 2
    left = [[y + (total - PITCH / 2 - height) / 2 for y in one] for one in ys]
    right = [y + (total - PITCH / 2 - out_height) / 2 for y in right]
    parts = Parts()
    for array, heights in zip(sources, left, strict=True):
        for at, y in enumerate(heights):
            name = array.names[at] if array.axes else None
            end = right[target.names.index(name)] if name in target.names else sum(right) / len(right)
            parts.wire(0, y, 32, end, dashed=not array.axes)
    for y in right:
        parts.wire(width - 9, y, width, y, dashed=not target.axes)
    top = min(right) - PITCH / 2 + 1
    high = max(right) + PITCH / 2 - 1 - top
    radius = min(9.0, high / 2) if isinstance(leaf, Elementwise) else 2.0
    told = about(leaf, sources[0], target)
    parts.boxes.append(DiagramBox(30, top, box, high, "ink", stroke=THIN, radius=radius, about=told))
    parts.texts.append(DiagramText(30 + box / 2, top + high / 2, text, size=12 if len(text) == 1 else 10.5))
    fresh = frozenset(
        (output, at)
        for at, axis in enumerate(target.axes)
        if all(axis.name not in one.names or str(one.axis(axis.name).size) != str(axis.size) for one in sources)
    )
    return Cell(
        width, total, [Port(v, h) for v, h in zip(inputs, left, strict=True)], [Port(output, right)], parts, fresh
    )


def box_cell(
    name: str, inputs: Sequence[int], outputs: Sequence[int], arrays: Sequence[Array], is_learned: bool
) -> Cell:
    """A block that is not opened: its name in a box with all its wires."""
    ys, height = stack([arrays[at] for at in inputs])
    ends, out_height = stack([arrays[at] for at in outputs])
    total = max(height, out_height) + PITCH / 2
    left = [[y + (total - PITCH / 2 - height) / 2 for y in one] for one in ys]
    right = [[y + (total - PITCH / 2 - out_height) / 2 for y in one] for one in ends]
    letter = HEAVY if is_learned else LETTER
    width = max(40.0, letter * len(name) + 24)
    parts = Parts()
    for at, heights in zip(inputs, left, strict=True):
        for y in heights:
            parts.wire(0, y, 6, y, dashed=not arrays[at].axes)
    for at, heights in zip(outputs, right, strict=True):
        for y in heights:
            parts.wire(width - 6, y, width, y, dashed=not arrays[at].axes)
    tone, stroke = ("learned", BOLD) if is_learned else ("ink", THIN)
    types = ", ".join(str(arrays[at]) for at in inputs), ", ".join(str(arrays[at]) for at in outputs)
    told = f"{name}: {types[0]} -> {types[1]}"
    parts.boxes.append(DiagramBox(5, 1, width - 10, total - 2, tone, stroke=stroke, radius=6, about=told))
    parts.texts.append(DiagramText(width / 2, total / 2, name, tone, 10.5, bold=is_learned))
    known = {axis.name for at in inputs for axis in arrays[at].axes}
    fresh = frozenset((at, n) for at in outputs for n, axis in enumerate(arrays[at].axes) if axis.name not in known)
    ports = [Port(at, heights) for at, heights in zip(inputs, left, strict=True)]
    return Cell(
        width, total, ports, [Port(at, heights) for at, heights in zip(outputs, right, strict=True)], parts, fresh
    )


def about(leaf: Leaf, source: Array, target: Array) -> str:
    """What a pointer on the box reads: the operation, its weight, both types."""
    weight = f" {leaf.weight.name}" if leaf.weight is not None else ""
    return f"{title(leaf)}{weight}: {source} -> {target}"


def _short(name: str, otherwise: str) -> str:
    """'blocks.{}.attn.q.weight' -> 'q'; what has only numbers for a name goes by what it does."""
    words = [word for word in name.split(".") if word not in ("weight", "bias", "{}") and not word.isdigit()]
    return words[-1] if words else otherwise


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    said = re.sub(r"sqrt\((\w+)\)", r"√\1", str(value))
    return said.replace("**", "^").replace("sqrt(", "√(").replace("*", "·")


def _moved_stroke(stroke: DiagramStroke, x: float, y: float) -> DiagramStroke:
    points = tuple(value + (y if at % 2 else x) for at, value in enumerate(stroke.points))
    return dataclasses.replace(stroke, points=points)

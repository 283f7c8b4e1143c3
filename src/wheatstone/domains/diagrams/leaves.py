"""The type of every leaf: which arrays it takes and which it gives. Errors name the operation, the axis, both types."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import sympy

from wheatstone.domains.diagrams.terms import (
    Bias,
    Cat,
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
    Opaque,
    Order,
    Reduce,
    Rename,
    Scatter,
    Split,
    Spread,
    Window,
)
from wheatstone.domains.diagrams.types import Array, Axis, Obj, Size, demand_same, is_same, obj_text, product, refuse

KEEPS = ("softmax", "normalise", "rms")
"""Reductions that leave the axes in place."""
DROPS = ("sum", "mean", "max", "rstd", "rrms")


def result(leaf: Leaf, arrays: Obj) -> Array:
    """The array that `leaf` makes of these. Raises DiagramError where it cannot take them."""
    if leaf.inputs != len(arrays):
        refuse(leaf.at, f"{title(leaf)}: takes {leaf.inputs} arrays, is given {obj_text(arrays)}")
    if not isinstance(leaf, Embed | Scatter | Opaque | Rename | Index):
        for array in arrays:
            if array.kind != "float":
                refuse(leaf.at, f"{title(leaf)}: '{array}' holds whole numbers, which only embed reads")
    match leaf:
        case Contract():
            return _contract(leaf, arrays)
        case Cat():
            return _cat(leaf, arrays)
        case Elementwise():
            return _elementwise(leaf, arrays)
        case Scatter():
            rows = arrays[1]
            return Array((leaf.vocab, rows.axes[-1]))
        case Opaque():
            return leaf.result[0]
        case _:
            return _local(leaf, arrays[0])


def title(leaf: Leaf) -> str:
    """The operation as its user writes it."""
    match leaf:
        case Elementwise():
            return leaf.function
        case Reduce():
            return f"{leaf.function}[{' '.join(leaf.over)}]"
        case Map():
            if leaf.source == () and leaf.target == ():
                return "gain"
            return f"linear {' '.join(leaf.source)} -> {' '.join(axis.name for axis in leaf.target)}"
        case Opaque():
            return leaf.name
        case _:
            return type(leaf).__name__.lower()


def _local(leaf: Leaf, array: Array) -> Array:
    """Operations on some axes of one array."""
    match leaf:
        case Map():
            _present(leaf, array, (*leaf.source, *leaf.batch))
            return _replaced(leaf, array, leaf.source, leaf.target)
        case Bias():
            _present(leaf, array, leaf.axes)
            return array
        case Embed():
            if array.kind != "int":
                refuse(leaf.at, f"embed: takes whole numbers, is given '{array}'")
            return _made(leaf, (*array.axes, leaf.axis))
        case Reduce():
            _present(leaf, array, leaf.over)
            if leaf.function not in KEEPS and leaf.function not in DROPS:
                refuse(leaf.at, f"'{leaf.function}' is no reduction: one of {', '.join((*KEEPS, *DROPS))}")
            return array if leaf.function in KEEPS else array.without(leaf.over)
        case Spread():
            return _put(leaf, array, leaf.axis, leaf.before)
        case Split():
            _present(leaf, array, (leaf.axis,))
            whole, parts = array.axis(leaf.axis).size, product(axis.size for axis in leaf.into)
            into = " ".join(map(str, leaf.into))
            demand_same(leaf.at, f"split: axis {leaf.axis} has size {whole}, '{into}' have {parts}", whole, parts)
            return _replaced(leaf, array, (leaf.axis,), leaf.into)
        case Merge():
            return _merge(leaf, array)
        case Rename():
            _present(leaf, array, (leaf.old,))
            return _replaced(leaf, array, (leaf.old,), (Axis(leaf.new, array.axis(leaf.old).size),))
        case Order():
            if sorted(leaf.axes) != sorted(array.names):
                refuse(leaf.at, f"order '{' '.join(leaf.axes)}': these are not the axes of '{array}'")
            return Array(tuple(array.axis(name) for name in leaf.axes), array.kind)
        case Window():
            _present(leaf, array, (leaf.axis,))
            count = windows(leaf, array.axis(leaf.axis).size)
            return _replaced(leaf, array, (leaf.axis,), (Axis(leaf.axis, count), Axis(leaf.tap, leaf.width)))
        case Fold():
            _present(leaf, array, (leaf.axis, leaf.tap))
            size = folded(leaf, array) if leaf.size is None else leaf.size
            return _replaced(leaf, array, (leaf.axis, leaf.tap), (Axis(leaf.axis, size),))
        case Index():
            return _index(leaf, array)
        case Insert():
            if leaf.stop is None:
                return _put(leaf, array, leaf.axis, leaf.before)
            _present(leaf, array, (leaf.axis.name,))
            return _replaced(leaf, array, (leaf.axis.name,), (leaf.axis,))
        case Mask():
            _present(leaf, array, (leaf.query, leaf.key))
            return array
        case _:
            raise TypeError(f"{type(leaf).__name__} is no leaf of one array")


def windows(leaf: Window, size: Size) -> Size:
    """(x + 2p - d(w - 1) - 1)/s + 1: how many windows an axis of `size` has.

    Raises DiagramError when none fits, or when the stride leaves places out and `exact` is set.
    """
    room: Any = size + 2 * leaf.padding - leaf.dilation * (leaf.width - 1) - 1
    if isinstance(room, int) or getattr(room, "is_Integer", False):
        room = int(room)
        if room < 0:
            refuse(leaf.at, f"window: {leaf.width} places do not fit axis {leaf.axis} of size {size}")
        if leaf.exact and room % leaf.stride:
            text = f"window: stride {leaf.stride} does not divide {room} on axis {leaf.axis} of size {size}, so the "
            refuse(leaf.at, f"{text}last {room % leaf.stride} would be left out")
        return room // leaf.stride + 1
    if leaf.stride == 1:
        return cast(Size, room + 1)
    return room / leaf.stride + 1 if leaf.exact else cast(Size, sympy.floor(room / leaf.stride) + 1)


def folded(leaf: Fold, array: Array) -> Size:
    """The size of the axis that a fold makes: (x - 1)s - 2p + d(w - 1) + 1."""
    count, width = array.axis(leaf.axis).size, array.axis(leaf.tap).size
    return (count - 1) * leaf.stride - 2 * leaf.padding + leaf.dilation * (width - 1) + 1


def _contract(leaf: Contract, arrays: Obj) -> Array:
    sizes: dict[str, tuple[Axis, str]] = {}
    for number, (names, array) in enumerate(zip(leaf.sources, arrays, strict=True), start=1):
        if names != array.names:
            wanted = ", ".join(" ".join(one) for one in leaf.sources)
            absent = [name for name in names if name not in array.names]
            more = f" (no axis {absent[0]})" if absent else ""
            refuse(
                leaf.at, f"contract: array {number} is '{array}'{more}; takes ({wanted}), is given {obj_text(arrays)}"
            )
        for axis in array.axes:
            word = ("on the left", "on the right")[number - 1] if len(arrays) == 2 else f"in array {number}"
            known, where = sizes.setdefault(axis.name, (axis, word))
            text = f"contract: axis {axis.name} has size {known.size} {where}, {axis.size} {word}: {obj_text(arrays)}"
            demand_same(leaf.at, text, known.size, axis.size)
    unknown = [name for name in leaf.target if name not in sizes]
    if unknown:
        refuse(leaf.at, f"contract: axis {unknown[0]} of the result is in none of {obj_text(arrays)}")
    return _made(leaf, (sizes[name][0] for name in leaf.target))


def _cat(leaf: Cat, arrays: Obj) -> Array:
    for array in arrays:
        _present(leaf, array, (leaf.axis,))
    first, total = arrays[0], cast(Any, 0)
    for array in arrays:
        total = total + array.axis(leaf.axis).size
        if array.names != first.names or not all(
            is_same(one.size, other.size)
            for one, other in zip(first.axes, array.axes, strict=True)
            if one.name != leaf.axis
        ):
            refuse(leaf.at, f"cat {leaf.axis}: {obj_text(arrays)} differ in more than axis {leaf.axis}")
    return Array(tuple(Axis(axis.name, total) if axis.name == leaf.axis else axis for axis in first.axes))


def _elementwise(leaf: Elementwise, arrays: Obj) -> Array:
    from wheatstone.domains.diagrams.functions import FUNCTIONS

    if leaf.function not in FUNCTIONS:
        refuse(leaf.at, f"'{leaf.function}' is no function: one of {', '.join(FUNCTIONS)}")
    if FUNCTIONS[leaf.function].inputs != leaf.count:
        refuse(leaf.at, f"{leaf.function}: takes {FUNCTIONS[leaf.function].inputs} arrays, is given {leaf.count}")
    first = arrays[0]
    for array in arrays[1:]:
        if array.names != first.names:
            refuse(
                leaf.at, f"{leaf.function}: '{first}' and '{array}' have different axes; broadcast with lift or spread"
            )
        for one, other in zip(first.axes, array.axes, strict=True):
            text = f"{leaf.function}: axis {one.name} has size {one.size} on the left, {other.size} on the right"
            demand_same(leaf.at, f"{text}: {obj_text(arrays)}", one.size, other.size)
    return first


def _merge(leaf: Merge, array: Array) -> Array:
    _present(leaf, array, leaf.axes)
    start = array.names.index(leaf.axes[0])
    if array.names[start : start + len(leaf.axes)] != leaf.axes:
        refuse(leaf.at, f"merge '{' '.join(leaf.axes)}': they do not stand side by side in this order in '{array}'")
    whole = product(array.axis(name).size for name in leaf.axes)
    return _replaced(leaf, array, leaf.axes, (Axis(leaf.into, whole),))


def _index(leaf: Index, array: Array) -> Array:
    _present(leaf, array, (leaf.axis,))
    size = array.axis(leaf.axis).size
    end = leaf.start + 1 if leaf.stop is None else leaf.stop
    if leaf.start < 0 or end <= leaf.start or (isinstance(size, int) and end > size):
        refuse(leaf.at, f"index: {leaf.start} to {end - 1} is outside axis {leaf.axis} of size {size}")
    if leaf.stop is None:
        return array.without((leaf.axis,))
    return _replaced(leaf, array, (leaf.axis,), (Axis(leaf.axis, leaf.stop - leaf.start),))


def _present(leaf: Leaf, array: Array, names: Iterable[str]) -> None:
    for name in names:
        if name not in array.names:
            refuse(leaf.at, f"{title(leaf)}: there is no axis {name} in '{array}'")


def _replaced(leaf: Leaf, array: Array, names: tuple[str, ...], axes: tuple[Axis, ...]) -> Array:
    """The array with `axes` in the place of the first of `names`, and without the others."""
    made: list[Axis] = []
    for axis in array.axes:
        if names and axis.name == names[0]:
            made += axes
        elif axis.name not in names:
            made.append(axis)
    return _made(leaf, made if names else [*made, *axes], array.kind)


def _made(leaf: Leaf, axes: Iterable[Axis], kind: str = "float") -> Array:
    axes = tuple(axes)
    if len({axis.name for axis in axes}) < len(axes):
        refuse(leaf.at, f"{title(leaf)}: '{' '.join(axis.name for axis in axes)}' has an axis twice; rename one first")
    return Array(axes, kind)


def _put(leaf: Leaf, array: Array, axis: Axis, before: str | None) -> Array:
    if before is not None:
        _present(leaf, array, (before,))
    place = len(array.axes) if before is None else array.names.index(before)
    return _made(leaf, (*array.axes[:place], axis, *array.axes[place:]), array.kind)

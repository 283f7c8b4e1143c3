"""The shape of stored JSON, checked before anything is built from it: a damaged record is named field by field.

A run directory may come from a stranger, from a broken disk or from an editor, so no reader trusts it. A shape is
  (type, ...)                                 the value is of one of these types; true and false are no numbers
  [shape]                                     a list of such values
  Each(shape)                                 an object with any keys and such values
  {'name': shape, 'other?': shape, ...}       an object with at least these keys; 'other' may be missing
  ANYTHING                                    whatever JSON can hold, in which text can be shown and stored again
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from typing import Any, cast

TEXT: tuple[type, ...] = (str,)
WHOLE: tuple[type, ...] = (int,)
NUMBER: tuple[type, ...] = (int, float, type(None))
"""null is a value that is not finite."""
SCALAR: tuple[type, ...] = (str, int, float, bool, type(None))
OBJECT: tuple[type, ...] = (dict,)
ANYTHING = None
DEEPEST = 50
"""Levels of nesting in ANYTHING."""
_WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
    dict: "an object",
}


@dataclass(frozen=True)
class Each:
    """An object whose keys are names and whose values all have one shape."""

    shape: Any


class ShapeError(ValueError):
    """Which field is not what it must be."""


def check(value: Any, shape: Any, place: str = "") -> None:
    """Raises ShapeError that says where `value` has another shape."""
    if shape is ANYTHING:
        _check_anything(value, place, DEEPEST)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise _fault(place, value, "a list")
        for at, one in enumerate(cast("list[Any]", value)):
            check(one, shape[0], f"{place}[{at}]")
    elif isinstance(shape, Each):
        for name, one in _object(value, place).items():
            check(name, TEXT, f"a name in {place or 'the file'}")
            check(one, shape.shape, f"{place}.{name}" if place else name)
    elif isinstance(shape, dict):
        stored = _object(value, place)
        for key, inner in cast("dict[str, Any]", shape).items():
            name = key.removesuffix("?")
            if name not in stored:
                if key != name:
                    continue
                raise ShapeError(f"'{f'{place}.{name}' if place else name}' is missing")
            check(stored[name], inner, f"{place}.{name}" if place else name)
    else:
        _check_leaf(value, shape, place)


def _check_anything(value: Any, place: str, depth: int) -> None:
    if depth < 0:
        raise ShapeError(f"'{place[:40]}' is nested too deep")
    if isinstance(value, dict):
        for name, one in cast("dict[str, Any]", value).items():
            check(name, TEXT, f"a name in {place or 'the file'}")
            _check_anything(one, f"{place}.{name}" if place else name, depth - 1)
    elif isinstance(value, list):
        for at, one in enumerate(cast("list[Any]", value)):
            _check_anything(one, f"{place}[{at}]", depth - 1)
    else:
        check(value, SCALAR, place)


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _fault(place, value, "an object")
    return cast("dict[str, Any]", value)


def _check_leaf(value: Any, kinds: tuple[type, ...], place: str) -> None:
    allowed = type(value) in kinds or (float in kinds and type(value) is int)
    if not allowed:
        raise _fault(place, value, " or ".join(_WORDS[kind] for kind in kinds))
    if isinstance(value, str) and any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" for c in value):
        raise ShapeError(f"'{place}' holds a control character or half a surrogate pair")
    if float in kinds and not has_float(value):
        raise ShapeError(f"'{place}' is not a finite number")


def has_float(value: Any) -> bool:
    """Whether a number is finite and not too large for a float; true for what is no number."""
    try:
        return not isinstance(value, int | float) or math.isfinite(value)
    except OverflowError:
        return False


def _fault(place: str, value: Any, rule: str) -> ShapeError:
    return ShapeError(f"'{place or 'the file'}' is {repr(value)[:40]}, must be {rule}")

"""A grid of settings: config fields, the values that each takes, and the points where one value of each meet.

Values arrive as words of the command line and are read by the type of their field. Every point is checked as a whole,
with the bounds of the study's config and in every arm, before anything is run.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from wheatstone.bench.config import field_docs, to_json, validate
from wheatstone.bench.errors import SHOWN_FAULTS, UserError, did_you_mean

if TYPE_CHECKING:
    from wheatstone.bench.study import JsonScalar, Study

MOST_POINTS = 500
"""Points of a sweep: each is a run directory with a page of its own, and holds a lock while the sweep runs."""
LONGEST_SLUG = 100
FORM = "A grid is a setting and its values, as --grid phi=3.6,9,15."


@dataclass(frozen=True)
class Point:
    """One value for each field of a grid."""

    values: Mapping[str, JsonScalar]

    @property
    def label(self) -> str:
        """'phi=3.6, weight_decay=1'."""
        return ", ".join(f"{name}={shown(value)}" for name, value in self.values.items())

    @property
    def slug(self) -> str:
        """The name of the point's directory: 'phi=3.6__weight_decay=1', with a digest where that would not do."""
        plain = "__".join(f"{name}={shown(value)}" for name, value in self.values.items())
        safe = re.sub(r"[^A-Za-z0-9_.+=-]", "-", plain)[:LONGEST_SLUG]
        if safe == plain:
            return safe
        digest = hashlib.sha256(json.dumps(dict(self.values)).encode()).hexdigest()[:8]
        return f"{safe}__{digest}"


@dataclass(frozen=True)
class Grid:
    """Config field -> its values. The first field is the horizontal axis of every figure, the second the vertical."""

    fields: Mapping[str, tuple[JsonScalar, ...]]

    def points(self) -> list[Point]:
        """Every combination; the last field changes first."""
        return [
            Point(dict(zip(self.fields, values, strict=True))) for values in itertools.product(*self.fields.values())
        ]


def shown(value: JsonScalar) -> str:
    """A value as a user types it, with every digit it has: 15, 1e-05, true, none, text as it is."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def is_number(value: JsonScalar) -> bool:
    """Whether the value has a place on a numeric axis."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def parse_grid(study: Study[Any], base: Any, words: Sequence[str]) -> Grid:
    """The grid of 'field=a,b,c' words, its values read by the types of `base`, the config that all points share.

    Raises UserError, the first five faults at once, for a word of another form, a setting that the study does not have
    or that has two grids, a value twice, more than `MOST_POINTS` points, and a point that the study's config refuses.
    """
    where = f"{study.name} --grid"
    asked, faults = _read(study, words)
    if not asked and not faults:
        faults = [f"{where}: missing. {FORM}"]
    _raise(faults)
    count = 1
    for texts in asked.values():
        count *= len(texts)
    if count > MOST_POINTS:
        raise UserError(f"{where}: {count} points, must be at most {MOST_POINTS}. Make several sweeps of it.")
    usual = to_json(base)
    read: dict[str, dict[str, JsonScalar]] = {name: {} for name in asked}
    for words_of_point in itertools.product(*asked.values()):
        given = dict(zip(asked, words_of_point, strict=True))
        typed = {name: None if _is_none(study.config, name, word) else word for name, word in given.items()}
        try:
            values = to_json(validate(study.config, {**usual, **typed}, where))
        except UserError as fault:
            point = ", ".join(f"{name}={word}" for name, word in given.items())
            faults += [_placed(line, where, point) for line in str(fault).splitlines()]
        else:
            for name, word in given.items():
                read[name][word] = values[name]
    _raise(faults)
    for name, values in read.items():
        repeated = {shown(value) for value in values.values() if list(values.values()).count(value) > 1}
        faults += [f"{where} {name}: {one} is there twice. Name each value once." for one in sorted(repeated)]
    _raise(faults)
    return Grid({name: in_order(values.values()) for name, values in read.items()})


def in_order(values: Iterable[JsonScalar]) -> tuple[JsonScalar, ...]:
    """Numbers by size, then none; texts and truth values stay in the order in which they were given."""
    kept = tuple(values)
    if not all(value is None or is_number(value) for value in kept):
        return kept
    return tuple(sorted(kept, key=lambda value: (value is None, value or 0)))


def check_arms(study: Study[Any], base: Any, arms: Sequence[str], grid: Grid, *, chosen: bool) -> list[str]:
    """Warnings about chosen arms that set a field of the grid themselves, so that they do not vary with it.

    `chosen`: whether the user named the arms. Raises UserError where no arm varies, where one that nobody asked for
    would be trained again and again without change, and where an arm refuses a point.
    """
    warnings: list[str] = []
    for name in grid.fields:
        fixed = [arm for arm in arms if name in study.arm(arm).changes]
        free = [arm for arm in arms if arm not in fixed]
        able = [arm.name for arm in study.arms if name not in arm.changes]
        text = f"{study.name} --grid {name}: set by {_listed(fixed)}, which would not vary with it"
        if fixed and not free:
            others = f"Arms that take the setting as it is: {', '.join(able)}." if able else "No arm takes it as it is."
            raise UserError(f"{text}, and there is no other arm. {others} Choose with --arms.")
        if fixed and not chosen:
            raise UserError(
                f"{text} but would be trained at each of its values. Name the arms that you want: "
                f"--arms {','.join(free)}, or with the others beside them as a fixed reference: "
                f"--arms {','.join((*free, *fixed))}"
            )
        if fixed:
            warnings.append(f"{text}: the same at each of its values, a fixed reference.")
    faults: list[str] = []
    for point in grid.points():
        for arm in arms:
            values = {**to_json(base), **point.values, **study.arm(arm).changes}
            try:
                validate(study.config, values, f"{study.name} ({point.label}, {arm})")
            except UserError as fault:
                faults += str(fault).splitlines()
    _raise(faults)
    return warnings


def _read(study: Study[Any], words: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Field -> the words of its values, and what is wrong with the form."""
    known, where = field_docs(study.config), f"{study.name} --grid"
    asked: dict[str, list[str]] = {}
    faults: list[str] = []
    for word in words:
        given, sign, values = word.partition("=")
        name = given.strip().replace("-", "_")
        texts = [text.strip() for text in values.split(",")]
        if not sign or not name:
            faults.append(f"{where}: got '{word}'. {FORM}")
        elif name not in known:
            faults.append(f"{where} {given.strip()}: there is no such setting.{did_you_mean(name, known)}")
        elif name in asked:
            faults.append(f"{where} {name}: given twice. Write all its values into one list.")
        elif not all(texts):
            faults.append(f"{where} {name}: got '{values}', a value is empty. {FORM}")
        else:
            asked[name] = texts
            repeated = sorted({text for text in texts if texts.count(text) > 1})
            faults += [f"{where} {name}: {text} is there twice. Name each value once." for text in repeated]
    return asked, faults


def _is_none(config_type: type[Any], name: str, word: str) -> bool:
    """Whether the word means 'nothing' in this field: 'none', where the field's type allows it."""
    if word.lower() != "none":
        return False
    kind = typing.get_type_hints(config_type, include_extras=True)[name]
    while typing.get_origin(kind) is Annotated:
        kind = typing.get_args(kind)[0]
    is_union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return is_union and types.NoneType in typing.get_args(kind)


def _placed(line: str, where: str, point: str) -> str:
    """A message of `validate` with its place as the user typed it; a fault of no single field names the point."""
    if line.startswith(f"{where} --"):
        return line.replace(f"{where} --", f"{where} ", 1)
    return line.replace(f"{where}:", f"{where} ({point}):", 1)


def _listed(arms: Sequence[str]) -> str:
    return f"arm {arms[0]}" if len(arms) == 1 else f"arms {', '.join(arms)}"


def _raise(faults: Sequence[str]) -> None:
    """The first faults, each once."""
    distinct = list(dict.fromkeys(faults))
    hidden = len(distinct) - SHOWN_FAULTS
    if distinct:
        more = [f"... and {hidden} more of this kind"] if hidden > 0 else []
        raise UserError("\n".join(distinct[:SHOWN_FAULTS] + more))

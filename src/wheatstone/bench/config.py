"""Typed configs: bounds sit in the field types, the explanation is the string under each field.

A config is a frozen dataclass of scalars, as in CleanRL's one-dataclass-at-the-top, with pydantic as the checker of
types and bounds. Command line, validation, documentation and the JSON in a run directory all read the same fields.
pydantic is imported on first use: listing studies must stay fast.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import itertools
import math
import re
import textwrap
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

from wheatstone.bench.errors import SHOWN_FAULTS, UserError, did_you_mean

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails

    from wheatstone.bench.study import JsonScalar

C = TypeVar("C")
T = TypeVar("T")


def validate(config_type: type[C], values: Mapping[str, Any], where: str) -> C:
    """A config of `config_type` from field values; fields that are not named take their defaults.

    `where` opens each message, as in 'grokked-transformers --phi: got 0, must be above 0 (...)'.

    Raises UserError for unknown, missing, ill-typed and out-of-bound fields, the first five at once, and for a
    ValueError of the config's own `__post_init__`.
    """
    from pydantic import ValidationError

    fields = field_docs(config_type)
    lines = [
        f"{where} --{name}: there is no such setting.{did_you_mean(name, fields)}"
        for name in values
        if name not in fields
    ]
    known = {name: value for name, value in values.items() if name in fields}
    try:
        config: C = _adapter(config_type).validate_python(known)
    except ValidationError as error:
        lines += [_message(config_type, detail, where) for detail in error.errors(include_url=False)]
    else:
        if not lines:
            return config
    raise _faults(lines)


def _faults(lines: list[str]) -> UserError:
    """One error of several lines, those beyond the fifth counted."""
    hidden = len(lines) - SHOWN_FAULTS
    return UserError("\n".join(lines[:SHOWN_FAULTS] + ([f"... and {hidden} more of this kind"] if hidden > 0 else [])))


def within_bounds(function: Callable[..., T], where: str) -> Callable[..., T]:
    """`function`, which now refuses arguments outside the bounds in its annotations, as in Annotated[int, Ge(1)].

    The call raises UserError with a line an argument, the first five at once; `where` opens each.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> T:
        from pydantic import TypeAdapter, ValidationError

        hints = get_type_hints(function, include_extras=True)
        lines: list[str] = []
        for name, value in inspect.signature(function).bind(*args, **kwargs).arguments.items():
            try:
                if _has_bounds(hints.get(name)):
                    TypeAdapter(hints[name]).validate_python(value)
            except ValidationError as error:
                detail = error.errors(include_url=False)[0]
                option = name.replace("_", "-")
                lines.append(f"{where} --{option}: got {_shown(detail['input'])}, {_rule(detail)}.")
        if lines:
            raise _faults(lines)
        return function(*args, **kwargs)

    return call


def _has_bounds(hint: Any) -> bool:
    from annotated_types import BaseMetadata

    own = getattr(hint, "__metadata__", ())
    return any(isinstance(item, BaseMetadata) for item in own) or any(map(_has_bounds, get_args(hint)))


def to_json(config: Any) -> dict[str, JsonScalar]:
    """Field -> JSON scalar, in the order of the fields. Infinite and undefined floats become 'inf', '-inf', 'nan'.

    Raises TypeError for a field that holds anything but a scalar: a config is flat.
    """
    values: dict[str, JsonScalar] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value is not None and not isinstance(value, str | int | float | bool):
            raise TypeError(
                f"{type(config).__name__}.{field.name} holds a {type(value).__name__}; a config holds scalars"
            )
        values[field.name] = str(value) if isinstance(value, float) and not math.isfinite(value) else value
    return values


def from_json(config_type: type[C], values: Mapping[str, Any]) -> C:
    """The config that `to_json` wrote.

    Raises UserError as `validate` does, in particular for a field that this version no longer has.
    """
    return validate(config_type, values, config_type.__name__)


@functools.cache
def field_docs(config_type: type[Any]) -> dict[str, str]:
    """Field -> the string literal under it ('' where there is none), in the order of the fields.

    Read from the source, so the class must come from a file; fields of a base class take the base's text.
    """
    texts: dict[str, str] = {}
    for owner in reversed(config_type.__mro__):
        if dataclasses.is_dataclass(owner):
            texts.update(_literals_under_fields(owner))
    return {field.name: texts.get(field.name, "") for field in dataclasses.fields(config_type)}


def _literals_under_fields(owner: type[Any]) -> dict[str, str]:
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
    except (OSError, TypeError):
        return {}
    texts: dict[str, str] = {}
    statements = body.body if isinstance(body, ast.ClassDef) else []
    for first, second in itertools.pairwise(statements):
        match first, second:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                texts[name] = inspect.cleandoc(text)
            case _:
                pass
    return texts


@functools.cache
def _adapter(config_type: type[Any]) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(config_type)


_RULES = {
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "finite_number": "must be a finite number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "literal_error": "must be one of {expected}",
}


def _message(config_type: type[Any], detail: ErrorDetails, where: str) -> str:
    """One line: place, the user's value, the rule, what the field means and its default."""
    if not detail["loc"]:
        return f"{where}: {detail['msg'].removeprefix('Value error, ')}"
    name = str(detail["loc"][0])
    about = _about(config_type, name)
    if detail["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return f"{where} --{name}: missing, must be given{about}."
    return f"{where} --{name}: got {_shown(detail['input'])}, {_rule(detail)}{about}."


def _rule(detail: ErrorDetails) -> str:
    """What the value must be, as 'must be at least 1'."""
    context: dict[str, Any] = {key: _shown(value) for key, value in detail.get("ctx", {}).items()}
    text = detail["msg"]
    return _RULES.get(detail["type"], text[:1].lower() + text[1:]).format(**context)


def _about(config_type: type[Any], name: str) -> str:
    """' (what the field means; default 8)' from the first sentence under the field, without its bracketed source."""
    text = re.sub(r"\s*\([^()]*\)", "", " ".join(field_docs(config_type)[name].split()))
    text = re.split(r"(?<=[^.\s]{2})[.;:](?:\s|$)", text, maxsplit=1)[0].strip()
    if len(text) > 1 and text[1].islower():
        text = text[0].lower() + text[1:]
    default = next(field.default for field in dataclasses.fields(config_type) if field.name == name)
    parts = [text] if text else []
    if default is not dataclasses.MISSING:
        parts.append(f"default {_shown(default)}")
    return f" ({'; '.join(parts)})" if parts else ""


def _shown(value: Any) -> str:
    """A value as a user types it: 8 and not 8.0, true and not True; empty text stays visible."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if value is None:
        return "none"
    return str(value) if str(value).strip() else repr(value)

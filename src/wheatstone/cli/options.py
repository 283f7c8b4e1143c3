"""Typed options: a frozen dataclass or a function's signature becomes the options of a command (tyro)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def parse(options: Callable[..., T], arguments: Sequence[str], command: str, about: str) -> T:
    """`options` called with what the user gave; fields and parameters without a default are positional.

    Prints help and exits with 0 for --help; says what is wrong and exits with 2 for a word that fits nothing.
    """
    import tyro

    settings: tuple[Any, ...] = (tyro.conf.PositionalRequiredArgs,)
    return tyro.cli(options, prog=f"wheatstone {command}", description=about, args=list(arguments), config=settings)

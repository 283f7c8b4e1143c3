"""Checks that a study may break for now. The list can only shrink: a test fails when an exempt check passes."""

from __future__ import annotations

from typing import NamedTuple


class Exemption(NamedTuple):
    study: str
    check: str
    reason: str
    """Why, and what would end it."""


EXEMPTIONS: tuple[Exemption, ...] = ()

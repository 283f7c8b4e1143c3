"""Faults that a user can mend: place, fault, rule, way out; exit code 2 and never a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SHOWN_FAULTS = 5


class UserError(Exception):
    """Something that the user can mend. The command line prints the message alone and exits with 2."""


@dataclass(frozen=True)
class Fault:
    """One fault in one place of an input file."""

    file: str
    line: int | None
    """1-based line number; None when the fault is in the file as a whole."""
    field: str | None
    text: str
    """The fault with the user's own value, then the rule or the way out."""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.text}" if self.field is None else f"{place} field '{self.field}': {self.text}"


class InputError(UserError):
    """Faults of an input file; the message shows the first five and counts the rest."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        lines = [str(fault) for fault in self.faults[:SHOWN_FAULTS]]
        hidden = len(self.faults) - SHOWN_FAULTS
        if hidden > 0:
            lines.append(f"... and {hidden} more of this kind")
        super().__init__("\n".join(lines))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' Did you mean 'x'?' for the closest known name, or an empty string when none is close."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean '{close[0]}'?" if close else ""

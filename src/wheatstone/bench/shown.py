"""Text that came from a file or a command line, made fit to be shown and stored.

A name may hold what a terminal obeys (escape sequences), what reorders a line (the right-to-left override), or what has
no UTF-8 form (a file name that is not UTF-8). Shown, each of these is its escape, as '\\x1b'.
"""

from __future__ import annotations

JOINERS = frozenset("\xad\u200c\u200d\u200e\u200f")
"""Invisible, and part of the spelling of words in several scripts."""


def printable(text: str, keep: str = "") -> str:
    """The text with every character escaped that cannot be printed; those in `keep` (as '\\n') stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in JOINERS or c in keep else _escaped(c) for c in text)


def say(text: str) -> None:
    """Prints text that holds names from a file."""
    print(printable(text, keep="\n"))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")

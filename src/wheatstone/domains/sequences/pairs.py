"""Pairs of token sequences, and the text files that hold them.

A line is source tokens, a tab, target tokens, and where wanted a tab and a tag (the COGS case, the name of a split).
SCAN's own form `IN: ... OUT: ...` is read as well. Tokens are separated by blanks, so any vocabulary fits. Files may be
gzipped; '#' opens a comment line.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from wheatstone.bench.errors import Fault, InputError, UserError

Tokens = tuple[str, ...]
MAX_LINE = 1 << 16
"""Characters of a line at most: anything longer is another kind of file."""


class Pair(NamedTuple):
    """One example."""

    source: Tokens
    target: Tokens
    tag: str = ""


class Split(NamedTuple):
    """What is trained and what is asked afterwards."""

    train: tuple[Pair, ...]
    test: tuple[Pair, ...]


class Numbered(NamedTuple):
    """A pair and the line of the file that it stands on."""

    line: int
    pair: Pair


def load_pairs(path: Path) -> tuple[Pair, ...]:
    """The pairs of a file; raises what `numbered_pairs` raises."""
    return tuple(numbered.pair for numbered in numbered_pairs(path))


def numbered_pairs(path: Path) -> tuple[Numbered, ...]:
    """The pairs of a file with their lines, for messages about what they say.

    Raises InputError with the first five faults, and UserError for a file that cannot be read.
    """
    faults: list[Fault] = []
    pairs: list[Numbered] = []
    for number, line in _lines(path):
        if not line.strip() or line.startswith("#"):
            continue
        found = _pair(line)
        if isinstance(found, str):
            faults.append(Fault(path.name, number, None, found))
        else:
            pairs.append(Numbered(number, found))
    if faults:
        raise InputError(faults)
    if not pairs:
        raise InputError([Fault(path.name, None, None, "no pairs. A line is source tokens, a tab, target tokens.")])
    return tuple(pairs)


def _pair(line: str) -> Pair | str:
    """The pair of a line, or what is wrong with it."""
    if line.startswith("IN:") and " OUT:" in line:
        source, _, target = line[3:].partition(" OUT:")
        return Pair(tuple(source.split()), tuple(target.split()))
    fields = line.split("\t")
    if len(fields) not in (2, 3):
        count = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
        return f"got {count}, need 2: source tokens, a tab, target tokens (and a tag, if wanted)."
    source, target = tuple(fields[0].split()), tuple(fields[1].split())
    if not source:
        return "the source is empty. A line is source tokens, a tab, target tokens."
    return Pair(source, target, fields[2].strip() if len(fields) == 3 else "")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    if not path.exists():
        raise UserError(f"{path}: no such file")
    if path.is_dir():
        raise UserError(f"{path}: is a directory, not a file of pairs")
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, data in enumerate(file, start=1):
                if len(data) > MAX_LINE:
                    raise InputError([Fault(path.name, number, None, f"longer than {MAX_LINE:,} bytes.")])
                try:
                    line = data.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    text = f"not UTF-8 ({data[error.start]:#04x} at byte {error.start + 1}). Save the file as UTF-8."
                    raise InputError([Fault(path.name, number, None, text)]) from None
                if "\0" in line:
                    raise InputError([Fault(path.name, number, None, "a NUL byte. The file is binary, or UTF-16.")])
                yield number, line.rstrip("\r\n")
    except (gzip.BadGzipFile, EOFError, zlib.error):
        text = "the gzip stream is damaged or cut off here. Fetch or pack the file again."
        raise InputError([Fault(path.name, number + 1, None, text)]) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from None

"""A user's table of examples: columns of input tokens and a target, in CSV or TSV (also gzipped).

The first line names the columns; the one called 'target' is the target, wherever it stands, and all others are the
input. A file of tests may have no targets. Tokens are any text; one token in two columns is two tokens, because a
fragment is always compared with fragments of the same columns.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wheatstone.bench.errors import UserError
from wheatstone.domains.coverage.classes import Ints
from wheatstone.domains.kg.formats import Faults, Layout, Row, file_format, rows

TARGET = "target"
MAX_COLUMNS = 8
"""Input columns: every proper subset of them is looked at, 254 at most."""


@dataclass(frozen=True)
class Examples:
    """Distinct rows of a file, as text."""

    columns: tuple[str, ...]
    inputs: tuple[tuple[str, ...], ...]
    targets: tuple[str, ...] | None
    """None for a file without targets."""
    lines: tuple[int, ...]
    """Where each row stands first."""
    repeated: int
    """Rows that repeat an earlier one word by word."""


@dataclass(frozen=True)
class Encoding:
    """Token ids of each column, and of the targets; ids of the training file come first."""

    columns: tuple[str, ...]
    tokens: tuple[tuple[str, ...], ...]
    """[column][id]"""
    n_trained: tuple[int, ...]
    """[column] ids below this are in the training file."""
    targets: tuple[str, ...]

    def inputs(self, examples: Examples) -> Ints:
        """[row, column] ids."""
        of_column = [{token: number for number, token in enumerate(tokens)} for tokens in self.tokens]
        ids = [[of_column[column][token] for column, token in enumerate(row)] for row in examples.inputs]
        return np.array(ids, np.int64).reshape(-1, len(self.columns))

    def target_ids(self, examples: Examples) -> Ints | None:
        """[row] ids; None for a file without targets."""
        if examples.targets is None:
            return None
        ids = {target: number for number, target in enumerate(self.targets)}
        return np.array([ids[target] for target in examples.targets], np.int64)

    def unknown(self, inputs: Ints) -> Ints:
        """[row] how many of a row's tokens training does not have in their column."""
        return (inputs >= np.array(self.n_trained)).sum(axis=1)


def read_examples(path: Path, *, like: Examples | None = None) -> Examples:
    """The rows of a file; with `like`, its columns must be those of another file, in any order, targets optional.

    Raises InputError with line and field of the first faults: columns missing or twice, rows of another length, empty
    cells, one input with two targets. Raises UserError for a file that cannot be read.
    """
    if file_format(path) not in ("csv", "tsv"):
        raise UserError(f"{path}: a table of examples is .csv or .tsv, each also with .gz.")
    faults = Faults(str(path))
    found = rows(path, faults, Layout())
    header = next(found, None)
    if header is None:
        faults.add(None, None, "no lines. The first names the columns, as x1,x2,x3,target.")
        faults.check()
    assert header is not None, "checked"
    columns = _columns(header, faults, like)
    order = list(range(len(columns))) if like is None else [columns.index(name) for name in like.columns]
    at = header.fields.index(TARGET) if TARGET in header.fields else None
    seen: dict[tuple[str, ...], tuple[str, int]] = {}
    repeated = 0
    for row in found:
        if len(row.fields) != len(header.fields):
            text = f"{len(row.fields)} fields, the first line has {len(header.fields)}."
            faults.add(row.line, None, text)
            continue
        cells = [unicodedata.normalize("NFC", cell) for cell in row.fields]
        empty = [name for name, cell in zip(header.fields, cells, strict=True) if not cell]
        if empty:
            faults.add(row.line, empty[0], "empty. Write a word for 'none' if that is a value.")
            continue
        target = "" if at is None else cells.pop(at)
        key = tuple(cells[place] for place in order)
        if key not in seen:
            seen[key] = target, row.line
            continue
        repeated += 1
        before, line = seen[key]
        if before != target:
            text = f"'{target[:40]}', but line {line} has '{before[:40]}' for the same input. Coverage is of functions."
            faults.add(row.line, TARGET, text)
    faults.check()
    if not seen:
        faults.add(None, None, "no rows after the line that names the columns.")
        faults.check()
    names = columns if like is None else like.columns
    targets = None if at is None else tuple(target for target, _ in seen.values())
    return Examples(names, tuple(seen), targets, tuple(line for _, line in seen.values()), repeated)


def _columns(header: Row, faults: Faults, like: Examples | None) -> tuple[str, ...]:
    """The input columns of a header line."""
    names = header.fields
    columns = tuple(name for name in names if name != TARGET)
    twice = sorted({name for name in names if names.count(name) > 1})
    for name in twice:
        faults.add(header.line, name, "two columns have this name.")
    if "" in names:
        faults.add(header.line, None, f"column {names.index('') + 1} has no name.")
    if like is None:
        if TARGET not in names:
            text = (
                f"no column 'target' among {', '.join(names)[:60]}. The first line names the columns, as x1,x2,target."
            )
            faults.add(header.line, None, text)
        if len(columns) < 2:
            faults.add(header.line, None, f"{len(columns)} input columns; substitution needs at least 2.")
        if len(columns) > MAX_COLUMNS:
            faults.add(header.line, None, f"{len(columns)} input columns, at most {MAX_COLUMNS}. Join some of them.")
    else:
        for name in sorted(set(like.columns) - set(columns)):
            faults.add(header.line, name, "missing. The tests have the columns of the training file.")
        for name in sorted(set(columns) - set(like.columns)):
            faults.add(header.line, name, "unknown: the training file has no such column.")
    faults.check()
    return columns


def encode(train: Examples, tests: Examples | None = None) -> Encoding:
    """Ids for all tokens: those of the training file in alphabetical order, then those that only tests have."""
    files = [train] if tests is None else [train, tests]
    tokens: list[tuple[str, ...]] = []
    trained: list[int] = []
    for column in range(len(train.columns)):
        known = sorted({row[column] for row in train.inputs})
        new = sorted({row[column] for file in files[1:] for row in file.inputs} - set(known))
        tokens.append((*known, *new))
        trained.append(len(known))
    targets = sorted(set(train.targets or ()))
    new_targets = sorted({target for file in files[1:] for target in file.targets or ()} - set(targets))
    return Encoding(train.columns, tuple(tokens), tuple(trained), (*targets, *new_targets))


def named(encoding: Encoding, row: Sequence[int]) -> Mapping[str, str]:
    """Column -> token of a row of ids."""
    return {
        column: tokens[int(token)] for column, tokens, token in zip(encoding.columns, encoding.tokens, row, strict=True)
    }

"""Rows of text files (TSV, CSV, JSON lines, N-Triples; each also gzipped), read line by line in bounded memory.

A reader yields `Row(line, fields)` and puts what is wrong into a `Faults`: it goes on after a bad line, so that the
user sees the first faults of a file at once. What a row means (a fact, a question) is the caller's business.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple, cast

from wheatstone.bench.errors import Fault, InputError, UserError, did_you_mean

MAX_LINE_BYTES = 64 * 1024
MAX_ROWS = 2_000_000
MAX_LINES = 4 * MAX_ROWS
"""Blank lines and comments included: a small .gz can unpack to billions of them."""
MAX_BYTES = 512 * 2**20
"""Of a file, unpacked."""
MAX_FAULTS = 1_000
"""Reading stops here: a file with so many faults is not what its name says."""
COLUMNS: tuple[str, ...] = ("head", "relation", "tail", "type")


class Row(NamedTuple):
    """The fields of one record and the 1-based line that it starts on."""

    line: int
    fields: tuple[str, ...]


@dataclass
class Faults:
    """The faults of one file, in the order in which they were found."""

    file: str
    found: list[Fault] = field(default_factory=list[Fault])

    def add(self, line: int | None, column: str | None, text: str) -> None:
        # What is quoted from the file must not reach a terminal as control sequences.
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
        self.found.append(Fault(self.file, line, column, shown))
        if len(self.found) >= MAX_FAULTS:
            self.check()

    def check(self) -> None:
        """Raises InputError when there is any fault."""
        if self.found:
            raise InputError(self.found)


@dataclass
class Layout:
    """What was met on the way and changes no fact."""

    blank: int = 0
    comments: int = 0
    byte_order_mark: bool = False
    windows_line_ends: bool = False
    lines: int = 0


def file_format(path: Path) -> str:
    """'tsv', 'csv', 'jsonl' or 'nt', by extension (before `.gz`).

    Raises UserError for any other.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    name = suffixes[-1] if suffixes else ""
    known = {".tsv": "tsv", ".txt": "tsv", ".tab": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
    known |= {".nt": "nt", ".ntriples": "nt"}
    if name not in known:
        raise UserError(
            f"{path}: the ending '{name}' names no format. Use .tsv, .csv, .jsonl or .nt, each also with .gz."
        )
    return known[name]


def rows(path: Path, faults: Faults, layout: Layout) -> Iterator[Row]:
    """The rows of a file in the format that its ending names. Comment lines start with '#'; blank lines are skipped.

    Raises InputError at once where reading cannot go on (unreadable file, overlong line, damaged gzip stream).
    """
    readers: dict[str, Callable[[Iterator[Row], Faults], Iterator[Row]]] = {
        "tsv": _tsv,
        "csv": _csv,
        "jsonl": _jsonl,
        "nt": _ntriples,
    }
    read = readers[file_format(path)]
    with open_bytes(path) as stream:
        for count, row in enumerate(read(_lines(stream, faults, layout), faults), start=1):
            if count > MAX_ROWS:
                faults.add(row.line, None, f"more than {MAX_ROWS:,} rows, which is the limit. Split the file.")
                faults.check()
            yield row


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, unzipped where its name ends in `.gz`.

    Raises UserError where there is no such file, or it cannot be read.
    """
    try:
        if path.suffix.lower() == ".gz":
            return cast("IO[bytes]", gzip.open(path, "rb"))
        return path.open("rb")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a directory, not a file of facts or questions") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def _lines(stream: IO[bytes], faults: Faults, layout: Layout) -> Iterator[Row]:
    """Decoded lines without their ends, as rows of one field; blank lines and comments are left out."""
    number = size = 0
    while True:
        try:
            raw = stream.readline(MAX_LINE_BYTES + 1)
        except (gzip.BadGzipFile, EOFError, zlib.error):
            faults.add(number + 1, None, "the gzip stream is damaged or cut off here. Fetch or pack the file again.")
            faults.check()
            return
        if not raw:
            return
        number += 1
        size += len(raw)
        layout.lines = number
        if number > MAX_LINES or size > MAX_BYTES:
            text = f"the file is longer than {MAX_LINES:,} lines or {MAX_BYTES:,} bytes, unpacked. Split it."
            faults.add(number, None, text)
            faults.check()
        if len(raw) > MAX_LINE_BYTES:
            faults.add(number, None, f"longer than {MAX_LINE_BYTES:,} bytes, which is the limit of a line.")
            faults.check()
        if number == 1:
            raw = _without_mark(raw, faults, layout)
        text = _decoded(raw, number, faults, layout)
        if text is None:
            continue
        if not text.strip():
            layout.blank += 1
        elif text.lstrip().startswith("#"):
            layout.comments += 1
        else:
            yield Row(number, (text,))


def _without_mark(raw: bytes, faults: Faults, layout: Layout) -> bytes:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        faults.add(1, None, "the file is UTF-16. Save it as UTF-8.")
        faults.check()
    layout.byte_order_mark = raw.startswith(b"\xef\xbb\xbf")
    return raw.removeprefix(b"\xef\xbb\xbf")


def _decoded(raw: bytes, line: int, faults: Faults, layout: Layout) -> str | None:
    """The line as text without its end, or None with a fault."""
    body = raw.removesuffix(b"\n")
    if body.endswith(b"\r"):
        layout.windows_line_ends = True
        body = body[:-1]
    if b"\0" in body:
        faults.add(
            line, None, f"a NUL byte at byte {body.index(0) + 1}. The file is binary, or UTF-16 without its mark."
        )
        return None
    if b"\r" in body:
        faults.add(line, None, "a carriage return inside the line. End lines with LF or CRLF.")
        return None
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        shown = f"0x{body[error.start]:02x} at byte {error.start + 1}"
        faults.add(line, None, f"not UTF-8 ({shown}). Save the file as UTF-8.")
        return None


def _tsv(lines: Iterator[Row], faults: Faults) -> Iterator[Row]:
    for line, (text,) in lines:
        fields = tuple(part.strip() for part in text.split("\t"))
        quoted = next((part for part in fields if len(part) > 1 and part[0] == part[-1] == '"'), None)
        if quoted is not None:
            faults.add(
                line, None, f"{quoted[:60]} is in quotes, and TSV has none: drop them, or write the file as .csv."
            )
        elif len(fields) == 1 and text.count(",") >= 2:
            faults.add(line, None, "no tab, but commas. Fields are separated by tabs in a .tsv; name the file .csv.")
        else:
            yield Row(line, fields)


def _csv(lines: Iterator[Row], faults: Faults) -> Iterator[Row]:
    start = 0

    def texts() -> Iterator[str]:
        nonlocal start
        for row in lines:
            start = start or row.line
            yield row.fields[0] + "\n"

    reader = csv.reader(texts(), strict=True)
    while True:
        start = 0
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            faults.add(start, None, f"not CSV: {error}. A quote inside quotes is written twice.")
            faults.check()
            return
        cells = tuple(part.strip() for part in fields)
        if len(cells) == 1 and cells[0].count(";") >= 2:
            faults.add(start, None, "semicolons, but no comma. Fields are separated by commas in a .csv.")
        else:
            yield Row(start, cells)


def _jsonl(lines: Iterator[Row], faults: Faults) -> Iterator[Row]:
    for line, (text,) in lines:
        try:
            value = json.loads(text)
        except RecursionError:
            faults.add(line, None, "JSON nested too deep. A line is an object with head, relation and tail.")
            continue
        except ValueError as error:
            why = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
            faults.add(line, None, f"not JSON: {why}.")
            continue
        if isinstance(value, list):
            cells = dict(zip(COLUMNS, cast("list[object]", value), strict=False))
            if not 3 <= len(cast("list[object]", value)) <= 4:
                faults.add(
                    line, None, f"an array of {len(cast('list[object]', value))}, must be [head, relation, tail]."
                )
                continue
        elif isinstance(value, dict):
            cells = cast("dict[str, object]", value)
        else:
            faults.add(line, None, f"{text.strip()[:40]} is neither an object nor an array of head, relation and tail.")
            continue
        row = _json_cells(line, cells, faults)
        if row is not None:
            yield row


def _json_cells(line: int, cells: dict[str, object], faults: Faults) -> Row | None:
    for key in cells:
        if key not in COLUMNS:
            faults.add(line, key, f"unknown key. Keys are head, relation, tail, type.{did_you_mean(key, COLUMNS)}")
            return None
    fields: list[str] = []
    for column in COLUMNS:
        if column not in cells:
            if column == "type":
                continue
            faults.add(line, column, "missing. A line is an object with head, relation and tail.")
            return None
        cell = cells[column]
        if not isinstance(cell, str):
            faults.add(line, column, f"got {json.dumps(cell)[:40]}, must be a string.")
            return None
        fields.append(cell.strip())
    return Row(line, tuple(fields))


# Possessive quantifiers: an opening '<' or quote that nothing closes must not be tried again from each of its letters.
_IRI = r"<((?:[^<>\"{}|^`\\\s]++|\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8})*+)>"
_BLANK = r"(_:[^\s<>\"]+)"
_LITERAL = r"\"((?:[^\"\\]++|\\.)*+)\"(?:@[A-Za-z0-9-]++|\^\^<[^<>\s]*+>)?"
_STATEMENT = re.compile(rf"\s*(?:{_IRI}|{_BLANK})\s*{_IRI}\s*(?:{_IRI}|{_BLANK}|{_LITERAL})\s*\.\s*(?:#.*)?")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))", re.DOTALL)
_ESCAPED = {"t": "\t", "b": "\b", "n": "\n", "r": "\r", "f": "\f", '"': '"', "'": "'", "\\": "\\"}


def _ntriples(lines: Iterator[Row], faults: Faults) -> Iterator[Row]:
    """W3C RDF 1.1 N-Triples: IRIs without their brackets, blank nodes as they are, literals by their value alone."""
    for line, (text,) in lines:
        match = _STATEMENT.fullmatch(text)
        if match is None:
            faults.add(
                line,
                None,
                "not an N-Triples statement: <subject> <predicate> <object> . (or a literal in quotes as object)",
            )
            continue
        subject, subject_blank, predicate, target, target_blank, literal = match.groups()
        parts = (subject or subject_blank, predicate, target or target_blank or literal)
        try:
            fields = tuple(_ESCAPE.sub(_unescaped, part or "").strip() for part in parts)
        except (ValueError, KeyError):
            faults.add(line, None, r"an escape that N-Triples does not have. It has \t \b \n \r \f \" \' \\ \uXXXX.")
            continue
        yield Row(line, fields)


def _unescaped(match: re.Match[str]) -> str:
    short, long, single = match.groups()
    return chr(int(short or long, 16)) if single is None else _ESCAPED[single]

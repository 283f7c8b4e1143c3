"""Load a knowledge graph from a file: TSV, CSV, JSON lines or N-Triples, each also gzipped.

A row is head, relation, tail and, if wanted, the type (class) of the head. A first row `head relation tail` is a
header; lines that start with '#' are comments. Names are put into Unicode's NFC form and stripped of outer blanks.

The graph must be functional. Where a pair of head and relation has several tails, `multi` decides:
  first    keep the tail that the file states most often, and the smallest name among equals
  strict   drop the pair with all its tails
  error    refuse the file, naming both lines
"""

from __future__ import annotations

import unicodedata
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from wheatstone.bench.errors import UserError
from wheatstone.domains.kg.formats import Faults, Layout, Row, file_format, rows
from wheatstone.domains.kg.graph import INVERSE, Graph, Int32

Multi = Literal["first", "strict", "error"]
_Order = npt.NDArray[np.int64]
MAX_NAME = 512
"""Characters of a name."""
SYNTHETIC_PREFIX = "syn:"
"""Names of entities and relations that augmentation invents; a file may not use it."""
HEADERS = {("head", "relation", "tail"), ("subject", "predicate", "object"), ("h", "r", "t")}


@dataclass(frozen=True)
class LoadReport:
    """What was read and what was left out."""

    path: str
    format: str
    lines: int
    """Lines of the file, with comments and blanks."""
    statements: int
    """Rows that state a fact."""
    duplicates: int
    """Rows that repeat a fact word by word."""
    multi_valued: int
    """Pairs (head, relation) with several tails; with inverse relations also theirs."""
    dropped: int
    """Distinct facts left out because of such pairs."""
    multi: Multi
    inverse: bool
    header: bool
    comments: int
    byte_order_mark: bool
    windows_line_ends: bool
    examples: tuple[str, ...] = ()
    """Up to three of the facts left out, with what was kept instead."""

    def rows(self) -> list[tuple[str, str | int]]:
        """Name and value of what a reader of the report wants to know."""
        policy = {"first": "most frequent tail kept", "strict": "all dropped", "error": "refused"}[self.multi]
        return [
            ("file", self.path),
            ("format", self.format),
            ("facts stated", self.statements),
            ("repeated facts", self.duplicates),
            (f"pairs with several tails ({policy})", self.multi_valued),
            ("facts left out", self.dropped),
            ("inverse relations", "added" if self.inverse else "not added"),
        ]


class Loaded(NamedTuple):
    """A graph and how it came from its file."""

    graph: Graph
    report: LoadReport


def load(path: Path | str, *, multi: Multi = "first", inverse: bool = False) -> Loaded:
    """Read the graph in `path`; its names and facts are sorted, so it does not depend on the order of the lines.

    Args:
        multi: what to do with a pair (head, relation) that has several tails.
        inverse: add (tail, relation~, head) for every fact, before `multi` is applied to them too.

    Raises InputError that names line and field of what is wrong, and UserError for a file that cannot be read.
    """
    path = Path(path)
    faults, layout, rules = Faults(str(path)), Layout(), _Names()
    statements = _Statements()
    header = False
    for row in rows(path, faults, layout):
        if not statements.seen and not header:
            header = _is_header(row, faults)
            if header:
                continue
        statements.seen += 1
        _take(row, statements, rules, faults, inverse=inverse)
    faults.check()
    if not statements.lines:
        faults.add(None, None, "no facts. A line is head, relation, tail.")
    faults.check()
    stated = _sorted_ids(statements, rules)
    if inverse:
        stated = _with_inverse(stated)
    kept = _functional(stated, multi, faults)
    faults.check()
    if not len(kept.triples):
        raise UserError(f"{path}: every pair of head and relation has several tails. Load with --multi first.")
    graph, dropped = _graph(stated, kept.triples)
    report = LoadReport(
        str(path),
        file_format(path),
        layout.lines,
        len(statements.lines),
        len(statements.lines) - stated.distinct,
        kept.multi_valued,
        dropped,
        multi,
        inverse,
        header,
        layout.comments,
        layout.byte_order_mark,
        layout.windows_line_ends,
        kept.examples,
    )
    return Loaded(graph, report)


def _is_header(row: Row, faults: Faults) -> bool:
    """Whether a file's first row names the columns; another order of them is a fault."""
    first = tuple(name.lower() for name in row.fields[:3])
    for names in HEADERS:
        if first == names:
            return True
        if sorted(first) == sorted(names):
            faults.add(row.line, None, f"the columns are {', '.join(first)}, must be {', '.join(names)} in this order.")
            return True
    return False


@dataclass
class _Names:
    """Names of entities and relations seen so far; each distinct spelling is checked once."""

    entity: dict[str, int] = field(default_factory=dict[str, int])
    relation: dict[str, int] = field(default_factory=dict[str, int])
    accepted: dict[str, str] = field(default_factory=dict[str, str])
    """Spelling in the file -> name in NFC form."""

    def checked(self, text: str, line: int, column: str, faults: Faults) -> str | None:
        name = self.accepted.get(text)
        if name is None:
            name = text if text.isascii() else unicodedata.normalize("NFC", text)
            fault = name_fault(name)
            if fault:
                faults.add(line, column, fault)
                return None
            self.accepted[text] = name
        return name


def name_fault(name: str) -> str | None:
    """Why `name` cannot name an entity, a relation or a type; None for a good name."""
    if not name:
        return "empty. A line is head, relation, tail."
    if len(name) > MAX_NAME:
        return f"'{name[:20]}...' has {len(name):,} characters, at most {MAX_NAME} are allowed."
    if name.startswith(SYNTHETIC_PREFIX):
        return f"'{name}' starts with '{SYNTHETIC_PREFIX}', which is kept for synthetic names. Rename it."
    if not name.isprintable():
        odd = next((c for c in name if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")), None)
        if odd is not None:
            kind = "half of a surrogate pair" if unicodedata.category(odd) == "Cs" else "a control character"
            return f"{kind} (U+{ord(odd):04X}) inside the name. Remove it."
    return None


@dataclass
class _Statements:
    """Stated facts in columns: compact, because a file may have millions."""

    seen: int = 0
    lines: array[int] = field(default_factory=lambda: array("q"))
    ids: array[int] = field(default_factory=lambda: array("q"))
    types: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])
    """Head -> its type and the line that said so."""


def _take(row: Row, statements: _Statements, names: _Names, faults: Faults, *, inverse: bool) -> None:
    """Check one row and append it to `statements`."""
    if not 3 <= len(row.fields) <= 4:
        count = f"{len(row.fields)} field{'' if len(row.fields) == 1 else 's'}"
        faults.add(row.line, None, f"got {count}, need 3: head, relation, tail (and the type of the head, if wanted).")
        return
    columns = zip(("head", "relation", "tail"), row.fields, strict=False)
    checked = [names.checked(text, row.line, column, faults) for column, text in columns]
    head, relation, tail = checked
    if head is None or relation is None or tail is None:
        return
    if inverse and relation.endswith(INVERSE):
        faults.add(row.line, "relation", f"'{relation}' ends in '{INVERSE}', the mark of inverse relations. Rename it.")
        return
    if len(row.fields) == 4 and row.fields[3]:
        kind = names.checked(row.fields[3], row.line, "type", faults)
        if kind is None:
            return
        known, where = statements.types.setdefault(head, (kind, row.line))
        if known != kind:
            faults.add(
                row.line, "type", f"'{head}' is '{kind}' here and '{known}' in line {where}. An entity has one type."
            )
            return
    entity = names.entity
    statements.lines.append(row.line)
    statements.ids.append(entity.setdefault(head, len(entity)))
    statements.ids.append(names.relation.setdefault(relation, len(names.relation)))
    statements.ids.append(entity.setdefault(tail, len(entity)))


@dataclass(frozen=True)
class _Stated:
    """Stated facts with ids in the order of the sorted names, so that comparing ids compares names."""

    entities: tuple[str, ...]
    relations: tuple[str, ...]
    types: dict[str, str]
    triples: Int32
    """[n, 3], repeats included."""
    lines: _Order
    distinct: int


def _sorted_ids(statements: _Statements, names: _Names) -> _Stated:
    triples = np.frombuffer(statements.ids, np.int64).reshape(-1, 3)
    entities, relations = sorted(names.entity), sorted(names.relation)
    entity_rank, relation_rank = np.empty(len(entities), np.int32), np.empty(len(relations), np.int32)
    entity_rank[[names.entity[name] for name in entities]] = np.arange(len(entities), dtype=np.int32)
    relation_rank[[names.relation[name] for name in relations]] = np.arange(len(relations), dtype=np.int32)
    ranked = np.stack([entity_rank[triples[:, 0]], relation_rank[triples[:, 1]], entity_rank[triples[:, 2]]], axis=1)
    types = {head: kind for head, (kind, _) in statements.types.items()}
    lines = np.array(statements.lines, np.int64)
    return _Stated(tuple(entities), tuple(relations), types, ranked, lines, len(_runs(ranked)[1]))


def _runs(triples: Int32) -> tuple[_Order, _Order]:
    """Order that sorts the facts (stable), and where in it each distinct fact starts."""
    order = np.lexsort((triples[:, 2], triples[:, 1], triples[:, 0]))
    ranked = triples[order]
    starts = np.flatnonzero(np.r_[True, (ranked[1:] != ranked[:-1]).any(axis=1)])
    return order, starts


def _with_inverse(stated: _Stated) -> _Stated:
    """Each statement also backwards. Relation ids are renumbered, because 'a~' need not follow 'a' in sorted order."""
    both = sorted([*stated.relations, *(name + INVERSE for name in stated.relations)])
    rank = {name: position for position, name in enumerate(both)}
    forward = np.array([rank[name] for name in stated.relations], np.int32)[stated.triples[:, 1]]
    backward = np.array([rank[name + INVERSE] for name in stated.relations], np.int32)[stated.triples[:, 1]]
    head, tail = stated.triples[:, 0], stated.triples[:, 2]
    triples = np.concatenate([np.stack([head, forward, tail], 1), np.stack([tail, backward, head], 1)])
    lines = np.concatenate([stated.lines, stated.lines])
    return _Stated(stated.entities, tuple(both), stated.types, triples, lines, stated.distinct)


class _Kept(NamedTuple):
    triples: Int32
    multi_valued: int
    examples: tuple[str, ...]


def _functional(stated: _Stated, multi: Multi, faults: Faults) -> _Kept:
    """At most one tail for each pair of head and relation, by the policy `multi`."""
    order, starts = _runs(stated.triples)
    distinct = stated.triples[order][starts]
    times = np.diff(np.r_[starts, len(order)])
    # Within a pair: most often stated first, then the smallest name (ids are in the order of names).
    best = np.lexsort((distinct[:, 2], -times, distinct[:, 1], distinct[:, 0]))
    ranked = distinct[best]
    opens = np.flatnonzero(np.r_[True, (ranked[1:, :2] != ranked[:-1, :2]).any(axis=1)])
    sizes = np.diff(np.r_[opens, len(ranked)])
    several = np.flatnonzero(sizes > 1)
    if multi == "error":
        conflicts = [
            _conflict(stated, order, starts, best[opens[pair] : opens[pair] + sizes[pair]]) for pair in several.tolist()
        ]
        for conflict in sorted(conflicts):
            faults.add(conflict.line, "tail", conflict.text)
    examples: list[str] = []
    for pair in several[:3].tolist():
        kept, left = ranked[opens[pair]], ranked[opens[pair] + 1]
        head, relation = stated.entities[kept[0]], stated.relations[kept[1]]
        instead = f"kept '{stated.entities[kept[2]]}'" if multi == "first" else "kept none"
        examples.append(f"({head}, {relation}): left out '{stated.entities[left[2]]}', {instead}")
    chosen = opens if multi == "first" else opens[sizes == 1]
    return _Kept(np.ascontiguousarray(ranked[chosen]), len(several), tuple(examples))


class _Conflict(NamedTuple):
    line: int
    text: str


def _conflict(stated: _Stated, order: _Order, starts: _Order, members: _Order) -> _Conflict:
    """The first line that contradicts an earlier one about a pair of head and relation."""
    first_lines = {int(stated.lines[order[starts[member]]]): order[starts[member]] for member in members}
    earlier, line = sorted(first_lines)[:2]
    head, relation, tail = stated.triples[first_lines[earlier]].tolist()
    later = stated.entities[stated.triples[first_lines[line], 2]]
    return _Conflict(
        line,
        f"'{later}' contradicts line {earlier}, where ({stated.entities[head]}, {stated.relations[relation]}) has "
        f"'{stated.entities[tail]}'. Keep one line, or load with --multi first (most frequent) or strict (none).",
    )


def _graph(stated: _Stated, triples: Int32) -> tuple[Graph, int]:
    """The graph of the kept facts with only the names that they use, and how many distinct facts were left out."""
    used_entities, used_relations = np.unique(triples[:, [0, 2]]), np.unique(triples[:, 1])
    entity, relation = np.zeros(len(stated.entities), np.int32), np.zeros(len(stated.relations), np.int32)
    entity[used_entities] = np.arange(len(used_entities), dtype=np.int32)
    relation[used_relations] = np.arange(len(used_relations), dtype=np.int32)
    renumbered = np.stack([entity[triples[:, 0]], relation[triples[:, 1]], entity[triples[:, 2]]], axis=1)
    names = tuple(stated.entities[position] for position in used_entities.tolist())
    relations = tuple(stated.relations[position] for position in used_relations.tolist())
    classes = tuple(stated.types.get(name, "") for name in names) if stated.types else ()
    return Graph(names, relations, renumbered, classes), len(_runs(stated.triples)[1]) - len(triples)

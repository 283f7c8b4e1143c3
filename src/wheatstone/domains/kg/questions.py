"""Questions by name: "Paris | country | currency" asks for the currency of the country of Paris.

A name that the graph does not have is an error with the closest known name beside it, never a guess.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wheatstone.bench.errors import SHOWN_FAULTS, UserError
from wheatstone.domains.kg.formats import Faults, Layout, Row, file_format, rows
from wheatstone.domains.kg.graph import Chains, Graph

SEPARATOR = "|"
HEADER = ("head", "r1", "r2")
_CANDIDATES = 50
"""Names that share most letter pairs with a misspelt one; only these are compared letter by letter."""


@dataclass(frozen=True)
class Question:
    """The tail that `relations`, followed one after the other, lead to from `head`."""

    head: str
    relations: tuple[str, ...]
    answer: str | None = None
    """As the user's file gives it."""

    def __str__(self) -> str:
        return f" {SEPARATOR} ".join((self.head, *self.relations))


def parse_question(text: str, graph: Graph, where: str = "question") -> Question:
    """The question in `text`: a head and one or more relations, separated by '|'.

    Raises InputError for anything else, and for names that the graph does not have.
    """
    parts = [unicodedata.normalize("NFC", part.strip()) for part in text.split(SEPARATOR)]
    faults = Faults(where)
    if len(parts) < 2:
        shown = parts[0][:60]
        faults.add(None, None, f"'{shown}' is no question. Write a head and relations: Paris | country | currency.")
    else:
        _check_entity(parts[0], graph, None, "head", faults)
        for position, relation in enumerate(parts[1:], start=1):
            _check_relation(relation, graph, None, f"relation {position}", faults)
    faults.check()
    return Question(parts[0], tuple(parts[1:]))


def load_questions(path: Path | str, graph: Graph) -> tuple[Question, ...]:
    """The two-hop questions of a TSV or CSV file: head, r1, r2 and, if wanted, the answer; repeats count once.

    A header `head r1 r2 [answer]` is recognised. Raises InputError that names line and field of an unknown name, of a
    question that the graph has no answer to, and of an answer that is not the graph's.
    """
    path = Path(path)
    if file_format(path) not in ("tsv", "csv"):
        raise UserError(f"{path}: questions are read from .tsv or .csv files: head, r1, r2 and, if wanted, the answer.")
    faults = Faults(str(path))
    found: dict[str, Question] = {}
    first = True
    for row in rows(path, faults, Layout()):
        fields = tuple(unicodedata.normalize("NFC", cell) for cell in row.fields)
        if first and tuple(name.lower() for name in fields[:3]) == HEADER:
            first = False
            continue
        first = False
        question = _checked(Row(row.line, fields), graph, faults)
        if question is not None:
            found.setdefault(str(question), question)
    faults.check()
    if not found:
        faults.add(None, None, "no questions. A line is head, r1, r2.")
    faults.check()
    return tuple(found.values())


def _checked(row: Row, graph: Graph, faults: Faults) -> Question | None:
    """The question of one row, or None with a fault."""
    line, fields = row
    if not 3 <= len(fields) <= 4:
        count = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
        faults.add(line, None, f"got {count}, need 3: head, r1, r2 (and the answer, if wanted).")
        return None
    before = len(faults.found)
    _check_entity(fields[0], graph, line, "head", faults)
    _check_relation(fields[1], graph, line, "r1", faults)
    _check_relation(fields[2], graph, line, "r2", faults)
    given = fields[3] if len(fields) == 4 and fields[3] else None
    if given is not None:
        _check_entity(given, graph, line, "answer", faults)
    if len(faults.found) > before:
        return None
    question = Question(fields[0], fields[1:3], given)
    path = follow(graph, question)
    reached = path[-1]
    if len(path) <= len(question.relations):
        relation = question.relations[len(path) - 1]
        faults.add(line, f"r{len(path)}", f"the graph has no fact ({reached}, {relation}), so there is no answer.")
        return None
    if given is not None and given != reached:
        faults.add(line, "answer", f"'{given}', but the graph says '{reached}' (by way of '{path[1]}').")
        return None
    return question


def follow(graph: Graph, question: Question) -> tuple[str, ...]:
    """The entities on the way, from the head to the answer; it ends early where the graph has no fact.

    Raises KeyError for names that the graph does not have.
    """
    at = graph.entity_id(question.head)
    path = [question.head]
    for relation in question.relations:
        at = int(graph.table[at, graph.relation_id(relation)])
        if at < 0:
            break
        path.append(graph.entities[at])
    return tuple(path)


def question_chains(questions: Sequence[Question], graph: Graph) -> Chains:
    """Two-hop questions as chains of the graph.

    Raises ValueError for one with another number of hops or without an answer in the graph.
    """
    table = graph.table
    found: list[tuple[int, int, int, int, int]] = []
    for question in questions:
        head, (r1, r2) = graph.entity_id(question.head), map(graph.relation_id, question.relations)
        bridge = int(table[head, r1])
        tail = int(table[bridge, r2]) if bridge >= 0 else -1
        if tail < 0:
            raise ValueError(f"'{question}' has no answer in the graph")
        found.append((head, r1, bridge, r2, tail))
    return Chains(np.array(found, np.int32).reshape(-1, 5))


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` is most likely to mean, or None when none is close. Capitals do not count."""
    names = list(known)
    folded = name.casefold()
    for candidate in names:
        if candidate.casefold() == folded:
            return candidate
    wanted = Counter(_letter_pairs(folded))
    scored: list[tuple[float, str]] = []
    for candidate in names:
        pairs = _letter_pairs(candidate.casefold())
        shared = sum((wanted & Counter(pairs)).values()) if not wanted.keys().isdisjoint(pairs) else 0
        if shared:
            scored.append((-2 * shared / (wanted.total() + len(pairs)), candidate))
    nearest = [candidate for _, candidate in sorted(scored)[:_CANDIDATES]]
    close = difflib.get_close_matches(folded, [candidate.casefold() for candidate in nearest], n=1)
    return next((candidate for candidate in nearest if close and candidate.casefold() == close[0]), None)


def _letter_pairs(text: str) -> list[str]:
    padded = f" {text} "
    return [padded[i : i + 2] for i in range(len(padded) - 1)]


def _check_entity(name: str, graph: Graph, line: int | None, column: str, faults: Faults) -> None:
    try:
        graph.entity_id(name)
    except KeyError:
        _unknown("entity", name, graph.entities, line, column, faults)


def _check_relation(name: str, graph: Graph, line: int | None, column: str, faults: Faults) -> None:
    try:
        graph.relation_id(name)
    except KeyError:
        _unknown("relation", name, graph.relations, line, column, faults)


def _unknown(kind: str, name: str, known: Sequence[str], line: int | None, column: str, faults: Faults) -> None:
    if not name:
        faults.add(line, column, f"empty, must be {'an entity' if kind == 'entity' else 'a relation'} of the graph.")
        return
    # Only faults that are shown are worth a search through all names.
    near = closest(name, known) if len(faults.found) < SHOWN_FAULTS else None
    hint = f" Did you mean '{near}'?" if near else ""
    faults.add(line, column, f"{kind} '{name[:80]}' is not in the graph.{hint}")

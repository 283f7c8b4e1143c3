"""Statements and questions in words, both ways: `A causes B. B causes C. Does A cause C?`

The wording is that of Vashishtha et al. 2025 (arXiv:2407.07612). A name is a word of letters, digits and `_ - .`, or
anything between double quotes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from wheatstone.bench.errors import Fault, InputError
from wheatstone.domains.causal.graphs import PLAIN, Edge, Question

NAME = rf'"[^"\n]+"|{PLAIN}'
_STATEMENT = re.compile(rf"({NAME})\s+causes\s+({NAME})")
_JOINED = re.compile(rf"({NAME})\s+causes\s+({NAME})\s+((?:does|are)\s[^?]*\?)", re.IGNORECASE)
_TRANSITIVITY = re.compile(rf"does\s+({NAME})\s+cause\s+({NAME})", re.IGNORECASE)
_SEPARATION = re.compile(
    rf"are\s+({NAME})\s+and\s+({NAME})\s+d-separated(?:\s+given\s+(?:\{{([^{{}}]*)\}}|([^{{}}]+)))?", re.IGNORECASE
)
WORDING = "Write 'A causes B.', then 'Does A cause B?' or 'Are A and B d-separated given {C, D}?'"


class Asked(NamedTuple):
    """A premise with its question."""

    edges: list[Edge]
    question: Question


def parse_premise(text: str, file: str) -> Asked:
    """Statements that end in '.', and one question that ends in '?'.

    Raises InputError for a sentence that is neither, and for no question or several. Faults name a line where there are
    several.
    """
    edges: list[Edge] = []
    questions: list[Question] = []
    faults: list[Fault] = []
    for sentence, line in _sentences(text):
        if (joined := _JOINED.fullmatch(sentence)) is not None:  # no '.' before the question
            edges.append(Edge(_name(joined[1]), _name(joined[2]), line))
            sentence = joined[3]
        if sentence.endswith("?"):
            found = _question(sentence, line)
            if found is None:
                faults.append(Fault(file, line, None, f"'{sentence[:60]}' is no question. {WORDING}"))
            else:
                questions.append(found)
            continue
        stated = _STATEMENT.fullmatch(sentence.rstrip(". "))
        if stated is None:
            faults.append(Fault(file, line, None, f"'{sentence[:60]}' is no statement. {WORDING}"))
        else:
            edges.append(Edge(_name(stated[1]), _name(stated[2]), line))
    if not faults and len(questions) != 1:
        faults.append(Fault(file, None, None, f"{len(questions)} questions, must be one. {WORDING}"))
    if faults:
        raise InputError(faults)
    return Asked(edges, questions[0])


def parse_questions(text: str, file: str) -> list[Question]:
    """A question a line; blank lines and those that begin with '#' are left out.

    Raises InputError for lines that are none, and for no questions at all.
    """
    questions: list[Question] = []
    faults: list[Fault] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _question(line.strip(), number)
        if found is None:
            faults.append(Fault(file, number, None, f"'{line.strip()[:60]}' is no question. {WORDING}"))
        else:
            questions.append(found)
    if not faults and not questions:
        faults.append(Fault(file, None, None, f"no questions. {WORDING}"))
    if faults:
        raise InputError(faults)
    return questions


class _Sentence(NamedTuple):
    text: str
    line: int | None


def _sentences(text: str) -> list[_Sentence]:
    """Parts that end in '.' or '?' before a blank or the end; a point inside a name ends nothing."""
    text = text.strip()
    found: list[_Sentence] = []
    line = 1
    for part in re.split(r'(?<=[.?])(?=\s|$)(?=(?:[^"]*"[^"]*")*[^"]*$)', text):
        if part.strip():
            before = part[: len(part) - len(part.lstrip())].count("\n")
            found.append(_Sentence(part.strip(), line + before if "\n" in text else None))
        line += part.count("\n")
    return found


def _question(sentence: str, line: int | None) -> Question | None:
    body = sentence.rstrip("? ")
    if found := _TRANSITIVITY.fullmatch(body):
        return Question("transitivity", _name(found[1]), _name(found[2]), (), line)
    if found := _SEPARATION.fullmatch(body):
        words = re.findall(NAME, found[3] if found[3] is not None else found[4] or "")
        given = tuple(dict.fromkeys(_name(word) for word in words if word.lower() != "and" or len(words) < 2))
        return Question("d_separation", _name(found[1]), _name(found[2]), given, line)
    return None


def _name(word: str) -> str:
    return word.strip('"')

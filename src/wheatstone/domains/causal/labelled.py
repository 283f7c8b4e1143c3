"""Test sets of others: a premise, a question and its label a line; which labels the oracle contradicts, and why.

tab-separated   `.txt`, `.tsv`: `A causes B. B causes C. Does A cause C?`, a tab, `Yes` or `No`
JSON lines      `.jsonl`: an object with `premise`, `hypothesis` and `label`, or with `prompt` and `completion`

Names that were drawn at random now and then name two nodes alike, which closes a cycle: there is then no causal graph.
Who reaches whom can still be told, d-separation cannot.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from wheatstone.bench.errors import Fault, InputError, UserError
from wheatstone.domains.causal.formats import read_text
from wheatstone.domains.causal.graphs import Answer, CausalGraph, Question, unchecked_graph
from wheatstone.domains.causal.text import Asked, parse_premise

LABELS = {"yes": True, "no": False}
FIELDS = (("premise", "hypothesis", "label"), ("prompt", "completion"))


class Labelled(NamedTuple):
    """A question about a graph of its own, with the label that somebody gave it."""

    graph: CausalGraph
    question: Question
    label: bool
    line: int


class Judged(NamedTuple):
    """What is found about a label."""

    asked: Labelled
    flaw: str | None
    """What is wrong with the question itself: a cycle, or a node that is asked about itself."""
    answer: Answer | None
    """The oracle's; None where the flaw leaves none."""

    @property
    def is_wrong(self) -> bool:
        """The oracle contradicts the label."""
        return self.answer is not None and self.answer.yes != self.asked.label


def read_labelled(path: Path) -> list[Labelled]:
    """The questions of a file.

    Raises InputError, with line and field, for what cannot be read, UserError for a file that cannot be opened.
    """
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if suffix not in (".txt", ".tsv", ".jsonl"):
        raise UserError(f"{path}: the ending '{suffix}' names no format. Use one of .txt, .tsv, .jsonl.")
    file, found, faults = str(path), list[Labelled](), list[Fault]()
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            text, label = _fields(line, number, file) if suffix == ".jsonl" else _columns(line, number, file)
            found.append(_labelled(parse_premise(text, file), label, number, file))
        except InputError as error:
            faults += [fault if fault.line else Fault(file, number, fault.field, fault.text) for fault in error.faults]
    if not faults and not found:
        faults.append(Fault(file, None, None, "no questions."))
    if faults:
        raise InputError(faults)
    return found


def judged(asked: Labelled) -> Judged:
    """What the oracle says about a label."""
    graph, question = asked.graph, asked.question
    if question.first == question.second:
        return Judged(asked, f"'{question.first}' is asked about itself", None)
    cycle = graph.cycle()
    flaw = f"the premise closes a cycle: {' → '.join(cycle)}" if cycle else None
    is_told = not cycle or question.axiom == "transitivity"
    return Judged(asked, flaw, graph.answer(question) if is_told else None)


def _columns(line: str, number: int, file: str) -> tuple[str, bool]:
    text, tab, label = line.strip().rpartition("\t")
    if not tab:
        raise InputError([Fault(file, number, "label", "no tab before the label, 'Yes' or 'No'.")])
    return text, _label(label, number, file)


def _fields(line: str, number: int, file: str) -> tuple[str, bool]:
    try:
        read = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError([Fault(file, number, None, f"'{line[:60]}' is no JSON.")]) from None
    values = cast("Mapping[str, Any]", read) if isinstance(read, dict) else {}
    names = next((names for names in FIELDS if all(isinstance(values.get(name), str) for name in names)), None)
    if names is None:
        text = "must be an object of texts: premise, hypothesis and label, or prompt and completion."
        raise InputError([Fault(file, number, None, text)])
    *texts, label = (str(values[name]) for name in names)
    return " ".join(texts), _label(label, number, file)


def _label(word: str, number: int, file: str) -> bool:
    label = LABELS.get(word.strip().strip("'\"").lower())
    if label is None:
        raise InputError([Fault(file, number, "label", f"'{word.strip()[:40]}' is neither yes nor no.")])
    return label


def _labelled(asked: Asked, label: bool, number: int, file: str) -> Labelled:
    question = asked.question._replace(line=number)
    graph = unchecked_graph(asked.edges)
    if question.first != question.second:
        graph.check([question], file)
    return Labelled(graph, question, label, number)

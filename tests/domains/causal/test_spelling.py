"""Text as tokens: what is written is read back with the same graph, question and answer; names never collide."""

from __future__ import annotations

import numpy as np
import pytest

from wheatstone.domains.causal import spelling
from wheatstone.domains.causal.axioms import AXIOMS, AxiomName
from wheatstone.domains.causal.encode import Order, stacked
from wheatstone.domains.causal.graphs import graph_of
from wheatstone.domains.causal.instances import Instances, Structure
from wheatstone.domains.causal.spelling import CHARACTERS, VOCAB, WORDS, asked_at, fresh_names, spelled, text_of
from wheatstone.domains.causal.text import parse_premise


def tokens_of(*parts: str) -> list[int]:
    """Tokens of words, and of names, which are given with a star before them."""
    found: list[int] = []
    for part in parts:
        found += [len(WORDS) + CHARACTERS.index(c) for c in part[1:]] if part[0] == "*" else [WORDS.index(part)]
    return found


def test_tokens_by_hand() -> None:
    row = tokens_of("*V", "causes", "*jb", ".", "*jb", "causes", "*f2", ".", "Does", "*V", "cause", "*f2", "?")
    assert len(row) == 17
    assert text_of([*row, spelling.PAD]) == "V causes jb. jb causes f2. Does V cause f2?"
    row = tokens_of("Are", "*no", "and", "*yes", "d-separated", "given", "{", "*and", ",", "*7", "}", "?")
    assert text_of(row) == "Are no and yes d-separated given {and, 7}?"
    assert not {spelling.NO, spelling.YES} & set(row)  # a name is spelled, whatever it says


@pytest.mark.parametrize("order", ["written", "shuffled"])
@pytest.mark.parametrize(
    ("axiom", "structure"),
    [("transitivity", "flipped"), ("transitivity", "branching"), ("d_separation", "branching")],
)
def test_what_is_written_is_read_back(axiom: AxiomName, structure: Structure, order: Order) -> None:
    drawn = AXIOMS[axiom].draw(30, 7, np.random.default_rng(0), structure)
    rows = spelled(drawn, np.random.default_rng(1), order, separation=axiom == "d_separation")
    assert (rows[np.arange(30), asked_at(rows)] == spelling.ASK).all()
    as_written = 0
    for at, row in enumerate(rows.tolist()):
        asked = parse_premise(text_of(row), "row")
        question = asked.question
        graph = graph_of(asked.edges, "row", [question.first, question.second, *question.given])  # some have no edge
        assert question.axiom == axiom
        assert graph.answer(question).yes == drawn.answer[at]
        # Names stand for nodes one to one: edges, question and given nodes are those that were drawn.
        causes = [edge.cause for edge in asked.edges]
        of_node = dict(zip(causes, drawn.edges[at, :, 0].tolist(), strict=True)) if order == "written" else {}
        as_written += all(of_node.get(cause) == node for cause, node in zip(causes, drawn.edges[at, :, 0], strict=True))
        assert len(asked.edges) == (drawn.edges[at, :, 0] >= 0).sum()
        assert len(question.given) == drawn.given[at].sum()
    assert as_written == (30 if order == "written" else 0)


def test_names_differ_within_a_question_and_between_questions() -> None:
    names = fresh_names(300, 60, np.random.default_rng(0))  # more than half of the names of one character are taken
    spelled_out = ["".join(map(chr, name)) for name in names.reshape(-1, names.shape[-1]).tolist()]
    for at in range(300):
        assert len(set(spelled_out[60 * at : 60 * at + 60])) == 60
    first = names[:, 0]
    assert len({tuple(name) for name in first.tolist()}) > 150
    lengths = (names != spelling.PAD).sum(-1)
    assert set(lengths.ravel().tolist()) == {1, 2, 3}
    assert (names[..., 0] >= len(WORDS)).all()
    assert names.max() == VOCAB - 1


def test_short_graphs_and_empty_sets_leave_no_gaps() -> None:
    edges = np.array([[[0, 1], [1, 2]], [[0, 1], [-1, -1]]])
    given = np.array([[False, True, False], [False, False, False]])
    some = Instances(3, edges, np.array([[0, 2], [1, 2]]), given, np.array([True, True]), np.array([2, -1]))
    rows = spelled(some, np.random.default_rng(0), separation=True)
    for row in rows.tolist():
        length = sum(token != spelling.PAD for token in row)
        assert spelling.PAD not in row[:length]
    said = [text_of(row) for row in rows.tolist()]
    assert said[0].count("causes") == 2
    assert "given {" in said[0]
    assert said[1].count("causes") == 1
    assert said[1].endswith("d-separated?")
    assert stacked([rows, rows[:, :5]], spelling.PAD).shape == (4, rows.shape[1])

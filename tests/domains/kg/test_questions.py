"""Questions by name, their answers, and the suggestions for misspelt names."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.domains.kg.graphs import family, graphs

from wheatstone.bench.errors import UserError
from wheatstone.domains.kg.graph import Graph, chains
from wheatstone.domains.kg.questions import (
    Question,
    closest,
    follow,
    load_questions,
    parse_question,
    question_chains,
)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("Ann | mother | born_in", ("Ann", "Eve", "Rome")),
        (" Ann|mother |born_in|  country ", ("Ann", "Eve", "Rome", "Italy")),
        ("Ann | born_in", ("Ann", "Rome")),
        ("Ann | country | born_in", ("Ann",)),
        ("Ann | mother | mother", ("Ann", "Eve")),
    ],
)
def test_a_question_is_followed_hop_by_hop(text: str, path: tuple[str, ...]) -> None:
    graph = family()
    question = parse_question(text, graph)
    assert follow(graph, question) == path
    assert parse_question(str(question), graph) == question


@given(graphs())
def test_every_chain_is_the_answer_to_its_question(graph: Graph) -> None:
    found = chains(graph.table)
    questions = [
        Question(graph.entities[h], (graph.relations[r1], graph.relations[r2]))
        for h, r1, r2 in found.questions.tolist()
    ]
    assert question_chains(questions, graph).rows.tolist() == found.rows.tolist()
    assert [follow(graph, question)[-1] for question in questions] == [graph.entities[t] for t in found.tail.tolist()]


def test_a_question_without_an_answer_is_no_chain() -> None:
    with pytest.raises(ValueError, match=r"'Ann \| country \| born_in' has no answer in the graph"):
        question_chains([Question("Ann", ("country", "born_in"))], family())


@pytest.mark.parametrize("name", ["questions.tsv", "questions.csv"])
def test_question_files(tmp_path: Path, name: str) -> None:
    lines = [["head", "r1", "r2", "answer"], ["Ann", "mother", "born_in", "Rome"], ["Bob", "born_in", "country"]]
    lines += [["Bob", "born_in", "country", ""], ["Bob", "born_in", "country"]]
    mark = "\t" if name.endswith("tsv") else ","
    (tmp_path / name).write_text("# mine\n" + "".join(mark.join(line) + "\n" for line in lines))
    assert load_questions(tmp_path / name, family()) == (
        Question("Ann", ("mother", "born_in"), "Rome"),
        Question("Bob", ("born_in", "country")),
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("brth_place", "birth_place"),
        ("Birth_Place", "birth_place"),
        ("birthplace", "birth_place"),
        ("capitol", "capital"),
        ("xyzzy", None),
        ("", None),
    ],
)
def test_suggestions(name: str, meant: str | None) -> None:
    assert closest(name, ["capital", "birth_date", "birth_place", "currency"]) == meant


@given(st.text(max_size=60))
def test_any_text_is_a_question_or_a_clear_error(text: str) -> None:
    try:
        outcome = parse_question(text, family()).head
    except UserError as error:
        outcome = str(error)
    assert outcome in family().entities or outcome.startswith("question")


def test_a_suggestion_among_15_000_names_does_not_keep_anyone_waiting() -> None:
    names = [f"entity number {i * 7919 % 15_000:05d}" for i in range(15_000)]
    before = time.perf_counter()
    assert closest("entty number 00042", names) == "entity number 00042"
    assert time.perf_counter() - before < 2.0

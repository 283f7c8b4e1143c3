"""Tokens: entities keep their ids, names may be shared by an entity and a relation, and JSON brings all of it back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from tests.domains.kg.graphs import family, graphs

from wheatstone.bench.errors import UserError
from wheatstone.domains.kg.encode import Vocabulary
from wheatstone.domains.kg.graph import Graph
from wheatstone.domains.kg.questions import parse_question

SPECIALS = ("<pad>", "<a>")


@given(graphs())
def test_round_trip(graph: Graph) -> None:
    vocabulary = Vocabulary.of(graph, SPECIALS)
    assert Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json()))) == vocabulary
    assert len(vocabulary) == len(graph.entities) + len(graph.relations) + 2
    assert [vocabulary.entity(name) for name in graph.entities] == list(range(len(graph.entities)))
    assert [vocabulary.relation(name) for name in graph.relations] == [
        vocabulary.n_entity + i for i in range(len(graph.relations))
    ]
    assert vocabulary.special("<a>") == len(vocabulary) - 1
    assert [vocabulary.token(i) for i in range(len(vocabulary))] == list(vocabulary.tokens)


def test_a_question_in_tokens() -> None:
    graph = family()
    vocabulary = Vocabulary.of(graph)
    tokens = vocabulary.encoded(parse_question("Ann | mother | born_in", graph))
    assert [vocabulary.token(token) for token in tokens] == ["Ann", "mother", "born_in"]


def test_an_entity_and_a_relation_may_share_a_name() -> None:
    vocabulary = Vocabulary(("capital", "Paris"), ("capital",))
    assert (vocabulary.entity("capital"), vocabulary.relation("capital")) == (0, 2)


def test_unknown_names_and_tokens() -> None:
    vocabulary = Vocabulary.of(family())
    with pytest.raises(KeyError):
        vocabulary.entity("mother")
    for token in (-1, len(vocabulary)):
        with pytest.raises(IndexError):
            vocabulary.token(token)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "vocab.json: not a vocabulary. It is written beside a model when a graph is trained on."),
        ({"format": 2}, "vocab.json: format 2, this version reads 1. Update wheatstone."),
        (
            {"format": 1, "entities": ["a"], "relations": "r", "specials": []},
            "vocab.json field 'relations': must be a list of names. The file is damaged; restore it.",
        ),
        (
            {"format": 1, "entities": ["a", "a"], "relations": [], "specials": []},
            "vocab.json: entities of a vocabulary: a name is there twice. The file is damaged; restore it.",
        ),
    ],
    ids=["array", "newer", "text", "twice"],
)
def test_damaged_files(value: object, message: str) -> None:
    with pytest.raises(UserError) as caught:
        Vocabulary.from_json(value, "vocab.json")
    assert str(caught.value) == message

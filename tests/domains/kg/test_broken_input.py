"""What a user reads when a graph or a question file is broken: every message, word by word, in one table.

The files are in tests/data/kg/broken. A message that gets worse is a red test, and a reviewer reads all of them here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from wheatstone.bench.errors import InputError, UserError
from wheatstone.domains.kg.graph import Graph
from wheatstone.domains.kg.load import load
from wheatstone.domains.kg.phi import phi_report
from wheatstone.domains.kg.questions import load_questions, parse_question

BROKEN = Path(__file__).parents[2] / "data" / "kg" / "broken"
KNOWN = Graph.from_facts([("Paris", "country", "France"), ("France", "currency", "Euro"), ("Paris", "river", "Seine")])
NEED_3 = "need 3: head, relation, tail (and the type of the head, if wanted)."

GRAPHS = {
    "two_fields.tsv": f"two_fields.tsv:3: got 2 fields, {NEED_3}",
    "five_fields.tsv": f"five_fields.tsv:3: got 5 fields, {NEED_3}",
    "empty_tail.tsv": "empty_tail.tsv:3 field 'tail': empty. A line is head, relation, tail.",
    "empty_head.tsv": "empty_head.tsv:3 field 'head': empty. A line is head, relation, tail.",
    "empty_file.tsv": "empty_file.tsv: no facts. A line is head, relation, tail.",
    "only_comments.tsv": "only_comments.tsv: no facts. A line is head, relation, tail.",
    "header_only.tsv": "header_only.tsv: no facts. A line is head, relation, tail.",
    "header_order.tsv": (
        "header_order.tsv:1: the columns are head, tail, relation, must be head, relation, tail in this order."
    ),
    "nul_byte.tsv": "nul_byte.tsv:3: a NUL byte at byte 18. The file is binary, or UTF-16 without its mark.",
    "not_utf8.tsv": "not_utf8.tsv:3: not UTF-8 (0xe7 at byte 5). Save the file as UTF-8.",
    "utf16.tsv": "utf16.tsv:1: the file is UTF-16. Save it as UTF-8.",
    "utf16_without_mark.tsv": "\n".join(
        f"utf16_without_mark.tsv:{line}: a NUL byte at byte {byte}. The file is binary, or UTF-16 without its mark."
        for line, byte in ((1, 2), (2, 1), (3, 1))
    ),
    "carriage_return.tsv": "carriage_return.tsv:1: a carriage return inside the line. End lines with LF or CRLF.",
    "commas.tsv": "\n".join(
        f"commas.tsv:{line}: no tab, but commas. Fields are separated by tabs in a .tsv; name the file .csv."
        for line in (1, 2)
    ),
    "quoted.tsv": 'quoted.tsv:3: "France" is in quotes, and TSV has none: drop them, or write the file as .csv.',
    "long_name.tsv": (
        "long_name.tsv:3 field 'tail': 'xxxxxxxxxxxxxxxxxxxx...' has 600 characters, at most 512 are allowed."
    ),
    "long_line.tsv.gz": "long_line.tsv.gz:3: longer than 65,536 bytes, which is the limit of a line.",
    "control_character.tsv": (
        "control_character.tsv:3 field 'tail': a control character (U+001B) inside the name. Remove it."
    ),
    "reserved_name.tsv": (
        "reserved_name.tsv:3 field 'head': 'syn:country:1' starts with 'syn:', which is kept for synthetic names. "
        "Rename it."
    ),
    "two_types.tsv": (
        "two_types.tsv:3 field 'type': 'Paris' is 'person' here and 'city' in line 1. An entity has one type."
    ),
    "contradiction.tsv": (
        "contradiction.tsv:4 field 'tail': 'Texas' contradicts line 1, where (Paris, country) has 'France'. "
        "Keep one line, or load with --multi first (most frequent) or strict (none)."
    ),
    "all_multi_valued.tsv": (
        "all_multi_valued.tsv: every pair of head and relation has several tails. Load with --multi first."
    ),
    "inverse_mark.tsv": (
        "inverse_mark.tsv:3 field 'relation': 'country~' ends in '~', the mark of inverse relations. Rename it."
    ),
    "cut_off.tsv.gz": "cut_off.tsv.gz:89: the gzip stream is damaged or cut off here. Fetch or pack the file again.",
    "not_gzip.tsv.gz": "not_gzip.tsv.gz:1: the gzip stream is damaged or cut off here. Fetch or pack the file again.",
    "unclosed_quote.csv": (
        "unclosed_quote.csv:2: not CSV: unexpected end of data. A quote inside quotes is written twice."
    ),
    "stray_quote.csv": ("stray_quote.csv:2: not CSV: ',' expected after '\"'. A quote inside quotes is written twice."),
    "semicolons.csv": "\n".join(
        f"semicolons.csv:{line}: semicolons, but no comma. Fields are separated by commas in a .csv." for line in (1, 2)
    ),
    "not_json.jsonl": "not_json.jsonl:2: not JSON: Expecting value at column 52.",
    "number_tail.jsonl": "number_tail.jsonl:2 field 'tail': got 67000000, must be a string.",
    "misspelt_key.jsonl": (
        "misspelt_key.jsonl:2 field 'relatoin': unknown key. Keys are head, relation, tail, type. "
        "Did you mean 'relation'?"
    ),
    "missing_key.jsonl": (
        "missing_key.jsonl:2 field 'tail': missing. A line is an object with head, relation and tail."
    ),
    "short_array.jsonl": "short_array.jsonl:2: an array of 2, must be [head, relation, tail].",
    "scalar.jsonl": (
        'scalar.jsonl:2: "France currency Euro" is neither an object nor an array of head, relation and tail.'
    ),
    "deep.jsonl": "deep.jsonl:2: JSON nested too deep. A line is an object with head, relation and tail.",
    "surrogate.jsonl": (
        "surrogate.jsonl:2 field 'tail': half of a surrogate pair (U+D800) inside the name. Remove it."
    ),
    "no_dot.nt": (
        "no_dot.nt:2: not an N-Triples statement: <subject> <predicate> <object> . (or a literal in quotes as object)"
    ),
    "literal_subject.nt": (
        "literal_subject.nt:2: not an N-Triples statement: <subject> <predicate> <object> . "
        "(or a literal in quotes as object)"
    ),
    "bad_escape.nt": (
        r"bad_escape.nt:2: an escape that N-Triples does not have. It has \t \b \n \r \f \" \' \\ \uXXXX."
    ),
    "facts.xml": "facts.xml: the ending '.xml' names no format. Use .tsv, .csv, .jsonl or .nt, each also with .gz.",
    "no_chain.tsv": (
        "the graph has no two-hop chain: none of its 2 facts ends at an entity that has a fact of its own. "
        "Check that heads and tails are spelt alike, or add inverse relations."
    ),
    "many_faults.tsv": "\n".join(
        [f"many_faults.tsv:{line}: got 1 field, {NEED_3}" for line in (3, 4, 5, 6)]
        + [f"many_faults.tsv:7: got 2 fields, {NEED_3}", "... and 2 more of this kind"]
    ),
    "absent.tsv": "absent.tsv: no such file",
    "folder.tsv": "folder.tsv: is a directory, not a file of facts or questions",
}
OPTIONS = {
    "contradiction.tsv": {"multi": "error"},
    "all_multi_valued.tsv": {"multi": "strict"},
    "inverse_mark.tsv": {"inverse": True},
}

QUESTIONS = {
    "questions_unknown_relation.tsv": (
        "questions_unknown_relation.tsv:3 field 'r1': relation 'cuntry' is not in the graph. Did you mean 'country'?"
    ),
    "questions_unknown_entity.tsv": (
        "questions_unknown_entity.tsv:1 field 'head': entity 'Pariss' is not in the graph. Did you mean 'Paris'?"
    ),
    "questions_stranger.tsv": "questions_stranger.tsv:1 field 'head': entity 'Qqxyz' is not in the graph.",
    "questions_two_fields.tsv": (
        "questions_two_fields.tsv:1: got 2 fields, need 3: head, r1, r2 (and the answer, if wanted)."
    ),
    "questions_empty_relation.tsv": (
        "questions_empty_relation.tsv:1 field 'r1': empty, must be a relation of the graph."
    ),
    "questions_no_first_fact.tsv": (
        "questions_no_first_fact.tsv:1 field 'r1': the graph has no fact (France, country), so there is no answer."
    ),
    "questions_no_second_fact.tsv": (
        "questions_no_second_fact.tsv:1 field 'r2': the graph has no fact (France, river), so there is no answer."
    ),
    "questions_wrong_answer.tsv": (
        "questions_wrong_answer.tsv:1 field 'answer': 'Seine', but the graph says 'Euro' (by way of 'France')."
    ),
    "questions_unknown_answer.tsv": (
        "questions_unknown_answer.tsv:1 field 'answer': entity 'Euros' is not in the graph. Did you mean 'Euro'?"
    ),
    "questions_header_only.tsv": "questions_header_only.tsv: no questions. A line is head, r1, r2.",
    "questions.jsonl": (
        "questions.jsonl: questions are read from .tsv or .csv files: head, r1, r2 and, if wanted, the answer."
    ),
    "questions_not_utf8.csv": "questions_not_utf8.csv:2: not UTF-8 (0xe9 at byte 4). Save the file as UTF-8.",
    "questions_escape.tsv": (
        r"questions_escape.tsv:1 field 'head': entity 'Par\x1b[31mis' is not in the graph. Did you mean 'Paris'?"
    ),
}

TEXTS = {
    "Paris": "question: 'Paris' is no question. Write a head and relations: Paris | country | currency.",
    "": "question: '' is no question. Write a head and relations: Paris | country | currency.",
    "Pariss | country | currency": (
        "question field 'head': entity 'Pariss' is not in the graph. Did you mean 'Paris'?"
    ),
    "paris | Country": (
        "question field 'head': entity 'paris' is not in the graph. Did you mean 'Paris'?\n"
        "question field 'relation 1': relation 'Country' is not in the graph. Did you mean 'country'?"
    ),
    "Paris | country | curency": (
        "question field 'relation 2': relation 'curency' is not in the graph. Did you mean 'currency'?"
    ),
    "Paris | | currency": "question field 'relation 1': empty, must be a relation of the graph.",
}


def message(call: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        call()
    return str(caught.value)


@pytest.fixture(autouse=True)
def _in_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The files under their bare names, so that messages are the same on every machine."""
    for path in BROKEN.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "folder.tsv").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", GRAPHS)
def test_graph_file(name: str) -> None:
    assert message(lambda: phi_report(load(name, **OPTIONS.get(name, {})).graph)) == GRAPHS[name]


@pytest.mark.parametrize("name", QUESTIONS)
def test_question_file(name: str) -> None:
    assert message(lambda: load_questions(name, KNOWN)) == QUESTIONS[name]


@pytest.mark.parametrize("text", TEXTS)
def test_question(text: str) -> None:
    assert message(lambda: parse_question(text, KNOWN)) == TEXTS[text]


def test_every_broken_file_is_in_a_table() -> None:
    listed = {name for name in (*GRAPHS, *QUESTIONS) if name not in ("absent.tsv", "folder.tsv")}
    assert listed == {path.name for path in BROKEN.iterdir()} - {".gitattributes"}


def test_faults_carry_their_place() -> None:
    with pytest.raises(InputError) as caught:
        load("many_faults.tsv")
    assert [(fault.file, fault.line) for fault in caught.value.faults][-1] == ("many_faults.tsv", 9)

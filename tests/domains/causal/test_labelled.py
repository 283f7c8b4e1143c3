"""Labels of a test set: right ones pass, every turned one is found, and what has no causal graph is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from wheatstone.bench.errors import InputError, UserError
from wheatstone.domains.causal.axioms import AXIOMS, AxiomName
from wheatstone.domains.causal.labelled import Judged, judged, read_labelled
from wheatstone.domains.causal.spelling import spelled, text_of


def judge(path: Path) -> list[Judged]:
    return [judged(one) for one in read_labelled(path)]


@pytest.mark.parametrize("axiom", ["transitivity", "d_separation"])
@pytest.mark.parametrize("ending", ["tsv", "jsonl"])
def test_every_turned_label_is_found(tmp_path: Path, axiom: AxiomName, ending: str) -> None:
    drawn = AXIOMS[axiom].draw(40, 6, np.random.default_rng(0), "flipped")
    rows = spelled(drawn, np.random.default_rng(1), separation=axiom == "d_separation")
    turned = {3, 17, 30}
    lines: list[str] = []
    for at, (row, answer) in enumerate(zip(rows.tolist(), drawn.answer.tolist(), strict=True)):
        text, label = text_of(row), "Yes" if answer != (at in turned) else "No"
        premise, _, hypothesis = text.rpartition(". ")
        fields = {"premise": premise, "hypothesis": hypothesis, "label": label}  # no '.' before the question
        lines.append(f"{text}\t{label}" if ending == "tsv" else json.dumps(fields))
    path = tmp_path / f"tests.{ending}"
    path.write_text("\n".join(["# drawn", *lines, ""]), encoding="utf-8")
    found = judge(path)
    assert len(found) == 40
    assert {one.asked.line - 2 for one in found if one.is_wrong} == turned
    assert all(one.flaw is None for one in found)


def test_two_nodes_of_one_name_close_a_cycle(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    premise = "A causes V. V causes G. G causes V. G causes B"
    path.write_text(
        f"{premise}. Does A cause B?\tNo\n"
        f"{premise} Does B cause A?\t'No'\n"
        f"{premise} Are A and B d-separated given {{G}}?\tyes\n"
        f"{premise}. Does V cause V?\tNo\n",
        encoding="utf-8",
    )
    reached, unreached, separated, itself = judge(path)
    assert reached.is_wrong
    assert reached.answer is not None
    assert reached.answer.why == "A → V → G → B"
    assert reached.flaw == "the premise closes a cycle: V → G → V"
    assert (unreached.is_wrong, unreached.answer is None) == (False, False)
    assert (separated.is_wrong, separated.answer) == (False, None)
    assert itself.flaw == "'V' is asked about itself"
    assert not itself.is_wrong


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.tsv", "", "no questions"),
        ("t.tsv", "A causes B. Does A cause B? Yes", "t.tsv:1 field 'label': no tab before the label"),
        ("t.tsv", "A causes B. Does A cause B?\tYes\nA causes B. Does A cause B?\t?", "t.tsv:2 field 'label': '?' is"),
        ("t.tsv", "A causes B. Does A cause D?\tNo", "t.tsv:1 field 'second': no node 'D' in the graph"),
        ("t.tsv", "A causes B. Are A and B d-separated given {B}?\tNo", "t.tsv:1 field 'given': 'B' is asked about"),
        ("t.tsv", "A causes B.\tNo", "t.tsv:1: 0 questions, must be one"),
        ("t.tsv", "A makes B. Does A cause B?\tNo", "t.tsv:1: 'A makes B.' is no statement"),
        ("t.jsonl", "{", "t.jsonl:1: '{' is no JSON"),
        ("t.jsonl", "[1]", "t.jsonl:1: must be an object of texts: premise, hypothesis and label"),
        ("t.jsonl", '{"prompt": "A causes B. Does A cause B?", "completion": 1}', "t.jsonl:1: must be an object"),
        ("t.csv", "a", "the ending '.csv' names no format. Use one of .txt, .tsv, .jsonl"),
    ],
)
def test_every_fault_has_its_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_labelled(path)
    assert message in str(caught.value)


def test_every_line_with_a_fault_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("x\n\nA causes B. Does A cause B?\tyes\ny\tno\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_labelled(path)
    assert [fault.line for fault in caught.value.faults] == [1, 4]

"""Prompts: files, tasks, positions of roles, and what is refused."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from wheatstone.bench.errors import UserError
from wheatstone.domains.data import data_folder
from wheatstone.domains.lm import load_model
from wheatstone.domains.lm.catalogue import installed
from wheatstone.domains.lm.prompts import Prompt, Role, encode_prompts, load_prompts, save_prompts
from wheatstone.domains.lm.tasks import make_task, task_names
from wheatstone.learn.models.language_model import LanguageModel
from wheatstone.studies.neural.circuit_reuse.own import own_model

PUBLISHED = data_folder() / "tasks" / "colored_objects.json"
MODELS = ["own"]
if installed("smollm2") is not None:
    MODELS.append("smollm2")


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> LanguageModel:
    return own_model(1) if request.param == "own" else load_model(request.param)


@pytest.mark.parametrize("task", task_names())
def test_tasks_are_pairs_that_differ_where_they_should(task: str, model: LanguageModel) -> None:
    prompts = make_task(task, model, 60, np.random.default_rng(1))  # pyright: ignore[reportArgumentType]
    found = encode_prompts(model, task, prompts)
    contrast = found.contrast
    for row, prompt in enumerate(prompts):
        end = int(contrast.end[row])
        different = [i for i in range(end + 1) if contrast.clean[row, i] != contrast.counterfactual[row, i]]
        names = {
            role: model.decode([int(contrast.clean[row, int(at[row])])]).strip() for role, at in found.roles.items()
        }
        assert all(model.decode([token]) in prompt.answer for token in contrast.answers[row])
        if task == "ioi":
            assert different == [int(found.roles["S2"][row])]
            assert int(found.roles["S1"][row]) < int(found.roles["S2"][row])
            assert (names["S1"], names["S2"], names["IO"]) == (prompt.wrong[0][1:],) * 2 + (prompt.answer[0][1:],)
        elif task == "colored_objects":
            query = int(found.roles["query"][row])
            assert query in different
            assert all(query - 3 < i < query + 3 for i in different)
            colours = [names[role].capitalize() for role in ("right", "wrong1", "wrong2")]
            assert [f" {colours[0]}"] == list(prompt.answer)
            assert {f" {colour}" for colour in colours} == set(prompt.choices)
            second = len(model.encode(prompt.clean.split("\nQ:")[0]))
            assert all(int(found.roles[role][row]) > second for role in ("right", "wrong1", "wrong2"))
        elif task == "greater_than":
            assert [int(found.roles["units"][row])] == different
            assert all(int(digit) > int(names["units"]) for digit in prompt.answer)
    assert len({prompt.clean for prompt in prompts}) > 20


def test_abc_prompts_repeat_no_name(model: LanguageModel) -> None:
    for prompt in make_task("ioi", model, 30, np.random.default_rng(0), "abc"):
        names = Counter(re.findall(r"[A-Z][a-z]+", prompt.counterfactual))
        assert not {prompt.answer[0][1:], prompt.wrong[0][1:]} & set(names)


@pytest.mark.skipif(not PUBLISHED.is_file(), reason=f"no published prompts: {PUBLISHED} is absent (WHEATSTONE_DATA)")
def test_colored_objects_are_worded_as_the_published_ones() -> None:
    """Every published prompt and every one of ours is an instance of one pattern, with the same words."""
    items = r"an? (\w+) (\w+), an? (\w+) (\w+), and an? (\w+) (\w+)\. "
    shot = r"Q: On the (table|desk|floor), (?:there is|you see|I see) " + items
    pattern = re.compile(shot + r"What color is the (\w+)\?\nA: (\w+)\n" + shot + r"What color is the (\w+)\?\nA:$")
    published = [pattern.fullmatch(prompt) for prompt, _ in json.loads(PUBLISHED.read_text())]
    ours = [
        pattern.fullmatch(p.clean) for p in make_task("colored_objects", own_model(1), 400, np.random.default_rng(0))
    ]
    assert all(published)
    assert all(ours)
    for group in (2, 3, 4, 5, 6, 7):
        assert {match[group] for match in ours if match} == {match[group] for match in published if match}


def test_files_come_back(tmp_path: Path) -> None:
    prompts = [
        Prompt("a b a", "a c a", (" b",), (" c", " d"), (" b", " c"), {"first": Role("a", 1), "b": Role("b")}),
        Prompt("é", "e", ("x",), ("y",), ("x", "y"), {}),
    ]
    save_prompts(tmp_path / "tasks.jsonl", prompts)
    assert load_prompts(tmp_path / "tasks.jsonl") == prompts


GOOD = {"clean": "Mary and John", "counterfactual": "John and John", "answer": " Mary", "wrong": " John"}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"answer": None}, "field 'answer'"),
        ({"wrong": []}, "field 'wrong'"),
        ({"answer": [1]}, "field 'answer'"),
        ({"clean": 3}, "field 'clean'"),
        ({"roles": []}, "field 'roles'"),
        ({"roles": {"x": {"text": "Mary", "occurrence": True}}}, "field 'roles'"),
        ({"anser": 1}, "unknown field"),
    ],
)
def test_lines_that_are_no_prompts_are_refused(change: dict[str, object], word: str, tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text(json.dumps(GOOD) + "\n\n" + json.dumps({**GOOD, **change}) + "\n")
    with pytest.raises(UserError, match=r"tasks\.jsonl:3 ") as caught:
        load_prompts(path)
    assert word in str(caught.value)


@pytest.mark.parametrize(
    ("prompt", "word"),
    [
        (Prompt("went to the", "went to", (" ring",), (" bone",), (" ring",)), "must be as many"),
        (Prompt("gave a", "gave a", (" ring bone",), (" bone",), ()), "' ring bone' is 2 tokens"),
        (Prompt("gave a", "gave a", (" ring",), (" ring",), ()), "is also an answer"),
        (Prompt("a ring a", "a bone a", (" ring",), (" bone",), (), {"x": Role("a")}), "occurs 2 times; say which"),
        (Prompt("a ring a", "a bone a", (" ring",), (" bone",), (), {"x": Role("a", 3)}), "no occurrence 3"),
        (Prompt("a ring a", "a bone a", (" ring",), (" bone",), (), {"x": Role("z")}), "does not occur"),
        (Prompt("a " * 200, "a " * 200, (" ring",), (" bone",), ()), "128 positions"),
    ],
)
def test_prompts_that_do_not_fit_the_model_are_refused(prompt: Prompt, word: str) -> None:
    fine = Prompt("gave a", "gave a", (" ring",), (" bone",), (" ring", " bone"))
    with pytest.raises(UserError, match="mine:2 ") as caught:
        encode_prompts(own_model(1), "mine", [fine, prompt])
    assert word in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    for data, word in ((b"\xff\xfe", "UTF-8"), (b"", "no prompts"), (b"[" * 100_000, "not JSON")):
        (tmp_path / "x.jsonl").write_bytes(data)
        with pytest.raises(UserError, match=word):
            load_prompts(tmp_path / "x.jsonl")
    with pytest.raises(UserError, match="cannot be read"):
        load_prompts(tmp_path)

"""`wheatstone apply`: verbs are typed functions, and a bad file is one message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Command

from wheatstone.bench import registry
from wheatstone.bench.registry import load_file
from wheatstone.bench.study import Study

APPLY = ("apply", "my_study.py")


def test_a_verb_gets_the_users_file(wheatstone: Command, tmp_path: Path) -> None:
    (tmp_path / "steps.txt").write_text("1\n2.5\n", encoding="utf-8")
    assert wheatstone(*APPLY, "walk", "steps.txt") == (0, "3.5\n", "")


def test_a_bad_file_is_its_faults(wheatstone: Command, tmp_path: Path) -> None:
    (tmp_path / "steps.txt").write_text("1\nx\n", encoding="utf-8")
    done = wheatstone(*APPLY, "walk", "steps.txt")
    assert done == (2, "", "steps.txt:2: 'x' is not a number. A line is one step.\n")


def test_a_file_that_is_not_there(wheatstone: Command) -> None:
    assert wheatstone(*APPLY, "walk", "no.txt") == (2, "", "no.txt: No such file or directory.\n")


def test_an_unknown_verb_is_answered_with_the_nearest(wheatstone: Command) -> None:
    done = wheatstone(*APPLY, "wlk", "steps.txt")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("toy: no verb 'wlk'. Did you mean 'walk'?\nVerbs of toy")


def test_help_at_every_depth(wheatstone: Command) -> None:
    assert "STUDY VERB INPUT" in wheatstone("apply", "--help").out
    assert wheatstone("apply").code == 2
    assert "Where the steps in a file end" in wheatstone(*APPLY, "--help").out
    assert wheatstone(*APPLY).code == 2
    done = wheatstone(*APPLY, "walk", "--help")
    assert done.code == 0
    assert "Where the steps in a file end" in done.out


def test_the_bounds_of_an_option_hold(wheatstone: Command) -> None:
    done = wheatstone("apply", "hamiltonian-meta", "adapt", "model", "orbit.csv", "--shots", "0")
    assert done == (2, "", "apply hamiltonian-meta adapt --shots: got 0, must be at least 1.\n")


def test_a_missing_argument(wheatstone: Command) -> None:
    done = wheatstone(*APPLY, "walk")
    assert (done.code, done.out) == (2, "")


@pytest.mark.parametrize("name", ["grok", "ask", "circuit"])
def test_short_names_are_verbs_of_the_knowledge_graph_study(
    wheatstone: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import dataclasses

    toy: Study[Any] = load_file(tmp_path / "my_study.py")
    renamed = dataclasses.replace(toy, verbs=(dataclasses.replace(toy.verbs[0], name=name),))
    asked: list[str] = []
    monkeypatch.setattr(registry, "load", lambda study: asked.append(study) or renamed)
    (tmp_path / "steps.txt").write_text("4\n", encoding="utf-8")
    assert wheatstone(name, "steps.txt") == (0, "4.0\n", "")
    assert asked == ["grokking-in-the-wild"]

"""`wheatstone list` and `wheatstone show`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import TOY, Command

from wheatstone.bench import registry
from wheatstone.bench.registry import Entry, Origin, read_card


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy study as the only one in the registry."""
    card = read_card(TOY)
    assert card is not None
    monkeypatch.setattr(registry, "entries", lambda: [Entry(card, Origin(str(TOY)), TOY)])


def run_it(wheatstone: Command) -> None:
    wheatstone("run", "my_study.py", "--preset", "cpu", "--engine", "inline", "--config.steps", "20")


@pytest.mark.usefixtures("installed")
def test_list_shows_the_claim_and_the_last_verdict(wheatstone: Command) -> None:
    before = wheatstone("list")
    assert before.code == 0
    assert "A drifting walk ends above a still one" in before.out
    assert "not run yet" in before.out
    run_it(wheatstone)
    assert "1 hold (cpu, 3 seeds)" in wheatstone("list").out


@pytest.mark.usefixtures("installed")
def test_list_as_json(wheatstone: Command) -> None:
    run_it(wheatstone)
    (row,) = json.loads(wheatstone("list", "--json").out)
    assert row["name"] == "toy"
    assert row["presets"] == ["smoke", "cpu"]
    assert row["last"] == {"preset": "cpu", "seeds": [0, 1, 2], "verdicts": {"drift-leaves": "holds"}}


@pytest.mark.usefixtures("installed")
def test_a_damaged_run_does_not_stop_the_list(wheatstone: Command, tmp_path: Path) -> None:
    (tmp_path / "runs" / "broken").mkdir(parents=True)
    (tmp_path / "runs" / "broken" / "findings.json").write_text("{", encoding="utf-8")
    assert wheatstone("list").code == 0


def test_nothing_in_a_pipe_is_coloured(wheatstone: Command) -> None:
    assert "\x1b" not in wheatstone("show", "my_study.py").out


def test_show_prints_the_whole_case(wheatstone: Command) -> None:
    out = wheatstone("show", "my_study.py").out
    for text in ("Falsified by", "position of drifting higher than that of still", "page 294", "drift = 0.0", "walk"):
        assert text in out


def test_show_as_json(wheatstone: Command) -> None:
    shown = json.loads(wheatstone("show", "my_study.py", "--json").out)
    assert shown["card"]["name"] == "toy"
    assert shown["claims"][0]["margin"] == 1.0
    assert shown["presets"]["smoke"]["config"]["steps"] == 40
    assert shown["settings"]["steps"] == "Steps of the walk."
    assert shown["verbs"] == {"walk": "Where the steps in a file end, one number a line."}


def test_show_of_an_unknown_study(wheatstone: Command) -> None:
    assert wheatstone("show", "grok-wlid") == (2, "", "unknown study 'grok-wlid'. All of them: wheatstone list\n")

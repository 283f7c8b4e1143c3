"""Where a run goes: the same content finds the same directory, other content another."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from wheatstone.bench.errors import UserError
from wheatstone.bench.place import run_path
from wheatstone.bench.study import Study

ARMS = ("drifting", "still")


def test_everything_that_makes_a_run_another_changes_its_directory(toy: Study[Any], tmp_path: Path) -> None:
    config = toy.presets["cpu"].config
    one, two = tmp_path / "one.tsv", tmp_path / "two.tsv"
    one.write_text("1", encoding="utf-8")
    two.write_text("2", encoding="utf-8")
    places = [
        run_path(toy, "cpu", config, (0, 1), ARMS),
        run_path(toy, "smoke", config, (0, 1), ARMS),
        run_path(toy, "cpu", dataclasses.replace(config, steps=7), (0, 1), ARMS),
        run_path(toy, "cpu", config, (0,), ARMS),
        run_path(toy, "cpu", config, (0, 1), ARMS[:1]),
        run_path(toy, "cpu", config, (0, 1), ARMS, {"facts": one}),
        run_path(toy, "cpu", config, (0, 1), ARMS, {"facts": two}),
    ]
    assert len(set(places)) == len(places)
    assert places[0] == run_path(toy, "cpu", config, [0, 1], list(ARMS))
    assert places[0].parent == Path("runs")
    assert places[0].name.startswith("toy-cpu-")


def test_the_content_of_an_input_counts_and_not_its_name(toy: Study[Any], tmp_path: Path) -> None:
    for name in ("a.tsv", "b.tsv"):
        (tmp_path / name).write_text("same", encoding="utf-8")
    config = toy.presets["cpu"].config
    here, there = (run_path(toy, "cpu", config, (0,), ARMS, {"facts": tmp_path / name}) for name in ("a.tsv", "b.tsv"))
    assert here == there


def test_an_input_that_is_not_there(toy: Study[Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no\.tsv: cannot be read"):
        run_path(toy, "cpu", toy.presets["cpu"].config, (0,), ARMS, {"facts": tmp_path / "no.tsv"})

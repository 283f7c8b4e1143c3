"""`wheatstone sweep`: from the command to the report, and every way to ask for it wrongly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Command

from wheatstone.bench.sweep.directory import Sweep

SWEEP = ("sweep", "my_study.py", "--preset", "smoke", "--engine", "inline")
SPREAD = ("--grid", "spread=3,0.1")


def only_sweep(folder: Path) -> Sweep:
    (path,) = (folder / "runs").iterdir()
    return Sweep.open(path)


def test_a_sweep_prints_its_directory_verdicts_and_report(wheatstone: Command, tmp_path: Path) -> None:
    done = wheatstone(*SWEEP, *SPREAD, "--seeds", "3", "--grid", "steps=40,5")
    sweep = only_sweep(tmp_path)
    assert done.code == 0
    assert done.err.startswith(f"Sweep directory: runs/{sweep.path.name}, 4 points, 24 trials\n")
    rows = [line.split() for line in done.out.splitlines() if line.startswith(("0.1", "3"))]
    assert [row[:2] for row in rows] == [["0.1", "5"], ["0.1", "40"], ["3", "5"], ["3", "40"]]
    assert rows[1][2:] == ["✓", "holds"]
    assert done.out.endswith(f"Report: runs/{sweep.path.name}/report.html\n")
    stored = json.loads((sweep.path / "sweep_findings.json").read_text(encoding="utf-8"))
    assert stored["grid"] == {"spread": [0.1, 3.0], "steps": [5, 40]}


def test_the_same_command_finds_the_same_sweep(wheatstone: Command, tmp_path: Path) -> None:
    wheatstone(*SWEEP, *SPREAD)
    again = wheatstone(*SWEEP, "--grid", "spread=0.1,3")
    assert again.code == 0
    assert "8 of 8 trials are done already" in again.err
    assert only_sweep(tmp_path)


def test_worker_processes_find_the_same(wheatstone: Command, tmp_path: Path) -> None:
    wheatstone(*SWEEP, *SPREAD, "--out", "inline")
    words = ("sweep", "my_study.py", "--preset", "smoke", "--jobs", "2", *SPREAD, "--out", "local")
    assert wheatstone(*words).code == 0
    found = [json.loads((tmp_path / name / "sweep_findings.json").read_text()) for name in ("inline", "local")]
    for values in found:
        for point in values["points"]:
            del point["cost"]
    assert found[0] == found[1]


def test_fresh_starts_anew_and_throws_nothing_else_away(wheatstone: Command, tmp_path: Path) -> None:
    wheatstone(*SWEEP, *SPREAD, "--out", "here")
    (tmp_path / "here" / "mine.txt").touch()
    assert ", 8 trials\n" in wheatstone(*SWEEP, *SPREAD, "--out", "here", "--fresh").err
    assert not (tmp_path / "here" / "mine.txt").exists()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").touch()
    done = wheatstone(*SWEEP, *SPREAD, "--out", "thesis", "--fresh")
    assert (done.code, done.err) == (2, "thesis: not a sweep directory, it has no sweep.json.\n")
    assert (tmp_path / "thesis" / "chapter.tex").exists()


def test_fresh_leaves_another_studys_sweep(wheatstone: Command, tmp_path: Path) -> None:
    wheatstone(*SWEEP, *SPREAD, "--out", "here")
    place = tmp_path / "here" / "sweep.json"
    place.write_text(place.read_text().replace('"toy"', '"another"'))
    done = wheatstone(*SWEEP, *SPREAD, "--fresh", "--out", "here")
    assert done == (2, "", "here: holds a sweep of 'another' and stays as it is. Choose another --out.\n")


def test_a_fixed_arm_that_was_asked_for_is_noted(wheatstone: Command) -> None:
    done = wheatstone(*SWEEP, "--grid", "drift=1,2", "--arms", "drifting,still")
    assert done.code == 0
    assert done.err.startswith("Note: toy --grid drift: set by arm still, which would not vary with it")


def test_report_and_serve_take_points_and_report_takes_sweeps(wheatstone: Command, tmp_path: Path) -> None:
    wheatstone(*SWEEP, *SPREAD, "--out", "here")
    page = tmp_path / "here" / "report.html"
    before = page.read_bytes()
    page.unlink()
    done = wheatstone("report", "here", "--study", "my_study.py")
    assert (done.code, done.out.splitlines()[-1]) == (0, "Report: here/report.html")
    assert page.read_bytes() == before
    printed = json.loads(wheatstone("report", "here", "--study", "my_study.py", "--json").out)
    assert printed == json.loads((tmp_path / "here" / "sweep_findings.json").read_text())
    point = wheatstone("report", "here/points/spread=3", "--study", "my_study.py")
    assert point.out.endswith("Report: here/points/spread=3/report.html\n")


def test_list_is_not_disturbed(wheatstone: Command) -> None:
    before = wheatstone("list")
    wheatstone(*SWEEP, *SPREAD)
    assert wheatstone("list") == before


def test_the_settings_of_all_points_can_be_changed(wheatstone: Command, tmp_path: Path) -> None:
    wheatstone(*SWEEP, *SPREAD, "--config.steps", "7", "--seeds", "0,4", "--threads", "2")
    sweep = only_sweep(tmp_path)
    assert (sweep.overrides, sweep.seeds, sweep.threads) == ({"steps": 7}, (0, 4), 2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("sweep",), ""),
        (("sweep", "nothing", *SPREAD), "unknown study 'nothing'. All of them: wheatstone list"),
        (("sweep", "--grid", "a=1", "toy"), "wheatstone sweep: the study comes first, before --grid."),
        (SWEEP, "toy --grid: missing. A grid is a setting and its values, as --grid phi=3.6,9,15."),
        ((*SWEEP, "--grid", "spred=1,2"), "toy --grid spred: there is no such setting. Did you mean 'spread'?"),
        ((*SWEEP, "--grid", "spread=0,1"), "toy --grid spread: got 0, must be above 0 (standard deviation of a step"),
        ((*SWEEP, "--grid", "drift=1,2"), "toy --grid drift: set by arm still, which would not vary with it"),
        ((*SWEEP, *SPREAD, "--config.spread", "2"), "toy --config.spread: 2, and --grid spread gives it other values."),
        ((*SWEEP, *SPREAD, "--jobs", "0"), "--jobs: got 0, must be at least 1 (worker processes)."),
        ((*SWEEP, *SPREAD, "--threads", "0"), "--threads: got 0, must be at least 1 (threads of each trial)."),
        ((*SWEEP, *SPREAD, "--arms", "stil"), "toy: no arm 'stil'. Did you mean 'still'? It has drifting, still."),
    ],
)
def test_a_wrong_request_is_one_message(
    wheatstone: Command, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    done = wheatstone(*words)
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "runs").exists()


def test_help(wheatstone: Command) -> None:
    assert "--grid FIELD=a,b,c" in wheatstone("sweep", "--help").out
    done = wheatstone("sweep", "my_study.py", "--preset", "smoke", "--help")
    assert done.code == 0
    assert "--grid FIELD=a,b,c" in done.out
    assert "Steps of the walk. (default: 40)" in " ".join(done.out.split())

"""`wheatstone run`: where a run goes, what it prints, and every way to ask for it wrongly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Command

from wheatstone.bench.errors import UserError
from wheatstone.bench.run import Run
from wheatstone.cli.run import parse_seeds

SMOKE = ("run", "my_study.py", "--preset", "smoke", "--engine", "inline")


def only_run(folder: Path) -> Run:
    (path,) = (folder / "runs").iterdir()
    return Run.open(path)


def test_a_run_prints_its_directory_verdicts_and_report(wheatstone: Command, tmp_path: Path) -> None:
    done = wheatstone(*SMOKE, "--seeds", "3")
    run = only_run(tmp_path)
    assert done.code == 0
    assert done.err.startswith(f"Run directory: runs/{run.path.name}, 6 trials\n")
    assert "✓ holds" in done.out
    assert done.out.endswith(f"Report: runs/{run.path.name}/report.html\n")
    assert (run.path / "report.html").exists()


def test_the_same_command_finds_the_same_run(wheatstone: Command, tmp_path: Path) -> None:
    wheatstone(*SMOKE)
    before = only_run(tmp_path).trial("still", 0).path.joinpath("measures.json").stat().st_mtime_ns
    again = wheatstone(*SMOKE)
    assert again.code == 0
    assert "4 of 4 trials are done already" in again.err
    assert only_run(tmp_path).trial("still", 0).path.joinpath("measures.json").stat().st_mtime_ns == before


def test_fresh_starts_anew(wheatstone: Command, tmp_path: Path) -> None:
    wheatstone(*SMOKE)
    (only_run(tmp_path).path / "mine.txt").write_text("gone", encoding="utf-8")
    assert ", 4 trials\n" in wheatstone(*SMOKE, "--fresh").err
    assert not (only_run(tmp_path).path / "mine.txt").exists()


def test_fresh_throws_nothing_else_away(wheatstone: Command, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine", encoding="utf-8")
    done = wheatstone(*SMOKE, "--fresh", "--out", "thesis")
    assert (done.code, done.out) == (2, "")
    assert "not a run directory" in done.err
    assert (tmp_path / "thesis" / "chapter.tex").exists()


def test_fresh_leaves_another_studys_run(wheatstone: Command, tmp_path: Path) -> None:
    wheatstone(*SMOKE, "--out", "here")
    place = tmp_path / "here" / "run.json"
    record = json.loads(place.read_text(encoding="utf-8"))
    place.write_text(json.dumps(record | {"study_name": "another"}), encoding="utf-8")
    done = wheatstone(*SMOKE, "--fresh", "--out", "here")
    assert done == (2, "", "here: holds a run of 'another' and stays as it is. Choose another --out.\n")


def test_settings_reach_the_trials(wheatstone: Command, tmp_path: Path) -> None:
    wheatstone(*SMOKE, "--config.steps", "7", "--config.drift=-1", "--arms", "still,drifting", "--seeds", "0,4")
    run = only_run(tmp_path)
    assert run.base_config["steps"] == 7
    assert run.overrides == {"steps": 7, "drift": -1.0}
    assert (run.arms, run.seeds) == (("drifting", "still"), (0, 4))


def test_another_order_of_arms_is_the_same_run(wheatstone: Command, tmp_path: Path) -> None:
    wheatstone(*SMOKE, "--arms", "still,drifting")
    wheatstone(*SMOKE, "--arms", "drifting,still")
    assert only_run(tmp_path)


def test_worker_processes_find_the_same(wheatstone: Command, tmp_path: Path) -> None:
    wheatstone(*SMOKE, "--out", "inline")
    assert wheatstone("run", "my_study.py", "--preset", "smoke", "--jobs", "2", "--out", "local").code == 0
    inline, local = (Run.open(tmp_path / name).findings() for name in ("inline", "local"))
    assert inline is not None
    assert local is not None
    assert inline.decided() == local.decided()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "nothing"), "unknown study 'nothing'. All of them: wheatstone list"),
        (("run", "no_study.py"), "no such file"),
        (("run", "--preset", "cpu", "toy"), "wheatstone run: the study comes first, before --preset."),
        (("run", "my_study.py", "--preset", "smok"), "toy: no preset 'smok'. Did you mean 'smoke'? It has smoke, cpu."),
        (("run", "my_study.py", "--preset=big"), "toy: no preset 'big'. It has smoke, cpu."),
        ((*SMOKE, "--arms", "stil"), "toy: no arm 'stil'. Did you mean 'still'? It has drifting, still."),
        ((*SMOKE, "--arms", ","), "--arms: got ',', must name at least one arm of toy."),
        ((*SMOKE, "--seeds", "x"), "--seeds: got x, must be a number of seeds, as 3, or different seeds, as 0,4,7"),
        ((*SMOKE, "--seeds", "99999999999"), "at most 10,000 of them."),
        ((*SMOKE, "--jobs", "0"), "--jobs: got 0, must be at least 1 (worker processes)."),
        ((*SMOKE, "--config.spread", "0"), "toy --spread: got 0, must be above 0 (standard deviation of a step"),
    ],
)
def test_a_wrong_request_is_one_message(
    wheatstone: Command, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    done = wheatstone(*words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert not (tmp_path / "runs").exists()


def test_an_unknown_option_is_answered_with_the_nearest(wheatstone: Command) -> None:
    done = wheatstone(*SMOKE, "--config.stpes", "3")
    assert done.code == 2
    assert "--config.steps" in done.err


def test_help_shows_the_studys_own_settings_with_the_presets_values(wheatstone: Command) -> None:
    assert "--config.FIELD" in wheatstone("run", "--help").out
    done = wheatstone("run", "my_study.py", "--preset", "smoke", "--help")
    assert done.code == 0
    assert "Steps of the walk. (default: 40)" in " ".join(done.out.split())
    assert wheatstone("run").code == 2


@pytest.mark.parametrize(
    ("text", "seeds"), [(None, (0, 1)), ("3", (0, 1, 2)), ("0,4,7", (0, 4, 7)), ("5,", (5,)), ("2, 1", (2, 1))]
)
def test_seeds(text: str | None, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text, 2) == seeds


@pytest.mark.parametrize("text", ["", "0", "-1", "1,1", "1,-2", "a", "1;2", "1.5", ","])
def test_seeds_that_mean_nothing(text: str) -> None:
    with pytest.raises(UserError, match="--seeds: got"):
        parse_seeds(text, 2)

"""What a sweep shows: every plotted number is one of its findings, axes are in numeric order, the page stands alone."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest
from scipy import stats
from starlette.testclient import TestClient

from wheatstone.bench.engine import InlineEngine
from wheatstone.bench.errors import UserError
from wheatstone.bench.exhibit import SLUG, Bars, Heatmap, Lines, Note, Table
from wheatstone.bench.files import read_json
from wheatstone.bench.serve import make_app, summaries
from wheatstone.bench.study import Study
from wheatstone.bench.sweep.directory import Sweep
from wheatstone.bench.sweep.execute import execute_sweep
from wheatstone.bench.sweep.exhibits import MOST_FIGURES, exhibits, is_spread, slugged
from wheatstone.bench.sweep.findings import SweepFindings
from wheatstone.bench.sweep.grid import parse_grid
from wheatstone.bench.sweep.report import sweep_command, write_sweep_report


@pytest.fixture
def swept(toy: Study[Any], tmp_path: Path) -> Any:
    """Performs a sweep of the toy study without reports."""

    def sweep(*words: str, study: Study[Any] = toy, seeds: tuple[int, ...] = (0, 1, 2)) -> SweepFindings:
        config = study.presets["smoke"].config
        grid = parse_grid(study, config, words)
        made = Sweep.create(tmp_path / "sweep", study, "smoke", config, seeds, ("drifting", "still"), 1, grid)
        return execute_sweep(made, study, InlineEngine(), report=False)

    return sweep


def stored_values(tmp_path: Path, values: dict[str, Any], arm: str, measure: str) -> list[float]:
    """A measure's values over the seeds at the point with these values, from the file alone."""
    points = read_json(tmp_path / "sweep" / "sweep_findings.json")["points"]
    (point,) = (one for one in points if one["values"] == values)
    return [point["measures"][arm][measure][str(seed)] for seed in range(3)]


def test_one_field_gives_a_curve_with_its_t_interval(swept: Any, toy: Study[Any], tmp_path: Path) -> None:
    found = swept("steps=100,5,20")
    position, speed, table = exhibits(found, toy)
    assert isinstance(position, Lines)
    assert isinstance(speed, Lines)
    assert isinstance(table, Table)
    assert (position.x_title, position.y_title, position.log_x) == ("steps", "position", True)
    assert [line.label for line in position.lines] == ["drifting", "still"]
    for line in position.lines:
        assert tuple(line.x) == (5.0, 20.0, 100.0)
        assert line.low is not None
        assert line.high is not None
        for at, steps in enumerate((5, 20, 100)):
            values = stored_values(tmp_path, {"steps": steps}, line.label, "position")
            assert line.y[at] == pytest.approx(statistics.mean(values), rel=1e-12)
            low, high = stats.t.interval(0.95, 2, statistics.mean(values), stats.sem(values))
            assert (line.low[at], line.high[at]) == pytest.approx((low, high), rel=1e-6)


def test_two_fields_give_a_map_an_arm(swept: Any, toy: Study[Any], tmp_path: Path) -> None:
    found = swept("steps=9,30,20", "spread=3,0.1")
    figures = [one for one in exhibits(found, toy) if isinstance(one, Heatmap)]
    assert [figure.name for figure in figures] == [
        "position-drifting",
        "position-still",
        "speed-drifting",
        "speed-still",
    ]
    for figure in figures:
        assert (figure.x, figure.y) == (("9", "20", "30"), ("0.1", "3"))
        measure, arm = figure.name.split("-")
        for row, spread in enumerate((0.1, 3.0)):
            for column, steps in enumerate((9, 20, 30)):
                values = stored_values(tmp_path, {"steps": steps, "spread": spread}, arm, measure)
                assert figure.values[row][column] == pytest.approx(statistics.mean(values), rel=1e-12)
    position = figures[:2]
    assert position[0].value_range == position[1].value_range, "one scale a measure"
    assert position[0].value_range == (
        min(value for one in position for row in one.values for value in row),
        max(value for one in position for row in one.values for value in row),
    )


def test_a_third_field_repeats_the_map(swept: Any, toy: Study[Any], tmp_path: Path) -> None:
    found = swept("steps=9,30", "spread=3,0.1", "drift=-1,2")
    figures = {one.name: one for one in exhibits(found, toy) if isinstance(one, Heatmap)}
    assert "position-drifting-drift-minus-1" in figures
    drawn = figures["position-drifting-drift-2"]
    assert drawn.title == "position of drifting, drift=2, n = 3 seeds"
    values = stored_values(tmp_path, {"steps": 30, "spread": 0.1, "drift": 2.0}, "drifting", "position")
    assert drawn.values[0][1] == pytest.approx(statistics.mean(values), rel=1e-12)


def test_an_arm_that_stays_the_same_is_a_level_line_and_no_map(swept: Any, toy: Study[Any]) -> None:
    found = swept("drift=1,2")
    position = exhibits(found, toy)[0]
    assert isinstance(position, Lines)
    assert len(set(position.lines[1].y)) == 1
    assert len(set(position.lines[0].y)) == 2


def test_an_arm_that_stays_the_same_has_no_map(swept: Any, toy: Study[Any]) -> None:
    fixed = dataclasses.replace(toy.arms[1], changes={"drift": 0.0, "steps": 5})
    study = dataclasses.replace(toy, arms=(toy.arms[0], fixed))
    names = [one.name for one in exhibits(swept("drift=1,2", "steps=6,7", study=study), study)]
    assert names == ["position-drifting", "speed-drifting", "all-points"]


@dataclasses.dataclass(frozen=True)
class Named:
    """The walk's settings, and one that is a word."""

    steps: int = 8
    """Steps."""
    drift: float = 0.5
    """Drift."""
    spread: float = 0.3
    """Spread."""
    every: int = 5
    """Steps between checkpoints."""
    pause: float = 0.0
    """Pause."""
    sign: str = "up"
    """Where to."""


def test_a_field_of_words_gives_bars(swept: Any, toy: Study[Any]) -> None:
    presets = {"smoke": dataclasses.replace(toy.presets["smoke"], config=Named())}

    def walk(trial: Any) -> dict[str, float]:
        sign = -1.0 if trial.config.sign == "down" else 1.0
        return {name: sign * value for name, value in toy.run(trial).items()}

    study = dataclasses.replace(toy, config=Named, presets=presets, run=walk)
    position = exhibits(swept("sign=up,down", study=study), study)[0]
    assert isinstance(position, Bars)
    assert position.groups == ("sign=up", "sign=down")
    drifting = position.series[0]
    assert drifting.values[0] == -drifting.values[1]
    assert drifting.low is not None
    assert drifting.low[0] < drifting.values[0]


def test_a_share_has_the_whole_scale(swept: Any, toy: Study[Any]) -> None:
    study = dataclasses.replace(toy, measures={"position": "where", "speed": "share of steps that count [0, 1]"})

    def walk(trial: Any) -> dict[str, float]:
        return {"position": trial.config.steps / 100, "speed": trial.config.steps / 1000}

    study = dataclasses.replace(study, run=walk)
    figures = {one.name: one for one in exhibits(swept("steps=9,20", "spread=1,2", study=study), study)}
    position, speed = figures["position-still"], figures["speed-still"]
    assert isinstance(position, Heatmap)
    assert isinstance(speed, Heatmap)
    assert (position.value_range, speed.value_range) == ((0.09, 0.2), (0.0, 1.0))


def test_what_has_no_value_is_a_gap(swept: Any, toy: Study[Any]) -> None:
    def walk(trial: Any) -> dict[str, float]:
        measures = dict(toy.run(trial))
        return measures | {"speed": math.nan if trial.config.steps == 9 else measures["speed"]}

    study = dataclasses.replace(toy, run=walk)
    figures = {one.name: one for one in exhibits(swept("steps=9,20,30", "spread=1,2", study=study), study)}
    speed = figures["speed-drifting"]
    assert isinstance(speed, Heatmap)
    assert [math.isnan(value) for value in speed.values[0]] == [True, False, False]


def test_a_single_seed_has_no_interval(swept: Any, toy: Study[Any]) -> None:
    position = exhibits(swept("steps=9,20", seeds=(0,)), toy)[0]
    assert isinstance(position, Lines)
    assert position.lines[0].low is not None
    assert all(map(math.isnan, position.lines[0].low))
    assert position.title == "position over steps, n = 1 seed"
    assert not position.log_x


def test_the_table_holds_every_point(swept: Any, toy: Study[Any], tmp_path: Path) -> None:
    table = exhibits(swept("steps=9,20", "spread=1,2"), toy)[-1]
    assert isinstance(table, Table)
    assert table.columns == ("steps", "spread", "arm", "seeds", "position", "speed", "wall time [s]")
    assert [row[:4] for row in table.rows[:3]] == [
        (9, 1.0, "drifting", 3),
        (9, 1.0, "still", 3),
        (9, 2.0, "drifting", 3),
    ]
    values = stored_values(tmp_path, {"steps": 9, "spread": 2.0}, "drifting", "speed")
    assert table.rows[2][5] == pytest.approx(statistics.mean(values), rel=1e-12)


def test_more_figures_than_a_page_holds_are_named(swept: Any, toy: Study[Any]) -> None:
    measures = {**toy.measures, **{f"extra_{number}": "another" for number in range(MOST_FIGURES)}}

    def walk(trial: Any) -> dict[str, float]:
        found = toy.run(trial)
        return {name: found.get(name, found["position"]) for name in measures}

    study = dataclasses.replace(toy, measures=measures, run=walk)
    shown = exhibits(swept("steps=3,4", "spread=1,2", study=study, seeds=(0,)), study)
    assert [one.name for one in shown[:2]] == ["position-drifting", "position-still"]
    assert len(shown) == MOST_FIGURES + 2
    note = shown[-2]
    assert isinstance(note, Note)
    assert note.text.startswith("extra_22, extra_23")


def test_names_and_axes() -> None:
    assert slugged("step_id_95", "own_facts", "phi=-3.6") == "step-id-95-own-facts-phi-minus-3p6"
    assert slugged("φ") == "figure"
    assert all(SLUG.fullmatch(slugged(text)) for text in ("A/b", "1e-05", "__x__", "weight_decay=1e-05"))
    assert (is_spread([1, 10]), is_spread([1, 10.1]), is_spread([0, 100])) == (False, True, False)


def test_the_page_holds_verdicts_links_and_the_command(swept: Any, toy: Study[Any], tmp_path: Path) -> None:
    found = swept("spread=0.1,3", "steps=5,40")
    sweep = Sweep.open(tmp_path / "sweep")
    page = write_sweep_report(sweep, toy, found).read_text(encoding="utf-8")
    verdicts = page.split('id="verdicts"')[1].split("How a verdict is reached")[0]
    assert re.findall(r"[✓✗?] (\w+)", verdicts) == [
        verdict.outcome for one in found.points for verdict in one.findings.verdicts
    ]
    for one in found.points:
        assert f'href="points/{one.point.slug.replace("=", "%3D")}/report.html"' in page
    command = "wheatstone sweep toy --preset smoke --seeds 3 --grid spread=0.1,3 --grid steps=5,40"
    assert sweep_command(found, toy) == command
    assert f"<pre>{command}</pre>" in page
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page), "nothing is asked from outside"
    assert json.loads(re.search(r'id="findings">(.*?)</script>', page)[1]) == read_json(  # type: ignore[index]
        sweep.path / "sweep_findings.json"
    )
    assert {path.name for path in (sweep.path / "figures").glob("*.png")} == {
        f"{measure}-{arm}.png" for measure in ("position", "speed") for arm in ("drifting", "still")
    }


def test_a_sweep_that_has_not_begun_has_no_report(toy: Study[Any], tmp_path: Path) -> None:
    config = toy.presets["smoke"].config
    grid = parse_grid(toy, config, ("steps=1,2",))
    sweep = Sweep.create(tmp_path / "sweep", toy, "smoke", config, (0,), ("still",), 1, grid)
    found = SweepFindings("toy", "smoke", (0,), {}, {}, {"still": {}}, grid, ())
    with pytest.raises(UserError, match="no point of this sweep has begun"):
        write_sweep_report(sweep, toy, found)


def test_serve_finds_the_points(swept: Any, toy: Study[Any], tmp_path: Path) -> None:
    found = swept("spread=3,0.1")
    sweep = Sweep.open(tmp_path / "sweep")
    write_sweep_report(sweep, toy, found)
    place = tmp_path / "sweep" / "points" / "spread=3"
    (place / "report.html").write_text("<!doctype html>its own page", encoding="utf-8")
    (tmp_path / "secret").mkdir()
    shutil.copytree(place, tmp_path / "sweep" / "other" / "spread=3")
    (tmp_path / "sweep" / "points" / "link").symlink_to(tmp_path / "secret")
    assert [(one["name"], one["sweep"], one["state"]) for one in summaries(tmp_path)] == [
        ("sweep/points/spread=0.1", "sweep", "finished"),
        ("sweep/points/spread=3", "sweep", "finished"),
    ]
    with TestClient(make_app(tmp_path), base_url="http://localhost") as client:
        page = client.get("/").text
        assert "2 of 2 finished." in page
        assert page.count('id="run-sweep/points/') == 2
        assert client.get("/runs/sweep/").text.startswith("<!doctype html>")
        for address in ("/runs/sweep/points/spread%3D3/", "/runs/sweep/points/spread%3D3/report.html"):
            assert client.get(address).text == "<!doctype html>its own page"
        metrics = client.get("/api/runs/sweep%2Fpoints%2Fspread%3D3/metrics").json()
        assert metrics["arms"] == ["drifting", "still"]
        for address in (
            "/runs/sweep/points/link/",
            "/runs/sweep/points/%2e%2e%2f%2e%2e%2fsecret/",
            "/runs/sweep/points/..%2F..%2Fsecret/",
            "/runs/sweep%2Fother%2Fspread%3D3/",
            "/runs/sweep/points/spread%3D3/run.json",
            "/runs/secret/",
        ):
            assert client.get(address).status_code == 404, address


def test_a_damaged_sweep_does_not_hide_the_rest(swept: Any, tmp_path: Path) -> None:
    swept("spread=3,0.1", seeds=(0,))
    (tmp_path / "sweep" / "points" / "spread=3" / "run.json").write_text("{")
    assert [one["state"] for one in summaries(tmp_path)] == ["finished", "damaged"]
    (tmp_path / "sweep" / "sweep.json").write_text("{")
    assert len(summaries(tmp_path)) == 2

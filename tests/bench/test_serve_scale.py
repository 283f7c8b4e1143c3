"""A thousand runs and a metrics file of 100 MB: the page stays quick. Bounds are CPU time of this process, generous
enough for a busy machine: a page that reads every run again is ten times over them."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from wheatstone.bench.engine import InlineEngine, execute_run
from wheatstone.bench.run import Run
from wheatstone.bench.serve import make_app
from wheatstone.bench.serve.curves import live_plots
from wheatstone.bench.serve.runs import Folder
from wheatstone.bench.study import Study

RUNS = 1000


@pytest.fixture
def many(toy: Study[Any], new_run: Callable[..., Run], tmp_path: Path) -> Path:
    """A folder of a thousand finished runs."""
    run = new_run("first", seeds=(0, 1, 2))
    execute_run(run, toy, InlineEngine(), report=False)
    runs = tmp_path / "runs"
    for number in range(RUNS):
        place = runs / f"run-{number:04}"
        place.mkdir(parents=True)
        for name in ("run.json", "findings.json"):
            shutil.copyfile(run.path / name, place / name)
        for arm in run.arms:
            for seed in run.seeds:
                (place / "arms" / arm / f"seed-{seed}").mkdir(parents=True)
                (place / "arms" / arm / f"seed-{seed}" / "measures.json").write_text("{}")
    return runs


def test_a_thousand_runs(many: Path) -> None:
    with TestClient(make_app(many), base_url="http://localhost") as client:
        assert client.get("/").status_code == 200
        started = time.process_time()
        page = client.get("/").text
        warm = time.process_time() - started
    assert page.count('data-state="finished"') == RUNS
    assert warm < 0.9, f"{warm:.3f} s of CPU time for a page that has been read before"
    folder = Folder(many.resolve())
    folder.summaries()
    started = time.process_time()
    assert len(folder.summaries()) == RUNS
    assert time.process_time() - started < 0.3


def test_what_is_kept_of_a_run_is_read_again_when_it_changes(many: Path) -> None:
    folder = Folder(many.resolve())
    assert all(one["state"] == "finished" for one in folder.summaries())
    shutil.rmtree(many / "run-0007")
    findings = json.loads((many / "run-0008" / "findings.json").read_text(encoding="utf-8"))
    findings["verdicts"][0]["outcome"] = "fails"
    (many / "run-0008" / "findings.json").write_text(json.dumps(findings), encoding="utf-8")
    (many / "run-0009" / "run.json").write_text("{", encoding="utf-8")
    found = {one["name"]: one for one in folder.summaries()}
    assert len(found) == RUNS - 1
    assert found["run-0008"]["verdicts"][0]["outcome"] == "fails"
    assert found["run-0009"]["state"] == "damaged"


def test_a_long_metrics_file_is_drawn_from_a_sample(new_run: Callable[..., Run]) -> None:
    run = new_run()
    record = run.trial("still", 0)
    record.path.mkdir(parents=True)
    with (record.path / "metrics.jsonl").open("w") as file:
        for first in range(0, 2_500_000, 10_000):
            file.write("".join(f'{{"step": {first + at + 1}, "loss": {1 / (1 + first)}}}\n' for at in range(10_000)))
    started = time.process_time()
    (plot,) = live_plots(run)
    assert time.process_time() - started < 1.0
    (line,) = plot.lines
    assert (line.x[0], line.x[-1]) == (1.0, 2_500_000.0)
    started = time.process_time()
    live_plots(run)
    assert time.process_time() - started < 0.1, "a file that has not changed is not read again"

"""The local page of runs: what it shows, and what it refuses."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from wheatstone.bench.engine import InlineEngine, execute_run
from wheatstone.bench.errors import UserError
from wheatstone.bench.run import Run
from wheatstone.bench.serve import live_curves, make_app, run_server, summaries, thinned
from wheatstone.bench.study import Study


@pytest.fixture
def client(toy: Study[Any], new_run: Callable[..., Run], tmp_path: Path) -> Iterator[TestClient]:
    execute_run(new_run("done", seeds=(0, 1)), toy, InlineEngine())
    new_run("waiting", seeds=(0,))
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.json").write_text("{", encoding="utf-8")
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    (tmp_path / "link").symlink_to("/etc")
    with TestClient(make_app(tmp_path), base_url="http://127.0.0.1:8765") as client:
        yield client


def test_the_page_lists_runs_with_state_verdicts_and_report(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert 'href="/runs/done/"' in page.text
    assert "A drifting walk ends above a still one." in page.text
    assert "damaged, not a JSON file" in page.text


def test_states(client: TestClient) -> None:
    states = {run["name"]: run["state"] for run in client.get("/api/runs").json()}
    assert states == {"done": "finished", "waiting": "unfinished", "damaged": "damaged"}


def test_a_run_is_running_while_its_process_lives(client: TestClient, tmp_path: Path) -> None:
    lock = tmp_path / "waiting" / "run.lock"

    def state() -> str:
        return next(run["state"] for run in client.get("/api/runs").json() if run["name"] == "waiting")

    lock.write_text(f"{os.getpid()}\n", encoding="utf-8")
    assert state() == "running"
    lock.write_text("4194305\n", encoding="utf-8")  # beyond the largest process number of Linux
    assert state() == "unfinished"


def test_live_metrics(client: TestClient, tmp_path: Path) -> None:
    metrics = client.get("/api/runs/done/metrics").json()
    assert metrics["arms"] == ["drifting", "still"]
    curve = metrics["curves"]["position"]["still"]["1"]
    assert curve == [[step, value] for step, value in Run.open(tmp_path / "done").curves("position", "still")[1]]
    assert client.get("/api/runs/waiting/metrics").json()["curves"] == {}


def test_report_and_figures(client: TestClient) -> None:
    assert client.get("/runs/done/").text.startswith("<!doctype html>")
    assert client.get("/runs/done/figures/walks.png").headers["content-type"] == "image/png"
    assert client.get("/runs/waiting/").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/runs/..%2Fdone/",
        "/runs/%2e%2e/",
        "/runs/link/",
        "/runs/secret.txt/",
        "/runs/damaged/",
        "/api/runs/..%2F..%2Fetc/metrics",
        "/api/runs/nothing/metrics",
        "/runs/done/figures/..%2Frun.json",
        "/runs/done/figures/%2e%2e",
        "/runs/done/figures/..%2F..%2Fsecret.txt",
        "/runs/done/run.json",
        "/etc/passwd",
    ],
)
def test_nothing_outside_the_runs_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", ""])
def test_a_host_that_is_not_this_machine_is_refused(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost:8765", "127.0.0.1:1"])
def test_this_machine_is_let_in(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 200


def test_only_reading_is_allowed(client: TestClient) -> None:
    assert client.post("/").status_code == 405
    assert client.delete("/runs/done/").status_code == 405


def test_a_name_stays_text(new_run: Callable[..., Run], tmp_path: Path) -> None:
    new_run("<img src=x onerror=alert(1)>")
    with TestClient(make_app(tmp_path), base_url="http://localhost") as client:
        assert "<img src=x" not in client.get("/").text


def test_an_empty_folder_says_how_to_make_a_run(tmp_path: Path) -> None:
    with TestClient(make_app(tmp_path), base_url="http://localhost") as client:
        assert "wheatstone run STUDY" in client.get("/").text
    assert summaries(tmp_path) == []


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    curve = [[step, float(step)] for step in range(10_001)]
    kept = thinned(curve)
    assert len(kept) <= 402
    assert (kept[0], kept[-1]) == (curve[0], curve[-1])
    assert thinned([]) == []


def test_a_line_that_is_being_written_does_not_disturb(new_run: Callable[..., Run]) -> None:
    run = new_run()
    record = run.trial("still", 0)
    record.path.mkdir(parents=True)
    (record.path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo', encoding="utf-8")
    assert live_curves(run)["curves"] == {"loss": {"still": {"0": [[1.0, 2.0]]}}}


def test_a_port_that_is_taken_is_a_clear_error(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UserError, match="cannot be used"):
            run_server(tmp_path, other.getsockname()[1])

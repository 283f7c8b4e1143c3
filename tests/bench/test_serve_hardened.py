"""The served page against what a web page, a link or a slow client may try: through a real server on a real socket."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.testclient import TestClient

from wheatstone.bench.engine import InlineEngine, execute_run
from wheatstone.bench.record import BLOCK, SAMPLED_BLOCKS
from wheatstone.bench.run import Run
from wheatstone.bench.serve import live_curves, make_app, summaries
from wheatstone.bench.study import Study


class Server(NamedTuple):
    port: int
    process: int
    runs: Path


@pytest.fixture(scope="module")
def server(toy: Study[Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`wheatstone serve` over a folder with one run."""
    runs = tmp_path_factory.mktemp("runs")
    run = Run.create(runs / "done", toy, "smoke", toy.presets["smoke"].config, (0,), ("drifting", "still"), 1)
    execute_run(run, toy, InlineEngine())
    command = [sys.executable, "-m", "wheatstone", "serve", "--runs", str(runs), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
        assert found is not None
        try:
            yield Server(int(found[1]), process.pid, runs)
        finally:
            process.kill()


def reply(server: Server, *lines: str) -> str:
    """What the server answers to these header lines; '' when it closes without a word."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as peer:
        peer.sendall("".join(f"{line}\r\n" for line in (*lines, "Connection: close", "")).encode("latin-1"))
        data = b""
        while chunk := peer.recv(1 << 16):
            data += chunk
    return data.decode("latin-1")


def status(server: Server, *lines: str) -> int:
    return int(reply(server, *lines).split(" ", 2)[1])


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8765",
        "localhost",
        "localhost:1",
        "[::1]:8765",
        "[::1]",
    ],
)
def test_this_machine_is_let_in(server: Server, host: str) -> None:
    assert status(server, "GET /api/runs HTTP/1.1", f"Host: {host}") == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8765", "127.0.0.1.evil.example", "localhost.evil.example:80", "127.0.0.1@evil"),
        *(
            "evil@127.0.0.1",
            "127.0.0.1:80@evil.example",
            "127.0.0.1:x",
            "127.0.0.1:999999",
            "127.0.0.1 evil",
            "0.0.0.0",
        ),
        *("127.0.0.2", "10.0.0.1", "2130706433", "0x7f.1", "127.1", "[::]", "[::1", "::1", "[::ffff:10.0.0.1]:80", ""),
        *(
            "localhost.",
            "LOCALHOST.evil.example",
            "127.0.0.1#evil.example",
            "127.0.0.1/evil.example",
            "192.168.1.2:8765",
        ),
    ],
)
def test_any_other_host_is_refused(server: Server, host: str) -> None:
    answer = reply(server, "GET /api/runs HTTP/1.1", f"Host: {host}")
    assert answer.split(" ", 2)[1] == "400"
    assert "toy" not in answer


def test_a_missing_and_a_double_host_are_refused(server: Server) -> None:
    assert status(server, "GET / HTTP/1.1") == 400
    assert status(server, "GET / HTTP/1.0") == 400
    assert status(server, "GET / HTTP/1.1", "Host: localhost", "Host: evil.example") == 400
    assert status(server, "GET http://evil.example/ HTTP/1.1", "Host: evil.example") == 400
    assert status(server, "GET / HTTP/1.1", "Host: evil.example", "X-Forwarded-Host: localhost") == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_changes_the_state(server: Server, method: str) -> None:
    assert status(server, f"{method} /runs/done/ HTTP/1.1", "Host: localhost", "Origin: http://evil.example") == 405


def test_no_other_page_may_read_or_frame_an_answer(server: Server) -> None:
    answer = reply(server, "GET /api/runs HTTP/1.1", "Host: localhost", "Origin: http://evil.example").lower()
    assert "access-control" not in answer
    for line in (
        "x-frame-options: deny",
        "cross-origin-resource-policy: same-origin",
        "x-content-type-options: nosniff",
    ):
        assert line in answer
    assert "server:" not in answer


def test_head_has_no_body(server: Server) -> None:
    head, _, body = reply(server, "HEAD /runs/done/ HTTP/1.1", "Host: localhost").partition("\r\n\r\n")
    assert " 200 " in head
    assert body == ""


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/runs/../done/",
            "/runs/%2e%2e/",
            "/runs/%2e%2e%2fdone/",
            "/runs/..%5cdone/",
            "/runs/%00/",
            "/runs/done%00/",
        ),
        *(
            "/runs//etc/",
            "/runs/%2fetc/",
            "//etc/passwd",
            "/../../etc/passwd",
            "/runs/./",
            "/runs/%2e/",
            "/runs/~root/",
        ),
        *(f"/runs/{'x' * 300}/", f"/runs/{'x' * 20_000}/", f"/runs/{'a/' * 2_000}", "/runs/done/points/../report.html"),
        *("/runs/done/figures/../run.json", "/runs/done/figures/%2e%2e%2frun.json", "/runs/done/figures/walks.png%00"),
        *("/runs/done/run.json", "/runs/done/arms/", "/api/runs/%2e%2e/metrics", "/api/runs/%ff%fe/metrics"),
        *(
            "/runs/done/points/x/report.html",
            "/runs/done/points/%2e%2e/report.html",
            "/runs/%F0%9F%92%A3/",
            "/.git/HEAD",
        ),
    ],
)
def test_nothing_else_is_there(server: Server, path: str) -> None:
    answer = reply(server, f"GET {path} HTTP/1.1", "Host: localhost")
    if " 307 " in answer[:20]:  # a slash is added, and then there is nothing either
        to = re.search(r"(?i)location: http://localhost(/\S*)", answer)
        assert to is not None
        answer = reply(server, f"GET {to[1]} HTTP/1.1", "Host: localhost")
    assert answer.split(" ", 2)[1] in ("404", "400")
    assert status(server, "GET / HTTP/1.1", "Host: localhost") == 200


def test_only_the_loopback_listens(server: Server) -> None:
    port, listening = f"{server.port:04X}", "0A"
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    found = [line[1] for line in lines if line[1].endswith(f":{port}") and line[3] == listening]
    assert found == [f"0100007F:{port}"]


def test_slow_clients_hold_nobody_up(server: Server) -> None:
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(100)]
    try:
        for peer in slow:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        started = time.perf_counter()
        assert status(server, "GET /api/runs HTTP/1.1", "Host: localhost") == 200
        assert time.perf_counter() - started < 10
    finally:
        for peer in slow:
            peer.close()


def test_a_long_metrics_file_is_sampled(new_run: Callable[..., Run], toy: Study[Any]) -> None:
    run = new_run()
    execute_run(run, toy, InlineEngine(), report=False)
    line = json.dumps({"step": 1_000_000, "position": 0.5, "loss": 0.25}) + "\n"
    place = run.trial("still", 0).path / "metrics.jsonl"
    with place.open("w") as file:
        for first in range(0, 2_500_000, 10_000):
            file.write("".join(line.replace("1000000", f"{first + at + 1:7}") for at in range(10_000)))
    assert place.stat().st_size > 100_000_000
    tracemalloc.start()
    try:
        curve = live_curves(run)["curves"]["position"]["still"]["0"]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32 * BLOCK * SAMPLED_BLOCKS, f"{peak:,} bytes for a page of 400 points"
    assert (curve[0][0], curve[-1][0]) == (1.0, 2_500_000.0)
    assert [step for step, _ in curve] == sorted({step for step, _ in curve})


@pytest.fixture
def linked(new_run: Callable[..., Run], toy: Study[Any], tmp_path: Path) -> Iterator[TestClient]:
    """A folder of runs with every kind of link that leads out of it."""
    outside, runs = tmp_path / "outside", tmp_path / "runs"
    execute_run(new_run("outside"), toy, InlineEngine())
    (outside / "figures" / "secret.png").write_bytes(b"secret")
    shutil.copytree(outside, runs / "run")
    (runs / "link").symlink_to(outside)
    shutil.rmtree(runs / "run" / "figures")
    (runs / "run" / "figures").symlink_to(outside / "figures")
    (runs / "run" / "report.html").unlink()
    (runs / "run" / "report.html").symlink_to("/etc/passwd")
    (runs / "circle").symlink_to(runs / "circle")
    os.mkdir(os.fsencode(runs) + b"/\xff\xfe")
    shutil.copy(outside / "run.json", os.fsencode(runs) + b"/\xff\xfe/run.json")
    with TestClient(make_app(runs), base_url="http://localhost") as client:
        yield client


@pytest.mark.parametrize("path", ["/runs/link/", "/runs/run/", "/runs/run/figures/secret.png", "/runs/circle/"])
def test_no_link_leads_out(linked: TestClient, path: str) -> None:
    assert linked.get(path).status_code == 404


def test_odd_folders_do_not_break_the_list(linked: TestClient) -> None:
    assert linked.get("/").status_code == 200
    names = {one["name"] for one in linked.get("/api/runs").json()}
    assert names == {"run", "\\udcff\\udcfe"}


def test_a_damaged_metrics_file_is_said(new_run: Callable[..., Run], toy: Study[Any], tmp_path: Path) -> None:
    run = new_run("broken")
    execute_run(run, toy, InlineEngine(), report=False)
    (run.trial("still", 0).path / "metrics.jsonl").write_text("[]\n")
    with TestClient(make_app(tmp_path), base_url="http://localhost") as client:
        answer = client.get("/api/runs/broken/metrics")
    assert answer.status_code == 422
    assert "damaged, not a JSON object of numbers" in answer.text


@pytest.mark.parametrize("holder", ["-1", "0", "9" * 30, "x", ""])
def test_a_lock_that_names_no_process(new_run: Callable[..., Run], tmp_path: Path, holder: str) -> None:
    run = new_run("one")
    (run.path / "run.lock").write_text(holder)
    assert [one["state"] for one in summaries(tmp_path)] == ["unfinished"]

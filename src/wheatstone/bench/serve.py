"""A local page of all runs: what is running, live curves, verdicts, and the way to each report.

It listens on 127.0.0.1 only, answers reading requests only, refuses a Host header that is not this machine (so that no
web page can reach it under a name of its own), and serves nothing but runs that lie directly in its folder or are a
point of a sweep there, and of each only its report and its figures, links resolved.
"""

from __future__ import annotations

import json
import math
import os
import re
import socket
from collections.abc import Iterable
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from wheatstone.bench.errors import UserError
from wheatstone.bench.findings import Findings
from wheatstone.bench.report import ASSETS
from wheatstone.bench.report.html import Html, page, tag
from wheatstone.bench.report.verdicts import outcome_badge
from wheatstone.bench.run import Run
from wheatstone.bench.shown import printable
from wheatstone.bench.sweep.directory import Sweep, is_sweep

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
LOOPBACK = re.compile(rb"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?")
"""What a browser on this machine may call the server."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
MOST_POINTS = 400
"""Points of a live curve: more than a screen shows are thinned out."""
PICTURES = {".png": "image/png", ".json": "application/json"}


def make_app(runs: Path) -> Starlette:
    """The application over one folder of runs."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse
    from starlette.routing import Route

    root = runs.resolve()

    def index(_request: Request) -> Response:
        return HTMLResponse(index_page(summaries(root)))

    def all_runs(_request: Request) -> Response:
        return JSONResponse(summaries(root), headers={"Cache-Control": "no-store"})

    def metrics(request: Request) -> Response:
        run = _find(root, request.path_params["run"])
        if run is None:
            return PlainTextResponse("no such run", 404)
        try:
            return JSONResponse(live_curves(run), headers={"Cache-Control": "no-store"})
        except UserError as fault:
            return PlainTextResponse(printable(str(fault)), 422)

    def page_of(name: str) -> Response:
        run, sweep = _find(root, name), _inside(root, name)
        place = run.path if run else sweep if sweep and is_sweep(sweep) else None
        page = None if place is None else _inside(place, "report.html")
        if page is None or not page.is_file():
            return PlainTextResponse("no report yet", 404)
        return FileResponse(page, media_type="text/html")

    def report(request: Request) -> Response:
        return page_of(request.path_params["run"])

    def point_report(request: Request) -> Response:
        return page_of(f"{request.path_params['run']}/points/{request.path_params['point']}")

    def picture(request: Request) -> Response:
        run, name = _find(root, request.path_params["run"]), request.path_params["name"]
        figures = None if run is None else _inside(run.path, "figures")
        file = None if figures is None else _inside(figures, name)
        if file is None or file.suffix not in PICTURES or not file.is_file():
            return PlainTextResponse("no such figure", 404)
        return FileResponse(file, media_type=PICTURES[file.suffix])

    return Starlette(
        routes=[
            Route("/", index),
            Route("/api/runs", all_runs),
            Route("/api/runs/{run:path}/metrics", metrics),
            Route("/runs/{run:path}/figures/{name}", picture),
            Route("/runs/{run:path}/points/{point}/report.html", point_report),
            Route("/runs/{run:path}/", report),
        ],
        middleware=[Middleware(_Guard)],
    )


class _Guard:
    """Refuses requests that name another host, and forbids other pages to frame or read the answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not LOOPBACK.fullmatch(hosts[0]):
            from starlette.responses import PlainTextResponse

            return await PlainTextResponse("this page is for this machine only", 400)(scope, receive, send)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        return await self._app(scope, receive, send_guarded)


def run_server(runs: Path, port: int) -> None:
    """Serves until Ctrl-C. Raises UserError when the port is taken."""
    import uvicorn

    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen(128)  # before the address is printed: whoever reads it may ask at once
        except OSError as fault:
            raise UserError(f"--port {port}: cannot be used ({fault.strerror}). Choose another one, or 0.") from None
        print(f"http://{HOST}:{listener.getsockname()[1]}/   (Ctrl-C ends it)", flush=True)
        config = uvicorn.Config(
            make_app(runs), log_level="warning", access_log=False, ws="none", proxy_headers=False, server_header=False
        )
        uvicorn.Server(config).run(sockets=[listener])


def summaries(root: Path) -> list[dict[str, Any]]:
    """One dict a run directly under `root`, the newest first, then one a point of each sweep there, in its order.

    A damaged one says what is wrong with it. The name of a point is its path: 'sweep/points/phi=9'.
    """
    found = [_summary_of(place.parent, root) for place in root.glob("*/run.json") if _is_own(place.parent, root)]
    sweeps = sorted((place for place in root.glob("*/sweep.json") if _is_own(place.parent, root)), key=_age)
    points = [_summary_of(place.parent, root) for sweep in sweeps for place in _point_places(sweep.parent)]
    return [*sorted(found, key=lambda one: (_age(root / one["name"] / "run.json"), one["name"])), *points]


def _is_own(folder: Path, root: Path) -> bool:
    """Whether a folder really lies in the folder of runs: no link that leads out of it is followed."""
    return _inside(root, folder.name) is not None


def _age(place: Path) -> float:
    """A key that puts the newest file first, and one that has just gone last."""
    try:
        return -place.stat().st_mtime
    except OSError:
        return 0.0


def _point_places(sweep: Path) -> list[Path]:
    """run.json of each point that has begun, in the order of the grid."""
    try:
        opened = Sweep.open(sweep)
    except UserError:
        return sorted(sweep.glob("points/*/run.json"))
    places = (opened.run_path(point) / "run.json" for point in opened.grid.points())
    return [place for place in places if place.exists()]


def _summary_of(path: Path, root: Path) -> dict[str, Any]:
    name = printable(path.relative_to(root).as_posix())
    sweep = {"sweep": printable(path.parent.parent.name)} if path.parent != root else {}
    try:
        return {**_summary(Run.open(path)), "name": name, **sweep}
    except (UserError, OSError) as fault:
        return {"name": name, "state": "damaged", "fault": printable(str(fault)), **sweep}


def _summary(run: Run) -> dict[str, Any]:
    records = list(run.records())
    finished = sum(record.is_finished for record in records)
    findings = run.findings() if finished == len(records) else None
    return {
        "study": run.study_name,
        "preset": run.preset,
        "seeds": list(run.seeds),
        "arms": list(run.arms),
        "trials": len(records),
        "finished": finished,
        "state": "finished" if findings else "running" if _is_running(run) else "unfinished",
        "has_report": (run.path / "report.html").is_file(),
        "verdicts": _verdicts(findings),
    }


def _verdicts(findings: Findings | None) -> list[dict[str, str]]:
    verdicts = findings.verdicts if findings else ()
    return [{"claim": verdict.claim.text, "outcome": verdict.outcome} for verdict in verdicts]


def _is_running(run: Run) -> bool:
    """Whether the process that last locked the run is alive. The lock itself is not tried: a run that starts at that
    instant would be refused."""
    try:
        process = int((run.path / "run.lock").read_text(encoding="utf-8"))
        if process > 0:  # other numbers mean groups of processes
            os.kill(process, 0)
        return process > 0
    except PermissionError:
        return True
    except (OSError, ValueError, OverflowError):
        return False


def live_curves(run: Run) -> dict[str, Any]:
    """Metric -> arm -> seed -> [[step, value], ...], thinned for a screen, and the trials that have finished."""
    curves: dict[str, dict[str, dict[str, list[list[float | None]]]]] = {}
    finished: list[str] = []
    for record in run.records():
        if record.is_finished:
            finished.append(f"{record.arm}, seed {record.seed}")
        points: dict[str, list[list[float | None]]] = {}
        for line in record.sampled_metrics():
            step = line.pop("step")
            for name, value in line.items():
                points.setdefault(name, []).append([step, value if math.isfinite(value) else None])
        for name, curve in points.items():
            curves.setdefault(name, {}).setdefault(record.arm, {})[str(record.seed)] = thinned(curve)
    return {"arms": list(run.arms), "finished": finished, "curves": curves}


def thinned(curve: list[Any], most: int = MOST_POINTS) -> list[Any]:
    """Every n-th point and always the last."""
    stride = max(1, math.ceil(len(curve) / most))
    kept = curve[::stride]
    return kept if not curve or kept[-1] is curve[-1] else [*kept, curve[-1]]


def index_page(found: Iterable[dict[str, Any]]) -> Html:
    """The page of all runs; its script asks again every few seconds and draws the curves of a run on demand."""
    summaries = list(found)
    rows = [_row(summary) for summary in summaries if "sweep" not in summary]
    sweeps: dict[str, list[dict[str, Any]]] = {}
    for summary in summaries:
        if "sweep" in summary:
            sweeps.setdefault(summary["sweep"], []).append(summary)
    none = tag("p", "No runs yet: wheatstone run STUDY makes one.", class_="card")
    body = tag("section", *rows, *starmap(_sweep, sweeps.items())) if summaries else none
    return page(
        "wheatstone runs",
        (ASSETS / "page.css").read_text(encoding="utf-8"),
        tag(
            "main",
            tag("h1", "Runs"),
            tag("p", "Newest first. Curves follow a running run.", class_="lead"),
            body,
        ),
        tag("script", Html((ASSETS / "serve.js").read_text(encoding="utf-8"))),
        connect="'self'",
    )


def _sweep(name: str, points: list[dict[str, Any]]) -> Html:
    """A sweep with its points folded away; the link is to the report of them all."""
    finished = sum(point["state"] == "finished" for point in points)
    return tag(
        "section",
        tag("h2", "Sweep ", tag("code", name)),
        tag("p", tag("a", "report of all points", href=f"/runs/{quote(name)}/"), class_="lead"),
        tag("details", tag("summary", f"{len(points)} points, {finished} finished"), *map(_row, points)),
    )


def _row(summary: dict[str, Any]) -> Html:
    name = summary["name"]
    if summary["state"] == "damaged":
        return tag("article", tag("h3", name), tag("p", summary["fault"], class_="fails"), class_="card")
    verdicts = [
        tag("li", outcome_badge(one["outcome"]), " ", one["claim"], class_="verdict") for one in summary["verdicts"]
    ]
    state = tag("b", summary["state"], class_="state")
    trials = tag("span", f"{summary['finished']} of {summary['trials']} trials", class_="trials")
    link = tag("a", "report", href=f"/runs/{quote(name)}/") if summary["has_report"] else None
    return tag(
        "article",
        tag("h3", f"{summary['study']} · {summary['preset']}"),
        tag("ul", *(tag("li", one) for one in (state, trials, tag("code", name), link) if one), class_="facts"),
        tag("ul", *verdicts, class_="plain") if verdicts else None,
        tag("details", tag("summary", "Curves"), tag("div", class_="curves"), data_run=name),
        class_="card",
        id=f"run-{name}",
        data_state=json.dumps([summary["state"], summary["finished"]]),
    )


def _find(root: Path, name: str) -> Run | None:
    """The run of that name directly under `root`, or the point 'sweep/points/name'; None for anything else."""
    parts = name.split("/")
    is_point = len(parts) == 3 and parts[1] == "points"
    if len(parts) > 1 and not is_point:
        return None
    folder: Path | None = root
    for part in parts:
        folder = _inside(folder, part) if folder else None
    if folder is None or not folder.is_dir():
        return None
    try:
        return Run.open(folder)
    except UserError:
        return None


def _inside(folder: Path, name: str) -> Path | None:
    """`folder/name` where it exists and really lies in `folder`, links and dots resolved."""
    if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
        return None
    try:
        path = (folder / name).resolve()
        return path if path.parent == folder.resolve() and path.exists() else None
    except (OSError, ValueError, RuntimeError):  # too long, no name on this file system, a circle of links
        return None

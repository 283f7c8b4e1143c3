"""A local page of all runs: what is running, live curves, verdicts, and the way to each report.

It listens on 127.0.0.1 only, answers reading requests only, refuses a Host header that is not this machine (so that no
web page can reach it under a name of its own), and serves nothing but runs that lie directly in its folder, and of each
only its report and its figures.
"""

from __future__ import annotations

import json
import math
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wheatstone.bench.errors import UserError
from wheatstone.bench.findings import Findings
from wheatstone.bench.report import ASSETS
from wheatstone.bench.report.html import Html, page, tag
from wheatstone.bench.report.verdicts import outcome_badge
from wheatstone.bench.run import Run

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

HOST = "127.0.0.1"
LOOPBACK = ("127.0.0.1", "localhost")
MOST_POINTS = 400
"""Points of a live curve: more than a screen shows are thinned out."""
PICTURES = {".png": "image/png", ".json": "application/json"}


def make_app(runs: Path) -> Starlette:
    """The application over one folder of runs."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
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
        return JSONResponse(live_curves(run), headers={"Cache-Control": "no-store"})

    def report(request: Request) -> Response:
        run = _find(root, request.path_params["run"])
        if run is None or not (run.path / "report.html").is_file():
            return PlainTextResponse("no report yet", 404)
        return FileResponse(run.path / "report.html", media_type="text/html")

    def picture(request: Request) -> Response:
        run, name = _find(root, request.path_params["run"]), request.path_params["name"]
        file = None if run is None else _inside(run.path / "figures", name)
        if file is None or file.suffix not in PICTURES:
            return PlainTextResponse("no such figure", 404)
        return FileResponse(file, media_type=PICTURES[file.suffix])

    return Starlette(
        routes=[
            Route("/", index),
            Route("/api/runs", all_runs),
            Route("/api/runs/{run}/metrics", metrics),
            Route("/runs/{run}/", report),
            Route("/runs/{run}/figures/{name}", picture),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK), www_redirect=False)],
    )


def run_server(runs: Path, port: int) -> None:
    """Serves until Ctrl-C. Raises UserError when the port is taken."""
    import uvicorn

    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as fault:
            raise UserError(f"--port {port}: cannot be used ({fault.strerror}). Choose another one, or 0.") from None
        print(f"http://{HOST}:{listener.getsockname()[1]}/   (Ctrl-C ends it)", flush=True)
        config = uvicorn.Config(make_app(runs), log_level="warning", access_log=False)
        uvicorn.Server(config).run(sockets=[listener])


def summaries(root: Path) -> list[dict[str, Any]]:
    """One dict a run directly under `root`, the newest first; a damaged one says what is wrong with it."""
    found: list[tuple[float, dict[str, Any]]] = []
    for place in sorted(root.glob("*/run.json")):
        try:
            found.append((place.stat().st_mtime, _summary(Run.open(place.parent))))
        except (UserError, OSError) as fault:
            found.append((0.0, {"name": place.parent.name, "state": "damaged", "fault": str(fault)}))
    return [summary for _, summary in sorted(found, key=lambda pair: -pair[0])]


def _summary(run: Run) -> dict[str, Any]:
    records = list(run.records())
    finished = sum(record.is_finished for record in records)
    findings = run.findings() if finished == len(records) else None
    return {
        "name": run.path.name,
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
        os.kill(int((run.path / "run.lock").read_text(encoding="utf-8")), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


def live_curves(run: Run) -> dict[str, Any]:
    """Metric -> arm -> seed -> [[step, value], ...], thinned for a screen, and the trials that have finished."""
    curves: dict[str, dict[str, dict[str, list[list[float | None]]]]] = {}
    finished: list[str] = []
    for record in run.records():
        if record.is_finished:
            finished.append(f"{record.arm}, seed {record.seed}")
        points: dict[str, list[list[float | None]]] = {}
        for line in record.metrics():
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
    rows = [_row(summary) for summary in found]
    body = tag("section", *rows) if rows else tag("p", "No runs yet: wheatstone run STUDY makes one.", class_="card")
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


def _row(summary: dict[str, Any]) -> Html:
    name = summary["name"]
    if summary["state"] == "damaged":
        return tag("article", tag("h3", name), tag("p", summary["fault"], class_="fails"), class_="card")
    verdicts = [
        tag("li", outcome_badge(one["outcome"]), " ", one["claim"], class_="verdict") for one in summary["verdicts"]
    ]
    state = tag("b", summary["state"], class_="state")
    trials = tag("span", f"{summary['finished']} of {summary['trials']} trials", class_="trials")
    link = tag("a", "report", href=f"/runs/{name}/") if summary["has_report"] else None
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
    """The run of that name directly under `root`; None for anything else, whatever the name looks like."""
    folder = _inside(root, name)
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
    path = (folder / name).resolve()
    return path if path.parent == folder.resolve() and path.exists() else None

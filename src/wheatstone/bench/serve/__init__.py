"""A local page of all runs: what is running, live curves, verdicts, two runs side by side, and the way to each report.

It listens on 127.0.0.1 only, answers reading requests only, refuses a Host header that is not this machine (so that no
web page can reach it under a name of its own), and serves nothing but runs that lie directly in its folder or are a
point of a sweep there, and of each only its report and its figures, links resolved. What changes is sent as server-sent
events, so that a page that is open asks nothing again and again.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wheatstone.bench.errors import UserError
from wheatstone.bench.serve.curves import live_curves, thinned
from wheatstone.bench.serve.runs import Folder, Summary, find, inside, summaries
from wheatstone.bench.shown import printable
from wheatstone.bench.sweep.directory import is_sweep

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["live_curves", "make_app", "run_server", "summaries", "thinned"]

HOST = "127.0.0.1"
LOOPBACK = re.compile(rb"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?")
"""What a browser on this machine may call the server."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
PICTURES = {".png": "image/png", ".json": "application/json"}
LOOK = 1.0
"""Seconds between two looks at the folder for a page that follows it."""
CALM = 15.0
"""Seconds without news after which a stream says that it is still there."""
NO_STORE = {"Cache-Control": "no-store"}


def make_app(runs: Path, look: float = LOOK) -> Starlette:
    """The application over one folder of runs; `look`: seconds between two looks at it."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.middleware import Middleware
    from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, StreamingResponse
    from starlette.routing import Route

    from wheatstone.bench.serve import pages

    root = runs.resolve()
    folder = Folder(root)

    def index(_request: Request) -> Response:
        return HTMLResponse(pages.index_page(folder.summaries()), headers=NO_STORE)

    def all_runs(_request: Request) -> Response:
        return JSONResponse(folder.summaries(), headers=NO_STORE)

    def metrics(request: Request) -> Response:
        run = find(root, request.path_params["run"])
        if run is None:
            return PlainTextResponse("no such run", 404)
        try:
            return JSONResponse(live_curves(run), headers=NO_STORE)
        except UserError as fault:
            return PlainTextResponse(printable(str(fault)), 422)

    def live(request: Request) -> Response:
        name = request.path_params["run"]
        run = find(root, name)
        if run is None:
            return PlainTextResponse("no such run", 404)
        try:
            return HTMLResponse(pages.live_page(folder.one(run.path), run), headers=NO_STORE)
        except UserError as fault:
            return HTMLResponse(pages.fault_page(str(fault)), 422)

    def compare(request: Request) -> Response:
        names = request.query_params.getlist("run")
        found = [find(root, name) for name in names]
        runs_found = [run for run in found if run is not None]
        if len(names) != 2 or len(runs_found) != 2:
            return HTMLResponse(pages.fault_page("Two runs of this folder are compared: mark two of them."), 404)
        try:
            return HTMLResponse(pages.compare_page(names, runs_found), headers=NO_STORE)
        except UserError as fault:
            return HTMLResponse(pages.fault_page(str(fault)), 422)

    def page_of(name: str) -> Response:
        run, sweep = find(root, name), inside(root, name)
        place = run.path if run else sweep if sweep and is_sweep(sweep) else None
        page = None if place is None else inside(place, "report.html")
        if page is None or not page.is_file():
            return PlainTextResponse("no report yet", 404)
        return FileResponse(page, media_type="text/html")

    def report(request: Request) -> Response:
        return page_of(request.path_params["run"])

    def point_report(request: Request) -> Response:
        return page_of(f"{request.path_params['run']}/points/{request.path_params['point']}")

    def picture(request: Request) -> Response:
        run, name = find(root, request.path_params["run"]), request.path_params["name"]
        figures = None if run is None else inside(run.path, "figures")
        file = None if figures is None else inside(figures, name)
        if file is None or file.suffix not in PICTURES or not file.is_file():
            return PlainTextResponse("no such figure", 404)
        return FileResponse(file, media_type=PICTURES[file.suffix])

    def all_events(request: Request) -> Response:
        # What the page shows already is told by its digest; a page that has missed something gets every row once.
        shown = request.query_params.get("seen", "")
        seen: dict[str, Summary] = {}

        def news() -> Any:
            found = folder.summaries()
            now = {one["name"]: one for one in found}
            is_known = not seen and shown == pages.digest(found)
            changed = [] if is_known else [one for name, one in now.items() if seen.get(name) != one]
            gone = [name for name in seen if name not in now]
            seen.clear()
            seen.update(now)
            if not changed and not gone:
                return None
            rows = {one["name"]: pages.row(one) for one in changed}
            return {"count": pages.counted(found), "order": list(now), "rows": rows, "gone": gone}

        return streamed(request, news)

    async def run_events(request: Request) -> Response:
        run = await run_in_threadpool(find, root, request.path_params["run"])
        if run is None:
            return PlainTextResponse("no such run", 404)
        last: list[object] = []

        def news() -> Any:
            summary = folder.one(run.path)
            state: list[object] = [summary, *(_stamp(record.path / "metrics.jsonl") for record in run.records())]
            if last == state:
                return None
            last[:] = state
            return {"html": pages.live_content(summary, run), "state": summary["state"]}

        return streamed(request, news)

    def streamed(request: Request, news: Callable[[], Any]) -> Response:
        async def events() -> AsyncIterator[str]:
            import anyio

            quiet = 0.0
            yield "retry: 2000\n\n"
            while not await request.is_disconnected():
                try:
                    told = await run_in_threadpool(news)
                except UserError as fault:
                    told = {"html": str(pages.fault_page(str(fault))), "state": "damaged"}
                if told is not None or quiet >= CALM:
                    yield ": still here\n\n" if told is None else f"data: {json.dumps(told)}\n\n"
                    quiet = 0.0
                await anyio.sleep(look)
                quiet += look

        return StreamingResponse(events(), media_type="text/event-stream", headers=NO_STORE)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/compare", compare),
            Route("/live/{run:path}", live),
            Route("/api/runs", all_runs),
            Route("/api/events", all_events),
            Route("/api/runs/{run:path}/metrics", metrics),
            Route("/api/runs/{run:path}/events", run_events),
            Route("/runs/{run:path}/figures/{name}", picture),
            Route("/runs/{run:path}/points/{point}/report.html", point_report),
            Route("/runs/{run:path}/", report),
        ],
        middleware=[Middleware(_Guard)],
    )


def _stamp(place: Path) -> object:
    try:
        status = place.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


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
            make_app(runs),
            log_level="error",  # a stream that Ctrl-C cuts is no news
            access_log=False,
            ws="none",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        uvicorn.Server(config).run(sockets=[listener])

"""The report of a run: one HTML file that holds everything it shows, and the pictures beside it.

Nothing in the page asks for anything outside it: the plotting library (plotly) lies compressed inside and is inflated
by the browser itself, and the content policy forbids requests. Every number comes from the run directory: measures
from the trials, figures from the study's `exhibits(run)`. The same directory gives the same bytes.
"""

from __future__ import annotations

import base64
import functools
import gzip
import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wheatstone
from wheatstone.bench.draw import figure, png
from wheatstone.bench.draw.theme import cut
from wheatstone.bench.errors import UserError
from wheatstone.bench.exhibit import Exhibit, Note, Table, to_json
from wheatstone.bench.files import write_atomically
from wheatstone.bench.findings import Findings, collect
from wheatstone.bench.report import sections
from wheatstone.bench.report.html import Html, embedded_json, join, page, paragraphs, tag
from wheatstone.bench.report.verdicts import METHOD, verdict_table

if TYPE_CHECKING:
    from wheatstone.bench.run import Run
    from wheatstone.bench.study import Study

ASSETS = Path(__file__).parent / "assets"
MOST_LINKS = 14
"""Links at the top of a page before they fold away, so that the verdicts stay in sight."""
PICTURES_LIMIT = 1_500_000
"""Bytes of PNG fallbacks in one page, so that it stays below 5 MB; figures beyond it are interactive only."""


def write_report(run: Run, study: Study[Any]) -> Path:
    """Writes figures/ and report.html of a run, finished or not, and returns the page's path.

    Raises UserError for a damaged run directory and for two exhibits of one name.
    """
    findings = collect(run, study)
    exhibits = list(study.exhibits(run)) if study.exhibits is not None else []
    names = [exhibit.name for exhibit in exhibits]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{study.name}: two exhibits are called '{name}'; each needs a name of its own.")
    pictures = write_figures(run.path / "figures", exhibits, run.arms)
    path = run.path / "report.html"
    write_atomically(path, report_page(findings, study, exhibits, pictures).encode())
    return path


def report_page(findings: Findings, study: Study[Any], exhibits: Sequence[Exhibit], pictures: dict[str, bytes]) -> Html:
    """The whole page. `pictures`: exhibit name -> PNG, shown where scripts do not run."""
    arms = list(findings.arms)
    return page(
        f"{study.card.title} · {findings.preset}",
        (ASSETS / "page.css").read_text(encoding="utf-8"),
        tag(
            "main",
            _header(findings, study, exhibits),
            tag("h2", "Verdicts", id="verdicts"),
            tag("div", verdict_table(findings.verdicts, arms), class_="card"),
            tag("details", tag("summary", "How a verdict is reached"), tag("p", METHOD), class_="about"),
            tag("h2", "Exhibits", id="exhibits") if exhibits else None,
            exhibits_section(exhibits, pictures, arms),
            tag("h2", "Every seed", id="measures"),
            tag("div", sections.measures_section(findings, study), class_="card"),
            tag("h2", "Cost", id="cost"),
            tag("div", sections.cost_section(findings), class_="card"),
            tag("h2", "Settings", id="settings"),
            tag("div", sections.config_section(findings, study), class_="card"),
            tag("h2", "Environment", id="environment"),
            tag("div", sections.environment_section(findings), class_="card"),
            tag("h2", "Run it again", id="again"),
            tag("div", _again(findings, study), class_="card"),
            tag("footer", f"wheatstone {wheatstone.__version__}. {study.card.source}."),
        ),
        embedded_json("findings", findings.to_json()),
        plotting(exhibits, arms),
    )


def exhibits_section(exhibits: Sequence[Exhibit], pictures: Mapping[str, bytes], arms: Sequence[str]) -> Html:
    """All exhibits with their pictures, as far as the page has room for these."""
    room, shown = PICTURES_LIMIT, dict[str, bytes]()
    for name, picture in pictures.items():
        if len(picture) <= room:
            room -= len(picture)
            shown[name] = picture
    each = (sections.exhibit_section(exhibit, shown.get(exhibit.name), arms) for exhibit in exhibits)
    return tag("div", *each, class_="exhibits")


def plotting(exhibits: Sequence[Exhibit], arms: Sequence[str]) -> Html:
    """The scripts that draw the interactive figures, for the end of a page; empty where there is none to draw."""
    if all(figure(exhibit, arms) is None for exhibit in exhibits):
        return Html("")
    library = Html(f'<script type="text/plain" id="plotly-gzip">{_packed_plotly()}</script>')
    return join([library, tag("script", Html((ASSETS / "report.js").read_text(encoding="utf-8")))])


def _header(findings: Findings, study: Study[Any], exhibits: Sequence[Exhibit]) -> Html:
    facts = [
        sections.claim_count(findings),
        Html(f"preset {tag('b', findings.preset)}"),
        Html(f"{tag('b', len(findings.seeds))} seeds × {tag('b', len(findings.arms))} arms"),
        Html(f"{tag('b', sections.duration(sections.total_seconds(findings)))} in all trials"),
    ]
    links = {"verdicts": "Verdicts"} | {exhibit.name: exhibit.title for exhibit in exhibits}
    links |= {"measures": "Every seed", "cost": "Cost", "settings": "Settings", "environment": "Environment"}
    contents = tag("nav", *(tag("a", cut(label, 56), href=f"#{at}") for at, label in links.items()))
    unfinished = None
    if not sections.is_complete(findings):
        finished = sum(len(seeds) for seeds in findings.cost.values())
        text = f"This run has not finished: {finished} of {len(findings.seeds) * len(findings.arms)} trials are done."
        unfinished = tag("p", text, class_="card warning")
    return tag(
        "header",
        tag("h1", study.card.title),
        tag("p", study.card.source, class_="lead"),
        tag("p", study.card.claim),
        unfinished,
        tag("ul", *(tag("li", fact) for fact in facts), class_="facts"),
        tag("details", tag("summary", "About this study"), tag("pre", study.doc.strip())),
        tag("details", tag("summary", "Contents"), contents) if len(links) > MOST_LINKS else contents,
    )


def _again(findings: Findings, study: Study[Any]) -> Html:
    command = findings.environment.get("command")
    parts = [
        paragraphs("The same command goes on with a run that was interrupted; --fresh starts it anew."),
        tag("pre", sections.rerun_command(findings, study)),
    ]
    if command:
        parts += [paragraphs("This run was started with"), tag("pre", str(command))]
    return tag("div", *parts)


def write_figures(folder: Path, exhibits: Sequence[Exhibit], arms: Sequence[str]) -> dict[str, bytes]:
    """figures/<name>.json (the exhibit's numbers), .plotly.json (interactive) and .png; returns name -> PNG."""
    pictures: dict[str, bytes] = {}
    for exhibit in exhibits:
        write_atomically(folder / f"{exhibit.name}.json", _json(to_json(exhibit)))
        if isinstance(exhibit, Table | Note):
            continue
        interactive, picture = figure(exhibit, arms), png(exhibit, arms)
        if interactive is not None:
            write_atomically(folder / f"{exhibit.name}.plotly.json", _json(interactive))
        if picture is not None:
            write_atomically(folder / f"{exhibit.name}.png", picture)
            pictures[exhibit.name] = picture
    return pictures


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"


@functools.cache
def _packed_plotly() -> str:
    """plotly.min.js of the installed plotly package, gzip and base64; the package itself is not imported."""
    spec = importlib.util.find_spec("plotly")
    if spec is None or spec.origin is None:
        raise UserError("plotly is not installed, and reports carry it. Install it: pip install plotly")
    script = Path(spec.origin).parent / "package_data" / "plotly.min.js"
    return base64.b64encode(gzip.compress(script.read_bytes(), 9, mtime=0)).decode()

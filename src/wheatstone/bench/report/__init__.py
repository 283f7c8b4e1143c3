"""The report of a run: one HTML file that holds everything it shows, and the pictures beside it.

Nothing in the page asks for anything outside it, and the content policy forbids requests. Figures are drawn here, as
SVG, so that a page shows, prints and weighs little without a plotting library: the page of a knowledge graph run with
20 figures is 0.4 MB, where it was 2.9 MB with plotly inside. Every number comes from the run directory: measures from
the trials, figures from the study's `exhibits(run)`. The same directory gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wheatstone
from wheatstone.bench.draw import Plot, png, standing_svg
from wheatstone.bench.draw.theme import cut
from wheatstone.bench.errors import UserError
from wheatstone.bench.exhibit import Exhibit, to_json
from wheatstone.bench.files import write_atomically
from wheatstone.bench.findings import Findings, collect
from wheatstone.bench.report import sections
from wheatstone.bench.report.claims import claims_section
from wheatstone.bench.report.html import THEME_SWITCH, Html, embedded_json, join, page, paragraphs, tag
from wheatstone.bench.report.verdicts import METHOD, verdict_table

if TYPE_CHECKING:
    from wheatstone.bench.run import Run
    from wheatstone.bench.study import Study

ASSETS = Path(__file__).parent / "assets"
MOST_LINKS = 14
"""Links at the top of a page before they fold away, so that the verdicts stay in sight."""


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
    write_figures(run.path / "figures", exhibits, run.arms)
    path = run.path / "report.html"
    write_atomically(path, report_page(findings, study, exhibits).encode())
    return path


def report_page(findings: Findings, study: Study[Any], exhibits: Sequence[Exhibit]) -> Html:
    """The whole page."""
    arms = list(findings.arms)
    claims = claims_section(findings.verdicts, arms)
    return page(
        f"{study.card.title} · {findings.preset}",
        asset("page.css"),
        tag(
            "main",
            _header(findings, study, exhibits),
            tag("h2", "Verdicts", id="verdicts"),
            tag("div", verdict_table(findings.verdicts, arms), class_="card"),
            tag("details", tag("summary", "How a verdict is reached"), tag("p", METHOD), class_="about"),
            tag("h2", "Claim by claim", id="claims") if claims else None,
            claims,
            tag("h2", "Exhibits", id="exhibits") if exhibits else None,
            exhibits_section(exhibits, arms),
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
            id="main",
        ),
        embedded_json("findings", findings.to_json()),
        scripts("page.js", "plot.js"),
    )


def exhibits_section(exhibits: Sequence[Exhibit], arms: Sequence[str]) -> Html:
    """All exhibits, in their order."""
    return tag("div", *(sections.exhibit_section(exhibit, arms) for exhibit in exhibits), class_="exhibits")


def asset(name: str) -> str:
    """A style or a script of ours, as text."""
    return (ASSETS / name).read_text(encoding="utf-8")


def scripts(*names: str) -> Html:
    """Scripts of ours, for the end of a page."""
    return join(tag("script", Html(asset(name))) for name in names)


def _header(findings: Findings, study: Study[Any], exhibits: Sequence[Exhibit]) -> Html:
    facts = [
        sections.claim_count(findings),
        Html(f"preset {tag('b', findings.preset)}"),
        Html(f"{tag('b', len(findings.seeds))} seeds × {tag('b', len(findings.arms))} arms"),
        Html(f"{tag('b', sections.duration(sections.total_seconds(findings)))} in all trials"),
    ]
    links = {"verdicts": "Verdicts", "claims": "Claim by claim"} | {exhibit.name: exhibit.title for exhibit in exhibits}
    links |= {"measures": "Every seed", "cost": "Cost", "settings": "Settings", "environment": "Environment"}
    if not findings.verdicts:
        del links["claims"]
    anchors = (tag("a", cut(label, 56), href=f"#{at}") for at, label in links.items())
    contents = tag("nav", *anchors, aria_label="contents")
    unfinished = None
    if not sections.is_complete(findings):
        finished = sum(len(seeds) for seeds in findings.cost.values())
        text = f"This run has not finished: {finished} of {len(findings.seeds) * len(findings.arms)} trials are done."
        unfinished = tag("p", text, class_="card warning")
    return tag(
        "header",
        THEME_SWITCH,
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


def write_figures(folder: Path, exhibits: Sequence[Exhibit], arms: Sequence[str]) -> None:
    """figures/<name>.json (the exhibit's numbers), and .png and .svg of what can be drawn, for papers and slides."""
    for exhibit in exhibits:
        write_atomically(folder / f"{exhibit.name}.json", _json(to_json(exhibit)))
        if isinstance(exhibit, Plot):
            write_atomically(folder / f"{exhibit.name}.svg", standing_svg(exhibit, arms).encode() + b"\n")
        if (picture := png(exhibit, arms)) is not None:
            write_atomically(folder / f"{exhibit.name}.png", picture)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"

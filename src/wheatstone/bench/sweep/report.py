"""The report of a sweep: one HTML file with verdicts, figures and numbers of all points, and links to their own pages.

It is made of the same pieces as the report of a run; the links are relative, so that a copied sweep keeps them.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import wheatstone
from wheatstone.bench.draw.theme import number
from wheatstone.bench.errors import UserError
from wheatstone.bench.exhibit import Exhibit
from wheatstone.bench.files import write_atomically
from wheatstone.bench.report import asset, exhibits_section, scripts, sections, write_figures
from wheatstone.bench.report.html import THEME_SWITCH, Html, embedded_json, join, page, table, tag
from wheatstone.bench.report.verdicts import METHOD, not_run, outcome_badge
from wheatstone.bench.sweep.exhibits import exhibits
from wheatstone.bench.sweep.grid import is_number, shown
from wheatstone.bench.verdict import Verdict

if TYPE_CHECKING:
    from wheatstone.bench.findings import Findings
    from wheatstone.bench.study import JsonScalar, Study
    from wheatstone.bench.sweep.directory import Sweep
    from wheatstone.bench.sweep.findings import PointFindings, SweepFindings


def write_sweep_report(sweep: Sweep, study: Study[Any], found: SweepFindings) -> Path:
    """Writes figures/ and report.html of a sweep, finished or not, and returns the page's path.

    Raises UserError when no point has begun.
    """
    if not found.points:
        raise UserError(f"{sweep.path}: no point of this sweep has begun. Run the same command again to go on.")
    drawn = exhibits(found, study)
    write_figures(sweep.path / "figures", drawn, list(found.arms))
    path = sweep.path / "report.html"
    write_atomically(path, sweep_page(found, study, drawn).encode())
    return path


def sweep_page(found: SweepFindings, study: Study[Any], drawn: Sequence[Exhibit]) -> Html:
    """The whole page."""
    arms = list(found.arms)
    return page(
        f"{study.card.title} · sweep of {', '.join(found.grid.fields)}",
        asset("page.css"),
        tag(
            "main",
            _header(found, study),
            tag("h2", "Verdicts", id="verdicts"),
            tag("div", _verdict_table(found), class_="card"),
            tag("details", tag("summary", "How a verdict is reached"), tag("p", METHOD), class_="about"),
            tag("h2", "Over the grid", id="exhibits"),
            exhibits_section(drawn, arms),
            tag("h2", "Settings", id="settings"),
            tag("div", sections.config_section(_as_one(found), study), class_="card"),
            tag("h2", "Run it again", id="again"),
            tag("div", tag("pre", sweep_command(found, study)), class_="card"),
            tag("footer", f"wheatstone {wheatstone.__version__}. {study.card.source}."),
            id="main",
        ),
        embedded_json("findings", found.to_json()),
        scripts("page.js", "plot.js"),
    )


def sweep_command(found: SweepFindings, study: Study[Any]) -> str:
    """The `wheatstone sweep` command that makes this directory."""
    command = sections.rerun_command(_as_one(found), study).replace("wheatstone run", "wheatstone sweep", 1)
    words = (("--grid", f"{name}={','.join(map(shown, values))}") for name, values in found.grid.fields.items())
    return " ".join([command, *map(shlex.join, words)])


def _header(found: SweepFindings, study: Study[Any]) -> Html:
    points = found.grid.points()
    facts = [
        tag("span", *_counted(points, "point")),
        tag("span", "preset ", tag("b", found.preset)),
        tag("span", *_counted(found.seeds, "seed"), " × ", *_counted(found.arms, "arm"), " at each"),
        tag("span", tag("b", sections.duration(found.seconds)), " in all trials"),
    ]
    grid = (
        tag("li", tag("code", name), f" = {', '.join(map(shown, values))}")
        for name, values in found.grid.fields.items()
    )
    unfinished = None
    if not found.is_complete:
        done = sum(one.finished for one in found.points)
        whole = len(points) * len(found.arms) * len(found.seeds)
        text = f"This sweep has not finished: {done} of {whole} trials are done."
        unfinished = tag("p", text, class_="card warning")
    return tag(
        "header",
        THEME_SWITCH,
        tag("h1", f"{study.card.title}: a sweep"),
        tag("p", study.card.source, class_="lead"),
        tag("ul", *grid, class_="plain"),
        unfinished,
        tag("ul", *(tag("li", fact) for fact in facts), class_="facts"),
        tag("details", tag("summary", "About this study"), tag("pre", study.doc.strip())),
    )


def _counted(things: Sized, noun: str) -> tuple[Html, str]:
    """'1 seed', '3 seeds', with the number in bold."""
    return tag("b", len(things)), f" {noun}" if len(things) == 1 else f" {noun}s"


def _verdict_table(found: SweepFindings) -> Html:
    """A row a point, a column a claim; a verdict's reason and numbers appear on hover and in the point's own page."""
    arms = list(found.arms)
    first = found.points[0].findings.verdicts
    absent = not_run(first, arms)
    claims = [verdict.claim for verdict in first if verdict.claim.name not in absent]
    fields = (
        tag("th", tag("code", name), class_="number" if all(map(is_number, values)) else None)
        for name, values in found.grid.fields.items()
    )
    head = [*fields, *(claim.name for claim in claims), ""]
    rows = [_verdict_row(one, [claim.name for claim in claims]) for one in found.points]
    meanings = (tag("li", tag("code", claim.name), f": {claim.text}") for claim in claims)
    names = "; ".join(f"{name} ({', '.join(missing)})" for name, missing in absent.items())
    return join(
        [
            table(head, rows),
            tag("ul", *meanings, class_="plain about") if claims else None,
            tag("p", f"Not decided here, because an arm was not run: {names}", class_="about") if absent else None,
        ]
    )


def _verdict_row(one: PointFindings, claims: Sequence[str]) -> Html:
    verdicts = {verdict.claim.name: verdict for verdict in one.findings.verdicts}
    link = tag("a", "report", href=f"points/{quote(one.point.slug)}/report.html")
    state = [] if one.finished == one.trials else [tag("span", f" {one.finished} of {one.trials} trials")]
    return tag(
        "tr",
        *(_value_cell(value) for value in one.point.values.values()),
        *(_verdict_cell(verdicts[name]) for name in claims),
        tag("td", link, *state),
    )


def _verdict_cell(verdict: Verdict) -> Html:
    difference = None
    if verdict.difference is not None:
        difference = tag("div", f"difference {number(verdict.difference.mid)}", class_="about nowrap")
    return tag("td", outcome_badge(verdict.outcome), difference, title=verdict.reason)


def _value_cell(value: JsonScalar) -> Html:
    return tag("th", shown(value), class_="number" if is_number(value) else None)


def _as_one(found: SweepFindings) -> Findings:
    """The findings of a point with the settings of the sweep: the fields of the grid show all their values."""
    grid = {name: ", ".join(map(shown, values)) for name, values in found.grid.fields.items()}
    first = found.points[0].findings
    return dataclasses.replace(first, config={**found.config, **grid}, overrides=dict(found.overrides))

"""The pages of the server: all runs, one run while it runs, two runs side by side."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from wheatstone.bench.draw.theme import number
from wheatstone.bench.findings import Findings
from wheatstone.bench.report import asset, exhibits_section, scripts
from wheatstone.bench.report.html import THEME_SWITCH, Child, Html, join, page, table, tag
from wheatstone.bench.report.verdicts import SYMBOLS, interval_text, mean, outcome_badge, swatch
from wheatstone.bench.run import Run
from wheatstone.bench.serve.curves import compared_plots, live_plots
from wheatstone.bench.serve.runs import Summary
from wheatstone.bench.shown import printable
from wheatstone.bench.verdict import Interval

if TYPE_CHECKING:
    from wheatstone.bench.study import JsonScalar

STATES = ("running", "finished", "unfinished", "damaged")
OUTCOMES = ("holds", "fails", "inconclusive")
HEAD = ("", "Run", "Family", "Arms", "State", "Verdicts", "Started", "")


def whole_page(title: str, *content: Child, script: str | None = None) -> Html:
    """A page of the server: it may ask its own server, and nobody else."""
    return page(
        title,
        asset("page.css") + asset("serve.css"),
        tag("main", *content, id="main"),
        scripts("page.js", "plot.js", *([script] if script else [])),
        connect="'self'",
    )


def index_page(found: Iterable[Summary]) -> Html:
    """All runs, newest first, with a filter; its script follows them."""
    summaries = list(found)
    none = tag("p", "No runs yet: wheatstone run STUDY makes one.", class_="card", id="none")
    return whole_page(
        "wheatstone runs",
        tag("header", THEME_SWITCH, tag("h1", "Runs"), tag("p", counted(summaries), class_="lead", id="count")),
        _filters(summaries) if summaries else none,
        tag(
            "form",
            tag(
                "div",
                tag("button", "Compare two runs", type="submit", id="compare", disabled="disabled"),
                tag("span", "Mark two runs first.", class_="about", id="marked"),
                class_="bar",
            ),
            table([_head(name) for name in HEAD], rows(summaries), class_="runs"),
            data_seen=digest(summaries),
            id="runs",
            action="/compare",
            method="get",
        )
        if summaries
        else None,
        script="serve.js",
    )


def digest(summaries: Sequence[Summary]) -> str:
    """Names what a page shows, so that its stream of events begins where the page ends."""
    return f"{zlib.crc32(json.dumps(summaries).encode()):08x}"


def _head(name: str) -> Html:
    return tag("th", name or tag("span", "Mark or open", class_="hidden"), scope="col")


def counted(summaries: Sequence[Summary]) -> str:
    """'3 runs: 1 running, 2 finished'."""
    states = [one["state"] for one in summaries]
    parts = [f"{states.count(state)} {state}" for state in STATES if state in states]
    noun = "run" if len(states) == 1 else "runs"
    return f"{len(states)} {noun}: {', '.join(parts)}" if parts else "No runs yet."


def _filters(summaries: Sequence[Summary]) -> Html:
    families = sorted({one["family"] for one in summaries if one.get("family")})
    choices = {"State": STATES, "Family": families, "Verdict": OUTCOMES}
    return tag(
        "form",
        tag("label", "Search ", tag("input", type="search", name_="text", placeholder="study, run, arm")),
        *(
            tag(
                "label",
                f"{label} ",
                tag(
                    "select",
                    tag("option", "all", value=""),
                    *(tag("option", value, value=value) for value in values),
                    name_=label.lower(),
                ),
            )
            for label, values in choices.items()
        ),
        class_="bar",
        id="filter",
        role="search",
    )


def rows(summaries: Sequence[Summary]) -> list[Html]:
    """A row a run, and a heading row before the points of each sweep."""
    found: list[Html] = []
    for sweep, members in groupby(summaries, key=lambda one: one.get("sweep")):
        points = list(members)
        if sweep is not None:
            finished = sum(one["state"] == "finished" for one in points)
            link = tag("a", "report of all points", href=f"/runs/{quote(sweep)}/")
            head = tag(
                "th", "Sweep ", tag("code", sweep), f": {finished} of {len(points)} finished. ", link, colspan="8"
            )
            found.append(tag("tr", head, class_="group", data_sweep=sweep))
        found += map(row, points)
    return found


def row(summary: Summary) -> Html:
    """One run."""
    name, state = summary["name"], summary["state"]
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(summary["changed"]))
    mark = tag("input", type="checkbox", name_="run", value=name, aria_label=f"compare {name}")
    given: dict[str, Any] = {"id": f"run-{name}", "data_state": state, "data_family": summary.get("family", "")}
    if state == "damaged":
        fault = tag("span", summary["fault"], class_="fails")
        return tag("tr", tag("td"), tag("td", tag("code", name)), tag("td", fault, colspan="6"), **given)
    arms = summary["arms"]
    seeds = len(summary["seeds"])
    shown = ", ".join(arms) if len(arms) <= 3 else f"{len(arms)} arms"
    outcomes = [one["outcome"] for one in summary["verdicts"]]
    about = tag("a", f"{summary['study']} · {summary['preset']}", href=f"/live/{quote(name)}")
    return tag(
        "tr",
        tag("td", mark),
        tag("td", about, tag("div", tag("code", name), class_="about")),
        tag("td", summary["family"] or "–"),
        tag("td", shown, tag("div", f"{seeds} seed{'' if seeds == 1 else 's'}", class_="about"), title=", ".join(arms)),
        tag("td", _state(summary)),
        tag("td", *_verdict_counts(summary["verdicts"])),
        tag("td", started, class_="nowrap"),
        tag("td", tag("a", "report", href=f"/runs/{quote(name)}/")) if summary["has_report"] else tag("td"),
        **given,
        data_verdict=" ".join(sorted(set(outcomes))),
        data_text=" ".join([summary["study"], name, *arms]).lower(),
    )


def _state(summary: Summary) -> Html:
    """The word, and how far it is as a bar and in numbers."""
    done, trials = summary["finished"], summary["trials"]
    bar = tag("progress", f"{done} of {trials}", value=str(done), max=str(trials), aria_label="trials done")
    is_open = summary["state"] != "finished"
    return join(
        [
            tag("b", summary["state"], class_=f"state {summary['state']}"),
            bar if is_open else None,
            tag("div", f"{done} of {trials} trials", class_="about"),
        ],
        " ",
    )


def _verdict_counts(verdicts: Sequence[Mapping[str, str]]) -> list[Html]:
    found: list[Html] = []
    for outcome in OUTCOMES:
        claims = [one["claim"] for one in verdicts if one["outcome"] == outcome]
        if claims:
            text = f"{SYMBOLS[outcome]} {len(claims)} {outcome} "
            found.append(tag("span", text, class_=f"outcome {outcome}", title="\n".join(claims)))
    return found


def live_page(summary: Summary, run: Run) -> Html:
    """One run: its trials, its curves as they grow, its verdicts when there are any."""
    name = summary["name"]
    report = tag("a", "The report", href=f"/runs/{quote(name)}/") if summary["has_report"] else None
    return whole_page(
        f"{run.study_name} · {run.preset}",
        tag(
            "header",
            THEME_SWITCH,
            tag("nav", tag("a", "All runs", href="/"), report, aria_label="pages"),
            tag("h1", f"{run.study_name} · {run.preset}"),
            tag("p", tag("code", name), class_="lead"),
        ),
        tag("div", live_content(summary, run), id="live", data_run=name, data_state=summary["state"]),
        script="serve.js",
    )


def live_content(summary: Summary, run: Run) -> Html:
    """The part of a run's page that changes."""
    plots = live_plots(run)
    findings = run.findings() if summary["state"] == "finished" else None
    verdicts = findings.verdicts if findings else ()
    said = [
        tag(
            "tr",
            tag("td", outcome_badge(verdict.outcome)),
            tag("td", verdict.claim.text, tag("div", verdict.reason, class_="about")),
            tag("td", interval_text(verdict.difference), class_="number"),
        )
        for verdict in verdicts
    ]
    return join(
        [
            tag("div", _state(summary), class_="card", id="state"),
            tag("h2", "Verdicts") if said else None,
            tag("div", table(("Verdict", "Claim", _right("difference [95 %]")), said), class_="card") if said else None,
            tag("h2", "Trials"),
            tag("div", _trials(run), class_="card"),
            tag("h2", "Curves"),
            exhibits_section(plots, run.arms) if plots else tag("p", "Nothing is logged yet.", class_="card"),
        ]
    )


def _right(name: str) -> Html:
    return tag("th", name, class_="number")


def _trials(run: Run) -> Html:
    """A row an arm, a column a seed."""
    lines: list[Html] = []
    for arm in run.arms:
        cells: list[Html] = []
        for seed in run.seeds:
            record = run.trial(arm, seed)
            word = "done" if record.is_finished else "begun" if record.path.exists() else "–"
            cells.append(tag("td", word))
        lines.append(tag("tr", tag("td", swatch(arm, run.arms)), *cells))
    return table(("Arm", *(f"seed {seed}" for seed in run.seeds)), lines)


def compare_page(names: Sequence[str], runs: Sequence[Run]) -> Html:
    """Two runs side by side: verdicts, measures, settings that differ, and the curves that both have."""
    first, second = runs
    findings = [run.findings() for run in runs]
    plots = compared_plots(first, second)
    arms = list(dict.fromkeys((*first.arms, *second.arms)))
    return whole_page(
        "two runs",
        tag(
            "header",
            THEME_SWITCH,
            tag("nav", tag("a", "All runs", href="/"), aria_label="pages"),
            tag("h1", "Two runs side by side"),
            tag(
                "ul",
                *(
                    tag(
                        "li",
                        tag("b", letter),
                        ": ",
                        tag("a", name, href=f"/live/{quote(name)}"),
                        f" ({run.study_name})",
                    )
                    for letter, name, run in zip("AB", names, runs, strict=True)
                ),
                class_="plain",
            ),
        ),
        tag("h2", "Settings that differ"),
        tag("div", _settings(first, second), class_="card"),
        *_found(findings, arms),
        tag("h2", "Curves") if plots else None,
        exhibits_section(plots, arms) if plots else None,
    )


def _settings(first: Run, second: Run) -> Html:
    values = [_flat(run) for run in (first, second)]
    names = [name for name in {**values[0], **values[1]} if values[0].get(name) != values[1].get(name)]
    if not names:
        return tag("p", "None: these are two executions of the same settings.")
    lines = [
        tag("tr", tag("td", tag("code", name)), *(tag("td", str(one.get(name, "–"))) for one in values))
        for name in names
    ]
    return table(("Setting", "A", "B"), lines)


def _flat(run: Run) -> dict[str, JsonScalar]:
    seeds = ", ".join(map(str, run.seeds))
    flat: dict[str, JsonScalar] = {"study": run.study_name, "preset": run.preset, "seeds": seeds}
    flat |= run.base_config
    for arm, changes in run.arm_changes.items():
        flat[f"arm {arm}"] = ", ".join(f"{name} = {value}" for name, value in changes.items()) or "as it is"
    return flat


def _found(findings: Sequence[Findings | None], arms: Sequence[str]) -> list[Html]:
    """What both runs have found; nothing where neither has finished."""
    both = [one for one in findings if one is not None]
    if not both:
        return [tag("p", "Neither run has finished: only their curves can be compared.", class_="card")]
    claims = {verdict.claim.name: verdict.claim.text for one in both for verdict in one.verdicts}
    verdicts = [{v.claim.name: v for v in one.verdicts} if one else {} for one in findings]
    lines: list[Html] = []
    for name, text in claims.items():
        cells: list[Html] = []
        for side in verdicts:
            verdict = side.get(name)
            cells.append(tag("td", outcome_badge(verdict.outcome) if verdict else "–"))
            cells.append(tag("td", interval_text(verdict.difference) if verdict else "–", class_="number"))
        lines.append(tag("tr", tag("td", text), *cells))
    head = ("Claim", "A", _right("difference"), "B", _right("difference"))
    measured: list[Html] = []
    for arm in arms:
        known = {name for one in both for name in one.measures.get(arm, {})}
        if known:
            measured.append(tag("tr", tag("th", swatch(arm, arms), colspan="4"), class_="group"))
        for name in sorted(known):
            sides = [mean(one.measures.get(arm, {}).get(name, {})) if one else None for one in findings]
            cells = [tag("td", interval_text(side), class_="number") for side in sides]
            measured.append(tag("tr", tag("td", name), *cells, tag("td", _change(sides), class_="number")))
    return [
        tag("h2", "Verdicts"),
        tag("div", table(head, lines), class_="card") if lines else tag("p", "Neither makes a claim.", class_="card"),
        tag("h2", "Measures"),
        tag("div", table(("Measure", _right("A"), _right("B"), _right("B − A")), measured), class_="card"),
    ]


def _change(sides: Sequence[Interval | None]) -> str:
    a, b = sides
    return "–" if a is None or b is None else number(b.mid - a.mid)


def fault_page(text: str) -> Html:
    """What is wrong, with the way back."""
    return whole_page("wheatstone", tag("p", tag("a", "All runs", href="/")), tag("p", printable(text), class_="card"))

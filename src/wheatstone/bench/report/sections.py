"""What a report shows after the verdicts: exhibits, every seed's measures, cost, settings, environment."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from wheatstone.bench.config import field_docs
from wheatstone.bench.draw import diagram_svg, svg
from wheatstone.bench.draw.circuit import layout
from wheatstone.bench.draw.theme import number
from wheatstone.bench.exhibit import Cell, Circuit, Diagram, Exhibit, Heatmap, Note, Table
from wheatstone.bench.findings import Findings
from wheatstone.bench.report.figure import plot
from wheatstone.bench.report.html import Child, Html, join, paragraphs, table, tag, value_cell
from wheatstone.bench.report.verdicts import interval_text, mean, not_run, swatch
from wheatstone.bench.study import Study


def exhibit_section(exhibit: Exhibit, arms: Sequence[str]) -> Html:
    """One exhibit with its title and caption."""
    match exhibit:
        case Note() | Table():
            content: Child = plain_content(exhibit)
        case Circuit():
            content = tag("div", Html(svg(exhibit)), class_="scroll")
        case Diagram():
            content = tag("div", Html(diagram_svg(exhibit)), class_="scroll")
        case _:
            content = plot(exhibit, arms)
    caption = getattr(exhibit, "caption", "")
    return tag(
        "section",
        tag("h3", exhibit.title),
        tag("figure", content, tag("figcaption", caption) if caption else None),
        class_="card" if _is_narrow(exhibit) else "card wide",
        id=exhibit.name,
    )


def plain_content(exhibit: Exhibit) -> Html | None:
    """A table or a note; None for what is drawn."""
    match exhibit:
        case Note():
            return paragraphs(exhibit.text)
        case Table():
            return _exhibit_table(exhibit)
        case _:
            return None


def _is_narrow(exhibit: Exhibit) -> bool:
    """Whether two may stand side by side: small matrices and circuits come in pairs that are to be compared."""
    match exhibit:
        case Heatmap():
            return len(exhibit.x) <= 8
        case Circuit():
            return layout(exhibit).width <= 520
        case Diagram():
            return exhibit.width <= 520
        case _:
            return False


def _exhibit_table(exhibit: Table) -> Html:
    is_number = [False] * len(exhibit.columns)
    for row in exhibit.rows:
        is_number = [seen or isinstance(cell, int | float) for seen, cell in zip(is_number, row, strict=True)]
    classes = ["number" if right else None for right in is_number]
    head = [tag("th", name, class_=style) for name, style in zip(exhibit.columns, classes, strict=True)]
    rows = (
        tag("tr", *(_exhibit_cell(cell, style) for cell, style in zip(row, classes, strict=True)))
        for row in exhibit.rows
    )
    return table(head, rows)


def _exhibit_cell(cell: Cell, style: str | None) -> Html:
    return tag("td", cell, class_=style) if isinstance(cell, str) else value_cell(cell, style)


def measures_section(findings: Findings, study: Study[Any]) -> Html:
    """Every measure of every arm and seed, with the mean over seeds: never the best of them."""
    head = ["Arm, measure", *_right(*(f"seed {seed}" for seed in findings.seeds), "mean [95 % interval]")]
    rows: list[Html] = []
    for arm in findings.arms:
        about = next((one.about for one in study.arms if one.name == arm), "")
        title = join([swatch(arm, list(findings.arms)), tag("div", about, class_="about")])
        rows.append(tag("tr", tag("th", title, colspan=str(len(findings.seeds) + 2)), class_="group"))
        measured = findings.measures.get(arm, {})
        for name, meaning in study.measures.items():
            values = measured.get(name, {})
            cells = [value_cell(values.get(seed)) for seed in findings.seeds]
            label = tag("td", tag("div", name), tag("div", meaning, class_="about"))
            rows.append(tag("tr", label, *cells, tag("td", interval_text(mean(values)), class_="number")))
    return table(head, rows)


def cost_section(findings: Findings) -> Html:
    """Seconds of every trial and their sum."""
    arms = list(findings.arms)
    rows: list[Html] = []
    total = {"seconds": 0.0, "cpu_seconds": 0.0}
    for arm, seeds in findings.cost.items():
        for seed, cost in seeds.items():
            seconds = {name: cost.get(name) or 0.0 for name in total}
            total = {name: total[name] + value for name, value in seconds.items()}
            cells = [value_cell(value) for value in seconds.values()]
            rows.append(
                tag("tr", tag("td", swatch(arm, arms)), value_cell(seed), *cells, tag("td", cost.get("device", "")))
            )
    sums = [tag("th", duration(value), class_="number", title=repr(value)) for value in total.values()]
    rows.append(tag("tr", tag("th", "all trials", colspan="2"), *sums, tag("td")))
    return table(["Arm", *_right("seed", "wall time [s]", "CPU time [s]"), "device"], rows)


def _right(*names: Child) -> list[Html]:
    """Headings of columns of numbers."""
    return [tag("th", name, class_="number") for name in names]


def duration(seconds: float) -> str:
    """'42 s', '3 min 05 s', '2 h 10 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{number(seconds, 2) if seconds < 10 else whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def config_section(findings: Findings, study: Study[Any]) -> Html:
    """Every setting of every arm; what an arm or the user changed stands out."""
    docs = field_docs(study.config)
    arms = list(findings.arms)
    head: list[Child] = ["Setting", *_right(*(swatch(arm, arms) for arm in arms))]
    rows: list[Html] = []
    for name, base in findings.config.items():
        is_override = name in findings.overrides
        cells: list[Html] = []
        for changes in findings.arms.values():
            value = changes.get(name, base)
            is_changed = name in changes or is_override
            cells.append(tag("td", _setting(value), class_="number changed" if is_changed else "number"))
        label = tag("td", tag("code", name), tag("div", " ".join(docs.get(name, "").split()), class_="about"))
        rows.append(tag("tr", label, *cells))
    return table(head, rows)


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def environment_section(findings: Findings) -> Html:
    """Versions, source revision, machine, threads, as the run recorded them."""
    rows = (
        tag("tr", tag("td", tag("code", name)), tag("td", "–" if value is None else str(value)))
        for name, value in _flat(findings.environment)
    )
    return table(("What", "Value"), rows)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(cast("Mapping[str, Any]", value), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def rerun_command(findings: Findings, study: Study[Any]) -> str:
    """The `wheatstone run` command that makes this run's directory; the user's own changes are in it."""
    words = ["wheatstone", "run", findings.study, "--preset", findings.preset]
    seeds = findings.seeds
    words += ["--seeds", str(len(seeds)) if seeds == tuple(range(len(seeds))) else ",".join(map(str, seeds))]
    preset = study.presets.get(findings.preset)
    usual = preset.arms if preset and preset.arms is not None else tuple(arm.name for arm in study.arms)
    if tuple(findings.arms) != tuple(usual):
        words += ["--arms", ",".join(findings.arms)]
    for name, value in findings.overrides.items():
        flag = f"--config.{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(flag if value else f"--config.no-{name.replace('_', '-')}")
        else:
            words += [flag, "None" if value is None else str(value)]
    return shlex.join(words)


def claim_count(findings: Findings) -> Html:
    """'2 of 3 claims hold', or what is open."""
    absent = not_run(findings.verdicts, list(findings.arms))
    outcomes = [verdict.outcome for verdict in findings.verdicts if verdict.claim.name not in absent]
    counts = [f"{outcomes.count(one)} {word}" for one, word in _OUTCOMES.items() if one in outcomes]
    counts += [f"{len(absent)} not run"] if absent else []
    return tag("b", ", ".join(counts) if counts else "no claims")


_OUTCOMES = {"holds": "hold", "fails": "fail", "inconclusive": "inconclusive"}


def is_complete(findings: Findings) -> bool:
    """Whether every trial of the run has finished."""
    return all(len(findings.cost.get(arm, {})) == len(findings.seeds) for arm in findings.arms)


def total_seconds(findings: Findings) -> float:
    """Wall time of all trials together."""
    return math.fsum(cost.get("seconds") or 0.0 for seeds in findings.cost.values() for cost in seeds.values())

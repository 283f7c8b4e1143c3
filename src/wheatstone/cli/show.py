"""What the reading commands print: tables of studies, claims and verdicts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wheatstone.bench.draw.theme import number
from wheatstone.bench.report.verdicts import SYMBOLS, interval_text, mean, needed, not_run

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from wheatstone.bench.findings import Findings
    from wheatstone.bench.study import Claim, Study
    from wheatstone.bench.verdict import Verdict

STYLES = {"holds": "green", "fails": "red", "inconclusive": "yellow"}
FILE_WIDTH = 140
"""Columns of a table that goes into a file or a pipe, where there is no terminal to fit."""


def console() -> Console:
    """Where answers go: stdout, in colour on a terminal only."""
    from rich.console import Console

    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else FILE_WIDTH, highlight=False, markup=False)


def grid(*columns: str) -> Table:
    """An empty table without lines; cells are text and never markup."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def print_findings(findings: Findings) -> None:
    """A block a claim: verdict, both sides, their difference, what was needed, the paper's value and the reason."""
    from rich.text import Text

    out, blocks = console(), grid("", "")
    blocks.show_header = False
    absent = not_run(findings.verdicts, list(findings.arms))
    for verdict in findings.verdicts:
        claim = verdict.claim
        if claim.name in absent:
            continue
        sides = {
            f"{claim.measure} of {claim.treatment}": interval_text(mean(verdict.treatment)),
            f"{claim.measure_of_control} of {claim.control}": interval_text(mean(verdict.control)),
            "difference": interval_text(verdict.difference),
            "needed": needed(claim),
            "paper": f"{number(claim.paper)} ({claim.source})",
        }
        text = Text(f"{claim.text}\n", style="bold")
        for name, value in sides.items():
            text.append(f"{name}  ", style="not bold dim").append(f"{value}\n", style="not bold")
        text.append(f"{verdict.reason}\n", style="not bold italic")
        blocks.add_row(Text(f"{SYMBOLS[verdict.outcome]} {verdict.outcome}", style=STYLES[verdict.outcome]), text)
    seeds = ", ".join(map(str, findings.seeds))
    out.print(f"\n{findings.study}, preset {findings.preset}, seeds {seeds}\n", style="bold")
    if blocks.row_count:
        out.print(blocks)
    if absent:
        names = "; ".join(f"{name} ({', '.join(missing)})" for name, missing in absent.items())
        out.print(f"Not decided here, because an arm was not run: {names}")
    if not findings.verdicts:
        out.print("This study makes no claim.")


def print_study(study: Study[Any], last: Findings | None = None) -> None:
    """The study's case as a page: what it claims and what came out, how it is measured, how to run and apply it.

    `last` is what was found when it was last measured.
    """
    from rich.rule import Rule
    from rich.text import Text

    out = console()
    out.print(Text(study.card.title, style="bold"))
    out.print(Text(f"{study.name} · {study.card.family} · {study.card.source}\n", style="dim"))
    out.print(Text(f"{study.doc.strip()}\n"))
    out.print(Rule("Claims", align="left", style="dim"))
    if last is not None:
        measured = f"preset {last.preset}, {len(last.seeds)} seeds"
        out.print(Text(f"Last measured with {measured}: the sign before a claim is its verdict.", style="dim"))
    verdicts = {verdict.claim.name: verdict for verdict in last.verdicts} if last else {}
    for claim in study.claims:
        _print_claim(out, claim, verdicts.get(claim.name))
    changes = {arm.name: ", ".join(f"{name} = {value}" for name, value in arm.changes.items()) for arm in study.arms}
    _print_rows(out, "Arms", ((arm.name, arm.about, changes[arm.name]) for arm in study.arms))
    _print_rows(out, "Measures", study.measures.items())
    presets = (
        (
            f"wheatstone run {study.name} --preset {name}",
            f"{preset.seeds} seeds × {len(preset.arms or study.arms)} arms",
            preset.about,
        )
        for name, preset in study.presets.items()
    )
    _print_rows(out, "Run it", presets)
    verbs = ((f"wheatstone apply {study.name} {verb.name} --help", verb.about) for verb in study.verbs)
    _print_rows(out, "On your own data", verbs)
    _print_settings(out, study)


def _print_claim(out: Console, claim: Claim, verdict: Verdict | None) -> None:
    """The claim with its contrast below it, and what was found where there is something."""
    from rich.padding import Padding
    from rich.text import Text

    symbol, style = (SYMBOLS[verdict.outcome], STYLES[verdict.outcome]) if verdict else ("·", "dim")
    text = Text()
    text.append(f"{symbol} ", style=style).append(claim.text, style="bold").append(f"  {claim.name}", style="dim")
    out.print(text)
    lines = Text(f"{_contrast(claim)}; {needed(claim)}\n")
    if verdict is not None:
        treated, untreated = interval_text(mean(verdict.treatment)), interval_text(mean(verdict.control))
        lines.append(f"{claim.treatment} {treated}, {claim.control} {untreated}: ")
        lines.append(f"{verdict.outcome}, {verdict.reason}\n", style=style)
    lines.append(f"paper {number(claim.paper)}, {claim.source}", style="dim")
    out.print(Padding(lines, (0, 0, 1, 2)))


def _print_settings(out: Console, study: Study[Any]) -> None:
    """Every setting with its value in each preset."""
    from wheatstone.bench.config import field_docs, to_json

    values = {name: to_json(preset.config) for name, preset in study.presets.items()}
    rows = (
        (field, *(str(preset[field]) for preset in values.values()), " ".join(text.split()))
        for field, text in field_docs(study.config).items()
    )
    _print_rows(out, "Settings", rows, ("", *values, ""))


def _contrast(claim: Claim) -> str:
    """'accuracy of augmented higher than that of plain'."""
    other = "that" if claim.control_measure is None else claim.control_measure
    return f"{claim.measure} of {claim.treatment} {claim.direction} than {other} of {claim.control}"


def _print_rows(out: Console, title: str, rows: Any, head: Sequence[str] = ()) -> None:
    """A titled table, with a header where `head` names the columns; nothing at all for no rows."""
    from rich.padding import Padding
    from rich.rule import Rule
    from rich.text import Text

    lines: list[Sequence[str]] = [tuple(map(str, row)) for row in rows]
    if not lines:
        return
    table = grid(*(head or ("" for _ in lines[0])))
    table.show_header = bool(head)
    for line in lines:
        table.add_row(*(Text(cell) for cell in line))
    out.print(Rule(title, align="left", style="dim"))
    out.print(Padding(table, (0, 0, 1, 2)))

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


def print_study(study: Study[Any]) -> None:
    """The study's case: its docstring, measures, arms, claims, presets, verbs, settings."""
    from wheatstone.bench.config import field_docs

    out = console()
    out.print(f"{study.name} ({study.card.family}): {study.card.title}", style="bold")
    out.print(f"{study.card.source}\n\n{study.doc.strip()}")
    _print_rows(out, "Measures", study.measures.items())
    changes = {arm.name: ", ".join(f"{name} = {value}" for name, value in arm.changes.items()) for arm in study.arms}
    _print_rows(out, "Arms", ((arm.name, arm.about, changes[arm.name]) for arm in study.arms))
    claims = (
        (claim.name, claim.text, f"{_contrast(claim)}; {needed(claim)}", f"paper {number(claim.paper)}, {claim.source}")
        for claim in study.claims
    )
    _print_rows(out, "Claims", claims)
    presets = (
        (name, f"{preset.seeds} seeds", f"{len(preset.arms or study.arms)} arms", preset.about)
        for name, preset in study.presets.items()
    )
    _print_rows(out, "Presets", presets)
    _print_rows(out, "Verbs", ((verb.name, verb.about) for verb in study.verbs))
    _print_rows(out, "Settings", ((name, " ".join(text.split())) for name, text in field_docs(study.config).items()))


def _contrast(claim: Claim) -> str:
    """'accuracy of augmented higher than that of plain'."""
    other = "that" if claim.control_measure is None else claim.control_measure
    return f"{claim.measure} of {claim.treatment} {claim.direction} than {other} of {claim.control}"


def _print_rows(out: Console, title: str, rows: Any) -> None:
    """A titled table without header; nothing at all for no rows."""
    from rich.padding import Padding
    from rich.text import Text

    lines: list[Sequence[str]] = [tuple(map(str, row)) for row in rows]
    if not lines:
        return
    table = grid(*("" for _ in lines[0]))
    table.show_header = False
    for line in lines:
        table.add_row(*(Text(cell) for cell in line))
    out.print(f"\n{title}", style="bold")
    out.print(Padding(table, (0, 0, 0, 2)))

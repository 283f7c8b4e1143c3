"""Figures and tables of a run: what each arm answers, how it learnt, the programs and trees it found."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from wheatstone.bench.exhibit import (
    Bars,
    BarSeries,
    Circuit,
    CircuitEdge,
    CircuitNode,
    Exhibit,
    Line,
    Lines,
    Mark,
    Table,
    curve_line,
)
from wheatstone.bench.run import Run
from wheatstone.bench.verdict import t_interval

BOUND = 0.95
HINT_TESTS = {
    "accuracy_i": "I: seen",
    "accuracy_ss": "SS: short, small",
    "accuracy_sl": "SL: short, large",
    "accuracy_ls": "LS: long, small",
    "accuracy_ll": "LL: long, large",
}
DIGITS = 3
LETTER_ROWS = 6
"""Programs of one kind (letters, say) that a table shows."""
VALUE = 22
"""Characters of a value in a drawn tree."""


def exhibits(run: Run) -> Sequence[Exhibit]:
    """All exhibits whose arms the run has finished."""
    finished = [arm for arm in run.arms if all(run.trial(arm, seed).is_finished for seed in run.seeds)]
    if not finished:
        return []
    shown: list[Exhibit] = [_accuracy_bars(run, finished)]
    shown += _hint_bars(run, finished)
    shown += _curves(run, finished)
    shown += _by_length(run, finished)
    shown.append(_cost(run, finished))
    seed = run.seeds[0]
    for arm in finished:
        record = run.trial(arm, seed)
        if record.has("programs"):
            shown.append(_programs(arm, seed, record.artifact("programs")))
    for arm in finished:
        record = run.trial(arm, seed)
        if record.has("trees"):
            shown += [_tree(arm, seed, at, rows) for at, rows in enumerate(record.artifact("trees")[:1])]
    return shown


def _accuracy_bars(run: Run, finished: Sequence[str]) -> Bars:
    measures = {"accuracy": "test", "validation_accuracy": "unseen, training distribution"}
    return Bars(
        "accuracy",
        f"Answers that are exactly right (share), {_seeds(run)}",
        "share of the questions",
        [arm.replace("_", " ") for arm in finished],
        [_series(run, finished, measure, label) for measure, label in measures.items()],
        y_range=(0, 1.05),
        caption="Test: longer outputs, a word that training shows only alone, deeper nesting, or larger numbers, as "
        "the arm's name says. Whiskers: 95 % t intervals over seeds.",
        marks=(Mark("y", BOUND, "0.95"),),
    )


def _hint_bars(run: Run, finished: Sequence[str]) -> list[Exhibit]:
    arms = [arm for arm in finished if math.isfinite((run.trial(arm, run.seeds[0]).measures() or {})["accuracy_ll"])]
    if not arms:
        return []
    series: list[BarSeries] = []
    for arm in arms:
        parts = [_interval(run, arm, measure) for measure in HINT_TESTS]
        mids, lows, highs = ([part[k] for part in parts] for k in range(3))
        series.append(BarSeries(arm.replace("_", " "), mids, lows, highs, arm=arm))
    return [
        Bars(
            "hint-tests",
            f"HINT: answers that are exactly right by test (share), {_seeds(run)}",
            "share of the questions",
            list(HINT_TESTS.values()),
            series,
            y_range=(0, 1.05),
            caption="Training has up to ten operators and values up to 100. Large: a value from 101 to 10,000. Long: "
            "11 to 20 operators. Whiskers: 95 % t intervals over seeds.",
        )
    ]


def _curves(run: Run, finished: Sequence[str]) -> list[Exhibit]:
    machines = [arm for arm in finished if run.trial(arm, run.seeds[0]).has("programs")]
    others = [arm for arm in finished if arm not in machines]
    shown: list[Exhibit] = []
    for name, arms, unit in (("learning", machines, "rounds"), ("learning-transformer", others, "optimiser steps")):
        lines = [line for arm in arms if (line := curve_line(run, "accuracy", arm, arm.replace("_", " "))).x]
        if lines:
            title = f"Test answers that are exactly right over learning (share), {_seeds(run)}"
            caption = "Means over seeds, bands 95 % t intervals, up to 300 questions of a test."
            shown.append(Lines(name, title, unit, "share of the questions", lines, False, (0, 1.02), caption))
    for arm in machines[:1]:
        lines = [
            dataclasses.replace(curve_line(run, metric, arm, label), arm=None)
            for metric, label in (("explained", "explained"), ("deduced", "first tree right as it was"))
        ]
        title = f"{arm}: sentences of a round with an explanation (share), {_seeds(run)}"
        caption = "Between the curves lie sentences that another tree, or abduction, explained."
        shown.append(Lines("explained", title, "rounds", "share of the batch", lines, False, (0, 1.02), caption))
    return shown


def _by_length(run: Run, finished: Sequence[str]) -> list[Exhibit]:
    shown: list[Exhibit] = []
    for arm in finished:
        rival = f"{arm}_transformer"
        if rival not in finished:
            continue
        lines: list[Line] = []
        for one in (arm, rival):
            rows: list[Mapping[str, float]] = run.trial(one, run.seeds[0]).artifact("by_length")
            some = [row for row in rows if row["n"] >= 5]
            words, shares = [row["words"] for row in some], [round(row["accuracy"], DIGITS) for row in some]
            lines.append(Line(one.replace("_", " "), words, shares, arm=one))
        if all(len(line.x) > 2 for line in lines):
            title = f"{arm}: test answers that are exactly right by length of the sentence (share), seed {run.seeds[0]}"
            name = f"length-{arm.replace('_', '-')}"
            shown.append(Lines(name, title, "words of the sentence", "share of the questions", lines, False, (0, 1.02)))
    return shown


def _cost(run: Run, finished: Sequence[str]) -> Table:
    rows: list[tuple[str | float | None, ...]] = []
    for arm in finished:
        measures = [run.trial(arm, seed).measures() or {} for seed in run.seeds]
        row: list[str | float | None] = [arm]
        for name in ("accuracy", "head_accuracy", "programs", "missing", "round_95"):
            values = [one[name] for one in measures]
            row.append(math.fsum(values) / len(values) if all(map(math.isfinite, values)) else None)
        rows.append(tuple(row))
    return Table(
        "modules",
        f"What each part got right (means), {_seeds(run)}",
        ("arm", "answers", "trees", "programs", "no value", "round with 0.95"),
        rows,
        "Trees: share of test sentences with the tree of the rule. Programs: share of the rule's symbols with an equal "
        "program on probes. A right answer by a wrong tree shows as answers above trees.",
    )


def _programs(arm: str, seed: int, found: Sequence[Mapping[str, Any]]) -> Table:
    kept: list[Mapping[str, Any]] = []
    constants = 0
    for row in found:
        is_letter = row["agrees"] is None
        constants += is_letter
        if not is_letter or constants <= LETTER_ROWS:
            kept.append(row)
    has_pictures = any(row["shows"] is not None for row in found)
    columns = ["symbol", *(["mostly shows"] if has_pictures else []), "children", "program", "likelihood", "examples"]
    rows = [
        (
            row["symbol"],
            *([row["shows"]] if has_pictures else []),
            str(row["arity"]),
            row["program"],
            round(row["likelihood"], DIGITS),
            str(row["examples"]),
            {True: "yes", False: "no", None: "–"}[row["agrees"]],
        )
        for row in kept
    ]
    caption = "x and y are the values of the children from left to right; self is the program itself."
    if len(kept) < len(found):
        caption += f" {len(found) - len(kept)} more programs are of the kind of the last rows."
    title = f"{arm}, seed {seed}: the meanings that were learnt ({len(found)} programs)"
    return Table(f"programs-{arm.replace('_', '-')}", title, (*columns, "as the rule"), rows, caption)


def _tree(arm: str, seed: int, at: int, rows: Sequence[Mapping[str, Any]]) -> Circuit:
    """A sentence with its tree: words below, each with its value, its head above it."""
    heads = [row["head"] for row in rows]

    def height(word: int) -> int:
        below = [height(child) for child, head in enumerate(heads) if head == word]
        return 1 + max(below, default=-1)

    def value(text: str) -> str:
        return text if len(text) <= VALUE else text[: VALUE - 1] + "…"

    nodes = [
        CircuitNode(f"w{word}", value(row["value"]), word, height(word), 1.0 if row["head"] < 0 else 0.4)
        for word, row in enumerate(rows)
    ]
    edges = [CircuitEdge(f"w{word}", f"w{head}", 1.0) for word, head in enumerate(heads) if head >= 0]
    return Circuit(
        f"tree-{arm.replace('_', '-')}-{at + 1}",
        f"{arm}, seed {seed}: a test sentence, its tree and the value of each word",
        nodes,
        edges,
        "Edges go from a word to its head; the root is on top, and its value is the answer.",
        columns=[row["word"] for row in rows],
        rows=[f"height {level}" for level in range(1 + max(height(word) for word in range(len(rows))))],
    )


def _interval(run: Run, arm: str, measure: str) -> tuple[float, float, float]:
    """Mean with its t interval over the seeds; NaN where a seed has none."""
    found = [(run.trial(arm, seed).measures() or {})[measure] for seed in run.seeds]
    known = all(map(math.isfinite, found))
    interval = t_interval(found) if known and len(found) > 1 else None
    mid = math.fsum(found) / len(found) if known else math.nan
    return (mid, interval.low, interval.high) if interval else (mid, math.nan, math.nan)


def _series(run: Run, arms: Sequence[str], measure: str, label: str) -> BarSeries:
    parts = [_interval(run, arm, measure) for arm in arms]
    mids, lows, highs = ([part[k] for part in parts] for k in range(3))
    return BarSeries(label, mids, lows, highs)


def _seeds(run: Run) -> str:
    return f"n = {len(run.seeds)} seed{'' if len(run.seeds) == 1 else 's'}"

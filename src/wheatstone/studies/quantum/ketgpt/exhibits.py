"""Figures and tables of a run: realism beside copying, judges' curves, structure, routing, drawn circuits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from wheatstone.bench.exhibit import (
    Bars,
    BarSeries,
    Circuit,
    CircuitEdge,
    CircuitNode,
    Exhibit,
    Heatmap,
    Line,
    Lines,
    Mark,
    Scatter,
    ScatterSeries,
    Table,
    curve_line,
)
from wheatstone.bench.run import Run
from wheatstone.bench.verdict import t_interval

LABELS = {
    "words": "transformer, words",
    "unnamed": "transformer, no families",
    "lines": "transformer, lines",
    "ngram": "n-gram",
    "unigram": "unigram",
    "frequency_matched": "frequency-matched",
    "uniform_random": "uniform random",
    "shuffled_training": "shuffled training",
    "copied_training": "copied training",
    "spliced": "spliced",
    "library_random": "random_circuit",
    "own": "transformer",
    "own_matched": "frequency-matched",
}
TABLED = ("auc", "auc_files", "judged_real", "structure", "swap_distance", "copied_words", "copied", "nearest", "gates")
HEADS = (
    "circuits",
    "AUC, unseen families",
    "AUC, unseen files",
    "called real by published judge",
    "structure",
    "routing",
    "copied runs of 20",
    "copies",
    "edits to nearest",
    "gates",
)
DRAWN = ("words", "own", "frequency_matched", "own_matched")
ROC_POINTS = np.linspace(0, 1, 41).round(3)
BINS = np.linspace(0, 1, 21)
LAYERS = 14
"""Layers of a drawn circuit that are shown."""


def exhibits(run: Run) -> Sequence[Exhibit]:
    """All exhibits whose arms the run has finished."""
    done = [arm for arm in run.arms if all(run.trial(arm, seed).is_finished for seed in run.seeds)]
    if not done:
        return []
    shown: list[Exhibit] = [_table(run, done), *_judges(run, done), _trade(run, done), *_curves(run, done)]
    shown += [_roc(run, done), _near(run, done), _structure(run, done), *_routing(run, done)]
    shown += _variants(run, done) + _drawings(run, done)
    return shown


def _table(run: Run, done: Sequence[str]) -> Exhibit:
    rows = [[LABELS[arm], *(_mean(run, arm, measure) for measure in TABLED)] for arm in done]
    return Table(
        "realism",
        f"How real the circuits look, beside how much of them is copied, mean of {_seeds(run)}",
        HEADS,
        rows,
        "AUC: 0.5 means that a judge trained on real against these circuits cannot tell them, 1 that it always can. "
        "Structure and routing: distance from real circuits in standard deviations. Low distances with many copies are "
        "memory, not realism.",
    )


def _judges(run: Run, done: Sequence[str]) -> list[Exhibit]:
    groups = [LABELS[arm] for arm in done]
    return [
        Bars(
            "judges",
            f"Two judges of the same circuits, {_seeds(run)}",
            "share or area [0, 1]",
            groups,
            [
                _bars(run, done, "judged_real", "called real by the published judge"),
                _bars(run, done, "auc", "AUC of a judge trained on these circuits"),
            ],
            y_range=(0, 1.05),
            caption="The published judge has learnt real against uniformly random statements, and takes random "
            "statements of the right frequency for real. The other judge is trained anew for each kind of circuit and "
            "tested on families that it has not seen. Bars are means over seeds with 95 % t intervals.",
        )
    ]


def _bars(run: Run, arms: Sequence[str], measure: str, label: str) -> BarSeries:
    values, low, high = list[float](), list[float](), list[float]()
    for arm in arms:
        found = _values(run, arm, measure)
        interval = t_interval(found) if len(found) > 1 and not any(map(math.isnan, found)) else None
        values.append(float(np.mean(found)))
        low.append(max(0.0, interval.low) if interval else math.nan)
        high.append(min(1.0, interval.high) if interval else math.nan)
    return BarSeries(label, values, low, high)


def _trade(run: Run, done: Sequence[str]) -> Exhibit:
    return Scatter(
        "realism-against-copying",
        f"Realism against copying, one point a seed, {_seeds(run)}",
        "runs of 20 words that a training circuit has too [0, 1]",
        "AUC of a judge trained on these circuits",
        [
            ScatterSeries(LABELS[arm], _values(run, arm, "copied_words"), _values(run, arm, "auc"), arm=arm)
            for arm in done
        ],
        y_range=(0.3, 1.05),
        caption="Low is hard to tell from real, left is new. Training circuits themselves lie at the lower right.",
        marks=(Mark("y", 0.5, "cannot tell"),),
    )


def _curves(run: Run, done: Sequence[str]) -> list[Exhibit]:
    found: list[Exhibit] = []
    for arm in done:
        lines = [
            curve_line(run, metric, arm, label)
            for metric, label in (
                ("train_loss", "training"),
                ("nats_files", "unseen files"),
                ("nats_families", "unseen families"),
            )
        ]
        lines = [line for line in lines if line.x]
        if lines:
            found.append(
                Lines(
                    f"training-{arm.replace('_', '-')}",
                    f"Loss of a token while training, {LABELS[arm]}, {_seeds(run)}",
                    "optimiser steps",
                    "loss [nats]",
                    lines,
                    log_x=True,
                    caption="Lines are means over seeds, bands 95 % t intervals. Unseen: 24 circuits of each kind.",
                )
            )
    return found


def _roc(run: Run, done: Sequence[str]) -> Exhibit:
    lines = [
        Line(
            LABELS[arm],
            list(ROC_POINTS),
            [round(float(rate), 3) for rate in np.mean([_rates(run, arm, seed) for seed in run.seeds], 0)],
            arm=arm,
        )
        for arm in done
    ]
    return Lines(
        "roc",
        f"ROC curves of the judges trained on each kind of circuit, mean of {_seeds(run)}",
        "real circuits called generated",
        "generated circuits found out",
        lines,
        y_range=(0, 1.02),
        caption="Scores of all families together, each given while its family was unseen; the areas in the table are "
        "means over folds. The diagonal is guessing.",
    )


def _rates(run: Run, arm: str, seed: int) -> list[float]:
    """Share of candidates found out at each share of real circuits called generated."""
    stored = run.trial(arm, seed).artifact("scores")
    score, candidate = np.array(stored["score"], float), np.array(stored["candidate"], bool)
    if not candidate.any() or candidate.all():
        return [math.nan] * len(ROC_POINTS)
    thresholds = np.quantile(score[~candidate], 1 - ROC_POINTS)
    return [float((score[candidate] >= threshold).mean()) for threshold in thresholds]


def _near(run: Run, done: Sequence[str]) -> Exhibit:
    middle = ((BINS[1:] + BINS[:-1]) / 2).round(3)
    lines: list[Line] = []
    for arm in done:
        rows = [row["nearest"] for seed in run.seeds for row in run.trial(arm, seed).artifact("circuits")]
        counts, _ = np.histogram(rows, BINS)
        lines.append(Line(LABELS[arm], list(middle), list((counts / max(len(rows), 1)).round(4)), arm=arm))
    return Lines(
        "nearest",
        f"Edits to the nearest training circuit, {_seeds(run)}",
        "edits over the gates of the longer circuit",
        "share of circuits",
        lines,
        caption="0 is a copy. Gates count as equal when qubits, numbered by first use, and angles agree, so that "
        "families with random angles are far from everything, real ones too.",
    )


def _structure(run: Run, done: Sequence[str]) -> Exhibit:
    stored = {arm: [run.trial(arm, seed).artifact("structure")["apart"] for seed in run.seeds] for arm in done}
    names = list(stored[done[0]][0])
    values = [[float(np.mean([row[name] for row in stored[arm]])) for name in names] for arm in reversed(done)]
    return Heatmap(
        "structure",
        f"Distance of 14 structural measures from real circuits, mean of {_seeds(run)}",
        "measure",
        "circuits",
        names,
        [LABELS[arm] for arm in reversed(done)],
        values,
        "standard deviations",
        (0, max(1.0, *(value for row in values for value in row))),
        "Wasserstein-1 distance in standard deviations of the real circuits; 0 is the same distribution.",
    )


def _routing(run: Run, done: Sequence[str]) -> list[Exhibit]:
    chosen = [arm for arm in DRAWN if arm in done]
    if not chosen:
        return []
    points: list[ScatterSeries] = []
    for arm in chosen:
        stored = run.trial(arm, run.seeds[0]).artifact("routing")
        if not points:
            points.append(_overheads("real", stored["real"], None))
        points.append(_overheads(LABELS[arm], stored["made"], arm))
    return [
        Scatter(
            "routing",
            f"What a heavy hexagon adds to the CX gates, seed {run.seeds[0]}",
            "qubits",
            "log2 of CX gates after over before",
            points,
            caption="0 is free, 1 doubles the CX gates.",
        )
    ]


def _overheads(label: str, rows: Sequence[Any], arm: str | None) -> ScatterSeries:
    return ScatterSeries(label, [row["qubits"] for row in rows], [row["heavy_hex"] for row in rows], arm=arm)


def _variants(run: Run, done: Sequence[str]) -> list[Exhibit]:
    found: list[Exhibit] = []
    for arm in done:
        if not run.trial(arm, run.seeds[0]).has("variants"):
            continue
        stored = [run.trial(arm, seed).artifact("variants") for seed in run.seeds]
        keys = ("auc", "structure", "copied_words")
        rows = [["as measured", *(_mean(run, arm, key) for key in keys)]]
        for place, row in enumerate(stored[0]["rows"]):
            rows.append([row["name"], *(_nan_mean([one["rows"][place][key] for one in stored]) for key in keys)])
        share = _nan_mean([one["repeating"] for one in stored])
        found.append(
            Table(
                f"drawing-{arm.replace('_', '-')}",
                f"Other ways of drawing from the same network, {LABELS[arm]}, mean of {_seeds(run)}",
                ("drawn with", "AUC, unseen families", "structure", "copied runs of 20"),
                rows,
                f"Real circuits that repeat a run of 15 words, which the published sampling forbids: {share:.0%}.",
            )
        )
    return found


def _drawings(run: Run, done: Sequence[str]) -> list[Exhibit]:
    chosen = [arm for arm in DRAWN if arm in done][:2]
    found: list[Exhibit] = []
    for arm in chosen:
        record = run.trial(arm, run.seeds[0])
        if not found:
            found.append(_drawn("real", "A real circuit", record.artifact("shown")["real"]))
        found.append(_drawn(arm.replace("_", "-"), f"Circuit of {LABELS[arm]}", record.artifact("shown")["made"]))
    return found


def _drawn(name: str, title: str, gates: dict[str, Any]) -> Exhibit:
    """Wires run from left to right, a gate as early as its qubits are free."""
    n, nodes, edges = gates["n"], list[CircuitNode](), list[CircuitEdge]()
    free, last = [0] * n, dict[int, str]()
    for index, (gate, qubits, _) in enumerate(gates["ops"]):
        column = max(free[qubit] for qubit in qubits)
        for qubit in range(min(qubits), max(qubits) + 1):
            free[qubit] = column + 1
        if column >= LAYERS:
            continue
        for place, qubit in enumerate(qubits):
            here = f"{index}-{place}"
            controls = gate.startswith("c") and place < len(qubits) - 1 and gate != "cswap"
            nodes.append(CircuitNode(here, "●" if controls else gate.removeprefix("c"), column, n - 1 - qubit, 0.5))
            if place:
                edges.append(CircuitEdge(f"{index}-{place - 1}", here, 1.0))
            if qubit in last:
                edges.append(CircuitEdge(last[qubit], here, 0.2))
            last[qubit] = here
    columns = [str(column + 1) for column in range(min(LAYERS, max(free, default=0)))]
    rows = [f"q{n - 1 - row}" for row in range(n)]
    more = f", the first {LAYERS} layers" if max(free, default=0) > LAYERS else ""
    return Circuit(
        f"circuit-{name}", f"{title}, {n} qubits{more}", nodes, edges, "Time runs to the right.", columns, rows
    )


def _values(run: Run, arm: str, measure: str) -> list[float]:
    return [(run.trial(arm, seed).measures() or {})[measure] for seed in run.seeds]


def _mean(run: Run, arm: str, measure: str) -> float:
    return float(np.mean(_values(run, arm, measure)))


def _nan_mean(values: Sequence[float | None]) -> float:
    return float(np.mean([math.nan if value is None else value for value in values]))


def _seeds(run: Run) -> str:
    return f"n = {len(run.seeds)} seed{'' if len(run.seeds) == 1 else 's'}"

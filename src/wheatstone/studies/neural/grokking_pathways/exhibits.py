"""Figures and tables of a run: monitors beside accuracies, what each tells, lags, where to stop, what layers share."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from wheatstone.bench.exhibit import (
    Bars,
    BarSeries,
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
from wheatstone.bench.over_seeds import bars_of, finished_arms, measured, n_seeds, spread
from wheatstone.bench.run import Run
from wheatstone.studies.neural.grokking_pathways.domains import DOMAINS

NAMES = {"two_hop": "two hops", "addition": "addition", "comparison": "comparison", "noise": "random answers"}
CURVES = {
    "train": "training accuracy",
    "test": "test accuracy",
    "distance": "distance, related",
    "unrelated": "distance, any two",
    "consistency": "consistency",
    "centred": "consistency, centred rows",
}
TELLERS = {
    "by_distance": "distance, related",
    "by_ratio": "related over any two",
    "by_sequence": "related, all positions",
    "by_unrelated": "distance, any two",
    "by_consistency": "consistency",
    "by_centred": "consistency, centred",
    "by_loss": "training loss",
    "by_norm": "weight norm",
    "by_entropy": "expert use",
    "by_shuffled": "renamed at random",
}
BESIDE = {
    "by_distance": "distance",
    "by_distance_detrended": "distance, time held fixed",
    "by_distance_differences": "changes of distance",
    "by_distance_later": "distance, test later",
    "by_loss": "training loss",
    "by_loss_detrended": "training loss, time held fixed",
}
DROPS = {
    "drop_two_hop": "two hops",
    "drop_comparison": "comparison",
    "drop_addition": "addition",
    "drop_noise": "random",
}
MAIN = "learned"
DIGITS = 3
"""A map or a point is drawn from one seed: more digits than this would only pretend."""


def exhibits(run: Run) -> Sequence[Exhibit]:
    """All exhibits whose arms the run has finished."""
    finished = finished_arms(run)
    shown: list[Exhibit] = []
    if MAIN in finished:
        shown += [_curves(run, domain) for domain in DOMAINS]
        shown += [_tellers(run), _beside(run), _certain(run), _points(run), _lags(run), _stops(run), *_layers(run)]
    if finished:
        shown += [_arms(run, finished), _drops(run, finished)]
    return shown


def _curves(run: Run, domain: str) -> Lines:
    """Accuracies and monitors of one domain on one axis of steps; a mark where it was memorised."""
    found = [curve_line(run, f"{name}_{domain}", MAIN, label) for name, label in CURVES.items()]
    lines = [dataclasses.replace(line, arm=None) for line in found if line.x]
    memorised = _mean(run, MAIN, f"memorised_{domain}")
    return Lines(
        f"monitors-{domain.replace('_', '-')}",
        f"{NAMES[domain].capitalize()}: accuracies and monitors (shares of 1), {n_seeds(run)}",
        "optimiser steps",
        "share",
        lines,
        y_range=(-0.25, 1.02),
        caption="Monitors see training questions alone. Means over seeds, bands 95 % t intervals.",
        marks=() if math.isnan(memorised) else (Mark("x", memorised, "memorised"),),
    )


def _tellers(run: Run) -> Bars:
    """How each monitor ranks the evaluations after memorising."""
    return _correlations(
        run,
        "tellers",
        f"After memorising: rank correlation with test accuracy, {n_seeds(run)}",
        TELLERS,
        "Each with the sign that should be positive: falling distance, loss and use, rising consistency; of "
        "the norm, which is but a clock, the size. No bar where a domain was not memorised in time. Whiskers: 95 % t "
        "intervals over seeds.",
        marks=(Mark("y", 0.5, "0.5"),),
    )


def _beside(run: Run) -> Bars:
    """What is left of a correlation once the common trend is out."""
    return _correlations(
        run,
        "beside-time",
        f"What is left when a common trend does not count, {n_seeds(run)}",
        BESIDE,
        "Time held fixed: partial rank correlation given the order of the evaluations. Changes: from one "
        "evaluation to the next, over the whole run. Whiskers: 95 % t intervals over seeds.",
    )


def _correlations(
    run: Run, name: str, title: str, labels: Mapping[str, str], caption: str, marks: Sequence[Mark] = ()
) -> Bars:
    """A bar for each measure and domain of the main arm."""
    return Bars(
        name,
        title,
        "Spearman's correlation",
        [NAMES[domain] for domain in DOMAINS],
        [
            _series(run, label, [(MAIN, f"{measure}_{domain}") for domain in DOMAINS])
            for measure, label in labels.items()
        ],
        y_range=(-1.05, 1.05),
        caption=caption,
        marks=marks,
    )


def _certain(run: Run) -> Table:
    """How certain the correlations of one run are: intervals from blocks of evaluations, seed by seed."""
    measures = ("window", "by_distance", "low_distance", "high_distance", "by_loss", "low_over_loss", "high_over_loss")
    rows: list[tuple[str | float | None, ...]] = []
    for domain in DOMAINS:
        columns = [measured(run, MAIN, f"{name}_{domain}") for name in measures]
        for seed, cells in zip(run.seeds, zip(*columns, strict=True), strict=True):
            if not math.isnan(cells[1]):
                rows.append((NAMES[domain], seed, int(cells[0]), *(round(cell, DIGITS) for cell in cells[1:])))
    return Table(
        "certain",
        "Distance and test accuracy after memorising: how certain one run is",
        ("domain", "seed", "evaluations", "by distance", "low", "high", "by loss", "difference: low", "high"),
        rows,
        "95 % intervals from blocks of neighbouring evaluations drawn at random, 1000 draws; an interval that holds 0 "
        "decides nothing.",
    )


def _points(run: Run) -> Scatter:
    """Every evaluation after memorising: distance against test accuracy."""
    record = run.trial(MAIN, run.seeds[0])
    measures = record.measures() or {}
    points: list[ScatterSeries] = []
    for domain in DOMAINS:
        start = measures[f"memorised_{domain}"]
        rows = [row for row in record.metrics() if not math.isnan(start) and row["step"] >= start]
        if rows:
            points.append(
                ScatterSeries(
                    NAMES[domain],
                    [round(row[f"distance_{domain}"], DIGITS) for row in rows],
                    [round(row[f"test_{domain}"], DIGITS) for row in rows],
                    [f"step {row['step']}" for row in rows],
                )
            )
    return Scatter(
        "distance-and-test",
        f"Evaluations after memorising, seed {run.seeds[0]}",
        "distance of related pathways (share of the longer)",
        "test accuracy",
        points,
        y_range=(-0.02, 1.02),
        caption="A point an evaluation. If the distance told the test accuracy, points would fall along a line.",
    )


def _lags(run: Run) -> Table:
    """When each domain was memorised and when it generalised."""
    rows: list[tuple[str | float | None, ...]] = []
    for domain in DOMAINS:
        cells = [
            _mean(run, MAIN, f"{name}_{domain}") for name in ("memorised", "lag", "window", "train", "test", "gain")
        ]
        rows.append((NAMES[domain], *(None if math.isnan(cell) else cell for cell in cells)))
    return Table(
        "lags",
        f"When domains are memorised and how much later they generalise, {n_seeds(run)}",
        ("domain", "memorised at step", "lag in steps", "evaluations after", "training", "test", "test gained after"),
        rows,
        "Means over the seeds in which it happened. A negative lag: the test was answered before training was "
        "memorised. A domain that never generalised has the rest of the run as its lag.",
    )


def _stops(run: Run) -> Table:
    """What the test accuracy is where each monitor says that nothing more is to come."""
    rows: list[tuple[str | float | None, ...]] = []
    for domain in DOMAINS:
        found = [_stopped(run, seed, domain) for seed in run.seeds]
        for name in ("loss", "distance", "consistency"):
            steps = [one[name][0] for one in found if name in one]
            tests = [one[name][1] for one in found if name in one]
            if steps:
                best = [one["best"][1] for one in found if name in one]
                rows.append((NAMES[domain], name, *(math.fsum(x) / len(x) for x in (steps, tests, best))))
    return Table(
        "stops",
        f"Stopping where a monitor is at its best, {n_seeds(run)}",
        ("domain", "monitor", "stops at step", "test accuracy there", "best test accuracy of the run"),
        rows,
        "Loss: where the domain was memorised. Distance and consistency: the smallest and the largest value after.",
    )


def _stopped(run: Run, seed: int, domain: str) -> dict[str, tuple[float, float]]:
    """monitor -> (step, test accuracy there); empty where the domain was not memorised."""
    record = run.trial(MAIN, seed)
    start = (record.measures() or {})[f"memorised_{domain}"]
    rows = [row for row in record.metrics() if not math.isnan(start) and row["step"] >= start]
    if not rows:
        return {}
    chosen = {
        "loss": rows[0],
        "distance": min(rows, key=lambda row: row[f"distance_{domain}"]),
        "consistency": max(rows, key=lambda row: row[f"consistency_{domain}"]),
        "best": max(rows, key=lambda row: row[f"test_{domain}"]),
    }
    return {name: (row["step"], row[f"test_{domain}"]) for name, row in chosen.items()}


def _layers(run: Run) -> list[Heatmap]:
    """The distance in each layer alone at the end, for related pairs and for any."""
    record = run.trial(MAIN, run.seeds[0])
    found: Mapping[str, Mapping[str, Sequence[float]]] = record.artifact("layers")
    depth = len(next(iter(found.values()))["related"])
    return [
        Heatmap(
            f"layers-{kind}",
            f"Distance in each layer at the end, {label}, seed {run.seeds[0]}",
            "layer",
            "domain",
            [f"layer {layer + 1}" for layer in range(depth)],
            [NAMES[domain] for domain in DOMAINS],
            [[round(value, DIGITS) for value in found[domain][kind]] for domain in DOMAINS],
            "share",
            (0, 1),
            "0: all pairs share their experts in this layer.",
        )
        for kind, label in (("related", "pairs that need the same last step"), ("unrelated", "any pairs"))
    ]


def _arms(run: Run, finished: Sequence[str]) -> Lines:
    """The distance of related two-hop pathways in every arm."""
    lines: list[Line] = [curve_line(run, "distance_two_hop", arm, arm) for arm in finished]
    return Lines(
        "arms",
        f"Distance of related two-hop pathways (share of the longer), {n_seeds(run)}",
        "optimiser steps",
        "distance",
        [line for line in lines if line.x],
        y_range=(0, 1.02),
        caption="Means over seeds, bands 95 % t intervals.",
    )


def _drops(run: Run, finished: Sequence[str]) -> Bars:
    """How far the distance of related pathways falls from its peak, arm by arm."""
    return Bars(
        "drops",
        f"Fall of the distance of related pathways from its peak (share of the peak), {n_seeds(run)}",
        "fall",
        list(finished),
        [_series(run, label, [(arm, measure) for arm in finished]) for measure, label in DROPS.items()],
        caption="Last quarter of the run against the highest value of all. Whiskers: 95 % t intervals over seeds.",
        marks=(Mark("y", 0.2, "0.2"),),
    )


def _series(run: Run, label: str, cells: Sequence[tuple[str, str]]) -> BarSeries:
    """A bar for each (arm, measure), with the interval over the seeds that have it."""
    return bars_of(label, [spread(_values(run, *cell)) for cell in cells])


def _values(run: Run, arm: str, measure: str) -> list[float]:
    return [value for value in measured(run, arm, measure) if not math.isnan(value)]


def _mean(run: Run, arm: str, measure: str) -> float:
    return spread(_values(run, arm, measure)).mean

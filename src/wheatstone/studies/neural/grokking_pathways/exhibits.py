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
    mean_line,
)
from wheatstone.bench.over_seeds import bars_of, finished_arms, measured, n_seeds, spread
from wheatstone.bench.run import Run
from wheatstone.studies.neural.grokking_pathways.domains import DOMAINS
from wheatstone.studies.neural.grokking_pathways.experiment import ROUTES, questions_at
from wheatstone.studies.neural.grokking_pathways.when import MAIN, NAMES, by_question, generalised, lags, stops

CURVES = {
    "train": "training accuracy",
    "test": "test accuracy",
    "distance": "distance, related",
    "same_token": "distance, same last token",
    "unrelated": "distance, any two",
    "consistency": "consistency",
    "entropy": "expert use",
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
DEEP = "six_layers"
N_ROUTES = 8
NEAR = 0.15
"""Share of the axis that the label of a line takes."""
DIGITS = 3
"""A map or a point is drawn from one seed: more digits than this would only pretend."""


def exhibits(run: Run) -> Sequence[Exhibit]:
    """All exhibits whose arms the run has finished."""
    finished = finished_arms(run)
    shown: list[Exhibit] = []
    if MAIN in finished:
        shown += [_curves(run, domain) for domain in DOMAINS]
        shown += [*stops(run), _tellers(run), _beside(run), _certain(run), _points(run), lags(run), *by_question(run)]
        shown += [*_layers(run), *_routes(run)]
    if finished:
        shown += [*_depths(run, finished), _arms(run, finished), _drops(run, finished)]
    return shown


def _curves(run: Run, domain: str) -> Lines:
    """Accuracies, loss and monitors of one domain over steps, with marks where it was memorised and generalised."""
    found = [curve_line(run, f"{name}_{domain}", MAIN, label) for name, label in CURVES.items()]
    losses = run.curves(f"loss_{domain}", MAIN).values()
    shares = [[(step, value / curve[0][1]) for step, value in curve] for curve in losses]
    found.insert(2, mean_line(shares, "training loss, share of the first"))
    lines = [dataclasses.replace(line, arm=None) for line in found if line.x]
    times = {"memorised": _values(run, MAIN, f"memorised_{domain}"), "generalised": generalised(run, domain)}
    last = max((line.x[-1] for line in lines), default=0.0)
    return Lines(
        f"monitors-{domain.replace('_', '-')}",
        f"{NAMES[domain].capitalize()}: accuracies, loss and monitors (shares of 1), {n_seeds(run)}",
        "optimiser steps",
        "share",
        lines,
        y_range=(-0.25, 1.1),
        caption="Loss and monitors see training questions alone. Same last token: pairs with one token where routers "
        "are read, as related ones of two hops have it, that do not need the same last step. Means over seeds, bands "
        "95 % t intervals.",
        marks=marks_of(times, len(run.seeds), NEAR * last),
    )


def marks_of(times: Mapping[str, Sequence[float]], n_seed: int, near: float) -> list[Mark]:
    """A line at the mean of each list of steps; of two lines that are near, the later one has both labels."""
    found = sorted(
        (math.fsum(steps) / len(steps), label if len(steps) == n_seed else f"{label} in {len(steps)} of {n_seed}")
        for label, steps in times.items()
        if steps
    )
    if len(found) == 2 and found[1][0] - found[0][0] < near:
        (first, label), (second, other) = found
        found = [(first, ""), (second, f"{label}, {other}")]
    return [Mark("x", at, label) for at, label in found]


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
        "decides nothing. One that does not says only that the curves go together: two that rise always do.",
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


def _depths(run: Run, finished: Sequence[str]) -> list[Lines]:
    """The distance of related two-hop pathways in each layer alone, for the main arm and for the deep one."""
    shown: list[Lines] = []
    for arm in (MAIN, DEEP):
        found: list[Line] = []
        while arm in finished and (line := curve_line(run, f"layer_{len(found) + 1}_two_hop", arm, "")).x:
            found.append(dataclasses.replace(line, label=f"layer {len(found) + 1}", arm=None))
        if found:
            title = f"Related two-hop pathways in each layer alone, arm {arm} (share), {n_seeds(run)}"
            about = "The paper finds shallow layers shared first, deep ones longest apart. Bands 95 % t intervals."
            name = f"depth-{arm.replace('_', '-')}"
            shown.append(Lines(name, title, "optimiser steps", "distance", found, y_range=(0, 1.02), caption=about))
    return shown


def _routes(run: Run) -> list[Heatmap]:
    """Which experts the questions of a few last steps are sent to, before and after; nothing if it was not kept."""
    record = run.trial(MAIN, run.seeds[0])
    steps = [int(row["step"]) for row in record.metrics()]
    kept = [step for step in steps if record.has(questions_at(step)) and ROUTES in record.tensors(questions_at(step))]
    if not kept:
        return []
    keys: list[int] = record.artifact("keys")["two_hop"][0]
    often = sorted(set(keys), key=lambda key: (-keys.count(key), key))[:N_ROUTES]
    memorised = (record.measures() or {})["memorised_two_hop"]
    before = kept[0] if math.isnan(memorised) else min(kept, key=lambda step: (abs(step - memorised), step))
    shown: list[Heatmap] = []
    for name, step in (("before", before), ("after", kept[-1])):
        routes = record.tensors(questions_at(step))[ROUTES].float()
        _, n_layer, n_expert = routes.shape
        means = [routes[[at for at, one in enumerate(keys) if one == key]].mean(0).flatten().tolist() for key in often]
        shown.append(
            Heatmap(
                f"routes-{name}",
                f"Where questions of one last step go at step {step} (mean weight), seed {run.seeds[0]}",
                "layer.expert",
                "last step",
                [f"{layer + 1}.{expert + 1}" for layer in range(n_layer) for expert in range(n_expert)],
                [f"{number} ({keys.count(key)})" for number, key in enumerate(often, 1)],
                [[round(value, 2) for value in row] for row in means],
                "weight",
                (0, 1),
                "A row is a second relation with its answer, and how many questions need it. A shared way is one or "
                "two bright cells a layer; ways of their own are a row of dim ones.",
            )
        )
    return shown


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

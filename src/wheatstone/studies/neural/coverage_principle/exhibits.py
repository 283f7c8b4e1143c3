"""Figures and tables of a run: what is covered, what is answered, on how much evidence, and how many rows it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
    Table,
    curve_line,
)
from wheatstone.bench.over_seeds import bars_of, finished_arms, measured, n_seeds, spread
from wheatstone.bench.run import Run
from wheatstone.bench.verdict import share_interval, t_interval
from wheatstone.domains.diagrams.models import trained_network
from wheatstone.studies.neural.coverage_principle.search import bootstrap_exponent

SEARCHES = ("rows_needed", "rows_needed_one_token")
BY_CUTOFF = ("some_rows", "two_hop", "few_rows")
STATES = ("two_hop", "non_tree")
ACCURACIES = {
    "train_accuracy": "training rows",
    "id_accuracy": "ID test",
    "ood_accuracy": "OOD test",
    "substitution": "ID by substitution alone",
    "nearest": "ID by the nearest row",
    "majority": "ID by majority",
}
COVERAGES = {
    "covered": "ID, k = 1",
    "covered_twice": "ID, k = 2",
    "substitution": "answered by substitution",
    "substitution_chained": "by chained classes",
    "covered_ood": "OOD, k = 2",
}
GAPS = {
    "iicg": "gap by b, ID",
    "iicg_pair": "gap by (b, x2), ID",
    "iicg_ood": "gap by b, new first calls",
    "bridge_interchange": "interchange accuracy",
}
GAP = (
    " The gap is the mean cosine of pairs within groups minus that between them. Inputs of one b that share their x2 "
    "look alike at x2 before anything is computed (embedding); with another x2 they do so because of b alone."
)
EVIDENCE = {"spearman": "rank correlation", "spearman_shuffled": "with cutoffs of other tests"}
THIRDS = {
    "top_third": "largest cutoffs",
    "bottom_third": "smallest cutoffs",
    "matched_thirds": "difference at equal frequency",
}


def exhibits(run: Run) -> Sequence[Exhibit]:
    """All exhibits whose arms the run has finished."""
    finished = finished_arms(run)
    trained = [arm for arm in finished if arm not in SEARCHES]
    shown: list[Exhibit] = []
    if trained:
        shown += [
            _bars(run, "accuracy", "What is answered exactly", "accuracy", trained, ACCURACIES),
            _curves(run, trained),
        ]
        shown.append(_bars(run, "coverage", "What is covered before training", "share", trained, COVERAGES))
    shown += [_by_cutoff(run, arm) for arm in BY_CUTOFF if arm in finished]
    ordered = [arm for arm in BY_CUTOFF if arm in finished]
    if ordered:
        title = "Accuracy by thirds of the k-cutoff"
        shown.append(_bars(run, "thirds", title, "accuracy, or difference", ordered, THIRDS | EVIDENCE))
    with_states = [arm for arm in trained if not math.isnan(measured(run, arm, "iicg")[0])]
    if with_states:
        title = "What the state at x2 holds, at its best block"
        shown.append(_bars(run, "states", title, "cosine gap, or share", with_states, GAPS, span=None))
    seed = run.seeds[0]
    for arm in STATES:
        if arm in finished:
            shown += _maps(run, arm, seed)
    if any(arm in finished for arm in SEARCHES):
        shown += _search(run, [arm for arm in SEARCHES if arm in finished])
    if "two_hop" in finished:
        shown += _witnesses(run, "two_hop", seed)
    shown += [trained_network(run, arm) for arm in trained[:1]]
    return shown


def _bars(
    run: Run,
    name: str,
    title: str,
    unit: str,
    arms: Sequence[str],
    measures: Mapping[str, str],
    span: tuple[float, float] | None = (0, 1.05),
) -> Bars:
    """A group for each measure and a bar for each arm: the mean over seeds with its t interval."""
    series = [bars_of(arm, [spread(measured(run, arm, measure)) for measure in measures], arm) for arm in arms]
    lowest = min((value for one in series for value in one.values if math.isfinite(value)), default=0.0)
    return Bars(
        name,
        f"{title} ({unit}), {n_seeds(run)}",
        unit,
        list(measures.values()),
        series,
        y_range=None if lowest < 0 else span,
        caption="Means over seeds; whiskers: 95 % t intervals.",
    )


def _curves(run: Run, arms: Sequence[str]) -> Lines:
    lines = [line for arm in arms if (line := curve_line(run, "id_accuracy", arm, arm)).x]
    return Lines(
        "id-accuracy",
        f"Unseen combinations answered over training (share of the ID test), {n_seeds(run)}",
        "optimiser steps",
        "ID accuracy",
        lines,
        log_x=True,
        y_range=(0, 1.02),
        caption="Lines are means over seeds, bands 95 % t intervals.",
        marks=(Mark("y", 0.85, "0.85"),),
    )


def _by_cutoff(run: Run, arm: str) -> Bars:
    """Accuracy of the tests of each k-cutoff, seeds together: the model's beside that of substitution."""
    rows: Sequence[Sequence[Mapping[str, Any]]] = [run.trial(arm, seed).artifact("by_cutoff") for seed in run.seeds]
    levels = [of_level for of_level in zip(*rows, strict=True) if sum(one["tests"] for one in of_level)]
    k_max = max(one["k"] for one in rows[0])
    groups: list[str] = []
    series: list[BarSeries] = []
    for field, label in (("right", "transformer"), ("substituted", "substitution alone")):
        values, low, high = [], [], []
        for of_level in levels:
            interval = share_interval(sum(one[field] for one in of_level), sum(one["tests"] for one in of_level))
            values.append(interval.mid)
            low.append(interval.low)
            high.append(interval.high)
        series.append(BarSeries(label, values, low, high))
    for of_level in levels:
        k, n = of_level[0]["k"], sum(one["tests"] for one in of_level)
        groups.append(f"{'none' if k == 0 else f'k ≥ {k}' if k == k_max else f'k = {k}'}, n {n}")
    majority = math.fsum(measured(run, arm, "majority")) / len(run.seeds)
    return Bars(
        f"by-cutoff-{arm.replace('_', '-')}",
        f"{arm}: accuracy by k-cutoff (share of ID tests), {n_seeds(run)}",
        "accuracy",
        groups,
        series,
        y_range=(0, 1.05),
        caption="The k-cutoff of a test is the largest evidence k at which substitution links it to a training row. "
        "Tests of all seeds together; whiskers: 95 % score intervals.",
        marks=(Mark("y", majority, "majority"),),
    )


def _maps(run: Run, arm: str, seed: int) -> list[Exhibit]:
    found: Mapping[str, list[list[float | None]]] = run.trial(arm, seed).artifact("gaps")
    maps = {
        "by_bridge": ("cosine gap of states of one b", "gap", (-1.0, 1.0)),
        "across": ("cosine gap of states of one b and another x2", "gap", (-1.0, 1.0)),
        "by_pair": ("cosine gap of states of one (b, x2)", "gap", (-1.0, 1.0)),
        "interchange": ("answers that follow an exchanged state", "share", (0.0, 1.0)),
    }
    told = {"gap": GAP, "share": ""}
    shown: list[Exhibit] = []
    for field, (title, unit, span) in maps.items():
        # Runs that were made before `across` was measured do not have it.
        values = [[math.nan if cell is None else round(cell, 3) for cell in row] for row in found.get(field, [])]
        if not values:
            continue
        layers = ["embedding", *(f"block {layer}" for layer in range(1, len(values)))]
        positions = [f"x{position + 1}" for position in range(len(values[0]))]
        name = f"{arm.replace('_', '-')}-{field.replace('_', '-')}"
        heading = f"{arm}, seed {seed}: {title}"
        caption = f"ID tests. f1(x1, x2) can be known from x2 on.{told[unit]}"
        shown.append(Heatmap(name, heading, "position", "state after", positions, layers, values, unit, span, caption))
    return shown


def _search(run: Run, arms: Sequence[str]) -> list[Exhibit]:
    """Rows needed over token-set size, and the exponent with a bootstrap interval."""
    lines: list[Line] = []
    rows: list[tuple[str | float | None, ...]] = []
    needed = _needed(run)
    for arm in arms:
        per_seed: Sequence[Sequence[Mapping[str, Any]]] = [
            run.trial(arm, seed).artifact("needed") for seed in run.seeds
        ]
        sizes = [one["n_token"] for one in per_seed[0]]
        of_size = [
            [math.nan if one["rows"] is None else one["rows"] for one in of_seeds]
            for of_seeds in zip(*per_seed, strict=True)
        ]
        known = [[value for value in values if math.isfinite(value)] for values in of_size]
        middle = [float(np.exp(np.mean(np.log(values)))) if values else math.nan for values in known]
        low = [min(values, default=math.nan) for values in known]
        high = [max(values, default=math.nan) for values in known]
        lines.append(Line(arm, [float(size) for size in sizes], middle, low, high, arm))
        fitted = bootstrap_exponent(sizes, of_size, np.random.default_rng(0))
        slopes = [value for value in measured(run, arm, "exponent") if math.isfinite(value)]
        rows.append((arm, *(_rounded(value) for value in (*_mean(slopes), *fitted)), len(sizes)))
    return [
        Lines(
            "rows-needed",
            f"Training rows that an ID accuracy of {needed:g} needs, {n_seeds(run)}",
            "tokens |X|",
            "rows N",
            lines,
            log_x=True,
            log_y=True,
            caption="Geometric means over seeds, bands from the smallest to the largest. Indicative: few sizes.",
        ),
        Table(
            "exponent",
            "Exponent of N over |X|",
            ("arm", "mean over seeds", "t low", "t high", "bootstrap 2.5 %", "50 %", "97.5 %", "sizes"),
            rows,
            "The bootstrap draws seeds anew at each size. Indicative: few sizes.",
        ),
    ]


def _needed(run: Run) -> float:
    return float(run.base_config["needed_accuracy"] or 0)


def _mean(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) < 2:
        return (values[0] if values else math.nan), math.nan, math.nan
    low, middle, high = t_interval(values)
    return middle, low, high


def _rounded(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None


def _witnesses(run: Run, arm: str, seed: int) -> list[Exhibit]:
    """The substitution graph along some chains, and the same in words."""
    found: Sequence[Mapping[str, Any]] = run.trial(arm, seed).artifact("witnesses")
    if not found:
        return []
    nodes: list[CircuitNode] = []
    edges: list[CircuitEdge] = []
    for row, chain in enumerate(reversed(found)):
        stops: Sequence[Mapping[str, str]] = chain["path"]
        for column, stop in enumerate(stops):
            is_end = column in (0, len(stops) - 1)
            nodes.append(CircuitNode(f"{row}-{column}", stop["input"], column, row, 1.0 if is_end else 0.3))
            if column:
                replaced = stops[column - 1]["next"]
                edges.append(CircuitEdge(f"{row}-{column - 1}", f"{row}-{column}", 1.0, f"{replaced} replaced"))
    longest = max(len(chain["path"]) for chain in found)
    why = [
        (
            f"k = {chain['k']}",
            chain["input"],
            chain["target"],
            "right" if chain["answered"] else "wrong",
            " ".join(line.strip() for line in chain["words"][1:]),
        )
        for chain in found
    ]
    return [
        Circuit(
            "substitutions",
            f"{arm}, seed {seed}: from an unseen input to a training row by substitution",
            nodes,
            edges,
            "Each row is a test (left) whose chain ends at a training row; an edge names the tokens that are replaced "
            "by equivalent ones.",
            columns=["test", *("input" for _ in range(longest - 1))],
            rows=[f"k = {chain['k']}" for chain in reversed(found)],
        ),
        Table(
            "witnesses",
            f"{arm}, seed {seed}: why these tests are covered",
            ("evidence", "test", "target", "the model", "chain of substitutions"),
            why,
            "a ≡ b: the two fragments gave the same targets in the contexts that follow, and never different ones.",
        ),
    ]

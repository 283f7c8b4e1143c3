"""Figures and tables of a run: every accuracy beside trivial rules, by length, by distance, and where it goes wrong."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from wheatstone.bench.exhibit import (
    Bars,
    BarSeries,
    Circuit,
    CircuitEdge,
    CircuitNode,
    Diagram,
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
from wheatstone.bench.verdict import share_interval
from wheatstone.domains.causal.graphs import Question
from wheatstone.domains.diagrams.models import trained_config, trained_title, transformer_diagram
from wheatstone.domains.diagrams.statements import statement_network
from wheatstone.domains.diagrams.types import symbol

HALF = Mark("y", 0.5, "chance")
TAUGHT_TO = Mark("x", 6, "longest taught")
SEPARATION = "d_separation"
CHAINS = {"chain": "chains that point one way", "flipped": "flipped chains"}
POSITIONAL = ("mixed", "learned", "sinusoidal", "rotary", "chains_only_in_order")
GROUPS: Mapping[str, Sequence[str]] = {
    "transitivity": ("far_accuracy", "hard_accuracy", "longer_accuracy", "longer_hard", "longest_accuracy"),
    "positions": ("far_accuracy", "longer_accuracy", "longest_accuracy", "reversed_accuracy", "larger_hard"),
}
RULE_OF: Mapping[str, str | None] = {
    "far_accuracy": "far_rule",
    "hard_accuracy": "hard_rule",
    "longer_accuracy": "longer_rule",
    "longer_hard": None,
    "longest_accuracy": None,
    "reversed_accuracy": None,
    "larger_hard": "larger_hard_rule",
}
"""The measure of the best trivial rule beside that of the model, where there is one."""
LABELS = {
    "near_accuracy": "one hop",
    "far_accuracy": "3-6 nodes, far",
    "hard_accuracy": "3-6 nodes, hard",
    "longer_accuracy": "7-15 nodes, far",
    "longer_hard": "7-15 nodes, hard",
    "longest_accuracy": "20 nodes, far",
    "reversed_accuracy": "reversed, 5 nodes",
    "larger_hard": "branching 8-12, hard",
    "branching_accuracy": "branching 5",
    "larger_accuracy": "branching 8-12",
}


def exhibits(run: Run) -> Sequence[Exhibit]:
    """All exhibits whose arms the run has finished."""
    finished = finished_arms(run)
    causal = [arm for arm in finished if not arm.startswith(SEPARATION)]
    separating = [arm for arm in finished if arm.startswith(SEPARATION)]
    shown: list[Exhibit] = []
    if causal:
        main = causal[0]
        shown.append(_measured(run, "far-and-hard", "Balanced accuracy", causal, GROUPS["transitivity"]))
        shown += [_by_length(run, family, causal) for family in CHAINS]
        shown.append(_families(run, main))
        shown.append(_by_hop(run, main))
        positional = [
            arm for arm in causal if arm in ("mixed", "learned", "sinusoidal", "rotary", "chains_only_in_order")
        ]
        if len(positional) > 1:
            shown.append(_measured(run, "positions", "What positions change", positional, GROUPS["positions"]))
        shown.append(_yes_rates(run, main))
        shown.append(_curves(run, causal))
        shown += _attention(run, main, run.seeds[0])
    if separating:
        shown.append(_families(run, separating[0]))
        shown.append(_by_hop(run, separating[0]))
        shown.append(_curves(run, separating, "d-separation-curves"))
    for arm in [*causal[:1], *separating[:1]]:
        shown += _errors(run, arm, run.seeds[0])
        shown.append(_all_tests(run, arm))
    network = _text_network if run.base_config.get("encoding") == "text" else statement_network
    shown += [network(run, arm) for arm in finished[:1]]
    return shown


def _text_network(run: Run, arm: str) -> Diagram:
    """The network of an arm that reads text; the number of tokens stays a letter, `v`."""
    cfg = dataclasses.replace(trained_config(run, arm), tied=False)
    return transformer_diagram(cfg, title=trained_title(cfg, arm), vocab=symbol("v"))


def _artifact(run: Run, arm: str, seed: int, name: str) -> list[dict[str, Any]]:
    return run.trial(arm, seed).artifact(name)


def _measured(run: Run, name: str, title: str, arms: Sequence[str], measures: Sequence[str]) -> Bars:
    """A group for each measure, a bar for each arm: the mean over seeds with its t interval."""
    series: list[BarSeries] = []
    for arm in arms:
        rows = [spread(measured(run, arm, measure)) for measure in measures]
        series.append(bars_of(arm, rows, arm))
    rules = [RULE_OF[measure] for measure in measures]
    best = [math.nan if rule is None else spread(measured(run, arms[0], rule))[0] for rule in rules]
    series.append(BarSeries("best trivial rule", best))
    return Bars(
        name,
        f"{title} (share of questions), {n_seeds(run)}",
        "accuracy",
        [LABELS[measure] for measure in measures],
        series,
        y_range=(0, 1.05),
        caption="Far: two hops and more apart. Hard: three hops and more, and trivial rules tell nothing; chains of 4, "
        "5 and 6 nodes have 2, 16 and 74 such shapes, of which each seed tests another fifth. Balanced over yes and "
        "no, except for reversed chains. Whiskers: 95 % t intervals over seeds. The rule of 'hard' leaves the order of "
        "mention out.",
        marks=(HALF,),
    )


def _by_length(run: Run, family: str, arms: Sequence[str]) -> Lines:
    """Balanced accuracy on far pairs by the length of the chain, beyond what was taught."""
    lines: list[Line] = []
    for arm in arms:
        per_seed = [
            {
                row["nodes"]: row["far"]["balanced"]
                for row in _artifact(run, arm, seed, "tests")
                if (row["family"], row["balance"]) == (family, "distance")
            }
            for seed in run.seeds
        ]
        sizes = sorted(set[int]().union(*per_seed))
        # A seed may hold out no shape of so many nodes, or shapes of one answer alone: the others count, if half do.
        known = {size: [value for one in per_seed if (value := one.get(size)) is not None] for size in sizes}
        sizes = [size for size in sizes if 2 * len(known[size]) >= len(per_seed)]
        points = [spread(known[size]) for size in sizes]
        middle, low, high = ([point[part] for point in points] for part in range(3))
        lines.append(Line(arm, [float(size) for size in sizes], middle, low, high, arm))
    return Lines(
        f"by-length-{family}-far",
        f"Longer than taught: {CHAINS[family]}, far pairs (balanced accuracy), {n_seeds(run)}",
        "nodes of the chain",
        "balanced accuracy",
        lines,
        y_range=(0, 1.02),
        caption="Far: two hops and more apart; written edges tell nothing about these pairs. Training shows chains of "
        "3 to 6 nodes, left of the line; of 4 and 5 not every seed holds out shapes with both answers; a point needs "
        "half of the seeds. Bands: 95 % t intervals.",
        marks=(TAUGHT_TO, HALF),
    )


def _families(run: Run, arm: str) -> Bars:
    """The model beside each trivial rule on tests sampled as published."""
    per_seed = [_artifact(run, arm, seed, "families") for seed in run.seeds]
    rules = [rule for rule in per_seed[0][0]["rules"] if rule != "no"]  # right on half of the questions: the mark
    series = [bars_of(arm, [spread([one["accuracy"] for one in rows]) for rows in zip(*per_seed, strict=True)], arm)]
    for rule in rules:
        points = [spread([one["rules"][rule] for one in rows]) for rows in zip(*per_seed, strict=True)]
        series.append(bars_of(f"rule '{rule}'", points))
    return Bars(
        f"families-{_slug(arm)}",
        f"{arm}: model and trivial rules, sampled as published (share right), {n_seeds(run)}",
        "accuracy",
        [one["group"] for one in per_seed[0]],
        series,
        y_range=(0, 1.05),
        caption="Half of the answers are yes. Numbers after a family are nodes; branching graphs have 1.4 edges a "
        "node, bushy ones 2. Many positive pairs are one hop apart, which makes 'written' and 'two_hops' strong. "
        "Whiskers: 95 % t intervals over seeds.",
        marks=(HALF,),
    )


def _by_hop(run: Run, arm: str) -> Bars:
    """Accuracy by distance, seeds together."""
    per_seed: Sequence[Mapping[str, Sequence[Mapping[str, int]]]] = [
        run.trial(arm, seed).artifact("by_hop") for seed in run.seeds
    ]
    names = list(per_seed[0])
    hops = sorted({row["hops"] for one in per_seed for rows in one.values() for row in rows if row["hops"] > 0})[:8]
    series: list[BarSeries] = []
    for name in names:
        values, low, high = [], [], []
        for hop in hops:
            rows = [row for one in per_seed for row in one[name] if row["hops"] == hop]
            total = sum(row["questions"] for row in rows)
            interval = share_interval(sum(row["right"] for row in rows), total) if total else None
            values.append(interval.mid if interval else math.nan)
            low.append(interval.low if interval else math.nan)
            high.append(interval.high if interval else math.nan)
        series.append(BarSeries(name, values, low, high))
    return Bars(
        f"by-hop-{_slug(arm)}",
        f"{arm}: accuracy by distance (share of questions), {n_seeds(run)}",
        "accuracy",
        [f"{hop} hop{'s' if hop > 1 else ''}" for hop in hops],
        series,
        y_range=(0, 1.05),
        caption="Distance along the arrows where there is such a path, else along edges in any direction. Questions of "
        "all seeds together; whiskers: 95 % score intervals.",
        marks=(HALF,),
    )


def _yes_rates(run: Run, arm: str) -> Bars:
    """How often the model says yes, beside how often that is right: a biased model gives itself away here."""
    per_seed = [_artifact(run, arm, seed, "kinds") for seed in run.seeds]
    series = [
        bars_of(label, [spread([one[field] for one in rows]) for rows in zip(*per_seed, strict=True)])
        for field, label in (("yes_rate", "model"), ("gold_yes_rate", "right answers"))
    ]
    return Bars(
        f"yes-rate-{_slug(arm)}",
        f"{arm}: share of yes by family of tests, {n_seeds(run)}",
        "share of yes",
        [one["group"] for one in per_seed[0]],
        series,
        y_range=(0, 1.05),
        caption="All sizes together. Whiskers: 95 % t intervals over seeds.",
        marks=(HALF,),
    )


def _curves(run: Run, arms: Sequence[str], name: str = "curves") -> Lines:
    return Lines(
        name,
        f"Far pairs during training, taught lengths (balanced accuracy), {n_seeds(run)}",
        "optimiser steps",
        "balanced accuracy",
        [line for arm in arms if (line := curve_line(run, "far_accuracy", arm, arm)).x],
        log_x=True,
        y_range=(0, 1.02),
        caption="Chains of 4 and 6 nodes. Lines are means over seeds, bands 95 % t intervals.",
        marks=(HALF, Mark("y", 0.85, "0.85")),
    )


def _attention(run: Run, arm: str, seed: int) -> list[Exhibit]:
    found: Mapping[str, Any] = run.trial(arm, seed).artifact("attention")
    if not found:
        return []
    statements, heads = found["statements"], found["heads"]
    values = [[round(cell, 4) for cell in row] for row in found["pattern"]]
    order = sorted(range(1, len(statements)), key=lambda at: int(statements[at].split("→")[0]))
    columns = [0, *order]
    return [
        Heatmap(
            f"attention-{_slug(arm)}",
            f"{arm}, seed {seed}: what the question '{statements[0]}' attends to (share of attention)",
            "statement",
            "block and head",
            ["question", *(statements[at] for at in order)],
            [f"{row // heads + 1}.{row % heads + 1}" for row in range(len(values))],
            [[row[at] for at in columns] for row in values],
            "attention",
            (0.0, 1.0),
            "A chain longer than taught, its nodes numbered along it; statements were shown in random order.",
        )
    ]


def _errors(run: Run, arm: str, seed: int) -> list[Exhibit]:
    """Some wrong answers in words, and the first graph drawn."""
    found: Sequence[Mapping[str, Any]] = run.trial(arm, seed).artifact("errors")
    if not found:
        return []
    rows = [
        (
            f"{error['family']} {error['nodes']}",
            ", ".join(f"{cause + 1}→{effect + 1}" for cause, effect in error["edges"]),
            _question(error),
            "yes" if error["answer"] else "no",
            error["hops"] if error["hops"] > 0 else None,
        )
        for error in found
    ]
    table = Table(
        f"errors-{_slug(arm)}",
        f"{arm}, seed {seed}: wrong answers",
        ("test", "graph", "question", "right answer", "hops"),
        rows,
        "The first wrong answer of some tests; nodes are numbered, the model was shown random names.",
    )
    return [table, _drawn(arm, seed, next((one for one in found if one["family"] == "branching"), found[0]))]


def _question(error: Mapping[str, Any]) -> str:
    first, second = (str(node + 1) for node in error["question"])
    axiom = "d_separation" if error["axiom"] == "d_separation" else "transitivity"
    return str(Question(axiom, first, second, tuple(str(node + 1) for node in error["given"])))


def _drawn(arm: str, seed: int, error: Mapping[str, Any]) -> Circuit:
    """The graph of a wrong answer: causes left of their effects, what is asked about stands out."""
    edges: Sequence[Sequence[int]] = error["edges"]
    nodes = sorted({node for edge in edges for node in edge} | set(error["question"]))
    depth = dict.fromkeys(nodes, 0)
    for _ in nodes:
        for cause, effect in edges:
            depth[effect] = max(depth[effect], depth[cause] + 1)
    rank: dict[int, int] = {}
    filled: dict[int, int] = {}
    for node in nodes:
        rank[node] = filled.get(depth[node], 0)
        filled[depth[node]] = rank[node] + 1
    emphasis = {**dict.fromkeys(error["given"], 0.5), **dict.fromkeys(error["question"], 1.0)}
    return Circuit(
        f"wrong-{_slug(arm)}",
        f"{arm}, seed {seed}: a graph that was answered wrongly. {_question(error)} "
        f"{'Yes' if error['answer'] else 'No'}.",
        [CircuitNode(str(node), str(node + 1), depth[node], rank[node], emphasis.get(node, 0.1)) for node in nodes],
        [CircuitEdge(str(cause), str(effect), 1.0) for cause, effect in edges],
        "An arrow leads from cause to effect, left to right. Dark: asked about; lighter: given.",
    )


def _all_tests(run: Run, arm: str) -> Table:
    """Every test with its accuracies, means over seeds."""
    per_seed = [_artifact(run, arm, seed, "tests") for seed in run.seeds]
    rules = list(per_seed[0][0]["all"]["rules"])
    rows: list[list[str | float | None]] = []
    by_test: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in itertools.chain.from_iterable(per_seed):  # a seed that holds out no shape of four nodes lacks a test
        by_test.setdefault((row["family"], row["nodes"], row["balance"]), []).append(row)
    for of_test in by_test.values():
        first = of_test[0]
        cells: list[float | None] = [
            _mean([row[selection][field] for row in of_test])
            for selection, field in (
                ("all", "accuracy"),
                ("all", "yes_rate"),
                ("far", "balanced"),
                ("hard", "balanced"),
            )
        ]
        guesses = [_mean([row["all"]["rules"][rule] for row in of_test]) for rule in rules]
        rows.append([first["family"], first["nodes"], first["balance"], *cells, *guesses])
    return Table(
        f"tests-{_slug(arm)}",
        f"{arm}: every test, means over the seeds that have it, {n_seeds(run)}",
        ("family", "nodes", "sampled by", "right", "says yes", "far", "hard", *(f"rule {rule}" for rule in rules)),
        rows,
        "Right and the rules: share of all questions. Far and hard: balanced accuracy on these pairs; empty where a "
        "test has none of one answer.",
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(math.fsum(known) / len(known), 3) if known else None


def _slug(arm: str) -> str:
    return arm.replace("_", "-")

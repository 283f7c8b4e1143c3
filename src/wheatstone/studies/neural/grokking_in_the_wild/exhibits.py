"""What the report of a knowledge-graph run shows, from the run directory alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from wheatstone.bench.exhibit import (
    Bars,
    BarSeries,
    Exhibit,
    Line,
    Lines,
    Mark,
    Note,
    Scatter,
    ScatterSeries,
    Table,
    curve_line,
)
from wheatstone.bench.run import Run
from wheatstone.bench.verdict import Interval, t_interval
from wheatstone.domains.diagrams.models import trained_network
from wheatstone.domains.kg.catalogue import named_graphs
from wheatstone.interp.circuit import Circuit
from wheatstone.interp.pictures import circuit_graph, circuit_maps, growth_maps
from wheatstone.studies.neural.grokking_in_the_wild.world import FACTS, THRESHOLD

ACCURACIES = ("real_accuracy", "entity_accuracy", "attribute_accuracy", "ood_accuracy", "majority")
SWEEP = ("plain", "heads_50", "heads_200", "augmented")
MAPPED = ("augmented", "plain")


def exhibits(run: Run) -> Sequence[Exhibit]:
    """Curves, bars by kind of answer, the sweep, phi and accuracy by relation, sample answers, circuits."""
    seed = run.seeds[0]
    found: list[Exhibit] = [accuracy_by_step(run), accuracy_by_answer(run)]
    if set(SWEEP) <= set(run.arms):
        found.append(accuracy_by_heads(run))
    first = run.trial(run.arms[0], seed)
    found += [phi_by_relation(run, seed), accuracy_by_phi(run, seed), sample_table(run, seed)]
    for arm in MAPPED:
        if arm in run.arms and run.trial(arm, seed).has("circuit"):
            found += circuit_exhibits(run, arm, seed)
    found.append(trained_network(run, run.arms[0]))
    log = first.artifact("phi")["log"]
    if log:
        found.append(Note("augmentation", "What augmentation did", "\n\n".join(log)))
    credit = None if FACTS in run.inputs else credit_of(str(run.base_config["graph"]))
    if credit:
        found.append(Note("attribution", "Where the facts come from", credit))
    return found


def credit_of(graph: str) -> str | None:
    """Attribution of a named graph."""
    return next((named.credit for named in named_graphs() if named.name == graph), None)


def accuracy_by_step(run: Run) -> Lines:
    """Accuracy on unseen real questions while training goes on; the training curve of the first arm beside it."""
    lines = [curve_line(run, "real_accuracy", arm, arm) for arm in run.arms]
    return Lines(
        "accuracy-by-step",
        f"Unseen real questions answered while training goes on ({n_seeds(run)})",
        "optimiser steps",
        "real accuracy [0, 1]",
        [*lines, curve_line(run, "train_accuracy", run.arms[0], f"{run.arms[0]}: training questions")],
        log_x=True,
        y_range=(0, 1),
        caption="Line: mean over seeds; band: 95 % t interval. Where the training curve is at 1 and the others still "
        "rise, the model has memorised and is finding the rule.",
    )


def accuracy_by_answer(run: Run) -> Bars:
    """Final accuracies of each arm by kind of question, beside the majority guess."""
    series: list[BarSeries] = []
    for arm in run.arms:
        spans = [interval(run, arm, measure) for measure in ACCURACIES]
        low, mid, high = zip(*spans, strict=True)
        series.append(BarSeries(arm, mid, low, high, arm))
    return Bars(
        "accuracy-by-answer",
        f"Final accuracy on real questions by kind ({n_seeds(run)})",
        "accuracy [0, 1]",
        [measure.removesuffix("_accuracy") for measure in ACCURACIES],
        series,
        y_range=(0, 1),
        caption="real: every unseen question; entity, attribute: by what the answer is; ood: both facts are in no "
        "training chain; majority: the most frequent training answer of the two relations.",
    )


def accuracy_by_heads(run: Run) -> Lines:
    """The graded sweep: accuracy over the number of synthetic heads."""
    heads = [0 if arm == "plain" else heads_of(run, arm) for arm in SWEEP]
    lines: list[Line] = []
    for measure in ("real_accuracy", "entity_accuracy"):
        spans = [interval(run, arm, measure) for arm in SWEEP]
        low, mid, high = zip(*spans, strict=True)
        lines.append(Line(measure.removesuffix("_accuracy"), heads, mid, low, high))
    return Lines(
        "accuracy-by-heads",
        f"More synthetic heads, more real questions answered ({n_seeds(run)})",
        "synthetic heads",
        "accuracy [0, 1]",
        lines,
        y_range=(0, 1),
        caption="Same steps, same batch, same real questions; band: 95 % t interval over seeds.",
    )


def heads_of(run: Run, arm: str) -> int:
    """Synthetic heads of an arm, from its settings."""
    heads = run.trial(arm, run.seeds[0]).values["heads"]
    assert isinstance(heads, int)
    return heads


def phi_by_relation(run: Run, seed: int) -> Bars:
    """phi of each real relation, as each of the mapped arms trains it."""
    rows = {arm: phi_of(run, arm, seed) for arm in MAPPED if arm in run.arms}
    relations = sorted({relation for of_arm in rows.values() for relation in of_arm})
    lowest = sorted(relations, key=lambda relation: min(of_arm.get(relation, 0) for of_arm in rows.values()))[:24]
    return Bars(
        "phi-by-relation",
        f"Training chains for each fact, by relation (seed {seed})",
        "phi [chains for each fact]",
        lowest,
        [
            BarSeries(arm, [of_arm.get(relation, math.nan) for relation in lowest], arm=arm)
            for arm, of_arm in rows.items()
        ],
        caption="A chain counts once for each of its relations. At most 24 relations, those with the fewest chains.",
        marks=[Mark("y", THRESHOLD, f"threshold {THRESHOLD}")],
    )


def phi_of(run: Run, arm: str, seed: int) -> dict[str, float]:
    """Relation -> phi."""
    return {row["relation"]: row["phi"] for row in run.trial(arm, seed).artifact("phi")["rows"]}


def accuracy_by_phi(run: Run, seed: int) -> Scatter:
    """Accuracy on the questions that use a relation, over that relation's phi, every arm."""
    points: list[ScatterSeries] = []
    for arm in run.arms:
        phi = phi_of(run, arm, seed)
        rows = [row for row in run.trial(arm, seed).artifact("by_relation") if row["relation"] in phi]
        points.append(
            ScatterSeries(
                arm,
                [phi[row["relation"]] for row in rows],
                [row["accuracy"] for row in rows],
                [f"{row['relation']} as {row['hop']} hop, n = {row['n']}" for row in rows],
                arm,
            )
        )
    return Scatter(
        "accuracy-by-phi",
        f"Real accuracy of each relation over its phi (seed {seed})",
        "phi of the relation [chains for each fact]",
        "accuracy [0, 1]",
        points,
        y_range=(0, 1),
        caption="Two points a relation: its questions as first and as second hop.",
        marks=[Mark("x", THRESHOLD, f"threshold {THRESHOLD}")],
    )


def sample_table(run: Run, seed: int) -> Table:
    """A few unseen real questions with answers from the weights."""
    arm = run.arms[0]
    rows = [
        (
            row["question"],
            row["answer"],
            round(row["probability"], 3),
            row["graph_says"],
            row["bridge_decoded"],
            row["bridge"],
        )
        for row in run.trial(arm, seed).artifact("questions")
    ]
    return Table(
        "sample-questions",
        f"Unseen real questions, answered from the weights ({arm}, seed {seed})",
        ("question", "answer", "probability", "graph says", "bridge decoded", "bridge in the graph"),
        rows,
        "Drawn at random from the test questions, not chosen. The bridge is read at r1 in the same pass.",
    )


def circuit_exhibits(run: Run, arm: str, seed: int) -> list[Exhibit]:
    """The graph, the maps, and how the effects grew since the training set was known."""
    record = run.trial(arm, seed)
    circuit = Circuit.from_json(record.artifact("circuit"))
    if not circuit.n:
        text = "The model answers none of its training questions, so there is no circuit to measure."
        return [Note(f"circuit-{arm}", f"Circuit of {arm} (seed {seed})", text)]
    title = f"{arm}, seed {seed}"
    found: list[Exhibit] = [circuit_graph(f"circuit-{arm}", f"What reads what: {title}", circuit)]
    found += circuit_maps(f"circuit-{arm}", title, circuit)
    if record.has("circuit_memorised"):
        stored = record.artifact("circuit_memorised")
        before = Circuit.from_json({key: value for key, value in stored.items() if key != "step"})
        found += growth_maps(f"circuit-{arm}", title, circuit, before)
    return found


def interval(run: Run, arm: str, measure: str) -> Interval:
    """Mean of a measure over the seeds that have it, with its t interval; NaN bounds for fewer than two."""
    values = [(run.trial(arm, seed).measures() or {}).get(measure, math.nan) for seed in run.seeds]
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) > 1:
        return t_interval(finite)
    return Interval(math.nan, finite[0] if finite else math.nan, math.nan)


def n_seeds(run: Run) -> str:
    return f"{len(run.seeds)} seed" + ("s" if len(run.seeds) > 1 else "")

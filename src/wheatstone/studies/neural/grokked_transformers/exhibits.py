"""Figures and tables of a run: what was learnt when, what phi decides, and which circuit does the work."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from wheatstone.bench.exhibit import Bars, BarSeries, Exhibit, Heatmap, Line, Lines, Mark, Table, curve_line
from wheatstone.bench.run import Run
from wheatstone.bench.verdict import t_interval
from wheatstone.domains.diagrams.models import trained_network
from wheatstone.interp.circuit import HOLDS_VARIABLE, Circuit, Map, difference
from wheatstone.interp.pictures import circuit_graph, circuit_maps, growth_maps, layer_names

PHI_ARMS = {"phi_3_6": "phi 3.6", "phi_9": "phi 9", "phi_15": "phi 15", "phi_18": "phi 18"}
CONTRASTED = {"phi_15": "phi 15", "phi_3_6": "phi 3.6"}
MAPPED = {**CONTRASTED, "comparison": "comparison", "own_facts": "your facts"}
GROWING = {"own_facts": "your facts", "phi_9": "phi 9", "phi_15": "phi 15"}
"""The first of these that was run shows how its circuit grew: at phi 9 memorising comes well before generalising."""
CURVES = {
    "train_accuracy": "training (inferred)",
    "atomic_accuracy": "facts (one hop)",
    "id_accuracy": "ID test",
    "ood_accuracy": "OOD test",
}
DIGITS = 3
"""A map is drawn from one seed: more digits than this would only pretend."""


def exhibits(run: Run) -> Sequence[Exhibit]:
    """All exhibits whose arms the run has finished."""
    finished = [arm for arm in run.arms if _finished(run, arm)]
    shown: list[Exhibit] = [_curves(run, arm) for arm in finished]
    shown += _phi_bars(run, finished)
    shown += _bridge_bars(run, finished)
    if finished:
        shown.append(_times(run, finished))
    seed = run.seeds[0]
    for arm, title in MAPPED.items():
        if arm not in finished or not run.trial(arm, seed).has("circuit"):
            continue
        record = run.trial(arm, seed)
        circuit = rounded(Circuit.from_json(record.artifact("circuit")))
        if not circuit.n:
            continue
        heading, name = f"{title}, seed {seed}", arm.replace("_", "-")
        shown.append(circuit_graph(f"circuit-{name}", f"{heading}: what reads what", circuit))
        shown += circuit_maps(name, heading, circuit)
    shown += _growth(run, next((arm for arm in GROWING if arm in finished), None), seed)
    shown += [_samples(run, arm, seed) for arm in ("phi_15", "comparison", "own_facts") if arm in finished]
    shown += [trained_network(run, arm) for arm in finished[:1]]
    return shown


def _growth(run: Run, arm: str | None, seed: int) -> list[Exhibit]:
    """The circuit at the end minus that of the snapshot that had just memorised."""
    if arm is None or not run.trial(arm, seed).has("circuit_memorised"):
        return []
    record = run.trial(arm, seed)
    before, after = (rounded(Circuit.from_json(record.artifact(name))) for name in ("circuit_memorised", "circuit"))
    if not before.n or not after.n:
        return []
    name, heading = arm.replace("_", "-"), f"{GROWING[arm]}, seed {seed}"
    gained = [
        Heatmap(
            f"{name}-growth-interchange-{variable}",
            f"{heading}: growth of the interchange accuracy of {variable}",
            "position",
            "state after",
            after.labels,
            layer_names(after.depth),
            [[round(cell, DIGITS) for cell in row] for row in difference(values, before.interchange[variable])],
            "difference of shares",
            (-1, 1),
            "End of training minus the first evaluation with training accuracy of 0.99.",
        )
        for variable, values in after.interchange.items()
    ]
    return [*gained, *growth_maps(name, heading, after, before)]


def rounded(circuit: Circuit) -> Circuit:
    """The same circuit with every share to three digits."""

    def maps(values: Mapping[str, Map]) -> dict[str, Map]:
        return {name: [[round(cell, DIGITS) for cell in row] for row in rows] for name, rows in values.items()}

    return dataclasses.replace(
        circuit,
        effects=maps(circuit.effects),
        interchange=maps(circuit.interchange),
        lens=maps(circuit.lens),
        edges=tuple(dataclasses.replace(edge, effect=round(edge.effect, DIGITS)) for edge in circuit.edges),
    )


def _finished(run: Run, arm: str) -> bool:
    return all(run.trial(arm, seed).is_finished for seed in run.seeds)


def _curves(run: Run, arm: str) -> Lines:
    lines: list[Line] = [
        line
        for metric, label in CURVES.items()
        if (line := dataclasses.replace(curve_line(run, metric, arm, label), arm=None)).x
        and not all(math.isnan(value) for value in line.y)
    ]
    return Lines(
        f"accuracy-{arm.replace('_', '-')}",
        f"{arm}: accuracy over training (share answered exactly), {_seeds(run)}",
        "optimiser steps",
        "accuracy",
        lines,
        log_x=True,
        y_range=(0, 1.02),
        caption="Lines are means over seeds, bands 95 % t intervals.",
        marks=(Mark("y", 0.95, "0.95"),),
    )


def _phi_bars(run: Run, finished: Sequence[str]) -> list[Exhibit]:
    arms = [arm for arm in PHI_ARMS if arm in finished]
    if not arms:
        return []
    measures = {
        "train_accuracy": "training",
        "id_accuracy": "ID test",
        "ood_accuracy": "OOD test",
        "majority": "ID test by majority",
    }
    return [
        Bars(
            "phi",
            f"Accuracy by inferred facts per fact (share answered exactly), {_seeds(run)}",
            "accuracy",
            [PHI_ARMS[arm] for arm in arms],
            [_series(run, arms, measure, label) for measure, label in measures.items()],
            y_range=(0, 1.05),
            caption="Same facts, same tests, same steps: only the number of two-hop questions in training differs. "
            "Whiskers: 95 % t intervals over seeds.",
        )
    ]


def _bridge_bars(run: Run, finished: Sequence[str]) -> list[Exhibit]:
    arms = [arm for arm in CONTRASTED if arm in finished]
    if not arms:
        return []
    measures = {
        "bridge_interchange": "interchange accuracy of the bridge at r1",
        "bridge_lens": "bridge under the logit lens at r1 (MRR)",
        "wrong_position": "interchange at the wrong position (h)",
    }
    return [
        Bars(
            "interchange-and-lens",
            f"Interchange accuracy of the bridge beside the logit lens, {_seeds(run)}",
            "share, or mean reciprocal rank",
            [CONTRASTED[arm] for arm in arms],
            [_series(run, arms, measure, label) for measure, label in measures.items()],
            y_range=(0, 1.05),
            caption="The bridge can be read off in a model that memorised too, since 'h r1' is a question of its own: "
            "only exchanging the state tells whether the answer is computed from it.",
            marks=(Mark("y", HOLDS_VARIABLE, "holds the variable"),),
        )
    ]


def _times(run: Run, finished: Sequence[str]) -> Table:
    rows: list[tuple[str | float | None, ...]] = []
    for arm in finished:
        for seed in run.seeds:
            measures = run.trial(arm, seed).measures() or {}
            memorised, delay = measures["step_train_99"], measures["delay"]
            generalised = "never" if math.isnan(delay) else measures["step_id_95"]
            rows.append((arm, str(seed), "never" if math.isnan(memorised) else memorised, generalised, delay))
    return Table(
        "delay",
        "When training accuracy passes 0.99 and ID accuracy 0.95 (evaluated steps), and their ratio",
        ("arm", "seed", "memorised at step", "generalised at step", "ratio"),
        rows,
        "A ratio near 1 is learning without delay; 'never' means not within the steps of this preset.",
    )


def _samples(run: Run, arm: str, seed: int) -> Table:
    found: Sequence[Mapping[str, Any]] = run.trial(arm, seed).artifact("samples")
    two_hops = any(sample["bridge"] is not None for sample in found)
    columns = ("pool", "question", "answer", "right answer")
    caption = "Questions are the first of each pool."
    if two_hops:
        columns += ("bridge", "read at r1 by the lens")
        caption += " The bridge is the entity in the middle; the lens reads the state at r1 after block 1."
    rows = [
        (
            sample["pool"],
            sample["question"],
            sample["answer"],
            sample["right"],
            *((sample["bridge"], sample["decoded"]) if two_hops else ()),
        )
        for sample in found
    ]
    title = f"{MAPPED[arm]}, seed {seed}: sample questions and what the model answers"
    return Table(f"samples-{arm.replace('_', '-')}", title, columns, rows, caption)


def _series(run: Run, arms: Sequence[str], measure: str, label: str) -> BarSeries:
    """One bar an arm: the mean over seeds with its t interval, NaN where a seed has none."""
    values, low, high = [], [], []
    for arm in arms:
        found = [(run.trial(arm, seed).measures() or {})[measure] for seed in run.seeds]
        known = all(map(math.isfinite, found))
        interval = t_interval(found) if known and len(found) > 1 else None
        values.append(math.fsum(found) / len(found) if known else math.nan)
        low.append(interval.low if interval else math.nan)
        high.append(interval.high if interval else math.nan)
    return BarSeries(label, values, low, high)


def _seeds(run: Run) -> str:
    return f"n = {len(run.seeds)} seed{'' if len(run.seeds) == 1 else 's'}"

"""Figures and tables of a run: accuracy over training, noise, what each stage reads, and how sure each share is."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from wheatstone.bench.exhibit import Bars, Exhibit, Heatmap, Line, Lines, Mark, Table, curve_line
from wheatstone.bench.over_seeds import bars_of, finished_arms, measured, n_seeds, spread
from wheatstone.bench.run import Run
from wheatstone.bench.verdict import share_interval
from wheatstone.domains.diagrams.models import trained_network
from wheatstone.interp.circuit import Circuit
from wheatstone.interp.pictures import layer_names, state_map
from wheatstone.learn.kinetics import fit_logistic
from wheatstone.studies.neural.cot_mechanisms.places import places

CURVES = ("cot", "no_cot", "no_cot_10x", "no_cot_phi_15", "filler", "own_facts", "own_facts_no_cot")
FAITHFUL = ("cot", "b_noise_40", "t_noise_40", "own_facts")
STAGED = ("cot", "own_facts")
DIRECT = ("no_cot_phi_15", "no_cot", "own_facts_no_cot")
"""The first of these that was run is shown beside the two stages: phi 15 answers ID questions, so it has a circuit."""
NOISE = {
    "cot": "none",
    "t_noise_20": "t 20 %",
    "t_noise_40": "t 40 %",
    "t_noise_60": "t 60 %",
    "b_noise_20": "b 20 %",
    "b_noise_40": "b 40 %",
    "both_noise_20": "both 20 %",
    "both_noise_40": "both 40 %",
    "shuffled_bridges": "shuffled b",
}
CONTROLS = {
    "cot": "CoT",
    "no_cot": "no CoT",
    "no_cot_2x": "no CoT, 2x",
    "no_cot_10x": "no CoT, 10x",
    "no_cot_phi_15": "no CoT, phi 15",
    "filler": "filler",
    "phi_0_9": "CoT, phi 0.9",
    "phi_1_8": "CoT, phi 1.8",
    "phi_7_2": "CoT, phi 7.2",
    "one_layer": "CoT, 1 block",
    "one_layer_no_cot": "no CoT, 1 block",
    "four_layers": "CoT, 4 blocks",
    "own_facts": "CoT",
    "own_facts_no_cot": "no CoT",
}
HOPS = {"cot": "two hops trained", "rotary": "two hops, rotary", "some_three_hops": "some three hops trained"}
WORTH_A_CURVE = 0.2
"""Accuracy below which a rise is not told from chance."""
DIGITS = 3
"""A map is drawn from one seed: more digits than this would only pretend."""


def exhibits(run: Run) -> Sequence[Exhibit]:
    """All exhibits whose arms the run has finished."""
    finished = finished_arms(run)
    if not finished:
        return []
    accuracies = {"id_accuracy": "ID", "ood_accuracy": "OOD", "train_accuracy": "training", "atomic_accuracy": "facts"}
    steps = {
        "id_accuracy": "ID answer",
        "id_bridge": "ID bridge",
        "ood_accuracy": "OOD answer",
        "ood_bridge": "OOD bridge",
    }
    hops = {"three_hop_accuracy": "answer", "three_hop_first": "first bridge"}
    shown: list[Exhibit] = [
        *_curves(run, finished),
        *_bars(run, finished, "forms", "Accuracy by what is written, and for how long", CONTROLS, accuracies),
        *_bars(run, finished, "noise", "Accuracy by what is wrong in training", NOISE, steps),
        *_bars(run, finished, "three-hops", "Three-hop questions", HOPS, hops),
        _shares(run, finished),
        *_kinetics(run, finished),
        *_dropped(run, finished),
        _cost(run, finished),
        *_stages(run, finished),
    ]
    return [*shown, *(_samples(run, arm) for arm in ("cot", "own_facts") if arm in finished)]


def _curves(run: Run, finished: Sequence[str]) -> list[Exhibit]:
    """ID and OOD accuracy over steps, and how often the answer is right although the bridge is wrong."""
    pools = {"id_accuracy": "ID questions", "ood_accuracy": "OOD questions"}
    shown: list[Exhibit] = []
    for metric, title in pools.items():
        lines = [curve_line(run, metric, arm, arm) for arm in CURVES if arm in finished]
        lines = [line for line in lines if line.x]
        if lines:
            shown.append(
                Lines(
                    metric.replace("_", "-"),
                    f"{title} over training (share answered right), {n_seeds(run)}",
                    "optimiser steps",
                    "accuracy",
                    lines,
                    log_x=True,
                    y_range=(0, 1.02),
                    caption="The model writes by itself. Lines are means over seeds, bands 95 % t intervals.",
                    marks=(Mark("y", 0.95, "0.95"),),
                )
            )
    lines: list[Line] = []
    for arm in FAITHFUL:
        if arm in finished:
            for metric, label in (("id_answer_if_bridge_wrong", "bridge wrong"), ("id_consistent", "follows")):
                line = dataclasses.replace(curve_line(run, metric, arm, f"{arm}: {label}"), arm=None)
                if line.x:
                    lines.append(line)
    if lines:
        shown.append(
            Lines(
                "faithful",
                f"Are the written steps used? ID questions, {n_seeds(run)}",
                "optimiser steps",
                "share",
                lines,
                log_x=True,
                y_range=(0, 1.02),
                caption="'bridge wrong': right answers among questions whose bridge is wrong. 'follows': answers that "
                "are one hop from the bridge that the model wrote. Gaps: no wrong bridge left.",
            )
        )
    shown.append(trained_network(run, finished[0]))
    return shown


def _bars(
    run: Run, finished: Sequence[str], name: str, title: str, arms: Mapping[str, str], measures: Mapping[str, str]
) -> list[Exhibit]:
    """A group of bars an arm, one bar a measure; nothing for fewer than two arms."""
    chosen = [arm for arm in arms if arm in finished]
    if len(chosen) < 2:
        return []
    return [
        Bars(
            name,
            f"{title} (share right), {n_seeds(run)}",
            "share",
            [arms[arm] for arm in chosen],
            [
                bars_of(label, [spread(measured(run, arm, measure)) for arm in chosen])
                for measure, label in measures.items()
            ],
            y_range=(0, 1.05),
            caption="Whiskers: 95 % t intervals over seeds. No bar where an arm writes no bridge.",
        )
    ]


def _shares(run: Run, finished: Sequence[str]) -> Table:
    """ID and OOD shares over the questions of all seeds, with their score interval."""
    rows: list[tuple[str | float | None, ...]] = []
    for arm in finished:
        found = [run.trial(arm, seed).measures() or {} for seed in run.seeds]
        cells: list[str | float | None] = [arm]
        for pool in ("id", "ood"):
            n = sum(int(measures[f"n_{pool}"]) for measures in found)
            hits = math.fsum(one[f"{pool}_accuracy"] * one[f"n_{pool}"] for one in found if one[f"n_{pool}"])
            interval = share_interval(round(hits), n) if n else None
            cells += [f"{interval.mid:.3f} [{interval.low:.3f}, {interval.high:.3f}]" if interval else "none", str(n)]
        noise = [_mean(found, measure) for measure in ("noise_bridge", "noise_answer")]
        forced = _mean(found, "ood_forced")
        effect = max(measures["gold_bridge_effect"] for measures in found)
        rows.append((*cells, *noise, None if math.isnan(forced) else forced, effect))
    return Table(
        "shares",
        "Answers right over the questions of all seeds, with the 95 % score interval of so many questions",
        (
            "arm",
            "ID",
            "n",
            "OOD",
            "n (OOD)",
            "wrong bridges in training",
            "wrong answers in training",
            "OOD, right bridge fed",
            "effect of overwriting the tests' bridges",
        ),
        rows,
        "The interval says how sure the share is of these questions; seeds may differ by more. Feeding the right "
        "bridge is what a test must not do: it is here to show how much it would have added.",
    )


def _kinetics(run: Run, finished: Sequence[str]) -> list[Exhibit]:
    """The logistic curve of ID and OOD accuracy over steps: where it ends, when, how suddenly."""
    rows: list[tuple[str | float | None, ...]] = []
    for arm in finished:
        for pool, title in (("id_accuracy", "ID"), ("ood_accuracy", "OOD")):
            curves = [list(zip(*run.curves(pool, arm).get(seed, []), strict=True)) for seed in run.seeds]
            fitted = [fit_logistic(*curve) for curve in curves if curve]
            known = [one for one in fitted if one is not None]
            if len(known) < len(run.seeds) or min(one.ceiling for one in known) < WORTH_A_CURVE:
                continue
            middle = math.exp(math.fsum(math.log(one.midpoint) for one in known) / len(known))
            rows.append(
                (
                    arm,
                    title,
                    round(math.fsum(one.ceiling for one in known) / len(known), DIGITS),
                    round(middle),
                    f"{min(one.midpoint for one in known):.0f} to {max(one.midpoint for one in known):.0f}",
                    round(81 ** (len(known) / math.fsum(one.steepness for one in known)), 2),
                    round(max(one.rms for one in known), DIGITS),
                )
            )
    if not rows:
        return []
    return [
        Table(
            "kinetics",
            "How learning goes: a logistic curve of accuracy over the logarithm of steps, fitted for each seed",
            ("arm", "questions", "ceiling", "midpoint [steps]", "over seeds", "10 % to 90 %, times", "rms, worst"),
            rows,
            f"Means over seeds, of the midpoint the geometric one. Arms whose ceiling stays below {WORTH_A_CURVE:g} in "
            "some seed show no rise and are left out. With few evaluations in the rise the width is rough.",
        )
    ]


def _dropped(run: Run, finished: Sequence[str]) -> list[Exhibit]:
    """What is left of the answers while the bridge is dropped from the training questions."""
    arm = "internalised"
    if arm not in finished:
        return []
    changes = run.trial(arm, run.seeds[0]).artifact("stages")
    lines = [
        dataclasses.replace(curve_line(run, metric, arm, label), arm=None)
        for metric, label in (
            ("id_with_bridge", "ID, asked to write the bridge"),
            ("ood_with_bridge", "OOD, asked to write the bridge"),
            ("id_accuracy", "ID, answered at once"),
            ("ood_accuracy", "OOD, answered at once"),
            ("train_accuracy", "training, answered at once"),
        )
    ]
    return [
        Lines(
            "internalised",
            f"The bridge is dropped from the training questions (share answered right), {n_seeds(run)}",
            "optimiser steps",
            "accuracy",
            lines,
            y_range=(0, 1.02),
            caption="At each line the next questions lose their bridge. Means over seeds, bands 95 % t intervals.",
            marks=tuple(Mark("x", one["begins"], f"{one['dropped']:.0%} dropped") for one in changes[1:]),
        )
    ]


def _cost(run: Run, finished: Sequence[str]) -> Table:
    """Steps, seconds of training, and accuracies of every arm at the training time that `cot` took."""
    rows: list[tuple[str | float | None, ...]] = []
    reference = "cot" if "cot" in finished else finished[0]
    for arm in finished:
        for seed in run.seeds:
            record = run.trial(arm, seed)
            spent: Mapping[str, Any] = record.artifact("training")
            limit = run.trial(reference, seed).artifact("training")["seconds"]
            within = [line for line in record.metrics() if line.get("seconds", math.inf) <= limit]
            at = within[-1] if within else None
            rows.append(
                (
                    arm,
                    str(seed),
                    spent["steps"],
                    round(spent["seconds"], 1),
                    at["step"] if at else None,
                    at["id_accuracy"] if at else None,
                    at["ood_accuracy"] if at else None,
                )
            )
    return Table(
        "cost",
        f"Training time, and what each arm answers at the time that {reference} took",
        ("arm", "seed", "steps", "seconds", "last step within that time", "ID there", "OOD there"),
        rows,
        "Seconds of training alone, on a machine that may have been busy; the last evaluation within the time counts.",
    )


def _stages(run: Run, finished: Sequence[str]) -> list[Exhibit]:
    """Maps of both stages, and those of a model without chain of thought beside them."""
    seed = run.seeds[0]
    shown: list[Exhibit] = places(run, finished)
    for arm in STAGED:
        if arm in finished:
            shown += _maps(run, arm, "stage_one", f"{arm}, stage one (writes the bridge), seed {seed}")
            shown += _maps(run, arm, "stage_two", f"{arm}, stage two (writes the answer), seed {seed}")
    direct = next((arm for arm in DIRECT if arm in finished), None)
    if direct is not None:
        shown += _maps(run, direct, "direct", f"{direct} (answers at once), seed {seed}")
    return shown


def _maps(run: Run, arm: str, artifact: str, heading: str) -> list[Exhibit]:
    record = run.trial(arm, run.seeds[0])
    if not record.has(artifact):
        return []
    circuit = Circuit.from_json(record.artifact(artifact))
    if not circuit.n:
        return []
    name, n = f"{arm}-{artifact}".replace("_", "-"), f"n = {circuit.n} unseen ID questions answered right"
    shown: list[Exhibit] = [
        state_map(
            f"{name}-interchange",
            f"{heading}: what follows an exchanged bridge",
            circuit,
            _rounded(circuit.interchange["bridge"]),
            "share",
            f"Share that becomes what another question's bridge leads to when this state is exchanged ({n}).",
        )
    ]
    last = len(circuit.labels) - 1
    columns = list(circuit.effects)
    shown.append(
        Heatmap(
            f"{name}-effects",
            f"{heading}: largest effect of another token",
            "token that is another one",
            "state after",
            columns,
            layer_names(circuit.depth),
            [
                [round(max(circuit.effects[token][layer]), DIGITS) for token in columns]
                for layer in range(circuit.depth + 1)
            ],
            "share",
            (0, 1),
            f"Share of what is written that changes when one state comes from a question with another h, r1, r2 or b; "
            f"largest over positions, {circuit.labels[0]} to {circuit.labels[last]} ({n}).",
        )
    )
    for token in ("bridge", "answer"):
        caption = f"Mean reciprocal rank among all tokens under the logit lens ({n}). Shown, not trusted."
        title = f"{heading}: {token} under the logit lens"
        shown.append(state_map(f"{name}-lens-{token}", title, circuit, _rounded(circuit.lens[token]), "MRR", caption))
    return shown


def _samples(run: Run, arm: str) -> Table:
    found: Sequence[Mapping[str, Any]] = run.trial(arm, run.seeds[0]).artifact("samples")
    rows = [(one["pool"], one["question"], one["written"], one["right"]) for one in found]
    title = f"{arm}, seed {run.seeds[0]}: sample questions and what the model writes"
    caption = "The first questions of each pool. Right are the bridges and the answer."
    return Table(f"samples-{arm.replace('_', '-')}", title, ("pool", "question", "written", "right"), rows, caption)


def _mean(found: Sequence[Mapping[str, float]], measure: str) -> float:
    return math.fsum(measures[measure] for measures in found) / len(found)


def _rounded(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    return [[round(value, DIGITS) for value in row] for row in rows]

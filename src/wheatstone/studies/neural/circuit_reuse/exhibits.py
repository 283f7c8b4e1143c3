"""Figures and tables of a run: effects of all heads, what is shared, the repair, the circuit with its roles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from wheatstone.bench import exhibit
from wheatstone.bench.exhibit import Bars, BarSeries, Cell, CircuitEdge, CircuitNode, Exhibit, Heatmap, Mark, Table
from wheatstone.bench.run import Run
from wheatstone.bench.verdict import t_interval
from wheatstone.interp.head_sets import overlap
from wheatstone.interp.task_circuit import TaskCircuit

TASKS = ("ioi", "colored_objects", "greater_than", "capitals", "ioi_abc", "free_mlps")
REPAIRS = ("colored_objects", "inhibition", "negative_movers", "both", "random_heads", "shuffled_gold")
MAPPED = ("ioi", "colored_objects")
NAMES = {
    "ioi": "IOI again",
    "ioi_abc": "IOI, ABC prompts",
    "colored_objects": "Colored Objects",
    "greater_than": "greater-than",
    "capitals": "capitals",
    "free_mlps": "CO, MLPs free",
    "inhibition": "inhibition",
    "negative_movers": "negative movers",
    "both": "both",
    "random_heads": "random heads",
    "shuffled_gold": "shuffled gold",
}
DIGITS = 3
ROLES = ("mover", "negative mover", "inhibition")


def exhibits(run: Run) -> Sequence[Exhibit]:
    """All exhibits whose arms the run has finished."""
    finished = [arm for arm in run.arms if all(run.trial(arm, seed).is_finished for seed in run.seeds)]
    shown: list[Exhibit] = []
    tasks = [arm for arm in TASKS if arm in finished]
    if tasks:
        shown += [_shared(run, tasks), _tasks(run, tasks)]
    repairs = [arm for arm in REPAIRS if arm in finished]
    if len(repairs) > 1:
        shown.append(_repair(run, repairs))
    for arm in tasks:
        circuit = TaskCircuit.from_json(run.trial(arm, run.seeds[0]).artifact("circuit"))
        if arm in MAPPED:
            shown += maps(circuit, arm, _sample(run))
        shown += [_heads(circuit, run.trial(arm, run.seeds[0]).artifact("attention"), arm, _sample(run))]
        if arm in MAPPED:
            shown.append(drawing(circuit, f"circuit-{_slug(arm)}"))
    return shown


def maps(circuit: TaskCircuit, name: str, sample: str) -> list[Heatmap]:
    """Effect of every head, one map a stage."""
    titles = ("on the answer directly", "on the queries of the movers")
    shown: list[Heatmap] = []
    for number, stage in enumerate(circuit.stages):
        strongest = max(10.0**-DIGITS, round(max(abs(value) for row in stage.effect for value in row), DIGITS))
        shown.append(
            Heatmap(
                f"effect-{_slug(name)}-stage-{number + 1}",
                f"{circuit.task}: effect {titles[number]}, all heads",
                "head",
                "layer",
                [str(head) for head in range(circuit.n_head)],
                [str(layer) for layer in range(circuit.n_layer)],
                [[round(value, DIGITS) for value in row] for row in stage.effect],
                "change of the logit difference [logits]",
                (-strongest, strongest),
                f"Mean over {circuit.prompts} prompts{sample}. Negative: the head carries the answer.",
            )
        )
    return shown


def drawing(circuit: TaskCircuit, name: str) -> exhibit.Circuit:
    """The top heads by role, and which of them act on which."""
    groups = {
        "inhibition": (1, circuit.inhibition),
        "movers": (0, circuit.heads("mover")),
        "negative movers": (0, circuit.heads("negative mover")),
    }
    layers = sorted({head.layer for _, heads in groups.values() for head in heads})
    columns: list[str] = []
    nodes: list[CircuitNode] = []
    edges: list[CircuitEdge] = []
    strongest = max((abs(head.effect) for stage in circuit.stages for head in stage.heads), default=1.0) or 1.0
    for title, (stage, heads) in groups.items():
        effects = {head.place: head.effect for head in circuit.stages[min(stage, len(circuit.stages) - 1)].heads}
        begin, taken = len(columns), dict.fromkeys(layers, 0)
        for head in heads:  # heads of one layer stand side by side
            label = f"{head} ({effects[head]:+.2f})"
            place = begin + taken[head.layer], layers.index(head.layer)
            taken[head.layer] += 1
            nodes.append(CircuitNode(f"{title} {head}", label, *place, abs(effects[head]) / strongest))
            if stage:
                movers = [mover for mover in groups["movers"][1] if mover.layer > head.layer]
                strength = effects[head] / strongest
                edges += [CircuitEdge(f"{title} {head}", f"movers {mover}", strength) for mover in movers]
            else:
                edges.append(CircuitEdge(f"{title} {head}", "answer", effects[head] / strongest))
        width = max(1, *taken.values()) if taken else 1
        columns += [title, *[""] * (width - 1)]
    nodes.append(CircuitNode("answer", "answer", (len(columns) - 1) / 2, len(layers), 1.0))
    return exhibit.Circuit(
        name,
        f"{circuit.task}: top heads of {circuit.n_layer * circuit.n_head}",
        nodes,
        edges,
        f"Roles by path patching at the last token, {circuit.prompts} prompts. In brackets the change of the logit "
        "difference in logits when the path is replaced, dashed where it falls; inhibition heads act on the queries of "
        "all movers after them together.",
        columns,
        (*(f"layer {layer}" for layer in layers), "answer"),
    )


def compared(circuits: Mapping[str, TaskCircuit], count: int) -> Table:
    """What pairs of circuits share at each stage, beside chance."""
    names = list(circuits)
    rows: list[list[Cell]] = []
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            for number, (first, second) in enumerate(zip(circuits[a].stages, circuits[b].stages, strict=False), 1):
                found = overlap(first.tensor(), second.tensor(), count)
                heads = " ".join(map(str, found.shared)) or "none"
                rows.append(
                    [a, b, number, len(found.shared), count, found.by_chance, found.p_value, found.jaccard, heads]
                )
    columns = ["task", "other", "stage", "shared", "of", "by chance", "p", "Jaccard", "heads"]
    return Table("compared", "Heads that two tasks share", columns, rows)


def _shared(run: Run, tasks: Sequence[str]) -> Bars:
    chance = _values(run, tasks[0], "shared_by_chance")
    return Bars(
        "shared-heads",
        f"Top heads that are also IOI's, {_samples(run)}",
        "heads",
        [NAMES[arm] for arm in tasks],
        [
            _series(run, tasks, "shared_heads", "by effect on the answer"),
            _series(run, tasks, "shared_stage_two", "by effect on the movers' queries"),
        ],
        None,
        "Top 2 % of all heads in `cpu`; bars are means over samples of prompts with 95 % intervals. The line is what "
        "two random sets share.",
        [Mark("y", sum(chance) / len(chance), "chance")],
    )


def _tasks(run: Run, tasks: Sequence[str]) -> Table:
    measures = (
        "accuracy", "choice_accuracy", "logit_difference", "counterfactual_logit_difference", "shared_heads",
        "shared_p_value", "jaccard_groups", "stability", "inhibition_effect", "own_ablation", "reference_ablation",
        "random_ablation", "backend_gap",
    )  # fmt: skip
    rows = [[NAMES[arm], *(_mean(_values(run, arm, measure)) for measure in measures)] for arm in tasks]
    return Table(
        "tasks",
        f"Tasks, means over {_samples(run)}",
        ["task", *(measure.replace("_", " ") for measure in measures)],
        rows,
        "Logit differences and effects in logits; ablations as the share of the logit difference that goes, empty "
        "where the model does not prefer the answer.",
    )


def _repair(run: Run, repairs: Sequence[str]) -> Bars:
    return Bars(
        "repair",
        f"Colored Objects when heads are told where to look, {_samples(run)}",
        "share of prompts answered right",
        ["no repair" if arm == "colored_objects" else NAMES[arm] for arm in repairs],
        [
            _series(run, repairs, "three_way", "best of the three colours"),
            _series(run, repairs, "argmax", "most probable next token (the paper's)"),
        ],
        (0, 1),
        "The two wrong colours are read from the answers: an oracle that tests a mechanism, not an accuracy of the "
        "model. Means with 95 % intervals over samples; random heads and shuffled gold are means over draws in each.",
        [Mark("y", 1 / 3, "chance")],
    )


def _heads(circuit: TaskCircuit, attention: Any, arm: str, sample: str) -> Table:
    roles = sorted({role for one in attention for role in one["weights"]})
    rows: list[list[Cell]] = []
    for one in attention:
        stage = circuit.stages[one["stage"]]
        head = next(h for h in stage.heads if str(h.place) == one["head"])
        weights: list[Cell] = [
            round(one["weights"][role], DIGITS) if role in one["weights"] else None for role in roles
        ]
        numbers = [round(value, DIGITS) for value in (head.effect, head.low, head.high, head.frequency)]
        rows.append([one["stage"] + 1, one["head"], head.role, *numbers, *weights])
    return Table(
        f"heads-{_slug(arm)}",
        f"{NAMES[arm]}: the top heads{sample}",
        ["stage", "head", "role", "effect", "low", "high", "frequency", *(f"looks at {role}" for role in roles)],
        rows,
        "Effect in logits with its 95 % bootstrap interval over prompts; frequency: share of resamples that have the "
        "head among the top; then mean attention from the last token.",
    )


def _series(run: Run, arms: Sequence[str], measure: str, label: str) -> BarSeries:
    values = [_values(run, arm, measure) for arm in arms]
    if len(run.seeds) < 2:
        return BarSeries(label, [_mean(v) for v in values])
    intervals = [t_interval(v) if v and all(map(math.isfinite, v)) else None for v in values]
    return BarSeries(
        label,
        [i.mid if i else math.nan for i in intervals],
        [i.low if i else math.nan for i in intervals],
        [i.high if i else math.nan for i in intervals],
    )


def _values(run: Run, arm: str, measure: str) -> list[float]:
    found = [(run.trial(arm, seed).measures() or {}).get(measure, math.nan) for seed in run.seeds]
    return [float(value) for value in found]


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def _samples(run: Run) -> str:
    return f"{len(run.seeds)} sample{'s' if len(run.seeds) > 1 else ''} of prompts"


def _sample(run: Run) -> str:
    return f", sample {run.seeds[0]} of {len(run.seeds)}" if len(run.seeds) > 1 else ""


def _slug(name: str) -> str:
    return name.replace("_", "-")

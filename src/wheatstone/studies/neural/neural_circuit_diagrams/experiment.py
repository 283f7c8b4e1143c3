"""One trial: one side of the comparison, part by part. A checkpoint after each part lets a restart go on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from wheatstone.bench.run import Trial
from wheatstone.domains.diagrams.laws import LAWS, Equation, Source, gap
from wheatstone.studies.neural.neural_circuit_diagrams.config import Config
from wheatstone.studies.neural.neural_circuit_diagrams.measuring import (
    counted,
    gaps,
    memory,
    mutant_gaps,
    mutate,
    order,
    parameters,
)
from wheatstone.studies.neural.neural_circuit_diagrams.mistakes import MISTAKES, draw_sizes, judge
from wheatstone.studies.neural.neural_circuit_diagrams.references import MAKERS, cases

DOUBLE, SINGLE = 1e-12, 1e-5
"""Largest difference that counts as equal, relative to the largest value where that is above 1."""
LAW = 1e-9
"""Of the two sides of a law in float64: chains of up to six operations with unbounded random weights."""
COUNTABLE = ("mlp", "attention", "multi-head", "conv1d", "conv2d", "visual attention")
"""Contractions and convolutions, at sizes drawn anew each time."""

MEASURES = {
    "equal": "share of architectures, over all draws of sizes, whose outputs and gradients are torch's: 1e-12 in "
    "float64, 1e-5 in float32, relative",
    "forward_gap": "largest difference of an output in float64, relative",
    "gradient_gap": "largest difference of a gradient of an input or a weight in float64, relative",
    "single_gap": "largest difference of an output in float32, relative",
    "derived_gap": "largest difference between the derived diagram's gradients and autograd's",
    "numpy_gap": "largest difference between torch and numpy on the same diagram",
    "source_gap": "largest difference between the generated code and the diagram",
    "parameters_equal": "share of architectures with as many learned numbers as torch's layer",
    "laws_hold": "share of random instances of the laws that hold",
    "laws_tried": "random instances",
    "flops_exact": "share of draws of sizes at which the formula is what torch's counter counts",
    "flops_compared": "draws of sizes that were compared",
    "rewrite_gain": "times fewer operations that rewriting finds in attention without softmax",
    "softmax_gain": "the same with softmax",
    "rewrite_gap": "largest difference of the values before and after rewriting, relative",
    "caught": "share of the mistakes that are refused: by the checker, at their place; in plain torch by any exception",
    "mistakes": "mistakes that were tried",
    "false_alarms": "share of the right forms of the mistakes that are refused",
    "memory_ratio": "numbers kept for the backward pass, by formula over those that torch kept; median architecture",
}

Part = Callable[[Trial[Config]], Mapping[str, Any]]


def run(trial: Trial[Config]) -> Mapping[str, float]:
    """Every part that the arm's side has; NaN for what the other sides measure."""
    done: dict[str, Any] = {}
    if checkpoint := trial.load_checkpoint():
        done = dict(checkpoint.state)
    parts = list(_parts(trial.config))
    for number, (name, part) in enumerate(parts):
        if name not in done:
            trial.progress(number, len(parts), name)
            done[name] = dict(part(trial))
            for measure, value in done[name]["measures"].items():
                trial.log(number, **{measure: math.nan if value is None else value})
            trial.save_checkpoint({"part": torch.tensor([number])}, done)
    trial.progress(len(parts), len(parts))
    measures = dict.fromkeys(MEASURES, math.nan)
    for name, found in done.items():
        measures.update({key: math.nan if value is None else float(value) for key, value in found["measures"].items()})
        trial.write(name, found["table"])
    return measures


def _parts(config: Config) -> Iterator[tuple[str, Part]]:
    if config.side == "plain":
        yield "mistakes", _mistakes
        return
    if not config.rewriting:
        yield "order", _order
        return
    yield "architectures", _architectures
    yield "laws", _laws
    yield "work", _work
    if config.side == "diagrams":
        yield "memory", _memory
        yield "order", _order
        yield "mistakes", _mistakes


def _chosen(config: Config) -> tuple[str, ...]:
    return tuple(MAKERS) if config.architectures == "all" else tuple(config.architectures.split(","))


def _seed(trial: Trial[Config], name: str) -> int:
    return trial.seed_for(name) % 2**31


def _architectures(trial: Trial[Config]) -> Mapping[str, Any]:
    """Diagrams against torch's layers."""
    rng, mutation = trial.rng("sizes"), trial.rng("mutation")
    rows: list[dict[str, Any]] = []
    with torch.random.fork_rng():  # torch's layers draw their weights from the global generator
        torch.manual_seed(_seed(trial, "weights"))
        for draw in range(trial.config.draws):
            for case in cases(rng, only=_chosen(trial.config)):
                count = parameters(case)
                row: dict[str, Any] = {"name": case.name, "draw": draw, "sizes": dict(case.sizes), **count}
                if trial.config.side == "mutated":
                    row.update(mutant_gaps(case, draw, mutation)._asdict())
                else:
                    row.update(gaps(case, draw)._asdict())
                row["equal"] = (
                    row["forward"] <= DOUBLE and row["gradient"] <= DOUBLE and row.get("single", 0.0) <= SINGLE
                )
                rows.append(row)
    worst = {
        f"{name}_gap": _worst(rows, name) for name in ("forward", "gradient", "single", "derived", "numpy", "source")
    }
    measures = {
        "equal": float(np.mean([row["equal"] for row in rows])),
        "parameters_equal": float(np.mean([row["diagram"] == row["module"] for row in rows])),
        **worst,
    }
    return {"measures": measures, "table": [_finite(row) for row in rows]}


def _worst(rows: list[dict[str, Any]], name: str) -> float | None:
    values = [row[name] for row in rows if name in row]
    return max(values) if values and math.isfinite(max(values)) else None


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}


def _laws(trial: Trial[Config]) -> Mapping[str, Any]:
    """Random instances of every law; of the mutated side, with a mistake in the right-hand term."""
    rng, mutation = trial.rng("laws"), trial.rng("law mutation")
    each = max(1, trial.config.terms // len(LAWS))
    table: list[dict[str, Any]] = []
    for law in LAWS.values():
        failures, worst = 0, 0.0
        for number in range(each):
            equation = law.make(Source(rng))
            if trial.config.side == "mutated":
                equation = Equation(equation.left, mutate(equation.right, mutation), equation.domain)
            found = gap(equation, number)
            failures += not found <= LAW
            worst = max(worst, found)
        shown = worst if math.isfinite(worst) else None
        table.append({"law": law.name, "says": law.says, "tried": each, "failures": failures, "worst": shown})
    failed, tried = sum(row["failures"] for row in table), sum(row["tried"] for row in table)
    return {"measures": {"laws_hold": 1 - failed / tried, "laws_tried": tried}, "table": table}


def _work(trial: Trial[Config]) -> Mapping[str, Any]:
    """Formulas of work against torch's counter."""
    rng = trial.rng("counted")
    table: list[dict[str, Any]] = []
    wanted = [name for name in COUNTABLE if name in _chosen(trial.config)] or [_chosen(trial.config)[0]]
    with torch.random.fork_rng():
        for name in wanted:
            for _ in range(trial.config.counted):
                case = MAKERS[name](rng)
                case.module.double()
                found = counted(case, off_by_one=trial.config.side == "mutated")
                row = {"name": name, "sizes": dict(case.sizes), "formula": found.formula, "counter": found.counter}
                table.append(row)
    exact = [row["formula"] == row["counter"] for row in table]
    return {"measures": {"flops_exact": float(np.mean(exact)), "flops_compared": len(exact)}, "table": table}


def _memory(trial: Trial[Config]) -> Mapping[str, Any]:
    """Numbers kept for the backward pass, by formula and by torch's hooks."""
    table: list[dict[str, Any]] = []
    with torch.random.fork_rng():
        for case in cases(trial.rng("memory"), only=_chosen(trial.config)):
            found = memory(case)
            table.append({"name": case.name, "formula": found.formula, "measured": found.measured})
    ratio = float(np.median([row["formula"] / max(1, row["measured"]) for row in table]))
    return {"measures": {"memory_ratio": ratio}, "table": table}


def _order(trial: Trial[Config]) -> Mapping[str, Any]:
    """The order of contractions in attention without softmax."""
    config = trial.config
    found = order(config.length, config.features, rewriting=config.rewriting, seed=_seed(trial, "order"))
    measures = {"rewrite_gain": found.gain, "softmax_gain": found.with_softmax, "rewrite_gap": found.gap}
    return {"measures": measures, "table": [dict(measures)]}


def _mistakes(trial: Trial[Config]) -> Mapping[str, Any]:
    """The mistakes, refused or not."""
    rng = trial.rng("mistakes")
    table: list[dict[str, Any]] = []
    with torch.random.fork_rng():
        for number in range(trial.config.mistake_draws):
            sizes = draw_sizes(rng)
            for mistake in MISTAKES:
                found = judge(mistake, sizes)
                row = {"name": mistake.name, "kind": mistake.kind, "draw": number, "says": found.says}
                row |= {"caught": found.is_caught, "placed": found.is_placed, "silent": found.is_silent}
                table.append(row | {"false alarm": found.is_false_alarm})
    if trial.config.side == "plain":
        caught = [not row["silent"] for row in table]
        return {"measures": {"caught": float(np.mean(caught)), "mistakes": len(table)}, "table": table}
    alarms = float(np.mean([row["false alarm"] for row in table]))
    caught = float(np.mean([row["placed"] for row in table]))
    return {"measures": {"caught": caught, "mistakes": len(table), "false_alarms": alarms}, "table": table}

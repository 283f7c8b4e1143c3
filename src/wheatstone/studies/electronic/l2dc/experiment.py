"""One trial: size a circuit by one method, then show what was found: winner, corners, and the deck run by hand."""

from __future__ import annotations

import math
import re
import subprocess
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from wheatstone.bench.errors import UserError
from wheatstone.bench.run import Trial
from wheatstone.domains.electronic.analog.engine import Engine
from wheatstone.domains.electronic.analog.program import program_path
from wheatstone.domains.electronic.analog.testbench import Outcome, Testbench
from wheatstone.studies.electronic.l2dc.config import Config
from wheatstone.studies.electronic.l2dc.measures import empty
from wheatstone.studies.electronic.l2dc.objective import is_feasible, worth
from wheatstone.studies.electronic.l2dc.search import Black, History, Learner, Row, make, search

NAMES = ("tia3_sky130", "tia2_sg13g2")
RECENT = 100
"""Proposals that the share of feasible ones is taken over."""
LOGGED = 10
"""Simulations between two logged lines."""
KEPT = 250
"""Simulations between two checkpoints; fewer in short trials."""
DROP = 0.7
"""What a fall of 30 % leaves."""


def testbench(name: str) -> Testbench:
    """The testbench of that name, or of a specification file.

    Raises UserError when there is neither.
    """
    if name in NAMES:
        return Testbench.read(Path(str(files("wheatstone.studies.electronic.l2dc") / "testbenches" / f"{name}.toml")))
    path = Path(name)
    if not path.is_file():
        raise UserError(f"{name}: neither a specification file nor one of the testbenches {', '.join(NAMES)}.")
    return Testbench.read(path)


def run(trial: Trial[Config]) -> Mapping[str, float]:
    """Sizes the circuit; goes on from the last checkpoint."""
    config = trial.config
    bench = testbench(config.testbench)
    method = make(bench, config, trial.rng("proposals"), trial.seed_for("networks"))
    history = History()
    if checkpoint := trial.load_checkpoint():
        history = History.from_json(checkpoint.state["rows"])
        if isinstance(method, Learner):
            tensors: dict[str, Any] = dict(checkpoint.tensors)
            method.agent.restore(tensors, checkpoint.state["agent"])
        else:
            method.repeat(history.rows)
    with Engine(timeout=bench.spec.timeout) as engine:

        def noted(row: Row, outcome: Outcome) -> None:  # noqa: ARG001
            if row.number % LOGGED == 0 or row.number == config.simulations:
                trial.log(row.number, **_progress(bench, history))
            best = history.best()
            trial.progress(row.number, config.simulations, f"best {best.reward:.3f}")
            if row.number % min(KEPT, max(1, config.simulations // 3)) == 0:
                _keep(trial, method, history)

        search(bench, engine, method, config.simulations, history, noted)
        return empty() | _results(trial, bench, engine, history)


def _keep(trial: Trial[Config], method: Black | Learner, history: History) -> None:
    if isinstance(method, Learner):
        tensors: dict[str, Any] = dict(method.agent.tensors())
        state = {"agent": method.agent.state()}
    else:
        tensors, state = {"none": np.zeros(1)}, {}
    trial.save_checkpoint(tensors, {"rows": history.to_json(), **state})


def _progress(bench: Testbench, history: History) -> dict[str, float]:
    recent = history.rows[-RECENT:]
    values = {
        "best": history.best().reward,
        "mean": math.fsum(row.reward for row in recent) / len(recent),
        "feasible": sum(row.feasible for row in recent) / len(recent),
        "target": _target(bench, history.best()),
    }
    for one in bench.spec.constraints:
        met = sum(one.is_met(row.measures[one.measure.name]) for row in recent)
        values[f"meets_{one.measure.name}"] = met / len(recent)
    return values


def _target(bench: Testbench, row: Row) -> float:
    """The first target's measure of a feasible row, areas in um^2; NaN for others."""
    if not row.feasible or not bench.spec.targets:
        return math.nan
    measure = bench.spec.targets[0].measure
    return row.measures[measure.name] * (1e12 if measure.unit == "m^2" else 1.0)


def _results(trial: Trial[Config], bench: Testbench, engine: Engine, history: History) -> dict[str, float]:
    config, rows = trial.config, history.rows
    best, first = history.best(), history.first_feasible()
    compared = history.best(config.compared).reward
    found = bench.simulate(engine, best.values)
    corners = at_corners(bench, engine, best.values) if config.corners else []
    hand = bench.hand()
    by_hand = bench.simulate(engine, hand) if hand else None
    deck = bench.self_contained(best.values, f"sized by {config.method}, seed {trial.seed}")
    trial.file("best.cir").write_text(deck, encoding="utf-8")
    trial.file("history.csv").write_text(history.csv(bench), encoding="utf-8")
    trial.write("history", _short(bench, history))
    trial.write("best", {
        "number": best.number, **_described(found), "corners": corners, "reward": best.reward,
        "hand": None if by_hand is None else _described(by_hand),
    })  # fmt: skip
    first_target = _target(bench, first) if first else math.nan
    return {
        "best_reward": compared,
        "final_reward": best.reward,
        "reward_with_allowance": compared - 0.1,
        "first_feasible": float(first.number if first else len(rows) + 1),
        "feasible_last": sum(row.feasible for row in rows[-RECENT:]) / min(RECENT, len(rows)),
        "feasible_share": sum(row.feasible for row in rows) / len(rows),
        "first_target": first_target,
        "best_target": _target(bench, best),
        "allowed_target": DROP * first_target,
        "failed_share": sum(row.reason.startswith("failed") for row in rows) / len(rows),
        "corner_share": sum(one["feasible"] for one in corners) / len(corners) if corners else math.nan,
        "saturation_margin": found.measures.get("margin", math.nan),
        "hand_reward": worth(bench.spec, by_hand) if by_hand else math.nan,
        "by_hand_gap": by_hand_gap(bench, deck, found.measures),
        "simulations": float(len(rows)),
    }


def _short(bench: Testbench, history: History) -> dict[str, list[Any]]:
    """The history in columns, for figures."""
    return {
        "reward": [row.reward for row in history.rows],
        "feasible": [row.feasible for row in history.rows],
        "seconds": [round(row.seconds, 2) for row in history.rows],
        "power": [row.measures.get("power", math.nan) if row.feasible else math.nan for row in history.rows],
        "target": [_target(bench, row) for row in history.rows],
    }


def _described(outcome: Outcome) -> dict[str, Any]:
    response = outcome.response
    return {
        "values": dict(outcome.values),
        "measures": dict(outcome.measures),
        "reason": outcome.reason,
        "transistors": [{"name": one.name, "region": one.region, **one.values} for one in outcome.transistors],
        "frequency": [] if response is None else response.frequency.tolist(),
        "magnitude": [] if response is None else np.abs(response.value).tolist(),
        "phase": [] if response is None else np.degrees(np.unwrap(np.angle(response.value))).tolist(),
    }


def at_corners(bench: Testbench, engine: Engine, values: Mapping[str, float]) -> list[dict[str, Any]]:
    """The sizing at every corner and every temperature of the specification."""
    found: list[dict[str, Any]] = []
    for corner in dict.fromkeys([bench.corner, *bench.spec.corners]):
        for temperature in bench.spec.temperatures or (27.0,):
            outcome = bench.simulate(engine, values, corner, temperature)
            found.append({
                "corner": corner, "temperature": temperature, "feasible": is_feasible(bench.spec, outcome),
                "measures": dict(outcome.measures), "reason": outcome.reason,
            })  # fmt: skip
    return found


def by_hand_gap(bench: Testbench, deck: str, measures: Mapping[str, float]) -> float:
    """Largest relative difference between `measures` and what `ngspice -b` prints for the deck.

    NaN where the program is not installed, or prints none of them.
    """
    program = program_path()
    if program is None:
        return math.nan
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "best.cir"
        path.write_text(deck, encoding="utf-8")
        try:
            done = subprocess.run(
                [program, "-b", path.name], cwd=name, capture_output=True, text=True, check=False, timeout=60,
                stdin=subprocess.DEVNULL, errors="replace",
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return math.nan
    printed = printed_measures(done.stdout)
    decibels = {one.name for one in bench.spec.measures if one.in_decibel}  # near zero a ratio of them means nothing
    gaps = [
        abs(printed[name] - value) / max(abs(value), 1.0 if name in decibels else 0.0)
        for name, value in measures.items()
        if name in printed and math.isfinite(value) and value != 0
    ]
    return max(gaps) if gaps else math.nan


def printed_measures(text: str) -> dict[str, float]:
    """Name -> number of the lines 'name = number' that ngspice printed."""
    return {
        found[1].lower(): float(found[2])
        for found in re.finditer(r"(?m)^(\w+)\s*=\s*([-+]?\d[\d.]*(?:e[-+]?\d+)?)", text, re.IGNORECASE)
    }

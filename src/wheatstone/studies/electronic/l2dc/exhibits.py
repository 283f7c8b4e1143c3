"""Figures and tables of a run: worth against simulations and seconds, what is met when, the winner and its corners."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from typing import Any

from wheatstone.bench.exhibit import (
    Bars,
    BarSeries,
    Exhibit,
    Line,
    Lines,
    Mark,
    Scatter,
    ScatterSeries,
    Table,
    curve_line,
)
from wheatstone.bench.run import Run
from wheatstone.bench.verdict import t_interval
from wheatstone.domains.electronic.analog.units import shown

LABELS = {
    "l2dc": "L2DC: LSTM actor, DDPG",
    "mlp": "the same with plain networks",
    "random": "random",
    "bo": "Bayesian optimisation",
    "cma_es": "CMA-ES",
    "tpe": "TPE",
    "five_steps": "episodes of five steps",
    "blind": "five steps, blind",
    "linear_reward": "linear reward",
    "ungated": "targets from the start",
}
SECONDS = 60
"""Points of the curve over seconds."""


def exhibits(run: Run) -> Sequence[Exhibit]:
    """All exhibits whose arms the run has finished."""
    done = [arm for arm in run.arms if all(run.trial(arm, seed).is_finished for seed in run.seeds)]
    if not done:
        return []
    return [*_curves(run, done), *_seconds(run, done), *_constraints(run, done), *_summary(run, done),
            *_winners(run, done), *_bode(run, done), *_pareto(run, done)]  # fmt: skip


def _curves(run: Run, done: Sequence[str]) -> list[Exhibit]:
    seeds = _seeds(run)
    shown_to = float(run.base_config["compared"] or math.inf)
    return [
        Lines(
            "best-reward",
            f"Worth of the best design so far, {seeds}",
            "simulations",
            "worth (0: all constraints met)",
            [_until(_median(run, "best", arm), shown_to) for arm in done],
            caption="Below 0: decades by which constraints are missed. Above 1: decades of area below the reference. "
            "Failed simulations count. Lines are medians over seeds, bands the worst and the best.",
            y_range=(-3.0, 3.5),
        ),
        Lines(
            "feasible",
            f"Share of the last 100 proposals that meet every constraint, {seeds}",
            "simulations",
            "share [0, 1]",
            [_until(_median(run, "feasible", arm), shown_to) for arm in done],
            y_range=(0, 1.02),
        ),
    ]


def _median(run: Run, metric: str, arm: str) -> Line:
    """Median over seeds of a logged metric, its band from the lowest to the highest; all seeds log the same steps."""
    curves = [dict(points) for points in run.curves(metric, arm).values()]
    steps = sorted(curves[0])
    rows = [[curve[step] for curve in curves] for step in steps]
    y, low, high = ([end(row) for row in rows] for end in (statistics.median, min, max))
    return Line(LABELS.get(arm, arm), steps, y, low, high, arm)


def _until(line: Line, end: float) -> Line:
    keep = [i for i, x in enumerate(line.x) if x <= end]

    def cut(values: Sequence[float] | None) -> list[float] | None:
        return None if values is None else [values[i] for i in keep]

    return Line(
        line.label, [line.x[i] for i in keep], [line.y[i] for i in keep], cut(line.low), cut(line.high), line.arm
    )


def _seconds(run: Run, done: Sequence[str]) -> list[Exhibit]:
    lines: list[Line] = []
    for arm in done:
        kept = [run.trial(arm, seed).artifact("history") for seed in run.seeds]
        end = max(one["seconds"][-1] for one in kept)
        grid = [float(f"{end * (i + 1) / SECONDS:.3g}") for i in range(SECONDS)]
        rows = [[_best_at(one, second) for second in grid] for one in kept]
        middle = [statistics.median(column) for column in zip(*rows, strict=True)]
        low, high = ([end_of(column) for column in zip(*rows, strict=True)] for end_of in (min, max))
        lines.append(Line(LABELS.get(arm, arm), grid, middle, low, high, arm))
    return [
        Lines(
            "best-by-seconds",
            f"Worth of the best design so far over time, {_seeds(run)}",
            "wall time [s], simulator and method together",
            "worth (0: all constraints met)",
            lines,
            log_x=True,
            y_range=(-3.0, 3.5),
            caption="Lines are medians over seeds, bands the worst and the best. Trials shared the machine's cores.",
        )
    ]


def _best_at(history: dict[str, Any], second: float) -> float:
    seen = [reward for reward, at in zip(history["reward"], history["seconds"], strict=True) if at <= second]
    return max(seen) if seen else math.nan


def _constraints(run: Run, done: Sequence[str]) -> list[Exhibit]:
    arm = next((one for one in ("l2dc", "mlp") if one in done), None)
    if arm is None:
        return []
    logged = run.trial(arm, run.seeds[0]).metrics()
    names = [name for name in (logged[0] if logged else {}) if name.startswith("meets_")]
    lines = [_plain(curve_line(run, name, arm, name.removeprefix("meets_"))) for name in names]
    target = curve_line(run, "target", arm, "best design so far")
    found: list[Exhibit] = [
        Lines(
            "constraints",
            f"Constraint by constraint: share of the last 100 proposals that meet it, {arm}, {_seeds(run)}",
            "simulations",
            "share [0, 1]",
            [*lines, _plain(curve_line(run, "feasible", arm, "all of them"))],
            y_range=(0, 1.02),
        )
    ]
    if target.x:
        found.append(
            Lines(
                "target",
                f"Target of the best feasible design, {arm}, {_seeds(run)}",
                "simulations",
                "gate area [um^2], or the target's own unit",
                [target],
                log_y=True,
                caption="Begins where the first seed has a feasible design: constraints first, the target later.",
            )
        )
    return found


def _plain(line: Line) -> Line:
    """Without its arm's colour: several curves of one arm need several."""
    return dataclasses.replace(line, arm=None)


def _summary(run: Run, done: Sequence[str]) -> list[Exhibit]:
    columns = ("method", "simulations", "first feasible", "feasible of last 100", "worth", "at the end", "target",
               "failed", "corners met", "margin [V]", "by hand")  # fmt: skip
    names = ("simulations", "first_feasible", "feasible_last", "best_reward", "final_reward", "best_target",
             "failed_share", "corner_share", "saturation_margin", "by_hand_gap")  # fmt: skip
    rows = [(LABELS.get(arm, arm), *(_mean(run, arm, name) for name in names)) for arm in done]
    values = {arm: _values(run, arm, "best_reward") for arm in done}
    intervals = {arm: t_interval(found) if len(found) > 1 else None for arm, found in values.items()}
    hand = _values(run, done[0], "hand_reward")[0]
    marks = [Mark("y", hand, "designer's own sizing")] if math.isfinite(hand) else []
    return [
        Bars(
            "methods",
            f"Worth of the best design at equal simulations, {_seeds(run)}",
            "worth (0: all constraints met)",
            list(done),
            [
                BarSeries(
                    "worth",
                    [math.fsum(values[arm]) / len(values[arm]) for arm in done],
                    [one.low if one else math.nan for one in intervals.values()],
                    [one.high if one else math.nan for one in intervals.values()],
                )
            ],
            marks=marks,
        ),
        Table(
            "summary",
            f"What every method reached, mean over {_seeds(run)}",
            columns,
            rows,
            "Worth is compared at equal simulations; random search goes on longer. 'By hand' is the largest relative "
            "difference to what `ngspice -b best.cir` prints. A negative margin is a transistor in triode.",
        ),
    ]


def _winners(run: Run, done: Sequence[str]) -> list[Exhibit]:
    bests = {arm: _best(run, arm) for arm in done}
    hand = next((one["hand"] for one in bests.values() if one["hand"]), None)
    columns = ["", *done, *(["designer"] if hand else [])]
    sources = [*bests.values(), *([hand] if hand else [])]
    names = list(sources[0]["values"])
    rows: list[tuple[str | float | None, ...]] = [
        (name, *(shown(one["values"][name]) for one in sources)) for name in names
    ]
    rows += [(name, *(shown(_number(one["measures"][name])) for one in sources)) for name in sources[0]["measures"]]
    shown_arm = next(arm for arm in ("l2dc", "mlp", *done) if arm in done)
    best = bests[shown_arm]
    regions = [
        (one["name"], one["region"], *(one.get(key) for key in ("id", "gm", "vgs", "vds", "vdsat")))
        if "vds" in one
        else (one["name"], one["region"], one.get("ic"), one.get("gm"), one.get("vbe"), None, None)
        for one in best["transistors"]
    ]
    corners = [
        (one["corner"], one["temperature"], "yes" if one["feasible"] else "no",
         *(shown(_number(value)) for value in one["measures"].values()), one["reason"])
        for one in best["corners"]
    ]  # fmt: skip
    found: list[Exhibit] = [
        Table("sizes", "The best sizing of every method, on its grid, in SI units", columns, rows),
        Table(
            "regions",
            f"Operating point of the best design of {shown_arm}",
            ("transistor", "region", "I [A]", "gm [S]", "Vgs or Vbe [V]", "Vds [V]", "Vdsat [V]"),
            regions,
        ),
    ]
    if corners:
        names = list(best["corners"][0]["measures"])
        found.append(
            Table(
                "corners",
                f"The best design of {shown_arm} at the corners of the process",
                ("corner", "temperature [C]", "all met", *names, "note"),
                corners,
                "Sizes were chosen at the typical corner and 27 C only.",
            )
        )
    return found


def _best(run: Run, arm: str) -> dict[str, Any]:
    """The best design of the arm's best seed."""
    found = [run.trial(arm, seed).artifact("best") for seed in run.seeds]
    return max(found, key=lambda one: _number(one["reward"]))


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _bode(run: Run, done: Sequence[str]) -> list[Exhibit]:
    magnitude: list[Line] = []
    phase: list[Line] = []
    drawn = [(LABELS.get(arm, arm), _best(run, arm), arm) for arm in done if arm in ("l2dc", "mlp", "cma_es", "bo")]
    hand = next((one["hand"] for _, one, _ in drawn if one["hand"]), None)
    sources: list[tuple[str, dict[str, Any], str | None]] = [*drawn, *([("designer", hand, None)] if hand else [])]
    for label, one, arm in sources:
        if one["frequency"]:
            megahertz = [value / 1e6 for value in one["frequency"]]
            decibels = [20 * math.log10(max(value, 1e-12)) for value in one["magnitude"]]
            magnitude.append(Line(label, megahertz, decibels, arm=arm))
            phase.append(Line(label, megahertz, one["phase"], arm=arm))
    if not magnitude:
        return []
    return [
        Lines(
            "bode",
            "Magnitude of the best designs",
            "frequency [MHz]",
            "magnitude [dB, dBohm]",
            magnitude,
            log_x=True,
        ),
        Lines("phase", "Phase of the best designs", "frequency [MHz]", "phase [degrees]", phase, log_x=True),
    ]


def _pareto(run: Run, done: Sequence[str]) -> list[Exhibit]:
    points: list[ScatterSeries] = []
    for arm in done:
        kept = run.trial(arm, run.seeds[0]).artifact("history")
        pairs = [
            (x, y * 1e3)
            for x, y in zip(kept["target"], kept["power"], strict=True)
            if x is not None and y is not None and x > 0 and y > 0
        ]
        if pairs:
            points.append(ScatterSeries(LABELS.get(arm, arm), [x for x, _ in pairs], [y for _, y in pairs], arm=arm))
    if not points:
        return []
    return [
        Scatter(
            "pareto",
            f"Feasible designs: power against the target, seed {run.seeds[0]}",
            "gate area [um^2], or the target's own unit",
            "power [mW]",
            points,
            log_x=True,
            log_y=True,
        )
    ]


def _values(run: Run, arm: str, measure: str) -> list[float]:
    return [(run.trial(arm, seed).measures() or {})[measure] for seed in run.seeds]


def _mean(run: Run, arm: str, measure: str) -> float | None:
    found = [value for value in _values(run, arm, measure) if math.isfinite(value)]
    return math.fsum(found) / len(found) if found else None


def _seeds(run: Run) -> str:
    return f"n = {len(run.seeds)} seed{'' if len(run.seeds) == 1 else 's'}"

"""Figures and tables of a run: errors while adapting, every held-out system, orbits, energies, representations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from wheatstone.bench.exhibit import (
    Bars,
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

STARTS = {"meta": "meta-learnt", "pretrained": "pre-trained", "scratch": "random start"}
METHODS = {
    "meta": "MAML",
    "meta_faster": "MAML, inner rate 0.2",
    "first_order": "first-order MAML",
    "reptile": "Reptile",
    "anil": "ANIL",
    "context": "context alone",
    "mismatched": "MAML, mismatched tasks",
    "pretrained": "joint pre-training",
    "one_system": "MAML on one system",
    "two_systems": "MAML on two systems",
    "oracle": "MAML, nothing held out",
    "scratch": "random start",
    "vector_field": "MAML without the energy",
}
FIXED = {f"{arm}_fixed": label for arm, label in STARTS.items()}
HELD_OUT = {"": "magnetic mirror", "_spring": "spring", "_pendulum": "pendulum", "_henon_heiles": "Hénon-Heiles"}
DRAWN = ("meta", "pretrained", "scratch", "vector_field")
TRUTH = "oracle"
"""The true orbit and energy take the colour of the arm that was taught their law: no figure of theirs shows it."""
LAYERS = ("embedding", "layer 1", "layer 2", "layer 3", "layer 4")


def exhibits(run: Run) -> Sequence[Exhibit]:
    """All exhibits whose arms the run has finished."""
    done = finished_arms(run)
    shown: list[Exhibit] = []
    shown += _adapting(run, done, STARTS, "adaptation", "tasks that conflict")
    shown += _adapting(run, done, FIXED, "adaptation-fixed", "all constants 1")
    shown += _rates(run, done) + _shots(run, done) + _held_out(run, done) + _methods(run, done) + _energies(run, done)
    shown += _portraits(run, done) + _slices(run, done) + _layers(run, done)
    shown += _domains(run, done) + _training(run, done)
    return [*shown, *_accepted(run, done), _table(run, done)] if done else shown


def _artifacts(run: Run, arm: str, name: str) -> list[Any]:
    return [run.trial(arm, seed).artifact(name) for seed in run.seeds if run.trial(arm, seed).has(name)]


def _from_log(line: Line) -> Line:
    """A line of log10 values as values: mean and band become geometric ones."""

    def raised(values: Sequence[float] | None) -> list[float] | None:
        return None if values is None else [10**value for value in values]

    return Line(line.label, line.x, raised(line.y) or [], raised(line.low), raised(line.high), line.arm)


def _errors(run: Run, arm: str, label: str, kind: str, which: str) -> Line:
    """Relative error over steps; step 0 is shown at 0.5, because the axis is logarithmic."""
    curves = list[list[tuple[float, float]]]()
    for found in _artifacts(run, arm, "curves"):
        values = [_number(value) for value in found[kind][which]]
        curves.append(list(zip([max(float(step), 0.5) for step in found[kind]["steps"]], values, strict=True)))
    return _from_log(mean_line(curves, label, arm))


def _adapting(run: Run, done: Sequence[str], arms: Mapping[str, str], name: str, setting: str) -> list[Exhibit]:
    lines = [_errors(run, arm, label, "many", "query") for arm, label in arms.items() if arm in done]
    if not lines:
        return []
    held_out = run.base_config["potential"] or run.base_config["held_out"]
    return [
        Lines(
            name,
            f"Error of the field while adapting to {held_out}, {setting}, {n_seeds(run)}",
            "steps of gradient descent (0 is drawn at 0.5)",
            "relative error of the field",
            [line for line in lines if line.x],
            log_x=True,
            caption=f"On {run.base_config['shots']} points of an orbit; error on other points, median over tasks. "
            "Each start has, for each number of steps, the learning rate that was best on other tasks of this system. "
            "Lines are geometric means over seeds, bands 95 % t intervals of the logarithm.",
            marks=(Mark("y", 1.0, "as wrong as no motion"),),
        )
    ]


def _rates(run: Run, done: Sequence[str]) -> list[Exhibit]:
    """Error against the learning rate of adaptation: is each start judged at its best?"""
    shown = list[Exhibit]()
    for step in (5, 100):
        lines = list[Line]()
        for arm, label in STARTS.items():
            found = _artifacts(run, arm, "rates") if arm in done else []
            curves = [
                # Where descent diverges the error has no bound: 10 stands for all of it.
                [(rate, math.log10(min(10.0, _number(value, math.inf)))) for rate, value in zip(
                    one["rates"], one["error"][str(step)], strict=True
                )]
                for one in found
                if str(step) in one["error"]
            ]  # fmt: skip
            if curves:
                lines.append(_from_log(mean_line(curves, label, arm)))
        if lines:
            shown.append(
                Lines(
                    f"rates-{step}",
                    f"Error after {step} steps against their learning rate, {n_seeds(run)}",
                    "learning rate of adaptation",
                    "relative error of the field",
                    lines,
                    log_x=True,
                    log_y=True,
                    caption="On the validation tasks, median over tasks, cut at 10; geometric mean and 95 % t interval "
                    "over seeds. Each start adapts to the test tasks with its own best rate: none of them may lie at "
                    "the edge.",
                )
            )
    return shown


def _shots(run: Run, done: Sequence[str]) -> list[Exhibit]:
    """After the same steps: many points, few points, and another orbit."""
    many, few = (f"{run.base_config[name]} points" for name in ("shots", "few_shots"))
    series = [
        (f"{prefix}log_error_{step}", f"{step} steps, {what}")
        for step in (5, 20)
        for prefix, what in (("", many), ("few_", few), ("other_", "other energy"))
    ]
    arms = [arm for arm in STARTS if arm in done]
    kept = (
        [(name, text) for name, text in series if all(map(math.isfinite, measured(run, arms[0], name)))] if arms else []
    )
    if not kept:
        return []
    return [
        Bars(
            "shots",
            f"log10 of the relative error: fewer points, another energy, {n_seeds(run)}",
            "log10 relative error (lower is better)",
            [text for _, text in kept],
            [bars_of(STARTS[arm], [spread(measured(run, arm, name)) for name, _ in kept], arm) for arm in arms],
            caption="Lower is better; 0 is as wrong as no motion at all, -1 an error of 10 %. Points of one orbit are "
            "alike, so the same law is also judged on an orbit of another energy.",
        )
    ]


def _held_out(run: Run, done: Sequence[str]) -> list[Exhibit]:
    groups = [(suffix, text) for suffix, text in HELD_OUT.items() if all(arm + suffix in done for arm in STARTS)]
    if len(groups) < 2:
        return []
    return [
        Bars(
            "held-out",
            f"Each system held out in turn, after 5 steps on {run.base_config['shots']} points, {n_seeds(run)}",
            "log10 relative error (lower is better)",
            [text for _, text in groups],
            [
                bars_of(label, [spread(measured(run, arm + suffix, "log_error_5")) for suffix, _ in groups], arm)
                for arm, label in STARTS.items()
            ],
            caption="Lower is better. Training takes the other three.",
        )
    ]


def _methods(run: Run, done: Sequence[str]) -> list[Exhibit]:
    arms = [arm for arm in METHODS if arm in done]
    steps = [step for step in (5, 100) if arms and math.isfinite(measured(run, arms[0], f"log_error_{step}")[0])]
    if len(arms) < 2 or not steps:
        return []
    return [
        Bars(
            "methods",
            f"Every start on the held-out system, {n_seeds(run)}",
            "log10 relative error (lower is better)",
            [METHODS[arm] for arm in arms],
            [
                bars_of(f"{step} steps", [spread(measured(run, arm, f"log_error_{step}")) for arm in arms])
                for step in steps
            ],
            caption="Lower is better. Every start has the learning rate that suits it best.",
        )
    ]


def _energies(run: Run, done: Sequence[str]) -> list[Exhibit]:
    lines = list[Line]()
    for arm in DRAWN:
        if arm not in done:
            continue
        curves = [
            [
                (time, math.log10(max(1e-6, min(1e3, math.inf if value is None else value))))
                for time, value in zip(found["times"], found["energy"], strict=True)
                if time > 0
            ]
            for found in _artifacts(run, arm, "orbits")
        ]
        line = _from_log(mean_line(curves, METHODS[arm] if arm != "meta" else "MAML, Hamiltonian", arm))
        lines.append(Line(line.label, line.x, line.y, arm=arm))
    if not lines:
        return []
    span = run.base_config["duration"]
    return [
        Lines(
            "energy",
            f"True energy along predicted orbits, {n_seeds(run)}",
            "time",
            "relative deviation",
            lines,
            log_y=True,
            caption=f"|H(t) / H(0) - 1| with the true H, median over orbits, geometric mean over seeds, cut at 1000; "
            f"training saw times up to {span}. Fields of an energy are integrated by leapfrog, the other by "
            "Runge-Kutta of order 4, both with the same step.",
        )
    ]


def _portraits(run: Run, done: Sequence[str]) -> list[Exhibit]:
    """One orbit in its phase plane: the true one, and what each start predicts after some steps."""
    shown = list[Exhibit]()
    arms = [arm for arm in DRAWN[:3] if arm in done]
    if not arms:
        return []
    first = _artifacts(run, arms[0], "orbits")[0]
    steps = sorted(int(key.removeprefix("after_")) for key in first if key.startswith("after_"))
    for step in steps[:3]:
        series = [ScatterSeries("true orbit", *_columns(first["true"], every=2), arm=TRUTH)]
        reach = 2 * max(abs(value) for row in first["true"] for value in row)
        for arm in arms:
            found = _artifacts(run, arm, "orbits")[0][f"after_{step}"]
            inside = [row for row in found if all(value is not None and abs(value) < reach for value in row)]
            series.append(ScatterSeries(STARTS[arm], *_columns(inside, every=2), arm=arm))
        shown.append(
            Scatter(
                f"portrait-{step}",
                f"One orbit of the held-out system, after {step} steps of adaptation",
                "position x",
                "momentum p",
                series,
                caption="From a new initial state, at another energy than the points that were adapted to. What leaves "
                "the picture is not drawn.",
            )
        )
    return shown


def _columns(rows: Sequence[Sequence[float]], every: int) -> tuple[list[float], list[float]]:
    return [row[0] for row in rows[::every]], [row[1] for row in rows[::every]]


def _slices(run: Run, done: Sequence[str]) -> list[Exhibit]:
    """Learnt energy beside the true one, along two lines through phase space."""
    arms = [arm for arm in STARTS if arm in done and _artifacts(run, arm, "slices")]
    if not arms:
        return []
    shown = list[Exhibit]()
    for axis, text in (("x", "position x"), ("p", "momentum p")):
        first = _artifacts(run, arms[0], "slices")[0][axis]
        lines = [Line("true energy", first["at"], first["true"], arm=TRUTH)]
        for arm in arms:
            found = _artifacts(run, arm, "slices")[0][axis]
            lines.append(Line(STARTS[arm], found["at"], found["learnt"], arm=arm))
        shown.append(
            Lines(
                f"energy-along-{axis}",
                f"Learnt and true energy along the {text}",
                text,
                "energy",
                lines,
                caption="First test task, after the last step of adaptation, all other coordinates zero. An energy has "
                "no zero of its own, so each learnt one is shifted to fit.",
            )
        )
    return shown


def _layers(run: Run, done: Sequence[str]) -> list[Exhibit]:
    arms = [arm for arm in ("meta", "pretrained", "scratch", "mismatched", "oracle") if arm in done]
    rows = {arm: [found["cka"] for found in _artifacts(run, arm, "layers")] for arm in arms}
    rows = {arm: found for arm, found in rows.items() if found}
    if not rows:
        return []
    n = len(next(iter(rows.values()))[0])
    return [
        Bars(
            "layers",
            f"How much of each layer stays while adapting, {n_seeds(run)}",
            "linear CKA, before and after",
            LAYERS[:n],
            [
                bars_of(METHODS[arm], [spread([_number(row[layer]) for row in found]) for layer in range(n)], arm)
                for arm, found in rows.items()
            ],
            y_range=(0, 1.05),
            caption="1 is unchanged up to rotation and scale. Reported as it is: no claim is attached to it.",
        )
    ]


def _number(value: float | None, missing: float = math.nan) -> float:
    return missing if value is None else float(value)


def _domains(run: Run, done: Sequence[str]) -> list[Exhibit]:
    shown = list[Exhibit]()
    for arm in ("meta", "pretrained"):
        found = _artifacts(run, arm, "domains") if arm in done else []
        if not found:
            continue
        names = found[0]["systems"]
        n = len(names)
        means = [
            [sum(1 - _number(one["cka"][row][column]) for one in found) / len(found) for column in range(n)]
            for row in range(n)
        ]
        shown.append(
            Heatmap(
                f"domains-{arm}",
                f"Last layer of networks adapted to different systems: {METHODS[arm]}, {n_seeds(run)}",
                "adapted to",
                "adapted to",
                names,
                names,
                means,
                "1 - linear CKA",
                value_range=(0, max([1e-6, *(value for row in means for value in row if value == value)])),
                caption="How unlike the features are: pairs of tasks, on the same states of all systems, after the "
                "inner loop; on the diagonal two tasks of one system. Reported as it is, no claim is attached.",
            )
        )
    return shown


def _training(run: Run, done: Sequence[str]) -> list[Exhibit]:
    arms = [arm for arm in METHODS if arm in done and arm not in ("one_system", "two_systems", "oracle")]
    lines = [line for arm in arms if (line := curve_line(run, "loss", arm, METHODS[arm])).x]
    if not lines:
        return []
    return [
        Lines(
            "training",
            f"Loss in training, {n_seeds(run)}",
            "outer iterations",
            "mean squared error of the field",
            [Line(line.label, line.x, line.y, arm=line.arm) for line in lines],
            log_y=True,
            caption="On the query points after adaptation; for joint pre-training without any, so it is no rival here. "
            "Mean over seeds.",
        )
    ]


def _accepted(run: Run, done: Sequence[str]) -> list[Exhibit]:
    """Initial states that were drawn for the orbits, and those whose orbit stayed bounded."""
    drawn: dict[tuple[str, int], list[int]] = {}
    for arm in done:
        for seed in run.seeds:
            trial = run.trial(arm, seed)
            for system, counts in trial.artifact("accepted").items() if trial.has("accepted") else ():
                drawn.setdefault((system, seed), counts)  # arms share their orbits
    totals = {
        name: [sum(column) for column in zip(*(c for (system, _), c in drawn.items() if system == name), strict=True)]
        for name in dict.fromkeys(system for system, _ in drawn)
    }
    if not totals:
        return []
    return [
        Table(
            "accepted",
            f"Orbits that stayed bounded, {n_seeds(run)}",
            ("system", "orbits", "initial states drawn", "share kept"),
            [[name, kept, tried, kept / tried] for name, (kept, tried) in totals.items()],
            "An orbit that leaves the region of its system is thrown away and another initial state is drawn.",
        )
    ]


def _table(run: Run, done: Sequence[str]) -> Exhibit:
    columns = (
        "log_error_0",
        "log_error_5",
        "log_error_100",
        "rate_5",
        "rate_100",
        "log_energy_drift",
        "trajectory_error",
    )
    rows = [[arm, *(spread(measured(run, arm, name)).mean for name in columns)] for arm in done]
    return Table(
        "arms",
        f"All arms, mean over seeds, {n_seeds(run)}",
        ("arm", *columns),
        rows,
        "Errors are log10 of relative errors: -1 is 10 %.",
    )

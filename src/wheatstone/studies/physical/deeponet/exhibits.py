"""What the report of `deeponet` shows: a pure function of the run directory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from wheatstone.bench.errors import UserError
from wheatstone.bench.exhibit import Bars, Cell, Exhibit, Line, Lines, Table, curve_line
from wheatstone.bench.over_seeds import bars_of, finished_arms, measured, n_seeds, spread
from wheatstone.bench.run import Run

CURVED = ("deeponet", "ensemble", "stacked", "normalised", "cosine", "own")
SWEPT = ("functions", "functions_fnn", "labels")
PREDICTED = ("deeponet", "ensemble", "swinging", "spice", "clipping_deeponet", "clipping_fno", "clipping_bars", "own")
GRIDS = ("fnn", "pendulum_fnn", "spice_fnn", "own_fnn")
BARS = {
    "spread": "spread",
    "spread_shorter": "spread, half the length",
    "spread_error_correlation": "rank correlation with the error",
    "coverage": "points within 2 spreads",
    "bar_coverage": "points within 90 % bars",
    "bar_coverage_shorter": "the same, half the length",
    "band_coverage": "outputs within the 90 % band",
    "bar_width": "half-width of the bars",
}
"""Measures of error bars and their columns."""
OTHERS = {"log10_shorter_mse": "half the length", "log10_test_mse": "as trained", "log10_longer_mse": "2.5 times",
          "log10_named_mse": "x, sines"}  # fmt: skip


def exhibits(run: Run) -> Sequence[Exhibit]:
    """Figures and tables of a run, of whatever arms it has."""
    arms = finished_arms(run)
    return [*_scores(run, arms), *_training(run, arms), *_sweeps(run, arms), *_sensors(run, arms),
            *_other_functions(run, arms), *_predictions(run, arms), *_basis(run, arms), *_grids(run, arms)]  # fmt: skip


def _scores(run: Run, arms: Sequence[str]) -> Iterator[Exhibit]:
    columns = ("train_mse", "test_mse", "test_mse_trimmed", "generalisation_ratio", "relative_l2", "r2", "nonlinearity")
    rows: list[list[Cell]] = []
    for arm in arms:
        if math.isfinite(spread(measured(run, arm, "order")).mean):
            continue
        means = [spread(measured(run, arm, name)) for name in (*columns, "parameters")]
        rows.append([arm, *(_rounded(one.mean) for one in means)])
    if rows:
        yield Table(
            "scores",
            f"Every method: means over {n_seeds(run)}",
            ("arm", "train MSE", "test MSE", "without the worst 0.1 %", "test / train", "relative L2", "R²",
             "non-additivity", "parameters"),
            rows,
            "Test functions are in no training triple. Methods 'pod' see 100 labels of each training function and are "
            "judged on these; the others see the triples. R² is against predicting the mean of all test labels. "
            "Relative L2 is a mean over functions, and says nothing where an output is nearly zero: take √(1 - R²).",
        )  # fmt: skip


def _training(run: Run, arms: Sequence[str]) -> Iterator[Exhibit]:
    lines: list[Line] = []
    for arm in [arm for arm in arms if arm in CURVED][:1]:
        lines += [
            curve_line(run, "test_mse", arm, f"{arm}, test"),
            curve_line(run, "train_mse", arm, f"{arm}, training"),
        ]
    for arm in [arm for arm in arms if arm in ("fnn", "own_fnn")]:
        width, rate = (_most(measured(run, arm, name)) for name in ("best_width", "best_rate"))
        name = f"{width:g}@{rate:g}"
        lines += [
            curve_line(run, f"{name}_test_mse", arm, f"{arm} {name}, test"),
            curve_line(run, f"{name}_train_mse", arm, f"{arm} {name}, training"),
        ]
    # The intervals of errors that differ by decades reach below zero, where a logarithm has no place for them.
    lines = [Line(line.label, line.x, line.y, arm=line.arm) for line in lines if line.x]
    if lines:
        yield Lines(
            "training",
            f"Error while training (mean, {n_seeds(run)})",
            "optimiser steps",
            "mean squared error (log)",
            lines,
            log_y=True,
            caption="Of the fully connected networks the one that is best in most seeds: width@rate.",
        )


def _sweeps(run: Run, arms: Sequence[str]) -> Iterator[Exhibit]:
    chosen = [arm for arm in SWEPT if arm in arms]
    lines = [_sweep_line(run, arm, f"{arm}: order {_order(run, arm)}") for arm in chosen]
    if lines:
        yield Lines(
            "convergence",
            f"Test error and training data ({n_seeds(run)}, 95 % interval)",
            "triples",
            "test mean squared error (log)",
            lines,
            log_x=True,
            log_y=True,
            caption="functions: each triple is another function. labels: the triples are labels of 100 functions. The "
            "order is the exponent of a power law through the points, with its 95 % t interval over seeds.",
        )


def _sensors(run: Run, arms: Sequence[str]) -> Iterator[Exhibit]:
    if "sensors" not in arms:
        return
    line = _sweep_line(run, "sensors", f"sensors: order {_order(run, 'sensors')}")
    theory = Line("m⁻⁴: bound on the squared error", line.x, [line.y[0] * (line.x[0] / x) ** 4 for x in line.x])
    yield Lines(
        "sensors",
        f"Test error and number of sensors ({n_seeds(run)}, 95 % interval)",
        "sensors m",
        "test mean squared error (log)",
        [line, theory],
        log_x=True,
        log_y=True,
        y_range=(min(v for v in (*line.y, *(line.low or ())) if v > 0) / 3, max(line.y) * 3),
        caption="Piecewise linear reconstruction from m sensors has an error of order 1/m² (section 3 of the paper); "
        "its square is the line m⁻⁴. Where the curve is flat, training and data limit it, not the sensors.",
    )


def _other_functions(run: Run, arms: Sequence[str]) -> Iterator[Exhibit]:
    shown = [arm for arm in arms if arm in ("deeponet", "fnn", "linear", "ensemble", "own", "own_fnn", "own_linear")]
    names = [name for name in OTHERS if any(math.isfinite(spread(measured(run, arm, name)).mean) for arm in shown)]
    if len(names) > 1:
        yield Bars(
            "other-functions",
            f"Functions of another kind ({n_seeds(run)}, 95 % interval)",
            "log10 of mean squared error (lower is better)",
            [OTHERS[name] for name in names],
            [bars_of(arm, [spread(measured(run, arm, name)) for name in names], arm) for arm in shown],
            caption="Correlation length of the inputs, over that of training; and x, sin(πx), sin(2πx), x sin(2πx).",
        )
    arms = [
        arm
        for arm in arms
        if arm in ("ensemble", "clipping_bars", "own") and math.isfinite(spread(measured(run, arm, "spread")).mean)
    ]
    if arms:
        rows = [[arm, *(_rounded(spread(measured(run, arm, name)).mean) for name in BARS)] for arm in arms]
        yield Table(
            "error-bars",
            f"What error bars are worth (means over {n_seeds(run)})",
            ("arm", *BARS.values()),
            rows,
            "Members share data and differ in their start, so the spread knows nothing of an error that all share. "
            "Bars whose size is set by functions kept apart hold what they promise, and promise nothing of functions "
            "of another kind.",
        )


def _predictions(run: Run, arms: Sequence[str]) -> Iterator[Exhibit]:
    seed = run.seeds[0]
    for arm in [arm for arm in PREDICTED if arm in arms]:
        shown = _artifact(run, arm, seed, "predictions")
        curves = (shown or {}).get("curves", [])
        if not curves:
            continue
        lines: list[Line] = []
        for curve in _chosen(curves):
            bar = curve.get("bar") or [2 * value for value in curve["spread"] or ()]
            low = [p - b for p, b in zip(curve["predicted"], bar, strict=True)] if bar else None
            high = [p + b for p, b in zip(curve["predicted"], bar, strict=True)] if bar else None
            lines.append(Line(f"{curve['name']}: solver", curve["y"], curve["true"]))
            lines.append(Line(f"{curve['name']}: {arm}", curve["y"], curve["predicted"], low, high))
        yield Lines(
            f"predictions-{arm.replace('_', '-')}",
            f"Outputs of test functions: solver and {arm}, seed {seed}",
            shown["axis"],
            "output",
            lines,
            caption="The worst of all test functions is among them." + _bands(curves),
        )
    drives = _artifact(run, "spice", seed, "predictions") if "spice" in arms else None
    if drives and drives["curves"]:
        curve = drives["curves"][0]
        yield Lines(
            "spice-drive",
            f"Diode clipper: drive and output of the {curve['name']}, seed {seed}",
            drives["axis"],
            "volts",
            [
                Line("drive at V1", curve["sensors"], curve["input"]),
                Line("v(out), ngspice", curve["y"], curve["true"]),
                Line("v(out), DeepONet", curve["y"], curve["predicted"], arm="spice"),
            ],
        )


def _bands(curves: Sequence[dict[str, Any]]) -> str:
    if any(curve.get("bar") for curve in curves):
        return " Bands: calibrated error bars, which hold 90 % of an output's points in expectation."
    return " Bands: two standard deviations of the members." if any(curve["spread"] for curve in curves) else ""


def _basis(run: Run, arms: Sequence[str]) -> Iterator[Exhibit]:
    seed = run.seeds[0]
    for arm in [arm for arm in ("deeponet", "own") if arm in arms]:
        basis = _artifact(run, arm, seed, "basis")
        if basis:
            yield Lines(
                f"basis-{arm}",
                f"Trunk functions that carry most of the output, seed {seed}",
                "place",
                "t_k(y)",
                [
                    Line(f"{at}: {share:.1%} of the output", basis["y"], values)
                    for at, (values, share) in enumerate(zip(basis["functions"], basis["share"], strict=True), start=1)
                ],
                caption="Share: root mean square of b_k t_k over test functions and places, over the sum for all k.",
            )


def _grids(run: Run, arms: Sequence[str]) -> Iterator[Exhibit]:
    rows: list[list[Cell]] = []
    for arm in [arm for arm in GRIDS if arm in arms]:
        grids = [_artifact(run, arm, seed, "grid") or [] for seed in run.seeds]
        for cells in zip(*grids, strict=True):
            means = [
                math.exp(sum(math.log(max(cell[key], 1e-300)) for cell in cells) / len(cells))
                for key in ("train", "test")
            ]
            rows.append(
                [arm, cells[0]["width"], cells[0]["rate"], *map(_rounded, means), _rounded(means[1] / means[0])]
            )
    if rows:
        yield Table(
            "grid",
            f"Every fully connected network of the grids (geometric means over {n_seeds(run)})",
            ("arm", "width", "rate", "train MSE", "test MSE", "test / train"),
            rows,
            "Same triples, same steps. The one with the least test error of each seed stands in the claims.",
        )


def _sweep_line(run: Run, arm: str, label: str) -> Line:
    """Geometric mean over seeds with its interval."""
    sweeps = [_artifact(run, arm, seed, "sweep") or [] for seed in run.seeds]
    spreads = [spread([math.log(max(row["test"], 1e-300)) for row in rows]) for rows in zip(*sweeps, strict=True)]
    return Line(
        label,
        [row["size"] for row in sweeps[0]],
        [math.exp(one.mean) for one in spreads],
        [math.exp(one.low) for one in spreads],
        [math.exp(one.high) for one in spreads],
        arm,
    )


def _order(run: Run, arm: str) -> str:
    found = spread(measured(run, arm, "order"))
    ends = f" [{found.low:.2f}, {found.high:.2f}]" if math.isfinite(found.low) else ""
    return f"{found.mean:.2f}{ends}"


def _chosen(curves: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Three curves, so that a figure can be read: the worst, a usual one, and one with a formula."""
    names = ("worst test function", "median test function", "x sin(2 pi x)")
    return [curve for name in names for curve in curves if curve["name"] == name]


def _artifact(run: Run, arm: str, seed: int, name: str) -> Any:
    try:
        return run.trial(arm, seed).artifact(name)
    except (UserError, FileNotFoundError, KeyError):
        return None


def _most(values: Sequence[float]) -> float:
    return max(values, key=lambda value: (values.count(value), value)) if values else math.nan


def _rounded(value: float) -> Cell:
    return float(f"{value:.4g}") if math.isfinite(value) else None

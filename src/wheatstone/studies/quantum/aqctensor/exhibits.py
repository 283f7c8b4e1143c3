"""Figures and tables of a run: fidelity against depth, against length, while fitting, later on, and under noise."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from wheatstone.bench.exhibit import (
    Bars,
    BarSeries,
    Circuit,
    CircuitEdge,
    CircuitNode,
    Exhibit,
    Heatmap,
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

FITTED = {
    "compiled": "all angles, Trotter start",
    "swept": "one block at a time",
    "perturbed": "start with noise",
    "perturbed_surrogate": "start with noise, surrogate",
    "random_start": "random start",
    "staircase_refined": "staircases, all angles",
}
SCANNED = {"compiled": "compiled circuit", "trotter": "Trotter circuit"}
GENERIC = {
    "staircase": "six staircases",
    "staircase_refined": "six staircases, all angles fitted",
    "staircase_deep": "38 staircases",
}
SIZED = {"compiled": ("compiled", "compiled_50", "compiled_100"), "Trotter": ("trotter", "trotter_50", "trotter_100")}
SLOPES = {"slopes_random": "random angles", "slopes_trotter": "Trotter start"}
NOISY = {"compiled_noisy": "compiled", "trotter_noisy": "Trotter"}
ABLATED = (
    "compiled",
    "shared_ends",
    "swept",
    "perturbed",
    "perturbed_surrogate",
    "random_start",
    "cutoff_1e_4",
    "cutoff_1e_6",
    "cutoff_1e_12",
    "time_4",
    "staircase",
    "staircase_refined",
    "staircase_deep",
)
SHOWN_QUBITS = 8
"""Qubits of the drawn circuit: the pattern repeats."""
DIGITS = 6


def exhibits(run: Run) -> Sequence[Exhibit]:
    """All exhibits whose arms the run has finished."""
    done = [arm for arm in run.arms if all(run.trial(arm, seed).is_finished for seed in run.seeds)]
    shown: list[Exhibit] = _depths(run, done) + _sizes(run, done) + _fits(run, done) + _slopes(run, done)
    shown += _later(run, done) + _noise(run, done) + _tables(run, done) + _bonds(run, done) + _drawing(run, done)
    return shown


def _depths(run: Run, done: Sequence[str]) -> list[Exhibit]:
    """Infidelity against CX depth: the methods' scans and the generic circuits."""
    found: dict[str, list[tuple[float, float]]] = {}
    for arm, label in SCANNED.items():
        if arm in done:
            rows = [row for seed in run.seeds for row in run.trial(arm, seed).artifact("scan")]
            found[label] = [(row["depth"], row["fidelity"]) for row in rows] + _reached(run, arm)
    found |= {label: _reached(run, arm) for arm, label in GENERIC.items() if arm in done}
    points = [
        ScatterSeries(label, [depth for depth, _ in pairs], [1 - fidelity for _, fidelity in pairs])
        for label, pairs in found.items()
    ]
    if not points:
        return []
    n = run.base_config["n"]
    return [
        Scatter(
            "depth",
            f"Infidelity against CX depth, {n} qubits, {_seeds(run)}",
            "CX depth after the same transpilation",
            "1 - fidelity",
            points,
            log_x=True,
            log_y=True,
            caption="Every method prepares the same state. Compiled and Trotter circuits are scanned from one Trotter "
            "step upwards until fidelity 0.99, and shown at the depths that the claims compare. Lower left is better.",
            marks=(Mark("y", 0.01, "fidelity 0.99"),),
        )
    ]


def _sizes(run: Run, done: Sequence[str]) -> list[Exhibit]:
    """Depth for fidelity 0.99 and fidelity at fixed depth, against the number of qubits."""
    depth, quality = list[Line](), list[Line]()
    for label, arms in SIZED.items():
        present = [arm for arm in arms if arm in done]
        sizes = [float(run.trial(arm, run.seeds[0]).values["n"] or 0) for arm in present]
        if len(sizes) > 1:
            depth.append(_over(run, present, sizes, "depth_99", label))
            quality.append(_over(run, present, sizes, "infidelity_per_site", label))
    if not depth:
        return []
    return [
        Lines(
            "depth-by-qubits",
            f"CX depth for fidelity 0.99 against the number of qubits, {_seeds(run)}",
            "qubits",
            "CX depth",
            depth,
            y_range=(0, 1.1 * max(max(line.y) for line in depth)),
            caption="The fidelity of the whole state is asked for, so longer chains need a smaller error a site.",
        ),
        Lines(
            "error-by-qubits",
            f"Error per site at fixed depth against the number of qubits, {_seeds(run)}",
            "qubits",
            "1 - fidelity^(1/n)",
            quality,
            log_y=True,
            caption="Compiled at CX depth 27, Trotter at 39. A level line is a depth that serves any length.",
        ),
    ]


def _fits(run: Run, done: Sequence[str]) -> list[Exhibit]:
    lines: list[Line] = []
    for arm, label in FITTED.items():
        if arm in done:
            line = curve_line(run, "fidelity", arm, label)
            if line.x:
                lines.append(line)
    if not lines:
        return []
    return [
        Lines(
            "fit",
            f"Fidelity while fitting, {run.base_config['n']} qubits, {_seeds(run)}",
            "evaluations of the objective, or half sweeps",
            "fidelity",
            lines,
            y_range=(0, 1.02),
            caption="Lines are means over seeds, bands 95 % t intervals.",
        ),
        Lines(
            "fit-close",
            f"Infidelity while fitting, {run.base_config['n']} qubits, {_seeds(run)}",
            "evaluations of the objective, or half sweeps",
            "1 - fidelity",
            [_complement(line) for line in lines],
            log_y=True,
            caption="The same on a logarithmic axis; bands are left out.",
        ),
    ]


def _complement(line: Line) -> Line:
    return dataclasses.replace(line, y=[1 - value for value in line.y], low=None, high=None)


def _slopes(run: Run, done: Sequence[str]) -> list[Exhibit]:
    lines: list[Line] = []
    for arm, label in SLOPES.items():
        if arm not in done:
            continue
        curves = [dict(run.trial(arm, seed).curve("gradient")) for seed in run.seeds]
        sizes = sorted(curves[0])
        means = [math.exp(math.fsum(math.log(curve[n]) for curve in curves) / len(curves)) for n in sizes]
        low, high = ([end(curve[n] for curve in curves) for n in sizes] for end in (min, max))
        lines.append(Line(label, sizes, means, low, high, arm))
    if not lines:
        return []
    return [
        Lines(
            "gradients",
            f"Gradient norm of the objective at the start, {_seeds(run)}",
            "qubits",
            "gradient norm",
            lines,
            log_y=True,
            caption="Lines are geometric means over seeds, bands the smallest and largest.",
        )
    ]


def _later(run: Run, done: Sequence[str]) -> list[Exhibit]:
    if "compiled" not in done or not run.trial("compiled", run.seeds[0]).has("later"):
        return []
    seed = run.seeds[0]
    stored: Mapping[str, Any] = run.trial("compiled", seed).artifact("later")
    times = [f"{time:.1f}" for time in stored["time"]]
    qubits = [str(site) for site in range(len(stored["target"][0]))]
    found = [run.trial("compiled", one).artifact("later") for one in run.seeds]
    lines = [
        _spread(label, stored["time"], [one["fidelity"][name] for one in found], arm)
        for name, label, arm in (("compiled", "compiled, then Trotter", "compiled"), ("trotter", "Trotter", "trotter"))
    ]
    shown: list[Exhibit] = [
        Lines(
            "later",
            f"Fidelity at later times, equal CX depth, {_seeds(run)}",
            "time [1 / coupling]",
            "fidelity",
            lines,
            caption="Trotter steps of 0.4 follow the compiled circuit; the other one is Trotter throughout, as deep.",
        ),
        Heatmap(
            "profile",
            f"Magnetisation of the target over time, seed {seed}",
            "qubit",
            "time",
            qubits,
            times,
            _rounded(stored["target"]),
            "<Z>",
            (-0.6, 0.6),
        ),
    ]
    for name, label in (("compiled", "the compiled circuit"), ("trotter", "Trotter of the same depth")):
        errors = [
            [1000 * (value - exact) for value, exact in zip(row, wanted, strict=True)]
            for row, wanted in zip(stored[name], stored["target"], strict=True)
        ]
        shown.append(
            Heatmap(
                f"profile-error-{name}",
                f"Error of the magnetisation with {label}, seed {seed}",
                "qubit",
                "time",
                qubits,
                times,
                [[round(value, 1) for value in row] for row in errors],
                "error of <Z> [0.001]",
                (-20, 20),
            )
        )
    return shown


def _noise(run: Run, done: Sequence[str]) -> list[Exhibit]:
    arms = [arm for arm in NOISY if arm in done]
    if not arms:
        return []
    return [
        Bars(
            "noise",
            f"Error of <Z> with and without a device's noise, {_seeds(run)}",
            "root mean square error",
            [NOISY[arm] for arm in arms],
            [
                _series(run, arms, "magnetisation_error", "without noise"),
                _series(run, arms, "noisy_error", "with noise"),
            ],
            caption="Eight qubits, gate errors and relaxation of a calibration snapshot, no readout error, no shots.",
        )
    ]


def _tables(run: Run, done: Sequence[str]) -> list[Exhibit]:
    columns = ("arm", "qubits", "CX depth", "CX", "start", "fidelity", "error per site", "evaluations", "work")
    rows: list[tuple[str | float | None, ...]] = []
    for arm in done:
        if arm in SLOPES:
            continue
        means = {name: _mean(run, arm, name) for name in ("cx_depth", "cx_gates", "start_fidelity", "fidelity")}
        means |= {name: _mean(run, arm, name) for name in ("infidelity_per_site", "evaluations", "work_to_reference")}
        values = [value if math.isfinite(value) else None for value in means.values()]
        rows.append((arm, run.trial(arm, run.seeds[0]).values["n"], *values))
    checks: list[tuple[str | float | None, ...]] = []
    for arm in done:
        if arm not in SLOPES:
            names = ("engine_gap", "optimiser_gap", "target_error", "target_discarded", "target_bond")
            values = [_largest(run, arm, name) for name in names]
            checks.append((arm, *(value if math.isfinite(value) else None for value in values)))
    if not rows:
        return []
    return [
        Table(
            "arms",
            f"What every arm reached, mean over {_seeds(run)}",
            columns,
            rows,
            "Fidelity is Aer's (above 20 qubits quimb's) of the exported circuit. Work: layers applied to a state "
            "until the fidelity was that of the reference Trotter circuit; empty if it never was.",
        ),
        Table(
            "checks",
            "Largest difference to other libraries, to what the optimiser saw, and of the target to the exact state",
            ("arm", "other library", "optimiser", "target", "truncated weight", "bond dimension"),
            checks,
            "Target: against the exact state up to 12 qubits, against order 4 Trotter above.",
        ),
    ]


def _bonds(run: Run, done: Sequence[str]) -> list[Exhibit]:
    arms = [arm for arm in ("compiled", "compiled_100", "time_4") if arm in done]
    lines = [
        Line(
            f"{arm}, {run.trial(arm, run.seeds[0]).values['n']} qubits",
            range(1, len(entropy) + 1),
            [round(value, DIGITS) for value in entropy],
            arm=arm,
        )
        for arm in arms
        for entropy in [run.trial(arm, run.seeds[0]).artifact("bonds")["entropy"]]
    ]
    if not lines:
        return []
    return [
        Lines(
            "entropy",
            f"Entanglement entropy of the target at each cut, seed {run.seeds[0]}",
            "cut after qubit",
            "entropy [bits]",
            lines,
            caption="It does not grow with the number of qubits, which is why a matrix product state holds it.",
        )
    ]


def _drawing(run: Run, done: Sequence[str]) -> list[Exhibit]:
    """The blocks of the compiled circuit on its first qubits."""
    if "compiled" not in done:
        return []
    blocks = [
        block for block in run.trial("compiled", run.seeds[0]).artifact("blocks") if block["left"] + 1 < SHOWN_QUBITS
    ]
    largest = max((block["core"] for block in blocks), default=1.0) or 1.0
    nodes, edges, last = list[CircuitNode](), list[CircuitEdge](), dict[int, str]()
    for block in blocks:
        left, name = block["left"], f"{block['layer']}-{block['left']}"
        nodes.append(CircuitNode(name, f"{block['core']:.2f}", left + 0.5, block["layer"], block["core"] / largest))
        for qubit in (left, left + 1):
            if qubit in last:
                edges.append(CircuitEdge(last[qubit], name, 0.5))
            last[qubit] = name
    layers = max(block["layer"] for block in blocks) + 1
    return [
        Circuit(
            "circuit",
            f"The compiled circuit's blocks on its first qubits, seed {run.seeds[0]}",
            nodes,
            edges,
            "Time runs upwards; each box is a block of three CX on two qubits, its number the norm of the core's "
            "angles in radians.",
            [f"q{qubit}" for qubit in range(min(SHOWN_QUBITS, max(block["left"] for block in blocks) + 2))],
            [f"layer {layer + 1}" for layer in range(layers)],
        )
    ]


def _reached(run: Run, arm: str) -> list[tuple[float, float]]:
    """(CX depth, fidelity) of each seed."""
    return list(zip(_values(run, arm, "cx_depth"), _values(run, arm, "fidelity"), strict=True))


def _values(run: Run, arm: str, measure: str) -> list[float]:
    return [(run.trial(arm, seed).measures() or {})[measure] for seed in run.seeds]


def _mean(run: Run, arm: str, measure: str) -> float:
    found = _values(run, arm, measure)
    return math.fsum(found) / len(found)


def _largest(run: Run, arm: str, measure: str) -> float:
    return max(_values(run, arm, measure))


def _over(run: Run, arms: Sequence[str], sizes: Sequence[float], measure: str, label: str) -> Line:
    return _spread(label, sizes, list(zip(*(_values(run, arm, measure) for arm in arms), strict=True)), arms[0])


def _spread(label: str, x: Sequence[float], rows: Sequence[Sequence[float]], arm: str) -> Line:
    """Mean over rows (one a seed) at each x, with its t interval."""
    y, low, high = list[float](), list[float](), list[float]()
    for column in zip(*rows, strict=True):
        interval = t_interval(column) if len(column) > 1 else None
        y.append(math.fsum(column) / len(column))
        low.append(interval.low if interval else math.nan)
        high.append(interval.high if interval else math.nan)
    return Line(label, x, y, low, high, arm)


def _series(run: Run, arms: Sequence[str], measure: str, label: str) -> BarSeries:
    spread = [_spread(label, [0.0], [[value] for value in _values(run, arm, measure)], arm) for arm in arms]
    low, high = (
        [(end or [math.nan])[0] for end in ends] for ends in zip(*((s.low, s.high) for s in spread), strict=True)
    )
    return BarSeries(label, [one.y[0] for one in spread], low, high)


def _rounded(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    return [[round(value, 4) for value in row] for row in rows]


def _seeds(run: Run) -> str:
    return f"n = {len(run.seeds)} seed{'' if len(run.seeds) == 1 else 's'}"

"""Figures and tables of a run: gain over evaluations, each circuit, distance and trust, the map, passes, proofs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from wheatstone.bench.exhibit import (
    Bars,
    BarSeries,
    Cell,
    Exhibit,
    Heatmap,
    Lines,
    Mark,
    Note,
    Scatter,
    ScatterSeries,
    Table,
    curve_line,
)
from wheatstone.bench.run import Run
from wheatstone.bench.verdict import t_interval

LABELS = {
    "abc_rl": "ABC-RL",
    "mcts": "tree search",
    "mcts_again": "tree search, other stream",
    "prior_blind": "policy, alpha 1",
    "random": "random",
    "annealing": "annealing",
    "greedy": "greedy",
    "unnormalised": "prior as in the code",
    "shuffled_memory": "shuffled memory",
    "half_alpha": "alpha 1/2",
    "visit_counts": "visit counts",
    "no_recipe": "no recipe encoder",
    "greedy_rollouts": "greedy rollouts",
}
SHOWN = ("abc_rl", "mcts", "prior_blind", "random", "annealing", "shuffled_memory")
"""Arms with a curve: more would hide each other."""
PASSES = ("refactor", "refactor -z", "rewrite", "rewrite -z", "resub", "resub -z", "balance")
SCRIPTS = ("no optimisation", "resyn2", "compress2rs", "dc2")
Row = Mapping[str, Any]


def exhibits(run: Run) -> Sequence[Exhibit]:
    """All exhibits whose arms the run has finished."""
    done = [arm for arm in run.arms if arm in LABELS and all(run.trial(arm, seed).is_finished for seed in run.seeds)]
    if not done:
        return []
    found = {arm: [run.trial(arm, seed).artifact("circuits") for seed in run.seeds] for arm in done}
    shown: list[Exhibit] = [_setting(run, done)]
    shown += [*_curves(run, done), _final(run, done), _speed(run, done), _circuits(done, found), _savings(run, done)]
    guided = [arm for arm in done if found[arm][0][0]["alpha"] is not None]
    if "abc_rl" in guided:
        shown += [_trust(run, found["abc_rl"]), _map(run), _validation(run)]
    shown += [_actions(run, arm, found[arm]) for arm in ("abc_rl", "mcts") if arm in done]
    return [*shown, _recipes(run, done, found)]


def _setting(run: Run, done: Sequence[str]) -> Note:
    setting = run.trial(done[0], run.seeds[0]).artifact("setting")
    return Note(
        "setting",
        "Circuits and library",
        f"Circuits: {setting['circuits']}. Timing library: {setting['library']}, {setting['cells']} usable cells. "
        "Cost is area times delay after map, topo, stime with unsized gates; gain is that of resyn2 over that of the "
        "best recipe so far.",
    )


def _curves(run: Run, done: Sequence[str]) -> list[Exhibit]:
    titles = {"gain": "all test circuits", "near_gain": "near circuits", "far_gain": "far circuits"}
    arms = [arm for arm in SHOWN if arm in done]
    return [
        Lines(
            f"curve-{metric.replace('_', '-')}",
            f"Best gain over resyn2 so far, {where}, {_seeds(run)}",
            "evaluated recipes",
            "area x delay of resyn2 / best",
            [curve_line(run, metric, arm, LABELS[arm]) for arm in arms],
            caption="Geometric means over circuits; lines are means over seeds, bands 95 % t intervals.",
            marks=(Mark("y", 1.0, "resyn2"),),
        )
        for metric, where in titles.items()
    ]


def _final(run: Run, done: Sequence[str]) -> Bars:
    parts = {"near_gain": "near circuits", "far_gain": "far circuits"}
    return Bars(
        "final",
        f"Area x delay saved against resyn2 at the end, {_seeds(run)}",
        "resyn2 / best - 1 [%]",
        [LABELS[arm] for arm in done],
        [_series(run, done, name, label, percent=True) for name, label in parts.items()],
        caption="Geometric means over circuits. Bars are means over seeds, whiskers 95 % t intervals.",
    )


def _speed(run: Run, done: Sequence[str]) -> Bars:
    return Bars(
        "speed",
        f"Evaluations to plain tree search's final result, over its own, {_seeds(run)}",
        "ratio of evaluations",
        [LABELS[arm] for arm in done],
        [
            _ratios(run, done, "near_evaluations", "near circuits"),
            _ratios(run, done, "far_evaluations", "far circuits"),
        ],
        caption="Below 1 is faster. A search that never gets there counts one evaluation more than it had, so plain "
        "search with other random numbers shows what chance does. Geometric means over circuits and seeds, whiskers "
        "95 % t intervals of the logarithms.",
        marks=(Mark("y", 0.8, "claimed, near"),),
    )


def _circuits(done: Sequence[str], found: Mapping[str, Sequence[Sequence[Row]]]) -> Table:
    first = found[done[0]][0]
    rows: list[tuple[Cell, ...]] = []
    for place, circuit in enumerate(first):
        resyn2 = circuit["scripts"]["resyn2"]
        scripts = [round(resyn2 / circuit["scripts"][name], 4) for name in SCRIPTS]
        gains = [_geometric(rows_of[place]["curve"][-1] for rows_of in found[arm]) for arm in done]
        rows.append((circuit["circuit"], circuit["group"], circuit["gates"], *scripts, *gains))
    return Table(
        "circuits",
        "Gain over resyn2 on each circuit: fixed scripts, then searches (geometric mean over seeds)",
        ("circuit", "group", "gates", *SCRIPTS, *(LABELS[arm] for arm in done)),
        rows,
        "Above 1 is better than resyn2. Every search had the same number of evaluations.",
    )


def _savings(run: Run, done: Sequence[str]) -> Table:
    names = ("gain", "gain_over_compress2rs", "gain_over_dc2", "gain_over_nothing", "passes", "proved", "replayed")
    return Table(
        "arms",
        f"Every method against fixed scripts, what it cost, and what was proved, mean over {_seeds(run)}",
        ("method", "resyn2", "compress2rs", "dc2", "nothing", "passes run", "proved", "replayed"),
        [(LABELS[arm], *(_mean(run, arm, name) for name in names)) for arm in done],
        "First four numbers: area x delay of the script over that of the method. Passes: those that ABC ran for one "
        "circuit, repeated ones left out; a full recipe has ten.",
    )


def _trust(run: Run, found: Sequence[Sequence[Row]]) -> Scatter:
    def points(group: str) -> ScatterSeries:
        rows = [row for rows in found for row in rows if row["group"] == group]
        return ScatterSeries(
            f"{group} circuits",
            [row["distance"] for row in rows],
            [row["alpha"] for row in rows],
            [f"{row['circuit']}, nearest {row['nearest']}" for row in rows],
        )

    return Scatter(
        "trust",
        f"Exponent of the policy against the distance to the training circuits, {_seeds(run)}",
        "cosine distance to the nearest training circuit",
        "alpha",
        [points("near"), points("far")],
        y_range=(-0.03, 1.03),
        caption="Each seed has a policy, a threshold and a sharpness of its own, chosen on validation circuits.",
    )


def _map(run: Run) -> Scatter:
    seed = run.seeds[0]
    rows: Sequence[Row] = run.trial("abc_rl", seed).artifact("map")
    kinds = {"training": "training circuits", "near": "near test circuits", "far": "far test circuits"}
    return Scatter(
        "map",
        f"Circuits as the policy's encoder sees them, seed {seed}",
        "first principal component",
        "second principal component",
        [
            ScatterSeries(
                label,
                [row["x"] for row in rows if row["part"] == part],
                [row["y"] for row in rows if row["part"] == part],
                [row["circuit"] for row in rows if row["part"] == part],
            )
            for part, label in kinds.items()
        ],
        caption="Vectors of length 1; components are those of the training circuits.",
    )


def _validation(run: Run) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for seed in run.seeds:
        trial = run.trial("abc_rl", seed)
        threshold, sharpness = trial.artifact("setting")["trust"]
        for row in trial.artifact("validation"):
            gains = [math.exp(value) for value in row["gains"]]
            rows.append((seed, row["circuit"], row["nearest"], row["distance"], *gains, threshold, sharpness))
    return Table(
        "validation",
        "Validation circuits: gain over resyn2 at three exponents, and the trust that follows",
        ("seed", "circuit", "nearest", "distance", "alpha 0", "alpha 1/2", "alpha 1", "d_th", "T"),
        rows,
    )


def _actions(run: Run, arm: str, found: Sequence[Sequence[Row]]) -> Heatmap:
    steps = max(len(row["actions"]) for rows in found for row in rows)
    counts = [[0.0] * steps for _ in PASSES]
    for row in (row for rows in found for row in rows):
        for step, actions in enumerate(row["actions"]):
            for action, count in enumerate(actions):
                counts[action][step] += count
    totals = [math.fsum(row[step] for row in counts) or 1.0 for step in range(steps)]
    shares = [[round(row[step] / totals[step], 3) for step in range(steps)] for row in counts]
    return Heatmap(
        f"passes-{arm.replace('_', '-')}",
        f"Passes of the best tenth of the recipes, {LABELS[arm]}, all circuits, {_seeds(run)}",
        "place in the recipe",
        "pass",
        [str(step + 1) for step in range(steps)],
        PASSES,
        shares,
        "share",
        (0.0, max(0.5, max(map(max, shares)))),
    )


def _recipes(run: Run, done: Sequence[str], found: Mapping[str, Sequence[Sequence[Row]]]) -> Table:
    arm = "abc_rl" if "abc_rl" in done else done[0]
    rows: list[tuple[Cell, ...]] = []
    for row in found[arm][0]:
        recipe = "; ".join(PASSES[action] for action in row["recipe"])
        values = (row["gates"], row["gates_after"], row["area"], row["delay"], row["nearest"], row["alpha"])
        rows.append((row["circuit"], *values, recipe))
    return Table(
        "recipes",
        f"What {LABELS[arm]} found, seed {run.seeds[0]}",
        ("circuit", "gates", "gates after", "area", "delay [ps]", "nearest", "alpha", "recipe"),
        rows,
        "resub stands for resub -K 8; strash follows every pass.",
    )


def _series(run: Run, arms: Sequence[str], measure: str, label: str, *, percent: bool = False) -> BarSeries:
    """Mean over seeds with its interval; `percent` shows a factor as what it exceeds 1 by."""
    mid, low, high = list[float](), list[float](), list[float]()
    for arm in arms:
        values = _values(run, arm, measure)
        values = [100 * (value - 1) for value in values] if percent else values
        interval = t_interval(values) if len(values) > 1 else None
        mid.append(math.fsum(values) / len(values))
        low.append(interval.low if interval else math.nan)
        high.append(interval.high if interval else math.nan)
    return BarSeries(label, mid, low, high)


def _ratios(run: Run, arms: Sequence[str], measure: str, label: str) -> BarSeries:
    """Geometric mean over seeds, with the interval of the logarithms."""
    logs = [[math.log(value) for value in _values(run, arm, measure)] for arm in arms]
    spans = [t_interval(values) if len(values) > 1 else None for values in logs]
    return BarSeries(
        label,
        [math.exp(math.fsum(values) / len(values)) for values in logs],
        [math.exp(span.low) if span else math.nan for span in spans],
        [math.exp(span.high) if span else math.nan for span in spans],
    )


def _values(run: Run, arm: str, measure: str) -> list[float]:
    return [(run.trial(arm, seed).measures() or {})[measure] for seed in run.seeds]


def _mean(run: Run, arm: str, measure: str) -> float:
    found = _values(run, arm, measure)
    return math.fsum(found) / len(found)


def _geometric(values: Any) -> float:
    logs = [math.log(value) for value in values]
    return math.exp(math.fsum(logs) / len(logs))


def _seeds(run: Run) -> str:
    return f"{len(run.seeds)} seed" + ("s" if len(run.seeds) > 1 else "")

"""What a run has logged so far, thinned for a screen: as numbers, and as the plots of a live page."""

from __future__ import annotations

import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

from wheatstone.bench.exhibit import Line, Lines, mean_line
from wheatstone.bench.record import TrialRecord
from wheatstone.bench.run import Run

MOST_POINTS = 400
"""Points of a live curve: more than a screen shows are thinned out."""
MOST_MEAN_POINTS = 150
"""Points of each seed of which a live mean is made, so that a page of five metrics takes tenths of a second."""
MOST_FILES = 256
"""Trials whose metrics are kept between two looks."""
Points = list[tuple[float, float]]
_seen: OrderedDict[Path, tuple[object, dict[str, Points]]] = OrderedDict()


def live_curves(run: Run) -> dict[str, Any]:
    """Metric -> arm -> seed -> [[step, value], ...], thinned for a screen, and the trials that have finished."""
    curves: dict[str, dict[str, dict[str, list[list[float | None]]]]] = {}
    finished: list[str] = []
    for record in run.records():
        if record.is_finished:
            finished.append(f"{record.arm}, seed {record.seed}")
        for name, points in logged(record).items():
            kept = [[step, value if math.isfinite(value) else None] for step, value in thinned(points)]
            curves.setdefault(name, {}).setdefault(record.arm, {})[str(record.seed)] = kept
    return {"arms": list(run.arms), "finished": finished, "curves": curves}


def logged(record: TrialRecord) -> dict[str, Points]:
    """Metric -> its points; a file that has not changed is not read again. Raises UserError for a damaged line."""
    place = record.path / "metrics.jsonl"
    try:
        status = place.stat()
    except OSError:
        return {}
    stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
    if place in _seen and _seen[place][0] == stamp:
        _seen.move_to_end(place)
        return _seen[place][1]
    points: dict[str, Points] = {}
    for line in record.sampled_metrics():
        step = line.pop("step")
        for name, value in line.items():
            points.setdefault(name, []).append((step, value))
    _seen[place] = (stamp, {name: thinned(curve) for name, curve in points.items()})
    while len(_seen) > MOST_FILES:
        _seen.popitem(last=False)
    return _seen[place][1]


def thinned(curve: list[Any], most: int = MOST_POINTS) -> list[Any]:
    """Every n-th point and always the last."""
    stride = max(1, math.ceil(len(curve) / most))
    kept = curve[::stride]
    return kept if not curve or kept[-1] is curve[-1] else [*kept, curve[-1]]


def live_plots(run: Run) -> list[Lines]:
    """A plot for each logged metric, a line for each arm: mean over the seeds with its interval."""
    by_metric: dict[str, dict[str, list[Points]]] = {}
    for record in run.records():
        for name, points in logged(record).items():
            by_metric.setdefault(name, {}).setdefault(record.arm, []).append(thinned(points, MOST_MEAN_POINTS))
    return [
        _plot(f"metric-{place}", name, [mean_line(curves, arm, arm) for arm, curves in by_arm.items()], len(run.seeds))
        for place, (name, by_arm) in enumerate(by_metric.items())
    ]


def compared_plots(first: Run, second: Run, most: int = 12) -> list[Lines]:
    """The metrics that both runs have logged, with the arms of both; those of the second are named so."""
    plots = [{plot.title: plot for plot in live_plots(run)} for run in (first, second)]
    shared = [title for title in plots[0] if title in plots[1]]
    found: list[Lines] = []
    for place, title in enumerate(shared[:most]):
        lines = [
            Line(f"{letter}: {line.label}", line.x, line.y, line.low, line.high, arm=line.arm)
            for letter, plot in zip("AB", (plots[0][title], plots[1][title]), strict=True)
            for line in plot.lines
        ]
        found.append(_plot(f"shared-{place}", title.partition(":")[0], lines, len(first.seeds)))
    return found


def _plot(slug: str, metric: str, lines: list[Line], seeds: int) -> Lines:
    of = "1 seed" if seeds == 1 else f"mean over up to {seeds} seeds, band: 95 % t interval"
    return Lines(slug, f"{metric}: {of}", "step", metric, lines)

"""What a sweep has found: the findings of every point, side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wheatstone.bench.files import plain
from wheatstone.bench.findings import Findings, collect
from wheatstone.bench.report.verdicts import mean
from wheatstone.bench.sweep.grid import Grid, Point
from wheatstone.bench.verdict import Interval

if TYPE_CHECKING:
    from wheatstone.bench.study import JsonScalar, Study
    from wheatstone.bench.sweep.directory import Sweep

FORMAT = 1


@dataclass(frozen=True)
class PointFindings:
    """One point and what its run has found so far."""

    point: Point
    findings: Findings
    """Of finished trials only; claims about the rest are `inconclusive`."""

    def interval(self, arm: str, measure: str) -> Interval | None:
        """Mean over the seeds with its 95 % t interval (NaN ends for one seed); None where no seed has a value."""
        return mean(self.findings.measures.get(arm, {}).get(measure, {}))

    @property
    def trials(self) -> int:
        return len(self.findings.arms) * len(self.findings.seeds)

    @property
    def finished(self) -> int:
        """Trials that have finished."""
        return sum(map(len, self.findings.cost.values()))


@dataclass(frozen=True)
class SweepFindings:
    """What a sweep has found."""

    study: str
    preset: str
    seeds: tuple[int, ...]
    config: Mapping[str, JsonScalar]
    """The config that all points share; the fields of the grid have the preset's values here."""
    overrides: Mapping[str, JsonScalar]
    arms: Mapping[str, Mapping[str, JsonScalar]]
    grid: Grid
    points: tuple[PointFindings, ...]
    """In the order of the grid; only points whose run has begun."""

    @property
    def is_complete(self) -> bool:
        """Whether every trial of every point has finished."""
        return len(self.points) == len(self.grid.points()) and all(one.finished == one.trials for one in self.points)

    @property
    def seconds(self) -> float:
        """Wall time of all trials together."""
        return math.fsum(
            cost.get("seconds") or 0.0
            for one in self.points
            for seeds in one.findings.cost.values()
            for cost in seeds.values()
        )

    def decided(self) -> dict[str, Any]:
        """The JSON form without cost: equal bit for bit however often the sweep was killed."""
        values = self.to_json()
        for point in values["points"]:
            del point["cost"]
        return values

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict; NaN is None, seeds are text where they are keys, a point names its run below points/."""
        return plain(
            {
                "format": FORMAT,
                "study": self.study,
                "preset": self.preset,
                "seeds": self.seeds,
                "config": self.config,
                "overrides": self.overrides,
                "arms": self.arms,
                "grid": self.grid.fields,
                "points": [
                    {
                        "values": one.point.values,
                        "run": one.point.slug,
                        "finished": one.finished,
                        "trials": one.trials,
                        "measures": one.findings.measures,
                        "verdicts": {
                            verdict.claim.name: {
                                "outcome": verdict.outcome,
                                "difference": None if verdict.difference is None else verdict.difference._asdict(),
                                "reason": verdict.reason,
                            }
                            for verdict in one.findings.verdicts
                        },
                        "cost": one.findings.cost,
                    }
                    for one in self.points
                ],
            }
        )


def collect_sweep(sweep: Sweep, study: Study[Any]) -> SweepFindings:
    """What the points have finished so far; a point that was not begun is left out.

    Raises UserError for a damaged point.
    """
    from wheatstone.bench.run import Run

    begun = [point for point in sweep.grid.points() if (sweep.run_path(point) / "run.json").exists()]
    return SweepFindings(
        study=sweep.study_name,
        preset=sweep.preset,
        seeds=sweep.seeds,
        config=sweep.base_config,
        overrides=sweep.overrides,
        arms=sweep.arm_changes,
        grid=sweep.grid,
        points=tuple(PointFindings(point, collect(Run.open(sweep.run_path(point)), study)) for point in begun),
    )


def finished_trials(sweep: Sweep) -> int:
    """How many trials of all points have finished."""
    folders = (sweep.run_path(point) / "arms" for point in sweep.grid.points())
    return sum(
        (folder / arm / f"seed-{seed}" / "measures.json").exists()
        for folder in folders
        for arm in sweep.arms
        for seed in sweep.seeds
    )

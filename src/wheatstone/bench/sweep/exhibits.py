"""The figures of a sweep: each measure over the grid, one curve or one map an arm.

One field of the grid that has several values gives a curve (bars, where its values are no numbers), two give a map with
the mean over seeds in each cell, and each further field repeats the map for each of its values. A measure that is the
same at every point is in the table only.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wheatstone.bench.exhibit import Bars, BarSeries, Cell, Exhibit, Heatmap, Line, Lines, Note, Table
from wheatstone.bench.sweep.grid import is_number, shown
from wheatstone.bench.verdict import Interval

if TYPE_CHECKING:
    from wheatstone.bench.study import JsonScalar, Study
    from wheatstone.bench.sweep.findings import SweepFindings

MOST_FIGURES = 48
"""Figures of one page; the measures that claims speak of come first."""
DECADE = 10.0
BAND = "Mean over seeds; band: 95 % t interval."

Place = tuple["JsonScalar", ...]
"""The values of one point, in the order of the fields that vary."""


def exhibits(found: SweepFindings, study: Study[Any]) -> list[Exhibit]:
    """Every figure, then one table of all points: a pure function of what was found."""
    axes = {name: values for name, values in found.grid.fields.items() if len(values) > 1}
    figures: list[Exhibit] = []
    left_out: list[str] = []
    for measure in in_order_of_claims(study):
        chart = _Chart(found, axes, measure, study.measures[measure])
        drawn = list(chart.figures())
        if len(figures) + len(drawn) > MOST_FIGURES:
            left_out.append(measure)
        else:
            figures += drawn
    if left_out:
        text = f"{', '.join(left_out)}: in the table of all points and in sweep_findings.json."
        figures.append(Note("left-out", f"Not drawn: {len(left_out)} more measures", text))
    return [*_with_own_names(figures), points_table(found, study)]


def _with_own_names(figures: Sequence[Exhibit]) -> Iterator[Exhibit]:
    """The figures, numbered where two names differ only in what a file name cannot hold."""
    taken: set[str] = set()
    for figure in figures:
        names = (figure.name, *(f"{figure.name}-{number}" for number in range(2, len(figures) + 2)))
        name = next(name for name in names if name not in taken)
        taken.add(name)
        yield dataclasses.replace(figure, name=name)


def in_order_of_claims(study: Study[Any]) -> list[str]:
    """The study's measures, first those that its claims speak of."""
    claimed = [name for claim in study.claims for name in (claim.measure, claim.measure_of_control)]
    return [name for name in dict.fromkeys((*claimed, *study.measures)) if name in study.measures]


def points_table(found: SweepFindings, study: Study[Any]) -> Table:
    """A row for each point and arm: every measure that has a value somewhere, as the mean over seeds."""
    names = [
        name
        for name in in_order_of_claims(study)
        if any(one.interval(arm, name) for one in found.points for arm in found.arms)
    ]
    rows: list[list[Cell]] = []
    for one in found.points:
        for arm in found.arms:
            means = [one.interval(arm, name) for name in names]
            settings: list[Cell] = [_cell(value) for value in one.point.values.values()]
            seconds = [cost.get("seconds") or 0.0 for cost in one.findings.cost.get(arm, {}).values()]
            head = [*settings, arm, len(seconds)]
            rows.append([*head, *(each.mid if each else None for each in means), math.fsum(seconds)])
    return Table(
        "all-points",
        f"All {len(found.grid.points())} points: means over seeds",
        columns=[*found.grid.fields, "arm", "seeds", *names, "wall time [s]"],
        rows=rows,
        caption="An empty cell: the measure does not apply to the arm, or no trial has finished. Wall time: the sum "
        "over seeds. Every seed's value is in the report of the point and in sweep_findings.json.",
    )


@dataclass(frozen=True)
class _Chart:
    """One measure over the grid."""

    found: SweepFindings
    axes: Mapping[str, tuple[JsonScalar, ...]]
    measure: str
    meaning: str

    def figures(self) -> Iterator[Exhibit]:
        """What there is to draw of the measure; nothing where it does not vary."""
        values = {arm: self._values(arm) for arm in self.found.arms}
        known = {arm: {at: one for at, one in by_place.items() if one} for arm, by_place in values.items()}
        varying = [arm for arm, by_place in known.items() if len({one.mid for one in by_place.values()}) > 1]
        if not self.axes or not varying:
            return
        if len(self.axes) == 1:
            # An arm that stays the same is what the others are compared with.
            yield self._over_one({arm: by_place for arm, by_place in known.items() if by_place})
            return
        mids = [one.mid for arm in varying for one in known[arm].values()]
        # Shares say so in their meaning: on the whole scale, noise near zero does not look like a phase.
        is_share = "[0, 1]" in self.meaning and min(mids) >= 0 and max(mids) <= 1
        scale = (0.0, 1.0) if is_share else (min(mids), max(mids))
        for arm in varying:
            yield from self._maps(arm, known[arm], scale)

    def _values(self, arm: str) -> dict[Place, Interval | None]:
        return {
            tuple(one.point.values[name] for name in self.axes): one.interval(arm, self.measure)
            for one in self.found.points
        }

    def _over_one(self, known: Mapping[str, Mapping[Place, Interval]]) -> Lines | Bars:
        """The measure over the only field that varies, with every arm."""
        ((field, values),) = self.axes.items()
        name, title = slugged(self.measure), f"{self.measure} over {field}, {self._seeds()}"
        numbers = [float(value) for value in values if isinstance(value, int | float) and is_number(value)]
        if len(numbers) == len(values):
            lines: list[Line] = []
            for arm, by_place in known.items():
                intervals = [by_place.get((value,), _GAP) for value in values]
                low, mid, high = _columns(intervals)
                lines.append(Line(arm, x=numbers, y=mid, low=low, high=high, arm=arm))
            return Lines(
                name,
                title,
                x_title=field,
                y_title=self.measure,
                lines=lines,
                log_x=is_spread(numbers),
                caption=f"{self._meaning()} {BAND}",
            )
        series: list[BarSeries] = []
        for arm, by_place in known.items():
            low, mid, high = _columns([by_place.get((value,), _GAP) for value in values])
            series.append(BarSeries(arm, values=mid, low=low, high=high, arm=arm))
        groups = [f"{field}={shown(value)}" for value in values]
        caption = f"{self._meaning()} {BAND.replace('band', 'line on the bar')}"
        return Bars(name, title, y_title=self.measure, groups=groups, series=series, caption=caption)

    def _maps(self, arm: str, known: Mapping[Place, Interval], scale: tuple[float, float]) -> Iterator[Heatmap]:
        """The measure of an arm over the first two fields, once for each combination of the others."""
        (across, columns), (up, rows), *others = self.axes.items()
        for rest in itertools.product(*(values for _, values in others)):
            fixed = [f"{field}={shown(value)}" for (field, _), value in zip(others, rest, strict=True)]
            yield Heatmap(
                slugged(self.measure, arm, *fixed),
                f"{self.measure} of {', '.join((arm, *fixed))}, {self._seeds()}",
                x_title=across,
                y_title=up,
                x=[shown(column) for column in columns],
                y=[shown(row) for row in rows],
                values=[[known.get((column, row, *rest), _GAP).mid for column in columns] for row in rows],
                value_title=self.measure,
                value_range=scale,
                caption=f"{self._meaning()} Mean over seeds; grey: no value.",
            )

    def _seeds(self) -> str:
        count = len(self.found.seeds)
        return f"n = {count} seed{'' if count == 1 else 's'}"

    def _meaning(self) -> str:
        text = self.meaning.strip().rstrip(".")
        return f"{text[:1].upper()}{text[1:]}."


_GAP = Interval(math.nan, math.nan, math.nan)


def is_spread(values: Sequence[float]) -> bool:
    """Whether the values span more than a decade, all above zero, and so belong on a logarithmic axis."""
    return min(values) > 0 and max(values) > DECADE * min(values)


def slugged(*words: str) -> str:
    """An exhibit's name from names of measures, arms and settings: 'phi=-0.5' becomes 'phi-minus-0p5'."""
    spelled = "-".join(words).lower().replace("=-", "-minus-").replace(".", "p")
    return "-".join(re.findall(r"[a-z0-9]+", spelled)) or "figure"


def _columns(intervals: Sequence[Interval]) -> tuple[list[float], list[float], list[float]]:
    low, mid, high = zip(*intervals, strict=True)
    return list(low), list(mid), list(high)


def _cell(value: JsonScalar) -> Cell:
    return value if is_number(value) and isinstance(value, int | float) else shown(value)

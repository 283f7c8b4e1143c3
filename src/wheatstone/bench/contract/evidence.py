"""What a run directory holds and what its report shows, as numbers that two runs can be compared by."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from statistics import fmean
from typing import Any, cast

from wheatstone.bench.run import Run

TELLING_DIGITS = 5
"""A number with so many significant digits does not turn up twice by chance, as 0.5 or 100 do."""
NUMBER = re.compile(r"(?<![\w.])-?\d+\.\d+(?:e[-+]?\d+)?")


def is_telling(value: float) -> bool:
    """Whether the number can be recognised where it is shown."""
    digits = repr(abs(value)).partition("e")[0].replace(".", "").strip("0")
    return math.isfinite(value) and len(digits) >= TELLING_DIGITS


def telling_numbers(run: Run) -> set[float]:
    """Every measure and logged value of the run, and their means over seeds, as far as they can be recognised."""
    found: set[float] = set()
    for arm in run.arms:
        records = [run.trial(arm, seed) for seed in run.seeds]
        series: dict[Any, list[float]] = {}
        for record in records:
            for name, value in (record.measures() or {}).items():
                series.setdefault(name, []).append(value)
            for line in record.metrics():
                for name, value in line.items():
                    if name != "step":
                        series.setdefault((name, line["step"]), []).append(value)
        for values in series.values():
            found.update(values)
            found.add(fmean(values))
    return {value for value in found if is_telling(value)}


def artifact_numbers(run: Run) -> set[float]:
    """Every number that a JSON artifact of a trial holds: a measure may well be one entry of a map that is shown."""
    files = (file for record in run.records() for file in sorted((record.path / "artifacts").glob("*.json")))
    return {value for file in files for value in _numbers_in(json.loads(file.read_text(encoding="utf-8")))}


def shown_numbers(run: Run) -> dict[str, set[float]]:
    """Numbers with their figure's file name, and those in the page under 'report.html'."""
    shown = {
        f"figures/{path.name}": set(_numbers_in(json.loads(path.read_text(encoding="utf-8"))))
        for path in sorted((run.path / "figures").glob("*.json"))
    }
    page = (run.path / "report.html").read_text(encoding="utf-8")
    return shown | {"report.html": {float(text) for text in NUMBER.findall(page)}}


def seen(run: Run, arm: str, seed: int) -> str:
    """Measures and metrics of a trial as text, which is equal where they are (NaN too)."""
    record = run.trial(arm, seed)
    return repr((sorted((record.measures() or {}).items()), record.metrics()))


def steps(run: Run, arm: str, seed: int) -> list[tuple[float, tuple[str, ...]]]:
    """(step, names) of each logged line."""
    return [(line["step"], tuple(line)) for line in run.trial(arm, seed).metrics()]


def difference(first: Run, second: Run) -> str:
    """Where two runs differ, in words: the first measure that is another, or that only one has."""
    for record in first.records():
        other = second.trial(record.arm, record.seed).measures() or {}
        for name, value in (record.measures() or {}).items():
            if repr(other.get(name)) != repr(value):
                there = _text(other.get(name))
                return f"{name} of {record.arm}, seed {record.seed} is {_text(value)} in one and {there} in the other"
    return "the verdicts differ"


def _text(value: float | None) -> str:
    return "missing" if value is None else repr(value)


def _numbers_in(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict):
        for item in cast("dict[str, Any]", value).values():
            yield from _numbers_in(item)
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from _numbers_in(item)

"""The read side of a trial: its measures, metrics and artifacts, also while it is still running."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from wheatstone.bench.checkpoint import read_tensors
from wheatstone.bench.errors import UserError
from wheatstone.bench.files import read_json
from wheatstone.bench.shape import NUMBER, TEXT, Each, check, has_float

if TYPE_CHECKING:
    from wheatstone.bench.study import JsonScalar, Study

C = TypeVar("C")
BLOCK = 4096
SAMPLED_BLOCKS = 256
"""A live curve reads at most so many blocks of a metrics file: 1 MiB."""
COST = {"seconds?": NUMBER, "cpu_seconds?": NUMBER, "device?": TEXT}
"""The shape of cost.json, and of a trial's cost in findings.json."""


@dataclass(frozen=True)
class TrialRecord:
    """What one arm with one seed has left in the run directory."""

    arm: str
    seed: int
    path: Path
    """The trial's folder, `arms/<arm>/seed-<n>`; it may not exist yet."""
    values: Mapping[str, JsonScalar]
    """The arm's config as JSON scalars."""
    study_name: str

    @property
    def is_finished(self) -> bool:
        return (self.path / "measures.json").exists()

    def measures(self) -> dict[str, float] | None:
        """Measure -> value, NaN where it does not apply; None until the trial has finished.

        Raises UserError when the file is damaged.
        """
        try:
            stored = self._checked("measures.json", Each(NUMBER))
        except FileNotFoundError:
            return None
        return {name: numeric(value) for name, value in stored.items()}

    def metrics(self) -> list[dict[str, float]]:
        """One dict per logged line: 'step' and the logged values, NaN for null, in the order of logging.

        A last line that is still being written is left out. Raises UserError for a damaged line.
        """
        place = self.path / "metrics.jsonl"
        try:
            lines = place.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        return [_logged(line, f"{place}:{number}") for number, line in enumerate(lines, start=1)]

    def sampled_metrics(self, blocks: int = SAMPLED_BLOCKS) -> list[dict[str, float]]:
        """As `metrics`, but of a long file only the lines in evenly spaced blocks of it, the first and last included.

        A page that follows a run asks again and again, and must not read hundreds of megabytes each time.
        """
        place = self.path / "metrics.jsonl"
        try:
            with place.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                if size <= blocks * BLOCK:
                    return self.metrics()
                found: list[dict[str, float]] = []
                for number in range(blocks):
                    start = (size - BLOCK) * number // (blocks - 1)
                    file.seek(start)
                    lines = file.read(BLOCK).split(b"\n")[1 if start else 0 : -1]
                    found += [_logged(line, f"{place}, after byte {start}") for line in lines]
                return found
        except FileNotFoundError:
            return []

    def curve(self, metric: str) -> list[tuple[int, float]]:
        """(step, value) of each logged line that has the metric."""
        return [(int(line["step"]), line[metric]) for line in self.metrics() if metric in line]

    def cost(self) -> dict[str, Any]:
        """Seconds, CPU seconds and device of the finished trial; empty before.

        Raises UserError when the file is damaged.
        """
        try:
            return self._checked("cost.json", COST)
        except FileNotFoundError:
            return {}

    def _checked(self, name: str, shape: Any) -> dict[str, Any]:
        place = self.path / name
        stored = read_json(place)
        try:
            check(stored, shape)
        except ValueError as error:
            raise UserError(
                f"{place}: damaged ({error}). Delete the trial's folder and run again to train it anew."
            ) from None
        return stored

    def has(self, name: str) -> bool:
        """Whether the trial has left an artifact of that name."""
        return self._artifact(name, ".json").exists() or self.file(name).exists()

    def artifact(self, name: str) -> Any:
        """The value that `Trial.write` stored. Raises UserError when there is none."""
        try:
            return read_json(self._artifact(name, ".json"))
        except FileNotFoundError:
            raise self._no_artifact(name) from None

    def tensors(self, name: str) -> dict[str, Any]:
        """The tensors that `Trial.save_tensors` stored. Raises UserError when there are none."""
        try:
            return read_tensors(self.file(name))[0]
        except FileNotFoundError:
            raise self._no_artifact(name) from None

    def file(self, name: str) -> Path:
        """Where the artifact file lies: `name` itself when it has a suffix, else `name`.safetensors."""
        return self._artifact(name, "" if "." in name else ".safetensors")

    def config(self, study: Study[C]) -> C:
        """The trial's config, checked. Raises UserError when the study no longer has a field or refuses its value."""
        from wheatstone.bench.config import validate

        return validate(study.config, self.values, f"{self.study_name} ({self.arm})")

    def _artifact(self, name: str, suffix: str) -> Path:
        return self.path / "artifacts" / (slug(name) + suffix)

    def _no_artifact(self, name: str) -> UserError:
        state = "the trial left none" if self.is_finished else "the trial has not finished"
        return UserError(f"{self.path}: no artifact '{name}', {state}. Run the study again to complete the directory.")


def _logged(line: bytes, where: str) -> dict[str, float]:
    try:
        values = {name: numeric(value) for name, value in json.loads(line).items()}
        int(values["step"])
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError):
        raise UserError(
            f"{where}: damaged, not a JSON object of numbers with its step. "
            "Delete the trial's folder and run again to train it anew."
        ) from None
    return values


def numeric(value: Any) -> float:
    """A stored number: null is NaN. Raises TypeError for anything that is not a number."""
    if value is None:
        return math.nan
    if not isinstance(value, int | float) or (isinstance(value, int) and not has_float(value)):
        raise TypeError(f"{value!r} is not a number")
    return float(cast("float", value))


def slug(name: str) -> str:
    """The name itself when it can name a file on every system. Raises ValueError otherwise."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+=-]*", name):
        raise ValueError(f"'{name}' cannot name a file: use letters, digits, '_', '-' and '.'")
    return name

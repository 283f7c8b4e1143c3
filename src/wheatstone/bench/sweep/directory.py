"""A sweep: one directory with a run for each point of a grid, which survives a kill at any moment as each run does.

    sweep.json            what is swept: study, preset, config, arms, seeds, threads, grid; written first, never changed
    points/<point>/       an ordinary run directory for each point
    sweep_findings.json   the measures and verdicts of every point
    figures/  report.html

`wheatstone report` and `wheatstone serve` work on a point as on any run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from wheatstone.bench.errors import UserError
from wheatstone.bench.files import disk_faults, hold, is_stale, read_json, write_json
from wheatstone.bench.place import RUNS
from wheatstone.bench.run import Run, check_names
from wheatstone.bench.shape import SCALAR, TEXT, WHOLE, Each, check
from wheatstone.bench.sweep.grid import MOST_POINTS, Grid, Point

if TYPE_CHECKING:
    from wheatstone.bench.study import JsonScalar, Study

C = TypeVar("C")
FORMAT = 1
"""Format of sweep directories; a newer one is refused by name."""
RECORD = "sweep.json"
SHAPE = {
    "format": WHOLE,
    "study_name": TEXT,
    "preset": TEXT,
    "seeds": [WHOLE],
    "base_config": Each(SCALAR),
    "overrides": Each(SCALAR),
    "arm_changes": Each(Each(SCALAR)),
    "fields": Each([SCALAR]),
    "threads": WHOLE,
}
"""The shape of sweep.json."""


@dataclass(frozen=True)
class Sweep:
    """A sweep directory, opened for reading or executing."""

    path: Path
    study_name: str
    preset: str
    seeds: tuple[int, ...]
    base_config: Mapping[str, JsonScalar]
    """The preset's config with the user's overrides; a point sets the fields of the grid, an arm adds its changes."""
    overrides: Mapping[str, JsonScalar]
    """What the user changed against the preset, the grid apart."""
    arm_changes: Mapping[str, Mapping[str, JsonScalar]]
    """Arm -> config field -> value in this arm."""
    fields: Mapping[str, tuple[JsonScalar, ...]]
    """The grid: config field -> its values."""
    threads: int
    """Threads of each worker, the same for all points."""
    format: int = FORMAT

    @property
    def arms(self) -> tuple[str, ...]:
        return tuple(self.arm_changes)

    @property
    def grid(self) -> Grid:
        return Grid(self.fields)

    @classmethod
    def create(
        cls,
        path: Path,
        study: Study[C],
        preset: str,
        config: C,
        seeds: Sequence[int],
        arms: Sequence[str],
        threads: int,
        grid: Grid,
    ) -> Sweep:
        """A new sweep directory at `path`, or the one that is there when it holds exactly this sweep (it goes on).

        An existing sweep keeps its own `threads`. Raises UserError for a directory that holds something else, which
        is left untouched.
        """
        from wheatstone.bench.config import to_json

        base, original = to_json(config), to_json(study.presets[preset].config)
        sweep = cls(
            path=Path(path),
            study_name=study.name,
            preset=preset,
            seeds=tuple(seeds),
            base_config=base,
            overrides={name: value for name, value in base.items() if original[name] != value},
            arm_changes={name: dict(study.arm(name).changes) for name in arms},
            fields=grid.fields,
            threads=threads,
        )
        return sweep._settle()

    @classmethod
    def open(cls, path: Path) -> Sweep:
        """The sweep in a directory. Raises UserError when it is missing, damaged, foreign or of a newer format."""
        place = Path(path) / RECORD
        try:
            stored = read_json(place)
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{path}: not a sweep directory, it has no {RECORD}.") from None
        if not isinstance(stored, dict) or not isinstance(cast("dict[str, Any]", stored).get("format"), int):
            raise UserError(f"{place}: not the record of a wheatstone sweep. Choose another directory.")
        values = cast("dict[str, Any]", stored)
        if values["format"] > FORMAT:
            raise UserError(
                f"{place}: format {values['format']}, written by a newer wheatstone; this one reads up to {FORMAT}. "
                "Install the newer version."
            )
        try:
            check(values, SHAPE)
            check_names(values["seeds"], values["arm_changes"], values["threads"])
            if math.prod(map(len, values["fields"].values())) > MOST_POINTS:
                raise ValueError(f"more than {MOST_POINTS} points")
            values["seeds"] = tuple(values["seeds"])
            values["fields"] = {name: tuple(items) for name, items in values["fields"].items()}
            return cls(path=Path(path), **values)
        except (TypeError, ValueError) as error:
            raise UserError(f"{place}: damaged ({error}). Restore it, or start again in a new directory.") from None

    def run_path(self, point: Point) -> Path:
        """The run directory of a point; it may not exist yet."""
        return self.path / "points" / point.slug

    def run(self, point: Point, study: Study[Any]) -> Run:
        """The run of a point, created where it is missing.

        Raises UserError for a directory that holds another run, and settings that the study refuses.
        """
        from wheatstone.bench.config import validate

        values = {**self.base_config, **point.values}
        config = validate(study.config, values, f"{study.name} ({point.label})")
        place = self.run_path(point)
        return Run.create(place, study, self.preset, config, self.seeds, self.arms, self.threads)

    def lock(self) -> AbstractContextManager[None]:
        """Holds the directory against a second process, which gets a UserError that names the first."""
        return hold(
            self.path / "sweep.lock",
            lambda holder: (
                f"{self.path}: {holder} is already working on this sweep. Wait for it, or choose another --out."
            ),
        )

    def _settle(self) -> Sweep:
        """Writes sweep.json where it is missing; refuses a directory with anything else."""
        with disk_faults(self.path):
            if self.path.exists() and not self.path.is_dir():
                raise UserError(f"{self.path}: is a file, not a directory. Choose another one with --out.")
            content = list(self.path.iterdir()) if self.path.exists() else []
        if self.path / RECORD in content:
            stored = Sweep.open(self.path)
            if differences := stored._differences(self):
                raise UserError(
                    f"{self.path}: holds another sweep and stays as it is.\n" + "\n".join(differences) + "\n"
                    "Choose another directory with --out, or repeat the sweep with the settings that it holds."
                )
            return stored
        if self.path / "run.json" in content:
            raise UserError(f"{self.path}: holds a run, not a sweep, and stays as it is. Choose another --out.")
        if not all(is_stale(entry) for entry in content):
            raise UserError(
                f"{self.path}: not a sweep directory (no {RECORD}) and not empty; it stays as it is. "
                "Choose another directory with --out."
            )
        write_json(self.path / RECORD, self._record())
        return self

    def _record(self) -> dict[str, Any]:
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self) if item.name != "path"}
        return {"format": values.pop("format"), **values}

    def _differences(self, other: Sweep) -> list[str]:
        """One line for each setting of this sweep that is another in `other`; threads don't count."""
        mine, theirs = self._flat(), other._flat()
        return [
            f"  {name}: {mine.get(name, 'absent')} there, {theirs.get(name, 'absent')} here"
            for name in dict.fromkeys((*mine, *theirs))
            if mine.get(name, ...) != theirs.get(name, ...)
        ]

    def _flat(self) -> dict[str, Any]:
        flat: dict[str, Any] = {"study": self.study_name, "preset": self.preset, "seeds": self.seeds, "arms": self.arms}
        flat |= {f"grid {name}": values for name, values in self.fields.items()}
        flat |= {f"config {name}": value for name, value in self.base_config.items() if name not in self.fields}
        return flat | {
            f"arm {arm}, {name}": value for arm, changes in self.arm_changes.items() for name, value in changes.items()
        }


def is_sweep(path: Path) -> bool:
    """Whether the directory holds a sweep rather than a run."""
    return (path / RECORD).exists()


def sweep_path(
    study: Study[Any],
    preset: str,
    config: Any,
    seeds: Sequence[int],
    arms: Sequence[str],
    grid: Grid,
    root: Path = RUNS,
) -> Path:
    """`root`/<study>-<preset>-sweep-<8 hex digits>: the digits are a digest of settings, arms, seeds and grid."""
    from wheatstone.bench.config import to_json

    content = {
        "config": {name: value for name, value in to_json(config).items() if name not in grid.fields},
        "arms": {name: dict(study.arm(name).changes) for name in arms},
        "seeds": list(seeds),
        "grid": {name: list(values) for name, values in grid.fields.items()},
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    return root / f"{study.name}-{preset}-sweep-{digest}"

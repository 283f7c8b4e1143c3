"""A run: one directory that holds everything about one execution of a study, and survives a kill at any moment.

    run.json              what is run: study, preset, config, arms, seeds, threads; written first, never changed
    environment.json      versions, source revision, machine
    inputs/               copies of the user's files
    arms/<arm>/seed-<n>/  one trial: metrics.jsonl, checkpoint.safetensors, measures.json, cost.json, worker.log,
                          artifacts/
    figures/  findings.json  report.html

A trial is finished when its measures.json exists. Reading needs neither torch nor numpy nor the study's code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from wheatstone.bench.environment import LASTING, environment
from wheatstone.bench.errors import UserError, did_you_mean
from wheatstone.bench.files import copy_atomically, disk_faults, hold, is_stale, read_json, sha256, write_json
from wheatstone.bench.record import TrialRecord, slug
from wheatstone.bench.shape import ANYTHING, SCALAR, TEXT, WHOLE, Each, check
from wheatstone.bench.shown import printable
from wheatstone.bench.trial import Trial

if TYPE_CHECKING:
    from wheatstone.bench.findings import Findings
    from wheatstone.bench.study import JsonScalar, Study

__all__ = ["FORMAT", "Run", "Trial", "TrialRecord"]

C = TypeVar("C")
FORMAT = 1
"""Format of run directories; a newer one is refused by name."""
MOST_THREADS = 4096
RECORD = {
    "format": WHOLE,
    "study_name": TEXT,
    "preset": TEXT,
    "seeds": [WHOLE],
    "base_config": Each(SCALAR),
    "overrides": Each(SCALAR),
    "arm_changes": Each(Each(SCALAR)),
    "threads": WHOLE,
    "inputs?": Each({"file": TEXT, "original": TEXT, "sha256": TEXT}),
}
"""The shape of run.json."""
ENVIRONMENT = Each(ANYTHING)
"""The shape of environment.json: a record for the eye, of which a reader asks nothing."""


@dataclass(frozen=True)
class Run:
    """A run directory, opened for reading or executing."""

    path: Path
    study_name: str
    preset: str
    seeds: tuple[int, ...]
    base_config: Mapping[str, JsonScalar]
    """The preset's config with the user's overrides; an arm adds its changes."""
    overrides: Mapping[str, JsonScalar]
    """What the user changed against the preset."""
    arm_changes: Mapping[str, Mapping[str, JsonScalar]]
    """Arm -> config field -> value in this arm."""
    threads: int
    """Threads of each worker. Kept for the life of the run: another number can change the last digits."""
    inputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    """Input -> {'file': name under inputs/, 'original': the user's file name, 'sha256': digest}."""
    format: int = FORMAT

    @property
    def arms(self) -> tuple[str, ...]:
        return tuple(self.arm_changes)

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
        inputs: Mapping[str, Path] | None = None,
    ) -> Run:
        """A new run directory at `path`, or the one that is there when it holds exactly this run (then it goes on).

        `config` is the base config of all arms. An existing run keeps its own `threads`.

        Raises UserError for a directory that holds something else (left untouched), a preset or an arm that the study
        does not have, and an input that cannot be read.
        """
        from wheatstone.bench.config import to_json

        if preset not in study.presets:
            raise UserError(f"{study.name}: no preset '{preset}'.{did_you_mean(preset, study.presets)}")
        known = {arm.name: arm for arm in study.arms}
        for name in arms:
            if name not in known:
                raise UserError(f"{study.name}: no arm '{name}'.{did_you_mean(name, known)}")
        if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise UserError(f"{study.name} --seeds: got {list(seeds)}, must be different numbers, none below 0")
        base, original = to_json(config), to_json(study.presets[preset].config)
        run = cls(
            path=Path(path),
            study_name=study.name,
            preset=preset,
            seeds=tuple(seeds),
            base_config=base,
            overrides={name: value for name, value in base.items() if original[name] != value},
            arm_changes={slug(name): dict(known[name].changes) for name in arms},
            threads=threads,
            inputs={slug(name): _describe_input(name, source) for name, source in (inputs or {}).items()},
        )
        return run._settle(inputs or {})

    @classmethod
    def open(cls, path: Path) -> Run:
        """The run in a directory. Raises UserError when it is missing, damaged, foreign or of a newer format."""
        path = Path(path)
        place = path / "run.json"
        if not path.exists():
            raise UserError(f"{path}: no such run directory. A run prints its directory when it starts.")
        try:
            stored = read_json(place)
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{path}: not a run directory, it has no run.json.") from None
        if not isinstance(stored, dict) or "format" not in stored:
            raise UserError(f"{place}: not the record of a wheatstone run. Choose another directory.")
        values = cast("dict[str, Any]", stored)
        if isinstance(values["format"], int) and values["format"] > FORMAT:
            raise UserError(
                f"{place}: format {values['format']}, written by a newer wheatstone; this one reads up to {FORMAT}. "
                "Install the newer version."
            )
        try:
            check(values, RECORD)
            check_names(values["seeds"], values["arm_changes"], values["threads"])
            for name, item in values.get("inputs", {}).items():
                slug(name)
                slug(item["file"])
            values["seeds"] = tuple(values["seeds"])
            return cls(path=path, **values)
        except (TypeError, ValueError) as error:
            raise UserError(f"{place}: damaged ({error}). Restore it, or start again in a new directory.") from None

    def trial(self, arm: str, seed: int) -> TrialRecord:
        """What one trial has left, finished or not. Raises UserError for an arm or seed that this run does not have."""
        if arm not in self.arm_changes:
            raise UserError(f"{self.path}: no arm '{arm}' in this run.{did_you_mean(arm, self.arms)}")
        if seed not in self.seeds:
            raise UserError(f"{self.path}: no seed {seed} in this run; it has {', '.join(map(str, self.seeds))}.")
        values = {**self.base_config, **self.arm_changes[arm]}
        return TrialRecord(arm, seed, self.path / "arms" / arm / f"seed-{seed}", values, self.study_name)

    def records(self) -> Iterator[TrialRecord]:
        """Every trial of the run, arm by arm, finished or not."""
        return (self.trial(arm, seed) for arm in self.arms for seed in self.seeds)

    def findings(self) -> Findings | None:
        """The findings of a finished run, None before. Raises UserError when they are damaged or of a newer format."""
        from wheatstone.bench.findings import Findings

        try:
            stored = read_json(self.path / "findings.json")
        except FileNotFoundError:
            return None
        return Findings.from_json(stored, self.path / "findings.json")

    def input(self, name: str) -> Path:
        """The run's own copy of the user's file. Raises UserError when the run has no such input or lost it."""
        if name not in self.inputs:
            raise UserError(f"{self.path}: the run has no input '{name}'.{did_you_mean(name, self.inputs)}")
        place = self.path / "inputs" / self.inputs[name]["file"]
        if not place.exists():
            raise UserError(f"{place}: missing. Run the same command again with the original file to restore it.")
        return place

    def curves(self, metric: str, arm: str) -> dict[int, list[tuple[int, float]]]:
        """Seed -> [(step, value)] of a logged metric, of the seeds that have logged it so far."""
        found = {seed: self.trial(arm, seed).curve(metric) for seed in self.seeds}
        return {seed: curve for seed, curve in found.items() if curve}

    def environment(self) -> dict[str, Any]:
        """The record of versions and machine; empty when it is missing. Raises UserError when it is damaged."""
        place = self.path / "environment.json"
        try:
            stored = read_json(place)
            check(stored, ENVIRONMENT)
            return stored
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise UserError(f"{place}: damaged ({error}). Delete it and run the same command again.") from None

    def lock(self) -> AbstractContextManager[None]:
        """Holds the directory against a second process, which gets a UserError that names the first."""
        return hold(
            self.path / "run.lock",
            lambda holder: (
                f"{self.path}: {holder} is already working on this run. Wait for it, or choose another --out."
            ),
        )

    def _settle(self, sources: Mapping[str, Path]) -> Run:
        """Writes what is missing of run.json, inputs and environment.json; refuses a directory with anything else."""
        with disk_faults(self.path):
            if self.path.exists() and not self.path.is_dir():
                raise UserError(f"{self.path}: is a file, not a directory. Choose another one with --out.")
            content = list(self.path.iterdir()) if self.path.exists() else []
        run = self
        if (self.path / "run.json") in content:
            run = Run.open(self.path)
            if differences := run._differences(self):
                raise UserError(
                    f"{self.path}: holds another run and stays as it is.\n" + "\n".join(differences) + "\n"
                    "Choose another directory with --out, or repeat the run with the settings that it holds."
                )
        elif all(is_stale(entry) for entry in content):
            write_json(self.path / "run.json", self._record())
        else:
            raise UserError(
                f"{self.path}: not a run directory (no run.json) and not empty; it stays as it is. "
                "Choose another directory with --out."
            )
        for name, source in sources.items():
            place = self.path / "inputs" / run.inputs[name]["file"]
            if not place.exists():
                copy_atomically(source, place)
        run._note_environment()
        return run

    def _note_environment(self) -> None:
        """Records the environment; a run that goes on with other versions keeps a note of each of them."""
        stored, now = self.environment(), environment(self.threads)
        if not stored:
            write_json(self.path / "environment.json", now)
            return
        resumed: list[dict[str, Any]] = stored.get("resumed_with", [])
        latest = resumed[-1] if resumed else stored
        if any(latest.get(part) != now[part] for part in LASTING):
            stored["resumed_with"] = [*resumed, {part: now[part] for part in (*LASTING, "created")}]
            write_json(self.path / "environment.json", stored)

    def _record(self) -> dict[str, Any]:
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self) if item.name != "path"}
        return {"format": values.pop("format"), **values}

    def _differences(self, other: Run) -> list[str]:
        """One line for each setting of this run that is another in `other`; threads don't count."""
        mine, theirs = self._flat(), other._flat()
        return [
            f"  {name}: {mine.get(name, 'absent')} there, {theirs.get(name, 'absent')} here"
            for name in dict.fromkeys((*mine, *theirs))
            if mine.get(name, ...) != theirs.get(name, ...)
        ]

    def _flat(self) -> dict[str, Any]:
        flat: dict[str, Any] = {"study": self.study_name, "preset": self.preset, "seeds": self.seeds, "arms": self.arms}
        flat |= {f"config {name}": value for name, value in self.base_config.items()}
        flat |= {
            f"arm {arm}, {name}": value for arm, changes in self.arm_changes.items() for name, value in changes.items()
        }
        return flat | {
            f"input {name}": f"{item['original']} ({item['sha256'][:12]})" for name, item in self.inputs.items()
        }


def check_names(seeds: Sequence[int], arms: Mapping[str, Any], threads: int) -> None:
    """Raises ValueError for a record whose names would lead out of its directory, or that has no trial."""
    for name in arms:
        slug(name)
    if not seeds or not arms or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(f"seeds {list(seeds)}, arms {list(arms)}: there must be some, and no seed twice")
    if not 1 <= threads <= MOST_THREADS:
        raise ValueError(f"'threads' is {threads}, must be 1 to {MOST_THREADS}")


def _describe_input(name: str, source: Path) -> dict[str, str]:
    suffixes = source.suffixes[-2:] if source.suffix == ".gz" else source.suffixes[-1:]
    try:
        return {"file": name + "".join(suffixes), "original": printable(source.name), "sha256": sha256(source)}
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error.strerror}).") from None

"""The smoke runs that the contract's checks share: unbroken, repeated, with another seed, killed and resumed, moved.

Each is made when the first check asks for it. The unbroken one runs in worker processes and the repeated one in this
process, so that equal findings also say that the engine does not matter.
"""

from __future__ import annotations

import functools
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wheatstone.bench import registry
from wheatstone.bench.engine import Engine, InlineEngine, LocalEngine, execute_run, share_cores
from wheatstone.bench.findings import Findings
from wheatstone.bench.pool import worker_environment
from wheatstone.bench.run import Run
from wheatstone.bench.study import Study

PRESET = "smoke"


@dataclass(frozen=True)
class Attempt:
    """A smoke run, and what came of it."""

    run: Run
    findings: Findings | None
    fault: str
    """Why there are no findings; '' when there are."""
    seconds: float = 0.0


class Rehearsal:
    """The smoke runs of one study, below one folder."""

    def __init__(self, study: Study[Any], folder: Path) -> None:
        self.study = study
        self.folder = folder
        preset = study.presets[PRESET]
        self._config = preset.config
        self._arms = preset.arms or tuple(arm.name for arm in study.arms)
        self._seeds = tuple(range(preset.seeds))

    @functools.cached_property
    def unbroken(self) -> Attempt:
        """The run that the others are compared with; its report is written apart, see `report_fault`."""
        return self._attempt("unbroken", self._seeds, LocalEngine())

    @functools.cached_property
    def report_fault(self) -> str:
        """Why the unbroken run has no report; '' when it has one."""
        return self._report(self.unbroken.run)

    @functools.cached_property
    def repeated(self) -> Attempt:
        """The same run again, in this process."""
        return self._attempt("repeated", self._seeds, InlineEngine())

    @functools.cached_property
    def reseeded(self) -> Attempt:
        """One seed that the unbroken run does not have."""
        return self._attempt("reseeded", (max(self._seeds) + 1,), InlineEngine())

    @functools.cached_property
    def resumed(self) -> Attempt:
        """The same run, whose first trial of every arm was killed in the middle before."""
        run = self._create("resumed", self._seeds)
        killed = subprocess.run(
            [
                sys.executable,
                "-P",
                "-m",
                "wheatstone.bench.contract.doomed",
                str(run.path),
                *registry.origin(self.study),
            ],
            env=worker_environment(run.threads),
            capture_output=True,
            text=True,
        )
        if killed.returncode:
            return Attempt(run, None, f"the killed trial went wrong: {killed.stderr.strip()[-500:]}")
        return self._execute(run, InlineEngine())

    @functools.cached_property
    def copied(self) -> Run:
        """A copy of the unbroken run in another place."""
        path = self.folder / "copied"
        shutil.copytree(self.unbroken.run.path, path)
        return Run.open(path)

    @functools.cached_property
    def moved(self) -> Attempt:
        """A copy of the unbroken run in which every measure and every logged value is a little off, with a report."""
        path = self.folder / "moved"
        shutil.copytree(self.unbroken.run.path, path)
        run = Run.open(path)
        noise = random.Random(0)
        for record in run.records():
            measures = record.path / "measures.json"
            measures.write_text(json.dumps(_nudged(json.loads(measures.read_text()), noise)))
            metrics = record.path / "metrics.jsonl"
            lines = [json.loads(line) for line in metrics.read_text().splitlines()]
            metrics.write_text("".join(json.dumps(_nudged(line, noise)) + "\n" for line in lines))
        attempt = self._execute(run, InlineEngine())
        return attempt if attempt.fault else Attempt(run, attempt.findings, self._report(run))

    def _create(self, name: str, seeds: Sequence[int]) -> Run:
        threads = share_cores(len(seeds) * len(self._arms)).threads
        return Run.create(self.folder / name, self.study, PRESET, self._config, seeds, self._arms, threads)

    def _attempt(self, name: str, seeds: Sequence[int], engine: Engine) -> Attempt:
        return self._execute(self._create(name, seeds), engine)

    def _execute(self, run: Run, engine: Engine) -> Attempt:
        started = time.perf_counter()
        try:
            findings = execute_run(run, self.study, engine, report=False)
        except Exception as error:  # a study that fails in whatever way is what the contract is there to tell
            return Attempt(run, None, f"{type(error).__name__}: {error}")
        return Attempt(run, findings, "", time.perf_counter() - started)

    def _report(self, run: Run) -> str:
        from wheatstone.bench.report import write_report

        try:
            write_report(run, self.study)
        except Exception as error:  # as above
            return f"{type(error).__name__}: {error}"
        return ""


def _nudged(values: dict[str, float | None], noise: random.Random) -> dict[str, float | None]:
    """Values a little off, a share of 1 still a share of 1; 'step' and null as they are."""
    moved: dict[str, float | None] = {}
    for name, value in values.items():
        share = noise.uniform(0.001, 0.01)
        moved[name] = value if name == "step" or value is None else value * (1 - share) + 0.1 * share
    return moved


_rehearsals: dict[tuple[int, Path], Rehearsal] = {}


def rehearse(study: Study[Any], folder: Path) -> Rehearsal:
    """The rehearsal of `study` below `folder`, the same for every check that gets the same folder."""
    key = id(study), folder
    if key not in _rehearsals:
        _rehearsals[key] = Rehearsal(study, folder / study.name)
    return _rehearsals[key]

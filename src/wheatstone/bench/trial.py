"""The write side of a trial, handed to a study's `run`: one arm, one seed, one folder of the run directory.

Randomness has names: a stream is derived from the seed and its name by SHA-256, so a new draw in one place moves no
other, and the arm plays no part, so arms share their data. Metrics only count up to the last checkpoint: loading it
cuts the file back to the length it had then, and a trial that loads none starts from nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from wheatstone.bench.checkpoint import Checkpoint, read_tensors, write_tensors
from wheatstone.bench.errors import UserError
from wheatstone.bench.files import disk_faults, plain, write_json
from wheatstone.bench.shape import OBJECT, TEXT, WHOLE, check

if TYPE_CHECKING:
    from io import FileIO

    import numpy as np
    import torch

    from wheatstone.bench.record import TrialRecord
    from wheatstone.bench.run import Run

C = TypeVar("C")
Report = Callable[[int, int, str], None]
"""Called with (done, total, note)."""
CHECKPOINT = "checkpoint.safetensors"
STORED = {"trial": TEXT, "metrics_bytes": WHOLE, "spent": [(int, float)], "state": OBJECT}
"""The shape of the record in a checkpoint."""
PROGRESS_INTERVAL = 0.2
"""Seconds between two progress reports: a person sees no more, and a fast loop must not pay for it."""


@dataclass(frozen=True)
class Cost:
    """What a trial has cost so far, over all its restarts."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0


def derived_seed(seed: int, stream: str) -> bytes:
    """32 bytes that depend on seed and stream name alone."""
    return hashlib.sha256(f"{seed}/{stream}".encode()).digest()


class Trial(Generic[C]):
    """One arm with one seed while it runs. Made by an engine, which also calls `finish`."""

    def __init__(self, run: Run, record: TrialRecord, config: C, report: Report) -> None:
        self.run = run
        self.config = config
        self.arm = record.arm
        self.seed = record.seed
        self.path: Path = record.path
        self.company = 1
        """Trials that share this process's time with this one, itself included."""
        self._record = record
        self._report = report
        self._reported_at = -PROGRESS_INTERVAL
        self._metrics: FileIO | None = None
        self._spent_before = Cost()
        self._clocks = (time.perf_counter(), time.process_time())
        with disk_faults(self.path):
            self.path.mkdir(parents=True, exist_ok=True)

    def rng(self, stream: str) -> np.random.Generator:
        """A generator that starts at the same place for the same (seed, stream), in every arm."""
        import numpy as np

        return np.random.default_rng(np.random.SeedSequence(np.frombuffer(derived_seed(self.seed, stream), np.uint32)))

    def seed_for(self, stream: str) -> int:
        """A number below 2**63 for `torch.Generator().manual_seed`, the same for the same (seed, stream)."""
        return int.from_bytes(derived_seed(self.seed, stream)[:8], "little") >> 1

    def log(self, step: int, **values: float) -> None:
        """Appends one line to metrics.jsonl, readable at once. Values that are not finite are stored as null."""
        line = json.dumps({"step": int(step)} | {name: plain(float(value)) for name, value in values.items()})
        data = line.encode() + b"\n"
        file = self._metrics_file()
        with disk_faults(self._metrics_path):
            while data:
                data = data[file.write(data) :]

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Says how far the trial is, in any unit. Cheap: at most five reports a second leave, and the last one."""
        now = time.monotonic()
        if done >= total or now - self._reported_at >= PROGRESS_INTERVAL:
            self._reported_at = now
            self._report(done, total, note)

    def save_checkpoint(self, tensors: Mapping[str, torch.Tensor | np.ndarray], state: Mapping[str, Any]) -> None:
        """Makes this moment the one that a restart goes on from: one file, replaced atomically.

        `tensors` are all torch or all numpy; `state` is anything JSON can hold, floats exactly. Raises UserError when
        the disk is full (the previous checkpoint stays).
        """
        file = self._metrics_file()
        with disk_faults(self._metrics_path):
            os.fsync(file.fileno())
        spent = self.cost()
        record = {
            "trial": self._name,
            "metrics_bytes": file.tell(),
            "spent": [spent.seconds, spent.cpu_seconds],
            "state": dict(state),
        }
        write_tensors(self._checkpoint_path, tensors, record)

    def load_checkpoint(self) -> Checkpoint | None:
        """The last checkpoint, None when there is none; the metrics go back to what they were then.

        Raises UserError when the checkpoint is damaged, of another trial, or older than the metrics file beside it.
        """
        try:
            tensors, record = read_tensors(self._checkpoint_path)
        except FileNotFoundError:
            return None
        try:
            check(record, STORED)
        except ValueError as error:
            raise UserError(
                f"{self._checkpoint_path}: damaged ({error}). Delete it to train the trial again from its start."
            ) from None
        length: int = record["metrics_bytes"]
        if record["trial"] != self._name or length < 0:
            raise UserError(
                f"{self._checkpoint_path}: the checkpoint of {record['trial']}, not of {self._name}. "
                "Delete this file to train the trial again from its start."
            )
        with disk_faults(self._metrics_path):
            file = open(self._metrics_path, "a+b", buffering=0)  # noqa: SIM115, stays open as long as the trial
            if os.fstat(file.fileno()).st_size < length:
                file.close()
                raise UserError(
                    f"{self._metrics_path}: shorter than its checkpoint says ({length} bytes), so metrics are lost. "
                    f"Delete {self._checkpoint_path.name} beside it to train the trial again from its start."
                )
            file.truncate(length)
            file.seek(length)
        self._metrics = file
        self._spent_before = Cost(*record["spent"][:2])
        return Checkpoint(tensors, record["state"])

    def write(self, name: str, value: Any) -> None:
        """Stores a JSON-able value (arrays become lists, NaN becomes null) as the artifact `name`."""
        write_json(self._record.file(name + ".json"), value, indent=None)

    def save_tensors(self, name: str, tensors: Mapping[str, torch.Tensor | np.ndarray]) -> Path:
        """Stores tensors (all torch or all numpy) as the artifact `name`; returns the file."""
        path = self._record.file(name)
        write_tensors(path, tensors, {})
        return path

    def file(self, name: str) -> Path:
        """Where to write an artifact file of the study's own: `name` when it has a suffix, else `name`.safetensors."""
        path = self._record.file(name)
        with disk_faults(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def input(self, name: str) -> Path:
        """The run's copy of the user's file. Raises UserError when the run has no such input."""
        return self.run.input(name)

    def cost(self) -> Cost:
        """Wall and CPU seconds spent on this trial so far, its share where trials are in company.

        What a kill threw away is not in it.
        """
        wall, cpu = time.perf_counter() - self._clocks[0], time.process_time() - self._clocks[1]
        before = self._spent_before
        return Cost(before.seconds + wall / self.company, before.cpu_seconds + cpu / self.company)

    def finish(self, measures: Mapping[str, float], device: str) -> dict[str, float]:
        """Stores the measures, which makes the trial finished, and drops its checkpoint."""
        final = {name: float(value) for name, value in measures.items()}
        self._metrics_file()  # a trial that logged nothing still cuts off what a killed one has left
        self.close()
        spent = self.cost()
        write_json(
            self.path / "cost.json",
            {"seconds": round(spent.seconds, 3), "cpu_seconds": round(spent.cpu_seconds, 3), "device": device},
        )
        write_json(self.path / "measures.json", final)
        self._checkpoint_path.unlink(missing_ok=True)
        return final

    def close(self) -> None:
        """Closes the metrics file."""
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None

    @property
    def _name(self) -> str:
        return f"{self.run.study_name}, {self.arm}, seed {self.seed}"

    @property
    def _checkpoint_path(self) -> Path:
        return self.path / CHECKPOINT

    @property
    def _metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    def _metrics_file(self) -> FileIO:
        if self._metrics is None:
            # Nothing was loaded, so the trial starts over. The checkpoint goes first: it must not outlive its metrics.
            with disk_faults(self._metrics_path):
                self._checkpoint_path.unlink(missing_ok=True)
                self._metrics = open(self._metrics_path, "wb", buffering=0)  # noqa: SIM115
        return self._metrics

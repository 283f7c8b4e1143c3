"""Replicas: n models trained at once as one batched computation, against one process a core with one model at a time.

Both sides make the same number of steps of the same n models on the same rows, with all cores: one process with a
stack (`learn.stack`), or as many processes as there are cores, each with its part of the models and one thread. The
losses of each replica are compared with those of lone training before anything is timed. A ratio below 1 means that
`--engine auto` chooses processes, as it should.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.composition import composition, settings, transformer
from benchmarks.side_by_side import ROOT, Benchmark, Options, Part, alternate, fix_threads, profile_of, timed
from wheatstone.bench.environment import usable_cores
from wheatstone.bench.work import THREAD_VARIABLES
from wheatstone.cli.benchmarks import Comparison
from wheatstone.learn.training import Training, fit_together

ONE_EACH = "a process a core"
TOLERANCE = 1e-4


@dataclass(frozen=True)
class ReplicaOptions(Options):
    """Nothing of its own: --full adds more replicas."""


class Size(NamedTuple):
    """One kind of model."""

    name: str
    width: int
    batch: int
    steps: int
    """Steps of each model in a round."""

    def trainings(self, replicas: Sequence[int], steps: int) -> list[Training]:
        """Fresh models, each with a seed of its own, that evaluate nothing before their last step."""
        config = settings(50, d_model=self.width, batch=self.batch, steps=steps, evaluations=1, warmup=0)
        task = composition(config, seed=0)
        return [Training(transformer(config, task, seed), task.train, config.fitting(), seed) for seed in replicas]


SIZES = (
    Size("composition, preset cpu: d 128, batch 1024", 128, 1024, 2),
    Size("comparison, preset cpu: d 64, batch 1024", 64, 1024, 4),
    Size("preset smoke: d 32, batch 128", 32, 128, 10),
    Size("tiny: d 16, batch 32", 16, 32, 40),
)
QUICK = (Size("tiny: d 16, batch 32", 16, 32, 4),)


def measure(options: ReplicaOptions, threads: int, part: Part) -> None:
    """All sizes at 4, 8 and 16 replicas."""
    for size in QUICK if options.quick else SIZES:
        for n in (2,) if options.quick else (4, 8, 16):
            compare(part, size, n, threads, rounds=2 if options.quick else 5)
    if not torch.cuda.is_available():
        part.notes.append("No GPU on this machine: replicas were measured on its cores alone, where they pay least.")


def compare(part: Part, size: Size, n: int, threads: int, rounds: int) -> None:
    """One size with n replicas: losses, then time."""
    case = f"{n} replicas, {size.name}"
    alone = [one.fit().history[0].values["train_loss"] for one in size.trainings(range(n), 2)]
    together = [one.history[0].values["train_loss"] for one in fit_together(size.trainings(range(n), 2))]
    part.equal(f"loss of each replica, {case}", float(np.abs(np.subtract(alone, together)).max()), TOLERANCE)

    trainings = size.trainings(range(n), size.steps)
    per_step = 1e3 / (n * size.steps)
    with processes(size, n) as work:
        sides = {
            "wheatstone": timed(lambda: fit_together(trainings), per=per_step),
            ONE_EACH: timed(work, per=per_step),
        }
        found = alternate(sides, rounds)
    part.compared(Comparison(case, "ms a step and model", found["wheatstone"], ONE_EACH, found[ONE_EACH], threads))
    if size is SIZES[0] and n == 4:
        part.profiles[f"{case}, wheatstone"] = profile_of(lambda: fit_together(trainings))


@contextlib.contextmanager
def processes(size: Size, n: int) -> Generator[Callable[[], None]]:
    """Worker processes that share the n models out; calling makes all of them train their models once."""
    cores = min(n, usable_cores())
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, "1")
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.replicas", json.dumps([size, list(range(first, n, cores))])],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for first in range(cores)
    ]

    def work() -> None:
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
        for worker in workers:
            assert worker.stdout is not None
            if worker.stdout.readline() != "done\n":
                raise RuntimeError("a worker of the benchmark has ended")

    try:
        yield work
    finally:
        for worker in workers:
            worker.communicate()


def serve(words: str) -> int:
    """A worker: trains its models one after the other, each time it is told to."""
    fields, replicas = json.loads(words)
    size = Size(*fields)
    fix_threads(1)
    trainings = size.trainings(replicas, size.steps)
    for _ in sys.stdin:
        for training in trainings:
            training.fit()
        print("done", flush=True)
    return 0


BENCHMARK = Benchmark(
    "replicas",
    "Replicas",
    "n models of one shape trained at once as one batched computation, with all cores, against one process a core with "
    "one model at a time. Milliseconds a step and model; `--engine auto` takes whichever is faster.",
    ReplicaOptions,
    measure,
    threads=(usable_cores(),),
)

if __name__ == "__main__":
    sys.exit(serve(sys.argv[1]) if sys.argv[1:] and sys.argv[1].startswith("[") else BENCHMARK.main())

"""Training steps and replicas on a GPU: `learn.training.fit` (one CUDA graph a step) beside loops that launch kernels.

The step is compared as in `benchmarks.throughput`, in bfloat16; the nanoGPT-style loop also through torch.compile, as
nanoGPT runs by default. Replicas are compared with the same models one after another in the same process: on one
GPU processes take turns anyway. On a machine without a GPU the record stays as it is; `--quick` runs on any machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks import replicas
from benchmarks.side_by_side import Benchmark, Options, Part, alternate, timed
from benchmarks.throughput import QUICK, Size, compare, matmul_rate
from wheatstone.cli.benchmarks import Comparison
from wheatstone.learn.training import Training, fit_together

GOAL = 5.0
SIZES = (Size(128, 2, 4, 1024, 300, 3), Size(768, 8, 12, 1024, 100, 3))
"""A round is a training of its own, with its capture: the shortest that anyone makes has as many steps."""
REPLICA_SIZES = (
    replicas.Size("composition, preset cpu: d 128, batch 1024", 128, 1024, 240),
    replicas.Size("preset smoke: d 32, batch 128", 32, 128, 240),
)
ONE_BY_ONE = "one after another"


@dataclass(frozen=True)
class GpuOptions(Options):
    """Nothing of its own."""


def measure(options: GpuOptions, threads: int, part: Part) -> None:
    """Steps at all sizes, both ways, then replicas."""
    on_gpu = torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    if on_gpu:
        part.notes.append(f"Measured on {torch.cuda.get_device_name()}.")
    product = matmul_rate(8192 if on_gpu else 256, torch.bfloat16 if on_gpu else torch.float32, device)
    for size in QUICK if options.quick else SIZES:
        for equal_work in (True, False):
            goal = None if options.quick else GOAL
            precision = "bfloat16" if on_gpu else "float32"
            compare(
                part,
                size,
                threads,
                product,
                equal_work=equal_work,
                goal=goal,
                precision=precision,
                device=device,
                compiled=not options.quick,
            )
    for size in replicas.QUICK if options.quick else REPLICA_SIZES:
        for n in (2,) if options.quick else (4, 8, 16):
            compare_replicas(part, size, n, threads, device, rounds=2 if options.quick else 3)


def compare_replicas(part: Part, size: replicas.Size, n: int, threads: int, device: str, rounds: int) -> None:
    """n models at once beside the same n one by one: losses, then time."""
    case = f"{n} replicas, {size.name}"

    def models(steps: int) -> list[Training]:
        trainings = size.trainings(range(n), steps)
        for training in trainings:
            training.model.to(device)
        return trainings

    alone = [one.fit().history[0].values["train_loss"] for one in models(2)]
    together = [one.history[0].values["train_loss"] for one in fit_together(models(2))]
    part.equal(f"loss of each replica, {case}", float(np.abs(np.subtract(alone, together)).max()), replicas.TOLERANCE)

    def waiting(work: Callable[[], object]) -> Callable[[], object]:
        def done() -> None:
            work()
            if device == "cuda":
                torch.cuda.synchronize()

        return done

    trainings, per_step = models(size.steps), 1e3 / (n * size.steps)
    sides = {
        "wheatstone": timed(waiting(lambda: fit_together(trainings)), per=per_step),
        ONE_BY_ONE: timed(waiting(lambda: [one.fit() for one in trainings]), per=per_step),
    }
    found = alternate(sides, rounds)
    part.compared(Comparison(case, "ms a step and model", found["wheatstone"], ONE_BY_ONE, found[ONE_BY_ONE], threads))


BENCHMARK = Benchmark(
    "throughput_gpu",
    "Training step and replicas on a GPU",
    "One optimiser step in bfloat16 at equal weights, rows and batch, as under *Training step*; `fit` replays one CUDA "
    "graph. Then n models trained at once as one batched computation beside the same models one after another, each "
    "with its own graphs.",
    GpuOptions,
    measure,
)

if __name__ == "__main__":
    if not torch.cuda.is_available() and "--quick" not in sys.argv:
        print("== Training step and replicas on a GPU: no GPU here, the record is kept")
        sys.exit(0)
    sys.exit(BENCHMARK.main())

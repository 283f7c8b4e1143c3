"""A training step of a TopK transcoder beside the plain step of libraries for autoencoders, doing the same work.

Both sides begin at the same weights, take the same batches (standardised, in memory) and make the same update: after
`STEPS` steps their weights are compared. Ours touches active entries alone and decides what is dead as well; the peer
(benchmarks/peers/plain_topk_loop.py) does not count dead features.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.peers.plain_topk_loop import PlainTrainer, PlainTranscoder
from benchmarks.side_by_side import Benchmark, Options, Part, alternate, profile_of, timed
from wheatstone.cli.benchmarks import Comparison
from wheatstone.interp.transcoders.dictionary import DictionaryConfig
from wheatstone.interp.transcoders.store import store_of
from wheatstone.interp.transcoders.training import TrainConfig, Training

GOAL = 1.5
TOLERANCE = 1e-3
LR = 1e-3
STEPS = 20


class Size(NamedTuple):
    """One dictionary and its batch."""

    width: int
    features: int
    k: int
    batch: int
    rounds: int = 7

    def __str__(self) -> str:
        return f"{self.features} features on width {self.width}, k {self.k}, {self.batch} tokens a step"


SIZES = (Size(64, 1024, 32, 256), Size(576, 2304, 32, 256), Size(768, 6144, 32, 256, 3))
FULL = (Size(768, 24_576, 32, 1024, 3),)
QUICK = (Size(16, 64, 4, 32, 1),)


@dataclass(frozen=True)
class StepOptions(Options):
    """Nothing of its own."""


def measure(options: StepOptions, threads: int, part: Part) -> None:
    """All sizes."""
    sizes = QUICK if options.quick else SIZES + (FULL if options.full else ())
    for size in sizes:
        compare(size, threads, part)


def compare(size: Size, threads: int, part: Part) -> None:
    """The same steps on both sides: equal first, then timed in turns."""
    g = torch.Generator().manual_seed(0)
    inputs, outputs = (torch.randn(size.batch * 8, size.width, generator=g) for _ in range(2))
    store = store_of(inputs, outputs)
    cfg = DictionaryConfig(size.width, size.width, size.features, k=size.k)
    # One long constant rate, so that both sides take the same; dead features are never revived in so few steps.
    how = TrainConfig(steps=10**6, batch=size.batch, lr=LR, warmup=0, dead_after=10**12)
    training = Training(cfg, how, store, init=0, order=0)
    plain = PlainTrainer(
        PlainTranscoder(training.learner.encoder.detach(), training.learner.decoder.detach(), size.k), LR
    )
    scaled_in, scaled_out = (
        (one - scaling.mean) / scaling.scale
        for one, scaling in ((inputs, store.input_scaling), (outputs, store.output_scaling))
    )

    def theirs() -> None:
        rows = torch.from_numpy(training.rows(theirs_done[0]))
        theirs_done[0] += 1
        plain.step(scaled_in[rows], scaled_out[rows])

    theirs_done = [0]
    for _ in range(STEPS):
        training.step()
        theirs()
    part.equal(f"{size}: weights after {STEPS} steps", _distance(training, plain), TOLERANCE)
    found = alternate({"wheatstone": timed(training.step, STEPS, 1e3), "plain": timed(theirs, STEPS, 1e3)}, size.rounds)
    result = part.compared(
        Comparison(
            str(size), "ms a step", found["wheatstone"], "dense autograd step", found["plain"], threads, goal=GOAL
        )
    )
    if result.met is False:
        part.profiles[f"{size}, wheatstone"] = profile_of(training.step)


def _distance(training: Training, plain: PlainTrainer) -> float:
    """Largest share, over the tensors, of weights that differ by more than a tenth of one step.

    A gradient of nearly zero may have either sign in either order of summation, and Adam then moves by the whole rate:
    so single weights may differ, and a share of them is bounded.
    """
    pairs: list[tuple[Tensor, Tensor]] = [
        (training.learner.encoder.T, plain.model.W_enc),
        (training.learner.decoder, plain.model.W_dec),
        (training.learner.decoder_bias, plain.model.b_dec),
    ]
    moved = [((ours - theirs).abs() > 0.1 * LR).float().mean().item() for ours, theirs in pairs]
    return float(np.max(moved))


BENCHMARK = Benchmark(
    "transcoder_step",
    "Training a transcoder",
    "Time of a training step of a TopK transcoder (`interp.transcoders.training`), beside the dense step with autograd "
    "that libraries for sparse autoencoders make, from the same weights on the same batches to the same weights.",
    StepOptions,
    measure,
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())

"""Path patching of every head of a decoder, beside the published way: hooks on whole forward passes.

The loop is the one of the released code (Merullo et al. 2024; the same as TransformerLens users write): activations of
the clean and the counterfactual run are kept once; then, for every sender, one pass with everything frozen but the
sender (effects on the answer), or one such pass and one more with the receivers' recorded queries put in (effects on
queries). Both sides run on the same weights, prompts and machine, in turns; equal results come first.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.side_by_side import Benchmark, Options, Part, alternate, timed
from wheatstone.cli.benchmarks import Comparison
from wheatstone.interp.end_column import Head
from wheatstone.interp.path_patching import Contrast, Traced, by_hooks, path_effects
from wheatstone.learn.models.decoder import Decoder, DecoderConfig

GOAL = 5.0
TOLERANCE = 1e-4
HOOKS = "hooks on whole passes"


class Size(NamedTuple):
    """One model and its prompts."""

    layers: int
    width: int
    heads: int
    positions: int
    prompts: int
    rounds: int = 3

    def __str__(self) -> str:
        return f"{self.layers} layers x {self.heads} heads, {self.prompts} prompts of {self.positions}, d {self.width}"


SIZES = (Size(6, 128, 8, 16, 32), Size(12, 256, 8, 24, 8, 2))
FULL = (Size(24, 512, 16, 32, 8, 1),)
QUICK = (Size(2, 16, 2, 6, 3, 1),)


def random_decoder(size: Size) -> Decoder:
    """A Llama with weights large enough for patches to have an effect."""
    cfg = DecoderConfig(
        500,
        size.positions,
        size.width,
        size.layers,
        size.heads,
        max(1, size.heads // 2),
        size.width // size.heads,
        3 * size.width,
    )
    model = Decoder(cfg, torch.Generator().manual_seed(0)).requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.mul_(3)
    return model


def random_contrast(size: Size) -> Contrast:
    """Uniform tokens, two of each prompt exchanged in its counterfactual."""
    draw = torch.Generator().manual_seed(1)
    clean = torch.randint(500, (size.prompts, size.positions), generator=draw)
    other = clean.clone()
    other[:, 1:3] = torch.randint(500, (size.prompts, 2), generator=draw)
    end = torch.full((size.prompts,), size.positions - 1)
    return Contrast(clean, other, end, ((1,),) * size.prompts, ((2,),) * size.prompts)


def measure(options: Options, threads: int, part: Part) -> None:
    """All sizes, both stages."""
    for size in QUICK if options.quick else SIZES + (FULL if options.full else ()):
        model, contrast = random_decoder(size), random_contrast(size)
        senders = [Head(layer, head) for layer in range(size.layers) for head in range(size.heads)]
        receivers = [Head(size.layers - 1, 0), Head(size.layers - 1, 1)]
        for stage, targets in (("to the answer", None), ("to queries", receivers)):

            def ours(targets: list[Head] | None = targets) -> Tensor:
                return path_effects(model, Traced.of(model, contrast), targets).effect.flatten(1).T  # noqa: B023

            def hooked(targets: list[Head] | None = targets) -> Tensor:
                return by_hooks(model, contrast, senders, targets)  # noqa: B023

            case = f"{stage}, {size}"
            part.equal(case, (ours() - hooked()).abs().max().item(), TOLERANCE)
            sides = {"wheatstone": timed(ours, per=1e3), HOOKS: timed(hooked, per=1e3)}
            found = alternate(sides, size.rounds)
            goal = None if options.quick else GOAL
            part.compared(Comparison(case, "ms a map", found["wheatstone"], HOOKS, found[HOOKS], threads, goal=goal))


BENCHMARK = Benchmark(
    "path_patching",
    "Path patching",
    "The effect of every head on the answer, and on the queries of two heads, through paths at the last token "
    "(`interp.path_patching.path_effects`: both runs are traced, then one column a sender), beside a loop of hooks on "
    "whole forward passes with both runs kept, on the same weights and prompts.",
    Options,
    measure,
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())

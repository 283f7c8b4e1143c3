"""One training step (forward, backward, clip, AdamW) of `learn.training.fit`, of Hugging Face GPT-2, and nanoGPT-style.

Same weights, same rows, same batch, float32, no dropout. Two ways of comparing:

equal work   every position has a target and gets full-vocabulary logits on all sides
as used      two-hop questions with one answer each: `fit` computes what the answer needs; Hugging Face gets the
             question with its answer as one row and masked labels; the nanoGPT-style loop masks its targets

Operations are counted by formula (`composition.step_flops`, checked in the tests against torch's counter), and set
against the rate of a large matrix product in the same process.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.composition import composition, dense, settings, step_flops, with_answers
from benchmarks.peers import hugging_face, nanogpt
from benchmarks.side_by_side import Benchmark, Options, Part, alternate, profile_of, timed
from wheatstone.cli.benchmarks import Comparison
from wheatstone.learn.models.transformer import Transformer, TransformerConfig
from wheatstone.learn.optimisers import OptimiserConfig
from wheatstone.learn.sequences import Sequences
from wheatstone.learn.training import Batches, FitConfig, fit

Precision = Literal["float32", "bfloat16"]
GOAL_CPU = 2.0
TOLERANCE = 1e-4
LR, DECAY, BETA2, CLIP = 1e-3, 0.1, 0.999, 1.0
HUGGING_FACE, NANOGPT, MATMUL = "Hugging Face GPT-2", "nanoGPT-style", "matrix product"
COMPILED = "nanoGPT-style, compiled"


@dataclass(frozen=True)
class ThroughputOptions(Options):
    """Nothing of its own: --full adds bfloat16 on CPU and the compiled nanoGPT-style loop."""


class Size(NamedTuple):
    """One model and batch."""

    width: int
    layers: int
    heads: int
    batch: int
    steps: int
    """Steps a round."""
    rounds: int

    def __str__(self) -> str:
        return f"d {self.width}, {self.layers} layers, batch {self.batch}"


SIZES = (Size(128, 2, 4, 512, 6, 7), Size(128, 2, 4, 1024, 4, 7), Size(768, 2, 12, 512, 1, 5))
QUICK = (Size(32, 2, 2, 64, 2, 1),)


class Peer(NamedTuple):
    """Another implementation at work on the same rows."""

    first_loss: float
    """Loss on the first batch, before any update."""
    run: Callable[[int], object]
    """Trains so many steps."""


def plain_loop(
    model: nn.Module,
    loss_of: Callable[[nn.Module, Tensor], Tensor],
    batches: list[Tensor],
    precision: Callable[[], AbstractContextManager[Any]],
    compiled: bool = False,
) -> Peer:
    """The loop that a user writes around a model: AdamW as torch makes it, clip, step, zero_grad.

    The first loss is computed in float32 whatever the precision of the training.
    """
    optimiser = hugging_face.adamw(model, lr=LR, weight_decay=DECAY, beta2=BETA2)
    model.train()
    with torch.no_grad():
        first = loss_of(model, batches[0]).item()
    trained: Any = torch.compile(model) if compiled else model

    def run(steps: int) -> None:
        for step in range(steps):
            with precision():
                loss = loss_of(trained, batches[step % len(batches)])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    return Peer(first, run)


def ours(model: Transformer, rows: Sequences, batch: int, precision: Precision = "float32") -> Peer:
    """`fit` itself."""
    optimiser = OptimiserConfig(
        name="adamw", lr=LR, weight_decay=DECAY, beta2=BETA2, clip=CLIP, warmup=0, schedule="constant"
    )

    def run(steps: int) -> float:
        cfg = FitConfig(steps=steps, batch=batch, evaluations=1, precision=precision, optimiser=optimiser)
        return fit(model, rows, cfg, order_seed=0).history[0].values["train_loss"]

    return Peer(copy_and_first_loss(model, rows, batch, optimiser), run)


def copy_and_first_loss(model: Transformer, rows: Sequences, batch: int, optimiser: OptimiserConfig) -> float:
    """The loss that `fit` reports for its first step, on a copy of the model."""
    cfg = FitConfig(steps=1, batch=batch, evaluations=1, optimiser=optimiser)
    return fit(copy.deepcopy(model), rows, cfg, order_seed=0).history[0].values["train_loss"]


def peers_of(
    model: Transformer,
    rows: Sequences,
    batch: int,
    *,
    equal_work: bool,
    bfloat16: bool = False,
    compiled: bool = False,
) -> dict[str, Peer]:
    """Both peers with the weights of `model` on the rows that `fit` will draw."""
    device = next(model.parameters()).device
    order = Batches(len(rows), batch, 0)
    drawn = [order.rows(step, device) for step in range(min(16, order.per_epoch))]
    tokens, targets = rows.tokens.to(device), rows.targets.to(device)
    full_rows, labels = (part.to(device) for part in with_answers(rows))

    def cast() -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=bfloat16)

    def gpt2_loss(gpt2: nn.Module, chosen: Tensor) -> Tensor:
        if not equal_work:
            return gpt2(input_ids=full_rows[chosen], labels=labels[chosen]).loss
        logits = gpt2(input_ids=tokens[chosen]).logits
        return F.cross_entropy(logits.flatten(0, 1).float(), targets[chosen].flatten())

    def nano_loss(nano: nn.Module, chosen: Tensor) -> Tensor:
        return nano(tokens[chosen], targets[chosen])

    longer = model if equal_work else _with_one_more_position(model)
    gpt2: Any = hugging_face.with_weights_of(longer)
    gpt2 = gpt2.to(device)
    nano = nanogpt.with_weights_of(model).to(device)
    nanogpt.use_gelu(nano, "tanh")
    peers = {
        HUGGING_FACE: plain_loop(gpt2, gpt2_loss, drawn, cast),
        NANOGPT: plain_loop(nano, nano_loss, drawn, cast),
    }
    if compiled:
        peers[COMPILED] = plain_loop(nano, nano_loss, drawn, cast, compiled=True)
    nanogpt.use_gelu(nano, "none")
    return peers


def _with_one_more_position(model: Transformer) -> Transformer:
    """The same weights with room for the answer token, which causality keeps from changing anything."""
    longer = copy.deepcopy(model)
    assert longer.position is not None
    longer.position = nn.Parameter(torch.cat((longer.position, longer.position[:1])).detach())
    longer.cfg = TransformerConfig(**{**model.config_json(), "context": model.cfg.context + 1})  # type: ignore[arg-type]
    return longer


@torch.no_grad()
def spread_out(model: Transformer) -> Transformer:
    """Weights so large that a difference between two implementations shows in the loss."""
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return model


def matmul_rate(n: int = 2048, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Callable[[], float]:
    """A measurement of the FLOP/s of a product of two [n, n] matrices."""
    a = torch.randn(n, n, device=device, dtype=dtype)

    def product() -> float:
        started = time.perf_counter()
        torch.mm(a, a)
        if device == "cuda":
            torch.cuda.synchronize()
        return 2.0 * n**3 / (time.perf_counter() - started)

    return product


def measure(options: ThroughputOptions, threads: int, part: Part) -> None:
    """All sizes, both ways."""
    sizes = QUICK if options.quick else SIZES
    product = matmul_rate(256 if options.quick else 2048)
    for size in sizes:
        for equal_work in (True, False):
            compare(part, size, threads, product, equal_work=equal_work, goal=None if options.quick else GOAL_CPU)
    if options.full:
        fast = matmul_rate(dtype=torch.bfloat16)
        for size in sizes:
            compare(part, size, threads, fast, equal_work=True, goal=None, precision="bfloat16")


def compare(
    part: Part,
    size: Size,
    threads: int,
    matmul: Callable[[], float],
    *,
    equal_work: bool,
    goal: float | None,
    precision: Precision = "float32",
    device: str = "cpu",
    compiled: bool = False,
) -> None:
    """One size, one way: losses first, then time, then the share of the machine's own rate.

    With `compiled` the nanoGPT-style loop is also run as nanoGPT runs it by default, through torch.compile.
    """
    gpu = device == "cuda"
    config = settings(50 if size.width > 32 else 12, d_model=size.width, n_layer=size.layers, n_head=size.heads)
    task = composition(config, seed=0)
    rows = (dense(task.train) if equal_work else task.train).to(device)
    cfg = config.transformer(task.vocab, task.context)
    model = spread_out(Transformer(cfg, torch.Generator().manual_seed(0))).to(device)
    case = f"{'equal work' if equal_work else 'as used'}, {size}{', bfloat16' if precision == 'bfloat16' else ''}"
    case += ", GPU" if gpu else ""
    me = ours(model, rows, size.batch, precision)
    peers = peers_of(
        model, rows, size.batch, equal_work=equal_work, bfloat16=precision == "bfloat16", compiled=compiled
    )
    for name, peer in peers.items():
        part.equal(f"loss in float32, {name}, {case}", abs(me.first_loss - peer.first_loss), TOLERANCE)

    def milliseconds(run: Callable[[int], object]) -> Callable[[], float]:
        def work() -> None:
            run(size.steps)
            if gpu:
                torch.cuda.synchronize()

        return timed(work, per=1e3 / size.steps)

    sides = {name: milliseconds(peer.run) for name, peer in {"wheatstone": me, **peers}.items()}
    found = alternate(sides | {MATMUL: matmul}, size.rounds)
    peak = found.pop(MATMUL)
    missed = [
        not part.compared(Comparison(case, "ms a step", found["wheatstone"], name, found[name], threads, goal=goal)).met
        for name in peers
    ]
    whole = step_flops(cfg, size.batch, task.context, answer_only=False)
    for name, taken in found.items():
        work = step_flops(cfg, size.batch, task.context, answer_only=True) if _spares(name, equal_work) else whole
        rate = work / (taken.median / 1e3)
        part.figure(
            f"{name}, {case}, {threads} threads",
            f"{rate / 1e9:.1f} GFLOP/s, {rate / peak.median:.0%} of a large matrix product ({peak.median / 1e9:.1f})",
        )
    if goal is not None and any(missed) and not gpu and size is SIZES[1]:
        part.profiles[f"{case}, {threads} threads, wheatstone, one step"] = profile_of(lambda: me.run(1))
        part.profiles[f"{case}, {threads} threads, {HUGGING_FACE}, one step"] = profile_of(
            lambda: peers[HUGGING_FACE].run(1)
        )


def _spares(name: str, equal_work: bool) -> bool:
    """Only our own step leaves out what the answer does not need."""
    return name == "wheatstone" and not equal_work


BENCHMARK = Benchmark(
    "throughput",
    "Training step",
    "One optimiser step (forward, backward, clipping, AdamW) at equal weights, rows, batch and precision. *Equal "
    "work*: logits over the whole vocabulary at all positions on every side. *As used*: two-hop questions with one "
    "answer each, every side as its users run it. The nanoGPT-style loop is our own re-implementation of that style.",
    ThroughputOptions,
    measure,
    threads=(1, 2),
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())

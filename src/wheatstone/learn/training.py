"""One training loop: batches on the device, loss at the targets only, log-spaced evaluation, exact resume.

A run of `fit` is a function of its arguments and the named seeds alone: the batch of step s is cut from the permutation
of epoch s // steps_per_epoch, which is drawn anew from (seed, epoch). A checkpoint therefore holds the weights, the
optimiser and the step, and a resumed run is bit for bit the unbroken one on the same machine and thread count.

The loss is computed in float32 whatever the precision of the forward pass: in lower precision the softmax saturates and
stops the gradients that grokking needs (Prieto et al. 2025, arXiv:2501.04697).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt
from jaxtyping import Float, Int
from torch import Tensor

from wheatstone.learn.models.transformer import Transformer
from wheatstone.learn.optimisers import Optimiser, OptimiserConfig
from wheatstone.learn.sequences import NO_TARGET, Sequences

CHECKPOINT_SECONDS = 20.0
PROGRESS_EVERY = 5
Evaluate = Callable[[Transformer], Mapping[str, float]]


@dataclass(frozen=True)
class FitConfig:
    """How long, in what batches, with which loss and optimiser."""

    steps: Annotated[int, Gt(0)] = 500
    """Optimiser steps at most."""
    batch: Annotated[int, Gt(0)] = 1024
    """Rows a step (a row of the shared-prefix layout holds many questions)."""
    evaluations: Annotated[int, Gt(0)] = 30
    """Log-spaced evaluations over the run."""
    loss: Literal["softmax", "stablemax"] = "softmax"
    """Cross-entropy of softmax, or of StableMax (arXiv:2501.04697)."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the forward matrix products; weights and loss stay in float32."""
    stop_metric: str | None = None
    """Stop early once this evaluated metric ..."""
    stop_at: float = 1.0
    """... is at least this ..."""
    stop_times: Annotated[int, Ge(1)] = 3
    """... in so many consecutive evaluations."""
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    """Optimiser and schedule."""


@runtime_checkable
class Saved(Protocol):
    """A checkpoint read back."""

    @property
    def tensors(self) -> Mapping[str, Tensor]: ...
    @property
    def state(self) -> Mapping[str, Any]: ...


@runtime_checkable
class Keeper(Protocol):
    """Where a run leaves its traces: `bench.run.Trial`, or nothing."""

    def log(self, step: int, **values: float) -> None: ...
    def progress(self, done: int, total: int, note: str = "") -> None: ...
    def save_checkpoint(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None: ...
    def load_checkpoint(self) -> Saved | None: ...


class Point(NamedTuple):
    """One evaluation."""

    step: int
    seconds: float
    """Training time so far, evaluation excluded."""
    values: dict[str, float]


@dataclass(frozen=True)
class Fitted:
    """What a run did."""

    steps: int
    seconds: float
    """Training time, evaluation and interruptions excluded."""
    rows: int
    """Rows seen, repetitions counted."""
    history: tuple[Point, ...]

    def first(self, metric: str, at_least: float) -> Point | None:
        """The first evaluation where `metric` is at least `at_least`: time to threshold in steps and seconds."""
        return next((point for point in self.history if point.values.get(metric, -np.inf) >= at_least), None)


def evaluation_steps(total: int, count: int) -> list[int]:
    """About `count` log-spaced steps in 1 .. total, both included."""
    return sorted({round(step) for step in np.geomspace(1, total, count)})


def fit(
    model: Transformer,
    data: Sequences,
    cfg: FitConfig,
    *,
    order_seed: int,
    evaluate: Evaluate | None = None,
    keeper: Keeper | None = None,
    on_evaluation: Callable[[Point, Transformer], None] | None = None,
) -> Fitted:
    """Train `model` in place on `data`.

    Arguments:
        order_seed: seeds the order of rows and dropout.
        evaluate: called on the model (in eval mode, without gradients) at log-spaced steps.
        keeper: gets metrics, progress and checkpoints; a run that finds a checkpoint there goes on from it.
        on_evaluation: called after each evaluation, for snapshots.
    """
    device = next(model.parameters()).device
    data = data.to(device)
    optimiser = Optimiser(model, cfg.optimiser, cfg.steps)
    batches = Batches(len(data), cfg.batch, order_seed)
    step, seconds, history = 0, 0.0, list[Point]()

    saved = keeper.load_checkpoint() if keeper else None
    if saved is not None:
        model.load_state_dict(_under("model.", saved.tensors))
        optimiser.load_state_tensors(_under("optimiser.", saved.tensors))
        step, seconds = saved.state["step"], saved.state["seconds"]
        history = [Point(*point) for point in saved.state["history"]]

    def save() -> None:
        if keeper is not None:
            tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
            tensors |= {f"optimiser.{k}": v for k, v in optimiser.state_tensors().items()}
            keeper.save_checkpoint(tensors, {"step": step, "seconds": seconds, "history": history})

    single = data.single_targets()
    plan = set(evaluation_steps(cfg.steps, cfg.evaluations))
    autocast = torch.autocast(device.type, torch.bfloat16) if cfg.precision == "bfloat16" else nullcontext()
    loss_of = LOSSES[cfg.loss]
    model.train()
    started = last_save = time.perf_counter()
    while step < cfg.steps and not _stopped(history, cfg):
        rows = batches.rows(step, device)
        if model.cfg.dropout:
            torch.manual_seed(order_seed + step)  # dropout draws from the global generator only
        with autocast:
            logits, targets = target_logits(model, data, rows, single)
        loss = loss_of(logits.float(), targets)
        loss.backward()
        optimiser.step(step)
        step += 1
        if keeper is not None and step % PROGRESS_EVERY == 0:
            keeper.progress(step, cfg.steps)
        now = time.perf_counter()
        if step in plan or step == cfg.steps:
            seconds += now - started
            values = {"train_loss": loss.item()} | evaluated(model, evaluate)
            history.append(Point(step, seconds, values))
            if keeper is not None:
                keeper.log(step, seconds=seconds, rows=step * cfg.batch, **values)
            if on_evaluation is not None:
                on_evaluation(history[-1], model)
            save()
            started = last_save = time.perf_counter()
        elif now - last_save > CHECKPOINT_SECONDS:
            seconds += now - started
            save()
            started = last_save = time.perf_counter()
    model.eval()
    return Fitted(step, seconds, step * cfg.batch, tuple(history))


def target_logits(
    model: Transformer, data: Sequences, rows: Int[Tensor, " batch"], single: Int[Tensor, " row"] | None
) -> tuple[Float[Tensor, "target vocab"], Int[Tensor, " target"]]:
    """Logits and targets of the asked positions of some rows; `single` is what `data.single_targets()` gave."""
    tokens, targets = data.tokens[rows], data.targets[rows]
    if single is not None:
        at = single[rows]
        resid = model.resid_at(tokens, at, mask=data.mask, positions=data.positions)
        return model.unembed(resid), targets.gather(1, at[:, None])[:, 0]
    asked = targets != NO_TARGET
    resid = model.resid(tokens, mask=data.mask, positions=data.positions)
    return model.unembed(resid[asked]), targets[asked]


class Batches:
    """The rows of each step: consecutive slices of one permutation an epoch, the last short slice dropped."""

    def __init__(self, n_row: int, batch: int, seed: int) -> None:
        self.n_row, self.batch, self.seed = n_row, min(batch, n_row), seed
        self.per_epoch = n_row // self.batch
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def rows(self, step: int, device: torch.device | None = None) -> Int[Tensor, " batch"]:
        """Row numbers of 0-based `step`."""
        epoch, slot = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            order = np.random.default_rng((self.seed, epoch)).permutation(self.n_row)
            self._epoch, self._order = epoch, torch.from_numpy(order).to(device)
        return self._order[slot * self.batch : (slot + 1) * self.batch]


def evaluated(model: Transformer, evaluate: Evaluate | None) -> dict[str, float]:
    """`evaluate` in eval mode, without gradients."""
    if evaluate is None:
        return {}
    model.eval()
    with torch.no_grad():
        values = dict(evaluate(model))
    model.train()
    return values


@torch.no_grad()
def answers(model: Transformer, prompts: Int[Tensor, "question pos"], *, batch: int = 8192) -> Int[Tensor, " question"]:
    """The most probable next token of each prompt, among the whole vocabulary."""
    found = [model.unembed(model.resid(part)[:, -1]).argmax(-1) for part in prompts.split(batch)]
    return torch.cat(found) if found else prompts.new_empty(0)


def accuracy(model: Transformer, prompts: Int[Tensor, "question pos"], expected: Int[Tensor, " question"]) -> float:
    """Share of prompts answered exactly, in [0, 1]; NaN without prompts."""
    return (answers(model, prompts) == expected).float().mean().item()


def stablemax_loss(logits: Float[Tensor, "question vocab"], targets: Int[Tensor, " question"]) -> Float[Tensor, ""]:
    """Cross-entropy of s(x) / sum s(x) with s(x) = x + 1 for x >= 0, else 1 / (1 - x): arXiv:2501.04697, section 4."""
    s = torch.where(logits >= 0, logits + 1, 1 / (1 - logits.clamp(max=0)))
    return F.nll_loss(s.log() - s.sum(-1, keepdim=True).log(), targets)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"softmax": F.cross_entropy, "stablemax": stablemax_loss}


def _stopped(history: list[Point], cfg: FitConfig) -> bool:
    if cfg.stop_metric is None or len(history) < cfg.stop_times:
        return False
    return all(point.values[cfg.stop_metric] >= cfg.stop_at for point in history[-cfg.stop_times :])


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

"""Training of any network on rows of numbers: a loss of chosen rows, Adam, checkpoints that resume exactly.

The transformer's loop (`training.py`) knows tokens and targets. This one knows nothing but `loss(model, rows)`, so that
a study can put triples, trajectories or equations behind it. As there, the batch of a step is a function of seed and
step alone, and a checkpoint holds weights, optimiser, step and the best weights so far, so that a resumed run is bit
for bit the unbroken one. `Stages` strings several trainings of one trial together, as a grid or a sweep needs them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float, Int
from torch import Tensor, nn

from wheatstone.bench.errors import UserError
from wheatstone.learn.training import Batches, Keeper, Saved

CHECKPOINT_SECONDS = 20.0
PROGRESS_EVERY = 20
Loss = Callable[[Any, Int[Tensor, " batch"]], Float[Tensor, ""]]
"""(model, row numbers) -> the loss whose gradient is followed."""
Evaluate = Callable[[Any], Mapping[str, float]]


@dataclass(frozen=True)
class RegressionConfig:
    """How long, in what batches, at which rate."""

    steps: Annotated[int, Gt(0)] = 8000
    """Optimiser steps."""
    batch: Annotated[int, Gt(0)] = 500
    """Rows a step; all rows where there are fewer."""
    lr: Annotated[float, Gt(0)] = 1e-3
    """Rate of Adam at the start."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Constant, or a half cosine down to a hundredth of the rate."""
    weight_decay: Annotated[float, Ge(0)] = 0.0
    """Decoupled decay (AdamW) of all weights."""
    evaluations: Annotated[int, Gt(0)] = 8
    """Evenly spaced evaluations."""
    keep: str = ""
    """The evaluated metric whose least value chooses the weights that are kept; empty keeps the last."""

    def rate(self, step: int) -> float:
        """The learning rate of 0-based `step`."""
        if self.schedule == "constant":
            return self.lr
        return self.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / self.steps)))


class Evaluation(NamedTuple):
    """What was measured after so many steps."""

    step: int
    values: dict[str, float]


@dataclass(frozen=True)
class Regressed:
    """What a training did; the model has the kept weights."""

    step: int
    """The step whose weights were kept."""
    values: Mapping[str, float]
    """What was measured with them."""
    history: tuple[Evaluation, ...]


def fit_regression(
    model: nn.Module,
    loss: Loss,
    n_row: int,
    cfg: RegressionConfig,
    *,
    order_seed: int,
    evaluate: Evaluate,
    keeper: Keeper | None = None,
) -> Regressed:
    """Trains `model` in place.

    Args:
        model: any module; its parameters are updated.
        loss: see `Loss`; called on a tensor of row numbers below `n_row`, in train mode.
        n_row: rows of data.
        cfg: see there.
        order_seed: seeds the order of rows.
        evaluate: measures in eval mode, without gradients; what it returns is logged.
        keeper: gets metrics, progress and checkpoints; a run that finds a checkpoint there goes on from it.

    Raises UserError when the loss is no number any more.
    """
    device = next(model.parameters()).device
    batches = Batches(n_row, cfg.batch, order_seed)
    adam = torch.optim.AdamW(model.parameters(), cfg.lr, weight_decay=cfg.weight_decay, fused=True)
    plan = {-(-cfg.steps * part // cfg.evaluations) for part in range(1, cfg.evaluations + 1)}
    step, best, history = 0, -1, list[Evaluation]()
    kept: dict[str, Tensor] = {}
    saved = keeper.load_checkpoint() if keeper else None
    if saved is not None:
        step, best = saved.state["step"], saved.state["best"]
        history = [Evaluation(*point) for point in saved.state["history"]]
        kept = _under("kept.", saved.tensors)
        model.load_state_dict(_under("model.", saved.tensors))
        _load_adam(adam, _under("adam.", saved.tensors))
    model.train()
    started = time.perf_counter()
    while step < cfg.steps:
        for group in adam.param_groups:
            group["lr"] = cfg.rate(step)
        found = loss(model, batches.rows(step, device))
        found.backward()
        adam.step()
        adam.zero_grad(set_to_none=True)
        step += 1
        if keeper and step % PROGRESS_EVERY == 0:
            keeper.progress(step, cfg.steps)
        if step in plan:
            if not math.isfinite(found.item()):
                raise UserError(f"training: the loss is not a number at step {step}. Lower the learning rate.")
            history.append(Evaluation(step, _evaluated(model, evaluate)))
            if keeper:
                keeper.log(step, **history[-1].values)
            if not cfg.keep or best < 0 or history[-1].values[cfg.keep] < history[best].values[cfg.keep]:
                best = len(history) - 1
                kept = {name: value.clone() for name, value in model.state_dict().items()} if cfg.keep else {}
        if keeper and (step in plan or time.perf_counter() - started > CHECKPOINT_SECONDS):
            state = {"step": step, "best": best, "history": history}
            keeper.save_checkpoint(_tensors(model, adam, kept), state)
            started = time.perf_counter()
    if kept:
        model.load_state_dict(kept)
    model.eval()
    return Regressed(history[best].step, history[best].values, tuple(history))


@torch.no_grad()
def _evaluated(model: nn.Module, evaluate: Evaluate) -> dict[str, float]:
    model.eval()
    values = {name: float(value) for name, value in evaluate(model).items()}
    model.train()
    return values


def _tensors(model: nn.Module, adam: torch.optim.Optimizer, kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {f"model.{name}": value for name, value in model.state_dict().items()}
    found |= {f"kept.{name}": value for name, value in kept.items()}
    for index, values in adam.state_dict()["state"].items():
        found |= {f"adam.{index}.{name}": torch.as_tensor(value) for name, value in values.items()}
    return found


def _load_adam(adam: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".")
        state.setdefault(int(index), {})[key] = value
    adam.load_state_dict({"state": state, "param_groups": adam.state_dict()["param_groups"]})


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


class _Found(NamedTuple):
    """A checkpoint read back, as `Keeper` promises it."""

    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]


class Stages:
    """Several trainings of one trial, one after another; a killed trial skips those that had finished.

    Args:
        keeper: the trial, or None to keep nothing.
        steps: steps of all trainings together, for progress.
    """

    def __init__(self, keeper: Keeper | None, steps: int) -> None:
        self.keeper, self.total, self.done = keeper, steps, 0
        self.tensors: dict[str, Tensor] = {}
        self.finished: dict[str, Any] = {}
        self._saved: Saved | None = keeper.load_checkpoint() if keeper else None
        if self._saved is not None:
            self.finished = dict(self._saved.state["finished"])
            self.tensors = _under("finished.", self._saved.tensors)

    def fit(
        self,
        name: str,
        model: nn.Module,
        loss: Loss,
        n_row: int,
        cfg: RegressionConfig,
        *,
        order_seed: int,
        evaluate: Evaluate,
    ) -> Regressed:
        """As `fit_regression`, with the metrics logged as `<name>_<metric>` (as they are when `name` is empty).

        The name must differ from that of every other stage.
        """
        key = name or "only"
        if key in self.finished:
            model.load_state_dict(_under(f"{key}/", self.tensors))
            model.eval()
            found = self.finished[key]
            regressed = Regressed(found["step"], found["values"], tuple(Evaluation(*one) for one in found["history"]))
        else:
            keeper = _StageKeeper(self, key, f"{name}_" if name else "") if self.keeper else None
            regressed = fit_regression(model, loss, n_row, cfg, order_seed=order_seed, evaluate=evaluate, keeper=keeper)
            self.finished[key] = {"step": regressed.step, "values": regressed.values, "history": regressed.history}
            self.tensors |= {f"{key}/{part}": value.clone() for part, value in model.state_dict().items()}
        self.done += cfg.steps
        return regressed

    def resumed(self, key: str) -> Saved | None:
        """The checkpoint that was made in the middle of the stage, once."""
        saved, self._saved = self._saved, None
        return saved if saved is not None and saved.state["stage"] == key else None


class _StageKeeper:
    """What one training of several sees of the trial."""

    def __init__(self, stages: Stages, key: str, prefix: str) -> None:
        assert stages.keeper is not None
        self.stages, self.key, self.prefix, self.keeper = stages, key, prefix, stages.keeper

    def log(self, step: int, **values: float) -> None:
        self.keeper.log(step, **{self.prefix + name: value for name, value in values.items()})

    def progress(self, done: int, total: int, note: str = "") -> None:
        del total
        self.keeper.progress(self.stages.done + done, self.stages.total, note)

    def save_checkpoint(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        everything = {**tensors, **{f"finished.{name}": value for name, value in self.stages.tensors.items()}}
        record = {**state, "stage": self.key, "finished": self.stages.finished}
        self.keeper.save_checkpoint(everything, record)

    def load_checkpoint(self) -> Saved | None:
        saved = self.stages.resumed(self.key)
        return saved and _Found(saved.tensors, saved.state)


def log_slope(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Exponent of a power law through the points (least squares of logarithms), and its standard error.

    NaN as error with two points; points that are not positive have no logarithm and give NaN.
    """
    if min(*x, *y) <= 0:
        return math.nan, math.nan
    a, b = [math.log(value) for value in x], [math.log(value) for value in y]
    n, mean_a, mean_b = len(a), math.fsum(a) / len(a), math.fsum(b) / len(b)
    spread = math.fsum((value - mean_a) ** 2 for value in a)
    slope = math.fsum((p - mean_a) * (q - mean_b) for p, q in zip(a, b, strict=True)) / spread
    if n < 3:
        return slope, math.nan
    left = math.fsum((q - mean_b - slope * (p - mean_a)) ** 2 for p, q in zip(a, b, strict=True))
    return slope, math.sqrt(left / (n - 2) / spread)

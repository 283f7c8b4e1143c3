"""One training loop: batches on the device, loss at the targets only, log-spaced evaluation, exact resume.

A run of `fit` is a function of its arguments and the named seeds alone: the batch of step s is cut from the permutation
of epoch s // steps_per_epoch, which is drawn anew from (seed, epoch). A checkpoint therefore holds the weights, the
optimiser and the step, and a resumed run is bit for bit the unbroken one on the same machine and thread count.

The loss is computed in float32 whatever the precision of the forward pass: in lower precision the softmax saturates and
stops the gradients that grokking needs (Prieto et al. 2025, arXiv:2501.04697).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt
from jaxtyping import Float, Int
from torch import Tensor

from wheatstone.bench.parallel import add_up, place
from wheatstone.learn.captured import Captured
from wheatstone.learn.models.transformer import Transformer
from wheatstone.learn.optimisers import Optimiser, OptimiserConfig
from wheatstone.learn.sequences import NO_TARGET, Sequences
from wheatstone.learn.stack import Stack

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
    """Evaluations over the run."""
    spacing: Literal["log", "even"] = "log"
    """How evaluations are spaced over the steps."""
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


def evaluation_steps(total: int, count: int, spacing: Literal["log", "even"] = "log") -> list[int]:
    """About `count` steps in 1 .. total, both included, spaced evenly by their logarithm or by themselves."""
    spaced = np.geomspace if spacing == "log" else np.linspace
    return sorted({round(step) for step in spaced(1, total, count)})


@dataclass(frozen=True)
class Training:
    """Everything that a training run needs: the arguments of `fit`."""

    model: Transformer
    """Trained in place."""
    data: Sequences
    cfg: FitConfig
    order_seed: int
    """Seeds the order of rows and dropout."""
    evaluate: Evaluate | None = None
    """Called on the model (in eval mode, without gradients) at the steps of `evaluation_steps`."""
    keeper: Keeper | None = None
    """Gets metrics, progress and checkpoints; a run that finds a checkpoint there goes on from it."""
    on_evaluation: Callable[[Point, Transformer], None] | None = None
    """Called after each evaluation, for snapshots."""

    def fit(self) -> Fitted:
        """Train the model alone."""
        return fit_together([self])[0]


def fit(model: Transformer, data: Sequences, cfg: FitConfig, *, order_seed: int, **rest: Any) -> Fitted:
    """Train `model` in place on `data`: `Training(...).fit()` in one call."""
    return Training(model, data, cfg, order_seed, **rest).fit()


def fit_together(trainings: Sequence[Training]) -> list[Fitted]:
    """Train several models; those that can share their steps (see `shape`) are trained as one `Stack`.

    A replica goes through the updates that it would go through alone, up to rounding. Each keeps its own metrics and
    checkpoints, which do not say whether it was alone: a run that was killed may go on in other company. `seconds` of
    a stack are shared out equally among its replicas.
    """
    courses = [_Course(training) for training in trainings]
    by_shape: dict[object, list[_Course]] = {}
    for course in courses:
        by_shape.setdefault(shape(course.training) or course, []).append(course)
    for group in by_shape.values():
        while unfinished := [course for course in group if not course.finished]:
            # After a kill some may be behind: they go first, until they have caught up with the next.
            step = min(course.step for course in unfinished)
            crew = [course for course in unfinished if course.step == step]
            _train(crew, until=min((course.step for course in unfinished if course.step > step), default=None))
    return [course.result() for course in courses]


def shape(training: Training) -> object | None:
    """What two trainings must have in common to be stacked; None where one cannot be.

    Dropout draws from one generator, rows with several targets or a mask of their own have no common shape, and some
    models cannot be stacked at all.
    """
    data, model = training.data, training.model
    if (
        not model.fixed_shapes
        or model.cfg.dropout
        or data.mask is not None
        or data.positions is not None
        or data.single_targets() is None
    ):
        return None
    batch = min(training.cfg.batch, len(data))
    return model.cfg, training.cfg, batch, data.tokens.shape[1], next(model.parameters()).device


class _Course:
    """One training under way: how far it is, and what it leaves with its keeper."""

    def __init__(self, training: Training) -> None:
        self.training, self.cfg, self.model = training, training.cfg, training.model
        self.device = next(self.model.parameters()).device
        self.data = training.data.to(self.device)
        self.single = self.data.single_targets()
        self.asked = self.data.target_positions() if self.single is None else None
        self.batches = Batches(len(self.data), self.cfg.batch, training.order_seed)
        self.step, self.seconds, self.history = 0, 0.0, list[Point]()
        self.optimiser: dict[str, Tensor] = {}
        """State of the optimiser between two crews; empty before the first step."""
        saved = training.keeper.load_checkpoint() if training.keeper else None
        if saved is not None:
            self.model.load_state_dict(_under("model.", saved.tensors))
            self.optimiser = _under("optimiser.", saved.tensors)
            self.step, self.seconds = saved.state["step"], saved.state["seconds"]
            self.history = [Point(*point) for point in saved.state["history"]]

    @property
    def finished(self) -> bool:
        return self.step >= self.cfg.steps or self._stopped()

    def _stopped(self) -> bool:
        cfg, history = self.cfg, self.history
        if cfg.stop_metric is None or len(history) < cfg.stop_times:
            return False
        return all(point.values[cfg.stop_metric] >= cfg.stop_at for point in history[-cfg.stop_times :])

    def progress(self, step: int) -> None:
        if self.training.keeper is not None:
            self.training.keeper.progress(step, self.cfg.steps)

    def evaluate(self, train_loss: float) -> None:
        """Measure, log and tell at the step of now."""
        values = {"train_loss": train_loss} | evaluated(self.model, self.training.evaluate)
        self.history.append(Point(self.step, self.seconds, values))
        if self.training.keeper is not None:
            self.training.keeper.log(self.step, seconds=self.seconds, rows=self.step * self.cfg.batch, **values)
        if self.training.on_evaluation is not None:
            self.training.on_evaluation(self.history[-1], self.model)

    def save(self, optimiser: Mapping[str, Tensor]) -> None:
        """Leave a checkpoint of now."""
        if self.training.keeper is not None:
            tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
            tensors |= {f"optimiser.{k}": v for k, v in optimiser.items()}
            state = {"step": self.step, "seconds": self.seconds, "history": self.history}
            self.training.keeper.save_checkpoint(tensors, state)

    def result(self) -> Fitted:
        self.model.eval()
        return Fitted(self.step, self.seconds, self.step * self.cfg.batch, tuple(self.history))


def _train(crew: Sequence[_Course], until: int | None) -> None:
    """Train courses that are at the same step, all of them at once, until one has finished or `until` is reached."""
    cfg, step = crew[0].cfg, crew[0].step
    plan = {*evaluation_steps(cfg.steps, cfg.evaluations, cfg.spacing), cfg.steps}
    steps = _Alone(crew[0]) if len(crew) == 1 else _Together(crew)
    try:
        started = time.perf_counter()
        while step != until:
            losses = steps(step)
            step += 1
            if step % PROGRESS_EVERY == 0:
                for course in crew:
                    course.progress(step)
            evaluates = step in plan
            if not (evaluates or step == until or time.perf_counter() - started > CHECKPOINT_SECONDS):
                continue
            values = losses.tolist()  # waits for the device, so the clock is read when the step is done
            seconds = (time.perf_counter() - started) / len(crew)
            for replica, (course, loss) in enumerate(zip(crew, values, strict=True)):
                course.step, course.seconds = step, course.seconds + seconds
                if evaluates:
                    course.evaluate(loss)
                course.save(steps.state(replica))
            if any(course.finished for course in crew):
                break
            started = time.perf_counter()
        for replica, course in enumerate(crew):
            course.optimiser = {name: value.clone() for name, value in steps.state(replica).items()}
    finally:
        steps.release()


class _Alone:
    """The steps of one course."""

    def __init__(self, course: _Course) -> None:
        self.course, self.model, self.place = course, course.model, place()
        self.optimiser = Optimiser(course.model, course.cfg.optimiser, course.cfg.steps)
        if course.optimiser:
            self.optimiser.load_state_tensors(course.optimiser)
        self.model.train()
        fixed_shape = self.model.fixed_shapes and (course.single is not None or course.asked is not None)
        captures = course.device.type == "cuda" and fixed_shape and self.place.world == 1 and not self.model.cfg.dropout
        self.update = Captured(self._update) if captures else self._update

    def __call__(self, step: int) -> Float[Tensor, " replica"]:
        """Makes 0-based `step`; the loss before it."""
        course, model = self.course, self.model
        if model.cfg.dropout:
            # Dropout draws from the global generator only; another process draws for other rows.
            torch.manual_seed(course.training.order_seed + step + (self.place.rank << 40))
        self.optimiser.set_rate(step)
        return self.update(course.batches.rows(step, course.device)[self.place.rank :: self.place.world])

    def _update(self, rows: Int[Tensor, " batch"]) -> Float[Tensor, " replica"]:
        course, model = self.course, self.model
        with _forward_precision(course):
            logits, targets = target_logits(model, course.data, rows, course.single, course.asked)
        loss = LOSSES[course.cfg.loss](logits.float(), targets) + model.penalty()
        if self.place.world > 1:
            loss = self._backward_everywhere(loss, len(targets))
        else:
            loss.backward()
        self.optimiser.update()
        return loss.detach()[None]

    def _backward_everywhere(self, loss: Float[Tensor, ""], n_target: int) -> Float[Tensor, ""]:
        """The gradients, and the loss, of the mean over the targets of all processes."""
        loss = loss * n_target
        loss.backward()
        sums = torch.stack([loss.detach(), loss.new_tensor(n_target)])
        gradients = [p.grad for p in self.optimiser.parameters if p.grad is not None]
        add_up([*gradients, sums])
        for gradient in gradients:
            gradient.div_(sums[1])
        return sums[0] / sums[1]

    def state(self, replica: int) -> dict[str, Tensor]:
        """What the optimiser needs to go on."""
        assert replica == 0
        return self.optimiser.state_tensors()

    def release(self) -> None:
        """Nothing is held."""


class _Together:
    """The steps of several courses as one batched computation."""

    def __init__(self, crew: Sequence[_Course]) -> None:
        self.crew, self.cfg = crew, crew[0].cfg
        for course in crew:
            course.model.train()
        self.stack = Stack([course.model for course in crew])
        self.optimiser = Optimiser(self.stack, self.cfg.optimiser, self.cfg.steps)
        if crew[0].optimiser:
            self.optimiser.load_replicas([course.optimiser for course in crew])
        self.update = Captured(self._update) if crew[0].device.type == "cuda" else self._update

    def __call__(self, step: int) -> Float[Tensor, " replica"]:
        """Makes 0-based `step` in all courses; their losses before it."""
        self.optimiser.set_rate(step)
        return self.update(torch.stack([course.batches.rows(step, course.device) for course in self.crew]))

    def _update(self, rows: Int[Tensor, "replica batch"]) -> Float[Tensor, " replica"]:
        parts: list[Asked] = []
        for course, chosen in zip(self.crew, rows, strict=True):
            assert course.single is not None, "see `shape`"
            parts.append(asked(course.data, chosen, course.single))
        tokens, at, targets = (torch.stack(part) for part in zip(*parts, strict=True))
        with _forward_precision(self.crew[0]):
            losses = self.stack.losses(tokens, at, targets, LOSSES[self.cfg.loss])
        losses.sum().backward()
        self.optimiser.update()
        return losses.detach()

    def state(self, replica: int) -> dict[str, Tensor]:
        """What the optimiser of one course needs to go on, alone or in company."""
        return self.optimiser.state_tensors(replica)

    def release(self) -> None:
        """Gives the models memory of their own back."""
        self.stack.release()


def _forward_precision(course: _Course) -> AbstractContextManager[Any]:
    if course.cfg.precision == "float32":
        return nullcontext()
    # A cached cast would belong to the first capture of a graph; each weight is used once in a forward pass anyway.
    return torch.autocast(course.device.type, torch.bfloat16, cache_enabled=course.device.type != "cuda")


def target_logits(
    model: Transformer,
    data: Sequences,
    rows: Int[Tensor, " batch"],
    single: Int[Tensor, " row"] | None,
    positions: Int[Tensor, "row asked"] | None = None,
) -> tuple[Float[Tensor, "target vocab"], Int[Tensor, " target"]]:
    """Logits and targets of the asked positions of some rows.

    `single` is what `data.single_targets()` gave, `positions` what `data.target_positions()` gave: with one of them no
    shape depends on the data.
    """
    if single is not None:
        tokens, at, targets = asked(data, rows, single)
        return model.unembed(model.resid_at(tokens, at, mask=data.mask, positions=data.positions)), targets
    tokens, targets = data.tokens[rows], data.targets[rows]
    resid = model.resid(tokens, mask=data.mask, positions=data.positions)
    if positions is not None:
        at = positions[rows]
        if at.shape[1] < tokens.shape[1]:
            resid, targets = resid.gather(1, at[:, :, None].expand(-1, -1, resid.shape[-1])), targets.gather(1, at)
        return model.unembed(resid.flatten(0, 1)), targets.flatten()
    is_asked = targets != NO_TARGET
    return model.unembed(resid[is_asked]), targets[is_asked]


class Asked(NamedTuple):
    """Rows that ask for one token each."""

    tokens: Int[Tensor, "batch pos"]
    at: Int[Tensor, " batch"]
    """The position that is asked."""
    targets: Int[Tensor, " batch"]


def asked(data: Sequences, rows: Int[Tensor, " batch"], single: Int[Tensor, " row"]) -> Asked:
    """Some rows of data with single targets, at the positions that `data.single_targets()` gave."""
    at = single[rows]
    return Asked(data.tokens[rows], at, data.targets[rows].gather(1, at[:, None])[:, 0])


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
    if not len(prompts):
        return prompts.new_empty(0)
    return torch.cat([model.unembed(model.resid(part)[:, -1]).argmax(-1) for part in prompts.split(batch)])


def accuracy(model: Transformer, prompts: Int[Tensor, "question pos"], expected: Int[Tensor, " question"]) -> float:
    """Share of prompts answered exactly, in [0, 1]; NaN without prompts."""
    return (answers(model, prompts) == expected).float().mean().item()


def stablemax_loss(logits: Float[Tensor, "question vocab"], targets: Int[Tensor, " question"]) -> Float[Tensor, ""]:
    """Cross-entropy of s(x) / sum s(x) with s(x) = x + 1 for x >= 0, else 1 / (1 - x): arXiv:2501.04697, section 4."""
    s = torch.where(logits >= 0, logits + 1, 1 / (1 - logits.clamp(max=0)))
    return F.nll_loss(s.log() - s.sum(-1, keepdim=True).log(), targets)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"softmax": F.cross_entropy, "stablemax": stablemax_loss}


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

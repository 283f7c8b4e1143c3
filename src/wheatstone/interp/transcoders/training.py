"""Training a dictionary: Adam, warm-up, a constant rate, a last stretch down to zero; exact resume.

The batch of a step depends on seed and step alone, so a checkpoint (weights, Adam's moments, what has fired, the step)
is all that a killed training needs to end with the bits of an unbroken one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from wheatstone.interp.transcoders.dictionary import Dictionary, DictionaryConfig, threshold_for
from wheatstone.interp.transcoders.steps import Learner, Outcome, dense_step, revive, sparse_step
from wheatstone.interp.transcoders.store import LayerStore, batches, standardised

CHECKPOINT_SECONDS = 20.0
LOG_POINTS = 30
DECAY_SHARE = 0.25
"""The last part of the steps, in which the rate falls to zero."""
REVIVE_EVERY = 25
THRESHOLD_RATE = 5.0
"""Times the learning rate for thresholds, which have a long way to go from one start for all features."""
CALIBRATION_TOKENS = 4096


@dataclass(frozen=True)
class TrainConfig:
    """How long, how fast."""

    steps: Annotated[int, Gt(0)] = 1000
    """Optimiser steps."""
    batch: Annotated[int, Gt(0)] = 256
    """Tokens a step (paper: 4096)."""
    lr: Annotated[float, Gt(0)] = 2e-3
    """Peak learning rate of Adam (paper: 4e-4)."""
    warmup: Annotated[int, Ge(0)] = 50
    """Steps of linear warm-up (paper: 5000)."""
    sparsity: Annotated[float, Ge(0)] = 0.0
    """Weight of the L1 penalty of relu (paper: 1.4e-4), or of the L0 penalty of jumprelu, in standardised units."""
    dead_after: Annotated[int, Gt(0)] = 20_000
    """Tokens without firing after which a feature counts as dead."""


class Saver(Protocol):
    """Where a training leaves its traces."""

    def log(self, step: int, **values: float) -> None: ...
    def progress(self, done: int, total: int, note: str = "") -> None: ...
    def save_checkpoint(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None: ...


class Training:
    """A training that can be stopped after any step and gone on with from `state_tensors` and `state`."""

    def __init__(self, cfg: DictionaryConfig, how: TrainConfig, store: LayerStore, *, init: int, order: int) -> None:
        self.cfg, self.how, self.store = cfg, how, store
        self.learner = Learner(cfg, torch.Generator().manual_seed(init))
        self.rows = batches(len(store), how.batch, order)
        self.source, self.scaling = store.read(cfg.kind)
        self.parameters = dict(self.learner.named_parameters())
        thresholds = [value for name, value in self.parameters.items() if name == "log_threshold"]
        others = [value for name, value in self.parameters.items() if name != "log_threshold"]
        groups = [{"params": others, "times": 1.0}, {"params": thresholds, "times": THRESHOLD_RATE}]
        self.optimiser = torch.optim.Adam([group for group in groups if group["params"]], lr=how.lr, fused=True)
        self.silent = torch.zeros(cfg.n_features, dtype=torch.int64)
        """Tokens since each feature fired."""
        self.done = 0

    def step(self) -> dict[str, float]:
        """One step; its loss (share of variance left), active features a token, and dead features."""
        how, learner = self.how, self.learner
        rows = self.rows(self.done)
        y = standardised(self.store.outputs, rows, self.store.output_scaling)
        x = y if self.cfg.kind == "sae" else standardised(self.source, rows, self.scaling)
        self.optimiser.zero_grad()
        if self.cfg.activation in ("topk", "batchtopk"):
            outcome = sparse_step(learner, x, y)
        else:
            outcome = dense_step(learner, x, y, how.sparsity * min(1.0, self.done / max(1, how.warmup * 4)))
        self.silent = torch.where(outcome.fired, 0, self.silent + len(x))
        dead = (self.silent >= how.dead_after).nonzero()[:, 0]
        learner.remove_parallel_gradient()
        for group in self.optimiser.param_groups:
            group["lr"] = how.lr * rate(self.done, how) * group["times"]
        self.optimiser.step()
        learner.normalise()
        if len(dead) and self.done % REVIVE_EVERY == 0 and self.done < how.steps * (1 - DECAY_SHARE):
            self._revive(x, outcome, dead)
        self.done += 1
        return {"fvu": outcome.loss.item(), "l0": outcome.l0.item(), "dead": float(len(dead))}

    def _revive(self, x: Tensor, outcome: Outcome, dead: Tensor) -> None:
        """New starts for dead features; what Adam remembers of them is forgotten."""
        revived = revive(self.learner, x, outcome, dead)
        self.silent[revived] = 0
        for parameter in (self.learner.encoder, self.learner.encoder_bias, self.learner.decoder):
            for moment in ("exp_avg", "exp_avg_sq"):
                self.optimiser.state[parameter][moment][revived] = 0.0

    @torch.no_grad()
    def dictionary(self) -> Dictionary:
        """What has been learnt, for raw activations: the standardisation is folded into the weights."""
        learner, cfg = self.learner, self.cfg
        mean, scale = self.scaling
        out_mean, out_scale = self.store.output_scaling
        w_enc = learner.encoder.detach().T * (out_scale / scale)
        threshold = None
        if learner.log_threshold is not None:
            threshold = learner.log_threshold.detach().exp() * out_scale
        elif cfg.activation == "batchtopk":
            sample = self.rows(0) if len(self.store) <= CALIBRATION_TOKENS else range(CALIBRATION_TOKENS)
            x = standardised(self.source, torch.tensor(list(sample)).numpy(), self.scaling)
            level = threshold_for(learner.preactivations(x), cfg.k)
            threshold = torch.full((cfg.n_features,), level * out_scale)
        w_skip, b_dec = None, learner.decoder_bias.detach() * out_scale + out_mean
        if learner.skip is not None:
            w_skip = learner.skip.detach() * (out_scale / scale)
            b_dec = b_dec - mean @ w_skip
        return Dictionary(
            cfg,
            w_enc.contiguous(),
            learner.encoder_bias.detach() * out_scale - mean @ w_enc,
            learner.decoder.detach().clone(),
            b_dec,
            threshold,
            w_skip,
        )

    def state_tensors(self) -> dict[str, Tensor]:
        """Weights, Adam's moments, and what has been silent."""
        found = {f"weight.{name}": value.detach() for name, value in self.parameters.items()}
        for name, value in self.parameters.items():
            found |= {f"adam.{part}.{name}": one for part, one in self.optimiser.state.get(value, {}).items()}
        return {**found, "silent": self.silent}

    def load_state(self, tensors: Mapping[str, Tensor], done: int) -> None:
        """Goes on after `done` steps from what `state_tensors` gave then."""
        with torch.no_grad():
            for name, value in self.parameters.items():
                value.copy_(tensors[f"weight.{name}"])
                if done:
                    self.optimiser.state[value] = {
                        part: tensors[f"adam.{part}.{name}"].clone() for part in ("step", "exp_avg", "exp_avg_sq")
                    }
        self.silent, self.done = tensors["silent"].clone(), done


def rate(step: int, how: TrainConfig) -> float:
    """Share of the peak rate at a 0-based step."""
    up = min(1.0, (step + 1) / (how.warmup + 1))
    down = (how.steps - step) / max(1.0, how.steps * DECAY_SHARE)
    return min(up, down, 1.0)


@dataclass(frozen=True)
class Learnt:
    """A trained dictionary and how the training went."""

    dictionary: Dictionary
    seconds: float
    dead: int
    """Features that fired for none of the last `dead_after` tokens."""


def train(
    training: Training, saver: Saver | None = None, *, label: str = "", before: int = 0, total: int = 0
) -> Learnt:
    """Makes the steps that are left.

    With a `saver` it logs `fvu`, `l0`, `dead` (with `label` before the names) at LOG_POINTS steps, tells how far it is
    (`before` steps of other trainings already made, of `total` in all), and saves `state_tensors` half-way and now and
    then; the saver's owner adds to the state what it needs.
    """
    how, started, saved = training.how, time.perf_counter(), time.perf_counter()
    every = max(1, how.steps // LOG_POINTS)
    while training.done < how.steps:
        found = training.step()
        if saver is None:
            continue
        saver.progress(before + training.done, total or how.steps, label.strip("_"))
        if training.done % every == 0:
            saver.log(before + training.done, **{label + name: value for name, value in found.items()})
        if training.done == how.steps // 2 or time.perf_counter() - saved > CHECKPOINT_SECONDS:
            saver.save_checkpoint(training.state_tensors(), {"done": training.done})
            saved = time.perf_counter()
    dead = int((training.silent >= how.dead_after).sum())
    return Learnt(training.dictionary(), time.perf_counter() - started, dead)

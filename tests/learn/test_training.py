"""The loop learns what can be learnt, nothing from noise, and goes on exactly where it was stopped."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from wheatstone.learn.models.transformer import Transformer, TransformerConfig
from wheatstone.learn.optimisers import Optimiser, OptimiserConfig
from wheatstone.learn.sequences import Sequences, padded
from wheatstone.learn.training import Batches, FitConfig, accuracy, answers, evaluation_steps, fit, stablemax_loss

N_TOKEN = 12
CFG = TransformerConfig(vocab=N_TOKEN, context=3, d_model=32, n_layer=2, n_head=4)


def model_of(seed: int = 0, cfg: TransformerConfig = CFG) -> Transformer:
    return Transformer(cfg, torch.Generator().manual_seed(seed))


def additions() -> tuple[np.ndarray, np.ndarray]:
    a, b = np.divmod(np.arange(N_TOKEN**2), N_TOKEN)
    return np.stack([a, b, np.zeros_like(a)], 1), (a + b) % N_TOKEN


def fit_config(name: str = "muon", **changes: Any) -> FitConfig:
    optimiser = OptimiserConfig(name=name, lr=5e-3, warmup=10)  # pyright: ignore[reportArgumentType]
    return FitConfig(**{"steps": 150, "batch": 72, "evaluations": 5, "optimiser": optimiser} | changes)


LEARNERS = [("adamw", "softmax"), ("muon", "softmax"), ("grokfast", "softmax"), ("orthograd", "softmax")]
LEARNERS += [("adamw", "stablemax")]


@pytest.mark.parametrize(("name", "loss"), LEARNERS)
def test_every_optimiser_learns_to_copy_the_first_token(name: str, loss: str) -> None:
    prompts, _ = additions()
    first = prompts[:, 0]
    model = model_of()
    fit(model, padded([prompts], [first]), fit_config(name, loss=loss, steps=100), order_seed=0)
    assert accuracy(model, torch.from_numpy(prompts), torch.from_numpy(first)) == 1.0


def test_nothing_is_learnt_about_unseen_noise() -> None:
    prompts, _ = additions()
    noise = np.random.default_rng(0).integers(0, N_TOKEN, len(prompts))
    seen = np.arange(len(prompts)) % 2 == 0
    model = model_of()
    fit(model, padded([prompts[seen]], [noise[seen]]), fit_config(steps=300), order_seed=0)
    unseen = accuracy(model, torch.from_numpy(prompts[~seen]), torch.from_numpy(noise[~seen]))
    chance = 1 / N_TOKEN
    assert unseen < chance + 3 * math.sqrt(chance * (1 - chance) / (~seen).sum())
    assert accuracy(model, torch.from_numpy(prompts[seen]), torch.from_numpy(noise[seen])) > 0.95


@dataclass
class Memory:
    """A keeper in memory that breaks the run after a number of evaluations."""

    breaks_after: int = 10**9
    lines: list[dict[str, float]] = field(default_factory=list)
    saved: tuple[dict[str, Tensor], dict[str, Any]] | None = None

    def log(self, step: int, **values: float) -> None:
        self.lines.append({"step": step, **values})

    def progress(self, done: int, total: int, note: str = "") -> None: ...

    def save_checkpoint(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        self.saved = (
            {k: v.detach().clone() for k, v in tensors.items()},
            dict(state) | {"history": list(state["history"])},
        )
        self.breaks_after -= 1
        if self.breaks_after == 0:
            raise KeyboardInterrupt

    def load_checkpoint(self) -> Any:
        if self.saved is None:
            return None
        tensors, state = self.saved

        class Read:
            pass

        read = Read()
        read.tensors, read.state = tensors, state  # type: ignore[attr-defined]
        return read


@pytest.mark.parametrize("name", ["adamw", "muon", "grokfast", "orthograd"])
def test_a_broken_run_goes_on_to_the_same_weights(name: str) -> None:
    prompts, sums = additions()
    data, cfg = padded([prompts], [sums]), fit_config(name, steps=60)
    dropped = dataclasses.replace(CFG, dropout=0.1)
    unbroken = model_of(cfg=dropped)
    whole = fit(unbroken, data, cfg, order_seed=7)

    keeper = Memory(breaks_after=3)
    with pytest.raises(KeyboardInterrupt):
        fit(model_of(cfg=dropped), data, cfg, order_seed=7, keeper=keeper)
    resumed = model_of(seed=99, cfg=dropped)  # its own weights must not matter
    again = fit(resumed, data, cfg, order_seed=7, keeper=keeper)
    assert all(torch.equal(x, y) for x, y in zip(unbroken.parameters(), resumed.parameters(), strict=True))
    assert [(p.step, p.values) for p in again.history] == [(p.step, p.values) for p in whole.history]
    assert [line["step"] for line in keeper.lines] == evaluation_steps(60, 5)


def test_another_order_gives_other_weights() -> None:
    prompts, sums = additions()
    a, b = model_of(), model_of()
    for seed, model in enumerate((a, b)):
        fit(model, padded([prompts], [sums]), fit_config(steps=20), order_seed=seed)
    assert not torch.equal(a.embedding, b.embedding)


def test_training_stops_when_the_metric_has_stayed_high() -> None:
    prompts, _ = additions()
    first = prompts[:, 0]
    x, y = torch.from_numpy(prompts), torch.from_numpy(first)
    cfg = fit_config(steps=1000, evaluations=60, stop_metric="train", stop_at=0.99, stop_times=2)
    done = fit(
        model_of(), padded([prompts], [first]), cfg, order_seed=0, evaluate=lambda m: {"train": accuracy(m, x, y)}
    )
    assert done.steps < 1000
    assert all(point.values["train"] >= 0.99 for point in done.history[-2:])
    reached = done.first("train", 0.99)
    assert reached is not None
    assert reached.step == done.history[-2].step < done.steps


@given(n_row=st.integers(1, 50), batch=st.integers(1, 60), seed=st.integers(0, 99))
def test_an_epoch_shows_every_row_at_most_once_and_drops_less_than_a_batch(n_row: int, batch: int, seed: int) -> None:
    batches = Batches(n_row, batch, seed)
    rows = torch.cat([batches.rows(step) for step in range(batches.per_epoch)])
    assert len(rows) == len(rows.unique()) > n_row - min(batch, n_row)
    assert not torch.equal(Batches(50, 50, seed).rows(0), Batches(50, 50, seed).rows(1))


def test_evaluations_are_log_spaced_and_end_with_the_run() -> None:
    steps = evaluation_steps(1000, 31)
    assert steps[0] == 1
    assert steps[-1] == 1000
    ratios = [b / a for a, b in zip(steps[-10:], steps[-9:], strict=False)]
    assert max(ratios) - min(ratios) < 0.05


def test_only_asked_positions_carry_loss() -> None:
    """Filling everything that is not asked with other tokens after the question must not move the loss."""
    prompts, sums = additions()
    data = padded([prompts[:, :2]], [sums])
    garbage = data.tokens.clone()
    longer = torch.cat([garbage, torch.randint(N_TOKEN, (len(garbage), 1))], 1)
    targets = torch.cat([data.targets, torch.full((len(garbage), 1), -100)], 1)
    cfg = fit_config("adamw", steps=20, evaluations=20)
    short = fit(model_of(), data, cfg, order_seed=0)
    long = fit(model_of(), Sequences(longer, targets), cfg, order_seed=0)
    losses = [[point.values["train_loss"] for point in run.history] for run in (short, long)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_stablemax_is_its_definition() -> None:
    logits = torch.tensor([[2.0, -3.0, 0.0]], dtype=torch.float64)
    s = torch.tensor([3.0, 0.25, 1.0], dtype=torch.float64)
    expected = -(s / s.sum()).log()
    for target in range(3):
        assert stablemax_loss(logits, torch.tensor([target])).item() == pytest.approx(expected[target].item())


def test_stablemax_falls_where_softmax_is_flat() -> None:
    """A logit margin of 200 leaves softmax no gradient in float32 (arXiv:2501.04697); StableMax keeps one."""
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    target = torch.tensor([0])
    (soft,) = torch.autograd.grad(F.cross_entropy(logits, target), logits)
    (stable,) = torch.autograd.grad(stablemax_loss(logits, target), logits)
    assert soft.abs().max() == 0
    assert stable.abs().max() > 0


@pytest.mark.parametrize(("schedule", "last"), [("constant", 1.0), ("linear", 0.05), ("cosine", 0.05)])
def test_schedules_rise_to_one_and_end_at_the_floor(schedule: str, last: float) -> None:
    cfg = OptimiserConfig(warmup=10, schedule=schedule)  # pyright: ignore[reportArgumentType]
    optimiser = Optimiser(model_of(), cfg, total_steps=110)
    assert optimiser.rate(0) == pytest.approx(0.1)
    assert optimiser.rate(9) == pytest.approx(1.0)
    assert optimiser.rate(110) == pytest.approx(last)
    if schedule != "constant":
        assert optimiser.rate(60) == pytest.approx((1 + 0.05) / 2)


def test_orthogonal_gradients_leave_no_part_along_the_weights() -> None:
    model = model_of()
    optimiser = Optimiser(model, OptimiserConfig(name="orthograd"), 10)
    for p in model.parameters():
        p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(1))
    norms = [p.grad.norm() for p in model.parameters() if p.grad is not None]
    optimiser._remove_radial_part()
    for p, norm in zip(model.parameters(), norms, strict=True):
        assert p.grad is not None
        assert abs((p * p.grad).sum()) < 1e-3
        assert p.grad.norm() == pytest.approx(norm.item(), rel=1e-3)


def test_grokfast_multiplies_a_steady_gradient_by_one_plus_gain() -> None:
    model = model_of()
    optimiser = Optimiser(model, OptimiserConfig(name="grokfast", slow_gain=2.0), 10)
    for _ in range(600):
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        optimiser._amplify_slow_part()
    assert model.embedding.grad is not None
    assert torch.allclose(model.embedding.grad, torch.full_like(model.embedding, 3.0), atol=1e-3)


def test_answers_come_from_the_last_position() -> None:
    model = model_of()
    tokens = torch.randint(N_TOKEN, (20, 3), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(tokens)[:, -1].argmax(-1)
    assert torch.equal(answers(model, tokens, batch=7), expected)
    assert answers(model, tokens[:0]).shape == (0,)

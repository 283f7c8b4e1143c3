"""Meta-gradients against finite differences and a plain loop of autograd, and that learning to adapt learns."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from wheatstone.learn.meta import (
    RULES,
    InnerLoop,
    MetaLearner,
    Parameters,
    Rule,
    adapt,
    adapt_each,
    called,
    joint_gradient,
    meta_gradient,
    parameters_of,
)

Batch = tuple[Tensor, Tensor]


class Small(nn.Module):
    """Two layers, so that there are second derivatives."""

    def __init__(self, seed: int = 0, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.first, self.last = nn.Linear(2, 5, dtype=dtype), nn.Linear(5, 1, dtype=dtype)
        with torch.no_grad():
            for value in self.parameters():
                value.copy_(0.5 * torch.randn(value.shape, generator=draw, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(x)))[..., 0]


MODEL = Small()


def loss(parameters: Parameters, data: Batch) -> Tensor:
    return (called(MODEL, parameters, data[0]) - data[1]).square().mean()


def tasks(seed: int = 1, n: int = 3, shots: int = 6) -> tuple[Batch, Batch]:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 2 * shots, 2, generator=draw, dtype=torch.float64)
    slopes = torch.randn(n, 1, 2, generator=draw, dtype=torch.float64)
    y = (x * slopes).sum(-1)
    return (x[:, :shots], y[:, :shots]), (x[:, shots:], y[:, shots:])


def by_hand(rule: Rule, support: Batch, query: Batch, inner: InnerLoop) -> dict[str, Tensor]:
    """The four rules as a loop over tasks with torch.autograd alone."""
    total: dict[str, Tensor] = {name: torch.zeros_like(value) for name, value in MODEL.named_parameters()}
    n = len(support[0])
    for task in range(n):
        s, q = [tuple(part[task] for part in data) for data in (support, query)]
        start = parameters_of(MODEL)
        now = dict(start)
        for _ in range(inner.steps):
            names = [name for name in now if inner.moving is None or name in inner.moving]
            slopes = torch.autograd.grad(
                loss(now, s), [now[name] for name in names], create_graph=rule in ("maml", "anil")
            )
            now |= {name: now[name] - inner.lr * slope for name, slope in zip(names, slopes, strict=True)}
        if rule in ("maml", "anil"):
            found = torch.autograd.grad(loss(now, q), list(start.values()))
        else:
            ends = {name: value.detach().requires_grad_() for name, value in now.items()}
            found = torch.autograd.grad(loss(ends, q), list(ends.values()))
            if rule == "reptile":
                found = [g + (start[k] - now[k]) / inner.lr for g, k in zip(found, start, strict=True)]
        for name, slope in zip(start, found, strict=True):
            total[name] += slope.detach() / n
    return total


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_what_a_plain_loop_finds(rule: Rule) -> None:
    support, query = tasks()
    inner = InnerLoop(3, 0.1, frozenset({"last.weight", "last.bias"}) if rule == "anil" else None)
    found = meta_gradient(rule, loss, parameters_of(MODEL), support, query, inner)
    for name, expected in by_hand(rule, support, query, inner).items():
        assert torch.allclose(found.gradients[name], expected, atol=1e-12, rtol=0), name


def test_maml_is_the_slope_of_the_adapted_loss() -> None:
    """Central differences of the query loss after adaptation; the first-order rule has another slope."""
    support, query = tasks()
    inner, start = InnerLoop(4, 0.2), parameters_of(MODEL)

    def adapted_loss(parameters: Parameters) -> float:
        one: list[float] = []
        for task in range(3):
            s, q = [tuple(part[task] for part in data) for data in (support, query)]
            one.append(loss(adapt(loss, parameters, s, inner), q).item())
        return sum(one) / 3

    found = meta_gradient("maml", loss, start, support, query, inner)
    assert float(found.after) == pytest.approx(adapted_loss(start), abs=1e-12)
    at, step = (1, 1), 1e-6
    ends: list[float] = []
    for sign in (1, -1):
        moved = {name: value.detach().clone() for name, value in start.items()}
        moved["first.weight"][at] += sign * step
        ends.append(adapted_loss(moved))
    slope = (ends[0] - ends[1]) / (2 * step)
    assert float(found.gradients["first.weight"][at]) == pytest.approx(slope, abs=1e-7)
    first_order = meta_gradient("first_order", loss, start, support, query, inner)
    assert abs(float(first_order.gradients["first.weight"][at]) - slope) > 1e-3


def test_copies_adapt_each_to_its_own_task() -> None:
    support, _ = tasks()
    inner, start = InnerLoop(5, 0.1), parameters_of(MODEL)
    together = adapt_each(loss, start, support, inner)
    for task in range(3):
        alone = adapt(loss, start, (support[0][task], support[1][task]), inner)
        assert all(torch.allclose(together[name][task], alone[name], atol=1e-12) for name in alone)


def test_each_task_can_have_its_own_start() -> None:
    """Latents: a shared decoder stays, the vector of each task moves from where it was."""
    (x, y), _ = tasks()
    latents = torch.tensor([[0.0, 0.0], [1.0, -1.0], [3.0, 0.5]], dtype=torch.float64)

    def explain(parameters: Parameters, data: Batch) -> Tensor:
        return (parameters["scale"] * (data[0] @ parameters["latent"]) - data[1]).square().mean()

    scale, inner = torch.tensor(0.7, dtype=torch.float64), InnerLoop(4, 0.1, frozenset({"latent"}))
    found = adapt_each(explain, {"scale": scale}, (x, y), inner, {"latent": latents})
    assert torch.equal(found["scale"], scale.expand(3))
    for task in range(3):
        now = latents[task]
        for _ in range(4):
            residual = scale * (x[task] @ now) - y[task]
            now = now - 0.1 * 2 * scale * (residual @ x[task]) / len(y[task])
        assert torch.allclose(found["latent"][task], now, atol=1e-12)


def test_what_does_not_move_stays() -> None:
    support, _ = tasks()
    start = parameters_of(MODEL)
    found = adapt_each(loss, start, support, InnerLoop(5, 0.1, frozenset({"last.weight"})))
    assert torch.equal(found["first.weight"], start["first.weight"].expand(3, -1, -1))
    assert not torch.equal(found["last.weight"][0], start["last.weight"])
    with pytest.raises(ValueError, match=r"inner\.moving must name"):
        meta_gradient("anil", loss, start, support, support, InnerLoop())


def test_the_joint_gradient_is_of_all_tasks_at_once() -> None:
    (x, y), _ = tasks()
    start = parameters_of(MODEL)
    value, gradients = joint_gradient(loss, start, (x, y))
    expected = loss(start, (x.reshape(-1, 2), y.ravel()))
    slopes = torch.autograd.grad(expected, list(start.values()))
    assert float(value) == pytest.approx(expected.item(), abs=1e-12)
    assert all(torch.allclose(gradients[k], slope, atol=1e-12) for k, slope in zip(start, slopes, strict=True))


def slopes_of(seed: int, noise: bool) -> tuple[Any, Any]:
    """Lines through the origin whose slope is the task; with noise the labels are anything."""
    support, query = tasks(seed, n=8, shots=8)
    if noise:
        draw = torch.Generator().manual_seed(seed)
        query = query[0], torch.randn(query[1].shape, generator=draw, dtype=torch.float64)
        support = support[0], torch.randn(support[1].shape, generator=draw, dtype=torch.float64)
    return support, query


@pytest.mark.parametrize("rule", ["maml", "first_order", "reptile"])
def test_it_learns_to_adapt_and_learns_nothing_from_noise(rule: Rule) -> None:
    inner = InnerLoop(3, 0.1)
    ends: dict[bool, float] = {}
    for noise in (False, True):
        learner = MetaLearner(parameters_of(MODEL), loss, rule, inner, 1e-2)
        for step in range(100):
            learner.step(*slopes_of(step, noise))
        changes: list[float] = []
        for step in range(1000, 1005):
            support, query = slopes_of(step, noise)
            after = meta_gradient("maml", loss, learner.parameters, support, query, inner).after
            before = joint_gradient(loss, learner.parameters, query)[0]
            changes.append(float(after / before))
        ends[noise] = sum(changes) / 5
    assert ends[False] < 0.4
    assert ends[True] > 0.95


def test_a_learner_goes_on_from_its_state_exactly() -> None:
    learner = MetaLearner(parameters_of(MODEL), loss)
    for step in range(3):
        learner.step(*slopes_of(step, False))
    stored = {name: value.clone() for name, value in learner.state().items()}
    other = MetaLearner(parameters_of(Small(7)), loss)
    other.load(stored)
    for one in (learner, other):
        one.step(*slopes_of(3, False))
        one.joint_step(slopes_of(4, False)[0])
    assert all(torch.equal(other.parameters[name], value) for name, value in learner.parameters.items())
    with pytest.raises(KeyError):
        other.load({"parameter.other": torch.zeros(1)})

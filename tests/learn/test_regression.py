"""The regression loop: it learns, it resumes to the same bits in every stage, and it says when the loss is lost."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from wheatstone.bench.errors import UserError
from wheatstone.learn.regression import Regressed, RegressionConfig, Stages, fit_regression, log_slope

X = torch.linspace(-1, 1, 64)[:, None]
Y = (3 * X - 1)[:, 0]
CFG = RegressionConfig(steps=300, batch=16, lr=0.03, evaluations=6, keep="mse")


class Stored(NamedTuple):
    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]


class Memory:
    """A keeper that dies at its `dies_at`-th checkpoint."""

    def __init__(self, dies_at: int = 10**9) -> None:
        self.dies_at, self.saved, self.lines = dies_at, None, []

    def log(self, step: int, **values: float) -> None:
        self.lines.append((step, values))

    def progress(self, done: int, total: int, note: str = "") -> None:  # noqa: ARG002
        assert done <= total

    def save_checkpoint(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        self.saved = Stored({name: value.clone() for name, value in tensors.items()}, dict(state))
        self.dies_at -= 1
        if self.dies_at == 0:
            raise KeyboardInterrupt

    def load_checkpoint(self) -> Stored | None:
        return self.saved


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))


def loss(net: nn.Module, rows: Tensor) -> Tensor:
    return (net(X[rows])[:, 0] - Y[rows]).square().mean()


@torch.no_grad()
def evaluate(net: nn.Module) -> dict[str, float]:
    assert not net.training
    return {"mse": float((net(X)[:, 0] - Y).square().mean())}


def trained(keeper: Memory | None = None, cfg: RegressionConfig = CFG) -> tuple[nn.Module, Regressed]:
    net = model()
    return net, fit_regression(net, loss, len(X), cfg, order_seed=1, evaluate=evaluate, keeper=keeper)


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_it_learns_a_line_and_keeps_the_best_weights() -> None:
    net, found = trained()
    assert found.values["mse"] < 1e-2 < float(Y.var())
    assert found.values["mse"] == min(one.values["mse"] for one in found.history)
    assert evaluate(net) == found.values
    assert [one.step for one in found.history] == [50, 100, 150, 200, 250, 300]


def test_without_a_metric_the_last_weights_are_kept() -> None:
    _, found = trained(cfg=dataclasses.replace(CFG, keep=""))
    assert found.step == CFG.steps


@pytest.mark.parametrize("dies_at", [1, 3, 6])
def test_a_killed_training_ends_with_the_same_bits(dies_at: int) -> None:
    whole, found = trained()
    keeper = Memory(dies_at)
    with pytest.raises(KeyboardInterrupt):
        trained(keeper)
    resumed, again = trained(keeper)
    assert same(whole, resumed)
    assert found == again


@pytest.mark.parametrize("dies_at", [2, 6, 7, 11])
def test_stages_go_on_in_the_stage_that_was_killed(dies_at: int) -> None:
    def both(keeper: Memory | None) -> list[Any]:
        stages = Stages(keeper, 2 * CFG.steps)
        found: list[Any] = []
        for name in ("a", "b"):
            net = model()
            cfg = dataclasses.replace(CFG, lr=0.01 if name == "a" else 0.03)
            regressed = stages.fit(name, net, loss, len(X), cfg, order_seed=1, evaluate=evaluate)
            found += [regressed, *(p.detach().clone() for p in net.parameters())]
        return found

    whole, keeper = both(None), Memory(dies_at)
    with pytest.raises(KeyboardInterrupt):
        both(keeper)
    for a, b in zip(whole, both(keeper), strict=True):
        assert torch.equal(a, b) if isinstance(a, Tensor) else a == b
    assert {name for _, values in keeper.lines for name in values} <= {"a_mse", "b_mse"}


def test_a_lost_loss_is_said() -> None:
    with pytest.raises(UserError, match="not a number at step"):
        fit_regression(model(), lambda net, rows: loss(net, rows) * math.nan, 64, CFG, order_seed=0, evaluate=evaluate)


def test_the_rate_falls_along_a_cosine() -> None:
    cfg = dataclasses.replace(CFG, schedule="cosine")
    assert cfg.rate(0) == pytest.approx(0.03)
    assert cfg.rate(300) == pytest.approx(0.0003)


def test_slopes_of_power_laws() -> None:
    slope, error = log_slope([1, 2, 4], [8, 2, 0.5])
    assert (slope, error) == pytest.approx((-2, 0), abs=1e-12)
    assert math.isnan(log_slope([1, 2], [1, 3])[1])
    assert math.isnan(log_slope([1, 2, 3], [1, 0, 1])[0])

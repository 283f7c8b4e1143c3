"""Integrators against closed forms, a high-order code, and what makes them symplectic; errors of orbits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from wheatstone.domains.physics.rollout import Integrator, energy_error, rollout, trajectory_error, valid_time


def pendulum(x: Tensor) -> Tensor:
    return torch.stack([x[..., 1], -torch.sin(x[..., 0])], -1)


def coupled(x: Tensor) -> Tensor:
    """H = (1 + q^2)(1 + p^2) / 2, which is no sum of a kinetic and a potential energy."""
    q, p = x[..., 0], x[..., 1]
    return torch.stack([p * (1 + q**2), -q * (1 + p**2)], -1)


def state(*values: float) -> Tensor:
    return torch.tensor([[list(values)]], dtype=torch.float64)


def energy(x: Tensor) -> Tensor:
    return x[..., 1] ** 2 / 2 - torch.cos(x[..., 0])


@pytest.mark.parametrize("field", [pendulum, coupled], ids=lambda f: f.__name__)
def test_leapfrog_is_symplectic_reversible_and_of_order_two(field) -> None:
    start = state(0.9, 0.3)

    def step(x: Tensor) -> Tensor:
        return rollout(field, x.reshape(1, 1, 2), 0.2, 1)[-1].reshape(2)

    jacobian = torch.autograd.functional.jacobian(step, start.reshape(2))
    assert float(torch.linalg.det(jacobian)) == pytest.approx(1, abs=1e-10)
    there = rollout(field, start, 0.1, 50)[-1]
    assert rollout(field, there, -0.1, 50)[-1] == pytest.approx(start, abs=1e-10)
    from scipy.integrate import solve_ivp

    exact = solve_ivp(
        lambda _, y: field(torch.from_numpy(y)).numpy(), (0, 4), start.ravel().numpy(), "DOP853", rtol=1e-12, atol=1e-12
    ).y[:, -1]
    errors = [np.abs(rollout(field, start, 4 / n, n)[-1].ravel().numpy() - exact).max() for n in (40, 80)]
    assert 3.7 < errors[0] / errors[1] < 4.3


def test_leapfrog_keeps_energy_where_rk4_loses_it() -> None:
    start = state(2.0, 0.0)
    found: dict[Integrator, float] = {}
    for integrator in ("leapfrog", "rk4"):
        energies = energy(rollout(pendulum, start, 0.5, 2000, integrator))[:, 0, 0].numpy()
        found[integrator] = float(energy_error(energies[:, None]).drift[0])
    assert found["leapfrog"] < 0.005 < 0.05 < found["rk4"]


@pytest.mark.parametrize("integrator", ["leapfrog", "rk4", "rk45"])
def test_integrators_agree_on_a_batch(integrator: Integrator) -> None:
    start = torch.tensor([[[1.0, 0.0]], [[0.2, 0.5]]], dtype=torch.float64)
    found = rollout(pendulum, start, 0.01, 300, integrator)
    assert found.shape == (301, 2, 1, 2)
    assert torch.equal(found[0], start)
    exact = rollout(pendulum, start, 0.001, 3000, "rk4")[::10]
    assert found == pytest.approx(exact, abs=5e-5)


def test_a_state_that_blows_up_stays_lost_and_raises_nothing() -> None:
    def explode(x: Tensor) -> Tensor:
        return x**3

    for integrator in ("leapfrog", "rk4", "rk45"):
        with np.errstate(all="ignore"):
            found = rollout(explode, state(2.0, 2.0), 0.1, 20, integrator)  # pyright: ignore[reportArgumentType]
        assert found.shape == (21, 1, 1, 2)
        assert not torch.isfinite(found[-1]).any()


def test_errors_of_orbits() -> None:
    true = np.ones((11, 2, 1, 2))
    predicted = true.copy()
    predicted[5:, 0] = -1
    predicted[3:, 1] = np.nan
    error = trajectory_error(true, predicted)
    assert error[4].tolist() == [0.0, 1.0]
    assert error[5].tolist() == [1.0, 1.0]
    assert valid_time(error, 0.5).tolist() == [2.5, 1.5]
    assert valid_time(np.zeros((11, 1)), 0.5).tolist() == [5.0]


def test_errors_of_energies() -> None:
    time = np.arange(1000)
    wobble = 2 + 0.02 * np.sin(time)
    drifting = 2 + 0.001 * time
    lost = np.where(time > 500, np.nan, 2.0)
    found = energy_error(np.stack([wobble, drifting, lost, -drifting], 1))
    assert found.drift[0] < 1e-3
    assert found.rms[0] == pytest.approx(0.01 / np.sqrt(2), rel=0.02)
    assert found.drift[1] == pytest.approx(0.45, rel=1e-3)
    assert found.drift[3] == pytest.approx(0.45, rel=1e-3)
    assert found.drift[2] == 1e3

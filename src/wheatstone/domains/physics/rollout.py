"""Orbits: of known systems by LSODA, of any field of motion by symplectic and ordinary integrators, and their errors.

A state is [..., particle, 2 * axis]: positions, then momenta. A field gives its time derivative; batches of states run
at once.

    leapfrog  the generalised leapfrog: symplectic and reversible for every H(q, p), explicit where H = T(p) + U(q);
              its two implicit stages are solved by fixed-point iteration
    rk4       the classical method of order 4, not symplectic
    rk45      Dormand-Prince with an adaptive step (scipy), not symplectic

Source  Hairer, Lubich, Wanner, Geometric Numerical Integration (2006), VI.3 (Stoermer-Verlet for a general H).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from wheatstone.bench.errors import UserError
from wheatstone.bench.extras import need
from wheatstone.domains.physics.hamiltonian import FIXED, Array, Constants, HamiltonianSystem

Field = Callable[[Tensor], Tensor]
"""States [..., particle, 2 * axis] -> their time derivatives."""
Integrator = Literal["leapfrog", "rk4", "rk45"]
EXACT = 1e-9
"""Relative and absolute tolerance of the orbits that are taken as true."""
TRIES = 50
"""Initial states drawn before a system counts as unbounded."""


class Orbit(NamedTuple):
    """One orbit of a known system at given times."""

    q: Array
    """[time, particle, axis]"""
    p: Array
    dq: Array
    """Time derivatives, from the formulas."""
    dp: Array


class Escape(NamedTuple):
    """Where an orbit left the region in which it should stay."""

    time: float
    energy: float


def true_orbit(
    system: HamiltonianSystem, q: Array, p: Array, times: Array, constants: Constants = FIXED
) -> Orbit | Escape:
    """The orbit from (q, p) [particle, axis] at `times`, which start at the initial state's; or where it escapes."""
    need("scipy", extra="physical", to="integrate orbits")
    from scipy.integrate import solve_ivp

    shape, half = q.shape, q.size

    def motion(_: float, state: Array) -> Array:
        q, p = state[:half].reshape(shape), state[half:].reshape(shape)
        return np.concatenate([state[half:], system.pull(q, p, constants).ravel()])

    def outside(_: float, state: Array) -> float:
        return system.reach - float(np.abs(state[:half]).max())

    outside.terminal = True  # pyright: ignore[reportFunctionMemberAccess], scipy's way to end an integration
    start = np.concatenate([q.ravel(), p.ravel()])
    energy = float(system.energy(q, p, constants))
    if not (math.isfinite(energy) and np.isfinite(motion(0, start)).all() and outside(0, start) > 0):
        return Escape(float(times[0]), energy)
    span = (float(times[0]), float(times[-1]))
    found: Any = solve_ivp(motion, span, start, "LSODA", times, rtol=EXACT, atol=EXACT, events=outside)
    if found.status != 0 or not np.isfinite(found.y).all():
        return Escape(float(found.t[-1]) if len(found.t) else span[0], energy)
    qs, ps = found.y[:half].T.reshape(-1, *shape), found.y[half:].T.reshape(-1, *shape)
    return Orbit(qs, ps, ps.copy(), system.pull(qs, ps, constants))


def draw_orbit(
    system: HamiltonianSystem, times: Array, rng: np.random.Generator, constants: Constants = FIXED
) -> tuple[Orbit, int]:
    """A bounded orbit from a random initial state, and how many were drawn for it.

    Raises UserError when none of 50 stays within the system's reach, with energy and time of the last escape.
    """
    last = Escape(0.0, math.nan)
    for tries in range(1, TRIES + 1):
        found = true_orbit(system, *system.propose(rng, constants), times, constants)
        if isinstance(found, Orbit):
            return found, tries
        last = found
    raise UserError(
        f"{system.name}: none of {TRIES} orbits stays within {system.reach:g} of the origin; the last one, of energy "
        f"{last.energy:.3g}, leaves at t = {last.time:.3g}. Its potential does not bind."
    )


def rollout(field: Field, start: Tensor, dt: float, steps: int, integrator: Integrator = "leapfrog") -> Tensor:
    """States [step + 1, ..., particle, 2 * axis] of the field from `start`, every `dt`, in the precision of `start`.

    A state that is no longer finite stays so; nothing is raised.
    """
    if integrator == "rk45":
        return _adaptive(field, start, dt, steps)
    step = _leapfrog if integrator == "leapfrog" else _rk4
    found = [start]
    for _ in range(steps):
        found.append(step(field, found[-1], dt))
    return torch.stack(found)


FIXED_POINT_ROUNDS = 30


def _leapfrog(field: Field, state: Tensor, dt: float) -> Tensor:
    """p' = p - h/2 H_q(q, p'),  q' = q + h/2 (H_p(q, p') + H_p(q', p')),  p'' = p' - h/2 H_q(q', p')."""
    half = state.shape[-1] // 2
    q, p = state[..., :half], state[..., half:]

    def kick(guess: Tensor) -> tuple[Tensor, Tensor]:
        slope = field(torch.cat([q, guess], -1))
        return p + dt / 2 * slope[..., half:], slope

    middle, slope = _fixed_point(kick, p)
    first = slope[..., :half]

    def drift(guess: Tensor) -> tuple[Tensor, Tensor]:
        slope = field(torch.cat([guess, middle], -1))
        return q + dt / 2 * (first + slope[..., :half]), slope

    after, slope = _fixed_point(drift, q + dt * first)
    return torch.cat([after, middle + dt / 2 * slope[..., half:]], -1)


def _fixed_point(improve: Callable[[Tensor], tuple[Tensor, Tensor]], guess: Tensor) -> tuple[Tensor, Tensor]:
    """The fixed point, or what 30 rounds reach (the step is then too long for the field); and the field there.

    The field is that of the last guess but one, which is as near as the rounds are told to come: evaluating it once
    more would cost a fifth of a step.
    """
    enough = torch.finfo(guess.dtype).eps ** (2 / 3)  # 4e-11 in float64: far below the error of the method
    slope = guess
    for _ in range(FIXED_POINT_ROUNDS):
        better, slope = improve(guess)
        moved = (better - guess).abs()
        guess = better
        if not bool((moved > enough * (1 + guess.abs())).any()):  # what is NaN has moved nowhere
            break
    return guess, slope


def _rk4(field: Field, state: Tensor, dt: float) -> Tensor:
    first = field(state)
    second = field(state + dt / 2 * first)
    third = field(state + dt / 2 * second)
    fourth = field(state + dt * third)
    return state + dt / 6 * (first + 2 * second + 2 * third + fourth)


def _adaptive(field: Field, start: Tensor, dt: float, steps: int) -> Tensor:
    """All states of a batch with one step size; after a state blows up the rest is NaN."""
    need("scipy", extra="physical", to="integrate with rk45")
    from scipy.integrate import solve_ivp

    def motion(_: float, flat: Array) -> Array:
        state = torch.from_numpy(flat).to(start.dtype).reshape(start.shape)
        return field(state).detach().double().numpy().ravel()

    times = dt * np.arange(steps + 1)
    # The end may exceed the last time by rounding, which scipy refuses.
    found: Any = solve_ivp(motion, (0, times[-1]), start.double().numpy().ravel(), "RK45", times, rtol=1e-6, atol=1e-8)
    states = np.full((steps + 1, start.numel()), np.nan)
    states[: found.y.shape[1]] = found.y.T
    return torch.from_numpy(states).to(start.dtype).reshape(steps + 1, *start.shape)


def trajectory_error(true: Array, predicted: Array) -> Array:
    """|x - x'| / (|x| + |x'|) at each time, in [0, 1], of states [time, ..., particle, feature]; 1 where not finite."""

    def size(values: Array) -> Array:
        return np.sqrt((values**2).sum((-2, -1)))

    with np.errstate(all="ignore"):
        error = size(true - predicted) / np.maximum(size(true) + size(predicted), 1e-300)
    return np.where(np.isfinite(error), error, 1.0)


def valid_time(error: Array, dt: float, threshold: float = 0.2) -> Array:
    """Time until the error [time, ...] first exceeds the threshold; the whole span where it never does."""
    late = error > threshold
    first = np.where(late.any(0), late.argmax(0), len(error) - 1)
    return first * dt


class EnergyError(NamedTuple):
    """What happens to the true energy along predicted orbits, relative to its value at the start."""

    drift: Array
    """Mean over the last tenth of the time minus mean over the first tenth, absolute."""
    rms: Array
    """Root mean square deviation from the start."""


def energy_error(energy: Array, most: float = 1e3) -> EnergyError:
    """Errors of energies [time, ...]; what is not finite, or larger, counts as `most`."""
    with np.errstate(all="ignore"):
        relative = (energy - energy[0]) / np.maximum(np.abs(energy[0]), 1e-12)
    relative = np.clip(np.where(np.isfinite(relative), relative, most), -most, most)
    tenth = max(1, len(relative) // 10)
    drift = np.abs(relative[-tenth:].mean(0) - relative[:tenth].mean(0))
    return EnergyError(drift, np.sqrt((relative**2).mean(0)))

"""Forces against slopes of the potentials, orbits against closed forms and against a robotics simulator."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wheatstone.bench.errors import UserError
from wheatstone.domains.physics.hamiltonian import (
    FIXED,
    SYSTEMS,
    draw_constants,
    system_named,
    system_of_formula,
)
from wheatstone.domains.physics.rollout import Escape, Orbit, draw_orbit, true_orbit

TIMES = np.linspace(0, 10, 101)
CONSTANTS = {"strength": 1.7, "cubic": -0.6}


@pytest.mark.parametrize("name", SYSTEMS)
def test_forces_are_slopes_of_the_potential(name: str) -> None:
    """Central differences of the potential, in every coordinate of several states at once."""
    system = SYSTEMS[name]
    q = np.stack([system.propose(np.random.default_rng(seed), CONSTANTS)[0] for seed in range(4)])
    found = system.force(q, CONSTANTS)
    assert found.shape == q.shape == (4, system.n_particles, system.n_axes)
    for particle in range(system.n_particles):
        for axis in range(system.n_axes):
            ends: list[np.ndarray] = []
            for sign in (1, -1):
                moved = q.copy()
                moved[:, particle, axis] += sign * 1e-6
                ends.append(system.potential(moved, CONSTANTS))
            assert found[:, particle, axis] == pytest.approx(-(ends[0] - ends[1]) / 2e-6, abs=1e-7)


@pytest.mark.parametrize("name", SYSTEMS)
def test_orbits_keep_their_energy_and_stay(name: str) -> None:
    system, rng = SYSTEMS[name], np.random.default_rng(3)
    constants = draw_constants(system, rng)
    orbit, tries = draw_orbit(system, TIMES, rng, constants)
    energy = system.energy(orbit.q, orbit.p, constants)
    assert (energy == pytest.approx(energy[0], rel=1e-6)) is not bool(system.friction)
    assert np.abs(orbit.q).max() < system.reach
    assert orbit.q.std(0).max() > 0.01
    assert tries < 20
    assert np.array_equal(orbit.dq, orbit.p)
    # The derivatives are those of the states: differences of neighbours.
    assert np.gradient(orbit.p, TIMES, axis=0)[1:-1] == pytest.approx(orbit.dp[1:-1], abs=0.05 * np.abs(orbit.dp).max())


def orbit_of(name: str, q: list[list[float]], p: list[list[float]], strength: float = 1.0) -> Orbit:
    found = true_orbit(system_named(name), np.array(q), np.array(p), TIMES, {**FIXED, "strength": strength})
    assert isinstance(found, Orbit)
    return found


def test_a_spring_is_a_cosine() -> None:
    orbit = orbit_of("spring", [[0.8]], [[0.0]], 2.25)
    assert orbit.q[:, 0, 0] == pytest.approx(0.8 * np.cos(1.5 * TIMES), abs=1e-7)


def test_a_pendulum_is_an_elliptic_function() -> None:
    from scipy.special import ellipj, ellipk

    modulus = math.sin(1.0) ** 2  # from rest at angle 2
    sn = ellipj(ellipk(modulus) - TIMES, modulus)[0]
    assert orbit_of("pendulum", [[2.0]], [[0.0]]).q[:, 0, 0] == pytest.approx(
        2 * np.arcsin(math.sin(1.0) * sn), abs=1e-6
    )


def test_two_bodies_run_on_ellipses_with_keplers_period() -> None:
    orbit = orbit_of("two-body", [[0.5, 0], [-0.5, 0]], [[0, 0.6], [0, -0.6]])
    gap = orbit.q[:, 0] - orbit.q[:, 1]
    speed = 1.2
    axis = 1 / (2 - speed**2 / 2)  # of the relative orbit, whose force is 2 / r^2 on a body of mass 1
    period = 2 * math.pi * math.sqrt(axis**3 / 2)
    momentum = gap[:, 0] * (orbit.p[:, 0, 1] - orbit.p[:, 1, 1]) - gap[:, 1] * (orbit.p[:, 0, 0] - orbit.p[:, 1, 0])
    assert momentum == pytest.approx(momentum[0], abs=1e-7)
    system = system_named("two-body")
    later = true_orbit(system, orbit.q[0], orbit.p[0], np.array([0, period]))
    assert isinstance(later, Orbit)
    assert later.q[-1] == pytest.approx(orbit.q[0], abs=1e-6)


def test_friction_takes_energy_at_its_rate() -> None:
    """dE/dt = -friction |p|^2, summed over the orbit."""
    system = system_named("damped-pendulum")
    orbit = true_orbit(system, np.array([[1.2]]), np.array([[0.3]]), np.linspace(0, 10, 2001))
    assert isinstance(orbit, Orbit)
    energy = system.energy(orbit.q, orbit.p)
    lost = np.trapezoid(0.2 * orbit.p[:, 0, 0] ** 2, dx=0.005)
    assert energy[0] - energy[-1] == pytest.approx(lost, abs=1e-5)
    assert lost > 0.5 * energy[0]


def test_lagranges_triangle_rotates() -> None:
    angles = 2 * math.pi * np.arange(3) / 3
    corner = np.stack([np.cos(angles), np.sin(angles)], -1)
    rate = math.sqrt(1 / math.sqrt(3))  # each pulls with 1/3, 30 degrees off the centre
    tangent = rate * np.stack([-np.sin(angles), np.cos(angles)], -1)
    orbit = true_orbit(system_named("three-body"), corner, tangent, np.linspace(0, 4, 9))
    assert isinstance(orbit, Orbit)
    turned = np.stack([np.cos(angles + rate * 4), np.sin(angles + rate * 4)], -1)
    assert orbit.q[-1] == pytest.approx(turned, abs=1e-6)


def test_henon_heiles_escapes_above_its_energy_and_is_refused() -> None:
    system = system_named("henon-heiles")
    found = true_orbit(system, np.array([[0.0, 0.9]]), np.array([[0.0, 0.4]]), TIMES)
    assert isinstance(found, Escape)
    assert found.energy > 1 / 6
    assert 0 < found.time < 10


def test_mujoco_agrees_on_a_pendulum_and_a_spring() -> None:
    """A point mass on a rod of length 1 with g = 1, and on a slide with stiffness 1, in another engine."""
    mujoco = pytest.importorskip("mujoco")
    text = """
    <mujoco><option gravity="0 0 -1" timestep="0.001" integrator="RK4"/><worldbody>
      <body><joint name="swing" type="hinge" axis="0 1 0"/>
        <inertial pos="0 0 -1" mass="1" diaginertia="1e-9 1e-9 1e-9"/></body>
      <body pos="5 0 0"><joint name="slide" type="slide" axis="1 0 0" stiffness="1"/>
        <inertial pos="0 0 0" mass="1" diaginertia="1e-9 1e-9 1e-9"/></body>
    </worldbody></mujoco>"""
    model = mujoco.MjModel.from_xml_string(text)
    data = mujoco.MjData(model)
    data.qpos[:] = [2.0, 0.8]
    found = [data.qpos.copy()]
    for step in range(1, 10_001):
        mujoco.mj_step(model, data)
        if step % 100 == 0:
            found.append(data.qpos.copy())
    theirs = np.array(found)
    assert orbit_of("pendulum", [[2.0]], [[0.0]]).q[:, 0, 0] == pytest.approx(theirs[:, 0], abs=1e-4)
    assert orbit_of("spring", [[0.8]], [[0.0]]).q[:, 0, 0] == pytest.approx(theirs[:, 1], abs=1e-4)


def test_constants_differ_between_tasks() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_constants(system_named("henon-heiles"), rng) for _ in range(200)]
    strengths = np.array([one["strength"] for one in drawn])
    assert strengths.min() >= 0.25
    assert strengths.max() <= 4
    assert abs(np.log(strengths).mean()) < 0.2
    assert min(one["cubic"] for one in drawn) < -0.9
    assert draw_constants(system_named("spring"), rng)["cubic"] == 1.0


def test_a_typed_potential_is_a_system() -> None:
    system = system_of_formula("0.5*x**2 + 0.1*x**4")
    q = np.array([[[0.7]], [[-1.2]]])
    assert system.force(q, FIXED)[:, 0, 0] == pytest.approx(-(q + 0.4 * q**3)[:, 0, 0])
    assert system.n_axes == 1
    plane = system_of_formula("(x**2 + y**2)/2 + x**2*y - y**3/3")
    state = np.array([[[0.1, 0.2]]])
    henon = system_named("henon-heiles")
    assert plane.force(state, FIXED) == pytest.approx(henon.force(state, FIXED))
    assert plane.potential(state, FIXED) == pytest.approx(henon.potential(state, FIXED))
    assert isinstance(draw_orbit(system, TIMES, np.random.default_rng(0))[0], Orbit)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.5*p**2 + x", "depends on the momentum p. A potential depends on x and y alone"),
        ("3 + 4", "is constant, so nothing moves"),
        ("0.5*z**2", "unknown name 'z'"),
        ("x +", "not a formula"),
        ("", "an empty formula"),
    ],
)
def test_what_is_no_potential_is_told(text: str, message: str) -> None:
    with pytest.raises(UserError, match=r"^--potential: ") as fault:
        system_of_formula(text)
    assert message in str(fault.value)


def test_a_potential_that_does_not_bind_is_told_with_energy_and_time() -> None:
    with pytest.raises(UserError, match=r"none of 50 orbits stays within 4 .* of energy .* leaves at t = "):
        draw_orbit(system_of_formula("-2*x**2"), np.linspace(0, 30, 20), np.random.default_rng(0))


def test_an_unknown_system_gets_a_suggestion() -> None:
    with pytest.raises(UserError, match="Did you mean 'pendulum'"):
        system_named("pendulm")

"""Trajectories as tasks: one law and one orbit each, as padded tensors of points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wheatstone.bench.errors import UserError
from wheatstone.domains.physics.hamiltonian import (
    FIXED,
    Array,
    Constants,
    HamiltonianSystem,
    draw_constants,
    system_named,
    system_of_formula,
)
from wheatstone.domains.physics.rollout import Orbit, draw_orbit
from wheatstone.learn.models.hamiltonian import AXES, D_STATE
from wheatstone.studies.physical.hamiltonian_meta.config import Config


class Points(NamedTuple):
    """Observed states and their time derivatives: the data of one task, or of several under a first axis."""

    x: Tensor
    """[..., point, particle, 4]: positions, then momenta; zero where a system has no such particle or axis."""
    y: Tensor
    """Their time derivatives."""
    mask: Tensor
    """[..., particle, 4]: 1 where there is such a coordinate."""

    def at(self, rows: Tensor) -> Points:
        """The points [task, k] of each task."""
        index = rows[..., None, None].expand(*rows.shape, *self.x.shape[-2:])
        return Points(self.x.gather(-3, index), self.y.gather(-3, index), self.mask)

    def of(self, tasks: Tensor | Sequence[int]) -> Points:
        """Some of the tasks."""
        chosen = torch.as_tensor(tasks)
        return Points(self.x[chosen], self.y[chosen], self.mask[chosen])


class Law(NamedTuple):
    """What a task obeys."""

    system: HamiltonianSystem
    constants: Constants


class Tries(NamedTuple):
    """Initial states of orbits."""

    kept: int
    drawn: int


class Pool(NamedTuple):
    """Tasks with their laws."""

    points: Points
    """[task, time, particle, 4]"""
    laws: list[Law]
    tries: Mapping[str, Tries]
    """System -> initial states that were drawn for it; those that escape are thrown away."""

    def batch(self, rng: np.random.Generator, tasks: int, shots: int) -> tuple[Points, Points]:
        """Support and query of random tasks: disjoint random points of each trajectory."""
        chosen = self.points.of(torch.from_numpy(rng.integers(len(self.laws), size=tasks)))
        n_times = chosen.x.shape[1]
        rows = torch.from_numpy(rng.random((tasks, n_times)).argsort(1))
        return chosen.at(rows[:, :shots]), chosen.at(rows[:, shots : 2 * shots])


class Test(NamedTuple):
    """Tasks of the held-out system."""

    support: Points
    few: Points
    """The first points of the support."""
    query: Points
    """Other points of the same orbit."""
    other: Points
    """Points of a second orbit of the same law, at another energy."""
    laws: list[Law]
    start: Array
    """[task, particle, axis * 2]: first state of the second orbit, without padding."""
    orbits: list[Orbit]
    """The second orbits."""
    times: Array
    tries: Tries


def named_systems(config: Config) -> list[HamiltonianSystem]:
    """The systems of the config. Raises UserError for unknown and for repeated names."""
    names = [name.strip() for name in config.systems.split(",") if name.strip()]
    if len(set(names)) < len(names):
        raise UserError(f"hamiltonian-meta --systems: '{config.systems}' names a system twice.")
    return [system_named(name) for name in names]


def held_out_system(config: Config) -> HamiltonianSystem:
    """What the trial adapts to."""
    if config.potential:
        return system_of_formula(config.potential, "hamiltonian-meta --potential")
    return system_named(config.held_out)


def training_systems(config: Config) -> list[HamiltonianSystem]:
    """What the trial learns from. Raises UserError when nothing is left."""
    if config.oracle:
        return [held_out_system(config)]
    kept = [system for system in named_systems(config) if config.potential or system.name != config.held_out]
    if not kept:
        raise UserError(f"hamiltonian-meta --systems: nothing to train on besides '{config.held_out}'.")
    return kept[: config.n_training] if config.n_training else kept


def check(config: Config) -> None:
    """Raises UserError for settings that contradict each other, before anything is computed."""
    if 2 * config.shots > config.samples:
        raise UserError(
            f"hamiltonian-meta --shots: got {config.shots}; support and query need {2 * config.shots} states, a "
            f"trajectory has --samples {config.samples}."
        )
    training_systems(config)
    held_out_system(config)


def n_particles(config: Config, *, training_only: bool = False) -> int:
    """Nodes of every graph of the trial, or of its training alone: those of the largest system."""
    tested = [] if training_only else [held_out_system(config)]
    return max(system.n_particles for system in [*training_systems(config), *tested])


def times_of(config: Config) -> Array:
    """The times of a trajectory's states."""
    return np.linspace(0, config.duration, config.samples)


def _constants(config: Config, system: HamiltonianSystem, rng: np.random.Generator) -> Constants:
    return draw_constants(system, rng) if config.setting == "conflict" else FIXED


def draw_pool(
    config: Config, systems: Sequence[HamiltonianSystem], count: int, rng: np.random.Generator, nodes: int
) -> Pool:
    """`count` tasks of each system, each a trajectory with its own constants."""
    found, laws, tries = list[Points](), list[Law](), dict[str, Tries]()
    for system in systems:
        drawn = 0
        for _ in range(count):
            law = Law(system, _constants(config, system, rng))
            orbit, more = draw_orbit(system, times_of(config), rng, law.constants)
            found.append(points_of(orbit, nodes))
            laws.append(law)
            drawn += more
        tries[system.name] = Tries(count, drawn)
    return Pool(stacked(found), laws, tries)


def draw_test(config: Config, count: int, rng: np.random.Generator, nodes: int) -> Test:
    """`count` tasks of the held-out system, each with two orbits."""
    system, times = held_out_system(config), times_of(config)
    first, second, laws, orbits = list[Points](), list[Points](), list[Law](), list[Orbit]()
    rows: list[NDArray[np.int64]] = []
    drawn = 0
    for _ in range(count):
        law = Law(system, _constants(config, system, rng))
        (here, tries), (there, more) = (draw_orbit(system, times, rng, law.constants) for _ in range(2))
        drawn += tries + more
        first.append(points_of(here, nodes))
        orbits.append(there)
        second.append(points_of(orbits[-1], nodes))
        laws.append(law)
        rows.append(rng.permutation(config.samples))
    chosen = torch.from_numpy(np.stack(rows))
    points = stacked(first)
    shots, few = config.shots, min(config.few_shots, config.shots)
    start = np.stack([np.concatenate([orbit.q[0], orbit.p[0]], -1) for orbit in orbits])
    support, fewer, query = (points.at(chosen[:, rows]) for rows in (slice(shots), slice(few), slice(shots, 2 * shots)))
    return Test(support, fewer, query, stacked(second), laws, start, orbits, times, Tries(2 * count, drawn))


def points_of(orbit: Orbit, nodes: int) -> Points:
    """A trajectory [time, particle, axis] as points of a graph with so many nodes."""
    _, particles, axes = orbit.q.shape
    mask = torch.zeros(nodes, D_STATE)
    mask[:particles, :axes] = 1
    mask[:particles, AXES : AXES + axes] = 1
    return Points(padded(orbit.q, orbit.p, nodes), padded(orbit.dq, orbit.dp, nodes), mask)


def padded(first: Array, second: Array, nodes: int) -> Tensor:
    """Two halves [..., particle, axis] as states [..., node, 4], zero where there is nothing; float32."""
    *lead, particles, axes = first.shape
    state = np.zeros((*lead, nodes, D_STATE), np.float32)
    state[..., :particles, :axes] = first
    state[..., :particles, AXES : AXES + axes] = second
    return torch.from_numpy(state)


def stacked(points: Sequence[Points]) -> Points:
    """Tasks under a first axis."""
    return Points(*(torch.stack(parts) for parts in zip(*points, strict=True)))

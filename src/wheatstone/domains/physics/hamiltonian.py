"""Mechanical systems with H = |p|^2 / 2 + U(q): potentials, forces, initial states that stay bounded.

All masses are 1, so dq/dt = p and dp/dt = -dU/dq. Each system has a strength that multiplies its potential, and the
Henon-Heiles system also the size of its cubic term: drawn anew for every task, they make tasks that disagree.

    spring           U = x^2 / 2
    pendulum         U = 1 - cos x, below the separatrix
    henon-heiles     U = (x^2 + y^2) / 2 + l (x^2 y - y^3 / 3), below the escape energy 1 / (6 l^2)
    magnetic-mirror  U = (r + r z^2 / 2 - r^3 / 8)^2 / 2, in the half plane (r, z): a charge in a magnetic bottle
    damped-pendulum  the pendulum with dp/dt = -dU/dq - 0.2 p: no Hamiltonian system, to show what breaks
    two-body         U = -1 / |q1 - q2|, bound orbits of small eccentricity
    three-body       U = -sum over pairs 1 / |qi - qj|, near the rotating equilateral triangle

Source  Song, Jeong, ICLR 2024, arXiv:2212.01168, for the choice; Henon, Heiles, Astron. J. 69 (1964), 73; Lagrange's
        triangle for three bodies. The form of the mirror is the textbook expansion of the field near the axis; the
        paper's own was not seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wheatstone.bench.errors import UserError, did_you_mean
from wheatstone.domains.physics.formula import Formula

Array = NDArray[np.float64]
Constants = Mapping[str, float]
"""`strength`, and `cubic` for Henon-Heiles."""
FIXED: Constants = {"strength": 1.0, "cubic": 1.0}


@dataclass(frozen=True)
class HamiltonianSystem:
    """A kind of system; q and p have shape [..., particle, axis]."""

    name: str
    n_particles: int
    n_axes: int
    potential: Callable[[Array, Constants], Array]
    """Positions -> energy [...]."""
    force: Callable[[Array, Constants], Array]
    """Positions -> minus the gradient of the potential, of the shape of q."""
    propose: Callable[[np.random.Generator, Constants], tuple[Array, Array]]
    """Draws an initial (q, p), which may turn out not to stay bounded."""
    reach: float = 4.0
    """An orbit is lost when a coordinate leaves [-reach, reach]."""
    friction: float = 0.0
    """Rate at which momenta are lost besides: dp/dt = force - friction p. Then nothing is conserved."""

    def pull(self, q: Array, p: Array, constants: Constants) -> Array:
        """dp/dt, of the shape of q."""
        force = self.force(q, constants)
        return force - self.friction * p if self.friction else force

    def energy(self, q: Array, p: Array, constants: Constants = FIXED) -> Array:
        """Kinetic and potential energy [...] of states [..., particle, axis]."""
        return 0.5 * (p**2).sum((-2, -1)) + self.potential(q, constants)


def draw_constants(system: HamiltonianSystem, rng: np.random.Generator) -> dict[str, float]:
    """A strength between 1/4 and 4, uniform in its logarithm; the cubic term of Henon-Heiles uniform in [-1, 1]."""
    strength = float(np.exp(rng.uniform(-math.log(4), math.log(4))))
    cubic = float(rng.uniform(-1, 1))
    return {"strength": strength, "cubic": cubic if system.name == "henon-heiles" else 1.0}


def system_named(name: str) -> HamiltonianSystem:
    """One of SYSTEMS. Raises UserError with a suggestion for another name."""
    if name not in SYSTEMS:
        raise UserError(f"no system '{name}'.{did_you_mean(name, SYSTEMS)} Known: {', '.join(SYSTEMS)}.")
    return SYSTEMS[name]


def system_of_formula(text: str, place: str = "--potential", reach: float = 4.0) -> HamiltonianSystem:
    """One particle in a potential that somebody typed, in x, or in x and y.

    Raises UserError for text that is no formula, for one that depends on a momentum, and for a constant.
    """
    import ast

    try:
        names = {node.id for node in ast.walk(ast.parse(text.strip(), mode="eval")) if isinstance(node, ast.Name)}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        names = set[str]()  # the formula says it better, with the place
    if momenta := sorted(names & {"p", "px", "py", "p1", "p2"}):
        raise UserError(
            f"{place}: '{text}' depends on the momentum {momenta[0]}. A potential depends on x and y alone: "
            "the energy is |p|^2 / 2 + U(x, y)."
        )
    formula = Formula(text, ("x", "y"), place)
    if not formula.used:
        raise UserError(
            f"{place}: '{text}' is constant, so nothing moves. Use x, or x and y, as '0.5*x**2 + 0.1*x**4'."
        )
    n_axes = 2 if "y" in formula.used else 1

    def values(q: Array) -> dict[str, Array]:
        return {name: q[..., 0, axis] for axis, name in enumerate(("x", "y")[:n_axes])}

    def potential(q: Array, constants: Constants) -> Array:
        return constants["strength"] * formula(**values(q))

    def force(q: Array, constants: Constants) -> Array:
        import torch

        at = torch.tensor(np.asarray(q, np.float64), requires_grad=True)
        named = {name: at[..., 0, axis] for axis, name in enumerate(("x", "y")[:n_axes])}
        (slope,) = torch.autograd.grad(formula(**named).sum(), at)
        return -constants["strength"] * slope.numpy()

    def propose(rng: np.random.Generator, constants: Constants) -> tuple[Array, Array]:  # noqa: ARG001
        return rng.uniform(-1, 1, (1, n_axes)), rng.uniform(-1, 1, (1, n_axes))

    return HamiltonianSystem("formula", 1, n_axes, potential, force, propose, reach)


def _along(direction: float, size: float, n_axes: int) -> Array:
    """A momentum [1, axis] of that size; with one axis only its sign is free."""
    turn = (math.cos(direction), math.sin(direction)) if n_axes == 2 else (math.copysign(1, math.cos(direction)),)
    return size * np.array([turn])


def _shell(
    potential: Callable[[Array, Constants], Array], n_axes: int, box: Array, low: float, high: float
) -> Callable[[np.random.Generator, Constants], tuple[Array, Array]]:
    """States in a box [axis, 2] with an energy between `low` and `high`, both in units of the strength."""

    def propose(rng: np.random.Generator, constants: Constants) -> tuple[Array, Array]:
        while True:
            energy = constants["strength"] * rng.uniform(low, high)
            q = rng.uniform(box[:, 0], box[:, 1])[None]
            left = energy - float(potential(q, constants))
            if left >= 0:
                return q, _along(rng.uniform(0, 2 * math.pi), math.sqrt(2 * left), n_axes)

    return propose


def _spring(q: Array, constants: Constants) -> Array:
    return 0.5 * constants["strength"] * q[..., 0, 0] ** 2


def _spring_force(q: Array, constants: Constants) -> Array:
    return -constants["strength"] * q


def _pendulum(q: Array, constants: Constants) -> Array:
    return constants["strength"] * (1 - np.cos(q[..., 0, 0]))


def _pendulum_force(q: Array, constants: Constants) -> Array:
    return -constants["strength"] * np.sin(q)


def _henon_heiles(q: Array, constants: Constants) -> Array:
    x, y = q[..., 0, 0], q[..., 0, 1]
    return constants["strength"] * ((x**2 + y**2) / 2 + constants["cubic"] * (x**2 * y - y**3 / 3))


def _henon_heiles_force(q: Array, constants: Constants) -> Array:
    x, y = q[..., 0, 0], q[..., 0, 1]
    cubic = constants["cubic"]
    slope = np.stack([x + 2 * cubic * x * y, y + cubic * (x**2 - y**2)], -1)
    return -constants["strength"] * slope[..., None, :]


def _mirror(q: Array, constants: Constants) -> Array:
    r, z = q[..., 0, 0], q[..., 0, 1]
    return 0.5 * constants["strength"] * (r + r * z**2 / 2 - r**3 / 8) ** 2


def _mirror_force(q: Array, constants: Constants) -> Array:
    r, z = q[..., 0, 0], q[..., 0, 1]
    flux = r + r * z**2 / 2 - r**3 / 8
    slope = np.stack([flux * (1 + z**2 / 2 - 3 * r**2 / 8), flux * r * z], -1)
    return -constants["strength"] * slope[..., None, :]


def _gravity(q: Array, constants: Constants) -> Array:
    gap = q[..., :, None, :] - q[..., None, :, :]
    distance = np.sqrt((gap**2).sum(-1))
    first, second = np.triu_indices(q.shape[-2], 1)
    return -constants["strength"] * (1 / distance[..., first, second]).sum(-1)


def _gravity_force(q: Array, constants: Constants) -> Array:
    gap = q[..., :, None, :] - q[..., None, :, :]
    cube = (gap**2).sum(-1) ** 1.5 + np.eye(q.shape[-2])  # a particle is at distance 0 of itself, with gap 0
    return -constants["strength"] * (gap / cube[..., None]).sum(-2)


def _ring(n: int) -> Callable[[np.random.Generator, Constants], tuple[Array, Array]]:
    """Bodies on a regular polygon that nearly rotates: speeds within 10 % of the circular one, each body on its own."""

    def propose(rng: np.random.Generator, constants: Constants) -> tuple[Array, Array]:
        radius = rng.uniform(0.6, 1.2)
        angle = rng.uniform(0, 2 * math.pi) + 2 * math.pi * np.arange(n) / n
        outward = np.stack([np.cos(angle), np.sin(angle)], -1)
        # The pull of the others on a body of the polygon, towards its centre.
        pull = constants["strength"] * sum(1 / (4 * math.sin(math.pi * k / n)) for k in range(1, n)) / radius**2
        tangent = np.stack([-outward[:, 1], outward[:, 0]], -1) * rng.choice([-1.0, 1.0])
        p = math.sqrt(pull * radius) * tangent * rng.uniform(0.9, 1.1, (n, 1))
        return radius * outward, p - p.mean(0)

    return propose


def _one_particle(
    name: str, potential: Callable[[Array, Constants], Array], force: Callable[[Array, Constants], Array], box: object,
    low: float, high: float, reach: float, friction: float = 0.0,
) -> HamiltonianSystem:  # fmt: skip
    sides = np.asarray(box, np.float64)
    return HamiltonianSystem(
        name, 1, len(sides), potential, force, _shell(potential, len(sides), sides, low, high), reach, friction
    )


SYSTEMS: Mapping[str, HamiltonianSystem] = {
    system.name: system
    for system in (
        _one_particle("spring", _spring, _spring_force, [(-1.0, 1.0)], 0.05, 0.5, 4.0),
        _one_particle("pendulum", _pendulum, _pendulum_force, [(-1.5, 1.5)], 0.05, 0.8, math.pi),
        _one_particle("henon-heiles", _henon_heiles, _henon_heiles_force, [(-0.5, 0.5)] * 2, 0.03, 0.15, 2.0),
        _one_particle("magnetic-mirror", _mirror, _mirror_force, [(0.2, 0.8), (-0.6, 0.6)], 0.05, 0.3, 2.0),
        _one_particle("damped-pendulum", _pendulum, _pendulum_force, [(-1.5, 1.5)], 0.05, 0.8, math.pi, 0.2),
        HamiltonianSystem("two-body", 2, 2, _gravity, _gravity_force, _ring(2), 4.0),
        HamiltonianSystem("three-body", 3, 2, _gravity, _gravity_force, _ring(3), 4.0),
    )
}
"""All systems by name."""
ONE_PARTICLE = tuple(name for name, system in SYSTEMS.items() if system.n_particles == 1)

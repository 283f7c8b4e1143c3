"""A trained network on a user's own trajectories: scale them, adapt to some points, predict the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from wheatstone.bench.checkpoint import read_tensors, write_tensors
from wheatstone.bench.errors import UserError
from wheatstone.domains.physics.hamiltonian import Array
from wheatstone.domains.physics.rollout import rollout, trajectory_error
from wheatstone.domains.physics.trajectories import Recorded, as_particles, motion
from wheatstone.learn.meta import MetaLearner, Parameters, parameters_of
from wheatstone.learn.models.hamiltonian import AXES, GraphConfig
from wheatstone.studies.physical.hamiltonian_meta.learning import (
    RATES,
    Network,
    adaptation,
    field_error,
    field_loss,
    field_of,
    make_network,
)
from wheatstone.studies.physical.hamiltonian_meta.tasks import Points, padded

FINEST = 0.05
"""Longest time step of a predicted orbit, in the scaled time in which motion has the speed of the training systems."""
MODEL = "model.safetensors"
UNEXPLAINED, TIMES_WORSE = 0.04, 2.5
"""Error of an energy, alone and beside that of a field, above which no energy explains the motion. Measured: pendulums
with friction 0.1 and 0.3 have 0.07 and 0.17, 2.7 and 6 times as much; noisy oscillators, coupled springs, a Toda chain
and a double pendulum at most 2 times."""


class Model(NamedTuple):
    """A network with its parameters, as a run stores it."""

    network: Network
    parameters: dict[str, Tensor]
    particles: int
    """Most particles of a system that it was trained on; a single one sends no messages."""


@dataclass(frozen=True)
class Scale:
    """q = shift + length * q', p = impulse * p', t = time * t': Hamilton's equations keep their form."""

    shift: Array
    """[particle, axis]"""
    length: float
    impulse: float
    time: float


class Track(NamedTuple):
    """One trajectory, scaled."""

    name: str
    t: Array
    """[time], in the scaled unit, from 0."""
    points: Points
    """[time, particle, 4]"""


class Prepared(NamedTuple):
    """What is adapted to, and what is predicted."""

    scale: Scale
    support: Points
    """[1, shots, ...]"""
    query: Points
    """[1, shots, ...]: other points of the same rows, on which the learning rate is chosen."""
    test: Track
    spline_error: float
    """Estimated relative error of the derivatives; 0 where the file gave them."""
    told: str
    """Where support and test come from, in words."""


class Adapted(NamedTuple):
    """A start after adaptation."""

    parameters: dict[str, Tensor]
    rate: float
    before: float
    """Relative error of the field on the test rows."""
    after: float


def read_model(place: Path) -> Model:
    """The network of a run directory (its arm `meta`, first seed), of a trial's folder, or of a file.

    Raises UserError for another thing.
    """
    file = place
    if place.is_dir():
        inside = [place / "artifacts" / MODEL, *sorted(place.glob(f"arms/meta/seed-*/artifacts/{MODEL}"))]
        inside += sorted(place.glob(f"arms/*/seed-*/artifacts/{MODEL}"))
        file = next((one for one in inside if one.exists()), inside[0])
    if not file.exists():
        raise UserError(
            f"{place}: no trained network there. Train one: wheatstone run hamiltonian-meta --arms meta --seeds 1, "
            "then give its run directory."
        )
    stored, _ = read_tensors(file)
    try:
        width, layers = int(stored["embed.weight"].shape[0]), int(stored.pop("layers"))
        particles = int(stored.pop("particles"))
        context = len(stored.get("context", ()))
        kind = "hamiltonian" if stored["readout.weight"].shape[0] == 1 else "vector_field"
        network = make_network(kind, GraphConfig(width, layers, context), torch.Generator())
        network.load_state_dict(stored)
    except (KeyError, RuntimeError, AttributeError, IndexError):
        raise UserError(f"{file}: not a network of hamiltonian-meta.") from None
    return Model(network, {name: value.detach() for name, value in network.named_parameters()}, particles)


def save_model(file: Path, network: Network, parameters: Parameters, particles: int) -> None:
    """Stores what `read_model` reads."""
    sizes = {"layers": torch.tensor(network.cfg.layers), "particles": torch.tensor(particles)}
    write_tensors(file, {**parameters, **sizes}, {})


def prepare(
    recorded: Sequence[Recorded],
    particles: int,
    shots: int,
    rng: np.random.Generator,
    file: str,
    *,
    scaled: bool = True,
    masses: Sequence[float] = (),
) -> Prepared:
    """Scaled points of the trajectories: the last one is predicted, or the second half of a single one.

    Trajectories without momenta need the mass of each particle.

    Raises UserError for fewer than 2 * shots rows to adapt to, and for trajectories that do not move.
    """
    parts = list[tuple[str, Array, Array, Array, Array, Array]]()
    errors = list[float]()
    for one in recorded:
        # A mass for each column, particle by particle; as_particles refuses what cannot be divided.
        found = motion(one, np.repeat(masses, one.q.shape[1] // len(masses)) if masses else 1.0)
        errors.append(found.error)
        inner = slice(found.loose, len(one.t) - found.loose)
        q, p, dq, dp = (as_particles(values[inner], particles) for values in (one.q, found.p, found.dq, found.dp))
        parts.append((one.name, one.t[inner], q, p, dq, dp))
    scale = _scale([part[2:] for part in parts], file, scaled)
    tracks = [
        Track(
            name,
            (t - t[0]) / scale.time,
            _points((q - scale.shift) / scale.length, p / scale.impulse, dq, dp, scale),
        )
        for name, t, q, p, dq, dp in parts
    ]
    if len(tracks) > 1:
        given, test = tracks[:-1], tracks[-1]
        told = f"{len(given)} of {len(tracks)} trajectories, the last one is predicted"
    else:
        half = len(tracks[0].t) // 2
        whole = tracks[0]
        given = [Track(whole.name, whole.t[:half], _rows(whole.points, slice(None, half)))]
        test = Track(whole.name, whole.t[half:] - whole.t[half], _rows(whole.points, slice(half, None)))
        told = "the first half of the trajectory, the second is predicted"
    x, y = (torch.cat([getattr(track.points, kind) for track in given]) for kind in ("x", "y"))
    if len(x) < 2 * shots:
        raise UserError(
            f"{file}: {len(x)} rows to adapt to ({told}), --shots {shots} needs {2 * shots}: as many again choose the "
            "learning rate. Give fewer --shots, or more rows."
        )
    rows = torch.from_numpy(rng.permutation(len(x)))
    mask = test.points.mask
    support, query = (
        Points(x[chosen][None], y[chosen][None], mask[None]) for chosen in (rows[:shots], rows[shots : 2 * shots])
    )
    return Prepared(scale, support, query, test, max(errors), told)


def _rows(points: Points, rows: slice) -> Points:
    return Points(points.x[rows], points.y[rows], points.mask)


def _points(q: Array, p: Array, dq: Array, dp: Array, scale: Scale) -> Points:
    nodes, axes = q.shape[1:]
    mask = torch.zeros(nodes, 2 * AXES)
    mask[:, :axes] = 1
    mask[:, AXES : AXES + axes] = 1
    slopes = dq * scale.time / scale.length, dp * scale.time / scale.impulse
    return Points(padded(q, p, nodes), padded(*slopes, nodes), mask)


def _scale(parts: Sequence[tuple[Array, Array, Array, Array]], file: str, scaled: bool) -> Scale:
    """Units in which positions and momenta reach 1 and dq/dt has the size of p, as in training.

    Positions are shifted where an axis never passes zero. Any such change of units is canonical up to a factor of H.
    """
    q, p, dq, _ = (np.concatenate([part[kind] for part in parts]) for kind in range(4))
    low, high = q.min(0), q.max(0)
    if not (np.abs(dq).max() > 0 and np.abs(p).max() > 0 and (high > low).any()):
        raise UserError(f"{file}: nothing moves: positions or momenta are constant.")
    if not scaled:
        return Scale(np.zeros_like(low), 1.0, 1.0, 1.0)
    shift = np.where((low > 0) | (high < 0), (low + high) / 2, 0.0)
    length, impulse = float(np.abs(q - shift).max()), float(np.abs(p).max())
    speed, push = math.sqrt(float((dq**2).mean())), math.sqrt(float((p**2).mean()))
    return Scale(shift, length, impulse, (push / impulse) / (speed / length))


def adapt_to(network: Network, start: Parameters, prepared: Prepared, steps: int, rate: float | None) -> Adapted:
    """Adapts with the given rate, or with the one of RATES that is best on the query points."""
    rates = RATES if rate is None else (rate,)
    moving = frozenset({"context"}) if network.cfg.context else None
    found = adaptation(
        network, start, prepared.support, prepared.query, prepared.query, [steps], rates, [steps], moving=moving
    )
    errors = found.query[steps][:, 0]
    best = int(np.argmin(errors))
    if not math.isfinite(errors[best]):
        raise UserError(f"adapt --lr: with {rates[best]:g} the loss diverges. Give a smaller one.")
    adapted = {name: value[best, 0] for name, value in found.adapted[steps].items()}
    error, points = field_error(network), prepared.test.points
    with torch.no_grad():
        before, after = (float(error(parameters, points)) for parameters in (start, adapted))
    return Adapted(adapted, rates[best], before, after)


def random_start(network: Network, kind: str, seed: int) -> tuple[Network, dict[str, Tensor]]:
    """A network of the same size that nothing has trained."""
    fresh = make_network(kind, network.cfg, torch.Generator().manual_seed(seed))
    return fresh, {name: value.detach() for name, value in parameters_of(fresh).items()}


def unlike_momenta(prepared: Prepared) -> float:
    """The part of the velocities that is no multiple of the momenta, each coordinate with its own mass; 0 to 1.

    It is 0 for every energy |p|^2 / 2m + U(q), as of all systems that a run of this study trains on.
    """
    p, velocity = prepared.query.x[0, ..., AXES:], prepared.query.y[0, ..., :AXES]
    inverse_mass = (p * velocity).sum(0) / p.square().sum(0).clamp_min(1e-12)
    return float(((velocity - inverse_mass * p).square().sum() / velocity.square().sum()).sqrt())


class Explained(NamedTuple):
    """How well an energy explains the motion: relative errors of two networks on points that they were not taught."""

    by_energy: float
    by_field: float

    @property
    def needs_more(self) -> bool:
        """A field fits where no energy does: friction, or momenta that are not canonical."""
        return self.by_energy > UNEXPLAINED and self.by_energy > TIMES_WORSE * self.by_field


def explained(prepared: Prepared, seed: int = 0) -> Explained:
    """Teaches a small network of the energy and an equal one of the field the support, from nothing, by Adam.

    It finds friction where orbits come near their own past: a single winding of a spiral is the level line of some
    energy. Where the points are few for the dimensions, neither network fits, and nothing is said.
    """
    found = list[float]()
    for kind in ("hamiltonian", "vector_field"):
        network = make_network(kind, GraphConfig(32, 1), torch.Generator().manual_seed(seed))
        parameters: Parameters = parameters_of(network)
        for rate, steps in ((1e-2, 300), (1e-3, 100)):
            learner = MetaLearner(parameters, field_loss(network), lr=rate)
            for _ in range(steps):
                learner.joint_step(prepared.support)
            parameters = learner.parameters
        with torch.no_grad():
            found.append(float(vmap(field_error(network), (None, 0))(parameters, prepared.query)))
    return Explained(*found)


class Prediction(NamedTuple):
    """The orbit from the first test row, in scaled units, at the times of the test rows."""

    states: Array
    """[time, particle, 4]"""
    error: Array
    """[time]: |x - x'| / (|x| + |x'|)."""
    dt: float


def predict(network: Network, parameters: Parameters, test: Track, *, is_hamiltonian: bool) -> Prediction:
    """Integrates from the first test row, symplectically where there is an energy, and compares with all rows."""
    span = float(test.t[-1])
    steps = max(1, math.ceil(span / FINEST))
    dt = span / steps
    exact = {name: value.double()[None] for name, value in parameters.items()}
    field = field_of(network, exact, test.points.mask.double()[None])
    states = rollout(field, test.points.x[:1].double(), dt, steps, "leapfrog" if is_hamiltonian else "rk4")[
        :, 0
    ].numpy()
    flat = states.reshape(len(states), -1)
    grid = dt * np.arange(steps + 1)
    at = np.stack([np.interp(test.t, grid, column) for column in flat.T], 1).reshape(len(test.t), *states.shape[1:])
    return Prediction(at, trajectory_error(test.points.x.double().numpy(), at), dt)

"""`wheatstone apply hamiltonian-meta adapt`: a network adapts to a user's own trajectories."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Gt

from wheatstone.bench.errors import UserError
from wheatstone.bench.extras import need

if TYPE_CHECKING:
    from collections.abc import Callable

    from wheatstone.bench.exhibit import Lines
    from wheatstone.domains.physics.hamiltonian import Array
    from wheatstone.studies.physical.hamiltonian_meta.fitting import Explained, Prediction, Prepared

LOST = 0.2
"""Error of a predicted orbit above which it counts as lost."""
SEPARABLE = 0.1
"""Part of the velocities that is no multiple of the momenta above which the energy counts as not separable."""
NOISY = 0.2
"""Estimated relative error of derivatives above which a warning is printed."""


def adapt(
    model: Path,
    trajectories: Path,
    *,
    shots: Annotated[int, Ge(1)] = 50,
    steps: Annotated[int, Ge(0)] = 100,
    lr: Annotated[float, Gt(0)] | None = None,
    q: str = "",
    p: str = "",
    particles: Annotated[int, Ge(1)] = 1,
    mass: str = "",
    potential: str = "",
    seed: Annotated[int, Ge(0)] = 0,
    out: Path | None = None,
    save: Path | None = None,
    allow_uneven: bool = False,
    no_scale: bool = False,
) -> int:
    """Adapt a trained network to your own trajectories and predict the rest of them.

    A single trajectory is adapted to in its first half and predicted in its second; of several, the last is predicted.

    Args:
        model: a run directory of hamiltonian-meta, a trial's folder in it, or its model.safetensors.
        trajectories: CSV with a header t, q1, ..., p1, ... or .npz with arrays t, q, p; dq and dp are used if present.
            Momenta must be canonical (the derivative of the Lagrangian by dq/dt); for coordinates that share their
            kinetic energy, as the angles of a double pendulum, they are not mass x velocity.
        shots: points to adapt to; as many more choose the learning rate.
        steps: steps of gradient descent.
        lr: learning rate; the best of nine from 0.005 to 3.2 when not given.
        q: names of the positions, separated by commas, particle by particle; those that begin with q when not given.
        p: names of the momenta in the same order.
        particles: particles of the system; each has one or two coordinates.
        mass: for files with positions alone: the mass of each particle, separated by commas, or one for all. Momenta
            are then mass x dq/dt: right for Cartesian positions, and for one angle with the moment of inertia.
        potential: the true potential in x and y, where it is known and all masses are 1, as '0.5*x**2 + 0.1*x**4'; the
            true energy is then followed along the predicted orbit.
        seed: which points are drawn, and the random start that is shown beside.
        out: where to draw the predicted orbit; beside the trajectories as .png when not given.
        save: where to store the adapted network.
        allow_uneven: take times that are not evenly spaced.
        no_scale: keep the units of the file; otherwise positions, momenta and time are scaled to those of training.
    """
    need("scipy", extra="physical", to=f"adapt to {trajectories.name}")
    from wheatstone.domains.physics.hamiltonian import system_of_formula
    from wheatstone.domains.physics.trajectories import read_trajectories, split_columns

    system = system_of_formula(potential, "adapt --potential") if potential else None
    masses = _masses(mass, particles)
    recorded = read_trajectories(
        trajectories, split_columns(q), split_columns(p), allow_uneven=allow_uneven, positions_only=bool(masses)
    )
    widths = sorted({one.q.shape[1] for one in recorded})
    if system is not None and (particles, widths) != (1, [system.n_axes]):
        raise UserError(
            f"adapt --potential: '{potential}' is for one particle with {system.n_axes} coordinate(s); "
            f"{trajectories.name} has {widths[0]} position(s) and {particles} particle(s)."
        )

    import numpy as np

    from wheatstone.learn.models.hamiltonian import GraphHamiltonian
    from wheatstone.studies.physical.hamiltonian_meta.fitting import (
        adapt_to,
        explained,
        predict,
        prepare,
        random_start,
        read_model,
        save_model,
        unlike_momenta,
    )

    trained = read_model(model)
    prepared = prepare(
        recorded, particles, shots, np.random.default_rng(seed), trajectories.name, scaled=not no_scale, masses=masses
    )
    is_hamiltonian = isinstance(trained.network, GraphHamiltonian)
    rows = sum(len(one.t) for one in recorded)
    axes = widths[0] // particles
    _describe(trajectories.name, rows, particles, axes, trained.particles, prepared, estimated=bool(masses))
    if is_hamiltonian:
        _warn(prepared, explained(prepared, seed), unlike_momenta(prepared))
    adapted = adapt_to(trained.network, trained.parameters, prepared, steps, lr)
    kind = "hamiltonian" if is_hamiltonian else "vector_field"
    fresh, start = random_start(trained.network, kind, seed)
    rival = adapt_to(fresh, start, prepared, steps, lr)
    print(
        f"{shots} points, {steps} steps, learning rate {adapted.rate:g}: relative error of the field on the rest "
        f"{adapted.before:.3g} before, {adapted.after:.3g} after (random start, rate {rival.rate:g}: {rival.after:.3g})"
    )
    if adapted.after > adapted.before:
        print(
            "warning: adaptation made the network worse there. Give a smaller --lr, or more --shots.", file=sys.stderr
        )
    found = predict(trained.network, adapted.parameters, prepared.test, is_hamiltonian=is_hamiltonian)
    other = predict(fresh, rival.parameters, prepared.test, is_hamiltonian=is_hamiltonian)
    _judge(prepared, found, other)
    if system is not None:
        _true_energy(prepared, found, system.energy)
    place = out or trajectories.with_suffix(".png")
    _draw(place, prepared, found, other)
    if save is not None:
        save_model(save, trained.network, adapted.parameters, max(particles, trained.particles))
        print(f"{save}: the adapted network (it works in the scaled units above)")
    return 0


def _masses(text: str, particles: int) -> tuple[float, ...]:
    """'1.5' or '1,2' -> a mass for each particle; '' -> none. Raises UserError."""
    from wheatstone.domains.physics.trajectories import split_columns

    try:
        masses = tuple(float(part) for part in split_columns(text))
    except ValueError:
        masses = (math.nan,)
    if not all(0 < one < math.inf for one in masses):
        raise UserError(f"adapt --mass: got '{text}', must be numbers above 0, one for all particles or one for each.")
    if len(masses) not in (0, 1, particles):
        raise UserError(f"adapt --mass: {len(masses)} masses for {particles} particle(s); give one, or one for each.")
    return masses * particles if len(masses) == 1 else masses


def _describe(
    name: str, rows: int, particles: int, axes: int, trained_on: int, prepared: Prepared, *, estimated: bool
) -> None:
    scale = prepared.scale
    what = "momenta and derivatives" if estimated else "derivatives"
    known = (
        f"{what} by smoothing splines, estimated error {100 * prepared.spline_error:.2g} %"
        if prepared.spline_error
        else "derivatives from the file"
    )
    shifts = ", ".join(f"{value:.3g}" for value in scale.shift.ravel())
    moved = f", q shifted by {shifts}" if scale.shift.any() else ""
    print(
        f"{name}: {rows} rows, {particles} particle(s) in {axes} dimension(s), {prepared.told}; {known}\n"
        f"units: q in {scale.length:.3g}, p in {scale.impulse:.3g}, t in {scale.time:.3g}{moved}"
    )
    if prepared.spline_error > NOISY:
        print(
            "warning: the derivatives are uncertain, so errors of the field below say little. Sample more densely, or "
            "give columns dq..., dp....",
            file=sys.stderr,
        )
    if particles > 1 == trained_on:
        print(
            "note: this network was trained on single particles and has never sent a message. Train one with two-body "
            "or three-body among --config.systems.",
            file=sys.stderr,
        )


def _warn(prepared: Prepared, found: Explained, apart: float) -> None:
    """What a network of the energy will have trouble with."""
    if apart > SEPARABLE + prepared.spline_error:
        print(
            f"note: {100 * apart:.0f} % of the velocities are no multiple of the momenta: the energy is not p^2 / 2m + "
            "U(q). The network and its integrator can do without, but every system that it was trained on is so: more "
            "--steps and --shots may be needed.",
            file=sys.stderr,
        )
    if found.needs_more:
        print(
            f"warning: no energy explains this motion: error {found.by_energy:.2g} of an energy fitted from nothing, "
            f"{found.by_field:.2g} of a field. Friction, a drive, or momenta that are not canonical do that; a network "
            "of the energy cannot follow. Train one of the field: --config.network vector_field.",
            file=sys.stderr,
        )


def _judge(prepared: Prepared, found: Prediction, other: Prediction) -> None:
    import numpy as np

    time = prepared.test.t * prepared.scale.time
    late = np.flatnonzero(found.error > LOST)
    lost = f"lost (error {LOST:g}) after {time[late[0]]:.3g} of {time[-1]:.3g}" if len(late) else "never lost"
    print(
        f"predicted orbit over {time[-1]:.3g} units of time: mean error {found.error.mean():.3g} (random start "
        f"{other.error.mean():.3g}), {lost}"
    )
    reach = 10 * float(prepared.test.points.x.abs().max())
    gone = np.flatnonzero(~(np.abs(found.states).max((1, 2)) < reach))
    if len(gone):
        print(
            f"warning: the predicted orbit leaves the region of the data (10 times its size) at t = "
            f"{time[gone[0]]:.3g}: the adapted energy does not bind it.",
            file=sys.stderr,
        )


def _true_energy(prepared: Prepared, found: Prediction, energy: Callable[[Array, Array], Array]) -> None:
    """How the true energy changes along the predicted orbit, in the user's units."""
    import numpy as np

    from wheatstone.domains.physics.rollout import energy_error
    from wheatstone.learn.models.hamiltonian import AXES

    scale, axes = prepared.scale, prepared.scale.shift.shape[1]
    q = found.states[..., :axes] * scale.length + scale.shift
    p = found.states[..., AXES : AXES + axes] * scale.impulse
    values = energy(q, p)
    errors = energy_error(values[:, None])
    print(
        f"true energy along it: {values[0]:.4g} at the start, drift {100 * errors.drift[0]:.2g} %, deviation "
        f"{100 * errors.rms[0]:.2g} % (root mean square)" + ("" if np.isfinite(values).all() else ", then lost")
    )


def _draw(place: Path, prepared: Prepared, found: Prediction, other: Prediction) -> None:
    from wheatstone.bench.draw.png import png
    from wheatstone.bench.files import write_atomically

    picture = png(forecast(prepared, found, other))
    if picture is not None:
        write_atomically(place, picture)
        print(f"{place}: the predicted orbit beside the measured one")


def forecast(prepared: Prepared, found: Prediction, other: Prediction) -> Lines:
    """The first position over time: measured, predicted after adaptation, and from a random start."""
    from wheatstone.bench.exhibit import Line, Lines

    time = [float(value) * prepared.scale.time for value in prepared.test.t]
    shift, length = float(prepared.scale.shift[0, 0]), prepared.scale.length

    def position(states: Array) -> list[float]:
        return [float(value) * length + shift for value in states[:, 0, 0]]

    measured = position(prepared.test.points.x.numpy())
    low, high = min(measured), max(measured)
    room = 0.6 * (high - low)
    return Lines(
        "forecast",
        "Predicted orbit from the first test row",
        "time",
        "first position",
        [
            Line("measured", time, measured),
            Line("adapted network", time, position(found.states), arm="meta"),
            Line("random start, as many steps", time, position(other.states), arm="scratch"),
        ],
        y_range=(low - room, high + room),
    )

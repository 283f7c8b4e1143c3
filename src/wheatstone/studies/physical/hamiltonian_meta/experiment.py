"""One trial: draw tasks, find a start, let it adapt to tasks of the system that was left out, and judge it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from wheatstone.bench.extras import need
from wheatstone.bench.run import Trial
from wheatstone.domains.physics.hamiltonian import Array
from wheatstone.domains.physics.rollout import Orbit, energy_error, rollout, trajectory_error, valid_time
from wheatstone.interp.similarity import linear_cka
from wheatstone.learn.meta import InnerLoop, MetaLearner, Parameters, Rule, adapt_each, parameters_of
from wheatstone.learn.models.hamiltonian import AXES, GraphConfig, GraphHamiltonian
from wheatstone.studies.physical.hamiltonian_meta.config import Config
from wheatstone.studies.physical.hamiltonian_meta.fitting import MODEL, save_model
from wheatstone.studies.physical.hamiltonian_meta.learning import (
    RATES,
    Network,
    activations_of,
    adaptation,
    best_rate,
    energy_along,
    field_loss,
    field_of,
    make_network,
    moving_names,
)
from wheatstone.studies.physical.hamiltonian_meta.measures import CLAIMED, FEW_STEPS, STEPS, empty
from wheatstone.studies.physical.hamiltonian_meta.tasks import (
    Points,
    Pool,
    Test,
    Tries,
    check,
    draw_pool,
    draw_test,
    held_out_system,
    n_particles,
    named_systems,
    padded,
    training_systems,
)

CHECKPOINT_EVERY = 100
"""Outer iterations between two checkpoints: about five seconds."""
LOG_EVERY = 10
SMOOTHED = 50
"""Iterations whose mean is the training loss that is reported."""
PORTRAITS = (0, 5, 20)
"""Steps of adaptation after which an orbit is drawn."""
PER_SYSTEM = 4
"""Tasks of each system whose adapted networks are compared."""
PROBES = 64
"""States of each system on which they are compared."""


class Trained(NamedTuple):
    """A start for adaptation."""

    parameters: dict[str, Tensor]
    loss: float
    points: int
    tries: Mapping[str, Tries]
    """Training system -> initial states."""


def run(trial: Trial[Config]) -> Mapping[str, float]:
    """Finds a start and measures how it adapts; training goes on from the last checkpoint after a kill."""
    need("scipy", extra="physical", to="run hamiltonian-meta")
    check(trial.config)
    config, nodes, taught = trial.config, n_particles(trial.config), n_particles(trial.config, training_only=True)
    init = torch.Generator().manual_seed(trial.seed_for("init"))
    context = config.context if config.method == "context" else 0
    network = make_network(config.network, GraphConfig(config.width, config.layers, context), init)
    trained = train(trial, network, taught)
    save_model(trial.file(MODEL), network, trained.parameters, taught)
    moving = moving_names(network, config.method, nodes)
    test = draw_test(config, config.test_tasks, trial.rng("test"), nodes)
    validation = draw_test(config, config.validation_tasks, trial.rng("validation"), nodes)
    steps = [step for step in STEPS if step <= config.adapt_steps]
    last = steps[-1]
    total = _work(config)
    done = total - last - min(last, FEW_STEPS)

    def note(step: int) -> None:
        trial.progress(min(total, done + step), total, "adapting")

    measures = empty()
    curves = dict[str, Mapping[str, Sequence[float]]]()
    for name, of_test, of_validation in (
        ("", test.support, validation.support),
        ("few_", test.few, validation.few),
    ):
        many = not name
        at_steps = steps if many else [step for step in steps if step <= FEW_STEPS]
        keep = sorted({0, *(step for step in PORTRAITS if step <= last), last}) if many else ()
        chosen = adaptation(
            network, trained.parameters, of_validation, validation.query, validation.other, at_steps, moving=moving
        )
        rates = {step: best_rate(chosen, step) for step in at_steps}
        tried = sorted(set(rates.values()))
        found = adaptation(
            network, trained.parameters, of_test, test.query, test.other, at_steps, tried, keep, note, moving
        )
        at = {step: tried.index(rate) for step, rate in rates.items()}
        done += at_steps[-1]
        curves["many" if many else "few"] = {
            "steps": at_steps,
            "query": [_log_median(found.query[step][at[step]]) for step in at_steps],
            "other": [_log_median(found.other[step][at[step]]) for step in at_steps],
            "rate": list(rates.values()),
        }
        for step in set(CLAIMED) & set(at_steps):
            measures[f"{name}log_error_{step}"] = _log_median(found.query[step][at[step]])
            if many:
                measures[f"other_log_error_{step}"] = _log_median(found.other[step][at[step]])
                if step in (5, 100):
                    measures[f"rate_{step}"] = rates[step]
        if many:
            by_rate = {step: np.median(chosen.query[step], axis=1) for step in set(CLAIMED) & set(at_steps)}
            trial.write("rates", {"rates": RATES, "error": by_rate})
            adapted = {step: {k: v[at[step]] for k, v in found.adapted[step].items()} for step in keep}
            measures |= _orbits(trial, network, test, adapted, last)
            measures["cka_last"] = _layers(trial, network, trained.parameters, adapted[last], test)
    trial.write("curves", curves)
    trial.write("accepted", {**trained.tries, f"{held_out_system(config).name}, to adapt to": test.tries})
    _domains(trial, network, trained.parameters, nodes, moving)
    measures |= {
        "log_train_loss": math.log10(trained.loss) if trained.loss > 0 else math.nan,
        "gradient_points": float(trained.points),
        "parameters": float(sum(value.numel() for value in trained.parameters.values())),
        "accepted": _share(trained.tries.values()),
        "accepted_test": _share([test.tries]),
    }
    trial.progress(total, total)
    return measures


def _share(tries: Iterable[Tries]) -> float:
    """The share of all drawn initial states that was kept; NaN without any."""
    kept, drawn = (sum(counts) for counts in zip((0, 0), *tries, strict=True))
    return kept / drawn if drawn else math.nan


def _work(config: Config) -> int:
    trained = 0 if config.method == "none" else config.iterations
    return trained + min(config.adapt_steps, STEPS[-1]) + min(config.adapt_steps, FEW_STEPS)


def train(trial: Trial[Config], network: Network, nodes: int) -> Trained:
    """The start that the trial's method finds. Points of each step depend on the seed and the iteration alone."""
    config = trial.config
    start = parameters_of(network)
    if config.method == "none":
        return Trained({name: value.detach() for name, value in start.items()}, math.nan, 0, {})
    pool = draw_pool(config, training_systems(config), config.trajectories, trial.rng("training"), nodes)
    rule: Rule = "maml"  # joint training takes no inner steps: its rule is never used
    if config.method != "joint":
        rule = "anil" if config.method == "context" else config.method
    inner = InnerLoop(config.inner_steps, config.inner_lr, moving_names(network, config.method, nodes))
    learner = MetaLearner(start, field_loss(network), rule, inner, config.outer_lr)
    begun, recent = 0, list[float]()
    if checkpoint := trial.load_checkpoint():
        learner.load(checkpoint.tensors)
        begun, recent = int(checkpoint.state["iteration"]), list(checkpoint.state["recent"])
    for iteration in range(begun, config.iterations):
        value = _iteration(trial, learner, pool, iteration)
        recent = [*recent[1 - SMOOTHED :], value]
        if (iteration + 1) % LOG_EVERY == 0 or iteration + 1 == config.iterations:
            trial.log(iteration + 1, loss=sum(recent[-LOG_EVERY:]) / len(recent[-LOG_EVERY:]))
        trial.progress(iteration + 1, _work(config), f"loss {value:.3g}")
        if (iteration + 1) % CHECKPOINT_EVERY == 0:
            trial.save_checkpoint(learner.state(), {"iteration": iteration + 1, "recent": recent})
    points = config.iterations * config.tasks * config.shots * (config.inner_steps + 1)
    return Trained(dict(learner.parameters), sum(recent) / len(recent), points, pool.tries)


def _iteration(trial: Trial[Config], learner: MetaLearner, pool: Pool, iteration: int) -> float:
    """One outer iteration, or as many ordinary steps as use the same number of points."""
    config = trial.config
    rng = trial.rng(f"batch {iteration}")
    if config.method != "joint":
        support, query = pool.batch(rng, config.tasks, config.shots)
        if config.mismatched:
            query = query.of(torch.arange(config.tasks).roll(1))
        return float(learner.step(support, query).after)
    losses = [
        float(learner.joint_step(pool.batch(rng, config.tasks, config.shots)[0])) for _ in range(config.inner_steps + 1)
    ]
    return sum(losses) / len(losses)


def _log_median(errors: Array) -> float:
    """log10 of the median; 3 where more than half of the tasks diverged."""
    middle = float(np.median(errors))
    return math.log10(middle) if math.isfinite(middle) else 3.0


def _orbits(
    trial: Trial[Config], network: Network, test: Test, adapted: Mapping[int, Parameters], last: int
) -> dict[str, float]:
    """Orbits from the first states of the second trajectories: the true energy along them, and a few to draw.

    A network of the energy is integrated by the symplectic leapfrog, one of the field by Runge-Kutta of order 4.
    """
    config = trial.config
    count = min(config.rollout_tasks, len(test.laws))
    nodes = test.query.x.shape[-2]
    half = test.start.shape[-1] // 2
    start = padded(test.start[:count, :, :half], test.start[:count, :, half:], nodes).double()
    mask = test.query.mask[:count].double()
    is_hamiltonian = isinstance(network, GraphHamiltonian)
    steps = round(config.horizon * config.duration / config.dt)
    short = round(config.duration / config.dt)
    integrator = "leapfrog" if is_hamiltonian else "rk4"

    def rolled(parameters: Parameters, tasks: slice | list[int], span: int) -> Array:
        exact = {name: value.double() for name, value in parameters.items()}
        return rollout(field_of(network, exact, mask[tasks]), start[tasks], config.dt, span, integrator).numpy()

    found = rolled({name: value[:count] for name, value in adapted[last].items()}, slice(None), steps)
    # The first orbit is drawn after each of these steps: one start, a copy of the network for each.
    drawn = [step for step in adapted if step != last]
    copies = {name: torch.stack([adapted[step][name][0] for step in drawn]) for name in adapted[last]}
    portraits = rolled(copies, [0] * len(drawn), short)
    particles, axes = test.orbits[0].q.shape[1:]
    q, p = found[..., :particles, :axes], found[..., :particles, AXES : AXES + axes]
    laws = test.laws[:count]
    with np.errstate(all="ignore"):  # the orbits of a bad field leave every scale
        energies = np.stack([law.system.energy(q[:, k], p[:, k], law.constants) for k, law in enumerate(laws)], 1)
        deviation = np.median(np.abs(energies / energies[0] - 1), axis=1)
    errors = energy_error(energies)
    truth = [
        law.system.energy(orbit.q, orbit.p, law.constants) for law, orbit in zip(test.laws, test.orbits, strict=True)
    ]
    times = np.linspace(0, short * config.dt, short + 1)
    true = np.stack([_at(orbit, test.times, times) for orbit in test.orbits[:count]], 1)
    wrong = trajectory_error(true, np.concatenate([q, p], -1)[: short + 1])
    trial.write(
        "orbits",
        {
            "true": true[:, 0, 0, [0, axes]],
            **{f"after_{step}": portraits[:, k, 0][:, [0, AXES]] for k, step in enumerate(drawn)},
            f"after_{last}": found[: short + 1, 0, 0][:, [0, AXES]],
            "times": (config.dt * np.arange(steps + 1))[:: max(1, steps // 200)],
            "energy": deviation[:: max(1, steps // 200)],
            "last": last,
        },
    )
    if is_hamiltonian and particles == 1:
        _slices(trial, network, {k: v[0] for k, v in adapted[last].items()}, test)
    return {
        "log_energy_drift": math.log10(max(float(np.median(errors.drift)), 1e-12)),
        "log_energy_rms": math.log10(max(float(np.median(errors.rms)), 1e-12)),
        "energy_lost": float(np.median([abs(1 - energy[-1] / energy[0]) for energy in truth])),
        "trajectory_error": float(np.median(wrong.mean(0))),
        "valid_time": float(np.median(valid_time(wrong, config.dt))),
    }


def _at(orbit: Orbit, known: Array, times: Array) -> Array:
    """The states [time, particle, axis * 2] of a true orbit at other times: cubic between samples, with its slopes."""
    from scipy.interpolate import CubicHermiteSpline

    states, slopes = (np.concatenate(pair, -1) for pair in ((orbit.q, orbit.p), (orbit.dq, orbit.dp)))
    spline: Any = CubicHermiteSpline(known, states, slopes, axis=0)
    return spline(np.minimum(times, known[-1]))


def _slices(trial: Trial[Config], network: GraphHamiltonian, parameters: Parameters, test: Test) -> None:
    """Learnt and true energy of the first test task along x and along its momentum, the other coordinates zero."""
    law, points = test.laws[0], Points(*(part[0] for part in test.other))
    found = dict[str, Any]()
    for name, feature in (("x", 0), ("p", AXES)):
        reach = float(points.x[:, 0, feature].abs().max())
        values = np.linspace(0 if law.system.name == "magnetic-mirror" and name == "x" else -reach, reach, 41)
        states = torch.zeros(len(values), *points.x.shape[1:])
        states[:, 0, feature] = torch.from_numpy(values).float()
        with torch.no_grad():
            learnt = energy_along(network, parameters, states, points.mask).double().numpy()
        size = (len(values), law.system.n_particles, law.system.n_axes)
        q, p = np.zeros(size), np.zeros(size)
        (q if name == "x" else p)[:, 0, 0] = values
        true = law.system.energy(q, p, law.constants)
        # Only differences of an energy mean anything: the constant that fits best is added.
        found[name] = {"at": values, "true": true, "learnt": learnt + (true - learnt).mean()}
    trial.write("slices", found)


def _layers(trial: Trial[Config], network: Network, start: Parameters, adapted: Parameters, test: Test) -> float:
    """Linear CKA of each layer before and after adaptation, on points that were not adapted to; that of the last."""
    rows = list[list[float]]()
    for task in range(len(test.laws)):
        mask = test.query.mask[task]
        states = torch.cat([test.query.x[task], test.other.x[task]])
        before = activations_of(network, start, states, mask)
        after = activations_of(network, {k: v[task] for k, v in adapted.items()}, states, mask)
        rows.append([linear_cka(a, b) for a, b in zip(before, after, strict=True)])
    means = [_mean(column) for column in zip(*rows, strict=True)]
    trial.write("layers", {"cka": means})
    return means[-1]


def _domains(trial: Trial[Config], network: Network, start: Parameters, nodes: int, moving: frozenset[str]) -> None:
    """Linear CKA of the last layer between networks adapted to different systems, on states of all of them."""
    config = trial.config
    systems = named_systems(config)
    if config.potential:
        systems = [*systems, held_out_system(config)]
    systems = [system for system in systems if system.n_particles <= nodes]
    pool = draw_pool(config, systems, PER_SYSTEM, trial.rng("domains"), nodes)
    rows = torch.from_numpy(trial.rng("probes").random((len(pool.laws), config.samples)).argsort(1))
    support, query = pool.points.at(rows[:, : config.shots]), pool.points.at(rows[:, config.shots : 2 * config.shots])
    adapted = adapt_each(field_loss(network), start, support, InnerLoop(config.inner_steps, config.inner_lr, moving))
    largest = query.mask.amax(0)
    states = query.x[:, : max(1, PROBES // PER_SYSTEM)].flatten(0, 1)
    features = [
        activations_of(network, {name: value[task] for name, value in adapted.items()}, states, largest)[-1]
        for task in range(len(pool.laws))
    ]
    n = len(systems)
    alike = np.full((n, n), math.nan)
    for row, column in itertools.combinations_with_replacement(range(n), 2):
        values = [
            linear_cka(features[row * PER_SYSTEM + i], features[column * PER_SYSTEM + j])
            for i, j in itertools.product(range(PER_SYSTEM), repeat=2)
            if (row, i) != (column, j)
        ]
        alike[row, column] = alike[column, row] = _mean(values)
    trial.write("domains", {"systems": [system.name for system in systems], "cka": alike})


def _mean(values: Iterable[float]) -> float:
    """Mean of the finite values; NaN without any."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan

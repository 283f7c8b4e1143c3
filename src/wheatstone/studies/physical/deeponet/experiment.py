"""One trial: make the data, train one network or several, or solve in closed form, and judge on unseen functions."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from wheatstone.bench.errors import UserError
from wheatstone.bench.run import Trial
from wheatstone.domains.physics.function_spaces import Array
from wheatstone.domains.physics.operators import same_for_all
from wheatstone.domains.physics.surrogate import Surrogate
from wheatstone.domains.physics.triples import Triples, shared_functions
from wheatstone.learn.linear_operators import LinearOperator, PodOperator, reduced
from wheatstone.learn.models.operator_network import GRID, Ensemble, OperatorNetwork, Reduction, Scaling
from wheatstone.learn.regression import Regressed, Stages, log_slope
from wheatstone.studies.physical.deeponet.config import Config, grid_points, numbers
from wheatstone.studies.physical.deeponet.curves import LEVEL, Predict, basis, curves, outputs_at
from wheatstone.studies.physical.deeponet.losses import equation_loss, function_loss, label_loss, rows_of
from wheatstone.studies.physical.deeponet.measures import MEASURES, NAN, Scores, rank_correlation, scores
from wheatstone.studies.physical.deeponet.problem import Problem, make_problem

FEW = 100
"""Functions of the sweep over labels of one function."""
WATCHED = 5000
"""Rows of training and of test that are looked at while training."""
MODEL = "operator.safetensors"


class Judged(NamedTuple):
    """A method that has learnt."""

    predict: Predict
    train_mse: float
    measures: dict[str, float]
    members: list[OperatorNetwork]


def run(trial: Trial[Config]) -> Mapping[str, float]:
    """`Study.run`."""
    from threadpoolctl import threadpool_limits

    # The BLAS behind numpy sums in another order with more threads, and a trial must not depend on the machine's cores.
    with threadpool_limits(1, user_api="blas"):
        return _run(trial)


def _run(trial: Trial[Config]) -> Mapping[str, float]:
    config, problem = trial.config, make_problem(trial)
    found = dict.fromkeys(MEASURES, NAN)
    parts = [problem.train, problem.test, *([] if problem.calibration is None else [problem.calibration])]
    found["n_shared"] = float(sum(shared_functions(*pair) for pair in itertools.combinations(parts, 2)))
    match config.method:
        case "functions" | "points" | "sensors":
            found |= _sweep(trial, problem)
        case _:
            judged = _learn(trial, problem)
            found |= _judge(trial, problem, judged)
    found["spice_runs"] = float(getattr(problem.operator, "runs", NAN))
    found["left_out"] = float(problem.left_out)
    return found


def _learn(trial: Trial[Config], problem: Problem) -> Judged:
    match trial.config.method:
        case "linear" | "pod":
            return _in_closed_form(trial, problem)
        case "ensemble":
            return _ensemble(trial, problem)
        case "grid":
            return _best_of_grid(trial, problem)
        case _:
            stages = Stages(trial, trial.config.steps)
            return _one(trial, problem, stages, "")[0]


def _one(
    trial: Trial[Config],
    problem: Problem,
    stages: Stages,
    name: str,
    *,
    width: int | None = None,
    lr: float | None = None,
    steps: int | None = None,
) -> tuple[Judged, Regressed]:
    """One network, trained on the problem's triples."""
    config = trial.config
    scaling = scaling_of(problem, config)
    reduction = reduction_of(trial, problem, scaling)
    cfg = config.network(len(problem.box.low), len(problem.sensors), width)
    if reduction is not None:
        cfg = dataclasses.replace(cfg, modes=len(reduction.left))
    init = torch.Generator().manual_seed(trial.seed_for(f"init {name.split('@')[0]}"))
    model = OperatorNetwork(cfg, init, scaling, reduction)
    rows = rows_of(problem.train)
    n_row = len(rows.s)
    if config.loss == "equation":
        loss = equation_loss(problem, scaling.s_spread)
    elif config.by_function:
        if not problem.train.is_aligned:
            raise UserError("deeponet --by-function: needs labels at the same places for all functions (--aligned).")
        loss, n_row = function_loss(rows, scaling.s_spread), len(problem.train)
    else:
        loss = label_loss(rows, scaling.s_spread)
    regressed = stages.fit(
        name,
        model,
        loss,
        n_row,
        config.fitting(steps=steps, lr=lr),
        order_seed=trial.seed_for("order") % 2**31,
        evaluate=_watch(problem, lambda model: lambda part: outputs_at(model, part)),
    )
    predict = predictor([model])
    measures = {"parameters": float(model.parameter_count())}
    return Judged(predict, _mse(predict, problem.train), measures, [model]), regressed


def _best_of_grid(trial: Trial[Config], problem: Problem) -> Judged:
    """The network with the least test error, to be generous to it."""
    config = trial.config
    grid = grid_points(config.grid)
    stages = Stages(trial, config.steps * len(grid))
    rows: list[dict[str, float]] = []
    best: Judged | None = None
    least = float("inf")
    for width, rate in grid:
        judged, regressed = _one(trial, problem, stages, f"{width:g}@{rate:g}", width=width, lr=rate)
        test = _mse(judged.predict, problem.test)
        rows.append(
            {"width": width, "rate": rate, "train": judged.train_mse, "test": test, "step": float(regressed.step)}
        )
        if test < least:
            least, best = test, judged
            best.measures.update(best_width=width, best_rate=rate)
    assert best is not None
    trial.write("grid", rows)
    best.measures["least_train_mse"] = min(row["train"] for row in rows)
    return best


def _ensemble(trial: Trial[Config], problem: Problem) -> Judged:
    """Several networks from different starts, trained at once."""
    config = trial.config
    cfg, scaling = config.network(len(problem.box.low), len(problem.sensors)), scaling_of(problem, config)
    reduction = reduction_of(trial, problem, scaling)
    if reduction is not None:
        cfg = dataclasses.replace(cfg, modes=len(reduction.left))
    starts = [torch.Generator().manual_seed(trial.seed_for(f"init {at or ''}")) for at in range(config.members)]
    ensemble = Ensemble([OperatorNetwork(cfg, init, scaling, reduction) for init in starts])
    rows = rows_of(problem.train)
    if config.by_function and problem.train.is_aligned:
        loss, n_row = function_loss(rows, scaling.s_spread), len(problem.train)
    else:
        loss, n_row = label_loss(rows, scaling.s_spread), len(rows.s)

    def of_members(model: Ensemble) -> Predict:
        return lambda part: np.mean([outputs_at(member, part) for member in model.members()], axis=0)

    Stages(trial, config.steps).fit(
        "",
        ensemble,
        loss,
        n_row,
        config.fitting(),
        order_seed=trial.seed_for("order") % 2**31,
        evaluate=_watch(problem, of_members),
    )
    members = ensemble.members()
    predict = predictor(members)
    count = float(sum(member.parameter_count() for member in members))
    return Judged(predict, _mse(predict, problem.train), {"parameters": count} | _spreads(problem, members), members)


def _spreads(problem: Problem, members: list[OperatorNetwork]) -> dict[str, float]:
    """What the members' disagreement says."""
    spreads: list[Array] = []
    errors: list[Array] = []
    found: dict[str, float] = {}
    for name, part in {"test": problem.test, **problem.others}.items():
        each = np.stack([outputs_at(member, part) for member in members])
        mean, spread = each.mean(0), each.std(0, ddof=1)
        spreads.append(spread.mean(1))
        errors.append(np.sqrt(((mean - part.s) ** 2).mean(1)))
        if name == "test":
            found["spread"] = float(spread.mean())
            found["coverage"] = float((np.abs(mean - part.s) <= 2 * spread).mean())
        elif name == "shorter":
            found["spread_shorter"] = float(spread.mean())
    found["spread_error_correlation"] = rank_correlation(np.concatenate(spreads), np.concatenate(errors))
    return found


def _in_closed_form(trial: Trial[Config], problem: Problem) -> Judged:
    """Ridge regression on the same triples, or components of outputs that are known everywhere."""
    train, rng = problem.train, trial.rng("closed form")
    if trial.config.method == "linear":
        linear = LinearOperator(train.u, train.y, train.s, problem.box.low, problem.box.high, rng)

        def by_ridge(part: Triples) -> Array:
            return linear.everywhere(part.u, part.y[0]) if part.is_aligned else linear.at(part.u, part.y)

        return Judged(by_ridge, _mse(by_ridge, train), {"parameters": float(linear.weights.size)}, [])
    if not problem.test.is_aligned or not (train.is_aligned or problem.operator):
        raise UserError("deeponet: the method 'pod' needs every function labelled at the same places.")
    places = problem.test.y[0]
    whole = train
    if not (train.is_aligned and train.y.shape[1:] == places.shape and bool((train.y[0] == places).all())):
        assert problem.operator is not None
        assert problem.inputs is not None
        y = same_for_all(places, len(train))
        whole = Triples(train.u, y, problem.operator.label(problem.inputs[: len(train)], y))
    pod = PodOperator(whole.u, whole.s, rng)

    def by_components(part: Triples) -> Array:
        return pod.everywhere(part.u)

    return Judged(by_components, _mse(by_components, whole), {"parameters": float(pod.weights.size)}, [])


def _judge(trial: Trial[Config], problem: Problem, judged: Judged) -> dict[str, float]:
    """Every score of a method, and what figures show of it."""
    predicted = judged.predict(problem.test)
    found = scores(predicted, problem.test.s)
    trial.log(trial.config.steps, final_test_mse=found.mse, final_train_mse=judged.train_mse)
    measures = judged.measures | score_measures(found, judged.train_mse)
    for name, part in problem.others.items():
        measures[f"log10_{name}_mse"] = _log10(_mse(judged.predict, part))
    measures |= _linearity(trial, problem, judged.predict)
    surrogate = None
    if judged.members:
        trial.write("basis", basis(problem, judged.members[0]))
        surrogate = surrogate_of(trial.config, problem, judged)
        surrogate.save(trial.file(MODEL))
        measures |= _bars(problem, surrogate)
    shown = {"axis": problem.box.names[0], "curves": curves(problem, judged.predict, surrogate, predicted)}
    trial.write("predictions", shown)
    return measures


def _bars(problem: Problem, surrogate: Surrogate) -> dict[str, float]:
    """Whether error bars hold what they promise, and what they cost; nothing where there are too few functions."""
    if not surrogate.promises(LEVEL):
        return {}
    found: dict[str, float] = {}
    for name, part in (("", problem.test), ("_shorter", problem.others.get("shorter"))):
        if part is None:
            continue
        answer = surrogate.at_places(part.u, part.y)
        error = np.abs(answer.mean - part.s)
        bars, band = (surrogate.half_width(answer, LEVEL, whole=whole) for whole in (False, True))
        found[f"bar_coverage{name}"] = float((error <= bars).mean())
        if not name:
            found["band_coverage"] = float((error <= band).all(1).mean())
            found["bar_width"] = float(bars.mean())
    return found


def score_measures(found: Scores, train_mse: float) -> dict[str, float]:
    """Scores under the names of the measures."""
    return {
        "train_mse": train_mse,
        "test_mse": found.mse,
        "test_mse_trimmed": found.trimmed,
        "log10_test_mse": _log10(found.mse),
        "generalisation_ratio": found.mse / max(train_mse, 1e-300),
        "relative_l2": found.relative_l2,
        "r2": found.r2,
        "log10_mean_mse": _log10(found.mean_mse),
    }


def _linearity(trial: Trial[Config], problem: Problem, predict: Predict) -> dict[str, float]:
    """How far the learnt operator, and the operator, are from being additive."""
    half = len(problem.test) // 2
    if half == 0 or not problem.test.is_aligned:
        return {}
    one, other = problem.test[slice(0, half)], problem.test[slice(half, 2 * half)]
    shift = problem.scale[1]  # the drive's constant part is there once
    both = Triples(one.u + other.u - shift, one.y, one.s)
    whole = predict(both)
    left = whole - predict(one) - predict(other)
    found = {"nonlinearity": _rms(left) / max(_rms(whole), 1e-300)}
    if trial.config.operator in ("antiderivative", "pendulum") and problem.operator and problem.held:
        sums = problem.held[slice(0, half)] + problem.held[slice(half, 2 * half)]
        truth = problem.operator.label(sums, one.y)
        found["true_nonlinearity"] = _rms(truth - one.s - other.s) / _rms(truth)
    return found


def _sweep(trial: Trial[Config], problem: Problem) -> dict[str, float]:
    """Test error as a power of the number of functions, of labels of few functions, or of sensors."""
    config = trial.config
    field = "sweep_sensors" if config.method == "sensors" else "sweep_functions"
    sizes = [int(value) for value in numbers(getattr(config, field), field)]
    stages = Stages(trial, config.sweep_steps * len(sizes))
    rows: list[dict[str, float]] = []
    last: dict[str, float] = {}
    for size in sizes:
        part = _part(trial, problem, size)
        judged, _ = _one(trial, part, stages, f"{size}", steps=config.sweep_steps)
        found = scores(judged.predict(part.test), part.test.s)
        rows.append({"size": float(size), "train": judged.train_mse, "test": found.mse, "relative": found.relative_l2})
        last = judged.measures | score_measures(found, judged.train_mse)
    trial.write("sweep", rows)
    order, error = log_slope([row["size"] for row in rows], [row["test"] for row in rows])
    return last | {"order": order, "order_error": error}


def _part(trial: Trial[Config], problem: Problem, size: int) -> Problem:
    """The problem at one size of a sweep; test functions stay."""
    assert problem.operator is not None
    assert problem.inputs is not None
    match trial.config.method:
        case "sensors":
            return problem.with_sensors(size)
        case "functions":
            train = problem.train[slice(0, size)]
        case _:
            few = problem.inputs[slice(0, min(FEW, size))]
            y = problem.operator.random_points(len(few), max(1, size // FEW), trial.rng("places of few"))
            train = Triples(problem.train.u[: len(few)], y, problem.operator.label(few, y))
    return Problem(
        problem.operator,
        problem.box,
        problem.sensors,
        problem.inputs,
        problem.held,
        train,
        problem.test,
        {},
        problem.scale,
    )


def scaling_of(problem: Problem, config: Config) -> Scaling:
    """Units of a network: places always run from 0 to 1, inputs and outputs are divided by their spread if asked."""
    if not config.normalise:
        return Scaling(problem.box.low, problem.box.high)
    u, s = problem.train.u, problem.train.s
    shift = 0.0 if config.hard != "none" else float(s.mean())
    return Scaling(
        problem.box.low,
        problem.box.high,
        float(u.mean()),
        max(float(u.std()), 1e-30),
        shift,
        max(float(s.std()), 1e-30),
    )


def reduction_of(trial: Trial[Config], problem: Problem, scaling: Scaling) -> Reduction | None:
    """The fixed basis of a trial without a trunk. Raises UserError where outputs are not known at common places."""
    config, train = trial.config, problem.train
    if config.trunk == "network" or config.kind != "deeponet":
        return None
    if not train.is_aligned or train.y.shape[-1] > 1 or config.hard != "none":
        raise UserError(
            "deeponet --trunk components: needs outputs at the same places of one coordinate for every function, and "
            "no condition that is hard."
        )
    u = (train.u - scaling.u_shift) / scaling.u_spread
    s = (train.s - scaling.s_shift) / scaling.s_spread
    order = np.argsort(train.y[0, :, 0])
    places = (train.y[0, order, 0] - problem.box.low[0]) / (problem.box.high[0] - problem.box.low[0])
    found = reduced(u, s[:, order], config.modes, trial.rng("reduction"))
    even = np.linspace(0, 1, GRID)
    whole = np.stack([np.interp(even, places, row) for row in (*found.modes, found.mean)])
    return Reduction(*(torch.from_numpy(part).float() for part in (whole, found.ridge, found.left)))


def surrogate_of(config: Config, problem: Problem, judged: Judged) -> Surrogate:
    """What is stored for a user."""
    u = problem.train.u
    about = {
        "equations": f"equations '{config.formula}', state {config.output + 1}",
        "circuit": f"circuit: {config.source} to {config.probe}, output {config.output + 1}",
        "triples": "labelled data",
    }.get(config.operator, config.operator)
    steepest = float(np.abs(np.diff(u, axis=1)).max(initial=0.0))
    low, high = float(u.min()), float(u.max())
    found = Surrogate(judged.members, problem.sensors, problem.box, low, high, steepest, about)
    spare = problem.calibration
    return found if spare is None else found.calibrated(spare.u, spare.y, spare.s, judged.train_mse**0.5)


def predictor(members: list[OperatorNetwork]) -> Predict:
    """The mean of networks."""
    return lambda part: np.mean([outputs_at(member, part) for member in members], axis=0)


def _watch(problem: Problem, predictor: Callable[[Any], Predict]) -> Callable[[Any], Mapping[str, float]]:
    """Errors while training, on a part of the data."""
    train, test = (_some(part) for part in (problem.train, problem.test))

    def watch(model: Any) -> Mapping[str, float]:
        predict = predictor(model)
        return {"train_mse": _mse(predict, train), "test_mse": _mse(predict, test)}

    return watch


def _some(part: Triples) -> Triples:
    """The first functions, with places left out where there are many."""
    stride = max(1, part.s.shape[1] // 25)
    thin = Triples(part.u, part.y[:, ::stride], part.s[:, ::stride])
    return thin[slice(0, max(1, WATCHED // thin.s.shape[1]))]


def _mse(predict: Predict, part: Triples) -> float:
    return float(((predict(part) - part.s) ** 2).mean())


def _rms(values: Array) -> float:
    return float(np.sqrt((values**2).mean()))


def _log10(value: float) -> float:
    return float(np.log10(max(value, 1e-300)))

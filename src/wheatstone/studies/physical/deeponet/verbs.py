"""`wheatstone apply deeponet fit` and `predict`: a surrogate of a user's own circuit, equation or data."""

from __future__ import annotations

import math
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

from wheatstone.bench.errors import UserError
from wheatstone.bench.run import Run
from wheatstone.bench.shown import printable, say
from wheatstone.domains.physics.function_spaces import SpaceName
from wheatstone.learn.models.operator_network import Activation, Hard
from wheatstone.studies.physical.deeponet.config import Config

if TYPE_CHECKING:
    from wheatstone.domains.physics.surrogate import Answer, Surrogate
    from wheatstone.domains.physics.waveforms import Waveforms

Trunk = Literal["auto", "network", "components"]
NAME = "deeponet"
DEFAULT_MODEL = "operator.safetensors"
GAP = 5.0
"""Test error over training error from which data, not training, limit a network."""


def fit(
    *,
    spice: Path | None = None,
    source: str = "V1",
    probe: str = "v(out)",
    ode: str = "",
    start: str = "",
    data: Path | None = None,
    drives: Path | None = None,
    t_end: str = "",
    amplitude: Annotated[float, Gt(0)] = 1.0,
    offset: float = 0.0,
    space: SpaceName = "gaussian",
    length: Annotated[float, Gt(0)] = 0.2,
    functions: Annotated[int, Ge(10)] = 500,
    points: Annotated[int, Ge(2)] = 100,
    sensors: Annotated[int, Ge(2)] = 100,
    members: Annotated[int, Ge(2), Le(50)] = 3,
    width: Annotated[int, Ge(1)] = 64,
    depth: Annotated[int, Ge(1)] = 3,
    activation: Activation = "gelu",
    trunk: Trunk = "auto",
    fourier: Annotated[int, Ge(0)] = 0,
    hard: Hard = "none",
    steps: Annotated[int, Ge(1)] = 6000,
    lr: Annotated[float, Gt(0), Le(1)] = 3e-3,
    seed: Annotated[int, Ge(0)] = 0,
    control: bool = True,
    model: Path = Path(DEFAULT_MODEL),
    out: Path | None = None,
) -> int:
    """Learn the operator of your own circuit (--spice), equation (--ode) or labelled data (--data), beside baselines.

    Args:
        spice: a netlist; the waveform of its source is the input, that of the probe the output.
        source: its driven source.
        probe: what is read, as 'v(out)' or 'i(v2)'.
        ode: right-hand sides in s, s2, ..., u and t, separated by ';', as --ode='-s**2 + u' (the output is s).
        start: initial values, separated by ';'; zeros when not given.
        data: an .npz with arrays U [n, m], Y [n, P, d] and S [n, P].
        drives: your own training inputs: a table, first column time, each other column one input.
        t_end: last time, as 2m or 1e-3 (seconds for a circuit); 1 for an equation when not given.
        amplitude: factor on the drawn inputs; volts or amperes for a circuit.
        offset: constant part of a circuit's drive.
        space: where inputs are drawn from.
        length: their correlation length, a share of the time.
        functions: drawn training inputs.
        points: even times at which each output is known.
        sensors: values of an input that the network sees.
        members: networks, whose disagreement is the error bar.
        width: width of the networks.
        depth: layers of branch and trunk.
        activation: between layers.
        trunk: a trained network, the outputs' principal components with coefficients that start from ridge
            regression, or auto: components where outputs are known at common places of one coordinate.
        fourier: harmonics of the place that the trunk sees as well, for outputs that ring.
        hard: where the output is zero by construction: none, start (t = 0) or edges.
        steps: optimiser steps, on 50 functions each (500 labels where places differ).
        lr: rate of Adam at the start; it falls along a half cosine.
        seed: draws inputs and initial weights.
        control: also ridge regression, components and one fully connected network on the same data.
        model: where the trained operator goes.
        out: the run directory; runs/... named after the content when not given.
    """
    from wheatstone.bench.engine import InlineEngine, execute_run
    from wheatstone.bench.extras import need
    from wheatstone.bench.files import copy_atomically
    from wheatstone.bench.place import run_path
    from wheatstone.bench.progress import follow
    from wheatstone.bench.registry import load

    need("scipy", extra="physical", to="learn operators")
    if sum((spice is not None, bool(ode), data is not None)) != 1:
        raise UserError("deeponet fit: give one of --spice NETLIST, --ode EQUATIONS and --data FILE.")
    if model.suffix != ".safetensors":
        raise UserError(f"deeponet fit --model: got {model}, must end in .safetensors.")
    changes: dict[str, Any] = {
        "space": space, "length": length, "amplitude": amplitude, "offset": offset, "source": source, "probe": probe,
        "n_functions": functions, "n_test": max(20, functions // 10), "calibration": max(20, functions // 10),
        "points": points, "test_points": points,
        "aligned": True, "by_function": True, "batch": 50, "sensors": sensors, "members": members, "width": width,
        "depth": depth, "activation": activation, "fourier": fourier, "hard": hard, "steps": steps, "lr": lr,
        "normalise": True, "schedule": "cosine", "grid": "100@0.001", "formula": ode, "start": start,
    }  # fmt: skip
    study = load(NAME)
    with tempfile.TemporaryDirectory() as folder:
        inputs: dict[str, Path] = {}
        changes["trunk"] = trunk
        config = _configured(study.presets["cpu"].config, changes, spice, data, drives, t_end, inputs, Path(folder))
        arms = ["own", *(["own_fnn", "own_linear", "own_pod"] if control else [])]
        if data is not None and not config.aligned:
            arms = [arm for arm in arms if arm != "own_pod"]
        place = out or run_path(study, "cpu", config, (seed,), arms, inputs)
        run = Run.create(place, study, "cpu", config, (seed,), tuple(arms), 1, inputs)
    with follow(run) as watch:
        execute_run(run, study, InlineEngine(), watch)
    record = run.trial("own", seed)
    copy_atomically(record.file(DEFAULT_MODEL), model)
    _tell(run, seed, model)
    return 0


def _configured(
    base: Config,
    changes: dict[str, Any],
    spice: Path | None,
    data: Path | None,
    drives: Path | None,
    t_end: str,
    inputs: dict[str, Path],
    folder: Path,
) -> Config:
    """The run's config; fills its inputs. Everything that a user can get wrong is found here, before the run begins."""
    from wheatstone.bench.config import to_json, validate
    from wheatstone.domains.electronic.analog.units import number
    from wheatstone.studies.physical.deeponet import problem

    try:
        horizon = number(t_end) if t_end else 1.0
    except ValueError as error:
        raise UserError(f"deeponet fit --t-end: {error}.") from None
    if data is not None:
        from wheatstone.domains.physics.triples import read_triples

        found = read_triples(data)
        is_aligned = found.triples.is_aligned
        changes |= {
            "operator": "triples", "aligned": is_aligned, "by_function": is_aligned,
            "sensors": found.triples.u.shape[1], "batch": 50 if is_aligned else 500,
        }  # fmt: skip
        if drives is not None:
            raise UserError("deeponet fit: --drives are inputs for --spice and --ode; --data has its own.")
        inputs[problem.TRIPLES] = data
        _choose_trunk(changes, is_aligned and found.triples.y.shape[-1] == 1)
        return validate(Config, to_json(base) | changes, f"{NAME} fit")
    changes |= {"operator": "circuit" if spice else "equations", "horizon": horizon}
    _choose_trunk(changes, True)
    if drives is not None:
        changes |= {"amplitude": 1.0, "offset": 0.0}
        problem.drives_of(drives, horizon, 0.0, 1.0)
        inputs[problem.DRIVES] = drives
    config = validate(Config, to_json(base) | changes, f"{NAME} fit")
    if spice is None:
        problem.own_equations(config)
        return config
    if not t_end:
        raise UserError("deeponet fit --spice: needs --t-end, the seconds that are simulated, as --t-end 2m.")
    inputs[problem.NETLIST] = _checked_netlist(spice, config, folder)
    return config


def _choose_trunk(changes: dict[str, Any], can_be_fixed: bool) -> None:
    """What 'auto' means for these data."""
    if changes["trunk"] == "auto":
        plain = changes["hard"] == "none" and not changes["fourier"]
        changes["trunk"] = "components" if can_be_fixed and plain else "network"


def _checked_netlist(path: Path, config: Config, folder: Path) -> Path:
    """The netlist with everything that it includes as one file; a flat drive has been simulated."""
    import numpy as np

    from wheatstone.domains.electronic.analog.netlist import read_netlist
    from wheatstone.domains.physics.function_spaces import FunctionBatch
    from wheatstone.studies.physical.deeponet.problem import make_circuit

    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    netlist = read_netlist(path)
    if holes := netlist.holes():
        unknown = sorted(set(holes) - set(netlist.own))
        if unknown:
            line = holes[unknown[0]]
            raise UserError(f"{line.file}:{line.number}: '{{{unknown[0]}}}' has no value; add .param {unknown[0]}=...")
    operator = make_circuit(config, path)
    flat = FunctionBatch(np.linspace(0, 1, 20), np.zeros((1, 20)))
    operator.label(flat, np.array([[[config.horizon]]]))
    whole = folder / path.name
    whole.write_text("\n".join([f"* {path.name}", *netlist.render({}), ".end", ""]), encoding="utf-8")
    return whole


def _tell(run: Run, seed: int, model: Path) -> None:
    """How good the surrogate is beside the baselines."""
    # Not the mean relative error of functions: a rectifier that is driven backwards has outputs of nearly zero.
    say(f"\n{'method':<12} {'RMS error / spread':>18} {'test MSE':>11} {'train MSE':>11} {'R2':>9}")
    for arm in run.arms:
        found = run.trial(arm, seed).measures() or {}
        say(
            f"{arm:<12} {math.sqrt(1 - found['r2']):>18.3%} {found['test_mse']:>11.3g} {found['train_mse']:>11.3g} "
            f"{found['r2']:>9.5f}"
        )
    own = run.trial("own", seed).measures() or {}
    if math.isnan(own["r2"]):
        say("\nThe output is the same for every input. Is it the right --probe?")
    least = min(run.arms, key=lambda arm: (run.trial(arm, seed).measures() or {})["test_mse"])
    if least in ("own_linear", "own_pod"):
        say(f"\n{least} is better here: the operator is close to what linear algebra can do on these inputs.")
    if own["generalisation_ratio"] > GAP:
        say(
            f"The test error is {own['generalisation_ratio']:.0f} times the training error: more functions would help "
            "more than more steps."
        )
    if math.isfinite(own["bar_width"]):
        say(
            f"\nError bars of 90 %, calibrated on functions of their own: mean half-width {own['bar_width']:.3g}; they "
            f"hold the truth at {own['bar_coverage']:.0%} of the test points, the 90 % band holds "
            f"{own['band_coverage']:.0%} of the test outputs as a whole."
        )
    say(
        f"{'' if math.isfinite(own['bar_width']) else chr(10)}Two standard deviations of the members alone hold "
        f"{own['coverage']:.0%} of the points; spread and error of a function have rank correlation "
        f"{own['spread_error_correlation']:.2f}."
    )
    say(f"Model: {model}\nReport: {run.path / 'report.html'}")
    say(f"Next: wheatstone apply {NAME} predict {model} --input U.csv")


def predict(
    model: Path,
    *,
    input: Path | None = None,
    at: Path | None = None,
    points: Annotated[int, Ge(2)] = 200,
    level: Annotated[float, Gt(0), Lt(1)] = 0.9,
    band: bool = False,
    out: Path | None = None,
    strict: bool = False,
) -> int:
    """Answer new inputs with a trained operator: a table of outputs with calibrated error bars.

    The bars' ends are the columns _low and _high. They hold for inputs that are drawn as those of training were; for
    others look at the spread of the members.

    Args:
        model: what `fit` wrote.
        input: a table of inputs: first column time, each other column one input; or one column, the sensors' values.
        at: a table of places (one column a coordinate, one row a place) where outputs are wanted.
        points: even places where no table is given.
        level: share of an output's points that lie within their error bars, in expectation.
        band: bars within which that share of the outputs lies everywhere, instead: they are wider.
        out: where the table of outputs goes; beside the inputs when not given.
        strict: refuse places and inputs outside what training showed, instead of warning.
    """
    import numpy as np

    from wheatstone.domains.physics.surrogate import Surrogate
    from wheatstone.domains.physics.waveforms import at_sensors, read_waveforms

    if input is None:
        raise UserError("deeponet predict: give --input TABLE, whose first column is time and each other one an input.")
    surrogate = Surrogate.load(model)
    waves = read_waveforms(input)
    u = at_sensors(waves, surrogate.sensors)
    if at is not None:
        y = _places(read_waveforms(at), len(surrogate.box.low))
    elif len(surrogate.box.low) > 1:
        raise UserError(
            f"deeponet predict: {model.name} has {len(surrogate.box.low)} coordinates; give --at PLACES.csv."
        )
    else:
        y = np.linspace(surrogate.box.low[:1], surrogate.box.high[:1], points)
    doubts = [*_outside(surrogate, y), *surrogate.strangeness(u, waves.names)]
    if strict and doubts:
        raise UserError(f"{input.name}: {doubts[0]}. Without --strict this is a warning.")
    for doubt in doubts[:5]:
        print(printable(f"warning: {doubt}: the answer may be wrong, and so may its error bars."), file=sys.stderr)
    answer = surrogate.predict(u, y)
    # A model with none at all answers without; one that cannot promise this level says so.
    bars = surrogate.half_width(answer, level, whole=band) if len(surrogate.ratios) else None
    target = out or input.with_suffix(".out.csv")
    _write(target, surrogate, y, answer, bars, waves)
    swing = float(answer.mean.max() - answer.mean.min())
    width = float(np.nanmean(answer.spread if bars is None else bars)) if swing > 0 else math.nan
    what = "spread of the members" if bars is None else f"half-width of the {level:.3g} {'band' if band else 'bars'}"
    say(
        f"{target}: {len(u)} output{'s' if len(u) > 1 else ''} at {len(y)} places, from {answer.mean.min():.5g} to "
        f"{answer.mean.max():.5g}"
        + (f"; mean {what} {width:.2g} ({width / swing:.1%} of that)" if math.isfinite(width) else "")
    )
    return 0


def _places(table: Waveforms, dim: int) -> Any:
    """Places from a table."""
    import numpy as np

    columns = table.values if table.time is None else np.concatenate([table.time[None], table.values])
    if len(columns) != dim:
        raise UserError(f"{table.name}: {len(columns)} columns; a place of this operator has {dim} coordinate(s).")
    return np.ascontiguousarray(columns.T)


def _outside(surrogate: Surrogate, y: Any) -> list[str]:
    """Which places lie outside the domain."""
    found: list[str] = []
    box = surrogate.box
    for column, (low, high, name) in enumerate(zip(box.low, box.high, box.names, strict=True)):
        slack = 1e-9 * (high - low)
        bad = (y[:, column] < low - slack) | (y[:, column] > high + slack)
        if bad.any():
            found.append(f"{int(bad.sum())} place(s) outside {low:g} <= {name} <= {high:g}, as {y[bad][0, column]:g}")
    return found


def _write(path: Path, surrogate: Surrogate, y: Any, answer: Answer, bars: Any, waves: Waveforms) -> None:
    from wheatstone.bench.files import write_atomically

    names = [name.split()[0] for name in surrogate.box.names]
    head, columns = names, [*y.T]
    for index, name in enumerate(waves.names):
        title, mean = name if len(waves.names) > 1 else "s", answer.mean[index]
        shown = {title: mean}
        if len(surrogate.members) > 1:
            shown[f"{title}_spread"] = answer.spread[index]
        if bars is not None:
            shown |= {f"{title}_low": mean - bars[index], f"{title}_high": mean + bars[index]}
        head += shown
        columns += shown.values()
    rows = (",".join(f"{value:.9g}" for value in row) for row in zip(*columns, strict=True))
    write_atomically(path, "\n".join([",".join(head), *rows, ""]).encode())

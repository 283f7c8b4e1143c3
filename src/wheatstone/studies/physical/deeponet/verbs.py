"""`wheatstone apply deeponet fit`: a surrogate of a user's own circuit, equation or data."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le

from wheatstone.bench.errors import UserError
from wheatstone.bench.run import Run
from wheatstone.bench.shown import say
from wheatstone.domains.physics.function_spaces import SpaceName
from wheatstone.learn.models.operator_network import Activation, Hard
from wheatstone.studies.physical.deeponet.config import Config

Trunk = Literal["auto", "network", "components"]
Network = Literal["deeponet", "fno"]
NAME = "deeponet"
DEFAULT_MODEL = "operator.safetensors"
GAP = 5.0
"""Test error over training error from which data, not training, limit a network."""


def fit(
    *,
    spice: Path | None = None,
    source: str = "V1",
    probe: str = "",
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
    network: Network = "deeponet",
    width: Annotated[int, Ge(0)] = 0,
    depth: Annotated[int, Ge(0)] = 0,
    activation: Activation = "gelu",
    trunk: Trunk = "auto",
    fourier: Annotated[int, Ge(0)] = 0,
    hard: Hard = "none",
    steps: Annotated[int, Ge(0)] = 0,
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
        probe: what is read: 'v(out)' when not given, as 'v(a,b)', 'i(v2)' or '@q1[ic]', several with commas; of an
            equation the states, as 's,s2' (s when not given). Each output has networks of its own in the one model.
        ode: right-hand sides in s, s2, ..., u and t, separated by ';', as --ode='-s**2 + u'.
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
        network: DeepONet, or the Fourier layers of an FNO, several times slower and better where the output clips,
            switches or is otherwise a strong function of the input at the same time.
        width: width of the networks; 64, or 32 of Fourier layers, when not given.
        depth: layers of branch and trunk, 3 when not given; Fourier layers, 4.
        activation: between layers.
        trunk: a trained network, the outputs' principal components with coefficients that start from ridge
            regression, or auto: components where outputs are known at common places of one coordinate.
        fourier: harmonics of the place that the trunk sees as well, for outputs that ring.
        hard: where the output is zero by construction: none, start (t = 0) or edges.
        steps: optimiser steps, on 50 functions each (500 labels where places differ); 6000, or 2000 of Fourier layers,
            when not given.
        lr: rate of Adam at the start; it falls along a half cosine.
        seed: draws inputs and initial weights.
        control: also ridge regression, components and one fully connected network on the same data.
        model: where the trained operator goes.
        out: the run directory; runs/... named after the content when not given.
    """
    from wheatstone.bench.extras import need
    from wheatstone.bench.registry import load

    need("scipy", extra="physical", to="learn operators")
    if sum((spice is not None, bool(ode), data is not None)) != 1:
        raise UserError("deeponet fit: give one of --spice NETLIST, --ode EQUATIONS and --data FILE.")
    if model.suffix != ".safetensors":
        raise UserError(f"deeponet fit --model: got {model}, must end in .safetensors.")
    changes: dict[str, Any] = {
        "space": space, "length": length, "amplitude": amplitude, "offset": offset, "source": source,
        "probe": probe or "v(out)", "n_functions": functions, "n_test": max(20, functions // 10),
        "calibration": max(20, functions // 10), "points": points, "test_points": points,
        "aligned": True, "by_function": True, "batch": 50, "sensors": sensors, "members": members, "kind": network,
        "width": width or (32 if network == "fno" else 64), "depth": depth or (4 if network == "fno" else 3),
        "activation": activation, "fourier": fourier, "hard": hard,
        "steps": steps or (2000 if network == "fno" else 6000), "lr": lr,
        "normalise": True, "schedule": "cosine", "grid": "100@0.001", "formula": ode, "start": start,
    }  # fmt: skip
    outputs = _outputs(spice, ode, probe)
    with tempfile.TemporaryDirectory() as folder:
        inputs: dict[str, Path] = {}
        changes["trunk"] = trunk
        base = load(NAME).presets["cpu"].config
        config = _configured(base, changes, spice, data, drives, t_end, inputs, Path(folder))
        arms = ["own", *(["own_fnn", "own_linear", "own_pod"] if control else [])]
        if data is not None and not config.aligned:
            arms = [arm for arm in arms if arm != "own_pod"]
        runs: dict[str, Run] = {}
        for name, index in outputs.items():
            place = out if out is None or len(outputs) == 1 else out / f"output-{index}"
            if len(outputs) > 1:
                say(f"\nOutput {name}")
            chosen = dataclasses.replace(config, output=index)
            runs[name] = _learnt(chosen, seed, arms, inputs, place, next(iter(runs.values()), None))
    _store(runs, seed, model)
    for name, run in runs.items():
        _tell(run, seed, name if len(runs) > 1 else "")
    say(f"\nModel: {model}\nNext: wheatstone apply {NAME} predict {model} --input U.csv")
    return 0


def _outputs(spice: Path | None, ode: str, probe: str) -> dict[str, int]:
    """Name of each output -> its number among the probes, or among the states. Raises UserError."""
    from wheatstone.domains.electronic.analog.drive import split_probes

    if spice is not None:
        return {name: index for index, name in enumerate(split_probes(probe or "v(out)"))}
    if not probe:
        return {"s": 0}
    if not ode:
        raise UserError("deeponet fit: --probe is for --spice and --ode; a file has the labels of one output.")
    states = ["s", *(f"s{at}" for at in range(2, len(ode.split(";")) + 1))]
    if unknown := [name for name in split_probes(probe) if name not in states]:
        raise UserError(f"deeponet fit --probe: no state '{unknown[0]}'. The equations have {', '.join(states)}.")
    return {name: states.index(name) for name in split_probes(probe)}


def _learnt(
    config: Config, seed: int, arms: Sequence[str], inputs: Mapping[str, Path], out: Path | None, before: Run | None
) -> Run:
    """The finished run of one output; `before` has simulated the same circuit."""
    from wheatstone.bench.engine import InlineEngine, execute_run
    from wheatstone.bench.files import copy_atomically
    from wheatstone.bench.place import run_path
    from wheatstone.bench.progress import follow
    from wheatstone.bench.registry import load
    from wheatstone.studies.physical.deeponet.problem import WAVEFORMS

    study = load(NAME)
    place = out or run_path(study, "cpu", config, (seed,), arms, inputs)
    run = Run.create(place, study, "cpu", config, (seed,), tuple(arms), 1, inputs)
    if before is not None and (before.path / WAVEFORMS).is_file() and not (run.path / WAVEFORMS).exists():
        copy_atomically(before.path / WAVEFORMS, run.path / WAVEFORMS)
    with follow(run) as watch:
        execute_run(run, study, InlineEngine(), watch)
    return run


def _store(runs: Mapping[str, Run], seed: int, model: Path) -> None:
    """One file of all outputs."""
    from wheatstone.domains.physics.surrogate import Surrogate, save_operators

    files = {name: run.trial("own", seed).file(DEFAULT_MODEL) for name, run in runs.items()}
    save_operators(model, {name: Surrogate.load(file) for name, file in files.items()})


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
        if changes["kind"] == "fno" and found.triples.y.shape[-1] > 1:
            dim = found.triples.y.shape[-1]
            raise UserError(f"{data.name}: places have {dim} coordinates; --network fno is for one. Leave it out.")
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
        plain = changes["hard"] == "none" and not changes["fourier"] and changes["kind"] == "deeponet"
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


def _tell(run: Run, seed: int, output: str) -> None:
    """How good the surrogate is beside the baselines."""
    if output:
        say(f"\nOutput {output}")
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
    if own["left_out"]:
        say(f"\nngspice found no answer for {own['left_out']:.0f} of the drives: they were left out.")
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
    say(f"Report: {run.path / 'report.html'}")

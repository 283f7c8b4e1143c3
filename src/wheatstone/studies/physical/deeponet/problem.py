"""The data of a trial: training triples, test functions they share nothing with, and functions of other kinds.

Labels come from the operator and the function, never from the sensors: with another number of sensors they are the
same. Every arm of a seed draws the same functions.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from wheatstone.bench.environment import usable_cores
from wheatstone.bench.errors import UserError
from wheatstone.bench.run import Trial
from wheatstone.domains.electronic.analog.drive import split_probes
from wheatstone.domains.electronic.analog.netlist import read_netlist
from wheatstone.domains.physics.function_spaces import NAMED, Array, FunctionBatch, FunctionSpace, named_functions
from wheatstone.domains.physics.operators import Box, Operator, same_for_all
from wheatstone.domains.physics.operators.circuit import Circuit
from wheatstone.domains.physics.operators.kept import Kept
from wheatstone.domains.physics.operators.ode import EXAMPLES, Ode
from wheatstone.domains.physics.triples import Halves, Triples, read_triples, split_by_function
from wheatstone.domains.physics.waveforms import read_waveforms
from wheatstone.studies.physical.deeponet.config import Config

NETLIST, TRIPLES, DRIVES = "netlist", "triples", "drives"
"""Inputs of a run: a user's own netlist, labelled data, or input functions."""
CIRCUITS = Path(__file__).parent / "circuits"
SHORTER, LONGER = 0.5, 2.5
"""Correlation lengths of the functions of other kinds, over that of training."""
WAVEFORMS, LABELS = "waveforms.safetensors", "labels"
"""In a run's directory: what was simulated of a user's circuit, and a folder of the solutions of own equations."""
PATIENCE = 120.0
"""Seconds that one simulation of a user's circuit may take."""
MAY_FAIL = 0.1
"""Share of the drives of a user's circuit that may find no answer; they are left out, and told."""
N_OTHER = 100
"""Functions of each other kind."""
HELD_OUT = 0.2
"""Share of a user's functions that are the test."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything that a method may see, and what it is judged on.

    Attributes:
        operator: None for labelled data of a user.
        box: domain of the output.
        span: places of the first and the last sensor, in the input's unit.
        inputs: training functions; None for labelled data.
        held: test functions; None likewise.
        train: training triples with `sensors` sensors.
        test: test functions, at the same places for all where there is an operator.
        others: functions of other kinds by name, labelled as the test is.
        left_out: functions that a simulator gave no answer for.
        calibration: functions that set the size of error bars, labelled as the test is; None where there are none.
        scale: (factor, addend) from a function's values to what the operator is driven with.
    """

    operator: Operator | None
    box: Box
    sensors: Float[Array, " sensor"]
    inputs: FunctionBatch | None
    held: FunctionBatch | None
    train: Triples
    test: Triples
    others: dict[str, Triples]
    scale: tuple[float, float]
    calibration: Triples | None = None
    left_out: int = 0

    def with_sensors(self, m: int) -> Problem:
        """The same functions, places and labels seen through m sensors. Needs an operator."""
        assert self.inputs is not None
        assert self.held is not None
        unit = np.linspace(0.0, 1.0, m)
        sensors = self.sensors[0] + unit * (self.sensors[-1] - self.sensors[0])
        train, test = (
            Triples(self.seen(functions, unit), part.y, part.s)
            for functions, part in ((self.inputs, self.train), (self.held, self.test))
        )
        return Problem(self.operator, self.box, sensors, self.inputs, self.held, train, test, {}, self.scale)

    def seen(self, functions: FunctionBatch, unit: Float[Array, " sensor"]) -> Float[Array, "function sensor"]:
        """What sensors at places in [0, 1] see of functions."""
        return self.scale[0] * functions.at(unit) + self.scale[1]

    @functools.cached_property
    def unit_sensors(self) -> Float[Array, " sensor"]:
        """The sensors on [0, 1]."""
        return (self.sensors - self.sensors[0]) / (self.sensors[-1] - self.sensors[0])


def make_problem(trial: Trial[Config]) -> Problem:
    """The data of a trial. Raises UserError for an operator without answer, or a user's file with faults."""
    config = trial.config
    if config.operator == "triples":
        return _from_file(trial)
    inputs, held, spare = _functions(trial)
    left_out: list[int] = []
    unit = np.linspace(0.0, 1.0, config.sensors)
    scale = (config.amplitude, config.offset) if config.operator == "circuit" else (1.0, 0.0)
    others: dict[str, FunctionBatch] = {}
    if DRIVES not in trial.run.inputs:
        for name, factor in (("shorter", SHORTER), ("longer", LONGER)):
            others[name] = _space(config, factor).sample(min(N_OTHER, config.n_test), trial.rng(name))
    operator = make_operator(trial, sum(map(len, (inputs, held, spare or (), *others.values()))))
    if operator.box.names[0].startswith("t") and config.operator != "circuit":
        others["named"] = named_functions(config.resolution)
    places = operator.even_points(config.test_points)
    if config.aligned:
        y = same_for_all(operator.even_points(config.points), len(inputs))
    else:
        y = operator.random_points(len(inputs), config.points, trial.rng("places"))

    def labelled(functions: FunctionBatch, y: Array) -> tuple[FunctionBatch, Triples]:
        s = operator.label(functions, y)
        answered = np.flatnonzero(np.isfinite(s).all(1))
        if len(answered) < len(s):
            left_out.append(len(s) - len(answered))
            functions, y, s = functions[answered], y[answered], s[answered]
        return functions, Triples(scale[0] * functions.at(unit) + scale[1], y, s)

    def everywhere(functions: FunctionBatch) -> tuple[FunctionBatch, Triples]:
        return labelled(functions, same_for_all(places, len(functions)))

    (inputs, train), (held, test) = labelled(inputs, y), everywhere(held)
    return Problem(
        operator,
        operator.box,
        unit * operator.input_span,
        inputs,
        held,
        train,
        test,
        {name: everywhere(one)[1] for name, one in others.items()},
        scale,
        everywhere(spare)[1] if spare is not None else None,
        sum(left_out),
    )


def make_operator(trial: Trial[Config], functions: int) -> Operator:
    """The operator of a trial's config, which says how many of so many functions it has answered.

    Raises UserError for a formula or netlist with faults.
    """
    from wheatstone.domains.physics.operators.legendre import Legendre
    from wheatstone.domains.physics.operators.reaction import DiffusionReaction

    config, answered = trial.config, [0]

    def watch(new: int) -> None:
        answered[0] = min(functions, answered[0] + new)
        trial.progress(answered[0], functions, "labels")

    match config.operator:
        case "equations":
            return Kept(dataclasses.replace(own_equations(config), watch=watch), trial.run.path / LABELS)
        case "antiderivative" | "riccati" | "pendulum":
            return Ode.of(EXAMPLES[config.operator], config.horizon)
        case "reaction":
            return DiffusionReaction(horizon=config.horizon)
        case "legendre":
            return Legendre()
        case "circuit" if NETLIST in trial.run.inputs:
            # A user's circuit may be slow, and may fail to converge for a drive now and then.
            found = make_circuit(config, trial.input(NETLIST), trial.run.path / WAVEFORMS)
            found.workers, found.timeout, found.may_fail, found.watch = usable_cores(), PATIENCE, MAY_FAIL, watch
            return found
        case "circuit":
            return make_circuit(config, CIRCUITS / f"{config.netlist}.cir")
        case "triples":
            raise UserError("labelled data have no operator.")


def make_circuit(config: Config, path: Path, waveforms: Path | None = None) -> Circuit:
    """The operator of a netlist, which keeps what was simulated in the file `waveforms`. Raises UserError."""
    probes = split_probes(config.probe)
    if config.output >= len(probes):
        raise UserError(f"deeponet --output: got {config.output}, and there are {len(probes)} probes (from 0).")
    drive = (config.horizon, config.amplitude, config.offset)
    return Circuit(read_netlist(path), config.source, probes, *drive, config.output, file=waveforms)


def own_equations(config: Config) -> Ode:
    """The operator of a user's equations. Raises UserError."""
    texts = [text.strip() for text in config.formula.split(";")]
    try:
        start = [float(word) for word in config.start.split(";")] if config.start else []
    except ValueError:
        raise UserError(f"--start: got '{config.start}', must be numbers separated by ';'.") from None
    if config.output >= len(texts):
        raise UserError(f"deeponet --output: got {config.output}, and there are {len(texts)} states (from 0).")
    return Ode.of(texts, config.horizon, start, "--ode", config.output)


def drives_of(path: Path, horizon: float, addend: float, factor: float) -> FunctionBatch:
    """A user's own input functions, on [0, 1] and in units of the drive. Raises UserError."""
    waves = read_waveforms(path)
    if waves.time is None or len(waves.values) < 10:
        found = "no column of times" if waves.time is None else f"{len(waves.values)} functions"
        raise UserError(
            f"{path.name}: {found}. Training functions are columns beside a first one of times, at least 10."
        )
    if waves.time[0] > 0 or waves.time[-1] < horizon * (1 - 1e-9):
        raise UserError(
            f"{path.name}: times run from {waves.time[0]:g} to {waves.time[-1]:g}, needed: 0 to {horizon:g}."
        )
    kept = np.linspace(0, horizon, max(200, len(waves.time)))
    values = np.stack([np.interp(kept, waves.time, row) for row in waves.values])
    return FunctionBatch(kept / horizon, (values - addend) / factor)


def _space(config: Config, factor: float = 1.0) -> FunctionSpace:
    # The drive of a netlist is scaled by the operator, other functions by their space.
    amplitude = 1.0 if config.operator == "circuit" else config.amplitude
    return FunctionSpace(config.space, config.length * factor, config.resolution, amplitude)


def _functions(trial: Trial[Config]) -> tuple[FunctionBatch, FunctionBatch, FunctionBatch | None]:
    """Functions for training, for the test, and for error bars if asked."""
    config = trial.config
    if DRIVES in trial.run.inputs:
        scale = (config.offset, config.amplitude) if config.operator == "circuit" else (0.0, 1.0)
        drives = drives_of(trial.input(DRIVES), config.horizon, *scale)
        order = trial.rng("split").permutation(len(drives))
        cut = max(1, round(HELD_OUT * len(order)))
        half = cut // 2 if config.calibration else 0
        return drives[order[cut:]], drives[order[half:cut]], drives[order[:half]] if half else None
    space = _space(config)
    n = config.n_functions
    if config.method in ("functions", "points"):
        n = max(n, *_whole(config.sweep_functions))
    spare = space.sample(config.calibration, trial.rng("calibration functions")) if config.calibration else None
    return space.sample(n, trial.rng("functions")), space.sample(config.n_test, trial.rng("test functions")), spare


def _whole(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _from_file(trial: Trial[Config]) -> Problem:
    found = read_triples(trial.input(TRIPLES))
    halves, spare = split_by_function(found.triples, HELD_OUT, trial.rng("split")), None
    if trial.config.calibration and len(set(halves.test.digests())) > 1:
        spare, test = split_by_function(halves.test, 0.5, trial.rng("split for calibration"))
        halves = Halves(halves.train, test)
    flat = found.triples.y.reshape(-1, found.triples.y.shape[-1])
    names = tuple(f"y{at + 1}" for at in range(flat.shape[1])) if flat.shape[1] > 1 else ("y",)
    box = Box(tuple(flat.min(0).tolist()), tuple(flat.max(0).tolist()), names)
    return Problem(None, box, found.sensors, None, None, halves.train, halves.test, {}, (1.0, 0.0), spare)


NAMES = tuple(NAMED)

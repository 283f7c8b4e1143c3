"""A noisy walker: a healthy study of a few milliseconds.

Source        Pearson, Nature 72 (1905), 'The problem of the random walk'
Idea          A walk with drift leaves the origin, one without drift does not.
Method        1 draw steps  2 sum them, with a checkpoint every few steps  3 measure the mean position
Differs       one dimension
Falsified by  `still` ending as far from the origin as `drifting`
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt

from wheatstone.bench.errors import Fault, InputError
from wheatstone.bench.exhibit import Exhibit, Lines, curve_line
from wheatstone.bench.run import Run, Trial
from wheatstone.bench.study import Arm, Card, Claim, Preset, Require, Study, Verb

CARD = Card(
    name="toy",
    family="physical",
    title="A walk with drift leaves the origin",
    source="Pearson, Nature 72 (1905)",
    claim="A drifting walk ends above a still one",
    presets=("smoke", "cpu"),
)


@dataclass(frozen=True)
class Config:
    steps: Annotated[int, Ge(1)] = 40
    """Steps of the walk."""
    drift: float = 0.5
    """Mean of a step, in the unit of length."""
    spread: Annotated[float, Gt(0)] = 0.3
    """Standard deviation of a step, in the unit of length."""
    every: Annotated[int, Ge(1)] = 5
    """Steps between two checkpoints."""
    pause: Annotated[float, Ge(0)] = 0.0
    """Seconds that a step waits, so that it can be interrupted."""


def run(trial: Trial[Config]) -> Mapping[str, float]:
    """Walks on from the last checkpoint."""
    config = trial.config
    rng = trial.rng("steps")
    start, position = 0, np.zeros(1)
    if checkpoint := trial.load_checkpoint():
        start, position = checkpoint.state["step"], checkpoint.tensors["position"]
        rng.bit_generator.state = checkpoint.state["rng"]
    for step in range(start + 1, config.steps + 1):
        position = position + rng.normal(config.drift, config.spread, size=1)
        time.sleep(config.pause)
        trial.progress(step, config.steps)
        trial.log(step, position=float(position[0]))
        if step % config.every == 0:
            trial.save_checkpoint({"position": position}, {"step": step, "rng": rng.bit_generator.state})
    return {"position": float(position[0]), "speed": float(position[0]) / config.steps}


def exhibits(run: Run) -> Sequence[Exhibit]:
    """The walks of every arm."""
    return [
        Lines(
            name="walks",
            title=f"Position over steps, n = {len(run.seeds)} seeds",
            x_title="step",
            y_title="position (length)",
            lines=[curve_line(run, "position", arm, arm) for arm in run.arms],
        )
    ]


def walk(steps: Path) -> None:
    """Where the steps in a file end, one number a line."""
    faults, position = [], 0.0
    for number, line in enumerate(steps.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            position += float(line)
        except ValueError:
            faults.append(Fault(str(steps), number, None, f"'{line}' is not a number. A line is one step."))
    if faults:
        raise InputError(faults)
    print(position)


STUDY = Study(
    card=CARD,
    doc=__doc__ or "",
    config=Config,
    presets={
        "smoke": Preset(Config(), seeds=2, about="milliseconds"),
        "cpu": Preset(Config(steps=400), seeds=3, about="milliseconds"),
    },
    measures={"position": "where the walk ends (length)", "speed": "position per step (length per step)"},
    arms=(
        Arm("drifting", "steps have a positive mean"),
        Arm("still", "steps have mean zero", {"drift": 0.0}),
    ),
    claims=(
        Claim(
            name="drift-leaves",
            text="A drifting walk ends above a still one.",
            measure="position",
            treatment="drifting",
            control="still",
            direction="higher",
            margin=1.0,
            source="page 294",
            bound=2.0,
            control_bound=15.0,
            paper=20.0,
            requires=(Require("still", "speed", at_most=1.0),),
        ),
    ),
    run=run,
    exhibits=exhibits,
    verbs=(Verb("walk", walk, broken_input=("broken.txt",)),),
)

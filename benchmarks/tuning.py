"""The same tuning grid for our default optimiser and for AdamW: an untuned rival proves nothing.

Both get three peak rates, four strengths of decay and two lengths of the schedule, around the best that was known of
each before (the weakest decay was added to both, because the best of three lay at the edge). Each cell is trained once,
on a seed that no timing uses, in the same loop; the best is the one with the fewest steps to 0.95 ID accuracy. A
finished cell is a file, so that the grid can be stopped and goes on.

    python -m benchmarks.tuning                 what is not done yet at 50 entities
    python -m benchmarks.tuning --entities 100
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import tyro

from benchmarks.composition import composition, settings
from benchmarks.grok_runs import Reached, with_fit
from benchmarks.side_by_side import RESULTS
from wheatstone.bench.files import read_json, write_json
from wheatstone.studies.neural.grokked_transformers.config import Config

SEED = 1000
"""Tuning only."""
STEPS = {50: (800, 400), 100: (1600, 800)}
"""Lengths of the schedule, by entities; a length that is cut short by success costs nothing more."""
GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "muon": {"matrix_lr": (0.02, 0.04, 0.08), "matrix_decay": (0.125, 0.25, 0.5, 1.0)},
    "adamw": {"lr": (4e-3, 8e-3, 16e-3), "weight_decay": (0.25, 0.5, 1.0, 2.0)},
}


class Cell(NamedTuple):
    """One point of a grid."""

    optimiser: str
    entities: int
    changes: tuple[tuple[str, float], ...]
    steps: int

    @property
    def config(self) -> Config:
        return settings(self.entities, optimiser=self.optimiser, steps=self.steps, **dict(self.changes))

    @property
    def path(self) -> Path:
        words = "-".join(f"{name}_{value:g}" for name, value in self.changes)
        return RESULTS / "tuning" / f"e{self.entities}-{self.optimiser}-{words}-steps_{self.steps}.json"


class Tuned(NamedTuple):
    """A cell with what it reached."""

    cell: Cell
    step: int | None
    id_accuracy: float


@dataclass(frozen=True)
class TuningOptions:
    """Which grid to fill."""

    entities: int = 50
    """Entities of the composition task: 50 or 100."""


def cells(entities: int) -> list[Cell]:
    """Every cell of both grids, the two sides in turns."""
    by_side = [
        [
            Cell(side, entities, tuple(zip(axes, values, strict=True)), steps)
            for steps in STEPS[entities]
            for values in itertools.product(*axes.values())
        ]
        for side, axes in GRIDS.items()
    ]
    return [cell for pair in zip(*by_side, strict=True) for cell in pair]


def measured(cell: Cell) -> Tuned | None:
    """What is on file for a cell; None when it has not been run."""
    if not cell.path.exists():
        return None
    found: Any = read_json(cell.path)
    return Tuned(cell, found["step"], found["id_accuracy"])


def best(side: str, entities: int) -> Tuned | None:
    """The cell of a side that got to 0.95 in the fewest steps, else the one that got furthest; None without any."""
    found = [done for cell in cells(entities) if cell.optimiser == side and (done := measured(cell))]
    return min(found, key=lambda done: (done.step or 10**9, -done.id_accuracy), default=None)


def complete(entities: int) -> bool:
    """Whether every cell is on file."""
    return all(cell.path.exists() for cell in cells(entities))


def train(cell: Cell) -> Reached:
    """Run one cell and write it down."""
    done = with_fit(cell.config, composition(cell.config, SEED), SEED)
    kept = dataclasses.replace(done, history=done.history[-1:])
    write_json(cell.path, {"cell": cell._asdict(), "seed": SEED, **kept.to_json()})
    return done


def main() -> int:
    """Fill the grid."""
    import torch

    options = tyro.cli(TuningOptions, prog="python -m benchmarks.tuning", description=__doc__)
    torch.set_num_threads(1)
    everything = cells(options.entities)
    for i, cell in enumerate(everything):
        if cell.path.exists():
            continue
        done = train(cell)
        print(f"{i + 1}/{len(everything)} {cell.path.stem}: step {done.step}, {done.id_accuracy:.3f}", flush=True)
    for side in GRIDS:
        print(f"best {side}: {best(side, options.entities)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

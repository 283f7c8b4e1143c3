"""`wheatstone sweep`: a study over a grid of settings, one run a point, one report for all.

Everything that `wheatstone run` takes holds for all points; `--grid` is what differs between them. Without `--out` the
directory is named after the content of the sweep, so the same command goes on with what was interrupted.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from wheatstone.bench.errors import UserError
from wheatstone.cli.run import Options, chosen_arms, engine_of, parse, parse_seeds, threads_of

if TYPE_CHECKING:
    from wheatstone.bench.engine import Engine
    from wheatstone.bench.study import Study
    from wheatstone.bench.sweep.directory import Sweep
    from wheatstone.bench.sweep.findings import SweepFindings

USAGE = """usage: wheatstone sweep STUDY --grid FIELD=a,b,c [--grid OTHER=x,y] [--preset cpu] [--seeds 3] [--arms a,b]
                        [--engine local|replicas|auto|ray|inline] [--jobs N] [--threads N] [--address HOST:PORT]
                        [--gpus SHARE] [--out DIR] [--fresh] [--config.FIELD VALUE ...]

Run a study at every point of a grid of its settings, and draw each measure over the grid. STUDY is a name of
`wheatstone list` or a file my_study.py. All options with the study's own settings: wheatstone sweep STUDY --help"""


@dataclass(frozen=True)
class SweepOptions(Options):
    """What to sweep, and how to run it."""

    grid: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="FIELD=a,b,c")] = ()
    """A setting and the values it takes; once for each setting. The first is the horizontal axis of the figures."""
    out: Path | None = None
    """The sweep's directory. None: runs/<study>-<preset>-sweep-<digest of settings and grid>."""


def sweep_study(arguments: Sequence[str]) -> int:
    """Run (or go on with) a sweep and print the verdicts of every point."""
    from wheatstone.bench.registry import load

    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else 2
    if arguments[0].startswith("-"):
        raise UserError(f"wheatstone sweep: the study comes first, before {arguments[0]}.\n{USAGE}")
    study = load(arguments[0])
    options, config = parse(study, arguments[1:], SweepOptions, "sweep")
    engine = engine_of(options)
    return execute(open_sweep(study, options, config), study, engine)


def open_sweep(study: Study[Any], options: SweepOptions, config: Any) -> Sweep:
    """The sweep's directory, new or as it was left; everything that can be wrong with the grid is said before."""
    from wheatstone.bench.config import to_json
    from wheatstone.bench.sweep.directory import Sweep, sweep_path
    from wheatstone.bench.sweep.grid import check_arms, parse_grid, shown

    preset = study.presets[options.preset]
    seeds, arms = parse_seeds(options.seeds, preset.seeds), chosen_arms(study, options)
    grid = parse_grid(study, config, options.grid)
    given, usual = to_json(config), to_json(preset.config)
    for name in grid.fields:
        if given[name] != usual[name]:
            raise UserError(
                f"{study.name} --config.{name.replace('_', '-')}: {shown(given[name])}, and --grid {name} gives it "
                "other values. Leave one of them out."
            )
    for warning in check_arms(study, config, arms, grid, chosen=options.arms is not None):
        print(f"Note: {warning}", file=sys.stderr)
    threads = threads_of(options, len(grid.points()) * len(arms) * len(seeds))
    path = options.out or sweep_path(study, options.preset, config, seeds, arms, grid)
    if options.fresh and path.exists():
        discard(path, study)
    return Sweep.create(path, study, options.preset, config, seeds, arms, threads, grid)


def discard(path: Path, study: Study[Any]) -> None:
    """Removes a sweep directory of this study, and nothing else. Raises UserError while another process is at it."""
    from wheatstone.bench.sweep.directory import Sweep

    sweep = Sweep.open(path)
    if sweep.study_name != study.name:
        raise UserError(f"{path}: holds a sweep of '{sweep.study_name}' and stays as it is. Choose another --out.")
    with sweep.lock():
        shutil.rmtree(path)


def execute(sweep: Sweep, study: Study[Any], engine: Engine) -> int:
    """Performs what is left of the sweep under a progress view, then prints the verdicts and where the report is."""
    from wheatstone.bench.progress import follow_trials
    from wheatstone.bench.sweep.execute import execute_sweep
    from wheatstone.bench.sweep.findings import finished_trials

    points = sweep.grid.points()
    head = f"Sweep directory: {sweep.path}, {len(points)} point{'s' if len(points) > 1 else ''}"
    total = len(points) * len(sweep.arms) * len(sweep.seeds)
    with follow_trials(head, total, finished_trials(sweep)) as watch:
        found = execute_sweep(sweep, study, engine, watch)
    sys.stderr.flush()
    print_sweep(found)
    print(f"\nReport: {sweep.path / 'report.html'}")
    return 0


def print_sweep(found: SweepFindings) -> None:
    """A row a point with the outcome of every claim whose arms were run."""
    from rich.text import Text

    from wheatstone.bench.report.verdicts import SYMBOLS, not_run
    from wheatstone.bench.sweep.grid import shown
    from wheatstone.cli.show import STYLES, console, grid

    first = found.points[0].findings.verdicts
    absent = not_run(first, list(found.arms))
    claims = [verdict.claim.name for verdict in first if verdict.claim.name not in absent]
    rows = grid(*found.grid.fields, *claims)
    for one in found.points:
        outcomes = {verdict.claim.name: verdict.outcome for verdict in one.findings.verdicts}
        cells = [Text(f"{SYMBOLS[outcomes[name]]} {outcomes[name]}", style=STYLES[outcomes[name]]) for name in claims]
        rows.add_row(*(Text(shown(value)) for value in one.point.values.values()), *cells)
    out, seeds = console(), ", ".join(map(str, found.seeds))
    out.print(f"\n{found.study}, preset {found.preset}, seeds {seeds}, {len(found.points)} points\n", style="bold")
    if claims:
        out.print(rows)
    if absent:
        names = "; ".join(f"{name} ({', '.join(missing)})" for name, missing in absent.items())
        out.print(f"Not decided here, because an arm was not run: {names}")

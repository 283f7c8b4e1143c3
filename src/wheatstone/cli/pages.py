"""`wheatstone report` and `wheatstone serve`: a run's page, and a local page of all runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Interval

from wheatstone.bench.errors import UserError
from wheatstone.bench.place import RUNS

if TYPE_CHECKING:
    from wheatstone.bench.study import Study


@dataclass(frozen=True)
class ReportOptions:
    """Which run to report on."""

    run: Path
    """The directory of a run or a sweep, as `wheatstone run` and `wheatstone sweep` print it."""
    study: Path | None = None
    """The file of a study that is not installed, as my_study.py."""
    json: bool = False
    """Print the findings as JSON and write nothing."""


def report(arguments: Sequence[str]) -> int:
    """Write a run's page again from its directory, finished or not, and say where it is."""
    from wheatstone.bench.findings import collect
    from wheatstone.bench.run import Run
    from wheatstone.bench.sweep.directory import is_sweep
    from wheatstone.cli.options import parse

    about = "Write a run's page again from what its directory holds, finished or not, and say where it is."
    options = parse(ReportOptions, arguments, "report", about)
    if is_sweep(options.run):
        return _report_sweep(options)
    run = Run.open(options.run)
    study = _study(run.path, run.study_name, options.study)
    if options.json:
        print(json.dumps(collect(run, study).to_json(), indent=2, ensure_ascii=False))
        return 0
    from wheatstone.bench.report import write_report
    from wheatstone.cli.show import print_findings

    path = write_report(run, study)
    print_findings(collect(run, study))
    print(f"\nReport: {path}")
    return 0


def _report_sweep(options: ReportOptions) -> int:
    from wheatstone.bench.sweep.directory import Sweep
    from wheatstone.bench.sweep.findings import collect_sweep

    sweep = Sweep.open(options.run)
    study = _study(sweep.path, sweep.study_name, options.study)
    found = collect_sweep(sweep, study)
    if options.json:
        print(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
        return 0
    from wheatstone.bench.sweep.report import write_sweep_report
    from wheatstone.cli.sweep import print_sweep

    path = write_sweep_report(sweep, study, found)
    print_sweep(found)
    print(f"\nReport: {path}")
    return 0


def _study(place: Path, name: str, file: Path | None) -> Study[Any]:
    """The study of a directory, from the file that was named or from what is installed."""
    from wheatstone.bench.registry import cards, load, load_file

    if file is not None:
        return load_file(file)
    if name not in [card.name for card in cards()]:
        raise UserError(f"{place}: a run of '{name}', which is not installed. Name its file: --study my_study.py")
    return load(name)


@dataclass(frozen=True)
class ServeOptions:
    """What to serve, and where."""

    runs: Path = RUNS
    """Folder of run directories."""
    port: Annotated[int, Interval(ge=0, le=65535)] = 8765
    """Port on this machine; 0 takes a free one."""


def serve(arguments: Sequence[str]) -> int:
    """A page of all runs on this machine only, with live curves and verdicts. Ctrl-C ends it."""
    from wheatstone.bench.serve import run_server
    from wheatstone.cli.options import parse

    options = parse(ServeOptions, arguments, "serve", "A page of all runs, on this machine only. Ctrl-C ends it.")
    if not options.runs.is_dir():
        raise UserError(
            f"{options.runs}: no such folder of runs. Make one with wheatstone run, or name another: --runs"
        )
    run_server(options.runs, options.port)
    return 0

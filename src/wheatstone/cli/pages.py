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
    from wheatstone.bench.run import Run
    from wheatstone.bench.study import Study


@dataclass(frozen=True)
class ReportOptions:
    """Which run to report on."""

    run: Path
    """The run directory, as `wheatstone run` prints it."""
    study: Path | None = None
    """The file of a study that is not installed, as my_study.py."""
    json: bool = False
    """Print the findings as JSON and write nothing."""


def report(arguments: Sequence[str]) -> int:
    """Write a run's page again from its directory, finished or not, and say where it is."""
    from wheatstone.bench.findings import collect
    from wheatstone.bench.run import Run
    from wheatstone.cli.options import parse

    about = "Write a run's page again from what its directory holds, finished or not, and say where it is."
    options = parse(ReportOptions, arguments, "report", about)
    run = Run.open(options.run)
    study = _study(run, options.study)
    if options.json:
        print(json.dumps(collect(run, study).to_json(), indent=2, ensure_ascii=False))
        return 0
    from wheatstone.bench.report import write_report
    from wheatstone.cli.show import print_findings

    path = write_report(run, study)
    print_findings(collect(run, study))
    print(f"\nReport: {path}")
    return 0


def _study(run: Run, file: Path | None) -> Study[Any]:
    from wheatstone.bench.registry import cards, load, load_file

    if file is not None:
        return load_file(file)
    if run.study_name not in [card.name for card in cards()]:
        raise UserError(
            f"{run.path}: a run of '{run.study_name}', which is not installed. Name its file: --study my_study.py"
        )
    return load(run.study_name)


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

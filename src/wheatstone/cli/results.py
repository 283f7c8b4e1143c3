"""Findings that are lying around: runs under a folder, and the results that the package was published with."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import wheatstone
from wheatstone.bench.errors import UserError
from wheatstone.bench.files import read_json, write_json
from wheatstone.bench.findings import Findings


def recorded_folder() -> Path:
    """`results/`: beside the code in an installed package, at the top of the tree in a checkout."""
    package = Path(wheatstone.__file__).parent
    inside = package / "results"
    return inside if inside.is_dir() else package.parent.parent / "results"


def read_findings(path: Path) -> Findings:
    """The findings in a file. Raises UserError when it is missing or damaged."""
    try:
        return Findings.from_json(read_json(path), path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None


def recorded(folder: Path | None = None) -> list[Findings]:
    """The recorded results, by study and preset."""
    files = sorted((folder or recorded_folder()).glob("*.json"))
    return [read_findings(file) for file in files]


def last_findings(runs: Path, records: Path | None = None) -> dict[str, Findings]:
    """Study -> its latest findings: those of the newest finished run under `runs`, else the recorded ones.

    Of several recorded presets the one that decides the most claims speaks for the study: others may run a part of it.
    `records` is the folder of recorded results; None is the package's own. A run that cannot be read is passed over:
    listing must not fail because of one damaged directory.
    """
    files = (records or recorded_folder()).glob("*.json")
    latest = {findings.study: findings for findings in sorted(_readable(files, newest_last=False), key=_decided)}
    latest |= {findings.study: findings for findings in _readable(runs.glob("*/findings.json"), newest_last=True)}
    return latest


def _decided(findings: Findings) -> int:
    return sum(verdict.outcome != "inconclusive" for verdict in findings.verdicts)


def _readable(files: Iterator[Path], *, newest_last: bool) -> Iterator[Findings]:
    for file in sorted(files, key=lambda file: (file.stat().st_mtime if newest_last else 0.0, file.name)):
        with contextlib.suppress(UserError):
            yield read_findings(file)


def record(run: Path, folder: Path) -> Path:
    """Copies the findings of a finished run to `<folder>/<study>-<preset>.json`.

    Raises UserError for a run that has not finished, or whose settings are not the preset's own.
    """
    from wheatstone.bench.run import Run

    findings = Run.open(run).findings()
    if findings is None:
        raise UserError(f"{run}: has not finished, it has no findings.json. Run the same command again to go on.")
    if findings.overrides:
        changed = ", ".join(f"{name} = {value}" for name, value in findings.overrides.items())
        raise UserError(
            f"{run}: not a run of the preset '{findings.preset}' alone: {changed}. Run it without overrides."
        )
    if not re.fullmatch(r"[\w.-]+", f"{findings.study}-{findings.preset}"):
        raise UserError(f"{run}: the study's name '{findings.study}' cannot name a file.")
    path = folder / f"{findings.study}-{findings.preset}.json"
    write_json(path, findings.to_json())
    return path

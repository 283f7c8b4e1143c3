"""The runs under a folder: which there are, how far each is, and where it lies.

A page of a thousand runs asks again every second, so what has been read of a run is kept until one of its files
changes: of a finished run three files are looked at, and none is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from wheatstone.bench.errors import UserError
from wheatstone.bench.findings import Findings
from wheatstone.bench.report.verdicts import not_run
from wheatstone.bench.run import Run
from wheatstone.bench.shown import printable
from wheatstone.bench.sweep.directory import Sweep

Summary = dict[str, Any]
"""What is said of a run: 'name', 'state' ('finished', 'running', 'unfinished', 'damaged') and, unless it is damaged,
study, family, preset, seeds, arms, trials, finished, has_report, verdicts, changed (seconds since 1970)."""


@dataclass
class Folder:
    """A folder of runs, read once and then as far as it changes."""

    root: Path
    """The folder, links resolved."""
    _kept: dict[Path, tuple[object, Summary]] = field(default_factory=dict[Path, tuple[object, Summary]])
    _turn: Lock = field(default_factory=Lock)

    def summaries(self) -> list[Summary]:
        """One a run directly under the folder, the newest first, then one a point of each sweep there, in its order.

        A damaged one says what is wrong with it. The name of a point is its path: 'sweep/points/phi=9'.
        """
        with self._turn:
            return self._all()

    def one(self, place: Path) -> Summary:
        """What is said of the run in a folder."""
        with self._turn:
            return self._summary(place)

    def _all(self) -> list[Summary]:
        own = [place for place in self._folders() if (place / "run.json").exists()]
        sweeps = sorted((place for place in self._folders() if (place / "sweep.json").exists()), key=_age)
        points = [place for sweep in sweeps for place in _points(sweep)]
        found = [self._summary(place) for place in own]
        found.sort(key=lambda one: (-one["changed"], one["name"]))
        seen = {*own, *points}
        for gone in [place for place in self._kept if place not in seen]:
            del self._kept[gone]
        return [*found, *(self._summary(place) for place in points)]

    def _folders(self) -> Iterator[Path]:
        try:
            with os.scandir(self.root) as entries:
                for entry in entries:
                    # No link is followed that could lead out of the folder.
                    if entry.is_dir(follow_symlinks=False):
                        yield self.root / entry.name
        except OSError:
            return

    def _summary(self, place: Path) -> Summary:
        stamp = _stamp(place)
        kept = self._kept.get(place)
        if kept is None or kept[0] != stamp:
            kept = (stamp, self._read(place))
            self._kept[place] = kept
        summary = kept[1]
        return summary if summary["state"] in ("finished", "damaged") else {**summary, **_progress(place, summary)}

    def _read(self, place: Path) -> Summary:
        name = printable(place.relative_to(self.root).as_posix())
        changed = -_age(place / "run.json")
        sweep = {"sweep": printable(place.parent.parent.name)} if place.parent != self.root else {}
        try:
            return {**_summary(Run.open(place)), "name": name, "changed": changed, **sweep}
        except (UserError, OSError) as fault:
            return {"name": name, "state": "damaged", "fault": printable(str(fault)), "changed": changed, **sweep}


def summaries(root: Path) -> list[Summary]:
    """What there is under a folder, read anew."""
    return Folder(root.resolve()).summaries()


def _stamp(place: Path) -> tuple[object, ...]:
    """What changes when a run has something new to say."""
    stamps: list[object] = []
    for name in ("run.json", "findings.json", "report.html"):
        try:
            status = (place / name).stat()
            stamps.append((status.st_mtime_ns, status.st_size, status.st_ino))
        except OSError:
            stamps.append(None)
    return tuple(stamps)


def _age(place: Path) -> float:
    """A key that puts the newest file first, and one that has just gone last."""
    try:
        return -place.stat().st_mtime
    except OSError:
        return 0.0


def _points(sweep: Path) -> list[Path]:
    """The folder of each point that has begun, in the order of the grid."""
    try:
        opened = Sweep.open(sweep)
    except UserError:
        return [place.parent for place in sorted(sweep.glob("points/*/run.json"))]
    places = (opened.run_path(point) for point in opened.grid.points())
    return [place for place in places if (place / "run.json").exists()]


def _summary(run: Run) -> Summary:
    trials = len(run.arms) * len(run.seeds)
    findings = run.findings() if _finished(run) == trials else None
    return {
        "study": run.study_name,
        "family": families().get(run.study_name, ""),
        "preset": run.preset,
        "seeds": list(run.seeds),
        "arms": list(run.arms),
        "trials": trials,
        "finished": trials if findings else 0,
        "state": "finished" if findings else "unfinished",
        "has_report": (run.path / "report.html").is_file(),
        "verdicts": _verdicts(findings),
    }


def _finished(run: Run) -> int:
    return sum(record.is_finished for record in run.records())


def _progress(place: Path, summary: Summary) -> Summary:
    """What changes of an unfinished run without a change of its own files."""
    done = sum(
        (place / "arms" / arm / f"seed-{seed}" / "measures.json").exists()
        for arm in summary["arms"]
        for seed in summary["seeds"]
    )
    return {"finished": done, "state": "running" if is_running(place) else "unfinished"}


def _verdicts(findings: Findings | None) -> list[dict[str, str]]:
    """The claims that were judged; those about an arm that was not run are left out."""
    if findings is None:
        return []
    absent = not_run(findings.verdicts, list(findings.arms))
    verdicts = [verdict for verdict in findings.verdicts if verdict.claim.name not in absent]
    return [{"claim": verdict.claim.text, "outcome": verdict.outcome} for verdict in verdicts]


@cache
def families() -> dict[str, str]:
    """Study -> family, of everything that is installed; empty where the studies cannot be listed."""
    from wheatstone.bench.registry import cards

    try:
        return {card.name: card.family for card in cards()}
    except UserError:
        return {}


def is_running(place: Path) -> bool:
    """Whether the process that last locked the run is alive. The lock itself is not tried: a run that starts at that
    instant would be refused."""
    try:
        process = int((place / "run.lock").read_text(encoding="utf-8"))
        if process > 0:  # other numbers mean groups of processes
            os.kill(process, 0)
        return process > 0
    except PermissionError:
        return True
    except (OSError, ValueError, OverflowError):
        return False


def find(root: Path, name: str) -> Run | None:
    """The run of that name directly under `root`, or the point 'sweep/points/name'; None for anything else."""
    parts = name.split("/")
    is_point = len(parts) == 3 and parts[1] == "points"
    if len(parts) > 1 and not is_point:
        return None
    folder: Path | None = root
    for part in parts:
        folder = inside(folder, part) if folder else None
    if folder is None or not folder.is_dir():
        return None
    try:
        return Run.open(folder)
    except UserError:
        return None


def inside(folder: Path, name: str) -> Path | None:
    """`folder/name` where it exists and really lies in `folder`, links and dots resolved."""
    if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
        return None
    try:
        path = (folder / name).resolve()
        return path if path.parent == folder.resolve() and path.exists() else None
    except (OSError, ValueError, RuntimeError):  # too long, no name on this file system, a circle of links
        return None

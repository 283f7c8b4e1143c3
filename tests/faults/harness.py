"""Runs of the real command, killed again and again, and compared with one that nobody disturbed.

A chain is one run directory: the command is started in it, killed, checked, started again, until it ends by itself.
Every file that a killed process leaves is opened by its own reader before the command goes on.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from wheatstone.bench.checkpoint import read_tensors
from wheatstone.bench.pool import worker_environment
from wheatstone.bench.run import Run

HERE = Path(__file__).parent
TINY = HERE / "tiny.py"
FORESEEN = 240.0
"""Seconds after which a command counts as hanging."""
WALL_CLOCK = ("seconds",)
"""Logged values that two executions need not share."""
WEIGHTS = {"checkpoint.safetensors": 8, "metrics.jsonl": 4, "findings.json": 3, "report.html": 3, "measures.json": 3}
"""How much likelier than any other file a point is drawn from these."""


class Kill(NamedTuple):
    """When to kill: so many seconds after the `number`-th time that the run passes `point`, or after its start."""

    whom: str
    point: str = ""
    number: int = 1
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.whom}, {self.seconds:.4f} s after {f'{self.point!r} {self.number}' if self.point else 'start'}"


@dataclass(frozen=True)
class Outcome:
    """How one start of the command ended."""

    code: int
    killed: bool
    states: tuple[str, ...]
    """What each of its processes was at."""
    points: tuple[str, ...]
    """Every point that its processes passed."""
    out: str
    err: str
    seconds: float


@dataclass
class Chain:
    """One run directory and everything that was done to it."""

    folder: Path
    seed: int
    done: list[str] = field(default_factory=list[str])
    starts: int = 0

    @property
    def run(self) -> Path:
        return self.folder / "run"

    def start(self, kill: Kill | None = None, *, refuse: str = "", jobs: int = 2) -> Outcome:
        """Starts the command and waits for its end, which `kill` may bring about."""
        self.folder.mkdir(parents=True, exist_ok=True)
        box = self.folder / f"box-{self.starts}"
        box.mkdir()
        self.starts += 1
        command = [sys.executable, "-m", "wheatstone", "run", str(TINY), "--preset", "smoke"]
        command += ["--out", str(self.run), "--jobs", str(jobs)]
        inside = f"{kill.point} {kill.number} {kill.whom} {kill.seconds}" if kill and kill.point else ""
        environment = worker_environment(1) | {
            "FAULTS_BOX": str(box),
            "FAULTS_KILL": inside,
            "FAULTS_REFUSE": refuse,
            "FAULTS_TARGET": str(self.run),
        }
        environment["PYTHONPATH"] = os.pathsep.join([str(HERE / "box"), environment["PYTHONPATH"]])
        environment.pop("FAULTS_ROOT", None)
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )
        killed = False
        try:
            out, err = process.communicate(timeout=FORESEEN if not kill or kill.point else kill.seconds)
        except subprocess.TimeoutExpired:
            if kill is None or kill.point:
                _kill(process.pid, "tree")
                process.communicate()
                raise AssertionError("the command hangs") from None
            killed = True
            _kill(process.pid, kill.whom)
            out, err = process.communicate(timeout=FORESEEN)
        seconds = time.perf_counter() - started
        _wait_for_orphans(self.run)
        states = tuple(path.read_text().strip() for path in sorted(box.glob("*.now")))
        points = tuple((box / "points").read_text().splitlines()) if (box / "points").exists() else ()
        killed = killed or "KILLED" in points
        if kill:
            self.done.append(f"{kill}: {' | '.join(states) if killed else 'it ended before'}")
        return Outcome(process.returncode, killed, states, points, out, err, seconds)

    def __str__(self) -> str:
        return f"chain of seed {self.seed} in {self.folder}: " + "; ".join(self.done)


def _kill(process: int, whom: str) -> None:
    """SIGKILL to the command's process, and to its workers before they can notice."""
    children: list[int] = []
    if whom == "tree":
        for task in Path(f"/proc/{process}/task").iterdir():
            children += map(int, (task / "children").read_text().split())
    for one in (process, *children):
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, 9)


def _wait_for_orphans(run: Path) -> None:
    """Workers whose parent was killed end by themselves: none may be left after a few seconds."""
    deadline = time.monotonic() + 10
    while left := [pid for pid, line in _commands() if "wheatstone.bench.worker" in line and str(run) in line]:
        assert time.monotonic() < deadline, f"workers {left} outlive their parent"
        time.sleep(0.01)


def _commands() -> Iterable[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue


def files(run: Path) -> list[Path]:
    """Every file of the run that a reader may look at: all but hidden temporary ones."""
    return sorted(path for path in run.rglob("*") if path.is_file() and not re.fullmatch(r"\..*\.\d+\.tmp", path.name))


def check_whole(run: Path) -> None:
    """Opens every file with its own reader: none may be half written, whatever was killed."""
    for path in files(run):
        data = path.read_bytes()
        match path.suffix:
            case ".json":
                json.loads(data)
            case ".safetensors":
                read_tensors(path)
            case ".png":
                assert data.startswith(b"\x89PNG\r\n\x1a\n"), path
                assert data.endswith(b"IEND\xaeB`\x82"), path
            case ".svg":
                assert data.startswith(b"<svg "), path
                assert data.rstrip().endswith(b"</svg>"), path
            case ".html":
                assert data.startswith(b"<!doctype html>"), path
                assert data.endswith(b"</html>\n"), path
            case ".jsonl":
                steps = [json.loads(line)["step"] for line in data.split(b"\n")[:-1]]
                assert steps == sorted(set(steps)), f"{path}: {steps}"
            case ".lock" | ".log":
                pass
            case _:
                raise AssertionError(f"{path}: a file that no reader is known for")
    if (run / "run.json").exists():
        opened = Run.open(run)
        opened.findings()
        for record in opened.records():
            record.measures()
            record.metrics()


def content(run: Path) -> dict[str, Any]:
    """Everything in a finished run that has to be equal bit for bit, whatever happened on the way."""
    opened = Run.open(run)
    findings = opened.findings()
    assert findings is not None, run
    found: dict[str, Any] = {"decided": findings.decided()}
    for record in opened.records():
        name = f"{record.arm}/{record.seed}"
        lines = [json.loads(line) for line in (record.path / "metrics.jsonl").read_text().splitlines()]
        found[f"{name}/metrics"] = [
            {key: value for key, value in line.items() if key not in WALL_CLOCK} for line in lines
        ]
        found[f"{name}/measures"] = (record.path / "measures.json").read_bytes()
        for path in sorted((record.path / "artifacts").iterdir()):
            found[f"{name}/{path.name}"] = path.read_bytes()
    for path in sorted((run / "figures").iterdir()):
        found[path.name] = path.read_bytes()
    return found


def check_finished(run: Path, reference: dict[str, Any]) -> None:
    """Compares a run that ended with the undisturbed one, and looks for what should be gone."""
    check_whole(run)
    assert content(run) == reference
    assert (run / "report.html").is_file()
    left = [path for path in run.rglob("*") if path.suffix == ".tmp" or path.name == "checkpoint.safetensors"]
    assert left == [], left


@dataclass(frozen=True)
class Reference:
    """A run that nobody disturbed."""

    content: dict[str, Any]
    points: tuple[str, ...]
    seconds: float


def undisturbed(folder: Path) -> Reference:
    """One run to its end, and every point that it passed."""
    chain = Chain(folder, 0)
    outcome = chain.start()
    assert outcome.code == 0, outcome.err
    check_whole(chain.run)
    return Reference(content(chain.run), outcome.points, outcome.seconds)


@dataclass
class Campaign:
    """Many kills in as few starts as may be: several chains, in each one kill after the other, ever later."""

    folder: Path
    reference: Reference
    seed: int
    where: Counter[str] = field(default_factory=Counter[str])
    """What was being written at each kill."""
    chains: int = 0

    def kills(self) -> int:
        return self.where.total()

    def run_chain(self, most: int) -> None:
        """Kills one run up to `most` times, then lets it end, and compares. Raises AssertionError with the story."""
        chain = Chain(self.folder / f"chain-{self.chains}", self.seed * 1000 + self.chains)
        self.chains += 1
        moments = random.Random(chain.seed)
        passed: Counter[str] = Counter()
        try:
            for point in self._points(moments, most):
                if self._is_past(point, passed):
                    continue
                kill = _drawn(moments, point, self.reference.seconds)
                outcome = chain.start(kill)
                passed.update(outcome.points)
                check_whole(chain.run)
                if outcome.killed:
                    self.where[_described(kill, outcome)] += 1
                if outcome.code == 0:
                    break
                assert outcome.killed, f"exit code {outcome.code}: {outcome.err}"
            outcome = chain.start()
            assert outcome.code == 0, outcome.err
            check_finished(chain.run, self.reference.content)
        except BaseException as fault:
            fault.add_note(str(chain))
            raise

    def _points(self, moments: random.Random, most: int) -> list[str]:
        """Points of the undisturbed run, in the order in which it passed them."""
        first = {point: at for at, point in reversed(list(enumerate(self.reference.points)))}
        first |= {f"write {point[5:]}": at for point, at in first.items() if point.startswith("sync ")}
        by_file: dict[str, list[str]] = {}
        for point in sorted(first):
            by_file.setdefault(point.partition(" ")[2], []).append(point)
        weights = [WEIGHTS.get(name, 1) for name in by_file]
        chosen = [moments.choice(by_file[name]) for name in moments.choices(list(by_file), weights, k=most)]
        return sorted(chosen, key=first.__getitem__)

    def _is_past(self, point: str, passed: Counter[str]) -> bool:
        """Whether the chain will not come to this point again: the file is there, or every trial is."""
        name = point.partition(" ")[2]
        usual = Counter(self.reference.points)
        trials_done = passed["replaced measures.json"] >= usual["replaced measures.json"]
        if name in ("run.json", "environment.json", "cost.json", "measures.json", "history.json", "model.safetensors"):
            return trials_done or passed[f"replaced {name}"] >= usual[f"replaced {name}"]
        return trials_done and name in ("checkpoint.safetensors", "metrics.jsonl", "trial.lock", "worker.log")


def _drawn(moments: random.Random, point: str, life: float) -> Kill:
    """At the point itself, shortly after it, or at any moment of the clock."""
    number = moments.randint(1, 3) if "checkpoint" in point or "metrics" in point else 1
    whom = moments.choices(["tree", "parent", "self"], [14, 5, 1])[0]
    match moments.choices(["at", "after", "clock"], [5, 3, 2])[0]:
        case "at":
            return Kill(whom, point, number)
        case "after":
            return Kill(whom, point, number, moments.uniform(0.0001, 0.05))
        case _:
            return Kill("parent" if whom == "parent" else "tree", seconds=moments.uniform(0.1, 0.8 * life))


def _described(kill: Kill, outcome: Outcome) -> str:
    """What the run was writing when it was killed: the point, or what its processes were at."""
    if kill.point and not kill.seconds:
        return kill.point
    busy = [state for state in outcome.states if state and not state.startswith(("after", "starting"))]
    between = [state for state in outcome.states if state.startswith("after")]
    return busy[0] if busy else f"between writes, {between[-1]}" if between else "starting, nothing written"

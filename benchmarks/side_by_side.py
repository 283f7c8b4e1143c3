"""How every benchmark measures: warm up, take turns, medians with quartiles, a fixed number of threads, one record.

A benchmark is a module with a `BENCHMARK`. Its command starts one child process for each number of threads, because
the thread pools of torch and BLAS are sized when they start; inside the child the sides take turns (ours, peer, ours,
peer, ...), so that a slow minute of the machine falls on both. Equality of results is checked before anything is timed,
and a benchmark whose sides differ fails (exit code 1). A goal that is missed is printed, with a profile that says where
the time goes, and does not fail unless `--strict` is given.

    python -m benchmarks.throughput             measure, print, write benchmarks/results/throughput.json
    python -m benchmarks.throughput --quick     tiny sizes, in this process: does it run, are the results equal?
"""

from __future__ import annotations

import dataclasses
import gc
import importlib.util
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Generic, TypeVar

import tyro

from wheatstone.bench.environment import environment
from wheatstone.bench.files import read_json, write_json
from wheatstone.bench.work import THREAD_VARIABLES
from wheatstone.cli.benchmarks import Comparison, Curve, Equality, Record, Spread, goal_text, spread_text

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Options:
    """What every benchmark understands."""

    quick: bool = False
    """Tiny sizes: checks that all runs and that results are equal. Its figures mean nothing."""
    full: bool = False
    """More cases, seeds and sizes; takes long."""
    threads: tuple[int, ...] = ()
    """Threads to measure with; empty takes the benchmark's own choice."""
    json: Path | None = None
    """Where the record goes; by default benchmarks/results/, and nowhere with --quick."""
    strict: bool = False
    """Exit with 1 when a goal is missed."""
    inner: Path | None = None
    """Used by the benchmark itself: measure in this process and write what was found to this file."""


Chosen = TypeVar("Chosen", bound=Options)


@dataclass
class Part:
    """What one child process found."""

    comparisons: list[Comparison] = field(default_factory=list)
    equalities: list[Equality] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    profiles: dict[str, str] = field(default_factory=dict)

    def equal(self, what: str, difference: float, tolerance: float) -> None:
        """Record that two sides agree; raises SystemExit when they don't, because no ratio would mean anything."""
        found = Equality(what, float(difference), tolerance)
        self.equalities.append(found)
        print(f"  equal: {what}: {found.difference:.2g} (at most {tolerance:g})", flush=True)
        if not found.holds:
            sys.exit(f"{what}: differ by {found.difference:.3g}, more than {tolerance:g}. Nothing was timed.")

    def compared(self, comparison: Comparison) -> Comparison:
        """Record and print one comparison."""
        self.comparisons.append(comparison)
        print(f"  {line(comparison)}", flush=True)
        return comparison

    def figure(self, name: str, value: str) -> None:
        """Record and print one further figure."""
        self.figures[name] = value
        print(f"  {name}: {value}", flush=True)


@dataclass(frozen=True)
class Benchmark(Generic[Chosen]):
    """One file of this folder."""

    name: str
    title: str
    about: str
    options: type[Chosen]
    measure: Callable[[Chosen, int, Part], None]
    """(options, threads, part): measures with so many threads and fills the part."""
    threads: tuple[int, ...] = (1,)

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Run from the command line."""
        given = list(sys.argv[1:] if arguments is None else arguments)
        options = tyro.cli(self.options, prog=f"python -m benchmarks.{self.name}", description=self.about, args=given)
        threads = options.threads or ((1,) if options.quick else self.threads)
        if options.inner is not None:
            write_json(options.inner, dataclasses.asdict(self._here(options, threads[0])))
            return 0
        target = options.json or (None if options.quick else RESULTS / f"{self.name}.json")
        started, load = time.perf_counter(), os.getloadavg()[0]
        print(f"== {self.title}", flush=True)
        parts: list[Part] = []
        for n in threads:
            print(f" {n} thread{'s' if n > 1 else ''}", flush=True)
            part = self._here(options, n) if options.quick else self._in_child(given, n)
            if part is None:
                return 1
            parts.append(part)
        record = self._record(parts, given, threads, load, time.perf_counter() - started, options.quick)
        if target is not None:
            write_json(target, record.to_json())
            print(f" {target}")
        missed = [c.case for c in record.comparisons if c.met is False]
        if missed:
            print(f" goals missed: {'; '.join(missed)}")
        for case, profile in record.profiles.items():
            print(f" where the time goes in {case}:\n{profile}")
        return 1 if missed and options.strict else 0

    def _here(self, options: Chosen, threads: int) -> Part:
        part = Part()
        fix_threads(threads)
        self.measure(options, threads, part)
        return part

    def _in_child(self, given: Sequence[str], threads: int) -> Part | None:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "part.json"
            words = [sys.executable, "-m", f"benchmarks.{self.name}", *given, "--threads", str(threads)]
            env = os.environ | {name: str(threads) for name in THREAD_VARIABLES}
            code = subprocess.run([*words, "--inner", str(out)], cwd=ROOT, env=env, check=False).returncode
            return part_from(read_json(out)) if code == 0 else None

    def _record(
        self,
        parts: Sequence[Part],
        given: Sequence[str],
        threads: Sequence[int],
        load: float,
        seconds: float,
        quick: bool,
    ) -> Record:
        where = environment(max(threads))
        del where["command"]  # the record has its own, without places on this machine
        words = [word for i, word in enumerate(given) if "--json" not in (word, given[max(0, i - 1)])]
        for package in ("transformers",):
            if importlib.util.find_spec(package) is not None:
                where["versions"][package] = metadata.version(package)
        return Record(
            self.name,
            self.title,
            self.about,
            shlex.join(["python", "-m", f"benchmarks.{self.name}", *words]),
            tuple(c for part in parts for c in part.comparisons),
            tuple(e for part in parts for e in part.equalities),
            {name: value for part in parts for name, value in part.figures.items()},
            tuple(dict.fromkeys(note for part in parts for note in part.notes)),
            tuple(c for part in parts for c in part.curves),
            {name: text for part in parts for name, text in part.profiles.items()},
            where,
            load,
            seconds,
            quick,
        )


def part_from(data: Any) -> Part:
    """The part that a child wrote."""
    from pydantic import TypeAdapter

    return TypeAdapter(Part).validate_python(data)


def fix_threads(threads: int) -> None:
    """Holds torch to so many threads; the environment has said the same to BLAS before it was loaded."""
    import torch

    torch.set_num_threads(threads)


def alternate(sides: Mapping[str, Callable[[], float]], rounds: int, warmup: int = 1) -> dict[str, Spread]:
    """Measure every side `rounds` times in turns, after `warmup` rounds that don't count.

    A side returns its own measurement, in whatever unit; garbage is collected before each and not during.
    """
    for _ in range(warmup):
        for measure in sides.values():
            measure()
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, measure in sides.items():
            gc.collect()
            gc.disable()
            try:
                found[name].append(measure())
            finally:
                gc.enable()
    return {name: spread(values) for name, values in found.items()}


def timed(work: Callable[[], object], repeat: int = 1, per: float = 1.0) -> Callable[[], float]:
    """A side whose measurement is the mean wall time of `work` in seconds, times `per`."""

    def measure() -> float:
        started = time.perf_counter()
        for _ in range(repeat):
            work()
        return (time.perf_counter() - started) / repeat * per

    return measure


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles."""
    if len(values) < 2:
        return Spread(values[0], values[0], values[0], len(values))
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high, len(values))


def line(c: Comparison) -> str:
    """One comparison as a line of text."""
    more = "> " if c.bound else ""
    text = (
        f"{c.case}: wheatstone {spread_text(c.ours)} {c.unit}, {c.peer_name} {more}{spread_text(c.peer)} {c.unit}, "
        f"ratio {more}{c.ratio:.2f}"
    )
    return text if c.met is None else f"{text}, goal {goal_text(c)}"


def profile_of(work: Callable[[], object], rows: int = 12) -> str:
    """Where `work` spends its time: the operations with most self time, by torch's profiler."""
    from torch.profiler import ProfilerActivity, profile

    work()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        work()
    averages: list[Any] = list(profiler.key_averages())
    total = sum(event.self_cpu_time_total for event in averages)
    top = sorted(averages, key=lambda event: -event.self_cpu_time_total)[:rows]
    return "\n".join(
        f"{event.self_cpu_time_total / total:6.1%}  {event.self_cpu_time_total / 1e3:9.2f} ms  {event.count:6d} x  "
        f"{event.key[:70]}"
        for event in top
    )

"""How long `wheatstone serve` takes for a folder of runs: the page of all of them, cold and warm, and a look for news.

    python -m benchmarks.serve [--runs 1000] [--megabytes 100]

No peer is measured here: the numbers are milliseconds of this machine.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from wheatstone.bench.files import write_json
from wheatstone.bench.findings import collect
from wheatstone.bench.registry import load
from wheatstone.bench.run import Run
from wheatstone.bench.serve import make_app
from wheatstone.bench.serve.curves import live_plots
from wheatstone.bench.serve.runs import Folder


def main() -> None:
    """Prints one line a measurement."""
    parser = argparse.ArgumentParser(description="How long wheatstone serve takes for a folder of runs.")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--megabytes", type=int, default=100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place).resolve()
        make_runs(root, given.runs)
        measure_list(root)
        measure_curve(root, given.megabytes)


def make_runs(root: Path, count: int) -> None:
    """Finished runs of a real study with its own claims and arms, without what they computed."""
    study = load("grokking-in-the-wild")
    config = study.presets["smoke"].config
    first = root / "run-00000"
    run = Run.create(first, study, "smoke", config, (0, 1, 2), ("augmented", "plain"), 1)
    for record in run.records():
        write_json(record.path / "measures.json", {"real_accuracy": 0.5})
    write_json(run.path / "findings.json", collect(run, study).to_json())
    for number in range(1, count):
        shutil.copytree(first, root / f"run-{number:05}")


def measure_list(root: Path) -> None:
    """The page of all runs, through the whole application."""
    from starlette.testclient import TestClient

    with TestClient(make_app(root), base_url="http://localhost") as client:
        say("page of all runs, cold", lambda: client.get("/"), repeats=1)
        say("page of all runs, warm", lambda: client.get("/"))
    folder = Folder(root)
    folder.summaries()
    say("a look for news", folder.summaries)


def measure_curve(root: Path, megabytes: int) -> None:
    """The curves of a trial whose metrics file is long, read for the first time and while it grows."""
    run = Run.open(root / "run-00000")
    place = run.trial("plain", 0).path / "metrics.jsonl"
    line = json.dumps({"step": 1_000_000, "loss": 0.25, "accuracy": 0.5}) + "\n"
    with place.open("w") as file:
        for step in range(megabytes * 1_000_000 // len(line)):
            file.write(line.replace("1000000", f"{step + 1:7}"))

    def grown() -> object:
        with place.open("a") as file:
            file.write(line)
        return live_plots(run)

    say(f"curves of a metrics file of {place.stat().st_size / 1e6:.0f} MB that grows", grown)


def say(what: str, work: Callable[[], object], repeats: int = 7) -> None:
    """Prints the median of some repeats in milliseconds."""
    taken: list[float] = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    print(f"{what}: {1000 * sorted(taken)[len(taken) // 2]:.0f} ms (median of {repeats})", flush=True)


if __name__ == "__main__":
    main()

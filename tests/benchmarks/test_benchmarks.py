"""Every benchmark runs from one command at tiny sizes, both sides equal; no time is asserted anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wheatstone.cli.benchmarks import ORDER, Record

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("name", ORDER)
def test_a_benchmark_runs_and_its_sides_are_equal(name: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    words = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--json", str(path)]
    done = subprocess.run(words, cwd=ROOT, env=os.environ | {"TQDM_DISABLE": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    record = Record.read(path)
    if reason := record.figures.get("not measured"):
        pytest.skip(reason)
    assert record.quick
    assert record.name == name
    assert record.comparisons
    assert all(one.ours.median > 0 for one in record.comparisons)
    assert all(one.holds for one in record.equalities)
    assert bool(record.equalities) == (name != "startup")
    assert record.environment["threads"] == 1
    assert record.command == f"python -m benchmarks.{name} --quick"
    assert str(tmp_path) not in path.read_text(encoding="utf-8")
    for one in record.comparisons:
        assert one.case in done.stdout
        assert f"ratio {one.ratio:.2f}" in done.stdout.replace("ratio > ", "ratio ")


def test_every_benchmark_is_in_make_bench() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = next(line for line in makefile.splitlines() if line.startswith("BENCHMARKS :="))
    files = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "BENCHMARK = " in path.read_text("utf-8")}
    assert set(named.split(":=")[1].split()) == files == set(ORDER)

"""The same seed on the same machine with the same threads gives the same bits, wherever and however it is started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from wheatstone.bench.run import Run

TINY = Path(__file__).parent / "faults" / "tiny.py"


def measured(study: str, out: Path, hash_seed: str, *words: str) -> dict[str, Any]:
    """Everything that a run decides and logs, started from a folder of its own in a process of its own."""
    elsewhere = out.parent / f"started from {out.name}"
    elsewhere.mkdir()
    command = [sys.executable, "-m", "wheatstone", "run", study, "--preset", "smoke", "--threads", "1", *words]
    done = subprocess.run(
        [*command, "--out", str(out)],
        capture_output=True,
        text=True,
        cwd=elsewhere,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )
    assert done.returncode == 0, done.stderr
    run = Run.open(out)
    findings = run.findings()
    assert findings is not None
    found: dict[str, Any] = {"decided": findings.decided()}
    for record in run.records():
        lines = [json.loads(line) for line in (record.path / "metrics.jsonl").read_text().splitlines()]
        name = f"{record.arm}/{record.seed}"
        found[name] = [{key: value for key, value in line.items() if key != "seconds"} for line in lines]
        found[f"{name}/measures"] = (record.path / "measures.json").read_bytes()
    return found


def test_workers_folders_and_hash_seeds_do_not_matter(tmp_path: Path) -> None:
    first = measured(str(TINY), tmp_path / "a", "1", "--jobs", "1")
    assert measured(str(TINY), tmp_path / "b", "2", "--jobs", "2") == first
    assert measured(str(TINY), tmp_path / "c", "77", "--engine", "inline") == first


@pytest.mark.timeout(900)
@pytest.mark.parametrize("study", ["grokked-transformers", "grokking-in-the-wild"])
def test_studies_give_the_same_bits(study: str, tmp_path: Path) -> None:
    assert measured(study, tmp_path / "a", "1", "--jobs", "2") == measured(
        study, tmp_path / "b", "77", "--engine", "inline"
    )

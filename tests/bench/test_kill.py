"""A run that is killed at any moment and started again ends with the findings of an unbroken one."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.bench.conftest import TOY

from wheatstone.bench.engine import InlineEngine, execute_run
from wheatstone.bench.run import Run

NewRun = Callable[..., Run]
MOMENTS = 20
LIFE = 0.65
"""Seconds that the unbroken run takes, from the start of its process."""

IN_WORKERS = """
import sys
from pathlib import Path
from wheatstone.bench import registry
from wheatstone.bench.engine import LocalEngine, execute_run
from wheatstone.bench.run import Run
execute_run(Run.open(Path(sys.argv[1])), registry.load_file(Path(sys.argv[2])), LocalEngine(jobs=1), report=False)
"""

UNTIL_THE_NTH_RENAME = """
import os, signal, sys
from pathlib import Path
from wheatstone.bench import registry
from wheatstone.bench.engine import InlineEngine, execute_run
from wheatstone.bench.run import Run

path, toy, number, when = sys.argv[1:]
rename, left = os.replace, [int(number)]

def replace(source, target):
    left[0] -= 1
    if left[0] == 0 and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)

os.replace = replace
study = registry.load_file(Path(toy))
run = Run.create(Path(path), study, "smoke", study.presets["smoke"].config, (0,), ("still",), 1)
execute_run(run, study, InlineEngine(), report=False)
"""


def content(run: Run) -> dict[str, bytes]:
    """Every metrics and measures file of the run."""
    return {
        f"{record.arm}/{record.seed}/{name}": (record.path / name).read_bytes()
        for record in run.records()
        for name in ("metrics.jsonl", "measures.json")
    }


def leftovers(run: Run) -> list[Path]:
    return [path for path in run.path.rglob("*") if path.suffix in (".tmp", ".safetensors")]


def test_twenty_random_moments_give_twenty_equal_findings(new_run: NewRun, toy):
    settings = {"seeds": (0, 1), "arms": ("drifting",), "pause": 0.003}
    unbroken = new_run("unbroken", **settings)
    findings = execute_run(unbroken, toy, InlineEngine(), report=False).decided()
    moments = random.Random(20)
    interrupted = 0
    for number in range(MOMENTS):
        run = new_run(f"killed-{number}", **settings)
        process = subprocess.Popen([sys.executable, "-c", IN_WORKERS, str(run.path), str(TOY)])
        time.sleep(moments.uniform(0.1, LIFE))
        interrupted += process.poll() is None
        process.kill()
        process.wait()
        assert execute_run(run, toy, InlineEngine(), report=False).decided() == findings
        assert content(run) == content(unbroken)
        assert leftovers(run) == []
    assert interrupted > MOMENTS / 2, "the kills came too late to mean anything"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3, 4, 10, 11, 12, 13])
def test_a_kill_around_any_rename_is_harmless(new_run: NewRun, toy, tmp_path: Path, number: int, when: str):
    # 1 run.json  2 environment.json  3-10 checkpoints  11 cost.json  12 measures.json  13 findings.json
    command = [sys.executable, "-c", UNTIL_THE_NTH_RENAME, str(tmp_path / "run"), str(TOY), str(number), when]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    unbroken = new_run("unbroken", arms=("still",))
    findings = execute_run(unbroken, toy, InlineEngine(), report=False).decided()
    run = new_run(arms=("still",))
    assert execute_run(run, toy, InlineEngine(), report=False).decided() == findings
    assert content(run) == content(unbroken)
    assert leftovers(run) == []


def test_a_run_killed_again_and_again_still_ends(new_run: NewRun, toy, tmp_path: Path):
    for _ in range(20):
        command = [sys.executable, "-c", UNTIL_THE_NTH_RENAME, str(tmp_path / "run"), str(TOY), "3", "after"]
        if subprocess.run(command).returncode == 0:
            break
    else:
        pytest.fail("the run never ended")
    findings = execute_run(new_run("unbroken", arms=("still",)), toy, InlineEngine(), report=False).decided()
    stored = new_run(arms=("still",)).findings()
    assert stored is not None
    assert stored.decided() == findings

"""One trial on two processes: the losses of one process at the same batch, also after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from wheatstone.bench.parallel import is_parallel, place
from wheatstone.bench.run import Run

TINY = Path(__file__).parents[1] / "faults" / "tiny.py"
MODULE = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(out: Path, *more: str) -> list[str]:
    steps = ["--config.steps", "60", "--seeds", "1", "--out", str(out)]
    return ["wheatstone", "run", str(TINY), "--preset", "smoke", *steps, *more]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("alone") / "run"
    subprocess.run([sys.executable, "-m", *command(out)], env=ENVIRONMENT, check=True, capture_output=True)
    return Run.open(out)


def assert_equal_up_to_rounding(run: Run, reference: Run) -> None:
    for record in reference.records():
        lines, expected = run.trial(record.arm, record.seed).metrics(), record.metrics()
        assert [line["step"] for line in lines] == [line["step"] for line in expected]
        losses = [[line["train_loss"] for line in rows] for rows in (lines, expected)]
        np.testing.assert_allclose(*losses, rtol=1e-4)


def test_two_processes_have_the_losses_of_one(tmp_path: Path, alone: Run) -> None:
    out = tmp_path / "run"
    for _ in range(2):  # the second time nothing is left to do, and no process may wait for another
        subprocess.run([*MODULE, *command(out)], env=ENVIRONMENT, check=True, capture_output=True, timeout=120)
    assert_equal_up_to_rounding(Run.open(out), alone)


def test_two_killed_processes_go_on_from_the_checkpoint(tmp_path: Path, alone: Run) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen(
        [*MODULE, *command(out)], env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not list(out.glob("arms/*/*/checkpoint.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.005)
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    process.kill()
    process.wait()
    for child in children:  # torchrun's workers do not end with it
        os.kill(int(child), signal.SIGKILL)
    assert Run.open(out).findings() is None
    subprocess.run([*MODULE, *command(out)], env=ENVIRONMENT, check=True, capture_output=True, timeout=120)
    assert_equal_up_to_rounding(Run.open(out), alone)


def test_under_torchrun_another_engine_is_refused(tmp_path: Path) -> None:
    ended = subprocess.run(
        [*MODULE, *command(tmp_path / "run", "--engine", "replicas")],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode != 0
    assert "--engine replicas: torchrun decides where trials run" in ended.stderr
    assert not (tmp_path / "run").exists()


def test_without_torchrun_a_process_is_alone() -> None:
    assert not is_parallel()
    assert place() == (0, 1)
    assert place().leads

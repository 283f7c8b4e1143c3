"""Trials at once: the measures of trials alone, their share of the cost, and the engine that pays."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.bench.test_engine import Recorder

from wheatstone.bench.engine import InlineEngine, Task, TrialsFailedError, execute_run
from wheatstone.bench.errors import UserError
from wheatstone.bench.replicas import AutoEngine, ReplicaEngine
from wheatstone.bench.run import Run
from wheatstone.bench.study import Study, Together
from wheatstone.bench.trial import Trial

NewRun = Callable[..., Run]


def with_together(toy: Study[Any], gain: float = 2.0, calls: list[int] | None = None) -> Study[Any]:
    """The toy study, whose trials can be run in a row and counted."""

    def run(trials: Sequence[Trial[Any]]) -> list[Mapping[str, float]]:
        if calls is not None:
            calls.append(len(trials))
        return [toy.run(trial) for trial in trials]

    return dataclasses.replace(toy, together=Together(run, lambda *_: gain))


def test_replicas_have_the_findings_of_trials_alone(new_run: NewRun, toy: Study[Any]) -> None:
    reference = execute_run(new_run("reference", seeds=(0, 1)), toy, InlineEngine(), report=False)
    calls: list[int] = []
    watch = Recorder()
    run = new_run(seeds=(0, 1))
    findings = execute_run(run, with_together(toy, calls=calls), ReplicaEngine(), watch, report=False)
    assert findings.decided() == reference.decided()
    n_trial = 2 * len(run.arms)
    assert calls == [n_trial]
    assert len(watch.of("started")) == len(watch.of("finished")) == n_trial


def test_a_batch_holds_so_many_trials_at_most(new_run: NewRun, toy: Study[Any]) -> None:
    calls: list[int] = []
    run = new_run(seeds=(0, 1, 2))
    execute_run(run, with_together(toy, calls=calls), ReplicaEngine(at_once=4), report=False)
    assert calls[0] == 4
    assert sum(calls) == 3 * len(run.arms)


def test_trials_share_the_cost_of_their_company(new_run: NewRun, toy: Study[Any]) -> None:
    def slow(trials: Sequence[Trial[Any]]) -> list[Mapping[str, float]]:
        time.sleep(0.4)
        return [toy.run(trial) for trial in trials]

    run = new_run(seeds=(0, 1))
    started = time.perf_counter()
    execute_run(run, dataclasses.replace(toy, together=Together(slow, lambda *_: 1.0)), ReplicaEngine(), report=False)
    wall = time.perf_counter() - started
    assert 0.4 <= sum(record.cost()["seconds"] for record in run.records()) <= wall + 0.1


def test_a_trial_that_fails_in_company_is_tried_alone(new_run: NewRun, toy: Study[Any]) -> None:
    def run_together(trials: Sequence[Trial[Any]]) -> list[Mapping[str, float]]:
        if any(trial.seed == 1 for trial in trials):
            raise ArithmeticError("seed 1 is not for us")
        return [toy.run(trial) for trial in trials]

    study = dataclasses.replace(toy, together=Together(run_together, lambda *_: 1.0))
    run, watch = new_run(seeds=(0, 1)), Recorder()
    with pytest.raises(TrialsFailedError, match="ArithmeticError: seed 1 is not for us"):
        execute_run(run, study, ReplicaEngine(), watch, report=False)
    assert {task.seed for task, _ in watch.of("finished")} == {0}
    assert {task.seed for task, _ in watch.of("failed")} == {1}
    assert all(record.is_finished == (record.seed == 0) for record in run.records())


def test_a_study_without_replicas_says_so(new_run: NewRun, toy: Study[Any]) -> None:
    with pytest.raises(UserError, match="cannot be trained together"):
        execute_run(new_run(), toy, ReplicaEngine(), report=False)


@pytest.mark.parametrize(("gain", "engine"), [(3.0, "replicas"), (0.9, "local"), (1.1, "local")])
def test_auto_takes_what_was_measured_and_stays_with_it(
    new_run: NewRun, toy: Study[Any], gain: float, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    local: list[int] = []
    monkeypatch.setattr("wheatstone.bench.replicas.LocalEngine", lambda _: _Counting(local))
    run = new_run(seeds=(0, 1))
    execute_run(run, with_together(toy, gain, calls), AutoEngine(2), report=False)
    assert (bool(calls), bool(local)) == (engine == "replicas", engine == "local")
    note = json.loads((run.path / "engine.json").read_text())
    assert (note["engine"], note["gain"], note["workers"]) == (engine, gain, 2)

    for record in run.records():
        (record.path / "measures.json").unlink()
    before = len(calls), len(local)
    execute_run(run, with_together(toy, 10 - gain * 3, calls), AutoEngine(2), report=False)  # would choose otherwise
    after = len(calls), len(local)
    assert (after[0] > before[0], after[1] > before[1]) == (engine == "replicas", engine == "local")


class _Counting:
    """Performs trials here and counts them."""

    def __init__(self, performed: list[int]) -> None:
        self.performed = performed

    def execute(self, study: Study[Any], assignments: Any) -> None:
        self.performed.append(sum(len(one.tasks) for one in assignments))
        InlineEngine().execute(study, assignments)


def test_a_killed_batch_of_replicas_goes_on_from_its_checkpoints(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; from wheatstone.cli.main import main; sys.exit(main())"]
    command += ["run", "grokked-transformers", "--preset", "smoke", "--seeds", "2", "--arms", "phi_15,phi_3_6"]
    command += [
        "--engine",
        "replicas",
        "--config.steps",
        "60",
        "--config.d-model",
        "16",
        "--out",
        str(tmp_path / "run"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoints = tmp_path / "run" / "arms"
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and process.poll() is None:
        if len(list(checkpoints.glob("*/*/checkpoint.safetensors"))) == 4:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run = Run.open(tmp_path / "run")
    assert not any(record.is_finished for record in run.records())
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=200)
    for record in run.records():
        assert record.measures() is not None
        steps = [int(line["step"]) for line in record.metrics()]
        assert steps == sorted(set(steps))
        assert steps[-1] == 60
    assert run.trial("phi_15", 0).measures() != run.trial("phi_15", 1).measures()


def test_tasks_that_have_finished_are_left_alone(new_run: NewRun, toy: Study[Any]) -> None:
    calls: list[int] = []
    run = new_run(seeds=(0, 1))
    execute_run(run, toy, InlineEngine(), report=False)
    done = run.trial(run.arms[0], 1)
    (done.path / "measures.json").unlink()
    watch = Recorder()
    execute_run(run, with_together(toy, calls=calls), ReplicaEngine(), watch, report=False)
    assert calls == [1]
    assert [task for task, _ in watch.of("finished")] == [Task(run.arms[0], 1)]

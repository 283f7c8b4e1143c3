from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.bench.conftest import TOY

from wheatstone.bench import registry
from wheatstone.bench.engine import (
    Assignment,
    InlineEngine,
    LocalEngine,
    SilentWatcher,
    Task,
    TrialsFailedError,
    conclude,
    execute_run,
    share_cores,
    unfinished,
)
from wheatstone.bench.errors import UserError
from wheatstone.bench.files import hold
from wheatstone.bench.run import Run
from wheatstone.bench.study import Study

NewRun = Callable[..., Run]
SOURCE = TOY.read_text(encoding="utf-8")


class Recorder:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def started(self, task: Task) -> None:
        self.calls.append(("started", task))

    def progress(self, task: Task, done: int, total: int, note: str) -> None:
        self.calls.append(("progress", task, done, total, note))

    def finished(self, task: Task, measures: Mapping[str, float]) -> None:
        self.calls.append(("finished", task, dict(measures)))

    def failed(self, task: Task, message: str) -> None:
        self.calls.append(("failed", task, message))

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == kind]


@pytest.fixture
def variant(tmp_path: Path) -> Callable[..., Study[Any]]:
    """The toy study with lines of code at the start of its `run`, and of its module."""

    def build(code: str, module_code: str = "") -> Study[Any]:
        file = tmp_path / "variant.py"
        body = textwrap.indent(textwrap.dedent(code), "    ")
        source = SOURCE.replace("import time\n", f"import time\n{module_code}\n", 1)
        file.write_text(source.replace("    config = trial.config\n", f"    config = trial.config\n{body}\n", 1))
        return registry.load_file(file)

    return build


@pytest.mark.parametrize("engine", [InlineEngine(), LocalEngine(), LocalEngine(jobs=1)], ids=["inline", "local", "one"])
def test_findings_do_not_depend_on_the_engine(new_run: NewRun, toy, engine):
    reference = execute_run(new_run("reference", seeds=(0, 1)), toy, InlineEngine(), report=False)
    watch = Recorder()
    run = new_run(seeds=(0, 1))
    assert execute_run(run, toy, engine, watch, report=False).decided() == reference.decided()
    tasks = {Task(arm, seed) for arm in run.arms for seed in run.seeds}
    assert {task for (task,) in watch.of("started")} == tasks
    assert {task: measures["position"] for task, measures in watch.of("finished")} == {
        Task(arm, seed): reference.measures[arm]["position"][seed] for arm, seed in tasks
    }
    assert all(any(call[:3] == (task, 40, 40) for call in watch.of("progress")) for task in tasks)


def test_runs_share_the_workers(new_run: NewRun, toy, variant):
    study = variant("import os; print(os.getpid(), os.environ['OMP_NUM_THREADS'], flush=True)")
    runs = [
        new_run(name, study=study, drift=drift, threads=threads)
        for name, drift, threads in (("a", 0.5, 1), ("b", 1.5, 1), ("c", 2.5, 2))
    ]
    watches = [Recorder() for _ in runs]
    assignments = [
        Assignment(run, unfinished(run, study), watch, run.path.name) for run, watch in zip(runs, watches, strict=True)
    ]
    LocalEngine(jobs=1).execute(study, assignments)
    logs = [(record.path / "worker.log").read_text().split() for run in runs for record in run.records()]
    assert len({pid for pid, threads in logs if threads == "1"}) == 1, "one worker for the trials of both runs"
    assert {threads for _, threads in logs[4:]} == {"2"}
    for number, (run, watch) in enumerate(zip(runs, watches, strict=True)):
        assert [task.arm for task, _ in watch.of("finished")] == ["drifting", "still"]
        reference = new_run(f"reference-{number}", drift=(0.5, 1.5, 2.5)[number])
        expected = execute_run(reference, toy, InlineEngine(), report=False)
        assert conclude(run, study, report=False).measures == expected.measures


def test_a_failure_names_the_run_where_there_are_several(new_run: NewRun, variant):
    study = variant("if trial.config.drift == 9.0: raise RuntimeError('too fast')")
    slow, fast = new_run("slow", study=study), new_run("fast", study=study, drift=9.0)
    watch = SilentWatcher()
    both = [Assignment(slow, unfinished(slow, study), watch, "drift=0.5")]
    both += [Assignment(fast, unfinished(fast, study), watch, "drift=9")]
    with pytest.raises(TrialsFailedError, match=r"^toy \(drift=9, drifting, seed 0\): RuntimeError: too fast\."):
        LocalEngine(jobs=1).execute(study, both)
    assert all(record.is_finished for record in slow.records())


def test_a_finished_run_starts_no_worker(new_run: NewRun, toy, monkeypatch: pytest.MonkeyPatch):
    run = new_run()
    findings = execute_run(run, toy, LocalEngine(), report=False)
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("a worker was started"))
    assert execute_run(run, toy, LocalEngine(), report=False) == findings


def test_the_study_must_be_the_runs_own(new_run: NewRun, toy):
    other = dataclasses.replace(toy, card=dataclasses.replace(toy.card, name="other"))
    with pytest.raises(UserError, match="holds a run of 'toy', not of 'other'"):
        execute_run(new_run(), other, InlineEngine(), report=False)


def test_a_config_that_the_study_refuses_stops_before_any_trial(new_run: NewRun, toy):
    run = new_run()
    place = run.path / "run.json"
    place.write_text(place.read_text().replace('"steps": 40', '"steps": 0'))
    with pytest.raises(
        UserError, match=r"toy \(drifting\) --steps: got 0, must be at least 1 \(steps of the walk; default"
    ):
        execute_run(Run.open(run.path), toy, InlineEngine(), report=False)


def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("wheatstone.bench.work.usable_cores", lambda: 8)
    assert share_cores(3) == (3, 2)
    assert share_cores(100) == (8, 1)
    assert share_cores(100, jobs=2) == (2, 4)
    assert share_cores(1) == (1, 8)
    assert share_cores(0) == (1, 8)


def test_a_worker_has_the_threads_of_the_run(new_run: NewRun, variant):
    study = variant(
        """
        import os
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "3"
        assert torch.get_num_threads() == 3
        """,
        "import torch",
    )
    execute_run(new_run(study=study, arms=("still",), threads=3), study, LocalEngine(), report=False)


def test_prints_and_child_processes_cannot_disturb_the_protocol(new_run: NewRun, variant):
    study = variant(
        """
        import os, subprocess, sys
        print('{"event": "finished", "measures": {}}')
        os.write(1, b"from C\\n")
        subprocess.run([sys.executable, "-c", "import sys; print('child read', repr(sys.stdin.read()))"], check=True)
        print("to stderr", file=sys.stderr)
        """
    )
    run = new_run(study=study, seeds=(0, 1), arms=("still",))
    findings = execute_run(run, study, LocalEngine(jobs=1), report=False)
    assert set(findings.measures["still"]) == {"position", "speed"}
    log = (run.trial("still", 1).path / "worker.log").read_text().splitlines()
    assert log == ['{"event": "finished", "measures": {}}', "from C", "child read ''", "to stderr"]
    assert not (run.path / "worker.log").exists()


def test_a_user_error_of_a_trial_is_its_message(new_run: NewRun, variant):
    study = variant(
        """
        from wheatstone.bench.errors import UserError
        if trial.seed == 1: raise UserError("facts.tsv:17: empty")
        """
    )
    watch = Recorder()
    run = new_run(study=study, seeds=(0, 1, 2), arms=("still",))
    with pytest.raises(UserError) as caught:
        execute_run(run, study, LocalEngine(jobs=1), watch, report=False)
    assert str(caught.value) == "toy (still, seed 1): facts.tsv:17: empty"
    assert watch.of("failed") == [(Task("still", 1), "facts.tsv:17: empty")]
    assert [record.is_finished for record in run.records()] == [True, False, True]  # the others went on


def test_a_fault_of_the_study_names_the_log_and_its_last_lines(new_run: NewRun, variant):
    study = variant("raise RuntimeError('shapes differ')")
    run = new_run(study=study, arms=("still",))
    with pytest.raises(UserError) as caught:
        execute_run(run, study, LocalEngine(), report=False)
    first, *lines = str(caught.value).splitlines()
    log = run.trial("still", 0).path / "worker.log"
    assert first == f"toy (still, seed 0): RuntimeError: shapes differ. Its last lines, from {log}:"
    assert lines[-1] == "    RuntimeError: shapes differ"
    assert "variant.py" in lines[-3]
    assert "Traceback" in log.read_text()


def test_inline_faults_come_through_as_they_are(new_run: NewRun, variant):
    study = variant("raise RuntimeError('shapes differ')")
    watch = Recorder()
    with pytest.raises(RuntimeError, match="shapes differ"):
        execute_run(new_run(study=study), study, InlineEngine(), watch, report=False)
    assert watch.of("failed") == [(Task("drifting", 0), "shapes differ")]


def test_a_worker_that_dies_is_replaced_once(new_run: NewRun, toy, variant, tmp_path: Path):
    study = variant(
        f"""
        import os, signal
        from pathlib import Path
        flag = Path({str(tmp_path / "died")!r})
        if trial.arm == "still" and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    watch = Recorder()
    findings = execute_run(new_run(study=study), study, LocalEngine(), watch, report=False)
    assert findings.decided() == execute_run(new_run("reference"), toy, InlineEngine(), report=False).decided()
    notes = [note for *_, note in watch.of("progress") if note]
    assert notes == ["the worker was killed by SIGKILL (out of memory?); trying again from the last checkpoint"]
    assert len(watch.of("started")) == 2


def test_a_worker_that_dies_twice_is_named(new_run: NewRun, variant):
    study = variant("import os; print('about to fail', flush=True); os.abort()")
    run = new_run(study=study, arms=("still",))
    with pytest.raises(UserError) as caught:
        execute_run(run, study, LocalEngine(), report=False)
    assert "toy (still, seed 0): the worker was killed by SIGABRT, 2 times. Its last lines, from " in str(caught.value)
    log = (run.trial("still", 0).path / "worker.log").read_text()
    assert log.count("about to fail") == 2
    assert "Fatal Python error: Aborted" in log


def test_a_worker_that_dies_without_a_word(new_run: NewRun, variant):
    study = variant("import os; os._exit(3)")
    run = new_run(study=study, arms=("still",))
    log = run.trial("still", 0).path / "worker.log"
    with pytest.raises(UserError, match=f"the worker ended with exit code 3, 2 times. It left nothing in {log}"):
        execute_run(run, study, LocalEngine(), report=False)


def test_a_worker_that_cannot_start_is_named(new_run: NewRun, toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho no python here >&2\nexit 1\n")
    python.chmod(0o755)
    run = new_run(arms=("still",))
    monkeypatch.setattr("sys.executable", str(python))
    with pytest.raises(UserError) as caught:
        execute_run(run, toy, LocalEngine(), report=False)
    assert "the worker ended with exit code 1, 2 times. Its last lines, from " in str(caught.value)
    assert str(caught.value).endswith(f"{run.path / 'worker.log'}:\n    no python here\n    no python here")


def test_a_study_that_leaves_by_exit_is_a_fault(new_run: NewRun, variant):
    study = variant("raise SystemExit(3)")
    with pytest.raises(UserError, match="SystemExit: 3"):
        execute_run(new_run(study=study, arms=("still",)), study, LocalEngine(), report=False)


def test_more_than_five_faults_are_counted(new_run: NewRun, variant):
    study = variant("from wheatstone.bench.errors import UserError; raise UserError('no')")
    with pytest.raises(UserError) as caught:
        execute_run(new_run(study=study, seeds=(0, 1, 2, 3)), study, LocalEngine(), report=False)
    assert str(caught.value).splitlines()[5:] == ["... and 3 more trials"]


def test_a_full_disk_is_one_clear_message_and_the_run_goes_on(new_run: NewRun, toy, variant, tmp_path: Path):
    study = variant(
        f"""
        from pathlib import Path
        if Path({str(tmp_path / "full")!r}).exists() and trial.load_checkpoint():
            raise OSError(28, "No space left on device")
        if Path({str(tmp_path / "full")!r}).exists():
            Path({str(tmp_path / "full")!r}).rename({str(tmp_path / "freed")!r})
            trial.log(1, position=0.0)
            raise OSError(28, "No space left on device", str(trial.path / "artifacts" / "weights.safetensors"))
        """
    )
    (tmp_path / "full").touch()
    run = new_run(study=study, arms=("still",))
    with pytest.raises(
        UserError, match=r"weights\.safetensors: the disk is full\. Free some space and run the same command"
    ):
        execute_run(run, study, LocalEngine(), report=False)
    findings = execute_run(run, study, LocalEngine(), report=False)
    reference = new_run("reference", arms=("still",))
    assert findings.decided() == execute_run(reference, toy, InlineEngine(), report=False).decided()


SLOW_RUN = """
import sys
from pathlib import Path
from wheatstone.bench import registry
from wheatstone.bench.engine import LocalEngine, execute_run
from wheatstone.bench.run import Run
if __name__ == "__main__":
    study = registry.load_file(Path(sys.argv[2]))
    execute_run(Run.open(Path(sys.argv[1])), study, LocalEngine(jobs=1), report=False)
"""


def start_slow_run(run: Run) -> subprocess.Popen[bytes]:
    """A process that executes `run`; returns once its first trial has logged something."""
    process = subprocess.Popen([sys.executable, "-c", SLOW_RUN, str(run.path), str(TOY)], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while not run.trial("still", 0).metrics():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    return process


def workers_of(run: Run) -> list[int]:
    """Processes whose command line names the run directory."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if str(run.path).encode() in command and b"wheatstone.bench.worker" in command:
            found.append(int(entry.name))
    return found


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda how: how.name)
def test_no_worker_outlives_its_parent(new_run: NewRun, how):
    run = new_run(arms=("still",), pause=0.05, steps=200)
    process = start_slow_run(run)
    assert len(workers_of(run)) == 1
    os.kill(process.pid, how)
    process.communicate(timeout=10)
    assert process.returncode == -how
    deadline = time.monotonic() + 2
    while workers_of(run):
        assert time.monotonic() < deadline, "the worker is still there"
        time.sleep(0.01)


def test_an_orphan_and_its_successor_never_share_a_trial(new_run: NewRun, toy, monkeypatch: pytest.MonkeyPatch):
    run = new_run(arms=("still",))
    trial = run.trial("still", 0).path
    trial.mkdir(parents=True)
    monkeypatch.setattr("wheatstone.bench.work.ORPHAN_PATIENCE", 0.1)
    with (
        hold(trial / "trial.lock", str),
        pytest.raises(UserError, match=f"seed-0: process {os.getpid()} is at this trial"),
    ):
        execute_run(run, toy, InlineEngine(), report=False)
    assert [path.name for path in trial.iterdir()] == ["trial.lock"]
    execute_run(run, toy, InlineEngine(), report=False)


def test_a_silent_watcher_is_a_watcher():
    watch = SilentWatcher()
    watch.started(Task("a", 0))
    watch.progress(Task("a", 0), 1, 2, "")
    watch.finished(Task("a", 0), {})
    watch.failed(Task("a", 0), "no")

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wheatstone.bench.engine import InlineEngine, Task, execute_run, perform
from wheatstone.bench.errors import UserError
from wheatstone.bench.run import Run
from wheatstone.bench.trial import Trial, derived_seed

NewRun = Callable[..., Run]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def start(run: Run, toy, arm: str = "drifting", seed: int = 0) -> Trial:
    record = run.trial(arm, seed)
    return Trial(run, record, record.config(toy), lambda *_: None)


# The directory


def test_a_run_opens_as_it_was_created(new_run: NewRun):
    run = new_run(seeds=(3, 1), drift=0.75, arms=("still",))
    assert Run.open(run.path) == run
    assert run.overrides == {"drift": 0.75}
    assert run.trial("still", 3).values["drift"] == 0.0
    assert run.environment()["versions"]["numpy"] == np.__version__


def test_creating_it_again_goes_on_with_it(new_run: NewRun):
    run = new_run(threads=2)
    before = tree(run.path)
    again = new_run(threads=7)
    assert again == run
    assert again.threads == 2
    assert tree(run.path) == before


@pytest.mark.parametrize(
    ("other", "line"),
    [
        ({"seeds": (0, 1)}, "  seeds: (0,) there, (0, 1) here"),
        ({"arms": ("still",)}, "  arms: ('drifting', 'still') there, ('still',) here"),
        ({"drift": 1.5}, "  config drift: 0.5 there, 1.5 here"),
    ],
)
def test_another_run_in_the_directory_is_refused_and_kept(new_run: NewRun, other, line):
    run = new_run()
    before = tree(run.path)
    with pytest.raises(UserError, match="holds another run and stays as it is") as caught:
        new_run(**other)
    assert line in str(caught.value).splitlines()
    assert tree(run.path) == before


def test_another_input_is_refused(new_run: NewRun, tmp_path: Path):
    facts = tmp_path / "my facts.v2.tsv.gz"
    facts.write_bytes(b"one")
    run = new_run(inputs={"facts": facts})
    assert run.input("facts").read_bytes() == b"one"
    assert run.input("facts").name == "facts.tsv.gz"
    facts.write_bytes(b"two")
    with pytest.raises(UserError, match=r"input facts: my facts\.v2\.tsv\.gz \(7692c3ad3540\) there"):
        new_run(inputs={"facts": facts})
    assert run.input("facts").read_bytes() == b"one"


def test_a_lost_input_comes_back_with_the_same_command(new_run: NewRun, tmp_path: Path):
    facts = tmp_path / "facts.tsv"
    facts.write_bytes(b"one")
    run = new_run(inputs={"facts": facts})
    run.input("facts").unlink()
    with pytest.raises(UserError, match="missing"):
        run.input("facts")
    assert new_run(inputs={"facts": facts}).input("facts").read_bytes() == b"one"
    with pytest.raises(UserError, match=r"no input 'fact'\. Did you mean 'facts'"):
        run.input("fact")


def test_an_unreadable_input_leaves_no_directory(new_run: NewRun, tmp_path: Path):
    with pytest.raises(UserError, match=r"nowhere\.tsv: cannot be read"):
        new_run(inputs={"facts": tmp_path / "nowhere.tsv"})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"notes.txt": "mine"}, "not a run directory .* not empty"),
        ({"run.json": "{"}, "damaged, not a JSON file"),
        ({"run.json": "[]"}, "not the record of a wheatstone run"),
        ({"run.json": '{"name": "x"}'}, "not the record of a wheatstone run"),
        ({"run.json": '{"format": 1}'}, r"run\.json: damaged"),
        ({"run.json": '{"format": 2, "seeds": []}'}, "format 2, written by a newer wheatstone; this one reads up to 1"),
    ],
)
def test_a_foreign_or_damaged_directory_is_not_touched(new_run: NewRun, tmp_path: Path, content, message):
    folder = tmp_path / "run"
    folder.mkdir()
    for name, text in content.items():
        (folder / name).write_text(text)
    before = tree(folder)
    for attempt in (new_run, lambda: Run.open(folder)):
        with pytest.raises(UserError, match=message if "run.json" in content else "not a run directory"):
            attempt()
    assert tree(folder) == before


def test_missing_directories_and_files_are_named(tmp_path: Path, new_run: NewRun):
    with pytest.raises(UserError, match="nowhere: no such run directory"):
        Run.open(tmp_path / "nowhere")
    (tmp_path / "run").write_text("a file")
    with pytest.raises(UserError, match="not a run directory"):
        Run.open(tmp_path / "run")
    with pytest.raises(UserError, match="is a file, not a directory"):
        new_run()


def test_a_kill_while_creating_leaves_nothing_in_the_way(new_run: NewRun, tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".run.json.123.tmp").write_text("{")
    assert new_run().seeds == (0,)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arms": ("drfting",)}, "toy: no arm 'drfting'. Did you mean 'drifting'?"),
        ({"seeds": ()}, r"toy --seeds: got \[\], must be different numbers"),
        ({"seeds": (1, 1)}, r"toy --seeds: got \[1, 1\]"),
        ({"seeds": (-1,)}, "none below 0"),
    ],
)
def test_what_the_study_does_not_have_is_refused(new_run: NewRun, tmp_path: Path, settings, message):
    with pytest.raises(UserError, match=message):
        new_run(**settings)
    assert not (tmp_path / "run").exists()


def test_unknown_preset_arm_and_seed(new_run: NewRun, toy, tmp_path: Path):
    with pytest.raises(UserError, match=r"toy: no preset 'smok'\. Did you mean 'smoke'"):
        Run.create(tmp_path / "x", toy, "smok", toy.presets["smoke"].config, (0,), ("still",), 1)
    run = new_run()
    with pytest.raises(UserError, match=r"no arm 'stil' in this run\. Did you mean 'still'"):
        run.trial("stil", 0)
    with pytest.raises(UserError, match="no seed 5 in this run; it has 0"):
        run.trial("still", 5)


def test_a_second_process_is_refused_by_pid(new_run: NewRun):
    run = new_run()
    script = f"""
from pathlib import Path
from wheatstone.bench.run import Run
with Run.open(Path({str(run.path)!r})).lock():
    pass
"""
    command = [sys.executable, "-c", script]
    with run.lock():
        refused = subprocess.run(command, capture_output=True, text=True)
    assert f"process {os.getpid()} is already working on this run" in refused.stderr
    assert subprocess.run(command, capture_output=True).returncode == 0


def test_other_versions_on_the_way_are_noted(new_run: NewRun, monkeypatch: pytest.MonkeyPatch):
    run = new_run()
    assert "resumed_with" not in run.environment()
    monkeypatch.setattr("wheatstone.bench.environment.wheatstone_version", lambda: "99")
    for _ in range(2):
        new_run()
    assert [item["versions"]["wheatstone"] for item in run.environment()["resumed_with"]] == ["99"]


# The trial: randomness


def test_streams_do_not_move_each_other(new_run: NewRun, toy):
    run = new_run(seeds=(0, 1))
    trial = start(run, toy)
    first = trial.rng("data").random(4)
    trial.rng("init").random(100)
    np.testing.assert_array_equal(trial.rng("data").random(4), first)
    np.testing.assert_array_equal(start(run, toy, arm="still").rng("data").random(4), first)
    assert not np.array_equal(start(run, toy, seed=1).rng("data").random(4), first)
    assert 0 <= trial.seed_for("init") < 2**63
    assert trial.seed_for("init") != trial.seed_for("data")


def test_streams_never_change_between_releases():
    # sha256("0/data"), from any other tool: printf '0/data' | sha256sum
    assert derived_seed(0, "data").hex().startswith("1473caea611930a1")


@given(st.integers(0, 2**40), st.text(), st.integers(0, 2**40), st.text())
def test_streams_are_distinct(seed, stream, other_seed, other):
    if (seed, stream) != (other_seed, other):
        assert derived_seed(seed, stream) != derived_seed(other_seed, other)


# The trial: what it writes


def test_metrics_are_readable_while_running(new_run: NewRun, toy):
    run = new_run()
    trial, record = start(run, toy), run.trial("drifting", 0)
    assert record.metrics() == []
    trial.log(1, loss=0.5)
    trial.log(2, loss=math.nan, accuracy=np.float32(0.25))
    assert run.curves("accuracy", "drifting") == {0: [(2, 0.25)]}
    assert run.curves("nothing", "drifting") == {}
    with (trial.path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 3, "los')
    loss = run.curves("loss", "drifting")[0]
    assert loss[0] == (1, 0.5)
    assert loss[1][0] == 2
    assert math.isnan(loss[1][1])
    assert b"null" in (trial.path / "metrics.jsonl").read_bytes()
    trial.close()


def test_a_full_disk_while_logging_is_named(new_run: NewRun, toy):
    trial = start(new_run(), toy)
    (trial.path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"metrics\.jsonl: the disk is full"):
        trial.log(1, loss=0.5)
    trial.close()


@pytest.mark.parametrize("line", ["nonsense", "[1]", '{"step": "x"}', ""])
def test_a_damaged_metric_line_is_named(new_run: NewRun, toy, line: str):
    run = new_run()
    trial = start(run, toy)
    trial.log(1, loss=0.5)
    trial.close()
    with (trial.path / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl:2: damaged"):
        run.trial("drifting", 0).metrics()


def test_loading_a_checkpoint_takes_the_metrics_back(new_run: NewRun, toy):
    run = new_run()
    trial = start(run, toy)
    assert trial.load_checkpoint() is None
    trial.log(1, loss=1.0)
    trial.save_checkpoint({"w": np.ones(2)}, {"step": 1, "loss": 0.1})
    trial.log(2, loss=2.0)
    trial.close()

    trial = start(run, toy)
    checkpoint = trial.load_checkpoint()
    assert checkpoint is not None
    assert (checkpoint.state, checkpoint.tensors["w"].tolist()) == ({"step": 1, "loss": 0.1}, [1, 1])
    trial.log(2, loss=3.0)
    trial.save_checkpoint({"w": np.ones(2)}, {"step": 2})
    trial.close()
    assert run.curves("loss", "drifting") == {0: [(1, 1.0), (2, 3.0)]}

    trial = start(run, toy)
    trial.load_checkpoint()
    trial.close()
    assert run.curves("loss", "drifting") == {0: [(1, 1.0), (2, 3.0)]}


def test_a_trial_that_loads_nothing_starts_over(new_run: NewRun, toy):
    run = new_run()
    trial = start(run, toy)
    trial.log(1, loss=1.0)
    trial.save_checkpoint({}, {"step": 1})
    trial.close()
    trial = start(run, toy)
    trial.log(1, loss=5.0)
    trial.close()
    assert run.curves("loss", "drifting") == {0: [(1, 5.0)]}
    assert start(run, toy).load_checkpoint() is None


def test_lost_metrics_and_foreign_checkpoints_are_refused(new_run: NewRun, toy):
    run = new_run()
    trial = start(run, toy)
    trial.log(1, loss=1.0)
    trial.save_checkpoint({}, {"step": 1})
    trial.close()
    checkpoint = (trial.path / "checkpoint.safetensors").read_bytes()
    (trial.path / "metrics.jsonl").write_text("")
    with pytest.raises(UserError, match=r"metrics\.jsonl: shorter than its checkpoint says \(25 bytes\)"):
        start(run, toy).load_checkpoint()
    other = start(run, toy, arm="still")
    (other.path / "checkpoint.safetensors").write_bytes(checkpoint)
    with pytest.raises(UserError, match="the checkpoint of toy, drifting, seed 0, not of toy, still, seed 0"):
        other.load_checkpoint()


def test_cost_adds_up_over_restarts(new_run: NewRun, toy, monkeypatch: pytest.MonkeyPatch):
    clock = iter([0.0, 10.0, 100.0, 105.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    run = new_run()
    first = start(run, toy)
    first.save_checkpoint({}, {})
    first.close()
    again = start(run, toy)
    again.load_checkpoint()
    assert again.cost().seconds == 15.0
    again.close()


def test_artifacts(new_run: NewRun, toy):
    run = new_run()
    trial, record = start(run, toy), run.trial("drifting", 0)
    with pytest.raises(UserError, match="no artifact 'circuit', the trial has not finished"):
        record.artifact("circuit")
    trial.write("circuit", {"edges": np.eye(2), "lens": [math.nan, 1.0], "share": np.float64(0.5)})
    trial.save_tensors("weights", {"w": np.arange(3)})
    trial.file("netlist.sp").write_text("* a netlist")
    assert record.artifact("circuit") == {"edges": [[1, 0], [0, 1]], "lens": [None, 1.0], "share": 0.5}
    assert record.tensors("weights")["w"].tolist() == [0, 1, 2]
    assert record.file("netlist.sp").read_text() == "* a netlist"
    assert [record.has(name) for name in ("circuit", "weights", "netlist.sp", "other")] == [True, True, True, False]
    with pytest.raises(UserError, match="no artifact 'other'"):
        record.tensors("other")
    with pytest.raises(ValueError, match="cannot name a file"):
        trial.write("../escape", 1)
    with pytest.raises(TypeError, match="has no JSON form"):
        trial.write("object", object())


def test_progress_is_rare_but_never_misses_the_end(new_run: NewRun, toy):
    record = new_run().trial("drifting", 0)
    seen: list[int] = []
    trial = Trial(new_run(), record, record.config(toy), lambda done, *_: seen.append(done))
    for done in range(1001):
        trial.progress(done, 1000)
    assert seen[0] == 0
    assert seen[-1] == 1000
    assert len(seen) < 20


# Finishing


def test_a_finished_trial_is_not_repeated_and_has_no_checkpoint(new_run: NewRun, toy, monkeypatch: pytest.MonkeyPatch):
    run = new_run(arms=("still",))
    execute_run(run, toy, InlineEngine(), report=False)
    record = run.trial("still", 0)
    assert not (record.path / "checkpoint.safetensors").exists()
    assert record.cost()["device"] == "cpu"
    monkeypatch.setattr(type(toy), "run", property(lambda _: pytest.fail("the trial was repeated")), raising=False)
    assert perform(run, toy, Task("still", 0), lambda *_: None) == record.measures()


def test_stale_temporary_files_are_swept(new_run: NewRun, toy):
    run = new_run()
    stale = [run.path / ".findings.json.1.tmp", run.trial("still", 0).path / "artifacts" / ".weights.safetensors.1.tmp"]
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    execute_run(run, toy, InlineEngine(), report=False)
    assert not any(path.exists() for path in stale)


def test_an_undefined_measure_is_null_on_disk_and_nan_in_memory(new_run: NewRun, toy):
    trial = start(new_run(), toy)
    trial.finish({"position": math.nan, "speed": 1}, "cpu")
    assert json.loads((trial.path / "measures.json").read_text()) == {"position": None, "speed": 1.0}
    measures = new_run().trial("drifting", 0).measures()
    assert measures is not None
    assert math.isnan(measures["position"])

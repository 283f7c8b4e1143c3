"""The parts of the Ray engine that can be seen without a cluster: what a node is asked, what a task says."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.bench.conftest import TOY
from tests.bench.test_engine import Recorder

from wheatstone.bench import ray_cluster, ray_engine, registry
from wheatstone.bench.engine import Task
from wheatstone.bench.environment import versions
from wheatstone.bench.errors import UserError
from wheatstone.bench.files import hold
from wheatstone.bench.ray_cluster import Cluster, check_nodes, fault_here, source_digest, wait_for
from wheatstone.bench.ray_engine import RayEngine, relay, wait_for_predecessor
from wheatstone.bench.run import Run
from wheatstone.bench.study import Study
from wheatstone.bench.work import Assignment
from wheatstone.cli.main import main

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="needs Ray: pip install 'wheatstone[scale]'"
)
NewRun = Callable[..., Run]
SOURCE = TOY.read_text(encoding="utf-8")


@needs_ray
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"address": "ray://head:10001"}, "--address: got ray://head:10001, must be auto or host:port"),
        ({"address": "head"}, "--address: got head, must be auto or host:port"),
        ({"gpus": 0}, "--gpus: got 0, must be above 0 and at most 1"),
        ({"gpus": 2}, "--gpus: got 2, must be above 0 and at most 1"),
    ],
)
def test_options_that_mean_nothing(arguments: dict[str, Any], message: str):
    with pytest.raises(UserError) as caught:
        RayEngine(**arguments)
    assert str(caught.value).startswith(message)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(UserError) as caught:
        RayEngine()
    assert str(caught.value) == (
        "ray is needed to spread trials over a cluster. Install it: pip install 'wheatstone[scale]'"
    )


@pytest.fixture
def shared(tmp_path: Path) -> dict[str, Any]:
    """What a node is asked, in a folder that it shares."""
    (tmp_path / "token").write_text("abc")
    (tmp_path / "study.py").write_text(SOURCE)
    return {
        "place": tmp_path / "token",
        "answer": tmp_path / "answer",
        "lock": tmp_path / "lock",
        "token": "abc",
        "study": str(tmp_path / "study.py"),
        "digest": ray_cluster.sha256(tmp_path / "study.py"),
        "wanted": versions(),
        "source": source_digest(),
    }


def test_a_node_that_will_do(shared: dict[str, Any]):
    with hold(shared["lock"], str):
        assert fault_here(**shared) == ""
        assert shared["answer"].exists()
        assert fault_here(**{**shared, "study": "wheatstone.studies.neural", "digest": ""}) == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"token": "other"}, "cannot be seen there. The run directory must be on a file system that all nodes share"),
        ({"place": Path("/nowhere/token")}, "/nowhere cannot be seen there"),
        ({"answer": Path("/nowhere/answer")}, "cannot be written there (No such file or directory)"),
        ({"wanted": {"torch": "0.0"}}, f"has torch {versions().get('torch')} (here 0.0). Findings must not depend"),
        ({"source": "0"}, "has another source of the same wheatstone"),
        ({"digest": "0"}, "study.py is another file there"),
        ({"study": "/nowhere/study.py"}, "/nowhere/study.py cannot be read there (No such file or directory)"),
        ({"study": "no_such_plugin.study", "digest": ""}, "no_such_plugin, which holds the study, is not installed"),
    ],
)
def test_a_node_that_will_not_do(
    shared: dict[str, Any], change: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ray_cluster, "TOKEN_PATIENCE", 0.1)
    with hold(shared["lock"], str):
        assert message in fault_here(**{**shared, **change})


def test_locks_that_do_not_reach_a_node(shared: dict[str, Any]):
    assert "two workers could write to one trial. Mount the file system with locks" in fault_here(**shared)


class Silent:
    """As much of the Ray module as is asked before a trial begins: nodes of two cores, and a task that is not run."""

    def __init__(self, count: int = 1, gpus: float = 0.0, relay: Any = None) -> None:
        self.count = count
        self.resources = {"CPU": 2.0, "GPU": gpus}
        self.relay = relay

    def remote(self, **_options: Any) -> Callable[..., Any]:
        return lambda _function: self.relay

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {
                "NodeID": f"{number:040d}",
                "NodeManagerHostname": f"node{number}",
                "Alive": True,
                "Resources": self.resources,
            }
            for number in range(self.count)
        ]


def test_at_most_five_nodes_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def answers(_cluster: Cluster, nodes: Mapping[str, str], *_: Any) -> dict[str, str]:
        return dict.fromkeys(nodes, "is at lunch")

    monkeypatch.setattr(ray_cluster, "_ask", answers)
    with pytest.raises(UserError) as caught:
        check_nodes(Cluster(Silent(7)), tmp_path, registry.Origin("wheatstone"), 1)
    assert str(caught.value).splitlines()[0] == "node node0 (00000000): is at lunch."
    assert str(caught.value).splitlines()[5:] == ["... and 2 more nodes"]
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_cannot_be_seen_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ray_cluster, "_ask", lambda _cluster, nodes, *_: dict.fromkeys(nodes, ""))
    with pytest.raises(UserError, match=r"what it writes to .* cannot be seen from here"):
        check_nodes(Cluster(Silent()), tmp_path, registry.Origin("wheatstone"), 1)


def test_the_task_relays_what_its_worker_says(new_run: NewRun, toy: Study[Any]):
    run = new_run(arms=("still",), pause=0.03)
    events = list(relay(str(run.path), "still", 0, 1, *registry.origin(toy)))
    assert [event["event"] for event in events[:1] + events[-2:]] == ["began", "progress", "finished"]
    reports = [event["done"] for event in events if event["event"] == "progress"]
    assert reports[-1] == 40
    assert len(reports) < 6, "five a second leave the worker, one a second goes over the network"
    again = list(relay(str(run.path), "still", 0, 1, *registry.origin(toy)))
    assert again[-1] == events[-1], "a result that was lost on the way is told again, not computed again"


def test_the_task_on_a_node_that_joined_late(tmp_path: Path):
    events = list(relay(str(tmp_path / "run"), "still", 0, 1, "wheatstone", "STUDY"))
    assert events[-1]["message"].startswith(f"{tmp_path / 'run'}: cannot be seen from the node ")


def test_a_successor_waits_for_the_worker_that_was_given_up(new_run: NewRun):
    run = new_run(arms=("still",))
    trial = run.trial("still", 0).path
    wait_for_predecessor(trial)
    trial.mkdir(parents=True)
    with hold(trial / "trial.lock", str):
        begun = time.monotonic()
        with pytest.raises(UserError, match=f"process {os.getpid()} is still at this trial"):
            wait_for_predecessor(trial, patience=0.2)
        assert time.monotonic() - begun > 0.2
    wait_for_predecessor(trial, patience=0.2)


def test_waiting_for_a_file(tmp_path: Path):
    assert not wait_for(tmp_path / "a" / "b", 0.1)
    (tmp_path / "c").touch()
    assert wait_for(tmp_path / "c", 0.0)


def test_a_task_that_is_lost_before_it_has_begun_is_tried_again(new_run: NewRun, toy: Study[Any]):
    run, watch = new_run(arms=("still",)), Recorder()
    job = ray_engine.Job(Assignment(run, [Task("still", 0)], watch), Task("still", 0))
    dispatch = ray_engine._Dispatch(Cluster(Silent()), registry.origin(toy), [], None, 1.0)
    for attempt in (1, 2):
        dispatch._attempts[job.key] = attempt
        dispatch._flights["stream"] = ray_engine._Flight(job)
        dispatch._hear("stream", {"event": "died", "how": "was lost"})
    assert [call[0] for call in watch.calls] == ["started", "progress", "failed"]
    assert list(dispatch._waiting) == [job]
    assert watch.of("failed")[0][1].startswith("the worker was lost, 2 times. It left nothing in ")


def test_a_measure_that_never_arrives(new_run: NewRun, toy: Study[Any], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ray_engine, "VISIBLE_SECONDS", 0.1)
    run, watch = new_run(arms=("still",)), Recorder()
    flight = ray_engine._Flight(ray_engine.Job(Assignment(run, [Task("still", 0)], watch), Task("still", 0)), "far")

    dispatch = ray_engine._Dispatch(Cluster(Silent()), registry.origin(toy), [], None, 1.0)
    dispatch._flights["stream"] = flight
    dispatch._hear("stream", {"event": "finished", "measures": {"position": 1.0}})
    assert watch.of("failed") == [
        (Task("still", 0), "finished on far, but its measures.json cannot be seen from here.")
    ]


def test_a_trial_reserves_what_it_needs(new_run: NewRun, toy: Study[Any]):
    asked: list[tuple[Any, ...]] = []

    class Relay:
        """A Ray function that notes what it is asked."""

        def options(self, **resources: Any) -> Relay:
            asked.append((resources["num_cpus"], resources["num_gpus"]))
            return self

        def remote(self, *arguments: Any) -> str:
            assert all(isinstance(one, str | int) for one in arguments), "text and numbers alone go over the wire"
            return f"stream {len(asked)}"

    run = new_run(arms=("still",), seeds=(0,), threads=3)
    fast = dataclasses.replace(run, arm_changes={"still": {"accelerator": True}})
    for gpus in (0.0, 2.0):
        stub = Cluster(Silent(gpus=gpus, relay=Relay()))
        tasks = [Assignment(one, [Task("still", 0)], Recorder()) for one in (run, fast)]
        dispatch = ray_engine._Dispatch(stub, registry.origin(toy), tasks, None, 0.5)
        for job in list(dispatch._waiting):
            dispatch._submit(job)
    assert asked == [(3, 0), (3, 0), (3, 0), (3, 0.5)]


def test_the_command_line_without_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None if name == "ray" else find(name, *rest))
    for command in (["run"], ["sweep", "--grid", "spread=1,2"]):
        assert main([command[0], str(TOY), "--preset", "smoke", "--engine", "ray", *command[1:]]) == 2
        out, err = capsys.readouterr()
        assert (out, err) == (
            "",
            "ray is needed to spread trials over a cluster. Install it: pip install 'wheatstone[scale]'\n",
        )
    assert list(tmp_path.iterdir()) == []

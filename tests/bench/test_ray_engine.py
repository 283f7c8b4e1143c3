"""Trials on a real Ray cluster of two nodes: the findings of the local engine, whatever is killed in the middle."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.bench.conftest import TOY
from tests.bench.test_engine import Recorder

from wheatstone.bench import ray_cluster, ray_engine, registry
from wheatstone.bench.engine import InlineEngine, LocalEngine, Task, execute_run
from wheatstone.bench.environment import versions
from wheatstone.bench.errors import UserError
from wheatstone.bench.files import hold
from wheatstone.bench.ray_cluster import Cluster, check_nodes, fault_here, source_digest, wait_for
from wheatstone.bench.ray_engine import RayEngine, relay, wait_for_predecessor
from wheatstone.bench.run import Run
from wheatstone.bench.study import Study
from wheatstone.bench.sweep.directory import Sweep
from wheatstone.bench.sweep.execute import execute_sweep
from wheatstone.bench.sweep.grid import parse_grid
from wheatstone.bench.work import Assignment
from wheatstone.cli.main import main

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="needs Ray: pip install 'wheatstone[scale]'"
)
NewRun = Callable[..., Run]
SOURCE = TOY.read_text(encoding="utf-8")
CLOSED = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(16),
}
QUICK_DEATH = {"health_check_initial_delay_ms": 500, "health_check_period_ms": 300, "health_check_failure_threshold": 3}


class TwoNodes(NamedTuple):
    """A cluster of two nodes with one core each."""

    address: str
    cluster: Any
    """ray.cluster_utils.Cluster."""


def commands() -> dict[int, str]:
    """Process -> its command line."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        try:
            found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (OSError, ValueError):
            continue
    return found


def gone(text: str, seconds: float = 30.0) -> bool:
    """Whether no process has the text in its command line, within so many seconds."""
    deadline = time.monotonic() + seconds
    while any(text in command for pid, command in commands().items() if pid != os.getpid()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[TwoNodes]:
    folder = tempfile.mkdtemp(prefix="wheatstone-test-ray-", dir="/tmp")
    settings = {**CLOSED, "RAY_TMPDIR": folder}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    from ray.cluster_utils import Cluster as Nodes

    size = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_log_monitor": False}
    nodes = Nodes(
        initialize_head=True,
        head_node_args={**size, "include_dashboard": False, "_system_config": QUICK_DEATH},
    )
    nodes.add_node(**size)
    yield TwoNodes(nodes.address, nodes)
    nodes.shutdown()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
    assert gone(folder), "Ray processes are left"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def variant(tmp_path: Path) -> Callable[..., Study[Any]]:
    """The toy study with lines of code at one of its steps."""

    def build(code: str, step: int = 12) -> Study[Any]:
        file = tmp_path / "variant.py"
        body = textwrap.indent(textwrap.dedent(code), "            ")
        hook = f"        trial.log(step, position=float(position[0]))\n        if step == {step}:\n{body}\n"
        file.write_text(SOURCE.replace("        trial.log(step, position=float(position[0]))\n", hook, 1))
        return registry.load_file(file)

    return build


def assert_whole(run: Run) -> None:
    """Each metric line exactly once, and nothing left behind."""
    for record in run.records():
        assert [int(line["step"]) for line in record.metrics()] == list(range(1, 41)), record.path
    left = [path for path in run.path.rglob("*") if path.suffix in (".tmp", ".safetensors")]
    assert left == []


def once(tmp_path: Path, code: str, arm: str = "still") -> str:
    """Code that runs the first time only, in one arm."""
    return f"""
        import os, signal
        from pathlib import Path
        flag = Path({str(tmp_path / "done")!r})
        if trial.arm == {arm!r} and not flag.exists():
            flag.touch()
            {code}
        """


@needs_ray
def test_findings_are_those_of_the_local_engine_bit_for_bit(two_nodes: TwoNodes, new_run: NewRun, toy: Study[Any]):
    seeds, watch = (0, 1, 2), Recorder()
    reference = execute_run(new_run("reference", seeds=seeds), toy, LocalEngine(jobs=1), report=False)
    run = new_run(seeds=seeds)
    found = execute_run(run, toy, RayEngine(two_nodes.address), watch, report=False)
    assert found.decided() == reference.decided()
    for record in run.records():
        other = new_run("reference", seeds=seeds).trial(record.arm, record.seed)
        for name in ("metrics.jsonl", "measures.json"):
            assert (record.path / name).read_bytes() == (other.path / name).read_bytes()
    tasks = {Task(arm, seed) for arm in run.arms for seed in seeds}
    assert {task for (task,) in watch.of("started")} == tasks
    assert len(watch.of("started")) == len(watch.of("finished")) == 6
    assert all(any(call[:3] == (task, 40, 40) for call in watch.of("progress")) for task in tasks)
    assert not (run.path / "worker.log").exists()
    assert_whole(run)


@needs_ray
def test_both_nodes_work_with_the_threads_of_the_run(two_nodes: TwoNodes, new_run: NewRun, variant):
    study = variant("import os; print(os.environ['RAY_RAYLET_PID'], os.environ['OMP_NUM_THREADS'], flush=True)")
    run = new_run(study=study, seeds=(0, 1, 2), pause=0.03)
    execute_run(run, study, RayEngine(two_nodes.address), report=False)
    said = [(record.path / "worker.log").read_text().split() for record in run.records()]
    assert len({raylet for raylet, _ in said}) == 2
    assert {threads for _, threads in said} == {"1"}


@needs_ray
@pytest.mark.parametrize(
    ("victim", "note"),
    [
        ("os.getpid()", "the worker was killed by SIGKILL (out of memory?); trying again from the last checkpoint"),
        ("os.getppid()", "the worker was lost with its Ray worker on "),
    ],
    ids=["worker", "ray-worker"],
)
def test_a_worker_killed_in_the_middle(
    two_nodes: TwoNodes, new_run: NewRun, toy: Study[Any], variant, tmp_path: Path, victim: str, note: str
):
    study = variant(once(tmp_path, f"os.kill({victim}, signal.SIGKILL); time.sleep(60)"))
    watch = Recorder()
    run = new_run(study=study)
    found = execute_run(run, study, RayEngine(two_nodes.address), watch, report=False)
    assert found.decided() == execute_run(new_run("reference"), toy, InlineEngine(), report=False).decided()
    notes = [text for *_, text in watch.of("progress") if text]
    assert len(notes) == 1
    assert notes[0].startswith(note)
    assert len(watch.of("started")) == 2
    assert_whole(run)


@needs_ray
def test_a_node_that_dies_while_something_on_it_is_still_at_the_trial(
    two_nodes: TwoNodes, new_run: NewRun, toy: Study[Any], variant, tmp_path: Path
):
    third = two_nodes.cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    raylet = third.all_processes["raylet"][0].process.pid
    begun, release = tmp_path / "begun", tmp_path / "release"
    study = variant(
        f"""
        import os, signal
        from pathlib import Path
        begun, release = Path({str(begun)!r}), Path({str(release)!r})
        if os.environ["RAY_RAYLET_PID"] == {str(raylet)!r} and not begun.exists():
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            if os.fork() == 0:  # a process of the study, cut off from the cluster, with the trial's lock
                deadline = time.monotonic() + 90
                while not release.exists() and time.monotonic() < deadline:
                    time.sleep(0.05)
                os._exit(0)
            begun.write_text(f"{{trial.arm}} {{trial.seed}}")
            time.sleep(90)
        """
    )
    seeds = (0, 1, 2, 3)
    run = new_run(study=study, seeds=seeds, pause=0.05)
    before_release: list[int] = []

    def let_go() -> None:
        arm, seed = begun.read_text().split()
        before_release.append(len(run.trial(arm, int(seed)).metrics()))
        release.touch()

    class Executioner(Recorder):
        """Kills the node when a trial is in its middle there; the lock goes long after the successor was asked for."""

        def progress(self, task: Task, done: int, total: int, note: str) -> None:
            super().progress(task, done, total, note)
            if begun.exists() and third in two_nodes.cluster.worker_nodes:
                two_nodes.cluster.remove_node(third, allow_graceful=False)
            if note:
                threading.Timer(4.0, let_go).start()

    watch = Executioner()
    found = execute_run(run, study, RayEngine(two_nodes.address), watch, report=False)
    assert third not in two_nodes.cluster.worker_nodes, "no trial was ever on the third node"
    assert before_release == [12], "the successor waited for the lock"
    reference = execute_run(new_run("reference", seeds=seeds, pause=0.05), toy, LocalEngine(), report=False)
    assert found.decided() == reference.decided()
    (note,) = [note for *_, note in watch.of("progress") if note]
    assert "lost with its Ray worker" in note
    assert_whole(run)


@needs_ray
def test_a_worker_that_dies_twice_and_one_that_fails(two_nodes: TwoNodes, new_run: NewRun, variant):
    study = variant(
        "import os\nif trial.seed == 1: os.abort()\nif trial.seed == 2: raise RuntimeError('shapes differ')"
    )
    run = new_run(study=study, seeds=(0, 1, 2), arms=("still",))
    with pytest.raises(UserError) as caught:
        execute_run(run, study, RayEngine(two_nodes.address), report=False)
    text = str(caught.value)
    assert "toy (still, seed 1): the worker was killed by SIGABRT, 2 times. Its last lines, from " in text
    assert "toy (still, seed 2): RuntimeError: shapes differ. Its last lines, from " in text
    assert [record.is_finished for record in run.records()] == [True, False, False]


@needs_ray
def test_points_of_a_sweep_share_the_cluster(two_nodes: TwoNodes, toy: Study[Any], tmp_path: Path):
    config = toy.presets["smoke"].config
    grid = parse_grid(toy, config, ("spread=0.1,1,2",))

    def make(name: str) -> Sweep:
        return Sweep.create(tmp_path / name, toy, "smoke", config, (0,), ("drifting", "still"), 1, grid)

    found = execute_sweep(make("ray"), toy, RayEngine(two_nodes.address), report=False)
    assert found.decided() == execute_sweep(make("inline"), toy, InlineEngine(), report=False).decided()


NODE = """
import sys, time
from ray._private.node import Node
from ray._private.parameter import RayParams
ports = dict(node_manager_port=0, min_worker_port=0, max_worker_port=0)
size = dict(num_cpus=1, object_store_memory=80_000_000, include_log_monitor=False)
Node(RayParams(gcs_address=sys.argv[1], **ports, **size), head=False, shutdown_at_exit=True, spawn_reaper=True)
time.sleep(600)
"""


@needs_ray
def test_the_command_line(
    two_nodes: TwoNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    words = [str(TOY), "--preset", "smoke", "--engine", "ray", "--address", two_nodes.address]
    assert main(["run", *words, "--out", "run"]) == 0
    assert "Report: run/report.html" in capsys.readouterr().out
    assert main(["sweep", *words, "--grid", "spread=0.1,1", "--out", "sweep"]) == 0
    assert "Report: sweep/report.html" in capsys.readouterr().out
    assert Run.open(tmp_path / "run").threads == Sweep.open(tmp_path / "sweep").threads == 1


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


@needs_ray
def test_a_node_that_does_not_see_the_run_is_named(
    two_nodes: TwoNodes, new_run: NewRun, toy: Study[Any], tmp_path: Path
):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    elsewhere = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(hidden)]
    if not shutil.which("unshare") or subprocess.run([*elsewhere, "true"], capture_output=True).returncode:
        pytest.skip("needs the right to give a process a file system of its own")
    node = subprocess.Popen([*elsewhere, sys.executable, "-c", NODE, two_nodes.address], stderr=subprocess.DEVNULL)
    try:
        deadline, nodes = time.monotonic() + 90, {}
        with ray_cluster.cluster(two_nodes.address, 1, tmp_path / "log") as connected:
            while len(nodes := connected.nodes) < 3:
                assert time.monotonic() < deadline, nodes
                time.sleep(0.2)
        run = new_run("hidden/run")
        with pytest.raises(UserError) as caught:
            execute_run(run, toy, RayEngine(two_nodes.address), report=False)
        assert str(caught.value).startswith(f"node {os.uname().nodename} (")
        assert str(caught.value).endswith(
            f": {run.path} cannot be seen there. The run directory must be on a file system that all nodes share."
        )
        assert "\n" not in str(caught.value), "the other two nodes see it"
        assert not (run.path / "arms").exists(), "nothing half-done"
        assert not list(run.path.glob(".wheatstone*"))
    finally:
        node.terminate()
        node.wait(60)
    assert execute_run(run, toy, RayEngine(two_nodes.address), report=False).measures, "the others do it alone"


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


@needs_ray
def test_more_threads_than_any_node_has(two_nodes: TwoNodes, new_run: NewRun, toy: Study[Any]):
    run = new_run(threads=3)
    with pytest.raises(UserError, match="takes 3 threads, and no node has more than 1 cores"):
        execute_run(run, toy, RayEngine(two_nodes.address), report=False)
    assert not (run.path / "arms").exists()


DRIVER = """
import sys
from pathlib import Path
from wheatstone.bench import registry
from wheatstone.bench.engine import execute_run
from wheatstone.bench.ray_engine import RayEngine
from wheatstone.bench.run import Run
study = registry.load_file(Path(sys.argv[2]))
execute_run(Run.open(Path(sys.argv[1])), study, RayEngine(sys.argv[3]), report=False)
"""


@needs_ray
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=lambda how: how.name)
@pytest.mark.parametrize("where", ["own", "shared"])
def test_nothing_outlives_the_process_that_asked(
    two_nodes: TwoNodes, new_run: NewRun, toy: Study[Any], how: signal.Signals, where: str
):
    run = new_run(pause=0.05, seeds=(0,))
    address = "local" if where == "own" else two_nodes.address
    others, folders = set(commands()), set(Path("/tmp").glob("wheatstone-ray-*"))
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(run.path), str(TOY), address], stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not run.trial("still", 0).metrics() and not run.trial("drifting", 0).metrics():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(how)
    process.communicate(timeout=60)
    assert gone(str(run.path)), "a worker is left"
    if where == "own":
        deadline = time.monotonic() + 30
        while left := [c for pid, c in commands().items() if pid not in others and "wheatstone-ray-" in c]:
            assert time.monotonic() < deadline, left
            time.sleep(0.1)
        for folder in set(Path("/tmp").glob("wheatstone-ray-*")) - folders:
            shutil.rmtree(folder, ignore_errors=True)  # a killed process cannot do it
    found = execute_run(run, toy, LocalEngine(jobs=1), report=False)
    reference = execute_run(new_run("reference", pause=0.05), toy, InlineEngine(), report=False)
    assert found.decided() == reference.decided()
    assert_whole(run)


@needs_ray
def test_an_address_where_nobody_answers(new_run: NewRun, toy: Study[Any]):
    with pytest.raises(UserError, match=r"^--address 127\.0\.0\.1:9: no Ray cluster answers there"):
        execute_run(new_run(), toy, RayEngine("127.0.0.1:9"), report=False)


# What needs no cluster


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

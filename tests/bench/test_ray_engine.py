"""Trials on a real Ray cluster of two nodes: the findings of the local engine, whatever is killed in the middle."""

from __future__ import annotations

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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.bench.conftest import TOY
from tests.bench.test_engine import Recorder

from wheatstone.bench import ray_cluster, registry
from wheatstone.bench.engine import InlineEngine, LocalEngine, Task, execute_run
from wheatstone.bench.errors import UserError
from wheatstone.bench.ray_engine import RayEngine
from wheatstone.bench.run import Run
from wheatstone.bench.study import Study
from wheatstone.bench.sweep.directory import Sweep
from wheatstone.bench.sweep.execute import execute_sweep
from wheatstone.bench.sweep.grid import parse_grid
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

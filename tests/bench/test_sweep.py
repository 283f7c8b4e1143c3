"""Sweeps: the grid and its refusals, the directory, one pool for all points, and a sweep that is killed and goes on."""

from __future__ import annotations

import dataclasses
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Gt
from hypothesis import given
from hypothesis import strategies as st
from tests.bench.conftest import TOY

from wheatstone.bench.engine import InlineEngine, LocalEngine, TrialsFailedError, execute_run
from wheatstone.bench.errors import UserError
from wheatstone.bench.files import hold, read_json
from wheatstone.bench.record import slug
from wheatstone.bench.registry import load_file
from wheatstone.bench.run import Run
from wheatstone.bench.study import Study
from wheatstone.bench.sweep.directory import Sweep, is_sweep, sweep_path
from wheatstone.bench.sweep.execute import execute_sweep
from wheatstone.bench.sweep.findings import collect_sweep, finished_trials
from wheatstone.bench.sweep.grid import Grid, Point, check_arms, parse_grid
from wheatstone.bench.work import Task

BOTH = ("drifting", "still")


def base(toy: Study[Any], **changes: Any) -> Any:
    return dataclasses.replace(toy.presets["smoke"].config, **changes)


def make(toy: Study[Any], path: Path, *words: str, seeds: tuple[int, ...] = (0, 1, 2), **changes: Any) -> Sweep:
    config = base(toy, **changes)
    return Sweep.create(path, toy, "smoke", config, seeds, BOTH, 1, parse_grid(toy, config, words))


# The grid


def test_values_are_read_by_type_and_numbers_put_in_order(toy: Study[Any]) -> None:
    grid = parse_grid(toy, base(toy), ("drift=15, 3.6,9,-1", "steps=20,5"))
    assert grid.fields == {"drift": (-1.0, 3.6, 9.0, 15.0), "steps": (5, 20)}
    assert [type(value) for value in grid.fields["steps"]] == [int, int]
    assert [point.label for point in grid.points()[:3]] == [
        "drift=-1, steps=5",
        "drift=-1, steps=20",
        "drift=3.6, steps=5",
    ]
    assert len(grid.points()) == 8


@dataclasses.dataclass(frozen=True)
class Wide:
    """A config with a field of every type."""

    rate: Annotated[float | None, Gt(0)] = None
    """Peak rate."""
    flag: bool = False
    """Whether."""
    name: str = "plain"
    """What it is called."""
    kind: Literal["slow", "fast"] = "fast"
    """How."""
    heads: int = 2
    """Heads."""
    width: int = 8
    """Width."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError("width must be a multiple of heads")


@pytest.fixture
def wide(toy: Study[Any]) -> Study[Any]:
    return dataclasses.replace(toy, config=Wide)


def test_every_type_of_field(wide: Study[Any]) -> None:
    grid = parse_grid(wide, Wide(), ("rate=none,3,0.5", "flag=true,no", "name=none,a b,a/b", "kind=slow,fast"))
    assert grid.fields == {
        "rate": (0.5, 3.0, None),
        "flag": (True, False),
        "name": ("none", "a b", "a/b"),
        "kind": ("slow", "fast"),
    }
    slugs = [point.slug for point in grid.points()]
    assert len(set(slugs)) == len(slugs) == 36
    assert [slug(one) for one in slugs] == slugs, "each names a directory"


def test_a_point_is_checked_as_a_whole(wide: Study[Any]) -> None:
    assert len(parse_grid(wide, Wide(), ("heads=3,9", "width=18,27")).points()) == 4  # 3 fits no 8: only points count
    with pytest.raises(UserError) as caught:
        parse_grid(wide, Wide(), ("heads=2,3", "width=6,8"))
    assert str(caught.value) == "toy --grid (heads=3, width=8): width must be a multiple of heads"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "toy --grid: missing. A grid is a setting and its values, as --grid phi=3.6,9,15."),
        (("drift",), "toy --grid: got 'drift'. A grid is a setting and its values, as --grid phi=3.6,9,15."),
        (("stpes=1,2",), "toy --grid stpes: there is no such setting. Did you mean 'steps'?"),
        (("steps=1,0",), "toy --grid steps: got 0, must be at least 1 (steps of the walk; default 40)."),
        (("steps=1,many",), "toy --grid steps: got many, must be a whole number (steps of the walk; default 40)."),
        (("drift=1,none",), "toy --grid drift: got none, must be a number (mean of a step, in the unit of length"),
        (("drift=1,2,1",), "toy --grid drift: 1 is there twice. Name each value once."),
        (("drift=1,1.0",), "toy --grid drift: 1 is there twice. Name each value once."),
        (("drift=1,",), "toy --grid drift: got '1,', a value is empty."),
        (("drift=1", "drift=2"), "toy --grid drift: given twice. Write all its values into one list."),
        (("steps=" + ",".join(map(str, range(1, 502))),), "toy --grid: 501 points, must be at most 500."),
    ],
)
def test_a_wrong_grid_is_one_message(toy: Study[Any], words: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_grid(toy, base(toy), words)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_the_first_five_faults_are_said_at_once(toy: Study[Any]) -> None:
    with pytest.raises(UserError) as caught:
        parse_grid(toy, base(toy), ("steps=0,-1,-2,-3", "spread=0,-1,-2"))
    lines = str(caught.value).splitlines()
    assert len(lines) == 6
    assert lines[-1] == "... and 2 more of this kind"


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=6, unique=True))
def test_floats_survive_word_and_directory(numbers: list[float]) -> None:
    toy = load_file(TOY)
    numbers = [number + 0.0 for number in numbers]  # -0.0 is 0.0
    numbers = list(dict.fromkeys(numbers))
    grid = parse_grid(toy, base(toy), ("drift=" + ",".join(map(repr, numbers)),))
    assert grid.fields["drift"] == tuple(sorted(numbers))
    slugs = {point.slug for point in grid.points()}
    assert len(slugs) == len(numbers)
    assert all(slug(one) == one for one in slugs)


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_has_a_directory_of_its_own(one: str, other: str) -> None:
    slugs = [Point({"name": text}).slug for text in (one, other)]
    assert all(slug(name) == name and len(name) < 120 for name in slugs)
    assert (slugs[0] == slugs[1]) == (one == other)


def test_an_arm_that_sets_the_field_itself(toy: Study[Any]) -> None:
    grid = Grid({"drift": (1.0, 2.0)})
    assert check_arms(toy, base(toy), ("drifting",), grid, chosen=False) == []
    with pytest.raises(
        UserError, match=r"^toy --grid drift: set by arm still, .* --arms drifting, or .*drifting,still$"
    ):
        check_arms(toy, base(toy), BOTH, grid, chosen=False)
    (warning,) = check_arms(toy, base(toy), BOTH, grid, chosen=True)
    assert warning.endswith("the same at each of its values, a fixed reference.")
    with pytest.raises(UserError, match=r"there is no other arm\. Arms that take the setting as it is: drifting"):
        check_arms(toy, base(toy), ("still",), grid, chosen=True)


def test_a_point_that_an_arm_refuses(wide: Study[Any]) -> None:
    arm = dataclasses.replace(wide.arms[1], changes={"heads": 3})
    study = dataclasses.replace(wide, arms=(wide.arms[0], arm))
    with pytest.raises(UserError) as caught:
        check_arms(study, Wide(), BOTH, Grid({"width": (6, 8)}), chosen=True)
    assert str(caught.value) == "toy (width=8, still): width must be a multiple of heads"


# The directory


def test_a_sweep_is_opened_as_it_was_made(toy: Study[Any], tmp_path: Path) -> None:
    sweep = make(toy, tmp_path / "sweep", "spread=0.1,2")
    assert Sweep.open(sweep.path) == sweep == make(toy, tmp_path / "sweep", "spread=2,0.1")
    assert is_sweep(sweep.path)


def test_a_sweep_keeps_its_threads(toy: Study[Any], tmp_path: Path) -> None:
    sweep = make(toy, tmp_path / "sweep", "spread=0.1,2")
    again = Sweep.create(sweep.path, toy, "smoke", base(toy), (0, 1, 2), BOTH, 7, sweep.grid)
    assert again.threads == 1


def test_another_sweep_is_refused_with_the_differences(toy: Study[Any], tmp_path: Path) -> None:
    make(toy, tmp_path / "sweep", "spread=0.1,2")
    with pytest.raises(UserError) as caught:
        make(toy, tmp_path / "sweep", "spread=0.1,3", steps=7, seeds=(0, 1))
    assert str(caught.value).splitlines()[1:-1] == [
        "  seeds: (0, 1, 2) there, (0, 1) here",
        "  grid spread: (0.1, 2.0) there, (0.1, 3.0) here",
        "  config steps: 40 there, 7 here",
    ]


def test_what_is_no_sweep_is_left_alone(toy: Study[Any], new_run: Any, tmp_path: Path) -> None:
    run = new_run()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    (tmp_path / "file").touch()
    for name, message in (
        ("run", "holds a run, not a sweep"),
        ("mine", "not a sweep directory"),
        ("file", "is a file"),
    ):
        with pytest.raises(UserError, match=message):
            make(toy, tmp_path / name, "spread=0.1,2")
    assert not is_sweep(run.path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "damaged, not a JSON file"),
        ("[]", "not the record of a wheatstone sweep"),
        ('{"format": 99}', "format 99, written by a newer wheatstone"),
        ('{"format": 1, "seeds": [0]}', "damaged"),
        ('{"format": 1, "seeds": [0], "fields": 3}', "damaged"),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(UserError, match=message):
        Sweep.open(tmp_path)


def test_the_place_depends_on_what_is_swept(toy: Study[Any]) -> None:
    def place(*words: str, **changes: Any) -> Path:
        config = base(toy, **changes)
        return sweep_path(toy, "smoke", config, (0,), BOTH, parse_grid(toy, config, words))

    assert place("spread=1,2", "steps=3,4") == place("steps=4,3", "spread=2,1")
    assert len({place("spread=1,2"), place("spread=1,3"), place("spread=1,2", steps=9)}) == 3


# Performing it


def test_every_point_is_an_ordinary_run(toy: Study[Any], tmp_path: Path) -> None:
    sweep = make(toy, tmp_path / "sweep", "spread=0.1,2", "steps=5,10")
    found = execute_sweep(sweep, toy, LocalEngine(jobs=2))
    assert found.is_complete
    assert found.to_json() == read_json(sweep.path / "sweep_findings.json")
    for one in found.points:
        config = base(toy, **one.point.values)
        alone = Run.create(tmp_path / f"alone-{one.point.slug}", toy, "smoke", config, sweep.seeds, BOTH, 1)
        assert execute_run(alone, toy, InlineEngine(), report=False).decided() == one.findings.decided()
        run = Run.open(sweep.path / "points" / one.point.slug)
        assert run.findings() == one.findings
        assert (run.path / "report.html").exists()
    assert (sweep.path / "report.html").exists()


class Order:
    """Notes the order in which trials begin, and what lies on the disk when one ends."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.started_trials: list[Task] = []
        self.concluded: list[int] = []

    def started(self, task: Task) -> None:
        self.started_trials.append(task)
        self.concluded.append(len(list(self.sweep.path.glob("points/*/findings.json"))))

    def progress(self, task: Task, done: int, total: int, note: str) -> None: ...

    def finished(self, task: Task, measures: Any) -> None: ...

    def failed(self, task: Task, message: str) -> None: ...


def test_points_finish_one_after_the_other_and_no_worker_waits(toy: Study[Any], tmp_path: Path) -> None:
    sweep = make(toy, tmp_path / "sweep", "spread=0.1,1,2", seeds=(0,))
    order = Order(sweep)
    execute_sweep(sweep, toy, InlineEngine(), order, report=False)
    assert [str(task) for task in order.started_trials] == [
        f"spread={spread}, {arm}, seed 0" for spread in ("0.1", "1", "2") for arm in BOTH
    ]
    assert order.concluded == [0, 0, 1, 1, 2, 2]


def test_a_finished_sweep_does_nothing_again(toy: Study[Any], tmp_path: Path) -> None:
    sweep = make(toy, tmp_path / "sweep", "spread=0.1,2", seeds=(0,))
    found = execute_sweep(sweep, toy, InlineEngine())
    pages = {path: path.stat().st_mtime_ns for path in sweep.path.glob("points/*/report.html")}
    assert len(pages) == 2
    assert execute_sweep(sweep, toy, InlineEngine()) == found
    assert {path: path.stat().st_mtime_ns for path in pages} == pages


def test_a_report_that_is_older_than_its_trials_is_written_again(toy: Study[Any], tmp_path: Path) -> None:
    sweep = make(toy, tmp_path / "sweep", "spread=0.1,2", seeds=(0,))
    found = execute_sweep(sweep, toy, InlineEngine())
    place = sweep.path / "points" / "spread=2" / "findings.json"
    stale = read_json(place)
    stale["measures"] = {}
    place.write_text(json.dumps(stale))  # as a kill leaves it between the last trial and its findings
    place.with_name("report.html").touch()
    assert execute_sweep(sweep, toy, InlineEngine()) == found
    assert read_json(place) == found.points[1].findings.to_json()


def test_a_failing_point_leaves_the_others_and_a_report(tmp_path: Path) -> None:
    file = tmp_path / "variant.py"
    fault = "    config = trial.config\n    if config.spread == 2.0: raise RuntimeError('too wide')\n"
    file.write_text(TOY.read_text().replace("    config = trial.config\n", fault, 1))
    study = load_file(file)
    sweep = make(study, tmp_path / "sweep", "spread=0.1,2", seeds=(0,))
    with pytest.raises(TrialsFailedError, match=r"^toy \(spread=2, drifting, seed 0\): RuntimeError: too wide"):
        execute_sweep(sweep, study, LocalEngine(jobs=1))
    stored = read_json(sweep.path / "sweep_findings.json")
    assert [(point["run"], point["finished"]) for point in stored["points"]] == [("spread=0.1", 2), ("spread=2", 0)]
    assert "2 of 4 trials are done" in (sweep.path / "report.html").read_text()


def test_two_processes_cannot_work_on_one_sweep(toy: Study[Any], tmp_path: Path) -> None:
    sweep = make(toy, tmp_path / "sweep", "spread=0.1,2", seeds=(0,))
    with hold(sweep.path / "sweep.lock", str), pytest.raises(UserError, match="is already working on this sweep"):
        execute_sweep(sweep, toy, InlineEngine())
    point = sweep.run(sweep.grid.points()[1], toy)
    with point.lock(), pytest.raises(UserError, match=r"spread=2: process .* is already working on this run"):
        execute_sweep(sweep, toy, InlineEngine())
    assert finished_trials(sweep) == 0, "nothing was begun"


def test_the_study_must_be_the_sweeps_own(toy: Study[Any], tmp_path: Path) -> None:
    sweep = make(toy, tmp_path / "sweep", "spread=0.1,2")
    other = dataclasses.replace(toy, card=dataclasses.replace(toy.card, name="other"))
    with pytest.raises(UserError, match="holds a sweep of 'toy', not of 'other'"):
        execute_sweep(sweep, other, InlineEngine())


IN_WORKERS = """
import sys
from pathlib import Path
from wheatstone.bench import registry
from wheatstone.bench.engine import LocalEngine
from wheatstone.bench.sweep.directory import Sweep
from wheatstone.bench.sweep.execute import execute_sweep
execute_sweep(Sweep.open(Path(sys.argv[1])), registry.load_file(Path(sys.argv[2])), LocalEngine(jobs=2))
"""


def test_killed_in_the_middle_it_ends_with_equal_findings(toy: Study[Any], tmp_path: Path) -> None:
    grid = ("spread=0.1,1,2", "steps=30,40")
    whole = execute_sweep(make(toy, tmp_path / "whole", *grid, pause=0.002), toy, LocalEngine(jobs=2), report=False)
    sweep = make(toy, tmp_path / "killed", *grid, pause=0.002)
    moments, total, interrupted = random.Random(3), 36, 0
    for _ in range(6):
        before = finished_trials(sweep)
        process = subprocess.Popen([sys.executable, "-c", IN_WORKERS, str(sweep.path), str(TOY)])
        deadline = time.monotonic() + 60
        while finished_trials(sweep) < min(total, before + moments.randint(2, 7)) and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.05))
        interrupted += process.poll() is None
        process.kill()
        process.wait()
    assert interrupted >= 3, "the kills came too late to mean anything"
    found = execute_sweep(sweep, toy, LocalEngine(jobs=2))
    assert found.decided() == whole.decided()
    assert collect_sweep(Sweep.open(sweep.path), toy).decided() == whole.decided()
    for one in found.points:
        for record in Run.open(sweep.run_path(one.point)).records():
            steps = [int(line["step"]) for line in record.metrics()]
            assert steps == list(range(1, int(one.point.values["steps"]) + 1)), "each metric line exactly once"
    assert not [path for path in sweep.path.rglob("*") if path.suffix in (".tmp", ".safetensors")]

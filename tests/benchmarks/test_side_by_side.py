"""The measuring itself: turns, medians, refusal of unequal sides, and the page that is made of records."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from benchmarks.side_by_side import Part, alternate, spread

from wheatstone.bench import registry
from wheatstone.bench.errors import UserError
from wheatstone.bench.files import write_json
from wheatstone.cli.benchmarks import Comparison, Curve, Point, Record, benchmarks_page, recorded_benchmarks
from wheatstone.cli.docs import generate

ROOT = Path(__file__).parent.parent.parent


def comparison(ours: float = 2.0, peer: float = 6.0, **more: object) -> Comparison:
    values = {"case": "one step", "unit": "ms", "peer_name": "peer", "threads": 1, **more}
    return Comparison(ours=spread([ours]), peer=spread([peer]), **values)  # type: ignore[arg-type]


def record(**more: object) -> Record:
    values: dict[str, object] = {
        "name": "throughput",
        "title": "Training step",
        "about": "About.",
        "command": "python -m benchmarks.throughput",
        "comparisons": (comparison(goal=2.0),),
        "equalities": (),
        "figures": {"share": "40 %"},
        "notes": ("A note.",),
        "curves": (Curve("Peer", "seconds", "accuracy", tuple(Point(i, i / 100) for i in range(100))),),
        "profiles": {"one step": " 50 %  aten::mm"},
        "environment": {"machine": {"cpu": "a CPU", "usable_cores": 2}, "versions": {"torch": "2"}, "created": "today"},
        "load": 0.1,
        "seconds": 60.0,
        **more,
    }
    return Record(**values)  # type: ignore[arg-type]


def test_sides_take_turns_and_warm_up_does_not_count() -> None:
    calls: list[str] = []
    values = {"ours": iter([100.0, 3.0, 1.0, 2.0]), "peer": iter([100.0, 30.0, 10.0, 20.0])}

    def side(name: str) -> float:
        calls.append(name)
        return next(values[name])

    found = alternate({name: lambda name=name: side(name) for name in values}, rounds=3)
    assert calls == ["ours", "peer"] * 4
    assert found["ours"].median == 2.0
    assert found["peer"] == dataclasses.replace(spread([30.0, 10.0, 20.0]))
    assert (found["peer"].low, found["peer"].high, found["peer"].rounds) == (15.0, 25.0, 3)


@pytest.mark.parametrize(
    ("one", "ratio", "met"),
    [
        (comparison(2.0, 6.0), 3.0, None),
        (comparison(2.0, 6.0, goal=3.0), 3.0, True),
        (comparison(2.0, 6.0, goal=3.1), 3.0, False),
        (comparison(6.0, 2.0, better="higher", goal=3.0), 3.0, True),
        (comparison(2.0, 6.0, better="higher", goal=1.0), 1 / 3, False),
        (comparison(0.6, 6.0, limit=0.5), 10.0, False),
        (comparison(0.4, 6.0, limit=0.5), 15.0, True),
        (comparison(0.4, 6.0, better="higher", limit=0.5), 0.4 / 6.0, False),
    ],
)
def test_ratio_and_goal(one: Comparison, ratio: float, met: bool | None) -> None:
    assert one.ratio == pytest.approx(ratio)
    assert one.met is met


def test_sides_that_differ_are_not_timed(capsys: pytest.CaptureFixture[str]) -> None:
    part = Part()
    part.equal("loss", 1e-5, 1e-4)
    with pytest.raises(SystemExit, match=re.escape("loss: differ by 0.001, more than 0.0001. Nothing was timed.")):
        part.equal("loss", 1e-3, 1e-4)
    assert "equal: loss: 1e-05" in capsys.readouterr().out


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    write_json(tmp_path / "throughput.json", record().to_json())
    assert recorded_benchmarks(tmp_path) == [record()]


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "throughput.json"
    write_json(path, {"name": "throughput"})
    with pytest.raises(UserError, match=r"throughput\.json: not the record of a benchmark"):
        recorded_benchmarks(tmp_path)


def test_the_page_says_what_was_measured() -> None:
    bound = comparison(2.0, 7.0, bound="at least", note="a note of its own")
    text = benchmarks_page([record(comparisons=(comparison(goal=2.0), bound, comparison(3.0, 4.0, goal=2.0)))])
    assert "| one step | ms | 2 | peer: 6 | 3 | 2 ×: met | 1 |" in text
    assert "| one step (a note of its own) | ms | 2 | peer: > 7 | > 3.5 | – | 1 |" in text.replace("&gt;", ">")
    assert "2 ×: missed" in text
    assert "aten::mm" in text
    assert text.count("\n| ") < 40, "a curve of 100 points is thinned"
    assert "a CPU (2 cores, load 0.10 before the start), torch 2; 1 min 00 s in all." in text


def test_the_committed_page_is_what_its_records_say() -> None:
    page = ROOT / "docs" / "BENCHMARKS.md"
    assert page.read_text(encoding="utf-8") == benchmarks_page(recorded_benchmarks(ROOT / "benchmarks" / "results"))


def test_a_stale_page_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entries", list)  # the studies' own pages are tested elsewhere
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    assert "Nothing has been recorded yet." in generate(tmp_path)[tmp_path / "docs" / "BENCHMARKS.md"]
    write_json(tmp_path / "benchmarks" / "results" / "throughput.json", record().to_json())
    assert "## Training step" in generate(tmp_path)[tmp_path / "docs" / "BENCHMARKS.md"]

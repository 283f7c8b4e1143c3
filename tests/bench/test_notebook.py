"""What Python users and notebooks get: the same runs as on the command line, and everything shown as in a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.bench.exhibit_cases import EVERY_KIND, HOSTILE
from tests.bench.report.test_html import Reader
from tests.notebooks import NOTEBOOKS, execute, run_cell

from wheatstone.bench.engine import InlineEngine
from wheatstone.bench.errors import UserError
from wheatstone.bench.exhibit import Exhibit, Note, Table
from wheatstone.bench.measure import measure
from wheatstone.bench.study import Study


def test_measure_is_the_run_command(toy: Study[Any], tmp_path: Path) -> None:
    found = measure(toy, "smoke", seeds=3, steps=20, out=tmp_path / "run", engine=InlineEngine())
    assert found.run.overrides == {"steps": 20}
    assert found.findings.verdicts[0].outcome == "holds"
    assert [one.name for one in found.exhibits] == ["walks"]
    assert (found.run.path / "report.html").is_file()
    again = measure(toy, "smoke", seeds=[0, 1, 2], steps=20, out=tmp_path / "run", engine=InlineEngine())
    assert again.findings.decided() == found.findings.decided()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"preset": "smok"}, "no preset 'smok'. Did you mean 'smoke'?"),
        ({"preset": "smoke", "arms": ["stil"]}, "no arm 'stil'. Did you mean 'still'?"),
        ({"preset": "smoke", "stesp": 3}, "there is no such setting. Did you mean 'steps'?"),
        ({"preset": "smoke", "steps": 0}, "toy --steps"),
        ({"preset": "smoke", "seeds": 0}, "--seeds"),
    ],
)
def test_what_cannot_be_measured_is_named(toy: Study[Any], tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as fault:
        measure(toy, **given, out=tmp_path / "run")
    assert message in str(fault.value)


def test_an_exhibit_that_is_not_there_is_named(toy: Study[Any], tmp_path: Path) -> None:
    found = measure(toy, "smoke", seeds=1, out=tmp_path / "run", engine=InlineEngine())
    assert found.exhibit("walks") == found.exhibits[0]
    with pytest.raises(UserError, match=r"no exhibit 'walk'\. Did you mean 'walks'"):
        found.exhibit("walk")


@pytest.mark.parametrize("exhibit", EVERY_KIND, ids=lambda one: one.name)
def test_every_exhibit_is_shown_and_no_name_is_markup(exhibit: Exhibit) -> None:
    html = exhibit._repr_html_()
    read = Reader(html)
    assert exhibit.title in read.text
    assert HOSTILE not in html
    assert {"script", "img", "iframe"}.isdisjoint(tag for tag, _ in read.tags)
    drawn = exhibit._repr_svg_()
    assert (drawn is None) == isinstance(exhibit, Note | Table)


def test_findings_are_shown_as_verdicts(toy: Study[Any], tmp_path: Path) -> None:
    found = measure(toy, "smoke", seeds=3, out=tmp_path / "run", engine=InlineEngine())
    html = found._repr_html_()
    assert html == found.findings._repr_html_()
    assert "✓ holds" in html
    assert 'class="paper"' in html
    assert "<script" not in html


def test_a_cell_shows_what_is_printed_and_its_last_value() -> None:
    namespace: dict[str, Any] = {}
    (printed, value) = run_cell("print('a')\nx = 1\nx + 1", namespace)
    assert printed["text"] == ["a\n"]
    assert value["data"]["text/plain"] == ["2"]
    assert run_cell("y = x", namespace) == []
    assert [one["data"]["text/plain"] for one in run_cell("display(1, 2)", namespace)] == [["1"], ["2"]]


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_it_showed(path: Path, tmp_path: Path) -> None:
    """Every cell runs; figures and tables come where the notebook has them, whatever their numbers are."""
    outputs = execute(path, tmp_path)
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    for cell, shown in zip(cells, outputs, strict=True):
        assert [kinds(one) for one in shown] == [kinds(one) for one in cell["outputs"]]


def kinds(output: dict[str, Any]) -> list[str]:
    return sorted(output.get("data", {"stream": ""}))

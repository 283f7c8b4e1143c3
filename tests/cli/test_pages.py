"""`wheatstone report`, `serve`, `check` and `data`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Command

from wheatstone.bench import serve

SMOKE = ("run", "my_study.py", "--preset", "smoke", "--engine", "inline", "--out", "run")
REPORT = ("report", "run", "--study", "my_study.py")


def test_a_report_is_written_again(wheatstone: Command, tmp_path: Path) -> None:
    wheatstone(*SMOKE)
    (tmp_path / "run" / "report.html").unlink()
    done = wheatstone(*REPORT)
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("Report: run/report.html\n")
    assert (tmp_path / "run" / "report.html").exists()


def test_a_report_as_json_writes_nothing(wheatstone: Command, tmp_path: Path) -> None:
    wheatstone(*SMOKE)
    (tmp_path / "run" / "report.html").unlink()
    findings = json.loads(wheatstone(*REPORT, "--json").out)
    stored = json.loads((tmp_path / "run" / "findings.json").read_text(encoding="utf-8"))
    assert findings == stored
    assert not (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("report", "nowhere"), "nowhere: no such run directory."),
        (("report", "."), "not a run directory, it has no run.json."),
        (("report", "run"), "run: a run of 'toy', which is not installed. Name its file: --study my_study.py"),
        (("serve", "--runs", "nowhere"), "nowhere: no such folder of runs."),
        (("check", "nothing"), "unknown study 'nothing'."),
        (("data", "get", "contries"), "Did you mean 'countries'?"),
        (("data",), "usage: wheatstone data get NAME"),
    ],
)
def test_a_wrong_request_is_one_message(wheatstone: Command, words: tuple[str, ...], message: str) -> None:
    if words == ("report", "run"):
        wheatstone(*SMOKE)
    done = wheatstone(*words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_serve_serves_the_folder_that_was_named(
    wheatstone: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[tuple[Path, int]] = []
    monkeypatch.setattr(serve, "run_server", lambda runs, port: called.append((runs, port)))
    (tmp_path / "runs").mkdir()
    assert wheatstone("serve").code == 0
    assert wheatstone("serve", "--runs", ".", "--port", "0").code == 0
    assert called == [(Path("runs"), 8765), (Path("."), 0)]


def test_data_names_and_packaged_graph(wheatstone: Command) -> None:
    assert "countries" in wheatstone("data", "list").out.splitlines()
    assert Path(wheatstone("data", "get", "countries").out.strip()).is_file()
    assert "countries" in wheatstone("data", "--help").out


def test_check_prints_a_line_a_check(wheatstone: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from wheatstone.bench import contract

    cheap = tuple(
        check for check in contract.CHECKS if check.__name__ in {"card_equals_its_literal", "config_round_trips"}
    )
    monkeypatch.setattr(contract, "CHECKS", cheap)
    done = wheatstone("check", "my_study.py")
    assert done.code == 0
    assert done.out.endswith("toy: 2 of 2 checks passed\n")


def test_check_fails_with_the_fault(wheatstone: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wheatstone.bench import contract

    study = tmp_path / "my_study.py"
    study.write_text(study.read_text(encoding="utf-8").replace("Falsified by", "Never"), encoding="utf-8")
    cheap = tuple(check for check in contract.CHECKS if check.__name__ == "docstring_states_the_case")
    monkeypatch.setattr(contract, "CHECKS", cheap)
    done = wheatstone("check", "my_study.py")
    assert done.code == 1
    assert "FAIL" in done.out
    assert "0 of 1 checks passed" in done.out

"""Generated pages: written from studies and recorded results, and red when they differ."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import TOY, Command

from wheatstone.bench import registry
from wheatstone.bench.registry import Entry, Origin, load_file, read_card
from wheatstone.cli.markdown import cell, study_page
from wheatstone.cli.results import last_findings

RUN = ("run", "my_study.py", "--preset", "cpu", "--engine", "inline", "--out", "run")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with docs/ and results/ whose only study is the toy."""
    card = read_card(TOY)
    assert card is not None
    monkeypatch.setattr(registry, "entries", lambda: [Entry(card, Origin(str(TOY)), TOY)])
    (tmp_path / "docs").mkdir()
    return tmp_path


def test_pages_are_written_once_and_then_agree(wheatstone: Command, checkout: Path) -> None:
    assert wheatstone("docs", "--root", ".", "--check").code == 1
    assert wheatstone("docs", "--root", ".").out == "docs/studies/toy.md\ndocs/RESULTS.md\n"
    assert wheatstone("docs", "--root", ".", "--check") == (0, "", "")
    assert wheatstone("docs", "--root", ".").out == ""
    assert "No result has been recorded yet for `toy`." in (checkout / "docs" / "RESULTS.md").read_text(
        encoding="utf-8"
    )


def test_a_page_that_was_changed_by_hand_is_named(wheatstone: Command, checkout: Path) -> None:
    wheatstone("docs", "--root", ".")
    page = checkout / "docs" / "studies" / "toy.md"
    page.write_text(page.read_text(encoding="utf-8").replace("294", "295"), encoding="utf-8")
    done = wheatstone("docs", "--root", ".", "--check")
    assert done.code == 1
    assert done.err == "docs/studies/toy.md: differs from what is generated. Run: wheatstone docs\n"
    assert "295" in page.read_text(encoding="utf-8"), "a check changes nothing"


def test_a_page_of_a_study_that_has_gone_is_removed(wheatstone: Command, checkout: Path) -> None:
    wheatstone("docs", "--root", ".")
    orphan = checkout / "docs" / "studies" / "gone.md"
    orphan.write_text("old", encoding="utf-8")
    assert "gone.md: belongs to no study" in wheatstone("docs", "--root", ".", "--check").err
    wheatstone("docs", "--root", ".")
    assert not orphan.exists()


def test_a_recorded_run_appears_on_both_pages(wheatstone: Command, checkout: Path) -> None:
    wheatstone(*RUN)
    out = wheatstone("docs", "--root", ".", "--record", "run").out
    assert out.splitlines()[0] == "results/toy-cpu.json"
    for page in ("RESULTS.md", "studies/toy.md"):
        text = (checkout / "docs" / page).read_text(encoding="utf-8")
        assert "`drifting` 200.3 [181.1, 219.5]" in text
    assert wheatstone("docs", "--root", ".", "--check").code == 0


def test_the_record_that_decides_the_most_claims_speaks_for_a_study(wheatstone: Command, checkout: Path) -> None:
    wheatstone(*RUN)
    wheatstone("docs", "--root", ".", "--record", "run")
    record = checkout / "results" / "toy-cpu.json"
    text = record.read_text(encoding="utf-8")
    assert '"outcome": "inconclusive"' in text
    for preset, outcome in (("aaa", "inconclusive"), ("middle", "fails"), ("variants", "inconclusive")):
        changed = text.replace('"cpu"', f'"{preset}"').replace('"inconclusive"', f'"{outcome}"')
        record.with_name(f"toy-{preset}.json").write_text(changed, encoding="utf-8")
    assert last_findings(checkout / "none", checkout / "results")["toy"].preset == "middle"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--config.steps", "7"), "run: not a run of the preset 'cpu' alone: steps = 7. Run it without overrides."),
        ((), "run: has not finished, it has no findings.json."),
    ],
)
@pytest.mark.usefixtures("checkout")
def test_only_a_finished_run_of_a_preset_is_recorded(
    wheatstone: Command, tmp_path: Path, change: tuple[str, ...], message: str
) -> None:
    wheatstone(*RUN, *change)
    if not change:
        (tmp_path / "run" / "findings.json").unlink()
    done = wheatstone("docs", "--root", ".", "--record", "run")
    assert done.code == 2
    assert message in done.err
    assert not list(tmp_path.glob("results/*.json"))


def test_docs_needs_a_checkout(wheatstone: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = wheatstone("docs", "--root", "empty")
    assert done.code == 2
    assert "has no docs/" in done.err


def test_a_page_has_what_a_reader_needs() -> None:
    text = study_page(load_file(TOY), [])
    for part in (
        "Pearson, Nature 72 (1905)",
        "## Claims",
        "page 294",
        "| `drift` |",
        "wheatstone run toy --preset smoke",
    ):
        assert part in text


def test_a_cell_is_one_line_without_syntax() -> None:
    assert cell("a | b\n<script>") == "a \\| b &lt;script>"

"""The report: everything in one file, verdicts first, nothing invented, nothing executed that a user has named."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from tests.bench.exhibit_cases import EVERY_KIND, HOSTILE, LINES, NOTE
from tests.bench.report.conftest import Reported

from wheatstone.bench.engine import InlineEngine, execute_run
from wheatstone.bench.errors import UserError
from wheatstone.bench.exhibit import Line, Lines, Note, from_json
from wheatstone.bench.files import write_json
from wheatstone.bench.findings import Findings
from wheatstone.bench.report import write_report
from wheatstone.bench.run import Run
from wheatstone.bench.study import Study


class Page(HTMLParser):
    """What a browser would find in the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.scripts: list[dict[str, str | None]] = []
        self.addresses: list[str] = []
        self.headings: list[str] = []
        self.content: dict[str, str] = {}
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in {"img", "meta"}:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append(given)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "action", "data", "srcset"}]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.content[self.scripts[-1].get("id") or "code"] = data
        elif self.open and self.open[-1] != "style":
            self.text += data
            if self.open[-1] in {"h1", "h2"}:
                self.headings.append(data)


def test_the_page_is_well_formed_and_in_order(reported: Reported) -> None:
    page = Page(reported.page)
    assert page.open == []
    assert page.headings == [
        f"Title {HOSTILE}",
        "Verdicts",
        "Claim by claim",
        "Exhibits",
        "Every seed",
        "Cost",
        "Settings",
        "Environment",
        "Run it again",
    ]


def test_nothing_in_the_page_leads_out_of_it(reported: Reported) -> None:
    page = Page(reported.page)
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in page.addresses)
    assert "default-src &#x27;none&#x27;" in reported.page
    assert "connect-src &#x27;none&#x27;" in reported.page
    style = reported.page.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_what_a_user_has_named_stays_text(reported: Reported) -> None:
    page = Page(reported.page)
    assert "<script>alert" not in reported.page
    assert page.text.count(HOSTILE) >= 6, "title, doc, claim, source, caption, table, note, circuit"
    # The only scripts are ours: data, and the two that every page has.
    ours = {"findings", *(f"figure-{one.name}" for one in EVERY_KIND)}
    assert {script.get("id") for script in page.scripts} - {None} <= ours
    assert sum("id" not in script for script in page.scripts) == 2


def test_a_page_is_small(reported: Reported) -> None:
    assert len(reported.page.encode()) < 200_000


def test_the_findings_in_the_page_are_the_findings_of_the_run(reported: Reported) -> None:
    stored = json.loads(Page(reported.page).content["findings"])
    assert Findings.from_json(stored).decided() == reported.run.findings().decided()  # pyright: ignore


def test_every_measure_of_every_seed_is_shown(reported: Reported) -> None:
    for record in reported.run.records():
        for value in (record.measures() or {}).values():
            assert f'title="{value!r}"' in reported.page


def test_the_figures_in_the_page_show_the_exhibits_numbers(reported: Reported) -> None:
    assert from_json(json.loads(Page(reported.page).content["figure-accuracy"])) == LINES


def test_figures_lie_beside_the_page_as_numbers_and_as_pictures(reported: Reported) -> None:
    folder = reported.run.path / "figures"
    names = {path.name for path in folder.iterdir()}
    assert {f"{one.name}.json" for one in EVERY_KIND} <= names
    assert {"accuracy.png", "accuracy.svg", "trace.svg", "circuit.png"} <= names
    assert {"table.png", "note.png", "table.svg"}.isdisjoint(names)
    assert from_json(json.loads((folder / "accuracy.json").read_text(encoding="utf-8"))) == LINES


def test_the_same_directory_gives_the_same_page(own_report: Reported) -> None:
    assert write_report(own_report.run, own_report.study).read_text(encoding="utf-8") == own_report.page


def test_other_numbers_in_the_directory_are_other_numbers_in_the_page(own_report: Reported) -> None:
    place = own_report.run.path / "arms" / "still" / "seed-1" / "measures.json"
    before = json.loads(place.read_text(encoding="utf-8"))["position"]
    write_json(place, {"position": 0.123456789, "speed": 0.5})
    page = write_report(own_report.run, own_report.study).read_text(encoding="utf-8")
    assert "0.123456789" in page
    assert repr(before) not in page


def test_the_command_to_repeat_the_run_makes_the_same_run(gallery: Study[Any], new_run: Callable[..., Run]) -> None:
    run = new_run("run", seeds=(1, 4), arms=("still",), study=gallery, steps=7, drift=-1.5)
    execute_run(run, gallery, InlineEngine())
    text = Page((run.path / "report.html").read_text(encoding="utf-8")).text
    assert "wheatstone run toy --preset smoke --seeds 1,4 --arms still --config.steps 7 --config.drift -1.5" in text


def test_a_run_that_has_not_finished_says_so(gallery: Study[Any], new_run: Callable[..., Run]) -> None:
    run = new_run("run", seeds=(0, 1), study=gallery)
    page = Page(write_report(run, gallery).read_text(encoding="utf-8"))
    assert "This run has not finished: 0 of 4 trials are done." in page.text
    assert "inconclusive" in page.text


def test_a_study_without_exhibits_and_claims_has_a_report(toy: Study[Any], new_run: Callable[..., Run]) -> None:
    study = dataclasses.replace(toy, exhibits=None, claims=())
    run = new_run("run", study=study)
    page = Page(write_report(run, study).read_text(encoding="utf-8"))
    assert "Claim by claim" not in page.headings
    assert "Exhibits" not in page.headings
    assert "no claims" in page.text


def test_two_exhibits_of_one_name_are_refused(toy: Study[Any], new_run: Callable[..., Run]) -> None:
    study = dataclasses.replace(toy, exhibits=lambda _run: [NOTE, Note("note", "again", "text")])
    with pytest.raises(UserError, match="two exhibits are called 'note'"):
        write_report(new_run("run", study=study), study)


def test_long_curves_never_make_the_page_too_large(toy: Study[Any], new_run: Callable[..., Run]) -> None:
    steps = range(60_000)
    crowd = [Lines(f"figure-{n}", "F", "x", "y", [Line("line", steps, [n + at % 7 for at in steps])]) for n in range(2)]
    study = dataclasses.replace(toy, exhibits=lambda _run: crowd)
    text = write_report(new_run("run", study=study), study).read_text(encoding="utf-8")
    assert len(text) < 1_000_000
    assert "40 of 60000 rows; all of them are in figures/figure-0.json." in text


def test_a_claim_about_an_arm_that_was_not_run_is_named_and_not_judged(
    gallery: Study[Any], new_run: Callable[..., Run]
) -> None:
    run = new_run("run", arms=("still",), study=gallery)
    page = Page(write_report(run, gallery).read_text(encoding="utf-8"))
    assert "Not decided here, because an arm was not run: drift-leaves (drifting); hostile (drifting)" in page.text
    assert "2 not run" in page.text
    assert "A drifting walk ends above a still one." not in page.text


def test_small_matrices_stand_side_by_side_and_everything_else_across(reported: Reported) -> None:
    narrow = re.findall(r'<section class="card" id="([a-z]+)">', reported.page)
    assert narrow == ["trace"]
    assert reported.page.count('<section class="card wide"') == len(EVERY_KIND) - 1

"""The page in a real browser: what a reader does with it, light and dark, on a desk, a phone and paper."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.bench.exhibit_cases import HOSTILE
from tests.bench.report.conftest import Reported
from tests.browser import BROWSER, WHY, Browser, browsing, violations

pytestmark = pytest.mark.skipif(BROWSER is None, reason=WHY)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.fixture
def opened(browser: Browser, reported: Reported) -> Browser:
    """The report on a desk, by day."""
    browser.media()
    browser.open((reported.run.path / "report.html").as_uri())
    return browser


def test_the_page_asks_for_nothing_and_complains_of_nothing(opened: Browser, reported: Reported) -> None:
    assert opened.requests() == [(reported.run.path / "report.html").as_uri()]
    assert opened.faults() == []
    assert opened.run("document.querySelectorAll('.plot[data-live]').length") == 4


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390], ids=["desk", "phone"])
def test_everybody_can_read_it(browser: Browser, reported: Reported, dark: bool, width: int) -> None:
    browser.media(dark=dark)
    browser.open((reported.run.path / "report.html").as_uri(), width, 844)
    browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert violations(browser) == []
    assert browser.run("document.documentElement.scrollWidth") <= width, "the page scrolls down only"


def test_hostile_names_stay_text(opened: Browser) -> None:
    drawn = opened.run("[...document.querySelectorAll('svg text, .legend span')].map((one) => one.textContent)")
    assert HOSTILE in drawn
    assert "cost $x_1$ & <b>$y$</b>" in drawn


def test_the_pointer_reads_a_curve(opened: Browser) -> None:
    x, y = opened.middle("#accuracy .drawing.wide svg")
    opened.mouse("mouseMoved", x, y)
    said = opened.wait("document.querySelector('#accuracy .readout.on')?.innerText")
    assert said.splitlines() == ["optimiser steps: 10", "cost $x_1$ & <b>$y$</b>: 0.2 [0.1, 0.3]"]


def test_the_arrow_keys_read_it_too(opened: Browser) -> None:
    opened.run("document.querySelector('#accuracy .drawing.wide svg').focus()")
    opened.key("End")
    said = opened.wait("document.querySelector('#accuracy .readout.on')?.innerText")
    assert said.startswith("optimiser steps: 100")
    opened.key("ArrowLeft")
    opened.wait("document.querySelector('#accuracy .readout.on').innerText.startsWith('optimiser steps: 10\\n')")


def test_a_cell_and_a_point_are_read(opened: Browser) -> None:
    x, y = opened.middle("#trace .drawing svg")
    opened.mouse("mouseMoved", x - 60, y - 20)
    assert "share changed" in opened.wait("document.querySelector('#trace .readout.on')?.innerText")
    place = opened.run(
        "(() => { const svg = document.querySelector('#phi .drawing.wide svg'); svg.scrollIntoView({block: 'center'});"
        " const box = svg.querySelector('.points').getBoundingClientRect(); return [box.right - 3, box.top + 3]; })()"
    )
    opened.mouse("mouseMoved", *place)
    assert opened.wait("document.querySelector('#phi .readout.on')?.innerText").startswith("capital")


def test_a_series_can_be_hidden(opened: Browser) -> None:
    shown = "getComputedStyle(document.querySelector('#relations .drawing.wide [data-series=\"1\"]')).display"
    assert opened.run(shown) != "none"
    opened.click("#relations .legend li:nth-child(2) button")
    assert opened.run(shown) == "none"
    opened.run("document.querySelector('#relations .legend li:nth-child(2) button').focus()")
    opened.key("Enter")
    assert opened.run(shown) != "none"


def test_a_closer_look_and_back(opened: Browser) -> None:
    ticks = "[...document.querySelectorAll('#accuracy .drawing.wide .ticks-x text')].map((one) => one.textContent)"
    whole = opened.run(ticks)
    assert whole == ["1", "10", "100"]
    x, y = opened.middle("#accuracy .drawing.wide svg")
    opened.mouse("mousePressed", x - 150, y)
    for reach in (-100, 50, 150):
        opened.mouse("mouseMoved", x + reach, y)
    opened.mouse("mouseReleased", x + 150, y)
    closer = opened.wait(f"{json.dumps(whole)}.join() !== {ticks}.join() && {ticks}")
    assert all(3 < float(one) < 40 for one in closer), "the ticks of a part of the axis"
    assert opened.run("document.querySelector('#accuracy .curve').getAttribute('d')") != ""
    opened.click("#accuracy .zoom-out")
    assert opened.run(ticks) == whole


def test_colours_are_the_readers_choice_and_stay(browser: Browser, reported: Reported) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    browser.media()
    browser.open((reported.run.path / "report.html").as_uri())
    light = browser.run(ground)
    browser.click("button.theme")
    browser.click("button.theme")
    assert browser.run("document.querySelector('button.theme').textContent") == "Colours: dark"
    dark = browser.run(ground)
    assert dark != light
    browser.open((reported.run.path / "report.html").as_uri())
    assert browser.run(ground) == dark
    browser.click("button.theme")
    assert browser.run(ground) == light
    browser.media(dark=True)
    assert browser.run(ground) == dark


def test_without_a_script_everything_is_there(browser: Browser, reported: Reported) -> None:
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.media()
        browser.events.clear()
        browser.send("Page.navigate", url=(reported.run.path / "report.html").as_uri())
        browser.await_event("Page.loadEventFired")
        document = browser.send("DOM.getDocument", depth=-1)["root"]["nodeId"]
        drawn = browser.send("DOM.querySelectorAll", nodeId=document, selector=".drawing.wide svg")
        assert len(drawn["nodeIds"]) == 3
    finally:
        browser.send("Emulation.setScriptExecutionDisabled", value=False)


def test_it_prints(opened: Browser, tmp_path: Path) -> None:
    opened.media(kind="print")
    hidden = opened.run(
        "[...document.querySelectorAll('button.theme, nav')].every((one) => getComputedStyle(one).display === 'none')"
    )
    assert hidden
    opened.media(kind="")
    opened.pdf(tmp_path / "report.pdf")
    printed = (tmp_path / "report.pdf").read_bytes()
    assert printed.startswith(b"%PDF")
    assert 2 <= printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") <= 14

"""The page of all runs in a real browser, while a run goes on: nothing is reloaded by hand, and nothing is missed."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.bench.conftest import TOY
from tests.browser import BROWSER, WHY, Browser, browsing, violations

from wheatstone.bench.engine import InlineEngine, execute_run
from wheatstone.bench.run import Run
from wheatstone.bench.study import Study

pytestmark = pytest.mark.skipif(BROWSER is None, reason=WHY)
HOSTILE = "<img src=x onerror=alert(1)>"


class Site(NamedTuple):
    address: str
    runs: Path
    browser: Browser


@pytest.fixture(scope="module")
def site(toy: Study[Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """`wheatstone serve` over a folder with finished, unfinished, damaged and hostile runs, and a browser."""
    runs = tmp_path_factory.mktemp("runs")
    config = toy.presets["smoke"].config
    for name, drift in (("first", 0.5), ("second", 0.9)):
        changed = dataclasses.replace(config, drift=drift)
        run = Run.create(runs / name, toy, "smoke", changed, (0, 1, 2), ("drifting", "still"), 1)
        execute_run(run, toy, InlineEngine())
    Run.create(runs / "waiting", toy, "smoke", config, (0,), ("still",), 1)
    Run.create(runs / HOSTILE, toy, "smoke", config, (0,), ("still",), 1)
    (runs / "broken").mkdir()
    (runs / "broken" / "run.json").write_text("{")
    command = [sys.executable, "-m", "wheatstone", "serve", "--runs", str(runs), "--port", "0"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
        browsing(tmp_path_factory.mktemp("browser")) as browser,
    ):
        assert server.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", server.stdout.readline())
        assert found is not None
        try:
            browser.media()
            yield Site(found[0], runs, browser)
        finally:
            server.kill()


def rows(browser: Browser) -> list[str]:
    """The names of the rows that are shown."""
    return browser.run(
        "[...document.querySelectorAll('table.runs tbody tr')].filter((r) => !r.hidden).map((r) => r.id)"
    )


def test_a_run_that_goes_on_is_followed(site: Site) -> None:
    browser = site.browser
    browser.open(f"{site.address}/")
    before = len(rows(browser))
    browser.run("window.stays = true")  # a page that is loaded again forgets it
    going = [
        sys.executable,
        "-m",
        "wheatstone",
        "run",
        str(TOY),
        "--preset",
        "smoke",
        "--seeds",
        "3",
        "--engine",
        "inline",
    ]
    going += ["--config.pause", "0.02", "--config.steps", "60", "--out", str(site.runs / "going")]
    with subprocess.Popen(going, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            browser.wait("document.getElementById('run-going')")
            assert len(rows(browser)) == before + 1
            browser.wait("document.getElementById('run-going').dataset.state === 'running'")
            assert rows(browser)[0] == "run-going", "the newest is the first"
            assert browser.run("window.stays")
            browser.open(f"{site.address}/live/going")
            browser.wait("document.querySelectorAll('#live .plot[data-live]').length > 0")
            drawn = browser.run("document.querySelector('#live .curve').getAttribute('d')")
            browser.wait(f"document.querySelector('#live .curve').getAttribute('d') !== {drawn!r}")
            browser.wait("document.getElementById('live').dataset.state === 'finished'", 40)
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert "A drifting walk ends above a still one." in browser.run("document.getElementById('live').innerText")
    assert browser.faults() == []
    browser.open(f"{site.address}/")
    browser.wait("document.querySelector('#run-going a[href=\"/runs/going/\"]')")
    browser.click('#run-going a[href="/runs/going/"]')
    browser.wait("document.getElementById('verdicts') && document.readyState === 'complete'")
    assert browser.faults() == []


def test_the_list_is_filtered(site: Site) -> None:
    browser = site.browser
    browser.open(f"{site.address}/")
    browser.run("document.querySelector('#filter [name=text]').focus()")
    for letter in "second":
        browser.key(letter)
    assert rows(browser) == ["run-second"]
    browser.open(f"{site.address}/")
    choose(browser, "state", "damaged")
    assert rows(browser) == ["run-broken"]
    choose(browser, "state", "")
    choose(browser, "verdict", "holds")
    assert {"run-first", "run-second"} <= set(rows(browser))
    assert "run-waiting" not in rows(browser)


def choose(browser: Browser, name: str, value: str) -> None:
    """An entry of one of the filter's menus."""
    browser.run(
        f"(() => {{ const one = document.querySelector('#filter [name={name}]'); one.value = '{value}';"
        " one.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )


def test_two_runs_are_compared(site: Site) -> None:
    browser = site.browser
    browser.open(f"{site.address}/")
    assert browser.run("document.getElementById('compare').disabled")
    for name in ("first", "second"):
        browser.click(f"#run-{name} input[name=run]")
    browser.wait("!document.getElementById('compare').disabled")
    browser.click("#compare")
    browser.wait("location.pathname === '/compare' && document.readyState === 'complete'")
    text = browser.run("document.body.innerText")
    assert re.search(r"drift\s+0\.[59]\s+0\.[59]", text), "the setting that differs"
    assert "A drifting walk ends above a still one." in text
    assert browser.run("document.querySelectorAll('.plot[data-live] .legend li').length") == 4, "two arms of two runs"
    assert violations(browser) == []
    assert browser.faults() == []


@pytest.mark.parametrize("path", ["/", "/live/first", "/live/waiting"])
def test_everybody_can_read_it_and_nothing_leaves_the_machine(site: Site, path: str) -> None:
    browser = site.browser
    for dark, width in ((False, 1280), (True, 390)):
        browser.media(dark=dark)
        browser.open(f"{site.address}{path}", width, 844)
        assert violations(browser) == []
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert all(address.startswith(site.address) for address in browser.requests())
        assert browser.faults() == []


def test_a_hostile_name_stays_text(site: Site) -> None:
    site.browser.open(f"{site.address}/")
    assert site.browser.run("document.querySelectorAll('main img').length") == 0
    assert HOSTILE in site.browser.run("document.body.innerText")

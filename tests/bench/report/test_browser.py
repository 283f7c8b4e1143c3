"""The page in a real browser: the library inflates, every figure is drawn, and hostile labels stay text."""

from __future__ import annotations

import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest
from tests.bench.exhibit_cases import HOSTILE
from tests.bench.report.conftest import Reported

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.skipif(BROWSER is None, reason="needs chromium, the only way to see that the page's script works")
def test_every_figure_is_drawn(reported: Reported, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            str(BROWSER),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={tmp_path / 'browser'}",
            "--virtual-time-budget=8000",
            "--dump-dom",
            (reported.run.path / "report.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    dom = re.sub(r"<script.*?</script>", "", done.stdout, flags=re.DOTALL)
    assert dom.count('class="plot live"') == 4
    drawn = [unescape(re.sub(r"<[^>]*>", "", text)) for text in re.findall(r"<text[^>]*>(.*?)</text>", dom, re.DOTALL)]
    assert HOSTILE in drawn, "as a legend entry, a tick label or a threshold"
    assert "cost $x_1$ & <b>$y$</b>" in drawn

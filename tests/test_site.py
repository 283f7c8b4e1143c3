"""The documentation as a site: it builds without a warning, and what it teaches works as it is written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from wheatstone.bench.contract import CHECKS
from wheatstone.bench.registry import load_file

ROOT = Path(__file__).parent.parent


def test_the_site_builds_and_no_link_leads_nowhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=200, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert built.returncode == 0, built.stderr + built.stdout
    pages = {path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("*.html")}
    assert {"index.html", "api/study.html", "notebooks/neural.html"} <= pages
    assert {f"studies/{page.stem}.html" for page in (ROOT / "docs" / "studies").glob("*.md")} <= pages
    for page in pages:
        text = (tmp_path / "site" / page).read_text(encoding="utf-8")
        asked = re.findall(
            r'<(?:script|img|iframe)[^>]* src="https?:[^"]+|<link rel="stylesheet" href="https?:[^"]+', text
        )
        assert not asked, f"{page} asks for {asked[0]}"


@pytest.mark.timeout(200)
def test_the_study_of_the_tutorial_passes_the_contract(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "add-a-study.md").read_text(encoding="utf-8")
    file = tmp_path / "my_walk.py"
    file.write_text(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], encoding="utf-8")
    study = load_file(file)
    for check in CHECKS:
        check(study, tmp_path)


def test_the_example_of_contributing_and_of_the_tutorial_use_names_that_exist() -> None:
    for page in ("docs/add-a-study.md", "CONTRIBUTING.md", "docs/python.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for module, names in re.findall(r"^from (wheatstone[\w.]*) import ([\w, ]+)$", text, re.MULTILINE):
            found = __import__(module, fromlist=["_"])
            missing = [name for name in names.split(", ") if not hasattr(found, name)]
            assert not missing, f"{page}: {module} has no {missing}"

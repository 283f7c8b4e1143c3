"""A finished run of the toy study whose report shows every kind of exhibit, with hostile labels."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.bench.exhibit_cases import EVERY_KIND, HOSTILE

from wheatstone.bench.engine import InlineEngine, execute_run
from wheatstone.bench.run import Run
from wheatstone.bench.study import Study


class Reported(NamedTuple):
    """A run, its study, and the page as text."""

    run: Run
    study: Study[Any]
    page: str


@pytest.fixture(scope="session")
def gallery(toy: Study[Any]) -> Study[Any]:
    """The toy study with one exhibit of every kind and a claim in a hostile language."""
    hostile = dataclasses.replace(toy.claims[0], name="hostile", text=f"{HOSTILE} holds", source=HOSTILE)
    card = dataclasses.replace(toy.card, title=f"Title {HOSTILE}")
    return dataclasses.replace(
        toy, card=card, claims=(*toy.claims, hostile), exhibits=lambda _run: EVERY_KIND, doc=f"{toy.doc}\n{HOSTILE}"
    )


@pytest.fixture(scope="session")
def reported(gallery: Study[Any], tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """One run for all tests, which only read it."""
    path = tmp_path_factory.mktemp("reported") / "run"
    config = gallery.presets["smoke"].config
    run = Run.create(path, gallery, "smoke", config, (0, 1, 2), ("drifting", "still"), 1)
    execute_run(run, gallery, InlineEngine())
    return Reported(run, gallery, (path / "report.html").read_text(encoding="utf-8"))


@pytest.fixture
def own_report(reported: Reported, tmp_path: Path) -> Reported:
    """A copy of that run that a test may change."""
    shutil.copytree(reported.run.path, tmp_path / "run")
    return reported._replace(run=Run.open(tmp_path / "run"))

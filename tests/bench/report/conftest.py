"""A finished run of the toy study whose report shows every kind of exhibit, with hostile labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
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


@pytest.fixture
def gallery(toy: Study[Any]) -> Study[Any]:
    """The toy study with one exhibit of every kind and a claim in a hostile language."""
    hostile = dataclasses.replace(toy.claims[0], name="hostile", text=f"{HOSTILE} holds", source=HOSTILE)
    card = dataclasses.replace(toy.card, title=f"Title {HOSTILE}")
    return dataclasses.replace(
        toy, card=card, claims=(*toy.claims, hostile), exhibits=lambda _run: EVERY_KIND, doc=f"{toy.doc}\n{HOSTILE}"
    )


@pytest.fixture
def reported(gallery: Study[Any], new_run: Callable[..., Run], tmp_path: Path) -> Reported:
    run = new_run("run", seeds=(0, 1, 2), study=gallery)
    execute_run(run, gallery, InlineEngine())
    return Reported(run, gallery, (tmp_path / "run" / "report.html").read_text(encoding="utf-8"))

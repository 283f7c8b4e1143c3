"""The toy study and runs of it, for every test of the bench."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wheatstone.bench import registry
from wheatstone.bench.run import Run
from wheatstone.bench.study import Study

TOY = Path(__file__).parent.parent / "contract" / "toy.py"


@pytest.fixture(scope="session")
def toy() -> Study[Any]:
    return registry.load_file(TOY)


@pytest.fixture
def new_run(toy: Study[Any], tmp_path: Path) -> Callable[..., Run]:
    """Creates (or goes on with) a run of the toy study; keywords change its config."""

    def create(
        name: str = "run",
        *,
        seeds: tuple[int, ...] = (0,),
        arms: tuple[str, ...] = ("drifting", "still"),
        threads: int = 1,
        study: Study[Any] = toy,
        inputs: dict[str, Path] | None = None,
        **settings: Any,
    ) -> Run:
        config = dataclasses.replace(study.presets["smoke"].config, **settings)
        return Run.create(tmp_path / name, study, "smoke", config, seeds, arms, threads, inputs)

    return create

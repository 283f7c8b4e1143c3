"""Explored theories that several tests look at."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
import pytest

from wheatstone.domains.logic.conjectures import Shape
from wheatstone.domains.logic.explore import Event, Exploration, Plan
from wheatstone.domains.logic.library import Library
from wheatstone.domains.logic.theory import load


class Explored(NamedTuple):
    library: Library
    exploration: Exploration
    events: list[Event]
    document: dict[str, Any]


def explored(name: str, plan: Plan | None = None, *, induction: bool = True) -> Explored:
    library = Library(load(name), induction=induction)
    exploration = Exploration(library, plan or Plan(), np.random.default_rng(0))
    events = list(exploration.run())
    return Explored(library, exploration, events, json.loads(json.dumps(library.document())))


@pytest.fixture(scope="session")
def addition() -> Explored:
    return explored("addition")


@pytest.fixture(scope="session")
def groups() -> Explored:
    pytest.importorskip("z3")
    return explored("groups")


@pytest.fixture(scope="session")
def arithmetic() -> Explored:
    """Peano with definitions, the small conditional conjectures only."""
    return explored("peano", Plan(shape=Shape(5, 8, 0), work=1_100_000))

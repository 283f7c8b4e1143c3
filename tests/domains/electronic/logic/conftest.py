"""One ABC process for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from wheatstone.domains.electronic.logic.abc import Abc


@pytest.fixture(scope="module")
def abc() -> Iterator[Abc]:
    with Abc() as process:
        yield process

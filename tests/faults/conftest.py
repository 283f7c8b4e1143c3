"""The run that nobody disturbed, for every test of this folder."""

from __future__ import annotations

import pytest
from tests.faults.harness import Reference, undisturbed


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return undisturbed(tmp_path_factory.mktemp("undisturbed"))

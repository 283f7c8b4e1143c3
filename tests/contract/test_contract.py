"""Every check of the contract on every study of the registry, and on the toy study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.contract.exemptions import EXEMPTIONS

from wheatstone.bench import registry
from wheatstone.bench.contract import CHECKS, Check, ContractFault
from wheatstone.bench.study import Study

TOY = Path(__file__).parent / "toy.py"
STUDIES = [*registry.cards(), registry.load_file(TOY).card]
CASES = [pytest.param(card.name, check, id=f"{card.name}-{check.__name__}") for card in STUDIES for check in CHECKS]


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where the checks of a study share their smoke runs."""
    return tmp_path_factory.mktemp("contract")


@pytest.mark.parametrize(("name", "check"), CASES)
def test_contract(name: str, check: Check, stage: Path) -> None:
    study: Study[Any] = registry.load_file(TOY) if name == "toy" else registry.load(name)
    reasons = [item.reason for item in EXEMPTIONS if (item.study, item.check) == (name, check.__name__)]
    if not reasons:
        check(study, stage)
        return
    try:
        check(study, stage)
    except ContractFault:
        pytest.skip(reasons[0])
    pytest.fail(f"{name} no longer breaks {check.__name__}: remove its exemption")


def test_exemptions_name_what_exists() -> None:
    known = {(card.name, check.__name__) for card in STUDIES for check in CHECKS}
    assert [item for item in EXEMPTIONS if (item.study, item.check) not in known or not item.reason.strip()] == []

"""Every check of the contract on every study of the registry, and on the toy study."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.contract.exemptions import EXEMPTIONS, Exemption

from wheatstone.bench import registry
from wheatstone.bench.contract import CHECKS, Check, ContractFault, docstring_states_the_case
from wheatstone.bench.study import Study

TOY = Path(__file__).parent / "toy.py"
STUDIES = [*registry.cards(), registry.load_file(TOY).card]
CASES = [pytest.param(card.name, check, id=f"{card.name}-{check.__name__}") for card in STUDIES for check in CHECKS]


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where the checks of a study share their smoke runs."""
    return tmp_path_factory.mktemp("contract")


def run_check(study: Study[Any], check: Check, folder: Path, exemptions: Sequence[Exemption]) -> None:
    """The check; an exempt one must still break, so that no exemption outlives its reason."""
    reasons = [item.reason for item in exemptions if (item.study, item.check) == (study.name, check.__name__)]
    if not reasons:
        check(study, folder)
        return
    try:
        check(study, folder)
    except ContractFault:
        pytest.skip(reasons[0])
    pytest.fail(f"{study.name} no longer breaks {check.__name__}: remove its exemption")


@pytest.mark.parametrize(("name", "check"), CASES)
def test_contract(name: str, check: Check, stage: Path) -> None:
    study = registry.load_file(TOY) if name == "toy" else registry.load(name)
    run_check(study, check, stage, EXEMPTIONS)


def test_an_exemption_skips_a_broken_check_and_fails_with_a_sound_one(stage: Path) -> None:
    toy = registry.load_file(TOY)
    exemptions = [Exemption("toy", "docstring_states_the_case", "its docstring is being written")]
    with pytest.raises(pytest.fail.Exception, match="toy no longer breaks docstring_states_the_case"):
        run_check(toy, docstring_states_the_case, stage, exemptions)
    with pytest.raises(pytest.skip.Exception, match="its docstring is being written"):
        run_check(dataclasses.replace(toy, doc=""), docstring_states_the_case, stage, exemptions)


def test_exemptions_name_what_exists() -> None:
    known = {(card.name, check.__name__) for card in STUDIES for check in CHECKS}
    assert [item for item in EXEMPTIONS if (item.study, item.check) not in known or not item.reason.strip()] == []

"""Twelve kills of the real command, at seeded moments of its whole life. A hundred of them: `make faults`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.faults.harness import Campaign, Chain, Kill, Reference, check_finished, check_whole

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="follows processes through /proc")
SEED = 7


def test_twelve_kills_lose_nothing(reference: Reference, tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, reference, SEED)
    while campaign.kills() < 12:
        campaign.run_chain(12 - campaign.kills())
    print(campaign.where)


def test_a_torn_checkpoint_and_a_torn_line_are_never_read(reference: Reference, tmp_path: Path) -> None:
    chain = Chain(tmp_path, 0)
    for name, number in (("checkpoint.safetensors", 5), ("metrics.jsonl", 9)):
        assert chain.start(Kill("tree", f"write {name}", number)).killed, name
        check_whole(chain.run)
    assert chain.start().code == 0
    check_finished(chain.run, reference.content)


def test_a_worker_that_is_killed_goes_on_by_itself(reference: Reference, tmp_path: Path) -> None:
    chain = Chain(tmp_path, 0)
    outcome = chain.start(Kill("self", "replace checkpoint.safetensors", 7))
    assert (outcome.killed, outcome.code) == (True, 0)
    check_finished(chain.run, reference.content)


def test_a_file_cut_short_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "findings.json").write_text('{"a": ')
    with pytest.raises(ValueError, match="Expecting value"):
        check_whole(tmp_path)

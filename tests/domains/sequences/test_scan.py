"""SCAN is generated exactly: the published commands, the published split sizes."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wheatstone.domains.data import data_folder
from wheatstone.domains.sequences import scan

PUBLISHED = data_folder() / "language" / "scan" / "tasks.txt.gz"
SIZES = {
    "simple": (16_728, 4_182),
    "length": (16_990, 3_920),
    "add-jump": (14_670, 7_706),
    "add-turn-left": (21_890, 1_208),
    "around-right": (15_225, 4_476),
    "opposite-right": (15_225, 4_476),
    "right": (15_225, 4_476),
    "jump-around-right": (18_528, 1_173),
    "filler-0": (15_225, 1_173),
    "filler-1": (16_290, 1_173),
    "filler-2": (17_391, 1_173),
    "filler-3": (18_528, 1_173),
}
"""Training and test examples of the published files."""


@pytest.mark.skipif(not PUBLISHED.exists(), reason=f"no real data: {PUBLISHED} is absent (WHEATSTONE_DATA)")
def test_every_published_command_has_its_published_actions() -> None:
    published = {}
    for line in gzip.decompress(PUBLISHED.read_bytes()).decode().splitlines():
        source, target = line.removeprefix("IN: ").split(" OUT: ")
        published[tuple(source.split())] = tuple(target.split())
    assert len(published) == 20_910
    assert {pair.source: pair.target for pair in scan.commands()} == published


@pytest.mark.parametrize("name", SIZES)
def test_splits_have_the_published_sizes(name: str) -> None:
    split = scan.split(name)
    assert (len(split.train), len(split.test)) == SIZES[name]
    assert not {pair.source for pair in split.train} & {pair.source for pair in split.test}


def test_the_splits_leave_out_what_they_are_about() -> None:
    assert max(len(pair.target) for pair in scan.split("length").train) == 22
    assert min(len(pair.target) for pair in scan.split("length").test) == 24
    jump = scan.split("add-jump")
    assert {pair.source for pair in jump.train if "jump" in pair.source} == {("jump",)}
    assert all("jump" in pair.source and len(pair.source) > 1 for pair in jump.test)
    assert not any(scan.has(pair.source, "around", "right") for pair in scan.split("around-right").train)


def test_simple_is_drawn_by_a_seed() -> None:
    one, same, other = (scan.split("simple", np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one == same != other


@given(st.sampled_from(scan.commands()))
def test_the_rule_tree_computes_the_actions(pair: scan.Pair) -> None:
    """The tree over the reordered words, with the meaning of each word, gives the published actions."""
    words = scan.reordered(pair.source)
    heads = scan.heads(words)
    assert sorted(words) == sorted(pair.source)
    assert [sum(head == at for head in heads) for at in range(len(words))] == [scan.ARITY[word] for word in words]

    def value(node: int) -> tuple[str, ...]:
        inputs = [value(child) for child, head in enumerate(heads) if head == node]
        match words[node]:
            case "and":
                return inputs[0] + inputs[1]
            case "after":
                return inputs[1] + inputs[0]
            case "left" | "right":
                return (f"I_TURN_{words[node].upper()}", *inputs[0])
            case "opposite":
                return inputs[0][:1] + inputs[0]
            case "around":
                return inputs[0] * 4
            case "twice" | "thrice":
                return inputs[0] * (2 if words[node] == "twice" else 3)
            case "turn":
                return ()
            case _:
                return (f"I_{words[node].upper()}",)

    assert value(heads.index(-1)) == pair.target

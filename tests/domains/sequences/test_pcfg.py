"""PCFG SET: every published label, the published sizes, and the splits' rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wheatstone.domains.data import data_folder
from wheatstone.domains.sequences import pcfg

PUBLISHED = data_folder() / pcfg.PUBLISHED
needs_data = pytest.mark.skipif(not PUBLISHED.exists(), reason=f"no real data: {PUBLISHED} is absent (WHEATSTONE_DATA)")


@needs_data
def test_every_published_label_is_what_the_interpreter_says() -> None:
    parts = pcfg.load_published()
    sizes = {"pcfgset_dev": 4860, "pcfgset_test": 9721, "productivity_test": 11_333, "systematicity_test": 10_175}
    assert {name: len(pairs) for name, pairs in parts.items()} == sizes
    assert all(pcfg.interpret(pair.source) == pair.target for pairs in parts.values() for pair in pairs)
    assert all(pcfg.breaks_systematicity(pair.source) for pair in parts["systematicity_test"])
    assert {pcfg.n_functions(pair.source) for pair in parts["productivity_test"]} <= set(range(9, 36))


@needs_data
@pytest.mark.parametrize("name", ["iid", "productivity", "systematicity"])
def test_published_training_pairs_are_allowed_by_the_split(name: str) -> None:
    split = pcfg.published_split(name, 500, 100, np.random.default_rng(0))
    assert (len(split.train), len(split.test)) == (500, 100)
    assert not {pair.source for pair in split.train} & {pair.source for pair in split.test}
    if name == "productivity":
        assert max(pcfg.n_functions(pair.source) for pair in split.train) <= 8
    if name == "systematicity":
        assert not any(pcfg.breaks_systematicity(pair.source) for pair in split.train)


@pytest.mark.parametrize("name", ["iid", "productivity", "systematicity"])
def test_generated_splits_keep_their_rule(name: str) -> None:
    split = pcfg.generated_split(name, 200, 50, np.random.default_rng(0), longest=80)
    assert (len(split.train), len(split.test)) == (200, 50)
    assert max(len(pair.target) for pair in (*split.train, *split.test)) <= 80
    if name == "productivity":
        assert max(pcfg.n_functions(pair.source) for pair in split.train) <= 8
        assert min(pcfg.n_functions(pair.source) for pair in split.test) >= 9
    if name == "systematicity":
        assert not any(pcfg.breaks_systematicity(pair.source) for pair in split.train)
        assert all(pcfg.breaks_systematicity(pair.source) for pair in split.test)


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_a_tree_is_spelt_and_parsed_again(seed: int, size: int) -> None:
    (pair,) = pcfg.generate(1, range(size, size + 1), np.random.default_rng(seed), longest=10**6)
    assert pcfg.spelt(pcfg.parse(pair.source)) == pair.source
    heads = pcfg.heads(pcfg.closed(pair.source))
    assert heads[0] == heads.index(-1) - 1 == -1
    assert all(head < at for at, head in enumerate(heads))


def test_the_functions_on_three_letters() -> None:
    words = ("A1", "B2", "C3")
    expected = {
        "copy": "A1 B2 C3",
        "reverse": "C3 B2 A1",
        "shift": "B2 C3 A1",
        "swap_first_last": "C3 B2 A1",
        "repeat": "A1 B2 C3 A1 B2 C3",
        "echo": "A1 B2 C3 C3",
    }
    assert {name: " ".join(pcfg.apply(name, (words,))) for name in pcfg.UNARY} == expected


@pytest.mark.parametrize("source", ["append A1", "copy", ", A1", "A1 , B2", "append A1 , B2 , C3"])
def test_what_the_grammar_does_not_have_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match=r"token|argument"):
        pcfg.parse(tuple(source.split()))


def test_letter_strings_hold_the_empty_one_and_every_letter() -> None:
    strings = [pair.source for pair in pcfg.letter_strings(1000, np.random.default_rng(0))]
    assert len(set(strings)) == 1000
    assert strings[0] == ()
    assert {string[0] for string in strings if len(string) == 1} == set(pcfg.LETTERS)

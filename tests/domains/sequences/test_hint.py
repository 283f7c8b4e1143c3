"""HINT: meanings against Python's own arithmetic, the human study's answers, and what each test holds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wheatstone.domains.data import data_folder
from wheatstone.domains.sequences import hint

PUBLISHED = data_folder() / hint.HIEROGLYPHS


class Number:
    """A number with HINT's operations, for Python's own parser."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __add__(self, other: Number) -> Number:
        return Number(self.value + other.value)

    def __sub__(self, other: Number) -> Number:
        return Number(max(0, self.value - other.value))

    def __mul__(self, other: Number) -> Number:
        return Number(self.value * other.value)

    def __truediv__(self, other: Number) -> Number:
        return Number(math.ceil(self.value / other.value))


@pytest.fixture(scope="module")
def split() -> hint.HintSplit:
    return hint.split(400, 40, np.random.default_rng(0))


def test_answers_are_those_of_pythons_own_parser(split: hint.HintSplit) -> None:
    for pair in (*split.train, *(pair for pairs in split.tests.values() for pair in pairs)):
        text = "".join(f"Number({token})" if token in hint.DIGITS else token for token in pair.source)
        assert eval(text, {"Number": Number}).value == int(pair.target[0]) == hint.evaluate(pair.source)


def test_each_test_holds_what_its_name_says(split: hint.HintSplit) -> None:
    seen = {pair.source for pair in split.train}
    operators = {
        name: [sum(t in hint.OPERATORS for t in p.source) for p in pairs] for name, pairs in split.tests.items()
    }
    assert {pair.source for pair in split.tests["I"]} <= seen
    assert not {pair.source for pair in split.tests["SS"]} & seen
    assert max(operators["SL"]) <= 10 < min(operators["LS"])
    assert min(operators["LL"]) == 11
    assert max(operators["LL"]) <= 20
    assert all(len(pairs) == 40 for pairs in split.tests.values())


@pytest.mark.skipif(not PUBLISHED.exists(), reason=f"no real data: {PUBLISHED} is absent (WHEATSTONE_DATA)")
def test_the_human_studys_expressions_have_their_answers() -> None:
    pairs = hint.load_hieroglyphs()
    assert len(pairs) == 1000
    assert all(hint.evaluate_postfix(pair.source) == int(pair.target[0]) for pair in pairs)


@given(st.integers(0, 10_000), st.integers(0, 8))
def test_parentheses_hang_on_what_they_enclose(seed: int, size: int) -> None:
    (pair,) = hint.generate(1, range(size, size + 1), np.random.default_rng(seed))
    heads = hint.heads(pair.source)
    assert heads.count(-1) == 1
    stack = []
    for at, token in enumerate(pair.source):
        if token == "(":
            stack.append(at)
        elif token == ")":
            opened = stack.pop()
            assert heads[at] == heads[opened]
            assert opened < heads[at] < at


@pytest.mark.parametrize("source", ["1 +", "+ 1", "( 1", "1 )", "1 2", "( )", ""])
def test_what_is_no_expression_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="token"):
        hint.heads(tuple(source.split()))


def test_rank_and_grouping() -> None:
    assert hint.evaluate(tuple("8-2-3")) == 3
    assert hint.evaluate(tuple("2+3*4")) == 14
    assert hint.evaluate(tuple("7/2")) == 4
    assert hint.evaluate(tuple("3-7")) == 0
    assert hint.evaluate(tuple("3/0")) is None
    assert hint.evaluate_postfix(tuple("789+-")) == 0

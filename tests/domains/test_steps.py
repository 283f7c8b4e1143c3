"""Written steps: the layout, the noise, and that a model is tested by its own words alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wheatstone.bench.errors import UserError
from wheatstone.domains.kg.graph import Chains, chains, facts_of
from wheatstone.domains.kg.synthetic import random_table
from wheatstone.domains.steps import (
    Asked,
    StepTokens,
    Written,
    chain_paths,
    chain_questions,
    compared,
    corrupted,
    fact_questions,
    parse_noise,
    three_hops,
    written,
)
from wheatstone.learn.models.transformer import Transformer, TransformerConfig
from wheatstone.learn.sequences import NO_TARGET
from wheatstone.learn.training import FitConfig, fit

TOKENS = StepTokens(10, 3)
CHAIN = Chains(np.array([[4, 1, 7, 2, 9]], np.int32))


def test_each_form_writes_what_it_says() -> None:
    path = chain_paths(CHAIN)
    assert TOKENS.continuation(path, "cot").tolist() == [[7, 9, TOKENS.end]]
    assert TOKENS.continuation(path, "direct").tolist() == [[9, TOKENS.end]]
    assert TOKENS.continuation(path, "filler").tolist() == [[TOKENS.filler, 9, TOKENS.end]]
    assert chain_questions(CHAIN, TOKENS).tolist() == [[4, 11, 12]]


def test_rows_hold_all_written_tokens_but_the_last_and_ask_for_each() -> None:
    facts = Written(np.array([[4, 11]]), np.array([[7, 14]]))
    steps = Written(chain_questions(CHAIN, TOKENS), TOKENS.continuation(chain_paths(CHAIN), "cot"))
    data = written([facts, steps], pad=0)
    assert data.tokens.tolist() == [[4, 11, 7, 0, 0], [4, 11, 12, 7, 9]]
    none = NO_TARGET
    assert data.targets.tolist() == [[none, 7, 14, none, none], [none, none, 7, 9, 14]]


@given(wrong=st.sampled_from(["t", "b", "both"]), rate=st.floats(0, 1), seed=st.integers(0, 99), n=st.integers(2, 40))
def test_noise_touches_only_what_it_names(wrong: str, rate: float, seed: int, n: int) -> None:
    path = np.random.default_rng(seed).integers(n, size=(50, 2))
    found = corrupted(path, wrong, rate, n, np.random.default_rng(seed))  # pyright: ignore[reportArgumentType]
    assert (found.true == path).all()
    assert found.written.min() >= 0
    assert found.written.max() < n
    bridge, answer = found.changed
    assert bridge == 0 if wrong == "t" else bridge <= 1
    assert answer == 0 if wrong == "b" else answer <= 1
    if rate == 0:
        assert (bridge, answer) == (0, 0)


def test_effective_noise_is_the_rate_less_the_true_entity() -> None:
    path = np.zeros((40_000, 2), np.int64)
    for n in (2, 5, 50):
        bridge, answer = corrupted(path, "both", 0.4, n, np.random.default_rng(1)).changed
        assert bridge == pytest.approx(0.4 * (1 - 1 / n), abs=0.01)
        assert answer == pytest.approx(0.4 * (1 - 1 / n), abs=0.01)


def test_a_higher_rate_hits_what_a_lower_one_hit() -> None:
    path = np.random.default_rng(0).integers(30, size=(500, 2))
    low, high = (corrupted(path, "t", rate, 30, np.random.default_rng(2)).written for rate in (0.2, 0.4))
    assert (high[low != path] == low[low != path]).all()


def test_shuffled_bridges_keep_their_frequencies_and_all_answers() -> None:
    path = np.random.default_rng(0).integers(30, size=(500, 2))
    found = corrupted(path, "shuffled", 1.0, 30, np.random.default_rng(2)).written
    assert (np.sort(found[:, 0]) == np.sort(path[:, 0])).all()
    assert (found[:, 1] == path[:, 1]).all()
    assert (found[:, 0] != path[:, 0]).mean() > 0.9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t:1.2", "noise: got a rate of 1.2, must lie between 0 and 1 (share of the training questions)."),
        ("x:0.2", "noise: got 'x:0.2', must be none, or t, b or both with a rate, as t:0.2."),
        ("t", "noise: got 't', must be none, or t, b or both with a rate, as t:0.2."),
        ("t:nan", "noise: got a rate of nan, must lie between 0 and 1 (share of the training questions)."),
    ],
)
def test_noise_that_cannot_be(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_noise(text)
    assert str(caught.value) == message


def test_noise_is_read() -> None:
    assert parse_noise("both:0.25") == ("both", 0.25)
    assert parse_noise("none") == ("none", 0.0)


def test_noise_needs_two_entities_and_a_share() -> None:
    with pytest.raises(UserError, match="got 1 entity, a wrong step needs at least 2"):
        corrupted(np.zeros((3, 2), np.int64), "t", 0.5, 1, np.random.default_rng(0))
    with pytest.raises(UserError, match=r"got a rate of -0\.1, must lie between 0 and 1"):
        corrupted(np.zeros((3, 2), np.int64), "t", -0.1, 5, np.random.default_rng(0))


def test_rates_tell_answer_from_bridge() -> None:
    table = np.full((10, 3), -1, np.int32)
    table[7, 2], table[6, 2] = 9, 5
    asked = Asked(torch.tensor([[4, 11, 12]] * 4), torch.tensor([[7, 9]] * 4))
    end = TOKENS.end
    given = torch.tensor([[7, 9, end], [6, 9, end], [6, 5, end], [7, 9, 3]])
    rates = compared(given, asked, "cot", TOKENS, table)
    assert (rates.answer, rates.bridge, rates.exact) == (0.75, 0.5, 0.25)
    assert rates.answer_if_bridge_wrong == 0.5
    assert rates.consistent == 0.75
    direct = compared(torch.tensor([[9, end]] * 4), asked, "direct", TOKENS)
    assert direct.answer == direct.exact == 1
    assert math.isnan(direct.bridge)


@pytest.fixture(scope="module")
def trained() -> tuple[Transformer, Asked, Asked, StepTokens]:
    """A model that has learnt to write the bridge, its questions, and the same with wrong bridges in the file."""
    table = random_table(8, 3, 3, np.random.default_rng(0))
    tokens = StepTokens(8, 3)
    every, facts = chains(table), facts_of(table)
    data = written(
        [
            Written(fact_questions(facts, tokens), tokens.continuation(facts[:, 2:], "direct")),
            Written(chain_questions(every, tokens), tokens.continuation(chain_paths(every), "cot")),
        ]
    )
    model = Transformer(TransformerConfig(tokens.n_token, 6, 32, 1, 2), torch.Generator().manual_seed(0))
    fit(model, data, FitConfig(steps=150, batch=96), order_seed=0)
    path = torch.from_numpy(chain_paths(every))
    prompts = torch.from_numpy(chain_questions(every, tokens))
    spoilt = path.clone()
    spoilt[:, 0] = (spoilt[:, 0] + 1) % 8
    return model, Asked(prompts, path), Asked(prompts, spoilt), tokens


def test_a_spoilt_bridge_column_changes_no_answer(trained: tuple[Transformer, Asked, Asked, StepTokens]) -> None:
    model, asked, spoilt, tokens = trained
    fair, unfair = asked.rates(model, "cot", tokens), spoilt.rates(model, "cot", tokens)
    assert fair.answer > 0.9  # it has learnt, so that there is something to spoil
    assert unfair.answer == fair.answer
    assert unfair.bridge == pytest.approx(0, abs=0.1)


def test_no_question_gives_no_number(trained: tuple[Transformer, Asked, Asked, StepTokens]) -> None:
    model, asked, _, tokens = trained
    nothing = Asked(asked.prompts[:0], asked.path[:0])
    assert all(math.isnan(value) for value in nothing.rates(model, "cot", tokens))


def test_three_hops_are_true() -> None:
    table = random_table(9, 3, 2, np.random.default_rng(3))
    found = three_hops(chains(table), facts_of(table), StepTokens(9, 3), np.random.default_rng(0), 30)
    assert len(found.prompts) == 30
    assert not len(three_hops(chains(table), facts_of(table), StepTokens(9, 3), np.random.default_rng(0), 0).prompts)
    for prompt, path in zip(found.prompts.tolist(), found.path.tolist(), strict=True):
        at = prompt[0]
        for relation, reached in zip(prompt[1:], path, strict=True):
            at = int(table[at, relation - 9])
            assert at == reached

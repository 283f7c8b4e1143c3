"""Generating with kept keys and values gives what running the whole sequence again gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from wheatstone.learn.generation import Draw, drawn, generate
from wheatstone.learn.models.transformer import Transformer, TransformerConfig

CFG = TransformerConfig(vocab=11, context=12, d_model=16, n_layer=2, n_head=2)
VARIANTS = {
    "gpt2": CFG,
    "rotary": dataclasses.replace(CFG, positions="rotary"),
    "waves": dataclasses.replace(CFG, positions="sinusoidal"),
    "no positions": dataclasses.replace(CFG, positions="none", tied=False),
    "loops and memory": dataclasses.replace(CFG, loops=2, shared_memory=8),
    "attention only": dataclasses.replace(CFG, d_mlp=0),
}
PROMPTS = torch.randint(0, CFG.vocab, (5, 3), generator=torch.Generator().manual_seed(1))


def model_of(cfg: TransformerConfig) -> Transformer:
    model = Transformer(cfg, torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(8)  # far from uniform, so that a wrong position changes an answer
    return model


@pytest.mark.parametrize("cfg", VARIANTS.values(), ids=VARIANTS.keys())
def test_greedy_tokens_are_those_of_the_whole_sequence(cfg: TransformerConfig) -> None:
    model, whole = model_of(cfg), PROMPTS
    for _ in range(9):
        whole = torch.cat((whole, model(whole)[:, -1].argmax(-1, keepdim=True)), 1)
    found = generate(model, PROMPTS, 9, batch=2)
    assert torch.equal(found, whole[:, 3:])
    assert len(found.unique()) > 2


@pytest.mark.parametrize("cfg", VARIANTS.values(), ids=VARIANTS.keys())
def test_any_division_into_calls_gives_the_same_states(cfg: TransformerConfig) -> None:
    model = model_of(cfg)
    tokens = torch.cat((PROMPTS, PROMPTS, PROMPTS), 1)
    expected = model.resid(tokens)
    first, past = model.going_on(tokens[:, :4])
    second, past = model.going_on(tokens[:, 4:5], past)
    third, _ = model.going_on(tokens[:, 5:], past)
    torch.testing.assert_close(torch.cat((first, second, third), 1), expected, rtol=1e-4, atol=1e-4)


def test_after_the_stop_token_comes_nothing_else() -> None:
    model = model_of(CFG)
    free = generate(model, PROMPTS, 9)
    stop = int(free[0, 2])
    found = generate(model, PROMPTS, 9, stop=stop)
    for row, tokens in zip(found.tolist(), free.tolist(), strict=True):
        end = tokens.index(stop) if stop in tokens else 9
        assert row[:end] == tokens[:end]
        assert set(row[end:]) <= {stop}


def even_after_odd(sequences: Tensor) -> Tensor:
    """A grammar: parity alternates."""
    return (torch.arange(CFG.vocab) % 2)[None] != (sequences[:, -1:] % 2)


@pytest.mark.parametrize("draw", [None, Draw(torch.Generator().manual_seed(3))], ids=["greedy", "drawn"])
def test_only_allowed_tokens_are_generated(draw: Draw | None) -> None:
    found = generate(model_of(CFG), PROMPTS, 9, draw=draw, allowed=even_after_odd)
    parity = torch.cat((PROMPTS[:, -1:], found), 1) % 2
    assert bool((parity[:, 1:] != parity[:, :-1]).all())


def nothing(sequences: Tensor) -> Tensor:
    return torch.zeros(len(sequences), CFG.vocab, dtype=torch.bool)


@pytest.mark.parametrize(
    ("steps", "allowed", "message"), [(10, None, "do not fit"), (2, nothing, "no token is allowed")]
)
def test_what_cannot_be_generated_is_refused(steps: int, allowed: Callable[[Tensor], Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate(model_of(CFG), PROMPTS, steps, allowed=allowed)


def test_frequencies_are_the_probabilities() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().expand(20_000, 4)
    counts = drawn(logits, Draw(torch.Generator().manual_seed(0))).bincount(minlength=4) / 20_000
    torch.testing.assert_close(counts, torch.tensor([0.5, 0.3, 0.15, 0.05]), atol=0.02, rtol=0)
    sharper = drawn(logits, Draw(torch.Generator().manual_seed(0), temperature=0.5)).bincount(minlength=4) / 20_000
    squares = torch.tensor([0.25, 0.09, 0.0225, 0.0025])
    torch.testing.assert_close(sharper, squares / squares.sum(), atol=0.02, rtol=0)


@given(st.integers(1, 4), st.integers(0, 10**6))
def test_top_k_keeps_the_most_probable(k: int, seed: int) -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0, 0.0]]).repeat(50, 1)
    found = drawn(logits, Draw(torch.Generator().manual_seed(seed), top_k=k))
    assert set(found.tolist()) <= set([0, 2, 1, 3][:k])


@pytest.mark.parametrize(("top_p", "kept"), [(0.4, {0}), (0.5, {0}), (0.6, {0, 2}), (1.0, {0, 1, 2, 3})])
def test_top_p_keeps_the_smallest_set_that_reaches_it(top_p: float, kept: set[int]) -> None:
    logits = torch.tensor([0.5, 0.15, 0.3, 0.05]).log().expand(2000, 4)
    found = drawn(logits, Draw(torch.Generator().manual_seed(0), top_p=top_p))
    assert set(found.tolist()) == kept

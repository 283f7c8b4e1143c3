"""The transformer against GPT-2 as Hugging Face has it, and against its own definition of a hook."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from wheatstone.learn.models.transformer import INIT_STD, Transformer, TransformerConfig, causal_mask, waves
from wheatstone.learn.sequences import NO_TARGET, padded, shared_prefix

CFG = TransformerConfig(vocab=23, context=7, d_model=16, n_layer=3, n_head=4)


def build(cfg: TransformerConfig = CFG, seed: int = 0, spread: float = 0.3) -> Transformer:
    """A model in double precision with weights large enough for differences to show."""
    generator = torch.Generator().manual_seed(seed)
    model = Transformer(cfg, generator).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64), alpha=spread)
    return model


def some_tokens(n: int = 5, length: int = 7, vocab: int = 23, seed: int = 1) -> Tensor:
    return torch.randint(vocab, (n, length), generator=torch.Generator().manual_seed(seed))


def gpt2_with_the_weights_of(model: Transformer) -> GPT2LMHeadModel:
    cfg = model.cfg
    theirs = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=cfg.vocab,
            n_positions=cfg.context,
            n_embd=cfg.d_model,
            n_layer=cfg.n_layer,
            n_head=cfg.n_head,
            bos_token_id=0,
            eos_token_id=0,
        )
    ).double()
    weights: dict[str, Tensor] = {"wte.weight": model.embedding, "wpe.weight": model.position}
    for i, block in enumerate(model.blocks):
        attn, mlp = block.attn, block.mlp
        parts = {
            "ln_1.weight": block.norm_attn.weight,
            "ln_1.bias": block.norm_attn.bias,
            "attn.c_attn.weight": torch.cat([attn.q.weight.T, attn.k.weight.T, attn.v.weight.T], 1),
            "attn.c_attn.bias": torch.cat([attn.q.bias, attn.k.bias, attn.v.bias]),
            "attn.c_proj.weight": attn.out.weight.T,
            "attn.c_proj.bias": attn.out.bias,
            "ln_2.weight": block.norm_mlp.weight,
            "ln_2.bias": block.norm_mlp.bias,
            "mlp.c_fc.weight": mlp.up.weight.T,
            "mlp.c_fc.bias": mlp.up.bias,
            "mlp.c_proj.weight": mlp.down.weight.T,
            "mlp.c_proj.bias": mlp.down.bias,
        }
        weights |= {f"h.{i}.{name}": value for name, value in parts.items()}
    weights |= {"ln_f.weight": model.norm_final.weight, "ln_f.bias": model.norm_final.bias}
    theirs.transformer.load_state_dict(weights)
    return theirs.eval()


def test_logits_are_those_of_hugging_face_gpt2() -> None:
    model, tokens = build(), some_tokens()
    with torch.no_grad():
        ours, theirs = model(tokens), gpt2_with_the_weights_of(model)(tokens).logits
    assert theirs.std() > 0.5, "weights too small to tell two models apart"
    assert torch.allclose(ours, theirs, atol=1e-10)


@pytest.mark.parametrize(
    "change",
    [
        {"positions": "rotary"},
        {"positions": "sinusoidal"},
        {"positions": "none"},
        {"loops": 2},
        {"shared_memory": 24},
        {"d_mlp": 0},
        {"tied": False},
    ],
    ids=str,
)
def test_every_variant_is_causal_and_differs_from_the_plain_model(change: dict[str, object]) -> None:
    model, tokens = build(dataclasses.replace(CFG, **change)), some_tokens()
    later = tokens.clone()
    later[:, 4:] = (later[:, 4:] + 1) % 23
    with torch.no_grad():
        a, b = model(tokens), model(later)
    assert torch.equal(a[:, :4], b[:, :4])
    assert not torch.allclose(a[:, 4:], b[:, 4:])
    assert not torch.allclose(a, build()(tokens), atol=1e-3)


def test_rotary_attention_depends_on_relative_position_only() -> None:
    model, tokens = build(dataclasses.replace(CFG, positions="rotary")), some_tokens()
    with torch.no_grad():
        here = model(tokens, positions=torch.arange(7))
        shifted = model(tokens, positions=torch.arange(7) + 100)
    assert torch.allclose(here, shifted, atol=1e-4)  # angles are computed in float32


def test_waves_are_those_of_the_formula() -> None:
    """Vaswani et al. 2017, section 3.5, entry by entry; an odd width leaves the last cosine out."""
    found = waves(torch.tensor([0, 3, 40]), 7)
    assert found.shape == (3, 7)
    for row, position in enumerate((0, 3, 40)):
        for feature in range(7):
            angle = position / 10_000 ** ((feature - feature % 2) / 7)
            expected = INIT_STD * (math.cos(angle) if feature % 2 else math.sin(angle))
            assert found[row, feature].item() == pytest.approx(expected, abs=1e-6)


def test_looping_one_block_is_stacking_copies_of_it() -> None:
    looped = build(dataclasses.replace(CFG, n_layer=1, loops=3))
    stacked = build(CFG)
    weights = looped.state_dict()
    for name in list(weights):
        if name.startswith("blocks.0."):
            weights |= {name.replace("blocks.0.", f"blocks.{i}."): weights[name] for i in (1, 2)}
    stacked.load_state_dict(weights)
    tokens = some_tokens()
    assert torch.equal(looped(tokens), stacked(tokens))


def test_a_silent_hook_changes_nothing_and_every_site_is_reached() -> None:
    model, tokens = build(), some_tokens()
    seen: dict[str, Tensor] = {}
    names = ["hook_embed", "hook_pos_embed", "ln_final.hook_normalized", *(n for s in model.sites for n in s)]
    hooked = model(tokens, hooks={name: _watch(seen, name) for name in names})
    assert torch.allclose(hooked, model(tokens), atol=1e-12)
    assert set(seen) == set(names)
    assert seen["blocks.1.attn.hook_pattern"].shape == (5, 4, 7, 7)
    assert torch.allclose(seen["blocks.1.attn.hook_pattern"].sum(-1), torch.ones(5, 4, 7, dtype=torch.float64))


def _watch(seen: dict[str, Tensor], name: str):
    def look(value: Tensor) -> None:
        seen[name] = value

    return look


def test_a_hook_that_returns_a_tensor_replaces_the_value() -> None:
    model, tokens = build(), some_tokens()
    zeroed = model(tokens, hooks={"blocks.2.hook_resid_post": torch.zeros_like})
    assert torch.allclose(zeroed, model.unembed(torch.zeros(5, 7, 16, dtype=torch.float64)))


def test_initial_weights_depend_on_the_generator_alone() -> None:
    torch.manual_seed(1)
    a = Transformer(CFG, torch.Generator().manual_seed(5))
    torch.manual_seed(2)
    b = Transformer(CFG, torch.Generator().manual_seed(5))
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert a.embedding.std().item() == pytest.approx(0.02, rel=0.1)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="n_head must divide d_model: got n_head 3, d_model 16"):
        dataclasses.replace(CFG, n_head=3)


@given(seed=st.integers(0, 10_000), width=st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_shared_prefix_rows_give_the_logits_of_separate_rows(seed: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    prefixes = np.unique(rng.integers(0, 23, (4, 2)), axis=0)
    owner = rng.integers(0, len(prefixes), 9)
    last, answers = rng.integers(0, 23, 9), rng.integers(0, 23, 9)
    prefix_answers = np.where(rng.random(len(prefixes)) < 0.5, rng.integers(0, 23, len(prefixes)), NO_TARGET)
    tree = shared_prefix(prefixes, prefix_answers, last, answers, owner, width=width)
    asked = prefix_answers != NO_TARGET
    full = np.concatenate([prefixes[owner], last[:, None]], 1)
    flat = padded([prefixes[asked], full], [prefix_answers[asked], answers])
    model = build(seed=seed)

    def question_losses(data) -> list[float]:
        with torch.no_grad():
            logits = model(data.tokens, mask=data.mask, positions=data.positions)
        asked_at = data.targets != NO_TARGET
        chosen = logits[asked_at].log_softmax(-1).gather(1, data.targets[asked_at][:, None])[:, 0]
        return sorted(round(x, 9) for x in chosen.tolist())

    assert tree.n_target == flat.n_target
    assert np.allclose(question_losses(tree), question_losses(flat), atol=1e-8)


def test_causal_mask_is_the_default_mask() -> None:
    model, tokens = build(), some_tokens()
    assert torch.allclose(model(tokens), model(tokens, mask=causal_mask(7)), atol=1e-12)


@pytest.mark.parametrize(
    "change",
    [{}, {"positions": "rotary"}, {"positions": "sinusoidal"}, {"loops": 2}, {"shared_memory": 24}, {"d_mlp": 0}],
    ids=str,
)
def test_the_state_at_one_position_is_that_of_the_whole_pass(change: dict[str, object]) -> None:
    model, tokens = build(dataclasses.replace(CFG, **change)), some_tokens()
    at = torch.tensor([0, 6, 3, 6, 1])
    with torch.no_grad():
        whole = model.resid(tokens)[torch.arange(5), at]
        assert torch.allclose(model.resid_at(tokens, at), whole, atol=1e-5 if "positions" in change else 1e-10)


def test_no_rows_have_no_logits() -> None:
    model = Transformer(TransformerConfig(vocab=5, context=3, d_model=8, n_head=2), torch.Generator().manual_seed(0))
    none = torch.zeros(0, 3, dtype=torch.int64)
    assert model(none).shape == (0, 3, 5)
    assert model.resid_at(none, none[:, 0]).shape == (0, 8)

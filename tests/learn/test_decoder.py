"""The decoder of pretrained models: logits against transformers, sites, cache, conversion of our own transformer."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from wheatstone.learn.models.decoder import Decoder, DecoderConfig
from wheatstone.learn.models.loading import load
from wheatstone.learn.models.loading.own import decoder_of, save_own
from wheatstone.learn.models.transformer import Sites, Transformer, TransformerConfig

needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="transformers is not installed (a development dependency)"
)
GROUPED = DecoderConfig(
    vocab=50, context=32, d_model=24, n_layer=3, n_head=6, n_kv_head=2, d_head=8, d_mlp=40, rotary_base=500.0
)
LEARNED = DecoderConfig(
    vocab=50, context=32, d_model=24, n_layer=2, n_head=3, n_kv_head=3, d_head=8, d_mlp=40, norm="layer",
    positions="learned", mlp="gelu_tanh", qkv_bias=True, bias=True, tied=True,
)  # fmt: skip


def random_decoder(cfg: DecoderConfig, scale: float = 8.0) -> Decoder:
    """Weights large enough for attention to be far from even."""
    model = Decoder(cfg, torch.Generator().manual_seed(0)).requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.mul_(scale)
    return model


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(0, 50, (3, 11), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("cfg", [GROUPED, LEARNED], ids=["grouped", "learned"])
def test_the_cache_changes_nothing(cfg: DecoderConfig, tokens: torch.Tensor) -> None:
    model = random_decoder(cfg)
    whole = model.resid(tokens)
    first, past = model.going_on(tokens[:, :4])
    rest, past = model.going_on(tokens[:, 4:9], past)
    last, _ = model.going_on(tokens[:, 9:], past)
    torch.testing.assert_close(torch.cat((first, rest, last), 1), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cfg", [GROUPED, LEARNED], ids=["grouped", "learned"])
def test_every_site_is_shown_and_can_be_replaced(cfg: DecoderConfig, tokens: torch.Tensor) -> None:
    model = random_decoder(cfg)
    plain = model(tokens)
    names = [name for layer in range(cfg.n_layer) for name in (*Sites.of(layer), f"blocks.{layer}.mlp.hook_post")]
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str):
        return lambda value: seen.__setitem__(name, value)

    shown = model(tokens, hooks={name: keep(name) for name in [*names, "hook_embed", "ln_final.hook_normalized"]})
    torch.testing.assert_close(shown, plain, rtol=1e-5, atol=1e-5)
    assert set(names) <= set(seen)
    assert seen["blocks.0.attn.hook_k"].shape[2] == cfg.n_kv_head
    assert seen["blocks.0.attn.hook_pattern"].shape == (3, cfg.n_head, 11, 11)
    for name in names:
        changed = model(tokens, hooks={name: lambda value: value.roll(1, -1)})
        assert not torch.allclose(changed, plain, atol=1e-3), name


def test_head_outputs_sum_to_the_output(tokens: torch.Tensor) -> None:
    model = random_decoder(LEARNED)
    kept: dict[str, torch.Tensor] = {}
    sites = model.sites[1]
    model(tokens, hooks={s: (lambda v, s=s: kept.__setitem__(s, v)) for s in (sites.z, sites.attn_out)})
    attention = model.block(1).attn
    together = attention.head_outputs(kept[sites.z]).sum(2) + attention.out.bias
    torch.testing.assert_close(together, kept[sites.attn_out], rtol=1e-5, atol=1e-5)


def test_grouped_heads_are_full_heads_with_repeated_keys(tokens: torch.Tensor) -> None:
    grouped = random_decoder(GROUPED)
    full = Decoder(
        DecoderConfig(**{**grouped.config_json(), "n_kv_head": 6}),  # pyright: ignore[reportArgumentType]
        torch.Generator(),
    )
    state = grouped.state_dict()
    for name in [name for name in state if name.endswith(("attn.k.weight", "attn.v.weight"))]:
        state[name] = state[name].unflatten(0, (2, 8)).repeat_interleave(3, 0).flatten(0, 1)
    full.load_state_dict(state)
    torch.testing.assert_close(full(tokens), grouped(tokens), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("positions", ["learned", "rotary", "sinusoidal", "none"])
@pytest.mark.parametrize("d_mlp", [None, 0])
def test_our_transformer_becomes_a_decoder(
    positions: str, d_mlp: int | None, tokens: torch.Tensor, tmp_path: Path
) -> None:
    cfg = TransformerConfig(50, 32, 24, 2, 3, d_mlp, positions, loops=2, tied=False)  # pyright: ignore[reportArgumentType]
    model = Transformer(cfg, torch.Generator().manual_seed(3)).eval()
    save_own(model, tmp_path / "model.safetensors")
    loaded = load(tmp_path / "model.safetensors")
    with torch.no_grad():
        expected = model(tokens)
    torch.testing.assert_close(loaded.logits(tokens), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(decoder_of(model)(tokens), expected, rtol=1e-5, atol=1e-5)
    assert loaded.encode("3 49") == [3, 49]
    assert loaded.decode([3, 49]) == "3 49"
    assert loaded.block_count == 4


@needs_transformers
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shards", [1, 3])
def test_a_llama_folder_gives_the_logits_of_transformers(
    tied: bool, shards: int, tokens: torch.Tensor, tmp_path: Path
) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=56, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=12, max_position_embeddings=64, tie_word_embeddings=tied,
        rope_parameters={"rope_type": "default", "rope_theta": 1234.0}, initializer_range=0.3,
    )  # fmt: skip
    theirs = LlamaForCausalLM(config).eval()
    theirs.save_pretrained(tmp_path, max_shard_size="1GB" if shards == 1 else "40KB")
    assert (tmp_path / "model.safetensors.index.json").exists() == (shards > 1)
    ours = load(tmp_path)
    assert ours.model.cfg.tied == tied
    with torch.no_grad():
        torch.testing.assert_close(ours.logits(tokens), theirs(tokens).logits, rtol=1e-4, atol=1e-4)


@needs_transformers
@pytest.mark.parametrize("bare", [True, False])
def test_a_gpt2_folder_gives_the_logits_of_transformers(bare: bool, tokens: torch.Tensor, tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=50, n_positions=32, n_embd=24, n_layer=3, n_head=4, initializer_range=0.3)
    theirs = GPT2LMHeadModel(config).eval()
    (theirs.transformer if bare else theirs).save_pretrained(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(load(tmp_path).logits(tokens), theirs(tokens).logits, rtol=1e-4, atol=1e-4)

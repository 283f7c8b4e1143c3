"""Patching agrees with TransformerLens on the same weights; its answers are kept, and tests/oracles made them."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from wheatstone.interp.patching import patched, trace
from wheatstone.learn.models.transformer import Transformer, TransformerConfig

KEPT = load_file(Path(__file__).parent.parent / "data" / "oracles" / "patching.safetensors")


def model() -> Transformer:
    cfg = TransformerConfig(vocab=11, context=3, d_model=16, n_layer=2, n_head=4)
    built = Transformer(cfg, torch.Generator().manual_seed(0)).eval()
    built.load_state_dict({k.removeprefix("weights."): v for k, v in KEPT.items() if k.startswith("weights.")})
    return built


@torch.no_grad()
def test_logits_and_patched_logits_are_those_of_transformer_lens() -> None:
    ours = model()
    assert KEPT["logits"].std() > 0.5
    assert torch.allclose(ours(KEPT["clean"]), KEPT["logits"], atol=1e-5)
    here, there = trace(ours, KEPT["clean"]), trace(ours, KEPT["source"])
    for layer in range(2):
        for position in range(3):
            last = patched(ours, here, there, layer + 1, position)
            theirs = KEPT["patched"][layer, position][:, -1]
            assert torch.allclose(ours.unembed(last), theirs, atol=1e-5)
            reached = layer == 0 or position == 2
            assert torch.allclose(theirs, KEPT["logits"][:, -1], atol=1e-2) != reached

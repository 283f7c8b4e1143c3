"""What is drawn is what is trained: the diagram of the house's transformer computes its logits and its gradients."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tests.domains.diagrams.agreement import assert_agree

from wheatstone.bench.draw import diagram_svg
from wheatstone.domains.diagrams.models import (
    transformer_diagram,
    transformer_domain,
    transformer_sizes,
    transformer_state,
    transformer_term,
)
from wheatstone.domains.diagrams.network import compile_torch
from wheatstone.learn.models.transformer import Transformer, TransformerConfig

LENGTH = 5
SMALL = TransformerConfig(vocab=11, context=7, d_model=12, n_layer=2, n_head=3, d_mlp=17)
VARIANTS = {
    "learned positions": SMALL,
    "rotary": dataclasses.replace(SMALL, positions="rotary"),
    "waves": dataclasses.replace(SMALL, positions="sinusoidal"),
    "no positions": dataclasses.replace(SMALL, positions="none"),
    "looped": dataclasses.replace(SMALL, loops=3),
    "shared memory": dataclasses.replace(SMALL, shared_memory=5),
    "attention only": dataclasses.replace(SMALL, d_mlp=0),
    "memory only": dataclasses.replace(SMALL, d_mlp=0, shared_memory=5),
    "untied": dataclasses.replace(SMALL, tied=False),
}


@pytest.mark.parametrize("cfg", VARIANTS.values(), ids=VARIANTS)
def test_the_diagram_computes_the_transformers_logits_and_gradients(cfg: TransformerConfig) -> None:
    model = Transformer(cfg, torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        for parameter in model.parameters():  # biases too: a zero hides what is left out
            parameter.normal_(0, 0.3, generator=torch.Generator().manual_seed(parameter.numel()))
    network = compile_torch(
        transformer_term(cfg), transformer_domain(LENGTH), transformer_sizes(cfg), dtype=torch.float64
    )
    network.load(transformer_state(model, LENGTH))
    tokens = torch.randint(cfg.vocab, (LENGTH,), generator=torch.Generator().manual_seed(3))
    expected, found = model(tokens[None])[0], network(tokens)
    assert_agree(model, network, expected, found, is_rotary=cfg.positions == "rotary")


def test_every_block_has_weights_of_its_own_and_loops_share() -> None:
    def count(cfg: TransformerConfig) -> int:
        network = compile_torch(transformer_term(cfg), transformer_domain(LENGTH), transformer_sizes(cfg))
        return sum(one.numel() for name, one in network.named_parameters() if name.startswith("blocks"))

    assert count(dataclasses.replace(SMALL, n_layer=6)) == 3 * count(SMALL)
    assert count(dataclasses.replace(SMALL, loops=3)) == count(SMALL)


@pytest.mark.parametrize("cfg", VARIANTS.values(), ids=VARIANTS)
def test_a_study_can_show_its_network(cfg: TransformerConfig) -> None:
    shown = transformer_diagram(cfg, title="The network")
    said = [text.text for text in shown.texts]
    assert f"block, × {cfg.n_layer}" in said or any("block" in text and "×" in text for text in said)
    assert "attention" in said
    assert shown.width < 1250
    assert len(diagram_svg(shown)) < 120_000

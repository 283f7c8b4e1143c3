"""What is drawn is what is trained: the diagram of a transformer over statements computes its logits and gradients."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tests.domains.diagrams.agreement import assert_agree

from wheatstone.domains.diagrams.models import transformer_sizes, transformer_state
from wheatstone.domains.diagrams.network import compile_torch
from wheatstone.domains.diagrams.statements import ANSWERS, KINDS, statement_domain, statement_term
from wheatstone.learn.models.statements import ANSWERS as TOLD
from wheatstone.learn.models.statements import PADDING, StatementTransformer
from wheatstone.learn.models.transformer import TransformerConfig

LENGTH = 5
SMALL = TransformerConfig(vocab=7, context=9, d_model=12, n_layer=2, n_head=3, d_mlp=17, positions="none", tied=False)
VARIANTS = {
    "no positions": SMALL,
    "learned positions": dataclasses.replace(SMALL, positions="learned"),
    "rotary": dataclasses.replace(SMALL, positions="rotary"),
    "waves": dataclasses.replace(SMALL, positions="sinusoidal"),
    "looped": dataclasses.replace(SMALL, loops=2),
}


@pytest.mark.parametrize("cfg", VARIANTS.values(), ids=VARIANTS)
def test_the_diagram_computes_the_logits_and_gradients(cfg: TransformerConfig) -> None:
    model = StatementTransformer(cfg, torch.Generator().manual_seed(0)).double()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():  # biases too: a zero hides what is left out
            parameter.normal_(0, 0.3, generator=draw)
    network = compile_torch(statement_term(cfg), statement_domain(LENGTH), transformer_sizes(cfg), dtype=torch.float64)
    network.load(transformer_state(model, LENGTH))
    kind = torch.randint(PADDING, (LENGTH,), generator=draw)
    first, second = torch.randint(cfg.vocab, (2, LENGTH), generator=draw)
    expected = model(((kind * cfg.vocab + first) * cfg.vocab + second)[None])[0]
    found = network(kind, first, second)
    assert_agree(model, network, expected, found, is_rotary=cfg.positions == "rotary")


def test_the_tables_have_the_models_sizes() -> None:
    assert (len(TOLD), PADDING + 1) == (ANSWERS, KINDS)

"""Language models as diagrams: a diagram with a decoder's weights gives its logits, of a real one too."""

from __future__ import annotations

import pytest
import torch

from wheatstone.domains.data import data_folder
from wheatstone.domains.diagrams.decoders import decoder_diagram, decoder_state, decoder_term
from wheatstone.domains.diagrams.models import transformer_domain
from wheatstone.domains.diagrams.network import compile_torch
from wheatstone.learn.models.decoder import Decoder, DecoderConfig

LLAMA = DecoderConfig(13, 16, d_model=12, n_layer=2, n_head=6, n_kv_head=3, d_head=4, d_mlp=7)
GPT2 = DecoderConfig(
    13,
    16,
    d_model=12,
    n_layer=2,
    n_head=3,
    n_kv_head=3,
    d_head=4,
    d_mlp=7,
    norm="layer",
    positions="learned",
    mlp="gelu_tanh",
    qkv_bias=True,
    bias=True,
    tied=True,
)


@pytest.mark.parametrize("cfg", [LLAMA, GPT2], ids=["llama", "gpt2"])
def test_the_diagram_gives_the_decoders_logits(cfg: DecoderConfig) -> None:
    model = Decoder(cfg, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.normal_(0, 0.3, generator=torch.Generator().manual_seed(number))
    tokens = torch.tensor([1, 5, 2, 12, 0])
    network = compile_torch(decoder_term(cfg), transformer_domain(5)).load(decoder_state(model, 5))
    found = network(tokens)
    assert isinstance(found, torch.Tensor)
    assert (found - model(tokens[None])[0]).abs().max() < 1e-5
    assert "block, × 2" in [text.text for text in decoder_diagram(cfg).texts]


def test_a_real_language_model() -> None:
    from wheatstone.learn.models.loading import load

    path = data_folder() / "lm" / "stories260K.bin"
    if not path.is_file():
        pytest.skip("stories260K.bin is not in the folder of data")
    model = load(path).model
    tokens = torch.tensor([1, 403, 407, 261, 378, 31, 45])
    network = compile_torch(decoder_term(model.cfg), transformer_domain(7)).load(decoder_state(model, 7))
    with torch.no_grad():
        found = network(tokens)
        assert isinstance(found, torch.Tensor)
        assert (found - model(tokens[None])[0]).abs().max() < 2e-4  # logits of up to 20 in float32

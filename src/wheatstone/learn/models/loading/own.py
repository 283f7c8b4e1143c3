"""A transformer that was trained here, as one safetensors file with its settings in the file's record.

`save_own` writes it, `load_own` reads it as a `Decoder`: the same layers in the same order, a looped block once per
loop, so that every tool for pretrained models works on it. A memory that all layers share has no counterpart there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from wheatstone.bench.checkpoint import read_tensors, write_tensors
from wheatstone.bench.errors import UserError
from wheatstone.learn.models.decoder import Decoder, DecoderConfig
from wheatstone.learn.models.language_model import LanguageModel
from wheatstone.learn.models.loading.tokenizers import NumberTokenizer
from wheatstone.learn.models.transformer import Transformer, TransformerConfig, waves

RECORD = "transformer"
LARGEST = 1 << 28
"""Numbers in one matrix of a file's settings: larger ones are damage."""


def decoder_of(model: Transformer) -> Decoder:
    """The same function as a `Decoder`.

    Raises UserError for a memory that all layers share, and for positions that start anywhere but at 0.
    """
    cfg = model.cfg
    if cfg.shared_memory:
        raise UserError("a transformer with a memory that all layers share cannot become a decoder")
    mlp = 4 * cfg.d_model if cfg.d_mlp is None else cfg.d_mlp
    target = DecoderConfig(
        vocab=cfg.vocab,
        context=cfg.context,
        d_model=cfg.d_model,
        n_layer=cfg.depth,
        n_head=cfg.n_head,
        n_kv_head=cfg.n_head,
        d_head=cfg.d_head,
        d_mlp=mlp,
        norm="layer",
        positions="learned" if cfg.positions == "sinusoidal" else cfg.positions,
        mlp="gelu_tanh",
        qkv_bias=True,
        bias=True,
        tied=cfg.tied,
    )
    state = model.state_dict()
    found = {name: value for name, value in state.items() if not name.startswith("blocks.")}
    if cfg.positions == "sinusoidal":  # a table that happens to hold waves
        found["position"] = waves(torch.arange(cfg.context), cfg.d_model)
    for layer in range(cfg.depth):
        prefix = f"blocks.{layer % cfg.n_layer}."
        for name, value in state.items():
            if name.startswith(prefix):
                found[f"blocks.{layer}.{name.removeprefix(prefix)}"] = value
    decoder = Decoder(target)
    decoder.load_state_dict(found, assign=True)
    return decoder.requires_grad_(False).eval()


def save_own(model: Transformer, path: Path) -> None:
    """Writes weights and settings, so that `load_own` needs nothing else."""
    write_tensors(path, model.state_dict(), {RECORD: model.config_json()})


def load_own(path: Path) -> LanguageModel:
    """What `save_own` wrote, with numbers for words. Raises UserError for any other file."""
    tensors, record = read_tensors(path)
    try:
        cfg = TypeAdapter(TransformerConfig).validate_json(json.dumps(record[RECORD]), strict=True)
    except (KeyError, TypeError, ValidationError) as error:
        why = error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else "no settings"
        raise UserError(f"{path}: not a transformer with its settings ({why})") from None
    return LanguageModel(decoder_of(_filled(path, cfg, tensors)), NumberTokenizer(cfg.vocab, str(path)), path.stem)


def _filled(path: Path, cfg: TransformerConfig, tensors: dict[str, Any]) -> Transformer:
    held = sum(value.numel() for value in tensors.values() if isinstance(value, torch.Tensor))
    needed = cfg.vocab * cfg.d_model + cfg.n_layer * 4 * cfg.d_model**2
    if needed > held or cfg.loops > LARGEST // max(held, 1):  # nothing is allocated for what a file only claims
        raise UserError(f"{path}: its settings need {needed:,} numbers or more, it holds {held:,}")
    model = Transformer(cfg, torch.Generator())
    try:
        model.load_state_dict(tensors)
    except (RuntimeError, TypeError) as error:
        raise UserError(f"{path}: weights do not fit its settings ({' '.join(str(error).split())[:200]})") from None
    return model

"""GPT-2 as Hugging Face has it, with the weights of one of our models, in a plain PyTorch training loop.

The loop is what the library's documentation shows for training without its Trainer: `loss = model(...).loss`, backward,
clip, step, zero_grad, with AdamW as torch makes it by default.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from wheatstone.learn.models.transformer import Transformer, TransformerConfig


def gpt2(cfg: TransformerConfig, *, dropout: float = 0.0) -> GPT2LMHeadModel:
    """The architecture of a `TransformerConfig`, freshly initialised by Hugging Face's own rules."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=cfg.vocab,
            n_positions=cfg.context,
            n_embd=cfg.d_model,
            n_layer=cfg.n_layer,
            n_head=cfg.n_head,
            resid_pdrop=dropout,
            embd_pdrop=dropout,
            attn_pdrop=dropout,
            bos_token_id=0,
            eos_token_id=0,
        )
    )


def with_weights_of(model: Transformer, *, dropout: float = 0.0) -> GPT2LMHeadModel:
    """The same function as `model`, in Hugging Face's code."""
    theirs = gpt2(model.cfg, dropout=dropout)
    assert model.position is not None
    weights: dict[str, Tensor] = {"wte.weight": model.embedding, "wpe.weight": model.position}
    block: Any
    for i, block in enumerate(model.blocks):
        attn, mlp = block.attn, block.mlp
        weights |= {
            f"h.{i}.ln_1.weight": block.norm_attn.weight,
            f"h.{i}.ln_1.bias": block.norm_attn.bias,
            f"h.{i}.attn.c_attn.weight": torch.cat([attn.q.weight.T, attn.k.weight.T, attn.v.weight.T], 1),
            f"h.{i}.attn.c_attn.bias": torch.cat([attn.q.bias, attn.k.bias, attn.v.bias]),
            f"h.{i}.attn.c_proj.weight": attn.out.weight.T,
            f"h.{i}.attn.c_proj.bias": attn.out.bias,
            f"h.{i}.ln_2.weight": block.norm_mlp.weight,
            f"h.{i}.ln_2.bias": block.norm_mlp.bias,
            f"h.{i}.mlp.c_fc.weight": mlp.up.weight.T,
            f"h.{i}.mlp.c_fc.bias": mlp.up.bias,
            f"h.{i}.mlp.c_proj.weight": mlp.down.weight.T,
            f"h.{i}.mlp.c_proj.bias": mlp.down.bias,
        }
    weights |= {"ln_f.weight": model.norm_final.weight, "ln_f.bias": model.norm_final.bias}
    theirs.transformer.load_state_dict({name: value.detach() for name, value in weights.items()})
    return theirs


def adamw(
    model: torch.nn.Module,
    *,
    lr: float,
    weight_decay: float,
    beta2: float,
    fused: bool | None = None,
) -> torch.optim.AdamW:
    """AdamW with decay on everything but biases and norms."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim == 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim != 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, beta2), eps=1e-8, fused=fused)


@torch.no_grad()
def accuracy(model: GPT2LMHeadModel, prompts: Tensor, answers: Tensor, batch: int = 8192) -> float:
    """Share of prompts whose most probable next token is the answer."""
    model.eval()
    found = [model(input_ids=part).logits[:, -1].argmax(-1) for part in prompts.split(batch)]
    model.train()
    return (torch.cat(found) == answers).float().mean().item()

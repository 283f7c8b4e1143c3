"""A training loop in the style of nanoGPT: our own re-implementation of the idea, not its code.

What makes the style: one matrix for queries, keys and values, the fused attention kernel, exact GELU, tied embeddings,
logits at all positions in training, AdamW with decay on matrices only, clipping at 1, `torch.compile` when asked for.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wheatstone.learn.models.transformer import Transformer

NO_TARGET = -100


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.gelu = heads, "none"
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, pos, width] to the same."""
        batch, length, width = x.shape
        q, k, v = (
            part.view(batch, length, self.heads, -1).transpose(1, 2)
            for part in self.qkv(self.norm_1(x)).split(width, dim=2)
        )
        read = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.projection(read.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.norm_2(x)), approximate=self.gelu))


class NanoGPT(nn.Module):
    """tokens, targets -> loss, with logits at every position."""

    def __init__(self, vocab: int, context: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.embedding, self.position = nn.Embedding(vocab, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy over the positions that have a target."""
        x = self.embedding(tokens) + self.position(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        logits = self.norm(x) @ self.embedding.weight.T
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=NO_TARGET)


def use_gelu(model: NanoGPT, form: str) -> None:
    """Exact GELU ("none") is the style's own and several times faster on CPU; "tanh" is GPT-2's, to compare with."""
    block: Any
    for block in model.blocks:
        block.gelu = form


@torch.no_grad()
def with_weights_of(model: Transformer) -> NanoGPT:
    """The same weights in this code; the function differs by the form of GELU."""
    cfg = model.cfg
    theirs = NanoGPT(cfg.vocab, cfg.context, cfg.d_model, cfg.n_layer, cfg.n_head)
    assert model.position is not None
    theirs.embedding.weight.copy_(model.embedding)
    theirs.position.weight.copy_(model.position)
    mine: Any
    block: Any
    for mine, block in zip(theirs.blocks, model.blocks, strict=True):
        attn = block.attn
        mine.norm_1.load_state_dict(block.norm_attn.state_dict())
        mine.norm_2.load_state_dict(block.norm_mlp.state_dict())
        mine.qkv.weight.copy_(torch.cat([attn.q.weight, attn.k.weight, attn.v.weight]))
        mine.qkv.bias.copy_(torch.cat([attn.q.bias, attn.k.bias, attn.v.bias]))
        mine.projection.load_state_dict(attn.out.state_dict())
        mine.up.load_state_dict(block.mlp.up.state_dict())
        mine.down.load_state_dict(block.mlp.down.state_dict())
    theirs.norm.load_state_dict(model.norm_final.state_dict())
    return theirs

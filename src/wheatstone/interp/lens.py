"""Logit lens: read a residual state as if it were the last one (nostalgebraist 2020).

The state passes the final layer norm and the unembedding; the rank of a token is counted among the whole vocabulary.
A high rank says that the token can be read off, not that the network uses it: in two-hop reasoning the bridge entity is
as readable in a model that memorised its answers as in one that composes. What decides is an intervention
(`patching.py`); the lens is shown beside it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from wheatstone.learn.models.transformer import Transformer


@torch.no_grad()
def logit_lens(model: Transformer, resid: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch vocab"]:
    """Logits of the final norm and unembedding, applied to any residual state."""
    return model.unembed(resid)


def reciprocal_rank(logits: Float[Tensor, "*batch vocab"], token: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """1 / (1 + number of tokens with a larger logit): 1 for the top token."""
    of_token = logits.gather(-1, token[..., None])
    return 1.0 / (1.0 + (logits > of_token).sum(-1).float())


def lens_mrr(
    model: Transformer, states: Float[Tensor, "layer batch pos d_model"], token: Int[Tensor, " batch"]
) -> Float[Tensor, "layer pos"]:
    """Mean reciprocal rank of `token` at every state (`patching.states` gives them)."""
    ranks = [reciprocal_rank(logit_lens(model, layer), token[:, None].expand(layer.shape[:2])) for layer in states]
    return torch.stack(ranks).mean(1)

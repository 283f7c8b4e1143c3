"""Heads that are told where to look, or silenced: interventions at the last token, each the price of one column.

Forcing attention is the repair of Merullo et al. 2024 (arXiv:2310.08744, section 5): heads that a task lacks get the
pattern that they have in another task, here equal weight on some positions and none elsewhere. Which positions are
right is read from the answer, so it tests a mechanism; it is no better model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from wheatstone.interp.end_column import EndTrace, Head, Overrides, column
from wheatstone.learn.models.decoder import Decoder


@torch.no_grad()
def forced_attention(
    model: Decoder, trace: EndTrace, heads: Sequence[Head], positions: Int[Tensor, "batch place"]
) -> Float[Tensor, "batch d_model"]:
    """The last state at END when each of `heads` reads the mean of the values at `positions`, all before END."""
    rows = torch.arange(trace.size)[:, None]
    groups = model.cfg.queries_per_kv_head
    values = {head: trace.values[head.layer][:, head.head // groups][rows, positions].mean(1)[None] for head in heads}
    return column(model, trace, Overrides.of("z", values))[0]


@torch.no_grad()
def mean_ablated(model: Decoder, trace: EndTrace, heads: Sequence[Head]) -> Float[Tensor, "batch d_model"]:
    """The last state at END when each of `heads` writes there what it writes on average over the prompts."""
    values = {head: trace.z[head.layer][:, head.head].mean(0).expand(1, trace.size, -1) for head in heads}
    return column(model, trace, Overrides.of("z", values))[0]

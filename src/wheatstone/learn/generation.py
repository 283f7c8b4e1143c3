"""Generating: tokens one after the other, each fed back, never the true ones.

Keys and values of what has been read are kept (`going_on` of the model), so a new token costs one position. Greedy
decoding is what accuracies are measured with; sampling has temperature, top-k and top-p (Holtzman et al. 2020,
arXiv:1904.09751), and a mask of allowed tokens for formats whose validity can be decided token by token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt, Le
from jaxtyping import Bool, Float, Int
from torch import Tensor

from wheatstone.learn.models.decoder import Decoder
from wheatstone.learn.models.transformer import Past, Transformer

Allowed = Callable[[Int[Tensor, "sequence pos"]], Bool[Tensor, "sequence vocab"]]
"""Sequences so far -> which tokens may come next; at least one must."""


@dataclass(frozen=True)
class Draw:
    """How the next token is drawn from its probabilities."""

    generator: torch.Generator
    temperature: Annotated[float, Gt(0)] = 1.0
    """Divides the logits."""
    top_k: Annotated[int, Gt(0)] | None = None
    """Only the so many most probable tokens."""
    top_p: Annotated[float, Gt(0), Le(1)] | None = None
    """Only the most probable tokens whose probabilities add up to so much."""


@torch.no_grad()
def generate(
    model: Transformer | Decoder,
    prompts: Int[Tensor, "sequence pos"],
    steps: int,
    *,
    draw: Draw | None = None,
    stop: int | None = None,
    allowed: Allowed | None = None,
    batch: int = 4096,
) -> Int[Tensor, "sequence step"]:
    """`steps` tokens after each prompt, without the prompt; the most probable ones, or drawn.

    After `stop` a sequence goes on with `stop` alone. Prompts of one call have one length.

    Raises ValueError for more tokens than the model has positions, or where `allowed` leaves no token.
    """
    if prompts.shape[1] + steps > model.cfg.context:
        raise ValueError(f"{prompts.shape[1]} tokens and {steps} more do not fit into a context of {model.cfg.context}")
    parts = [_generate(model, part, steps, draw, stop, allowed) for part in prompts.split(batch)]
    return torch.cat(parts) if parts else prompts.new_empty((0, steps))


def _generate(
    model: Transformer | Decoder,
    sequences: Tensor,
    steps: int,
    draw: Draw | None,
    stop: int | None,
    allowed: Allowed | None,
) -> Tensor:
    n_prompt = sequences.shape[1]
    past: list[Past] = []
    new = sequences
    done = torch.zeros(len(sequences), dtype=torch.bool, device=sequences.device)
    for _ in range(steps):
        if stop is not None and bool(done.all()):
            sequences = torch.cat((sequences, sequences.new_full((len(sequences), 1), stop)), 1)
            continue
        resid, past = model.going_on(new, past)
        logits = model.unembed(resid[:, -1]).float()
        if allowed is not None:
            logits = _only(logits, allowed(sequences), done)
        token = logits.argmax(-1) if draw is None else drawn(logits, draw)
        if stop is not None:
            token = torch.where(done, stop, token)
            done = done | (token == stop)
        new = token[:, None]
        sequences = torch.cat((sequences, new), 1)
    return sequences[:, n_prompt:]


def _only(logits: Tensor, mask: Tensor, done: Tensor) -> Tensor:
    if not bool((mask.any(-1) | done).all()):
        raise ValueError("no token is allowed after some sequence")
    return logits.masked_fill(~(mask | done[:, None]), -torch.inf)


def drawn(logits: Float[Tensor, "sequence vocab"], draw: Draw) -> Int[Tensor, " sequence"]:
    """One token for each row of logits."""
    logits = logits / draw.temperature
    if draw.top_k is not None and draw.top_k < logits.shape[-1]:
        least = logits.topk(draw.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    probabilities = logits.softmax(-1)
    if draw.top_p is not None:
        ordered, order = probabilities.sort(-1, descending=True)
        beyond = ordered.cumsum(-1) - ordered >= draw.top_p  # the first token that reaches top_p still counts
        probabilities = probabilities.masked_fill(beyond.scatter(-1, order, beyond), 0.0)
    return torch.multinomial(probabilities, 1, generator=draw.generator)[:, 0]

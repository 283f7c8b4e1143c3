"""Interchange interventions: put one state of another question into a run, and see which answer comes out.

States are S[layer, pos], the residual stream after `layer` blocks (layer 0 is the embedding, layer `depth` the last
state). Three measurements, all on the answer at the last position:

effect          share of answers that change when S[layer, pos] is replaced by the state of a corrupted question
                (causal tracing as in Wang et al. 2024, arXiv:2405.15071, section 3.2).
interchange     share of answers that become the counterfactual one, the answer the question would have if the variable
                that the state is said to hold had the source's value (Geiger et al. 2021, arXiv:2106.02997). A changed
                answer can be damage; the counterfactual answer cannot.
edge effect     the same for one edge: what position q reads from position p in one block, everything else left alone.

The fast way re-runs only the blocks after the replaced state. The same through hooks on a whole forward pass is here
too (`patched_resid_by_hooks`), as its oracle.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from wheatstone.learn.models.transformer import Transformer, causal_mask

Tokens = Int[Tensor, "batch pos"]
Answers = Int[Tensor, " batch"]
States = Float[Tensor, "layer batch pos d_model"]


class Edge(NamedTuple):
    """What position `reader` reads from position `source` in block `layer` (0-based)."""

    layer: int
    source: int
    reader: int


class Interchange(NamedTuple):
    """What became of the answers after a state was exchanged."""

    counterfactual: float
    """Share that became the counterfactual answer: the interchange accuracy."""
    kept: float
    """Share that stayed the clean answer."""


@torch.no_grad()
def states(model: Transformer, tokens: Tokens) -> States:
    """S[layer, batch, pos]: the embedding and the residual stream after each block, depth + 1 layers."""
    kept: list[Tensor] = []
    hooks = {model.sites[0].resid_pre: kept.append} | {site.resid_post: kept.append for site in model.sites}
    model.resid(tokens, hooks=hooks)
    return torch.stack(kept)


@torch.no_grad()
def answers_from(model: Transformer, resid: Float[Tensor, "batch pos d_model"], layer: int) -> Answers:
    """Answers at the last position when the residual stream after `layer` blocks is `resid`."""
    return model.unembed(model.run_blocks(resid, start=layer)[:, -1]).argmax(-1)


def exchanged(clean: States, source: States, layer: int, pos: int | list[int]) -> Float[Tensor, "batch pos d_model"]:
    """The clean stream after `layer` blocks with the source's state(s) at `pos`."""
    resid = clean[layer].clone()
    resid[:, pos] = source[layer][:, pos]
    return resid


@torch.no_grad()
def patched_resid_by_hooks(
    model: Transformer, tokens: Tokens, source: States, layer: int, pos: int
) -> Float[Tensor, "batch pos d_model"]:
    """The last residual stream of a whole forward pass in which a hook replaces S[layer, pos]: the slow oracle."""

    def replace(value: Tensor) -> Tensor:
        value = value.clone()
        value[:, pos] = source[layer][:, pos]
        return value

    site = model.sites[0].resid_pre if layer == 0 else model.sites[layer - 1].resid_post
    return model.resid(tokens, hooks={site: replace})


def effect_map(model: Transformer, clean: Tokens, corrupted: Tokens) -> Float[Tensor, "layer pos"]:
    """Share of answers that change when S[layer, pos] comes from the corrupted question; layers 0 .. depth.

    Pass only questions that the model answers right: a changed wrong answer says nothing.
    """
    here, there = states(model, clean), states(model, corrupted)
    before = answers_from(model, here[-1], model.cfg.depth)
    changed = torch.empty(here.shape[0], clean.shape[1])
    for layer in range(here.shape[0]):
        for pos in range(clean.shape[1]):
            after = answers_from(model, exchanged(here, there, layer, pos), layer)
            changed[layer, pos] = (after != before).float().mean()
    return changed


def interchange(
    model: Transformer, clean: States, source: States, counterfactual: Answers, layer: int, pos: int
) -> Interchange:
    """Exchange S[layer, pos] and compare with the counterfactual and the clean answer."""
    before = answers_from(model, clean[-1], model.cfg.depth)
    after = answers_from(model, exchanged(clean, source, layer, pos), layer)
    return Interchange((after == counterfactual).float().mean().item(), (after == before).float().mean().item())


def interchange_map(
    model: Transformer, clean: Tokens, source: Tokens, counterfactual: Answers
) -> Float[Tensor, "layer pos"]:
    """Interchange accuracy of every state, layers 0 .. depth."""
    here, there = states(model, clean), states(model, source)
    rows = [
        [interchange(model, here, there, counterfactual, layer, pos).counterfactual for pos in range(clean.shape[1])]
        for layer in range(here.shape[0])
    ]
    return torch.tensor(rows)


@torch.no_grad()
def edge_effects(model: Transformer, clean: Tokens, source: Tokens) -> dict[Edge, float]:
    """Share of answers that change when one reader sees the source's state of one position in one block.

    The block is run with that one state exchanged, and only the reader's output is taken from it. For a reader other
    than the source this is exactly the attention edge between them; for the reader itself it is its own residual path.
    Edges into positions that no later block can read (all but the last position after the last block) are left out.
    """
    here, there = states(model, clean), states(model, source)
    before = answers_from(model, here[-1], model.cfg.depth)
    length, last = clean.shape[1], clean.shape[1] - 1
    found: dict[Edge, float] = {}
    for layer in range(model.cfg.depth):
        for source_pos in range(length):
            output = _one_block(model, exchanged(here, there, layer, source_pos), layer)
            readers = range(source_pos, length) if layer + 1 < model.cfg.depth else [last]
            for reader in readers:
                resid = here[layer + 1].clone()
                resid[:, reader] = output[:, reader]
                after = answers_from(model, resid, layer + 1)
                found[Edge(layer, source_pos, reader)] = (after != before).float().mean().item()
    return found


def _one_block(model: Transformer, resid: Tensor, layer: int) -> Tensor:
    mask: Bool[Tensor, "pos pos"] = causal_mask(resid.shape[1], resid.device)
    positions = torch.arange(resid.shape[1], device=resid.device)
    block = model.blocks[layer % model.cfg.n_layer]
    return block(resid, mask, positions, model.memory, None, model.sites[layer])

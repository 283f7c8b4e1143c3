"""Interchange interventions: put one state of another question into a run, and see which answer comes out.

States are S[layer, pos], the residual stream after `layer` blocks (layer 0 is the embedding, layer `depth` the last
state). Three measurements, all on the answer at the last position:

effect          share of answers that change when S[layer, pos] is replaced by the state of a corrupted question
                (causal tracing as in Wang et al. 2024, arXiv:2405.15071, section 3.2).
interchange     share of answers that become the counterfactual one, the answer the question would have if the variable
                that the state is said to hold had the source's value (Geiger et al. 2021, arXiv:2106.02997). A changed
                answer can be damage; the counterfactual answer cannot.
edge effect     the same for one edge: what position q reads from position p in one block, everything else left alone.

The fast way (`patched`) computes only what a replaced state can reach on its way to the answer: the blocks after it,
the positions from it on, in the last block the last position; keys and values of the positions before it are the
clean run's. The same through hooks on a whole forward pass is here too (`patched_resid_by_hooks`), as its oracle.
"""

from __future__ import annotations

import functools
from typing import NamedTuple, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from wheatstone.learn.models.transformer import Block, Past, Transformer

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


class Trace(NamedTuple):
    """A run that interventions start from."""

    states: States
    past: list[Past]
    """Keys and values of every position, one pair a block."""

    @property
    def answer_state(self) -> Float[Tensor, "batch d_model"]:
        """The last state of the last position."""
        return self.states[-1][:, -1]


@torch.no_grad()
def trace(model: Transformer, tokens: Tokens) -> Trace:
    """One forward pass with everything kept that `patched` needs."""
    kept: dict[str, Tensor] = {}
    wanted = [name for site in model.sites for name in (site.k, site.v, site.resid_post)]
    hooks = {name: functools.partial(kept.__setitem__, name) for name in (model.sites[0].resid_pre, *wanted)}
    model.resid(tokens, hooks=hooks)
    stream = [kept[model.sites[0].resid_pre], *(kept[site.resid_post] for site in model.sites)]
    past = [(kept[site.k].transpose(1, 2), kept[site.v].transpose(1, 2)) for site in model.sites]
    return Trace(torch.stack(stream), past)


def states(model: Transformer, tokens: Tokens) -> States:
    """S[layer, batch, pos]: the embedding and the residual stream after each block, depth + 1 layers."""
    return trace(model, tokens).states


@torch.no_grad()
def answers(model: Transformer, state: Float[Tensor, "batch d_model"]) -> Answers:
    """What the last state of the last position answers."""
    return model.unembed(state).argmax(-1)


@torch.no_grad()
def patched(
    model: Transformer, clean: Trace, layer: int, pos: int, state: Float[Tensor, "batch d_model"]
) -> Float[Tensor, "batch d_model"]:
    """The last state of the last position when S[layer, pos] is replaced by `state`."""
    x = _replaced(clean, layer, pos, state)
    for later in range(layer, model.cfg.depth):
        x = _one_block(model, clean, later, x, asked=1 if later + 1 == model.cfg.depth else None)
    return x[:, -1]


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
    here, there = trace(model, clean), states(model, corrupted)
    before = answers(model, here.answer_state)
    changed = torch.empty(there.shape[0], clean.shape[1])
    for layer in range(there.shape[0]):
        for pos in range(clean.shape[1]):
            after = answers(model, patched(model, here, layer, pos, there[layer][:, pos]))
            changed[layer, pos] = (after != before).float().mean()
    return changed


def interchange(
    model: Transformer, clean: Trace, source: States, counterfactual: Answers, layer: int, pos: int
) -> Interchange:
    """Exchange S[layer, pos] and compare with the counterfactual and the clean answer."""
    before = answers(model, clean.answer_state)
    after = answers(model, patched(model, clean, layer, pos, source[layer][:, pos]))
    return Interchange((after == counterfactual).float().mean().item(), (after == before).float().mean().item())


def interchange_map(
    model: Transformer, clean: Tokens, source: Tokens, counterfactual: Answers
) -> Float[Tensor, "layer pos"]:
    """Interchange accuracy of every state, layers 0 .. depth."""
    here, there = trace(model, clean), states(model, source)
    rows = [
        [interchange(model, here, there, counterfactual, layer, pos).counterfactual for pos in range(clean.shape[1])]
        for layer in range(there.shape[0])
    ]
    return torch.tensor(rows)


@torch.no_grad()
def edge_effects(model: Transformer, clean: Tokens, source: Tokens) -> dict[Edge, float]:
    """Share of answers that change when one reader sees the source's state of one position in one block.

    The block is run with that one state exchanged, and only the reader's output is taken from it. For a reader other
    than the source this is exactly the attention edge between them; for the reader itself it is its own residual path.
    Edges into positions that no later block can read (all but the last position after the last block) are left out.
    """
    here, there = trace(model, clean), states(model, source)
    before = answers(model, here.answer_state)
    length, last = clean.shape[1], clean.shape[1] - 1
    found: dict[Edge, float] = {}
    for layer in range(model.cfg.depth):
        for source_pos in range(length):
            output = _one_block(model, here, layer, _replaced(here, layer, source_pos, there[layer][:, source_pos]))
            readers = range(source_pos, length) if layer + 1 < model.cfg.depth else [last]
            for reader in readers:
                state = output[:, reader - source_pos]
                after = answers(model, patched(model, here, layer + 1, reader, state))
                found[Edge(layer, source_pos, reader)] = (after != before).float().mean().item()
    return found


def _replaced(
    clean: Trace, layer: int, pos: int, state: Float[Tensor, "batch d_model"]
) -> Float[Tensor, "batch suffix d_model"]:
    """The clean stream after `layer` blocks from position `pos` on, with `state` in its first place."""
    return torch.cat((state[:, None], clean.states[layer][:, pos + 1 :]), 1)


def _one_block(
    model: Transformer,
    clean: Trace,
    layer: int,
    x: Float[Tensor, "batch suffix d_model"],
    asked: int | None = None,
) -> Float[Tensor, "batch asked d_model"]:
    """Block `layer` for the last positions, whose stream is `x`; those before them are the clean run's."""
    length = clean.states.shape[2]
    begin = length - x.shape[1]
    positions = torch.arange(begin, length, device=x.device)
    keys, values = clean.past[layer]
    block = cast("Block", model.blocks[layer % model.cfg.n_layer])
    return block.going_on(x, positions, model.memory, (keys[:, :, :begin], values[:, :, :begin]), asked)[0]

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
the positions from it on, in the last block the last position. What it cannot reach is read from the two runs: keys and
values before it, and in the first block all queries, keys and values. The same through hooks on a whole forward pass
is here too (`patched_resid_by_hooks`), as its oracle.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from wheatstone.learn.models.transformer import Heads, Transformer

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
    """A run that interventions start from or take states from: what each block read, and the answer's state."""

    stream: list[Float[Tensor, "batch pos d_model"]]
    """The residual stream before each block."""
    heads: list[Heads]
    answer_state: Float[Tensor, "batch d_model"]
    """The last state of the last position."""


@torch.no_grad()
def trace(model: Transformer, tokens: Tokens) -> Trace:
    """One forward pass with everything kept that `patched` needs."""
    x, positions = model.embed(tokens, None, None)
    stream: list[Tensor] = []
    kept: list[Heads] = []
    for layer in range(model.cfg.depth):
        block = model.block(layer)
        stream.append(x)
        kept.append(block.attn.heads(block.norm_attn(x), positions))
        x = _read(model, layer, x, kept[-1])
    return Trace(stream, kept, x[:, -1])


@torch.no_grad()
def states(model: Transformer, tokens: Tokens) -> States:
    """S[layer, batch, pos]: the embedding and the residual stream after each block, depth + 1 layers."""
    kept: list[Tensor] = []
    hooks = {model.sites[0].resid_pre: kept.append} | {site.resid_post: kept.append for site in model.sites}
    model.resid(tokens, hooks=hooks)
    return torch.stack(kept)


@torch.no_grad()
def answers(model: Transformer, state: Float[Tensor, "batch d_model"]) -> Answers:
    """What the last state of the last position answers."""
    return model.unembed(state).argmax(-1)


@torch.no_grad()
def patched(model: Transformer, clean: Trace, source: Trace, layer: int, pos: int) -> Float[Tensor, "batch d_model"]:
    """The last state of the last position when S[layer, pos] is the source's; layers 0 .. depth."""
    last = clean.stream[0].shape[1] - 1
    if layer == model.cfg.depth:
        return source.answer_state if pos == last else clean.answer_state
    if pos == 0 < last:  # it sees itself alone: all that becomes of it is in the source's run
        return _continued(model, source, layer + 1, _first_block(model, clean, source, layer, pos, 1))
    return _continued(model, clean, layer + 1, _first_block(model, clean, source, layer, pos, pos))


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
    here, there = trace(model, clean), trace(model, corrupted)
    before = answers(model, here.answer_state)
    changed = torch.empty(model.cfg.depth + 1, clean.shape[1])
    for layer in range(model.cfg.depth + 1):
        for pos in range(clean.shape[1]):
            after = answers(model, patched(model, here, there, layer, pos))
            changed[layer, pos] = (after != before).float().mean()
    return changed


def interchange(
    model: Transformer, clean: Trace, source: Trace, counterfactual: Answers, layer: int, pos: int
) -> Interchange:
    """Exchange S[layer, pos] and compare with the counterfactual and the clean answer."""
    before = answers(model, clean.answer_state)
    after = answers(model, patched(model, clean, source, layer, pos))
    return Interchange((after == counterfactual).float().mean().item(), (after == before).float().mean().item())


def interchange_map(
    model: Transformer, clean: Tokens, source: Tokens, counterfactual: Answers
) -> Float[Tensor, "layer pos"]:
    """Interchange accuracy of every state, layers 0 .. depth."""
    here, there = trace(model, clean), trace(model, source)
    rows = [
        [interchange(model, here, there, counterfactual, layer, pos).counterfactual for pos in range(clean.shape[1])]
        for layer in range(model.cfg.depth + 1)
    ]
    return torch.tensor(rows)


@torch.no_grad()
def edge_effects(model: Transformer, clean: Tokens, source: Tokens) -> dict[Edge, float]:
    """Share of answers that change when one reader sees the source's state of one position in one block.

    The block is run with that one state exchanged, and only the reader's output is taken from it. For a reader other
    than the source this is exactly the attention edge between them; for the reader itself it is its own residual path.
    Edges into positions that no later block can read (all but the last position after the last block) are left out.
    """
    here, there = trace(model, clean), trace(model, source)
    before = answers(model, here.answer_state)
    length, last = clean.shape[1], clean.shape[1] - 1
    found: dict[Edge, float] = {}
    for layer in range(model.cfg.depth):
        for source_pos in range(length):
            output = _first_block(model, here, there, layer, source_pos, source_pos)
            readers = range(source_pos, length) if layer + 1 < model.cfg.depth else [last]
            for reader in readers:
                suffix = [output[:, reader - length, None]]
                if reader < last:
                    suffix.append(here.stream[layer + 1][:, reader + 1 :])
                after = answers(model, _continued(model, here, layer + 1, torch.cat(suffix, 1)))
                found[Edge(layer, source_pos, reader)] = (after != before).float().mean().item()
    return found


def _first_block(
    model: Transformer, clean: Trace, source: Trace, layer: int, pos: int, begin: int
) -> Float[Tensor, "batch suffix d_model"]:
    """Block `layer` with S[layer, pos] the source's, for the positions from `begin` on (last block: the last)."""

    def mixed(ours: Tensor, theirs: Tensor, dim: int) -> Tensor:
        return ours.index_copy(dim, torch.tensor([pos], device=ours.device), theirs.narrow(dim, pos, 1))

    q, k, v = (mixed(ours, theirs, 2) for ours, theirs in zip(clean.heads[layer], source.heads[layer], strict=True))
    x = mixed(clean.stream[layer], source.stream[layer], 1)[:, begin:]
    return _read(model, layer, x, Heads(q[:, :, begin:], k, v))


def _continued(
    model: Transformer, before: Trace, layer: int, x: Float[Tensor, "batch suffix d_model"]
) -> Float[Tensor, "batch d_model"]:
    """The last state of the last position, when `x` is the stream of the last positions after `layer` blocks.

    The positions before them are those of the run `before`.
    """
    length = before.stream[0].shape[1]
    for later in range(layer, model.cfg.depth):
        block, begin = model.block(later), length - x.shape[1]
        q, k, v = block.attn.heads(block.norm_attn(x), torch.arange(begin, length, device=x.device))
        past = before.heads[later]
        keys, values = torch.cat((past.k[:, :, :begin], k), 2), torch.cat((past.v[:, :, :begin], v), 2)
        x = _read(model, later, x, Heads(q, keys, values))
    return x[:, -1]


def _read(
    model: Transformer, layer: int, x: Float[Tensor, "batch suffix d_model"], heads: Heads
) -> Float[Tensor, "batch asked d_model"]:
    """Block `layer` from its heads on: for all positions of `x`, in the last block for the last one."""
    block = model.block(layer)
    asked = 1 if layer + 1 == model.cfg.depth else x.shape[1]
    queries = heads.q[:, :, heads.q.shape[2] - asked :]
    return block.after(x[:, x.shape[1] - asked :], block.attn.read(heads._replace(q=queries)), model.memory)

"""What the weights say without a prompt: which features feed a feature, which tokens excite it, which it boosts.

The input-invariant part of an edge (Dunefsky et al. 2024, arXiv:2406.11944, section 4.1): with the norm's scale left
out, feature i of an earlier layer gives feature j

    W_dec[i] . norm(W_enc[:, j])                       at the same token
    W_dec[i] V_h O_h ... norm(W_enc[:, j])             through head h from another token, per unit of its pattern

times z_i / scale, which depend on the input. The norm's gain is on the reading side, once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from wheatstone.interp.transcoders.anatomy import PRECISION, Anatomy
from wheatstone.interp.transcoders.dictionary import Dictionary


@dataclass(frozen=True)
class Connection:
    """An input-invariant edge into a feature."""

    layer: int
    feature: int
    head: tuple[int, int] | None
    """(layer, head) that it passes, None at the same token."""
    weight: float
    """Contribution to the pre-activation per unit of activation, at scale one (and pattern one)."""


class Scored(NamedTuple):
    """A token and a score."""

    token: int
    score: float


def reading_of(anatomy: Anatomy, dictionaries: Mapping[int, Dictionary], layer: int, feature: int) -> Tensor:
    """What a feature reads of the stream, up to the norm's scale: [d_model]."""
    norm = anatomy.blocks[layer].norm_mlp
    assert norm is not None
    return norm.pulled(dictionaries[layer].W_enc[:, feature].to(PRECISION))


def through_head(anatomy: Anatomy, at: tuple[int, int], g: Float[Tensor, " d_model"]) -> Float[Tensor, " d_model"]:
    """What reads the stream before a head as g reads after it, per unit of pattern, up to the norm's scale."""
    layer, head = at
    parts = anatomy.blocks[layer]
    return parts.norm_attn.pulled(parts.v[head] @ (parts.o[head] @ g))


def connections(
    anatomy: Anatomy,
    dictionaries: Mapping[int, Dictionary],
    layer: int,
    feature: int,
    *,
    top: int = 10,
    heads: bool = False,
) -> list[Connection]:
    """The strongest input-invariant edges into a feature, by size; with `heads` also those through one head."""
    g = reading_of(anatomy, dictionaries, layer, feature)
    readings: list[tuple[int, tuple[int, int] | None, Tensor]] = [(layer, None, g)]
    if heads:
        of_heads = [(below, head) for below in range(layer + 1) for head in range(len(anatomy.blocks[below].v))]
        readings += [(at[0], at, through_head(anatomy, at, g)) for at in of_heads]
    found: list[Connection] = []
    for limit, head, vector in readings:
        for source, dictionary in dictionaries.items():
            if source >= limit:
                continue
            weights = dictionary.W_dec.to(PRECISION) @ vector
            strongest = weights.abs().topk(min(top, len(weights))).indices.tolist()
            found += [Connection(source, i, head, weights[i].item()) for i in strongest]
    return sorted(found, key=lambda one: -abs(one.weight))[:top]


def connection_table(anatomy: Anatomy, dictionaries: Mapping[int, Dictionary], source: int, target: int) -> Tensor:
    """All same-token edges from one layer's features to another's: [feature of source, feature of target]."""
    norm = anatomy.blocks[target].norm_mlp
    assert norm is not None
    readings = norm.pulled(dictionaries[target].W_enc.T.to(PRECISION))
    return dictionaries[source].W_dec.to(PRECISION) @ readings.T


def table_hash(table: Tensor) -> str:
    """A hash of a connection table, to show that it is the same whatever the prompt."""
    return hashlib.sha256(table.contiguous().numpy().tobytes()).hexdigest()[:16]


def deembed(
    anatomy: Anatomy,
    dictionaries: Mapping[int, Dictionary],
    layer: int,
    feature: int,
    *,
    head: tuple[int, int] | None = None,
) -> Float[Tensor, " vocab"]:
    """How much each token's embedding excites a feature directly, or as the source that a head attends to.

    Scores are W_E W_enc[:, feature] (the paper's de-embedding), less their mean: a shift for all tokens says nothing.
    """
    g = reading_of(anatomy, dictionaries, layer, feature)
    scores = anatomy.embedding @ (g if head is None else through_head(anatomy, head, g))
    return scores - scores.mean()


def boosted(anatomy: Anatomy, dictionary: Dictionary, feature: int) -> Float[Tensor, " vocab"]:
    """Logit lens of a feature: what one unit of it adds to each logit directly, at scale one, less the mean."""
    norm = anatomy.norm_final
    written = norm.centre(dictionary.W_dec[feature].to(PRECISION)) * norm.gain
    scores = anatomy.unembedding @ written
    return scores - scores.mean()


def top_tokens(scores: Float[Tensor, " vocab"], n: int = 6) -> list[Scored]:
    """The tokens of highest score."""
    found = scores.topk(min(n, len(scores)))
    return [Scored(token, score) for token, score in zip(found.indices.tolist(), found.values.tolist(), strict=True)]

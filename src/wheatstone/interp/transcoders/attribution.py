"""What contributed to a reading: one hop with heads as nodes, through heads to features, or through features as well.

`one_hop`    the paper's: features at the reading's own position, each head from each source token, embedding, errors,
             biases. A head is then followed by reading its source with O V g
`direct`     heads are passed through: features at all positions, embeddings, errors, biases. A row of the attribution
             graph: nothing between a source and the reading but frozen attention, norms and skip paths
`total`      active features are passed through too: what a source gives by all paths. Not a sum of parts (a feature
             holds what its own sources gave it), so it is compared with interventions, not added up
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from wheatstone.interp.transcoders.anatomy import PRECISION
from wheatstone.interp.transcoders.frozen import Contributions, Frozen, FrozenTranscoder, Reading
from wheatstone.interp.transcoders.store import SKIPPED


def one_hop(frozen: Frozen, reading: Reading) -> Contributions:
    """Contributions with every head a node of its own: residual paths only."""
    found = Contributions(bias=reading.constant, embedding=torch.zeros(len(frozen.tokens), dtype=PRECISION))
    g = _at(frozen, reading)
    for layer in range(min(reading.below, frozen.anatomy.depth - 1), -1, -1):
        if layer < reading.below:
            g = _feed_forward(frozen, layer, g, found, through_features=False)
        parts, one = frozen.anatomy.blocks[layer], frozen.layers[layer]
        to_z = torch.einsum("pd,hfd->hpf", g, parts.o)
        found.heads[layer] = torch.einsum("hts,htf,hsf->hs", one.pattern, to_z, one.values)
        found.bias += (g @ parts.o_bias).sum().item()
    found.embedding = (frozen.embedded * g).sum(-1)
    return found


def direct(frozen: Frozen, reading: Reading) -> Contributions:
    """Contributions of features, embeddings, errors and biases, through attention."""
    return _pulled(frozen, reading, through_features=False)


def total(frozen: Frozen, reading: Reading) -> Contributions:
    """As `direct`, with active features passed through as well."""
    return _pulled(frozen, reading, through_features=True)


def _pulled(frozen: Frozen, reading: Reading, *, through_features: bool) -> Contributions:
    found = Contributions(bias=reading.constant)
    g = _at(frozen, reading)
    for layer in range(min(reading.below, frozen.anatomy.depth - 1), -1, -1):
        if layer < reading.below:
            g = _feed_forward(frozen, layer, g, found, through_features=through_features)
        g = _attention(frozen, layer, g, found)
    found.embedding = (frozen.embedded * g).sum(-1)
    return found


def _at(frozen: Frozen, reading: Reading) -> Float[Tensor, "pos d_model"]:
    g = torch.zeros(len(frozen.tokens), len(reading.g), dtype=PRECISION)
    g[reading.position] = reading.g
    return g


def _feed_forward(frozen: Frozen, layer: int, g: Tensor, found: Contributions, *, through_features: bool) -> Tensor:
    """What the layer's output gave; what reads the stream before it as g does after it."""
    output, norm = frozen.layers[layer].output, frozen.anatomy.blocks[layer].norm_mlp
    tc = frozen.transcoders.get(layer)
    if tc is None or norm is None:
        found.unmodelled[layer] = (output * g).sum(-1)
        return g
    outside = g.clone()
    outside[SKIPPED:] = 0.0
    found.unmodelled[layer] = (output * outside).sum(-1)
    inside = g - outside
    to_z = inside @ tc.W_dec.T
    found.features[layer] = tc.z * to_z
    found.errors[layer] = (tc.error * inside).sum(-1)
    found.bias += (inside @ tc.b_dec).sum().item()
    to_x = _linear_reading(tc, inside, to_z, through_features=through_features)
    if to_x is None:
        return g
    found.bias += norm.constant(to_x).sum().item()
    return g + norm.pulled(to_x) / frozen.layers[layer].scale_mlp


def _linear_reading(tc: FrozenTranscoder, g: Tensor, to_z: Tensor, *, through_features: bool) -> Tensor | None:
    """What reads the transcoder's input: through its skip path, and through its active features if asked for."""
    to_x = None if tc.W_skip is None else g @ tc.W_skip.T
    if through_features:
        through = torch.where(tc.z > 0, to_z, 0.0) @ tc.W_enc.T
        to_x = through if to_x is None else to_x + through
    return to_x


def _attention(frozen: Frozen, layer: int, g: Tensor, found: Contributions) -> Tensor:
    parts, one = frozen.anatomy.blocks[layer], frozen.layers[layer]
    to_z = torch.einsum("pd,hfd->hpf", g, parts.o)
    to_v = one.pattern.transpose(1, 2) @ to_z  # head pos d_head
    found.bias += (g @ parts.o_bias).sum().item() + torch.einsum("hsf,hf->", to_v, parts.v_bias).item()
    to_x = torch.einsum("hsf,hdf->sd", to_v, parts.v)
    found.bias += parts.norm_attn.constant(to_x).sum().item()
    return g + parts.norm_attn.pulled(to_x) / one.scale_attn


def relative_error(contributions: Contributions, reading: Reading) -> float:
    """|sum of contributions - what is read| / |what is read|."""
    return abs(contributions.total() - reading.value) / max(abs(reading.value), 1e-12)

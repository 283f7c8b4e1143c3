"""What a state holds: the gap between cosines within and between groups, and whether exchanging it moves the answer.

IICG (intra-inter cosine gap; Chang et al. 2025, arXiv:2505.20278, section 5): states of inputs with the same
intermediate result b should look alike. It is the mean cosine of pairs within groups minus that of pairs between.
A high gap says that states look alike, not that they are used; the interchange accuracy beside it says whether an
input with another b' put in place of b gives f2(b', x3).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wheatstone.domains.compositions import Composition, Ints
from wheatstone.interp.patching import interchange_map, states
from wheatstone.learn.models.transformer import Transformer

NAN = float("nan")
BRIDGE_POSITION = 1
"""f1(x1, x2) can first be known at x2."""


class Gaps(NamedTuple):
    """[layer][position] cosine gaps; NaN where no two inputs share a group."""

    by_bridge: list[list[float]]
    by_pair: list[list[float]]
    """Groups have one bridge and one x2."""


def cosine_gap(resid: Tensor, groups: Ints) -> float:
    """Mean cosine of pairs within a group minus that of pairs between groups; NaN without both kinds of pairs."""
    _, group = np.unique(groups, return_inverse=True)
    unit = torch.nn.functional.normalize(resid.double(), dim=-1)
    number = torch.from_numpy(group)
    sums = torch.zeros(int(number.max()) + 1, unit.shape[1], dtype=unit.dtype).index_add_(0, number, unit)
    sizes = torch.bincount(number)
    n = len(unit)
    # Sums of cosines over ordered pairs of different inputs: |sum of unit vectors|^2 minus the n ones of the diagonal.
    within, pairs_within = (sums.square().sum() - n).item(), int((sizes * (sizes - 1)).sum())
    everything, pairs = (unit.sum(0).square().sum() - n).item(), n * (n - 1)
    if not pairs_within or pairs == pairs_within:
        return NAN
    return within / pairs_within - (everything - within) / (pairs - pairs_within)


@torch.no_grad()
def gaps(model: Transformer, composition: Composition, rows: Ints) -> Gaps:
    """The gaps of every state of some inputs."""
    held = states(model, torch.from_numpy(composition.inputs[rows]))
    bridge = composition.results(0)[rows]
    pair = bridge * composition.n_token + composition.inputs[rows, BRIDGE_POSITION]
    layers, positions = held.shape[0], held.shape[2]

    def all_of(groups: Ints) -> list[list[float]]:
        return [[cosine_gap(held[layer, :, p], groups) for p in range(positions)] for layer in range(layers)]

    return Gaps(all_of(bridge), all_of(pair))


def best_gap(found: list[list[float]]) -> float:
    """The largest gap at the bridge's position after any block but the embedding; NaN where there is none."""
    values = [row[BRIDGE_POSITION] for row in found[1:]]
    known = [value for value in values if not np.isnan(value)]
    return max(known) if known else NAN


def exchanged_rows(composition: Composition, train: Ints, rows: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """For each row an input with another x2, another bridge, and a counterfactual target that differs: (row, source).

    The call that gives the counterfactual target is one that training makes. Rows without such an x2 are left out.
    """
    shape, n_token = composition.shape, composition.n_token
    second_call = set(composition.call_ids[train, 1].tolist())
    kept: list[int] = []
    sources: list[int] = []
    place = n_token ** (shape.arity - 1 - BRIDGE_POSITION)
    for row in rows.tolist():
        old = int(composition.inputs[row, BRIDGE_POSITION])
        here = row - old * place
        others = here + rng.permutation(n_token) * place
        for other in others.tolist():
            is_new = composition.results(0)[other] != composition.results(0)[row]
            differs = composition.targets[other] != composition.targets[row]
            if is_new and differs and int(composition.call_ids[other, 1]) in second_call:
                kept.append(row)
                sources.append(other)
                break
    return np.array(kept, np.int64), np.array(sources, np.int64)


def bridge_interchange(
    model: Transformer, composition: Composition, train: Ints, rows: Ints, rng: np.random.Generator
) -> list[list[float]]:
    """[layer][position] share of answers that become f2(b', x3) when one state comes from an input with bridge b'.

    Only where x2 reaches the target through b alone, so that the source's own target is the counterfactual one.
    """
    kept, sources = exchanged_rows(composition, train, rows, rng)
    if not len(kept):
        return []
    clean, source = (torch.from_numpy(composition.inputs[chosen]) for chosen in (kept, sources))
    counterfactual = torch.from_numpy(composition.targets[sources])
    return interchange_map(model, clean, source, counterfactual).tolist()

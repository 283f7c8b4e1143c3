"""What a state holds: the gap between cosines within and between groups, and whether exchanging it moves the answer.

IICG (intra-inter cosine gap; Chang et al. 2025, arXiv:2505.20278, section 5): states of inputs with the same
intermediate result b should look alike. It is the mean cosine of pairs within groups minus that of pairs between.
A high gap says that states look alike, not that they are used; the interchange accuracy beside it says whether an
input with another b' put in place of b gives f2(b', x3).

States at x2 also look alike because x2 is the same token, and inputs of one b may share their x2 more often than others
do: they have a gap then before anything is computed. `across` leaves such pairs out on both sides.
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
    across: list[list[float]]
    """Groups have one bridge; only pairs of inputs with different x2 count."""


class Alike(NamedTuple):
    """Ordered pairs of different inputs that have one label: the sum of their cosines, and how many they are."""

    cosines: float
    pairs: int


def alike(unit: Tensor, labels: Ints) -> Alike:
    """The pairs of one label among unit vectors [input, d_model]."""
    _, label = np.unique(labels, return_inverse=True)
    number = torch.from_numpy(label)
    sums = torch.zeros(int(number.max()) + 1, unit.shape[1], dtype=unit.dtype).index_add_(0, number, unit)
    sizes = torch.bincount(number)
    # |sum of a group's unit vectors|^2 counts each ordered pair, and each input with itself as 1.
    return Alike(sums.square().sum().item() - len(unit), int((sizes * (sizes - 1)).sum()))


def cosine_gap(resid: Tensor, groups: Ints, apart: Ints | None = None) -> float:
    """Mean cosine of pairs within a group minus that of pairs between groups; NaN without both kinds of pairs.

    With `apart` only pairs that differ in it count, on both sides.
    """
    unit = torch.nn.functional.normalize(resid.double(), dim=-1)
    within, every = alike(unit, groups), alike(unit, np.zeros_like(groups))
    if apart is not None:
        there = alike(unit, apart)
        both = alike(unit, groups * (int(apart.max()) + 1) + apart)
        within = Alike(within.cosines - both.cosines, within.pairs - both.pairs)
        every = Alike(every.cosines - there.cosines, every.pairs - there.pairs)
    if not within.pairs or every.pairs == within.pairs:
        return NAN
    between = Alike(every.cosines - within.cosines, every.pairs - within.pairs)
    return within.cosines / within.pairs - between.cosines / between.pairs


@torch.no_grad()
def gaps(model: Transformer, composition: Composition, rows: Ints) -> Gaps:
    """The gaps of every state of some inputs."""
    held = states(model, torch.from_numpy(composition.inputs[rows]))
    bridge, token = composition.results(0)[rows], composition.inputs[rows, BRIDGE_POSITION]
    layers, positions = held.shape[0], held.shape[2]

    def all_of(groups: Ints, apart: Ints | None = None) -> list[list[float]]:
        return [[cosine_gap(held[layer, :, p], groups, apart) for p in range(positions)] for layer in range(layers)]

    return Gaps(all_of(bridge), all_of(bridge * composition.n_token + token), all_of(bridge, token))


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

"""Probes of the two stages in which a written chain of thought answers a two-hop question.

Stage one reads `h r1 r2` and writes the bridge; stage two reads `h r1 r2 b` and writes the answer (Yao et al. 2025,
arXiv:2502.04667, section 4). If each stage is one look-up, the answer of stage two depends on b and r2 alone. The
paper's code corrupts r1 along with r2; here each corruption changes exactly one token. What is exchanged in stage two
comes from a question of its own, whose bridge is the right one, and `h` and `r1` are corrupted such that following them
would lead to another answer: only a model that ignores them keeps the old one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wheatstone.domains.kg.graph import Chains, Int32
from wheatstone.domains.probes import Ints, draw
from wheatstone.domains.steps import StepTokens
from wheatstone.interp.circuit import Probe, Variable


class StageProbes(NamedTuple):
    """The same questions, in the same order, at both stages."""

    one: Probe
    """`h r1 r2`, answered by the bridge."""
    two: Probe
    """`h r1 r2 b`, answered by the tail."""

    def part(self, keep: Tensor) -> StageProbes:
        """The questions where `keep` is true."""
        return StageProbes(self.one.part(keep), self.two.part(keep))


def stage_probes(table: Int32, chains: Chains, tokens: StepTokens, rng: np.random.Generator) -> StageProbes:
    """Probes of true chains; those for which some corruption cannot be drawn are left out.

    Args:
        table: [n_entity, n_relation] the facts that corruptions may use, -1 where there is none.
        chains: true chains of known facts.
        tokens: the ids of the tokens.
        rng: draws the corruptions.
    """
    h, r1, b, r2, t = chains.rows.astype(np.int64).T
    facts = np.argwhere(table >= 0)

    def tail(head: Ints, relation: Ints) -> Ints:
        return np.where(head >= 0, table[head, relation], -1).astype(np.int64)

    def another(bridge: Ints) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Another bridge than b, from which r2 leads to another answer than t."""
        answer = tail(bridge, r2)
        return (bridge >= 0) & (bridge != b) & (answer >= 0) & (answer != t)

    def any_relation() -> Ints:
        return rng.integers(table.shape[1], size=len(h))

    def any_fact() -> Ints:
        return facts[rng.integers(len(facts), size=len(h))]

    head = draw(lambda: rng.integers(len(table), size=len(h)), lambda x: another(tail(x, r1)))
    first = draw(any_relation, lambda x: another(tail(h, x)))
    second = draw(any_relation, lambda x: (tail(b, x) >= 0) & (tail(b, x) != t))
    source = draw(any_fact, lambda x: another(tail(x[:, 0], x[:, 1])))
    keep = np.flatnonzero((head >= 0) & (first >= 0) & (second >= 0) & (source[:, 0] >= 0))
    swapped = tail(source[:, 0], source[:, 1])

    def asked(head: Ints, first: Ints, second: Ints, *written: Ints) -> Tensor:
        question = tokens.question(head, np.stack([first, second], axis=1))
        return torch.from_numpy(np.concatenate([question, *(token[:, None] for token in written)], axis=1)[keep])

    def kept(values: Ints) -> Tensor:
        return torch.from_numpy(values[keep])

    readable = {"bridge": kept(b), "r2": kept(r2 + tokens.n_entity), "answer": kept(t)}
    one = Probe(
        labels=("h", "r1", "r2"),
        clean=asked(h, r1, r2),
        expected=kept(b),
        corruptions={"h": asked(head, r1, r2), "r1": asked(h, first, r2), "r2": asked(h, r1, second)},
        variables=(Variable("bridge", 1, asked(source[:, 0], source[:, 1], r2), kept(swapped)),),
        unrelated=asked(source[:, 0], source[:, 1], second),
        readable=readable,
    )
    two = Probe(
        labels=("h", "r1", "r2", "b"),
        clean=asked(h, r1, r2, b),
        expected=kept(t),
        corruptions={
            "h": asked(head, r1, r2, b),
            "r1": asked(h, first, r2, b),
            "r2": asked(h, r1, second, b),
            "b": asked(h, r1, r2, swapped),
        },
        variables=(Variable("bridge", 3, asked(source[:, 0], source[:, 1], r2, swapped), kept(tail(swapped, r2))),),
        unrelated=asked(source[:, 0], source[:, 1], second, swapped),
        readable=readable,
    )
    return StageProbes(one, two)

"""Questions about facts turned into probes for circuits: corruptions, exchanges, and what should be readable.

Two-hop questions `h r1 r2` (positions 0, 1, 2) and comparisons `attribute ? e1 mask e2` (positions 0 .. 4) as in Wang
et al. 2024, arXiv:2405.15071, section 3.2 and its code: each corruption changes one ingredient so that the right answer
changes, and only that ingredient. Beyond the paper, every variable gets an exchange with a counterfactual answer.

Tokens: entities keep their ids, relation r is token n_entity + r; `ComparisonTokens` says the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from wheatstone.domains.kg.graph import Chains, Int32
from wheatstone.interp.circuit import Probe, Variable

Ints = npt.NDArray[np.int64]
TRIES = 64
"""Rounds of drawing before a question is dropped for want of a corruption."""


def question_tokens(chains: Chains, n_entity: int) -> Ints:
    """[n, 3]: h, r1, r2 as tokens."""
    return chains.questions.astype(np.int64) + np.array([0, n_entity, n_entity])


def fact_tokens(facts: Int32, n_entity: int) -> Ints:
    """[n, 2]: h, r as tokens."""
    return facts[:, :2].astype(np.int64) + np.array([0, n_entity])


def composition_probe(table: Int32, chains: Chains, rng: np.random.Generator) -> Probe:
    """The probe of two-hop questions; chains for which some corruption cannot be drawn are left out.

    Arguments:
        table: [n_entity, n_relation] the facts that corruptions may use, -1 where there is none.
        chains: true chains of known facts, which the model is expected to answer.
    """
    rows = chains.rows.astype(np.int64)
    h, r1, b, r2, t = rows.T
    n_entity, n_relation = table.shape
    facts = np.argwhere(table >= 0)

    def tail(head: Ints, relation: Ints) -> Ints:
        return np.where(head >= 0, table[head, relation], -1)

    def two_hops(head: Ints, first: Ints, second: Ints) -> Ints:
        return tail(tail(head, first), second)

    def other_answer(answer: Ints) -> npt.NDArray[np.bool_]:
        return (answer >= 0) & (answer != t)

    def any_head() -> Ints:
        return rng.integers(n_entity, size=len(rows))

    def any_relation() -> Ints:
        return rng.integers(n_relation, size=len(rows))

    def any_fact() -> Ints:
        return facts[rng.integers(len(facts), size=len(rows))]

    head = draw(any_head, lambda x: other_answer(two_hops(x, r1, r2)))
    first = draw(any_relation, lambda x: other_answer(two_hops(h, x, r2)))
    second = draw(any_relation, lambda x: other_answer(tail(b, x)))
    bridge = draw(any_fact, lambda x: other_answer(two_hops(x[:, 0], x[:, 1], r2)))
    unrelated = draw(any_fact, lambda x: other_answer(two_hops(x[:, 0], x[:, 1], second)))

    keep = np.flatnonzero((head >= 0) & (first >= 0) & (second >= 0) & (bridge[:, 0] >= 0) & (unrelated[:, 0] >= 0))

    def tokens(head: Ints, first: Ints, second: Ints) -> torch.Tensor:
        return torch.from_numpy(np.stack([head, n_entity + first, n_entity + second], 1)[keep])

    def kept(values: Ints) -> torch.Tensor:
        return torch.from_numpy(values[keep])

    return Probe(
        labels=("h", "r1", "r2"),
        clean=tokens(h, r1, r2),
        expected=kept(t),
        corruptions={"h": tokens(head, r1, r2), "r1": tokens(h, first, r2), "r2": tokens(h, r1, second)},
        variables=(
            Variable(
                "bridge",
                1,
                tokens(bridge[:, 0], bridge[:, 1], r2),
                kept(two_hops(bridge[:, 0], bridge[:, 1], r2)),
            ),
        ),
        unrelated=tokens(unrelated[:, 0], unrelated[:, 1], second),
        readable={"bridge": kept(b), "r2": kept(n_entity + r2), "answer": kept(t)},
    )


@dataclass(frozen=True)
class ComparisonTokens:
    """Token ids of comparison questions: entities, attributes, values, three labels an attribute, `?`, mask."""

    n_entity: int
    n_attribute: int
    n_value: int

    @property
    def n_token(self) -> int:
        return self.mask + 1

    @property
    def mask(self) -> int:
        return self.question_mark + 1

    @property
    def question_mark(self) -> int:
        return self.n_entity + self.n_attribute + self.n_value + 3 * self.n_attribute

    def attribute(self, attribute: Ints) -> Ints:
        return self.n_entity + attribute

    def value(self, value: Ints) -> Ints:
        """Values share their tokens over attributes."""
        return self.n_entity + self.n_attribute + value

    def label(self, attribute: Ints, label: Ints) -> Ints:
        """The answer tokens: smaller, equal, larger of one attribute."""
        return self.n_entity + self.n_attribute + self.n_value + 3 * attribute + label

    def facts(self, facts: Int32) -> tuple[Ints, Ints]:
        """Prompts [n, 2] and answers [n] of facts (entity, attribute, value)."""
        entity, attribute, value = facts.astype(np.int64).T
        return np.stack([entity, self.attribute(attribute)], 1), self.value(value)

    def comparisons(self, rows: Int32) -> tuple[Ints, Ints]:
        """Prompts [n, 5] and answers [n] of comparisons (attribute, e1, e2, label)."""
        attribute, e1, e2, label = rows.astype(np.int64).T
        return self.prompts(attribute, e1, e2), self.label(attribute, label)

    def prompts(self, attribute: Ints, e1: Ints, e2: Ints) -> Ints:
        """[n, 5]: attribute ? e1 mask e2."""
        fixed = np.ones_like(e1)
        return np.stack([self.attribute(attribute), self.question_mark * fixed, e1, self.mask * fixed, e2], 1)


def comparison_probe(values: Int32, rows: Int32, tokens: ComparisonTokens, rng: np.random.Generator) -> Probe:
    """The probe of comparisons `rows` [n, 4] (attribute, e1, e2, label); `values` is [n_entity, n_attribute].

    The variables are the two values: v1 at e1 (position 2) and v2 at e2 (position 4). Their sources differ from the
    question in both entities, so a state that already holds the answer is not mistaken for one that holds a value.
    """
    attribute, e1, e2, label = rows.astype(np.int64).T
    v1, v2 = values[e1, attribute].astype(np.int64), values[e2, attribute].astype(np.int64)
    n_entity, n_attribute = values.shape

    def compared(left: Ints, right: Ints) -> Ints:
        return np.sign(left - right) + 1

    def any_entity() -> Ints:
        return rng.integers(n_entity, size=len(rows))

    def any_pair() -> Ints:
        return rng.integers(n_entity, size=(len(rows), 2))

    def at(entity: Ints, of: Ints = attribute) -> Ints:
        return values[entity, of].astype(np.int64)

    other_e1 = draw(any_entity, lambda x: compared(at(x), v2) != label)
    other_e2 = draw(any_entity, lambda x: compared(v1, at(x)) != label)
    other_attribute = draw(
        lambda: rng.integers(n_attribute, size=len(rows)), lambda x: compared(at(e1, x), at(e2, x)) != label
    )
    swap_v1 = draw(any_pair, lambda x: (compared(at(x[:, 0]), v2) != label) & (x[:, 0] != e1) & (x[:, 1] != e2))
    swap_v2 = draw(any_pair, lambda x: (compared(v1, at(x[:, 1])) != label) & (x[:, 0] != e1) & (x[:, 1] != e2))
    found = np.stack([other_e1, other_e2, other_attribute, swap_v1[:, 0], swap_v2[:, 0]])
    keep = np.flatnonzero((found >= 0).all(0))

    def asked(attribute: Ints, e1: Ints, e2: Ints) -> torch.Tensor:
        return torch.from_numpy(tokens.prompts(attribute, e1, e2)[keep])

    def kept(values: Ints) -> torch.Tensor:
        return torch.from_numpy(values[keep])

    def answer(label: Ints) -> torch.Tensor:
        return kept(tokens.label(attribute, label))

    return Probe(
        labels=("attribute", "?", "e1", "mask", "e2"),
        clean=asked(attribute, e1, e2),
        expected=answer(label),
        corruptions={
            "e1": asked(attribute, other_e1, e2),
            "e2": asked(attribute, e1, other_e2),
            "attribute": asked(other_attribute, e1, e2),
        },
        variables=(
            Variable(
                "value 1",
                2,
                asked(attribute, swap_v1[:, 0], swap_v1[:, 1]),
                answer(compared(at(swap_v1[:, 0]), v2)),
            ),
            Variable(
                "value 2",
                4,
                asked(attribute, swap_v2[:, 0], swap_v2[:, 1]),
                answer(compared(v1, at(swap_v2[:, 1]))),
            ),
        ),
        unrelated=asked(other_attribute, swap_v1[:, 0], swap_v2[:, 1]),
        readable={"value 1": kept(tokens.value(v1)), "value 2": kept(tokens.value(v2)), "answer": answer(label)},
    )


def draw(candidates: Callable[[], Ints], good: Callable[[Ints], npt.NDArray[np.bool_]]) -> Ints:
    """For each question the first drawn candidate that is `good` for it; -1 where `TRIES` rounds found none."""
    chosen = np.full_like(candidates(), -1)
    missing = np.ones(len(chosen), bool)
    for _ in range(TRIES):
        drawn = candidates()
        take = missing & good(drawn)
        chosen[take] = drawn[take]
        missing &= ~take
        if not missing.any():
            break
    return chosen

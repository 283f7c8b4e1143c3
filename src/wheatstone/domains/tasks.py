"""The three tasks of implicit reasoning as tokens: what is trained, what is asked, what is probed.

Composition `h r1 r2 -> t`, comparison `attribute ? e1 mask e2 -> label` and complex reasoning (comparisons of entities
whose values are never told), all of Wang et al. 2024, arXiv:2405.15071. Every fact of the first two is trained as a
one-hop question `h r -> t` or `e attribute -> value`, the out-of-distribution ones too. One question is one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from wheatstone.domains.kg.baselines import baselines
from wheatstone.domains.kg.comparison import ComparisonSplit, ComplexSplit
from wheatstone.domains.kg.graph import Chains, Int32
from wheatstone.domains.kg.split import CompositionSplit
from wheatstone.domains.probes import (
    ComparisonTokens,
    Ints,
    comparison_probe,
    composition_probe,
    fact_tokens,
    question_tokens,
)
from wheatstone.interp.circuit import Probe
from wheatstone.learn.models.transformer import Transformer
from wheatstone.learn.sequences import Sequences, padded
from wheatstone.learn.training import accuracy


class Pool(NamedTuple):
    """Questions of one kind with their answers."""

    prompts: Int[Tensor, "question pos"]
    answers: Int[Tensor, " question"]

    def accuracy(self, model: Transformer) -> float:
        """Share answered exactly, among the whole vocabulary, in [0, 1]; NaN without questions."""
        device = next(model.parameters()).device
        if not len(self.prompts):
            return float("nan")
        return accuracy(model, self.prompts.to(device), self.answers.to(device))


class Guesses(NamedTuple):
    """What answering without reasoning scores on the ID test, in [0, 1]."""

    majority: float
    """The most frequent training answer of the same relations (of the same attribute)."""
    direct: float
    """Share of two-hop tests whose answer is also one hop away from the head; NaN for comparisons."""


@dataclass(frozen=True)
class Task:
    """Everything that training and measuring need, as tensors of tokens."""

    vocab: int
    context: int
    train: Sequences
    atomic: Pool
    inferred: Pool
    """Inferred facts of the training set."""
    test_id: Pool
    test_ood: Pool
    n_ood: int
    """OOD tests before sampling."""
    phi: float
    """Inferred facts in training for each ID fact, counted."""
    guesses: Guesses
    probe: Probe
    """Drawn from training questions."""
    tokens: tuple[str, ...]
    """A name for each token."""
    tails: Int32 | None = None
    """[n_entity, n_relation] of the two-hop task, -1 where there is no fact."""

    def bridge(self, head: int, relation: int) -> str | None:
        """Name of the entity that two tokens of a two-hop question lead to; None for the other tasks."""
        if self.tails is None:
            return None
        return self.tokens[int(self.tails[head, relation - len(self.tails)])]


class Sampling(NamedTuple):
    """How many questions are asked and probed, and how they are drawn."""

    rng: np.random.Generator
    asked: int
    """Questions of a pool at most."""
    probed: int

    def rows(self, n: int, limit: int) -> Ints:
        """Sorted row numbers, `limit` at most."""
        return np.sort(self.rng.permutation(n)[:limit])

    def pool(self, prompts: Ints, answers: Ints) -> Pool:
        chosen = self.rows(len(prompts), self.asked)
        return Pool(torch.from_numpy(prompts[chosen]), torch.from_numpy(answers[chosen]))


def relabelled(split: CompositionSplit, order: Ints) -> CompositionSplit:
    """The same split with entity e renamed order[e]: isomorphic, so that nothing but the names can differ."""

    def facts(rows: Int32) -> Int32:
        head, relation, tail = rows.T
        return np.stack([order[head], relation, order[tail]], axis=1).astype(np.int32)

    def chains(pool: Chains) -> Chains:
        head, r1, bridge, r2, tail = pool.rows.T
        return Chains(np.stack([order[head], r1, order[bridge], r2, order[tail]], axis=1).astype(np.int32))

    return CompositionSplit(
        facts(split.atomic_id),
        facts(split.atomic_ood),
        chains(split.train),
        chains(split.test_id),
        chains(split.test_ood),
        split.n_entity,
        split.n_relation,
        split.reachable_phi,
    )


def composition_task(
    split: CompositionSplit,
    sampling: Sampling,
    *,
    entities: Sequence[str] | None = None,
    relations: Sequence[str] | None = None,
) -> Task:
    """Two-hop questions; tokens are the entities, then the relations. Corruptions of the probe use ID facts only."""
    n_entity, n_relation = split.n_entity, split.n_relation
    known = _table(split.atomic_id, split)
    everything = _table(split.atomic, split)
    fact_prompts, fact_answers = fact_tokens(split.atomic, n_entity), split.atomic[:, 2].astype(np.int64)

    def asked(pool: Chains) -> Pool:
        return sampling.pool(question_tokens(pool, n_entity), pool.tail.astype(np.int64))

    guesses = baselines(split.train, split.test_id, everything)
    probed = sampling.rows(len(split.train), sampling.probed)
    return Task(
        n_entity + n_relation,
        3,
        padded(
            [fact_prompts, question_tokens(split.train, n_entity)], [fact_answers, split.train.tail.astype(np.int64)]
        ),
        sampling.pool(fact_prompts, fact_answers),
        asked(split.train),
        asked(split.test_id),
        asked(split.test_ood),
        len(split.test_ood),
        split.phi,
        Guesses(max(guesses.majority_pair, guesses.majority_relation), guesses.direct),
        composition_probe(known, split.train[probed], sampling.rng),
        (*(entities or _numbered("e", n_entity)), *(relations or _numbered("r", n_relation))),
        everything,
    )


def comparison_task(split: ComparisonSplit | ComplexSplit, n_value: int, sampling: Sampling, *, repeat: int) -> Task:
    """Comparisons; the hard questions of a `ComplexSplit` are its OOD test, and it has no ID test.

    Args:
        repeat: copies of each fact among the training rows, beside one of each comparison.
    """
    n_entity, n_attribute = split.values.shape
    tokens = ComparisonTokens(n_entity, n_attribute, n_value)
    if isinstance(split, ComplexSplit):
        facts, id_facts, id_rows, ood_rows = split.atomic, len(split.atomic), split.test[:0], split.test
    else:
        facts, id_facts = np.concatenate([split.atomic_id, split.atomic_ood]), len(split.atomic_id)
        id_rows, ood_rows = split.test_id, split.test_ood
    fact_prompts, fact_answers = tokens.facts(facts)
    prompts, answers = tokens.comparisons(split.train)
    probed = split.train[sampling.rows(len(split.train), sampling.probed)]
    labels = [f"a{attribute}{sign}" for attribute in range(n_attribute) for sign in "<=>"]
    return Task(
        tokens.n_token,
        5,
        padded([np.repeat(fact_prompts, repeat, 0), prompts], [np.repeat(fact_answers, repeat), answers]),
        sampling.pool(fact_prompts, fact_answers),
        sampling.pool(prompts, answers),
        sampling.pool(*tokens.comparisons(id_rows)),
        sampling.pool(*tokens.comparisons(ood_rows)),
        len(ood_rows),
        len(split.train) / id_facts,
        Guesses(majority_label(split.train, id_rows if len(id_rows) else ood_rows), float("nan")),
        comparison_probe(split.values, probed, tokens, sampling.rng),
        (*_numbered("e", n_entity), *_numbered("a", n_attribute), *_numbered("v", n_value), *labels, "?", "mask"),
    )


def majority_label(train: Int32, tests: Int32) -> float:
    """Accuracy of the most frequent training label of each attribute (smaller wins a tie); rows as in the splits."""
    if not len(tests):
        return float("nan")
    counts = np.zeros((int(max(train[:, 0].max(), tests[:, 0].max())) + 1, 3), np.int64)
    np.add.at(counts, (train[:, 0], train[:, 3]), 1)
    return float((counts.argmax(axis=1)[tests[:, 0]] == tests[:, 3]).mean())


def _table(facts: Int32, split: CompositionSplit) -> Int32:
    table = np.full((split.n_entity, split.n_relation), -1, np.int32)
    table[facts[:, 0], facts[:, 1]] = facts[:, 2]
    return table


def _numbered(letter: str, count: int) -> tuple[str, ...]:
    return tuple(f"{letter}{number}" for number in range(count))

"""Tasks as tokens: what is counted, guessed and renamed, against answers found by hand or by another road."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from wheatstone.domains.kg.comparison import comparison_split, complex_split
from wheatstone.domains.kg.split import CompositionSplit, assert_no_leak, composition_split
from wheatstone.domains.kg.synthetic import random_table
from wheatstone.domains.tasks import Sampling, comparison_task, composition_task, majority_label, relabelled
from wheatstone.learn.models.transformer import Transformer, TransformerConfig
from wheatstone.learn.sequences import NO_TARGET


def sampling(asked: int = 50, probed: int = 30) -> Sampling:
    return Sampling(np.random.default_rng(0), asked, probed)


@pytest.fixture(scope="module")
def split() -> CompositionSplit:
    table = random_table(20, 8, 8, np.random.default_rng(1))
    return composition_split(table, phi=3.6, ood_share=0.1, test_share=0.1, seed=2)


def test_phi_is_what_the_training_rows_hold(split: CompositionSplit) -> None:
    task = composition_task(split, sampling())
    asked_at = (task.train.targets != NO_TARGET).int().argmax(1)
    n_fact, n_chain = int((asked_at == 1).sum()), int((asked_at == 2).sum())
    assert n_fact == 20 * 8
    assert task.phi == n_chain / (0.9 * n_fact) == pytest.approx(3.6, abs=0.01)


def test_every_question_is_true_in_the_facts(split: CompositionSplit) -> None:
    task = composition_task(split, sampling())
    tail = {(h, r): t for h, r, t in split.atomic.tolist()}
    for pool in (task.inferred, task.test_id, task.test_ood):
        for (h, r1, r2), answer in zip(pool.prompts.tolist(), pool.answers.tolist(), strict=True):
            assert tail[tail[h, r1 - 20], r2 - 20] == answer
            assert task.bridge(h, r1) == f"e{tail[h, r1 - 20]}"


def test_relabelling_keeps_the_data_isomorphic(split: CompositionSplit) -> None:
    order = np.random.default_rng(3).permutation(20)
    renamed = relabelled(split, order)
    assert_no_leak(renamed)
    back = relabelled(renamed, np.argsort(order))
    assert back.digest() == split.digest() != renamed.digest()
    for before, after in ((split.train, renamed.train), (split.test_ood, renamed.test_ood)):
        assert sorted(Counter(before.tail.tolist()).values()) == sorted(Counter(after.tail.tolist()).values())
    one, other = composition_task(split, sampling()), composition_task(renamed, sampling())
    assert one.guesses.direct == other.guesses.direct
    # A tie between answers goes to the smaller name, so the majority may move by the tests that hang on a tie.
    assert one.guesses.majority == pytest.approx(other.guesses.majority, abs=0.1)
    assert (one.phi, one.n_ood, len(one.train)) == (other.phi, other.n_ood, len(other.train))


def test_majority_label_by_hand() -> None:
    # Attribute 0 shows 'larger' twice and 'equal' once; attribute 1 ties, and the smaller label wins.
    train = np.array([[0, 1, 2, 2], [0, 2, 3, 2], [0, 3, 4, 1], [1, 1, 2, 0], [1, 2, 1, 2]], np.int32)
    tests = np.array([[0, 5, 6, 2], [0, 6, 7, 0], [1, 5, 6, 0], [1, 6, 5, 2]], np.int32)
    assert majority_label(train, tests) == 0.5
    assert np.isnan(majority_label(train, tests[:0]))


def test_comparison_rows_repeat_facts_and_nothing_else() -> None:
    split = comparison_split(20, 2, 4, phi=4.0, ood_share=0.2, test_share=0.1, seed=0)
    task = comparison_task(split, 4, sampling(), repeat=3)
    rows = Counter(map(tuple, task.train.tokens.tolist()))
    assert sorted(set(rows.values())) == [1, 3]
    assert sum(count == 3 for count in rows.values()) == 40
    assert len(task.train) == 120 + len(split.train)
    assert len(task.tokens) == task.vocab
    assert task.bridge(0, 0) is None


def test_hard_questions_are_the_ood_test() -> None:
    split = complex_split(60, 3, 6, n_ood=12, train_share=0.1, per_label=2, seed=0)
    task = comparison_task(split, 6, sampling(), repeat=1)
    assert len(task.test_ood.prompts) == task.n_ood == 6
    assert len(task.test_id.prompts) == 0
    model = Transformer(TransformerConfig(task.vocab, 5, 16, 1, 2), torch.Generator().manual_seed(0))
    assert np.isnan(task.test_id.accuracy(model))
    assert 0 <= task.test_ood.accuracy(model) <= 1

"""What the benchmarks compare with computes the same, and operations are counted rightly."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from benchmarks.composition import composition, dense, settings, step_flops, with_answers
from benchmarks.data_generation import Fit, fitted, same_chains
from benchmarks.grok_runs import PlainRecipe, answer_rows, share_of_rate
from benchmarks.patching import Size, by_hooks, random_model, random_questions
from benchmarks.peers import list_membership
from benchmarks.throughput import spread_out
from benchmarks.tuning import GRIDS, cells
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from wheatstone.domains.kg.split import composition_split
from wheatstone.interp.patching import effect_map
from wheatstone.learn.models.transformer import Transformer, TransformerConfig
from wheatstone.learn.sequences import NO_TARGET

CFG = TransformerConfig(vocab=11, context=3, d_model=16, n_layer=3, n_head=4)


@pytest.mark.parametrize("answer_only", [False, True])
def test_operations_are_those_that_torch_counts(answer_only: bool) -> None:
    model = Transformer(CFG, torch.Generator().manual_seed(0))
    tokens, at = torch.zeros(5, 3, dtype=torch.int64), torch.full((5,), 2)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        logits = model.unembed(model.resid_at(tokens, at)) if answer_only else model(tokens)
        logits.sum().backward()
    assert counter.get_total_flops() == step_flops(CFG, 5, 3, answer_only=answer_only)


def test_rows_with_answers_ask_the_same() -> None:
    task = composition(settings(12, phi=5.0), seed=0)
    tokens, labels = with_answers(task.train)
    assert ((labels[:, 1:] == task.train.targets) | (labels[:, 1:] == NO_TARGET)).all()
    asked = labels != NO_TARGET
    assert (asked.sum(1) == 1).all()
    assert (tokens[asked] == labels[asked]).all()
    assert (dense(task.train).targets != NO_TARGET).all()


def test_published_rows_end_with_answer_and_end_of_answer() -> None:
    task = composition(settings(12, phi=5.0), seed=0)
    tokens, labels = answer_rows(task)
    asked = labels != NO_TARGET
    assert (asked.sum(1) == 2).all()
    assert (tokens[asked] == labels[asked]).all()
    assert (labels[asked].view(-1, 2)[:, 1] == task.vocab).all()
    assert (labels[asked].view(-1, 2)[:, 0] == task.train.targets[task.train.targets != NO_TARGET]).all()


def test_published_schedule_is_warm_up_then_constant() -> None:
    share = share_of_rate(PlainRecipe())
    assert [share(step) for step in (0, 999, 1999, 2000, 10**6)] == [1 / 2000, 0.5, 1.0, 1.0, 1.0]
    falling = share_of_rate(PlainRecipe(warmup=100, steps=300, linear_to=0.05))
    assert [falling(step) for step in (99, 100, 200, 300)] == pytest.approx([1.0, 1.0, 0.525, 0.05])


def test_both_splits_put_every_chain_into_the_same_pool() -> None:
    assert same_chains() == 0


def test_list_membership_drops_mixed_chains() -> None:
    facts = [(0, 0, 1), (1, 0, 2), (1, 1, 0)]
    lists = list_membership.split(facts, [(1, 0, 2)], phi=10, test_share=0.0, rng=random.Random(0))
    assert sorted(lists.train) == [(0, 0, 1, 1, 0), (1, 1, 0, 0, 1)]
    assert lists.test_ood == []
    assert lists.id_facts == [(0, 0, 1), (1, 1, 0)]


def test_list_membership_pools_are_those_of_a_split_that_leaks_nothing() -> None:
    rng = random.Random(3)
    facts = list_membership.random_facts(40, 20, 6, rng)
    assert len(facts) == 240
    table = np.full((40, 20), -1, np.int32)
    for head, relation, tail in facts:
        table[head, relation] = tail
    split = composition_split(table, phi=None, ood_share=0.0, test_share=0.0, seed=0)
    lists = list_membership.split(facts, [], phi=1e9, test_share=0.0, rng=rng)
    assert {tuple(row) for row in split.train.rows.tolist()} == set(lists.train)


def test_the_fit_finds_a_power_law() -> None:
    law = fitted([(x, 3e-5 * x**2) for x in (100, 200, 400)])
    assert law == pytest.approx(Fit(3e-5, 2.0))
    assert law.at(1000) == pytest.approx(30.0)


def test_hooks_on_whole_passes_give_our_map() -> None:
    size = Size(3, 16, 4, 3, 20)
    model, questions = random_model(size), random_questions(size)
    ours = effect_map(model, questions.clean, questions.source)[:3]
    assert (ours > 0).any()
    assert torch.equal(ours, by_hooks(model, questions))


def test_both_sides_have_equally_many_cells_to_tune() -> None:
    found = cells(50)
    assert {side: sum(cell.optimiser == side for cell in found) for side in GRIDS} == {"muon": 24, "adamw": 24}
    assert len({cell.path for cell in found}) == len(found)
    assert all(cell.config.optimiser == cell.optimiser for cell in found)


def test_spread_weights_make_losses_tell() -> None:
    model = spread_out(Transformer(CFG, torch.Generator().manual_seed(0)))
    assert model(torch.arange(9).view(3, 3)).std() > 0.3

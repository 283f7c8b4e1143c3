"""Four domains with vocabularies of their own, trained in one model: three that can be generalised and one that cannot.

two_hop      `h r1 r2 -> t` beside the facts `h r -> t` (Wang et al., arXiv:2405.15071, section 3)
addition     `a b = -> a + b mod p`, a share of the table in training (Power et al., arXiv:2201.02177)
comparison   `attribute e1 e2 -> smaller, equal, larger` beside the facts `e attribute -> value`
noise        `x y ? -> z` with z drawn once and for all: what is not in training cannot be known
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

from wheatstone.bench.run import Trial
from wheatstone.domains.kg.comparison import comparison_split
from wheatstone.domains.kg.split import composition_split
from wheatstone.domains.kg.synthetic import random_table
from wheatstone.interp.pathways import random_pairs, related_pairs
from wheatstone.learn.sequences import Sequences, padded
from wheatstone.studies.neural.grokking_pathways.config import Config

Ints = npt.NDArray[np.int64]
N_ATTRIBUTE = 4
NOISE_NAMES, NOISE_ANSWERS = 60, 20
DOMAINS = ("two_hop", "addition", "comparison", "noise")
CONTEXT = 3
GROUP = 5
"""Probed questions with one key, at most, unless there are too few keys."""


@dataclass(frozen=True)
class Questions:
    """Prompts [question, 3] with one answer each, and what makes two of them related."""

    train: Ints
    train_answers: Ints
    test: Ints
    test_answers: Ints
    facts: Ints
    """[fact, 2] what is trained beside the questions, with its answers."""
    fact_answers: Ints
    n_token: int
    told_by: tuple[int, ...] = ()
    """Positions of a prompt that say what its last step is: questions which agree there and in the answer are related
    (of addition: the same sum; of the noise: the same answer)."""


@dataclass(frozen=True)
class Probes:
    """What is measured of one domain at an evaluation."""

    train: Int[Tensor, "question pos"]
    """Training questions, whose pathways are measured."""
    train_answers: Int[Tensor, " question"]
    test: Int[Tensor, "question pos"]
    test_answers: Int[Tensor, " question"]
    related: Ints
    """[pair, 2] of `train`: the same last step."""
    unrelated: Ints
    """[pair, 2] of `train`, any two."""
    same_token: Ints
    """[pair, 2] of `train`: the same last token, where routers are read, but not related."""
    keys: Ints
    """[train question]: related questions have the same number."""
    test_keys: Ints
    """[test question]: the same numbers."""


@dataclass(frozen=True)
class Task:
    """The rows of training and what is measured of each domain."""

    train: Sequences
    probes: Mapping[str, Probes]
    vocab: int


def make_task(trial: Trial[Config]) -> Task:
    """The data of a trial, the same in every arm."""
    config = trial.config
    made = {
        "two_hop": two_hop(config, trial),
        "addition": addition(config, trial),
        "comparison": comparison(config, trial),
        "noise": noise(config, trial),
    }
    offset, prompts, answers, probes = 0, list[Ints](), list[Ints](), dict[str, Probes]()
    for name in DOMAINS:
        one = made[name]
        repeat = config.repeat if name == "addition" else 1
        for rows, right in ((one.train, one.train_answers), (one.facts, one.fact_answers)):
            if len(rows):
                prompts.append(np.repeat(rows + offset, repeat, axis=0))
                answers.append(np.repeat(right + offset, repeat))
        probes[name] = _probes(one, offset, config, trial.rng(f"probes {name}"))
        offset += one.n_token
    return Task(padded(prompts, answers), probes, offset)


def _probes(one: Questions, offset: int, config: Config, rng: np.random.Generator) -> Probes:
    columns = list(one.told_by)
    known = np.column_stack([one.train[:, columns], one.train_answers])
    asked_of = np.column_stack([one.test[:, columns], one.test_answers])
    keys = np.unique(np.concatenate([known, asked_of]), axis=0, return_inverse=True)[1].reshape(-1)
    probed = _in_groups(keys[: len(known)].tolist(), config.probe, rng)
    asked = np.sort(rng.permutation(len(one.test))[: config.asked])
    train, of_train = one.train[probed], keys[probed]
    return Probes(
        torch.from_numpy(train + offset),
        torch.from_numpy(one.train_answers[probed] + offset),
        torch.from_numpy(one.test[asked] + offset),
        torch.from_numpy(one.test_answers[asked] + offset),
        related_pairs(of_train.tolist(), config.pairs, rng),
        random_pairs(len(probed), config.pairs, rng),
        _same_token(train[:, -1], of_train, config.pairs, rng),
        of_train,
        keys[len(known) + asked],
    )


def _same_token(tokens: Ints, keys: Ints, count: int, rng: np.random.Generator) -> Ints:
    """[pair 2]: rows with one token and two keys, all pairs of them or `count`."""
    pairs = related_pairs(tokens.tolist(), len(tokens) ** 2, rng)
    pairs = pairs[keys[pairs[:, 0]] != keys[pairs[:, 1]]]
    return pairs[np.sort(rng.permutation(len(pairs))[:count])]


def _in_groups(keys: Sequence[int], count: int, rng: np.random.Generator) -> Ints:
    """Rows of `count` questions at most: of keys in random order a few questions each, so that many are related."""
    rows: dict[int, list[int]] = {}
    for row in rng.permutation(len(keys)).tolist():
        rows.setdefault(keys[row], []).append(row)
    chosen: list[int] = []
    each = max(GROUP, -(-count // len(rows)))
    for group in rows.values():
        chosen += group[: min(each, count - len(chosen))]
    return np.sort(np.array(chosen, np.int64))


def two_hop(config: Config, trial: Trial[Config]) -> Questions:
    """Chains of a random table; related are those with the same second relation and answer."""
    n, r = config.n_entity, config.n_relation
    table = random_table(n, r, r, trial.rng("facts"))
    split = composition_split(
        table, phi=config.phi, ood_share=0.05, test_share=config.test_share, seed=trial.seed_for("split")
    )
    token = np.array([0, n, n])
    train, test = (pool.questions.astype(np.int64) + token for pool in (split.train, split.test_id))
    facts = split.atomic.astype(np.int64)
    return Questions(
        train,
        split.train.tail.astype(np.int64),
        test,
        split.test_id.tail.astype(np.int64),
        facts[:, :2] + token[:2],
        facts[:, 2],
        n + r,
        told_by=(2,),
    )


def addition(config: Config, trial: Trial[Config]) -> Questions:
    """A share of the table a + b mod p; related are those with the same sum."""
    p = config.modulus
    a, b = np.divmod(trial.rng("table").permutation(p * p), p)
    prompts, sums = np.stack([a, b, np.full_like(a, p)], axis=1), (a + b) % p
    cut = round(config.table_share * len(sums))
    return Questions(prompts[:cut], sums[:cut], prompts[cut:], sums[cut:], *_none(2), p + 1)


def comparison(config: Config, trial: Trial[Config]) -> Questions:
    """Comparisons of two known values; related are those of one attribute with the same label."""
    n = config.n_compared
    split = comparison_split(
        n, N_ATTRIBUTE, config.n_value, phi=config.compared_phi, seed=trial.seed_for("comparisons")
    )
    label = n + N_ATTRIBUTE + config.n_value

    def rows(found: npt.NDArray[np.int32]) -> tuple[Ints, Ints]:
        attribute, e1, e2, sign = found.astype(np.int64).T
        return np.stack([n + attribute, e1, e2], axis=1), label + sign

    train, train_answers = rows(split.train)
    test, test_answers = rows(split.test_id)
    facts = np.concatenate([split.atomic_id, split.atomic_ood]).astype(np.int64)
    return Questions(
        train,
        train_answers,
        test,
        test_answers,
        facts[:, :2] + np.array([0, n]),
        n + N_ATTRIBUTE + facts[:, 2],
        label + 3,
        told_by=(0,),
    )


def noise(config: Config, trial: Trial[Config]) -> Questions:
    """Pairs of names with an answer drawn at random; related are those with the same answer."""
    rng = trial.rng("noise")
    x, y = np.divmod(rng.permutation(NOISE_NAMES**2), NOISE_NAMES)
    prompts = np.stack([x, y, np.full_like(x, NOISE_NAMES)], axis=1)
    drawn = NOISE_NAMES + 1 + rng.integers(NOISE_ANSWERS, size=len(prompts))
    cut = min(config.n_noise, len(prompts) - 1)
    return Questions(prompts[:cut], drawn[:cut], prompts[cut:], drawn[cut:], *_none(2), NOISE_NAMES + 1 + NOISE_ANSWERS)


def _none(width: int) -> tuple[Ints, Ints]:
    return np.zeros((0, width), np.int64), np.zeros(0, np.int64)

"""One trial: rows of a composition, their coverage before training, a transformer, and what it makes of the tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch

from wheatstone.bench.run import Trial
from wheatstone.domains.compositions import SHAPES, Composition, Ints, compose, split
from wheatstone.domains.coverage.classes import Classes, classes
from wheatstone.domains.coverage.graph import Coverage, SubstitutionGraph, coverage, direct_cutoff
from wheatstone.domains.coverage.predict import nearest, substitute
from wheatstone.interp.monitors import spearman
from wheatstone.learn.models.transformer import Transformer
from wheatstone.learn.replicas import Trained
from wheatstone.learn.training import Fitted, Training
from wheatstone.studies.neural.coverage_principle.config import Config
from wheatstone.studies.neural.coverage_principle.ordering import ordering
from wheatstone.studies.neural.coverage_principle.representation import (
    BRIDGE_POSITION,
    best_gap,
    bridge_interchange,
    gaps,
)
from wheatstone.studies.neural.coverage_principle.samples import witnesses
from wheatstone.studies.neural.coverage_principle.task import Sampled, Tokens, majority, sampled

NAN = float("nan")
KINDS = ("train", "id", "ood")

MEASURES = {
    "train_accuracy": "training rows answered exactly at the end [0, 1]",
    "id_accuracy": "unseen combinations of calls that training makes, answered exactly [0, 1]",
    "ood_accuracy": "inputs with a call that training never makes, answered exactly [0, 1]",
    "majority": "ID accuracy of the most frequent training target: chance, since random tables have popular results",
    "nearest": "ID accuracy of the most frequent target among the training rows that differ at the fewest positions",
    "covered": "share of the ID tests that are 1-covered, computed before training [0, 1]",
    "covered_twice": "share of the ID tests that are 2-covered [0, 1]",
    "covered_directly": "share that one substitution of (x1, x2) covers, k = 1; NaN for other trees [0, 1]",
    "covered_ood": "share of the OOD tests that are 2-covered [0, 1]",
    "substitution": "ID accuracy of answering by substitution alone, classes without contradictions [0, 1]",
    "substitution_chained": "the same with the connected components of the paper's code as classes [0, 1]",
    "spearman": "rank correlation of k-cutoff and being answered, over ID tests [-1, 1]; NaN if either is constant",
    "spearman_shuffled": "the same with the cutoffs of other tests",
    "top_third": "accuracy of the third of the ID tests with the largest k-cutoffs [0, 1]",
    "bottom_third": "accuracy of the third with the smallest k-cutoffs [0, 1]",
    "matched_thirds": "top minus bottom third among ID tests whose (x1, x2) is equally frequent in training [-1, 1]",
    "iicg": "cosine gap of states at x2 grouped by b = f1(x1, x2), at its best block, ID tests [-2, 2]",
    "iicg_twice": "two times iicg, the side of a contrast that asks for a half",
    "iicg_pair": "the gap of groups with one b and one x2 [-2, 2]",
    "iicg_ood": "iicg over OOD tests whose first call is new [-2, 2]",
    "bridge_interchange": "share of ID answers that become f2(b', x3) when the state at x2 comes from an input with "
    "b', at its best block [0, 1]; NaN where x2 acts past b too, and where steps are written",
    "exponent": "search: slope of log N needed over log |X|; NaN in other arms and where an |X| never gets there",
    "rows_smallest": "search: rows needed at the smallest |X|; NaN in other arms and if never",
    "rows_largest": "search: rows needed at the largest |X|; NaN in other arms and if never",
}
NOT_MEASURED = dict.fromkeys(MEASURES, NAN)


class Prepared(NamedTuple):
    """A trial before training."""

    tokens: Tokens
    rows: Sampled
    training: Training


def prepare(trial: Trial[Config]) -> Prepared:
    """The trial's composition and rows, and its model with initial weights."""
    config = trial.config
    composition = compose(
        SHAPES[config.shape], config.n_token, trial.rng(f"tables-{config.shape}"), algebraic=config.algebraic
    )
    parts = split(composition, config.n_train, config.seen_share, trial.rng(f"rows-{config.shape}"))
    rows = sampled(parts, config.asked, trial.rng("asked"))
    tokens = Tokens(composition, config.form)
    model = Transformer(
        config.transformer(tokens.vocab, tokens.context), torch.Generator().manual_seed(trial.seed_for("init"))
    )

    def evaluate(model: Transformer) -> dict[str, float]:
        pools = zip(KINDS, (rows.train_asked, rows.test_id, rows.test_ood), strict=True)
        return {f"{kind}_accuracy": share(tokens.right(model, pool)) for kind, pool in pools}

    training = Training(
        model,
        tokens.train(rows.train, first_call_told=config.first_call_told),
        config.fitting(),
        order_seed=trial.seed_for("order") % 2**31,
        evaluate=evaluate,
        keeper=trial,
    )
    return Prepared(tokens, rows, training)


def share(right: Ints) -> float:
    """Share of ones, in [0, 1]; NaN without any."""
    return float(right.mean()) if len(right) else NAN


def measure(trial: Trial[Config], prepared: Prepared, fitted: Fitted) -> Mapping[str, float]:
    """Accuracies at the end, coverage, their relation, and what the states hold."""
    config, (tokens, rows, training) = trial.config, prepared
    composition, model = tokens.composition, training.model
    covered = covering(composition, rows, config.k_max)
    right = tokens.right(model, rows.test_id)
    trial.write("witnesses", witnesses(covered.classes, tokens, rows, covered.id.cutoff, right))
    trial.write("by_cutoff", by_cutoff(covered.id.cutoff, right, covered.answered_by_substitution, config.k_max))
    order = ordering(covered.id.cutoff, right, frequency(composition, rows), trial.rng("thirds"))
    mixed = trial.rng("shuffled").permutation(covered.id.cutoff)
    last = fitted.history[-1].values
    return {
        **NOT_MEASURED,
        **{f"{kind}_accuracy": last[f"{kind}_accuracy"] for kind in KINDS},
        "majority": majority(composition, rows.train, rows.test_id),
        **covered.measures,
        "spearman": order.spearman,
        "spearman_shuffled": spearman(mixed, right),
        "top_third": order.top,
        "bottom_third": order.bottom,
        "matched_thirds": order.matched,
        **_representation(trial, tokens, rows, model),
    }


TRIAL = Trained(prepare, measure)


class Covering(NamedTuple):
    """What can be said of the tests before training."""

    classes: Classes
    id: Coverage
    answered_by_substitution: Ints
    """[ID test] 1 where substitution alone gives the right target, else 0."""
    measures: dict[str, float]


def covering(composition: Composition, rows: Sampled, k_max: int) -> Covering:
    """Coverage of the tests by the training rows, and what answering without a network scores."""
    inputs, targets = composition.inputs, composition.targets
    train, train_targets = inputs[rows.train], targets[rows.train]
    tests, expected = inputs[rows.test_id], targets[rows.test_id]
    found = classes(train, train_targets, k_max=k_max)
    chained = classes(train, train_targets, k_max=k_max, merging="chained")
    of_id = coverage(found, tests, expected)
    of_ood = coverage(found, inputs[rows.test_ood], targets[rows.test_ood])
    answered = substitute(SubstitutionGraph(found, tests))
    is_tree = composition.shape.name == "two_hop"
    measures = {
        "nearest": share((nearest(train, train_targets, tests) == expected).astype(np.int64)),
        "covered": of_id.share(1),
        "covered_twice": of_id.share(2),
        "covered_directly": direct_share(found, tests, expected) if is_tree else NAN,
        "covered_ood": of_ood.share(2),
        "substitution": answered.accuracy(expected),
        "substitution_chained": substitute(SubstitutionGraph(chained, tests)).accuracy(expected),
    }
    return Covering(found, of_id, (answered.targets == expected).astype(np.int64), measures)


def direct_share(found: Classes, tests: Ints, targets: Ints) -> float:
    """Share of the tests that one substitution of (x1, x2) takes to a training row of the same target."""
    return share((direct_cutoff(found, tests, targets, (0, 1)) > 0).astype(np.int64))


def frequency(composition: Composition, rows: Sampled) -> Ints:
    """[ID test] training rows that make the same first call."""
    counts = np.bincount(composition.call_ids[rows.train, 0], minlength=composition.tables[0].size)
    return counts[composition.call_ids[rows.test_id, 0]]


def by_cutoff(cutoff: Ints, right: Ints, substituted: Ints, k_max: int) -> list[dict[str, float]]:
    """For each cutoff: how many ID tests have it, and how many of them the model and substitution answer."""
    return [
        {
            "k": k,
            "tests": int((cutoff == k).sum()),
            "right": int(right[cutoff == k].sum()),
            "substituted": int(substituted[cutoff == k].sum()),
            "accuracy": share(right[cutoff == k]),
        }
        for k in range(k_max + 1)
    ]


def _representation(trial: Trial[Config], tokens: Tokens, rows: Sampled, model: Transformer) -> dict[str, float]:
    """Gaps and interchange; written down in full, and read at x2 for the measures."""
    composition, n_probe = tokens.composition, trial.config.probe
    if composition.shape.calls[0] != (0, BRIDGE_POSITION):
        return {}
    chosen = np.sort(trial.rng("probe").permutation(rows.test_id)[:n_probe])
    first_calls = np.unique(composition.call_ids[rows.train, 0])
    is_new = ~np.isin(composition.call_ids[rows.test_ood, 0], first_calls)
    found = gaps(model, composition, chosen)
    found_ood = gaps(model, composition, rows.test_ood[is_new][:n_probe])
    reads_once = all(BRIDGE_POSITION not in call for call in composition.shape.calls[1:])
    exchanged: list[list[float]] = []
    if reads_once and tokens.form == "direct":
        exchanged = bridge_interchange(model, composition, rows.train, chosen, trial.rng("exchanged"))
    trial.write("gaps", {**found._asdict(), "interchange": exchanged})
    gap = best_gap(found.by_bridge)
    moved = [row[BRIDGE_POSITION] for row in exchanged[1:-1]]
    return {
        "iicg": gap,
        "iicg_twice": 2 * gap,
        "iicg_pair": best_gap(found.by_pair),
        "iicg_ood": best_gap(found_ood.by_bridge),
        "bridge_interchange": max(moved, default=NAN),
    }

"""One trial: demonstrations of an axiom on short chains, a transformer trained on them, larger and other structures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from wheatstone.bench.run import Trial
from wheatstone.domains.causal.axioms import AXIOMS, Axiom, Balance, judge
from wheatstone.domains.causal.instances import Instances, Rng, Structure, is_held_out
from wheatstone.learn.models.statements import StatementTransformer
from wheatstone.learn.models.transformer import Sites, Transformer
from wheatstone.learn.replicas import Trained
from wheatstone.learn.training import Fitted, Training
from wheatstone.studies.neural.axiomatic_training.config import Config
from wheatstone.studies.neural.axiomatic_training.encoding import Encoding, encoding_of
from wheatstone.studies.neural.axiomatic_training.examination import (
    BRANCHING,
    LONGER,
    LONGEST,
    TAUGHT,
    Family,
    Marked,
    Selection,
    Test,
    by_hop,
    score,
    tests_of,
)

MEASURES = {
    "near_accuracy": "taught lengths, pairs one hop apart: share answered right [0, 1]",
    "far_accuracy": "taught lengths, new shapes, pairs two hops and more apart: balanced accuracy [0, 1]",
    "far_written": "the same of the rule 'yes if the edge is written' (d-separation: 'yes if not adjacent'); 0.5",
    "far_rule": "the same of the best trivial rule",
    "hard_accuracy": "taught lengths: balanced accuracy where rules tell nothing, order of mention apart [0, 1]",
    "hard_rule": "the same of the best trivial rule",
    "flipped_accuracy": "flipped chains of 3 to 6 nodes sampled as published, new shapes: share answered right [0, 1]",
    "flipped_written": "the same of the rule 'written'",
    "reversed_accuracy": "reversed chains of 5 nodes sampled as published: share right [0, 1]; NaN for d-separation",
    "reversed_written": "the same of the rule 'written'; NaN for d-separation",
    "branching_accuracy": "branching graphs of 5 nodes, 1.4 edges a node, sampled as published: share right [0, 1]",
    "branching_written": "the same of the rule 'written'",
    "branching_rule": "the same of the best trivial rule",
    "larger_accuracy": "branching graphs of 8, 10 and 12 nodes: share answered right [0, 1]",
    "larger_written": "the same of the rule 'written'",
    "larger_rule": "the same of the best trivial rule",
    "larger_hard": "those graphs: balanced accuracy where trivial rules tell nothing [0, 1]",
    "larger_hard_rule": "the same of the best trivial rule",
    "longer_accuracy": "chains of 7 to 15 nodes, pairs two hops and more apart: balanced accuracy [0, 1]",
    "longer_rule": "the same of the best trivial rule",
    "longer_hard": "those chains: balanced accuracy where rules tell nothing, order of mention apart [0, 1]",
    "longest_accuracy": "chains of 20 nodes, pairs two hops and more apart: balanced accuracy [0, 1]",
    "yes_rate": "share of yes among the answers on far pairs of taught lengths [0, 1]",
    "gold_yes_rate": "share of yes among the right answers there [0, 1]",
    "oracle_disagreements": "test questions whose label networkx answers otherwise; 0",
}
WATCHED = (4, 6, 8, 12)
"""Sizes of the chains that are asked at an evaluation during training ..."""
SMALLER = 200
"""... and how many questions of each."""
JUDGED = 40
"""Questions of each test that networkx answers too."""
SHOWN_ERRORS = 12


class Prepared(NamedTuple):
    """A trial before training."""

    axiom: Axiom
    encoding: Encoding
    tests: list[Test]
    rows: list[torch.Tensor]
    """Encoded questions of each test."""
    training: Training


def fair_balance(axiom: Axiom) -> Balance:
    """The sampling in which written edges tell nothing about far pairs, where the axiom has one."""
    return "distance" if axiom.name == "transitivity" else "label"


def demonstrations(axiom: Axiom, config: Config, n: int, salt: int, rng: Rng) -> list[Instances]:
    """About n demonstrations in groups of one structure and size; held-out shapes are left out."""
    sizes = config.sizes()
    found: list[Instances] = []
    shares: tuple[tuple[Structure, float], ...] = (("chain", 1 - config.flipped), ("flipped", config.flipped))
    for structure, share in shares:
        for n_node in sizes:
            wanted = math.ceil(n * share / len(sizes))
            if not wanted:
                continue
            drawn = axiom.draw(wanted, n_node, rng, structure, config.balance)
            if structure == "flipped":
                drawn = drawn.take(~is_held_out(drawn, config.held_out, salt))
            found.append(drawn)
    return found


def prepare(trial: Trial[Config]) -> Prepared:
    """Demonstrations, tests, and the model with initial weights."""
    config = trial.config
    axiom, encoding = AXIOMS[config.axiom], encoding_of(config)
    salt = trial.seed_for("shapes")
    wanted = config.demonstrations or round(config.length * config.batch / (1 - config.flipped * config.held_out))
    taught = demonstrations(axiom, config, wanted, salt, trial.rng("demonstrations"))
    naming = trial.rng("names")
    shown = [encoding.rows(one, naming) for one in taught]
    answers = np.concatenate([one.answer for one in taught])
    if not config.true_answers:
        answers = trial.rng("shuffled").permutation(answers)
    data = encoding.training(shown, answers)
    tests = tests_of(axiom, config, salt, trial.rng(f"tests-{axiom.name}"))
    asking = trial.rng("test-names")
    rows = [torch.from_numpy(encoding.rows(test.instances, asking)) for test in tests]
    context = max(data.tokens.shape[1], *(row.shape[1] for row in rows))
    model = encoding.model(context, torch.Generator().manual_seed(trial.seed_for("init")))
    watched = [
        at
        for at, test in enumerate(tests)
        if test.family in ("chain", "flipped") and test.balance == fair_balance(axiom) and test.n_node in WATCHED
    ]

    def evaluate(model: Any) -> dict[str, float]:
        few = [Test(*tests[at][:3], tests[at].instances.take(np.arange(min(SMALLER, len(rows[at]))))) for at in watched]
        marked = mark(axiom, encoding, model, few, [rows[at][:SMALLER] for at in watched])
        of_taught = [one for one in marked if one.test.n_node in TAUGHT]
        return {
            "far_accuracy": score(of_taught, "far").balanced,
            "hard_accuracy": score(of_taught, "hard").balanced,
            "longer_accuracy": score([one for one in marked if one.test.n_node in LONGER], "far").balanced,
        }

    training = Training(
        model,
        data,
        config.fitting(),
        order_seed=trial.seed_for("order") % 2**31,
        evaluate=evaluate,
        keeper=trial,
    )
    return Prepared(axiom, encoding, tests, rows, training)


def mark(
    axiom: Axiom, encoding: Encoding, model: Transformer, tests: Sequence[Test], rows: Sequence[torch.Tensor]
) -> list[Marked]:
    """What the model and the trivial rules answer."""
    return [
        Marked(test, encoding.says_yes(model, row), axiom.guesses(test.instances))
        for test, row in zip(tests, rows, strict=True)
    ]


def measure(trial: Trial[Config], prepared: Prepared, fitted: Fitted) -> Mapping[str, float]:
    """Everything that is asked of the trained model; `fitted` is in the metrics already."""
    del fitted
    axiom, encoding, tests, rows, training = prepared
    model = training.model
    marked = mark(axiom, encoding, model, tests, rows)
    trial.save_tensors("model", dict(model.state_dict()))
    trial.write("shape", {"context": model.cfg.context})
    trial.write("tests", [table_row(one) for one in marked])
    trial.write("by_hop", {name: by_hop(some) for name, some in hop_groups(axiom, marked).items() if some})
    trial.write("families", families(marked))
    trial.write("kinds", kinds(marked))
    trial.write("errors", errors(axiom, marked))
    if axiom.name == "transitivity":
        is_drawn = isinstance(model, StatementTransformer)
        trial.write("attention", attention(model, tests, rows) if is_drawn else {})
    return {**summary(axiom, marked), "oracle_disagreements": disagreements(axiom, tests)}


def group(marked: Sequence[Marked], families: Sequence[Family], sizes: Sequence[int], balance: Balance) -> list[Marked]:
    """The tests of some families and sizes."""
    return [
        one
        for one in marked
        if one.test.family in families and one.test.n_node in sizes and one.test.balance == balance
    ]


def summary(axiom: Axiom, marked: Sequence[Marked]) -> dict[str, float]:
    """The measures of a trial."""
    transitive = axiom.name == "transitivity"
    plain, balance = "written" if transitive else "not_adjacent", fair_balance(axiom)
    taught = group(marked, ("chain", "flipped"), TAUGHT, balance)
    longer = group(marked, ("chain", "flipped"), LONGER, balance)
    longest = group(marked, ("chain", "flipped"), (LONGEST,), balance)
    larger = group(marked, ("branching",), BRANCHING[1:], "label")
    far, hard = score(taught, "far"), score(taught, "hard")
    flipped = score(group(marked, ("flipped",), TAUGHT, "label"))
    branching = score(group(marked, ("branching",), BRANCHING[:1], "label"))
    large, large_hard = score(larger), score(larger, "hard")
    reversed_ = score(group(marked, ("reversed",), (5,), "label")) if transitive else None
    long_far = score(longer, "far")
    return {
        "near_accuracy": score(taught, "near").accuracy,
        "far_accuracy": far.balanced,
        "far_written": far.balanced_rules[plain],
        "far_rule": far.best_balanced_rule,
        "hard_accuracy": hard.balanced,
        "hard_rule": max(value for name, value in hard.balanced_rules.items() if name != "mentioned_first"),
        "flipped_accuracy": flipped.accuracy,
        "flipped_written": flipped.rules[plain],
        "reversed_accuracy": math.nan if reversed_ is None else reversed_.accuracy,
        "reversed_written": math.nan if reversed_ is None else reversed_.rules[plain],
        "branching_accuracy": branching.accuracy,
        "branching_written": branching.rules[plain],
        "branching_rule": branching.best_rule,
        "larger_accuracy": large.accuracy,
        "larger_written": large.rules[plain],
        "larger_rule": large.best_rule,
        "larger_hard": large_hard.balanced,
        "larger_hard_rule": large_hard.best_balanced_rule,
        "longer_accuracy": long_far.balanced,
        "longer_rule": long_far.best_balanced_rule,
        "longer_hard": score(longer, "hard").balanced,
        "longest_accuracy": score(longest, "far").balanced,
        "yes_rate": far.yes_rate,
        "gold_yes_rate": far.gold_yes_rate,
    }


def table_row(marked: Marked) -> dict[str, Any]:
    """One test as an artifact: every selection with its scores."""
    selections: tuple[Selection, ...] = ("all", "near", "far", "hard")
    return {
        "family": marked.test.family,
        "nodes": marked.test.n_node,
        "balance": marked.test.balance,
        **{name: score([marked], name)._asdict() for name in selections},
    }


def families(marked: Sequence[Marked]) -> list[dict[str, Any]]:
    """Tests sampled as published, sizes pooled where the paper's range is one: each with its score."""
    names: tuple[Family, ...] = ("chain", "flipped", "reversed", "branching", "bushy")
    found: list[dict[str, Any]] = []
    for family in names:
        ranges = [(size,) for size in BRANCHING] if family in ("branching", "bushy") else [TAUGHT, LONGER]
        for sizes in ranges:
            some = group(marked, (family,), sizes, "label")
            if some:
                nodes = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]}-{sizes[-1]}"
                found.append({"group": f"{family} {nodes}", **score(some)._asdict()})
    return found


def kinds(marked: Sequence[Marked]) -> list[dict[str, Any]]:
    """All sizes of a family pooled, by way of sampling: each with its score."""
    by_kind: dict[str, list[Marked]] = {}
    for one in marked:
        by_kind.setdefault(f"{one.test.family}, by {one.test.balance}", []).append(one)
    return [{"group": name, **score(some)._asdict()} for name, some in by_kind.items()]


def hop_groups(axiom: Axiom, marked: Sequence[Marked]) -> dict[str, list[Marked]]:
    """The tests whose accuracy is shown by distance."""
    balance = fair_balance(axiom)
    return {
        "chains of 3 to 6 nodes": group(marked, ("chain", "flipped"), TAUGHT, balance),
        "chains of 7 to 15 nodes": group(marked, ("chain", "flipped"), LONGER, balance),
        "branching, 5 to 12 nodes": group(marked, ("branching",), BRANCHING, "label"),
    }


def disagreements(axiom: Axiom, tests: Sequence[Test]) -> float:
    """Labels among the first questions of each test that networkx contradicts."""
    count = 0
    for test in tests:
        some = test.instances.take(np.arange(min(JUDGED, len(test.instances))))
        count += int((judge(some, axiom.name) != some.answer).sum())
    return float(count)


def errors(axiom: Axiom, marked: Sequence[Marked]) -> list[dict[str, Any]]:
    """Some wrong answers, the first of each test, with their graphs; nodes are numbers."""
    found: list[dict[str, Any]] = []
    for one in marked:
        wrong = np.flatnonzero(~one.right)
        if not len(wrong):
            continue
        at, instances = int(wrong[0]), one.test.instances
        found.append(
            {
                "axiom": axiom.name,
                "family": one.test.family,
                "nodes": one.test.n_node,
                "edges": [edge for edge in instances.edges[at].tolist() if edge[0] >= 0],
                "question": instances.question[at].tolist(),
                "given": np.flatnonzero(instances.given[at]).tolist(),
                "answer": bool(instances.answer[at]),
                "hops": int(instances.distance[at]),
            }
        )
    step = max(1, len(found) // SHOWN_ERRORS)
    return found[::step][:SHOWN_ERRORS]


@torch.no_grad()
def attention(model: StatementTransformer, tests: Sequence[Test], rows: Sequence[torch.Tensor]) -> dict[str, Any]:
    """What the question attends to, by layer and head, on one long chain with the answer yes."""
    at = max(
        (i for i, test in enumerate(tests) if test.family == "chain" and test.n_node <= LONGER[2]),
        key=lambda i: tests[i].n_node,
    )
    instances = tests[at].instances
    wanted = instances.answer & (instances.distance >= min(4, instances.n_node - 1))
    if not wanted.any():
        return {}
    chosen = int(np.flatnonzero(wanted)[0])
    patterns: list[torch.Tensor] = []

    def keep(value: torch.Tensor) -> None:
        patterns.append(value[0, :, 0])  # head pos: what position 0 reads

    row = rows[at][chosen : chosen + 1].to(next(model.parameters()).device)
    model.resid(row, hooks={Sites.of(layer).pattern: keep for layer in range(model.cfg.depth)})
    n_name = model.cfg.vocab
    pairs = [divmod(token % n_name**2, n_name) for token in row[0].tolist()]
    # Names were drawn for the question; along the chain they are numbered again, from the first cause.
    follows = dict(pairs[1:])
    name = (set(follows) - set(follows.values())).pop()
    numbers: dict[int, int] = {}
    while name is not None:
        numbers[name] = len(numbers) + 1
        name = follows.get(name)
    return {
        "statements": [f"{numbers[a]}→{numbers[b]}" for a, b in pairs],
        "pattern": [head.tolist() for layer in patterns for head in layer],
        "heads": model.cfg.n_head,
    }


TRIAL = Trained(prepare, measure)

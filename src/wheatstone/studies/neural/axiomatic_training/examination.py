"""The tests of a trial, and how right a model and the trivial rules are on them.

Every number is counted over questions, in three ways: over all of a test; on near pairs (one hop) and far pairs (two
hops and more) alone; and as balanced accuracy, the mean of the shares of yes and of no questions that are answered
right, which is one half for every rule that looks at nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, cast

import numpy as np

from wheatstone.domains.causal.axioms import Axiom, Balance
from wheatstone.domains.causal.closure import Bools, Ints
from wheatstone.domains.causal.instances import Instances, Rng, Structure, is_held_out, joined
from wheatstone.studies.neural.axiomatic_training.config import Config

TAUGHT = (3, 4, 5, 6)
"""Nodes of chains in the range that is taught."""
LONGER = (7, 8, 10, 12, 15)
"""Nodes of longer chains (paper: 7 to 15, and 20 and 50)."""
LONGEST = 20
BRANCHING = (5, 8, 10, 12)
FACTORS = {"branching": 1.4, "bushy": 2.0}
"""Edges for each node of a branching graph."""
SURPLUS = 12
"""Rounds of drawing, of four times as many questions as wanted, where only held-out shapes are kept."""
Family = Literal["chain", "reversed", "flipped", "branching", "bushy"]
HARD_DISTANCE = 3


class Test(NamedTuple):
    """Questions of one kind and size."""

    family: Family
    n_node: int
    balance: Balance
    instances: Instances

    __test__ = False


class Planned(NamedTuple):
    """Tests on chains of several sizes."""

    structure: Structure
    sizes: tuple[int, ...]
    balance: Balance


def tests_of(axiom: Axiom, config: Config, salt: int, rng: Rng) -> list[Test]:
    """The tests that so many names allow, the same in every arm of an axiom.

    Flipped chains of taught lengths have shapes that training never shows. The paper's sampling is `label`; chains
    drawn by distance are ours.
    """
    lengths = (*TAUGHT, *LONGER, LONGEST)
    plan: list[Planned] = [Planned("flipped", lengths, "label")]
    if axiom.name == "transitivity":
        plan.append(Planned("chain", lengths, "distance"))
        plan.append(Planned("flipped", lengths, "distance"))
        plan.append(Planned("reversed", TAUGHT, "label"))
    else:
        plan.append(Planned("chain", lengths, "label"))
    found: list[Test] = []
    for structure, sizes, balance in plan:
        for n_node in (n for n in sizes if n <= config.n_name):
            held_out = config.held_out if structure == "flipped" and n_node in TAUGHT else 0.0
            drawn = draw(axiom, config.asked, n_node, rng, structure, balance, held_out, salt)
            if len(drawn):  # of the few shapes of four nodes now and then none is held out
                found.append(Test(cast("Family", structure), n_node, balance, drawn))
    # A bushy graph of five nodes has every edge, so that nothing in it is d-separated.
    factors = FACTORS if axiom.name == "transitivity" else {"branching": FACTORS["branching"]}
    for family, factor in factors.items():
        for n_node in (n for n in BRANCHING if n <= config.n_name):
            drawn = axiom.draw(config.asked, n_node, rng, "branching", "label", factor)
            found.append(Test(cast("Family", family), n_node, "label", drawn))
    return found


def draw(
    axiom: Axiom, n: int, n_node: int, rng: Rng, structure: Structure, balance: Balance, held_out: float, salt: int
) -> Instances:
    """n questions; with `held_out`, of those shapes alone that training leaves out (three nodes have none)."""
    if not held_out or n_node < 4:
        return axiom.draw(n, n_node, rng, structure, balance)
    kept: list[Instances] = []
    for _ in range(SURPLUS):
        drawn = axiom.draw(4 * n, n_node, rng, structure, balance)
        kept.append(drawn.take(is_held_out(drawn, held_out, salt)))
        if sum(map(len, kept)) >= n:
            break
    some = joined(kept)
    return some.take(np.arange(min(n, len(some))))


class Marked(NamedTuple):
    """A test with what was answered."""

    test: Test
    said_yes: Bools
    """[question] by the model."""
    guesses: Mapping[str, Bools]
    """Rule -> [question] its answer."""

    @property
    def right(self) -> Bools:
        return self.said_yes == self.test.instances.answer

    def guessed_right(self, rule: str) -> Bools:
        """[question] whether the rule answers right."""
        return self.guesses[rule] == self.test.instances.answer


class Score(NamedTuple):
    """How a selection of questions, from one test or several, was answered."""

    questions: int
    accuracy: float
    balanced: float
    yes_rate: float
    """Share of the questions that the model answers yes."""
    gold_yes_rate: float
    rules: dict[str, float]
    """Rule -> its accuracy."""
    balanced_rules: dict[str, float]

    @property
    def best_rule(self) -> float:
        """Accuracy of the best trivial rule."""
        return max(self.rules.values())

    @property
    def best_balanced_rule(self) -> float:
        return max(self.balanced_rules.values())


Selection = Literal["all", "near", "far", "hard"]


def score(marked: Sequence[Marked], selection: Selection = "all") -> Score:
    """The score over the selected questions of some tests."""
    keep = [selected(one, selection) for one in marked]
    gold = _joined([one.test.instances.answer for one in marked], keep)
    said = _joined([one.said_yes for one in marked], keep)
    names = list(marked[0].guesses) if marked else []
    guesses = {name: _joined([one.guesses[name] for one in marked], keep) for name in names}
    return Score(
        len(gold),
        _share(said == gold),
        balanced_accuracy(said, gold),
        _share(said),
        _share(gold),
        {name: _share(guess == gold) for name, guess in guesses.items()},
        {name: balanced_accuracy(guess, gold) for name, guess in guesses.items()},
    )


def selected(marked: Marked, selection: Selection) -> Bools:
    """[question] near: one hop; far: more; hard: far ones on which the trivial rules that look at them agree.

    Hard is for transitivity three hops and more where the first causes something and the second is caused by
    something; for d-separation far pairs that a path still joins when the given nodes are taken out: colliders decide.
    """
    distance = marked.test.instances.distance
    if selection == "all":
        return np.ones(len(distance), bool)
    if selection == "near":
        return distance == 1
    if selection == "far":
        return distance != 1
    if "ends" in marked.guesses:
        return (distance >= HARD_DISTANCE) & marked.guesses["ends"]
    return (distance != 1) & ~marked.guesses["cut"]


def balanced_accuracy(said: Bools, gold: Bools) -> float:
    """Mean of the shares of yes and of no questions answered right; NaN without questions of both answers."""
    return (_share(said[gold]) + _share(~said[~gold])) / 2


def by_hop(marked: Sequence[Marked]) -> list[dict[str, float]]:
    """Right answers by distance, over some tests."""
    distance: Ints = np.concatenate([one.test.instances.distance for one in marked])
    right = np.concatenate([one.right for one in marked])
    gold = np.concatenate([one.test.instances.answer for one in marked])
    said = np.concatenate([one.said_yes for one in marked])
    return [
        {
            "hops": int(hop),
            "accuracy": _share(right[distance == hop]),
            "questions": int((distance == hop).sum()),
            "right": int(right[distance == hop].sum()),
            "yes": int((gold & (distance == hop)).sum()),
            "right_yes": int((gold & right & (distance == hop)).sum()),
            "said_yes": int((said & (distance == hop)).sum()),
        }
        for hop in np.unique(distance)
    ]


def _joined(parts: Sequence[Bools], keep: Sequence[Bools]) -> Bools:
    return np.concatenate([part[kept] for part, kept in zip(parts, keep, strict=True)]) if parts else np.zeros(0, bool)


def _share(hits: Bools) -> float:
    return float(hits.mean()) if len(hits) else math.nan

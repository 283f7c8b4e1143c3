"""Axioms as data: how questions about a graph are drawn, answered, guessed by trivial rules, said and read.

Transitivity      does A cause C: a directed path leads from A to C
d-separation      are A and C d-separated given Z: no path between them is open (Pearl 1988)

Every answer comes from `closure`; `judge` asks networkx the same question and is the second opinion. The rules are what
a model could do without having learnt the axiom. Some are strong: on flipped chains "yes if the edge is written"
answers 80 to 90 % of the questions right, because a flip breaks most longer paths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import networkx as nx
import numpy as np

from wheatstone.domains.causal.closure import Bools, hops, undirected_hops
from wheatstone.domains.causal.instances import (
    Instances,
    Rng,
    Structure,
    balanced,
    by_label,
    chains_by_distance,
    joined,
    separations,
    structures,
)

AxiomName = Literal["transitivity", "d_separation"]
Balance = Literal["label", "distance"]
Rule = Callable[[Instances], Bools]
FAR = 0.75
"""Share of the d-separation questions by distance that are about pairs two hops and more apart."""


@dataclass(frozen=True)
class Axiom:
    """One axiom and what is needed to teach and to test it."""

    name: AxiomName
    rules: Mapping[str, Rule]
    """Trivial rules: instances -> guessed answers."""

    def draw(
        self,
        n: int,
        n_node: int,
        rng: Rng,
        structure: Structure,
        balance: Balance = "label",
        branching: float = 1.4,
    ) -> Instances:
        """n questions; as many yes as no, by chance alone where chains are drawn by distance.

        d-separation by distance: `FAR` of the questions, half of them yes, are about pairs that no edge joins.
        Raises ValueError for sizes that do not have questions of both answers.
        """
        if self.name == "d_separation":

            def asked(n: int, *, far: bool) -> Instances:
                def some() -> Instances:
                    return separations(structures(n, n_node, rng, structure, branching), n_node, rng, far=far)

                return balanced(some, n, rng)

            n_far = round(FAR * n) if balance == "distance" else 0
            return joined([asked(part, far=far) for part, far in ((n - n_far, False), (n_far, True)) if part])
        if balance == "distance" and structure != "branching":
            return chains_by_distance(n, n_node, rng, structure)
        return by_label(structures(n, n_node, rng, structure, branching), n_node, rng)

    def guesses(self, instances: Instances) -> dict[str, Bools]:
        """What each trivial rule answers."""
        return {name: rule(instances) for name, rule in self.rules.items()}


def judge(instances: Instances, axiom: AxiomName) -> Bools:
    """[question] the answers of networkx, one graph at a time."""
    answers: list[bool] = []
    for edges, (first, second), given in zip(
        instances.edges.tolist(), instances.question.tolist(), instances.given, strict=True
    ):
        graph: nx.DiGraph[int] = nx.DiGraph()
        graph.add_nodes_from(range(instances.n_node))
        graph.add_edges_from((cause, effect) for cause, effect in edges if cause >= 0)
        if axiom == "transitivity":
            answers.append(bool(nx.has_path(graph, first, second)))
        else:
            answers.append(bool(nx.is_d_separator(graph, {first}, {second}, set(np.flatnonzero(given).tolist()))))
    return np.array(answers, bool)


def _never(instances: Instances) -> Bools:
    return np.zeros(len(instances), bool)


def _asked(instances: Instances, matrix: Bools) -> Bools:
    return matrix[np.arange(len(instances)), instances.question[:, 0], instances.question[:, 1]]


def _written(instances: Instances) -> Bools:
    return _asked(instances, instances.adjacency())


def _two_hops(instances: Instances) -> Bools:
    length = hops(instances.adjacency())
    return _asked(instances, (length > 0) & (length <= 2))


def _ends(instances: Instances) -> Bools:
    """The first causes something and the second is caused by something."""
    adjacency, rows = instances.adjacency(), np.arange(len(instances))
    causes = adjacency[rows, instances.question[:, 0]].any(-1)
    return np.asarray(causes & adjacency[rows, :, instances.question[:, 1]].any(-1), bool)


def _mentioned_first(instances: Instances) -> Bools:
    """In the order of writing, the first is mentioned before the second."""
    flat = instances.edges.reshape(len(instances), -1)
    place = [(flat == instances.question[:, [side]]).argmax(1) for side in (0, 1)]
    return place[0] < place[1]


def _not_adjacent(instances: Instances) -> Bools:
    adjacency = instances.adjacency()
    return ~_asked(instances, adjacency | adjacency.swapaxes(1, 2))


def _given(instances: Instances) -> Bools:
    """Something is given and the two are not adjacent."""
    return instances.given.any(1) & _not_adjacent(instances)


def _cut(instances: Instances) -> Bools:
    """Without the given nodes no path of edges, in whatever direction, joins the two: colliders are ignored."""
    kept = ~instances.given
    adjacency = instances.adjacency() & kept[:, :, None] & kept[:, None, :]
    return ~_asked(instances, undirected_hops(adjacency) > 0)


AXIOMS: Mapping[AxiomName, Axiom] = {
    "transitivity": Axiom(
        "transitivity",
        {
            "no": _never,
            "written": _written,
            "two_hops": _two_hops,
            "ends": _ends,
            "mentioned_first": _mentioned_first,
        },
    ),
    "d_separation": Axiom(
        "d_separation",
        {"no": _never, "not_adjacent": _not_adjacent, "given": _given, "cut": _cut},
    ),
}

"""One causal graph with named nodes, questions about it, and the oracle: networkx answers, a path says why."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from typing import NamedTuple

import networkx as nx
import numpy as np

from wheatstone.bench.errors import Fault, InputError, did_you_mean
from wheatstone.domains.causal.axioms import AxiomName
from wheatstone.domains.causal.instances import Instances

ARROWS = {True: " → ", False: " ← "}
LISTED = 6
"""Nodes that an answer names before it counts the rest."""
PATHS = 3
"""Blocked paths, the shortest, that an answer shows."""
PLAIN = r"[\w][\w.-]*[\w]|[\w]"
"""A name that stands in a sentence as it is; others go between double quotes."""


class Edge(NamedTuple):
    """One statement 'cause causes effect', and where it stands."""

    cause: str
    effect: str
    line: int | None = None


class Question(NamedTuple):
    """What is asked of a graph, and where it stands."""

    axiom: AxiomName
    first: str
    second: str
    given: tuple[str, ...] = ()
    line: int | None = None

    def __str__(self) -> str:
        """As it is read from a file (`text.parse_questions`)."""
        first, second, *given = map(_quoted, (self.first, self.second, *self.given))
        if self.axiom == "transitivity":
            return f"Does {first} cause {second}?"
        known = f" given {{{', '.join(given)}}}" if given else ""
        return f"Are {first} and {second} d-separated{known}?"


def _quoted(name: str) -> str:
    return name if re.fullmatch(PLAIN, name) else f'"{name}"'


class Answer(NamedTuple):
    """The oracle's answer."""

    yes: bool
    why: str
    """What proves it: a path, where the paths are blocked, or what is reached instead."""


@dataclass(frozen=True)
class CausalGraph:
    """A directed graph. Make one with `graph_of`, which checks that it has no cycle."""

    names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]

    @cached_property
    def network(self) -> nx.DiGraph[int]:
        """The graph as networkx has it, nodes numbered as in `names`."""
        graph: nx.DiGraph[int] = nx.DiGraph()
        graph.add_nodes_from(range(len(self.names)))
        graph.add_edges_from(self.edges)
        return graph

    def cycle(self) -> list[str]:
        """The nodes of a cycle, the first again at the end; empty where there is none."""
        try:
            edges = nx.find_cycle(self.network)
        except nx.NetworkXNoCycle:
            return []
        return [self.names[cause] for cause, _ in edges] + [self.names[edges[0][0]]]

    def check(self, questions: Sequence[Question], file: str) -> None:
        """Raises InputError where a question names no node, one node twice, or gives what it asks about."""
        faults: list[Fault] = []
        for question in questions:
            for field, name in (
                ("first", question.first),
                ("second", question.second),
                *(("given", name) for name in question.given),
            ):
                if name not in self.names:
                    text = f"no node '{name}' in the graph.{did_you_mean(name, self.names)}"
                    faults.append(Fault(file, question.line, field, text))
            if question.first == question.second:
                text = f"'{question.first}' is asked about itself; name two different nodes."
                faults.append(Fault(file, question.line, "second", text))
            both = [name for name in question.given if name in (question.first, question.second)]
            if both:
                text = f"'{both[0]}' is asked about and given; the given nodes must be others."
                faults.append(Fault(file, question.line, "given", text))
        if faults:
            raise InputError(faults)

    def answer(self, question: Question) -> Answer:
        """The oracle's answer, with a path where one proves it."""
        number = {name: index for index, name in enumerate(self.names)}
        first, second = number[question.first], number[question.second]
        given = {number[name] for name in question.given}
        if question.axiom == "transitivity":
            if nx.has_path(self.network, first, second):
                return Answer(True, self._written(nx.shortest_path(self.network, first, second)))
            return Answer(False, self._unreached(first, second))
        if nx.is_d_separator(self.network, {first}, {second}, given):
            return Answer(True, self._blocked(first, second, given))
        walk = open_path(self.network, first, second, given)
        return Answer(False, f"open path: {self._written(walk)}{self._opened(walk, given)}")

    def _unreached(self, first: int, second: int) -> str:
        """Why no directed path leads from the first to the second."""
        if nx.has_path(self.network, second, first):
            return f"only the other way: {self._written(nx.shortest_path(self.network, second, first))}"
        reached = [self.names[node] for node in sorted(nx.descendants(self.network, first))]
        if not reached:
            return f"{self.names[first]} causes nothing"
        more = f" and {len(reached) - LISTED} more" if len(reached) > LISTED else ""
        return f"{self.names[first]} reaches only {', '.join(reached[:LISTED])}{more}"

    def _blocked(self, first: int, second: int, given: set[int]) -> str:
        """The shortest paths between two d-separated nodes, each with the node that blocks it."""
        paths = islice(_simple_paths(self.network, first, second), PATHS + 1)
        found = [f"{self._written(path)} at {self._blocker(path, given)}" for path in paths]
        if not found:
            return "no path joins them"
        return f"blocked: {'; '.join(found[:PATHS])}{'; and longer paths' if len(found) > PATHS else ''}"

    def _blocker(self, path: Sequence[int], given: set[int]) -> str:
        """The first node of a blocked path that blocks it, and why."""
        for left, node, right in zip(path, path[1:], path[2:], strict=False):
            if not (self.network.has_edge(left, node) and self.network.has_edge(right, node)):
                if node in given:
                    return f"{self.names[node]} (given)"
            elif node not in given and given.isdisjoint(nx.descendants(self.network, node)):
                return f"{self.names[node]} (collider; nothing at or below it is given)"
        raise ValueError("the path is open")

    def _opened(self, walk: Sequence[int], given: set[int]) -> str:
        """Which given effects open the colliders of an open path that are not given themselves."""
        said: list[str] = []
        for left, node, right in zip(walk, walk[1:], walk[2:], strict=False):
            collides = self.network.has_edge(left, node) and self.network.has_edge(right, node)
            if collides and node not in given:
                effect = min(given & nx.descendants(self.network, node))
                said.append(f"{self.names[node]} is opened by {self.names[effect]}")
        return f" ({', '.join(said)})" if said else ""

    def instances(self, questions: Sequence[Question]) -> Instances:
        """Checked questions as arrays; `distance` is left at 0."""
        number = {name: index for index, name in enumerate(self.names)}
        given = np.zeros((len(questions), len(self.names)), bool)
        for row, question in enumerate(questions):
            given[row, [number[name] for name in question.given]] = True
        edges = np.array(self.edges, np.int64).reshape(-1, 2)
        return Instances(
            len(self.names),
            np.broadcast_to(edges, (len(questions), *edges.shape)),
            np.array([[number[question.first], number[question.second]] for question in questions], np.int64),
            given,
            np.array([self.answer(question).yes for question in questions], bool),
            np.zeros(len(questions), np.int64),
        )

    def _written(self, path: Sequence[int]) -> str:
        """A path with its arrows."""
        text = self.names[path[0]]
        for left, right in pairwise(path):
            text += ARROWS[self.network.has_edge(left, right)] + self.names[right]
        return text


def graph_of(edges: Sequence[Edge], file: str, extra_nodes: Iterable[str] = ()) -> CausalGraph:
    """The graph of some statements; a statement that is repeated counts once.

    Raises InputError for no statements, for a node that causes itself and for a cycle, which is named.
    """
    faults = [
        Fault(file, edge.line, "effect", f"'{edge.cause}' causes itself. A causal graph has no cycles.")
        for edge in edges
        if edge.cause == edge.effect
    ]
    if faults:
        raise InputError(faults)
    if not edges:
        raise InputError([Fault(file, None, None, "no edges. A causal graph needs one statement at least.")])
    graph = unchecked_graph(edges, extra_nodes)
    cycle = graph.cycle()
    if not cycle:
        return graph
    line = next((edge.line for edge in edges if edge[:2] == tuple(cycle[-2:])), None)
    text = f"a cycle: {' → '.join(cycle)}. A causal graph has none; take one of its edges out."
    raise InputError([Fault(file, line, None, text)])


def unchecked_graph(edges: Sequence[Edge], extra_nodes: Iterable[str] = ()) -> CausalGraph:
    """The graph of some statements, with whatever cycles they close."""
    names = tuple(dict.fromkeys([*(name for edge in edges for name in edge[:2]), *extra_nodes]))
    number = {name: index for index, name in enumerate(names)}
    return CausalGraph(names, tuple(dict.fromkeys((number[edge.cause], number[edge.effect]) for edge in edges)))


def _simple_paths(graph: nx.DiGraph[int], first: int, second: int) -> Iterator[list[int]]:
    """Paths between two nodes along edges in any direction, the shortest first; none where nothing joins them."""
    try:
        yield from nx.shortest_simple_paths(graph.to_undirected(as_view=True), first, second)
    except nx.NetworkXNoPath:
        return


def open_path(graph: nx.DiGraph[int], first: int, second: int, given: set[int]) -> list[int]:
    """A shortest walk from `first` to `second` that is open given `given` (see `closure.d_connected`).

    Raises ValueError where the two are d-separated.
    """
    opened = set(given).union(*(nx.ancestors(graph, node) for node in given))
    begin: tuple[int, bool] = (first, True)  # a node, and whether it was reached from a child (or is the start)
    came: dict[tuple[int, bool], tuple[int, bool] | None] = {begin: None}
    queue: deque[tuple[int, bool]] = deque([begin])
    while queue:
        state = queue.popleft()
        node, from_child = state
        if node == second:
            walk: list[int] = []
            at: tuple[int, bool] | None = state
            while at is not None:
                walk.append(at[0])
                at = came[at]
            return walk[::-1]
        to_parents = node not in given if from_child else node in opened
        parents = graph.predecessors(node) if to_parents else ()
        children = graph.successors(node) if node not in given else ()
        for way in [*((parent, True) for parent in parents), *((child, False) for child in children)]:
            if way not in came:
                came[way] = state
                queue.append(way)
    raise ValueError("d-separated: no path is open")

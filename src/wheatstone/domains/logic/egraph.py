"""A congruence closure with explanations: which terms are equal, and why.

Every node is a concrete term. Nodes that are known to be equal form a class; a forest of labelled edges remembers why
they were merged, so that the path between two nodes is a proof of their equality. Atoms are terms too: an atom holds
when it is in the class of TRUE.

Sources     congruence closure with a proof forest: Nieuwenhuis and Oliveras, Information and Computation 205 (2007);
            matching modulo equality: de Moura and Bjørner, CADE 2007; equality saturation: Willsey et al., POPL 2021,
            arXiv:2004.03082
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from wheatstone.domains.logic.terms import Term

TRUE: Term = ("⊤",)
Binding = dict[str, int]
"""Variable -> node."""


class Edge(NamedTuple):
    """One step of a path: `source` and `target` are equal because of `reason`."""

    source: int
    target: int
    reason: Any
    """None for congruence: same symbol, arguments equal one by one."""
    is_forward: bool
    """Whether the reason says source = target, rather than target = source."""


class Exhausted(Exception):  # noqa: N818, an end of the search rather than an error
    """The work that was allowed has been done."""


class EGraph:
    """Terms, their classes, and why each class is one. Matching raises Exhausted after `allowance` matches."""

    def __init__(self, allowance: int = 1 << 60) -> None:
        self.allowance = allowance
        self.symbol: list[str] = []
        self.children: list[tuple[int, ...]] = []
        self.size: list[int] = []
        """Node -> symbols in its term."""
        self.work = 0
        """Matches tried so far: a measure of effort that no clock enters."""
        self._root: list[int] = []
        self._members: list[list[int]] = []
        self._users: list[list[int]] = []
        self._best: list[int] = []
        self._literal: dict[tuple[Any, ...], int] = {}
        self._signature: dict[tuple[Any, ...], int] = {}
        self._dead: set[int] = set()
        self._above: list[tuple[int, Any, bool] | None] = []
        self._pending: list[tuple[int, int, Any]] = []
        self.by_symbol: dict[str, list[int]] = {}
        self.true = self.add(TRUE)

    def __len__(self) -> int:
        return len(self.symbol)

    def add(self, term: Term, binding: Binding | None = None) -> int:
        """The node of a term whose variables are bound to nodes; other variables stand for themselves."""
        if isinstance(term, str):
            if binding is not None and term in binding:
                return binding[term]
            return self._node("$" + term, ())
        return self._node(term[0], tuple([self.add(part, binding) for part in term[1:]]))

    def find(self, node: int) -> int:
        return self._root[node]

    def same(self, one: int, other: int) -> bool:
        return self._root[one] == self._root[other]

    def best(self, node: int) -> int:
        """A smallest term of the node's class: the oldest of them."""
        return self._best[self._root[node]]

    def term(self, node: int) -> Term:
        """The term that a node is."""
        symbol = self.symbol[node]
        if symbol.startswith("$"):
            return symbol[1:]
        return (symbol, *(self.term(child) for child in self.children[node]))

    def lookup(self, term: Term, binding: Binding) -> int | None:
        """The class of a term if it is in the graph up to equality, without adding anything."""
        if isinstance(term, str):
            node = binding.get(term)
            return self._root[node] if node is not None else self._class_of("$" + term, ())
        parts: list[int] = []
        for part in term[1:]:
            found = self.lookup(part, binding)
            if found is None:
                return None
            parts.append(found)
        return self._class_of(term[0], tuple(parts))

    def merge(self, one: int, other: int, reason: Any) -> bool:
        """Makes two nodes equal, with everything that follows by congruence; False when they were."""
        if self._root[one] == self._root[other]:
            return False
        self._pending.append((one, other, reason))
        self._close()
        return True

    def live(self, symbol: str) -> list[int]:
        """One node for each class of arguments of the symbol, oldest first."""
        return [node for node in self.by_symbol.get(symbol, ()) if node not in self._dead]

    def members(self, node: int, symbol: str) -> Iterator[int]:
        """The nodes of a class with this symbol, one for each class of arguments."""
        for member in self._members[self._root[node]]:
            if self.symbol[member] == symbol and member not in self._dead:
                yield member

    def matches(self, pattern: Term, node: int, binding: Binding) -> Iterator[Binding]:
        """Bindings that extend `binding` and make the pattern equal to the node."""
        if isinstance(pattern, str):
            bound = binding.get(pattern)
            if bound is None:
                yield {**binding, pattern: self._best[self._root[node]]}
            elif self._root[bound] == self._root[node]:
                yield binding
            return
        if len(pattern) == 1:
            if self._class_of(pattern[0], ()) == self._root[node]:
                yield binding
            return
        for member in list(self.members(node, pattern[0])):
            yield from self.matches_node(pattern, member, binding)

    def matches_node(self, pattern: Term, member: int, binding: Binding) -> Iterator[Binding]:
        """As `matches`, where the pattern's symbol must be that of this very node."""
        self.work += 1
        if self.work > self.allowance:
            raise Exhausted
        children = self.children[member]
        if len(children) != len(pattern) - 1:
            return
        if len(children) == 2:
            for first in self.matches(pattern[1], children[0], binding):
                yield from self.matches(pattern[2], children[1], first)
            return
        bindings: list[Binding] = [binding]
        for part, child in zip(pattern[1:], children, strict=True):
            bindings = [found for one in bindings for found in self.matches(part, child, one)]
        yield from bindings

    def anywhere(self, pattern: Term, binding: Binding) -> Iterator[tuple[Binding, int]]:
        """(binding, node) for each node that the pattern, no variable, can be made equal to."""
        if len(pattern) == 1:
            node = self._literal.get((pattern[0],))
            if node is not None:
                yield binding, node
            return
        for member in self.live(pattern[0]):
            for found in self.matches_node(pattern, member, binding):
                yield found, member

    def explain(self, one: int, other: int) -> list[Edge]:
        """The path from one node to another of its class. Congruences are explained by their arguments."""
        up: dict[int, int] = {}
        trail: list[Edge] = []
        node = one
        while True:
            up[node] = len(trail)
            above = self._above[node]
            if above is None:
                break
            target, reason, forward = above
            trail.append(Edge(node, target, reason, forward))
            node = target
        down: list[Edge] = []
        node = other
        while node not in up:
            above = self._above[node]
            if above is None:
                raise ValueError("the two nodes are not equal")
            target, reason, forward = above
            down.append(Edge(target, node, reason, not forward))
            node = target
        return trail[: up[node]] + down[::-1]

    def _class_of(self, symbol: str, classes: tuple[int, ...]) -> int | None:
        node = self._signature.get((symbol, *classes))
        return None if node is None else self._root[node]

    def _node(self, symbol: str, children: tuple[int, ...]) -> int:
        key = (symbol, *children)
        found = self._literal.get(key)
        if found is not None:
            return found
        node = len(self.symbol)
        self._literal[key] = node
        self.symbol.append(symbol)
        self.children.append(children)
        self.size.append(1 + sum([self.size[child] for child in children]))
        self._root.append(node)
        self._members.append([node])
        self._users.append([])
        self._best.append(node)
        self._above.append(None)
        self.by_symbol.setdefault(symbol, []).append(node)
        for child in dict.fromkeys([self._root[child] for child in children]):
            self._users[child].append(node)
        signature = (symbol, *[self._root[child] for child in children])
        twin = self._signature.setdefault(signature, node)
        if twin != node:
            self._dead.add(node)
            self._pending.append((node, twin, None))
            self._close()
        return node

    def _close(self) -> None:
        while self._pending:
            one, other, reason = self._pending.pop()
            keep, lose = self._root[one], self._root[other]
            if keep == lose:
                continue
            forward = True
            if len(self._members[keep]) < len(self._members[lose]):
                keep, lose, one, other, forward = lose, keep, other, one, False
            self._reroot(other)
            self._above[other] = (one, reason, not forward)
            for member in self._members[lose]:
                self._root[member] = keep
            self._members[keep] += self._members[lose]
            self._members[lose] = []
            if (self.size[self._best[lose]], self._best[lose]) < (self.size[self._best[keep]], self._best[keep]):
                self._best[keep] = self._best[lose]
            users, self._users[lose] = self._users[lose], []
            for user in users:
                if user in self._dead:
                    continue
                signature = (self.symbol[user], *[self._root[child] for child in self.children[user]])
                twin = self._signature.setdefault(signature, user)
                if twin != user:
                    self._dead.add(user)
                    if self._root[twin] != self._root[user]:
                        self._pending.append((user, twin, None))
            self._users[keep] += users

    def _reroot(self, node: int) -> None:
        """Turns the edges above a node round, so that it becomes the root of its tree."""
        step: tuple[int, Any, bool] | None = None
        current = node
        while True:
            above = self._above[current]
            self._above[current] = step
            if above is None:
                return
            target, reason, forward = above
            step, current = (current, reason, not forward), target

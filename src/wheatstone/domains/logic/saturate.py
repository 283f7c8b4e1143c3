"""One proof attempt: assume the premises, apply rules round by round, stop when the conclusion holds.

The graph of an attempt is what the paper calls a logic block: a fact store of its own, in which rules fire where the
hashed tuple of their premises is found. Rounds are bounded by nodes and by the size of terms, never by a clock, so that
an attempt ends in the same way on every machine. An existence that is known is opened with a fresh constant when no
term in the graph witnesses it; an existence that is wanted is closed by matching its body.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from wheatstone.domains.logic.egraph import Binding, EGraph, Exhausted
from wheatstone.domains.logic.rules import Trigger, matches_atom
from wheatstone.domains.logic.terms import FALSE, Formula, Sequent, Term, size, substitute_formula, variables


@dataclass(frozen=True)
class Definition:
    """A predicate that abbreviates a formula; `parameters` are the formula's free variables."""

    name: str
    parameters: tuple[str, ...]
    body: Formula


@dataclass(frozen=True)
class Limits:
    """What an attempt may use."""

    nodes: int = 400
    """Terms in the graph."""
    rounds: int = 8
    """Rounds of rules that are not contracting."""
    slack: int = 4
    """Symbols by which a term may exceed the largest of the goal."""
    opened: int = 3
    """Existences that are opened (secondary variables)."""
    contractions: int = 10
    """Rounds of contracting rules before each other round."""
    unfold: bool = True
    """Whether definitions may be used."""
    identities: int = 0
    """Rounds in which equations such as e * a = a are also read from right to left, on every term in the graph."""
    work: int = 6_000
    """Matches tried."""


class Premise(NamedTuple):
    """A reason: the goal's premise of this number."""

    number: int


class Fired(NamedTuple):
    """A reason: a rule under a binding."""

    trigger: Trigger
    binding: Binding


class Folded(NamedTuple):
    """A reason: the body of a definition holds, with these witnesses."""

    definition: Definition
    atom: int
    binding: Binding


class Part(NamedTuple):
    """A reason: a part of what a definition unfolds to."""

    opened: int
    path: tuple[str, ...]


@dataclass
class Opened:
    """An existence that is known: a definition unfolded for an atom that holds, or a sequent without premises."""

    definition: Definition
    """For a sequent: its name, its variables and its conclusion."""
    arguments: tuple[int, ...]
    atom: int | None
    """None for a sequent."""
    names: list[str]
    """Fresh constants, one for each existence, outermost first."""


@dataclass
class Attempt:
    """The state of one attempt."""

    goal: Sequent
    definitions: Mapping[str, Definition]
    limits: Limits
    constants: Sequence[Term] = ()
    """Terms that are tried as witnesses of the goal's existence."""
    existences: Sequence[Definition] = ()
    """Sequents without premises that say that something exists, for all values of their parameters."""
    proposed: Sequence[str] = ()
    """Functions of one argument whose values at the goal's variables, and at these values, are put into the graph."""
    graph: EGraph = field(default_factory=EGraph)
    opened: list[Opened] = field(default_factory=list[Opened])
    contradiction: Fired | None = None
    rounds: int = 0

    def __post_init__(self) -> None:
        graph = self.graph
        graph.allowance = self.limits.work
        parts = [*self.goal.premises, self.goal.conclusion]
        self._widest = max((size(term) for part in parts for term in part[1:]), default=1) + self.limits.slack
        for name in self.goal.variables():
            graph.add(name)
        if not self.goal.variables():
            for constant in self.constants:
                graph.add(constant)
        if self.limits.identities:
            for symbol in self.proposed:
                for name in self.goal.variables():
                    graph.add((symbol, (symbol, name)))
        for number, premise in enumerate(self.goal.premises):
            self._assert(premise, {}, Premise(number))
        if self.goal.conclusion != FALSE:
            for side in self.sides(self.goal.conclusion):
                graph.add(side)
            if self.limits.unfold:
                self._propose(self.goal.conclusion)

    def _propose(self, wanted: Formula) -> None:
        """Puts the body of a wanted existence into the graph with the goal's own constants and terms as witnesses."""
        definition = self.definitions.get(wanted[0])
        if definition is None or definition.body[0] != "ex":
            return
        name, body = definition.body[1], definition.body[2]
        values = dict(zip(definition.parameters, wanted[1:], strict=True))
        for candidate in dict.fromkeys((*self.constants, *wanted[1:])):
            for part in conjuncts(substitute_formula(body, {**values, name: candidate})):
                for side in self.sides(part):
                    self.graph.add(side)

    def sides(self, atom: Formula) -> tuple[Term, Term]:
        """An atom as an equation between terms: P(x) is P(x) = TRUE."""
        return (atom[1], atom[2]) if atom[0] == "=" else (atom, ("⊤",))

    def is_proved(self) -> bool:
        if self.contradiction is not None:
            return True
        if self.goal.conclusion == FALSE:
            return False
        left, right = (self.graph.add(side) for side in self.sides(self.goal.conclusion))
        return self.graph.same(left, right)

    def run(self, triggers: Sequence[Trigger]) -> bool:
        """Whether the goal was reached within the limits."""
        try:
            return self._saturate(triggers)
        except Exhausted:
            return self.is_proved()

    def _saturate(self, triggers: Sequence[Trigger]) -> bool:
        contracting = [trigger for trigger in triggers if trigger.is_contracting]
        # What ends the search comes first, and joins over two premises last: the work that is allowed may run out.
        others = sorted(
            (trigger for trigger in triggers if not trigger.is_contracting),
            key=lambda trigger: (trigger.conclusion != FALSE, len(trigger.premises)),
        )
        graph = self.graph
        while True:
            for _ in range(self.limits.contractions):
                if self.is_proved():
                    return True
                if not self._round(contracting):
                    break
            if self.is_proved():
                return True
            if self.rounds >= self.limits.rounds or len(graph) > self.limits.nodes or graph.work > self.limits.work:
                return False
            self.rounds += 1
            moved = self._definitions() if self.limits.unfold else False
            if self.is_proved():
                return True
            if self.rounds <= self.limits.identities:
                moved |= self._identities(triggers)
            if not self._round(others) and not moved:
                return False

    def _round(self, triggers: Sequence[Trigger]) -> bool:
        """Matches all rules on the graph as it is, then applies what was found; whether anything changed."""
        graph, before = self.graph, len(self.graph)
        found: list[tuple[Trigger, Binding]] = []
        present = graph.by_symbol
        for trigger in triggers:
            if any(symbol not in present for symbol in trigger.needs):
                continue
            start: Binding = {}
            if trigger.rule.fixed:
                start = {name: graph.add(name) for name in sorted(trigger.rule.fixed)}
            try:
                found.extend((trigger, binding) for binding in trigger.bindings(graph, start))
            except Exhausted:
                break
        changed = False
        for trigger, binding in found:
            changed |= self._apply(trigger, binding)
            if self.contradiction is not None or len(graph) > 2 * max(self.limits.nodes, before):
                break
        return changed

    def _identities(self, triggers: Sequence[Trigger]) -> bool:
        """Reads equations whose smaller side is a variable or a constant from that side, which matching never does."""
        graph, before = self.graph, len(self.graph)
        nodes = [node for node in range(before) if graph.best(node) == node and node != graph.true]
        for trigger in triggers:
            head = trigger.conclusion
            if head[0] != "=" or trigger.premises or not (isinstance(head[2], str) or len(head[2]) == 1):
                continue
            names = set(variables(head[1]))
            if len(names) != 1 or isinstance(head[1], str):
                continue
            (name,) = names
            for node in nodes:
                graph.work += 1
                if self._size(head[1], {name: node}) <= self._widest:
                    graph.add(head[1], {name: node})
                    self._apply(trigger, {name: node})
        return len(graph) > before

    def _apply(self, trigger: Trigger, binding: Binding) -> bool:
        graph, head = self.graph, trigger.conclusion
        if head == FALSE:
            for premise in trigger.premises:
                for side in self.sides(premise):
                    graph.add(side, binding)
            self.contradiction = Fired(trigger, binding)
            return True
        left, right = self.sides(head)
        one, other = graph.lookup(left, binding), graph.lookup(right, binding)
        if one is not None and one == other:
            return False
        if other is None and self._size(right, binding) > self._widest:
            return False
        if one is None and self._size(left, binding) > self._widest:
            return False
        for premise in trigger.premises:
            for side in self.sides(premise):
                graph.add(side, binding)
        return graph.merge(graph.add(left, binding), graph.add(right, binding), Fired(trigger, binding))

    def _size(self, term: Term, binding: Binding) -> int:
        if isinstance(term, str):
            return self.graph.size[binding[term]]
        return 1 + sum([self._size(part, binding) for part in term[1:]])

    def _assert(self, formula: Formula, binding: Binding, reason: Any) -> bool:
        left, right = self.sides(formula)
        return self.graph.merge(self.graph.add(left, binding), self.graph.add(right, binding), reason)

    def _definitions(self) -> bool:
        """Closes the existences that are wanted and opens those that are known; whether anything changed."""
        graph, changed = self.graph, False
        for definition in self.definitions.values():
            for atom in graph.live(definition.name):
                start: Binding = dict(zip(definition.parameters, graph.children[atom], strict=True))
                witness = next(self._witnesses(definition.body, start), None)
                if graph.same(atom, graph.true):
                    if witness is None and len(self.opened) < self.limits.opened:
                        changed |= self._open(definition, graph.children[atom], atom)
                elif witness is not None:
                    for part in conjuncts(definition.body):
                        for side in self.sides(part):
                            graph.add(side, witness)
                    changed |= graph.merge(atom, graph.true, Folded(definition, atom, witness))
        seeds = [graph.add(name) for name in (*self.goal.variables(), *self._names())]
        for existence in self.existences:
            for places in itertools.product(seeds, repeat=len(existence.parameters)):
                start = dict(zip(existence.parameters, places, strict=True))
                if len(self.opened) < self.limits.opened and next(self._witnesses(existence.body, start), None) is None:
                    changed |= self._open(existence, places, None)
        return changed

    def _names(self) -> list[str]:
        return [name for one in self.opened for name in one.names]

    def _witnesses(self, body: Formula, binding: Binding) -> Iterator[Binding]:
        parts = conjuncts(body)
        # A side whose variables are known only up to equality must be in the graph to be looked up.
        for part in parts:
            for side in self.sides(part):
                if all(name in binding for name in variables(side)) and not isinstance(side, str):
                    self.graph.add(side, binding)

        def join(rest: Sequence[Formula], found: Binding) -> Iterator[Binding]:
            if not rest:
                yield found
                return
            for more in matches_atom(self.graph, rest[0], found):
                yield from join(rest[1:], more)

        return join(parts, binding)

    def _open(self, definition: Definition, arguments: tuple[int, ...], atom: int | None) -> bool:
        names: list[str] = []
        body, binding = definition.body, dict(zip(definition.parameters, arguments, strict=True))
        taken = {*self.goal.variables(), *self._names()}
        while body[0] == "ex":
            name = next(f"w{number}" for number in range(1, 99) if f"w{number}" not in taken | set(names))
            names.append(name)
            binding[body[1]] = self.graph.add(name)
            body = body[2]
        self.opened.append(Opened(definition, arguments, atom, names))
        changed = False
        for part, path in parts_of(body):
            changed |= self._assert(part, binding, Part(len(self.opened) - 1, path))
        return changed


def conjuncts(body: Formula) -> list[Formula]:
    """The atoms under existences and conjunctions."""
    while body[0] == "ex":
        body = body[2]
    return [part for part, _ in parts_of(body)]


def parts_of(body: Formula) -> list[tuple[Formula, tuple[str, ...]]]:
    """The atoms of a conjunction, with the way to each: 'left' and 'right'."""
    if body[0] != "and":
        return [(body, ())]
    return [
        (part, (side, *path)) for side, half in (("left", body[1]), ("right", body[2])) for part, path in parts_of(half)
    ]

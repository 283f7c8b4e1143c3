"""Sequents as rules of the search: what has to be matched, and what follows.

An equation is used in both directions where its variables allow. A conditional rule joins its premises one after the
other; variables that no premise binds must be found in the graph, as an instance of a side of the conclusion.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from wheatstone.domains.logic.egraph import Binding, EGraph
from wheatstone.domains.logic.terms import FALSE, Formula, Sequent, Term, size, symbols, variables

Kind = Literal["cite", "hypothesis"]


@dataclass(frozen=True)
class Rule:
    """A sequent that may be applied, under the name by which a proof cites it."""

    name: str
    sequent: Sequent
    kind: Kind = "cite"
    fixed: frozenset[str] = frozenset()
    """Variables of the sequent that cannot be instantiated: those of the induction hypothesis that are not general."""

    @property
    def is_contracting(self) -> bool:
        """Whether it is an equation that makes terms smaller: such rules are applied to the end before all others."""
        head = self.sequent.conclusion
        return not self.sequent.premises and head[0] == "=" and size(head[1]) != size(head[2])


@dataclass(frozen=True)
class Trigger:
    """A rule with a plan: patterns to be found in the graph, in this order, until every variable is bound."""

    rule: Rule
    premises: tuple[Formula, ...]
    demand: Term | None
    """A term that must be in the graph and that binds the variables that the premises leave open."""
    conclusion: Formula
    is_contracting: bool
    needs: frozenset[str]
    """Symbols without which nothing can match."""

    def bindings(self, graph: EGraph, start: Binding) -> Iterator[Binding]:
        """Every way to match premises and demand."""
        yield from self._join(graph, self.premises, start)

    def _join(self, graph: EGraph, premises: Sequence[Formula], binding: Binding) -> Iterator[Binding]:
        if not premises:
            if self.demand is None:
                yield binding
            else:
                for found, _ in graph.anywhere(self.demand, binding):
                    yield found
            return
        for found in matches_atom(graph, premises[0], binding):
            yield from self._join(graph, premises[1:], found)


def matches_atom(graph: EGraph, atom: Formula, binding: Binding) -> Iterator[Binding]:
    """Bindings under which an atom holds in the graph."""
    if atom[0] != "=":
        for member in list(graph.members(graph.true, atom[0])):
            yield from graph.matches_node(atom, member, binding)
        return
    left, right = atom[1], atom[2]
    known = {
        side: not isinstance(side, str) and all(name in binding for name in variables(side)) for side in (left, right)
    }
    if known[right] or (isinstance(right, str) and right in binding):
        left, right = right, left
    if isinstance(left, str) and left in binding:
        yield from graph.matches(right, binding[left], binding)
    elif known.get(left):
        place = graph.lookup(left, binding)
        if place is not None:
            yield from graph.matches(right, place, binding)
    else:
        if isinstance(left, str):
            left, right = right, left
        if isinstance(left, str):
            return
        for found, node in list(graph.anywhere(left, binding)):
            yield from graph.matches(right, node, found)


def triggers(rule: Rule) -> list[Trigger]:
    """The plans by which a rule is applied."""
    sequent, head = rule.sequent, rule.sequent.conclusion
    premises = tuple(sorted(sequent.premises, key=lambda atom: (-_weight(atom), repr(atom))))
    bound = {name for atom in premises for side in atom[1:] for name in variables(side)} | rule.fixed
    if head == FALSE:
        return [_trigger(rule, premises, None, head, False)]
    if head[0] != "=":
        open_names = {name for part in head[1:] for name in variables(part)} - bound
        return [_trigger(rule, premises, head if open_names or not premises else None, head, False)]
    if premises and {name for side in head[1:] for name in variables(side)} <= bound:
        return [_trigger(rule, premises, None, head, False)]
    found: list[Trigger] = []
    for left, right in ((head[1], head[2]), (head[2], head[1])):
        is_bound = set(variables(right)) <= set(variables(left)) | bound
        if isinstance(left, str) or not is_bound or _is_idle(left, right):
            continue
        is_contracting = rule.is_contracting and size(left) > size(right)
        found.append(_trigger(rule, premises, left, ("=", left, right), is_contracting))
    return found


def _is_idle(left: Term, right: Term) -> bool:
    """Whether rewriting left to right only makes terms larger for nothing: t to t * 1, or s(a) to 1 + a."""
    if size(right) <= size(left) or len(left) == 1:
        return False
    return _has(right, left) or bool(constants(right) - constants(left))


def _has(term: Term, part: Term) -> bool:
    return term == part or (not isinstance(term, str) and any(_has(one, part) for one in term[1:]))


def constants(term: Term) -> set[str]:
    """Constants of a term."""
    if isinstance(term, str):
        return set()
    return {term[0]} if len(term) == 1 else set[str]().union(*map(constants, term[1:]))


def _weight(atom: Formula) -> int:
    return sum(size(side) for side in atom[1:])


def _trigger(
    rule: Rule, premises: tuple[Formula, ...], demand: Term | None, head: Formula, is_contracting: bool
) -> Trigger:
    needs: set[str] = set()
    for atom in premises:
        for side in atom[1:]:
            needs.update(symbols(side))
        if atom[0] != "=":
            needs.add(atom[0])
    if demand is not None:
        needs.update(symbols(demand))
    return Trigger(rule, premises, demand, head, is_contracting, frozenset(needs))

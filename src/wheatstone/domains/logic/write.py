"""From a successful attempt to the lines that the kernel reads: only what the conclusion needs, each fact once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wheatstone.domains.logic.egraph import Edge
from wheatstone.domains.logic.saturate import Attempt, Fired, Folded, Opened, Part, Premise
from wheatstone.domains.logic.terms import FALSE, Formula, listed, substitute_formula

Line = list[Any]


class Writer:
    """Writes the lines of one block; blocks that open an existence run to the end of it."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.graph = attempt.graph
        self.outer: list[Line] = []
        self.current = self.outer
        self._stack: list[tuple[Line, list[Line]]] = []
        self._known: dict[Any, str] = {}
        self._count = 0
        self._open: dict[int, str] = {}
        """Opened existence -> id of the line that holds its body."""

    def write(self) -> list[Line]:
        """All lines; the last one of each block is the conclusion."""
        attempt, head = self.attempt, self.attempt.goal.conclusion
        if attempt.contradiction is not None:
            ident = self._cite(attempt.contradiction, FALSE)
            if head != FALSE:
                ident = self._line(head, "absurd", ident)
            final = head
        else:
            final = head
            left, right = (self.graph.add(side) for side in attempt.sides(head))
            ident = self._equal(left, right) if head[0] == "=" else self._holds(left)
        if self.current[-1][1] != listed(final) or self.current[-1][0] != ident:
            self._repeat(final, ident)
        while self._stack:
            line, lines = self._stack.pop()
            inner, self.current = self.current, lines
            line[1], line[-1] = listed(final), inner
            self.current.append(line)
        return needed(self.outer)

    def _repeat(self, formula: Formula, ident: str) -> None:
        if formula[0] == "=":
            self._append(formula, "trans", [ident])
        elif formula == FALSE:
            self._append(formula, "absurd", ident)
        else:
            self._append(formula, "subst", ident, [None] * (len(formula) - 1))

    def _line(self, formula: Formula, rule: str, *rest: Any) -> str:
        known = self._known.get(formula)
        return known if known is not None else self._append(formula, rule, *rest)

    def _append(self, formula: Formula, rule: str, *rest: Any) -> str:
        ident = self._fresh()
        self.current.append([ident, listed(formula), rule, *rest])
        self._known[formula] = ident
        return ident

    def _fresh(self) -> str:
        self._count += 1
        return str(self._count)

    def _equation(self, one: int, other: int) -> Formula:
        return ("=", self.graph.term(one), self.graph.term(other))

    def _equal(self, one: int, other: int) -> str:
        """A line that says that two nodes are equal."""
        formula = self._equation(one, other)
        if formula in self._known:
            return self._known[formula]
        if one == other:
            return self._line(formula, "refl")
        back = self._known.get(self._equation(other, one))
        if back is not None:
            return self._line(formula, "sym", back)
        steps = [self._step(edge) for edge in self.graph.explain(one, other)]
        return steps[0] if len(steps) == 1 else self._line(formula, "trans", steps)

    def _step(self, edge: Edge) -> str:
        formula = self._equation(edge.source, edge.target)
        if formula in self._known:
            return self._known[formula]
        if edge.reason is None:
            return self._line(formula, "cong", self._arguments(edge.source, edge.target))
        stated = formula if edge.is_forward else ("=", formula[2], formula[1])
        ident = self._reason(edge.reason, stated)
        return ident if edge.is_forward else self._line(formula, "sym", ident)

    def _arguments(self, one: int, other: int) -> list[str | None]:
        pairs = zip(self.graph.children[one], self.graph.children[other], strict=True)
        return [None if left == right else self._equal(left, right) for left, right in pairs]

    def _holds(self, atom: int) -> str:
        """A line that says that an atom holds."""
        formula = self.graph.term(atom)
        if formula in self._known:
            return self._known[formula]
        edges = self.graph.explain(atom, self.graph.true)
        last = edges[-1]
        stated = self.graph.term(last.source)
        ident = self._known.get(stated) or self._reason(last.reason, stated)
        if last.source == atom:
            return ident
        # The edges before the last are congruences: the same predicate with arguments that are equal one by one.
        refs = self._arguments(last.source, atom)
        return self._line(formula, "subst", ident, refs)

    def _reason(self, reason: Any, stated: Formula) -> str:
        """A line that says what the reason of a merge says, as `stated` or the other way round."""
        if isinstance(reason, Premise):
            premise = self.attempt.goal.premises[reason.number]
            return self._turned(self._line(premise, "premise", reason.number), premise, stated)
        if isinstance(reason, Fired):
            return self._cite(reason, stated)
        if isinstance(reason, Folded):
            return self._fold(reason)
        if isinstance(reason, Part):
            return self._part(reason, stated)
        raise TypeError(f"no reason: {reason!r}")

    def _turned(self, ident: str, formula: Formula, stated: Formula) -> str:
        if formula == stated:
            return ident
        return self._line(stated, "sym", ident)

    def _cite(self, reason: Fired, stated: Formula) -> str:
        rule, graph = reason.trigger.rule, self.graph
        terms = {name: graph.term(node) for name, node in reason.binding.items()}
        refs = [self._atom(premise, reason) for premise in rule.sequent.premises]
        values = {
            name: listed(terms[name])
            for name in rule.sequent.variables()
            if name in terms and name not in rule.fixed and terms[name] != name
        }
        formula = substitute_formula(rule.sequent.conclusion, terms)
        if rule.kind == "hypothesis":
            ident = self._line(formula, "hypothesis", values, refs)
        else:
            ident = self._line(formula, "cite", rule.name, values, refs)
        return self._turned(ident, formula, stated)

    def _atom(self, premise: Formula, reason: Fired) -> str:
        if premise[0] == "=":
            left, right = (self.graph.add(side, reason.binding) for side in premise[1:])
            return self._equal(left, right)
        return self._holds(self.graph.add(premise, reason.binding))

    def _fold(self, reason: Folded) -> str:
        terms = {name: self.graph.term(node) for name, node in reason.binding.items()}
        definition = reason.definition
        short = self.graph.term(reason.atom)
        bound: list[str] = []
        body = definition.body
        while body[0] == "ex":
            bound.append(body[1])
            body = body[2]
        ident = self._conjunction(body, reason)
        inner = {name: terms[name] for name in definition.parameters}
        for count in range(len(bound), 0, -1):
            known = inner | {name: terms[name] for name in bound[: count - 1]}
            layer = definition.body
            for _ in range(count - 1):
                layer = layer[2]
            ident = self._line(substitute_formula(layer, known), "witness", ident, listed(terms[bound[count - 1]]))
        return self._line(short, "fold", ident)

    def _conjunction(self, body: Formula, reason: Folded) -> str:
        if body[0] == "and":
            halves = [self._conjunction(half, reason) for half in body[1:]]
            terms = {name: self.graph.term(node) for name, node in reason.binding.items()}
            return self._line(substitute_formula(body, terms), "pair", *halves)
        if body[0] == "=":
            left, right = (self.graph.add(side, reason.binding) for side in body[1:])
            return self._equal(left, right)
        return self._holds(self.graph.add(body, reason.binding))

    def _part(self, reason: Part, stated: Formula) -> str:
        opened = self.attempt.opened[reason.opened]
        if reason.opened not in self._open:
            self._open[reason.opened] = self._begin(opened)
        ident, formula = self._open[reason.opened], self._body(opened)
        for side in reason.path:
            formula = formula[1 if side == "left" else 2]
            ident = self._line(formula, side, ident)
        return self._turned(ident, formula, stated)

    def _values(self, opened: Opened) -> dict[str, Any]:
        nodes = zip(opened.definition.parameters, opened.arguments, strict=True)
        return {name: self.graph.term(node) for name, node in nodes}

    def _body(self, opened: Opened) -> Formula:
        body = opened.definition.body
        terms = self._values(opened)
        for name in opened.names:
            terms[body[1]] = name
            body = body[2]
        return substitute_formula(body, terms)

    def _begin(self, opened: Opened) -> str:
        """Unfolds the definition and opens a block for each existence; everything that follows is inside."""
        terms = self._values(opened)
        formula = substitute_formula(opened.definition.body, terms)
        if opened.atom is not None:
            ident = self._line(formula, "unfold", self._holds(opened.atom))
        else:
            values = {name: listed(term) for name, term in terms.items() if name != term}
            ident = self._line(formula, "cite", opened.definition.name, values, [])
        for name in opened.names:
            line: Line = [self._fresh(), None, "choose", ident, name, None]
            self._stack.append((line, self.current))
            self.current = []
            formula = substitute_formula(formula[2], {formula[1]: name})
            ident = line[0] + "*"
            self._known[formula] = ident
        return ident


def needed(lines: Sequence[Line]) -> list[Line]:
    """The lines of a block without those that its last line does not rest on."""
    return _needed(lines, set())


def _needed(lines: Sequence[Line], wanted: set[str]) -> list[Line]:
    kept: list[Line] = []
    for line in reversed(lines):
        if kept and line[0] not in wanted:
            continue
        if line[2] == "choose":
            inner = _needed(line[5], wanted)
            if line[0] + "*" not in wanted:  # the choice is not used, and its line is the last of the block
                kept += inner[::-1]
                continue
            line = [*line[:5], inner]
        wanted.update(references(line))
        kept.append(line)
    return kept[::-1]


def references(line: Line) -> list[str]:
    """Ids of the lines that a line refers to, those inside of its block left out."""
    rule, rest = line[2], line[3:]
    if rule in ("cite", "hypothesis"):
        return list(rest[-1])
    if rule in ("trans", "cong"):
        return [ref for ref in rest[0] if ref is not None]
    if rule == "subst":
        return [rest[0], *(ref for ref in rest[1] if ref is not None)]
    if rule == "pair":
        return list(rest)
    if rule in ("sym", "unfold", "fold", "witness", "left", "right", "absurd", "choose"):
        return [rest[0]]
    return []

"""Axioms of your own as Horn rules over a causal graph: everything that follows, each with a shortest proof.

    ancestor(X, Y) :- parent(X, Y).
    ancestor(X, Z) :- parent(X, Y), ancestor(Y, Z).
    confounded(X, Y) :- ancestor(Z, X), ancestor(Z, Y), X != Y.

The graph gives `parent(cause, effect)` for each edge and `node(name)`. In rules a word that begins with a capital
letter or `_` is a variable; other words, and anything between double quotes, are names of nodes; `!=` says that two
differ. What follows is found bottom up, round by round, from what was new in the round before (semi-naive evaluation;
Abiteboul, Hull and Vianu 1995, section 13.1), so that the first derivation of a fact is one of the lowest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from wheatstone.bench.errors import Fault, InputError, UserError, did_you_mean
from wheatstone.domains.causal.derivation import steps_to
from wheatstone.domains.causal.graphs import LISTED, CausalGraph

GIVEN = {"parent": 2, "node": 1}
"""What the graph gives, with its number of arguments."""
MAX_FACTS = 200_000
_PLAIN = r"\w[\w-]*"
_TOKEN = re.compile(
    r'(?P<text>"[^"\n]*")|(?P<if>:-)|(?P<unequal>!=)|(?P<mark>[(),.?])|(?P<blank>\s+)'
    rf"|(?P<word>{_PLAIN})|(?P<comment>[#%][^\n]*)|(?P<other>.)",
    re.DOTALL,
)
RULE = "Write 'head(X, Y) :- body(X, Z), body(Z, Y).'"


class Fact(NamedTuple):
    """A statement about nodes."""

    predicate: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        """As it is read in a question (`parse_goals`)."""
        names = [name if re.fullmatch(_PLAIN, name) else f'"{name}"' for name in self.names]
        return f"{self.predicate}({', '.join(names)})"


class Term(NamedTuple):
    """A variable, or the name of a node."""

    name: str
    is_variable: bool


class Atom(NamedTuple):
    """A statement with variables."""

    predicate: str
    terms: tuple[Term, ...]
    line: int


class Rule(NamedTuple):
    """The head follows from all of the body, where the pairs differ."""

    head: Atom
    body: tuple[Atom, ...]
    unequal: tuple[tuple[Term, Term], ...]


class Step(NamedTuple):
    """One application of a rule, or a given fact."""

    fact: Fact
    line: int | None
    """Where the rule begins; None for what the graph gives."""
    premises: tuple[Fact, ...]

    def __str__(self) -> str:
        if self.line is None:
            return f"{self.fact} is in the graph"
        return f"{self.fact} by line {self.line}{' from ' if self.premises else ''}{', '.join(map(str, self.premises))}"


Binding = dict[str, str]


@dataclass(frozen=True)
class Closure:
    """All facts that follow from a graph and rules."""

    steps: Mapping[Fact, Step]

    def derived(self) -> list[Fact]:
        """What the rules add to the graph, in the order in which it was found."""
        return [fact for fact, step in self.steps.items() if step.line is not None]

    def why(self, fact: Fact) -> str:
        """What of the graph the fact rests on, and by which rules; or that it does not follow."""
        if fact not in self.steps:
            return "does not follow"
        proof = self.proof(fact)
        given = [str(step.fact) for step in proof if step.line is None]
        lines = sorted({step.line for step in proof if step.line is not None})
        more = f" and {len(given) - LISTED} more" if len(given) > LISTED else ""
        said = f"from {', '.join(given[:LISTED])}{more}" if given else "from nothing of the graph"
        return f"{said} by line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines))}" if lines else "is given"

    def proof(self, fact: Fact) -> list[Step]:
        """Every step that the fact needs, premises first and none twice. Raises KeyError where it does not follow."""
        return [self.steps[one] for one in steps_to(fact, lambda one: self.steps[one].premises)]


def parse_rules(text: str, file: str) -> list[Rule]:
    """The rules of a file.

    Raises InputError, with lines, for what is no rule, a predicate with two numbers of arguments or that nothing gives,
    and a variable that the body does not bind.
    """
    reader = _Reader(text, file)
    rules: list[Rule] = []
    while not reader.at_end():
        rules.append(reader.rule())
    if not rules:
        raise InputError([Fault(file, None, None, f"no rules. {RULE}")])
    if faults := list(_faults(rules, file)):
        raise InputError(faults)
    return rules


class Goal(NamedTuple):
    """What is asked, and where it stands."""

    fact: Fact
    line: int


def parse_goals(text: str, file: str, rules: Sequence[Rule], graph: CausalGraph) -> list[Goal]:
    """Facts to be proved, each ending in '?' or '.'; every word in them is a name.

    Raises InputError, with lines, for another predicate or number of arguments than the rules have and for a name that
    no node has.
    """
    reader = _Reader(text, file)
    arity = _arities(rules)
    goals: list[Goal] = []
    faults: list[Fault] = []
    while not reader.at_end():
        atom = reader.atom()
        reader.expect(".?")
        fact = Fact(atom.predicate, tuple(term.name for term in atom.terms))
        goals.append(Goal(fact, atom.line))
        faults += _misuse(atom, arity, file)
        faults += [_stranger(name, graph, file, atom.line) for name in fact.names if name not in graph.names]
    if not goals:
        raise InputError([Fault(file, None, None, "no questions. Write 'ancestor(rain, wet)?'")])
    if faults:
        raise InputError(faults)
    return goals


def closure(rules: Sequence[Rule], graph: CausalGraph, file: str) -> Closure:
    """Everything that follows.

    Raises InputError for a rule that names no node of the graph, UserError for more than `MAX_FACTS` facts.
    """
    constants = [
        (term.name, atom.line)
        for rule in rules
        for atom in (rule.head, *rule.body)
        for term in atom.terms
        if not term.is_variable
    ]
    if faults := [_stranger(name, graph, file, line) for name, line in constants if name not in graph.names]:
        raise InputError(faults)
    given = [Fact("node", (name,)) for name in graph.names]
    given += [Fact("parent", (graph.names[cause], graph.names[effect])) for cause, effect in graph.edges]
    steps = {fact: Step(fact, None, ()) for fact in given}
    for rule in rules:
        if not rule.body:
            fact = _made(rule.head, {})
            steps.setdefault(fact, Step(fact, rule.head.line, ()))
    known, new = _Known(), list(steps)
    while new:
        known.add(new)
        fresh, new = new, []
        for step in (step for rule in rules for step in _applied(rule, known, fresh)):
            if step.fact not in steps:
                steps[step.fact] = step
                new.append(step.fact)
                if len(steps) > MAX_FACTS:
                    text = f"more than {MAX_FACTS:,} facts follow. Ask for less in the heads of the rules."
                    raise UserError(f"{file}: {text}")
    return Closure(steps)


class _Known:
    """Facts by predicate, and by what stands at each place."""

    def __init__(self) -> None:
        self.of: dict[str, list[Fact]] = {}
        self.at: dict[tuple[str, int, str], list[Fact]] = {}

    def add(self, facts: Sequence[Fact]) -> None:
        for fact in facts:
            self.of.setdefault(fact.predicate, []).append(fact)
            for place, name in enumerate(fact.names):
                self.at.setdefault((fact.predicate, place, name), []).append(fact)

    def like(self, atom: Atom, binding: Binding) -> Sequence[Fact]:
        """A list with all facts that the atom may match: the shortest that one bound term leaves."""
        bound = [
            self.at.get((atom.predicate, place, name), [])
            for place, term in enumerate(atom.terms)
            if (name := _value(term, binding)) is not None
        ]
        return min(bound, key=len) if bound else self.of.get(atom.predicate, [])


def _applied(rule: Rule, known: _Known, fresh: Sequence[Fact]) -> Iterator[Step]:
    """What the rule gives where at least one atom of its body is a fresh fact."""
    for at, atom in enumerate(rule.body):
        rest = (*rule.body[:at], *rule.body[at + 1 :])
        for fact in fresh:
            if (begin := _matched(atom, fact, {})) is None:
                continue
            for binding in _joined(rest, known, begin):
                if all(_value(a, binding) != _value(b, binding) for a, b in rule.unequal):
                    premises = tuple(_made(one, binding) for one in rule.body)
                    yield Step(_made(rule.head, binding), rule.head.line, premises)


def _joined(atoms: tuple[Atom, ...], known: _Known, binding: Binding) -> Iterator[Binding]:
    """Bindings under which every atom is known; the atom with the fewest candidates is matched first."""
    if not atoms:
        yield binding
        return
    candidates = [known.like(atom, binding) for atom in atoms]
    at = min(range(len(atoms)), key=lambda one: len(candidates[one]))
    for fact in candidates[at]:
        if (longer := _matched(atoms[at], fact, binding)) is not None:
            yield from _joined((*atoms[:at], *atoms[at + 1 :]), known, longer)


def _matched(atom: Atom, fact: Fact, binding: Binding) -> Binding | None:
    if atom.predicate != fact.predicate:
        return None
    longer = dict(binding)
    for term, name in zip(atom.terms, fact.names, strict=True):
        if (longer.setdefault(term.name, name) if term.is_variable else term.name) != name:
            return None
    return longer


def _value(term: Term, binding: Binding) -> str | None:
    return binding.get(term.name) if term.is_variable else term.name


def _made(atom: Atom, binding: Binding) -> Fact:
    return Fact(atom.predicate, tuple(binding[term.name] if term.is_variable else term.name for term in atom.terms))


def _arities(rules: Sequence[Rule]) -> dict[str, int]:
    """Predicate -> number of arguments, as the graph or the first place that has it says."""
    found = dict(GIVEN)
    for rule in rules:
        for atom in (rule.head, *rule.body):
            found.setdefault(atom.predicate, len(atom.terms))
    return found


def _faults(rules: Sequence[Rule], file: str) -> Iterator[Fault]:
    arity = _arities(rules)
    defined = dict.fromkeys((*GIVEN, *(rule.head.predicate for rule in rules)))
    for rule in rules:
        head, bound = rule.head, {term for atom in rule.body for term in atom.terms}
        if head.predicate in GIVEN:
            text = f"'{head.predicate}' is what the graph gives; a rule needs another name for its head."
            yield Fault(file, head.line, "head", text)
        for atom in (head, *rule.body):
            if len(atom.terms) != arity[atom.predicate]:
                yield from _misuse(atom, arity, file)
        for atom in rule.body:
            if atom.predicate not in defined:
                text = f"no rule gives '{atom.predicate}'.{did_you_mean(atom.predicate, defined)}"
                yield Fault(file, atom.line, "body", text)
        asked = [*head.terms, *(term for pair in rule.unequal for term in pair)]
        for name in dict.fromkeys(term.name for term in asked if term.is_variable and term not in bound):
            yield Fault(file, head.line, "head", f"'{name}' is bound by nothing in the body; add node({name}).")


def _misuse(atom: Atom, arity: Mapping[str, int], file: str) -> list[Fault]:
    if atom.predicate not in arity:
        text = f"the rules do not have '{atom.predicate}'.{did_you_mean(atom.predicate, arity)}"
    elif len(atom.terms) != arity[atom.predicate]:
        text = f"'{atom.predicate}' has {len(atom.terms)} arguments here and {arity[atom.predicate]} elsewhere."
    else:
        return []
    return [Fault(file, atom.line, None, text)]


def _stranger(name: str, graph: CausalGraph, file: str, line: int) -> Fault:
    return Fault(file, line, None, f"no node '{name}' in the graph.{did_you_mean(name, graph.names)}")


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


class _Reader:
    """Clauses from left to right."""

    def __init__(self, text: str, file: str) -> None:
        self.file, self.at = file, 0
        self.tokens: list[_Token] = []
        line = 1
        for found in _TOKEN.finditer(text):
            kind, value = str(found.lastgroup), found.group()
            if kind not in ("blank", "comment"):
                self.tokens.append(_Token(kind, value, line))
            line += value.count("\n")

    def at_end(self) -> bool:
        return self.at == len(self.tokens)

    def rule(self) -> Rule:
        head = self.atom()
        body: list[Atom] = []
        unequal: list[tuple[Term, Term]] = []
        mark = self._next("':-' or '.'")
        if mark.kind == "if":
            while True:
                if self.at + 1 < len(self.tokens) and self.tokens[self.at + 1].kind == "unequal":
                    first = self._term()
                    self.at += 1
                    unequal.append((first, self._term()))
                else:
                    body.append(self.atom())
                if self.expect(",.").text == ".":
                    break
        elif mark.text != ".":
            raise self._fault(mark, "stands where ':-' or '.' must")
        return Rule(head, tuple(body), tuple(unequal))

    def atom(self) -> Atom:
        name = self._next("a rule")
        if name.kind != "word":
            raise self._fault(name, "stands where the name of a predicate must")
        self.expect("(")
        terms = [self._term()]
        while self.expect(",)").text == ",":
            terms.append(self._term())
        return Atom(name.text, tuple(terms), name.line)

    def expect(self, marks: str) -> _Token:
        """The next token, which must be one of these marks."""
        wanted = " or ".join(f"'{mark}'" for mark in marks)
        token = self._next(wanted)
        if token.kind != "mark" or token.text not in marks:
            raise self._fault(token, f"stands where {wanted} must")
        return token

    def _term(self) -> Term:
        token = self._next("a name or a variable")
        if token.kind == "text":
            return Term(token.text[1:-1], False)
        if token.kind != "word":
            raise self._fault(token, "stands where a name or a variable must")
        return Term(token.text, token.text[0].isupper() or token.text[0] == "_")

    def _next(self, wanted: str) -> _Token:
        if self.at_end():
            line = self.tokens[-1].line if self.tokens else None
            raise InputError([Fault(self.file, line, None, f"the file ends where {wanted} must follow.")])
        self.at += 1
        return self.tokens[self.at - 1]

    def _fault(self, token: _Token, text: str) -> InputError:
        return InputError([Fault(self.file, token.line, None, f"'{token.text[:40]}' {text}. {RULE}")])

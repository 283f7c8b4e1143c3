"""The kernel: checks proofs line by line and knows nothing of how they were found.

It imports nothing of this package. It reads a document of plain JSON values, item after item, and an item may cite only
what stands before it, so that no circle of citations can ever be accepted. Terms, formulas and sequents are those of
`terms.py`, written as lists; the definitions that matter are repeated here on purpose.

Items
    axiom       a sequent that the theory assumes
    induction   the axiom schema of induction, for a zero and a successor; a theory without it cannot use it
    function    a symbol f for a relation R that is total and single-valued by two earlier sequents (a conservative
                extension): R(a, ..., y) then abbreviates f(a, ...) = y
    definition  a predicate that abbreviates a formula
    theorem     a sequent with its proof: lines, or a base and a step by induction on one variable

Lines are [id, formula, rule, ...]. With i, j the ids of earlier lines in scope, the rules are

    premise n                           the n-th premise
    cite name {variable: term} [i ...]  an earlier sequent, instantiated, its premises at the lines i ...
    hypothesis {variable: term} [i ...] the induction hypothesis; only its general variables can be instantiated
    refl | sym i | trans [i ...]        equality
    cong [i or null ...]                f(s, ...) = f(t, ...) from s = t; null where both arguments are the same term
    subst i [j or null ...]             p(t, ...) from p(s, ...) and s = t
    unfold i | fold i                   an abbreviation replaced by what it abbreviates, and back
    witness i term                      exists x F from F with the term for x
    pair i j | left i | right i         conjunction
    absurd i                            anything from falsity
    choose i variable [lines]           exists x F at i; the lines assume F of a fresh variable as line id + "*" and
                                        end with a formula that does not mention it
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

INDUCTION, MEANING = "induction", "meaning of "
FORMAT = 1
MOST_NESTED = 150
"""Depth of terms and of nested lines from which a proof is refused, long before Python's own limit."""


class Rejected(Exception):  # noqa: N818, the proof is what is rejected
    """An item of a document is not acceptable; the message says which line and why."""

    def __init__(self, item: str, text: str) -> None:
        super().__init__(f"{item}: {text}")
        self.item = item


@dataclass(frozen=True)
class Sequent:
    """premises |- conclusion, as in the document."""

    premises: list[Any]
    conclusion: Any


@dataclass(frozen=True)
class Accepted:
    """What a theorem rests on."""

    axioms: frozenset[str]
    """Every axiom (and 'induction') that it uses, directly or through what it cites."""
    cites: frozenset[str]
    """What its own proof cites."""
    lines: int


@dataclass
class Kernel:
    """What has been accepted so far. `add` takes the next item or raises Rejected."""

    arity: dict[str, int] = field(default_factory=dict[str, int])
    """Function symbols and constants."""
    relations: dict[str, int] = field(default_factory=dict[str, int])
    """Predicates, '=' among them, with their number of arguments."""
    sequents: dict[str, Sequent] = field(default_factory=dict[str, Sequent])
    meaning: dict[str, tuple[list[str], Any]] = field(default_factory=dict[str, tuple[list[str], Any]])
    """Predicate -> its parameters and the formula that it abbreviates."""
    induction: tuple[Any, str] | None = None
    rests_on: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    """Name of a sequent or abbreviation -> the axioms that it needs."""
    accepted: dict[str, Accepted] = field(default_factory=dict[str, Accepted])

    def add(self, item: Mapping[str, Any]) -> None:
        """Takes the next item of a document. Raises Rejected, and is then as before."""
        name = str(item.get("name", item.get("item")))
        try:
            kind = item["item"]
            if kind == "axiom":
                self.sequents[name], self.rests_on[name] = self._sequent(name, item), frozenset({name})
            elif kind == "induction":
                self._add_induction(item)
            elif kind == "function":
                self._add_function(item)
            elif kind == "definition":
                self._add_definition(item)
            elif kind == "theorem":
                self._add_theorem(name, item)
            else:
                raise _Fault(f"unknown kind of item '{kind}'")
        except _Fault as fault:
            raise Rejected(name, str(fault)) from None
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
            raise Rejected(name, f"malformed ({type(error).__name__}: {error})") from None

    def _sequent(self, name: str, item: Mapping[str, Any]) -> Sequent:
        if name in self.sequents or name == INDUCTION or name.startswith(MEANING):
            raise _Fault("the name is taken")
        premises, conclusion = list(item["premises"]), item["conclusion"]
        for formula in (*premises, conclusion):
            self.well_formed(formula)
        return Sequent(premises, conclusion)

    def _add_induction(self, item: Mapping[str, Any]) -> None:
        zero, successor = item["zero"], item["successor"]
        self.check_term(zero)
        if self.induction is not None or list(_variables(zero)) or self.arity.get(successor) != 1:
            raise _Fault("induction needs a constant and a function of one argument, once")
        self.induction = (zero, successor)

    def _add_function(self, item: Mapping[str, Any]) -> None:
        symbol, relation = item["name"], item["relation"]
        total, single = self.sequents[item["total"]], self.sequents[item["single"]]
        count = self.relations[relation] - 1
        if symbol in self.arity or relation in self.meaning or relation == "=":
            raise _Fault(f"'{symbol}' or '{relation}' has a meaning already")
        head = total.conclusion
        is_total = not total.premises and head[0] == "ex" and head[2][0] == relation and head[2][-1] == head[1]
        if not (is_total and _distinct_variables(head[2][1:], count + 1)):
            raise _Fault(f"'{item['total']}' does not say that {relation} is total")
        is_single = len(single.premises) == 2 and all(part[0] == relation for part in single.premises)
        if is_single:
            (*first, one), (*second, other) = (part[1:] for part in single.premises)
            is_single = first == second and _distinct_variables([*first, one, other], count + 2)
            is_single = is_single and single.conclusion in (["=", one, other], ["=", other, one])
        if not is_single:
            raise _Fault(f"'{item['single']}' does not say that {relation} is single-valued")
        parameters = [f"x{number}" for number in range(count)]
        self.arity[symbol] = count
        self.meaning[relation] = ([*parameters, "y"], ["=", [symbol, *parameters], "y"])
        self.rests_on[MEANING + relation] = self.rests_on[item["total"]] | self.rests_on[item["single"]]

    def _add_definition(self, item: Mapping[str, Any]) -> None:
        name, parameters, body = item["name"], list(item["parameters"]), item["body"]
        self.well_formed(body)
        if name in self.relations or name == "=" or name in ("false", "and", "ex"):
            raise _Fault("the name is taken")
        if not _distinct_variables(parameters, len(parameters)) or set(_free(body)) - set(parameters):
            raise _Fault("parameters must be distinct variables and all free variables of the body")
        self.relations[name] = len(parameters)
        self.meaning[name] = (parameters, body)
        below = (self.rests_on.get(MEANING + part, frozenset[str]()) for part in _predicates(body))
        self.rests_on[MEANING + name] = frozenset[str]().union(*below)

    def _add_theorem(self, name: str, item: Mapping[str, Any]) -> None:
        goal, proof = self._sequent(name, item), item["proof"]
        free = set(_free_of(goal))
        check = _Check(self, goal, free)
        if "induction" not in proof:
            check.block(proof["lines"], goal, {}, None)
        else:
            if self.induction is None:
                raise _Fault("the theory has no induction")
            zero, successor = self.induction
            plan = proof["induction"]
            variable, eigen, general = plan["variable"], plan["eigen"], list(plan["general"])
            if not isinstance(variable, str) or variable not in free:
                raise _Fault(f"induction on '{variable}', which is no variable of the theorem")
            if not isinstance(eigen, str) or eigen in free:
                raise _Fault(f"the eigenvariable '{eigen}' occurs in the theorem")
            if not set(general) <= free - {variable}:
                raise _Fault("a general variable of the hypothesis must be another variable of the theorem")
            check.reserved.add(eigen)
            check.uses.add(INDUCTION)
            base = _instance(goal, {variable: zero})
            step = _instance(goal, {variable: [successor, eigen]})
            hypothesis = _instance(goal, {variable: eigen}), set(general)
            check.block(plan["base"], base, {}, None)
            check.block(plan["step"], step, {}, hypothesis)
        axioms = frozenset({INDUCTION} & check.uses).union(*(self.rests_on[one] for one in check.uses - {INDUCTION}))
        self.sequents[name], self.rests_on[name] = goal, axioms
        self.accepted[name] = Accepted(axioms, frozenset(check.cites), check.lines)

    def well_formed(self, formula: Any, depth: int = 0) -> None:
        head = formula[0]
        if depth > MOST_NESTED:
            raise _Fault("nested too deeply")
        if head == "false" and len(formula) == 1:
            return
        if head == "and" and len(formula) == 3:
            self.well_formed(formula[1], depth + 1)
            self.well_formed(formula[2], depth + 1)
        elif head == "ex" and len(formula) == 3 and isinstance(formula[1], str):
            self.well_formed(formula[2], depth + 1)
        elif head in ("false", "and", "ex") or self.relations.get(head) != len(formula) - 1:
            raise _Fault(f"{formula} is no formula: '{head}' is unknown here or has another number of arguments")
        else:
            for term in formula[1:]:
                self.check_term(term)

    def check_term(self, term: Any, depth: int = 0) -> None:
        if isinstance(term, str):
            return
        if depth > MOST_NESTED or not isinstance(term, list) or self.arity.get(term[0]) != len(term) - 1:
            raise _Fault(f"{term} is no term: its symbol is unknown here or has another number of arguments")
        for part in term[1:]:
            self.check_term(part, depth + 1)


class _Fault(Exception):  # noqa: N818, becomes Rejected
    pass


@dataclass
class _Check:
    """The lines of one proof."""

    kernel: Kernel
    goal: Sequent
    reserved: set[str]
    """Variables that a choice may not take: those of the theorem, the eigenvariable, those assumed around it."""
    uses: set[str] = field(default_factory=set[str])
    cites: set[str] = field(default_factory=set[str])
    lines: int = 0

    def block(self, lines: list[Any], goal: Sequent, scope: dict[str, Any], hypothesis: Any, depth: int = 0) -> Any:
        """Checks lines in order; returns the last formula, which must be the goal's conclusion at depth 0."""
        if not lines or depth > MOST_NESTED:
            raise _Fault("a block of lines is empty, or nested too deeply")
        scope = dict(scope)
        formula: Any = None
        for line in lines:
            ident, formula, rule, *rest = line
            self.lines += 1
            if not isinstance(ident, str) or ident in scope:
                raise _Fault(f"line '{ident}': the id is taken")
            self.kernel.well_formed(formula)
            try:
                if rule == "choose":
                    self._choose(ident, formula, rest, goal, scope, hypothesis, depth)
                elif not self._follows(formula, rule, rest, goal, scope, hypothesis):
                    raise _Fault(f"{formula} does not follow by {rule}")
            except _Fault as fault:
                raise _Fault(f"line {ident}: {fault}" if "line " not in str(fault) else str(fault)) from None
            scope[ident] = formula
        if depth == 0 and formula != goal.conclusion:
            raise _Fault(f"the last line is {formula}, not the conclusion {goal.conclusion}")
        return formula

    def _choose(
        self, ident: str, formula: Any, rest: list[Any], goal: Sequent, scope: Any, hyp: Any, depth: int
    ) -> None:
        source, variable, lines = rest
        exists = scope[source]
        if exists[0] != "ex" or not isinstance(variable, str):
            raise _Fault("choose needs an existence and a variable")
        if variable in self.reserved or variable in _free(formula):
            raise _Fault(f"the chosen variable '{variable}' is not fresh, or escapes its block")
        assumed = _replace(exists[2], {exists[1]: variable})
        around, self.reserved = self.reserved, self.reserved | _free(assumed)
        if self.block(lines, goal, {**scope, ident + "*": assumed}, hyp, depth + 1) != formula:
            raise _Fault("the block does not end with the formula of its line")
        self.reserved = around

    def _follows(
        self, formula: Any, rule: str, rest: list[Any], goal: Sequent, scope: dict[str, Any], hyp: Any
    ) -> bool:
        if rule == "premise":
            return formula == goal.premises[rest[0]]
        if rule == "cite":
            name, values, refs = rest
            if name not in self.kernel.sequents:
                raise _Fault(f"'{name}' is not known before this theorem")
            self.uses.add(name)
            self.cites.add(name)
            return self._applies(self.kernel.sequents[name], values, refs, formula, scope)
        if rule == "hypothesis":
            if hyp is None:
                raise _Fault("there is no induction hypothesis here")
            sequent, general = hyp
            if not set(rest[0]) <= general:
                raise _Fault(f"the hypothesis is general in {sorted(general)} only")
            return self._applies(sequent, rest[0], rest[1], formula, scope)
        if rule == "refl":
            return formula[0] == "=" and formula[1] == formula[2]
        if rule == "sym":
            return scope[rest[0]] == ["=", formula[2], formula[1]] and formula[0] == "="
        if rule == "trans":
            steps = [scope[ref] for ref in rest[0]]
            joined = all(one[2] == other[1] for one, other in itertools.pairwise(steps))
            return all(one[0] == "=" for one in steps) and joined and formula == ["=", steps[0][1], steps[-1][2]]
        if rule == "cong":
            if formula[0] != "=" or isinstance(formula[1], str) or isinstance(formula[2], str):
                return False
            return formula[1][0] == formula[2][0] and self._equal(formula[1][1:], formula[2][1:], rest[0], scope)
        if rule == "subst":
            source = scope[rest[0]]
            if source[0] != formula[0] or source[0] in ("ex", "and", "false"):
                return False
            return self._equal(source[1:], formula[1:], rest[1], scope)
        if rule in ("unfold", "fold"):
            short, long = (scope[rest[0]], formula) if rule == "unfold" else (formula, scope[rest[0]])
            parameters, body = self.kernel.meaning[short[0]]
            self.uses.add(MEANING + short[0])
            return long == _replace(body, dict(zip(parameters, short[1:], strict=True)))
        if rule == "witness":
            self.kernel.check_term(rest[1])
            return formula[0] == "ex" and scope[rest[0]] == _replace(formula[2], {formula[1]: rest[1]})
        if rule == "pair":
            return formula == ["and", scope[rest[0]], scope[rest[1]]]
        if rule in ("left", "right"):
            source = scope[rest[0]]
            return source[0] == "and" and source[1 if rule == "left" else 2] == formula
        if rule == "absurd":
            return scope[rest[0]] == ["false"]
        raise _Fault(f"unknown rule '{rule}'")

    def _applies(self, sequent: Sequent, values: Any, refs: Any, formula: Any, scope: dict[str, Any]) -> bool:
        for term in values.values():
            self.kernel.check_term(term)
        wanted = [_replace(premise, values) for premise in sequent.premises]
        return [scope[ref] for ref in refs] == wanted and formula == _replace(sequent.conclusion, values)

    def _equal(self, left: list[Any], right: list[Any], refs: list[Any], scope: dict[str, Any]) -> bool:
        return len(left) == len(right) == len(refs) and all(
            one == other if ref is None else scope[ref] == ["=", one, other]
            for one, other, ref in zip(left, right, refs, strict=True)
        )


def check(document: Mapping[str, Any]) -> dict[str, Accepted]:
    """Checks a whole document; theorem -> what it rests on. Raises Rejected at the first item that is unacceptable."""
    kernel = kernel_for(document)
    for item in document["items"]:
        kernel.add(item)
    return kernel.accepted


def kernel_for(document: Mapping[str, Any]) -> Kernel:
    """A kernel that knows the symbols of a document and none of its items."""
    if document.get("format") != FORMAT:
        raise Rejected("document", f"format {document.get('format')!r}; this kernel reads format {FORMAT}")
    try:
        constants, relations = list(document["constants"]), dict(document["relations"])
    except (KeyError, TypeError, ValueError) as error:
        raise Rejected("document", f"malformed ({type(error).__name__}: {error})") from None
    if {"=", "and", "ex", "false"} & set(relations) or not isinstance(document.get("items"), list):
        raise Rejected("document", "a relation has the name of a connective, or there are no items")
    return Kernel(dict.fromkeys(constants, 0), {**relations, "=": 2})


def _distinct_variables(terms: list[Any], count: int) -> bool:
    return all(isinstance(term, str) for term in terms) and len(set(terms)) == len(terms) == count


def _variables(term: Any) -> set[str]:
    return {term} if isinstance(term, str) else set[str]().union(*map(_variables, term[1:]))


def _free(formula: Any) -> set[str]:
    if formula[0] == "ex":
        return _free(formula[2]) - {formula[1]}
    return set[str]().union(*map(_free if formula[0] == "and" else _variables, formula[1:]))


def _free_of(sequent: Sequent) -> set[str]:
    return set[str]().union(*map(_free, (*sequent.premises, sequent.conclusion)))


def _predicates(formula: Any) -> set[str]:
    if formula[0] == "ex":
        return _predicates(formula[2])
    return _predicates(formula[1]) | _predicates(formula[2]) if formula[0] == "and" else {formula[0]}


def _instance(sequent: Sequent, values: Mapping[str, Any]) -> Sequent:
    return Sequent([_replace(one, values) for one in sequent.premises], _replace(sequent.conclusion, values))


def _replace(formula: Any, values: Mapping[str, Any]) -> Any:
    """The formula with its free variables replaced at once; refused where a bound variable would capture one."""
    if formula[0] == "ex":
        bound = formula[1]
        inner = {name: value for name, value in values.items() if name != bound and name in _free(formula[2])}
        if any(bound in _variables(value) for value in inner.values()):
            raise _Fault(f"the bound variable '{bound}' would capture a variable of a term that is put in")
        return ["ex", bound, _replace(formula[2], inner)]
    if formula[0] == "and":
        return ["and", _replace(formula[1], values), _replace(formula[2], values)]
    return [formula[0], *(_put(term, values) for term in formula[1:])]


def _put(term: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(term, str):
        return values.get(term, term)
    return [term[0], *(_put(part, values) for part in term[1:])]

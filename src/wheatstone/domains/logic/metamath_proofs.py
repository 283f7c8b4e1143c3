"""Kernel lines as Metamath proofs: each line becomes one step, in the context of the premises and choices around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wheatstone.bench.errors import UserError
from wheatstone.domains.logic.metamath_steps import Said, Step, bound_in, cited_label, label, put, put_term, together

if TYPE_CHECKING:
    from wheatstone.domains.logic.metamath import Exporter

Scope = dict[str, Said]
LETTERS = "ghpqr"
"""Marks of the set variables that the five instances of the induction schema bind."""


class Prover:
    """The proof of one theorem."""

    def __init__(self, exporter: Exporter, item: Mapping[str, Any]) -> None:
        self.x = exporter
        self.item = item
        self.used: set[str] = set()
        """Tokens of the set variables that the proof uses."""
        self._general: list[str] = []
        self._eigen_form: Any = None

    def closed(self) -> tuple[Step, set[str]]:
        """The proof of ( premises -> conclusion ), and the set variables in it."""
        premises, conclusion, proof = self.item["premises"], self.item["conclusion"], self.item["proof"]
        if "induction" in proof:
            step = self._induction(premises, conclusion, proof["induction"])
        else:
            step = self._block(proof["lines"], together(premises), premises)
        return step, self.used

    def _block(self, lines: Sequence[Any], context: Any, premises: Sequence[Any], scope: Scope | None = None) -> Step:
        """The proof of the last line in the context; `premises` are the parts of the theorem's own."""
        known: Scope = dict(scope or {})
        last: Said | None = None
        for line in lines:
            ident, formula, rule, *rest = line
            if rule == "choose":
                proof = self._choose(context, premises, known, formula, ident, rest)
            else:
                proof = self._line(context, premises, known, formula, rule, rest)
            last = known[ident] = Said(context, formula, proof)
        assert last is not None
        return last.proof

    def _at(self, context: Any, known: Scope, ref: str) -> Said:
        """A line in scope, in the context of a block inside of its own."""
        said = known[ref]
        while said.context != context:
            depth, around = 0, context
            while around != said.context:
                around, depth = around[1], depth + 1
            outer = context
            for _ in range(depth - 1):
                outer = outer[1]
            parts = (self.w(said.context), self.w(outer[2]), self.w(said.formula), said.proof)
            said = Said(outer, said.formula, Step("weak", parts))
        known[ref] = said
        return said

    def w(self, formula: Any) -> Step:
        return self.x.wff(formula)

    def t(self, term: Any) -> Step:
        return self.x.term(term)

    def _line(self, context: Any, premises: Any, known: Scope, formula: Any, rule: str, rest: list[Any]) -> Step:
        g = self.w(context)

        def at(ref: str) -> Step:
            return self._at(context, known, ref).proof

        if rule == "premise":
            return self._premise(context, premises, rest[0])
        if rule == "cite":
            name, values, refs = rest
            return self._cite(cited_label(name), *self.x.sequents[name], values, [at(ref) for ref in refs], g)
        if rule == "hypothesis":
            return self._use_hypothesis(context, rest[0], [self._at(context, known, ref) for ref in rest[1]])
        if rule == "refl":
            return Step("refl", (g, self.t(formula[1])))
        if rule == "sym":
            return Step("sym", (g, self.t(formula[2]), self.t(formula[1]), at(rest[0])))
        if rule == "trans":
            steps = [self._at(context, known, ref) for ref in rest[0]]
            whole = steps[0]
            for one in steps[1:]:
                terms = [self.t(part) for part in (whole.formula[1], whole.formula[2], one.formula[2])]
                joined = ["=", whole.formula[1], one.formula[2]]
                whole = Said(context, joined, Step("tr", (g, *terms, whole.proof, one.proof)))
            return whole.proof
        if rule == "cong":
            return self._congruence(g, formula, [None if ref is None else at(ref) for ref in rest[0]])
        if rule == "subst":
            source = self._at(context, known, rest[0])
            eqs = [None if ref is None else at(ref) for ref in rest[1]]
            return self._substitution(g, source.formula, formula, source.proof, eqs)
        if rule in ("unfold", "fold"):
            given = self._at(context, known, rest[0])
            short = given.formula if rule == "unfold" else formula
            return self._abbreviation(rule, g, short, given.proof)
        if rule == "witness":
            return self._witness(context, formula, self._at(context, known, rest[0]), rest[1])
        if rule == "pair":
            return Step("pair", (g, self.w(formula[1]), self.w(formula[2]), at(rest[0]), at(rest[1])))
        if rule in ("left", "right"):
            whole = self._at(context, known, rest[0])
            return Step(rule, (g, self.w(whole.formula[1]), self.w(whole.formula[2]), whole.proof))
        if rule == "absurd":
            return Step("absurd", (g, self.w(formula), at(rest[0])))
        raise UserError(f"{self.item['name']}: rule '{rule}' cannot be written in Metamath")

    def _premise(self, context: Any, premises: Sequence[Any], number: int) -> Step:
        """( context -> premise ): the context's innermost left part is the conjunction of the premises."""
        layers: list[Any] = []
        whole = together(premises)
        inner = context
        while inner != whole and not (inner[0] == "and" and inner[2] == whole and self._is_step):
            layers.append(inner[2])
            inner = inner[1]
        said = Said(inner, whole, Step("id", (self.w(whole),)))
        if inner != whole:
            said = Said(inner, whole, Step("simpr", (self.w(inner[1]), self.w(whole))))
        formula = whole
        for _ in range(len(premises) - 1, number, -1):
            parts = (self.w(said.context), self.w(formula[1]), self.w(formula[2]), said.proof)
            formula = formula[1]
            said = Said(said.context, formula, Step("left", parts))
        if number:
            parts = (self.w(said.context), self.w(formula[1]), self.w(formula[2]), said.proof)
            said = Said(said.context, formula[2], Step("right", parts))
        for layer in reversed(layers):
            proof = Step("weak", (self.w(said.context), self.w(layer), self.w(said.formula), said.proof))
            said = Said(["and", said.context, layer], said.formula, proof)
        return said.proof

    _is_step = False

    def _cite(self, name: str, premises: Any, conclusion: Any, values: Any, refs: list[Step], g: Step) -> Step:
        order = self.x.ordered([*premises, conclusion])
        terms = [self.t(values.get(one, one)) for one in order]
        bound = sorted({one for formula in [*premises, conclusion] for one in bound_in(formula)})
        self.used.update(self.x.set_names[one] for one in bound)
        sets = [Step(self.x.floating(self.x.set_names[one])) for one in bound]
        return Step(name, (g, *terms, *sets, *refs))

    def _congruence(self, g: Step, formula: Any, eqs: Sequence[Step | None]) -> Step:
        left, right = formula[1][1:], formula[2][1:]
        full = [eq or Step("refl", (g, self.t(one))) for one, eq in zip(left, eqs, strict=True)]
        terms = [self.t(one) for one in (*left, *right)]
        return Step(f"cong.{label(formula[1][0])}", (g, *terms, *full))

    def _substitution(self, g: Step, source: Any, target: Any, proof: Step, eqs: Sequence[Step | None]) -> Step:
        if source[0] == "=":
            (a, b), (c, d) = source[1:], target[1:]
            first = Step("sym", (g, self.t(a), self.t(c), eqs[0])) if eqs[0] else Step("refl", (g, self.t(a)))
            second = eqs[1] or Step("refl", (g, self.t(b)))
            half = Step("tr", (g, self.t(c), self.t(a), self.t(b), first, proof))
            return Step("tr", (g, self.t(c), self.t(b), self.t(d), half, second))
        full = [eq or Step("refl", (g, self.t(one))) for one, eq in zip(source[1:], eqs, strict=True)]
        terms = [self.t(one) for one in (*source[1:], *target[1:])]
        return Step(f"subst.{label(source[0])}", (g, *terms, proof, *full))

    def _abbreviation(self, verb: str, g: Step, short: Any, given: Step) -> Step:
        parameters, body = self.x.meaning[short[0]]
        values = dict(zip(parameters, short[1:], strict=True))
        order = [name for name in self.x.term_names if name in parameters]
        bound = sorted(set(bound_in(body)))
        sets = [Step(self.x.floating(self.x.set_names[one])) for one in bound]
        self.used.update(self.x.set_names[one] for one in bound)
        return Step(f"{verb}.{label(short[0])}", (g, *(self.t(values[one]) for one in order), *sets, given))

    def _witness(self, context: Any, formula: Any, given: Said, term: Any) -> Step:
        """From F[term] to E. x F: under x = term, F[term] gives F."""
        name, body = formula[1], formula[2]
        self.used.add(self.x.set_names[name])
        equal = ["=", name, term]
        inner = ["and", equal, given.formula]
        eq = Said(inner, equal, Step("left", (self.w(inner), *map(self.w, inner[1:]), Step("id", (self.w(inner),)))))
        have = Step("simpr", (self.w(equal), self.w(given.formula)))
        proof = self._carried(inner, eq, body, name, term, name, have)
        parts = (self.w(context), self.w(body), self.w(given.formula), self.t(term), self._set(name))
        return Step("witness", (*parts, proof, given.proof))

    def _set(self, name: str) -> Step:
        return Step(self.x.floating(self.x.set_names[name]))

    def _choose(self, context: Any, premises: Any, known: Scope, formula: Any, ident: str, rest: list[Any]) -> Step:
        source, variable, lines = rest
        exists = self._at(context, known, source)
        bound, body = exists.formula[1], exists.formula[2]
        self.used.update((self.x.set_names[bound], self.x.set_names[variable]))
        chosen = put(body, {bound: variable})
        equal = ["=", variable, bound]
        inner = ["and", equal, body]
        eq = Said(inner, equal, Step("left", (self.w(inner), *map(self.w, inner[1:]), Step("id", (self.w(inner),)))))
        have = Step("simpr", (self.w(equal), self.w(body)))
        moved = self._carried(inner, eq, body, bound, bound, variable, have)
        deeper = ["and", context, chosen]
        assumed = Said(deeper, chosen, Step("simpr", (self.w(context), self.w(chosen))))
        proof = self._block(lines, deeper, premises, {**known, ident + "*": assumed})
        head = (self.w(context), self.w(body), self.w(formula), self.w(chosen), self._set(bound), self._set(variable))
        return Step("choose", (*head, moved, exists.proof, proof))

    def _carried(self, context: Any, eq: Said, body: Any, hole: str, old: Any, new: Any, have: Step) -> Step:
        """body[new] from body[old], where the context says that `eq` equates the two; hole marks the place in body."""
        g = self.w(context)
        head = body[0]
        if head == "and":
            halves: list[Step] = []
            for at, side in enumerate(("left", "right"), start=1):
                olds = [put(part, {hole: old}) for part in body[1:]]
                part = Step(side, (g, *map(self.w, olds), have))
                halves.append(self._carried(context, eq, body[at], hole, old, new, part))
            news = [put(part, {hole: new}) for part in body[1:]]
            return Step("pair", (g, *map(self.w, news), *halves))
        if head in ("false", "true"):
            return have
        if head == "ex":
            raise UserError(f"{self.item['name']}: existences inside of existences are not exported to Metamath")
        eqs = [self._moved(context, eq, part, hole, old, new) for part in body[1:]]
        return self._substitution(g, put(body, {hole: old}), put(body, {hole: new}), have, eqs)

    def _moved(self, context: Any, eq: Said, term: Any, hole: str, old: Any, new: Any) -> Step | None:
        """( context -> term[old] = term[new] ), None where they are the same."""
        g = self.w(context)
        if isinstance(term, str):
            if term != hole or old == new:
                return None
            if eq.formula[1:] == [old, new]:
                return eq.proof
            return Step("sym", (g, self.t(new), self.t(old), eq.proof))
        parts = [self._moved(context, eq, part, hole, old, new) for part in term[1:]]
        if all(part is None for part in parts):
            return None
        formula = ["=", put_term(term, {hole: old}), put_term(term, {hole: new})]
        return self._congruence(g, formula, parts)

    # Induction

    def _induction(self, premises: list[Any], conclusion: Any, plan: Mapping[str, Any]) -> Step:
        """The closed theorem. Variables in which the hypothesis is general are bound by `A.` in the schema's P.

        The five instances of P bind set variables of their own (g, h, p, q, r), so that none of them clash.
        """
        variable, eigen, self._general = plan["variable"], plan["eigen"], list(plan["general"])
        zero, successor = _induction_of(self.x.document)
        hole = "x of the schema"
        whole = together(premises)
        statement = ["imp", whole, conclusion] if premises else conclusion
        names = dict(self.x.variables)
        bound = {f"{letter}.{name}": f"V.{letter}.{name}" for letter in LETTERS for name in self._general}
        self.x.variables = {**names, **bound, hole: "x"}
        eigen_token = self.x.set_names[eigen]
        self.used.update(("x", eigen_token, *bound.values()))

        def form(term: Any, letter: str) -> Any:
            """P of a term: the statement about it, for all values of the general variables."""
            body = put(statement, {variable: term} | {name: f"{letter}.{name}" for name in self._general})
            for name in reversed(self._general):
                body = ["all", f"{letter}.{name}", body]
            return body

        after = [successor, eigen]
        base_form, open_form, eigen_form = form(zero, "h"), form(hole, "g"), form(eigen, "p")
        next_form, goal = form(after, "q"), form(variable, "r")
        body = put(statement, {variable: hole})
        moves = [
            self._move(body, hole, zero, (zero, "h"), (hole, "g")),
            self._move(body, hole, eigen, (hole, "g"), (eigen, "p")),
            self._move(body, hole, after, (after, "q"), (hole, "g")),
            self._move(body, hole, variable, (hole, "g"), (variable, "r")),
        ]
        schema = dict(self.x.variables)
        self.x.variables = schema | {name: bound[f"h.{name}"] for name in self._general}
        base = self._block(plan["base"], put(whole, {variable: zero}), [put(one, {variable: zero}) for one in premises])
        if not premises:
            base = Step("close", (self.w(put(statement, {variable: zero})), base))
        base = self._generalised(put(statement, {variable: zero}), base, "h")
        self.x.variables = schema | {name: bound[f"q.{name}"] for name in self._general}
        step_premises = [put(one, {variable: after}) for one in premises]
        given, head = together(step_premises), put(conclusion, {variable: after})
        context = ["and", eigen_form, given] if premises else eigen_form
        self._eigen_form, self._is_step = eigen_form, True
        step = self._block(plan["step"], context, step_premises)
        if premises:
            step = Step("ded", (self.w(eigen_form), self.w(given), self.w(head), step))
        step = self._all(eigen_form, put(statement, {variable: after}), step, "q")
        self.x.variables = schema
        pieces = (goal, open_form, base_form, eigen_form, next_form)
        places = (self.t(variable), Step("vx"), Step(self.x.floating(eigen_token)))
        proof = Step("ind", (*map(self.w, pieces), *places, *moves, base, step))
        truth: Any = ["true"]
        if self._general:
            opened = Said(truth, goal, Step("open", (self.w(truth), self.w(goal), proof)))
            special = self._specialised(opened, self._general)
            # With premises ( premises -> conclusion ) is what has been proved; without, truth stands before it.
            proof = Step("close", (self.w(statement), special.proof)) if premises else special.proof
        elif not premises:
            proof = Step("open", (self.w(truth), self.w(goal), proof))
        self.x.variables = names
        return proof

    def _generalised(self, body: Any, proof: Step, letter: str) -> Step:
        """|- A. ... body from |- body, whose general variables stand for the set variables of the letter."""
        if not self._general:
            return proof
        truth: Any = ["true"]
        whole = self._quantified(body, letter)
        inner = self._all(truth, body, Step("open", (self.w(truth), self.w(body), proof)), letter)
        return Step("close", (self.w(whole), inner))

    def _quantified(self, body: Any, letter: str) -> Any:
        body = put(body, {name: f"{letter}.{name}" for name in self._general})
        for name in reversed(self._general):
            body = ["all", f"{letter}.{name}", body]
        return body

    def _all(self, context: Any, body: Any, proof: Step, letter: str) -> Step:
        """( context -> A. ... body ) from ( context -> body )."""
        body = put(body, {name: f"{letter}.{name}" for name in self._general})
        for name in reversed(self._general):
            proof = Step("gen", (self.w(context), self.w(body), self._set(f"{letter}.{name}"), proof))
            body = ["all", f"{letter}.{name}", body]
        return proof

    def _specialised(self, said: Said, terms: Sequence[Any]) -> Said:
        """( context -> body[terms] ) from ( context -> A. ... body )."""
        for term in terms:
            name, body = said.formula[1], said.formula[2]
            target = put(body, {name: term})
            parts = (self.w(said.context), self.w(body), self.w(target), self.t(term), self._set(name))
            moved = self._put_in(body, name, term)
            said = Said(said.context, target, Step("spec", (*parts, moved, said.proof)))
        return said

    def _put_in(self, body: Any, name: str, term: Any) -> Step:
        """( ( name = term /\\ body ) -> body[term] ), under the quantifiers of the body."""
        if body[0] != "all":
            return self._instance(body, name, term, name, term)
        inner, target = body[2], put(body[2], {name: term})
        parts = (self.w(["=", name, term]), self.w(inner), self.w(target), self._set(body[1]))
        return Step("ald", (*parts, self._put_in(inner, name, term)))

    def _move(self, body: Any, hole: str, term: Any, old: tuple[Any, str], new: tuple[Any, str]) -> Step:
        """( ( x = term /\\ P[old] ) -> P[new] ), where each P binds the variables of its letter."""
        if not self._general:
            return self._instance(body, hole, term, old[0], new[0])
        source = self._quantified(put(body, {hole: old[0]}), old[1])
        equal = ["=", hole, term]
        context = ["and", equal, source]
        have = Said(context, source, Step("simpr", (self.w(equal), self.w(source))))
        special = self._specialised(have, [f"{new[1]}.{name}" for name in self._general])
        inner = put(body, {name: f"{new[1]}.{name}" for name in self._general})
        eq = self._first(equal, source)
        moved = self._through(context, eq, inner, hole, old[0], new[0], special.proof)
        return self._all(context, put(inner, {hole: new[0]}), moved, new[1])

    def _first(self, equal: Any, source: Any) -> Said:
        """( ( equal /\\ source ) -> equal )."""
        context = ["and", equal, source]
        identity = Step("id", (self.w(context),))
        return Said(context, equal, Step("left", (self.w(context), self.w(equal), self.w(source), identity)))

    def _instance(self, form: Any, hole: str, term: Any, old: Any, new: Any) -> Step:
        """( ( x = term /\\ form[old] ) -> form[new] )."""
        equal, source = ["=", hole, term], put(form, {hole: old})
        have = Step("simpr", (self.w(equal), self.w(source)))
        return self._through(["and", equal, source], self._first(equal, source), form, hole, old, new, have)

    def _through(self, context: Any, eq: Said, form: Any, hole: str, old: Any, new: Any, have: Step) -> Step:
        """( context -> form[new] ) from ( context -> form[old] ), also where the form is an implication."""
        if form[0] != "imp":
            return self._carried(context, eq, form, hole, old, new, have)
        given, head = put(form[1], {hole: new}), put(form[2], {hole: new})
        old_given, old_head = put(form[1], {hole: old}), put(form[2], {hole: old})
        deeper = ["and", context, given]

        def weak(formula: Any, proof: Step) -> Step:
            return Step("weak", (self.w(context), self.w(given), self.w(formula), proof))

        inner = Said(deeper, eq.formula, weak(eq.formula, eq.proof))
        premise = self._carried(deeper, inner, form[1], hole, new, old, Step("simpr", (self.w(context), self.w(given))))
        used = Step(
            "mp", (self.w(deeper), self.w(old_given), self.w(old_head), premise, weak(put(form, {hole: old}), have))
        )
        shown = self._carried(deeper, inner, form[2], hole, old, new, used)
        return Step("ded", (self.w(context), self.w(given), self.w(head), shown))

    def _use_hypothesis(self, context: Any, values: Mapping[str, Any], refs: list[Said]) -> Step:
        form = self._eigen_form
        layers: list[Any] = []
        inner = context
        while inner != form:
            layers.append(inner[2])
            inner = inner[1]
        said = Said(form, form, Step("id", (self.w(form),)))
        for layer in reversed(layers):
            proof = Step("weak", (self.w(said.context), self.w(layer), self.w(form), said.proof))
            said = Said(["and", said.context, layer], form, proof)
        said = self._specialised(said, [values.get(name, name) for name in self._general])
        if not refs:
            return said.proof
        joined, head = self.x.join(context, refs), said.formula[2]
        return Step("mp", (self.w(context), self.w(joined.formula), self.w(head), joined.proof, said.proof))


def _induction_of(document: Mapping[str, Any]) -> tuple[Any, str]:
    item = next(item for item in document["items"] if item["item"] == "induction")
    return item["zero"], item["successor"]

"""Export to Metamath: the same theorems as a database that the `metamath` program verifies, with axioms of its own.

The preamble states natural deduction in contexts: `|- ( G -> A )` says that A follows from the conjunction G.
Functions and predicates of the theory get their congruences, axioms become axioms in contexts, abbreviations become
pairs of rules to fold and unfold them. A theorem appears twice: closed, as premises implying the conclusion, with one
step of proof for each line of the kernel's, and in contexts, as it is cited. Induction is stated with implicit
substitution, whose four instances are proved each time. Proofs are written in the compressed format.

Source  Megill and Wheeler, Metamath: A Computer Language for Mathematical Proofs (2019); the induction schema in the
        form of set.mm's `finds`
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wheatstone.bench.errors import UserError
from wheatstone.domains.logic.metamath_steps import Said, Step, bound_in, cited_label, compressed, free, label, together

PREAMBLE = """\
$c ( ) -> /\\ = A. E. T. F. |- wff term setvar $.
$v G H P Q R S $.
wg $f wff G $. wh $f wff H $. wp $f wff P $. wq $f wff Q $. wr $f wff R $. ws $f wff S $.
$v A B C $.
ta $f term A $. tb $f term B $. tc $f term C $.
$v x y z $.
vx $f setvar x $. vy $f setvar y $. vz $f setvar z $.
tv $a term x $.
wi $a wff ( P -> Q ) $.
wa $a wff ( P /\\ Q ) $.
weq $a wff A = B $.
wex $a wff E. x P $.
wt $a wff T. $.
wf $a wff F. $.
$( Natural deduction in a context $)
id $a |- ( G -> G ) $.
tru $a |- ( G -> T. ) $.
${ syl.1 $e |- ( G -> H ) $. syl.2 $e |- ( H -> P ) $. syl $a |- ( G -> P ) $. $}
${ weak.1 $e |- ( G -> P ) $. weak $a |- ( ( G /\\ H ) -> P ) $. $}
simpr $a |- ( ( G /\\ H ) -> H ) $.
${ pair.1 $e |- ( G -> P ) $. pair.2 $e |- ( G -> Q ) $. pair $a |- ( G -> ( P /\\ Q ) ) $. $}
${ left.1 $e |- ( G -> ( P /\\ Q ) ) $. left $a |- ( G -> P ) $. $}
${ right.1 $e |- ( G -> ( P /\\ Q ) ) $. right $a |- ( G -> Q ) $. $}
${ absurd.1 $e |- ( G -> F. ) $. absurd $a |- ( G -> P ) $. $}
${ mp.1 $e |- ( G -> P ) $. mp.2 $e |- ( G -> ( P -> Q ) ) $. mp $a |- ( G -> Q ) $. $}
${ ded.1 $e |- ( ( G /\\ H ) -> P ) $. ded $a |- ( G -> ( H -> P ) ) $. $}
${ close.1 $e |- ( T. -> P ) $. close $a |- P $. $}
${ open.1 $e |- P $. open $a |- ( G -> P ) $. $}
$( Equality $)
refl $a |- ( G -> A = A ) $.
${ sym.1 $e |- ( G -> A = B ) $. sym $a |- ( G -> B = A ) $. $}
${ tr.1 $e |- ( G -> A = B ) $. tr.2 $e |- ( G -> B = C ) $. tr $a |- ( G -> A = C ) $. $}
$( Universality, for induction hypotheses that are general in other variables $)
wal $a wff A. x P $.
${ $d x G $. gen.1 $e |- ( G -> P ) $. gen $a |- ( G -> A. x P ) $. $}
${ $d x G $. ald.1 $e |- ( ( G /\\ P ) -> Q ) $. ald $a |- ( ( G /\\ A. x P ) -> A. x Q ) $. $}
${ $d x A $. $d x Q $. spec.1 $e |- ( ( x = A /\\ P ) -> Q ) $. spec.2 $e |- ( G -> A. x P ) $.
   spec $a |- ( G -> Q ) $. $}
$( Existence: x is put for a term that has no x; and a witness y is chosen that occurs nowhere else $)
${ $d x A $. $d x Q $. witness.1 $e |- ( ( x = A /\\ Q ) -> P ) $. witness.2 $e |- ( G -> Q ) $.
   witness $a |- ( G -> E. x P ) $. $}
${ $d x y $. $d x R $. $d y P $. $d y G $. $d y Q $.
   choose.1 $e |- ( ( y = x /\\ P ) -> R ) $. choose.2 $e |- ( G -> E. x P ) $.
   choose.3 $e |- ( ( G /\\ R ) -> Q ) $. choose $a |- ( G -> Q ) $. $}
"""

INDUCTION = """\
$( Induction on x, by implicit substitution of {zero}, y, the successor of y, and A $)
${{ $d x y $. $d x A $. $d x Q $. $d x R $. $d x S $. $d x H $. $d y P $.
   ind.1 $e |- ( ( x = {zero} /\\ Q ) -> P ) $.
   ind.2 $e |- ( ( x = y /\\ P ) -> R ) $.
   ind.3 $e |- ( ( x = ( {successor} y ) /\\ S ) -> P ) $.
   ind.4 $e |- ( ( x = A /\\ P ) -> H ) $.
   ind.5 $e |- Q $.
   ind.6 $e |- ( R -> S ) $.
   ind $a |- H $. $}}
"""


@dataclass(frozen=True)
class Verdict:
    """What the metamath program said."""

    verified: int
    """Theorems of the document that it verified."""
    log: str


def export(document: Mapping[str, Any]) -> str:
    """The database. Raises UserError for what cannot be said in it."""
    return Exporter(document).database()


def installed() -> str | None:
    """Where the metamath program is, None when it is not installed."""
    return shutil.which("metamath")


def verify(path: Path, theorems: int) -> Verdict:
    """Lets the metamath program verify a database. Raises UserError when it is not installed or finds an error."""
    program = installed()
    if program is None:
        raise UserError("metamath is not installed. Install it (Debian: apt-get install metamath), or leave it out.")
    if not re.fullmatch(r"[\w.-]+", path.name):
        raise UserError(f"{path}: metamath reads files with plain names only. Use letters, digits, '_', '-' and '.'.")
    commands = [f"read {path.name}", "verify proof *", "exit"]
    done = subprocess.run(
        [program, *commands],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
        cwd=path.resolve().parent,
    )
    log = done.stdout
    clean = "All proofs in the database were verified" in log and "?Error" not in log and "?Warning" not in log
    if not clean:
        shown = "\n".join(line for line in log.splitlines() if line.strip())[-800:]
        raise UserError(f"{path}: metamath does not verify it.\n{shown}")
    return Verdict(theorems, log)


TOKENS = "( ) -> /\\ = A. E. T. F. |- wff term setvar G H P Q R S A B C x y z"
RESERVED = frozenset(TOKENS.split(" "))


@dataclass
class Exporter:
    """Writes one document. `wff`, `term`, `ordered` and `floating` are also what proofs are built from."""

    document: Mapping[str, Any]
    arity: dict[str, int] = field(default_factory=dict[str, int])
    relations: dict[str, int] = field(default_factory=dict[str, int])
    sequents: dict[str, tuple[list[Any], Any]] = field(default_factory=dict[str, tuple[list[Any], Any]])
    meaning: dict[str, tuple[list[str], Any]] = field(default_factory=dict[str, tuple[list[str], Any]])
    out: list[str] = field(default_factory=list[str])
    variables: dict[str, str] = field(default_factory=dict[str, str])
    """Variable of the document -> 'term', or the token of the set variable that it becomes."""

    def database(self) -> str:
        items = self.document["items"]
        self.arity = dict.fromkeys(self.document["constants"], 0)
        self.relations = dict(self.document["relations"])
        successor = next((item["successor"] for item in items if item["item"] == "induction"), None)
        for item in items:
            if item["item"] == "function":
                self.arity[item["name"]] = self.relations[item["relation"]] - 1
            elif item["item"] == "definition":
                self.relations[item["name"]] = len(item["parameters"])
        head = [
            f"$( Theory {self.document['theory']}: written by wheatstone; verify with 'verify proof *' $)",
            PREAMBLE,
        ]
        self._declare()
        if successor is not None:
            zero = next(item["zero"] for item in items if item["item"] == "induction")
            self.out.append(INDUCTION.format(zero=self._term(zero), successor=self._symbol(successor)))
        for item in items:
            kind = item["item"]
            if kind == "axiom":
                self._axiom(item)
            elif kind == "function":
                self._function(item)
            elif kind == "definition":
                self._definition(item)
            elif kind == "theorem":
                self._theorem(item)
        return "\n".join([*head, *self.out, ""])

    def _symbol(self, name: str) -> str:
        name = name.replace("$", "_")
        return "'" + name if name in RESERVED or name.startswith(("T.", "W.", "V.")) else name

    def _declare(self) -> None:
        """Constants, syntax and congruence of every symbol, and the variables that all theorems share."""
        symbols = [*self.arity, *self.relations]
        self.out.append("$c " + " ".join(self._symbol(name) for name in symbols) + " $.")
        slots = max((*self.arity.values(), *self.relations.values(), 1))
        left = [f"T.{number}" for number in range(slots)]
        right = [f"T.{number}" for number in range(slots, 2 * slots)]
        names = sorted({name for item in self.document["items"] for name in _variables_of(item)})
        eigen = {item["proof"]["induction"]["eigen"] for item in self.document["items"] if _is_induction(item)}
        stated = {name for item in self.document["items"] for name in _stated(item)}
        if clash := sorted(name for name in stated if name in eigen or _is_chosen(name)):
            raise UserError(
                f"variable '{clash[0]}' of a statement is also chosen in a proof, which is not exported to Metamath. "
                "Rename it in the theory."
            )
        terms = {name: f"T.{name}" for name in names if not (name in eigen or _is_chosen(name))}
        self.term_names = terms
        self.out.append("$v " + " ".join([*left, *right, *terms.values()]) + " $.")
        for token in [*left, *right, *terms.values()]:
            self.out.append(f"{self.floating(token)} $f term {token} $.")
        self.set_names = {name: f"V.{name}" for name in {*names, *eigen} - set(terms)}
        for item in filter(_is_induction, self.document["items"]):
            general = item["proof"]["induction"]["general"]
            self.set_names |= {f"{mark}.{name}": f"V.{mark}.{name}" for mark in "ghpqr" for name in general}
        self.set_names |= {name: f"V.{name}" for name in _bound(self.document)}
        tokens = sorted(set(self.set_names.values()))
        if tokens:
            self.out.append("$v " + " ".join(tokens) + " $.")
            self.out += [f"{self.floating(token)} $f setvar {token} $." for token in tokens]
        for name, count in self.arity.items():
            self.out.append(f"t.{label(name)} $a term {self._applied(name, left[:count])} $.")
            if count:
                hyps = " ".join(
                    f"cong.{label(name)}.{at} $e |- ( G -> {left[at]} = {right[at]} ) $." for at in range(count)
                )
                said = f"{self._applied(name, left[:count])} = {self._applied(name, right[:count])}"
                self.out.append(f"${{ {hyps} cong.{label(name)} $a |- ( G -> {said} ) $. $}}")
        for name, count in self.relations.items():
            sign = self._symbol(name)
            one, other = (" ".join([sign, *side[:count]]) for side in (left, right))
            self.out.append(f"w.{label(name)} $a wff {one} $.")
            hyps = " ".join(
                f"subst.{label(name)}.{at} $e |- ( G -> {left[at]} = {right[at]} ) $." for at in range(count)
            )
            start = f"subst.{label(name)}.p $e |- ( G -> {one} ) $."
            self.out.append(f"${{ {start} {hyps} subst.{label(name)} $a |- ( G -> {other} ) $. $}}")

    def floating(self, token: str) -> str:
        return {"x": "vx", "y": "vy", "z": "vz"}.get(token, "f." + token)

    def _applied(self, name: str, arguments: Sequence[str]) -> str:
        sign = self._symbol(name)
        if not arguments:
            return sign
        return (
            f"( {arguments[0]} {sign} {arguments[1]} )" if len(arguments) == 2 else f"( {sign} {' '.join(arguments)} )"
        )

    # Tokens of formulas

    def _term(self, term: Any) -> str:
        if isinstance(term, str):
            return self._variable(term)
        return self._applied(term[0], [self._term(part) for part in term[1:]])

    def _variable(self, name: str) -> str:
        return self.variables.get(name) or self.term_names.get(name) or self.set_names[name]

    def _wff(self, formula: Any) -> str:
        head = formula[0]
        if head == "true":
            return "T."
        if head == "false":
            return "F."
        if head in ("and", "imp"):
            return f"( {self._wff(formula[1])} {'/' + chr(92) if head == 'and' else '->'} {self._wff(formula[2])} )"
        if head in ("ex", "all"):
            sign = "E." if head == "ex" else "A."
            return f"{sign} {self.set_names[formula[1]]} {self._wff(formula[2])}"
        if head == "=":
            return f"{self._term(formula[1])} = {self._term(formula[2])}"
        return " ".join([self._symbol(head), *(self._term(part) for part in formula[1:])])

    # Syntax proofs

    def term(self, term: Any) -> Step:
        if isinstance(term, str):
            token = self._variable(term)
            leaf = Step(self.floating(token))
            return leaf if token in self.term_names.values() else Step("tv", (leaf,))
        return Step(f"t.{label(term[0])}", tuple(self.term(part) for part in term[1:]))

    def wff(self, formula: Any) -> Step:
        head = formula[0]
        if head == "meta":
            return Step(formula[1])
        if head in ("true", "false"):
            return Step("wt" if head == "true" else "wf")
        if head in ("and", "imp"):
            return Step("wa" if head == "and" else "wi", (self.wff(formula[1]), self.wff(formula[2])))
        if head in ("ex", "all"):
            # Floating hypotheses come in the order of their declaration: the wff before the set variable.
            kind = "wex" if head == "ex" else "wal"
            return Step(kind, (self.wff(formula[2]), Step(self.floating(self.set_names[formula[1]]))))
        if head == "=":
            return Step("weq", (self.term(formula[1]), self.term(formula[2])))
        return Step(f"w.{label(head)}", tuple(self.term(part) for part in formula[1:]))

    # Items

    def _hypotheses(self, name: str, premises: Sequence[Any]) -> str:
        return " ".join(f"{name}.{at} $e |- ( G -> {self._wff(one)} ) $." for at, one in enumerate(premises, start=1))

    def _distinct(self, formulas: Sequence[Any]) -> str:
        """Set variables of a statement differ from each other and do not occur in its term variables."""
        sets = sorted({self.set_names[name] for formula in formulas for name in bound_in(formula)})
        terms = sorted({self._variable(name) for formula in formulas for name in free(formula)})
        pairs = [f"$d {one} {other} $." for at, one in enumerate(sets) for other in [*sets[at + 1 :], *terms, "G"]]
        return " ".join(pairs)

    def _axiom(self, item: Mapping[str, Any]) -> None:
        self.variables = {}
        name, premises, conclusion = cited_label(item["name"]), item["premises"], item["conclusion"]
        self.sequents[item["name"]] = (premises, conclusion)
        distinct = self._distinct([*premises, conclusion])
        body = f"{distinct} {self._hypotheses(name, premises)} {name} $a |- ( G -> {self._wff(conclusion)} ) $."
        self.out.append(f"${{ {body} $}}")

    def _abbreviation(self, name: str, parameters: Sequence[str], body: Any) -> None:
        self.meaning[name] = (list(parameters), body)
        self.variables = {}
        short, mark = [name, *parameters], label(name)
        distinct = self._distinct([body])
        for verb, given, got in (("unfold", short, body), ("fold", body, short)):
            rule = f"{verb}.{mark}"
            self.out.append(
                f"${{ {distinct} {rule}.1 $e |- ( G -> {self._wff(given)} ) $. "
                f"{rule} $a |- ( G -> {self._wff(got)} ) $. $}}"
            )

    def _function(self, item: Mapping[str, Any]) -> None:
        names = list(self.term_names)
        count = self.arity[item["name"]] + 1
        slots = [name for name in ("a", "b", "c", "d") if name in names] + names
        parameters = list(dict.fromkeys(slots))[:count]
        if len(parameters) < count:
            raise UserError(f"{item['name']}: too few variables in the document to state its meaning in Metamath")
        self.out.append(
            f"$( {item['name']} is a function by {item['total']} (total) and {item['single']} (single-valued) $)"
        )
        *inputs, value = parameters
        self._abbreviation(item["relation"], parameters, ["=", [item["name"], *inputs], value])

    def _definition(self, item: Mapping[str, Any]) -> None:
        if any(name not in self.term_names for name in item["parameters"]):
            return  # nothing mentions the predicate with these variables: no theorem is about it
        self._abbreviation(item["name"], item["parameters"], item["body"])

    def _theorem(self, item: Mapping[str, Any]) -> None:
        from wheatstone.domains.logic.metamath_proofs import Prover

        name, premises, conclusion = cited_label(item["name"]), item["premises"], item["conclusion"]
        self.variables = {}
        whole = together(premises)
        prover = Prover(self, item)
        closed, extra = prover.closed()
        variables = sorted({self._variable(one) for formula in [*premises, conclusion] for one in free(formula)})
        sets = sorted(extra)
        pairs = [f"$d {one} {other} $." for at, one in enumerate(sets) for other in [*sets[at + 1 :], *variables]]
        mandatory = [self.floating(token) for token in self._declared(variables)]
        self.out.append(
            f"${{ {' '.join(pairs)} {name}-c $p |- ( {self._wff(whole)} -> {self._wff(conclusion)} ) $= "
            f"{compressed(closed, mandatory)} $. $}}"
        )
        # The same in a context G: each premise is a hypothesis.
        context: Any = ["meta", "wg"]
        given = [Said(context, one, Step(f"{name}.{at}")) for at, one in enumerate(premises, start=1)]
        joined = self.join(context, given)
        parts = tuple(self.term(one) for one in self.ordered([*premises, conclusion]))
        cited = Step(f"{name}-c", parts)
        proof = Step("syl", (Step("wg"), self.wff(whole), self.wff(conclusion), joined.proof, cited))
        hypotheses = [f"{name}.{at}" for at in range(1, len(premises) + 1)]
        self.out.append(
            f"${{ {self._hypotheses(name, premises)} {name} $p |- ( G -> {self._wff(conclusion)} ) $= "
            f"{compressed(proof, ['wg', *mandatory, *hypotheses])} $. $}}"
        )
        self.sequents[item["name"]] = (premises, conclusion)

    def _declared(self, tokens: Sequence[str]) -> list[str]:
        """Tokens of term variables in the order of their declaration."""
        order = {token: at for at, token in enumerate(self.term_names.values())}
        return sorted(tokens, key=lambda token: order[token])

    def ordered(self, formulas: Sequence[Any]) -> list[str]:
        """Free variables of formulas in the order of their declaration."""
        used = {name for formula in formulas for name in free(formula)}
        return [name for name in self.term_names if name in used]

    def join(self, context: Any, said: Sequence[Said]) -> Said:
        """The conjunction of statements in a context; truth for none."""
        if not said:
            return Said(context, ["true"], Step("tru", (self.wff(context),)))
        whole = said[0]
        for one in said[1:]:
            parts = (self.wff(context), self.wff(whole.formula), self.wff(one.formula), whole.proof, one.proof)
            whole = Said(context, ["and", whole.formula, one.formula], Step("pair", parts))
        return whole


def _is_induction(item: Mapping[str, Any]) -> bool:
    return item["item"] == "theorem" and "induction" in item["proof"]


def _stated(item: Mapping[str, Any]) -> list[str]:
    """Free variables of what an item states."""
    if item["item"] not in ("axiom", "theorem"):
        return []
    return [name for formula in [*item["premises"], item["conclusion"]] for name in free(formula)]


def _is_chosen(name: str) -> bool:
    return name.startswith(("w", "z"))


def _formulas(lines: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for line in lines:
        found.append(line[1])
        if line[2] == "choose":
            found += _formulas(line[5])
    return found


def _all_formulas(item: Mapping[str, Any]) -> list[Any]:
    if item["item"] == "definition":
        return [item["body"], ["=", *(item["parameters"] * 2)[:2]]]
    if item["item"] not in ("axiom", "theorem"):
        return []
    found = [*item["premises"], item["conclusion"]]
    proof = item.get("proof", {})
    found += _formulas(proof.get("lines", []))
    if "induction" in proof:
        found += _formulas(proof["induction"]["base"]) + _formulas(proof["induction"]["step"])
    return found


def _variables_of(item: Mapping[str, Any]) -> set[str]:
    return {name for formula in _all_formulas(item) for name in free(formula)}


def _bound(document: Mapping[str, Any]) -> set[str]:
    return {name for item in document["items"] for formula in _all_formulas(item) for name in bound_in(formula)}

"""From the text of a theory to sequents: names, arities and types are checked, formulas become Horn sequents.

A theory speaks of one set; `(in[x,N])` says which values x takes and leaves no trace in the sequents. Relations that
are functions (`in2`, `in3`) stay relations here: that they are total and single-valued is an axiom (`fXY`, `fXYZ`) or
a theorem, and `functional.py` turns them into function symbols.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from wheatstone.bench.errors import UserError, did_you_mean
from wheatstone.domains.logic import mpl
from wheatstone.domains.logic.mpl import Declaration, Faults, Node, Place, Token
from wheatstone.domains.logic.prove import Induction
from wheatstone.domains.logic.saturate import Definition
from wheatstone.domains.logic.terms import FALSE, Formula, Sequent, Term, fresh_names, substitute_formula

ARITY = {"element": 0, "unary": 1, "binary": 2}
RELATION = {"unary": "in2:", "binary": "in3:"}
HIGHER = ("fold", "interval", "sequence", "limitSet", "limitSequence", "infiniteSequence")
"""Relations of the original's later stages, whose arguments are sets and functions."""
SHIPPED = ("peano", "addition", "groups", "sums")


@dataclass(frozen=True)
class Theory:
    """What a theory file says. Formulas speak of relations, not of function symbols."""

    name: str
    text: str
    objects: Mapping[str, str]
    """Object -> 'element', 'set', 'unary' or 'binary'."""
    anchors: Mapping[str, tuple[str, ...]]
    axioms: Mapping[str, Sequent]
    definitions: Mapping[str, Definition]
    induction: Induction | None

    @property
    def functions(self) -> list[str]:
        return [name for name, kind in self.objects.items() if kind in RELATION]

    @property
    def constants(self) -> list[Term]:
        return [(name,) for name, kind in self.objects.items() if kind == "element"]

    def relation(self, function: str) -> str:
        """The name of the relation that says what the values of a function are."""
        return RELATION[self.objects[function]] + function


def shipped(name: str) -> str:
    """The text of a theory that comes with the package."""
    return resources.files("wheatstone.domains.logic").joinpath("theories", f"{name}.mpl").read_text(encoding="utf-8")


def load(place: str | Path) -> Theory:
    """The theory in a file, or a shipped one by its name ('peano', 'groups', ...).

    Raises UserError and InputError (file:line:column and the expression) for what cannot be read.
    """
    if str(place) in SHIPPED and not Path(place).exists():
        return read(shipped(str(place)), f"{place}.mpl")
    path = Path(place)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}). A theory is a text file.") from None
    except OSError as error:
        known = ", ".join(SHIPPED)
        raise UserError(f"{path}: {error.strerror}. Give a theory file, or one that is shipped: {known}.") from None
    return read(text, str(place))


def read(text: str, file: str = "theory.mpl") -> Theory:
    """The theory that a text states. Raises InputError with the first five faults."""
    reader = _Reader(file)
    declarations = mpl.read_declarations(text, file)
    for declaration in declarations:
        reader.declare(declaration)
    for declaration in declarations:
        reader.state(declaration)
    if not reader.axioms and not reader.faults.found:
        reader.faults.add(Place(1, 1), "no axioms. A theory states at least one: axiom NAME formula")
    reader.faults.raise_any()
    return Theory(
        reader.name or Path(file).stem,
        text,
        reader.objects,
        reader.anchors,
        reader.axioms,
        reader.definitions,
        reader.induction,
    )


def statement(theory: Theory, text: str, where: str = "statement") -> list[Sequent]:
    """The sequents that a formula states in a theory, over relations. Raises InputError as `read` does."""
    reader = _Reader(where, theory)
    found = reader.sequents(mpl.read_formula(text, where))
    reader.faults.raise_any()
    return found


class _Refused(Exception):  # noqa: N818, becomes one fault
    def __init__(self, place: Place, text: str) -> None:
        super().__init__(text)
        self.place = place


class _Reader:
    def __init__(self, file: str, theory: Theory | None = None) -> None:
        self.faults = Faults(file)
        self.name = ""
        self.objects: dict[str, str] = dict(theory.objects) if theory else {}
        self.anchors: dict[str, tuple[str, ...]] = dict(theory.anchors) if theory else {}
        self.axioms: dict[str, Sequent] = {}
        self.definitions: dict[str, Definition] = dict(theory.definitions) if theory else {}
        self.induction: Induction | None = None
        self._arity = {name: len(one.parameters) for name, one in self.definitions.items()}
        self._names: set[str] = set()
        self._open: set[str] = set()
        self._fresh = fresh_names("x")
        self._defined_at: dict[str, Place] = {}

    def declare(self, item: Declaration) -> None:
        """Takes the names of a declaration, so that formulas may mention what is declared later."""
        name = item.name.text
        if item.keyword == "theory":
            self.name = name
            return
        taken = name in self._names and item.keyword not in ("induct",)
        if taken:
            self.faults.add(item.name.place, f"'{name}' is declared twice")
            return
        if item.keyword == "object":
            kind = item.arguments[0].text
            sets = [one for one, other in self.objects.items() if other == "set"]
            if kind == "set" and sets:
                self.faults.add(
                    item.name.place, f"a second set '{name}' beside '{sets[0]}': a theory speaks of one set"
                )
            self.objects[name] = kind
        elif item.keyword == "define":
            self._arity[name] = len(item.arguments)
            self._defined_at[name] = item.name.place
        elif item.keyword == "anchor":
            self.anchors[name] = tuple(token.text for token in item.arguments)
        if item.keyword != "induct":
            self._names.add(name)

    def state(self, item: Declaration) -> None:
        """Takes what a declaration says."""
        try:
            if item.keyword == "anchor":
                for token in item.arguments:
                    self._object(token, ("element", "set", "unary", "binary"))
            elif item.keyword == "induct":
                self._induct(item)
            elif item.keyword == "define" and item.formula is not None:
                self._define(item, item.formula)
            elif item.keyword == "axiom" and item.formula is not None:
                self._axiom(item.name.text, item.formula)
        except _Refused as refused:
            self.faults.add(refused.place, str(refused))

    def _induct(self, item: Declaration) -> None:
        self._object(item.name, ("set",))
        zero, successor = item.arguments
        self._object(zero, ("element",))
        self._object(successor, ("unary",))
        self.induction = Induction((zero.text,), successor.text)

    def _define(self, item: Declaration, formula: Node) -> None:
        name = item.name.text
        for token in item.arguments:
            if token.text in self.objects:
                raise _Refused(token.place, f"parameter '{token.text}' of '{name}' is an object of the theory")
        self._open = {name, *(other for other, place in self._defined_at.items() if place > item.name.place)}
        bound = {token.text for token in item.arguments}
        if len(bound) < len(item.arguments):
            raise _Refused(item.name.place, f"'{name}' has the same parameter twice")
        body = self._body(formula, bound)
        self._open = set()
        self.definitions[name] = Definition(name, tuple(token.text for token in item.arguments), body)

    def _axiom(self, name: str, formula: Node) -> None:
        found = self._pattern(formula) or self.sequents(formula)
        for number, sequent in enumerate(found, start=1):
            self.axioms[name if len(found) == 1 else f"{name}.{number}"] = sequent

    def _pattern(self, node: Node) -> list[Sequent] | None:
        """`fXY` and `fXYZ`: the relation is total and single-valued. Becomes NAME.1 and NAME.2."""
        if node.kind != "atom" or node.name not in ("fXY", "fXYZ"):
            return None
        kind = "unary" if node.name == "fXY" else "binary"
        self._count(node, ARITY[kind] + 2)
        function, *sets = node.arguments
        self._object(function, (kind,))
        for token in sets:
            self._object(token, ("set",))
        inputs = ("a", "b")[: ARITY[kind]]
        relation = RELATION[kind] + function.text
        total = Sequent((), ("ex", "z", (relation, *inputs, "z")))
        single = Sequent(((relation, *inputs, "c"), (relation, *inputs, "d")), ("=", "c", "d"))
        return [total, single]

    def sequents(self, node: Node) -> list[Sequent]:
        """The Horn sequents of a formula; an anchor as premise says which names stand for which objects."""
        try:
            return self._implications(node, {}, ())
        except _Refused as refused:
            self.faults.add(refused.place, str(refused))
            return []

    def _implications(self, node: Node, names: Mapping[str, Term], premises: tuple[Formula, ...]) -> list[Sequent]:
        if node.kind == "all":
            inner = dict(names)
            inner.update({token.text: token.text for token in node.arguments if token.text not in self.objects})
            premise, conclusion = node.parts
            if premise.kind == "atom" and premise.name in self.anchors:
                self._count(premise, len(self.anchors[premise.name]))
                pairs = zip(premise.arguments, self.anchors[premise.name], strict=True)
                inner.update({token.text: ("", original) for token, original in pairs})
                return self._implications(conclusion, inner, premises)
            return self._implications(conclusion, inner, (*premises, *self._premise(premise, inner)))
        if node.kind == "and":
            return [one for part in node.parts for one in self._implications(part, names, premises)]
        if node.kind == "not":
            inside = node.parts[0]
            if inside.kind == "all":
                return [Sequent(premises, self._existence(inside, names))]
            return [Sequent((*premises, *self._premise(inside, names)), FALSE)]
        atom = self._atom(node, names)
        return [] if atom is None else [Sequent(premises, atom)]

    def _premise(self, node: Node, names: Mapping[str, Term]) -> list[Formula]:
        if node.kind == "and":
            return [one for part in node.parts for one in self._premise(part, names)]
        if node.kind == "atom":
            atom = self._atom(node, names)
            return [] if atom is None else [atom]
        if node.kind == "not" and node.parts[0].kind == "all":
            body = self._existence(node.parts[0], names)
            while body[0] == "ex":  # a variable that only the premise mentions may as well stand for all values
                fresh = next(name for name in self._fresh if name not in names)
                body = substitute_formula(body[2], {body[1]: fresh})
            return _atoms(body)
        raise _Refused(node.place, f"{node} as a premise is beyond Horn sequents: premises are atoms, '&' or existence")

    def _existence(self, node: Node, names: Mapping[str, Term]) -> Formula:
        """`(>[y](P)!(Q))` under a negation: some y has P and Q."""
        inner = dict(names)
        bound = [token.text for token in node.arguments]
        fresh = [f"z{number}" if number else "z" for number in range(len(bound))]
        inner.update(zip(bound, fresh, strict=True))
        premise, conclusion = node.parts
        parts = self._premise(premise, inner)
        if conclusion.kind == "not":
            parts += self._premise(conclusion.parts[0], inner)
        else:
            raise _Refused(conclusion.place, f"{conclusion} under '!(>': an existence is written !(>[y](P)!(Q))")
        if not parts:
            raise _Refused(node.place, f"{node} says nothing but that something exists")
        body = parts[-1]
        for part in reversed(parts[:-1]):
            body = ("and", part, body)
        for name in reversed(fresh):
            body = ("ex", name, body)
        return body

    def _body(self, node: Node, bound: set[str]) -> Formula:
        names = {name: name for name in bound}
        if node.kind == "not" and node.parts[0].kind == "all":
            return self._existence(node.parts[0], names)
        parts = self._premise(node, names)
        if not parts:
            raise _Refused(node.place, f"{node} says nothing about the parameters")
        body = parts[-1]
        for part in reversed(parts[:-1]):
            body = ("and", part, body)
        return body

    def _atom(self, node: Node, names: Mapping[str, Term]) -> Formula | None:
        """The atom as a formula, None for membership in the set."""
        name = node.name
        if name == "in":
            self._count(node, 2)
            self._term(node.arguments[0], names, node)
            self._object(self._actual(node.arguments[1], names), ("set",))
            return None
        if name in ("in2", "in3"):
            self._count(node, 3 if name == "in2" else 4)
            function = self._actual(node.arguments[-1], names)
            self._object(function, ("unary" if name == "in2" else "binary",))
            return (f"{name}:{function.text}", *(self._term(token, names, node) for token in node.arguments[:-1]))
        if name == "=":
            self._count(node, 2)
            return ("=", *(self._term(token, names, node) for token in node.arguments))
        if name in self._open:
            raise _Refused(
                node.place, f"{node}: '{name}' is not defined before this, so the definition would be a circle"
            )
        if name in self._arity:
            self._count(node, self._arity[name])
            return (name, *(self._term(token, names, node) for token in node.arguments))
        if name in HIGHER:
            raise _Refused(
                node.place,
                f"{node}: '{name}' speaks of sets or sequences as things of their own, which is not built. "
                "State a function by recursion instead, as the shipped theory 'sums' does",
            )
        known = ["in", "in2", "in3", "=", *self._arity, *self.anchors]
        if name in ("fXY", "fXYZ"):
            raise _Refused(node.place, f"{node}: '{name}' stands alone in an axiom, not inside a formula")
        raise _Refused(node.place, f"{node}: unknown relation '{name}'.{did_you_mean(name, known)}")

    def _count(self, node: Node, wanted: int) -> None:
        if len(node.arguments) != wanted:
            raise _Refused(node.place, f"{node}: '{node.name}' has {len(node.arguments)} arguments, takes {wanted}")

    def _actual(self, token: Token, names: Mapping[str, Term]) -> Token:
        """The object that an anchor gave this name to, or the token itself."""
        value = names.get(token.text)
        return Token(value[1], token.place) if isinstance(value, tuple) else token

    def _object(self, token: Token, kinds: Sequence[str]) -> None:
        kind = self.objects.get(token.text)
        if kind is None:
            hint = did_you_mean(token.text, self.objects)
            raise _Refused(token.place, f"unknown object '{token.text}', expected a {' or '.join(kinds)}.{hint}")
        if kind not in kinds:
            raise _Refused(token.place, f"'{token.text}' is a {kind}, expected a {' or '.join(kinds)}")

    def _term(self, token: Token, names: Mapping[str, Term], node: Node) -> Term:
        token = self._actual(token, names)
        if token.text in names:
            return names[token.text]
        kind = self.objects.get(token.text)
        if kind == "element":
            return (token.text,)
        if kind is not None:
            raise _Refused(token.place, f"{node}: '{token.text}' is a {kind}, expected an element")
        hint = did_you_mean(token.text, [*names, *self.objects])
        raise _Refused(token.place, f"{node}: '{token.text}' is free: no '>[...]' binds it and it is no object.{hint}")


def _atoms(body: Formula) -> list[Formula]:
    return [*_atoms(body[1]), *_atoms(body[2])] if body[0] == "and" else [body]

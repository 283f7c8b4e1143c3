"""The text format: what is written is read back, and every fault names its line, its column and the expression."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wheatstone.bench.errors import Fault, InputError, UserError
from wheatstone.domains.logic import mpl, theory
from wheatstone.domains.logic.mpl import Node, Place, Token
from wheatstone.domains.logic.terms import FALSE, Sequent, pretty_sequent

DATA = Path(__file__).parents[2] / "data" / "generative-logic"
HERE = Place(1, 1)
NAMES = st.text("abcxyz+*<01_'", min_size=1, max_size=4)
TOKENS = NAMES.map(lambda name: Token(name, HERE))


def formulas() -> st.SearchStrategy[Node]:
    atoms = st.builds(
        lambda name, arguments: Node("atom", HERE, name, tuple(arguments)), NAMES, st.lists(TOKENS, max_size=4)
    )

    def bigger(part: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        pairs = st.tuples(part, part)
        return st.one_of(
            part.map(lambda one: Node("not", HERE, parts=(one,))),
            pairs.map(lambda two: Node("and", HERE, parts=two)),
            st.builds(lambda two, names: Node("all", HERE, "", tuple(names), two), pairs, st.lists(TOKENS, max_size=3)),
        )

    return st.recursive(atoms, bigger, max_leaves=8)


@given(formulas())
def test_a_written_formula_is_read_back(formula: Node) -> None:
    assert str(mpl.read_formula(str(formula))) == str(formula)


@given(st.text("()[]!&>=,abN+ \n#", max_size=60))
def test_any_text_is_read_or_refused_with_its_place(text: str) -> None:
    for read in (mpl.read_formula, lambda given: theory.read(given, "t.mpl")):
        assert all(fault.file.split(":")[1].isdigit() for fault in faults_of(read, text))


def faults_of(read: Callable[[str], object], text: str) -> tuple[Fault, ...]:
    try:
        read(text)
    except InputError as error:
        return error.faults
    return ()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (
            "broken.mpl",
            "{0}:9:34: (in3[a,b,+]): 'in3' has 3 arguments, takes 4\n"
            "{0}:10:7: 'arity' is declared twice\n"
            "{0}:11:32: (in4[a,a,a,a,+]): unknown relation 'in4'. Did you mean 'in'?\n"
            "{0}:12:39: (in3[a,b,a,+]): 'b' is free: no '>[...]' binds it and it is no object.\n"
            "{0}:13:41: '+' is a binary, expected a unary",
        ),
        (
            "unbalanced.mpl",
            "{0}:5:1: the text ends here, expected ')' that closes the '(' of line 4, column 16\n"
            "{0}:6:1: 'axioms' after the end of 'axiom brackets' Did you mean 'axiom'?",
        ),
        (
            "broken_names.mpl",
            "{0}:7:39: (in3[a,i1,a,+]): 'i1' is free: no '>[...]' binds it and it is no object.\n"
            "{0}:8:29: unknown object 'M', expected a set.\n"
            "{0}:9:24: (less[a,c]): 'less' is not defined before this, so the definition would be a circle\n"
            "{0}:11:13: unknown object 's', expected a unary.",
        ),
    ],
)
def test_messages(file: str, message: str) -> None:
    path = DATA / file
    with pytest.raises(InputError) as caught:
        theory.load(path)
    assert str(caught.value) == message.format(path)


def test_a_file_that_is_not_text_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "t.mpl").write_bytes(b"theory \xff")
    with pytest.raises(UserError, match="not UTF-8 text"):
        theory.load(tmp_path / "t.mpl")
    with pytest.raises(UserError, match="one that is shipped: peano"):
        theory.load(tmp_path / "no.mpl")
    with pytest.raises(InputError, match="no axioms"):
        theory.read("theory empty\n")


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(InputError, match="nested more than"):
        mpl.read_formula("!" * 5000 + "(a[b])")


def test_two_sets_and_functions_as_values_are_refused() -> None:
    with pytest.raises(
        InputError, match="'fold' speaks of sets or sequences as things of their own, which is not built"
    ):
        theory.statement(theory.load("sums"), "(>[a,b](fold[N,s,+,s,i0,a,b])(=[a,b]))")
    with pytest.raises(InputError, match="a theory speaks of one set"):
        theory.read("object N P(1)\nobject M P(1)\naxiom a (in[N,N])\n")


def test_an_anchor_names_the_objects_of_a_theorem() -> None:
    peano = theory.load("peano")
    renamed = "(>[3,4](AnchorPeano[1,2,3,4,5,6])(>[7,8,9](in3[7,8,9,4])(in3[8,7,9,4])))"
    plain = "(>[7,8,9](in3[7,8,9,+])(in3[8,7,9,+]))"
    assert theory.statement(peano, renamed) == theory.statement(peano, plain)


def test_negation_and_existence() -> None:
    peano = theory.load("peano")
    (first,) = theory.statement(peano, "(>[n](in[n,N])!(in2[n,i0,s]))")
    assert first == Sequent((("in2:s", "n", ("i0",)),), FALSE)
    (second,) = theory.statement(peano, "(>[a](in[a,N])!(>[b](in[b,N])!(in2[a,b,s])))")
    assert second.conclusion == ("ex", "z", ("in2:s", "a", "z"))
    (third,) = theory.statement(peano, "(>[a,b]!(>[c](in2[a,c,s])!(in2[c,b,s]))(leq[a,b]))")
    assert pretty_sequent(third) == "s[a] is x1 ∧ s[x1] is b ⇒ a ≤ b"
    twice = "!(>[c](in2[a,c,s])!(in2[c,b,s]))"
    (fourth,) = theory.statement(peano, f"(>[a,b](&{twice}{twice})(leq[a,b]))")
    assert pretty_sequent(fourth) == "s[a] is x1 ∧ s[x1] is b ∧ s[a] is x2 ∧ s[x2] is b ⇒ a ≤ b"

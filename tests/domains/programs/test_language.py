"""Programs compute what Python computes, are total where they say so, and survive JSON."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wheatstone.domains.programs.language import (
    EMPTY,
    MAX_VALUE,
    Program,
    Recursion,
    Term,
    constant,
    from_json,
    to_json,
)

X, Y, SELF = Term("x"), Term("y"), Term("self")
ADD = Program(2, Recursion(X, Y, (Term("decr", (X,)), Y), Term("incr", (SELF,))))
TIMES = Program(2, Recursion(X, Term("#0"), (Term("decr", (X,)), Y), Term("@+", (SELF, Y))), {"+": ADD})
RUNAWAY = Program(1, Recursion(X, X, (Term("incr", (X,)),), SELF))

LISTS = st.lists(st.sampled_from("abc"), max_size=5).map(tuple)
TERMS = st.recursive(
    st.sampled_from([X, Y, Term("[]"), Term("=c")]),
    lambda inner: st.one_of(
        st.builds(lambda op, arg: Term(op, (arg,)), st.sampled_from(["first", "rest", "reverse"]), inner),
        st.builds(lambda one, other: Term("++", (one, other)), inner, inner),
    ),
    max_leaves=8,
)


def in_python(term: Term, x: tuple[str, ...], y: tuple[str, ...]) -> tuple[str, ...]:
    values = [in_python(arg, x, y) for arg in term.args]
    match term.op:
        case "x" | "y":
            return x if term.op == "x" else y
        case "[]":
            return ()
        case "first":
            return values[0][:1]
        case "rest":
            return values[0][1:]
        case "reverse":
            return tuple(reversed(values[0]))
        case "++":
            return values[0] + values[1]
        case _:
            return (term.op[1:],)


@given(TERMS, LISTS, LISTS)
def test_terms_on_lists_are_total_and_right(term: Term, x: tuple[str, ...], y: tuple[str, ...]) -> None:
    assert Program(2, term)((x, y)) == in_python(term, x, y)


@given(TERMS)
def test_a_program_survives_json(term: Term) -> None:
    assert from_json(to_json(Program(2, term))) == Program(2, term)


@given(st.integers(0, 60), st.integers(0, 60))
def test_recursions_add_and_multiply(x: int, y: int) -> None:
    assert ADD((x, y)) == x + y
    assert TIMES((x, y)) == x * y
    assert from_json(to_json(TIMES))((x, y)) == x * y


def test_what_has_no_value_is_none() -> None:
    assert RUNAWAY((1,)) is None
    assert RUNAWAY((0,)) == 0
    assert ADD((1,)) is None, "a wrong number of inputs"
    assert ADD((("a",), 1)) is None, "a list where a number belongs"
    assert Program(1, Term("incr", (X,)))((MAX_VALUE,)) is None
    assert Program(1, Term("reverse", (X,)))((3,)) is None
    assert ADD.limited(5)((40, 1)) is None
    assert ADD((40, 1)) == 41, "a limit is the copy's alone"


def test_programs_read_as_people_write_them() -> None:
    assert str(Program(1, Term("++", (Term("=L"), X, X)))) == "[L] ++ x ++ x"
    assert str(ADD) == "y if x = 0 else incr(self(decr(x), y))"
    assert str(TIMES) == "0 if x = 0 else (self(decr(x), y) + y)"
    assert [str(constant(value)) for value in (3, ("a", "b"), (), EMPTY)] == ["3", "[a] ++ [b]", "[]", "nothing"]
    assert [constant(value)(()) for value in (3, ("a", "b"), (), EMPTY)] == [3, ("a", "b"), (), EMPTY]

"""Programs are found from examples whose rule is known, also when some examples are wrong."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wheatstone.domains.programs.induction import Example, accuracy, induce, list_terms
from wheatstone.domains.programs.language import EMPTY, Program

List = tuple[str, ...]
RULES: dict[str, Callable[[List, List], List]] = {
    "left": lambda x, _: ("L", *x),
    "twice": lambda x, _: x * 2,
    "around": lambda x, _: x * 4,
    "opposite": lambda x, _: x[:1] + x,
    "after": lambda x, y: y + x,
    "echo": lambda x, _: x + x[-1:],
    "swap ends": lambda x, _: x[-1:] + x[1:-1] + x[:1],
    "remove first": lambda _, y: y,
}


def on_lists(rule: Callable[[List, List], List]) -> list[Example]:
    words = [("A",), ("B", "C"), ("D", "E", "F"), ("G", "H", "K", "M")]
    return [Example((x, y), rule(x, y)) for x, y in itertools.permutations(words, 2)]


@pytest.mark.parametrize("name", RULES)
def test_edits_of_lists_are_found_and_carry_to_longer_ones(name: str) -> None:
    found = induce(on_lists(RULES[name]))
    assert found is not None
    assert found.accuracy == 1.0
    x, y = tuple("abcdefgh"), tuple("ijklm")
    assert found.program((x, y)) == RULES[name](x, y)


def numbers(rule: Callable[[int, int], int]) -> list[Example]:
    return [Example((x, y), rule(x, y)) for x, y in itertools.product((0, 1, 2, 3, 5, 8), (1, 2, 3, 4, 7))]


def test_arithmetic_is_found_one_operation_after_the_other_and_carries_to_large_numbers() -> None:
    library: dict[str, Program] = {}
    rules: dict[str, Callable[[int, int], int]] = {
        "+": lambda x, y: x + y,
        "-": lambda x, y: max(0, x - y),
        "*": lambda x, y: x * y,
        "/": lambda x, y: math.ceil(x / y),
    }
    for name, rule in rules.items():
        found = induce(numbers(rule), library)
        assert found is not None, name
        library[name] = found.program
        for x, y in ((97, 13), (5, 60), (60, 5), (0, 9)):
            assert found.program((x, y)) == rule(x, y), (name, str(found.program))


def test_without_recursion_addition_is_not_found() -> None:
    found = induce(numbers(lambda x, y: x + y), recursion=False)
    assert found is None or found.accuracy < 0.5


def test_a_few_wrong_examples_do_not_spoil_the_search() -> None:
    examples = on_lists(RULES["twice"])
    examples[3] = Example(examples[3].inputs, ("X",))
    examples[7] = Example(examples[7].inputs, ())
    found = induce(examples)
    assert found is not None
    assert found.program((("p", "q"), ())) == ("p", "q", "p", "q")
    assert found.accuracy == pytest.approx(10 / 12)


def test_symbols_without_inputs_are_what_they_mostly_were() -> None:
    found = induce([Example((), ("W",)), Example((), ("W",)), Example((), EMPTY)])
    assert found is not None
    assert found.program(()) == ("W",)
    assert found.accuracy == pytest.approx(2 / 3)
    assert induce([]) is None
    assert induce([Example((1,), ("a",)), Example((2,), ("a", "a"))]) is None, "numbers in, lists out"


def test_the_weight_of_an_example_is_what_it_counts() -> None:
    program = Program(1, induce([Example((1,), 2), Example((4,), 5)]).program.body)  # pyright: ignore[reportOptionalMemberAccess]
    assert accuracy(program, [Example((1,), 2, 3.0), Example((2,), 9, 1.0)]) == 0.75


@given(st.lists(st.tuples(st.lists(st.sampled_from("ab"), max_size=3).map(tuple)), min_size=1, max_size=4))
@settings(max_examples=25)
def test_enumerated_terms_have_the_values_that_are_claimed(inputs: list[tuple[List, ...]]) -> None:
    examples = [Example(one, ("a",) * 4) for one in inputs]
    kept = list_terms(examples)
    assert len({one.values for one in kept}) == len(kept)
    for one in kept[:60]:
        assert tuple(Program(1, one.term)(example.inputs) for example in examples) == one.values


def test_more_inputs_than_names_have_no_program() -> None:
    assert induce([Example((1,) * 5, 3), Example((2,) * 5, 4)]) is None

"""Finding a program from examples: bottom-up enumeration without duplicates, joined by what the outputs must be.

Method   Terms are built from small to large over the examples' inputs; of two terms with equal values on all examples
         the smaller is kept (observational equivalence: Albarghouthi et al. 2013, CAV; Udupa et al. 2013, PLDI).
Lists    An output is cut into pieces, each the value of a kept term on every example; the cheapest cut is found by
         Dijkstra's search over how much of each output is covered. So `x ++ x ++ x ++ x` or a swap of first and last
         element cost a few small terms and not one large one.
Numbers  If no term fits, the recursion scheme of `language` is filled with small terms, from small to large. The scheme
         is a sketch: what cannot be written in it is not found.

Nothing here depends on time: the same examples give the same program on every machine.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, cast

from wheatstone.domains.programs.language import (
    VARIABLES,
    Body,
    Inputs,
    List,
    Program,
    Recursion,
    Term,
    Value,
    apply_list,
    constant,
    evaluate,
    names_called,
)

SHOWN = 8
"""Examples that the search looks at; the others only judge what it finds."""
KEPT = 2500
"""Terms that one enumeration keeps."""
LIST_SIZE, NUMBER_SIZE = 6, 5
"""Largest term that is enumerated."""
STATES = 400
"""States that the search for a cut expands."""
FEWEST = 4
"""Examples that the last tries look at."""
TRIES = 6
"""Different choices of examples, so that wrong examples do not spoil every try (Fischler, Bolles 1981)."""
PERFECT = 0.999
"""Share of right examples at which the search stops."""
SIZE_PRICE = 0.004
"""Share of right examples that one more term must be worth."""


class Example(NamedTuple):
    """What goes in and what comes out."""

    inputs: Inputs
    output: Value
    weight: float = 1.0
    """How well it is supported."""


class Induced(NamedTuple):
    """A program and the share of the examples that it gets right."""

    program: Program
    accuracy: float


class Kept(NamedTuple):
    """A term with its values on the shown examples."""

    term: Term
    values: tuple[Value, ...]
    size: int


def induce(
    examples: Sequence[Example], library: Mapping[str, Program] | None = None, *, recursion: bool = True
) -> Induced | None:
    """The best program for the examples, which share one number of inputs; None when nothing is found.

    `library` holds earlier programs on numbers, which may be called by name; without `recursion` only terms are tried.
    Programs have four inputs at most.
    """
    if not examples or len(examples[0].inputs) > len(VARIABLES):
        return None
    if not examples[0].inputs:
        value, count = Counter(example.output for example in examples).most_common(1)[0]
        return Induced(constant(value), count / len(examples))
    found: list[Induced] = []
    for attempt in range(TRIES):
        shown = _shown(examples, attempt)
        kinds = {type(value) for example in shown for value in (*example.inputs, example.output)}
        if kinds == {tuple}:
            program = induce_list(shown)
        elif kinds == {int}:
            program = induce_number(shown, library or {}, recursion=recursion)
        else:
            program = None
        if program is not None:
            found.append(Induced(program, accuracy(program, examples)))
            if found[-1].accuracy >= PERFECT:
                break
        if len(examples) <= FEWEST:
            break
    return max(found, key=lambda one: one.accuracy - SIZE_PRICE * one.program.size, default=None)


def accuracy(program: Program, examples: Sequence[Example]) -> float:
    """Share of the examples that the program gets right, by their weights."""
    right = sum(example.weight for example in examples if program(example.inputs) == example.output)
    return right / sum(example.weight for example in examples)


def _shown(examples: Sequence[Example], attempt: int) -> list[Example]:
    """What one try looks at: first the cheapest to compute, evenly spread; then random ones, fewer and fewer."""
    if len(examples) <= FEWEST:
        return list(examples)
    if attempt == 0:
        ordered = sorted(examples, key=_weight)
        return ordered[:: max(1, len(ordered) // (2 * SHOWN))][:SHOWN]
    chosen = random.Random(attempt).sample(range(len(examples)), min(len(examples), max(FEWEST, SHOWN - 2 * attempt)))
    return sorted((examples[at] for at in chosen), key=_weight)


def _weight(example: Example) -> int:
    values = (*example.inputs, example.output)
    return sum(value if isinstance(value, int) else len(value) for value in values)


# Lists


def induce_list(examples: Sequence[Example]) -> Program | None:
    """The cheapest cut of the outputs into kept terms and constant tokens."""
    targets = [cast("List", example.output) for example in examples]
    arity = len(examples[0].inputs)
    if not any(targets):
        return Program(arity, Term("[]"))
    pieces = [kept for kept in list_terms(examples) if any(kept.values)]
    tokens = set(targets[0]).intersection(*map(set, targets[1:]))
    pieces += [Kept(Term(f"={token}"), ((token,),) * len(targets), 1) for token in sorted(tokens)]
    by_start: dict[str | None, list[Kept]] = {}
    for piece in pieces:
        start = cast("List", piece.values[0])
        by_start.setdefault(start[0] if start else None, []).append(piece)

    begin, end = (0,) * len(targets), tuple(map(len, targets))
    best: dict[tuple[int, ...], tuple[int, tuple[Term, ...]]] = {begin: (0, ())}
    queue = [(0, begin)]
    done: set[tuple[int, ...]] = set()
    while queue and len(done) < STATES:
        cost, state = heapq.heappop(queue)
        if state in done:
            continue
        done.add(state)
        if state == end:
            terms = best[state][1]
            return Program(arity, terms[0] if len(terms) == 1 else Term("++", terms))
        following = targets[0][state[0]] if state[0] < len(targets[0]) else None
        for piece in itertools.chain(by_start.get(None, ()), by_start.get(following, ()) if following else ()):
            reached = _advanced(state, cast("tuple[List, ...]", piece.values), targets)
            if reached is None or reached == state:
                continue
            total = cost + piece.size + 1
            if reached not in best or total < best[reached][0]:
                best[reached] = (total, (*best[state][1], piece.term))
                heapq.heappush(queue, (total, reached))
    return None


def _advanced(state: tuple[int, ...], parts: Sequence[List], targets: Sequence[List]) -> tuple[int, ...] | None:
    """Where the outputs are covered up to once the parts are appended; None where they do not fit."""
    reached: list[int] = []
    for at, part, target in zip(state, parts, targets, strict=True):
        if target[at : at + len(part)] != part:
            return None
        reached.append(at + len(part))
    return tuple(reached)


def list_terms(examples: Sequence[Example]) -> list[Kept]:
    """Terms over the inputs, each with another tuple of values, from small to large."""
    found: dict[tuple[Value, ...], Kept] = {}
    by_size: dict[int, list[Kept]] = {}
    limit = max(len(cast("List", value)) for example in examples for value in (*example.inputs, example.output))

    def keep(term: Term, values: tuple[Value, ...], size: int) -> None:
        if values not in found and len(found) < KEPT and max(len(cast("List", value)) for value in values) <= limit:
            found[values] = Kept(term, values, size)
            by_size.setdefault(size, []).append(found[values])

    for at in range(len(examples[0].inputs)):
        keep(Term(VARIABLES[at]), tuple(example.inputs[at] for example in examples), 1)
    for size in range(2, LIST_SIZE + 1):
        for part in by_size.get(size - 1, ()):
            for op in ("first", "rest", "reverse"):
                values = tuple(cast("List", apply_list(op, [cast("List", value)])) for value in part.values)
                keep(Term(op, (part.term,)), values, size)
        for left_size in range(1, size - 1):
            for left, right in itertools.product(by_size.get(left_size, ()), by_size.get(size - 1 - left_size, ())):
                joined = tuple(
                    cast("List", a) + cast("List", b) for a, b in zip(left.values, right.values, strict=True)
                )
                keep(Term("++", (left.term, right.term)), joined, size)
    return list(found.values())


# Numbers


def induce_number(
    examples: Sequence[Example], library: Mapping[str, Program], *, recursion: bool = True
) -> Program | None:
    """A term that fits, or else a recursion that fits."""
    arity = len(examples[0].inputs)
    wanted = tuple(example.output for example in examples)
    values = [cast("int", value) for example in examples for value in (*example.inputs, example.output)]
    depth = 2 + 2 * max(values)
    brief = {name: program.limited(depth) for name, program in library.items()}

    def calling(body: Body) -> Program:
        return Program(arity, body, {name: library[name] for name in names_called(body)})

    for kept in number_terms(examples, brief):
        if kept.values == wanted:
            return calling(kept.term)
    if not recursion:
        return None
    from_small = sorted(examples, key=lambda example: sum(cast("tuple[int, ...]", example.inputs)))
    smallest = from_small[0]
    shallow = 2 + 2 * max(cast("tuple[int, ...]", (*smallest.inputs, smallest.output)))
    for body in recursions(arity, brief, examples):
        # Most candidates never end, and on the smallest example that shows after a few steps.
        if Program(arity, body, brief, shallow)(smallest.inputs) != smallest.output:
            continue
        program = Program(arity, body, brief, depth)
        if all(program(example.inputs) == example.output for example in from_small):
            return calling(body)
    return None


def number_terms(examples: Sequence[Example], library: Mapping[str, Program]) -> list[Kept]:
    """Terms over the inputs, each with another tuple of values, from small to large."""
    found: dict[tuple[Value, ...], Kept] = {}
    by_size: dict[int, list[Kept]] = {}

    def keep(term: Term, size: int) -> None:
        values = tuple(evaluate(term, example.inputs, library) for example in examples)
        if None not in values and values not in found and len(found) < KEPT:
            found[cast("tuple[Value, ...]", values)] = Kept(term, cast("tuple[Value, ...]", values), size)
            by_size.setdefault(size, []).append(found[cast("tuple[Value, ...]", values)])

    for at in range(len(examples[0].inputs)):
        keep(Term(VARIABLES[at]), 1)
    keep(Term("#0"), 1)
    keep(Term("#1"), 1)
    for size in range(2, NUMBER_SIZE + 1):
        for part in by_size.get(size - 1, ()):
            for op in ("incr", "decr"):
                keep(Term(op, (part.term,)), size)
            for name, program in library.items():
                if program.arity == 1:
                    keep(Term(f"@{name}", (part.term,)), size)
        for left_size in range(1, size - 1):
            for left, right in itertools.product(by_size.get(left_size, ()), by_size.get(size - 1 - left_size, ())):
                for name, program in library.items():
                    if program.arity == 2:
                        keep(Term(f"@{name}", (left.term, right.term)), size)
    return list(found.values())


def recursions(arity: int, library: Mapping[str, Program], examples: Sequence[Example] = ()) -> Iterator[Recursion]:
    """Fillings of the recursion scheme whose base case fits the examples that end there, from small to large."""
    if arity > 2:
        return
    names = (tuple(name for name, program in library.items() if program.arity == taken) for taken in (1, 2))
    ends = [[example for example in examples if example.inputs[at] == 0] for at in range(arity)]
    fits: dict[tuple[int, Term], bool] = {}
    for at, body in _fillings(arity, *names):
        key = (at, body.base)
        if key not in fits:
            fits[key] = all(evaluate(body.base, end.inputs, library) == end.output for end in ends[at])
        if fits[key]:
            yield body


@functools.lru_cache(maxsize=64)
def _fillings(arity: int, unary: tuple[str, ...], binary: tuple[str, ...]) -> tuple[tuple[int, Recursion], ...]:
    """Every filling of the scheme, with the argument that its condition looks at; small ones first."""
    inputs = [Term(name) for name in VARIABLES[:arity]]
    zero, one, again = Term("#0"), Term("#1"), Term("self")
    changed = [Term(op, (term,)) for term in inputs for op in ("decr", "incr")]
    paired = [Term(f"@{op}", pair) for op in binary for pair in itertools.permutations(inputs, 2)] if arity == 2 else []
    following = [*inputs, *changed, *paired]
    steps = [again, Term("incr", (again,)), Term("decr", (again,))]
    steps += [Term(f"@{op}", (again,)) for op in unary]
    steps += [Term(f"@{op}", pair) for op in binary for term in inputs for pair in ((again, term), (term, again))]
    candidates = [
        (at, Recursion(condition, base, after, step))
        for at, condition in enumerate(inputs)
        for base in (zero, one, *inputs, *changed)
        for after in itertools.product(following, repeat=arity)
        if after != tuple(inputs) and after[at] not in (condition, Term("incr", (condition,)))
        for step in steps
    ]
    return tuple(sorted(candidates, key=lambda one: (one[1].size, _exchanges(one[1]))))


def _exchanges(body: Recursion) -> int:
    """How many arguments of the recursive call are not made from the same argument: the more, the harder to read."""
    return sum(VARIABLES[at] not in str(term) for at, term in enumerate(body.following))

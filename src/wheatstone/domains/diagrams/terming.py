"""`to_term`: a straight-line program as a term again, so that what was derived or read from code is a diagram too.

The arrays that are still needed are kept in one tuple. Each step is a route, which brings what it reads to the front
and copies what is read again, and then the step beside the identity of the rest. Steps of one fence become a block.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from wheatstone.domains.diagrams.program import Program, Step
from wheatstone.domains.diagrams.terms import Bias, Block, Embed, Leaf, Map, Par, Route, Seq, Term, identity


def to_term(program: Program) -> Term:
    """A term that `check` makes the same program of, up to the numbers of its arrays."""
    last = dict.fromkeys(range(len(program.arrays)), -1)
    for number, step in enumerate(program.steps):
        last.update(dict.fromkeys(step.inputs, number))
    last.update(dict.fromkeys(program.outputs, len(program.steps)))
    state = list(program.inputs)
    numbers = {id(step): number for number, step in enumerate(program.steps)}
    parts = _terms(program.steps, 0, state, last, numbers)
    order = tuple(state.index(value) for value in program.outputs)
    if order != tuple(range(len(state))):
        parts.append(Route(len(state), order))
    return Seq(tuple(parts)) if parts else identity(len(state))


def _terms(
    steps: Sequence[Step], depth: int, state: list[int], last: dict[int, int], numbers: dict[int, int]
) -> list[Term]:
    """The terms of these steps; `state` is the tuple before them and becomes the one after."""
    made: list[Term] = []
    runs = itertools.groupby(steps, key=lambda step: step.scope[depth] if len(step.scope) > depth else None)
    for scope, run in runs:
        inside = tuple(run)
        if scope is None:
            for step in inside:
                made += _step(step, state, last, numbers[id(step)])
            continue
        order = _front(inside, state, last, numbers[id(inside[-1])])
        if order != tuple(range(len(state))):
            made.append(Route(len(state), order))
        chosen = [state[at] for at in order]
        count = len(_reads(inside))
        inner, rest = chosen[:count], chosen[count:]
        body = _terms(inside, depth + 1, inner, _within(inside, last, rest, numbers), numbers)
        block = Block(scope.name, Seq(tuple(body)))
        made.append(Par((block, identity(len(rest)))) if rest else block)
        state[:] = [*inner, *rest]
    return made


def _reads(steps: Sequence[Step]) -> list[int]:
    """What steps read from outside, each array once."""
    outputs = {step.output for step in steps}
    return list(dict.fromkeys(at for step in steps for at in step.inputs if at not in outputs))


def _within(
    steps: Sequence[Step], last: dict[int, int], rest: Sequence[int], numbers: dict[int, int]
) -> dict[int, int]:
    """Last readers as a block sees them: what runs past it outside need not leave it again."""
    end = numbers[id(steps[-1])]
    inner = dict(last)
    for value in rest:
        readers = [numbers[id(step)] for step in steps if value in step.inputs]
        inner[value] = max(readers, default=-1)
    return {value: at if at <= end else len(numbers) for value, at in inner.items()}


def _front(steps: Sequence[Step], state: Sequence[int], last: dict[int, int], end: int) -> tuple[int, ...]:
    """The tuple with what a block reads in front, and what is read after it kept."""
    reads = _reads(steps)
    kept = [value for value in state if last[value] > end]
    return tuple(state.index(value) for value in (*reads, *kept))


def _step(step: Step, state: list[int], last: dict[int, int], number: int) -> list[Term]:
    kept = [value for value in dict.fromkeys(state) if last[value] > number]
    order = tuple(state.index(value) for value in (*step.inputs, *kept))
    made: list[Term] = [] if order == tuple(range(len(state))) else [Route(len(state), order)]
    leaf = _resolved(step)
    made.append(Par((leaf, identity(len(kept)))) if kept else leaf)
    state[:] = [step.output, *kept]
    return made


def _resolved(step: Step) -> Leaf:
    """The leaf with the full name of its weight: in a straight line there are no copies left to number."""
    leaf = step.leaf
    if step.weight is None or leaf.weight is None:
        return leaf
    weight = dataclasses.replace(leaf.weight, name=step.weight, everywhere=True)
    match leaf:
        case Map():
            return dataclasses.replace(leaf, matrix=weight)
        case Bias():
            return dataclasses.replace(leaf, vector=weight)
        case Embed():
            return dataclasses.replace(leaf, table=weight)
        case _:
            raise TypeError(f"{type(leaf).__name__} has no weight")

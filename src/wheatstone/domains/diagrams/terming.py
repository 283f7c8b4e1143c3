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
    parts = _Terming(program).terms(program.steps, 0, state, last)
    order = tuple(state.index(value) for value in program.outputs)
    if order != tuple(range(len(state))):
        parts.append(Route(len(state), order))
    return Seq(tuple(parts)) if parts else identity(len(state))


class _Terming:
    def __init__(self, program: Program) -> None:
        self.weights = program.weights
        self.numbers = {id(step): number for number, step in enumerate(program.steps)}

    def terms(self, steps: Sequence[Step], depth: int, state: list[int], last: dict[int, int]) -> list[Term]:
        """The terms of these steps; `state` is the tuple before them and becomes the one after."""
        made: list[Term] = []
        runs = itertools.groupby(steps, key=lambda step: step.scope[depth] if len(step.scope) > depth else None)
        for scope, run in runs:
            inside = tuple(run)
            if scope is None:
                for step in inside:
                    made += self._step(step, state, last)
                continue
            end = self.numbers[id(inside[-1])]
            kept = [value for value in dict.fromkeys(state) if last[value] > end]
            reads = _reads(inside)
            order = tuple(state.index(value) for value in (*reads, *kept))
            if order != tuple(range(len(state))):
                made.append(Route(len(state), order))
            body = self.terms(inside, depth + 1, reads, self._within(inside, last, kept))
            block = Block(scope.name, Seq(tuple(body)))
            made.append(Par((block, identity(len(kept)))) if kept else block)
            state[:] = [*reads, *kept]
        return made

    def _within(self, steps: Sequence[Step], last: dict[int, int], kept: Sequence[int]) -> dict[int, int]:
        """Last readers as a block sees them: what runs past it outside need not leave it again."""
        end = self.numbers[id(steps[-1])]
        inner = {value: at if at <= end else len(self.numbers) for value, at in last.items()}
        for value in kept:
            readers = [self.numbers[id(step)] for step in steps if value in step.inputs]
            inner[value] = max(readers, default=-1)
        return inner

    def _step(self, step: Step, state: list[int], last: dict[int, int]) -> list[Term]:
        kept = [value for value in dict.fromkeys(state) if last[value] > self.numbers[id(step)]]
        order = tuple(state.index(value) for value in (*step.inputs, *kept))
        made: list[Term] = [] if order == tuple(range(len(state))) else [Route(len(state), order)]
        leaf = self._resolved(step)
        made.append(Par((leaf, identity(len(kept)))) if kept else leaf)
        state[:] = [step.output, *kept]
        return made

    def _resolved(self, step: Step) -> Leaf:
        """The leaf with the full name of its weight: in a straight line there are no copies left to number."""
        leaf = step.leaf
        if step.weight is None or leaf.weight is None:
            return leaf
        weight = dataclasses.replace(self.weights[step.weight].weight, everywhere=True)
        match leaf:
            case Map():
                return dataclasses.replace(leaf, matrix=weight)
            case Bias():
                return dataclasses.replace(leaf, vector=weight)
            case Embed():
                return dataclasses.replace(leaf, table=weight)
            case _:
                raise TypeError(f"{type(leaf).__name__} has no weight")


def _reads(steps: Sequence[Step]) -> list[int]:
    """What steps read from outside, each array once."""
    outputs = {step.output for step in steps}
    return list(dict.fromkeys(at for step in steps for at in step.inputs if at not in outputs))

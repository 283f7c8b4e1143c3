"""`rewrite`: another program with the same value that costs less.

Rules, each with its reason:

1. A constant factor goes through whatever is linear in its argument, towards the output, so that it does not stand
   between two contractions.
2. Contractions of which nobody reads what lies between are one contraction of all their operands, and that is done
   pairwise in the order with the fewest multiplications: exhaustive over subsets, which for the handful of operands of
   a network is exact. This finds the O(n d^2) order of attention without softmax (Katharopoulos et al. 2020).

A rewriting is data: `Rewriting` holds both programs and their costs, and a test computes both.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wheatstone.domains.diagrams.cost import cost, evaluate
from wheatstone.domains.diagrams.leaves import result
from wheatstone.domains.diagrams.program import Program, Step
from wheatstone.domains.diagrams.terms import Contract, Elementwise, Merge, Order, Rename, Split
from wheatstone.domains.diagrams.types import Array

LINEAR = (Contract, Split, Merge, Rename, Order)
"""Operations that a constant factor passes through."""
MOST_OPERANDS = 10
"""3^10 splits of subsets are tried; a longer chain keeps its order beyond that."""


@dataclass(frozen=True)
class Rewriting:
    """A program before and after, with the work of its contractions (multiply-add: 2)."""

    before: Program
    after: Program
    flops_before: int
    flops_after: int

    @property
    def gain(self) -> float:
        """How many times less work."""
        return self.flops_before / self.flops_after if self.flops_after else float("inf")


def rewrite(program: Program, sizes: Mapping[str, int] | None = None) -> Rewriting:
    """The cheapest program that the rules reach, at these sizes.

    Raises ValueError when a size is missing: an order is only best at some sizes.
    """
    known = dict(sizes or {})
    before = evaluate(cost(program).flops, **known)
    after = _contracted(_factors_last(program), known)
    return Rewriting(program, after, before, evaluate(cost(after).flops, **known))


def _factors_last(program: Program) -> Program:
    """Rule 1: every 'scale' whose result has one reader, which is linear, changes places with it."""
    moved = True
    while moved:
        moved = False
        uses = program.uses()
        readers = {at: step for step in program.steps for at in step.inputs}
        for number, step in enumerate(program.steps):
            reader = readers.get(step.output)
            if not isinstance(step.leaf, Elementwise) or step.leaf.function != "scale" or reader is None:
                continue
            if uses[step.output] != 1 or not isinstance(reader.leaf, LINEAR):
                continue
            program = _exchanged(program, number, reader)
            moved = True
            break
    return program


def _exchanged(program: Program, number: int, reader: Step) -> Program:
    scale = program.steps[number]
    arrays = list(program.arrays)
    inputs = tuple(scale.inputs[0] if at == scale.output else at for at in reader.inputs)
    # The array between them is now the reader's unscaled result.
    arrays[scale.output] = arrays[reader.output]
    first = dataclasses.replace(reader, inputs=inputs, output=scale.output)
    second = dataclasses.replace(scale, inputs=(scale.output,), output=reader.output, scope=reader.scope)
    steps: list[Step] = []
    for at, step in enumerate(program.steps):
        if at == number:
            continue
        steps += [first, second] if step is reader else [step]
    return dataclasses.replace(program, arrays=tuple(arrays), steps=tuple(steps))


def _contracted(program: Program, sizes: Mapping[str, int]) -> Program:
    """Rule 2."""
    uses = program.uses()
    makers = {step.output: step for step in program.steps if isinstance(step.leaf, Contract)}
    readers = {at: step for step in program.steps for at in step.inputs}
    arrays, steps = list(program.arrays), list[Step]()
    inner = {
        value for value in makers if uses[value] == 1 and value in readers and isinstance(readers[value].leaf, Contract)
    }
    for step in program.steps:
        if step.output in inner:
            continue
        if step.output not in makers or not any(at in inner for at in step.inputs):
            steps.append(step)
            continue
        operands = _operands(step, makers, inner)
        if len(operands) > MOST_OPERANDS or _clash(operands, program, makers, inner, step):
            steps += _kept(step, makers, inner)
            continue
        steps += _in_order(operands, step, arrays, sizes)
    return dataclasses.replace(program, arrays=tuple(arrays), steps=tuple(steps))


def _kept(step: Step, makers: Mapping[int, Step], inner: set[int]) -> list[Step]:
    """The contractions as they were."""
    before = [one for at in step.inputs if at in inner for one in _kept(makers[at], makers, inner)]
    return [*before, step]


def _operands(step: Step, makers: Mapping[int, Step], inner: set[int]) -> list[int]:
    """What a nest of contractions reads from outside itself."""
    found: list[int] = []
    for at in step.inputs:
        found += _operands(makers[at], makers, inner) if at in inner else [at]
    return found


def _clash(operands: Sequence[int], program: Program, makers: Mapping[int, Step], inner: set[int], step: Step) -> bool:
    """Whether a name that is summed over inside stands for another axis outside: those may not be joined by name."""
    outside = {name for at in operands for name in program.arrays[at].names}
    for at in step.inputs:
        if at in inner:
            below = makers[at]
            summed = {name for one in below.inputs for name in program.arrays[one].names}
            summed -= set(program.arrays[below.output].names)
            own = _operands(below, makers, inner)
            others = list(operands)
            for one in own:
                others.remove(one)
            there = {name for one in others for name in program.arrays[one].names} | set(
                program.arrays[step.output].names
            )
            if summed & there or _clash(own, program, makers, inner, below):
                return True
    return not set(program.arrays[step.output].names) <= outside


def _in_order(operands: Sequence[int], step: Step, arrays: list[Array], sizes: Mapping[str, int]) -> list[Step]:
    """The pairwise contractions of the cheapest tree, the last one giving the step's own array."""
    tree = best_tree([arrays[at] for at in operands], arrays[step.output], sizes)
    made: list[Step] = []

    def build(node: Tree, target: tuple[str, ...] | None) -> int:
        if isinstance(node, int):
            return operands[node]
        pair = (build(node.left, None), build(node.right, None))
        names = node.names if target is None else target
        leaf = Contract(tuple(arrays[at].names for at in pair), names)
        array = result(leaf, tuple(arrays[at] for at in pair))
        if target is None:
            arrays.append(array)
            output = len(arrays) - 1
        else:
            output = step.output
        made.append(Step(leaf, pair, output, step.scope))
        return output

    build(tree, arrays[step.output].names)
    return made


@dataclass(frozen=True)
class Pair:
    """Two parts of a contraction that are contracted with each other; `names` are the axes that are left."""

    left: Tree
    right: Tree
    names: tuple[str, ...]
    work: int


Tree = int | Pair
"""An operand by its number, or two trees."""


def best_tree(operands: Sequence[Array], target: Array, sizes: Mapping[str, int]) -> Tree:
    """The order of pairwise contractions with the fewest multiplications, exact by dynamic programming over subsets."""
    extent: dict[str, int] = {}
    for array in operands:
        extent.update({axis.name: evaluate(axis.size, **sizes) for axis in array.axes})
    count = len(operands)
    everything = (1 << count) - 1

    def names(subset: int) -> tuple[str, ...]:
        """Axes that the contraction of a subset keeps: those that the target or another operand has."""
        inside = [name for at in range(count) if subset >> at & 1 for name in operands[at].names]
        outside = {name for at in range(count) if not subset >> at & 1 for name in operands[at].names}
        return tuple(name for name in dict.fromkeys(inside) if name in outside or name in target.names)

    best: dict[int, tuple[int, Tree]] = {1 << at: (0, at) for at in range(count)}
    for subset in sorted(range(1, everything + 1), key=int.bit_count):
        if subset in best:
            continue
        for part in _halves(subset):
            left, right = best[part], best[subset ^ part]
            involved = dict.fromkeys((*_kept_names(left[1], operands), *_kept_names(right[1], operands)))
            work = left[0] + right[0]
            step = 1
            for name in involved:
                step *= extent[name]
            if subset not in best or work + step < best[subset][0]:
                best[subset] = (work + step, Pair(left[1], right[1], names(subset), work + step))
    return best[everything][1]


def _kept_names(tree: Tree, operands: Sequence[Array]) -> tuple[str, ...]:
    return operands[tree].names if isinstance(tree, int) else tree.names


def _halves(subset: int) -> list[int]:
    """Proper parts of a subset that hold its lowest member, so that each split is met once."""
    lowest = subset & -subset
    rest = [1 << at for at in range(subset.bit_length()) if subset >> at & 1 and 1 << at != lowest]
    return [lowest | sum(chosen) for size in range(len(rest)) for chosen in itertools.combinations(rest, size)]


def work_of(tree: Tree) -> int:
    """Multiplications of a tree."""
    return 0 if isinstance(tree, int) else tree.work

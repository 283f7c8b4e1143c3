"""`cost`: what a program costs, as polynomials of its sizes.

A multiplication and an addition count as two operations, as torch's own counter has it; elementwise work is counted
apart, because that counter leaves it out. Memory is in numbers, not bytes: times four for float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import sympy

from wheatstone.domains.diagrams.program import Program, Step
from wheatstone.domains.diagrams.terms import (
    Bias,
    Contract,
    Elementwise,
    Fold,
    Leaf,
    Map,
    Mask,
    Merge,
    Order,
    Reduce,
    Rename,
    Split,
    Spread,
)
from wheatstone.domains.diagrams.types import Size, product

VIEWS = (Split, Merge, Rename, Order, Spread)
"""Leaves that only read the same numbers under other names."""
KEPT = ("gelu", "gelu_tanh", "silu", "square")
"""Functions whose slope is taken at what went in; the others take it at what came out."""


@dataclass(frozen=True)
class Cost:
    """Polynomials of the sizes, or whole numbers where all sizes are known."""

    flops: Size
    """Two for each multiplication that is summed: contractions, learned maps, convolutions."""
    elementwise: Size
    """Single operations of everything else."""
    weights: Size
    """Learned numbers."""
    activations: Size
    """Numbers in all arrays that steps make, views left out."""
    saved: Size
    """Numbers that the backward pass reads again, inputs and weights left out."""
    peak: Size | None
    """Most numbers alive at once in a forward pass without gradients; None while sizes are open."""


def cost(program: Program) -> Cost:
    """The cost of every step together."""
    total: Any = 0
    elementwise: Any = 0
    activations: Any = 0
    for step in program.steps:
        total += flops(program, step)
        elementwise += single_operations(program, step)
        if not isinstance(step.leaf, VIEWS):
            activations += program.arrays[step.output].size
    weights = sum((one.array.size for one in program.learned.values()), start=cast(Any, 0))
    return Cost(
        _expanded(total),
        _expanded(elementwise),
        _expanded(weights),
        _expanded(activations),
        _expanded(sum((program.arrays[at].size for at in saved(program)), start=cast(Any, 0))),
        peak(program),
    )


def flops(program: Program, step: Step) -> Size:
    """2 x every index of a contraction; 0 where nothing is summed, which is elementwise work."""
    names = dict[str, Size]()
    kept = program.arrays[step.output].names
    if isinstance(step.leaf, Contract | Map):
        for at in step.inputs:
            names.update((axis.name, axis.size) for axis in program.arrays[at].axes)
        if isinstance(step.leaf, Map):
            names.update((axis.name, axis.size) for axis in step.leaf.target)
        if set(names) != set(kept):
            return 2 * product(names.values())
    return 0


def single_operations(program: Program, step: Step) -> Size:
    """Operations of a step that is no contraction, one for each number that is made or read, whichever is more."""
    if flops(program, step) != 0:
        return 0
    made = program.arrays[step.output].size
    match step.leaf:
        case Elementwise() | Bias() | Map() | Contract() | Mask():
            return made
        case Reduce():
            read = program.arrays[step.inputs[0]].size
            return {"softmax": 3, "normalise": 5, "rstd": 4, "rms": 4, "rrms": 3}.get(step.leaf.function, 1) * read
        case Fold():
            return program.arrays[step.inputs[0]].size
        case _:
            return 0


def saved(program: Program) -> set[int]:
    """Arrays that the backward pass reads again, by the array that holds their numbers: views share it."""
    home = _homes(program)
    kept: set[int] = set()
    for step in program.steps:
        leaf: Leaf = step.leaf
        match leaf:
            case Contract():
                kept |= {home[at] for at in step.inputs}
            case Map():
                if step.weight in program.learned:
                    kept.add(home[step.inputs[0]])
            case Elementwise():
                if leaf.function in ("mul", "div"):
                    kept |= {home[at] for at in step.inputs}
                elif leaf.function in KEPT:
                    kept.add(home[step.inputs[0]])
                elif leaf.function not in ("add", "sub", "scale", "shift"):
                    kept.add(home[step.output])
            case Reduce():
                if leaf.function == "softmax":
                    kept.add(home[step.output])
                elif leaf.function in ("normalise", "max", "rstd", "rms", "rrms"):
                    kept.add(home[step.inputs[0]])
            case _:
                pass
    return kept - set(program.inputs)


def _homes(program: Program) -> dict[int, int]:
    home = {at: at for at in range(len(program.arrays))}
    for step in program.steps:
        if isinstance(step.leaf, VIEWS):
            home[step.output] = home[step.inputs[0]]
    return home


def peak(program: Program) -> int | None:
    """Most numbers alive at once when an array is let go after its last reader; views cost nothing."""
    sizes = [array.size for array in program.arrays]
    if not all(isinstance(size, int) for size in sizes):
        return None
    home = _homes(program)
    last = {home[at]: len(program.steps) for at in program.outputs}
    for number, step in enumerate(program.steps):
        for at in step.inputs:
            last[home[at]] = max(last.get(home[at], -1), number)
    alive = {home[at] for at in program.inputs}
    most = sum(cast(int, sizes[at]) for at in alive)
    for number, step in enumerate(program.steps):
        alive.add(home[step.output])
        most = max(most, sum(cast(int, sizes[at]) for at in alive))
        alive = {at for at in alive if last.get(at, -1) > number}
    return most


def _expanded(value: Any) -> Size:
    return value if isinstance(value, int) else cast(Size, sympy.expand(value))


def evaluate(size: Size, **sizes: int) -> int:
    """A polynomial at these sizes. Raises ValueError when a size is missing."""
    if isinstance(size, int):
        return size
    known: Any = {one: sizes[str(one)] for one in size.free_symbols if str(one) in sizes}
    value = size.subs(known)
    if not value.is_number:
        raise ValueError(f"{value} needs the sizes {', '.join(sorted(map(str, value.free_symbols)))}")
    return int(cast(Any, value))

"""`backward`: the derivative of a program as another program, by the chain rule with linear parts transposed.

The result takes the inputs and, beside each output, what that output's gradient is; it runs the forward steps and gives
the gradients of the inputs and of the learned weights. Arrays of the forward part that the backward part reads are the
residual data: in the drawing they are the wires that run past.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

from wheatstone.domains.diagrams.functions import FUNCTIONS
from wheatstone.domains.diagrams.leaves import result, title
from wheatstone.domains.diagrams.program import Parameter, Program, Scope, Step
from wheatstone.domains.diagrams.terms import (
    Bias,
    Cat,
    Contract,
    Elementwise,
    Embed,
    Fold,
    Index,
    Insert,
    Leaf,
    Map,
    Mask,
    Merge,
    Order,
    Reduce,
    Rename,
    Scatter,
    Split,
    Spread,
    Weight,
    Window,
)
from wheatstone.domains.diagrams.types import Array, Axis, DiagramError


@dataclass(frozen=True)
class Backward:
    """The derivative: `program` gives the gradients of `inputs` (numbers of the domain), then of `weights` by name."""

    program: Program
    inputs: tuple[int, ...]
    weights: tuple[str, ...]


def backward(program: Program) -> Backward:
    """The vector-Jacobian product of a program.

    Raises DiagramError for an operation that has no derivative here (an opaque one).
    """
    made = _Builder(list(program.arrays), list(program.steps), dict(program.weights))
    seeds = tuple(made.new(program.arrays[at]) for at in program.outputs)
    gradients: dict[int, list[int]] = {}
    for at, seed in zip(program.outputs, seeds, strict=True):
        gradients.setdefault(at, []).append(seed)
    of_weights: dict[str, list[int]] = {}
    for step in reversed(program.steps):
        arrived = gradients.pop(step.output, [])
        if not arrived:
            continue
        made.scope = tuple(Scope(f"{one.name}'" if one.name else "", -one.serial) for one in step.scope)
        gradient = made.total(arrived)
        for at, part in made.pull(step, gradient):
            gradients.setdefault(at, []).append(part)
        if step.weight is not None and program.weights[step.weight].weight.kind == "learned":
            pulled = made.pull_weight(step, gradient)
            of_weights.setdefault(step.weight, []).append(made.named(pulled, program.weights[step.weight].array))
    made.scope = ()
    wanted = tuple(number for number, at in enumerate(program.inputs) if program.arrays[at].kind == "float")
    names = tuple(program.learned)
    outputs = [made.ended(gradients.get(program.inputs[at], []), program.inputs[at]) for at in wanted]
    for name in names:
        if name not in of_weights:
            raise DiagramError(f"weight {name} reaches no output, so it has no gradient")
        outputs.append(made.total(of_weights[name]))
    whole = Program(tuple(made.arrays), (*program.inputs, *seeds), tuple(made.steps), tuple(outputs), made.weights)
    return Backward(_pruned(whole), wanted, names)


def _pruned(program: Program) -> Program:
    """The program without steps whose result nobody reads."""
    needed, kept = set(program.outputs), list[Step]()
    for step in reversed(program.steps):
        if step.output in needed:
            needed |= set(step.inputs)
            kept.append(step)
    used = {step.weight for step in kept}
    weights = {name: one for name, one in program.weights.items() if name in used}
    return dataclasses.replace(program, steps=tuple(reversed(kept)), weights=weights)


@dataclass
class _Builder:
    """A program that grows at its end."""

    arrays: list[Array]
    steps: list[Step]
    weights: dict[str, Parameter]
    scope: tuple[Scope, ...] = ()
    known: dict[tuple[object, ...], int] = field(default_factory=dict[tuple[object, ...], int])

    def new(self, array: Array) -> int:
        self.arrays.append(array)
        return len(self.arrays) - 1

    def do(self, leaf: Leaf, *inputs: int, weight: str | None = None) -> int:
        """One more step; the same step on the same arrays is done once."""
        key = (leaf, inputs, weight)
        if key not in self.known:
            array = result(leaf, tuple(self.arrays[at] for at in inputs))
            self.known[key] = self.new(array)
            self.steps.append(Step(leaf, inputs, self.known[key], self.scope, weight))
        return self.known[key]

    def total(self, parts: Sequence[int]) -> int:
        """Gradients that arrive on several ways, added."""
        value = parts[0]
        for part in parts[1:]:
            value = self.do(Elementwise("add", 2), value, part)
        return value

    def ended(self, parts: Sequence[int], at: int) -> int:
        """An input's gradient; zero where it reaches no output."""
        return self.total(parts) if parts else self.do(Elementwise("scale", 1, 0.0), at)

    def contract(self, arrays: Sequence[int], target: Sequence[str]) -> int:
        return self.do(Contract(tuple(self.arrays[at].names for at in arrays), tuple(target)), *arrays)

    def ordered(self, value: int, names: tuple[str, ...]) -> int:
        return value if self.arrays[value].names == names else self.do(Order(names), value)

    def named(self, value: int, like: Array) -> int:
        """The array with the names of `like`, axis by axis: a weight that is used twice may go by two sets of names."""
        for old, new in zip(self.arrays[value].names, like.names, strict=True):
            if old != new:
                value = self.do(Rename(old, new), value)
        return value

    def spread_like(self, value: int, like: Array) -> int:
        """The array, the same for every index of the axes of `like` that it lacks."""
        for axis in like.axes:
            if axis.name not in self.arrays[value].names:
                value = self.do(Spread(axis), value)
        return self.ordered(value, like.names)

    def times(self, one: int, other: int) -> int:
        return self.do(Elementwise("mul", 2), one, other)

    def pull(self, step: Step, gradient: int) -> list[tuple[int, int]]:
        """(input, its gradient) for each input of a step that one flows to."""
        leaf, inputs = step.leaf, step.inputs
        source = self.arrays[inputs[0]]
        match leaf:
            case Contract():
                return [(at, self._pull_contract(step, number, gradient)) for number, at in enumerate(inputs)]
            case Map():
                target = tuple(axis.name for axis in leaf.target)
                back = Map(target, tuple(source.axis(name) for name in leaf.source), leaf.matrix, leaf.axes, leaf.batch)
                return [(inputs[0], self.ordered(self.do(back, gradient, weight=step.weight), source.names))]
            case Elementwise():
                return self._pull_elementwise(leaf, inputs, step.output, gradient)
            case Reduce():
                return [(inputs[0], self._pull_reduce(leaf, inputs[0], step.output, gradient))]
            case Embed():
                return []
            case Cat():
                return self._pull_cat(leaf, inputs, gradient)
            case Mask():
                return [(inputs[0], gradient)]  # where it is infinite the softmax's own gradient is zero
            case Scatter():
                return [(inputs[1], self.do(Embed(leaf.vocab.size, source.axes[-1], Weight("")), inputs[0]))]
            case _:
                return [(inputs[0], self.ordered(self.do(self._transposed(leaf, source), gradient), source.names))]

    def _transposed(self, leaf: Leaf, source: Array) -> Leaf:
        """The transpose of an operation that only moves numbers."""
        match leaf:
            case Bias():
                return Order(source.names)
            case Spread():
                return Reduce("sum", (leaf.axis.name,))
            case Split():
                return Merge(tuple(axis.name for axis in leaf.into), leaf.axis)
            case Merge():
                return Split(leaf.into, tuple(source.axis(name) for name in leaf.axes))
            case Rename():
                return Rename(leaf.new, leaf.old)
            case Order():
                return Order(source.names)
            case Window():
                size = source.axis(leaf.axis).size
                return Fold(leaf.axis, leaf.tap, leaf.stride, leaf.dilation, leaf.padding, size)
            case Fold():
                width = source.axis(leaf.tap).size
                return Window(leaf.axis, leaf.tap, width, leaf.stride, leaf.dilation, leaf.padding, exact=False)
            case Index():
                after = source.names.index(leaf.axis) + 1
                before = source.names[after] if after < len(source.names) else None
                return Insert(source.axis(leaf.axis), leaf.start, leaf.stop, before)
            case Insert():
                return Index(leaf.axis.name, leaf.start, leaf.stop)
            case _:
                raise DiagramError(f"{title(leaf)}: its derivative is not known")

    def _pull_contract(self, step: Step, number: int, gradient: int) -> int:
        """The other operands with the gradient in the place of the result; an axis that only this one has is spread."""
        others = [at for place, at in enumerate(step.inputs) if place != number]
        wanted = self.arrays[step.inputs[number]]
        there = {name for at in (gradient, *others) for name in self.arrays[at].names}
        names = tuple(name for name in wanted.names if name in there)
        if others or self.arrays[gradient].names != names:
            gradient = self.contract([gradient, *others], names)
        return self.spread_like(gradient, wanted)

    def _pull_elementwise(
        self, leaf: Elementwise, inputs: tuple[int, ...], output: int, gradient: int
    ) -> list[tuple[int, int]]:
        match leaf.function:
            case "add":
                return [(at, gradient) for at in inputs]
            case "sub":
                return [(inputs[0], gradient), (inputs[1], self.do(Elementwise("scale", 1, -1.0), gradient))]
            case "mul":
                return [(inputs[0], self.times(gradient, inputs[1])), (inputs[1], self.times(gradient, inputs[0]))]
            case "div":
                first = self.do(Elementwise("div", 2), gradient, inputs[1])
                second = self.do(Elementwise("scale", 1, -1.0), self.times(first, output))
                return [(inputs[0], first), (inputs[1], second)]
            case "scale":
                return [(inputs[0], self.do(leaf, gradient))]
            case "shift":
                return [(inputs[0], gradient)]
            case _:
                slope = FUNCTIONS[leaf.function].slope
                if slope is None:
                    raise DiagramError(f"{leaf.function}: its derivative is not known")
                return [(inputs[0], self.times(gradient, self.do(Elementwise(slope), inputs[0])))]

    def _pull_reduce(self, leaf: Reduce, value: int, output: int, gradient: int) -> int:
        source = self.arrays[value]
        match leaf.function:
            case "softmax":  # y (g - sum y g)
                inner = self.do(Reduce("sum", leaf.over), self.times(gradient, output))
                centred = self.do(Elementwise("sub", 2), gradient, self.spread_like(inner, source))
                return self.times(output, centred)
            case "normalise":  # (g - mean g - y mean(y g)) / std
                share = self.do(Reduce("mean", leaf.over), self.times(gradient, output))
                along = self.times(output, self.spread_like(share, source))
                level = self.spread_like(self.do(Reduce("mean", leaf.over), gradient), source)
                left = self.do(Elementwise("sub", 2), self.do(Elementwise("sub", 2), gradient, level), along)
                rstd = self.do(Reduce("rstd", leaf.over, leaf.eps), value)
                return self.times(left, self.spread_like(rstd, source))
            case "rms":  # (g - y mean(y g)) / rms
                share = self.do(Reduce("mean", leaf.over), self.times(gradient, output))
                left = self.do(Elementwise("sub", 2), gradient, self.times(output, self.spread_like(share, source)))
                rrms = self.do(Reduce("rrms", leaf.over, leaf.eps), value)
                return self.times(left, self.spread_like(rrms, source))
            case "max":  # in equal parts to all that are largest, as torch's amax
                largest = self.do(Elementwise("equal", 2), value, self.spread_like(output, source))
                count = self.do(Reduce("sum", leaf.over), largest)
                share = self.do(Elementwise("div", 2), gradient, count)
                return self.times(largest, self.spread_like(share, source))
            case "mean":
                size = 1
                for name in leaf.over:
                    size = size * source.axis(name).size
                return self.do(Elementwise("scale", 1, 1 / size), self.spread_like(gradient, source))
            case "sum":
                return self.spread_like(gradient, source)
            case _:
                raise DiagramError(f"{leaf.function}: its derivative is not known")

    def _pull_cat(self, leaf: Cat, inputs: tuple[int, ...], gradient: int) -> list[tuple[int, int]]:
        start, parts = 0, list[tuple[int, int]]()
        for at in inputs:
            size = self.arrays[at].axis(leaf.axis).size
            if not isinstance(size, int):
                raise DiagramError(f"cat {leaf.axis}: its derivative needs the sizes; {size} is open")
            parts.append((at, self.do(Index(leaf.axis, start, start + size), gradient)))
            start += size
        return parts

    def pull_weight(self, step: Step, gradient: int) -> int:
        """The gradient of a step's weight, with the weight's axes."""
        leaf, value = step.leaf, step.inputs[0]
        match leaf:
            case Map():
                return self.contract([gradient, value], leaf.axes)
            case Bias():
                rest = tuple(name for name in self.arrays[gradient].names if name not in leaf.axes)
                summed = self.do(Reduce("sum", rest), gradient) if rest else gradient
                return self.ordered(summed, leaf.axes)
            case Embed():
                return self.do(Scatter(Axis("vocab", leaf.vocab)), value, gradient)
            case _:
                raise DiagramError(f"{title(leaf)}: has no weight to learn")

"""`compile_torch` and `run_numpy`: a program as numbers. Axes are found by name, so nothing is aligned by accident.

The two share little arithmetic: torch's einsum, softmax, activations and index_add against numpy's and the formulas.
"""

from __future__ import annotations

import math
import string
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from wheatstone.bench.errors import UserError
from wheatstone.domains.diagrams.functions import FUNCTIONS
from wheatstone.domains.diagrams.leaves import title
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
    Term,
    Window,
)
from wheatstone.domains.diagrams.types import Array, DiagramError, Obj

if TYPE_CHECKING:
    from wheatstone.domains.diagrams.program import Parameter, Program

Numbers = Any


class Network(nn.Module):
    """A program as a torch module: its learned weights are parameters, its fixed ones buffers."""

    def __init__(self, program: Program, init: torch.Generator | None = None, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.program = program
        generator = init or torch.Generator().manual_seed(0)
        for name, one in program.weights.items():
            shape = one.array.shape()
            if one.weight.kind == "ones":
                self.register_buffer(slot(name), torch.ones(shape, dtype=dtype))
                continue
            fan = max(1, math.prod(shape[1:]))
            value = torch.randn(shape, generator=generator, dtype=torch.float64) / math.sqrt(fan)
            value = value.to(dtype or torch.get_default_dtype())
            if one.weight.kind == "learned":
                self.register_parameter(slot(name), nn.Parameter(value))
            else:
                self.register_buffer(slot(name), value)

    def value_of(self, name: str) -> Tensor:
        """The weight of that name, with the diagram's axes."""
        return cast(Tensor, getattr(self, slot(name)))

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> Network:
        """Takes every weight from a state dictionary, in its owner's layout.

        Raises UserError for a weight that is absent or of another shape.
        """
        for name, one in self.program.weights.items():
            if one.weight.kind == "ones":
                continue
            if one.weight.name not in state:
                there = ", ".join(list(state)[:6])
                raise UserError(f"weight '{one.weight.name}' is not in the state, which has {there} ...")
            self.value_of(name).copy_(as_drawn(one, state[one.weight.name]))
        return self

    def gradients(self) -> dict[str, Tensor]:
        """Gradients of the learned weights by name, with the diagram's axes; zeros where nothing arrived."""
        found = {name: self.value_of(name) for name in self.program.learned}
        return {name: torch.zeros_like(one) if one.grad is None else one.grad for name, one in found.items()}

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """One tensor when the program has one output, else a tuple. Shapes are the domain's."""
        weights = {name: self.value_of(name) for name in self.program.weights}
        outputs = execute(self.program, TORCH, inputs, weights)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


def compile_torch(
    term: Term, domain: Obj, sizes: Mapping[str, int] | None = None, dtype: torch.dtype | None = None, seed: int = 0
) -> Network:
    """The term as a torch module with random weights. Raises DiagramError when it has no type or a size is unknown."""
    from wheatstone.domains.diagrams.program import check

    return Network(check(term, domain, sizes), torch.Generator().manual_seed(seed), dtype)


def run_numpy(program: Program, inputs: Sequence[np.ndarray], weights: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The program's outputs by numpy; `weights` by name with the diagram's axes."""
    return execute(program, NUMPY, inputs, weights)


def slot(name: str) -> str:
    """The attribute that holds a weight: a module's attributes may hold no dot."""
    return name.replace(".", "/")


def as_drawn(one: Parameter, stored: Tensor) -> Tensor:
    """A weight from its owner's layout ('(h k) m') with the axes of the diagram."""
    weight = one.weight
    value = stored if weight.rows is None else stored[weight.rows[0] : weight.rows[1]]
    names = one.array.names
    shape = one.array.shape()
    if weight.stored:
        sizes = dict(zip(names, shape, strict=True))
        value = rearrange(value, f"{weight.stored} -> {' '.join(names)}", **sizes)
    if tuple(value.shape) != shape:
        raise UserError(f"weight '{weight.name}' is stored as {tuple(value.shape)}; the diagram has {one.array}")
    return value


def execute(
    program: Program, library: Library, inputs: Sequence[Numbers], weights: Mapping[str, Numbers]
) -> list[Numbers]:
    """The program's outputs; an array is let go when nothing reads it any more.

    Raises UserError for inputs of other shapes than the domain's.
    """
    if len(inputs) != len(program.inputs):
        raise UserError(f"the diagram takes {len(program.inputs)} arrays, is given {len(inputs)}")
    for number, (array, value) in enumerate(zip(program.domain, inputs, strict=True), start=1):
        if tuple(value.shape) != array.shape():
            raise UserError(f"input {number} has shape {tuple(value.shape)}; the diagram takes '{array}'")
    left = program.uses()
    values: dict[int, Numbers] = dict(zip(program.inputs, inputs, strict=True))
    for step in program.steps:
        given = [values[at] for at in step.inputs]
        types = [program.arrays[at] for at in step.inputs]
        weight = None if step.weight is None else weights[step.weight]
        values[step.output] = library.apply(step.leaf, given, types, program.arrays[step.output], weight)
        for at in step.inputs:
            left[at] -= 1
            if not left[at]:
                values.pop(at, None)
    return [values[at] for at in program.outputs]


def equation(leaf: Leaf, types: Sequence[Array], target: Array) -> str:
    """The einsum of a `Contract` or a `Map` in single letters."""
    names = [array.names for array in types]
    if isinstance(leaf, Map):
        names.append(leaf.axes)
    letters: dict[str, str] = {}
    for name in (name for one in (*names, target.names) for name in one):
        if name not in letters:
            letters[name] = string.ascii_letters[len(letters)]
    return (
        ",".join("".join(letters[n] for n in one) for one in names) + "->" + "".join(letters[n] for n in target.names)
    )


class Library(ABC):
    """The operations of a program by one array library."""

    lib: Any

    def apply(self, leaf: Leaf, given: list[Numbers], types: list[Array], target: Array, weight: Numbers) -> Numbers:
        """What `leaf` makes of arrays of these types."""
        x, names = given[0], types[0].names
        match leaf:
            case Contract():
                return self.lib.einsum(equation(leaf, types, target), *given)
            case Map():
                return self.lib.einsum(equation(leaf, types, target), x, weight)
            case Elementwise():
                return self.elementwise(leaf, given)
            case Bias():
                return x + self.beside(weight, leaf.axes, names)
            case Embed():
                return weight[x]
            case Reduce():
                return self.reduce(leaf, x, tuple(names.index(name) for name in leaf.over))
            case Spread():
                at = target.names.index(leaf.axis.name)
                return self.lib.broadcast_to(x.reshape((*x.shape[:at], 1, *x.shape[at:])), target.shape())
            case Split() | Merge():
                return x.reshape(target.shape())
            case Rename():
                return x
            case Order():
                return self.order(x, tuple(names.index(name) for name in leaf.axes))
            case Window():
                return self.window(leaf, x, names.index(leaf.axis), target)
            case Fold():
                return self.fold(leaf, x, names, target)
            case Index():
                part = slice(leaf.start, leaf.stop) if leaf.stop is not None else leaf.start
                return x[(slice(None),) * names.index(leaf.axis) + (part,)]
            case Insert():
                at = target.names.index(leaf.axis.name)
                part = slice(leaf.start, leaf.stop) if leaf.stop is not None else leaf.start
                return self.insert(x, target.shape(), (slice(None),) * at + (part,))
            case Cat():
                return self.cat(given, names.index(leaf.axis))
            case Mask():
                return self.mask(x, names.index(leaf.query), names.index(leaf.key))
            case Scatter():
                return self.scatter(given[0], given[1], target.shape())
            case _:
                raise DiagramError(f"{title(leaf)}: only its type is known, so it cannot be computed")

    def elementwise(self, leaf: Elementwise, given: list[Numbers]) -> Numbers:
        """A function of numbers by its formula."""
        return FUNCTIONS[leaf.function].compute(self.lib, constant(leaf), *given)

    def beside(self, weight: Numbers, axes: Sequence[str], names: Sequence[str]) -> Numbers:
        """A weight with these axes, shaped to stand beside an array of `names`."""
        order = sorted(range(len(axes)), key=lambda at: names.index(axes[at]))
        placed = self.order(weight, tuple(order))
        sizes = iter(placed.shape)
        return placed.reshape(tuple(next(sizes) if name in axes else 1 for name in names))

    @abstractmethod
    def order(self, x: Numbers, axes: tuple[int, ...]) -> Numbers:
        """The array with its axes in this order."""

    @abstractmethod
    def reduce(self, leaf: Reduce, x: Numbers, axes: tuple[int, ...]) -> Numbers:
        """The leaf's reduction over some axes."""

    @abstractmethod
    def window(self, leaf: Window, x: Numbers, at: int, target: Array) -> Numbers:
        """Axis `at` seen through a sliding window."""

    @abstractmethod
    def fold(self, leaf: Fold, x: Numbers, names: Sequence[str], target: Array) -> Numbers:
        """Windows added up where they overlap."""

    @abstractmethod
    def insert(self, x: Numbers, shape: tuple[int, ...], where: Any) -> Numbers:
        """The values at one place of zeros of that shape."""

    @abstractmethod
    def cat(self, given: list[Numbers], at: int) -> Numbers:
        """The arrays one after another along an axis."""

    @abstractmethod
    def mask(self, x: Numbers, query: int, key: int) -> Numbers:
        """Minus infinity where a key comes after its query."""

    @abstractmethod
    def scatter(self, index: Numbers, rows: Numbers, shape: tuple[int, ...]) -> Numbers:
        """Rows added up at their indices, in zeros of that shape."""


def constant(leaf: Elementwise) -> float | None:
    """The number of 'scale' and 'shift'. Raises DiagramError when it is still an expression."""
    if leaf.value is None:
        return None
    try:
        return float(cast(Any, leaf.value))
    except TypeError:
        raise DiagramError(f"{leaf.function}: {leaf.value} is no number yet; give its sizes") from None


def taps(count: int, width: int, stride: int, dilation: int) -> np.ndarray:
    """Places [count, width] that the windows of a padded axis cover."""
    return np.arange(count)[:, None] * stride + np.arange(width)[None, :] * dilation


class Torch(Library):
    lib = torch
    own: Mapping[str, Callable[[Tensor], Tensor]] = {
        "relu": torch.relu,
        "gelu": F.gelu,
        "gelu_tanh": partial(F.gelu, approximate="tanh"),
        "silu": F.silu,
        "sigmoid": torch.sigmoid,
    }
    """Functions that torch has: they keep less for the backward pass than their formulas would."""

    def elementwise(self, leaf: Elementwise, given: list[Tensor]) -> Tensor:
        if leaf.function in self.own:
            return self.own[leaf.function](given[0])
        return super().elementwise(leaf, given)

    def order(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        return x.permute(axes)

    def reduce(self, leaf: Reduce, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        match leaf.function:
            case "softmax" if len(axes) == 1:
                return x.softmax(axes[0])
            case "softmax":
                powers = (x - x.amax(axes, keepdim=True).detach()).exp()
                return powers / powers.sum(axes, keepdim=True)
            case "normalise":
                centred = x - x.mean(axes, keepdim=True)
                return centred * torch.rsqrt(centred.square().mean(axes, keepdim=True) + leaf.eps)
            case "rstd":
                return torch.rsqrt(x.var(axes, unbiased=False) + leaf.eps)
            case "rms":
                return x * torch.rsqrt(x.square().mean(axes, keepdim=True) + leaf.eps)
            case "rrms":
                return torch.rsqrt(x.square().mean(axes) + leaf.eps)
            case "max":
                return x.amax(axes)
            case "mean":
                return x.mean(axes)
            case _:
                return x.sum(axes)

    def window(self, leaf: Window, x: Tensor, at: int, target: Array) -> Tensor:
        count, width = target.axis(leaf.axis).size, target.axis(leaf.tap).size
        places = torch.from_numpy(taps(int(cast(int, count)), int(cast(int, width)), leaf.stride, leaf.dilation))
        if leaf.padding:
            ends = [0, 0] * (x.ndim - 1 - at) + [leaf.padding, leaf.padding]
            x = F.pad(x, ends, value=leaf.fill)
        return x.index_select(at, places.flatten().to(x.device)).unflatten(at, tuple(places.shape))

    def fold(self, leaf: Fold, x: Tensor, names: Sequence[str], target: Array) -> Tensor:
        at, tap = names.index(leaf.axis), names.index(leaf.tap)
        x = x.movedim(tap, at + 1 if tap > at else at)
        at = at if tap > at else at - 1
        count, width = x.shape[at], x.shape[at + 1]
        places = torch.from_numpy(taps(count, width, leaf.stride, leaf.dilation)).flatten()
        size = int(cast(int, target.axis(leaf.axis).size))
        room = max(size + 2 * leaf.padding, int(places.max()) + 1)
        flat = x.flatten(at, at + 1)
        made = flat.new_zeros((*flat.shape[:at], room, *flat.shape[at + 1 :]))
        return made.index_add(at, places.to(x.device), flat).narrow(at, leaf.padding, size)

    def insert(self, x: Tensor, shape: tuple[int, ...], where: Any) -> Tensor:
        made = x.new_zeros(shape)
        made[where] = x
        return made

    def cat(self, given: list[Tensor], at: int) -> Tensor:
        return torch.cat(given, at)

    def mask(self, x: Tensor, query: int, key: int) -> Tensor:
        ahead = torch.ones(x.shape[query], x.shape[key], dtype=torch.bool, device=x.device).triu(1)
        shape = [1] * x.ndim
        shape[query], shape[key] = x.shape[query], x.shape[key]
        return x.masked_fill((ahead if query < key else ahead.T).reshape(shape), -torch.inf)

    def scatter(self, index: Tensor, rows: Tensor, shape: tuple[int, ...]) -> Tensor:
        return rows.new_zeros(shape).index_add(0, index.flatten(), rows.reshape(-1, shape[-1]))


class Numpy(Library):
    lib = np

    def order(self, x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
        return np.transpose(x, axes)

    def reduce(self, leaf: Reduce, x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
        match leaf.function:
            case "softmax":
                powers = np.exp(x - x.max(axes, keepdims=True))
                return powers / powers.sum(axes, keepdims=True)
            case "normalise":
                return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + leaf.eps)
            case "rstd":
                return 1 / np.sqrt(x.var(axes) + leaf.eps)
            case "rms":
                return x / np.sqrt(np.square(x).mean(axes, keepdims=True) + leaf.eps)
            case "rrms":
                return 1 / np.sqrt(np.square(x).mean(axes) + leaf.eps)
            case "max":
                return x.max(axes)
            case "mean":
                return x.mean(axes)
            case _:
                return x.sum(axes)

    def window(self, leaf: Window, x: np.ndarray, at: int, target: Array) -> np.ndarray:
        count, width = target.axis(leaf.axis).size, target.axis(leaf.tap).size
        ends = [(0, 0)] * x.ndim
        ends[at] = (leaf.padding, leaf.padding)
        places = taps(int(cast(int, count)), int(cast(int, width)), leaf.stride, leaf.dilation)
        return np.take(np.pad(x, ends, constant_values=leaf.fill), places, axis=at)

    def fold(self, leaf: Fold, x: np.ndarray, names: Sequence[str], target: Array) -> np.ndarray:
        size = int(cast(int, target.axis(leaf.axis).size))
        moved = np.moveaxis(x, (names.index(leaf.axis), names.index(leaf.tap)), (0, 1))
        places = taps(moved.shape[0], moved.shape[1], leaf.stride, leaf.dilation)
        made = np.zeros((max(size + 2 * leaf.padding, int(places.max()) + 1), *moved.shape[2:]), x.dtype)
        np.add.at(made, places, moved)
        return np.moveaxis(made[leaf.padding : leaf.padding + size], 0, target.names.index(leaf.axis))

    def insert(self, x: np.ndarray, shape: tuple[int, ...], where: Any) -> np.ndarray:
        made = np.zeros(shape, x.dtype)
        made[where] = x
        return made

    def cat(self, given: list[np.ndarray], at: int) -> np.ndarray:
        return np.concatenate(given, at)

    def mask(self, x: np.ndarray, query: int, key: int) -> np.ndarray:
        places = np.indices(x.shape)
        return np.where(places[key] > places[query], -np.inf, x)

    def scatter(self, index: np.ndarray, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        made = np.zeros(shape, rows.dtype)
        np.add.at(made, index.ravel(), rows.reshape(-1, shape[-1]))
        return made


TORCH, NUMPY = Torch(), Numpy()

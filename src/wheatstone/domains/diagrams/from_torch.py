"""`from_torch`: a torch module as a program, by tracing it with torch.fx on an example input.

Layers and functions that are known here become their diagrams, with the weights' own names, so the compiled diagram
loads the module's state and computes the same. Anything else becomes an opaque box with the type of its result, and is
named in `Traced.opaque`: it is drawn, and cannot be computed. Shapes are those of the example.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from wheatstone.bench.errors import UserError
from wheatstone.domains.diagrams import layers
from wheatstone.domains.diagrams.program import Elaboration, Program, Scope
from wheatstone.domains.diagrams.terms import (
    Bias,
    Cat,
    Contract,
    Elementwise,
    Index,
    Merge,
    Opaque,
    Order,
    Reduce,
    Rename,
    Split,
    Spread,
    Term,
    Weight,
)
from wheatstone.domains.diagrams.types import Array, Axis, DiagramError

NAMES = {1: "m", 2: "n m", 3: "n t m", 4: "n c y x", 5: "n c z y x"}
"""Axes of an input by its rank; whole numbers of rank 2 are 'n t'."""
ELEMENTWISE: dict[object, str] = {
    F.relu: "relu",
    torch.relu: "relu",
    "relu": "relu",
    torch.sigmoid: "sigmoid",
    "sigmoid": "sigmoid",
    torch.tanh: "tanh",
    "tanh": "tanh",
    F.silu: "silu",
    torch.exp: "exp",
    "exp": "exp",
}
ARITHMETIC: dict[object, str] = {
    operator.add: "add",
    torch.add: "add",
    operator.iadd: "add",
    operator.sub: "sub",
    torch.sub: "sub",
    operator.mul: "mul",
    torch.mul: "mul",
    operator.truediv: "div",
    torch.div: "div",
}


@dataclass(frozen=True)
class Traced:
    """A module as a program."""

    program: Program
    opaque: tuple[str, ...]
    """What is not known here, as 'path: operation'."""


def from_torch(module: nn.Module, *inputs: Tensor) -> Traced:
    """The module, at rest (`eval`), on inputs of these shapes.

    Raises UserError when torch cannot trace it (control flow that depends on values) or run it on the inputs.
    """
    was_training = module.training
    module.eval()
    doing = "run"
    try:
        with torch.no_grad():
            module(*inputs)
            doing = "traced"
            traced = fx.symbolic_trace(module)
            _Shapes(traced).run(*inputs)
    except Exception as fault:
        # Anything may be raised by a user's own code; what matters is that it was theirs, on this input.
        reason = str(fault).strip().split("\n")[0][:300]
        shapes = ", ".join(str(tuple(one.shape)) for one in inputs)
        text = (
            f"{type(module).__name__}: cannot be {doing} on inputs of shape {shapes}: {type(fault).__name__}: {reason}"
        )
        raise UserError(text) from None
    finally:
        module.train(was_training)
    return _Converter(module, traced).program(inputs)


class _Shapes(fx.Interpreter):
    """Runs a graph and notes the tensor of each node."""

    def run_node(self, n: fx.Node) -> Any:
        made = super().run_node(n)
        if isinstance(made, Tensor):
            n.meta["tensor_meta"] = made
        return made


class _Converter:
    def __init__(self, module: nn.Module, traced: fx.GraphModule) -> None:
        self.module = module
        self.graph = traced.graph
        self.build = Elaboration({}, unroll=True)
        self.values: dict[fx.Node, int] = {}
        self.opaque: list[str] = []
        self.counts: dict[str, int] = {}
        self.scopes: dict[tuple[str, ...], Scope] = {}

    def program(self, inputs: Sequence[Tensor]) -> Traced:
        given = iter(inputs)
        starts: list[int] = []
        ends: tuple[int, ...] = ()
        for node in self.graph.nodes:
            self.build.scope = self._scope(node)
            if node.op == "placeholder":
                tensor = next(given, None)
                if tensor is None:
                    continue
                self.values[node] = self.build.new(self._input(tensor))
                starts.append(self.values[node])
            elif node.op == "output":
                ends = tuple(self.values[one] for one in _nodes(node.args) if one in self.values)
            elif node.op == "call_module":
                self._call(node, self._of_module(node), str(node.target))
            elif node.op in ("call_function", "call_method"):
                self._call(node, self._of_function(node), _title(node))
        made = self.build
        if not ends:
            raise UserError(f"{type(self.module).__name__}: returns no tensor, so there is nothing to draw")
        program = Program(tuple(made.arrays), tuple(starts), tuple(made.steps), ends, made.weights)
        return Traced(program, tuple(self.opaque))

    def _input(self, tensor: Tensor) -> Array:
        if tensor.ndim not in NAMES:
            raise UserError(f"inputs of rank 1 to 5 are drawn, this one has shape {tuple(tensor.shape)}")
        is_whole = not tensor.is_floating_point()
        names = ("n t" if is_whole and tensor.ndim == 2 else NAMES[tensor.ndim]).split()
        axes = tuple(Axis(self.fresh(name), size) for name, size in zip(names, tensor.shape, strict=True))
        return Array(axes, "int" if is_whole else "float")

    def fresh(self, kind: str) -> str:
        """A name that no axis has had: 'm', 'm1', 'm2'."""
        kind = kind.rstrip("0123456789")
        count = self.counts.get(kind, 0)
        self.counts[kind] = count + 1
        return f"{kind}{count}" if count else kind

    def _scope(self, node: fx.Node) -> tuple[Scope, ...]:
        """The modules around a node, outermost first; a leaf module is no fence around itself."""
        stack = cast("dict[str, Any]", node.meta.get("nn_module_stack") or {})
        paths = [path for path in stack if path and not (node.op == "call_module" and path == node.target)]
        made: list[Scope] = []
        for depth in range(len(paths)):
            key = tuple(paths[: depth + 1])
            if key not in self.scopes:
                part = self.module.get_submodule(paths[depth])
                name = paths[depth].split(".")[-1]
                kind = type(part).__name__
                shown = kind if name.isdigit() else f"{name} ({kind})"
                self.scopes[key] = Scope(shown, len(self.scopes) + 1)
            made.append(self.scopes[key])
        return tuple(made)

    def _call(self, node: fx.Node, make: Callable[[], int] | None, name: str) -> None:
        arrays, steps = len(self.build.arrays), len(self.build.steps)
        try:
            if make is not None:
                self.values[node] = make()
                self._check_shape(node)
                return
        except (DiagramError, KeyError, ValueError, IndexError, TypeError):
            pass  # a form of a known operation that is not known here: what was begun is taken back
        del self.build.arrays[arrays:], self.build.steps[steps:]
        self.values.pop(node, None)
        self._opaque(node, name)

    def _check_shape(self, node: fx.Node) -> None:
        meta = node.meta.get("tensor_meta")
        if meta is not None and hasattr(meta, "shape"):
            found = self.build.arrays[self.values[node]].shape()
            if tuple(meta.shape) != found:
                raise ValueError(f"{node.name} has shape {tuple(meta.shape)}, not {found}")

    def _opaque(self, node: fx.Node, name: str) -> None:
        """A box with the type that the example showed; nothing where there is no tensor to show."""
        meta = node.meta.get("tensor_meta")
        inputs = tuple(
            self.values[one] for one in dict.fromkeys(_nodes((node.args, node.kwargs))) if one in self.values
        )
        if meta is None or not hasattr(meta, "shape") or not inputs:
            return
        first = self.build.arrays[inputs[0]]
        axes: list[Axis] = []
        for place, size in enumerate(meta.shape):
            same = place < len(first.axes) and first.axes[place].size == size
            axes.append(first.axes[place] if same else Axis(self.fresh("o"), int(size)))
        kind = "float" if meta.dtype.is_floating_point else "int"
        leaf = Opaque(name, (Array(tuple(axes), kind),), len(inputs))
        self.values[node] = self.build.leaf(leaf, inputs)
        self.opaque.append(f"{node.name}: {name}")

    # Modules

    def _of_module(self, node: fx.Node) -> Callable[[], int] | None:
        part = self.module.get_submodule(str(node.target))
        given = [self.values[one] for one in node.args if isinstance(one, fx.Node)]
        if not given:
            return None
        if isinstance(part, nn.Dropout | nn.Identity):
            return lambda: given[0]
        if isinstance(part, nn.Flatten):
            return lambda: self._reshaped(given[0], _shape(node))

        def make() -> int:
            arrays = [self.build.arrays[at] for at in given]
            term = layers.of_module(part, str(node.target), arrays, self.fresh)
            return self._run(term, *given)

        return make

    def _run(self, term: Term, *inputs: int) -> int:
        return self.build.run(term, inputs)[0]

    # Functions

    def _of_function(self, node: fx.Node) -> Callable[[], int] | None:
        target = node.target
        args = node.args
        first = self.values.get(args[0]) if args and isinstance(args[0], fx.Node) else None
        if first is None and target not in ARITHMETIC and target is not torch.cat:
            return None
        at = cast(int, first)
        if target in ELEMENTWISE:
            return lambda: self._run(Elementwise(ELEMENTWISE[target]), at)
        if target is F.gelu:
            name = "gelu_tanh" if node.kwargs.get("approximate") == "tanh" else "gelu"
            return lambda: self._run(Elementwise(name), at)
        if target in ARITHMETIC:
            return lambda: self._arithmetic(ARITHMETIC[target], args)
        if target in (torch.matmul, operator.matmul, torch.bmm, "matmul"):
            return lambda: self._matmul(at, self.values[cast(fx.Node, args[1])])
        if target in (torch.cat,):
            return lambda: self._cat(node)
        if target in (torch.flatten, "flatten", "view", "reshape", torch.reshape, "unflatten"):
            return lambda: self._reshaped(at, _shape(node))
        if target in (torch.permute, "permute", "transpose", torch.transpose):
            return lambda: self._permuted(node, at)
        if target in ("contiguous", "clone", F.dropout):
            return lambda: at
        if target in (F.softmax, torch.softmax, "softmax", torch.mean, "mean", torch.sum, "sum", torch.amax, "amax"):
            return lambda: self._reduced(node, at)
        if target is F.scaled_dot_product_attention:
            return lambda: self._attention(node)
        if target in (F.adaptive_avg_pool2d, F.adaptive_avg_pool1d) and args[1] in (1, (1,), (1, 1)):
            return lambda: self._run(layers.whole_mean(self._array(at), self.fresh), at)
        if target in (F.max_pool2d, F.max_pool1d):
            return lambda: self._run(layers.pool("max", self._array(at), node.args, dict(node.kwargs), self.fresh), at)
        if target is operator.getitem:
            return lambda: self._item(at, args[1])
        return None

    def _array(self, at: int) -> Array:
        return self.build.arrays[at]

    def _arithmetic(self, function: str, args: Sequence[Any]) -> int:
        one, other = args[0], args[1]
        if not isinstance(other, fx.Node):
            number = float(other)
            change = {"add": ("shift", number), "sub": ("shift", -number), "mul": ("scale", number)}
            kind, value = change[function] if function != "div" else ("scale", 1 / number)
            return self._run(Elementwise(kind, 1, value), self.values[one])
        if not isinstance(one, fx.Node):
            number = float(one)
            if function == "sub":
                turned = self._run(Elementwise("scale", 1, -1.0), self.values[other])
                return self._run(Elementwise("shift", 1, number), turned)
            kinds = {"add": "shift", "mul": "scale"}
            return self._run(Elementwise(kinds[function], 1, number), self.values[other])
        if function == "add":
            for weight, data in ((one, other), (other, one)):
                if weight.op == "get_attr":
                    return self._added_weight(weight, self.values[data])
        first, second = self.values[one], self.values[other]
        if len(self._array(first).axes) < len(self._array(second).axes):
            return self._run(Elementwise(function, 2), self._like(first, self._array(second)), second)
        return self._run(Elementwise(function, 2), first, self._like(second, self._array(first)))

    def _added_weight(self, node: fx.Node, data: int) -> int:
        """A parameter of the module that is added: its trailing axes are those of the data, and none has size 1."""
        path = str(node.target)
        owner, _, name = path.rpartition(".")
        value = cast(Tensor, getattr(self.module.get_submodule(owner), name))
        array = self._array(data)
        shape = tuple(value.shape)
        lead = 0
        while shape[lead:] and shape[lead] == 1 and lead < len(shape) - 1:
            lead += 1
        names = array.names[len(array.names) - (len(shape) - lead) :]
        if array.shape()[len(array.names) - len(names) :] != shape[lead:]:
            raise ValueError(f"{path} is broadcast in another way")
        stored = " ".join(["1"] * lead + list(names)) if lead else ""
        kind = "learned" if isinstance(value, nn.Parameter) else "fixed"
        return self._run(Bias(names, Weight(path, kind, stored)), data)

    def _like(self, at: int, like: Array) -> int:
        """The array with the axes of `like`: names of its own axes taken from there, missing ones spread."""
        missing = len(like.axes) - len(self._array(at).axes)
        for own, wanted in zip(self._array(at).axes, like.axes[missing:], strict=True):
            if own.size == wanted.size:
                if own.name != wanted.name:
                    at = self._run(Rename(own.name, wanted.name), at)
            elif own.size == 1:
                at = self._run(Index(own.name, 0), at)
            else:
                raise ValueError(f"{own} is not {wanted}")
        for axis in like.axes:
            if axis.name not in self._array(at).names:
                at = self._run(Spread(axis), at)
        return at if self._array(at).names == like.names else self._run(Order(like.names), at)

    def _matmul(self, one: int, other: int) -> int:
        left, right = self._array(one), self._array(other)
        batch = left.axes[:-2]
        if len(right.axes) != len(left.axes) or len(left.axes) < 2:
            raise ValueError("a product of arrays of different rank")
        wanted = (*batch, left.axes[-1])
        for own, axis in zip(right.axes[:-1], wanted, strict=True):
            if own.name != axis.name:
                if axis.name in self._array(other).names:
                    taken = self.fresh(axis.name)
                    other = self._run(Rename(axis.name, taken), other)
                name = own.name if own.name in self._array(other).names else self._array(other).names[len(batch)]
                other = self._run(Rename(name, axis.name), other)
        last = self._array(other).axes[-1]
        if last.name in left.names:
            other = self._run(Rename(last.name, self.fresh(last.name)), other)
        right = self._array(other)
        target = (*left.names[:-1], right.names[-1])
        return self._run(Contract((left.names, right.names), target), one, other)

    def _attention(self, node: fx.Node) -> int:
        """softmax(q k / sqrt(d)) v of three arrays [... position feature]; causal where it says so."""
        q, k, v = (self.values[cast(fx.Node, one)] for one in node.args[:3])
        if len(node.args) > 3 or set(node.kwargs) - {"is_causal", "attn_mask"} or node.kwargs.get("attn_mask"):
            raise ValueError("attention with a mask of its own")
        query = self._array(q)
        batch, position, feature = query.names[:-2], query.names[-2], query.names[-1]
        key = self.fresh("x")
        k = self._renamed(k, (*batch, key, feature))
        value = feature if self._array(v).axes[-1].size == query.axes[-1].size else self.fresh(feature)
        v = self._renamed(v, (*batch, key, value))
        term = layers.attend(
            batch, position, key, feature, value, query.axes[-1].size, bool(node.kwargs.get("is_causal"))
        )
        return self.build.run(term, (q, k, v))[0]

    def _renamed(self, at: int, names: Sequence[str]) -> int:
        """The array with these names, axis by axis, by way of new ones where two would meet."""
        for place, name in enumerate(names):
            if self._array(at).names[place] != name and name in self._array(at).names:
                at = self._run(Rename(name, self.fresh(name)), at)
        for place, name in enumerate(names):
            own = self._array(at).names[place]
            at = at if own == name else self._run(Rename(own, name), at)
        return at

    def _cat(self, node: fx.Node) -> int:
        parts = [self.values[one] for one in cast("Sequence[fx.Node]", node.args[0])]
        dim = cast(int, node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0))
        first = self._array(parts[0])
        axis = first.names[dim]
        aligned = [parts[0], *(self._renamed(at, first.names) for at in parts[1:])]
        made = self._run(Cat(axis, len(aligned)), *aligned)
        return self._run(Rename(axis, self.fresh(axis)), made)

    def _permuted(self, node: fx.Node, at: int) -> int:
        names = list(self._array(at).names)
        given = [one for one in _flat(node.args[1:]) if isinstance(one, int)]
        if "transpose" in _title(node):
            one, other = given
            names[one], names[other] = names[other], names[one]
            return self._run(Order(tuple(names)), at)
        return self._run(Order(tuple(names[place] for place in given)), at)

    def _reduced(self, node: fx.Node, at: int) -> int:
        function = {"amax": "max"}.get(_title(node), _title(node))
        dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        if dims is None:
            raise ValueError("over all axes")
        names = self._array(at).names
        over = tuple(names[cast(int, dim)] for dim in (dims if isinstance(dims, list | tuple) else [dims]))
        made = self._run(Reduce(function, over), at)
        if node.kwargs.get("keepdim"):
            for name in over:
                after = names[names.index(name) + 1 :]
                before = next((one for one in after if one in self._array(made).names), None)
                made = self._run(Spread(Axis(self.fresh("one"), 1), before), made)
        return made

    def _item(self, at: int, item: Any) -> int:
        """x[:, 0], x[0]: whole numbers and whole slices."""
        for name, part in zip(self._array(at).names, item if isinstance(item, tuple) else (item,), strict=False):
            if isinstance(part, int):
                size = cast(int, self._array(at).axis(name).size)
                at = self._run(Index(name, part % size), at)
            elif part != slice(None):
                raise ValueError("a part of an axis")
        return at

    def _reshaped(self, at: int, shape: Sequence[int]) -> int:
        """Neighbouring axes merged and split, by running through both shapes until the products agree."""
        old, new = list(self._array(at).axes), [int(size) for size in shape]
        while old or new:
            taken, made = [old.pop(0)] if old else [], [new.pop(0)] if new else []
            left, right = _product(axis.size for axis in taken), _product(made)
            while left != right:
                if left < right:
                    taken.append(old.pop(0))
                    left *= cast(int, taken[-1].size)
                else:
                    made.append(new.pop(0))
                    right *= made[-1]
            at = self._regrouped(at, taken, made)
        return at

    def _regrouped(self, at: int, taken: Sequence[Axis], made: Sequence[int]) -> int:
        if [axis.size for axis in taken] == list(made):
            return at
        if not taken:
            return self._run(Spread(Axis(self.fresh("one"), 1)), at)
        name = taken[0].name
        if len(taken) > 1:
            name = self.fresh(taken[-1].name)
            at = self._run(Merge(tuple(axis.name for axis in taken), name), at)
        if len(made) == 1:
            return at
        return self._run(Split(name, tuple(Axis(self.fresh("p"), size) for size in made)), at)


def _product(sizes: Any) -> int:
    total = 1
    for size in sizes:
        total *= int(size)
    return total


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(int(size) for size in node.meta["tensor_meta"].shape)


def _title(node: fx.Node) -> str:
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))


def _flat(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return [one for part in cast("Sequence[Any]", value) for one in _flat(part)]
    return [value]


def _nodes(value: Any) -> list[fx.Node]:
    if isinstance(value, dict):
        return _nodes(list(cast("dict[str, Any]", value).values()))
    return [one for one in _flat(value) if isinstance(one, fx.Node)] if not isinstance(value, fx.Node) else [value]

"""`source`: a term as a readable torch module, whose sections follow the fenced blocks.

Every contraction names its axes (einops' einsum), so the code says what the diagram says. Arrays are called by what
made them, and each line ends with their type. The file needs torch and einops alone; it loads the state of a compiled
diagram.
"""

from __future__ import annotations

import itertools
import keyword
import re
from collections.abc import Sequence

from wheatstone.domains.diagrams.functions import FUNCTIONS
from wheatstone.domains.diagrams.leaves import title
from wheatstone.domains.diagrams.network import constant, slot
from wheatstone.domains.diagrams.program import Program, Scope, Step, check
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
    Split,
    Spread,
    Term,
    Window,
)
from wheatstone.domains.diagrams.types import Array, DiagramError, Obj, Size

HEAD = '''"""{name}: generated from a neural circuit diagram.

{domain}
"""

import torch
import torch.nn.functional as F
from einops import einsum, rearrange, repeat
from torch import nn


def parameter(*shape):
    return nn.Parameter(torch.randn(shape) / max(1, torch.Size(shape[1:]).numel()) ** 0.5)


def windows(x, dim, width, stride=1, dilation=1, padding=0, fill=0.0):
    """Windows of an axis: `dim` counts them, the axis after it holds the places in one."""
    if padding:
        x = F.pad(x, [0, 0] * (x.ndim - 1 - dim) + [padding, padding], value=fill)
    count = (x.shape[dim] - dilation * (width - 1) - 1) // stride + 1
    at = torch.arange(count)[:, None] * stride + torch.arange(width) * dilation
    return x.index_select(dim, at.flatten()).unflatten(dim, (count, width))


def fold(x, dim, tap, size, stride=1, dilation=1, padding=0):
    """The transpose of `windows`: places that overlap are added."""
    x = x.movedim(tap, -1).movedim(dim if dim < tap else dim - 1, -2)
    count, width = x.shape[-2:]
    at = torch.arange(count)[:, None] * stride + torch.arange(width) * dilation
    room = max(size + 2 * padding, int(at.max()) + 1)
    out = x.new_zeros(*x.shape[:-2], room).index_add(-1, at.flatten(), x.flatten(-2))
    return out.narrow(-1, padding, size).movedim(-1, dim if dim < tap else dim - 1)
'''


def source(term: Term, domain: Obj, sizes: dict[str, Size] | None = None, name: str = "Diagram") -> str:
    """The text of a Python file with the module `name`; its state dictionary is that of the compiled diagram.

    Raises DiagramError when the term has no type, a size is open, or an operation cannot be computed.
    """
    program = check(term, domain, sizes)
    if not re.fullmatch(r"[A-Za-z_]\w*", name) or keyword.iskeyword(name):
        raise DiagramError(f"'{name}' is no name of a class")
    return _Writer(program, name).text()


class _Writer:
    def __init__(self, program: Program, name: str) -> None:
        self.program = program
        self.name = name
        self.lines: list[str] = []

    def text(self) -> str:
        program = self.program
        names = dict[int, str]()
        for number, at in enumerate(program.inputs):
            names[at] = f"x{number + 1}" if len(program.inputs) > 1 else "x"
        self._steps(program.steps, 0, names, "        ")
        arguments = ", ".join(names[at] for at in program.inputs)
        given = ", ".join(names[at] for at in program.outputs)
        types = ", ".join(map(str, program.domain)), ", ".join(map(str, program.codomain))
        body = [
            HEAD.format(name=self.name, domain=f"({types[0]}) -> ({types[1]})"),
            "",
            f"class {self.name}(nn.Module):",
            "    def __init__(self):",
            "        super().__init__()",
            *(f"        {line}" for line in self._weights()),
            "",
            "    def weight(self, name):",
            '        return getattr(self, name.replace(".", "/"))',
            "",
            f"    def forward(self, {arguments}):",
            *self.lines,
            f"        return {given}",
            "",
        ]
        return "\n".join(body)

    def _weights(self) -> list[str]:
        lines: list[str] = []
        for name, one in self.program.weights.items():
            shape = ", ".join(map(str, one.array.shape()))
            if one.weight.kind == "learned":
                lines.append(f"self.register_parameter({slot(name)!r}, parameter({shape}))  # {one.array}")
            else:
                made = f"torch.ones({shape})" if one.weight.kind == "ones" else f"torch.zeros({shape})"
                lines.append(f"self.register_buffer({slot(name)!r}, {made})  # {one.array}")
        return lines or ["pass"]

    def _steps(self, steps: Sequence[Step], depth: int, names: dict[int, str], indent: str) -> None:
        runs = itertools.groupby(steps, key=lambda step: step.scope[depth] if len(step.scope) > depth else None)
        for scope, run in runs:
            inside = tuple(run)
            if scope is not None:
                self._fence(scope, depth, indent)
                self._steps(inside, depth + 1, names, indent)
                continue
            for step in inside:
                made = _variable(step, names)
                code = self._code(step, [names[at] for at in step.inputs])
                names[step.output] = made
                self.lines.append(f"{indent}{made} = {code}  # {self.program.arrays[step.output]}")

    def _fence(self, scope: Scope, depth: int, indent: str) -> None:
        self.lines.append(f"{indent}# {'-' * (2 * depth + 2)} {' '.join(scope.name.split())}")

    def _code(self, step: Step, given: list[str]) -> str:
        types = [self.program.arrays[at] for at in step.inputs]
        target = self.program.arrays[step.output]
        weight = f"self.weight({step.weight!r})" if step.weight is not None else ""
        return expression(step.leaf, given, types, target, weight)


def expression(leaf: Leaf, given: Sequence[str], types: Sequence[Array], target: Array, weight: str) -> str:
    """One operation as torch code. Raises DiagramError for one that has none."""
    x, names = given[0], types[0].names
    words = " ".join
    match leaf:
        case Contract():
            pattern = ", ".join(words(array.names) for array in types)
            return f'einsum({", ".join(given)}, "{_safe(pattern)} -> {_safe(words(target.names))}")'
        case Map():
            pattern = f"{_safe(words(names))}, {_safe(words(leaf.axes))} -> {_safe(words(target.names))}"
            return f'einsum({x}, {weight}, "{pattern}")'
        case Elementwise():
            code = FUNCTIONS[leaf.function].source
            if not code:
                raise DiagramError(f"{leaf.function}: has no short form in torch")
            return code.format(*given, value=repr(constant(leaf)))
        case Bias():
            order = sorted(leaf.axes, key=names.index)
            ones = words(name if name in order else "1" for name in names)
            return f'{x} + rearrange({weight}, "{_safe(words(leaf.axes))} -> {_safe(ones)}")'
        case Embed():
            return f"F.embedding({x}, {weight})"
        case Reduce():
            return _reduction(leaf, x, tuple(names.index(name) for name in leaf.over))
        case Spread():
            pattern = f"{_safe(words(names))} -> {_safe(words(target.names))}"
            return f'repeat({x}, "{pattern}", {_safe(leaf.axis.name)}={leaf.axis.size})'
        case Split():
            sizes = ", ".join(f"{axis.name}={axis.size}" for axis in leaf.into)
            parts = words(f"({words(axis.name for axis in leaf.into)})" if n == leaf.axis else n for n in names)
            return f'rearrange({x}, "{_safe(parts)} -> {_safe(words(target.names))}", {_safe(sizes)})'
        case Merge():
            made = words(f"({words(leaf.axes)})" if n == leaf.into else n for n in target.names)
            return f'rearrange({x}, "{_safe(words(names))} -> {_safe(made)}")'
        case Rename():
            return x
        case Order():
            return f'rearrange({x}, "{_safe(words(names))} -> {_safe(words(target.names))}")'
        case Window():
            at = names.index(leaf.axis)
            return (
                f"windows({x}, {at}, {leaf.width}, {leaf.stride}, {leaf.dilation}, {leaf.padding}, {_float(leaf.fill)})"
            )
        case Fold():
            at, tap, size = names.index(leaf.axis), names.index(leaf.tap), target.axis(leaf.axis).size
            return f"fold({x}, {at}, {tap}, {size}, {leaf.stride}, {leaf.dilation}, {leaf.padding})"
        case Index():
            part = f"{leaf.start}" if leaf.stop is None else f"{leaf.start}:{leaf.stop}"
            return f"{x}[{', '.join([*[':'] * names.index(leaf.axis), part])}]"
        case Cat():
            return f"torch.cat(({', '.join(given)}), {names.index(leaf.axis)})"
        case Mask():
            query, key = names.index(leaf.query), names.index(leaf.key)
            shape = [1] * len(names)
            for at in (query, key):
                shape[at] = int(str(types[0].axes[at].size))
            turned = "" if query < key else ".T"
            ones = f"torch.ones({shape[query]}, {shape[key]}, dtype=torch.bool).triu(1){turned}"
            return f"{x}.masked_fill({ones}.reshape({shape}).to({x}.device), -torch.inf)"
        case Insert():
            part = f"{leaf.start}" if leaf.stop is None else f"{leaf.start}:{leaf.stop}"
            raise DiagramError(f"insert at {part}: has no short form in torch")
        case _:
            raise DiagramError(f"{title(leaf)}: only its type is known, so there is no code for it")


def _reduction(leaf: Reduce, x: str, dims: tuple[int, ...]) -> str:
    dim = str(dims[0]) if len(dims) == 1 else str(dims)
    match leaf.function:
        case "softmax":
            if len(dims) > 1:
                return f"({x} - {x}.logsumexp({dim}, keepdim=True)).exp()"
            return f"{x}.softmax({dim})"
        case "normalise":
            centred = f"({x} - {x}.mean({dim}, keepdim=True))"
            return f"{centred} * torch.rsqrt({x}.var({dim}, unbiased=False, keepdim=True) + {leaf.eps!r})"
        case "rstd":
            return f"torch.rsqrt({x}.var({dim}, unbiased=False) + {leaf.eps!r})"
        case "rms":
            return f"{x} * torch.rsqrt({x}.square().mean({dim}, keepdim=True) + {leaf.eps!r})"
        case "rrms":
            return f"torch.rsqrt({x}.square().mean({dim}) + {leaf.eps!r})"
        case "max":
            return f"{x}.amax({dim})"
        case _:
            return f"{x}.{leaf.function}({dim})"


def _variable(step: Step, names: dict[int, str]) -> str:
    """A name for what a step makes: by its weight or its operation, numbered where that is taken."""
    leaf = step.leaf
    if step.weight is not None:
        parts = [part for part in step.weight.split(".") if part not in ("weight", "bias") and not part.isdigit()]
        base = parts[-1] if parts else "made"
    else:
        base = leaf.function if isinstance(leaf, Elementwise | Reduce) else type(leaf).__name__.lower()
    base = re.sub(r"\W", "", base) or "made"
    base = f"{base}_" if keyword.iskeyword(base) or base in RESERVED or base[0].isdigit() else base
    taken = set(names.values())
    numbered = (f"{base}{number}" for number in itertools.count(2))
    return next(name for name in itertools.chain((base,), numbered) if name not in taken)


RESERVED = {"torch", "nn", "F", "einsum", "rearrange", "repeat", "self", "windows", "fold", "parameter", "x", "max"}


def _safe(pattern: str) -> str:
    """einops takes letters, digits and underscores: a prime becomes '_p'."""
    return pattern.replace("'", "_p")


def _float(value: float) -> str:
    return f'float("{value}")' if value in (float("inf"), float("-inf")) else repr(value)

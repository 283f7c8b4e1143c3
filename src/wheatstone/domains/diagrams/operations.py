"""The operations of the textual notation: what each takes, and the term that it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from wheatstone.domains.diagrams.functions import FUNCTIONS
from wheatstone.domains.diagrams.leaves import DROPS, KEEPS
from wheatstone.domains.diagrams.lexing import Token
from wheatstone.domains.diagrams.terms import (
    Bias,
    Cat,
    Contract,
    Elementwise,
    Embed,
    Fold,
    Index,
    Map,
    Mask,
    Merge,
    Order,
    Reduce,
    Rename,
    Route,
    Seq,
    Split,
    Spread,
    Term,
    Weight,
    Window,
    identity,
)
from wheatstone.domains.diagrams.types import NAME, Axis, Place, refuse, size_of, symbol


@dataclass
class Call:
    """An operation as it is written: its axes, patterns, constants."""

    word: Token
    axes: tuple[str, ...] = ()
    values: list[Any] = field(default_factory=list[Any])
    """Texts (patterns) as str, sizes as numbers or expressions."""
    options: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def at(self) -> Place:
        return self.word.at

    def pattern(self, form: str) -> tuple[str, str]:
        """The two sides of the one pattern, as in `form`."""
        if not self.values or not isinstance(self.values[0], str) or self.values[0].count("->") != 1:
            refuse(self.at, f'{self.word.text}: takes a pattern, as {self.word.text}("{form}")')
        left, _, right = self.values[0].partition("->")
        for name in (*left.replace(",", " ").split(), *right.split()):
            if not NAME.fullmatch(name):
                refuse(self.at, f"{self.word.text}: '{name}' is no name of an axis")
        return left, right

    def named(self) -> tuple[str, ...]:
        """The axes in brackets, at least one."""
        if not self.axes:
            refuse(self.at, f"{self.word.text}: takes axes in brackets, as {self.word.text}[x]")
        return self.axes

    def whole(self, name: str, default: int) -> int:
        """An option that is a whole number."""
        value = self.options.get(name, default)
        if not isinstance(value, int) or value < 0:
            refuse(self.at, f"{self.word.text}: {name} is {value}, must be a whole number")
        return value

    def axis(self, name: str) -> Axis:
        """A new axis of the size that the options or its name give."""
        return Axis(name, size_of(self.options.get(name, symbol(name))))


class Names(Protocol):
    """Who names the learned arrays of a diagram."""

    def weight(self, call: Call, kind: str) -> str:
        """The name given with the call, or one of its own."""
        ...


SLOPES = {one.slope for one in FUNCTIONS.values() if one.slope != "exp"} | {"two", "equal"}
"""Functions that only derivatives need."""
Make = Callable[[Call, Names], Term]


def _contract(call: Call, _: Names) -> Term:
    left, right = call.pattern("y k, x k -> y x")
    return Contract(tuple(tuple(part.split()) for part in left.split(",")), tuple(right.split()), at=call.at)


def _linear(call: Call, names: Names) -> Term:
    left, right = call.pattern("m -> h k")
    name = names.weight(call, call.word.text)
    target = tuple(call.axis(axis) for axis in right.split())
    matrix = Map(tuple(left.split()), target, Weight(f"{name}.weight"), at=call.at)
    if call.word.text == "map":
        return matrix
    return Seq((matrix, Bias(tuple(right.split()), Weight(f"{name}.bias"), at=call.at)), rest=True, at=call.at)


def _norm(call: Call, names: Names) -> Term:
    name, axes = names.weight(call, "norm"), call.named()
    gain = Map((), (), Weight(f"{name}.weight"), batch=axes, at=call.at)
    bias = Bias(axes, Weight(f"{name}.bias"), at=call.at)
    return Seq((Reduce("normalise", axes, at=call.at), gain, bias), rest=True, at=call.at)


def _embed(call: Call, names: Names) -> Term:
    left, right = call.pattern("v -> m")
    if len(left.split()) != 1 or len(right.split()) != 1:
        refuse(call.at, 'embed: takes one axis on each side, as embed("v -> m")')
    vocab = call.axis(left.split()[0]).size
    return Embed(vocab, call.axis(right.split()[0]), Weight(f"{names.weight(call, 'embed')}.weight"), at=call.at)


def _function(call: Call, _: Names) -> Term:
    name = call.word.text
    constants = name in ("scale", "shift")
    if constants and (len(call.values) != 1 or isinstance(call.values[0], str)):
        refuse(call.at, f"{name}: takes one number, as {name}(1/sqrt(k))")
    return Elementwise(name, FUNCTIONS[name].inputs, call.values[0] if constants else None, at=call.at)


def _reduce(call: Call, _: Names) -> Term:
    return Reduce(call.word.text, call.named(), at=call.at)


def _split(call: Call, _: Names) -> Term:
    left, right = call.pattern("m -> h k")
    return Split(left.strip(), tuple(call.axis(name) for name in right.split()), at=call.at)


def _merge(call: Call, _: Names) -> Term:
    left, right = call.pattern("h k -> m")
    return Merge(tuple(left.split()), right.strip(), at=call.at)


def _rename(call: Call, _: Names) -> Term:
    left, right = call.pattern("x -> y")
    return Rename(left.strip(), right.strip(), at=call.at)


def _window(call: Call, _: Names) -> Term:
    left, right = call.pattern("x -> x w")
    names = right.split()
    if len(names) != 2 or left.split() != names[:1]:
        refuse(call.at, 'window: keeps the axis and adds the place in a window, as window("x -> x w", w=3)')
    stride, dilation = call.whole("stride", 1), call.whole("dilation", 1)
    if not stride or not dilation:
        refuse(call.at, "window: stride and dilation are at least 1")
    return Window(
        names[0],
        names[1],
        call.axis(names[1]).size,
        stride,
        dilation,
        call.whole("padding", 0),
        exact=not call.options.get("floor", 0),
        at=call.at,
    )


def _fold(call: Call, _: Names) -> Term:
    left, right = call.pattern("x w -> x")
    names = left.split()
    if len(names) != 2 or right.split() != names[:1]:
        refuse(call.at, 'fold: takes the axis and the place in a window, as fold("x w -> x")')
    stride = max(1, call.whole("stride", 1))
    return Fold(names[0], names[1], stride, max(1, call.whole("dilation", 1)), call.whole("padding", 0), at=call.at)


def _index(call: Call, _: Names) -> Term:
    numbers = [value for value in call.values if isinstance(value, int)]
    wanted = 1 if call.word.text == "index" else 2
    if len(numbers) != wanted or len(call.values) != wanted:
        refuse(call.at, f"{call.word.text}: takes {wanted} whole numbers, as index[x](0) or slice[x](0, 5)")
    return Index(call.named()[0], numbers[0], None if wanted == 1 else numbers[1], at=call.at)


def _bias(call: Call, names: Names) -> Term:
    return Bias(call.named(), Weight(names.weight(call, "bias")), at=call.at)


def _gain(call: Call, names: Names) -> Term:
    return Map((), (), Weight(names.weight(call, "gain")), batch=call.named(), at=call.at)


def _mask(call: Call, _: Names) -> Term:
    axes = call.named()
    if len(axes) != 2:
        refuse(call.at, "causal: takes the query's and the key's axis, as causal[y x]")
    return Mask(axes[0], axes[1], at=call.at)


def _route(call: Call, _: Names) -> Term:
    numbers = [value for value in call.values if isinstance(value, int)]
    if len(numbers) != len(call.values) or any(number < 1 for number in numbers):
        refuse(call.at, f"{call.word.text}: takes whole numbers from 1 on")
    match call.word.text:
        case "copy":
            return Route(1, (0,) * (numbers[0] if numbers else 2), at=call.at)
        case "drop":
            return Route(1, (), at=call.at)
        case "swap":
            return Route(2, (1, 0), at=call.at)
        case "permute":
            if sorted(numbers) != list(range(1, len(numbers) + 1)) or not numbers:
                refuse(call.at, f"permute: {numbers} is no order of the members 1 to {len(numbers)}")
            return Route(len(numbers), tuple(number - 1 for number in numbers), at=call.at)
        case _:
            return identity(numbers[0] if numbers else 1)


OPERATIONS: Mapping[str, Make] = {
    "contract": _contract,
    "linear": _linear,
    "map": _linear,
    "bias": _bias,
    "gain": _gain,
    "norm": _norm,
    "embed": _embed,
    **{name: _function for name in FUNCTIONS if name not in SLOPES},
    **dict.fromkeys((*KEEPS, *DROPS), _reduce),
    "split": _split,
    "merge": _merge,
    "rename": _rename,
    "order": lambda call, _: Order(call.named(), at=call.at),
    "window": _window,
    "fold": _fold,
    "index": _index,
    "slice": _index,
    "cat": lambda call, _: Cat(call.named()[0], at=call.at),
    "spread": lambda call, _: Spread(call.axis(call.named()[0]), at=call.at),
    "causal": _mask,
    **dict.fromkeys(("id", "copy", "drop", "swap", "permute"), _route),
}
"""Every operation of the notation."""

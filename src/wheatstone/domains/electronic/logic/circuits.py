"""Circuits by name: published benchmarks where the data folder has them, and generated ones that need no file.

Benchmarks are AIGER files below `aig/abc-rl` (MCNC, ISCAS-85, EPFL; the circuits that ABC-RL uses) and `aig/epfl` (the
EPFL combinational suite, Amarù et al., IWLS 2015). Generated ones come from aigverse's generators, and a few families
of our own: sums of random products as two-level control logic, comparators, parity trees.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from wheatstone.bench.errors import UserError
from wheatstone.bench.extras import need
from wheatstone.domains.data import data_folder
from wheatstone.domains.electronic.logic.aig import Aig, AigBuilder, side_by_side
from wheatstone.domains.electronic.logic.aiger import read_aiger

FOLDERS = ("aig/abc-rl", "aig/epfl")
FAMILIES: dict[str, Callable[[int], Aig]] = {}
NAME = re.compile(r"([a-z_]+?)_?(\d+)")


def benchmark_file(name: str) -> Path | None:
    """The benchmark's file below the data folder, None where there is none."""
    places = (data_folder() / folder / f"{name}.aig" for folder in FOLDERS)
    return next((place for place in places if place.is_file()), None)


def circuit(name: str) -> Aig:
    """A benchmark by its file's name, or a generated circuit as `rca32`: family and size; `a+b` holds both.

    Raises UserError for a name that is neither.
    """
    if "+" in name:
        left, right = name.split("+", 1)
        return side_by_side(circuit(left), circuit(right))
    if place := benchmark_file(name):
        return read_aiger(place)
    found = NAME.fullmatch(name)
    if found is None or found[1] not in FAMILIES:
        raise UserError(
            f"no circuit '{name}': neither a benchmark below {data_folder()} nor one of the families "
            f"{', '.join(FAMILIES)} followed by a size, as rca32."
        )
    return FAMILIES[found[1]](int(found[2]))


def _family(name: str) -> Callable[[Callable[[int], Aig]], Callable[[int], Aig]]:
    def add(make: Callable[[int], Aig]) -> Callable[[int], Aig]:
        FAMILIES[name] = make
        return make

    return add


def _from_aigverse(generator: str, size: int) -> Aig:
    need("aigverse", extra="electronic", to=f"generate circuits ({generator})")
    from aigverse import generators
    from aigverse.io import write_aiger

    with tempfile.TemporaryDirectory(prefix="wheatstone-aig-") as folder:
        place = Path(folder) / "made.aig"
        write_aiger(getattr(generators, generator)(size), str(place))
        return read_aiger(place)


@_family("rca")
def ripple_carry_adder(bits: int) -> Aig:
    """Two numbers of `bits` bits, their bits in turns and low ones first; the sum with its carry."""
    return _from_aigverse("ripple_carry_adder", bits)


@_family("cla")
def carry_lookahead_adder(bits: int) -> Aig:
    """As `rca`, with carries computed in parallel."""
    return _from_aigverse("carry_lookahead_adder", bits)


@_family("mult")
def multiplier(bits: int) -> Aig:
    """The product of two numbers of `bits` bits, their bits in turns."""
    return _from_aigverse("ripple_carry_multiplier", bits)


@_family("popcount")
def population_count(bits: int) -> Aig:
    """How many of `bits` inputs are one."""
    return _from_aigverse("sideways_sum_adder", bits)


@_family("mux")
def multiplexer(bits: int) -> Aig:
    """One of two words."""
    return _from_aigverse("multiplexer", bits)


@_family("dec")
def decoder(bits: int) -> Aig:
    """One output for each value of `bits` inputs."""
    return _from_aigverse("binary_decoder", bits)


@_family("compare")
def comparator(bits: int) -> Aig:
    """Whether the first of two numbers of `bits` bits is the smaller one, and whether both are equal."""
    builder = AigBuilder(2 * bits)
    less, equal = 0, 1
    for bit in range(bits):
        a, b = builder.input(bit), builder.input(bits + bit)
        differ = builder.exclusive(a, b)
        less = builder.disjunction(builder.conjunction(a ^ 1, b), builder.conjunction(differ ^ 1, less))
        equal = builder.conjunction(equal, differ ^ 1)
    return builder.build([less, equal])


@_family("parity")
def parity(bits: int) -> Aig:
    """Exclusive or of all inputs, and of every half, quarter, ...: a tree of XOR gates."""
    builder = AigBuilder(bits)
    layer, outputs = [builder.input(bit) for bit in range(bits)], list[int]()
    while len(layer) > 1:
        pairs = [builder.exclusive(a, b) for a, b in zip(layer[::2], layer[1::2], strict=False)]
        layer = pairs + (layer[-1:] if len(layer) % 2 else [])
        outputs += pairs
    return builder.build(outputs or layer)


@_family("pla")
def random_products(number: int) -> Aig:
    """Control logic: 8 outputs, each the sum of 12 random products of 10 inputs drawn from 36; `number` is the seed."""
    return _products(number, n_inputs=10, n_outputs=8, n_products=36, per_output=12)


@_family("wide_pla")
def wide_random_products(number: int) -> Aig:
    """As `pla` with 24 inputs, 16 outputs and short products."""
    return _products(number, n_inputs=24, n_outputs=16, n_products=60, per_output=8)


def _products(seed: int, n_inputs: int, n_outputs: int, n_products: int, per_output: int) -> Aig:
    rng = np.random.default_rng(seed)
    builder = AigBuilder(n_inputs)
    products = list[int]()
    for _ in range(n_products):
        literal = 1
        for place in rng.choice(n_inputs, size=int(rng.integers(3, 7)), replace=False).tolist():
            literal = builder.conjunction(literal, builder.input(place) ^ int(rng.integers(2)))
        products.append(literal)
    outputs = list[int]()
    for _ in range(n_outputs):
        literal = 0
        for product in rng.choice(n_products, size=per_output, replace=False).tolist():
            literal = builder.disjunction(literal, products[product])
        outputs.append(literal)
    return builder.build(outputs)

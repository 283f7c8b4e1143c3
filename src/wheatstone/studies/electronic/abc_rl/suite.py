"""Which circuits are trained on, which decide d_th and T, and which are tested.

The published sets are those of ABC-RL's code, cut to circuits of at most 1 500 gates. Near test circuits contain, or
are another width of, a training circuit; far ones share nothing with them. Validation has both kinds. A ripple-carry
adder made by a generator is not among them, because every recipe turns it into the same netlist, so that it cannot
tell two methods apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from wheatstone.bench.errors import UserError
from wheatstone.domains.data import data_folder
from wheatstone.domains.electronic.logic.aig import Aig
from wheatstone.domains.electronic.logic.circuits import benchmark_file, circuit

SMALLEST = 10
"""Training circuits below which a suite is a sketch, for trying things."""


class Suite(NamedTuple):
    """Names of circuits."""

    kind: str
    """benchmarks or generated."""
    train: tuple[str, ...]
    validation: tuple[str, ...]
    near: tuple[str, ...]
    far: tuple[str, ...]

    @property
    def test(self) -> tuple[str, ...]:
        return self.near + self.far

    def cut(self, size: int) -> Suite:
        """With so many training circuits, and one circuit of each other kind where there are fewer than ten."""
        if size > len(self.train):
            raise UserError(f"abc-rl --config.size: got {size}; there are {len(self.train)} training circuits.")
        if size >= SMALLEST:
            return self._replace(train=self.train[:size])
        return Suite(self.kind, self.train[:size], self.validation[:1], self.near[:1], self.far[:1])


BENCHMARKS = Suite(
    "benchmarks",
    train=("alu2", "ctrl", "int2float", "m3", "frg1", "c1355", "max512", "i7", "adder", "priority"),
    validation=("router_alu2", "ctrl_apex7", "csela_orig", "c432", "apex7", "term1", "b9", "max128"),
    near=("ctrl_alu2", "int2float_alu2", "cavlc_alu2", "cskipa_orig"),
    far=("router", "cavlc", "i2c", "c880"),
)
PUBLISHED = Suite(
    "published",
    train=(
        "alu2", "apex3", "apex5", "b2", "c1355", "c5315", "c2670", "prom2", "frg1", "i7", "i8", "m3", "max512",
        "table5", "adder", "log2", "multiplier", "max", "ctrl", "int2float", "priority", "arbiter",
    ),
    validation=("router_alu2", "ctrl_apex7", "csela_orig", "c432", "apex7", "term1", "b9", "max128"),
    near=("ctrl_alu2", "int2float_alu2", "cavlc_alu2", "cskipa_orig"),
    far=(
        "alu4", "apex1", "apex2", "apex4", "b9", "c880", "c7552", "i9", "m4", "pair", "max1024", "prom1", "bar", "div",
        "square", "sqrt", "cavlc", "mem_ctrl", "router", "voter",
    ),
)  # fmt: skip
GENERATED = Suite(
    "generated",
    train=("pla1", "mult4", "cla12", "pla2", "compare16", "wide_pla1", "mult5", "parity24", "popcount12", "pla3"),
    validation=("compare12+pla1", "mult4+pla4", "dec3+cla12", "pla4", "popcount15", "wide_pla2", "mult3", "cla10"),
    near=("parity12+pla1", "mult6", "dec4+pla2", "cla16"),
    far=("wide_pla4", "pla5", "compare12+wide_pla5", "popcount20"),
)


def chosen_suite(kind: str, size: int) -> Suite:
    """The suite for a config's `circuits` and `size`. Raises UserError when benchmarks are asked for and absent."""
    if kind == "generated":
        return GENERATED.cut(size)
    wanted = PUBLISHED if kind == "published" else BENCHMARKS
    absent = [name for name in wanted.train + wanted.validation + wanted.test if benchmark_file(name) is None]
    if not absent:
        return wanted.cut(size)
    if kind == "auto":
        return GENERATED.cut(size)
    raise UserError(
        f"{data_folder()}: {len(absent)} benchmark circuits are not in it, as {absent[0]}.aig (aig/abc-rl/*.aig from "
        "the repository NYU-MLDA/ABC-RL, aig/epfl/*.aig from lsils/benchmarks). Name the folder with WHEATSTONE_DATA, "
        "or use --config.circuits generated."
    )


def load_suite(suite: Suite) -> Mapping[str, Aig]:
    """The graphs by name. Raises UserError when a test or validation circuit is, gate by gate, a training circuit."""
    graphs = {name: circuit(name) for name in suite.train + suite.validation + suite.test}
    check_apart(suite, {name: graph.digest() for name, graph in graphs.items()})
    return graphs


def check_apart(suite: Suite, keys: Mapping[str, str]) -> None:
    """Raises UserError when two of training, validation and test share a name or a graph (by its key)."""
    seen: dict[str, str] = {}
    for part, names in (("training", suite.train), ("validation", suite.validation), ("test", suite.test)):
        for name in names:
            for place in {name, keys[name]}:
                other = seen.setdefault(place, part)
                if other != part:
                    raise UserError(f"circuit '{name}' is in the {other} set and in the {part} set.")

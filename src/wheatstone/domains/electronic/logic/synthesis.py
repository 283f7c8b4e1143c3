"""Recipes: sequences of simplification passes on an and-inverter graph, and what the mapped circuit costs.

A step of a recipe is one pass of ABC followed by `strash`, which puts the gates in an order that depends on the graph
alone. That makes a step a function of the graph, so (graph, pass) -> graph can be remembered, and a recipe written as
an ABC script does exactly what was measured. Cost is area and delay after `map; topo; stime` with a timing library.

The passes and the length of ten are those of ABC-RL (Basak Chowdhury et al., ICLR 2024, arXiv:2401.12205).
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from wheatstone.bench.errors import UserError
from wheatstone.domains.electronic.logic.abc import Abc, AbcError
from wheatstone.domains.electronic.logic.aig import Aig
from wheatstone.domains.electronic.logic.aiger import aiger_bytes, parse_aiger, structure_end
from wheatstone.domains.electronic.logic.liberty import Library

ACTIONS = ("refactor", "refactor -z", "rewrite", "rewrite -z", "resub -K 8", "resub -z -K 8", "balance")
"""The seven passes that a recipe is made of."""
LENGTH = 10
"""Passes in a recipe, as many as resyn2 has."""
MAPPING = ("map", "topo", "stime")
STIME = re.compile(r"Area =\s*([\d.]+).*?Delay =\s*([\d.]+) ps")
HELD_BYTES = 64 << 20
"""Graphs that are kept to go on from; older ones are made anew from their root when they are needed."""

RESYN2 = (
    "balance", "rewrite", "refactor", "balance", "rewrite", "rewrite -z", "balance", "refactor -z", "rewrite -z",
    "balance",
)  # fmt: skip
COMPRESS2RS = (
    "balance -l", "resub -K 6 -l", "rewrite -l", "resub -K 6 -N 2 -l", "refactor -l", "resub -K 8 -l", "balance -l",
    "resub -K 8 -N 2 -l", "rewrite -l", "resub -K 10 -l", "rewrite -z -l", "resub -K 10 -N 2 -l", "balance -l",
    "resub -K 12 -l", "refactor -z -l", "resub -K 12 -N 2 -l", "rewrite -z -l", "balance -l",
)  # fmt: skip
SCRIPTS = {"no optimisation": (), "resyn2": RESYN2, "compress2rs": COMPRESS2RS, "dc2": ("dc2",)}
"""Fixed scripts to compare with: ABC's own aliases, without `strash` between the passes."""


class Qor(NamedTuple):
    """What a mapped circuit costs."""

    area: float
    """In the library's unit."""
    delay: float
    """Longest path in ps, gates unsized."""

    @property
    def adp(self) -> float:
        """Area times delay."""
        return self.area * self.delay


class Walked(NamedTuple):
    """What a recipe does to a graph."""

    keys: tuple[str, ...]
    """The graph before each pass and after the last: one more than passes."""
    qor: Qor


class Synthesis:
    """Passes and costs of graphs with one library, through one process of ABC; what was computed is remembered."""

    def __init__(self, abc: Abc, library: Library) -> None:
        self.abc = abc
        self.library = library
        self.cells = library.load(abc)
        self.passes = 0
        """Passes that ABC has run, those of fixed scripts left out."""
        self.evaluations = 0
        """Calls of `evaluate`, whether or not ABC had to do anything."""
        self._after: dict[tuple[str, str], str] = {}
        self._qor: dict[str, Qor] = {}
        self._roots: dict[str, bytes] = {}
        self._held: OrderedDict[str, bytes] = OrderedDict()
        self._held_bytes = 0

    def add(self, aig: Aig) -> str:
        """The key of a graph after `strash`. Raises UserError for a graph without gates or outputs."""
        if not aig.n_outputs or not aig.n_inputs:
            raise UserError(f"a circuit with {aig.n_inputs} inputs and {aig.n_outputs} outputs has nothing to optimise")
        (self.abc.folder / "new.aig").write_bytes(aiger_bytes(aig))
        self.abc.run("read_aiger new.aig", "strash", "write_aiger root.aig")
        data = self._read("root.aig")
        key = _key(data)
        self._roots[key] = data
        return key

    def graph(self, key: str) -> Aig:
        """The graph of a root, or of one that `walk` has just made."""
        data = self._roots.get(key) or self._held[key]
        return parse_aiger(data, Path(key))

    def evaluate(self, root: str, recipe: Sequence[str]) -> Walked:
        """Runs a recipe on a root, as far as it is not known. Raises AbcError."""
        self.evaluations += 1
        return self.walk(root, recipe)

    def walk(self, root: str, recipe: Sequence[str]) -> Walked:
        """As `evaluate`, uncounted."""
        keys = self.steps(root, recipe)
        return Walked(keys, self.qor(keys, recipe))

    def steps(self, root: str, recipe: Sequence[str]) -> tuple[str, ...]:
        """The graphs that a recipe leads through, root and result included, without their cost."""
        keys = [root]
        for action in recipe:
            following = self._after.get((keys[-1], action))
            if following is None:
                break
            keys.append(following)
        if len(keys) <= len(recipe):
            self._extend(keys, recipe)
        return tuple(keys)

    def qor(self, keys: Sequence[str], recipe: Sequence[str] = ()) -> Qor:
        """Area and delay of the last of these graphs, which `recipe` leads to."""
        last = keys[-1]
        if last not in self._qor:
            start = self._nearest(keys)
            commands = [step for action in recipe[start : len(keys) - 1] for step in (action, "strash")]
            (self.abc.folder / "in.aig").write_bytes(self._data(keys[start]))
            said = self.abc.run("read_aiger in.aig", *commands, *MAPPING)
            self._qor[last] = parse_stime(said)
        return self._qor[last]

    def script(self, root: str, commands: Sequence[str]) -> Qor:
        """Area and delay after a fixed script, run as it stands."""
        (self.abc.folder / "in.aig").write_bytes(self._roots[root])
        return parse_stime(self.abc.run("read_aiger in.aig", *commands, "strash", *MAPPING))

    def _extend(self, keys: list[str], recipe: Sequence[str]) -> None:
        """Runs the passes behind the known part of the recipe, and appends their graphs to `keys`."""
        known = len(keys) - 1
        start = self._nearest(keys)
        (self.abc.folder / "in.aig").write_bytes(self._data(keys[start]))
        commands = ["read_aiger in.aig"]
        for number in range(start, len(recipe)):
            commands += [recipe[number], "strash"]
            if number >= known:
                commands.append(f"write_aiger step{number}.aig")
        self.abc.run(*commands)
        self.passes += len(recipe) - start
        for number in range(known, len(recipe)):
            data = self._read(f"step{number}.aig")
            key = _key(data)
            self._after[keys[-1], recipe[number]] = key
            self._hold(key, data)
            keys.append(key)

    def _nearest(self, keys: Sequence[str]) -> int:
        """The last of these graphs that is at hand; the first is a root and always is."""
        return next(place for place in reversed(range(len(keys))) if keys[place] in self._held or place == 0)

    def _data(self, key: str) -> bytes:
        return self._roots[key] if key in self._roots else self._held[key]

    def _hold(self, key: str, data: bytes) -> None:
        if key in self._held:
            self._held.move_to_end(key)
            return
        self._held[key] = data
        self._held_bytes += len(data)
        while self._held_bytes > HELD_BYTES and len(self._held) > 1:
            _, dropped = self._held.popitem(last=False)
            self._held_bytes -= len(dropped)

    def _read(self, name: str) -> bytes:
        """The structure in a file that ABC has just written; what it says about names and dates is left out."""
        data = (self.abc.folder / name).read_bytes()
        return data[: structure_end(data)]


def _key(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def parse_stime(said: str) -> Qor:
    """Area and delay in what `stime` prints. Raises AbcError when they are not there."""
    found = STIME.search(said)
    if found is None:
        raise AbcError(f"ABC: stime printed no area and delay: {said.strip()[-200:]!r}")
    return Qor(float(found[1]), float(found[2]))


def script_text(recipe: Sequence[str], source: str, libraries: Sequence[str], netlist: str) -> str:
    """The recipe as a script for `abc -f`: reads, optimises, maps, reports, writes a netlist."""
    lines = [
        f"read_lib {'-m ' if number else ''}{'-w ' if number < len(libraries) - 1 else ''}{name}"
        for number, name in enumerate(libraries)
    ]
    lines += [f"read {source}", "strash", *(f"{action}; strash" for action in recipe)]
    return "\n".join([*lines, "; ".join(MAPPING), f"write_verilog {netlist}", ""])


def replay(aig: Aig, recipe: Sequence[str], library: Library, binary: Path | None = None) -> Qor:
    """Area and delay of a recipe in a fresh process that has seen nothing else: what a reported result must equal."""
    with Abc(binary) as abc:
        library.load(abc)
        (abc.folder / "in.aig").write_bytes(aiger_bytes(aig))
        steps = [step for action in recipe for step in (action, "strash")]
        return parse_stime(abc.run("read_aiger in.aig", "strash", *steps, *MAPPING))

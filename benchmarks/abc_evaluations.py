"""Recipes evaluated through one ABC process that stays, beside one process a recipe and beside aigverse's wrapper.

Same binary of ABC, same random ten-pass recipes, same circuit. An evaluation is a recipe, mapping and timing; aigverse
returns a graph and no cost, so it is compared with our graph alone. Costs and graphs are compared before
anything is timed. Nothing is remembered between our recipes unless the case says so.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from aigverse.abc import run_script
from aigverse.io import read_aiger_into_aig
from aigverse.io import write_aiger as write_with_aigverse

from benchmarks.side_by_side import Benchmark, Options, Part, alternate, timed
from wheatstone.cli.benchmarks import Comparison
from wheatstone.domains.electronic.logic.abc import COLOUR, Abc, find_abc
from wheatstone.domains.electronic.logic.aig import Aig
from wheatstone.domains.electronic.logic.aiger import read_aiger, write_aiger
from wheatstone.domains.electronic.logic.circuits import circuit
from wheatstone.domains.electronic.logic.liberty import default_library
from wheatstone.domains.electronic.logic.synthesis import ACTIONS, LENGTH, MAPPING, Qor, Synthesis, parse_stime

CIRCUITS = ("mult6", "pla1", "cla16+wide_pla1")
RECIPES = 12


@dataclass(frozen=True)
class EvaluationOptions(Options):
    """Nothing of its own."""


def with_strash(recipe: list[str]) -> list[str]:
    """What a recipe is to ABC."""
    return [step for action in recipe for step in (action, "strash")]


class OneProcessEach:
    """`abc -q script` for every recipe, which reads library and circuit anew."""

    def __init__(self, folder: Path, aig: Aig) -> None:
        self.folder, self.binary = folder, find_abc()
        write_aiger(folder / "in.aig", aig)
        (folder / "cells.lib").write_bytes(default_library().texts[0])

    def __call__(self, recipe: list[str]) -> Qor:
        script = "; ".join(["read_lib cells.lib", "read_aiger in.aig", "strash", *with_strash(recipe), *MAPPING])
        done = subprocess.run([self.binary, "-q", script], cwd=self.folder, capture_output=True, text=True, check=True)
        return parse_stime(COLOUR.sub("", done.stdout))


def measure(options: EvaluationOptions, threads: int, part: Part) -> None:
    """Each circuit: evaluations beside processes, graphs beside the wrapper, and a search that repeats prefixes."""
    rng = np.random.default_rng(0)
    rounds, count = (1, 2) if options.quick else (5, RECIPES)
    with tempfile.TemporaryDirectory() as name, Abc() as abc:
        folder = Path(name)
        for label in CIRCUITS[:1] if options.quick else CIRCUITS:
            # aigverse orders the gates of what it reads in its own way, and passes depend on the order.
            write_aiger(folder / "in.aig", circuit(label))
            theirs = read_aiger_into_aig(str(folder / "in.aig"))
            write_with_aigverse(theirs, str(folder / "theirs.aig"))
            aig = read_aiger(folder / "theirs.aig")
            recipes = [[ACTIONS[a] for a in rng.integers(len(ACTIONS), size=LENGTH)] for _ in range(count)]
            apart = OneProcessEach(folder, aig)

            def ours(aig: Aig = aig, recipes: list[list[str]] = recipes) -> list[Qor]:
                fresh = Synthesis(abc, default_library())  # remembers nothing
                root = fresh.add(aig)
                return [fresh.evaluate(root, recipe).qor for recipe in recipes]

            wanted = [apart(recipe) for recipe in recipes]
            part.equal(
                f"{label}: area x delay", max(abs(a.adp - b.adp) for a, b in zip(ours(), wanted, strict=True)), 0
            )
            case = f"{label}, {aig.n_gates} gates: a ten-pass recipe, mapped and timed"

            def processes(apart: OneProcessEach = apart, recipes: list[list[str]] = recipes) -> None:
                for recipe in recipes:
                    apart(recipe)

            taken = alternate({"ours": timed(ours, per=1 / count), "apart": timed(processes, per=1 / count)}, rounds)
            part.compared(Comparison(case, "s", taken["ours"], "one process each", taken["apart"], threads))

            wrapped = [run_script(theirs, ["strash", *with_strash(recipe)], binary=apart.binary) for recipe in recipes]
            synthesis = Synthesis(abc, default_library())
            root = synthesis.add(aig)
            keys = [synthesis.steps(root, recipe)[-1] for recipe in recipes]
            gates = [abs(synthesis.graph(k).n_gates - w.num_gates) for k, w in zip(keys, wrapped, strict=True)]
            part.equal(f"{label}: gates after the recipe", max(gates), 0)

            def graphs(aig: Aig = aig, recipes: list[list[str]] = recipes) -> None:
                fresh = Synthesis(abc, default_library())
                root = fresh.add(aig)
                for recipe in recipes:
                    fresh.steps(root, recipe)

            def wrapper(
                theirs: object = theirs, recipes: list[list[str]] = recipes, binary: Path = apart.binary
            ) -> None:
                for recipe in recipes:
                    run_script(theirs, ["strash", *with_strash(recipe)], binary=binary)  # pyright: ignore[reportArgumentType]

            taken = alternate({"ours": timed(graphs, per=1 / count), "wrapper": timed(wrapper, per=1 / count)}, rounds)
            case = f"{label}, {aig.n_gates} gates: a ten-pass recipe, graph only"
            part.compared(Comparison(case, "s", taken["ours"], "aigverse", taken["wrapper"], threads))
    part.notes.append("Each of our measurements reads the library once for its twelve recipes.")


BENCHMARK = Benchmark(
    "abc_evaluations",
    "Evaluating synthesis recipes",
    "Ten-pass recipes through one ABC process that stays, beside one process a recipe, which reads the library again, "
    "and beside aigverse's wrapper, which starts a process a recipe and exchanges files. Same binary, same recipes.",
    EvaluationOptions,
    measure,
)


if __name__ == "__main__":
    sys.exit(BENCHMARK.main())

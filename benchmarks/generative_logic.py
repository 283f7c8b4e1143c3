"""Finding, proving and checking theorems: each step beside the prover E, all checks beside the metamath program.

The lemmas of a step are given to both provers: what its proof cites, the definitions and the induction hypothesis. E is
a process per step, and there is no other way to ask it; its start is measured and shown. A peer that is not installed
is left out (Debian: apt-get install eprover metamath).
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.side_by_side import Benchmark, Options, Part, alternate, timed
from wheatstone.cli.benchmarks import Comparison
from wheatstone.domains.logic import kernel, metamath, tptp
from wheatstone.domains.logic.conjectures import Shape
from wheatstone.domains.logic.explore import Exploration, Plan
from wheatstone.domains.logic.library import Library, sequent_of
from wheatstone.domains.logic.prove import Prover
from wheatstone.domains.logic.theory import load

SECONDS = 5
"""E's time limit for a step."""


def measure(options: Options, threads: int, part: Part) -> None:
    """Explores once, then proves and checks the same theorems again on both sides."""
    theory, plan = ("addition", Plan()) if options.quick else ("peano", Plan(shape=Shape(5, 8, 0), work=2_000_000))
    library = Library(load(theory))
    exploration = Exploration(library, plan)
    started = time.perf_counter()
    list(exploration.run())
    seconds = time.perf_counter() - started
    document = json.loads(json.dumps(library.document()))
    found = kernel.check(document)
    lines = sum(one.lines for one in found.values())
    some = len(library.theorems)
    part.figure(f"{theory}: theorems found", f"{some} in {seconds:.1f} s, {some / seconds:.1f} a second")
    part.figure("the original, as its fourth version reports", "60 theorems, core proving below 60 s on 32 cores")

    again = Reproof(library)
    # From what a proof cites alone, the prover may look elsewhere than it did, and come to its limits.
    names = [name for name in library.theorems if again.prove(name)]
    part.equal("share of theorems not proved again, each from what its proof cites", 1 - len(names) / some, 0.05)
    rounds = 1 if options.quick else 9
    ours = alternate(
        {"check": timed(lambda: kernel.check(document)), "prove": timed(lambda: [again.prove(name) for name in names])},
        rounds,
    )
    case = f"check {len(found)} theorems, {lines} lines"
    part.compared(Comparison(case, "s", ours["check"], f"proving {len(names)} of them again", ours["prove"], threads))
    part.figure("lines checked by the kernel", f"{lines / ours['check'].median:,.0f} a second")
    with tempfile.TemporaryDirectory() as name:
        if metamath.installed():
            beside_metamath(document, len(found), case, Path(name), rounds, threads, part)
        else:
            part.figure("metamath", "not installed")
        if shutil.which("eprover"):
            beside_e(again, names, Path(name), rounds, threads, part)
        else:
            part.figure("E", "not installed")


def beside_metamath(
    document: dict[str, Any], theorems: int, case: str, folder: Path, rounds: int, threads: int, part: Part
) -> None:
    """The same proofs, checked by the metamath program."""
    place = folder / "proofs.mm"
    place.write_text(metamath.export(document), encoding="utf-8")
    part.equal("theorems that metamath verifies", theorems - metamath.verify(place, theorems).verified, 0)
    sides = {
        "ours": timed(lambda: kernel.check(document)),
        "metamath": timed(lambda: metamath.verify(place, theorems)),
    }
    checked = alternate(sides, rounds)
    part.compared(Comparison(case, "s", checked["ours"], "metamath", checked["metamath"], threads))


def beside_e(again: Reproof, names: list[str], folder: Path, rounds: int, threads: int, part: Part) -> None:
    """The steps of the proofs of these theorems, proved by E."""
    problems = [one for one in tptp.problems(again.document) if one.name.split(".")[0] in names]
    places = [folder / f"{problem.name}.p" for problem in problems]
    for problem, place in zip(problems, places, strict=True):
        place.write_text(problem.text, encoding="utf-8")
    proved = [place for place in places if solved(place)]
    part.figure("steps that E proves", f"{len(proved)} of {len(places)} within {SECONDS} s each")
    sides = {
        "ours": timed(lambda: [again.prove(name) for name in names]),
        "E": timed(lambda: [solved(place) for place in proved]),
    }
    found = alternate(sides, min(rounds, 3), warmup=0)
    case = f"prove {len(names)} theorems in {len(places)} steps, each from what its proof cites"
    part.compared(Comparison(case, "s", found["ours"], "E", found["E"], threads))
    empty = folder / "empty.p"
    empty.write_text("fof(goal, conjecture, (a = a)).\n", encoding="utf-8")
    start = alternate({"E": timed(lambda: solved(empty))}, rounds=5)["E"]
    part.figure("start of E, in each step", f"{start.median * 1000:.0f} ms")


def solved(place: Path) -> bool:
    """Whether E proves the problem in a file within its time limit."""
    command = ["eprover", "--auto", "--silent", f"--cpu-limit={SECONDS}", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "# SZS status Theorem" in done.stdout


class Reproof:
    """Theorems proved once more, each from what its proof cites and nothing else."""

    def __init__(self, library: Library) -> None:
        self.items = {item["name"]: item for item in library.items if item["item"] == "theorem"}
        self.library = library
        self.document = json.loads(json.dumps(library.document()))
        self.cites = {name: one.cites for name, one in kernel.check(self.document).items()}

    def prove(self, name: str) -> bool:
        """Whether the prover finds a proof within the limits of an exploration."""
        known = self.library.prover
        prover = Prover(known.definitions, known.induction, dataclasses.replace(known.limits), known.constants)
        for cited in sorted(self.cites[name]):
            prover.know(cited, self.library.sequents[cited])
        return prover.prove(sequent_of(self.items[name])) is not None


BENCHMARK = Benchmark(
    "generative_logic",
    "Finding, proving and checking theorems",
    "Theorems that an exploration has found are proved once more, each from what its proof cites, by our prover (which "
    "finds the induction itself) and by E (which gets base and step as two problems, with the hypothesis as an axiom). "
    "All proofs are checked by our kernel and by the metamath program, which reads a file of its own format.",
    Options,
    measure,
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())

"""Simulating one sizing after the other: libngspice held by a worker process, beside one `ngspice` process for each.

Both get the same decks (a three-stage amplifier in SKY130, another sizing each time) and give the same numbers, which
is checked first. A third side reads all 622 model cards of the library instead of the few that the sizes need, as a
deck does that includes the whole file. PySpice cannot stand beside them: it needs numpy below 2.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from benchmarks.side_by_side import Benchmark, Options, Part, alternate, timed
from wheatstone.bench.errors import UserError
from wheatstone.cli.benchmarks import Comparison
from wheatstone.domains.electronic.analog.engine import Engine, chosen_backend, version
from wheatstone.domains.electronic.analog.jobs import Failure, Waves
from wheatstone.domains.electronic.analog.library import library
from wheatstone.studies.electronic.l2dc.experiment import testbench


def measure(options: Options, threads: int, part: Part) -> None:
    """Checks that all sides agree, then times them in turns."""
    try:
        chosen_backend("library")
        chosen_backend("program")
        bench = testbench("tia3_sky130")
    except UserError as fault:
        part.figure("not measured", str(fault).splitlines()[0])
        return
    count, rounds = (3, 1) if options.quick else (20, 9)
    rng = np.random.default_rng(0)
    sizings = [bench.values(rng.random(len(bench.params))) for _ in range(count)]
    decks = [bench.deck(values) for values in sizings]
    cards = library("sky130").models("tt")
    everything = [line for bins in cards.bins.values() for one in bins for line in one.lines]
    whole = [bench.render(values) + everything for values in sizings]
    analyses = bench.analyses()
    with Engine(backend="library", timeout=60) as ours, Engine(backend="program", timeout=60) as process:

        def all_of(engine: Engine, these: Sequence[Sequence[str]]) -> list[Waves]:
            found = [engine.run(deck, analyses) for deck in these]
            return [one for one in found if not isinstance(one, Failure)]

        first = all_of(ours, decks)
        for name, other in (
            ("numbers of the library and of the program", all_of(process, decks)),
            ("numbers with the needed bins and with all", all_of(ours, whole[:3])),
        ):
            part.equal(f"{name}, relative", _difference(first, other), 1e-9)
        case = f"one sizing: operating point and {len(first[0][1]['frequency'])} frequencies"
        sides = {
            "ours": timed(lambda: all_of(ours, decks), per=1e3 / count),
            "process": timed(lambda: all_of(process, decks), per=1e3 / count),
            "whole": timed(lambda: all_of(ours, whole[:3]), per=1e3 / 3),
        }
        found = alternate(sides, rounds)
        part.compared(
            Comparison(case, "ms", found["ours"], "one ngspice process each, same deck", found["process"], threads)
        )
        part.compared(Comparison(case, "ms", found["ours"], "all model cards, same library", found["whole"], threads))
        part.figure("simulator", version())
        part.figure("simulations per second", f"{1e3 / found['ours'].median:,.0f}")


def _difference(first: Sequence[Waves], other: Sequence[Waves]) -> float:
    """Largest relative difference of any vector; infinite where nothing can be compared."""
    if not other:
        return float("inf")
    largest = 0.0
    for ours, theirs in zip(first, other, strict=False):
        for one, two in zip(ours, theirs, strict=True):
            for name, values in one.items():
                scale = float(np.abs(values).max(initial=0.0)) or 1.0
                largest = max(largest, float(np.abs(values - two[name]).max(initial=0.0)) / scale)
    return largest


BENCHMARK = Benchmark(
    "spice_simulations",
    "Simulating sizings in ngspice",
    "Each sizing of a seven-transistor amplifier is rendered with the model bins that it needs and simulated: "
    "operating point and frequency response, all vectors read back. The library lives in one worker process that "
    "stays; the peers start a process for each sizing, or read every model card of the library.",
    Options,
    measure,
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())

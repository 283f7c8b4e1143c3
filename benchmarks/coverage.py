"""Which unseen inputs some examples cover: products of sparse matrices beside a loop over all pairs of fragments.

Two-hop rows t = f2(f1(x1, x2), x3) over random tables, 2000 tests, evidence k from 1 to 8. Both sides start from the
rows and end with the k-cutoff of every test; they merge as the published code does (connected components), and have to
agree on every cutoff before anything is timed. Ours is also measured with the classes that it uses itself, which keep
contradicting fragments apart.
"""

from __future__ import annotations

import time
from functools import partial
from typing import NamedTuple

import numpy as np

from benchmarks.peers import coverage_double_loop
from benchmarks.side_by_side import Benchmark, Options, Part, alternate, timed
from wheatstone.cli.benchmarks import Comparison
from wheatstone.domains.compositions import SHAPES, compose
from wheatstone.domains.coverage.classes import Ints, Merging, classes
from wheatstone.domains.coverage.graph import coverage

K_MAX = 8
LIMIT = 10.0
"""Seconds that ten thousand rows may take."""
PEER = "double loop over fragments (own re-implementation)"


class Case(NamedTuple):
    """Examples and the inputs that are asked about."""

    rows: Ints
    targets: Ints
    tests: Ints

    @property
    def name(self) -> str:
        return f"{len(self.rows):,} rows over {int(self.rows.max()) + 1} tokens, {len(self.tests):,} tests"

    def ours(self, merging: Merging) -> Ints:
        """[test] cutoffs by sparse products."""
        return coverage(classes(self.rows, self.targets, k_max=K_MAX, merging=merging), self.tests).cutoff

    def theirs(self) -> list[int]:
        """[test] cutoffs by the loop."""
        rows, tests = (list(map(tuple, part.tolist())) for part in (self.rows, self.tests))
        return coverage_double_loop.cutoffs(rows, self.targets.tolist(), tests, K_MAX)


def drawn(n_token: int, n_train: int) -> Case:
    """Random tables, and rows of theirs."""
    made = compose(SHAPES["two_hop"], n_token, np.random.default_rng(n_token))
    order = np.random.default_rng(n_token + 1).permutation(len(made.inputs))
    train, tests = order[:n_train], order[n_train : n_train + min(n_train, 2000)]
    return Case(made.inputs[train], made.targets[train], made.inputs[tests])


def measure(options: Options, threads: int, part: Part) -> None:
    """Equality of all cutoffs first, then both sides in turns."""
    for n_token, n_train in ((8, 150),) if options.quick else ((30, 3000), (50, 10_000)):
        case = drawn(n_token, n_train)
        started = time.perf_counter()
        theirs = np.array(case.theirs())
        seconds = time.perf_counter() - started
        part.equal(f"cutoffs that differ, {case.name}", float((case.ours("chained") != theirs).sum()), 0)
        sides = {
            "ours": timed(partial(case.ours, "chained")),
            "consistent": timed(partial(case.ours, "consistent")),
            "peer": timed(case.theirs),
        }
        found = alternate(sides, 1 if options.quick else 3 if seconds > 20 else 5, warmup=0)
        limit = LIMIT if len(case.rows) >= 10_000 else None
        part.compared(Comparison(case.name, "s", found["ours"], PEER, found["peer"], threads, limit=limit))
        strict = f"{case.name}, no contradictions"
        part.compared(Comparison(strict, "s", found["consistent"], PEER, found["peer"], threads))


BENCHMARK = Benchmark(
    "coverage",
    "Coverage of unseen inputs",
    "K-cutoffs (k = 1 to 8) of unseen two-hop inputs from random training rows, all proper subsets of the columns, one "
    "thread. The peer compares every pair of fragments in Python dictionaries, as the published code does. 'No "
    "contradictions' is what `cover` uses: classes within which no two fragments disagree.",
    Options,
    measure,
)

if __name__ == "__main__":
    raise SystemExit(BENCHMARK.main())

"""Facts and questions per second at the paper's size: 2000 entities, 200 relations, out-degree 20, phi 18.

Ours is what the study calls: random facts, the split with its proof that nothing leaks, and the token tensors with the
probe. The peer is the split alone by membership tests in lists (`peers.list_membership`). Every measurement is a fresh
process, which also reports its peak memory. The peer's time grows with the square of the entities: it is measured at
growing sizes, fitted, and run at the full size when the fit says that it ends within `--budget` seconds.
"""

from __future__ import annotations

import json
import math
import os
import random
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from benchmarks.peers import list_membership
from benchmarks.side_by_side import ROOT, Benchmark, Options, Part, alternate, spread
from wheatstone.cli.benchmarks import Comparison, Curve, Point, Spread
from wheatstone.domains.kg.comparison import comparison_split
from wheatstone.domains.kg.split import composition_split
from wheatstone.domains.kg.synthetic import random_table

PHI, OOD_SHARE, TEST_SHARE, OUT_DEGREE = 18.0, 0.05, 0.005, 20
ENTITIES = 2000
ROUNDS = 3


@dataclass(frozen=True)
class DataOptions(Options):
    """How long the peer may take."""

    budget: float = 240.0
    """Seconds that the peer may need at the full size, by its fit; beyond, the fit stands in for the measurement."""
    side: Literal["", "wheatstone", "lists", "comparison"] = ""
    """Used by the benchmark itself: do this side's work once in this process."""
    entities: int = ENTITIES
    """Used with `side`: how many entities."""


class Made(NamedTuple):
    """One generation in a process of its own."""

    seconds: float
    questions: int
    """One-hop and two-hop, training and tests."""
    peak_mib: float
    """Peak memory beyond what the imports needed."""


def relations(entities: int) -> int:
    """The paper's proportion: 200 relations for 2000 entities, at least the out-degree."""
    return max(OUT_DEGREE, entities // 10)


def work(side: str, entities: int) -> Made:
    """Do one side's work in this process."""
    if side == "wheatstone":
        from wheatstone.domains.tasks import Sampling, composition_task

        before, started = resident_mib(), time.perf_counter()
        table = random_table(entities, relations(entities), OUT_DEGREE, np.random.default_rng(0))
        split = composition_split(table, phi=PHI, ood_share=OOD_SHARE, test_share=TEST_SHARE, seed=0)
        composition_task(split, Sampling(np.random.default_rng(0), 3000, 300))
        seconds = time.perf_counter() - started
        made = len(split.atomic) + len(split.train) + len(split.test_id) + len(split.test_ood)
    elif side == "comparison":
        before, started = resident_mib(), time.perf_counter()
        compared = comparison_split(entities // 2, 20, 20, phi=12.6, seed=0)
        seconds = time.perf_counter() - started
        made = sum(map(len, (compared.atomic_id, compared.atomic_ood)))
        made += sum(map(len, (compared.train, compared.test_id, compared.test_ood)))
    else:
        before, started = resident_mib(), time.perf_counter()
        rng = random.Random(0)
        facts = list_membership.random_facts(entities, relations(entities), OUT_DEGREE, rng)
        ood = rng.sample(facts, round(OOD_SHARE * len(facts)))
        lists = list_membership.split(facts, ood, phi=PHI, test_share=TEST_SHARE, rng=rng)
        seconds = time.perf_counter() - started
        made = len(facts) + len(lists.train) + len(lists.test_id) + len(lists.test_ood)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Made(seconds, made, peak - before)


def resident_mib() -> float:
    """The peak so far: what interpreter and imports needed."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_own_process(side: str, entities: int) -> Made:
    """`work` in a fresh process."""
    words = [sys.executable, "-m", "benchmarks.data_generation", "--side", side, "--entities", str(entities)]
    done = subprocess.run(words, cwd=ROOT, env=os.environ, check=True, capture_output=True, text=True)
    return Made(*json.loads(done.stdout.splitlines()[-1]))


class Fit(NamedTuple):
    """seconds = constant * entities ** power."""

    constant: float
    power: float

    def at(self, entities: int) -> float:
        return self.constant * entities**self.power


def fitted(points: list[tuple[int, float]]) -> Fit:
    """Least squares in logarithms."""
    power, constant = np.polyfit(np.log([x for x, _ in points]), np.log([y for _, y in points]), 1)
    return Fit(math.exp(constant), float(power))


def same_chains() -> int:
    """Chains in which the two splits of one small graph differ: 0 when both divide them alike."""
    table = random_table(60, 30, 8, np.random.default_rng(1))
    split = composition_split(table, phi=None, ood_share=0.1, test_share=0.02, seed=1)
    facts = [tuple(fact) for fact in split.atomic.tolist()]
    ood = [tuple(fact) for fact in split.atomic_ood.tolist()]
    lists = list_membership.split(facts, ood, phi=1e9, test_share=0.02, rng=random.Random(1))
    ours = {tuple(row) for row in np.concatenate([split.train.rows, split.test_id.rows]).tolist()}
    ours_ood = {tuple(row) for row in split.test_ood.rows.tolist()}
    return len(ours ^ {*lists.train, *lists.test_id}) + len(ours_ood ^ set(lists.test_ood))


def measure(options: DataOptions, threads: int, part: Part) -> None:
    """Growing sizes for the peer, the full size for both."""
    part.equal("chains that the two ways of splitting one graph put into different pools", same_chains(), 0)
    full = 200 if options.quick else ENTITIES
    growing = [50, 100] if options.quick else [250, 500, 1000]
    points = [(entities, in_own_process("lists", entities).seconds) for entities in growing]
    law = fitted(points)
    part.figure("time of the list-membership split", f"{law.constant:.3g} s x entities^{law.power:.2f} (fit)")
    measured = law.at(full) <= options.budget
    made: dict[str, list[Made]] = {"wheatstone": [], "lists": []}

    def rate(side: str) -> float:
        found = in_own_process(side, full)
        made[side].append(found)
        return found.questions / found.seconds

    sides = {"wheatstone": lambda: rate("wheatstone")}
    if measured:
        sides["lists"] = lambda: rate("lists")
    found = alternate(sides, 1 if options.quick else ROUNDS, warmup=0)
    ours = made["wheatstone"][0]
    extrapolated = ours.questions / law.at(full)
    peer = found["lists"] if measured else Spread(extrapolated, extrapolated, extrapolated, 1)
    part.compared(
        Comparison(
            f"{full} entities, {relations(full)} relations, out-degree {OUT_DEGREE}, phi {PHI:g}: "
            f"{ours.questions:,} questions",
            "questions/s",
            found["wheatstone"],
            "membership in lists (own re-implementation)",
            peer,
            threads,
            better="higher",
            note="" if measured else "the peer's figure is extrapolated from its fit",
        )
    )
    if measured:
        taken = [one.seconds for one in made["lists"]]
        points.append((full, sorted(taken)[len(taken) // 2]))
        part.compared(
            Comparison(
                f"peak memory beyond imports, {full} entities",
                "MiB",
                spread([one.peak_mib for one in made["wheatstone"]]),
                "membership in lists (own re-implementation)",
                spread([one.peak_mib for one in made["lists"]]),
                threads,
            )
        )
    else:
        part.figure("peak memory beyond imports", f"{ours.peak_mib:.0f} MiB")
    part.curves.append(Curve("Membership in lists", "entities", "seconds", tuple(Point(x, y) for x, y in points)))
    facts = OUT_DEGREE * full / ours.seconds
    part.figure("facts per second, in the same run", f"{facts:,.0f}")
    compared = in_own_process("comparison", full)
    part.figure(
        f"comparison questions ({full // 2} entities, 20 attributes, phi 12.6)",
        f"{compared.questions / compared.seconds:,.0f} questions/s, {compared.peak_mib:.0f} MiB",
    )


BENCHMARK = Benchmark(
    "data_generation",
    "Data generation",
    "The paper's composition data (arXiv:2405.15071, section 3.1): random facts, every two-hop chain split into "
    "training, ID test and OOD test. Ours includes the proof that no test leaks, and the tokens; the peer is the split "
    "alone, by membership tests in lists.",
    DataOptions,
    measure,
)


def main() -> int:
    """The benchmark, or one side of it in a child process."""
    if "--side" not in sys.argv:
        return BENCHMARK.main()
    import tyro

    options = tyro.cli(DataOptions)
    print(json.dumps(work(options.side, options.entities)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

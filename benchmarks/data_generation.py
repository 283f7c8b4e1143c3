"""Facts and questions per second at the paper's size: 2000 entities, 200 relations, out-degree 20, phi 18.

Ours is random facts and the split with its proof that nothing leaks, and once more with all that the study makes of it:
token tensors, baselines and the probe. The peer is facts and split by membership tests in lists
(`peers.list_membership`). Every measurement is a fresh
process, which also reports its peak memory. The peer's time grows with the square of the entities: it is measured at
growing sizes, fitted, and run at the full size when the fit says that it ends within `--budget` seconds.
"""

from __future__ import annotations

import json
import math
import os
import random
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from benchmarks.peers import list_membership
from benchmarks.side_by_side import ROOT, Benchmark, Options, Part, alternate, spread
from wheatstone.cli.benchmarks import Comparison, Curve, Point, Spread
from wheatstone.domains.kg.comparison import comparison_split
from wheatstone.domains.kg.split import CompositionSplit, composition_split
from wheatstone.domains.kg.synthetic import random_table

PHI, OOD_SHARE, TEST_SHARE, OUT_DEGREE = 18.0, 0.05, 0.005, 20
ENTITIES = 2000
ROUNDS = 3
LISTS = "membership in lists (own re-implementation)"


@dataclass(frozen=True)
class DataOptions(Options):
    """How long the peer may take."""

    budget: float = 240.0
    """Seconds that the peer may need at the full size, by its fit; beyond, the fit stands in for the measurement."""
    side: Literal["", "split", "study", "lists", "comparison"] = ""
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
    if side == "study":
        from wheatstone.domains.tasks import Sampling, composition_task

        before, started = memory_mib("VmRSS"), time.perf_counter()
        split = random_split(entities)
        composition_task(split, Sampling(np.random.default_rng(0), 3000, 300))
        seconds, made = time.perf_counter() - started, questions(split)
    elif side == "split":
        before, started = memory_mib("VmRSS"), time.perf_counter()
        split = random_split(entities)
        seconds, made = time.perf_counter() - started, questions(split)
    elif side == "comparison":
        before, started = memory_mib("VmRSS"), time.perf_counter()
        compared = comparison_split(entities // 2, 20, 20, phi=12.6, seed=0)
        seconds = time.perf_counter() - started
        made = sum(map(len, (compared.atomic_id, compared.atomic_ood)))
        made += sum(map(len, (compared.train, compared.test_id, compared.test_ood)))
    else:
        before, started = memory_mib("VmRSS"), time.perf_counter()
        rng = random.Random(0)
        facts = list_membership.random_facts(entities, relations(entities), OUT_DEGREE, rng)
        ood = rng.sample(facts, round(OOD_SHARE * len(facts)))
        lists = list_membership.split(facts, ood, phi=PHI, test_share=TEST_SHARE, rng=rng)
        seconds = time.perf_counter() - started
        made = len(facts) + len(lists.train) + len(lists.test_id) + len(lists.test_ood)
    return Made(seconds, made, memory_mib("VmHWM") - before)


def random_split(entities: int) -> CompositionSplit:
    """Random facts and their split."""
    table = random_table(entities, relations(entities), OUT_DEGREE, np.random.default_rng(0))
    return composition_split(table, phi=PHI, ood_share=OOD_SHARE, test_share=TEST_SHARE, seed=0)


def questions(split: CompositionSplit) -> int:
    """One-hop and two-hop questions of training and tests."""
    return len(split.atomic) + len(split.train) + len(split.test_id) + len(split.test_ood)


def memory_mib(field: Literal["VmRSS", "VmHWM"]) -> float:
    """Resident memory of this process now (VmRSS) or at its peak (VmHWM).

    Not `ru_maxrss`: Linux hands that of the parent down, and ours has torch loaded.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith(field))


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
    """Growing sizes for the peer, the full size for all."""
    part.equal("chains that the two ways of splitting one graph put into different pools", same_chains(), 0)
    full = 200 if options.quick else ENTITIES
    growing = [50, 100] if options.quick else [250, 500, 1000]
    points = [(entities, in_own_process("lists", entities).seconds) for entities in growing]
    law = fitted(points)
    part.figure("time of the list-membership split", f"{law.constant:.3g} s x entities^{law.power:.2f} (fit)")
    made: dict[str, list[Made]] = {"split": [], "study": []}
    if law.at(full) <= options.budget:
        made["lists"] = []

    def rate(side: str) -> float:
        found = in_own_process(side, full)
        made[side].append(found)
        return found.questions / found.seconds

    found = alternate({side: lambda side=side: rate(side) for side in made}, 1 if options.quick else ROUNDS, warmup=0)
    ours = made["split"][0]
    size = f"{full} entities, {relations(full)} relations, out-degree {OUT_DEGREE}, phi {PHI:g}"
    extrapolated = ours.questions / law.at(full)
    peer = found.get("lists", Spread(extrapolated, extrapolated, extrapolated, 1))
    note = "" if "lists" in made else "the peer's figure is extrapolated from its fit"
    for side, what in (
        ("split", f"{size}: {ours.questions:,} questions"),
        ("study", "the same with the study's tokens"),
    ):
        part.compared(Comparison(what, "questions/s", found[side], LISTS, peer, threads, better="higher", note=note))
    if "lists" in made:
        points.append((full, statistics.median(one.seconds for one in made["lists"])))
        ours_memory, lists_memory = (spread([one.peak_mib for one in made[side]]) for side in ("split", "lists"))
        part.compared(
            Comparison(f"peak memory beyond imports, {full} entities", "MiB", ours_memory, LISTS, lists_memory, threads)
        )
    else:
        part.figure("peak memory beyond imports", f"{ours.peak_mib:.0f} MiB")
    part.curves.append(Curve("Membership in lists", "entities", "seconds", tuple(Point(x, y) for x, y in points)))
    part.figure("facts per second, in the same run", f"{OUT_DEGREE * full / ours.seconds:,.0f}")
    compared = in_own_process("comparison", full)
    part.figure(
        f"comparison questions ({full // 2} entities, 20 attributes, phi 12.6)",
        f"{compared.questions / compared.seconds:,.0f} questions/s, {compared.peak_mib:.0f} MiB",
    )


BENCHMARK = Benchmark(
    "data_generation",
    "Data generation",
    "The paper's composition data (arXiv:2405.15071, section 3.1): random facts, every two-hop chain split into "
    "training, ID test and OOD test. Ours includes the proof that no test leaks, and in the second row the tokens, "
    "baselines and probe of the study; the peer is facts and split alone, by membership tests in lists.",
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

"""How long `wheatstone --help` and `wheatstone list` take, beside an interpreter that imports torch and a bare one.

A command line that hesitates is not used: half a second is the limit.
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks.side_by_side import Benchmark, Options, Part, alternate, timed
from wheatstone.cli.benchmarks import Comparison

LIMIT = 0.5
"""Seconds."""
ROUNDS = 9
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
    "wheatstone --help": ["-m", "wheatstone", "--help"],
    "wheatstone list": ["-m", "wheatstone", "list"],
}


def measure(options: Options, threads: int, part: Part) -> None:
    """Fresh processes in turns."""

    def start(words: list[str]) -> None:
        subprocess.run([sys.executable, *words], check=True, capture_output=True)

    sides = {name: timed(lambda words=words: start(words)) for name, words in COMMANDS.items()}
    found = alternate(sides, rounds=1 if options.quick else ROUNDS, warmup=0 if options.quick else 1)
    floor = found["python -c pass"]
    for name in ("wheatstone --help", "wheatstone list"):
        part.compared(
            Comparison(name, "s", found[name], "python -c 'import torch'", found["import torch"], threads, limit=LIMIT)
        )
    part.figure("a bare interpreter, the floor", f"{floor.median:.3f} s")


BENCHMARK = Benchmark(
    "startup",
    "Start of the command line",
    "Wall time of a fresh process. The peer is an interpreter that imports torch and does nothing: what a command line "
    "costs that imports its framework before it reads its arguments.",
    Options,
    measure,
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())

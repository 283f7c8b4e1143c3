"""How long `wheatstone --help` and `wheatstone list` take, beside a bare interpreter and one that imports torch.

Prints the median of several fresh processes and fails above the limit: a command line that hesitates is not used.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

LIMIT = 0.5
"""Seconds."""
ROUNDS = 7
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
    "wheatstone --help": ["-m", "wheatstone", "--help"],
    "wheatstone list": ["-m", "wheatstone", "list"],
}


def seconds(arguments: list[str]) -> float:
    """Wall time of one fresh interpreter."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> int:
    """Measure, print a table, and return 1 when a command is too slow."""
    medians = {name: statistics.median(seconds(words) for _ in range(ROUNDS)) for name, words in COMMANDS.items()}
    for name, median in medians.items():
        print(f"{name:<20} {median:6.3f} s   {medians['import torch'] / median:5.1f} x faster than import torch")
    slow = [name for name in medians if name.startswith("wheatstone") and medians[name] > LIMIT]
    if slow:
        print(f"slower than {LIMIT} s: {', '.join(slow)}", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())

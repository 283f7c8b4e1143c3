"""`make faults`: a hundred kills at seeded moments over the life of a run, and what was being written at each.

python -m tests.faults.campaign [--kills 100] [--seed 0]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tests.faults.harness import Campaign, undisturbed


def main() -> None:
    """Prints the histogram; a fault raises, with the story of its chain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--per-chain", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        campaign = Campaign(Path(folder), undisturbed(Path(folder) / "undisturbed"), asked.seed)
        print(f"undisturbed: {campaign.reference.seconds:.1f} s, {len(campaign.reference.points)} points", flush=True)
        while campaign.kills() < asked.kills:
            campaign.run_chain(min(asked.per_chain, asked.kills - campaign.kills()))
            seconds = time.perf_counter() - started
            print(f"{campaign.chains} chains, {campaign.kills()} kills, {seconds:.0f} s: all equal", flush=True)
    print(f"\n{campaign.kills()} kills in {campaign.chains} runs (seed {asked.seed}), what was being written:")
    for what, times in sorted(campaign.where.items(), key=lambda pair: (-pair[1], pair[0])):
        print(f"  {times:3}  {what}")


if __name__ == "__main__":
    main()

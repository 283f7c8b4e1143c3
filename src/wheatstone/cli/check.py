"""`wheatstone check my_study.py`: the whole contract, run on anyone's study."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CheckOptions:
    """Which study to check."""

    study: str
    """A file my_study.py, or a name of `wheatstone list`."""


def check_study(arguments: Sequence[str]) -> int:
    """Run every check of the contract; 1 when one of them fails."""
    from wheatstone.bench.contract import CHECKS, ContractFault
    from wheatstone.bench.registry import load
    from wheatstone.cli.options import parse

    options = parse(CheckOptions, arguments, "check", "Run the contract that every study must satisfy.")
    study = load(options.study)
    failed = 0
    width = max(len(check.__name__) for check in CHECKS)
    with tempfile.TemporaryDirectory(prefix="wheatstone-check-") as folder:
        for check in CHECKS:
            started = time.monotonic()
            try:
                check(study, Path(folder))
                outcome = f"ok    {time.monotonic() - started:5.1f} s"
            except ContractFault as fault:
                failed += 1
                outcome = f"FAIL  {fault}"
            print(f"{check.__name__:<{width}}  {outcome}", flush=True)
    print(f"\n{study.name}: {len(CHECKS) - failed} of {len(CHECKS)} checks passed")
    return 1 if failed else 0

"""Named randomness for the functions of this package that take a seed."""

from __future__ import annotations

import numpy as np

from wheatstone.bench.trial import derived_seed


def stream(seed: int, name: str) -> np.random.Generator:
    """A generator for one purpose: streams of different names are independent, so a new draw moves no other."""
    return np.random.default_rng(np.random.SeedSequence(np.frombuffer(derived_seed(seed, f"kg/{name}"), np.uint32)))

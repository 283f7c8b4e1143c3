"""The test process itself computes with one thread: its models are tiny, and the machine may be busy."""

from __future__ import annotations

import os

# Before anything loads torch. Tests that start `wheatstone` give their workers the threads that they ask for.
os.environ.setdefault("OMP_NUM_THREADS", "1")

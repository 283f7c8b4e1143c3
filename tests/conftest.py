"""What holds for all tests: one thread, no time limits on single examples, the same examples in every CI run."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# Before anything loads torch. The models of the tests are tiny, and the machine may be busy. Tests that start
# `wheatstone` give their workers the threads that they ask for.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The first example of a property may import torch, and a busy machine is slow: time is no property. In CI a property
# sees the same examples every time; new ones are drawn where a person can look at what they find, and by `make fuzz`.
settings.register_profile("house", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("house")

# A shell starts background jobs with SIGINT ignored, which every command that the tests interrupt would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

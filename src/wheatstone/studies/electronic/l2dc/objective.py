"""What a sizing is worth: first the hard constraints, then the targets (arXiv:1812.02734, section on the reward).

    s = sum over constraints of clip(decades on the right side of the bound, -2, 0)
    worth = s while s < 0, else 1 + sum over targets of weight * decades better than the reference

A simulation that failed is worth -6, a measure that the response does not have counts -2; both are counted and shown,
none is left out. The coefficients are ours: the paper does not give its own.
"""

from __future__ import annotations

import math
from typing import Literal

from wheatstone.domains.electronic.analog.specification import Specification
from wheatstone.domains.electronic.analog.testbench import Outcome

FLOOR = -6.0
"""A failed simulation."""
WORST = -2.0
"""A constraint that is missed by two decades or more, or whose measure is missing."""


def is_feasible(spec: Specification, outcome: Outcome) -> bool:
    """Whether every hard constraint holds."""
    return outcome.failure is None and all(one.is_met(outcome.measures[one.measure.name]) for one in spec.constraints)


def worth(
    spec: Specification, outcome: Outcome, *, reward: Literal["log", "linear"] = "log", gated: bool = True
) -> float:
    """The number that a method is told, higher is better."""
    if outcome.failure is not None:
        return FLOOR
    missed = 0.0
    for one in spec.constraints:
        value = outcome.measures[one.measure.name]
        if math.isnan(value):
            missed += WORST
        else:
            over = one.decades(value) if reward == "log" else one.share(value)
            missed += min(0.0, max(WORST, over))
    if gated and missed < 0:
        return missed
    gained = 0.0
    for target in spec.targets:
        value = outcome.measures[target.measure.name]
        gained += target.weight * (WORST if math.isnan(value) else max(WORST, target.decades(value)))
    return missed + gained + (0.0 if missed < 0 else 1.0)

"""Made-up measures at the edge of a claim, to see whether its verdict can be reached and turned."""

from __future__ import annotations

import math
from collections.abc import Iterable

from wheatstone.bench.study import Claim, Require
from wheatstone.bench.verdict import MIN_SEEDS, Measures

STEP = 1e-6
"""How far past the margin, as a share of the largest number of the claim."""
Side = tuple[str, str]
"""(arm, measure)"""


class _Range:
    """The values that a claim's bounds and requirements leave to one measure of one arm."""

    def __init__(self, sign: float, needs: Iterable[Require]) -> None:
        self.sign = sign
        self.low, self.high = -math.inf, math.inf
        for need in needs:
            if need.at_least is not None:
                self.add(need.at_least, is_floor=True)
            if need.at_most is not None:
                self.add(need.at_most, is_floor=False)

    def add(self, bound: float, *, is_floor: bool) -> None:
        """Takes in a bound; `sign` -1 turns the axis, so that up is always the claim's direction."""
        if is_floor == (self.sign > 0):
            self.low = max(self.low, self.sign * bound)
        else:
            self.high = min(self.high, self.sign * bound)


def just_past(claim: Claim) -> Measures | None:
    """Measures of three equal seeds that meet the claim by as little as they can, None when nothing can meet it."""
    sides: list[Side] = [(claim.treatment, claim.measure), (claim.control, claim.measure_of_control)]
    sign = 1.0 if claim.direction == "higher" else -1.0
    numbers = [claim.margin, claim.bound, claim.control_bound]
    numbers += [number for need in claim.requires for number in (need.at_least, need.at_most)]
    gap = claim.margin + STEP * max((abs(number) for number in numbers if number), default=1.0)

    treatment, control = (
        _Range(sign, [need for need in claim.requires if (need.arm, need.measure) == side]) for side in sides
    )
    if claim.bound is not None:
        treatment.low = max(treatment.low, sign * claim.bound)
    if claim.control_bound is not None:
        control.high = min(control.high, sign * claim.control_bound)

    below = next((number for number in (control.high, treatment.low - gap) if math.isfinite(number)), 0.0)
    below = max(below, control.low)
    above = max(treatment.low, below + gap)
    if above > treatment.high:
        above = treatment.high
        below = min(below, above - gap)
    if not (treatment.low <= above <= treatment.high and control.low <= below <= control.high):
        return None

    values: dict[Side, float] = {sides[0]: sign * above, sides[1]: sign * below}
    for need in claim.requires:
        side = need.arm, need.measure
        if side not in values:
            others = _Range(1.0, [other for other in claim.requires if (other.arm, other.measure) == side])
            if others.low > others.high:
                return None
            values[side] = next(number for number in (others.low, others.high, 0.0) if math.isfinite(number))
    measures: dict[str, dict[str, dict[int, float]]] = {}
    for (arm, measure), value in values.items():
        measures.setdefault(arm, {})[measure] = dict.fromkeys(range(MIN_SEEDS), value)
    return measures


def repeated(measures: Measures) -> Measures:
    """The same measures with every seed often enough for a verdict: a smoke run has too few seeds for any."""
    return {
        arm: {
            name: {seed * MIN_SEEDS + copy: value for seed, value in values.items() for copy in range(MIN_SEEDS)}
            for name, values in row.items()
        }
        for arm, row in measures.items()
    }

"""From the seeds' measures to a verdict: a paired difference with a confidence interval, the same for every study.

Method
    1  Pair treatment and control by seed (arms share data and seed) and orient the differences so that up is the claim.
    2  Two-sided 95 % Student t interval of their mean with n - 1 degrees of freedom; below 3 seeds: `inconclusive`.
    3  `holds`: the interval lies above the margin, and so does every seed's own difference, and the intervals of
       treatment and control lie on the right side of `bound` and `control_bound` where the claim has them.
    4  `fails`: the interval lies below the margin, or the treatment's lies wholly on the wrong side of `bound`, or the
       control's wholly on the wrong side of `control_bound`.
    5  Anything else is `inconclusive`, and so is every claim whose `requires` some seed does not meet.

Source  Student, Biometrika 6 (1908); requiring every seed is our own addition, since with few seeds the interval leans
        on normality. Quantiles above 30 degrees of freedom: Abramowitz and Stegun (1964), 26.7.5.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from wheatstone.bench.study import Claim

Outcome = Literal["holds", "fails", "inconclusive"]
Measures = Mapping[str, Mapping[str, Mapping[int, float]]]
"""Arm -> measure -> seed -> value."""
MIN_SEEDS = 3
CONFIDENCE = 0.95

_QUANTILES = (
    12.706204736, 4.302652730, 3.182446305, 2.776445105, 2.570581836, 2.446911851, 2.364624252, 2.306004135,
    2.262157163, 2.228138852, 2.200985160, 2.178812830, 2.160368656, 2.144786688, 2.131449546, 2.119905299,
    2.109815578, 2.100922040, 2.093024054, 2.085963447, 2.079613845, 2.073873068, 2.068657610, 2.063898562,
    2.059538553, 2.055529439, 2.051830516, 2.048407142, 2.045229642, 2.042272456,
)  # fmt: skip


class Interval(NamedTuple):
    """A mean and its confidence interval."""

    low: float
    mid: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """What the measures say about one claim."""

    claim: Claim
    outcome: Outcome
    difference: Interval | None
    """Treatment minus control, oriented so that up is the claim's direction; None below two common seeds."""
    treatment: dict[int, float]
    """Seed -> the treatment's measure."""
    control: dict[int, float]
    reason: str
    """Why, in words and numbers."""


def t_quantile(degrees: int) -> float:
    """The 0.975 quantile of Student's t, to 1e-7; ValueError below one degree of freedom."""
    if degrees < 1:
        raise ValueError(f"{degrees} degrees of freedom; there must be at least 1")
    if degrees <= len(_QUANTILES):
        return _QUANTILES[degrees - 1]
    z = 1.959963984540054
    series = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / degrees**power for power, term in enumerate(series, start=1))


def t_interval(values: Iterable[float]) -> Interval:
    """The mean of at least two finite values with its two-sided 95 % Student t interval."""
    numbers = list(values)
    mid = float(statistics.mean(numbers))  # exact: the mean of equal numbers must be that number, bounds are often met
    try:
        reach = t_quantile(len(numbers) - 1) * statistics.stdev(numbers) / math.sqrt(len(numbers))
    except OverflowError:  # values around 1e308, whose spread has no float
        reach = math.inf
    return Interval(mid - reach, mid, mid + reach)


def share_interval(hits: int, n: int) -> Interval:
    """The share hits / n with its 95 % score interval (Wilson, JASA 22, 1927), which holds at 0 and n hits too.

    Raises ValueError unless 0 <= hits <= n and n > 0.
    """
    if not 0 <= hits <= n or n == 0:
        raise ValueError(f"{hits} hits of {n}")
    z2 = 1.959963984540054**2
    share, scale = hits / n, 1 + z2 / n
    middle = (share + z2 / (2 * n)) / scale
    reach = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / scale
    return Interval(max(0.0, middle - reach), share, min(1.0, middle + reach))


def judge(claim: Claim, measures: Measures) -> Verdict:
    """The verdict on a claim by the method above. Missing arms, measures and NaN make it `inconclusive`."""
    treatment = _values(measures, claim.treatment, claim.measure)
    control = _values(measures, claim.control, claim.measure_of_control)
    sign = 1.0 if claim.direction == "higher" else -1.0
    differences = [
        sign * (treatment[seed] - control[seed])
        for seed in sorted(treatment.keys() & control.keys())
        if math.isfinite(treatment[seed]) and math.isfinite(control[seed])
    ]
    difference = t_interval(differences) if len(differences) > 1 else None

    def verdict(outcome: Outcome, reason: str) -> Verdict:
        return Verdict(claim, outcome, difference, treatment, control, reason)

    obstacle = (
        _unusable(claim.treatment, claim.measure, treatment)
        or _unusable(claim.control, claim.measure_of_control, control)
        or _unmet(claim, measures)
    )
    if obstacle:
        return verdict("inconclusive", obstacle)
    if len(differences) < MIN_SEEDS or difference is None:
        return verdict("inconclusive", f"only {_count(len(differences), 'common seed')}, a verdict needs {MIN_SEEDS}")

    # Bounds are oriented too: up is good for the treatment, down is good for the control.
    treated = t_interval(sign * value for value in treatment.values())
    untreated = t_interval(sign * value for value in control.values())
    bound = -math.inf if claim.bound is None else sign * claim.bound
    control_bound = math.inf if claim.control_bound is None else sign * claim.control_bound
    shown, margin = _interval_text(difference), f"{claim.margin:g}"

    if difference.high < claim.margin:
        return verdict("fails", f"difference {shown} lies below the margin {margin}")
    if treated.high < bound:
        return verdict("fails", f"{claim.treatment} {_side(treated, sign)} misses its bound {claim.bound:g}")
    if untreated.low > control_bound:
        return verdict("fails", f"{claim.control} {_side(untreated, sign)} misses its bound {claim.control_bound:g}")
    if difference.low <= claim.margin:
        return verdict("inconclusive", f"difference {shown} straddles the margin {margin}")
    below = sum(value <= claim.margin for value in differences)
    if below:
        return verdict("inconclusive", f"difference {shown}, but {_count(below, 'seed')} not above the margin {margin}")
    if treated.low < bound:
        return verdict("inconclusive", f"{claim.treatment} {_side(treated, sign)} straddles its bound {claim.bound:g}")
    if untreated.high > control_bound:
        return verdict(
            "inconclusive", f"{claim.control} {_side(untreated, sign)} straddles its bound {claim.control_bound:g}"
        )
    return verdict("holds", f"difference {shown} lies above the margin {margin} in all {len(differences)} seeds")


def judge_all(claims: Sequence[Claim], measures: Measures) -> tuple[Verdict, ...]:
    """One verdict a claim, in their order."""
    return tuple(judge(claim, measures) for claim in claims)


def _values(measures: Measures, arm: str, measure: str) -> dict[int, float]:
    return dict(sorted(measures.get(arm, {}).get(measure, {}).items()))


def _unusable(arm: str, measure: str, values: Mapping[int, float]) -> str:
    """Why these values cannot be compared; '' when they can."""
    if not values:
        return f"{arm} has no {measure}: the arm was not run, has not finished, or does not measure it"
    undefined = [seed for seed, value in values.items() if not math.isfinite(value)]
    return f"{measure} of {arm} is undefined for {_seeds(undefined)}" if undefined else ""


def _unmet(claim: Claim, measures: Measures) -> str:
    """Which requirement some seed does not meet; '' when all are met."""
    for need in claim.requires:
        values = _values(measures, need.arm, need.measure)
        if fault := _unusable(need.arm, need.measure, values):
            return fault
        low, high = min(values.values()), max(values.values())
        if need.at_least is not None and low < need.at_least:
            return f"{need.arm} does not reach {need.measure} >= {need.at_least:g}: {low:.4g}"
        if need.at_most is not None and high > need.at_most:
            return f"{need.arm} does not keep {need.measure} <= {need.at_most:g}: {high:.4g}"
    return ""


def _interval_text(interval: Interval) -> str:
    return f"{interval.mid:.4g} [{interval.low:.4g}, {interval.high:.4g}]"


def _side(oriented: Interval, sign: float) -> str:
    """An oriented interval in the measure's own direction."""
    ends = sorted((sign * oriented.low, sign * oriented.high))
    return _interval_text(Interval(ends[0], sign * oriented.mid, ends[1]))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _seeds(seeds: Sequence[int]) -> str:
    return ("seed " if len(seeds) == 1 else "seeds ") + ", ".join(map(str, seeds))

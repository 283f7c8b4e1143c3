"""The verdict table: the first thing in a report, and what the rest of it is there to support."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from wheatstone.bench.draw.theme import PALETTE, number
from wheatstone.bench.report.html import Html, join, table, tag
from wheatstone.bench.study import Claim
from wheatstone.bench.verdict import CONFIDENCE, MIN_SEEDS, Interval, Verdict, t_interval

SYMBOLS = {"holds": "✓", "fails": "✗", "inconclusive": "?"}
PERCENT = 100 * CONFIDENCE
METHOD = (
    "Treatment and control are paired by seed: arms share data and random streams. The difference is oriented so "
    f"that up is the claim's direction, and its interval is the two-sided {PERCENT:g} % Student t interval over "
    "the seeds, with n − 1 degrees of freedom. A claim holds when the interval and every single seed lie above "
    "the margin and the intervals of both arms lie on the right side of their bounds; it fails when an interval "
    f"lies wholly on the wrong side; anything else, fewer than {MIN_SEEDS} seeds, and an unmet requirement are "
    "inconclusive."
)


def verdict_table(verdicts: Sequence[Verdict], arms: Sequence[str]) -> Html:
    """One row a claim: outcome, treatment, control, difference with its interval, what is needed, the paper's value.

    Claims about arms that were not run stand below the table, by name.
    """
    head = ("Verdict", "Claim", "Treatment", "Control", "Difference", "Needed", "Paper")
    absent = not_run(verdicts, arms)
    rows = [_row(verdict, arms) for verdict in verdicts if verdict.claim.name not in absent]
    names = "; ".join(f"{name} ({', '.join(missing)})" for name, missing in absent.items())
    below = tag("p", f"Not decided here, because an arm was not run: {names}", class_="about") if absent else None
    return join([table(head, rows, class_="verdicts") if rows else None, below])


def not_run(verdicts: Sequence[Verdict], arms: Sequence[str]) -> dict[str, list[str]]:
    """Claim -> its arms that the run does not have; a preset, or `--arms`, may leave some out."""
    absent = {
        verdict.claim.name: sorted({verdict.claim.treatment, verdict.claim.control} - set(arms)) for verdict in verdicts
    }
    return {name: missing for name, missing in absent.items() if missing}


def outcome_badge(outcome: str) -> Html:
    """The outcome as a word with a sign, so that colour is not needed to read it."""
    return tag("span", f"{SYMBOLS[outcome]} {outcome}", class_=f"outcome {outcome}")


def swatch(arm: str, arms: Sequence[str]) -> Html:
    """A square in the arm's colour, then its name."""
    place = list(arms).index(arm) % len(PALETTE) if arm in arms else None
    colour = "transparent" if place is None else f"var(--c{place},{PALETTE[place]})"
    return join([tag("span", class_="swatch", style=f"background:{colour}"), arm])


def mean(values: Mapping[int, float]) -> Interval | None:
    """Mean over the seeds with its interval, whose ends are NaN for a single seed; None where no seed has a value."""
    known = [value for value in values.values() if math.isfinite(value)]
    if len(known) > 1:
        return t_interval(known)
    return Interval(math.nan, known[0], math.nan) if known else None


def interval_text(interval: Interval | None) -> str:
    """'0.93 [0.91, 0.95]', without the brackets where there is no interval; '–' for None."""
    return " ".join(_parts(interval))


def _parts(interval: Interval | None) -> list[str]:
    if interval is None:
        return ["–"]
    ends = [] if math.isnan(interval.low) else [f"[{number(interval.low)}, {number(interval.high)}]"]
    return [number(interval.mid), *ends]


def _estimate(interval: Interval | None) -> list[Html]:
    """The value, and its interval on a line of its own."""
    value, *ends = _parts(interval)
    return [tag("div", value, class_="estimate"), *(tag("div", one, class_="nowrap about") for one in ends)]


def needed(claim: Claim) -> str:
    """What the claim asks for, in words."""
    up = claim.direction == "higher"
    parts = [f"difference > {claim.margin:g}"]
    if claim.bound is not None:
        parts.append(f"{claim.treatment} {'≥' if up else '≤'} {claim.bound:g}")
    if claim.control_bound is not None:
        parts.append(f"{claim.control} {'≤' if up else '≥'} {claim.control_bound:g}")
    for need in claim.requires:
        if need.at_least is not None:
            parts.append(f"requires {need.measure} of {need.arm} ≥ {need.at_least:g}")
        if need.at_most is not None:
            parts.append(f"requires {need.measure} of {need.arm} ≤ {need.at_most:g}")
    return "; ".join(parts)


def differences(verdict: Verdict) -> dict[int, float]:
    """Seed -> the difference of its pair, oriented so that up is the claim's direction."""
    sign = 1.0 if verdict.claim.direction == "higher" else -1.0
    pairs = {
        seed: sign * (value - verdict.control[seed])
        for seed, value in verdict.treatment.items()
        if seed in verdict.control
    }
    return {seed: value for seed, value in pairs.items() if math.isfinite(value)}


def _row(verdict: Verdict, arms: Sequence[str]) -> Html:
    claim = verdict.claim
    way = "treatment − control" if claim.direction == "higher" else "control − treatment"
    interval = verdict.difference
    paper = join([number(claim.paper), tag("div", claim.source, class_="about")])
    return tag(
        "tr",
        tag("td", outcome_badge(verdict.outcome), class_="across"),
        tag(
            "td",
            tag("div", claim.text),
            tag("div", verdict.reason, class_="reason"),
            tag("div", tag("a", tag("code", claim.name), href=f"#claim-{claim.name}"), class_="about"),
            class_="claim across",
        ),
        _arm_cell("Treatment", claim.treatment, claim.measure, verdict.treatment, arms),
        _arm_cell("Control", claim.control, claim.measure_of_control, verdict.control, arms),
        tag("td", *_estimate(interval), tag("div", way, class_="about"), data_label="Difference"),
        tag("td", *(tag("div", part) for part in needed(claim).split("; ")), class_="needed", data_label="Needed"),
        tag("td", paper, class_="paper across", data_label="Paper"),
    )


def _arm_cell(label: str, arm: str, measure: str, values: Mapping[int, float], arms: Sequence[str]) -> Html:
    return tag(
        "td",
        tag("div", swatch(arm, arms), class_="nowrap"),
        *_estimate(mean(values)),
        tag("div", f"{measure}, n = {len(values)}", class_="about"),
        data_label=label,
    )

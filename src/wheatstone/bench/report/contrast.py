"""A claim as a picture: treatment and control on one axis with the paper's value, their difference on another.

Each side shows every seed (dot), the mean (tick) and its 95 % interval (bar); the paper's own value is a diamond, and
a bound is a bracket that opens to the side where it is met. Below, the difference in the claim's direction: the shaded
side of the margin is where the claim holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from wheatstone.bench.draw.chart import CHARACTER, GRID, INK, MUTED, element, text
from wheatstone.bench.draw.scale import Scale, scale_of
from wheatstone.bench.draw.theme import PALETTE, cut, number
from wheatstone.bench.report.verdicts import differences, interval_text, mean
from wheatstone.bench.verdict import Interval, Verdict

WIDTH, ROW, LEFT, RIGHT = 430, 46, 12.0, 418.0
FAR = 1.2
"""An interval may go so many reaches of everything else beyond it before it is cut at the edge: with three seeds it can
be far wider than all there is to see."""


def contrast_svg(verdict: Verdict, arms: Sequence[str]) -> str | None:
    """The claim's contrast, or None where no seed of either side has a value."""
    claim = verdict.claim
    sides = (
        ("treatment", claim.treatment, claim.measure, verdict.treatment, claim.bound),
        ("control", claim.control, claim.measure_of_control, verdict.control, claim.control_bound),
    )
    known = [value for side in sides for value in side[3].values() if math.isfinite(value)]
    if not known:
        return None
    anchors = [*known, *(one for one in (claim.paper, claim.bound, claim.control_bound) if one is not None)]
    x = _scale(anchors, [mean(side[3]) for side in sides])
    up = claim.direction == "higher"
    parts: list[str] = []
    for place, (role, arm, measure, values, bound) in enumerate(sides):
        top = place * ROW
        label = arm if measure == claim.measure else f"{arm}, {measure}"
        parts += _side(label, role, values, x, top, _colour(arm, arms))
        if bound is not None:
            parts += _bound(bound, x, top, opens_right=up if place == 0 else not up)
    below = 2 * ROW + 8.0
    parts += _axis(x, below, cut(claim.measure, 44))
    if claim.paper is not None:
        parts += [_paper(x(claim.paper), 30.0), _paper(LEFT + 6, below + 26.0)]
        parts.append(text(LEFT + 18, below + 30, f"paper {number(claim.paper)}", fill=INK))
    height = below + 34
    pairs = differences(verdict)
    if pairs:
        parts += _difference(verdict, pairs, height + 12)
        height += ROW + 50
    return element(_about(verdict), WIDTH, height, parts)


def _about(verdict: Verdict) -> str:
    """What the picture shows, for those who do not see it."""
    claim, sides = verdict.claim, (verdict.treatment, verdict.control)
    treated, untreated = (interval_text(mean(side)) for side in sides)
    paper = "" if claim.paper is None else f"; paper {number(claim.paper)}"
    return (
        f"{claim.measure}: {claim.treatment} {treated}, {claim.control} {untreated}{paper}; "
        f"difference {interval_text(verdict.difference)}, margin {claim.margin:g}"
    )


def _colour(arm: str, arms: Sequence[str]) -> str:
    if arm not in arms:
        return MUTED
    place = list(arms).index(arm) % len(PALETTE)
    return f"var(--c{place},{PALETTE[place]})"


def _scale(anchors: Sequence[float], intervals: Sequence[Interval | None]) -> Scale:
    """An axis around everything that has to be seen; intervals as far as they do not squeeze the rest."""
    low, high = min(anchors), max(anchors)
    reach = (high - low) or abs(high) or 1.0
    ends = [end for one in intervals if one for end in (one.low, one.high) if not math.isnan(end)]
    inside = [min(max(end, low - FAR * reach), high + FAR * reach) for end in ends]
    return scale_of([*anchors, *inside], LEFT, RIGHT, room=0.05)


def _side(label: str, role: str, values: Mapping[int, float], x: Scale, top: float, colour: str) -> Iterator[str]:
    interval = mean(values)
    known = [value for value in values.values() if math.isfinite(value)]
    shown = f"{interval_text(interval)}, n = {len(known)}" if interval else "no value"
    room = int((WIDTH - CHARACTER * len(shown)) / CHARACTER) - 2
    named = f"{label} ({role})"
    yield text(0, top + 12, named if len(named) <= room else cut(label, room), fill=INK)
    yield text(WIDTH, top + 12, shown, "end", fill=INK)
    yield f'<line x1="{LEFT}" x2="{RIGHT}" y1="{top + 30}" y2="{top + 30}" style="stroke:{GRID}"/>'
    yield from _estimate(known, interval, x, top + 30, colour)


def _estimate(
    values: Sequence[float], interval: Interval | None, x: Scale, middle: float, colour: str
) -> Iterator[str]:
    def at(value: float) -> float:
        return min(max(x(value), LEFT), RIGHT)

    if interval is not None and not math.isnan(interval.low):
        yield (
            f'<line x1="{at(interval.low):.1f}" x2="{at(interval.high):.1f}" y1="{middle}" y2="{middle}"'
            f' stroke-width="9" stroke-opacity="0.3" style="stroke:{colour}"/>'
        )
        for end, way in ((interval.low, -1), (interval.high, 1)):
            if not LEFT - 0.5 <= x(end) <= RIGHT + 0.5:  # an arrow: the interval goes on
                tip = at(end) + 5 * way
                yield f'<path d="M{tip:.1f} {middle}l{-5 * way}-5v10z" style="fill:{colour}"/>'
    if interval is not None:
        yield (
            f'<line x1="{x(interval.mid):.1f}" x2="{x(interval.mid):.1f}" y1="{middle - 9}" y2="{middle + 9}"'
            f' stroke-width="2" style="stroke:{colour}"/>'
        )
    for value in values:
        yield f'<circle class="seed" cx="{x(value):.1f}" cy="{middle}" r="3.2" style="fill:{colour}"/>'


def _bound(bound: float, x: Scale, top: float, *, opens_right: bool) -> Iterator[str]:
    at, way = x(bound), 5 if opens_right else -5
    yield (
        f'<path d="M{at + way:.1f} {top + 18}H{at:.1f}V{top + 42}H{at + way:.1f}" fill="none" stroke-width="1.5"'
        f' style="stroke:{INK}"><title>{"at least" if opens_right else "at most"} {bound:g}</title></path>'
    )


def _paper(at: float, middle: float) -> str:
    """A diamond that lets what is below it shine through."""
    return (
        f'<path class="paper" d="M{at:.1f} {middle - 6.5}l6.5 6.5l-6.5 6.5l-6.5-6.5z" stroke-width="1.8" fill="none"'
        f' style="stroke:{INK}"/>'
    )


def _axis(x: Scale, top: float, title: str) -> Iterator[str]:
    yield f'<line x1="{LEFT}" x2="{RIGHT}" y1="{top}" y2="{top}" style="stroke:{MUTED}"/>'
    for value, words in x.labels(5):
        yield f'<line x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{top}" y2="{top + 4}" style="stroke:{MUTED}"/>'
        yield text(x(value), top + 16, words, "middle")
    yield text(RIGHT, top + 30, title, "end")


def _difference(verdict: Verdict, pairs: Mapping[int, float], top: float) -> Iterator[str]:
    claim, interval = verdict.claim, verdict.difference
    x = _scale([0.0, claim.margin, *pairs.values()], [interval])
    way = "treatment − control" if claim.direction == "higher" else "control − treatment"
    yield text(0, top + 12, f"difference ({way})", fill=INK)
    yield text(WIDTH, top + 12, interval_text(interval), "end", fill=INK)
    margin = x(claim.margin)
    yield (
        f'<rect x="{margin:.1f}" y="{top + 18}" width="{RIGHT - margin:.1f}" height="24" fill-opacity="0.1"'
        ' style="fill:var(--holds,#00704f)"/>'
    )
    yield f'<line x1="{LEFT}" x2="{RIGHT}" y1="{top + 30}" y2="{top + 30}" style="stroke:{GRID}"/>'
    yield f'<line x1="{x(0):.1f}" x2="{x(0):.1f}" y1="{top + 18}" y2="{top + 42}" style="stroke:{MUTED}"/>'
    yield (
        f'<line x1="{margin:.1f}" x2="{margin:.1f}" y1="{top + 18}" y2="{top + 46}" stroke-width="1.5"'
        f' stroke-dasharray="3 3" style="stroke:{INK}"/>'
    )
    yield from _estimate(list(pairs.values()), interval, x, top + 30, "var(--accent,#0060a0)")
    below = top + ROW
    yield from _axis(x, below, f"dashes: margin {claim.margin:g}; the claim holds to their right")

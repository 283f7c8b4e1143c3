"""Claim by claim: what was compared, drawn beside the paper's own value, and why the verdict is what it is."""

from __future__ import annotations

from collections.abc import Sequence

from wheatstone.bench.draw.theme import number
from wheatstone.bench.report.contrast import contrast_svg
from wheatstone.bench.report.html import Html, tag
from wheatstone.bench.report.verdicts import needed, not_run, outcome_badge
from wheatstone.bench.verdict import Verdict

KEY = (
    "Dot: a seed. Tick: mean over the seeds. Bar: 95 % t interval, with an arrow where it goes on beyond the axis. "
    "Diamond: the paper's own value. Bracket: a bound, open to the side where it is met. Shaded: where the claim holds."
)


def claims_section(verdicts: Sequence[Verdict], arms: Sequence[str], *, anchors: bool = True) -> Html | None:
    """A card for each claim that was judged; None where there is none. `anchors`: whether a page links to them."""
    absent = not_run(verdicts, arms)
    judged = [verdict for verdict in verdicts if verdict.claim.name not in absent]
    if not judged:
        return None
    return tag(
        "div",
        tag("p", KEY, class_="about"),
        tag("div", *(_card(verdict, arms, anchors=anchors) for verdict in judged), class_="claims"),
    )


def _card(verdict: Verdict, arms: Sequence[str], *, anchors: bool) -> Html:
    claim, drawing = verdict.claim, contrast_svg(verdict, arms)
    paper = f"{number(claim.paper)} ({claim.source})" if claim.paper is not None else f"no number ({claim.source})"
    return tag(
        "section",
        tag("h3", outcome_badge(verdict.outcome), " ", claim.text),
        tag("div", Html(drawing), class_="contrast") if drawing else None,
        tag("p", verdict.reason, class_="reason"),
        tag(
            "p",
            f"Needed: {needed(claim)}. The paper: {paper}.",
            class_="about",
        ),
        class_="card claim-card",
        id=f"claim-{claim.name}" if anchors else None,
    )

"""What a notebook shows of findings and exhibits: the pieces of the report, on a sheet of their own.

A notebook has its own style sheet and its own colours, so everything stands in one element with the few rules that it
needs, light, as figures in a paper are.
"""

from __future__ import annotations

from wheatstone.bench.draw import Plot, diagram_svg, standing_svg, svg
from wheatstone.bench.exhibit import Circuit, Diagram, Exhibit
from wheatstone.bench.findings import Findings
from wheatstone.bench.report import asset, sections
from wheatstone.bench.report.claims import claims_section
from wheatstone.bench.report.html import Html, tag
from wheatstone.bench.report.verdicts import verdict_table


def findings_html(findings: Findings) -> str:
    """The verdicts as a table, and each claim drawn beside the paper's value."""
    arms = list(findings.arms)
    title = f"{findings.study}, preset {findings.preset}, {len(findings.seeds)} seeds: "
    return _sheet(
        tag("p", title, sections.claim_count(findings)),
        verdict_table(findings.verdicts, arms),
        claims_section(findings.verdicts, arms, anchors=False),
    )


def exhibit_html(exhibit: Exhibit) -> str:
    """The exhibit with its title and caption."""
    caption = getattr(exhibit, "caption", "")
    below = tag("p", caption, class_="about") if caption else None
    if (drawn := exhibit_svg(exhibit)) is None:
        return _sheet(tag("p", tag("b", exhibit.title)), sections.plain_content(exhibit), below)
    title = None if isinstance(exhibit, Plot) else tag("p", tag("b", exhibit.title))
    return _sheet(title, Html(drawn), below)


def exhibit_svg(exhibit: Exhibit) -> str | None:
    """The exhibit as a picture that stands alone; None for a table or a note."""
    match exhibit:
        case Circuit():
            return svg(exhibit)
        case Diagram():
            return diagram_svg(exhibit)
        case _ if isinstance(exhibit, Plot):
            return standing_svg(exhibit, ())
        case _:
            return None


def _sheet(*content: Html | None) -> str:
    style = f"<style>{asset('notebook.css')}</style>"
    return tag("div", Html(style), *content, class_="wheatstone")

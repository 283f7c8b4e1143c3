"""Pages that are no report: cards of features with their words shaded, a blind rating of them, one attribution graph.

A page is one file without requests. The blind page hides which dictionary a card comes from and shuffles the cards; the
key lies in a file of its own, so that whoever rates need not see it (Dunefsky et al. 2024, section 4.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wheatstone.bench.exhibit import Circuit, Table
from wheatstone.bench.report import asset, exhibits_section, scripts
from wheatstone.bench.report.html import Html, join, page, tag
from wheatstone.interp.transcoders.graph import FeatureGraph
from wheatstone.studies.neural.transcoders.exhibits import graph_picture

STYLE = """
.cards{max-width:64rem;margin:1.5rem auto;padding:0 1rem}
.cards article{border-top:1px solid var(--line,#ccc);padding:.8rem 0}
.cards h2{font-size:1rem;margin:.2rem 0}
.cards p{margin:.25rem 0;line-height:1.7}
.cards .words{font-family:ui-monospace,monospace;font-size:.85rem;white-space:pre-wrap}
.cards .words b{outline:1px solid #b35c00;border-radius:2px}
.cards .about{font-size:.85rem}
"""
CHOICES = ("interpretable", "maybe", "not interpretable")
GRAPH_EDGES = 60


def cards_page(title: str, cards: Sequence[Mapping[str, Any]], about: str, *, blind: bool = False) -> Html:
    """All cards of a page, one below the other; a blind page names none and asks for a rating."""
    articles = [_card(card, number if blind else None) for number, card in enumerate(cards, start=1)]
    return page(
        title,
        asset("page.css") + STYLE,
        tag("main", tag("h1", title), tag("p", about, class_="about"), *articles, id="main", class_="cards"),
    )


def _card(card: Mapping[str, Any], number: int | None) -> Html:
    heading = f"Feature {number}" if number is not None else f"Layer {card['layer']}, feature {card['feature']}"
    parts = [tag("h2", heading)]
    if number is None:
        parts.append(tag("p", f"fires at {card['frequency']:.3%} of the tokens", class_="about"))
    parts += [_example(one) for one in card["examples"]]
    if number is None:
        for name, key in (("excited by", "excited_by"), ("boosts", "boosts")):
            if card[key]:
                parts.append(tag("p", f"{name}: " + "  ".join(repr(word) for word in card[key]), class_="about"))
        if card["fed_by"]:
            parts.append(
                tag("p", f"fed at the same token, by weights alone, by {', '.join(card['fed_by'])}", class_="about")
            )
    else:
        choices = [
            tag("label", tag("input", type_="radio", name_=f"card-{number}"), f" {choice} ") for choice in CHOICES
        ]
        parts.append(tag("p", *choices, class_="about"))
    return tag("article", *parts)


def _example(example: Mapping[str, Any]) -> Html:
    """The words of an example, shaded by activation relative to the peak."""
    peak = example["activations"][example["peak"]]
    words = []
    for i, (word, value) in enumerate(zip(example["words"], example["activations"], strict=True)):
        share = max(0.0, value / peak)
        shade = f"background:rgba(230,159,0,{0.7 * share:.2f})" if share > 0 else None
        kind = "b" if i == example["peak"] else "span"
        words.append(tag(kind, word, style=shade, title=f"{value:.3g}"))
    return tag("p", join(words), class_="words")


def graph_page(graph: FeatureGraph) -> Html:
    """The picture of a graph and its strongest edges."""
    return page(
        f"Attribution graph of {graph.target}",
        asset("page.css"),
        tag("main", tag("h1", "Attribution graph"), exhibits_section(graph_exhibits(graph), []), id="main"),
        scripts("page.js", "plot.js"),
    )


def graph_exhibits(graph: FeatureGraph) -> list[Circuit | Table]:
    """The picture, what flows where, and the edges."""
    ranked = sorted(graph.edges, key=lambda edge: -abs(edge.contribution))[:GRAPH_EDGES]
    nodes = sorted(graph.nodes, key=lambda node: -node.influence)[:GRAPH_EDGES]
    return [
        graph_picture(graph, "graph", "all that flows into it"),
        Table(
            "nodes",
            "Nodes of most influence",
            ("node", "token", "activation", "influence", "opened"),
            [(n.id, _word(graph, n.position), n.activation, n.influence, n.opened) for n in nodes],
            "Influence: share of the target that flows through the node. Activation: of embeddings, errors and outputs "
            "the length of the vector.",
        ),
        Table(
            "edges",
            "Strongest contributions",
            ("from", "to", "contribution"),
            [(edge.source, edge.target, edge.contribution) for edge in ranked],
            "In the unit of the target: a logit, or the pre-activation of a feature.",
        ),
    ]


def _word(graph: FeatureGraph, position: int) -> str | None:
    return repr(graph.prompt[position]) if 0 <= position < len(graph.prompt) else None

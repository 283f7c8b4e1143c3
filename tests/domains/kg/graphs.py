"""Graphs for the tests of this folder, and the slow, obvious way of counting chains."""

from __future__ import annotations

from hypothesis import strategies as st

from wheatstone.domains.kg.graph import Graph

FAMILY = [
    ("Ann", "mother", "Eve"),
    ("Bob", "mother", "Eve"),
    ("Ann", "born_in", "Rome"),
    ("Bob", "born_in", "Oslo"),
    ("Eve", "born_in", "Rome"),
    ("Rome", "country", "Italy"),
    ("Oslo", "country", "Norway"),
]
"""7 facts, 5 chains: Ann and Bob by mother to Eve's birthplace, and three by birthplace to the country."""


def family() -> Graph:
    return Graph.from_facts(FAMILY)


def graphs(max_entity: int = 8, max_relation: int = 4, min_fact: int = 0) -> st.SearchStrategy[Graph]:
    """Functional graphs with entities e0.. and relations r0.., loops included."""
    entity = st.integers(0, max_entity - 1).map("e{}".format)
    relation = st.integers(0, max_relation - 1).map("r{}".format)
    facts = st.dictionaries(st.tuples(entity, relation), entity, min_size=min_fact, max_size=24)
    return facts.map(lambda tails: Graph.from_facts([(h, r, t) for (h, r), t in tails.items()]))


def obvious_chains(facts: list[tuple[str, str, str]]) -> set[tuple[str, str, str, str, str]]:
    """Every pair of facts that fit together, by trying all."""
    return {(h, r1, b, r2, t) for h, r1, b in facts for h2, r2, t in facts if h2 == b}

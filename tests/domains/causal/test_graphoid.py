"""The graphoid axioms: d-separation is what they make of the local Markov list; by hand; every proof step by step."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
import pytest

from wheatstone.bench.errors import InputError, UserError
from wheatstone.domains.causal.graphoid import (
    Extra,
    Independence,
    check_known,
    graphoid,
    local_markov,
    parse_independencies,
)
from wheatstone.domains.causal.graphs import CausalGraph


def read(*lines: str) -> list[Independence]:
    return [one.claim for one in parse_independencies("\n".join(lines), "i")]


def every_claim(names: tuple[str, ...]) -> list[Independence]:
    """All statements about disjoint sets, each once."""
    found: set[tuple[frozenset[frozenset[str]], frozenset[str]]] = set()
    for sets in itertools.product(range(4), repeat=len(names)):
        first, second, given = (
            frozenset(name for name, one in zip(names, sets, strict=True) if one == k) for k in range(3)
        )
        if first and second:
            found.add((frozenset((first, second)), given))
    return [Independence(*sorted(sides, key=sorted), given) for sides, given in found]


def random_graph(n: int, seed: int) -> CausalGraph:
    rng = np.random.default_rng(seed)
    order = rng.permutation(n).tolist()
    pairs = [(order[a], order[b]) for a in range(n) for b in range(a + 1, n) if rng.random() < 0.45]
    return CausalGraph(tuple(f"n{i}" for i in range(n)), tuple(pairs))


@pytest.mark.parametrize(("n", "seed"), [(3, 0), (4, 1), (4, 2), (5, 3), (5, 4), (5, 5)])
def test_the_local_markov_list_gives_every_d_separation_and_nothing_else(n: int, seed: int) -> None:
    """Geiger, Verma and Pearl 1990: semigraphoid closure of a causal input list; against networkx."""
    graph = random_graph(n, seed)
    stated = local_markov(graph)
    found = graphoid(stated, "g")
    number = {name: at for at, name in enumerate(graph.names)}
    yes = 0
    for claim in every_claim(graph.names):
        separated = nx.is_d_separator(graph.network, *({number[name] for name in part} for part in claim))
        assert found.holds(claim) == separated
        assert found.holds(Independence(claim.second, claim.first, claim.given)) == separated
        yes += separated
    assert len(found.steps) == yes


def shape(axiom: str, premises: tuple[Independence, ...], made: Independence) -> bool:
    """Whether a step is an instance of its axiom, whichever way round its sides are written."""
    turned = [
        [Independence(a, b, z) for a, b in ((one.first, one.second), (one.second, one.first))]
        for one, z in ((one, one.given) for one in (*premises, made))
    ]
    for *before, after in itertools.product(*turned):
        (x, y, z), one = after, before[0]
        if any(premise.first != x for premise in before):
            continue
        if axiom == "decomposition" and (y < one.second and z == one.given):
            return True
        if axiom == "weak union" and (y < one.second and z == one.given | (one.second - y)):
            return True
        if len(before) == 2:
            two = before[1]
            joined = y == one.second | two.second and not one.second & two.second
            if axiom == "contraction" and joined and z == one.given and two.given == z | one.second:
                return True
            if axiom == "intersection" and joined and one.given == z | two.second and two.given == z | one.second:
                return True
            if axiom == "composition" and joined and z == one.given == two.given:
                return True
    return False


@pytest.mark.parametrize("extra", [(), ("intersection",), ("composition",)])
def test_every_step_is_an_instance_of_its_axiom(extra: tuple[Extra, ...]) -> None:
    stated = read("a _||_ b | c, d", "a _||_ c | b, d", "a _||_ d", "e _||_ a, b | c", "b _||_ d")
    found = graphoid(stated, "i", extra)
    used: set[str] = set()
    for claim in every_claim(found.names):
        if not found.holds(claim):
            continue
        shown: set[str] = set()
        for step in found.proof(claim):
            assert shown.issuperset(map(str, step.premises))
            if step.axiom is None:
                assert str(step.claim) in map(str, stated)
            else:
                used.add(step.axiom)
                assert shape(step.axiom, step.premises, step.claim), str(step)
            shown.add(str(step.claim))
        assert str(claim) in shown
    assert used >= {"decomposition", "weak union", *extra}
    assert used.isdisjoint({"intersection", "composition"} - set(extra))


def test_each_axiom_by_hand() -> None:
    def follows(claim: str, *stated: str, extra: tuple[Extra, ...] = ()) -> bool:
        return graphoid(read(*stated), "i", extra).holds(read(claim)[0])

    assert follows("y _||_ x | z", "x _||_ y | z")
    assert follows("x _||_ y | z", "x _||_ y, w | z")
    assert follows("x _||_ y | z, w", "x _||_ y, w | z")
    assert follows("x _||_ y, w | z", "x _||_ y | z", "x _||_ w | z, y")
    for extra, stated in (
        ("intersection", ("x _||_ y | z, w", "x _||_ w | z, y")),
        ("composition", ("x _||_ y | z", "x _||_ w | z")),
    ):
        assert not follows("x _||_ y, w | z", *stated)
        assert follows("x _||_ y, w | z", *stated, extra=(extra,))  # type: ignore[arg-type]
    # Two fair coins and whether they agree: pairwise independent, not jointly.
    assert not follows("x _||_ y | w", "x _||_ y", "x _||_ w", "y _||_ w")


def test_statements_are_read_back_as_they_are_printed() -> None:
    found = read("# notes", 'b, "heavy rain" _||_ a | d, c.', "", "a ⊥ b", "U.S.A ⫫ x-1 | é")
    assert [str(one) for one in found] == ['a _||_ b, "heavy rain" | c, d', "a _||_ b", "U.S.A _||_ x-1 | é"]
    assert {frozenset(one[:2]) for one in read(*map(str, found))} == {frozenset(one[:2]) for one in found}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "i: no statements"),
        ("a _||_ b\na b", "i:2: 'a b' is no statement"),
        ("a _||_ b _||_ c", "i:1: 'a _||_ b _||_ c' is no statement"),
        ("_||_ b", "i:1 field 'first': no variable there"),
        ("a _||_ | b", "i:1 field 'second': no variable there"),
        ("a _||_ b | c | d", "i:1 field 'given': 2 times '|'"),
        ("a, b _||_ b", "i:1 field 'second': 'b' stands in two of the sets"),
        ("a _||_ b | a", "i:1 field 'given': 'a' stands in two of the sets"),
    ],
)
def test_every_fault_has_its_place(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_independencies(text, "i")
    assert message in str(caught.value)


def test_strangers_and_too_many_variables_are_told() -> None:
    with pytest.raises(
        InputError, match=r"q:1 field 'given': no variable 'wett' in what is stated. Did you mean 'wet'?"
    ):
        check_known(parse_independencies("a _||_ b | wett", "q"), ("a", "b", "wet"), "q")
    with pytest.raises(UserError, match=r"^i: 10 variables; the axioms are followed for at most 9"):
        graphoid(read("a, b, c, d, e _||_ f, g, h, k, l"), "i")

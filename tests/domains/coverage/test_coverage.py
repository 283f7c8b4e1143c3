"""Coverage against the definition spelt out in loops, on random tables, and on cases whose answer is known by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wheatstone.domains.compositions import SHAPES, compose, split
from wheatstone.domains.coverage.classes import Classes, Ints, classes, proper_subsets
from wheatstone.domains.coverage.graph import SubstitutionGraph, coverage, direct_cutoff
from wheatstone.domains.coverage.predict import NONE, nearest, substitute
from wheatstone.domains.coverage.witness import in_words, witness

Row = tuple[int, ...]


def parts(row: Row, subset: Row) -> tuple[Row, Row]:
    return tuple(row[p] for p in subset), tuple(t for p, t in enumerate(row) if p not in subset)


def brute_pairs(rows: list[Row], targets: list[int], subset: Row) -> dict[tuple[Row, Row], int]:
    """Evidence of each consistent pair of fragments, from the definition."""
    gives: dict[Row, dict[Row, int]] = {}
    for row, target in zip(rows, targets, strict=True):
        fragment, context = parts(row, subset)
        gives.setdefault(fragment, {})[context] = target
    found = {}
    for a, b in combinations(sorted(gives), 2):
        shared = gives[a].keys() & gives[b].keys()
        if shared and all(gives[a][c] == gives[b][c] for c in shared):
            found[a, b] = len(shared)
    return found


def brute_cutoff(
    rows: list[Row], targets: list[int], tests: list[Row], test_targets: list[int] | None, k_max: int
) -> list[int]:
    """The largest k at which a flood from the training rows reaches each test; chained classes."""
    arity = len(rows[0])
    nodes = rows + tests
    labels = None if test_targets is None else targets + test_targets
    best = [k_max if test in rows else 0 for test in tests]
    for k in range(1, k_max + 1):
        same: dict[Row, dict[Row, Row]] = {}
        for subset in proper_subsets(arity):
            leader: dict[Row, Row] = {}

            def lead(fragment: Row, leader: dict[Row, Row] = leader) -> Row:
                while leader.get(fragment, fragment) != fragment:
                    fragment = leader[fragment]
                return fragment

            for (a, b), evidence in brute_pairs(rows, targets, subset).items():
                if evidence >= k and lead(a) != lead(b):
                    leader[lead(b)] = lead(a)
            same[subset] = {parts(node, subset)[0]: lead(parts(node, subset)[0]) for node in nodes}
        reached, frontier = set(range(len(rows))), list(range(len(rows)))
        while frontier:
            here = frontier.pop()
            for there in range(len(nodes)):
                if there in reached or (labels is not None and labels[here] != labels[there]):
                    continue
                for subset in proper_subsets(arity):
                    (f, c), (g, d) = parts(nodes[here], subset), parts(nodes[there], subset)
                    if c == d and same[subset][f] == same[subset][g]:
                        reached.add(there)
                        frontier.append(there)
                        break
        for test in range(len(tests)):
            if len(rows) + test in reached:
                best[test] = max(best[test], k)
    return best


def tuples(rows: Ints) -> list[Row]:
    return [tuple(map(int, row)) for row in rows]


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(["two_hop", "non_tree", "one_token"]),
    seed=st.integers(0, 10_000),
    n_token=st.integers(2, 4),
    share=st.floats(0.2, 0.9),
    hidden=st.booleans(),
)
def test_cutoffs_are_those_of_the_definition(name: str, seed: int, n_token: int, share: float, hidden: bool) -> None:
    rng = np.random.default_rng(seed)
    made = compose(SHAPES[name], n_token, rng)
    order = rng.permutation(len(made.inputs))
    n = max(1, round(share * len(order)))
    train, tests = order[:n], order[n : n + 20]
    found = classes(made.inputs[train], made.targets[train], k_max=4, merging="chained")
    result = coverage(found, made.inputs[tests], None if hidden else made.targets[tests])
    expected = brute_cutoff(
        tuples(made.inputs[train]),
        made.targets[train].tolist(),
        tuples(made.inputs[tests]),
        None if hidden else made.targets[tests].tolist(),
        4,
    )
    assert result.cutoff.tolist() == expected


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n_token=st.integers(2, 5), n=st.integers(1, 60))
def test_pairs_are_those_of_the_definition(seed: int, n_token: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.unique(rng.integers(n_token, size=(n, 3)), axis=0)
    targets = rng.integers(3, size=len(rows))
    for fragments in classes(rows, targets, k_max=3).fragments:
        expected = brute_pairs(tuples(rows), targets.tolist(), fragments.subset)
        named = {
            (tuples(fragments.tokens)[a], tuples(fragments.tokens)[b]): e
            for a, b, e in zip(*(column.tolist() for column in fragments.pairs), strict=True)
        }
        assert named == expected


def test_pairs_do_not_depend_on_the_size_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    made = compose(SHAPES["two_hop"], 8, np.random.default_rng(0))
    train = np.random.default_rng(1).permutation(512)[:200]
    whole = classes(made.inputs[train], made.targets[train])
    monkeypatch.setattr("wheatstone.domains.coverage.classes.PRODUCTS_A_BLOCK", 7)
    cut = classes(made.inputs[train], made.targets[train])
    for one, other in zip(whole.fragments, cut.fragments, strict=True):
        assert all((a == b).all() for a, b in zip(one.pairs, other.pairs, strict=True))
        assert (one.labels == other.labels).all()
    assert sum(len(fragments.pairs.first) for fragments in whole.fragments) > 10


A, B, C = 0, 1, 2


def chain_with_a_contradiction() -> tuple[Ints, Ints]:
    """Fragments (x1) a ≡ b in contexts 0 and 1, b ≡ c in 2 and 3, and a contradicts c in context 4."""
    told = [
        (A, 0, 5),
        (A, 1, 6),
        (B, 0, 5),
        (B, 1, 6),
        (B, 2, 7),
        (B, 3, 8),
        (C, 2, 7),
        (C, 3, 8),
        (A, 4, 5),
        (C, 4, 6),
    ]
    found = np.array(told)
    return found[:, :2], found[:, 2]


def test_chained_classes_hold_a_contradiction_and_consistent_ones_do_not() -> None:
    rows, targets = chain_with_a_contradiction()
    chained, consistent = (
        classes(rows, targets, k_max=2, merging=merging, subsets=[(0,)]).fragments[0].at(2)
        for merging in ("chained", "consistent")
    )
    assert len(set(chained.tolist())) == 1
    assert consistent[A] == consistent[B] != consistent[C]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_no_consistent_class_gives_two_targets_in_one_context(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.unique(rng.integers(4, size=(40, 3)), axis=0)
    targets = rng.integers(2, size=len(rows))
    found = classes(rows, targets, k_max=3)
    for fragments in found.fragments:
        for k in (1, 2, 3):
            label = fragments.at(k)[fragments.fragment]
            outcomes = {(int(a), int(b), int(t)) for a, b, t in zip(label, fragments.context, targets, strict=True)}
            assert len(outcomes) == len({(a, b) for a, b, _ in outcomes})
        finer, coarser = fragments.at(3), fragments.at(1)
        assert len({*zip(finer.tolist(), coarser.tolist(), strict=True)}) == len(set(finer.tolist()))


def two_hop(n_train: int, seed: int = 0) -> tuple[Classes, Ints, Ints]:
    made = compose(SHAPES["two_hop"], 10, np.random.default_rng(seed))
    found = split(made, n_train, 0.7, np.random.default_rng(seed + 1))
    trained = classes(made.inputs[found.train], made.targets[found.train])
    return trained, made.inputs[found.test_id], made.targets[found.test_id]


def test_classes_do_not_change_with_the_tests() -> None:
    found, tests, targets = two_hop(200)
    before = [fragments.labels.copy() for fragments in found.fragments]
    some = SubstitutionGraph(found, tests[:5], targets[:5]).coverage().cutoff
    SubstitutionGraph(found, tests, targets).coverage()
    assert all((a == b.labels).all() for a, b in zip(before, found.fragments, strict=True))
    assert (some <= SubstitutionGraph(found, tests, targets).coverage().cutoff[:5]).all()


def test_substitution_answers_what_is_covered_with_evidence_and_nothing_else() -> None:
    found, tests, targets = two_hop(400)
    graph = SubstitutionGraph(found, tests)
    answers = substitute(graph)
    assert ((answers.targets != NONE) == (graph.coverage().cutoff > 0)).all()
    assert (answers.k == graph.coverage().cutoff).all()
    strong = answers.k >= 3
    assert strong.mean() > 0.5
    assert (answers.targets[strong] == targets[strong]).mean() > 0.99
    shuffled = np.random.default_rng(0).permutation(found.targets)
    noise = substitute(SubstitutionGraph(classes(found.rows, shuffled), tests))
    assert noise.accuracy(targets) < 0.4
    with pytest.raises(ValueError, match="read off"):
        substitute(SubstitutionGraph(found, tests, targets))


def test_training_rows_and_unknown_tokens() -> None:
    found, tests, targets = two_hop(200)
    asked = np.concatenate([found.rows[:2], tests[:1] * 0 + 99])
    result = coverage(found, asked, np.append(found.targets[:2], 0))
    assert result.cutoff.tolist() == [8, 8, 0]
    assert result.shown.tolist() == [0, 1, -1]
    answers = substitute(SubstitutionGraph(found, asked))
    assert answers.targets.tolist() == [*found.targets[:2].tolist(), NONE]
    assert direct_cutoff(found, asked, np.append(found.targets[:2], 0), (0, 1))[2] == 0
    assert len(targets)


def test_direct_evidence_needs_a_row_of_the_same_context_and_target() -> None:
    rows, targets = chain_with_a_contradiction()
    found = classes(rows, targets, k_max=4)
    # (a, 2): b gives 7 in context 2, and a ≡ b with two shared contexts; c is no partner of a.
    assert direct_cutoff(found, np.array([[A, 2], [A, 2], [A, 9]]), np.array([7, 8, 7]), (0,)).tolist() == [2, 0, 0]


def test_witness_leads_to_a_training_row_by_pairs_that_agree() -> None:
    found, tests, _ = two_hop(250)
    graph = SubstitutionGraph(found, tests)
    cutoff = graph.coverage().cutoff
    told = {tuple(row): target for row, target in zip(found.rows.tolist(), found.targets.tolist(), strict=True)}
    seen = 0
    for test in np.flatnonzero(cutoff > 0)[:30]:
        k = int(cutoff[test])
        chain = witness(graph, int(test), k)
        assert chain is not None
        assert told[chain.trained] == chain.target
        here = chain.test
        for step in chain.steps:
            assert step.source == here
            fragment = parts(here, step.because[0].subset)
            assert fragment[0] == step.because[0].first
            for one in step.because:
                assert len(one.shared) >= k
                for context, target in one.shared:
                    rest = [p for p in range(3) if p not in one.subset]
                    for side in (one.first, one.second):
                        row = dict(zip((*one.subset, *rest), (*side, *context), strict=True))
                        assert told[row[0], row[1], row[2]] == target
                        seen += 1
            here = step.result
            assert parts(here, step.because[0].subset) == (step.because[-1].second, fragment[1])
        assert here == chain.trained
    assert seen > 30
    assert witness(graph, int(np.flatnonzero(cutoff < 8)[0]), 8) is None


def test_witness_in_words() -> None:
    rows, targets = chain_with_a_contradiction()
    graph = SubstitutionGraph(classes(rows, targets, k_max=2, subsets=[(0,)]), np.array([[A, 2], [A, 0]]))
    chain = witness(graph, 0, 2)
    assert chain is not None
    assert in_words(chain, ("x1", "x2"), lambda p, t: "abc"[t] if p == 0 else f"c{t}", lambda t: f"t{t}", limit=1) == [
        "(a, c2) at k = 2:",
        "  (a, c2) -> (b, c2)",
        "    (a) ≡ (b): both gave t5 with x2=c0; 1 more",
        "  (b, c2) is a training row: t7",
    ]
    itself = witness(graph, 1, 2)
    assert itself is not None
    assert itself.steps == ()


def test_nearest_row_by_hamming_distance() -> None:
    rows, targets = np.array([[0, 0, 0], [0, 0, 1], [1, 1, 1], [2, 2, 2]]), np.array([3, 4, 4, 5])
    assert nearest(rows, targets, np.array([[0, 0, 2], [2, 2, 0], [9, 9, 9]])).tolist() == [3, 5, 4]


def test_a_row_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        classes(np.array([[0, 1], [0, 1]]), np.array([0, 0]))

"""Every corruption changes its one ingredient and the answer; every exchange has the counterfactual that it claims."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from wheatstone.domains.kg.comparison import comparison_split
from wheatstone.domains.kg.graph import chains
from wheatstone.domains.kg.synthetic import random_table
from wheatstone.domains.probes import ComparisonTokens, comparison_probe, composition_probe


@given(seed=st.integers(0, 1000), out_degree=st.integers(2, 5))
@settings(max_examples=20)
def test_composition_probe_by_looking_everything_up(seed: int, out_degree: int) -> None:
    rng = np.random.default_rng(seed)
    table = random_table(15, 5, out_degree, rng)
    probe = composition_probe(table, chains(table), rng)
    n_entity = len(table)

    def looked_up(tokens: Tensor) -> list[int]:
        answers: list[int] = []
        for h, r1, r2 in tokens.tolist():
            bridge = int(table[h, r1 - n_entity])
            answers.append(int(table[bridge, r2 - n_entity]) if bridge >= 0 else -1)
        return answers

    expected = probe.expected.tolist()
    assert looked_up(probe.clean) == expected
    for position, name in enumerate(("h", "r1", "r2")):
        corrupted = probe.corruptions[name]
        changed = (corrupted != probe.clean).any(0).tolist()
        assert changed == [len(expected) > 0 and i == position for i in range(3)]
        answers = looked_up(corrupted)
        assert all(a not in (-1, e) for a, e in zip(answers, expected, strict=True))
    (bridge,) = probe.variables
    assert bridge.source[:, 2].tolist() == probe.clean[:, 2].tolist()
    assert bridge.counterfactual.tolist() == looked_up(bridge.source)
    assert all(a != e for a, e in zip(bridge.counterfactual.tolist(), expected, strict=True))
    for row, entity in zip(probe.clean.tolist(), probe.readable["bridge"].tolist(), strict=True):
        assert table[row[0], row[1] - n_entity] == entity


def test_comparison_probe_by_comparing_numbers() -> None:
    split = comparison_split(30, 4, 6, phi=6.0, seed=3)
    tokens = ComparisonTokens(30, 4, 6)
    probe = comparison_probe(split.values, split.train, tokens, np.random.default_rng(0))
    assert len(probe.clean) > 0.8 * len(split.train)

    def label(attribute: int, left: int, right: int) -> int:
        order = (left > right) - (left < right) + 1
        return 30 + 4 + 6 + 3 * attribute + order

    def value(row: list[int], position: int) -> int:
        return int(split.values[row[position], row[0] - 30])

    def answer(row: list[int]) -> int:
        return label(row[0] - 30, value(row, 2), value(row, 4))

    first, second = probe.variables
    for i, row in enumerate(probe.clean.tolist()):
        assert probe.expected[i] == answer(row)
        for name, position in (("e1", 2), ("e2", 4), ("attribute", 0)):
            corrupted = probe.corruptions[name][i].tolist()
            assert [a != b for a, b in zip(row, corrupted, strict=True)] == [p == position for p in range(5)]
            if name != "attribute":
                assert answer(corrupted) != answer(row)
        a, b = first.source[i].tolist(), second.source[i].tolist()
        assert first.counterfactual[i] == label(row[0] - 30, value(a, 2), value(row, 4)) != answer(row)
        assert second.counterfactual[i] == label(row[0] - 30, value(row, 2), value(b, 4)) != answer(row)
        assert a[4] != row[4]
        assert b[2] != row[2]

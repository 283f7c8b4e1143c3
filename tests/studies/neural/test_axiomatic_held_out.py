"""Where a seed holds out none of the few shapes of four nodes, there is no test of them; others still show theirs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wheatstone.bench.exhibit import Lines
from wheatstone.bench.run import Run
from wheatstone.domains.causal.axioms import AXIOMS
from wheatstone.studies.neural.axiomatic_training import examination, exhibits, study


def test_no_test_is_empty() -> None:
    axiom, config = AXIOMS["transitivity"], dataclasses.replace(study.SMOKE, asked=5, held_out=0.2)

    def of_four(salt: int) -> int:
        return len(examination.draw(axiom, 5, 4, np.random.default_rng(0), "flipped", "label", config.held_out, salt))

    salt = next(salt for salt in range(100) if not of_four(salt))
    tests = examination.tests_of(axiom, config, salt, np.random.default_rng(0))
    assert all(len(test.instances) for test in tests)
    assert not [test for test in tests if (test.family, test.n_node, test.balance) == ("flipped", 4, "label")]
    assert [test for test in tests if (test.family, test.n_node, test.balance) == ("flipped", 5, "label")]


def test_a_seed_without_a_test_leaves_the_point_to_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.create(tmp_path / "run", study.STUDY, "smoke", study.SMOKE, (0, 1, 2, 3), ("mixed",), 1)
    balanced: dict[int, dict[int, float | None]]
    balanced = {0: {4: 0.8, 5: 0.9}, 1: {4: None, 5: 0.7}, 2: {5: 0.8, 6: 0.6}, 3: {5: 0.8, 6: 0.8}}

    def tests(_run: Run, _arm: str, seed: int, _name: str) -> list[dict[str, Any]]:
        return [
            {"family": "flipped", "balance": "distance", "nodes": nodes, "far": {"balanced": value}}
            for nodes, value in balanced[seed].items()
        ]

    monkeypatch.setattr(exhibits, "_artifact", tests)
    shown = exhibits._by_length(run, "flipped", ["mixed"])
    assert isinstance(shown, Lines)
    assert list(shown.lines[0].x) == [5.0, 6.0]
    assert list(shown.lines[0].y) == pytest.approx([0.8, 0.7])

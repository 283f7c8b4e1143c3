"""Where a seed holds out none of the few shapes of four nodes, there is no test of them."""

from __future__ import annotations

import dataclasses

import numpy as np

from wheatstone.domains.causal.axioms import AXIOMS
from wheatstone.studies.neural.axiomatic_training import examination, study


def test_no_test_is_empty() -> None:
    axiom, config = AXIOMS["transitivity"], dataclasses.replace(study.SMOKE, asked=5, held_out=0.2)

    def of_four(salt: int) -> int:
        return len(examination.draw(axiom, 5, 4, np.random.default_rng(0), "flipped", "label", config.held_out, salt))

    salt = next(salt for salt in range(100) if not of_four(salt))
    tests = examination.tests_of(axiom, config, salt, np.random.default_rng(0))
    assert all(len(test.instances) for test in tests)
    assert not [test for test in tests if (test.family, test.n_node, test.balance) == ("flipped", 4, "label")]
    assert [test for test in tests if (test.family, test.n_node, test.balance) == ("flipped", 5, "label")]

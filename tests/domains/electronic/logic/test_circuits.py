"""Generated circuits compute what their names say."""

from __future__ import annotations

import numpy as np
import pytest

from wheatstone.bench.errors import UserError
from wheatstone.domains.electronic.logic.aig import Aig
from wheatstone.domains.electronic.logic.circuits import circuit
from wheatstone.domains.electronic.logic.features import CONSTANT, GATE, INPUT, OUTPUT, graph_arrays


def in_turns(bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Both operands of aigverse's arithmetic, whose inputs are a0 b0 a1 b1 ..."""
    places = np.arange(1 << 2 * bits)[:, None] >> np.arange(2 * bits) & 1
    weights = 1 << np.arange(bits)
    return places[:, 0::2] @ weights, places[:, 1::2] @ weights


def number(aig: Aig) -> np.ndarray:
    return aig.truth_table() @ (1 << np.arange(aig.n_outputs))


def test_arithmetic() -> None:
    a, b = in_turns(4)
    assert np.array_equal(number(circuit("rca4")), a + b)
    assert np.array_equal(number(circuit("cla4")), a + b)
    assert np.array_equal(number(circuit("mult4")), a * b)
    rows = np.arange(256)
    a, b = rows % 16, rows // 16
    assert np.array_equal(circuit("compare4").truth_table(), np.stack([a < b, a == b], axis=1))


def test_counting() -> None:
    ones = np.array([bin(row).count("1") for row in range(256)])
    assert np.array_equal(number(circuit("popcount8")), ones)
    assert np.array_equal(circuit("parity8").truth_table()[:, -1], ones % 2 == 1)


def test_random_logic_is_the_same_for_the_same_number() -> None:
    assert circuit("pla3") == circuit("pla3")
    assert circuit("pla3") != circuit("pla4")
    both = circuit("pla3+mult4")
    assert both.n_gates == circuit("pla3").n_gates + circuit("mult4").n_gates


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UserError, match="no circuit 'nonsense': neither a benchmark below"):
        circuit("nonsense")


def test_arrays_for_a_graph_network() -> None:
    aig = circuit("mult4")
    arrays = graph_arrays(aig)
    assert np.bincount(arrays.kinds).tolist() == [1, aig.n_inputs, aig.n_gates, aig.n_outputs]
    assert [CONSTANT, INPUT, GATE, OUTPUT] == [0, 1, 2, 3]
    assert arrays.edges.shape == (2, 2 * aig.n_gates + aig.n_outputs)
    assert (arrays.edges[0] < arrays.edges[1]).all()
    assert arrays.inverted.sum() == (aig.fanins & 1).sum() + (aig.outputs & 1).sum()

"""Counts of small circuits by hand; an identity that relabelling and harmless reordering keep, and nothing else."""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
import pytest
from qiskit.circuit.random import random_circuit

from wheatstone.domains.quantum.program import Op, Program, program, text_of
from wheatstone.domains.quantum.qasm import parse_circuit
from wheatstone.domains.quantum.structure import METRICS, distances, first_use, identity, metrics, table

GHZ = Program(4, (Op("h", (0,)), *(Op("cx", (place, place + 1)) for place in range(3))))


def test_a_ladder_by_hand() -> None:
    found = metrics(GHZ)
    assert set(found) == set(METRICS)
    assert found["gates"] == found["depth"] == math.log2(5)
    assert found["two_qubit_depth"] == 2
    assert found["two_qubit_share"] == 0.75
    assert found["parallelism"] == 0
    assert found["liveness"] == 7 / 16
    assert found["density"] == 0.5
    assert found["degree"] == 1.5
    assert found["clustering"] == 0
    assert found["path"] == pytest.approx(10 / 6)
    assert found["clifford"] == 1
    assert found["repetition"] == pytest.approx(1 / 3)


def test_nothing_to_count_is_zero() -> None:
    assert set(metrics(Program(2, ())).values()) == {0.0}


@pytest.mark.parametrize("seed", range(5))
def test_depth_and_graph_are_those_of_qiskit_and_networkx(seed: int) -> None:
    one = program(random_circuit(6, 4, max_operands=2, seed=seed))
    circuit = parse_circuit(text_of(one)).circuit
    found = metrics(one)
    assert 2 ** found["depth"] - 1 == pytest.approx(circuit.depth())
    assert 2 ** found["two_qubit_depth"] - 1 == pytest.approx(circuit.depth(lambda item: len(item.qubits) == 2))
    graph = nx.Graph(op.qubits for op in one.ops if len(op.qubits) == 2)
    used = {qubit for op in one.ops for qubit in op.qubits}
    graph.add_nodes_from(used)
    assert found["density"] == pytest.approx(nx.density(graph))
    assert found["clustering"] == pytest.approx(nx.average_clustering(graph))
    pairs = [d for a, row in nx.all_pairs_shortest_path_length(graph) for b, d in row.items() if a != b]
    assert found["path"] == pytest.approx(np.mean(pairs))


def test_identity_knows_a_circuit_under_other_names() -> None:
    rng = np.random.default_rng(0)
    one = program(random_circuit(5, 4, max_operands=3, seed=1))
    assert identity(one) == identity(one.relabelled(list(map(int, rng.permutation(5)))))
    swapped = Program(4, (Op("x", (3,)), *GHZ.ops))
    assert identity(swapped) == identity(Program(4, (GHZ.ops[0], Op("x", (3,)), *GHZ.ops[1:])))
    assert identity(swapped) != identity(Program(4, (*GHZ.ops, Op("x", (3,)))))
    assert identity(GHZ) != identity(Program(5, GHZ.ops))
    assert identity(Program(2, (Op("cx", (0, 1)),))) == identity(Program(2, (Op("cx", (1, 0)),)))
    assert identity(Program(2, (Op("cx", (0, 1)), Op("cx", (0, 1))))) != identity(
        Program(2, (Op("cx", (0, 1)), Op("cx", (1, 0))))
    )


def test_first_use_numbers_qubits_as_gates_reach_them() -> None:
    turned = GHZ.relabelled([3, 1, 0, 2])
    assert first_use(turned) == GHZ


def test_a_set_is_no_distance_from_itself() -> None:
    one, other = table([GHZ, Program(4, GHZ.ops[:2])]), table([Program(4, GHZ.ops[:1])] * 3)
    assert max(distances(one, one).values()) == 0
    assert distances(one, other)["two_qubit_share"] > 1

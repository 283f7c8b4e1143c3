"""Hamiltonians and their evolution against dense exponentials."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp
from scipy.linalg import expm
from tests.domains.quantum.chains import coarse

from wheatstone.bench.errors import InputError, UserError
from wheatstone.domains.quantum.hamiltonian import Model, chain, read_hamiltonian
from wheatstone.domains.quantum.mps import run_circuit
from wheatstone.domains.quantum.trotter import Order, neel, routed_trotter, trotter

MODELS: tuple[Model, ...] = ("heisenberg", "xxz", "tfim", "ising")


def exact(model: Model, n: int, time: float, field: float = 0.7) -> np.ndarray:
    start = np.zeros(2**n, dtype=complex)
    start[int(("10" * n)[:n], 2)] = 1
    return expm(-1j * time * chain(model, n, delta=0.5, field=field).dense()) @ start


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("order", [1, 2, 4])
def test_the_error_falls_with_the_power_of_the_order(model: Model, order: Order) -> None:
    """An odd chain, where 1010... read backwards is the same state but 0101... is not."""
    n, time = 5, 0.8
    hamiltonian, expected = chain(model, n, delta=0.5, field=0.7), exact(model, n, time)

    def distance(steps: int) -> float:
        state = run_circuit(trotter(hamiltonian, time, steps, neel(n), order)).to_dense()
        return float(np.linalg.norm(state - expected))

    assert distance(8) < 0.2
    assert distance(8) / distance(16) == pytest.approx(2**order, rel=0.25)


def test_strings_on_distant_and_many_qubits_are_routed(tmp_path: Path) -> None:
    (tmp_path / "sum.txt").write_text("0.7 XIIX\n-0.4 ZZII\n0.3 IYZX\n0.5 IIZI\n2 IIII\n")
    hamiltonian = read_hamiltonian(tmp_path / "sum.txt")
    start = np.zeros(16, dtype=complex)
    start[int("1010", 2)] = 1
    expected = expm(-0.9j * hamiltonian.dense()) @ start

    def infidelity(steps: int) -> float:
        state = run_circuit(routed_trotter(hamiltonian, 0.9, steps, neel(4))).to_dense()
        return 1 - abs(np.vdot(expected, state)) ** 2

    assert infidelity(8) < 1e-3
    assert infidelity(8) / infidelity(16) == pytest.approx(16, rel=0.2)  # amplitudes err by 1 / steps^2


def test_steps_of_order_two_are_two_layers_and_one() -> None:
    assert [len(coarse(8, steps=steps).layers) for steps in (1, 3, 6)] == [3, 7, 13]


def test_bonds_sum_up_to_the_hamiltonian() -> None:
    for model in MODELS:
        hamiltonian = chain(model, 4, [1.0, 0.5, 2.0], field=0.3)
        wide = sum(
            np.kron(np.kron(np.eye(2**bond), matrix), np.eye(2 ** (2 - bond)))
            for bond, matrix in enumerate(hamiltonian.bonds())
        )
        np.testing.assert_allclose(wide, hamiltonian.dense(), atol=1e-14)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sum.txt", "# a sum\n0.5 XXI\n-0.25, IZZ\n1e-1 ZII # field\n"),
        ("sum.txt", "0.5 X0 X1\n-0.25 Z1Z2\n0.1 Z0\n"),
        ("sum.json", '[[0.5, "XXI"], [-0.25, "IZZ"], [0.1, "ZII"]]'),
    ],
)
def test_a_file_is_read_as_qiskit_would_write_it(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    found = read_hamiltonian(tmp_path / name)
    expected = SparsePauliOp(["IXX", "ZZI", "IIZ"], [0.5, -0.25, 0.1]).to_matrix()  # qubit 0 is its last letter
    reordered = expected.reshape((2,) * 6).transpose(2, 1, 0, 5, 4, 3).reshape(8, 8)
    np.testing.assert_allclose(found.dense(), reordered)


def test_every_fault_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "sum.txt").write_text("nan XX\n0.5 XQ\n0.5 XXI\n1 ZZ\nhalf ZZI\n1 Z0 Z0\n")
    with pytest.raises(InputError) as fault:
        read_hamiltonian(tmp_path / "sum.txt")
    assert str(fault.value).splitlines() == [
        "sum.txt:1 field 'coefficient': 'nan' is not a finite real number.",
        "sum.txt:2 field 'string': 'XQ' is no Pauli string. Write XXI, or X0 X1.",
        "sum.txt:4 field 'string': 'ZZ' has 2 sites, the one on line 3 has 3; all are of one length.",
        "sum.txt:5 field 'coefficient': 'half' is not a finite real number.",
        "sum.txt:6 field 'string': 'Z0 Z0' names a site twice.",
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("sum.txt", "# nothing\n", "sum.txt: no terms"),
        ("sum.json", "[[0.5,]]", r"sum.json:1: not JSON"),
        ("sum.json", '{"XX": 1}', "must be a list of"),
        ("sum.json", '[["XX"]]', r"field 'item 1': \['XX'\] is not a"),
        ("sum.txt", "1 Z\n", "1 site; a chain has at least 2"),
    ],
)
def test_a_file_without_a_sum_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read_hamiltonian(tmp_path / name)


def test_a_distant_term_is_named(tmp_path: Path) -> None:
    (tmp_path / "sum.txt").write_text("1 XXI\n0.5 ZIZ\n")
    with pytest.raises(UserError, match=r"term Z0 Z2 does not act on neighbours .*--allow-swaps"):
        read_hamiltonian(tmp_path / "sum.txt").bonds()


def test_a_chain_has_two_sites_and_a_coupling_a_bond() -> None:
    with pytest.raises(UserError, match="a chain of 1 site: must have at least 2"):
        chain("tfim", 1)
    with pytest.raises(UserError, match="3 couplings for 2 bonds"):
        chain("tfim", 3, [1, 1, 1])

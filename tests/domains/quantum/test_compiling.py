"""Starts and compiling: a fine Trotter circuit is averaged into a coarse one, a saddle is left, the rest is grown."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm
from tests.domains.quantum.chains import brick, coarse, evolved

from wheatstone.bench.errors import UserError
from wheatstone.domains.quantum.circuit import LayeredCircuit, arrange
from wheatstone.domains.quantum.compiling import averaged, best_start, compile_state, generator, per_site
from wheatstone.domains.quantum.hamiltonian import PAULIS, chain
from wheatstone.domains.quantum.mps import EXACT, MPS, run_circuit


def test_the_average_of_a_fine_trotter_circuit_is_the_coarse_one() -> None:
    fine, expected = coarse(9, 1.2, 20), run_circuit(coarse(9, 1.2, 2))
    assert expected.fidelity(run_circuit(averaged(fine, 5))) == pytest.approx(1, abs=1e-10)


def test_a_generator_is_the_smallest_logarithm() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4))
    hermitian = 0.2 * (matrix + matrix.conj().T)
    hermitian -= np.eye(4) * np.trace(hermitian) / 4
    np.testing.assert_allclose(generator(np.exp(2j) * expm(1j * hermitian)), hermitian, atol=1e-10)
    swap_like = expm(1j * 0.9 * np.kron(PAULIS["Z"], PAULIS["Z"]))
    np.testing.assert_allclose(expm(1j * generator(swap_like)), swap_like, atol=1e-10)


def test_auto_takes_the_best_start() -> None:
    source = coarse(8, 1.2, 20)
    target = run_circuit(source)
    name, fitted = best_start(target, source, 5, "auto", EXACT)
    chosen = target.fidelity(run_circuit(fitted.ansatz.circuit(fitted.angles)))
    assert name == "averaged"
    for other in ("averaged", "cut", "product"):
        _, start = best_start(target, source, 5, other, EXACT)
        assert target.fidelity(run_circuit(start.ansatz.circuit(start.angles))) <= chosen + 1e-9


def test_compiling_shortens_a_trotter_circuit_of_a_users_own() -> None:
    source = coarse(10, 1.2, 20)
    target = run_circuit(source)
    found = compile_state(target, source, 5, iterations=40)
    assert len(found.circuit.layers) == 5 < len(source.layers)
    assert target.fidelity(run_circuit(found.circuit)) > 0.999


def test_layers_are_added_until_the_fidelity_is_reached() -> None:
    source = coarse(8, 1.2, 20)
    target = run_circuit(source)
    options = {"iterations": 20, "stop_fidelity": 0.9995}
    alone = compile_state(target, source, 2, **options)  # pyright: ignore[reportArgumentType]
    more = compile_state(target, source, 2, expand=4, **options)  # pyright: ignore[reportArgumentType]
    assert alone.found.best.fidelity < 0.9995 < more.found.best.fidelity
    assert 2 < len(more.circuit.layers) < 6


def test_a_circuit_that_is_not_trotter_is_grown() -> None:
    source = brick(6, 3, seed=3)
    target = run_circuit(source)
    found = compile_state(target, source, 3, iterations=300, start="auto")
    assert found.found.best.fidelity > 0.99


def test_a_saddle_is_left() -> None:
    """The nearest product state of a cat state has no slope; two qubits can hold the state all the same."""
    cat = MPS.from_dense(np.array([1, 0, 0, 1], dtype=complex) / np.sqrt(2))
    source = LayeredCircuit(np.tile(np.eye(2, dtype=complex), (2, 1, 1)), arrange(2, [(0, np.eye(4, dtype=complex))]))
    assert compile_state(cat, source, 1, start="product").found.best.fidelity > 0.999


def test_layers_are_asked_for() -> None:
    with pytest.raises(UserError, match="an ansatz has at least"):
        compile_state(evolved(4), coarse(4), 0)


def test_error_per_site_of_a_product_does_not_depend_on_its_length() -> None:
    assert per_site(0.99**50, 50) == pytest.approx(per_site(0.99**100, 100)) == pytest.approx(0.01)
    assert chain("tfim", 4).n == 4

"""The study's own parts with known answers, and its two verbs on a user's files."""

from __future__ import annotations

import dataclasses
import math
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wheatstone.bench.registry import load
from wheatstone.bench.run import Run
from wheatstone.bench.work import Task, perform
from wheatstone.cli.main import main
from wheatstone.domains.quantum.bridges import fidelity_by_others
from wheatstone.domains.quantum.circuit import LayeredCircuit, chain_circuit, layered
from wheatstone.domains.quantum.mps import run_circuit
from wheatstone.domains.quantum.qasm import parse_circuit, read_circuit, write_circuit
from wheatstone.domains.quantum.trotter import trotter
from wheatstone.studies.quantum.aqctensor.config import Config
from wheatstone.studies.quantum.aqctensor.study import SMOKE
from wheatstone.studies.quantum.aqctensor.target import make_chain, make_target, target_error

DATA = Path(__file__).parents[2] / "data" / "aqctensor"
QASMBENCH = (
    Path(os.environ.get("WHEATSTONE_DATA") or Path(__file__).parents[3].parent / "shared" / "data")
    / "quantum"
    / "qasmbench_small.tar.gz"
)


def measured(folder: Path, arm: str, **changes: Any) -> tuple[dict[str, float], Run]:
    study = load("aqctensor")
    config = dataclasses.replace(SMOKE, **changes)
    run = Run.create(folder / arm, study, "smoke", config, (0,), (arm,), 1)
    return perform(run, study, Task(arm, 0), lambda *_: None), run


def test_the_target_is_the_exact_state() -> None:
    """Ten times finer than the reference: its Trotter error is four decades below the reference's."""
    config = Config(n=8, time=2.4)
    chain = make_chain(config, np.random.default_rng(0))
    target = make_target(chain, config)
    error = target_error(chain, target, config)
    reference = run_circuit(trotter(chain.hamiltonian, 2.4, 6, chain.front))
    assert error < 1e-6
    assert 1 - target.fidelity(reference) > 100 * error


def test_a_seed_is_another_chain_of_the_same_kind() -> None:
    config = Config(n=30, disorder=0.05)
    couplings = [
        [-4 * term.coefficient for term in make_chain(config, np.random.default_rng(seed)).hamiltonian.terms]
        for seed in (0, 1)
    ]
    assert couplings[0] != couplings[1]
    assert all(0.95 <= value <= 1.05 for row in couplings for value in row)


def test_the_compiled_circuit_beats_trotter_and_others_agree(tmp_path: Path) -> None:
    compiled, run = measured(tmp_path, "compiled", n=7, time=1.2)
    reference, _ = measured(tmp_path, "trotter", n=7, time=1.2)
    assert compiled["cx_depth"] == 15 < reference["cx_depth"] == 21
    assert compiled["fidelity"] > reference["fidelity"] == pytest.approx(compiled["reference_fidelity"], abs=1e-9)
    assert compiled["engine_gap"] < 1e-9
    assert compiled["optimiser_gap"] < 1e-6
    assert math.isnan(reference["optimiser_gap"])
    # What lies in the run directory is what was measured: another simulator, from the file.
    config = Config(**run.trial("compiled", 0).values)  # pyright: ignore[reportArgumentType]
    file = run.trial("compiled", 0).file("circuit.qasm")
    from wheatstone.bench.trial import derived_seed

    rng = np.random.default_rng(np.random.SeedSequence(np.frombuffer(derived_seed(0, "couplings"), np.uint32)))
    target = make_target(make_chain(config, rng), config)
    assert fidelity_by_others(read_circuit(file).circuit, target) == pytest.approx(compiled["fidelity"], abs=1e-12)


def test_a_random_start_has_little_slope(tmp_path: Path) -> None:
    random, _ = measured(tmp_path, "slopes_random")
    trotter_start, _ = measured(tmp_path, "slopes_trotter")
    assert random["decades_per_doubling"] > trotter_start["decades_per_doubling"]
    assert random["decades_per_doubling"] == pytest.approx(
        math.log10(random["first_gradient"] / random["last_gradient"]), abs=1e-12
    )
    assert math.isnan(random["fidelity"])


def write_trotter(path: Path, n: int = 8) -> LayeredCircuit:
    """A deep circuit as somebody else would write it: rotations, qiskit's own gates, a measurement at its end."""
    lines = ["OPENQASM 2.0;", 'include "qelib1.inc";', f"qreg q[{n}];", f"creg c[{n}];"]
    lines += ["gate ryy(t) a, b { rx(pi/2) a; rx(pi/2) b; rzz(t) a, b; rx(-pi/2) a; rx(-pi/2) b; }"]
    lines += [f"x q[{site}];" for site in range(0, n, 2)]
    for _ in range(12):
        for parity in (0, 1):
            for left in range(parity, n - 1, 2):
                lines += [f"{gate}(-0.05) q[{left}],q[{left + 1}];" for gate in ("rxx", "ryy", "rzz")]
    path.write_text("\n".join([*lines, "measure q -> c;"]) + "\n")
    return layered(chain_circuit(read_circuit(path)))


def test_compile_shortens_a_users_circuit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_trotter(tmp_path / "deep.qasm")
    out = tmp_path / "short.qasm3"
    assert main(["apply", "aqctensor", "compile", str(tmp_path / "deep.qasm"), "--layers", "5", "--out", str(out)]) == 0
    said = capsys.readouterr()
    written = read_circuit(out)
    assert "OPENQASM 3" in out.read_text()
    fidelity = fidelity_by_others(written.circuit, run_circuit(source))
    assert fidelity > 0.999
    assert f"fidelity {fidelity:.6f} by Aer" in said.out
    assert "CX depth 15" in said.out
    assert "holds any state of 8 qubits" in said.err


def test_evolve_compiles_a_hamiltonian(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "chain.txt").write_text("".join(f"-1 Z{i} Z{i + 1}\n" for i in range(6)) + "-0.8 X3\n-0.8 X0\n")
    out = tmp_path / "short.qasm"
    command = ["apply", "aqctensor", "evolve", str(tmp_path / "chain.txt"), "--time", "0.6", "--layers", "5"]
    assert main([*command, "--initial", "0101010", "--out", str(out)]) == 0
    from scipy.linalg import expm

    from wheatstone.domains.quantum.hamiltonian import read_hamiltonian
    from wheatstone.domains.quantum.mps import MPS

    start = np.zeros(2**7, dtype=complex)
    start[int("0101010", 2)] = 1
    exact = MPS.from_dense(expm(-0.6j * read_hamiltonian(tmp_path / "chain.txt").dense()) @ start)
    assert fidelity_by_others(read_circuit(out).circuit, exact) > 0.999
    assert main([*command, "--initial", "01"]) == 2
    assert "must be 7 digits 0 or 1" in capsys.readouterr().err


def test_evolve_takes_distant_terms_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ring = "".join(f"-0.5 Z{site} Z{(site + 1) % 5}\n0.4 X{site}\n" for site in range(5))
    (tmp_path / "ring.txt").write_text(ring)
    command = ["apply", "aqctensor", "evolve", str(tmp_path / "ring.txt"), "--layers", "6", "--steps", "20"]
    assert main(command) == 2
    assert "term Z0 Z4 does not act on neighbours of an open chain" in capsys.readouterr().err
    assert main([*command, "--allow-swaps", "--out", str(tmp_path / "ring.qasm")]) == 0
    assert "fidelity 0.99" in capsys.readouterr().out


BROKEN = {
    ("compile", "broken.qasm"): (
        "broken.qasm:6: 'ccx' acts on 3 qubits; write it in one- and two-qubit gates, or give --allow-swaps.\n"
        "broken.qasm:7: 'cx' acts on qubits 0 and 3, which are no neighbours; --allow-swaps joins them.\n"
        "broken.qasm:9: 'x' acts on qubit 1 after its measurement; only measurements at the end can be left out.\n"
    ),
    ("compile", "syntax.qasm"): "syntax.qasm:4: needed ';', but instead saw an identifier (column 1).\n",
    ("evolve", "broken.txt"): (
        "broken.txt:3 field 'coefficient': 'nan' is not a finite real number.\n"
        "broken.txt:4 field 'string': 'XQI' is no Pauli string. Write XXI, or X0 X1.\n"
        "broken.txt:5 field 'string': 'ZZ' has 2 sites, the one on line 2 has 3; all are of one length.\n"
    ),
}


@pytest.mark.parametrize("case", BROKEN, ids=str)
def test_a_broken_input_is_told_in_these_words(case: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    verb, file = case
    assert main(["apply", "aqctensor", verb, str(DATA / file), "--layers", "4"]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", BROKEN[case])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layers", "0"], "compile --layers: got 0, must be at least 1."),
        (["--fidelity", "2"], "compile --fidelity: got 2, must be at most 1."),
        (["--max-bond", "1"], "compile --max-bond: got 1, must be at least 2."),
        (["--device", "FakeNowhere"], "no device 'FakeNowhere'."),
    ],
)
@pytest.mark.filterwarnings("ignore")  # of a third party's web client
def test_a_wrong_option_is_told(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_trotter(tmp_path / "deep.qasm", 4)
    assert main(["apply", "aqctensor", "compile", str(tmp_path / "deep.qasm"), *options]) == 2
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep.qasm"]


def test_a_product_has_nothing_to_compile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_circuit(tmp_path / "c.qasm", parse_circuit("OPENQASM 2.0;\nqreg q[3];\nU(1,2,3) q[0];").circuit)
    assert main(["apply", "aqctensor", "compile", str(tmp_path / "c.qasm")]) == 2
    assert "there is nothing to compile" in capsys.readouterr().err


@pytest.mark.skipif(not QASMBENCH.exists(), reason=f"{QASMBENCH} is absent")
@pytest.mark.parametrize(("name", "fidelity"), [("vqe_n4", 0.999), ("ising_n10", 0.9), ("qft_n4", 0.999)])
def test_circuits_of_other_hands_are_compiled(
    name: str, fidelity: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tarfile.open(QASMBENCH) as archive:
        member = next(item for item in archive if item.name.endswith(f"{name}/{name}.qasm"))
        file = archive.extractfile(member)
        assert file is not None
        (tmp_path / "theirs.qasm").write_bytes(file.read())
    out = tmp_path / "ours.qasm"
    command = ["apply", "aqctensor", "compile", str(tmp_path / "theirs.qasm"), "--layers", "6", "--iterations", "40"]
    assert main([*command, "--allow-swaps", "--out", str(out)]) == 0
    capsys.readouterr()
    source = layered(chain_circuit(read_circuit(tmp_path / "theirs.qasm"), allow_swaps=True))
    assert fidelity_by_others(read_circuit(out).circuit, run_circuit(source)) > fidelity

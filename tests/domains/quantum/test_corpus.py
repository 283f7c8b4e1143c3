"""MQT Bench and a folder of files become circuits of one form; splits have nothing in common."""

from __future__ import annotations

import random
import tarfile
from pathlib import Path

import numpy as np
import pytest

from wheatstone.bench.errors import InputError, UserError
from wheatstone.domains.data import data_folder
from wheatstone.domains.quantum.corpus import Corpus, Limits, collected, dumped, loaded, mqt_bench, read_folder, split
from wheatstone.domains.quantum.program import faults, text_of
from wheatstone.domains.quantum.structure import identity

LIMITS = Limits(6, 80, ("bv", "ghz", "graphstate", "qft", "wstate"))
QASMBENCH = data_folder() / "quantum" / "qasmbench_small.tar.gz"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHEATSTONE_CACHE", str(tmp_path_factory.mktemp("cache")))
        return mqt_bench(LIMITS)


def test_the_families_are_there_and_the_circuits_whole(corpus: Corpus) -> None:
    assert corpus.families() == LIMITS.families
    assert {one.n for one in corpus.programs if one.family == "ghz"} == {2, 3, 4, 5, 6}
    assert not [fault for one in corpus.programs for fault in faults(one.n, one.ops)]
    ghz = next(one for one in corpus.programs if one.name == "ghz_3")
    assert [op.gate for op in ghz.ops] == ["h", "cx", "cx"]
    assert all(sum(1 + len(op.qubits) + len(op.angles) for op in one.ops) <= 80 for one in corpus.programs)


def test_it_is_the_same_set_every_time(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEATSTONE_CACHE", str(tmp_path))
    random.seed(1)
    before = random.getstate()
    assert mqt_bench(LIMITS) == corpus  # graph states are drawn at random
    assert random.getstate() == before
    assert mqt_bench(LIMITS) == corpus  # from the cache
    damaged = next((tmp_path / "circuits").iterdir())
    damaged.write_text(damaged.read_text().replace('["cx", [0, 1]', '["cx", [0, 0]', 1))
    with pytest.raises(InputError, match=r"jsonl:\d+: gate \d+: 'cx' on one qubit twice; delete the file"):
        mqt_bench(LIMITS)


def test_equals_are_dropped_whatever_their_qubits_are_called(corpus: Corpus) -> None:
    turned = [one.relabelled(list(reversed(range(one.n)))) for one in corpus.programs]
    again = collected([*corpus.programs, *turned], LIMITS)
    assert again.programs == corpus.programs
    assert again.dropped.duplicates == len(turned)
    assert collected(corpus.programs, Limits(3, 80)).dropped.too_long > 0


def test_a_split_shares_no_family_and_no_circuit(corpus: Corpus) -> None:
    for seed in range(5):
        found = split(corpus, np.random.default_rng(seed), files=0.2, families=2)
        parts = [{identity(one) for one in part} for part in found]
        assert len(set().union(*parts)) == sum(map(len, parts)) == len(corpus.programs)
        inside, outside = (
            {one.family for one in part} for part in ((*found.train, *found.files), found.other_families)
        )
        assert len(outside) == 2
        assert not inside & outside
    with pytest.raises(UserError, match="5 families cannot be held out of 5"):
        split(corpus, np.random.default_rng(0), files=0.2, families=5)
    with pytest.raises(UserError, match="too few to hold out"):
        split(Corpus(corpus.programs[:1], corpus.dropped), np.random.default_rng(0), files=0.9, families=0)


def test_a_stored_set_is_read_back_exactly(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "set.jsonl").write_bytes(dumped(corpus.programs))
    assert tuple(loaded(tmp_path / "set.jsonl")) == corpus.programs
    (tmp_path / "set.jsonl").write_text('{"n": 2}\n')
    with pytest.raises(InputError, match=r"set\.jsonl:1: no circuit"):
        loaded(tmp_path / "set.jsonl")


def test_a_folder_is_read_and_its_bad_files_are_named(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no OpenQASM file in it"):
        read_folder(tmp_path, LIMITS)
    with pytest.raises(UserError, match="no such folder"):
        read_folder(tmp_path / "absent", LIMITS)
    for one in corpus.programs:
        place = tmp_path / one.family if one.family == "qft" else tmp_path
        place.mkdir(exist_ok=True)
        (place / f"{one.name}.qasm").write_text(text_of(one, measure=True))
    found, wrong = read_folder(tmp_path, LIMITS)
    assert not wrong
    assert found.families() == corpus.families()
    assert {identity(one) for one in found.programs} == {identity(one) for one in corpus.programs}
    (tmp_path / "bad.qasm").write_text('OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\nh q[2];\n')
    (tmp_path / "loop.qasm").write_text(
        'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[2] q;\nwhile (true) { x q[0]; }\n'
    )
    with pytest.raises(InputError, match=r"bad\.qasm:4: index 2 is out-of-range.*\n.*loop\.qasm"):
        read_folder(tmp_path, LIMITS)
    kept, wrong = read_folder(tmp_path, LIMITS, skip_bad=True)
    assert kept == found
    assert {fault.file for fault in wrong} == {"bad.qasm", "loop.qasm"}
    with pytest.raises(UserError, match=r"none of \d+ files can be learnt from"):
        read_folder(tmp_path, Limits(1, 80), skip_bad=True)


@pytest.mark.skipif(not QASMBENCH.is_file(), reason="QASMBench is not there")
def test_circuits_of_other_hands_are_read(tmp_path: Path) -> None:
    with tarfile.open(QASMBENCH) as archive:
        archive.extractall(tmp_path, filter="data")
    found, wrong = read_folder(tmp_path, Limits(30, 2000), skip_bad=True)
    assert len(found.programs) > 40
    assert all(fault.line is not None for fault in wrong)
    assert not [fault for one in found.programs for fault in faults(one.n, one.ops)]

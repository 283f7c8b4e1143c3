"""The generator learns what can be learnt, its circuits are circuits, and every trap of judging them is shown."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from wheatstone.bench.checkpoint import read_tensors, write_tensors
from wheatstone.bench.engine import InlineEngine, execute_run
from wheatstone.bench.run import Run
from wheatstone.cli.main import main
from wheatstone.domains.quantum.circuit_text import END, HEADER, PAD, START, Lines, Room, Words
from wheatstone.domains.quantum.corpus import Corpus, Limits, mqt_bench, split
from wheatstone.domains.quantum.judging import FIRST_LINES, fixed_judge, header_of, nearest, two_sample, words_of
from wheatstone.domains.quantum.program import Op, Program, faults, text_of
from wheatstone.domains.quantum.qasm import read_circuit
from wheatstone.domains.quantum.structure import distances, table
from wheatstone.learn.sequences import NO_TARGET
from wheatstone.studies.quantum.ketgpt.generator import packed
from wheatstone.studies.quantum.ketgpt.rivals import (
    Ngram,
    Shape,
    Statements,
    copied,
    drawn_shapes,
    library_random,
    shuffled,
    spliced,
)
from wheatstone.studies.quantum.ketgpt.study import SMOKE, STUDY

DATA = Path(__file__).parents[2] / "data" / "ketgpt"
RNG = np.random.default_rng


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return mqt_bench(Limits(9, 110))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The method at the smallest size."""
    config = dataclasses.replace(SMOKE, steps=60)
    run = Run.create(
        tmp_path_factory.mktemp("ketgpt") / "run", STUDY, "smoke", config, [0], ["words", "spliced"][:1], 1
    )
    execute_run(run, STUDY, InlineEngine())
    return run


def judged(corpus: Corpus, candidates: list[Program]) -> float:
    real = list(corpus.programs)
    groups = [real[one.place].family for one in nearest(candidates, real)]
    return two_sample(real, [one.family for one in real], candidates, groups, RNG(0)).auc()


def test_the_published_judge_takes_random_circuits_for_real_and_a_fresh_one_does_not(corpus: Corpus) -> None:
    real, statements = list(corpus.programs), Statements(corpus.programs)
    shapes = [Shape(one.n, len(one.ops), "") for one in real]
    uniform, matched = (statements.drawn(shapes, RNG(kind), matched=bool(kind)) for kind in (0, 1))
    judge = fixed_judge(real, statements.drawn(shapes, RNG(2), matched=False), RNG(3))
    assert judge.accuracy > 0.85
    assert judge.says_real(uniform).mean() < 0.2
    assert judge.says_real(matched).mean() > 0.85
    assert judged(corpus, uniform) > 0.95
    assert judged(corpus, matched) > 0.9
    pairs = [one.name for one in real]  # both have the same register: nothing is left to be told apart by
    header = two_sample(real, pairs, matched, pairs, RNG(0), header_of)
    assert header.auc() == pytest.approx(0.5, abs=0.1)


def test_memory_passes_every_judge(corpus: Corpus) -> None:
    copies = copied(corpus.programs, 150, RNG(0))
    assert judged(corpus, copies) < 0.6
    assert {one.distance for one in nearest(copies, corpus.programs)} == {0.0}


def test_order_alone_can_be_judged(corpus: Corpus) -> None:
    candidates = shuffled(corpus.programs, 150, RNG(0))
    apart = distances(table(corpus.programs), table(candidates))
    assert apart["gates"] < 0.2  # the same gates
    assert judged(corpus, candidates) > 0.75


def test_rivals_have_the_shapes_that_are_wanted(corpus: Corpus) -> None:
    shapes = drawn_shapes(corpus.programs, 40, RNG(0))
    for made in (Statements(corpus.programs).drawn(shapes, RNG(1), matched=True), library_random(shapes, RNG(1))):
        assert [(one.n, len(one.ops)) for one in made] == [(shape.n, shape.gates) for shape in shapes]
        assert not [fault for one in made for fault in faults(one.n, one.ops)]
    long = [Program(3, (Op("h", (0,)),) * 60, "x")]
    (one,) = spliced(long, Statements(corpus.programs), RNG(0))
    assert one.ops[:FIRST_LINES] == long[0].ops[:FIRST_LINES]
    assert one.ops[FIRST_LINES:] != long[0].ops[FIRST_LINES:]


def test_longer_memories_predict_better_and_sum_to_one(corpus: Corpus) -> None:
    found = split(corpus, RNG(0), files=0.2, families=2)
    text = Words(9)
    models = [Ngram(text, found.train, order) for order in (1, 2, 4)]
    losses = [model.nats(found.files) for model in models]
    assert losses[0] > losses[1] > losses[2]
    assert models[2].probabilities(text.prompt(3)).sum() == pytest.approx(1)
    drawn = models[2].drawn([3, 5, 9], RNG(0), Room(60), lambda *_: None)
    assert [one.n for one in drawn] == [3, 5, 9]
    assert not [fault for one in drawn for fault in faults(one.n, one.ops)]


def test_rows_hold_whole_circuits_and_predict_gates_alone() -> None:
    rows = [[START, 4, 9, *range(20, 20 + length), END] for length in (3, 7, 2, 9, 4)]
    data = packed(rows, 16)
    flat = [row for line in data.tokens.tolist() for row in "".join(map(chr, line)).split(chr(START))[1:]]
    assert len(flat) == len(rows)
    asked = data.targets != NO_TARGET
    assert int(asked.sum()) == sum(len(row) - HEADER for row in rows)
    assert set(data.targets[asked].tolist()) <= {END, *range(20, 29)}
    assert not set(data.targets[asked].tolist()) & {START, PAD, 4, 9}
    following = torch.cat((data.tokens[:, 1:], torch.full_like(data.tokens[:, :1], PAD)), 1)
    inner = asked.clone()
    inner[:, -1] = False
    assert torch.equal(data.targets[inner], following[inner])


def test_lines_leave_unseen_files_out_of_the_vocabulary(corpus: Corpus) -> None:
    found = split(corpus, RNG(0), files=0.2, families=2)
    text = Lines.of(found.train, 9)
    tokens = [token for one in found.other_families for token in text.encode(one)[HEADER:-1]]
    assert np.mean([token < text.first_line for token in tokens]) > 0.1


def test_the_smallest_network_learns_and_writes_circuits(measured: Run) -> None:
    found = measured.trial("words", 0).measures()
    assert found is not None
    assert found["loads"] == 1.0
    assert found["nats_ratio"] < 0.9
    curve = measured.trial("words", 0).curve("train_loss")
    assert curve[-1][1] < curve[0][1] / 2
    assert found["auc_header"] != found["auc"]
    assert found["copied"] + found["copied_fixed"] <= 1


def test_circuits_are_drawn_for_a_user(measured: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new"
    command = ["apply", "ketgpt", "generate", str(measured.path), "--qubits", "4", "--count", "12"]
    assert main([*command, "--out", str(out), "--measure", "--max-gates", "9", "--min-gates", "3"]) == 0
    files = sorted(out.glob("*.qasm"))
    assert len(files) == 12
    for file in files:
        circuit = read_circuit(file).circuit
        assert circuit.num_qubits == 4
        assert circuit.count_ops()["measure"] == 4
        assert 3 <= len(circuit.data) - 4 <= 9
    rows = list(csv.DictReader((out / "metrics.csv").read_text().splitlines()))
    assert [row["file"] for row in rows] == [file.name for file in files]
    assert rows[0]["qubits"] == "4"
    # The same number gives the same circuits, from the file of the model as from its run.
    model = measured.trial("words", 0).file("model")
    again = [*command, "--out", str(tmp_path / "again"), "--measure", "--max-gates", "9", "--min-gates", "3"]
    again[3] = str(model)
    assert main(again) == 0
    assert [file.read_text() for file in sorted((tmp_path / "again").glob("*.qasm"))] == [
        file.read_text() for file in files
    ]
    assert main([*command, "--out", str(out)]) == 2
    assert "exists and is not an empty folder" in capsys.readouterr().err


def test_circuits_go_on_from_first_gates_and_belong_to_a_family(measured: Run, tmp_path: Path) -> None:
    first = tmp_path / "first.qasm"
    first.write_text(text_of(Program(3, (Op("h", (0,)), Op("cx", (0, 2))))))
    known = SMOKE.families.split("+")
    command = [
        "apply",
        "ketgpt",
        "generate",
        str(measured.path),
        "--qubits",
        "4",
        "--count",
        "5",
        "--first",
        str(first),
    ]
    seen = [family for family in known if main([*command, "--family", family, "--out", str(tmp_path / family)]) == 0]
    assert len(seen) == len(known) - SMOKE.held_out_families
    for file in (tmp_path / seen[0]).glob("*.qasm"):
        assert "h q[0];\ncx q[0],q[2];\n" in file.read_text()


REFUSED = {
    ("--qubits", "7"): "got 7; this model has seen at most 6",
    ("--family", "qff"): "'qff' is unknown.",
    ("--max-gates", "2", "--min-gates", "3"): "must be at least --min-gates, 3",
    ("--top-p", "2"): "--top-p: got 2, must be at most 1",
}


@pytest.mark.parametrize("options", REFUSED, ids=" ".join)
def test_wishes_that_cannot_be_met_are_refused(
    measured: Run, options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = options if "--qubits" in options else (*options, "--qubits", "4")
    assert main(["apply", "ketgpt", "generate", str(measured.path), *words, "--out", str(tmp_path / "new")]) == 2
    assert REFUSED[options] in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_folder_of_ones_own_is_learnt_and_judged(
    corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    for one in corpus.programs:
        if one.family in ("ghz", "bv", "graphstate") and one.n <= 8:
            (folder / one.family).mkdir(parents=True, exist_ok=True)
            (folder / one.family / f"{one.name}.qasm").write_text(text_of(one, measure=True))
    (folder / "bad.qasm").write_bytes((DATA / "broken.qasm").read_bytes())
    sizes = ["--steps", "30", "--d-model", "32", "--samples", "12", "--max-qubits", "8", "--max-words", "60"]
    command = ["apply", "ketgpt", "learn", str(folder), *sizes, "--out", str(tmp_path / "run"), "--no-control"]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "bad.qasm:6: index 3 is out-of-range" in said
    assert "--skip-bad leaves such files out" in said
    assert main([*command, "--skip-bad"]) == 0
    said = capsys.readouterr().out
    assert "left out  bad.qasm:6" in said
    assert "valid 100%" in said
    new = tmp_path / "new"
    assert (
        main(
            ["apply", "ketgpt", "generate", str(tmp_path / "run"), "--qubits", "6", "--count", "20", "--out", str(new)]
        )
        == 0
    )
    capsys.readouterr()
    assert main(["apply", "ketgpt", "judge", str(folder), str(new), "--skip-bad"]) == 0
    assert "AUC on unseen families: " in capsys.readouterr().out


DAMAGE = {
    "weights of another size": lambda record: record["config"].update(d_model=10**6),
    "more layers than weights": lambda record: record["config"].update(n_layer=10**6),
    "an unknown setting": lambda record: record["config"].update(colour="red"),
    "no vocabulary": lambda record: record.pop("text"),
    "another vocabulary": lambda record: record["text"].update(max_qubits=9),
    "unknown tokens": lambda record: record["text"].update(kind="letters"),
    "no sizes": lambda record: record.update(sizes=[]),
}


@pytest.mark.parametrize("damage", DAMAGE, ids=str)
def test_a_damaged_model_is_refused(
    measured: Run, damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors, record = read_tensors(measured.trial("words", 0).file("model"))
    DAMAGE[damage](record)
    write_tensors(tmp_path / "odd.safetensors", tensors, record)
    out = tmp_path / "new"
    assert (
        main(["apply", "ketgpt", "generate", str(tmp_path / "odd.safetensors"), "--qubits", "4", "--out", str(out)])
        == 2
    )
    assert "odd.safetensors: not a model of ketgpt" in capsys.readouterr().err
    assert not out.exists()


MESSAGES = {
    ("learn", "broken.qasm"): "broken.qasm:6: index 3 is out-of-range",
    ("generate", "broken.safetensors"): "broken.safetensors: ",
    ("generate", "absent.safetensors"): "no such file",
    ("judge", "broken.qasm", "broken.qasm"): "broken.qasm:6: index 3 is out-of-range",
}


@pytest.mark.parametrize("words", MESSAGES, ids=" ".join)
def test_broken_input_is_named(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    verb, *files = words
    assert main(["apply", "ketgpt", verb, *(str(DATA / file) for file in files)]) == 2
    assert MESSAGES[words] in capsys.readouterr().err


def test_words_of_a_judge_have_no_header() -> None:
    assert not [word for word in words_of(Program(9, (Op("h", (0,)),), "qft", "qft_9")) if "9" in word or "qft" in word]

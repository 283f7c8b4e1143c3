"""Axiomatic training: no taught shape among the tests, scores of known value, and `ask` and `check` from end to end."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from wheatstone.bench.errors import UserError
from wheatstone.bench.exhibit import Diagram
from wheatstone.bench.run import Run
from wheatstone.bench.trial import Trial
from wheatstone.bench.work import Task as Work
from wheatstone.bench.work import perform
from wheatstone.cli.main import main
from wheatstone.domains.causal import spelling
from wheatstone.domains.causal.axioms import AXIOMS
from wheatstone.domains.causal.graphs import graph_of
from wheatstone.domains.causal.instances import Instances, is_held_out
from wheatstone.domains.causal.text import parse_premise
from wheatstone.learn.sequences import NO_TARGET
from wheatstone.learn.training import fit
from wheatstone.studies.neural.axiomatic_training import examination, study
from wheatstone.studies.neural.axiomatic_training.config import Config
from wheatstone.studies.neural.axiomatic_training.encoding import encoding_of
from wheatstone.studies.neural.axiomatic_training.examination import (
    Marked,
    Test,
    balanced_accuracy,
    by_hop,
    score,
)
from wheatstone.studies.neural.axiomatic_training.experiment import demonstrations, prepare, summary
from wheatstone.studies.neural.axiomatic_training.learner import NAMINGS

DATA = Path(__file__).parents[2] / "data" / "axiomatic-training"
ARMS = ("mixed", "shuffled_answers", "d_separation")
TEXT_ARMS = ("mixed", "learned", "sinusoidal", "rotary", "d_separation")
TRANSITIVITY = AXIOMS["transitivity"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A short run of three arms."""
    config = dataclasses.replace(study.SMOKE, steps=8, evaluations=2, asked=20)
    made = Run.create(tmp_path_factory.mktemp("axioms") / "run", study.STUDY, "smoke", config, (0,), ARMS, 1)
    for arm in ARMS:
        perform(made, study.STUDY, Work(arm, 0), lambda *_: None)
    return made


def trial(run: Run, arm: str) -> Trial[Config]:
    record = run.trial(arm, 0)
    return Trial(run, record, record.config(study.STUDY), lambda *_: None)


def test_every_arm_of_every_preset_is_a_valid_config() -> None:
    for preset in study.STUDY.presets.values():
        for arm in preset.arms or ():
            assert len(study.STUDY.arm_config(preset.config, arm).sizes()) >= 1
    for changes, message in (
        ({"longest": 4, "shortest": 5}, "longest: got 4, must not be below shortest, which is 5"),
        ({"n_name": 5}, "n_name: got 5, must not be below longest, which is 6"),
    ):
        with pytest.raises(UserError, match=message):
            dataclasses.replace(study.SMOKE, **changes).sizes()


def test_d_separation_may_take_more_steps_than_transitivity() -> None:
    config = dataclasses.replace(study.SMOKE, separation_steps=50)
    assert (config.length, config.fitting().steps) == (20, 20)
    separating = study.STUDY.arm_config(config, "d_separation")
    assert (separating.length, separating.fitting().steps) == (50, 50)
    assert study.STUDY.arm_config(study.SMOKE, "d_separation").length == 20


def test_no_tested_shape_is_demonstrated() -> None:
    config = dataclasses.replace(study.SMOKE, asked=40, n_name=10)
    for axiom in AXIOMS.values():
        taught = demonstrations(axiom, config, 2000, 5, np.random.default_rng(0))
        assert {one.n_node for one in taught} == {3, 4, 5, 6}
        assert not any(is_held_out(one, config.held_out, 5).any() for one in taught)
        assert 1500 < sum(map(len, taught)) <= 2008
        for test in examination.tests_of(axiom, config, 5, np.random.default_rng(1)):
            if test.family == "flipped" and 4 <= test.n_node <= 6:
                assert is_held_out(test.instances, config.held_out, 5).all()


def test_arms_share_questions_and_differ_only_in_the_answers(run: Run) -> None:
    plain, shuffled = (prepare(trial(run, arm)).training.data for arm in ("mixed", "shuffled_answers"))
    assert torch.equal(plain.tokens, shuffled.tokens)
    assert not torch.equal(plain.targets, shuffled.targets)
    assert torch.equal(plain.targets[:, 0].sort().values, shuffled.targets[:, 0].sort().values)
    assert (plain.targets[:, 1:] == NO_TARGET).all()


def marked(said: list[bool]) -> Marked:
    """Four questions on the chain 0 -> 1 -> 2 -> 3: one hop, two, three, and three against the arrows."""
    edges = np.array([[[0, 1], [1, 2], [2, 3]]] * 4)
    question = np.array([[0, 1], [0, 2], [0, 3], [3, 0]])
    answer, distance = np.array([True, True, True, False]), np.array([1, 2, 3, 3])
    instances = Instances(4, edges, question, np.zeros((4, 4), bool), answer, distance)
    test = Test("chain", 4, "distance", instances)
    return Marked(test, np.array(said), TRANSITIVITY.guesses(instances))


def test_scores_by_hand() -> None:
    one = marked([True, False, True, True])
    whole, near, far = (score([one], selection) for selection in ("all", "near", "far"))
    assert (whole.questions, whole.accuracy, whole.yes_rate, whole.gold_yes_rate) == (4, 0.5, 0.75, 0.75)
    assert whole.balanced == pytest.approx((2 / 3 + 0) / 2)
    assert (near.questions, near.accuracy) == (1, 1.0)
    assert math.isnan(near.balanced)
    assert far.balanced == pytest.approx((1 / 2 + 0) / 2)
    assert far.rules["written"] == pytest.approx(1 / 3)
    assert far.best_rule == 1.0  # 'ends' is right here, so nothing of it is hard
    hard = score([one], "hard")
    assert (hard.questions, hard.rules["ends"]) == (1, 1.0)
    assert [(row["hops"], row["questions"], row["right"]) for row in by_hop([one])] == [(1, 1, 1), (2, 1, 0), (3, 2, 1)]
    assert score([]).questions == 0
    assert balanced_accuracy(np.array([True, True]), np.array([True, False])) == 0.5


def test_an_oracle_scores_one_and_a_rule_without_paths_one_half_where_it_must() -> None:
    config = dataclasses.replace(study.SMOKE, asked=60, n_name=12)
    for axiom in AXIOMS.values():
        tests = examination.tests_of(axiom, config, 5, np.random.default_rng(0))
        found = [Marked(test, test.instances.answer, axiom.guesses(test.instances)) for test in tests]
        measures = summary(axiom, found)
        perfect = [name for name in measures if name.endswith(("_accuracy", "_hard"))]
        assert all(measures[name] == 1.0 or math.isnan(measures[name]) for name in perfect)
        assert measures["yes_rate"] == measures["gold_yes_rate"]
        if axiom.name == "transitivity":
            assert measures["far_written"] == 0.5
            assert measures["hard_rule"] == pytest.approx(0.5, abs=0.15)
            assert measures["flipped_written"] > 0.65  # the trap of the published sampling


def test_a_run_measures_what_it_declares_agrees_with_networkx_and_shows_it(run: Run) -> None:
    for arm in ARMS:
        found = run.trial(arm, 0).measures() or {}
        assert set(found) == set(study.STUDY.measures)
        assert found["oracle_disagreements"] == 0
    assert math.isnan((run.trial("d_separation", 0).measures() or {})["reversed_accuracy"])
    shown = {one.name: one for one in study.exhibits(run)}
    network = shown["network"]
    assert isinstance(network, Diagram)
    assert network.title == "The network that mixed trains: 2 blocks, width 32"
    assert {"first", "second", "kind"} <= {text.text for text in network.texts}
    attended = run.trial("mixed", 0).artifact("attention")
    pattern = np.array(attended["pattern"])
    assert pattern.shape == (2 * 2, len(attended["statements"]))
    np.testing.assert_allclose(pattern.sum(-1), 1.0, atol=1e-5)


def test_one_hop_is_learnt_and_shuffled_answers_teach_nothing(tmp_path: Path) -> None:
    """Chains of three nodes: whether the edge is written decides near pairs."""
    config = dataclasses.replace(
        study.SMOKE, shortest=3, longest=3, steps=80, batch=64, asked=40, held_out=0.0, n_name=8, demonstrations=0
    )
    made = Run.create(tmp_path / "run", study.STUDY, "smoke", config, (0,), ("mixed", "shuffled_answers"), 1)
    found = {}
    for arm in ("mixed", "shuffled_answers"):
        perform(made, study.STUDY, Work(arm, 0), lambda *_: None)
        found[arm] = made.trial(arm, 0).measures() or {}
    assert found["mixed"]["near_accuracy"] > 0.75  # chains of four to six nodes included, which were not taught
    assert abs(found["shuffled_answers"]["near_accuracy"] - 0.5) < 0.25


@pytest.fixture(scope="module")
def text_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A short run of the paper's encoding, each kind of positions and both axioms."""
    config = dataclasses.replace(
        study.SMOKE, encoding="text", steps=4, evaluations=2, asked=20, n_name=8, order="written"
    )
    made = Run.create(tmp_path_factory.mktemp("text") / "run", study.STUDY, "smoke", config, (0,), TEXT_ARMS, 1)
    for arm in TEXT_ARMS:
        perform(made, study.STUDY, Work(arm, 0), lambda *_: None)
    return made


def test_text_is_trained_on_measured_and_shown(text_run: Run) -> None:
    for arm in TEXT_ARMS:
        found = text_run.trial(arm, 0).measures() or {}
        assert found["oracle_disagreements"] == 0
        assert 0 <= found["branching_accuracy"] <= 1
    shown = {one.name: one for one in study.exhibits(text_run)}
    network = shown["network"]
    assert isinstance(network, Diagram)
    assert {"embedding", "unembedding", "causal"} <= {text.text for text in network.texts}
    assert not [name for name in shown if name.startswith("attention")]


@pytest.mark.parametrize("arm", ["mixed", "d_separation"])
def test_text_of_training_says_what_is_trained(text_run: Run, arm: str) -> None:
    """Every row is read back from its tokens; the oracle gives the answer that follows the '?'."""
    data = prepare(trial(text_run, arm)).training.data
    at = data.single_targets()
    assert at is not None
    every = torch.arange(len(at))
    assert (data.tokens[every, at] == spelling.ASK).all()
    targets = data.targets[every, at].tolist()
    assert set(targets) == {spelling.NO, spelling.YES}
    for row, target in zip(data.tokens[::5].tolist(), targets[::5], strict=True):
        asked = parse_premise(spelling.text_of(row), "row")
        assert asked.question.axiom == ("transitivity" if arm == "mixed" else "d_separation")
        assert graph_of(asked.edges, "row").answer(asked.question).yes == (target == spelling.YES)


def test_the_paper_is_its_own_set_up() -> None:
    config = study.STUDY.presets["paper"].config
    model = encoding_of(dataclasses.replace(config, n_layer=1)).model(40, torch.Generator())
    assert (config.n_layer, config.d_model, config.n_head, config.encoding) == (12, 512, 8, "text")
    assert model.embedding.shape == (spelling.VOCAB, 512)
    assert model.unembedding is not None
    positions = {study.STUDY.arm_config(config, arm).positions for arm in study.OF_PAPER}
    assert positions == {"none", "learned", "rotary", "sinusoidal"}


def test_text_can_be_learnt() -> None:
    """64 questions about chains of three nodes, by heart."""
    config = dataclasses.replace(study.SMOKE, encoding="text", positions="rotary", steps=60, lr=3e-3, evaluations=2)
    encoding = encoding_of(config)
    some = AXIOMS["transitivity"].draw(64, 3, np.random.default_rng(0), "flipped")
    rows = encoding.rows(some, np.random.default_rng(1))
    model = encoding.model(rows.shape[1], torch.Generator().manual_seed(0))
    before = encoding.says_yes(model, torch.from_numpy(rows)) == some.answer
    fit(model, encoding.training([rows], some.answer), config.fitting(), order_seed=0)
    after = encoding.says_yes(model, torch.from_numpy(rows)) == some.answer
    assert before.mean() < 0.8
    assert after.mean() > 0.95


def apply(verb: str, *arguments: str) -> int:
    return main(["apply", "axiomatic-training", verb, *arguments])


def test_ask_answers_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert apply("ask", "A causes B. B causes C. Does A cause C?") == 0
    said = capsys.readouterr().out
    assert "Does A cause C?  oracle yes  A → B → C" in said
    assert "The oracle alone (networkx)" in said
    premise = tmp_path / "premise.txt"
    premise.write_text("A causes C. B causes C. Are A and B d-separated given {C}?", encoding="utf-8")
    assert apply("ask", str(premise)) == 0
    assert "oracle no   open path: A → C ← B" in capsys.readouterr().out


def test_check_asks_a_graph_and_a_model_beside_the_oracle(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph, questions, out = tmp_path / "g.dot", tmp_path / "q.txt", tmp_path / "out.json"
    graph.write_text("digraph { rain -> wet; sprinkler -> wet; wet -> slippery }", encoding="utf-8")
    questions.write_text(
        "Does rain cause slippery?\nDoes slippery cause rain?\nAre rain and sprinkler d-separated?\n", encoding="utf-8"
    )
    arguments = (str(graph), "--questions", str(questions), "--run", str(run.path), "--out", str(out))
    assert apply("check", *arguments) == 0
    said = capsys.readouterr().out
    assert "4 nodes, 3 edges, no cycle" in said
    assert "The model agrees with the oracle on" in said
    assert "about transitivity, on: no 1, written 1, two_hops 2, ends 2, mentioned_first 2" in said
    assert "about d_separation, on: no 0, not_adjacent 1, given 0, cut 0" in said
    rows = json.loads(out.read_text(encoding="utf-8"))
    assert [row["oracle"] for row in rows] == [True, False, True]
    for row in rows:
        assert row["model"] == (row["share_of_namings_yes"] > 0.5)
        assert row["share_of_namings_yes"] * NAMINGS == pytest.approx(round(row["share_of_namings_yes"] * NAMINGS))
    assert apply("check", str(graph), "--most", "5") == 0
    assert capsys.readouterr().out.count("oracle") == 6  # five questions and the last line


def test_a_model_of_text_is_asked_about_any_graph_that_its_positions_reach(
    text_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = tmp_path / "g.txt"
    graph.write_text("\n".join(f"n{i} n{i + 1}" for i in range(30)), encoding="utf-8")
    arguments = (str(graph), "--run", str(text_run.path), "--most", "3")
    assert apply("check", *arguments) == 0
    assert "The model agrees with the oracle on" in capsys.readouterr().out
    assert apply("check", *arguments, "--arm", "learned") == 2
    assert "tokens; this arm has positions for" in capsys.readouterr().err


def test_check_proves_what_follows_from_rules_of_your_own(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph, rules, questions = tmp_path / "g.dag", tmp_path / "r.pl", tmp_path / "q.txt"
    graph.write_text("dag { rain -> wet sprinkler -> wet wet -> slippery }", encoding="utf-8")
    rules.write_text("cause(X, Y) :- parent(X, Y).\ncause(X, Z) :- parent(X, Y), cause(Y, Z).", encoding="utf-8")
    questions.write_text("cause(rain, slippery)?\ncause(slippery, rain)?\n", encoding="utf-8")
    out = tmp_path / "out.json"
    assert apply("check", str(graph), "--rules", str(rules), "--questions", str(questions), "--out", str(out)) == 0
    said = capsys.readouterr().out
    assert "2 rules; follows: cause 5" in said
    assert "cause(rain, slippery)  yes  from parent(rain, wet), parent(wet, slippery) by lines 1, 2" in said
    assert "cause(slippery, rain)  no   does not follow" in said
    rows = json.loads(out.read_text(encoding="utf-8"))
    assert [(row["oracle"], len(row["proof"])) for row in rows] == [(True, 4), (False, 0)]
    assert apply("check", str(graph), "--rules", str(rules), "--most", "2") == 0
    assert "... and 3 more" in capsys.readouterr().out
    assert apply("check", str(graph), "--rules", str(rules), "--run", str(run.path)) == 2
    assert "no model was taught the rules of" in capsys.readouterr().err


def test_derive_proves_independencies_from_statements_and_from_a_graph(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stated, questions, out = tmp_path / "i.txt", tmp_path / "q.txt", tmp_path / "out.json"
    stated.write_text("a _||_ b\na _||_ c, d | b\n", encoding="utf-8")
    questions.write_text("c, b _||_ a\nb _||_ c\n", encoding="utf-8")
    assert apply("derive", str(stated), "--questions", str(questions), "--out", str(out)) == 0
    said = capsys.readouterr().out
    assert "b, c _||_ a  yes" in said or "a _||_ b, c  yes" in said
    assert "by contraction from a _||_ b and a _||_ c | b" in said
    assert "b _||_ c  no, it does not follow" in said
    rows = json.loads(out.read_text(encoding="utf-8"))
    assert [(row["follows"], len(row["proof"])) for row in rows] == [(True, 4), (False, 0)]
    graph = tmp_path / "g.dot"
    graph.write_text("digraph { a -> b -> c }", encoding="utf-8")
    assert apply("derive", str(graph)) == 0
    assert "stated  a _||_ c | b" in capsys.readouterr().out
    graph.write_text("digraph { a -> b -> c; a -> c }", encoding="utf-8")
    assert apply("derive", str(graph)) == 2
    assert "every two nodes are joined" in capsys.readouterr().err
    graph.write_text(f"digraph {{ {' -> '.join(f'n{i}' for i in range(12))} }}", encoding="utf-8")
    assert apply("derive", str(graph)) == 2
    assert f"{graph}: 12 nodes; the axioms are followed for at most 9" in capsys.readouterr().err
    questions.write_text("a _||_ e\n", encoding="utf-8")
    assert apply("derive", str(stated), "--questions", str(questions)) == 2
    assert f"{questions}:1 field 'second': no variable 'e' in what is stated" in capsys.readouterr().err


def test_audit_finds_wrong_labels_and_asks_a_model(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tests, out = tmp_path / "t.tsv", tmp_path / "out.json"
    tests.write_text(
        "A causes B. B causes C. Does A cause C?\tNo\n"
        "A causes B. B causes C. Does C cause A?\tNo\n"
        "A causes C. B causes C. Are A and B d-separated?\tYes\n"
        "A causes B. B causes A. Are A and B d-separated?\tNo\n",
        encoding="utf-8",
    )
    assert apply("audit", str(tests), "--run", str(run.path), "--out", str(out)) == 0
    said = capsys.readouterr().out
    assert "4 questions, 1 labelled yes" in said
    assert "1 labels are wrong, 1 questions are flawed" in said
    assert "at most 0.750" in said
    assert f"{tests}:1: Does A cause C? is labelled no, but A → B → C" in said
    assert f"{tests}:4: the premise closes a cycle: A → B → A" in said
    assert "of 3 labels, and with the oracle on" in said
    rows = json.loads(out.read_text(encoding="utf-8"))
    assert [(row["line"], row["oracle"]) for row in rows] == [(1, True), (4, None)]
    assert apply("audit", str(tests), "--most", "1") == 0
    assert "... and 1 more" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--arm", "absent"), "has no arm 'absent', only mixed, shuffled_answers, d_separation"),
        (("--arm", "d_separation"), "--arm d_separation: was taught d_separation, the question is about transitivity"),
    ],
)
def test_check_refuses_models_that_were_not_taught(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    graph = tmp_path / "g.txt"
    graph.write_text("a b\n", encoding="utf-8")
    assert apply("check", str(graph), "--run", str(run.path), *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_graph_with_more_nodes_than_names_is_told(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = tmp_path / "g.txt"
    graph.write_text("\n".join(f"n{i} n{i + 1}" for i in range(30)), encoding="utf-8")
    assert apply("check", str(graph), "--run", str(run.path)) == 2
    assert f"{graph}: the graph has 31 nodes, the model knows 24 names" in capsys.readouterr().err


def test_broken_files_are_told_in_these_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(DATA)
    assert apply("check", "broken.txt") == 2
    said = capsys.readouterr().err
    assert said.startswith("broken.txt:2: 3 names in 'rain wet slippery'.")
    assert "broken.txt:3: 1 names in 'sprinkler'." in said
    assert apply("ask", "broken_question.txt") == 2
    assert "'Wet makes slippery.' is no statement" in capsys.readouterr().err

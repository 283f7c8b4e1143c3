"""Pathways and grokking: four domains without leaks, monitors with known values, and `measure` from end to end."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from transformers import OlmoeConfig, OlmoeForCausalLM

from wheatstone.bench.errors import UserError
from wheatstone.bench.exhibit import Heatmap, Lines, Mark, Table
from wheatstone.bench.run import Run
from wheatstone.bench.trial import Trial
from wheatstone.bench.work import Task as Work
from wheatstone.bench.work import perform
from wheatstone.cli.main import main
from wheatstone.domains.routing.traces import Measured
from wheatstone.learn.models.mixture import Mixture
from wheatstone.learn.training import Point
from wheatstone.studies.neural.grokking_pathways import domains, study, verbs
from wheatstone.studies.neural.grokking_pathways.config import Config
from wheatstone.studies.neural.grokking_pathways.domains import DOMAINS, make_task
from wheatstone.studies.neural.grokking_pathways.exhibits import marks_of
from wheatstone.studies.neural.grokking_pathways.experiment import (
    MONITORS,
    embeddings,
    observe,
    of_domain,
    prepare,
    questions_at,
)
from wheatstone.studies.neural.grokking_pathways.samples import asynchrony, settled
from wheatstone.studies.neural.grokking_pathways.when import Stop, stopped

DATA = Path(__file__).parents[2] / "data" / "grokking-pathways"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A short run of two arms."""
    arms = ("learned", "scrambled_router")
    config = dataclasses.replace(study.SMOKE, steps=30, evaluations=6)
    made = Run.create(tmp_path_factory.mktemp("pathways") / "run", study.STUDY, "smoke", config, (0,), arms, 1)
    for arm in arms:
        perform(made, study.STUDY, Work(arm, 0), lambda *_: None)
    return made


def trial(run: Run, arm: str = "learned") -> Trial[Config]:
    record = run.trial(arm, 0)
    return Trial(run, record, record.config(study.STUDY), lambda *_: None)


def test_every_arm_of_every_preset_is_a_valid_config() -> None:
    for name, preset in study.STUDY.presets.items():
        for arm in preset.arms or ():
            config = study.STUDY.arm_config(preset.config, arm)
            assert config.fitting().spacing == "even"
            if name != "paper":  # 7 GB of weights
                model = config.model(100, 3, torch.Generator())
                assert isinstance(model, Mixture) != config.dense
                assert model.cfg.depth == config.n_layer


def test_no_question_is_in_training_and_test_and_vocabularies_are_apart(run: Run) -> None:
    task = make_task(trial(run))
    rows = {tuple(row) for row in task.train.tokens.tolist()}
    tokens: list[set[int]] = []
    for name in DOMAINS:
        probes = task.probes[name]
        assert all(tuple(row) in rows for row in probes.train.tolist())
        assert not any(tuple(row) in rows for row in probes.test.tolist())
        assert len(probes.test) > 10
        tokens.append(
            {*probes.train.flatten().tolist(), *probes.test.flatten().tolist(), *probes.train_answers.tolist()}
        )
    for one in range(4):
        for other in range(one):
            assert not tokens[one] & tokens[other]
    assert max(map(max, tokens)) < task.vocab


def test_answers_are_right_and_related_questions_share_their_last_step(run: Run) -> None:
    one = trial(run)
    config = one.config
    hops, sums, compared = (f(config, one) for f in (domains.two_hop, domains.addition, domains.comparison))
    fact = {(h, r): t for (h, r), t in zip(hops.facts.tolist(), hops.fact_answers.tolist(), strict=True)}
    for prompts, answers in ((hops.train, hops.train_answers), (hops.test, hops.test_answers)):
        assert all(
            fact[fact[h, r1], r2] == t for (h, r1, r2), t in zip(prompts.tolist(), answers.tolist(), strict=True)
        )
    p = config.modulus
    assert ((sums.train[:, :2].sum(1) - sums.train_answers) % p == 0).all()
    assert len(sums.train) + len(sums.test) == p * p
    value = {(e, a): v for (e, a), v in zip(compared.facts.tolist(), compared.fact_answers.tolist(), strict=True)}
    label = compared.n_token - 3
    for (a, e1, e2), answer in zip(compared.test.tolist(), compared.test_answers.tolist(), strict=True):
        assert answer - label == np.sign(value[e1, a] - value[e2, a]) + 1
    probes = make_task(one).probes["two_hop"]
    left, right = probes.related.T
    assert len(left) > 10
    assert (left != right).all()
    assert torch.equal(probes.train_answers[left], probes.train_answers[right])
    assert torch.equal(probes.train[left, 2], probes.train[right, 2])


def test_noise_has_answers_that_its_questions_do_not_tell(run: Run) -> None:
    found = domains.noise(dataclasses.replace(trial(run).config, n_noise=1800), trial(run))
    for column in (0, 1):  # the best guess from one name alone is about chance
        table = np.zeros((domains.NOISE_NAMES, domains.NOISE_ANSWERS))
        np.add.at(table, (found.train[:, column], found.train_answers - domains.NOISE_NAMES - 1), 1)
        guess = table.argmax(1)[found.test[:, column]]
        assert (guess == found.test_answers - domains.NOISE_NAMES - 1).mean() < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1800)


def test_all_arms_share_their_data_and_their_first_weights(run: Run) -> None:
    learned, scrambled = (prepare(trial(run, arm)) for arm in ("learned", "scrambled_router"))
    assert torch.equal(learned.task.train.tokens, scrambled.task.train.tokens)
    for a, b in zip(learned.training.model.parameters(), scrambled.training.model.parameters(), strict=True):
        assert torch.equal(a, b)


def made(curves: dict[str, list[float]]) -> dict[str, float]:
    """The measures of evaluations 10 steps apart, with monitors at 0.5 unless given."""
    n = len(curves["train"])
    names = ("train", "test", *MONITORS)
    values = {name: curves.get(name, [0.5] * n) for name in names}
    history = [Point(10 * i, 0.0, {f"{name}_x": values[name][i] for name in names} | {"norm": -i}) for i in range(n)]
    return of_domain(history, "x", np.random.default_rng(0))


def test_measures_of_a_made_up_run() -> None:
    train = [0.2, 0.6, 0.96, 1.0, 0.98, 1.0, 1.0, 1.0, 1.0, 1.0]
    test = [0.0, 0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.95, 1.0]
    distance = [0.1, 0.5, 0.8, 0.8, 0.8, 0.5, 0.4, 0.3, 0.2, 0.2]
    found = made({"train": train, "test": test, "distance": distance, "loss": [0.1] * 10})
    assert (found["memorised"], found["lag"], found["window"]) == (20, 50, 8)
    assert found["gain"] == pytest.approx(0.9)
    assert found["drop"] == pytest.approx(0.75)
    assert found["by_distance"] == pytest.approx(-spearmanr(distance[2:], test[2:]).statistic)
    assert found["by_loss"] == 0.0  # a constant tells nothing
    assert found["by_norm"] == pytest.approx(1.0)  # it only falls, the test only rises
    assert -1 <= found["low_distance"] <= found["by_distance"] <= found["high_distance"] <= 1
    assert (found["low_over_loss"], found["high_over_loss"]) == pytest.approx(
        (found["low_distance"], found["high_distance"]), abs=0.1
    )
    never = made({"train": [0.5] * 10, "test": test, "distance": distance})
    assert all(math.isnan(never[name]) for name in ("memorised", "lag", "gain", "by_distance", "by_loss"))
    assert never["window"] == 0
    late = made({"train": train, "test": [0.1] * 10})
    assert late["lag"] == 70  # never generalised: to the end of the run


def test_the_random_domain_is_not_generalised_and_a_run_shows_all_exhibits(run: Run) -> None:
    found = run.trial("learned", 0).measures() or {}
    assert found["test_noise"] < 0.05 + 3 * math.sqrt(0.05 * 0.95 / study.SMOKE.asked)
    assert set(found) == set(study.STUDY.measures)
    names = [one.name for one in study.exhibits(run)]
    assert names[:4] == ["monitors-two-hop", "monitors-addition", "monitors-comparison", "monitors-noise"]
    shown = {one.name: one for one in study.exhibits(run)}
    assert {"tellers", "distance-and-test", "lags", "layers-related", "arms", "drops", "depth-learned"} < set(shown)
    assert len(shown) == len(names)
    record = run.trial("learned", 0)
    curves = shown["monitors-two-hop"]
    assert isinstance(curves, Lines)
    share = next(line for line in curves.lines if line.label.startswith("training loss"))
    losses = [value for _, value in record.curve("loss_two_hop")]
    np.testing.assert_allclose(share.y, np.array(losses) / losses[0])
    depth = shown["depth-learned"]
    assert isinstance(depth, Lines)
    assert [line.label for line in depth.lines] == ["layer 1", "layer 2"]
    ends = [line.y[-1] for line in depth.lines]
    np.testing.assert_allclose(ends, record.artifact("layers")["two_hop"]["related"])


def test_single_questions_are_kept_and_add_up_to_the_accuracies(run: Run) -> None:
    record = run.trial("learned", 0)
    probes = make_task(trial(run)).probes
    for row in record.metrics():
        kept = record.tensors(questions_at(int(row["step"])))
        for name in DOMAINS:
            assert kept[f"train_{name}"].float().mean().item() == pytest.approx(row[f"train_{name}"])
            assert kept[f"test_{name}"].float().mean().item() == pytest.approx(row[f"test_{name}"])
    assert kept["routes"].shape == (len(probes["two_hop"].train), 2, 4)
    keys, test_keys = record.artifact("keys")["two_hop"]
    one, other = probes["two_hop"].related.T
    assert np.array_equal(np.array(keys)[one], np.array(keys)[other])
    needed = {
        (*prompt[2:], answer): key
        for prompt, answer, key in zip(
            probes["two_hop"].train.tolist(), probes["two_hop"].train_answers.tolist(), keys, strict=True
        )
    }
    for prompt, answer, key in zip(
        probes["two_hop"].test.tolist(), probes["two_hop"].test_answers.tolist(), test_keys, strict=True
    ):
        assert needed.get((*prompt[2:], answer), key) == key
    shown = {one.name: one for one in study.exhibits(run)}
    after = shown["routes-after"]
    assert isinstance(after, Heatmap)
    assert after.x == ("1.1", "1.2", "1.3", "1.4", "2.1", "2.2", "2.3", "2.4")
    weights = np.array(after.values).reshape(len(after.y), 2, 4)
    np.testing.assert_allclose(weights.sum(-1), 1.0, atol=0.03)
    table = shown["by-question"]
    assert isinstance(table, Table)
    assert {row[0] for row in table.rows} == {"two hops", "addition", "comparison", "random answers"}


def test_pairs_of_one_token_need_different_last_steps(run: Run) -> None:
    for name, probes in make_task(trial(run)).probes.items():
        one, other = probes.same_token.T
        assert len(one) > 10, name
        assert torch.equal(probes.train[one, -1], probes.train[other, -1])
        assert (probes.keys[one] != probes.keys[other]).all()


def test_a_question_counts_from_where_it_stays_right() -> None:
    right = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [1, 1, 0, 1], [1, 1, 0, 1]], bool)
    assert settled(right).tolist() == [2, 1, 4, 0]


def test_quarters_are_matched_by_what_their_questions_need() -> None:
    steps = list(range(0, 1000, 100))
    keys = np.arange(40) // 10  # four last steps, memorised one after the other at 0, 100, 200, 300

    def learnt_at(times: np.ndarray) -> np.ndarray:
        return np.array([[step >= time for time in times] for step in steps])

    train = learnt_at(100 * keys)
    for order, correlation in (([0, 1, 2, 3], 1.0), ([3, 2, 1, 0], -1.0)):
        found = asynchrony(steps, train, learnt_at(500 + 100 * np.array(order)[keys]), keys, keys)
        assert [one.memorised for one in found.matches] == [0, 100, 200, 300]
        assert [one.generalised for one in found.matches] == [500 + 100 * at for at in order]
        assert [one.similarity for one in found.matches] == [1.0] * 4
        assert found.correlation == pytest.approx(correlation)
        assert (found.similarity, found.never_memorised, found.never_generalised) == (0.25, 0.0, 0.0)
    never = asynchrony(steps, train, np.zeros((10, 40), bool), keys, keys)
    assert (never.matches, never.never_generalised) == ((), 1.0)
    assert math.isnan(never.correlation)


def test_labels_of_lines_that_are_near_stand_together() -> None:
    times = {"memorised": [100.0, 140.0], "generalised": [110.0]}
    assert marks_of(times, 2, 50) == [Mark("x", 110, ""), Mark("x", 120, "generalised in 1 of 2, memorised")]
    assert marks_of(times, 2, 5) == [Mark("x", 110, "generalised in 1 of 2"), Mark("x", 120, "memorised")]
    assert marks_of({"memorised": [1.0], "generalised": []}, 1, 50) == [Mark("x", 1, "memorised")]


def test_a_monitor_stops_where_it_is_not_bettered() -> None:
    distance, test = [0.9, 0.5, 0.6, 0.7, 0.6, 0.1], [0.1, 0.4, 0.5, 0.6, 0.7, 0.9]
    rows = [{"step": 10 * i, "distance_x": d, "test_x": t} for i, (d, t) in enumerate(zip(distance, test, strict=True))]
    assert stopped(rows, "x", "distance", -1.0, 3) == Stop(10, 0.4, 0.9)
    assert stopped(rows, "x", "distance", -1.0, 6) == Stop(50, 0.9, 0.9)
    assert stopped(rows, "x", "distance", 1.0, 2) == Stop(0, 0.1, 0.9)


def test_what_is_observed_does_not_depend_on_the_company_of_a_question(run: Run) -> None:
    prepared = prepare(trial(run))
    model, probes = prepared.training.model, prepared.task.probes["two_hop"]
    assert isinstance(model, Mixture)
    model.eval()
    all_of_them = observe(model, probes.train, probes.train_answers, 2)
    first = observe(model, probes.train[:1], probes.train_answers[:1], 2)
    np.testing.assert_allclose(first.weights, all_of_them.weights[:1], atol=1e-5)
    assert all_of_them.weights.shape == (len(probes.train), 2, 4)
    assert ((all_of_them.weights > 0).sum(-1) == 2).all()
    assert all_of_them.averaged.shape == all_of_them.weights.shape
    np.testing.assert_allclose(all_of_them.averaged.sum(-1), 1.0, atol=1e-5)


def test_a_dense_model_is_followed_by_its_most_active_neurons(run: Run) -> None:
    one = trial(run)
    made = prepare(Trial(run, run.trial("learned", 0), dataclasses.replace(one.config, dense=True), lambda *_: None))
    model, prompts = made.training.model.eval(), made.task.probes["two_hop"].train
    seen = observe(model, prompts, made.task.probes["two_hop"].train_answers, 3)
    hidden: list[torch.Tensor] = []
    mlp = model.block(1).mlp
    assert mlp is not None
    mlp.down.register_forward_pre_hook(lambda _, inputs: hidden.append(inputs[0][:, -1]))
    model(prompts)
    assert model.cfg.d_mlp == one.config.top_k * one.config.d_expert
    largest = hidden[0].abs().topk(3)
    weights = torch.zeros_like(hidden[0]).scatter(-1, largest.indices, largest.values)
    np.testing.assert_allclose(seen.weights[:, 1], (weights / weights.sum(-1, keepdim=True)).detach(), atol=1e-5)
    assert embeddings(model).shape == (2, 2 * one.config.d_expert, one.config.d_model)


def command(*arguments: str) -> int:
    return main(["apply", "grokking-pathways", "measure", *arguments])


def test_measure_follows_a_folder_of_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for step, shared in ((900, 1.0), (1000, 0.0)):  # by number, not by name
        route = rng.permuted(np.tile(np.arange(8), (40, 3, 1)), axis=-1)[..., :2]
        same = rng.random(40) < shared
        route[same] = [[0, 1], [2, 3], [4, 5]]
        weights = np.tile([0.7, 0.3], (40, 3, 1))
        np.savez(tmp_path / f"step-{step}.npz", experts=route, weights=weights, group=np.arange(40) % 2, n_expert=8)
    assert command(str(tmp_path), "--as-json") == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["step-900.npz", "step-1000.npz"]
    shared, apart = ({one["group"]: one for one in rows} for rows in found.values())
    assert [one["distance"] for one in shared.values()] == [0.0, 0.0, 0.0]
    two_of_eight = -(0.7 * math.log(0.7) + 0.3 * math.log(0.3)) / math.log(8)
    assert shared["all"]["entropy"] == pytest.approx(two_of_eight)
    assert apart["all"]["distance"] == pytest.approx(apart["all"]["shuffled"], abs=0.03)
    assert apart["all"]["consistency"] is None
    assert [one["samples"] for one in apart.values()] == [40, 20, 20]
    command(str(tmp_path))
    said = capsys.readouterr().out
    assert "step-1000.npz  1" in said
    assert "0.0000" in said


def logs(folder: Path, shared: dict[str, float], n_used: int = 8) -> None:
    """Logs of 40 samples, of which a share goes one way and the others go where they like among the first experts."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for name, share in shared.items():
        route = rng.permuted(np.tile(np.arange(n_used), (40, 3, 1)), axis=-1)[..., :2]
        route[rng.random(40) < share] = [[0, 1], [2, 3], [4, 5]]
        weights = np.tile([0.7, 0.3], (40, 3, 1))
        rows = rng.normal(size=(3, 8, 5))
        np.savez(folder / name, experts=route, weights=weights, n_expert=8, embedding=rows)


def test_checkpoints_are_ordered_by_the_number_that_counts_and_say_where_to_stop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["7B-step500-tokens2B", "7B-step1000-tokens4B", "7B-step5000-tokens20B", "7B-step10000-tokens41B"]
    logs(tmp_path / "run", {f"{name}.npz": share for name, share in zip(names, (0.3, 0.0, 0.9, 0.6), strict=True)})
    drawn = tmp_path / "curve.svg"
    assert command(str(tmp_path / "run"), "--curve", str(drawn)) == 0
    said = capsys.readouterr().out
    assert re.findall(r"(7B\S+)\.npz  all", said) == names
    assert f"all: distance highest at {names[1]}.npz, lowest after it at {names[2]}.npz, by" in said
    assert re.search(rf"consistency highest at ({names[1]}|{names[2]}|{names[3]})\.npz\.", said)
    assert "But the use of experts has fallen from 0.98 to 0.47" in said  # nine in ten go one way
    picture = drawn.read_text(encoding="utf-8")
    assert all(f"all: {line}" in picture for line in ("distance", "consistency", "use"))
    assert command(str(tmp_path / "run" / f"{names[0]}.npz"), "--curve", str(drawn)) == 2
    assert "is one, and a curve is of several" in capsys.readouterr().err
    assert command(str(tmp_path / "run"), "--curve", "a.png") == 2
    assert "drawings are SVG" in capsys.readouterr().err


def test_without_numbers_that_differ_checkpoints_go_by_their_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs(tmp_path / "run", {"b7.npz": 0.5, "a7.npz": 0.2, "c7.npz": 0.8})
    assert command(str(tmp_path / "run"), "--as-json") == 0
    assert list(json.loads(capsys.readouterr().out)) == ["a7.npz", "b7.npz", "c7.npz"]


def test_a_distance_that_falls_because_few_experts_are_left_is_told() -> None:
    rows = [("a", 1.0, measured_as(0.8, 0.9)), ("b", 2.0, measured_as(0.5, 0.4))]
    assert "But the use of experts has fallen from 0.90 to 0.40" in verbs.advice(rows)
    assert verbs.advice(rows[::-1]) == "the distance has not fallen: no sign of generalising yet."
    assert verbs.advice([("a", 1.0, measured_as(None, 0.9))]) == "no two samples."


def measured_as(distance: float | None, entropy: float) -> Measured:
    return Measured("all", 10, 45, distance, 4.0, None, None, None, entropy)


def test_measure_runs_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 12, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = OlmoeConfig(
        vocab_size=30, num_experts=6, num_experts_per_tok=2, pad_token_id=0, bos_token_id=1, eos_token_id=1, **sizes
    )
    OlmoeForCausalLM(config).save_pretrained(tmp_path / "olmoe")
    samples = tmp_path / "samples.jsonl"
    rows = [{"tokens": [2, 3, 4 + i % 3], "group": "even" if i % 2 == 0 else "odd"} for i in range(12)]
    samples.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert command(str(tmp_path / "olmoe"), "--on", str(samples), "--by", "last", "--as-json") == 0
    (found,) = json.loads(capsys.readouterr().out).values()
    assert [one["group"] for one in found] == ["all", "even", "odd"]
    assert found[0]["symbols"] == 6.0
    # of the 66 pairs 18 are of the same tokens, and only those can have the same pathway
    assert 0 < found[0]["distance"] <= 48 / 66
    assert found[0]["consistency"] + found[0]["complexity"] == pytest.approx(1.0)
    assert command(str(tmp_path / "olmoe"), "--on", str(samples), "--longest", "2", "--accelerator") == 0
    assert "of 12 of 12 samples the first 2 tokens alone are read" in capsys.readouterr().err
    assert command(str(tmp_path / "olmoe")) == 2
    assert "a checkpoint needs something to route" in capsys.readouterr().err


def test_measure_refuses_what_it_cannot_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    log = tmp_path / "one.jsonl"
    log.write_text('{"experts": [[0]], "weights": [[1.0]]}\n', encoding="utf-8")
    for arguments, message in (
        ((str(tmp_path / "absent"),), "no such file or folder"),
        ((str(tmp_path / "empty"),), "neither a config.json, nor router logs"),
        ((str(log),), "got 1 sample, need at least 2"),
        ((str(log), "--on", str(log)), "--on is for checkpoints"),
        ((str(DATA / "broken.jsonl"),), "broken.jsonl:3 field 'experts'"),
        ((str(log), "--share", "1.5"), "measure --share: got 1.5, must be at most 1"),
        ((str(log), "--pairs", "0"), "measure --pairs: got 0, must be at least 1"),
    ):
        assert command(*arguments) == 2
        assert message in capsys.readouterr().err


def test_impossible_sizes_are_told(run: Run) -> None:
    one = trial(run)
    with pytest.raises(UserError, match="top_k: got 5, must not be above n_expert, which is 4"):
        dataclasses.replace(one.config, top_k=5).model(10, 3, torch.Generator())
    with pytest.raises(UserError, match="phi: got 400"):
        domains.two_hop(dataclasses.replace(one.config, phi=400.0), one)

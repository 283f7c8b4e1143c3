"""Coverage principle: known exponents and gaps, arms that share their rows, and `cover` from end to end."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from wheatstone.bench.errors import UserError
from wheatstone.bench.run import Run
from wheatstone.bench.trial import Trial
from wheatstone.bench.work import Task as Work
from wheatstone.bench.work import perform
from wheatstone.cli.main import main
from wheatstone.domains.compositions import SHAPES, compose, split
from wheatstone.domains.coverage import plan
from wheatstone.studies.neural.coverage_principle import study, verbs
from wheatstone.studies.neural.coverage_principle.config import Config
from wheatstone.studies.neural.coverage_principle.experiment import by_cutoff, covering, prepare
from wheatstone.studies.neural.coverage_principle.ordering import ordering, thirds
from wheatstone.studies.neural.coverage_principle.representation import best_gap, cosine_gap, exchanged_rows
from wheatstone.studies.neural.coverage_principle.search import Tried, bootstrap_exponent, rows_needed, search, slope
from wheatstone.studies.neural.coverage_principle.task import Tokens, majority, sampled

DATA = Path(__file__).parents[2] / "data" / "coverage_principle"
ARMS = ("two_hop", "non_tree", "few_rows_cot", "rows_needed")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A short run; the arms with a number of rows of their own are left at the preset's."""
    config = dataclasses.replace(study.SMOKE, steps=6, evaluations=2)
    made = Run.create(tmp_path_factory.mktemp("coverage") / "run", study.STUDY, "smoke", config, (0,), ARMS, 1)
    for arm in ("two_hop", "non_tree", "rows_needed"):
        perform(made, study.STUDY, Work(arm, 0), lambda *_: None)
    return made


def trial(run: Run, arm: str) -> Trial[Config]:
    record = run.trial(arm, 0)
    return Trial(run, record, record.config(study.STUDY), lambda *_: None)


def test_every_arm_of_every_preset_is_a_valid_config() -> None:
    for preset in study.STUDY.presets.values():
        for arm in preset.arms or ():
            assert len(study.STUDY.arm_config(preset.config, arm).token_set_sizes()) >= 2


@pytest.mark.parametrize("sizes", ["10", "10,10", "1,20", "10,x", "", "10,-4"])
def test_token_set_sizes_that_make_no_slope_are_refused(sizes: str) -> None:
    with pytest.raises(UserError, match="must be two or more different numbers above 1"):
        Config(sizes=sizes).token_set_sizes()


def test_no_training_row_is_asked_and_id_tests_make_only_calls_that_training_makes(run: Run) -> None:
    prepared = prepare(trial(run, "two_hop"))
    rows, composition = prepared.rows, prepared.tokens.composition
    assert not set(rows.train) & {*rows.test_id, *rows.test_ood}
    for call in (0, 1):
        made = set(composition.call_ids[rows.train, call].tolist())
        assert set(composition.call_ids[rows.test_id, call].tolist()) <= made
    shown = {tuple(row) for row in prepared.training.data.tokens.tolist()}
    assert shown == {tuple(row) for row in composition.inputs[rows.train].tolist()}


def test_what_is_written_before_the_target_is_the_true_bridge_or_a_constant() -> None:
    composition = compose(SHAPES["two_hop"], 5, np.random.default_rng(0))
    rows = np.arange(125)
    cot, filler, direct = (Tokens(composition, form).continuations(rows) for form in ("cot", "filler", "direct"))
    assert (cot[:, 0] == composition.tables[0][composition.inputs[:, 0], composition.inputs[:, 1]]).all()
    assert (filler[:, 0] == 5).all()
    for written in (cot, filler, direct):
        assert (written[:, -1] == composition.targets).all()
    told = Tokens(composition, "direct").train(rows[:30], first_call_told=True)
    calls = {tuple(row) for row in composition.inputs[:30, :2].tolist()}
    assert len(told) == 30 + len(calls)


def test_a_table_that_ignores_its_input_is_covered_and_answered_by_substitution() -> None:
    composition = compose(SHAPES["two_hop"], 6, np.random.default_rng(0))
    constant = dataclasses.replace(composition, tables=(np.zeros((6, 6), np.int64), composition.tables[1]))
    rows = sampled(split(constant, 80, 1.0, np.random.default_rng(1)), 200, np.random.default_rng(2))
    found = covering(constant, rows, 8).measures
    assert (found["covered"], found["covered_twice"], found["substitution"]) == (1.0, 1.0, 1.0)
    random = sampled(split(composition, 20, 1.0, np.random.default_rng(1)), 200, np.random.default_rng(2))
    few = covering(composition, random, 8).measures
    assert few["covered_twice"] < 0.2
    assert few["substitution"] < 0.5


def test_evidence_orders_what_it_decides_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    cutoff = rng.integers(0, 9, 900)
    decided = ordering(cutoff, (cutoff >= 4).astype(int), np.ones(900, int), rng)
    assert decided.top == 1.0
    assert decided.bottom == 0.0
    assert decided.matched == 1.0
    assert decided.spearman > 0.8
    chance = ordering(cutoff, rng.integers(0, 2, 900), np.ones(900, int), rng)
    assert abs(chance.spearman) < 3 / math.sqrt(900)
    assert abs(chance.top - chance.bottom) < 4 * math.sqrt(0.5 / 300)
    assert math.isnan(ordering(np.ones(9, int), np.ones(9, int), np.ones(9, int), rng).spearman)
    assert np.isnan(thirds(np.ones(2, int), np.ones(2, int), rng)).all()
    # frequency decides, evidence does not: within one frequency no third is better
    frequency = np.repeat([0, 1], 450)
    confounded = ordering(frequency * 4 + rng.integers(0, 4, 900), frequency, frequency, rng)
    assert confounded.spearman > 0.8
    assert confounded.matched == 0.0


def test_rows_by_cutoff_add_up() -> None:
    found = by_cutoff(np.array([0, 0, 2, 8]), np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]), 8)
    assert [row["tests"] for row in found] == [2, 0, 1, 0, 0, 0, 0, 0, 1]
    assert found[0]["accuracy"] == 0.5
    assert math.isnan(found[1]["accuracy"])


def test_cosine_gap_in_closed_form_and_by_definition() -> None:
    axes = torch.eye(3)[[0, 0, 1, 1, 2, 2]]
    groups = np.array([0, 0, 1, 1, 2, 2])
    assert cosine_gap(axes, groups) == pytest.approx(1.0)
    assert cosine_gap(axes, np.array([0, 1, 0, 1, 0, 1])) == pytest.approx(-1 / 3)
    assert math.isnan(cosine_gap(axes, np.arange(6)))
    assert math.isnan(cosine_gap(axes, np.zeros(6, int)))
    states = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
    labels = np.arange(12) % 4
    cosines = torch.nn.functional.cosine_similarity(states[:, None], states[None], dim=-1).numpy()
    same, other = labels[:, None] == labels, ~np.eye(12, dtype=bool)
    expected = cosines[same & other].mean() - cosines[~same].mean()
    assert cosine_gap(states, labels) == pytest.approx(expected, abs=1e-6)
    token = np.array([0, 0, 1, 1, 2, 2, 0, 0, 1, 2, 1, 0])
    apart = token[:, None] != token
    expected = cosines[same & apart].mean() - cosines[~same & apart].mean()
    assert cosine_gap(states, labels, token) == pytest.approx(expected, abs=1e-6)


def test_a_gap_that_comes_from_a_shared_token_is_none_between_inputs_of_other_tokens() -> None:
    """States that hold x2 alone, and bridges that often come with one x2."""
    rng = np.random.default_rng(0)
    token = rng.integers(5, size=300)
    bridge = np.where(rng.random(300) < 0.5, token, rng.integers(5, size=300))
    held = torch.eye(5)[torch.from_numpy(token)]
    assert cosine_gap(held, bridge) > 0.2
    assert cosine_gap(held, bridge, token) == pytest.approx(0, abs=1e-9)
    of_bridge = held + torch.eye(5)[torch.from_numpy(bridge)]
    assert cosine_gap(of_bridge, bridge, token) > 0.3
    assert math.isnan(cosine_gap(held, token, token))
    assert best_gap([[9.0, 9.0], [0.0, 0.2], [0.0, math.nan]]) == 0.2  # the embedding is no block


def test_an_exchange_changes_the_bridge_and_the_right_answer() -> None:
    composition = compose(SHAPES["two_hop"], 7, np.random.default_rng(0))
    parts = split(composition, 150, 0.8, np.random.default_rng(1))
    kept, sources = exchanged_rows(composition, parts.train, parts.test_id, np.random.default_rng(2))
    assert len(kept) > 20
    differs = composition.inputs[kept] != composition.inputs[sources]
    assert (differs == [False, True, False]).all()
    assert (composition.results(0)[kept] != composition.results(0)[sources]).all()
    assert (composition.targets[kept] != composition.targets[sources]).all()
    assert np.isin(composition.call_ids[sources, 1], composition.call_ids[parts.train, 1]).all()


def test_rows_needed_and_exponent_of_made_up_searches() -> None:
    def tried(rows: int, accuracy: float, train: float = 1.0, before: float = math.nan) -> Tried:
        return Tried(10, rows, train, accuracy, before)

    assert rows_needed([tried(100, 0.8), tried(400, 1.0)], 0.9) == pytest.approx(200)
    assert rows_needed([tried(100, 0.8), tried(200, 0.1, train=0.5), tried(400, 1.0)], 0.9) == pytest.approx(200)
    rising, level = tried(200, 0.85, before=0.7), tried(200, 0.85, before=0.84)
    assert rows_needed([tried(100, 0.8), rising, tried(400, 1.0)], 0.9) == pytest.approx(200)
    assert rows_needed([tried(100, 0.8), level, tried(400, 1.0)], 0.9) == pytest.approx(200 * 2 ** (1 / 3))
    assert math.isnan(rows_needed([tried(100, 0.8)], 0.9))
    assert math.isnan(rows_needed([tried(100, 0.95)], 0.9))
    sizes = (10, 20, 40)
    assert slope(sizes, [3 * size**2.5 for size in sizes]) == pytest.approx(2.5)
    assert math.isnan(slope(sizes, [1.0, math.nan, 2.0]))
    exact = bootstrap_exponent(sizes, [[size**2.0] * 3 for size in sizes], np.random.default_rng(0))
    assert exact == pytest.approx((2.0, 2.0, 2.0))
    noisy = bootstrap_exponent(
        sizes, [[size**2.0, 1.3 * size**2.0, math.nan] for size in sizes], np.random.default_rng(0)
    )
    assert noisy.low < 2.0 < noisy.high


def test_a_search_goes_on_where_it_was_stopped(run: Run, tmp_path: Path) -> None:
    config = dataclasses.replace(study.SMOKE, search=True)
    made = Run.create(tmp_path / "run", study.STUDY, "smoke", config, (0,), ("rows_needed",), 1)
    record = made.trial("rows_needed", 0)

    class StoppedError(Exception):
        pass

    def stop(*_: object) -> None:
        raise StoppedError

    first, second = Trial(made, record, config, stop), trial(made, "rows_needed")
    with pytest.raises(StoppedError):
        search(first)
    first.close()
    found = dict(search(second))
    second.close()
    assert len(list(record.metrics())) == 3 * config.halvings  # nothing is tried twice
    expected = run.trial("rows_needed", 0).measures() or {}
    assert [found[name] for name in ("rows_smallest", "rows_largest")] == pytest.approx(
        [expected[name] for name in ("rows_smallest", "rows_largest")], nan_ok=True
    )


def test_majority_is_the_most_frequent_training_target() -> None:
    composition = compose(SHAPES["one_token"], 4, np.random.default_rng(0))
    constant = dataclasses.replace(composition, tables=(np.array([2, 2, 2, 0]),))
    rows = np.arange(64)
    assert majority(constant, rows, rows) == 0.75
    assert math.isnan(majority(constant, rows, rows[:0]))


def test_a_run_measures_what_it_declares_and_shows_it(run: Run) -> None:
    for arm in ("two_hop", "non_tree", "rows_needed"):
        assert set(run.trial(arm, 0).measures() or {}) == set(study.STUDY.measures)
    tree, tangle = ((run.trial(arm, 0).measures() or {}) for arm in ("two_hop", "non_tree"))
    assert math.isfinite(tree["bridge_interchange"])
    assert math.isnan(tangle["bridge_interchange"])  # x2 acts past the bridge as well
    assert study.exhibits(run)


def cover(*arguments: str) -> int:
    return main(["apply", "coverage-principle", "cover", *arguments])


def write_table(path: Path, share: float, seed: int = 0) -> Path:
    """Examples of t = f2(f1(x1, x2), x3) with three bridges, in words."""
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 3, (6, 6)), rng.permuted(np.tile(np.arange(6), (3, 1)), axis=1)
    lines = ["colour,shape,size,target"]
    for a, b, c in np.argwhere(np.ones((6, 6, 6))).tolist():
        if rng.random() < share:
            lines.append(f"c{a},s{b},z{c},t{second[first[a, b], c]}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_cover_says_what_a_table_covers_and_substitution_answers_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, test, out = write_table(tmp_path / "train.csv", 0.5), tmp_path / "test.csv", tmp_path / "out.json"
    whole = write_table(tmp_path / "whole.csv", 2.0).read_text(encoding="utf-8").splitlines()
    known = set(train.read_text(encoding="utf-8").splitlines())
    test.write_text("\n".join([whole[0], *(row for row in whole[1:] if row not in known)]), encoding="utf-8")
    assert cover(str(train), "--test", str(test), "--out", str(out)) == 0
    said = capsys.readouterr().out
    assert "Answering by substitution alone reaches" in said
    assert "Why the 3 with the least evidence are covered" in said
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["rows"] == len(known) - 1
    assert report["right_where_reached"] > 0.85  # two shared contexts are evidence, no proof
    answers = {row["row"]: row["answer"] for row in report["tests"]}
    rows = test.read_text(encoding="utf-8").splitlines()[1:]
    right = [answers[", ".join(row.split(",")[:3])] == row.split(",")[3] for row in rows]
    assert sum(right) / len(right) == pytest.approx(report["right"], abs=0.05)
    k_of = {row["row"]: row["k"] for row in report["tests"]}  # the k of a test is also the evidence that answers it
    levels = [k_of[", ".join(line.split(",")[:3])] for line in rows]
    for level, share in report["right_by_k"].items():
        of_level = [hit for one, hit in zip(levels, right, strict=True) if one == int(level)]
        assert share == pytest.approx(sum(of_level) / len(of_level))
        assert f"{share:.1%} of {len(of_level)}" in said
    assert len(report["right_by_k"]) > 2
    shares = list(report["covered"].values())
    assert shares == sorted(shares, reverse=True)  # more evidence is harder to have


def test_cover_suggests_rows_where_little_is_covered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    assert cover(str(write_table(tmp_path / "few.csv", 0.15)), "--out", str(out), "--suggest", "2") == 0
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["covered"]["2"] < 0.5
    assert len(report["suggested"]) == 2
    assert "label next:" in capsys.readouterr().out
    assert cover(str(write_table(tmp_path / "all.csv", 2.0))) == 2
    assert "every combination of its tokens is a row already" in capsys.readouterr().err


def test_cover_says_how_far_it_is_and_that_an_interrupted_one_keeps_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train = str(write_table(tmp_path / "train.csv", 0.5))
    monkeypatch.setattr(verbs, "SAYS_EVERY", 0.0)
    assert cover(train) == 0
    said = re.findall(r"compared (\d+)%", capsys.readouterr().err)
    assert [int(part) for part in said] == sorted(int(part) for part in said)
    assert len(said) == 6 * len(plan.PARTS)  # each subset of three columns, on each part of the rows
    assert said[-1] == "100"

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs, "growth", stopped)
    assert cover(train) == 130
    assert capsys.readouterr().err.endswith("\nInterrupted. Nothing is kept: the same command begins anew.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--k", "9"), "--k: got 9, must not be above --k-max, which is 8"),
        (("--columns", "weight"), "--columns: no column 'weight'. The file has colour, shape, size"),
        (("--columns", "colour+shape+size"), "names every column, which leaves no context"),
        (("--test", "absent.csv"), "absent.csv: no such file"),
    ],
)
def test_cover_refuses_what_cannot_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert cover(str(write_table(tmp_path / "train.csv", 0.5)), *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_broken_table_is_told_line_by_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(DATA)
    assert cover("broken.csv") == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].split(" ")[0] for line in said] == ["3", "4", "6", "7"]

"""Chain of thought on two hops: no leak, no teacher forcing, both stages probed fairly, and the user's commands."""

from __future__ import annotations

import dataclasses
import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from wheatstone.bench.errors import UserError
from wheatstone.bench.exhibit import Lines
from wheatstone.bench.run import Run
from wheatstone.bench.trial import Trial
from wheatstone.bench.work import Task as Work
from wheatstone.bench.work import perform
from wheatstone.domains.kg.split import composition_split
from wheatstone.domains.kg.synthetic import random_table
from wheatstone.domains.step_probes import stage_probes
from wheatstone.domains.steps import Asked, StepTokens
from wheatstone.interp.circuit import Circuit
from wheatstone.learn.sequences import Sequences
from wheatstone.learn.training import Fitted, Point
from wheatstone.studies.neural.cot_mechanisms import study, verbs
from wheatstone.studies.neural.cot_mechanisms.config import Config
from wheatstone.studies.neural.cot_mechanisms.experiment import Task, make_task, table_of, times
from wheatstone.studies.neural.cot_mechanisms.internalise import rows_of_stage
from wheatstone.studies.neural.cot_mechanisms.places import sites
from wheatstone.studies.neural.cot_mechanisms.trace import Stage, Token

DATA = Path(__file__).parents[2] / "data" / "cot-mechanisms"
ARMS = ("cot", "no_cot", "b_noise_40", "t_noise_20", "shuffled_bridges", "filler", "some_three_hops", "internalised")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A short run of every kind of arm."""
    config = dataclasses.replace(study.SMOKE, steps=4, evaluations=2)
    made = Run.create(tmp_path_factory.mktemp("cot") / "run", study.STUDY, "smoke", config, (0,), ARMS, 1)
    for arm in ARMS:
        perform(made, study.STUDY, Work(arm, 0), lambda *_: None)
    return made


def task(arm: str, run: Run) -> Task:
    record = run.trial(arm, 0)
    return make_task(Trial(run, record, record.config(study.STUDY), lambda *_: None))


def test_every_arm_of_every_preset_is_a_valid_config() -> None:
    for preset in study.STUDY.presets.values():
        for arm in preset.arms or ():
            assert isinstance(study.STUDY.arm_config(preset.config, arm), Config)
    cpu = study.STUDY.presets["cpu"].config
    assert study.STUDY.arm_config(cpu, "no_cot_10x").fitting().steps == 10 * cpu.fitting().steps


def test_arms_share_tests_and_differ_only_in_what_training_writes(run: Run) -> None:
    plain, noisy, direct = (task(arm, run) for arm in ("cot", "b_noise_40", "no_cot"))
    for other in (noisy, direct):
        assert torch.equal(plain.test_id.prompts, other.test_id.prompts)
        assert torch.equal(plain.test_ood.path, other.test_ood.path)
        assert torch.equal(plain.trained.prompts, other.trained.prompts)
    differs = (plain.train.targets != noisy.train.targets).any(1)
    two_hop = (plain.train.targets != -100).sum(1) == 3
    assert differs.any()
    assert not (differs & ~two_hop).any()  # facts stay clean


def test_noise_is_counted_on_the_training_questions_alone(run: Run) -> None:
    found = {arm: run.trial(arm, 0).measures() or {} for arm in ARMS}
    assert (found["cot"]["noise_bridge"], found["cot"]["noise_answer"]) == (0, 0)
    assert found["b_noise_40"]["noise_answer"] == 0
    assert found["b_noise_40"]["noise_bridge"] == pytest.approx(0.4 * (1 - 1 / 20), abs=0.08)
    assert found["t_noise_20"]["noise_bridge"] == 0
    assert found["t_noise_20"]["noise_answer"] == pytest.approx(0.2 * (1 - 1 / 20), abs=0.06)
    assert found["shuffled_bridges"]["noise_bridge"] > 0.85
    for arm in ("b_noise_40", "shuffled_bridges"):
        one = task(arm, run)
        table, n_entity = one.table, one.tokens.n_entity
        for pool in (one.test_id, one.test_ood, one.three_hop):  # the tests are true
            at = pool.prompts[:, 0].numpy()
            for hop in range(pool.path.shape[1]):
                at = table[at, pool.prompts[:, 1 + hop].numpy() - n_entity]
                assert (at == pool.path[:, hop].numpy()).all()


@pytest.mark.parametrize("arm", ["cot", "some_three_hops"])
def test_no_training_row_touches_an_ood_chain_or_an_id_test(arm: str, run: Run) -> None:
    one = task(arm, run)
    n_entity = one.tokens.n_entity
    ood = {(int(h), int(r)) for h, r in one.split.atomic_ood[:, :2]}
    tests = {tuple(row) for row in one.test_id.prompts.tolist()} | {tuple(row) for row in one.test_ood.prompts.tolist()}
    longer = 0
    for tokens, targets in zip(one.train.tokens.tolist(), one.train.targets.tolist(), strict=True):
        first = next(position for position, target in enumerate(targets) if target >= 0)
        hops = first
        if hops == 1:
            continue
        longer += hops > 2
        assert tuple(tokens[: first + 1][:3]) not in tests
        entities = [tokens[0], *targets[first : first + hops]]
        for hop in range(hops):
            assert (entities[hop], tokens[1 + hop] - n_entity) not in ood
    assert (longer > 0) == (arm == "some_three_hops")


def test_overwriting_the_tests_bridges_changes_no_accuracy(run: Run) -> None:
    for arm in ARMS:
        assert (run.trial(arm, 0).measures() or {})["gold_bridge_effect"] == 0


def test_arms_that_write_no_bridge_have_no_bridge_accuracy(run: Run) -> None:
    for arm in ("no_cot", "filler", "internalised"):
        found = run.trial(arm, 0).measures() or {}
        assert math.isnan(found["id_bridge"])
        assert math.isnan(found["ood_forced"])
        assert math.isfinite(found["id_accuracy"])


def test_a_dropped_bridge_never_comes_back_and_nothing_else_changes(run: Run) -> None:
    one = task("internalised", run)
    order = np.random.default_rng(0).random(len(one.split.train))
    written = [two_hop_answers(rows_of_stage(one, order < share)) for share in (0, 1 / 3, 2 / 3, 1)]
    assert set(written[0].values()) == {3}  # bridge, answer, end
    assert set(written[-1].values()) == {2}
    for before, after in pairwise(written):
        assert before.keys() == after.keys()
        assert all(after[question] <= before[question] for question in before)
        assert sum(after.values()) < sum(before.values())
    n_two_hop = len(one.split.train)
    assert n_two_hop / 3 == pytest.approx(sum(steps == 2 for steps in written[1].values()), abs=0.1 * n_two_hop)
    direct = task("no_cot", run).train
    assert torch.equal(rows_of_stage(one, order < 1).targets, direct.targets)


def two_hop_answers(data: Sequences) -> dict[tuple[int, ...], int]:
    """Two-hop question -> how many tokens training writes after it."""
    found: dict[tuple[int, ...], int] = {}
    for tokens, targets in zip(data.tokens.tolist(), data.targets.tolist(), strict=True):
        first = next(position for position, target in enumerate(targets) if target >= 0)
        if first == 2:
            found[tuple(tokens[:3])] = sum(target >= 0 for target in targets)
    return found


def test_internalising_goes_on_where_it_was_stopped(run: Run, tmp_path: Path) -> None:
    config = dataclasses.replace(study.SMOKE, steps=4, evaluations=2)
    made = Run.create(tmp_path / "run", study.STUDY, "smoke", config, (0,), ("internalised",), 1)

    class StoppedError(Exception):
        pass

    class Stopped(Trial[Config]):
        def log(self, step: int, **values: float) -> None:
            super().log(step, **values)
            if step > 9:  # in the third stage
                raise StoppedError

    record = made.trial("internalised", 0)
    first = Stopped(made, record, record.config(study.STUDY), lambda *_: None)
    with pytest.raises(StoppedError):
        study.run(first)
    first.close()
    perform(made, study.STUDY, Work("internalised", 0), lambda *_: None)
    broken, whole = made.trial("internalised", 0), run.trial("internalised", 0)
    assert broken.measures() == pytest.approx(whole.measures(), nan_ok=True)
    assert broken.artifact("stages") == whole.artifact("stages")
    steps = [line["step"] for line in broken.metrics()]
    assert steps == sorted(set(steps)) == [line["step"] for line in whole.metrics()]
    assert steps[-1] == 4 * 4


def test_the_report_says_where_the_bridge_is_held_and_how_learning_went(run: Run) -> None:
    circuit = Circuit(
        ("h", "r1", "r2"), 2, 50, {}, {"bridge": [[0.1, 0, 0], [0, 0.95, 0.2], [0, 0.97, 1.0]]}, {}, (), {}, "none"
    )
    assert sites(circuit) == ("r1 after block 1, r2 after block 2", 0.95, 1.0)
    # A model that is right about six of ten other questions cannot be led to more of them.
    unsure = dataclasses.replace(circuit, interchange={"bridge": [[0, 0, 0.1], [0, 0, 0.55], [0, 0, 0.6]]})
    assert sites(unsure) == ("r2 after block 1", 0.55, 0.6)
    wrong = dataclasses.replace(circuit, interchange={"bridge": [[0.1, 0.1, 0.1]] * 3})
    assert sites(wrong) == ("nowhere", None, 0.1)
    shown = {one.name: one for one in study.exhibits(run)}
    dropped = shown["internalised"]
    assert isinstance(dropped, Lines)
    assert [mark.at for mark in dropped.marks] == [4, 8, 12]
    assert dropped.lines[0].x[-1] == 16


def test_never_generalising_counts_as_one_step_past_the_end() -> None:
    points = (
        Point(5, 0.0, {"id_accuracy": 0.95, "ood_accuracy": 0.2}),
        Point(9, 0.0, {"id_accuracy": 1.0, "ood_accuracy": 0.94}),
    )
    assert times(Fitted(9, 0.0, 0, points)) == {"step_id_95": 5, "step_ood_95": 10}


def test_stage_probes_change_one_thing_each_and_know_what_should_follow() -> None:
    table = random_table(15, 6, 6, np.random.default_rng(1))
    split = composition_split(table, phi=3.0, ood_share=0.1, test_share=0.2, seed=1)
    known, tokens = table_of(split, ood=False), StepTokens(15, 6)
    probes = stage_probes(known, split.test_id, tokens, np.random.default_rng(0))
    one, two = probes
    assert len(one.clean) == len(two.clean) > 50
    h, r1, r2, b = two.clean.T.numpy()
    assert (known[h, r1 - 15] == b).all()
    assert (known[b, r2 - 15] == two.expected.numpy()).all()
    assert (one.expected.numpy() == b).all()
    for position, name in enumerate(("h", "r1", "r2", "b")):
        changed = two.corruptions[name] != two.clean
        assert changed[:, position].all()
        assert changed.sum() == len(changed)
    for name in ("h", "r1"):  # followed to its end, the corrupted question has another answer
        ch, cr1, cr2, _ = two.corruptions[name].T.numpy()
        assert (known[known[ch, cr1 - 15], cr2 - 15] != two.expected.numpy()).all()
    (variable,) = two.variables
    assert (known[variable.source[:, 3].numpy(), r2 - 15] == variable.counterfactual.numpy()).all()
    assert (variable.counterfactual != two.expected).all()
    sh, sr1, _, sb = variable.source.T.numpy()
    assert (known[sh, sr1 - 15] == sb).all()


def write_facts(path: Path) -> Path:
    rng = np.random.default_rng(0)
    lines = [f"p{h}\tlikes{r}\tp{rng.integers(15)}" for h in range(15) for r in range(4)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_reason_and_trace_on_a_users_facts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert verbs.reason(str(write_facts(tmp_path / "facts.tsv")), steps=30, d_model=16, out=out) == 0
    said = capsys.readouterr().out
    assert "own_facts_no_cot" in said
    assert "OOD" in said
    assert (out / "report.html").exists()
    rows = Run.open(out).trial("own_facts", 0).artifact("samples")
    question = next(row for row in rows if row["pool"] == "training")
    assert verbs.trace(out, question["question"], as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert f"{found['one']['written']['name']} {found['two']['written']['name']} <end>" == question["written"]
    assert (found["one"]["right"], found["two"]["right"]) == tuple(question["right"].split())
    assert found["in_training"]
    places = [(reading["layer"], reading["position"]) for reading in found["two"]["readings"]]
    assert places == [(1, "r2"), (1, "b"), (2, "r2"), (2, "b")]
    assert all(len(reading["top"]) == 3 for reading in found["one"]["readings"])
    assert found["two"]["readings"][-1]["top"][0] == found["two"]["written"]
    verbs.trace(out, question["question"])
    assert "Stage two, the answer: reads" in capsys.readouterr().out
    rows = [line.split("\t") for line in (tmp_path / "facts.tsv").read_text(encoding="utf-8").splitlines()]
    facts = {(head, relation): tail for head, relation, tail in rows}
    second = question["question"].split(" | ")[2]
    assert found["two"]["follows"] == facts.get((found["one"]["written"]["name"], second))


@pytest.mark.parametrize(
    ("written", "right", "follows", "said"),
    [
        ("x", "x", "x", "(right)"),
        ("y", "x", "x", "(wrong, the graph says x)"),
        ("y", "x", "y", "(wrong, the graph says x; it follows from what was read)"),
        ("x", "x", "y", "(right; from b it would be y)"),
        ("z", "x", None, "(wrong, the graph says x; from b it would be nothing)"),
    ],
)
def test_an_answer_is_told_from_what_the_written_bridge_leads_to(
    written: str, right: str, follows: str | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    verbs.print_stage("Stage two", Stage(("h", "r1", "r2", "b"), Token(written, 0.5), right, follows, ()))
    assert said in capsys.readouterr().out


def test_trace_refuses_what_it_cannot_answer(tmp_path: Path) -> None:
    out, facts = tmp_path / "out", tmp_path / "facts.tsv"
    write_facts(facts)
    with facts.open("a", encoding="utf-8") as file:
        file.write("p0\tends_at\tnowhere\n")
    verbs.reason(str(facts), steps=2, d_model=32, out=out)
    for question, message in (
        ("p0 | likes0 | likes1 | likes2", "got 3 relations, must be 2"),
        ("p1 | ends_at | likes1", r"no fact \(p1, ends_at\), so there is no bridge to write"),
        ("p0 | ends_at | likes1", r"no fact \(nowhere, likes1\), so there is no answer to write"),
        ("p0 | like0 | likes1", "relation 'like0' is not in the graph. Did you mean 'likes0'"),
    ):
        with pytest.raises(UserError, match=message):
            verbs.trace(out, question)
    with pytest.raises(UserError, match="writes no bridge"):
        verbs.trace(out, "p0 | likes0 | likes1", arm="own_facts_no_cot")


def test_reason_refuses_before_it_writes(tmp_path: Path) -> None:
    facts = write_facts(tmp_path / "facts.tsv")
    for changes, message in (
        ({"noise": "t:1.5"}, "got a rate of 1.5, must lie between 0 and 1"),
        ({"noise": "x:0.1"}, "got 'x:0.1', must be none"),
        ({"phi": 40.0}, r"phi: got 40, at most [\d.]+ is reachable"),
    ):
        with pytest.raises(UserError, match=message):
            verbs.reason(str(facts), out=tmp_path / "out", **changes)  # pyright: ignore[reportArgumentType]
    assert not (tmp_path / "out").exists()


def test_a_broken_file_is_told_in_these_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DATA)
    with pytest.raises(UserError) as caught:
        verbs.reason("broken.tsv")
    assert str(caught.value) == (
        "broken.tsv:3 field 'relation': empty. A line is head, relation, tail.\n"
        "broken.tsv:4: got 2 fields, need 3: head, relation, tail (and the type of the head, if wanted)."
    )


def test_paths_are_only_compared(run: Run) -> None:
    """What a model writes does not depend on the right path at all, so it may as well be missing."""
    one = task("cot", run)
    model = _model(run)
    blank = Asked(one.test_ood.prompts, torch.zeros_like(one.test_ood.path))
    end = one.tokens.end
    assert torch.equal(blank.written_by(model, "cot", end), one.test_ood.written_by(model, "cot", end))


def _model(run: Run) -> torch.nn.Module:
    from wheatstone.studies.neural.cot_mechanisms.trace import load_reasoner

    record = run.trial("cot", 0)
    return load_reasoner(record, record.config(study.STUDY)).model

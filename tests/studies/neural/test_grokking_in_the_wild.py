"""The main job through the command line, and the traps of training on a real graph."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import pytest
import torch

from wheatstone.bench.exhibit import Bars, Heatmap
from wheatstone.bench.run import Run
from wheatstone.cli.main import main
from wheatstone.domains.kg.catalogue import resolve
from wheatstone.learn.models.transformer import Transformer
from wheatstone.learn.training import FitConfig, fit
from wheatstone.studies.neural.grokking_in_the_wild.exhibits import exhibits
from wheatstone.studies.neural.grokking_in_the_wild.study import STUDY, is_synthetic, shuffled_accuracy
from wheatstone.studies.neural.grokking_in_the_wild.world import QUESTIONS, Config, build

CONFIG = Config(heads=60)


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def wheatstone(*arguments: str, cwd: Path, stdin: str = "") -> Done:
    """The command line in this process; a subprocess a question would spend its time on importing torch."""
    out, err, typed = io.StringIO(), io.StringIO(), io.StringIO(stdin)
    redirected = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with contextlib.chdir(cwd), redirected[0], redirected[1], mock.patch("sys.stdin", typed):
        try:
            code = main(arguments)
        except SystemExit as stopped:  # the option parser's
            code = stopped.code if isinstance(stopped.code, int) else 1
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A short run of `wheatstone grok` on a graph of 30 entities whose circuit-free model answers little."""
    folder = tmp_path_factory.mktemp("grok")
    rng = np.random.default_rng(0)
    lines = [
        f"<b>e{h}</b>\tr{r}\t<b>e{rng.integers(30)}</b>" if h < 2 else f"e{h}\tr{r}\te{rng.integers(2, 30)}"
        for h in range(30)
        for r in range(4)
    ]
    (folder / "facts.tsv").write_text("\n".join(lines) + "\n")
    done = wheatstone(
        *("grok", "facts.tsv", "--steps", "30", "--heads", "20", "--d-model", "32", "--out", "run"), cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_grok_says_what_the_graph_lacks_and_where_everything_is(trained: tuple[Path, str]) -> None:
    folder, printed = trained
    assert "4 relations, 120 facts" in printed
    assert "phi is " in printed
    assert "wheatstone ask run" in printed
    assert (folder / "run" / "report.html").exists()
    for seed in ("augmented", "plain"):
        assert f"{seed}" in printed


def test_the_same_command_again_only_prints(trained: tuple[Path, str]) -> None:
    folder, printed = trained
    before = Run.open(folder / "run").findings()
    again = wheatstone(
        *("grok", "facts.tsv", "--steps", "30", "--heads", "20", "--d-model", "32", "--out", "run"), cwd=folder
    )
    assert again.stdout == printed
    after = Run.open(folder / "run").findings()
    assert before is not None
    assert after is not None
    assert after.decided() == before.decided()


def test_names_of_the_user_stay_text_in_the_report(trained: tuple[Path, str]) -> None:
    page = (trained[0] / "run" / "report.html").read_text()
    assert "<b>e0</b>" not in page


def test_ask_answers_with_path_and_json(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    told = wheatstone("ask", "run", "e5 | r0 | r1", cwd=folder)
    assert told.returncode == 0, told.stderr
    assert "by way of" in told.stdout
    value = json.loads(wheatstone("ask", "run", "e5 | r0 | r1 | r2", "--as-json", cwd=folder).stdout)
    assert [len(hop["asked"]) for hop in value["hops"]] == [3, 2]
    assert 0 <= value["hops"][0]["probability"] <= 1


def test_ask_refuses_to_guess(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    unknown = wheatstone("ask", "run", "e55 | r0 | r1", cwd=folder)
    assert unknown.returncode == 2
    assert "e55" in unknown.stderr
    assert "Did you mean" in unknown.stderr
    assert unknown.stdout == ""
    lines = wheatstone("ask", "run", cwd=folder, stdin="e5 | r9 | r0\n\ne5 | r1\n")
    assert lines.returncode == 0
    assert "r9" in lines.stderr
    assert lines.stdout.startswith("e5 | r1  ->")


def test_circuit_prints_maps_and_json(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    told = wheatstone("circuit", "run", "--arm", "plain", cwd=folder)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("Circuit of plain, seed 0")
    value = json.loads(wheatstone("circuit", "run", "--as-json", cwd=folder).stdout)
    assert value["depth"] == 2


def test_every_number_of_a_figure_is_in_the_run(trained: tuple[Path, str]) -> None:
    run = Run.open(trained[0] / "run")
    by_name = {exhibit.name: exhibit for exhibit in exhibits(run)}
    bars = by_name["accuracy-by-answer"]
    assert isinstance(bars, Bars)
    measured = run.trial("augmented", 0).measures()
    assert measured is not None
    assert bars.series[0].values[0] == measured["real_accuracy"]
    stored = run.trial("augmented", 0).artifact("circuit")
    if stored["n"]:
        heatmap = by_name["circuit-augmented-interchange-bridge"]
        assert isinstance(heatmap, Heatmap)
        assert [list(row) for row in heatmap.values] == stored["interchange"]["bridge"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("grok", "facts.tsv", "--phi", "0"), "phi"),
        (("grok", "facts.tsv", "--multi", "all"), "multi"),
        (("grok", "facts.tsv", "--seeds", "0"), "--seeds: got 0, must be at least 1."),
        (("grok", "nothing.tsv"), "nothing.tsv"),
        (("ask", "run", "no question"), "is no question"),
        (("ask", "run", "e5 | r0", "--arm", "plian"), "Did you mean 'plain'?"),
        (("ask", "elsewhere", "e5 | r0"), "elsewhere: no such run directory"),
        (("circuit", "run", "--seed", "7"), "no seed 7"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_words_end_with_one_message(trained: tuple[Path, str], arguments: Sequence[str], said: str) -> None:
    done = wheatstone(*arguments, cwd=trained[0])
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_arms_share_their_tests_and_synthetic_chains_are_no_test() -> None:
    worlds = [build(replace(CONFIG, **STUDY.arm(arm).changes), {}, 3) for arm in ("augmented", "plain", "inconsistent")]
    for world in worlds:
        assert np.array_equal(world.test.rows, worlds[0].test.rows)
        assert np.array_equal(world.real_train.rows, worlds[0].real_train.rows)
        assert (world.test.rows < len(world.graph.entities)).all()
        asked = {tuple(row) for row in world.test.questions.tolist()}
        assert not asked & {tuple(row) for row in world.train.questions.tolist()}
    assert len(worlds[1].train) == len(worlds[1].real_train) < len(worlds[0].train)


def test_held_out_facts_are_in_no_training_chain_and_ood_tests_use_two_of_them() -> None:
    world = build(CONFIG, {}, 3)
    real = world.train.rows[(world.train.rows < len(world.graph.entities)).all(1)]
    assert not world.held_out[real[:, 0], real[:, 1]].any()
    second = world.train.bridge < len(world.graph.entities)
    assert not world.held_out[world.train.bridge[second], world.train.r2[second]].any()
    ood = world.test_ood
    assert len(ood) > 50
    assert world.held_out[ood.head, ood.r1].all()
    assert world.held_out[ood.bridge, ood.r2].all()


def test_phi_by_ten_lines_of_counting() -> None:
    world = build(CONFIG, {}, 3)
    facts: dict[str, int] = {}
    for fact in world.whole.facts():
        facts[fact.relation] = facts.get(fact.relation, 0) + 1
    uses: dict[str, int] = dict.fromkeys(facts, 0)
    for _, r1, _, r2, _ in world.train.rows.tolist():
        for relation in {r1, r2}:
            uses[world.whole.relations[relation]] += 1
    for row in world.report().relations:
        assert row.phi == pytest.approx(uses[row.relation] / facts[row.relation])


def test_the_users_questions_are_what_trains(tmp_path: Path) -> None:
    listed = tmp_path / "questions.tsv"
    listed.write_text("Germany\tlargest_neighbour\tcapital\nFrance\tnext_by_name\tcurrency\n")
    world = build(replace(CONFIG, ood_share=0.0, augment=False), {QUESTIONS: listed}, 0)
    names = world.graph.entities
    assert {names[h] for h in world.real_train.head.tolist()} == {"Germany", "France"}
    assert len(world.test) > 10_000


def test_a_model_that_knows_only_the_head_does_not_collapse_when_r1_is_shuffled() -> None:
    """The check bites: a stand-in that answers by (h, r2) alone keeps its answers when r1 is exchanged."""
    world = build(CONFIG, {}, 3)
    asked, expected = world.asked(world.test[:500])

    class ByHead(Transformer):
        def resid(self, tokens, **_):  # type: ignore[override]
            known = {(int(h), int(r2)): int(t) for (h, _, r2), t in zip(asked.tolist(), expected.tolist(), strict=True)}
            wanted = [known.get((int(row[0]), int(row[2])), 0) for row in tokens.tolist()]
            one_hot = torch.nn.functional.one_hot(torch.tensor(wanted), self.cfg.vocab).float()
            return one_hot[:, None]

        def unembed(self, resid, **_):  # type: ignore[override]
            return resid

    model = ByHead(CONFIG.transformer(len(world.vocabulary), 3), torch.Generator().manual_seed(0))
    first_of_pair = {}
    for i, (h, _, r2) in enumerate(asked.tolist()):
        first_of_pair[h, r2] = i
    chosen = torch.tensor(sorted(first_of_pair.values()))
    kept = shuffled_accuracy(model, world, asked[chosen], expected[chosen], np.random.default_rng(0))
    assert kept == 1.0


def test_synthetic_entities_are_told_from_real_ones_and_relations() -> None:
    world = build(CONFIG, {}, 3)
    n_real, n_all = len(world.graph.entities), world.n_entity
    tokens = torch.tensor([0, n_real - 1, n_real, n_all - 1, n_all])
    assert is_synthetic(world, tokens).tolist() == [False, False, True, True, False]


def test_training_on_the_world_learns_its_facts() -> None:
    """A few steps on the packaged graph lower the loss from log(vocabulary): data, targets and model fit together."""
    world = build(CONFIG, {}, 3)
    model = Transformer(CONFIG.transformer(len(world.vocabulary), 3), torch.Generator().manual_seed(0))
    cfg = FitConfig(steps=30, batch=512, evaluations=2)
    done = fit(model, world.sequences(), cfg, order_seed=0)
    first, last = (done.history[i].values["train_loss"] for i in (0, -1))
    assert first == pytest.approx(np.log(len(world.vocabulary)), rel=0.05)
    assert last < 0.9 * first


def test_the_packaged_graph_is_what_the_demo_trains_on() -> None:
    assert resolve("countries").name == "countries.tsv"

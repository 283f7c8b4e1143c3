"""The parts of the study that have known answers: times, circuit measures, patch identity, and the user's command."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from wheatstone.bench.errors import UserError
from wheatstone.bench.registry import load
from wheatstone.bench.run import Run
from wheatstone.bench.work import Task, perform
from wheatstone.domains.kg.split import composition_split
from wheatstone.domains.kg.synthetic import random_table
from wheatstone.domains.tasks import Sampling, composition_task
from wheatstone.interp.circuit import Circuit
from wheatstone.interp.patching import states
from wheatstone.learn.models.transformer import Transformer, TransformerConfig
from wheatstone.learn.training import Fitted, Point
from wheatstone.studies.neural.grokked_transformers import study
from wheatstone.studies.neural.grokked_transformers.exhibits import rounded
from wheatstone.studies.neural.grokked_transformers.experiment import circuit_measures, self_patch, times


def fitted(*accuracies: tuple[int, float, float]) -> Fitted:
    points = tuple(Point(step, 0.0, {"train_accuracy": train, "id_accuracy": test}) for step, train, test in accuracies)
    return Fitted(points[-1].step, 0.0, 0, points)


def test_delay_is_generalised_over_memorised() -> None:
    found = times(fitted((10, 0.5, 0.1), (20, 0.99, 0.2), (40, 1.0, 0.94), (60, 1.0, 0.95), (80, 1.0, 0.9)))
    assert found == {"step_train_99": 20, "step_id_95": 60, "delay": 3}


def test_never_generalising_counts_as_one_step_past_the_end() -> None:
    found = times(fitted((10, 0.5, 0.1), (80, 1.0, 0.3)))
    assert (found["step_train_99"], found["step_id_95"]) == (80, 81)
    assert math.isnan(found["delay"])


def circuit(sites: dict[str, int | None], interchange: dict[str, list[list[float]]], structure: str) -> Circuit:
    width = len(next(iter(interchange.values()))[0])
    lens = {"bridge": [[0.0] * width, [0.1, 0.7, 0.2], [0.0] * width]} if "bridge" in sites else {}
    return Circuit(("x",) * width, 2, 9, {}, interchange, lens, (), sites, structure)  # pyright: ignore[reportArgumentType]


def test_bridge_measures_are_read_at_r1_between_the_blocks() -> None:
    rows = [[0.0, 1.0, 0.0], [0.02, 0.96, 0.3], [0.0, 0.0, 1.0]]
    found = circuit_measures(circuit({"bridge": 1}, {"bridge": rows}, "staged"))
    assert (found["bridge_interchange"], found["wrong_position"], found["bridge_lens"]) == (0.96, 0.02, 0.7)
    assert (found["staged"], found["parallel"]) == (1, 0)
    assert math.isnan(found["values_interchange"])


def test_value_measures_take_the_weaker_value_and_the_question_mark() -> None:
    first, second = [0, 0.03, 0.97, 0, 0], [0, 0.01, 0, 0, 0.92]
    zero = [0.0] * 5
    maps = {"value 1": [zero, first, zero], "value 2": [zero, second, zero]}
    found = circuit_measures(circuit({"value 1": 1, "value 2": 1}, maps, "parallel"))
    assert (found["values_interchange"], found["wrong_position"], found["parallel"]) == (0.92, 0.03, 1)
    assert math.isnan(found["bridge_interchange"])
    assert math.isnan(found["bridge_lens"])


@pytest.mark.parametrize(("n_layer", "loops"), [(2, 1), (1, 2), (1, 1)])
def test_a_state_replaced_by_itself_changes_nothing(n_layer: int, loops: int) -> None:
    split = composition_split(random_table(12, 5, 5, np.random.default_rng(0)), phi=2.0, seed=0)
    probe = composition_task(split, Sampling(np.random.default_rng(0), 20, 20)).probe
    config = TransformerConfig(17, 3, 16, n_layer, 2, loops=loops)
    model = Transformer(config, torch.Generator().manual_seed(0)).eval()
    assert self_patch(model, probe) == 0
    other = states(model, probe.corruptions["h"])[0]
    changed = model.unembed(model.run_blocks(other, start=0)[:, -1])
    assert (changed - model.unembed(model.resid(probe.clean)[:, -1])).abs().max() > 0


def test_maps_are_drawn_with_three_digits() -> None:
    one = circuit({"bridge": None}, {"bridge": [[1 / 3] * 3] * 3}, "none")
    assert rounded(one).interchange["bridge"][0][0] == 0.333


def test_relabelled_and_plain_arm_differ_in_names_alone(tmp_path: Path) -> None:
    config = dataclasses.replace(study.SMOKE, steps=2)
    arms = ("phi_15", "relabelled", "complex")
    config = dataclasses.replace(
        config,
        comparison_entities=60,
        n_attribute=3,
        n_value=6,
        comparison_ood_share=0.2,
        complex_share=0.05,
        complex_tests=2,
        comparison_steps=2,
    )
    run = Run.create(tmp_path / "run", study.STUDY, "smoke", config, (0,), arms, 1)
    found = {arm: perform(run, study.STUDY, Task(arm, 0), lambda *_: None) for arm in arms}
    for name in ("direct", "phi", "n_ood"):
        assert found["phi_15"][name] == found["relabelled"][name]
    questions = [[sample["question"] for sample in run.trial(arm, 0).artifact("samples")] for arm in arms]
    assert questions[0] != questions[1]
    assert math.isnan(found["complex"]["id_accuracy"])
    assert found["complex"]["n_ood"] == 6


def write_facts(path: Path) -> Path:
    rng = np.random.default_rng(0)
    lines = [f"p{h}\tr{r}\tp{rng.integers(15)}" for h in range(15) for r in range(4)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_compose_trains_on_a_users_facts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    study.compose(write_facts(tmp_path / "facts.tsv"), steps=3, out=out)
    said = capsys.readouterr().out
    assert "id_accuracy" in said
    assert (out / "report.html").exists()
    samples = Run.open(out).trial("own_facts", 0).artifact("samples")
    assert all(sample["question"].startswith("p") and sample["bridge"].startswith("p") for sample in samples)


def test_compose_refuses_before_it_writes(tmp_path: Path) -> None:
    facts = write_facts(tmp_path / "facts.tsv")
    with pytest.raises(UserError, match=r"phi: got 40, at most [\d.]+ is reachable"):
        study.compose(facts, phi=40.0, out=tmp_path / "out")
    facts.write_text("a\tr\tb\nc\tr\td\n", encoding="utf-8")
    with pytest.raises(UserError, match="no two-hop chain"):
        study.compose(facts, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_every_arm_of_every_preset_is_a_valid_config() -> None:
    for preset in load("grokked-transformers").presets.values():
        for arm in preset.arms or ():
            assert study.STUDY.arm_config(preset.config, arm).recipe().steps > 0

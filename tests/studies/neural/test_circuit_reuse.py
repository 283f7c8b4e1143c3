"""circuit-reuse: verbs on files, the real model where it is installed, the model of our own everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from wheatstone.cli.main import main
from wheatstone.domains.lm import load_model
from wheatstone.domains.lm.catalogue import installed
from wheatstone.domains.lm.prompts import encode_prompts, save_prompts
from wheatstone.domains.lm.tasks import make_task
from wheatstone.interp.end_column import Head
from wheatstone.interp.head_sets import top_heads
from wheatstone.interp.path_patching import Traced, path_effects
from wheatstone.learn.models.language_model import LanguageModel
from wheatstone.learn.models.loading.own import save_own
from wheatstone.learn.models.transformer import Transformer, TransformerConfig
from wheatstone.studies.neural.circuit_reuse.own import own_model

needs_smollm2 = pytest.mark.skipif(
    installed("smollm2") is None, reason="smollm2 is not installed (wheatstone models install smollm2)"
)


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    """A model of numbers and a task in its words: the answer is a number that is not in the prompt."""
    model = Transformer(TransformerConfig(30, 16, 16, 3, 4), torch.Generator().manual_seed(0))
    save_own(model, tmp_path / "model.safetensors")
    random = np.random.default_rng(0)
    lines = []
    for _ in range(8):
        words = [str(word) for word in random.integers(0, 30, 6)]
        other = [*words[:3], str((int(words[3]) + 1) % 30), *words[4:]]
        line = {"clean": " ".join(words), "counterfactual": " ".join(other), "answer": " 7", "wrong": " 8"}
        lines.append(json.dumps(line))
    (tmp_path / "mine.jsonl").write_text("\n".join(lines))
    return tmp_path


def test_a_circuit_of_a_file_is_written_and_compared(
    numbers: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(numbers)
    options = ["--model", "model.safetensors", "--top-share", "0.25", "--resamples", "20"]
    assert main(["apply", "circuit-reuse", "circuit", "mine.jsonl", *options]) == 0
    shown = capsys.readouterr().out
    assert "8 prompts" in shown
    assert "Stage 2" in shown
    written = numbers / "circuits" / "mine" / "circuit.json"
    assert json.loads(written.read_text())["task"] == "mine"
    assert main(["apply", "circuit-reuse", "compare", str(written), "mine.jsonl", *options]) == 0
    shown = capsys.readouterr().out
    assert "stage 1: 3 of 3 shared (0.75 by chance" in shown


def test_faults_name_file_and_line(numbers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (numbers / "mine.jsonl").read_text().splitlines()
    broken = json.loads(lines[2]) | {"answer": " 7 9"}
    lines[2] = json.dumps(broken)
    (numbers / "broken.jsonl").write_text("\n".join(lines))
    model = ["--model", str(numbers / "model.safetensors")]
    assert main(["apply", "circuit-reuse", "circuit", str(numbers / "broken.jsonl"), *model]) == 2
    assert "broken.jsonl:3 field 'answer': ' 7 9' is 2 tokens, must be one: '7' '9'" in capsys.readouterr().err
    assert main(["apply", "circuit-reuse", "circuit", "nothing.jsonl", *model]) == 2
    assert "Named tasks: ioi" in capsys.readouterr().err
    (numbers / "few.jsonl").write_text("\n".join(lines[:2]))
    assert main(["apply", "circuit-reuse", "circuit", str(numbers / "few.jsonl"), *model]) == 2
    assert "2 prompts, 4 are needed" in capsys.readouterr().err


def test_our_own_model_learns_its_tasks() -> None:
    """The easiest of the four, on unseen prompts: how much more probability later years get than earlier ones."""

    def preference(model: LanguageModel) -> float:
        prompts = encode_prompts(model, "gt", make_task("greater_than", model, 60, np.random.default_rng(9)))
        last = Traced.of(model.model, prompts.contrast).clean.resid[-1]
        probabilities = model.model.unembed(last).softmax(-1)
        right, wrong = prompts.contrast.answers, prompts.contrast.wrong
        rows = zip(probabilities, right, wrong, strict=True)
        return float(np.mean([float(row[list(more)].sum() - row[list(less)].sum()) for row, more, less in rows]))

    assert abs(preference(own_model(1))) < 0.05
    assert preference(own_model(120)) > 0.2


@needs_smollm2
def test_the_heads_of_smollm2(tmp_path: Path) -> None:
    """Measured with another implementation and other prompts before this one was written: the four strongest."""
    model = load_model("smollm2")
    drawn = make_task("ioi", model, 16, np.random.default_rng(0))
    save_prompts(tmp_path / "ioi.jsonl", drawn)
    prompts = encode_prompts(model, "ioi", drawn)
    effects = path_effects(model.model, Traced.of(model.model, prompts.contrast))
    assert {Head(23, 3), Head(29, 1), Head(29, 0), Head(24, 4)} <= set(top_heads(effects.mean, 6))
    assert effects.clean.mean() > 3
    assert effects.mean[24, 4] > 0, "a negative mover"

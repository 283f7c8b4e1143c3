"""Tiny mixtures made with transformers: our routing is theirs, and what cannot be run is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    MixtralConfig,
    MixtralForCausalLM,
    OlmoeConfig,
    OlmoeForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
)

from wheatstone.bench.errors import InputError, UserError
from wheatstone.domains.routing.checkpoints import LONGEST, Sample, read_config, read_samples, route

SIZES: dict[str, Any] = {
    "vocab_size": 30,
    "hidden_size": 16,
    "intermediate_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "pad_token_id": 0,
    "num_experts_per_tok": 2,
}


def olmoe() -> Any:
    return OlmoeForCausalLM(OlmoeConfig(**SIZES, num_experts=5))


def mixtral() -> Any:
    return MixtralForCausalLM(MixtralConfig(**SIZES, num_local_experts=6))


def qwen() -> Any:
    """Its second layer is dense, so it has two routers."""
    sizes = {"num_experts": 4, "moe_intermediate_size": 8, "shared_expert_intermediate_size": 8, "mlp_only_layers": [1]}
    return Qwen2MoeForCausalLM(Qwen2MoeConfig(**SIZES, **sizes))


@pytest.fixture(scope="module", params=[olmoe, mixtral, qwen])
def model(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    made = request.param().eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith("gate.weight"):
                parameter.mul_(50)  # routers that decide
    return made


@pytest.fixture(scope="module")
def folder(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint")
    model.save_pretrained(path)
    return path


def some_samples(n: int = 4) -> tuple[Sample, ...]:
    rng = np.random.default_rng(0)
    return tuple(Sample(i + 1, "ab"[i % 2], tokens=tuple(rng.integers(2, 30, 5 + i).tolist())) for i in range(n))


def test_the_routing_is_that_of_transformers(model: Any, folder: Path) -> None:
    samples, seen = some_samples(), []
    trace = route(folder, samples, Path("x.jsonl"), lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert trace.samples == tuple(f"line {s.line}" for s in samples for _ in s.tokens)
    for sample in samples:
        with torch.no_grad():
            theirs = model(input_ids=torch.tensor([sample.tokens]), output_router_logits=True).router_logits
        ours = trace.weights[[name == f"line {sample.line}" for name in trace.samples]]
        assert ours.shape[1] == len(theirs)
        for layer, logits in enumerate(theirs):
            probabilities = logits.double().softmax(-1).numpy()
            best = np.argsort(-probabilities, axis=-1)[:, :2]
            assert ((ours[:, layer] > 0).sum(-1) == 2).all()
            np.testing.assert_allclose(
                np.take_along_axis(ours[:, layer], best, -1), np.take_along_axis(probabilities, best, -1), atol=1e-5
            )
    assert trace.embedding is not None
    rows = [p.detach().numpy() for name, p in model.named_parameters() if name.endswith(".gate.weight")]
    np.testing.assert_allclose(trace.embedding, np.stack(rows), atol=1e-6)


def test_text_passes_the_folders_tokenizer(model: Any, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    text = tmp_path / "text.txt"
    text.write_text("one two\n\nthree one\n", encoding="utf-8")
    samples = read_samples(text)
    assert [(s.line, s.text) for s in samples] == [(1, "one two"), (3, "three one")]
    with pytest.raises(UserError, match="text needs a tokenizer"):
        route(tmp_path, samples, text)
    words = Tokenizer(models.WordLevel({"?": 0, "one": 2, "two": 3, "three": 4}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?").save_pretrained(tmp_path)
    given = (Sample(1, "all", tokens=(2, 3)), Sample(3, "all", tokens=(4, 2)))
    np.testing.assert_allclose(route(tmp_path, samples, text).weights, route(tmp_path, given, text).weights)


def test_only_the_first_tokens_of_a_long_sample_are_read(folder: Path) -> None:
    short = tuple([3, 4] * (LONGEST // 2))
    long = Sample(1, "all", tokens=(*short, 5, 6))
    assert len(route(folder, (long,), Path("x.jsonl")).samples) == LONGEST


def test_tokens_that_the_model_lacks_are_told_with_their_line(folder: Path) -> None:
    samples = (Sample(4, "all", tokens=(3, 30)), Sample(9, "all", tokens=(-1,)))
    with pytest.raises(InputError) as caught:
        route(folder, samples, Path("x.jsonl"))
    assert str(caught.value) == (
        "x.jsonl:4 field 'tokens': got 30, the model has tokens 0 to 29.\n"
        "x.jsonl:9 field 'tokens': got -1, the model has tokens 0 to 29."
    )


def test_weights_of_another_shape_are_refused_in_one_message(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    olmoe().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_experts": 7}), encoding="utf-8")
    capfd.readouterr()
    with pytest.raises(UserError, match=r"have another shape than config.json says, .+\[5, .+ not \[7, "):
        route(tmp_path, some_samples(), Path("x.jsonl"))
    assert capfd.readouterr() == ("", "")  # transformers has a page to say about it


def test_a_checkpoint_without_all_its_weights_is_refused(model: Any, tmp_path: Path) -> None:
    state = {name: value for name, value in model.state_dict().items() if "layers.2.self_attn.q_proj" not in name}
    model.save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(UserError, match=r"of the model's weights are not in its files, 'model.layers.2.self_attn"):
        route(tmp_path, some_samples(), Path("x.jsonl"))
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(UserError, match="the checkpoint cannot be loaded"):
        route(tmp_path, some_samples(), Path("x.jsonl"))


@pytest.mark.parametrize(
    ("config", "files", "message"),
    [
        ("{", (), "cannot be read as JSON"),
        ("[]", (), "field 'model_type': got None, must be one of mixtral, olmoe"),
        ('{"model_type": "llama"}', (), "got 'llama', must be one of mixtral"),
        ('{"model_type": "olmoe"}', ("pytorch_model.bin",), "are pickles: convert them"),
    ],
)
def test_other_models_are_refused(tmp_path: Path, config: str, files: tuple[str, ...], message: str) -> None:
    (tmp_path / "config.json").write_text(config, encoding="utf-8")
    for name in files:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError, match=message):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "x", "the ending '.csv' names no format"),
        ("a.txt", "one line\n", "got 1 samples, need at least 2"),
        ("a.jsonl", "{\n", "a.jsonl:1: is not JSON"),
        ("a.jsonl", '{"tokens": [1]}\n{"words": "x"}', 'a.jsonl:2: must be {"text": "..."} or {"tokens"'),
        ("a.jsonl", '{"tokens": []}\n{"tokens": [1]}', "a.jsonl:1 field 'tokens': must be a list of whole numbers"),
        ("a.jsonl", '{"tokens": [true]}\n{"tokens": [1]}', "a.jsonl:1 field 'tokens': must be a list of whole numbers"),
        ("a.jsonl", '{"text": " "}\n{"tokens": [1]}', "a.jsonl:1 field 'text': must be text, not empty"),
    ],
)
def test_samples_that_cannot_be_are_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_samples(tmp_path / name)
    assert message in str(caught.value)


def test_samples_keep_their_groups(tmp_path: Path) -> None:
    rows = [{"text": "a b", "group": "math"}, {"tokens": [1, 2]}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert read_samples(tmp_path / "a.jsonl") == (Sample(1, "math", "a b"), Sample(2, "all", tokens=(1, 2)))

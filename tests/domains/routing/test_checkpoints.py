"""Tiny mixtures made with transformers: our routing is theirs, and what cannot be run is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    DeepseekV2Config,
    DeepseekV2ForCausalLM,
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    OlmoeConfig,
    OlmoeForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from wheatstone.bench.errors import InputError, UserError
from wheatstone.domains.routing.checkpoints import LONGEST, Sample, read_config, read_samples, route
from wheatstone.domains.routing.layerwise import Layers

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


def qwen3() -> Any:
    return Qwen3MoeForCausalLM(Qwen3MoeConfig(**SIZES, num_experts=4, moe_intermediate_size=8, norm_topk_prob=True))


DEEPSEEK: dict[str, Any] = {
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "moe_intermediate_size": 8,
    "kv_lora_rank": 8,
    "q_lora_rank": None,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "n_group": 2,
    "topk_group": 1,
}
"""Its first layer is dense, and a token's experts come from one of two groups."""


def deepseek2() -> Any:
    return DeepseekV2ForCausalLM(DeepseekV2Config(**SIZES, **DEEPSEEK, topk_method="group_limited_greedy"))


def deepseek3() -> Any:
    """Sigmoids instead of a softmax, and a bias that chooses but does not weigh."""
    made = DeepseekV3ForCausalLM(DeepseekV3Config(**SIZES, **DEEPSEEK))
    for name, buffer in made.named_buffers():
        if name.endswith("correction_bias"):
            buffer.copy_(0.3 * torch.randn(buffer.shape))
    return made


@pytest.fixture(scope="module", params=[olmoe, mixtral, qwen, qwen3, deepseek2, deepseek3])
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
    model.save_pretrained(path, max_shard_size="10KB")
    return path


def some_samples(n: int = 4) -> tuple[Sample, ...]:
    rng = np.random.default_rng(0)
    return tuple(Sample(i + 1, "ab"[i % 2], tokens=tuple(rng.integers(2, 30, 5 + i).tolist())) for i in range(n))


def test_the_routing_is_that_of_transformers(model: Any, folder: Path) -> None:
    """What each router of the whole model hands to its experts, on each sample alone."""
    samples, seen = some_samples(), []
    assert len(list(folder.glob("*.safetensors"))) > 3  # in shards
    trace = route(folder, samples, Path("x.jsonl"), lambda done, total: seen.append((done, total)))
    assert seen == [(done, 12) for done in range(1, 13)]
    assert trace.samples == tuple(f"line {s.line}" for s in samples for _ in s.tokens)
    theirs: list[tuple[torch.Tensor, ...]] = []
    routers = [module for name, module in model.named_modules() if name.endswith("mlp.gate")]
    handles = [router.register_forward_hook(lambda _m, _i, out: theirs.append(out)) for router in routers]
    for sample in samples:
        theirs.clear()
        with torch.no_grad():
            model(input_ids=torch.tensor([sample.tokens]))
        ours = trace.weights[[name == f"line {sample.line}" for name in trace.samples]]
        assert ours.shape[1] == len(theirs) == len(routers)
        for layer, (logits, weights, experts) in enumerate(theirs):
            np.testing.assert_allclose(
                ours[:, layer], torch.zeros(logits.shape).scatter(1, experts, weights.float()), atol=1e-5
            )
            assert ((ours[:, layer] > 0).sum(-1) == trace.top_k).all()
    for handle in handles:
        handle.remove()
    assert trace.embedding is not None
    rows = [router.weight.detach().numpy() for router in routers]
    np.testing.assert_allclose(trace.embedding, np.stack(rows), atol=1e-6)


def test_samples_are_averaged_while_they_are_routed(folder: Path) -> None:
    samples, source = some_samples(), Path("x.jsonl")
    whole = route(folder, samples, source)
    for by, reduced in (("sample", whole.by_sample()), ("last", whole.last_tokens())):
        found = route(folder, samples, source, by=by)
        np.testing.assert_allclose(found.weights, reduced.weights, atol=1e-12)
        assert (found.samples, found.groups, found.cut) == (reduced.samples, reduced.groups, 0)


def test_one_layer_is_in_memory_at_a_time(folder: Path) -> None:
    model = Layers(folder)
    full: list[list[int]] = []

    def look(_done: int, _total: int) -> None:
        full.append([at for at, layer in enumerate(model.layers) if not any(p.is_meta for p in layer.parameters())])

    model.route([[2, 3], [4, 5]], lambda *_: None, look)
    assert full == [[0], [0], [1], [1], [2], [2]]
    assert all(p.is_meta for layer in model.layers for p in layer.parameters())


def test_half_precision_is_read_and_names_without_prefix(tmp_path: Path) -> None:
    """As base models and most published checkpoints are stored."""
    torch.manual_seed(0)
    made = olmoe().to(torch.bfloat16)
    made.save_pretrained(tmp_path / "whole")
    made.model.save_pretrained(tmp_path / "base")
    whole, base = (route(tmp_path / name, some_samples(), Path("x.jsonl")) for name in ("whole", "base"))
    np.testing.assert_array_equal(whole.weights, base.weights)
    assert whole.embedding is not None
    rows = [layer.mlp.gate.weight.detach().float().numpy() for layer in made.model.layers]
    np.testing.assert_array_equal(whole.embedding, np.stack(rows))


def test_configs_as_they_were_published_are_read(folder: Path, tmp_path: Path) -> None:
    """Older names of settings, and code beside the weights that is not run."""
    copied = tmp_path / "checkpoint"
    shutil.copytree(folder, copied)
    config = json.loads((copied / "config.json").read_text(encoding="utf-8"))
    theta = config.pop("rope_parameters")["rope_theta"]
    config.pop("dtype")
    older = {"rope_theta": theta, "rope_scaling": None, "torch_dtype": "bfloat16", "transformers_version": "4.33.1"}
    code = {"auto_map": {"AutoConfig": "configuration_moe.MoeConfig", "AutoModel": "modeling_moe.MoeModel"}}
    (copied / "config.json").write_text(json.dumps(config | older | code), encoding="utf-8")
    (copied / "modeling_moe.py").write_text("raise SystemExit", encoding="utf-8")
    now, then = (route(one, some_samples(), Path("x.jsonl")) for one in (folder, copied))
    np.testing.assert_array_equal(now.weights, then.weights)


def test_a_shard_that_is_missing_or_damaged_is_named(folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "checkpoint"
    shutil.copytree(folder, copied)
    shard = sorted(copied.glob("*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:40])
    with pytest.raises(UserError, match=f"{shard.name}: damaged, or not of this format"):
        route(copied, some_samples(), Path("x.jsonl"))
    shard.unlink()
    with pytest.raises(UserError, match=rf"1 of the \d+ files of weights .+ are not there, '{shard.name}' first"):
        route(copied, some_samples(), Path("x.jsonl"))
    (copied / "model.safetensors.index.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be read as an index of weights"):
        route(copied, some_samples(), Path("x.jsonl"))


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
    found = route(folder, (long,), Path("x.jsonl"))
    assert (len(found.samples), found.cut) == (LONGEST, 1)
    assert len(route(folder, (long,), Path("x.jsonl"), longest=3).samples) == 3


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
    with pytest.raises(UserError, match=r"model.safetensors: damaged, or not of this format"):
        route(tmp_path, some_samples(), Path("x.jsonl"))


@pytest.mark.parametrize(
    ("config", "files", "message"),
    [
        ("{", (), "cannot be read as JSON"),
        ("[]", (), "field 'model_type': got None, must be one of olmoe, flex_olmo"),
        ('{"model_type": "llama"}', (), "got 'llama', must be one of olmoe"),
        ('{"model_type": "olmoe"}', ("pytorch_model.bin",), "are pickles: convert them"),
        ('{"model_type": "deepseek_v3", "quantization_config": {}}', ("a.safetensors",), "quantised weights are not"),
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
    rows = [{"text": "a b", "group": "math"}, {"tokens": [1, 2], "group": "math"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert read_samples(tmp_path / "a.jsonl") == (Sample(1, "math", "a b"), Sample(2, "math", tokens=(1, 2)))
    (tmp_path / "b.jsonl").write_text('{"tokens": [1]}\n{"tokens": [1]}\n{"tokens": [1], "group": "b"}')
    with pytest.raises(InputError, match=r"b.jsonl:3 field 'group': 'b' has this sample alone"):
        read_samples(tmp_path / "b.jsonl")

"""Files of pretrained models: real ones against known outputs, quantised blocks against the `gguf` package, damage."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from wheatstone.bench.errors import UserError
from wheatstone.domains.data import data_folder
from wheatstone.domains.lm import load_model
from wheatstone.domains.lm.catalogue import installed
from wheatstone.learn.models.loading import load
from wheatstone.learn.models.loading.dequantise import KINDS
from wheatstone.learn.models.loading.tokenizers import PieceTokenizer

TINY = data_folder() / "lm" / "stories260K.bin"
needs_tiny = pytest.mark.skipif(not TINY.is_file(), reason=f"no real model: {TINY} is absent (WHEATSTONE_DATA)")
needs_gguf = pytest.mark.skipif(
    importlib.util.find_spec("gguf") is None, reason="gguf is not installed (a development dependency)"
)
needs_smollm2 = pytest.mark.skipif(
    installed("smollm2") is None, reason="smollm2 is not installed (wheatstone models install smollm2)"
)
QUANTISED = [kind for kind in KINDS.values() if kind.block > 1]


@needs_tiny
def test_a_real_story() -> None:
    model = load(TINY)
    tokens = [1]
    for _ in range(60):
        tokens.append(int(model.logits(torch.tensor([tokens]))[0, -1].argmax()))
    # The output that is printed with the weights' publication.
    assert model.decode(tokens).startswith(
        "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. "
        "One day, she saw a big, red ball."
    )


@needs_tiny
@pytest.mark.parametrize("text", ["Once upon a time", "naïve café, 42!", "", " two  spaces\n", "漢字"])
def test_pieces_come_back(text: str) -> None:
    model = load(TINY)
    assert model.decode([1, *model.encode(text)]) == text


@needs_smollm2
def test_smollm2_knows_capitals_and_names() -> None:
    model = load_model("smollm2")
    prompts = {
        "When Mary and John went to the store, John gave a drink to": " Mary",
        "The capital of France is": " Paris",
    }
    for prompt, answer in prompts.items():
        assert model.decode([int(model.logits(torch.tensor([model.encode(prompt)]))[0, -1].argmax())]) == answer


@needs_smollm2
def test_smollm2_gives_the_logits_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    place = installed("smollm2")
    model = load_model("smollm2")
    text = "In 1789 there were 3 of them. What color is the pencil?\nA: Blue"
    tokens = torch.tensor([model.encode(text)])
    theirs = transformers.AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32)
    with torch.no_grad():
        difference = (model.logits(tokens) - theirs(tokens).logits).abs().max().item()
    assert difference < 1e-3


@needs_smollm2
def test_smollm2_cuts_texts_as_transformers_does() -> None:
    """Ids that transformers 5.23 gives with its own conversion of the GGUF file's tables."""
    text = "In 1789, 3.14 naïve café — 漢字 🙂 <|im_start|>user"
    digits = [788, 216, 33, 39, 40, 41, 28, 216, 35, 30, 33, 36]
    words = [15486, 46494, 37366, 1841, 17097, 137, 112, 36518, 47526, 216, 1, 4093]
    model = load_model("smollm2")
    assert model.encode(text) == digits + words
    assert model.decode(digits + words) == text


@needs_gguf
@pytest.mark.parametrize("kind", QUANTISED, ids=lambda kind: kind.name)
def test_blocks_are_dequantised_as_by_the_gguf_package(kind: Any) -> None:
    import gguf

    raw = np.random.default_rng(0).integers(0, 256, (64, kind.size), dtype=np.uint8)
    halves = {"Q4_1": (0, 2), "Q5_1": (0, 2), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}.get(kind.name, (0,))
    for at in halves:
        raw[:, at + 1] &= 0x3F  # scales are finite
    known = gguf.quants.dequantize(raw, gguf.GGMLQuantizationType[kind.name])
    found = kind.decode(raw)
    assert found.dtype == np.float32
    assert found.shape == (64, kind.block)
    np.testing.assert_allclose(found, known.reshape(64, kind.block), rtol=1e-6, equal_nan=True)


def llama_gguf(path: Path, quantised: bool = False) -> Any:
    """A random Llama of transformers, written by the `gguf` package; returns it."""
    import gguf
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=300, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True, initializer_range=0.3,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_context_length(64)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10_000.0)
    writer.add_tokenizer_model("llama")
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", "a", "b", "ab", "\u2581ab"]
    pieces += [f"w{i}" for i in range(300 - len(pieces))]
    writer.add_token_list(pieces)
    writer.add_token_scores([-float(i) for i in range(300)])
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}
    parts = {
        "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    }  # fmt: skip
    for layer in range(2):
        names |= {f"model.layers.{layer}.{theirs}": f"blk.{layer}.{ours}" for theirs, ours in parts.items()}
    for theirs, ours in names.items():
        value = model.get_parameter(f"{theirs}.weight").detach().numpy()
        heads = {"attn_q": 4, "attn_k": 2}.get(ours.split(".")[-1])
        if heads:  # as llama.cpp's converter does it
            value = value.reshape(heads, 2, -1, 64).swapaxes(1, 2).reshape(value.shape)
        if quantised and value.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(f"{ours}.weight", gguf.quants.quantize(value, kind), raw_dtype=kind)
        else:
            writer.add_tensor(f"{ours}.weight", value.copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


@pytest.fixture(scope="module")
def gguf_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    pytest.importorskip("gguf")
    pytest.importorskip("transformers")
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    llama_gguf(path)
    return path.read_bytes()


@needs_gguf
@pytest.mark.parametrize(("quantised", "near"), [(False, 1e-3), (True, 1.0)])
def test_a_gguf_gives_the_logits_of_the_model_it_was_made_from(quantised: bool, near: float, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    theirs = llama_gguf(tmp_path / "model.gguf", quantised)
    ours = load(tmp_path / "model.gguf")
    tokens = torch.randint(0, 300, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs(tokens).logits
    assert (ours.logits(tokens) - expected).abs().max() < near
    assert (ours.logits(tokens) - expected).abs().mean() < near / 5
    assert ours.decode([1, *ours.encode("ab é")]) == "ab é"
    assert ours.encode("ab")[0] == 263  # one piece with its space


def test_long_texts_are_merged_as_short_ones() -> None:
    pieces = [b"<unk>", b"<s>", b"</s>", *(f"<0x{byte:02X}>".encode() for byte in range(256))]
    pieces += [b" ", b"a", b"b", b"aa", b"ab", b"aab", b" a"]
    scores = [0.0] * 259 + [-float(i) for i in (9, 9, 9, 3, 1, 2, 4)]
    tokenizer = PieceTokenizer(pieces, scores, place="x")

    def one_by_one(text: str) -> list[int]:
        """The published algorithm: look at all neighbours, unite the best, again."""
        ids = [pieces.index(c.encode()) for c in " " + text]
        while True:
            options = [
                (-scores[pieces.index(union)], i)
                for i in range(len(ids) - 1)
                if (union := pieces[ids[i]] + pieces[ids[i + 1]]) in pieces
            ]
            if not options:
                return ids
            i = min(options)[1]
            ids[i : i + 2] = [pieces.index(pieces[ids[i]] + pieces[ids[i + 1]])]

    random = np.random.default_rng(0)
    for length in (1, 2, 3, 10, 50):
        for _ in range(20):
            text = "".join(random.choice(["a", "b", " "], length))
            assert tokenizer.encode(text) == one_by_one(text)


def refused(path: Path, *words: str) -> str:
    with pytest.raises(UserError) as caught:
        load(path)
    message = str(caught.value)
    assert path.name in message or str(path) in message
    for word in words:
        assert word in message
    return message


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@needs_gguf
def test_every_cut_of_a_gguf_is_refused(gguf_bytes: bytes, tmp_path: Path) -> None:
    for cut in [*range(0, 3000, 37), *range(3000, len(gguf_bytes) - 1, len(gguf_bytes) // 40)]:
        refused(write(tmp_path / "cut.gguf", gguf_bytes[:cut]))


@needs_gguf
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_gguf_never_ends_in_a_traceback(gguf_bytes: bytes, tmp_path: Path, data: st.DataObject) -> None:
    spoilt = bytearray(gguf_bytes)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(spoilt), 9000) - 1))
        spoilt[at] = data.draw(st.integers(0, 255))
    path = write(tmp_path / "spoilt.gguf", bytes(spoilt))
    with contextlib.suppress(UserError):  # it may also still be a model
        load(path).logits(torch.tensor([[1, 2]]))


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "header"),
        (struct.pack("<7i", 64, 172, 5, 8, 4, 512, 512), "bytes"),
        (struct.pack("<7i", 64, 172, 5, 0, 4, 512, 512), "n_head"),
        (struct.pack("<7i", 64, 172, 5, 8, 3, 512, 512), "divide"),
        (struct.pack("<7i", 2**30, 2**30, 2**30, 2, 2, 2**30, 2**30), "bytes"),
        (struct.pack("<7i", -1, 172, 5, 8, 4, 512, 512), "d_model"),
        (struct.pack("<I6i", 0x616B3432, 2, 5, 8, 4, 512, 512), "version 2"),
        (b"\x00" * 4096, "vocab"),
    ],
)
def test_a_damaged_llama2c_file_is_refused(data: bytes, word: str, tmp_path: Path) -> None:
    refused(write(tmp_path / "bad.bin", data), word)


@needs_tiny
def test_a_damaged_tokenizer_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "model.bin", TINY.read_bytes())
    with pytest.raises(UserError, match=r"tok512\.bin"):
        load(tmp_path / "model.bin")
    whole = TINY.with_name("tok512.bin").read_bytes()
    for spoilt in (whole[:3000], whole + b"x", whole[:8] + b"\xff\xff\xff\xff" + whole[12:], b""):
        write(tmp_path / "tok512.bin", spoilt)
        with pytest.raises(UserError, match=r"tok512\.bin"):
            load(tmp_path / "model.bin")


CONFIG = {
    "model_type": "llama", "vocab_size": 10, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 1,
}  # fmt: skip


def folder_with(folder: Path, config: object, tensors: dict[str, torch.Tensor] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    if tensors is not None:
        save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ("{", "damaged"),
        ("[]", "object"),
        ({}, "model_type"),
        ({**CONFIG, "model_type": "bert"}, "'bert'"),
        ({**CONFIG, "num_attention_heads": 0}, "n_head"),
        ({**CONFIG, "num_attention_heads": 3}, "d_head"),
        ({**CONFIG, "hidden_size": "8"}, "d_model"),
        ({**CONFIG, "num_hidden_layers": 10**12}, "n_layer"),
        ({**CONFIG, "num_hidden_layers": 10**8}, "no tensor 'model.layers.0"),
        ({**CONFIG, "vocab_size": 11}, "shape [10, 8], its settings say [11, 8]"),
        ({**CONFIG, "rope_scaling": {"rope_type": "yarn"}}, "yarn"),
        ({**CONFIG, "attention_bias": True}, "attention_bias"),
        ({**CONFIG, "hidden_act": "relu"}, "hidden_act"),
        ({**CONFIG, "rms_norm_eps": -1.0}, "norm_eps"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(config: object, word: str, tmp_path: Path) -> None:
    tensors = {"model.embed_tokens.weight": torch.zeros(10, 8)}
    refused(folder_with(tmp_path / "folder", config, tensors), word)


def test_safetensors_that_are_no_such_file_are_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "folder", CONFIG)
    refused(folder, "no model.safetensors")
    for data in (b"", b"x" * 100, b"\xff" * 8 + b"{}", struct.pack("<Q", 10) + b'{"a":[1]} '):
        write(folder / "model.safetensors", data)
        refused(folder, "model.safetensors")


@pytest.mark.parametrize(
    "index",
    [
        {},
        [],
        {"weight_map": {"a": "../../etc/passwd"}},
        {"weight_map": {"a": "absent.safetensors"}},
        {"weight_map": [1]},
    ],
)
def test_an_index_that_leads_elsewhere_is_refused(index: object, tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "folder", CONFIG)
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(folder, "index.json")


def test_a_damaged_tokenizer_json_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(vocab_size=10, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                      num_attention_heads=2, num_key_value_heads=1)  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path)
    for text in ("{", "{}", '{"model": {"type": "BPE", "vocab": {"a": 99}, "merges": []}}'):
        (tmp_path / "tokenizer.json").write_text(text)
        with pytest.raises(UserError, match=r"tokenizer\.json"):
            load(tmp_path)


def test_what_is_no_model(tmp_path: Path) -> None:
    refused(tmp_path / "absent.gguf", "no such")
    refused(write(tmp_path / "notes.txt", b"hello"), "not a model")
    with pytest.raises(UserError, match="Did you mean 'smollm2'"):
        load_model("smolm2")

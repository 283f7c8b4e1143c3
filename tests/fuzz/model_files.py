"""Tiny whole files of language models and their tasks, for the readers to be fed with damaged copies of."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

from wheatstone.domains.lm.prompts import load_prompts
from wheatstone.interp.task_circuit import load_circuit
from wheatstone.learn.models.loading import load
from wheatstone.learn.models.loading.llama2c import read_pieces

PIECES = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), " ", "a"]
VOCAB, WIDTH, HIDDEN = len(PIECES), 4, 4


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def gguf_file() -> bytes:
    """A Llama of one layer with its tokenizer, zeros for weights."""
    numbers = {
        "llama.block_count": 1, "llama.context_length": 8, "llama.embedding_length": WIDTH,
        "llama.feed_forward_length": HIDDEN, "llama.attention.head_count": 2, "llama.attention.head_count_kv": 1,
    }  # fmt: skip
    settings = [_text("general.architecture") + struct.pack("<I", 8) + _text("llama")]
    settings += [_text(name) + struct.pack("<II", 4, value) for name, value in numbers.items()]
    settings.append(_text("tokenizer.ggml.model") + struct.pack("<I", 8) + _text("llama"))
    listed = struct.pack("<IIQ", 9, 8, VOCAB) + b"".join(map(_text, PIECES))
    settings.append(_text("tokenizer.ggml.tokens") + listed)
    settings.append(_text("tokenizer.ggml.scores") + struct.pack(f"<IIQ{VOCAB}f", 9, 6, VOCAB, *[0.0] * VOCAB))
    shapes = {"token_embd": (WIDTH, VOCAB), "output_norm": (WIDTH,)}
    shapes |= {f"blk.0.{name}": (WIDTH, WIDTH) for name in ("attn_q", "attn_output")}
    shapes |= {f"blk.0.{name}": (WIDTH, 2) for name in ("attn_k", "attn_v")}
    shapes |= {f"blk.0.{name}": (WIDTH,) for name in ("attn_norm", "ffn_norm")}
    shapes |= {f"blk.0.{name}": (WIDTH, HIDDEN) for name in ("ffn_gate", "ffn_up", "ffn_down")}
    entries, at = b"", 0
    for name, shape in shapes.items():
        entries += _text(f"{name}.weight") + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, at)
        size = 4
        for one in shape:
            size *= one
        at += size + -size % 32
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(settings)) + b"".join(settings) + entries
    return head + bytes(-len(head) % 32 + at)


def llama2c_file() -> bytes:
    """The same in the other format, without a tokenizer."""
    blocks = 2 * WIDTH + 2 * WIDTH * WIDTH + 2 * WIDTH * 2 + 3 * WIDTH * HIDDEN
    count = VOCAB * WIDTH + blocks + WIDTH + 2 * 8
    return struct.pack("<7i", WIDTH, HIDDEN, 1, 2, 1, VOCAB, 8) + bytes(4 * count)


def pieces_file() -> bytes:
    """A tokenizer for it."""
    data = struct.pack("<i", 8)
    for piece in PIECES:
        data += struct.pack("<fi", 0.0, len(piece)) + piece.encode()
    return data


PROMPT = json.dumps(
    {
        "clean": "A and B. B to",
        "counterfactual": "A and B. A to",
        "answer": " A",
        "wrong": [" B", " C"],
        "choices": [" A", " B"],
        "roles": {"IO": {"text": "A", "occurrence": 1}, "end": "to"},
    }
).encode()
CIRCUIT = json.dumps(
    {
        "format": "wheatstone-circuit", "version": 1, "model": "m", "n_layer": 1, "n_head": 2, "n_kv_head": 1,
        "task": "t", "prompts": 4, "accuracy": 1.0, "choice_accuracy": 1.0, "logit_difference": 1.0,
        "counterfactual_logit_difference": -1.0, "freeze_mlps": True,
        "stages": [{
            "receivers": [], "component": "logits", "effect": [[0.5, -1.0]], "stability": 1.0, "stability_low": 1.0,
            "stability_high": 1.0,
            "heads": [{
                "layer": 0, "head": 1, "role": "mover", "effect": -1.0, "low": -2.0, "high": 0.0, "frequency": 1.0,
            }],
        }],
    }
).encode()  # fmt: skip


def _file(name: str, read: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    def reader(data: bytes, folder: Path) -> None:
        (folder / name).write_bytes(data)
        read(folder / name)

    return reader


def _with_tokenizer(path: Path) -> object:
    path.with_name(f"tok{VOCAB}.bin").write_bytes(pieces_file())
    return load(path)


def model_readers() -> dict[str, tuple[Callable[[bytes, Path], object], list[bytes]]]:
    """Name -> reader and seeds."""
    return {
        "gguf": (_file("model.gguf", load), [gguf_file()]),
        "llama2c": (_file("model.bin", _with_tokenizer), [llama2c_file()]),
        "pieces": (_file("tok.bin", lambda path: read_pieces(path, VOCAB)), [pieces_file()]),
        "prompts": (_file("task.jsonl", load_prompts), [PROMPT, PROMPT + b"\n" + PROMPT]),
        "task_circuit": (_file("circuit.json", load_circuit), [CIRCUIT]),
    }

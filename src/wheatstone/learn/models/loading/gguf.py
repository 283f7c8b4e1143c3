"""GGUF files of llama.cpp, versions 2 and 3: settings, tokenizer and (quantised) weights of a Llama in one file.

Layout        'GGUF', version, number of tensors, number of settings; settings (name, type, value); tensors (name,
              dimensions from the fastest on, format, offset); then, aligned, the data.
Differs       llama.cpp permutes rows of queries and keys so that rotary features pair neighbours: undone on reading.

Every length is compared with what the file still holds before anything is made of it, so a damaged file ends early.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wheatstone.bench.errors import UserError
from wheatstone.learn.models.decoder import DecoderConfig
from wheatstone.learn.models.language_model import LanguageModel, Tokenizer
from wheatstone.learn.models.loading.assemble import LlamaNames, assemble, checked_config, llama_tensors, quotient
from wheatstone.learn.models.loading.dequantise import KINDS
from wheatstone.learn.models.loading.tokenizers import read_tokenizer_json, tokenizer_from_tables

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, ARRAY = 8, 9
DEEPEST = 3
"""Arrays of arrays: no known setting has any."""
LLAMA = LlamaNames(
    embedding="token_embd.weight",
    block="blk.{}.",
    norm_attn="attn_norm",
    q="attn_q",
    k="attn_k",
    v="attn_v",
    out="attn_output",
    norm_mlp="ffn_norm",
    gate="ffn_gate",
    up="ffn_up",
    down="ffn_down",
    norm_final="output_norm.weight",
    unembedding="output.weight",
)


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies and how it is written."""

    shape: tuple[int, ...]
    kind: int
    begin: int
    """First byte in the file."""


class _Cursor:
    """Reads numbers and texts one after the other, never beyond the end."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path, self.data, self.at = path, data, 0

    def take(self, size: int, what: str) -> bytes:
        if size < 0 or size > len(self.data) - self.at:
            raise UserError(f"{self.path}: cut off at byte {self.at:,}, within {what}. Fetch it again.")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, code: str, what: str) -> Any:
        layout = "<" + code
        return struct.unpack(layout, self.take(struct.calcsize(layout), what))[0]

    def text(self, what: str) -> str:
        return self.take(self.number("Q", what), what).decode("utf-8", "replace")

    def value(self, kind: int, what: str, depth: int = 0) -> Any:
        if kind in SCALARS:
            return self.number(SCALARS[kind], what)
        if kind == TEXT:
            return self.text(what)
        if kind != ARRAY or depth == DEEPEST:
            raise UserError(f"{self.path}: {what} has the unknown type {kind} at byte {self.at:,}")
        inner, count = self.number("I", what), self.number("Q", what)
        if inner in SCALARS:
            layout = SCALARS[inner]
            size = struct.calcsize("<" + layout)
            return list(struct.unpack(f"<{count}{layout}", self.take(count * size, what))) if count else []
        if count > len(self.data) - self.at:
            raise UserError(f"{self.path}: cut off at byte {self.at:,}, within {what}. Fetch it again.")
        return [self.value(inner, what, depth + 1) for _ in range(count)]


class GgufFile:
    """An open GGUF file: `settings`, and its tensors as `Weights`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.stat().st_size < 24:
            raise UserError(f"{path}: not a GGUF file: {path.stat().st_size} bytes")
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        cursor = _Cursor(path, self._data)
        if cursor.take(4, "the header") != b"GGUF":
            raise UserError(f"{path}: not a GGUF file: it does not begin with 'GGUF'")
        version = cursor.number("I", "the header")
        if version not in (2, 3):
            raise UserError(f"{path}: GGUF version {version} is not read; 2 and 3 (little-endian) are")
        tensors, settings = cursor.number("Q", "the header"), cursor.number("Q", "the header")
        self.settings: dict[str, Any] = {}
        for _ in range(settings):
            name = cursor.text("the name of a setting")
            self.settings[name] = cursor.value(cursor.number("I", name), f"setting '{name}'")
        found = [self._entry(cursor) for _ in range(tensors)]
        alignment = self.settings.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20:
            raise UserError(f"{path}: general.alignment is {alignment!r}")
        start = cursor.at + -cursor.at % alignment
        self.tensors = {name: StoredTensor(shape, kind, start + at) for name, shape, kind, at in found}

    @property
    def place(self) -> str:
        return str(self.path)

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape without reading the data."""
        return self.tensors[name].shape

    def tensor(self, name: str) -> Tensor:
        """The data, dequantised to float32.

        Raises UserError for a format that is not built, naming it by its number, and for data beyond the file's end.
        """
        stored = self.tensors[name]
        kind = KINDS.get(stored.kind)
        if kind is None:
            known = ", ".join(k.name for k in KINDS.values())
            raise UserError(f"{self.path}: tensor '{name}' has ggml's format {stored.kind}; read are {known}")
        count = math.prod(stored.shape)
        if stored.shape[-1] % kind.block:
            raise UserError(
                f"{self.path}: tensor '{name}' has rows of {stored.shape[-1]}, {kind.name} has blocks of 32"
            )
        end = stored.begin + count // kind.block * kind.size
        if end > len(self._data):
            raise UserError(f"{self.path}: cut off: tensor '{name}' ends at byte {end:,} of {len(self._data):,}")
        raw = np.frombuffer(self._data[stored.begin : end], np.uint8).reshape(-1, kind.size)
        with np.errstate(all="ignore"):  # a damaged scale is infinite; that is for the reader of the logits to see
            return torch.from_numpy(kind.decode(raw).reshape(stored.shape))

    def _entry(self, cursor: _Cursor) -> tuple[str, tuple[int, ...], int, int]:
        name = cursor.text("the name of a tensor")
        what = f"the entry of tensor '{name}'"
        dims = cursor.number("I", what)
        if not 0 < dims <= 4:
            raise UserError(f"{self.path}: tensor '{name}' has {dims} dimensions, must be 1 to 4")
        shape = tuple(cursor.number("Q", what) for _ in range(dims))[::-1]
        return name, shape, cursor.number("I", what), cursor.number("Q", what)


def load_gguf(path: Path) -> LanguageModel:
    """The model in a GGUF file; a tokenizer.json beside it takes the place of the file's own tokenizer.

    Raises UserError for an architecture or format that is not built, and for a damaged file.
    """
    file = GgufFile(path)
    settings = file.settings
    kind = settings.get("general.architecture")
    if kind != "llama":
        raise UserError(f"{path}: the architecture {kind!r} is not read from GGUF; 'llama' is")
    cfg = _config(file)
    tokenizer = _tokenizer(path, settings, cfg.vocab)
    model = assemble(cfg, llama_tensors(cfg, LLAMA, neighbours=True), file)
    return LanguageModel(model, tokenizer, path.stem)


def _config(file: GgufFile) -> DecoderConfig:
    settings = file.settings

    def of(name: str, default: Any = None) -> Any:
        return settings.get(f"llama.{name}", default)

    scaling = of("rope.scaling.type", "none")
    if scaling != "none" or "rope_freqs.weight" in file:
        raise UserError(f"{file.path}: scaled rotary positions ({scaling}) are not built, only the plain ones are")
    if of("expert_count"):
        raise UserError(f"{file.path}: a mixture of {of('expert_count')} experts is not built")
    heads, width = of("attention.head_count"), of("embedding_length")
    d_head = of("attention.key_length", quotient(width, heads))
    if of("rope.dimension_count", d_head) != d_head:
        raise UserError(f"{file.path}: turns {of('rope.dimension_count')} of {d_head} features, all is built")
    if "token_embd.weight" not in file:
        raise UserError(f"{file.path}: has no tensor 'token_embd.weight'")
    return checked_config(
        file.place,
        vocab=file.shape("token_embd.weight")[0],
        context=of("context_length", 2048),
        d_model=width,
        n_layer=of("block_count"),
        n_head=heads,
        n_kv_head=of("attention.head_count_kv", heads),
        d_head=d_head,
        d_mlp=of("feed_forward_length"),
        norm_eps=of("attention.layer_norm_rms_epsilon", 1e-5),
        rotary_base=of("rope.freq_base", 10_000.0),
        tied="output.weight" not in file,
    )


def _tokenizer(path: Path, settings: Mapping[str, Any], vocab: int) -> Tokenizer:
    def of(name: str, default: Any = None) -> Any:
        return settings.get(f"tokenizer.ggml.{name}", default)

    bos, eos = of("bos_token_id"), of("eos_token_id")
    beside = path.with_name("tokenizer.json")
    if beside.is_file():
        return read_tokenizer_json(beside, vocab, bos=bos, eos=eos)
    tokens = of("tokens")
    tables = {name: of(name) for name in ("merges", "scores", "token_type") if of(name) is not None}
    if not isinstance(tokens, list) or not all(isinstance(table, list) for table in tables.values()):
        raise UserError(f"{path}: holds no tokenizer. Put the model's tokenizer.json beside the file.")
    if not all(isinstance(token, str) for token in tokens):
        raise UserError(f"{path}: damaged tokenizer: tokens must be texts")
    return tokenizer_from_tables(
        path, str(of("model")), str(of("pre", "default")), tokens, tables, vocab, bos=bos, eos=eos
    )

"""The one-file models of llama2.c (github.com/karpathy/llama2.c, export version 0) and their tokenizer.

Model      seven int32 (width, hidden width, layers, heads, key heads, vocabulary, context; a negative vocabulary says
           that the unembedding is stored apart), then float32 arrays in a fixed order. Rotary features pair neighbours.
Tokenizer  int32 longest piece; per token a float32 score, an int32 length and the bytes. Ids 0 to 2 are unknown, begin
           and end of a text, 3 to 258 the single bytes.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wheatstone.bench.errors import UserError
from wheatstone.learn.models.decoder import DecoderConfig
from wheatstone.learn.models.language_model import LanguageModel
from wheatstone.learn.models.loading.assemble import LlamaNames, assemble, checked_config, llama_tensors, quotient
from wheatstone.learn.models.loading.tokenizers import PieceTokenizer

HEADER = struct.Struct("<7i")
VERSIONED = 0x616B3432
"""Magic number of the later, versioned exports."""
LONGEST_PIECE = 1024
NAMES = LlamaNames(
    embedding="tok_embeddings",
    block="layers.{}.",
    norm_attn="attention_norm",
    q="wq",
    k="wk",
    v="wv",
    out="wo",
    norm_mlp="ffn_norm",
    gate="w1",
    up="w3",
    down="w2",
    norm_final="norm",
    unembedding="output",
)


class _Arrays:
    """The arrays of a model file by name."""

    def __init__(self, path: Path, cfg: DecoderConfig) -> None:
        self.place = str(path)
        d, kv, half = cfg.d_model, cfg.n_kv_head * cfg.d_head, cfg.d_head // 2
        of_blocks = (
            ("attention_norm", (d,)),
            ("wq", (d, d)),
            ("wk", (kv, d)),
            ("wv", (kv, d)),
            ("wo", (d, d)),
            ("ffn_norm", (d,)),
            ("w1", (cfg.d_mlp, d)),
            ("w2", (d, cfg.d_mlp)),
            ("w3", (cfg.d_mlp, d)),
        )
        # Block arrays lie kind by kind, each with all its layers.
        sizes = [("tok_embeddings", (cfg.vocab, d), 1)]
        sizes += [(name, shape, cfg.n_layer) for name, shape in of_blocks]
        sizes += [("norm", (d,), 1), ("cos", (cfg.context, half), 1), ("sin", (cfg.context, half), 1)]
        sizes += [] if cfg.tied else [("output", (cfg.vocab, d), 1)]
        counts = [int(np.prod(shape, dtype=object)) * layers for _, shape, layers in sizes]
        expected, found = HEADER.size + 4 * sum(counts), path.stat().st_size
        if expected != found:
            raise UserError(f"{path}: has {found:,} bytes, its header says {expected:,}. Fetch it again.")
        data = np.frombuffer(path.read_bytes(), "<f4", offset=HEADER.size)
        parts = np.split(data, np.cumsum(counts)[:-1])
        self._arrays: dict[str, np.ndarray] = {}
        for (name, shape, layers), part in zip(sizes, parts, strict=True):
            if layers == 1 and name in ("tok_embeddings", "norm", "cos", "sin", "output"):
                self._arrays[name] = part.reshape(shape)
            else:
                for layer, of_layer in enumerate(part.reshape(layers, *shape)):
                    self._arrays[f"layers.{layer}.{name}.weight"] = of_layer

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def shape(self, name: str) -> tuple[int, ...]:
        return self._arrays[name].shape

    def tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self._arrays[name].copy())


def load_llama2c(path: Path, tokenizer: Path | None = None) -> LanguageModel:
    """The model in a llama2.c file; its tokenizer is `tokenizer`, or beside it tokV.bin (V tokens) or tokenizer.bin.

    Raises UserError for a file that is cut off, of a later version, or not of this format.
    """
    with path.open("rb") as file:
        head = file.read(HEADER.size)
    if len(head) < HEADER.size:
        raise UserError(f"{path}: not a llama2.c model: {len(head)} bytes, its header alone has {HEADER.size}")
    width, hidden, layers, heads, kv_heads, vocab, context = HEADER.unpack(head)
    if struct.unpack("<I", head[:4])[0] == VERSIONED:
        raise UserError(
            f"{path}: a llama2.c export of version {hidden}; only version 0 is read (export.py --version 0)"
        )
    cfg = checked_config(
        str(path),
        vocab=abs(vocab),
        context=context,
        d_model=width,
        n_layer=layers,
        n_head=heads,
        n_kv_head=kv_heads,
        d_head=quotient(width, heads),
        d_mlp=hidden,
        norm_eps=1e-5,
        tied=vocab > 0,
    )
    arrays = _Arrays(path, cfg)
    model = assemble(cfg, llama_tensors(cfg, NAMES, neighbours=True), arrays)
    if tokenizer is None:
        places = [path.with_name(f"tok{cfg.vocab}.bin"), path.with_name("tokenizer.bin")]
        tokenizer = next((place for place in places if place.is_file()), None)
        if tokenizer is None:
            raise UserError(f"{path}: its tokenizer is missing; put {places[0].name} beside it")
    return LanguageModel(model, read_pieces(tokenizer, cfg.vocab), path.stem)


def read_pieces(path: Path, vocab: int) -> PieceTokenizer:
    """The tokenizer of `vocab` pieces in a file. Raises UserError when it is cut off or has another number of them."""
    data = path.read_bytes()
    pieces: list[bytes] = []
    scores: list[float] = []
    at = 4
    while at < len(data) and len(pieces) < vocab:
        if at + 8 > len(data):
            break
        score, length = struct.unpack_from("<fi", data, at)
        at += 8
        if not 0 <= length <= LONGEST_PIECE or at + length > len(data):
            raise UserError(f"{path}: piece {len(pieces)} has length {length}, which the file does not hold")
        pieces.append(data[at : at + length])
        scores.append(score)
        at += length
    if len(pieces) != vocab or at != len(data):
        raise UserError(f"{path}: not a tokenizer of {vocab} pieces (found {len(pieces)} in {at} of {len(data)} bytes)")
    return PieceTokenizer(pieces, scores, place=str(path))

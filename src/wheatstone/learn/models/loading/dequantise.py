"""Quantised blocks of llama.cpp become float32 numbers.

A block holds 32 numbers (`Q4_0` to `Q8_0`: one scale d, and in the `_1` kinds a minimum m) or 256 (the `K` kinds: 8 or
16 scales that are themselves quantised). The value of a code q is d (q - middle), d q + m, or d s q - d_min m for a
block's own scale s and minimum m. Layouts as in ggml's `ggml-quants.c`; every kind is compared with the `gguf` package.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[Any]
"""float32: numpy's types do not follow the dtype through arithmetic."""
Codes = NDArray[Any]
"""Whole numbers of few bits, in uint8."""


@dataclass(frozen=True)
class Kind:
    """A number format of ggml."""

    name: str
    block: int
    """Numbers in a block."""
    size: int
    """Bytes of a block."""
    decode: Callable[[Bytes], Floats]
    """[blocks, size] -> [blocks, block]."""


def _half(blocks: Bytes, at: int) -> Floats:
    return blocks[:, at : at + 2].copy().view("<f2").astype(np.float32)  # [blocks, 1]


def _nibbles(packed: Bytes) -> Codes:
    """Low halves of all bytes, then high halves."""
    return np.concatenate((packed & 15, packed >> 4), -1)


def _fifth_bits(blocks: Bytes, at: int) -> Codes:
    """The fifth bit of each of 32 codes, as 0 or 16."""
    return np.unpackbits(blocks[:, at : at + 4], axis=1, bitorder="little") << 4


def _q4_0(b: Bytes) -> Floats:
    return _half(b, 0) * (_nibbles(b[:, 2:]).astype(np.float32) - 8)


def _q4_1(b: Bytes) -> Floats:
    return _half(b, 0) * _nibbles(b[:, 4:]) + _half(b, 2)


def _q5_0(b: Bytes) -> Floats:
    return _half(b, 0) * ((_nibbles(b[:, 6:]) | _fifth_bits(b, 2)).astype(np.float32) - 16)


def _q5_1(b: Bytes) -> Floats:
    return _half(b, 0) * (_nibbles(b[:, 8:]) | _fifth_bits(b, 4)) + _half(b, 2)


def _q8_0(b: Bytes) -> Floats:
    return _half(b, 0) * b[:, 2:].view(np.int8)


def _scales(packed: Bytes) -> tuple[Floats, Floats]:
    """Eight 6-bit scales and eight 6-bit minima out of 12 bytes, each [blocks, 8]."""
    first, second, third = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scale = np.concatenate((first & 63, (third & 15) | (first >> 6 << 4)), 1)
    least = np.concatenate((second & 63, (third >> 4) | (second >> 6 << 4)), 1)
    return scale.astype(np.float32), least.astype(np.float32)


def _scaled(b: Bytes, codes: Codes) -> Floats:
    """`codes` [blocks, 8, 32] with d, d_min and the packed scales at the front of the block."""
    scale, least = _scales(b[:, 4:16])
    value = (_half(b, 0) * scale)[:, :, None] * codes - (_half(b, 2) * least)[:, :, None]
    return value.reshape(len(b), 256)


def _q4_k(b: Bytes) -> Floats:
    packed = b[:, 16:].reshape(-1, 4, 32)
    return _scaled(b, np.stack((packed & 15, packed >> 4), 2).reshape(-1, 8, 32))


def _q5_k(b: Bytes) -> Floats:
    packed = b[:, 48:].reshape(-1, 4, 32)
    codes = np.stack((packed & 15, packed >> 4), 2).reshape(-1, 8, 32)
    fifth = (b[:, None, 16:48] >> np.arange(8, dtype=np.uint8)[None, :, None]) & 1
    return _scaled(b, codes | (fifth << 4))


def _q6_k(b: Bytes) -> Floats:
    low = b[:, :128].reshape(-1, 2, 1, 64) >> np.array([0, 4], np.uint8)[None, None, :, None] & 15
    high = b[:, 128:192].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8)[None, None, :, None] & 3
    codes = (low.reshape(-1, 2, 4, 32) | (high << 4)).astype(np.float32) - 32
    scale = _half(b, 208) * b[:, 192:208].view(np.int8)
    return (codes.reshape(-1, 16, 16) * scale[:, :, None]).reshape(len(b), 256)


KINDS = {
    0: Kind("F32", 1, 4, lambda b: b.copy().view("<f4")),
    1: Kind("F16", 1, 2, lambda b: b.copy().view("<f2").astype(np.float32)),
    2: Kind("Q4_0", 32, 18, _q4_0),
    3: Kind("Q4_1", 32, 20, _q4_1),
    6: Kind("Q5_0", 32, 22, _q5_0),
    7: Kind("Q5_1", 32, 24, _q5_1),
    8: Kind("Q8_0", 32, 34, _q8_0),
    12: Kind("Q4_K", 256, 144, _q4_k),
    13: Kind("Q5_K", 256, 176, _q5_k),
    14: Kind("Q6_K", 256, 210, _q6_k),
    30: Kind("BF16", 1, 2, lambda b: (b.copy().view("<u2").astype(np.uint32) << 16).view(np.float32)),
}
"""ggml's number of a format -> the format."""

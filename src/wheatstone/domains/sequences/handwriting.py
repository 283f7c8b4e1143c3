"""Pictures of the symbols of HINT: real handwritten digits, drawn operators and parentheses.

Source   Digits: 1,797 pictures of 8 x 8 by 43 writers (Alpaydin, Kaynak, UCI 1998), shipped by scikit-learn. The
         writers of its test part are others than those of its training part, but the shipped file is the test part
         alone and has no writer names, so pictures are split, not writers.
Drawn    Operators and parentheses: strokes with random ends, slant and width on 32 x 32 pixels, then counted in blocks
         of 4 x 4, which is how the digits were made. HINT's own pictures of operators are not part of any package.
"""

from __future__ import annotations

import functools
import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wheatstone.bench.errors import UserError
from wheatstone.domains.sequences.hint import DIGITS, SYMBOLS

SIDE, FINE = 8, 32
LEVELS = 16.0
"""Brightest value of a pixel: 16 fine pixels."""
Pictures = NDArray[np.float32]
"""(picture, 8, 8) brightness in [0, 1]."""


class Drawer(NamedTuple):
    """Pictures to draw from, with the symbol that each shows (a number into `hint.SYMBOLS`)."""

    pictures: Pictures
    labels: NDArray[np.int64]


class Handwriting(NamedTuple):
    """Pictures for training and other pictures for tests."""

    train: Drawer
    test: Drawer


STROKES: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "+": (((0.15, 0.5), (0.85, 0.5)), ((0.5, 0.15), (0.5, 0.85))),
    "-": (((0.15, 0.5), (0.85, 0.5)),),
    "*": (((0.2, 0.2), (0.8, 0.8)), ((0.8, 0.2), (0.2, 0.8))),
    "/": (((0.25, 0.88), (0.75, 0.12)),),
    "(": (((0.65, 0.05), (0.4, 0.3), (0.4, 0.7), (0.65, 0.95)),),
    ")": (((0.35, 0.05), (0.6, 0.3), (0.6, 0.7), (0.35, 0.95)),),
}
"""Lines through points (right, down) in a unit square."""


def handwriting(rng: np.random.Generator, *, drawn: int = 180, test_share: float = 0.3) -> Handwriting:
    """Digits split at random, and `drawn` pictures of each operator and parenthesis, split alike.

    Raises UserError without scikit-learn.
    """
    pictures, labels = _digits()
    sets: list[tuple[Pictures, int]] = [(pictures[labels == digit], digit) for digit in range(len(DIGITS))]
    sets += [
        (np.stack([draw(symbol, rng) for _ in range(drawn)]), SYMBOLS.index(symbol))
        for symbol in SYMBOLS[len(DIGITS) :]
    ]
    parts: tuple[list[Drawer], list[Drawer]] = ([], [])
    for found, label in sets:
        order = rng.permutation(len(found))
        n_test = round(test_share * len(found))
        for part, chosen in zip(parts, (order[n_test:], order[:n_test]), strict=True):
            part.append(Drawer(found[chosen], np.full(len(chosen), label, np.int64)))
    train, test = (Drawer(*(np.concatenate(column) for column in zip(*part, strict=True))) for part in parts)
    return Handwriting(train, test)


def draw(symbol: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """One picture (8, 8) of an operator or a parenthesis."""
    width = rng.uniform(1.3, 2.3)
    slant, scale, shift = rng.normal(0, 0.12), rng.uniform(0.75, 1.05), rng.normal(0, 0.05, 2)
    rows, columns = np.mgrid[0:FINE, 0:FINE] + 0.5
    ink = np.zeros((FINE, FINE), bool)
    for stroke in STROKES[symbol]:
        points = np.array(stroke) + rng.normal(0, 0.04, (len(stroke), 2))
        points = (points - 0.5) * scale
        points[:, 0] -= slant * points[:, 1]
        points = (points + 0.5 + shift) * FINE
        for a, b in itertools.pairwise(points):
            along = b - a
            share = ((columns - a[0]) * along[0] + (rows - a[1]) * along[1]) / max(1e-6, float(along @ along))
            share = share.clip(0, 1)
            distance = np.hypot(columns - a[0] - share * along[0], rows - a[1] - share * along[1])
            ink |= distance <= width
    block = FINE // SIDE
    return (ink.reshape(SIDE, block, SIDE, block).sum((1, 3)) / LEVELS).astype(np.float32)


@functools.cache
def _digits() -> tuple[Pictures, NDArray[np.int64]]:
    try:
        from sklearn.datasets import load_digits  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError(
            "handwritten digits come with scikit-learn, which is not installed. "
            "Install it: pip install 'wheatstone[logical]'"
        ) from None
    pixels, labels = load_digits(return_X_y=True)
    return (pixels.reshape(-1, SIDE, SIDE) / LEVELS).astype(np.float32), labels.astype(np.int64)

"""Pictures of symbols: real digits, drawn operators that look like what they are called."""

from __future__ import annotations

import numpy as np
import pytest

from wheatstone.bench.errors import UserError
from wheatstone.domains.sequences import handwriting, hint


def test_drawn_symbols_can_be_told_apart_and_differ_each_time() -> None:
    rng = np.random.default_rng(0)
    drawn = {symbol: np.stack([handwriting.draw(symbol, rng) for _ in range(60)]) for symbol in "+-*/()"}
    means = {symbol: pictures[:30].mean(0) for symbol, pictures in drawn.items()}
    right = 0
    for symbol, pictures in drawn.items():
        assert pictures.shape == (60, 8, 8)
        assert 0 <= pictures.min() <= pictures.max() <= 1
        assert not np.array_equal(pictures[0], pictures[1])
        right += sum(min(means, key=lambda s: ((p - means[s]) ** 2).sum()) == symbol for p in pictures[30:])
    assert right / 180 > 0.7


def test_the_split_is_by_picture_and_by_seed() -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    one, same = (handwriting.handwriting(np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one.train.pictures, same.train.pictures)
    assert set(one.train.labels) == set(one.test.labels) == set(range(len(hint.SYMBOLS)))
    assert (one.train.labels < 10).sum() + (one.test.labels < 10).sum() == 1797
    known = {picture.tobytes() for picture in one.train.pictures[one.train.labels < 10]}
    assert not known & {picture.tobytes() for picture in one.test.pictures[one.test.labels < 10]}


def test_without_scikit_learn_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    handwriting._digits.cache_clear()  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    with pytest.raises(UserError, match=r"pip install 'wheatstone\[logical\]'"):
        handwriting.handwriting(np.random.default_rng(0))

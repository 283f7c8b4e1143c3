"""Whatever is in a file, a reader answers with a value or with one clear message, soon, and in bounded memory."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tracemalloc
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.parsers import Target, targets

from wheatstone.bench.errors import UserError

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
SECONDS = 8
"""Of processor time, so that a busy machine does not matter."""
MEMORY_FACTOR, MEMORY_BASE = 50, 32 * 2**20
"""Peak of Python's allocations: at most so many times the input, and a constant for imports and buffers."""
ODD_PIECES = [
    b"\0",
    b"\xff",
    b"\r",
    b"\n",
    b"\t",
    b'"',
    b"{",
    b"[",
    b"nan",
    b"-1",
    b"1e999",
    b"9" * 30,
    b"\xe2\x80\xa8",
]
ODD_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**30) | st.just("../x"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@st.composite
def damaged(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed with a few pieces cut out, doubled, or replaced by others; now and then bytes from nowhere."""
    data = draw(st.sampled_from(seeds) | st.binary(max_size=200))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 20)))
        piece = draw(st.sampled_from([*ODD_PIECES, b"", data[start:end] * 2]) | st.binary(max_size=4))
        data = data[:start] + piece + data[end:]
    return data


@st.composite
def exchanged(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A JSON seed in which one value, however deep, is another one, or is missing."""

    def changed(value: Any) -> Any:
        if isinstance(value, dict | list) and value and draw(st.integers(0, 9)):
            at = draw(st.sampled_from(list(value) if isinstance(value, dict) else range(len(value))))
            copied = value.copy()
            if draw(st.integers(0, 9)):
                copied[at] = changed(value[at])
            else:
                del copied[at]
            return copied
        return draw(ODD_VALUES)

    return json.dumps(changed(json.loads(draw(st.sampled_from(seeds))))).encode()


def is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    texts = [seed for seed in target.seeds if is_json(seed)]
    both = damaged(list(target.seeds))
    return exchanged(texts) | exchanged(texts) | both if texts else both


@contextlib.contextmanager
def limits(size: int) -> Generator[None]:
    """Fails for what takes long, and for what takes memory out of proportion to `size` bytes of input."""

    def late(_signal: int, _frame: object) -> None:
        raise TimeoutError(f"longer than {SECONDS} s of processor time")

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
        assert peak < MEMORY_FACTOR * size + MEMORY_BASE, f"{peak:,} bytes for an input of {size:,}"
    finally:
        tracemalloc.stop()
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@pytest.mark.parametrize("name", targets())
def test_only_clear_messages(name: str, tmp_path: Path) -> None:
    target = targets()[name]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        print_blob=True,
        database=None,
    )
    @given(inputs(target))
    def check(data: bytes) -> None:
        with limits(len(data)), contextlib.suppress(UserError):
            target.read(data, tmp_path)

    for seed in target.seeds:
        with limits(len(seed)), contextlib.suppress(UserError):
            target.read(seed, tmp_path)
    check()

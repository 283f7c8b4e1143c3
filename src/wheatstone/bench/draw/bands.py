"""A band around a line, cut at its gaps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence


def bands(
    x: Sequence[float], low: Sequence[float] | None, high: Sequence[float] | None
) -> Iterator[tuple[list[float], list[float], list[float]]]:
    """The stretches of a band (x, low, high) between gaps."""
    stretch: list[tuple[float, float, float]] = []
    for point in [*zip(x, low or (), high or (), strict=False), (math.nan, math.nan, math.nan)]:
        if not any(map(math.isnan, point)):
            stretch.append(point)
        elif stretch:
            xs, lows, highs = (list(column) for column in zip(*stretch, strict=True))
            stretch = []
            if len(xs) > 1:
                yield xs, lows, highs

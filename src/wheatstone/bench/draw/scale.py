"""Numbers on an axis: where a value lies in pixels, and which round values are written beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from wheatstone.bench.draw.theme import number


@dataclass(frozen=True)
class Scale:
    """From values to pixels, linear or logarithmic; `end` may be left of or above `start`."""

    low: float
    high: float
    start: float
    """Pixel of `low`."""
    end: float
    """Pixel of `high`."""
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value; NaN for one that has no place (NaN itself, zero on a logarithmic axis)."""
        if math.isnan(value) or (self.is_log and value <= 0):
            return math.nan
        low, high, at = self.low, self.high, value
        if self.is_log:
            low, high, at = math.log10(low), math.log10(high), math.log10(value)
        return self.start + (self.end - self.start) * (at - low) / (high - low)

    def ticks(self, count: int) -> list[float]:
        """About `count` round values between the two ends."""
        return _log_ticks(self.low, self.high, count) if self.is_log else _ticks(self.low, self.high, count)

    def labels(self, count: int) -> list[tuple[float, str]]:
        """The same with their texts, of as many digits as tell them apart."""
        values = self.ticks(count)
        texts = [tick_text(value) for value in values]
        for digits in range(5, 16):
            if len(set(texts)) == len(values):
                break
            texts = [tick_text(value, digits) for value in values]
        return list(zip(values, texts, strict=True))


def scale_of(
    values: Iterable[float], start: float, end: float, *, is_log: bool = False, room: float = 0.04, zero: bool = False
) -> Scale:
    """A scale that shows all values with some room (a share of the span) beyond them; with `zero`, zero as well."""
    known = [value for value in values if math.isfinite(value) and (value > 0 or not is_log)]
    if not known:
        return Scale(0.1 if is_log else 0.0, 1.0, start, end, is_log)
    low, high = min(known), max(known)
    if is_log:
        low, high = math.log10(low), math.log10(high)
        reach = room * (high - low) if high > low else 0.3
        return Scale(10 ** (low - reach), 10 ** (high + reach), start, end, is_log)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    reach = room * (high - low) if high > low else 0.5 * (abs(high) or 1.0)
    is_flush = zero and low == 0.0
    return Scale(low if is_flush else low - reach, high + reach, start, end)


def _ticks(low: float, high: float, count: int) -> list[float]:
    rough = (high - low) / max(1, count)
    if not 1e-12 * max(abs(low), abs(high)) < rough < math.inf:  # too close together for floats between them
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999), 10 * power)
    first = math.ceil(low / step - 1e-9)
    values = (step * place for place in range(first, first + 4 * count + 4))
    return [0.0 if abs(value) < step * 1e-9 else value for value in values if value <= high + step * 1e-9]


def _log_ticks(low: float, high: float, count: int) -> list[float]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    stride = max(1, math.ceil((last - first + 1) / max(1, count)))
    decades = [10.0**power for power in range(first, last + 1, stride)]
    if len(decades) > 2:
        return decades
    within = [factor * 10.0**power for power in range(first - 1, last + 1) for factor in (1, 2, 5) if stride == 1]
    finer = [value for value in within if low <= value <= high]
    return finer if len(finer) > 2 else _ticks(low, high, count)


def tick_text(value: float, digits: int = 4) -> str:
    """A tick's value as it is written: short, also for a million steps."""
    size = abs(value)
    if size >= 1e4 and value == int(value):
        for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if size >= unit and round(value / unit, 3) * unit == value:
                return f"{value / unit:g}{name}"
    return f"{value:.{digits - 2}g}" if 0 < size < 1e-3 else number(value, digits)

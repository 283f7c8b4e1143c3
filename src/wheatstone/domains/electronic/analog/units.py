"""Numbers as SPICE writes them: 2.5u, 10meg, 250f; case does not matter, letters after the suffix are a unit."""

from __future__ import annotations

import math
import re

SUFFIXES = {
    "t": 1e12, "g": 1e9, "meg": 1e6, "k": 1e3, "mil": 25.4e-6, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "n": 1e-9, "p": 1e-12,
    "f": 1e-15, "a": 1e-18,
}  # fmt: skip
NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(meg|mil|[tgkmunpfaµ])?([a-zµΩ°/√]*)\s*", re.I)
STEPS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"),
         (1e-12, "p"), (1e-15, "f"), (1e-18, "a"))  # fmt: skip
PLAIN = {"dB", "dBohm", "", "deg"}
"""Units that take no prefix."""


def number(text: str | int | float) -> float:
    """The value of '2.5u' or of a plain number, in SI units.

    Raises ValueError for anything else, and for numbers that are not finite.
    """
    if isinstance(text, str):
        found = NUMBER.fullmatch(text)
        if found is None:
            raise ValueError(f"'{text}' is not a number; write 2.5u, 10meg, 250f or 1e-6")
        value = float(found[1]) * SUFFIXES.get((found[2] or "").lower(), 1.0)
    else:
        value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not finite")
    return value


def shown(value: float, unit: str = "", digits: int = 4) -> str:
    """The value with an engineering prefix, as '20.7 kohm'; areas in square micrometres."""
    if not math.isfinite(value):
        return "none"
    if unit == "m^2":
        return f"{value * 1e12:.{digits}g} um^2"
    if unit in PLAIN or value == 0:
        return f"{value:.{digits}g} {unit}".strip()
    scale, prefix = next(((scale, prefix) for scale, prefix in STEPS if abs(value) >= scale * (1 - 1e-12)), STEPS[-1])
    return f"{value / scale:.{digits}g} {prefix}{unit}".strip()

"""What is asked of a simulator, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np

FailureKind = Literal["netlist", "model", "convergence", "timeout", "crash", "missing", "measure"]
Waves: TypeAlias = "list[dict[str, np.ndarray]]"
"""One mapping an analysis: vector name -> values [point], complex for AC."""
OPTIONAL = "?"
"""Before a vector's name: it comes back empty where the circuit does not have it, instead of as a failure."""


@dataclass(frozen=True)
class Analysis:
    """One command of ngspice and the vectors that are read afterwards."""

    command: str
    """As 'op', 'ac dec 20 1k 100g', 'tran 1n 1u', 'noise v(out) iin dec 10 1k 1g'."""
    vectors: tuple[str, ...]
    """As 'v(out)', 'frequency', 'time', 'i(vdd)', '@m1[gm]', 'inoise_spectrum'."""


@dataclass(frozen=True)
class Failure:
    """A simulation that gave no result: a value, because a search has to count it."""

    kind: FailureKind
    message: str
    """ngspice's own words where it had any."""
    log: str = ""

    def __str__(self) -> str:
        return f"failed: {self.kind}: {self.message}"

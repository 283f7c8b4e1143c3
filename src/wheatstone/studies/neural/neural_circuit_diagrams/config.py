"""The settings of the study: which side is measured, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le


@dataclass(frozen=True)
class Config:
    """One arm: the diagrams, diagrams with a mistake in each, or the same mistakes in plain torch."""

    side: Literal["diagrams", "mutated", "plain"] = "diagrams"
    """What is measured."""
    rewriting: bool = True
    """Look for a cheaper order of contractions."""
    architectures: Annotated[str, Gt("")] = "all"
    """Names with commas between, or all."""
    draws: Annotated[int, Ge(1)] = 2
    """Draws of sizes for each architecture."""
    terms: Annotated[int, Ge(14)] = 2002
    """Random terms, in equal parts for each of the fourteen laws."""
    counted: Annotated[int, Ge(1)] = 20
    """Draws of sizes at which work is compared with torch's counter."""
    length: Annotated[int, Ge(2), Le(4096)] = 1024
    """Positions n of the linear attention whose order is sought."""
    features: Annotated[int, Ge(1), Le(512)] = 64
    """Features d of it."""
    mistake_draws: Annotated[int, Ge(1), Le(50)] = 3
    """Draws of sizes for each of the twenty mistakes."""

"""An operator whose answers are kept in a folder, so that a slow solver is asked once: by several methods on the same
functions, or by a run that goes on after it was killed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from wheatstone.bench.checkpoint import read_tensors, write_tensors
from wheatstone.bench.errors import UserError
from wheatstone.domains.physics.function_spaces import Array, FunctionBatch
from wheatstone.domains.physics.operators import Box, Operator


@dataclass(frozen=True)
class Kept:
    """`operator`, with what it has answered in `folder`; `repr` of the operator must say all that answers depend on."""

    operator: Operator
    folder: Path

    @property
    def box(self) -> Box:
        return self.operator.box

    @property
    def input_span(self) -> float:
        return self.operator.input_span

    def random_points(self, n: int, points: int, rng: np.random.Generator) -> Float[Array, "function point dim"]:
        """As the operator's."""
        return self.operator.random_points(n, points, rng)

    def even_points(self, points: int) -> Float[Array, "point dim"]:
        """As the operator's."""
        return self.operator.even_points(points)

    def label(self, u: FunctionBatch, y: Float[Array, "function point dim"]) -> Float[Array, "function point"]:
        """As the operator's, from the folder where it was asked the same before."""
        asked = hashlib.sha256(repr(self.operator).encode())
        for part in (u.grid, u.values, y):
            asked.update(repr(part.shape).encode() + np.ascontiguousarray(part).tobytes())
        file = self.folder / f"{asked.hexdigest()[:32]}.safetensors"
        try:
            return read_tensors(file)[0]["labels"]
        except (FileNotFoundError, UserError, KeyError):
            labels = self.operator.label(u, y)
        write_tensors(file, {"labels": labels}, {})
        return labels

"""How far a circuit is from those that were trained on, and how much the policy is trusted at that distance.

Source  ABC-RL's code: distance d = smallest cosine distance between the encoder's vectors; alpha = 1 - sigmoid(T (d -
        d_th)), with d_th = 0.007 and T = 100 chosen on validation circuits.

Here d_th and T are chosen on validation circuits too: each was searched with several fixed exponents, and the pair is
taken whose alphas promise most, reading the gain at an alpha linearly between the exponents that were tried.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

EXPONENTS = (0.0, 0.5, 1.0)
"""Fixed alphas that are tried on the validation circuits."""
PUBLISHED = (0.007, 100.0)
"""d_th and T of ABC-RL's code."""
SHARPNESS = (3.0, 10.0, 30.0)
"""T is tried at these numbers divided by the spread of the validation distances."""


class Nearest(NamedTuple):
    """The training circuit that is most like a circuit."""

    name: str
    distance: float


class Trust(NamedTuple):
    """The published curve from distance to exponent."""

    threshold: float
    """d_th: where alpha is one half."""
    sharpness: float
    """T."""

    def alpha(self, distance: float) -> float:
        """1 - sigmoid(T (d - d_th)), 0 to 1."""
        return 1 / (1 + math.exp(min(700.0, self.sharpness * (distance - self.threshold))))


def nearest(
    vector: Float[Tensor, " d_circuit"], trained: Float[Tensor, "circuit d_circuit"], names: Sequence[str]
) -> Nearest:
    """The most similar training circuit, by cosine distance (0 to 2)."""
    similarity = torch.cosine_similarity(vector[None].double(), trained.double(), dim=1)
    place = int(similarity.argmax())
    return Nearest(names[place], max(0.0, 1.0 - float(similarity[place])))


def calibrate(distances: Mapping[str, float], gains: Mapping[str, Sequence[float]]) -> Trust:
    """The threshold and sharpness that promise the largest mean gain on the validation circuits.

    Args:
        distances: circuit -> distance to the training set.
        gains: circuit -> ln gain at each of `EXPONENTS`.

    Ties go to the smaller threshold, then to the gentler curve.
    """
    ordered = sorted(distances.values())
    spread = max(ordered[-1] - ordered[0], ordered[-1], 1e-9)
    inner = [(a + b) / 2 for a, b in itertools.pairwise(ordered)]
    thresholds = [ordered[0] - spread, *inner, ordered[-1] + spread]
    best, chosen = -math.inf, Trust(*PUBLISHED)
    for threshold in thresholds:
        for sharpness in SHARPNESS:
            trust = Trust(threshold, sharpness / spread)
            promised = [
                float(np.interp(trust.alpha(distances[name]), EXPONENTS, gains[name])) for name in sorted(distances)
            ]
            if (mean := math.fsum(promised) / len(promised)) > best + 1e-12:
                best, chosen = mean, trust
    return chosen

"""A toy with a known answer: sparse features, a layer that computes from them, and a count of how many are found.

    inputs   x = a E       a sparse: each feature is on with probability `density`, its size is from 0.5 to 1.5
    outputs  y = relu(a - 1/4) D

E and D have unit rows. The rows of D are what a transcoder's decoder should find (the idea of Sharkey et al. 2022's toy
for autoencoders, with a computation between input and output).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

THRESHOLD = 0.25


class Planted(NamedTuple):
    """Inputs, outputs and the directions that outputs are made of."""

    inputs: Float[Tensor, "token d"]
    outputs: Float[Tensor, "token d"]
    directions: Float[Tensor, "feature d"]


def planted(d: int, n_feature: int, n_token: int, rng: np.random.Generator, density: float = 0.06) -> Planted:
    """The toy, with directions that are the same for the same generator."""
    read, write = (_unit_rows(np.random.default_rng(side).standard_normal((n_feature, d))) for side in (11, 12))
    on = rng.random((n_token, n_feature)) < density
    size = on * rng.uniform(0.5, 1.5, (n_token, n_feature))
    outputs = np.maximum(size - THRESHOLD, 0) @ write
    tensors = (torch.tensor(array, dtype=torch.float32) for array in (size @ read, outputs, write))
    return Planted(*tensors)


def mean_max_cosine(truth: Float[Tensor, "feature d"], found: Float[Tensor, "found d"]) -> float:
    """Mean over the true directions of the largest cosine with a found one; one when all are found."""
    cosines = (truth / truth.norm(dim=-1, keepdim=True)) @ (found / found.norm(dim=-1, keepdim=True)).T
    return cosines.max(-1).values.mean().item()


def _unit_rows(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)

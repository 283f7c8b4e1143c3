"""How alike two representations of the same inputs are, whatever their axes: linear centred kernel alignment.

Source  Kornblith et al., ICML 2019, arXiv:1905.00414, equation 1 with linear kernels: |Y'X|^2 / (|X'X| |Y'Y|) of
        centred features. It is 1 for features that differ by a rotation, a common scale and a shift, and near 0 for
        unrelated ones; with fewer examples than features unrelated ones look alike, so give it many.
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor


def linear_cka(a: Float[Tensor, "example d_a"], b: Float[Tensor, "example d_b"]) -> float:
    """Linear CKA in [0, 1] of two sets of features of the same examples; NaN where one of them is constant.

    Raises ValueError for different numbers of examples.
    """
    if len(a) != len(b):
        raise ValueError(f"{len(a)} examples in one, {len(b)} in the other")
    x, y = (values.double() - values.double().mean(0) for values in (a, b))
    shared = float((y.T @ x).square().sum())
    scale = float((x.T @ x).square().sum().sqrt() * (y.T @ y).square().sum().sqrt())
    tiny = 1e-24 * len(a) ** 2
    return math.nan if scale <= tiny else min(1.0, shared / scale)

"""Linear CKA: what it ignores, what it sees, and where it is undefined."""

from __future__ import annotations

import math

import pytest
import torch

from wheatstone.interp.similarity import linear_cka


def test_it_ignores_rotation_scale_and_shift() -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(200, 6, generator=draw, dtype=torch.float64)
    turn, _ = torch.linalg.qr(torch.randn(6, 6, generator=draw, dtype=torch.float64))
    assert linear_cka(x, 3 * x @ turn + 5) == pytest.approx(1, abs=1e-12)
    squeezed = x * torch.tensor([1.0, 0.1, 1, 1, 1, 1])
    assert 0.8 < linear_cka(x, squeezed) < 0.999


def test_it_is_the_normalised_hsic_of_gram_matrices() -> None:
    """The definition with n x n kernels, which the implementation never forms."""
    draw = torch.Generator().manual_seed(1)
    x, y = (torch.randn(40, d, generator=draw, dtype=torch.float64) for d in (3, 5))
    y[:, 0] += x[:, 0]
    centre = torch.eye(40, dtype=torch.float64) - 1 / 40
    k, l = (centre @ (v @ v.T) @ centre for v in (x, y))  # noqa: E741, the paper's names
    assert linear_cka(x, y) == pytest.approx(float((k * l).sum() / (k.norm() * l.norm())), abs=1e-12)


def test_unrelated_features_of_many_examples_are_unlike() -> None:
    draw = torch.Generator().manual_seed(2)
    a, b = (torch.randn(5000, 4, generator=draw) for _ in range(2))
    assert linear_cka(a, b) < 0.01


def test_constant_features_have_no_similarity() -> None:
    assert math.isnan(linear_cka(torch.ones(10, 3), torch.randn(10, 3)))
    with pytest.raises(ValueError, match="10 examples in one, 9"):
        linear_cka(torch.ones(10, 3), torch.ones(9, 3))

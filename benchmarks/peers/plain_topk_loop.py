"""A training step of a TopK transcoder as libraries for autoencoders write it: dense activations, autograd, Adam.

Written from the description in Gao et al. 2024 (arXiv:2406.04093, section 2.3) and of what SAELens' trainer does in a
step: scatter the k largest pre-activations into a dense matrix, decode it by a full product, let autograd go back
through both, take the parallel part out of the decoder's gradient, Adam, and rows back to length one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PlainTranscoder(nn.Module):
    """W_enc [d_in n], b_enc, W_dec [n d_out], b_dec."""

    def __init__(self, encoder: Tensor, decoder: Tensor, k: int) -> None:
        super().__init__()
        self.k = k
        self.W_enc = nn.Parameter(encoder.T.contiguous().clone())
        self.b_enc = nn.Parameter(torch.zeros(encoder.shape[0]))
        self.W_dec = nn.Parameter(decoder.clone())
        self.b_dec = nn.Parameter(torch.zeros(decoder.shape[1]))

    def forward(self, x: Tensor) -> Tensor:
        hidden = x @ self.W_enc + self.b_enc
        values, at = hidden.topk(self.k, -1, sorted=False)
        active = torch.zeros_like(hidden).scatter(-1, at, values.relu())
        return active @ self.W_dec + self.b_dec


class PlainTrainer:
    """Adam on a `PlainTranscoder`."""

    def __init__(self, model: PlainTranscoder, lr: float) -> None:
        self.model = model
        self.optimiser = torch.optim.Adam(model.parameters(), lr=lr)

    def step(self, x: Tensor, y: Tensor) -> float:
        """One step; its loss."""
        self.optimiser.zero_grad()
        loss = (self.model(x) - y).square().mean()
        loss.backward()
        decoder = self.model.W_dec
        with torch.no_grad():
            assert decoder.grad is not None
            decoder.grad -= (decoder.grad * decoder).sum(-1, keepdim=True) * decoder
            self.optimiser.step()
            decoder /= decoder.norm(dim=-1, keepdim=True)
        return loss.item()

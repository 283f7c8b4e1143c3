"""A sparse dictionary: y^ = z W_dec + b_dec (+ x W_skip), with z = activation(x W_enc + b_enc) mostly zero.

A *transcoder* reads the input of a feed-forward layer and predicts its output (Dunefsky, Chlenski, Nanda 2024,
arXiv:2406.11944, section 3); a *sparse autoencoder* (SAE) reads the output and predicts it again. Only the site that is
read tells them apart, so one class serves both. The skip path is that of Paulo, Shabalin, Belrose 2025
(arXiv:2501.18823).

Activations   relu       z = max(p, 0); an L1 penalty makes it sparse (the paper's)
              topk       of max(p, 0) the k largest of each token (Gao et al. 2024, arXiv:2406.04093)
              batchtopk  in training the k largest a token on average over a batch; afterwards all above a threshold
                         (Bussmann, Leask, Nanda 2024, arXiv:2412.06410)
              jumprelu   z = p where p > threshold, else 0 (Rajamanoharan et al. 2024, arXiv:2407.14435)

Every row of W_dec has length one, so an activation is the size of what the feature writes. A dictionary works on raw
activations: what training standardises is folded into the weights.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor

Kind = Literal["transcoder", "sae"]
Activation = Literal["relu", "topk", "batchtopk", "jumprelu"]
UNIT_NORM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class DictionaryConfig:
    """Sizes and variant of a `Dictionary`."""

    d_in: Annotated[int, Gt(0)]
    """Width of what is read."""
    d_out: Annotated[int, Gt(0)]
    """Width of what is predicted."""
    n_features: Annotated[int, Gt(0)]
    """Features (paper: 32 d_in)."""
    kind: Kind = "transcoder"
    """What is read: the feed-forward layer's input (transcoder) or its output (sae)."""
    activation: Activation = "topk"
    """What makes a pre-activation an activation."""
    k: Annotated[int, Ge(0)] = 32
    """Active features a token of topk and batchtopk; 0 for the others."""
    skip: bool = False
    """Also an affine path x W_skip."""

    def __post_init__(self) -> None:
        if self.activation in ("topk", "batchtopk") and not 0 < self.k <= self.n_features:
            raise ValueError(f"k is {self.k}, must be from 1 to the number of features, {self.n_features}")


@dataclass(frozen=True)
class Dictionary:
    """Weights of a trained dictionary, in the layout and with the names that SAELens has for them."""

    cfg: DictionaryConfig
    W_enc: Float[Tensor, "d_in feature"]
    b_enc: Float[Tensor, " feature"]
    W_dec: Float[Tensor, "feature d_out"]
    b_dec: Float[Tensor, " d_out"]
    threshold: Float[Tensor, " feature"] | None = None
    """Of batchtopk and jumprelu: what a pre-activation must exceed."""
    W_skip: Float[Tensor, "d_in d_out"] | None = None

    def preactivations(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch feature"]:
        """x W_enc + b_enc."""
        return x @ self.W_enc + self.b_enc

    def activate(self, p: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch feature"]:
        """Activations of pre-activations."""
        if self.cfg.activation == "topk":
            values, at = p.topk(self.cfg.k, -1, sorted=False)
            return torch.zeros_like(p).scatter_(-1, at, values.clamp(min=0))
        if self.threshold is not None:
            return torch.where(p > self.threshold, p.clamp(min=0), 0.0)
        return p.clamp(min=0)

    def encode(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch feature"]:
        """Activations, zero where a feature is not active."""
        return self.activate(self.preactivations(x))

    def decode(
        self, z: Float[Tensor, "*batch feature"], x: Float[Tensor, "*batch d_in"]
    ) -> Float[Tensor, "*batch d_out"]:
        """The prediction from activations; `x` feeds the skip path, where there is one."""
        y = z @ self.W_dec + self.b_dec
        return y if self.W_skip is None else y + x @ self.W_skip

    def __call__(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        """The prediction of the output."""
        return self.decode(self.encode(x), x)

    def with_threshold(self, x: Float[Tensor, "token d_in"]) -> Dictionary:
        """A jumprelu dictionary in place of topk: one threshold for all, at which `x` has k active features a token.

        Raises ValueError for an activation that has no k.
        """
        if self.cfg.activation != "topk":
            raise ValueError(f"only topk becomes a threshold, not {self.cfg.activation}")
        level = threshold_for(self.preactivations(x), self.cfg.k)
        cfg = dataclasses.replace(self.cfg, activation="jumprelu", k=0)
        return dataclasses.replace(self, cfg=cfg, threshold=torch.full_like(self.b_enc, level))

    def unit_norm_fault(self) -> float:
        """Largest distance of a decoder row's length from one."""
        return (self.W_dec.norm(dim=-1) - 1).abs().max().item()


def threshold_for(p: Float[Tensor, "token feature"], k: int) -> float:
    """The level that `k` pre-activations a token exceed on average; not below zero."""
    count = min(k * len(p), p.numel() - 1)
    if count < 1:
        return 0.0
    top = p.flatten().topk(count + 1).values
    return max(0.0, (top[-1].item() + top[-2].item()) / 2)


def random_dictionary(cfg: DictionaryConfig, generator: torch.Generator) -> Dictionary:
    """Random unit rows, encoder columns equal to them where the widths agree, no biases: the untrained control."""
    w_dec = torch.randn(cfg.n_features, cfg.d_out, generator=generator)
    w_dec = w_dec / w_dec.norm(dim=-1, keepdim=True)
    w_enc = w_dec.T.clone() if cfg.d_in == cfg.d_out else torch.randn(cfg.d_in, cfg.n_features, generator=generator)
    needs_threshold = cfg.activation in ("batchtopk", "jumprelu")
    return Dictionary(
        cfg,
        w_enc,
        torch.zeros(cfg.n_features),
        w_dec,
        torch.zeros(cfg.d_out),
        torch.zeros(cfg.n_features) if needs_threshold else None,
        torch.zeros(cfg.d_in, cfg.d_out) if cfg.skip else None,
    )

"""One training step: loss and gradients of a dictionary in standardised space.

Loss          mean over tokens and dimensions of (y^ - y)^2, outputs standardised to mean square one: so the loss is the
              fraction of variance that is unexplained (FVU). relu adds l1 * mean_token sum_i z_i; jumprelu adds
              sparsity * (L0 / k - 1)^2 with straight-through gradients for the thresholds (a rectangle of width
              BANDWIDTH; Rajamanoharan et al. 2024, arXiv:2407.14435, section 3)
topk family   Most of z is zero and so is its gradient. Decoder and both weight gradients touch active entries alone
              (`embedding_bag` sums weighted rows), which leaves one dense product, x W_enc, of the five that a plain
              loop needs. Gradients are the exact ones: a test compares them with autograd's
dead features Those that fired for no token of the last `dead_after` start again (resampling, Bricken et al. 2023,
              transformer-circuits.pub/2023/monosemantic-features): each at one of the worst predicted tokens, writing
              the residual y - y^ of that token and reading its input, so that there it gives the residual's length. The
              residual is that of the *output*, for transcoders too

The encoder is kept feature by feature (`encoder` is [feature d_in]), so that a feature's gradient is one row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from wheatstone.interp.transcoders.dictionary import DictionaryConfig, threshold_for

REVIVED_SHARE = 8
"""At most one in so many tokens of a batch gives a dead feature a new start."""
BANDWIDTH = 0.05
FIRST_THRESHOLD = 0.3


class Learner(nn.Module):
    """The trained parameters, for standardised inputs and outputs."""

    def __init__(self, cfg: DictionaryConfig, init: torch.Generator) -> None:
        super().__init__()
        self.cfg = cfg
        rows = torch.randn(cfg.n_features, cfg.d_out, generator=init)
        rows = rows / rows.norm(dim=-1, keepdim=True)
        if cfg.kind == "sae":
            columns = rows.clone()  # an autoencoder starts as its own transpose
        else:
            columns = torch.randn(cfg.n_features, cfg.d_in, generator=init)
            columns = columns / columns.norm(dim=-1, keepdim=True)
        self.encoder = nn.Parameter(columns)
        self.encoder_bias = nn.Parameter(torch.zeros(cfg.n_features))
        self.decoder = nn.Parameter(rows)
        self.decoder_bias = nn.Parameter(torch.zeros(cfg.d_out))
        self.skip = nn.Parameter(torch.zeros(cfg.d_in, cfg.d_out)) if cfg.skip else None
        start = torch.full((cfg.n_features,), FIRST_THRESHOLD).log()
        self.log_threshold = nn.Parameter(start) if cfg.activation == "jumprelu" else None

    def preactivations(self, x: Float[Tensor, "token d_in"]) -> Float[Tensor, "token feature"]:
        return torch.addmm(self.encoder_bias, x, self.encoder.T)

    @torch.no_grad()
    def remove_parallel_gradient(self) -> None:
        """The part of a decoder row's gradient along the row would only change its length."""
        if self.decoder.grad is not None:
            along = (self.decoder.grad * self.decoder).sum(-1, keepdim=True)
            self.decoder.grad.sub_(along * self.decoder)

    @torch.no_grad()
    def normalise(self) -> None:
        """Decoder rows back to length one."""
        self.decoder.div_(self.decoder.norm(dim=-1, keepdim=True))


class Active(NamedTuple):
    """The active entries of z: token by token, `offsets[t]` is where those of token t begin."""

    feature: Int[Tensor, " active"]
    token: Int[Tensor, " active"]
    z: Float[Tensor, " active"]
    offsets: Int[Tensor, " token"]


@dataclass(frozen=True)
class Outcome:
    """What one step found; the gradients are in the learner."""

    loss: Float[Tensor, ""]
    """Of the prediction alone."""
    l0: Float[Tensor, ""]
    """Active features a token."""
    fired: Tensor
    """Features that were active, [feature] of bool."""
    residual: Float[Tensor, "token d_out"]
    """y^ - y."""


def sparse_step(learner: Learner, x: Float[Tensor, "token d_in"], y: Float[Tensor, "token d_out"]) -> Outcome:
    """Loss and gradients of topk or batchtopk, through active entries alone."""
    cfg = learner.cfg
    with torch.no_grad():
        active = active_entries(learner.preactivations(x), cfg.k, each=cfg.activation == "topk")
    z = active.z.requires_grad_()
    predicted = F.embedding_bag(
        active.feature, learner.decoder.detach(), active.offsets, mode="sum", per_sample_weights=z
    )
    with torch.no_grad():
        residual = predicted.detach() + learner.decoder_bias - y
        if learner.skip is not None:
            residual += x @ learner.skip
        to_y = residual * (2 / residual.numel())
    (to_z,) = torch.autograd.grad(predicted, z, to_y)
    with torch.no_grad():
        by_feature = active.feature.argsort(stable=True)
        counts = torch.bincount(active.feature, minlength=cfg.n_features)
        starts = counts.cumsum(0) - counts
        token = active.token[by_feature]

        def rows(weights: Tensor, of: Tensor) -> Tensor:
            return F.embedding_bag(token, of, starts, mode="sum", per_sample_weights=weights[by_feature])

        learner.decoder.grad = rows(z.detach(), to_y)
        learner.encoder.grad = rows(to_z, x)
        learner.encoder_bias.grad = torch.zeros_like(learner.encoder_bias).index_add_(0, active.feature, to_z)
        learner.decoder_bias.grad = to_y.sum(0)
        if learner.skip is not None:
            learner.skip.grad = x.T @ to_y
        l0 = (active.z.detach() > 0).sum() / len(x)
    return Outcome(residual.square().mean(), l0, counts > 0, residual)


def active_entries(p: Float[Tensor, "token feature"], k: int, *, each: bool) -> Active:
    """The k largest of each token, or on average over the tokens; of those, the positive ones."""
    n_token, n_feature = p.shape
    if each:
        values, feature = p.topk(k, -1, sorted=False)
        keep = values > 0
        token = torch.arange(n_token, device=p.device)[:, None].expand_as(values)[keep]
        feature, z = feature[keep], values[keep]
    else:
        values, flat = p.flatten().topk(min(k * n_token, p.numel()), sorted=False)
        flat, order = flat[values > 0].sort()
        token, feature = flat // n_feature, flat % n_feature
        z = values[values > 0][order]
    counts = torch.bincount(token, minlength=n_token)
    return Active(feature, token, z, counts.cumsum(0) - counts)


def dense_step(
    learner: Learner, x: Float[Tensor, "token d_in"], y: Float[Tensor, "token d_out"], sparsity: float
) -> Outcome:
    """Loss and gradients of relu and jumprelu, by autograd; also of the others, for comparison."""
    p = learner.preactivations(x)
    z, penalty = _activated(learner, p, sparsity)
    predicted = torch.addmm(learner.decoder_bias, z, learner.decoder)
    if learner.skip is not None:
        predicted = predicted + x @ learner.skip
    residual = predicted - y
    loss = residual.square().mean()
    (loss + penalty).backward()
    with torch.no_grad():
        on = z > 0
        l0 = on.sum() / len(x)
    return Outcome(loss.detach(), l0, on.any(0), residual.detach())


def _activated(learner: Learner, p: Tensor, sparsity: float) -> tuple[Tensor, Tensor]:
    """Activations and the penalty that makes them few."""
    cfg = learner.cfg
    if cfg.activation == "relu":
        z = p.clamp(min=0)
        return z, sparsity * z.sum(-1).mean()
    if learner.log_threshold is not None:
        p = p.clamp(min=0)
        threshold = learner.log_threshold.exp()
        z, on = _JumpRelu.apply(p, threshold)  # type: ignore[no-untyped-call]
        return z, sparsity * (on.sum(-1).mean() / max(cfg.k, 1) - 1).square()
    with torch.no_grad():
        level = p.topk(cfg.k, -1).values[..., -1:] if cfg.activation == "topk" else threshold_for(p, cfg.k)
    return torch.where(p >= level, p, 0.0).clamp(min=0), p.new_zeros(())


class _JumpRelu(torch.autograd.Function):
    """(z, on): p where it exceeds the threshold, and whether it does; both teach the threshold within a bandwidth."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, p: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
        on = p > threshold
        ctx.save_for_backward(p, threshold, on)
        return torch.where(on, p, 0.0), on.to(p.dtype)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, Tensor]:
        to_z, to_on = grads
        p, threshold, on = ctx.saved_tensors  # type: ignore[attr-defined]
        near = ((p - threshold).abs() < BANDWIDTH / 2) / BANDWIDTH
        return to_z * on, -(near * (threshold * to_z + to_on)).sum(0)


@torch.no_grad()
def revive(learner: Learner, x: Tensor, outcome: Outcome, dead: Int[Tensor, " dead"]) -> Int[Tensor, " revived"]:
    """Gives dead features the tokens that are predicted worst: each writes what one of them lacks. Returns which."""
    left = -outcome.residual
    lengths = left.norm(dim=-1)
    worst = lengths.topk(min(len(dead), len(left) // REVIVED_SHARE)).indices
    revived = dead[: len(worst)]
    learner.decoder[revived] = left[worst] / lengths[worst, None].clamp(min=1e-12)
    learner.encoder[revived] = x[worst] * (lengths[worst] / x[worst].square().sum(-1).clamp(min=1e-12))[:, None]
    learner.encoder_bias[revived] = 0.0
    return revived

"""A transformer whose feed-forward layers are mixtures of experts: each position is computed by a few of many.

Router      logits = W x, one row of W an expert; the `top_k` largest are chosen, and their softmax weighs what the
            chosen experts answer (Mixtral, Jiang et al. 2024, arXiv:2401.04088, section 2.2)
Balance     n_expert sum_e f_e P_e, where f_e is the share of choices that fall on expert e and P_e its mean
            probability: 1 when all are used alike (Fedus et al. 2022, arXiv:2101.03961, eq. 4)
z           mean squared log-sum-exp of the logits, which keeps them small (Zoph et al. 2022, arXiv:2202.08906, eq. 5)

Two routers are controls. A frozen one keeps its initial W: it still sends like to like. A scrambled one chooses by
sin(10 000 W x), so that inputs that differ at all are sent independently of each other, and the same always alike.

The weights of all experts pass the site `routing_site(layer)`: a hook reads the routing, or replaces it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, cast

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor, nn

from wheatstone.learn.models.transformer import MLP, Block, Hooks, Sites, Transformer, TransformerConfig, tap

Router = Literal["learned", "frozen", "scrambled"]
SCRAMBLE = 10_000.0
"""Radians a unit of a logit: states that differ by a thousandth are already sent to unrelated experts."""


@dataclass(frozen=True)
class MixtureConfig(TransformerConfig):
    """Sizes and variants of a `Mixture`; `d_mlp` is the width of one expert."""

    n_expert: Annotated[int, Gt(0)] = 8
    """Feed-forward layers that the router of a block chooses from (OLMoE: 64)."""
    top_k: Annotated[int, Gt(0)] = 2
    """Experts that compute a position (OLMoE: 8)."""
    router: Router = "learned"
    """Trained, left at its initial weights, or a hash of the state."""
    balance: Annotated[float, Ge(0)] = 0.01
    """Weight in the loss of the imbalance between experts (OLMoE: 0.01)."""
    z_loss: Annotated[float, Ge(0)] = 0.001
    """Weight in the loss of the squared log-sum-exp of router logits (OLMoE: 0.001)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top_k > self.n_expert:
            raise ValueError(f"top_k must be at most n_expert: got top_k {self.top_k}, n_expert {self.n_expert}")
        if self.loops > 1 or self.d_mlp == 0:
            raise ValueError("experts need a width (d_mlp above 0) and blocks that are applied once (loops 1)")


def routing_site(layer: int) -> str:
    """Where the weights [batch pos expert] of a layer pass: 0 where an expert does not compute a position."""
    return f"blocks.{layer}.mlp.hook_routing"


class Experts(nn.Module):
    """Feed-forward layers and the router that weighs them."""

    def __init__(self, cfg: MixtureConfig) -> None:
        super().__init__()
        d_mlp = 4 * cfg.d_model if cfg.d_mlp is None else cfg.d_mlp
        self.cfg = cfg
        self.router = nn.Linear(cfg.d_model, cfg.n_expert, bias=False)
        self.router.weight.requires_grad_(cfg.router == "learned")
        self.experts = nn.ModuleList(MLP(cfg.d_model, d_mlp) for _ in range(cfg.n_expert))
        self.penalty: Tensor | None = None
        """What the last routing in training mode adds to the loss; None in evaluation, and for routers not trained."""

    def route(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch expert"]:
        """The weight of each expert at each position: `top_k` that sum to 1, all others exactly 0."""
        scrambled = self.cfg.router == "scrambled"
        logits = torch.sin(SCRAMBLE * self.router(x.detach())) if scrambled else self.router(x)
        weights = top_weights(logits, self.cfg.top_k)
        self.penalty = self._penalty(logits, weights) if self.training and self.cfg.router == "learned" else None
        return weights

    def forward(
        self, x: Float[Tensor, "*batch d_model"], weights: Float[Tensor, "*batch expert"]
    ) -> Float[Tensor, "*batch d_model"]:
        """The answers of the experts whose weight is not zero, weighed; only those are computed."""
        flat, flat_weights = x.flatten(0, -2), weights.flatten(0, -2)
        out = torch.zeros_like(flat)
        for number, expert in enumerate(self.experts):
            rows = flat_weights[:, number].nonzero()[:, 0]
            out = out.index_add(0, rows, expert(flat[rows]) * flat_weights[rows, number, None])
        return out.view_as(x)

    def _penalty(self, logits: Tensor, weights: Tensor) -> Float[Tensor, ""]:
        z = torch.logsumexp(logits, -1).square().mean()
        return self.cfg.balance * imbalance(logits, weights) + self.cfg.z_loss * z


def top_weights(logits: Float[Tensor, "*batch expert"], top_k: int) -> Float[Tensor, "*batch expert"]:
    """The softmax over the `top_k` largest logits, at their places; 0 elsewhere."""
    top = logits.topk(top_k, dim=-1)
    return torch.zeros_like(logits).scatter(-1, top.indices, top.values.softmax(-1))


def imbalance(logits: Float[Tensor, "*batch expert"], weights: Float[Tensor, "*batch expert"]) -> Float[Tensor, ""]:
    """n_expert sum_e f_e P_e: 1 when choices or probabilities are spread evenly, n_expert when one expert has all."""
    chosen = (weights > 0).to(logits.dtype).flatten(0, -2).mean(0)
    share = chosen / chosen.sum()
    return logits.shape[-1] * (share * logits.softmax(-1).flatten(0, -2).mean(0)).sum()


class MixtureBlock(Block):
    """A block whose feed-forward layer is a mixture of experts."""

    def __init__(self, cfg: MixtureConfig, layer: int) -> None:
        super().__init__(cfg)
        self.mlp = None
        self.mixture = Experts(cfg)
        self.site = routing_site(layer)

    def _feed_forward(
        self,
        x: Float[Tensor, "*batch d_model"],
        memory: MLP | None,
        hooks: Hooks | None = None,
        sites: Sites | None = None,
    ) -> Float[Tensor, "*batch d_model"]:
        assert self.norm_mlp is not None
        normed = self.norm_mlp(x)
        if sites is not None:
            normed = tap(hooks, sites.mlp_in, normed)
        out = self.mixture(normed, tap(hooks, self.site, self.mixture.route(normed)))
        return out if memory is None else out + memory(normed)


class Mixture(Transformer):
    """tokens -> residual stream -> logits, with experts in every block. How many positions an expert computes depends
    on the tokens, so it cannot be trained in a `Stack`."""

    fixed_shapes = False

    def __init__(self, cfg: MixtureConfig, init: torch.Generator) -> None:
        super().__init__(cfg, init)

    def new_block(self, layer: int) -> Block:
        """The block of a layer, not initialised."""
        return MixtureBlock(cast("MixtureConfig", self.cfg), layer)

    def experts(self, layer: int) -> Experts:
        """The mixture of a layer."""
        return cast("MixtureBlock", self.block(layer)).mixture

    def penalty(self) -> Float[Tensor, ""] | float:
        """What the routers add to the loss of the forward pass that was just made in training mode."""
        penalties = (self.experts(layer).penalty for layer in range(self.cfg.depth))
        return sum((one for one in penalties if one is not None), 0.0)

    def hidden_matrices(self) -> list[nn.Parameter]:
        """As of `Transformer`, routers apart: their rows are embeddings of experts."""
        routers = {id(self.experts(layer).router.weight) for layer in range(self.cfg.depth)}
        return [p for p in super().hidden_matrices() if id(p) not in routers]

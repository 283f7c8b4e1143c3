"""Optimisers for grokking runs: AdamW, Muon, Grokfast, orthogonal gradients, behind one `step`.

AdamW       Loshchilov & Hutter 2019; no decay on biases, norms and embeddings of positions.
Muon        Jordan et al. 2024: momentum orthogonalised by Newton-Schulz, for the matrices inside blocks; embeddings and
            norms stay with AdamW. Reported to shorten grokking by 1.5 in arXiv:2504.16041.
Grokfast    Lee et al. 2024, arXiv:2405.20233: the slow part of the gradient (its moving average) is amplified.
Orthograd   Prieto et al. 2025, arXiv:2501.04697: the part of the gradient along the weights, which only scales the
            logits, is removed and the old norm restored.

The last two change gradients and are combined with AdamW, as in their papers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from wheatstone.learn.models.transformer import Transformer

Name = Literal["adamw", "muon", "grokfast", "orthograd"]


@dataclass(frozen=True)
class OptimiserConfig:
    """Settings of one optimiser with its learning-rate schedule."""

    name: Name = "muon"
    """Which optimiser; see the module."""
    lr: Annotated[float, Gt(0)] = 2e-3
    """Peak rate of AdamW (of embeddings and norms only, under Muon)."""
    weight_decay: Annotated[float, Ge(0)] = 0.0
    """Decoupled decay of what AdamW updates (of embeddings only, under Muon)."""
    beta2: Annotated[float, Gt(0), Lt(1)] = 0.98
    """Second-moment decay of AdamW (GPT-2: 0.999; 0.98 reacts within 50 steps)."""
    matrix_lr: Annotated[float, Gt(0)] = 0.04
    """Peak rate of Muon."""
    matrix_decay: Annotated[float, Ge(0)] = 0.05
    """Decoupled decay of what Muon updates."""
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.95
    """Momentum of Muon."""
    slow_decay: Annotated[float, Gt(0), Lt(1)] = 0.98
    """Moving average of Grokfast (alpha in the paper)."""
    slow_gain: Annotated[float, Ge(0)] = 2.0
    """Amplification of Grokfast (lambda in the paper)."""
    warmup: Annotated[int, Ge(0)] = 100
    """Steps of linear warm-up."""
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """Shape of the decay from the peak to `floor`, over the steps after warm-up."""
    floor: Annotated[float, Ge(0)] = 0.05
    """Share of the peak rate that the decay ends at."""
    clip: Annotated[float, Gt(0)] = 1.0
    """Largest norm of the gradient."""


class Optimiser:
    """The parameters of one model, updated by `step` from the gradients that backward left in them."""

    def __init__(self, model: Transformer, cfg: OptimiserConfig, total_steps: int) -> None:
        self.cfg, self.total_steps = cfg, total_steps
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        matrices = model.hidden_matrices() if cfg.name == "muon" else []
        in_muon = {id(p) for p in matrices}
        rest = [p for p in self.parameters if id(p) not in in_muon]
        fused = torch.device(self.parameters[0].device).type in ("cpu", "cuda")
        groups = [
            {"params": [p for p in rest if p.ndim == 2], "weight_decay": cfg.weight_decay},
            {"params": [p for p in rest if p.ndim != 2], "weight_decay": 0.0},
        ]
        adamw = torch.optim.AdamW(groups, lr=cfg.lr, betas=(0.9, cfg.beta2), fused=fused)
        self.parts: list[torch.optim.Optimizer] = [adamw]
        if matrices:
            muon = torch.optim.Muon(matrices, lr=cfg.matrix_lr, weight_decay=cfg.matrix_decay, momentum=cfg.momentum)
            self.parts.append(muon)
        self.peaks = [[group["lr"] for group in part.param_groups] for part in self.parts]
        self.slow = [torch.zeros_like(p) for p in self.parameters] if cfg.name == "grokfast" else []

    def rate(self, step: int) -> float:
        """Share of the peak rate at 0-based `step`."""
        cfg = self.cfg
        if step < cfg.warmup:
            return (step + 1) / cfg.warmup
        if cfg.schedule == "constant":
            return 1.0
        done = min(1.0, (step - cfg.warmup) / max(1, self.total_steps - cfg.warmup))
        falling = 1.0 - done if cfg.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
        return cfg.floor + (1.0 - cfg.floor) * falling

    def step(self, step: int) -> None:
        """One update at the rate of 0-based `step`; clears the gradients."""
        torch.nn.utils.clip_grad_norm_(self.parameters, self.cfg.clip)
        if self.cfg.name == "grokfast":
            self._amplify_slow_part()
        elif self.cfg.name == "orthograd":
            self._remove_radial_part()
        share = self.rate(step)
        for part, peaks in zip(self.parts, self.peaks, strict=True):
            for group, peak in zip(part.param_groups, peaks, strict=True):
                group["lr"] = peak * share
            part.step()
            part.zero_grad(set_to_none=True)

    @torch.no_grad()
    def _amplify_slow_part(self) -> None:
        """g <- g + gain * average(g), Algorithm 'Grokfast-EMA' of arXiv:2405.20233."""
        for parameter, slow in zip(self.parameters, self.slow, strict=True):
            if parameter.grad is not None:
                slow.lerp_(parameter.grad, 1.0 - self.cfg.slow_decay)
                parameter.grad.add_(slow, alpha=self.cfg.slow_gain)

    @torch.no_grad()
    def _remove_radial_part(self) -> None:
        """g <- (g - w (w.g)/(w.w)) scaled to the norm of g, section 5 of arXiv:2501.04697."""
        for parameter in self.parameters:
            grad = parameter.grad
            if grad is None:
                continue
            along = (parameter * grad).sum() / (parameter.square().sum() + 1e-30)
            across = grad - along * parameter
            parameter.grad = across * (grad.norm() / (across.norm() + 1e-30))

    def state_tensors(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, as named tensors."""
        found = {f"slow.{i}": slow for i, slow in enumerate(self.slow)}
        for i, part in enumerate(self.parts):
            for j, values in part.state_dict()["state"].items():
                found |= {f"part.{i}.{j}.{key}": torch.as_tensor(value) for key, value in values.items()}
        return found

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `state_tensors` gave."""
        states: list[dict[int, dict[str, Any]]] = [{} for _ in self.parts]
        for name, tensor in tensors.items():
            kind, i, *rest = name.split(".")
            if kind == "slow":
                self.slow[int(i)].copy_(tensor)
            else:
                states[int(i)].setdefault(int(rest[0]), {})[rest[1]] = tensor
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict({"state": state, "param_groups": part.state_dict()["param_groups"]})

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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Float
from torch import Tensor

from wheatstone.learn.models.transformer import Transformer
from wheatstone.learn.stack import Stack

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
    """The parameters of one model or of a stack, updated by `step` from the gradients that backward left in them.

    Whatever couples the parameters of a model (the norm of the gradient, Muon, orthograd) looks at each replica of a
    stack by itself, so a replica is updated as it would be alone.
    """

    def __init__(self, model: Transformer | Stack, cfg: OptimiserConfig, total_steps: int) -> None:
        self.cfg, self.total_steps = cfg, total_steps
        self.replicas = len(model) if isinstance(model, Stack) else None
        first = model.models[0] if isinstance(model, Stack) else model
        named = model.named if isinstance(model, Stack) else dict(model.named_parameters())
        in_muon = {id(p) for p in first.hidden_matrices()} if cfg.name == "muon" else set[int]()
        matrices, tables, vectors = list[Tensor](), list[Tensor](), list[Tensor]()
        for name, parameter in first.named_parameters():
            group = matrices if id(parameter) in in_muon else tables if parameter.ndim == 2 else vectors
            group.append(named[name])
        self.parameters = list(named.values())
        groups: list[dict[str, Any]] = [
            {"params": tables, "weight_decay": cfg.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        device = self.parameters[0].device
        on_gpu = device.type == "cuda"
        fused = device.type in ("cpu", "cuda")
        self.parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(groups, lr=cfg.lr, betas=(0.9, cfg.beta2), fused=fused, capturable=on_gpu)
        ]
        if matrices:
            # A captured step reads its rate on the device, which torch.optim.Muon cannot.
            muon = torch.optim.Muon if self.replicas is None and not on_gpu else StackedMuon
            self.parts.append(muon(matrices, lr=cfg.matrix_lr, weight_decay=cfg.matrix_decay, momentum=cfg.momentum))
        self.peaks = [[group["lr"] for group in part.param_groups] for part in self.parts]
        if on_gpu:
            for part in self.parts:
                for group in part.param_groups:
                    group["lr"] = torch.tensor(group["lr"], device=device)
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
        self.set_rate(step)
        self.update()

    def set_rate(self, step: int) -> None:
        """Makes the rate that of 0-based `step`."""
        share = self.rate(step)
        for part, peaks in zip(self.parts, self.peaks, strict=True):
            for group, peak in zip(part.param_groups, peaks, strict=True):
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(peak * share)
                else:
                    group["lr"] = peak * share

    def update(self) -> None:
        """One update at the rate that was set; clears the gradients."""
        self._clip()
        if self.cfg.name == "grokfast":
            self._amplify_slow_part()
        elif self.cfg.name == "orthograd":
            self._remove_radial_part()
        for part in self.parts:
            part.step()
            part.zero_grad(set_to_none=True)

    @torch.no_grad()
    def _clip(self) -> None:
        """Scale the gradient of each replica to a norm of `clip` at most."""
        if self.replicas is None:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.cfg.clip)
            return
        grads = [p.grad for p in self.parameters if p.grad is not None]
        norms = torch.stack([grad.flatten(1).norm(dim=1) for grad in grads]).norm(dim=0)
        scale = (self.cfg.clip / (norms + 1e-6)).clamp(max=1.0)  # as torch.nn.utils.clip_grad_norm_ has it
        for grad in grads:
            grad.mul_(over(scale, grad))

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
            along = self._sum(parameter * grad) / (self._sum(parameter.square()) + 1e-30)
            across = grad - along * parameter
            parameter.grad = across * (self._sum(grad.square()).sqrt() / (self._sum(across.square()).sqrt() + 1e-30))

    def _sum(self, x: Tensor) -> Tensor:
        """The sum of x, of each replica alone, in a shape that broadcasts against x."""
        return x.sum() if self.replicas is None else x.sum(tuple(range(1, x.ndim)), keepdim=True)

    def state_tensors(self, replica: int | None = None) -> dict[str, Tensor]:
        """Everything that the next step depends on, as named tensors; of one replica, as if it had been alone."""

        def own(value: Tensor) -> Tensor:
            return value if replica is None or value.ndim == 0 else value[replica]

        found = {f"slow.{i}": own(slow) for i, slow in enumerate(self.slow)}
        for i, part in enumerate(self.parts):
            for j, values in part.state_dict()["state"].items():
                found |= {f"part.{i}.{j}.{key}": own(torch.as_tensor(value)) for key, value in values.items()}
        return found

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
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

    def load_replicas(self, replicas: Sequence[Mapping[str, Tensor]]) -> None:
        """Put back what `state_tensors` gave for each model of the stack; all of them have made as many steps."""
        first = replicas[0]
        self.load_state_tensors(
            {name: v if v.ndim == 0 else torch.stack([one[name] for one in replicas]) for name, v in first.items()}
        )


class StackedMuon(torch.optim.Optimizer):
    """`torch.optim.Muon` for matrices [replica, row, column], which the library refuses; the same update for each.

    Takes plain matrices too, and a rate that is a tensor on their device, so that a step can be captured.
    """

    def __init__(self, params: list[Tensor], lr: float, weight_decay: float, momentum: float) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride], it takes no closure
        """One update with Nesterov momentum, orthogonalised, larger by sqrt(rows / columns) for tall matrices."""
        for group in self.param_groups:
            lr, momentum = group["lr"], group["momentum"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                average = state.setdefault("momentum_buffer", torch.zeros_like(parameter))
                average.lerp_(parameter.grad, 1 - momentum)
                update = orthogonalised(parameter.grad.lerp(average, momentum))
                parameter.mul_(1 - lr * group["weight_decay"])
                rows, columns = parameter.shape[-2:]
                parameter.sub_(update * (lr * math.sqrt(max(1.0, rows / columns))))


def orthogonalised(x: Float[Tensor, "*replica row column"]) -> Tensor:
    """About U V^T of each matrix's singular value decomposition, in bfloat16: five Newton-Schulz steps (Jordan 2024).

    The polynomial's coefficients trade exactness for speed: singular values end between 0.7 and 1.2, not at 1.
    """
    if x.ndim == 2:
        return orthogonalised(x[None])[0]
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = x.shape[-2] > x.shape[-1]
    y = (x.mT if tall else x).bfloat16()
    y = y / y.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(5):
        gram = y @ y.mT
        y = torch.baddbmm(y, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), y, beta=a)
    return y.mT if tall else y


def over(scale: Float[Tensor, " replica"], x: Tensor) -> Tensor:
    """`scale` in a shape that broadcasts over the replicas of x."""
    return scale.view(-1, *[1] * (x.ndim - 1))

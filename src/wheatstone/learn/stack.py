"""Replicas: n small models of one shape, trained as one batched computation.

A small model leaves an accelerator idle between kernels, and a very small one leaves even a CPU core waiting for
Python. `Stack` keeps the parameters of n models in common tensors [replica, ...] and runs all of them in one pass with
`torch.func.vmap` (model ensembling of torch.func). The models stay usable meanwhile: their parameters are slices of
the common tensors, so each can be evaluated, patched or saved by itself between two steps.

Nothing is shared between replicas but the kernels that they run in: each has its own data, loss and gradient norm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from wheatstone.learn.models.transformer import Transformer

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits [question, vocab] and targets [question] -> their mean loss."""


class Stack:
    """The parameters of n models with one config, as common leaf tensors that an optimiser can update."""

    def __init__(self, models: Sequence[Transformer]) -> None:
        """Takes the models' memory over until `release`. Raises ValueError for different configs or unfit models."""
        if len({model.cfg for model in models}) != 1:
            raise ValueError("only models with the same config can be stacked")
        if not models[0].fixed_shapes:
            raise ValueError(f"a {type(models[0]).__name__} cannot be stacked")
        self.models = tuple(models)
        named = [dict(model.named_parameters()) for model in models]
        self.named = {
            name: torch.stack([parameters[name].detach() for parameters in named]).requires_grad_() for name in named[0]
        }
        for replica, parameters in enumerate(named):
            for name, parameter in parameters.items():
                parameter.grad = None
                parameter.data = self.named[name].data[replica]
        self._asked = _Asked(models[0])

    def __len__(self) -> int:
        return len(self.models)

    def losses(
        self,
        tokens: Int[Tensor, "replica batch pos"],
        at: Int[Tensor, "replica batch"],
        targets: Int[Tensor, "replica batch"],
        loss: Loss,
    ) -> Float[Tensor, " replica"]:
        """Each replica's mean loss on its own rows, which ask for one token each, at position `at`."""

        def of_one(parameters: Mapping[str, Tensor], tokens: Tensor, at: Tensor, targets: Tensor) -> Tensor:
            logits = functional_call(self._asked, {f"model.{k}": v for k, v in parameters.items()}, (tokens, at))
            return loss(logits.float(), targets)

        with sdpa_kernel(SDPBackend.MATH):  # the fused attention kernels have no batching rule
            return vmap(of_one)(self.named, tokens, at, targets)

    def release(self) -> None:
        """Gives each model memory of its own back, with the values of now."""
        for model in self.models:
            for parameter in model.parameters():
                parameter.data = parameter.data.clone()


class _Asked(nn.Module):
    """Logits at the asked position of each row."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, at: Tensor) -> Tensor:
        return self.model.unembed(self.model.resid_at(tokens, at))

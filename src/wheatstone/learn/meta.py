"""Learning to adapt: inner loops of gradient descent through which an outer optimiser can differentiate.

A task is a support set, on which a copy of the parameters takes a few steps, and a query set, on which the adapted copy
is judged. Everything is a function of a dict of parameters (`torch.func.functional_call` makes one of a module), so an
inner loop is a few calls of `torch.func.grad`, tasks are one `torch.func.vmap`, and the outer gradient passes through
all of it. Support and query are any pytrees of tensors whose first axis is the task.

    maml         the gradient of the query loss through the inner steps, second derivatives included
    anil         the same, but only the named parameters move in the inner loop: the last layer, or a context vector
                 that modulates the rest (CAVIA; its start is then learnt too, which is a bias)
    first_order  the query gradient at the adapted parameters, the inner steps taken as constants
    reptile      where the inner steps lead, with one more step on the query set, over the learning rate

Source  Finn, Abbeel, Levine, ICML 2017, arXiv:1703.03400 (MAML and its first-order form); Nichol, Achiam, Schulman,
        arXiv:1803.02999 (Reptile); Raghu et al., ICLR 2020, arXiv:1909.09157 (ANIL); Zintgraf et al., ICML 2019,
        arXiv:1810.03642 (CAVIA). The last step of Reptile on the query set is ours: it then uses the same points as
        the others, as often.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value, vmap

Parameters = Mapping[str, Tensor]
Loss = Callable[[Parameters, Any], Tensor]
"""Parameters and the data of one task (no task axis) -> its mean loss."""
Rule = Literal["maml", "first_order", "reptile", "anil"]
RULES: tuple[Rule, ...] = get_args(Rule)


@dataclass(frozen=True)
class InnerLoop:
    """How a copy of the parameters adapts to one task."""

    steps: int = 5
    """Steps of plain gradient descent."""
    lr: float = 0.05
    moving: frozenset[str] | None = None
    """Names of the parameters that adapt; None is all of them."""


class MetaGradient(NamedTuple):
    """What an outer optimiser needs of one batch of tasks."""

    gradients: dict[str, Tensor]
    after: Tensor
    """Mean query loss of the adapted copies."""


def parameters_of(model: nn.Module) -> dict[str, Tensor]:
    """Copies of a module's parameters as leaves that an outer gradient can reach."""
    return {name: value.detach().clone().requires_grad_() for name, value in model.named_parameters()}


def called(model: nn.Module, parameters: Parameters, *inputs: Any) -> Any:
    """What the module says of the inputs with these parameters in the place of its own."""
    return functional_call(model, dict(parameters), inputs)


def descend(
    loss: Loss, parameters: Parameters, data: Any, lr: float | Tensor, moving: frozenset[str] | None = None
) -> dict[str, Tensor]:
    """The parameters after one step of gradient descent on one task's data; differentiable."""
    fixed = {} if moving is None else {name: value for name, value in parameters.items() if name not in moving}
    free = {name: value for name, value in parameters.items() if name not in fixed}

    def of_free(part: Parameters) -> Tensor:
        return loss({**fixed, **part}, data)

    slope = grad(of_free)(free)
    # The order of names stays: what an optimiser or a checkpoint pairs by position must not move.
    return {name: value if name in fixed else value - lr * slope[name] for name, value in parameters.items()}


def adapt(loss: Loss, parameters: Parameters, support: Any, inner: InnerLoop) -> dict[str, Tensor]:
    """The parameters adapted to one task's support set (no task axis)."""
    adapted = dict(parameters)
    for _ in range(inner.steps):
        adapted = descend(loss, adapted, support, inner.lr, inner.moving)
    return adapted


def adapt_each(
    loss: Loss, parameters: Parameters, support: Any, inner: InnerLoop, starts: Parameters | None = None
) -> dict[str, Tensor]:
    """One adapted copy for each task: every parameter gets a first axis `task`. Nothing is kept for a gradient.

    `starts` are parameters that begin elsewhere in each task and have that axis already: latents that an encoder found
    for each task, say, while `inner.moving` names them alone and the decoder in `parameters` stays.
    """
    held = {name: value.detach() for name, value in parameters.items()}
    own = {name: value.detach() for name, value in (starts or {}).items()}

    def of_one(begin: dict[str, Tensor], task: Any) -> dict[str, Tensor]:
        return adapt(loss, {**held, **begin}, task, inner)

    with torch.no_grad():
        return vmap(of_one)(own, support)


def meta_gradient(
    rule: Rule, loss: Loss, parameters: Parameters, support: Any, query: Any, inner: InnerLoop
) -> MetaGradient:
    """The outer gradient over a batch of tasks by one of the four rules.

    Args:
        rule: see the module's text; `anil` needs `inner.moving`.
        loss: mean loss of one task.
        parameters: what is meta-learnt; not changed.
        support, query: pytrees with a first axis `task`.
        inner: the inner loop.

    Raises ValueError for `anil` without the names that move.
    """
    if rule == "anil" and inner.moving is None:
        raise ValueError("anil: inner.moving must name the parameters that adapt")
    held = {name: value.detach() for name, value in parameters.items()}
    if rule in ("maml", "anil"):

        def objective(theta: Parameters) -> Tensor:
            def of_one(support: Any, query: Any) -> Tensor:
                return loss(adapt(loss, theta, support, inner), query)

            return vmap(of_one)(support, query).mean()

        gradients, after = grad_and_value(objective)(held)
    else:
        adapted = adapt_each(loss, held, support, inner)
        with torch.no_grad():
            after = vmap(loss)(adapted, query).mean()
            last = vmap(grad(loss))(adapted, query)
            moved = {name: last[name].mean(0) for name in held}
            if rule == "reptile":
                for name, start in held.items():
                    moved[name] = moved[name] + (start - adapted[name].mean(0)) / inner.lr
        gradients = moved
    return MetaGradient(dict(gradients), after.detach())


def joint_gradient(loss: Loss, parameters: Parameters, data: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean loss over a batch of tasks, and its gradient."""
    held = {name: value.detach() for name, value in parameters.items()}

    def objective(theta: Parameters) -> Tensor:
        return vmap(loss, in_dims=(None, 0))(theta, data).mean()

    gradients, value = grad_and_value(objective)(held)
    return value, gradients


class MetaLearner:
    """Parameters and an outer Adam that a batch of tasks moves, by meta-learning or jointly without any inner loop."""

    def __init__(
        self, parameters: Parameters, loss: Loss, rule: Rule = "maml", inner: InnerLoop | None = None, lr: float = 1e-3
    ) -> None:
        self.parameters = {name: value.detach().clone() for name, value in parameters.items()}
        self.loss, self.inner = loss, inner or InnerLoop()
        self.rule: Rule = rule
        self._outer = torch.optim.Adam(self.parameters.values(), lr, fused=True)

    def step(self, support: Any, query: Any) -> MetaGradient:
        """One outer step by the rule; returns what led to it."""
        found = meta_gradient(self.rule, self.loss, self.parameters, support, query, self.inner)
        self._move(found.gradients)
        return found

    def joint_step(self, data: Any) -> Tensor:
        """One ordinary step on the mean loss of a batch of tasks, nothing adapted; returns that loss."""
        value, gradients = joint_gradient(self.loss, self.parameters, data)
        self._move(gradients)
        return value

    def _move(self, gradients: Parameters) -> None:
        for name, value in self.parameters.items():
            value.grad = gradients[name].detach()
        self._outer.step()
        self._outer.zero_grad()

    def state(self) -> dict[str, Tensor]:
        """Parameters and Adam's moments under plain names; `load` takes them back exactly."""
        found = {f"parameter.{name}": value for name, value in self.parameters.items()}
        for name, value in self.parameters.items():
            found |= {f"{kind}.{name}": moment for kind, moment in self._outer.state[value].items()}
        return found

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from what `state` gave. Raises KeyError where it is of other parameters."""
        for name, value in self.parameters.items():
            value.copy_(state[f"parameter.{name}"])
            kinds = {key.partition(".")[0] for key in state if key.partition(".")[2] == name} - {"parameter"}
            self._outer.state[value] = {kind: state[f"{kind}.{name}"].clone() for kind in kinds}

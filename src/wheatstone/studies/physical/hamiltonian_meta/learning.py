"""What a network is trained on and judged by: the loss of its field, adaptation with several rates, its orbits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, vmap

from wheatstone.domains.physics.hamiltonian import Array
from wheatstone.learn.meta import Loss, Parameters, called, descend
from wheatstone.learn.models.hamiltonian import GraphConfig, GraphField, GraphHamiltonian
from wheatstone.studies.physical.hamiltonian_meta.tasks import Points

Network = GraphHamiltonian | GraphField
RATES = (0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Learning rates that every start may choose from when it adapts: up to where descent no longer helps any of them."""


def make_network(kind: str, cfg: GraphConfig, init: torch.Generator) -> Network:
    """A network of the energy (`hamiltonian`) or of the field."""
    return GraphHamiltonian(cfg, init) if kind == "hamiltonian" else GraphField(cfg, init)


def field_loss(network: Network) -> Loss:
    """Mean squared error of the time derivatives of one task's points, over the coordinates that exist."""

    def loss(parameters: Parameters, points: Points) -> Tensor:
        wrong = (called(network, parameters, points.x, points.mask[:, 0]) - points.y) * points.mask
        return wrong.square().sum() / (points.mask.sum() * points.x.shape[0])

    return loss


def field_error(network: Network) -> Loss:
    """Error of the time derivatives of one task relative to their size: |f' - f| / |f| over its points."""

    def error(parameters: Parameters, points: Points) -> Tensor:
        wrong = (called(network, parameters, points.x, points.mask[:, 0]) - points.y) * points.mask
        return (wrong.square().sum() / (points.y * points.mask).square().sum()).sqrt()

    return error


class Curve(NamedTuple):
    """Errors while adapting: step -> [rate, task]; what is not finite is infinite."""

    query: dict[int, Array]
    other: dict[int, Array]
    adapted: dict[int, dict[str, Tensor]]
    """Step -> the parameters [rate, task, ...], for the steps that were asked for."""


def adaptation(
    network: Network,
    start: Parameters,
    support: Points,
    query: Points,
    other: Points,
    steps: Sequence[int],
    rates: Sequence[float] = RATES,
    keep: Sequence[int] = (),
    note: Callable[[int], None] = lambda _: None,
    moving: frozenset[str] | None = None,
) -> Curve:
    """Adapts one start to every task with every rate, all at once; errors after each of `steps`.

    `moving` names the parameters that adapt; None is all that matter.
    """
    loss, error = field_loss(network), field_error(network)
    moving = network.used(support.x.shape[-2]) if moving is None else moving
    n_rates, n_tasks = len(rates), support.x.shape[0]

    def spread(points: Points) -> Points:
        return Points(*(part.repeat(n_rates, *[1] * (part.ndim - 1)) for part in points))

    each = torch.tensor(rates).repeat_interleave(n_tasks)
    now = {name: value.detach().expand(n_rates * n_tasks, *value.shape).contiguous() for name, value in start.items()}
    support, query, other = spread(support), spread(query), spread(other)

    def of_one(parameters: dict[str, Tensor], points: Points, rate: Tensor) -> dict[str, Tensor]:
        return descend(loss, parameters, points, rate, moving)

    found = Curve({}, {}, {})
    with torch.no_grad():
        for step in range(max(steps) + 1):
            if step:
                now = vmap(of_one)(now, support, each)
                note(step)
            if step in steps:
                for errors, points in ((found.query, query), (found.other, other)):
                    values = vmap(error)(now, points).reshape(n_rates, n_tasks).double().numpy()
                    errors[step] = np.where(np.isfinite(values), values, np.inf)
            if step in keep:
                found.adapted[step] = {
                    name: value.reshape(n_rates, n_tasks, *value.shape[1:]) for name, value in now.items()
                }
    return found


def best_rate(validation: Curve, step: int) -> float:
    """The rate of RATES with the smallest median error on the validation tasks after so many steps."""
    return RATES[int(np.argmin(np.median(validation.query[step], axis=1)))]


def moving_names(network: Network, method: str, nodes: int) -> frozenset[str]:
    """What adapts, in the inner loop and afterwards, in systems with so many particles."""
    part = {"anil": "readout.weight", "context": "context"}.get(method)
    return network.used(nodes) if part is None else frozenset({part})


def field_of(network: Network, parameters: Parameters, mask: Tensor) -> Callable[[Tensor], Tensor]:
    """The field of several adapted networks: states [task, particle, 4] -> derivatives, zero where there is padding."""

    def of_one(parameters: Parameters, state: Tensor, mask: Tensor) -> Tensor:
        return called(network, parameters, state, mask[:, 0]) * mask

    def field(state: Tensor) -> Tensor:
        with torch.no_grad():
            return vmap(of_one)(dict(parameters), state, mask)

    return field


def energy_along(network: GraphHamiltonian, parameters: Parameters, states: Tensor, mask: Tensor) -> Tensor:
    """The learnt energy of states [..., particle, 4] with one set of parameters."""
    return functional_call(_Energy(network), {f"network.{k}": v for k, v in parameters.items()}, (states, mask[:, 0]))


def activations_of(network: Network, parameters: Parameters, states: Tensor, mask: Tensor) -> list[Tensor]:
    """Features of all nodes that exist, [state * particle, width], after the embedding and each layer."""
    with torch.no_grad():
        wrapped = {f"network.{k}": v for k, v in parameters.items()}
        layers: list[Tensor] = functional_call(_Activations(network), wrapped, (states, mask[:, 0]))
    present = mask[:, 0] > 0
    return [layer[..., present, :].flatten(0, -2) for layer in layers]


class _Energy(torch.nn.Module):
    def __init__(self, network: GraphHamiltonian) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        return self.network.energy(x, present)


class _Activations(torch.nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, present: Tensor) -> list[Tensor]:
        return self.network.activations(x, present)

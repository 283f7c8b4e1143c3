"""What a training step minimises: squared error of labels, or the residual of the equation itself.

The residual needs no labels: the network's own derivative (by autograd) must be the right-hand side at its own value,
and its value at time 0 the initial one.

Source  Wang, Wang and Perdikaris, Science Advances 7, 2021, arXiv:2103.10974 (physics-informed DeepONet)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from wheatstone.bench.errors import UserError
from wheatstone.domains.physics.operators.kept import Kept
from wheatstone.domains.physics.operators.ode import Ode
from wheatstone.domains.physics.triples import Triples
from wheatstone.learn.models.operator_network import Ensemble, OperatorNetwork
from wheatstone.studies.physical.deeponet.problem import Problem

Loss = Callable[[Any, Int[Tensor, " batch"]], Float[Tensor, ""]]


class Rows(NamedTuple):
    """Triples as tensors, a label a row."""

    u: Float[Tensor, "function sensor"]
    y: Float[Tensor, "row dim"]
    s: Float[Tensor, " row"]
    points: int
    """Rows of each function."""


def rows_of(triples: Triples) -> Rows:
    """In single precision."""
    u, y, s = (torch.from_numpy(values.astype("float32")) for values in (triples.u, triples.y, triples.s))
    return Rows(u, y.flatten(0, 1), s.flatten(), y.shape[1])


def label_loss(rows: Rows, unit: float) -> Loss:
    """Mean squared error of rows over the square of `unit`; of an ensemble, the sum over its members."""

    def loss(model: OperatorNetwork | Ensemble, at: Tensor) -> Tensor:
        found = model(rows.u[at // rows.points], rows.y[at])
        error = ((found - rows.s[at]) / unit).square()
        return error.mean() if error.ndim == 1 else error.mean(1).sum()

    return loss


def function_loss(rows: Rows, unit: float) -> Loss:
    """The same on whole functions of aligned data: branch and trunk are computed once each."""
    places, labels = rows.y[: rows.points], rows.s.view(-1, rows.points)

    def loss(model: OperatorNetwork | Ensemble, at: Tensor) -> Tensor:
        error = ((model.everywhere(rows.u[at], places) - labels[at]) / unit).square()
        return error.mean() if error.ndim == 2 else error.mean((1, 2)).sum()

    return loss


def equation_loss(problem: Problem, unit: float) -> Loss:
    """Mean squared residual at the places of the training triples, times the square of the horizon, and the start's.

    Raises UserError for an operator that is not one differential equation.
    """
    operator = problem.operator.operator if isinstance(problem.operator, Kept) else problem.operator
    if not isinstance(operator, Ode) or len(operator.sides) != 1:
        raise UserError("deeponet --loss equation: needs one equation of one state, as --ode='-s**2 + u'.")
    assert problem.inputs is not None
    rows = rows_of(problem.train)
    unit_times = problem.train.y[:, :, 0] / operator.horizon
    drive = torch.from_numpy(problem.inputs.each_at(unit_times).astype("float32")).flatten()
    (side,), start = operator.sides, (operator.start or (0.0,))[0]

    def loss(model: OperatorNetwork, at: Tensor) -> Tensor:
        u, t = rows.u[at // rows.points], rows.y[at].clone().requires_grad_()
        s = model(u, t)
        (slope,) = torch.autograd.grad(s.sum(), t, create_graph=True)
        wanted = side(s=s, u=drive[at], t=t[:, 0])
        at_start = model(u, torch.zeros_like(t)) - start
        residual = (slope[:, 0] - wanted) * operator.horizon
        return (residual / unit).square().mean() + (at_start / unit).square().mean()

    return loss

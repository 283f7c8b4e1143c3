"""What the figures of a trial need: outputs as curves, and the basis of a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from wheatstone.domains.physics.function_spaces import Array
from wheatstone.domains.physics.surrogate import Surrogate, everywhere
from wheatstone.domains.physics.triples import Triples
from wheatstone.learn.models.operator_network import OperatorNetwork
from wheatstone.studies.physical.deeponet.losses import rows_of
from wheatstone.studies.physical.deeponet.problem import NAMES, Problem

Predict = Callable[[Triples], Float[Array, "function point"]]
SHOWN_BASIS = 6
LEVEL = 0.9
"""Of the error bars in the report."""


@torch.no_grad()
def outputs_at(model: OperatorNetwork, part: Triples) -> Float[Array, "function point"]:
    """The network's outputs at a part's places."""
    if part.is_aligned:
        return everywhere(model, part.u, part.y[0])
    rows = rows_of(part)
    index = torch.arange(len(rows.s)).split(50_000)
    found = torch.cat([model(rows.u[at // rows.points], rows.y[at]) for at in index])
    return found.view(len(part), -1).numpy().astype(np.float64)


def curves(problem: Problem, predict: Predict, surrogate: Surrogate | None, predicted: Array) -> list[dict[str, Any]]:
    """Outputs as curves: the named functions, the worst test function and a usual one; none in two dimensions."""
    if len(problem.box.low) > 1 or not problem.test.is_aligned:
        return []
    errors = ((predicted - problem.test.s) ** 2).mean(1)
    usual = int(np.argsort(errors)[len(errors) // 2])
    chosen = {"median test function": usual, "worst test function": int(errors.argmax())}
    found = [_curve(name, problem.test, at, predicted[at], surrogate, problem) for name, at in chosen.items()]
    named = problem.others.get("named")
    if named is not None:
        outputs = predict(named)
        found += [_curve(name, named, at, outputs[at], surrogate, problem) for at, name in enumerate(NAMES)]
    return found


def _curve(
    name: str, part: Triples, at: int, predicted: Array, surrogate: Surrogate | None, problem: Problem
) -> dict[str, Any]:
    spread, bar = None, None
    if surrogate is not None and len(surrogate.members) > 1:
        answer = surrogate.predict(part.u[at : at + 1], part.y[at])
        spread = answer.spread[0].tolist()
        if surrogate.promises(LEVEL):
            bar = surrogate.half_width(answer, LEVEL)[0].tolist()
    return {
        "name": name,
        "y": part.y[at, :, 0].tolist(),
        "true": part.s[at].tolist(),
        "predicted": predicted.tolist(),
        "spread": spread,
        "bar": bar,
        "sensors": problem.sensors.tolist(),
        "input": part.u[at].tolist(),
    }


@torch.no_grad()
def basis(problem: Problem, model: OperatorNetwork) -> dict[str, Any]:
    """The trunk's functions that carry most of the output, with the share of it that each carries."""
    if model.cfg.kind != "deeponet" or len(problem.box.low) > 1 or not problem.test.is_aligned:
        return {}
    y = torch.from_numpy(problem.test.y[0].astype(np.float32))
    u = torch.from_numpy(problem.test.u.astype(np.float32))
    functions, weights = model.basis(y), model.coefficients(u).square().mean(0).sqrt()
    carried = weights * functions.square().mean(0).sqrt()
    best = carried.argsort(descending=True)[:SHOWN_BASIS]
    share = (carried / carried.sum().clamp(min=1e-30))[best]
    return {"y": y[:, 0].tolist(), "functions": functions[:, best].mT.tolist(), "share": share.tolist()}

"""A circuit as a record: what was patched, what happened, and the verdict that follows from the interventions.

A network composes two look-ups *in stages* when one state holds the intermediate variable and passes it on: exchange
that state and the answer becomes the one of the other bridge. It looks two values up *in parallel* when, at one layer,
two states hold one variable each. Otherwise there is no circuit of the named variables (a model that memorised whole
questions answers as well, and shows neither). Staged and parallel as in Wang et al. 2024, arXiv:2405.15071, section 4.

The logit lens is recorded beside the interventions and takes no part in the verdict.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Int
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from wheatstone.bench.errors import UserError
from wheatstone.interp.lens import lens_mrr
from wheatstone.interp.patching import edge_effects, effect_map, interchange_map, states
from wheatstone.learn.models.transformer import Transformer
from wheatstone.learn.training import answers

HOLDS_VARIABLE = 0.90
"""Interchange accuracy from which a state counts as holding a variable (the level set for the composition claim)."""
EDGE_SHOWN = 0.10
"""Smallest share of changed answers for which an edge is drawn."""

Map = list[list[float]]
Structure = Literal["staged", "parallel", "none"]


@dataclass(frozen=True)
class Variable:
    """A value that some state may hold: where it is expected, and questions to exchange it with.

    `source` are questions whose state is put in; `counterfactual` is the answer that the clean question would have with
    the source's value of this variable and everything else its own.
    """

    name: str
    position: int
    source: Int[Tensor, "batch pos"]
    counterfactual: Int[Tensor, " batch"]

    def part(self, keep: Tensor) -> Variable:
        """The questions where `keep` is true."""
        return Variable(self.name, self.position, self.source[keep], self.counterfactual[keep])


@dataclass(frozen=True)
class Probe:
    """Questions with known answers, and all that is to be done to them. All tensors share `batch`."""

    labels: tuple[str, ...]
    """What stands at each position."""
    clean: Int[Tensor, "batch pos"]
    expected: Int[Tensor, " batch"]
    corruptions: Mapping[str, Int[Tensor, "batch pos"]]
    """Questions with one ingredient changed, so that the right answer changes."""
    variables: tuple[Variable, ...]
    unrelated: Int[Tensor, "batch pos"]
    """Questions with every ingredient changed: the source of the edge measurement."""
    readable: Mapping[str, Int[Tensor, " batch"]]
    """Tokens whose rank the logit lens reports."""

    def answered_by(self, model: Transformer) -> Probe:
        """The part of the probe where the model is right about the clean question; sources may be answered wrong."""
        keep = answers(model, self.clean) == self.expected
        return self.part(keep)

    def part(self, keep: Tensor) -> Probe:
        """The questions where `keep` is true."""
        return Probe(
            self.labels,
            self.clean[keep],
            self.expected[keep],
            {name: tokens[keep] for name, tokens in self.corruptions.items()},
            tuple(v.part(keep) for v in self.variables),
            self.unrelated[keep],
            {name: tokens[keep] for name, tokens in self.readable.items()},
        )


@dataclass(frozen=True)
class CircuitEdge:
    """An edge of the drawn graph: block `layer` lets position `reader` read position `source`."""

    layer: int
    source: int
    reader: int
    effect: float


@dataclass(frozen=True)
class Circuit:
    """Measurements on one model; maps are [layer 0 .. depth][pos]."""

    labels: tuple[str, ...]
    depth: int
    n: int
    """Questions measured: those that the model answers right."""
    effects: dict[str, Map]
    """Corruption -> share of answers changed by exchanging that state."""
    interchange: dict[str, Map]
    """Variable -> interchange accuracy of each state."""
    lens: dict[str, Map]
    """Token -> mean reciprocal rank under the logit lens."""
    edges: tuple[CircuitEdge, ...]
    sites: dict[str, int | None]
    """Variable -> first layer whose state at the expected position holds it; None if none does."""
    structure: Structure

    def best(self, variable: str, position: int) -> float:
        """Highest interchange accuracy of `variable` at `position` between the first and the last block."""
        rows = self.interchange.get(variable, [])[1 : self.depth]
        return max((row[position] for row in rows), default=float("nan"))

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Circuit:
        """The circuit that `to_json` gave. Raises UserError for anything else."""
        try:
            return TypeAdapter(Circuit).validate_python(data)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"])) or "the whole"
            raise UserError(
                f"circuit: damaged ('{place}': {first['msg']}). Run the study again in a new folder."
            ) from None


def find_circuit(model: Transformer, probe: Probe) -> Circuit:
    """Measure every map on the questions that the model answers right, and judge the structure."""
    probe = probe.answered_by(model)
    depth, n = model.cfg.depth, len(probe.clean)
    if n == 0:
        return Circuit(probe.labels, depth, 0, {}, {}, {}, (), {v.name: None for v in probe.variables}, "none")
    here = states(model, probe.clean)
    effects = {name: effect_map(model, probe.clean, tokens).tolist() for name, tokens in probe.corruptions.items()}
    exchange = {
        v.name: interchange_map(model, probe.clean, v.source, v.counterfactual).tolist() for v in probe.variables
    }
    lens = {name: lens_mrr(model, here, token).tolist() for name, token in probe.readable.items()}
    edges = [
        CircuitEdge(*edge, effect)
        for edge, effect in edge_effects(model, probe.clean, probe.unrelated).items()
        if effect >= EDGE_SHOWN
    ]
    sites = {v.name: holding_layer(exchange[v.name], v.position, depth) for v in probe.variables}
    return Circuit(probe.labels, depth, n, effects, exchange, lens, tuple(edges), sites, structure_of(sites))


def holding_layer(interchange: Sequence[Sequence[float]], position: int, depth: int) -> int | None:
    """First layer in 1 .. depth - 1 whose state at `position` has interchange accuracy of HOLDS_VARIABLE or more.

    Layer 0 is the token itself and layer `depth` the answer: neither is an intermediate variable.
    """
    return next((layer for layer in range(1, depth) if interchange[layer][position] >= HOLDS_VARIABLE), None)


def structure_of(sites: Mapping[str, int | None]) -> Structure:
    """One variable held somewhere: staged. Several, all held: parallel. Any not held: none."""
    if any(layer is None for layer in sites.values()):
        return "none"
    return "staged" if len(sites) == 1 else "parallel"


def difference(after: Map, before: Map) -> Map:
    """after - before, state by state: how a circuit grew between two checkpoints."""
    return (torch.tensor(after) - torch.tensor(before)).tolist()

"""The attribution graph of one reading: which features made it, what made those, and how much is not explained.

Found by best-first search. A node's *influence* is the share of the target that flows through it: every node divides
what reaches it among its sources in proportion to the absolute contributions (`attribution.direct`), so the influences
of all places where the search stops sum to one. Each of `rounds` rounds opens the `branches` closed features of most
influence. (The paper follows the best paths of a fixed number, section 4.1; shares over all paths as in Ameisen et al.
2025 and its open implementation circuit-tracer.)

Error mass    influence that ends in what transcoders leave (errors) or in outputs that none models
Replacement   embeddings / (embeddings + errors), by influence: one, when transcoders explain all
Closed        influence that ends in features that were not opened, or in biases

The record (`to_json`, schema `wheatstone/feature-graph/1`) has nodes with kind, layer, position, feature, activation,
influence, and edges with the signed contribution of source to target, in the target's unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from wheatstone.bench.errors import UserError
from wheatstone.interp.transcoders.anatomy import PRECISION
from wheatstone.interp.transcoders.attribution import direct, relative_error
from wheatstone.interp.transcoders.frozen import Contributions, Frozen, Reading

SCHEMA = "wheatstone/feature-graph/1"
Kind = Literal["target", "feature", "embedding", "error", "unmodelled", "bias"]


class Place(NamedTuple):
    """Where a node is; -1 where a coordinate means nothing."""

    kind: Kind
    layer: int = -1
    position: int = -1
    feature: int = -1

    @property
    def id(self) -> str:
        """`L2.f17@5`, `token@3`, `error L1@4`, `bias`, `target`."""
        match self.kind:
            case "feature":
                return f"L{self.layer}.f{self.feature}@{self.position}"
            case "embedding":
                return f"token@{self.position}"
            case "error" | "unmodelled":
                return f"{self.kind} L{self.layer}@{self.position}"
            case _:
                return self.kind


@dataclass(frozen=True)
class GraphNode:
    """A place, how active it is, and the share of the target that flows through it."""

    id: str
    kind: Kind
    layer: int
    position: int
    feature: int
    activation: float
    influence: float
    opened: bool
    """Its own sources are in the graph."""


@dataclass(frozen=True)
class GraphEdge:
    """What a source contributed to a target."""

    source: str
    target: str
    contribution: float


@dataclass(frozen=True)
class FeatureGraph:
    """The graph of one prompt and one target."""

    prompt: tuple[str, ...]
    """Its tokens as text."""
    target: str
    value: float
    """What the target is: a logit, a difference of logits, a pre-activation."""
    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]
    error_mass: float
    token_mass: float
    closed_mass: float
    replacement_score: float
    relative_error: float
    """Largest |sum of contributions - value| / |value| of all opened nodes."""
    schema: str = SCHEMA

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: Any) -> FeatureGraph:
        """The graph that `to_json` gave. Raises UserError for anything else."""
        if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
            raise UserError(f"graph: not a record of the schema {SCHEMA}")
        try:
            return TypeAdapter(FeatureGraph).validate_python(data)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise UserError(f"graph: damaged ('{'.'.join(map(str, first['loc']))}': {first['msg']})") from None

    def kept(self, n: int) -> FeatureGraph:
        """The `n` nodes of most influence beside the target, and the edges between them."""
        ranked = sorted(self.nodes, key=lambda node: (node.kind != "target", -node.influence))[: n + 1]
        names = {node.id for node in ranked}
        edges = tuple(edge for edge in self.edges if edge.source in names and edge.target in names)
        return replace(self, nodes=tuple(ranked), edges=edges)


class _Sources:
    """All places that can contribute to a prompt, in one order."""

    def __init__(self, frozen: Frozen) -> None:
        self.places: list[Place] = [Place("bias")]
        self.activations: list[float] = [1.0]
        n = len(frozen.tokens)
        self.places += [Place("embedding", -1, position) for position in range(n)]
        self.activations += frozen.embedded.norm(dim=-1).tolist()
        self.active: dict[int, Tensor] = {}
        for layer in range(frozen.anatomy.depth):
            tc = frozen.transcoders.get(layer)
            kinds: Sequence[Kind] = ("unmodelled",) if tc is None else ("unmodelled", "error")
            for kind in kinds:
                self.places += [Place(kind, layer, position) for position in range(n)]
                output = frozen.layers[layer].output if tc is None or kind == "unmodelled" else tc.error
                self.activations += output.norm(dim=-1).tolist()
            if tc is not None:
                at = (tc.z > 0).nonzero()
                self.active[layer] = at
                self.places += [Place("feature", layer, position, feature) for position, feature in at.tolist()]
                self.activations += tc.z[at[:, 0], at[:, 1]].tolist()
        self.index = {place: i for i, place in enumerate(self.places)}

    def row(self, frozen: Frozen, found: Contributions) -> Tensor:
        """Contributions in that order."""
        none = torch.zeros(len(frozen.tokens), dtype=PRECISION)
        parts = [torch.tensor([found.bias], dtype=PRECISION), found.embedding]
        for layer in range(frozen.anatomy.depth):
            parts.append(found.unmodelled.get(layer, none))
            if layer in self.active:
                parts.append(found.errors.get(layer, none))
                at = self.active[layer]
                values = found.features.get(layer)
                given = torch.zeros(len(at), dtype=PRECISION) if values is None else values[at[:, 0], at[:, 1]]
                parts.append(given)
        return torch.cat(parts)


def build_graph(
    frozen: Frozen, target: Reading, words: Sequence[str], *, branches: int = 8, rounds: int = 6, smallest: float = 1e-4
) -> FeatureGraph:
    """The graph of `target`; `words` are the prompt's tokens as text. Nodes below `smallest` influence are left out."""
    sources = _Sources(frozen)
    rows: dict[Place, Tensor] = {}
    worst = 0.0

    def opened(place: Place, reading: Reading) -> None:
        nonlocal worst
        found = direct(frozen, reading)
        worst = max(worst, relative_error(found, reading))
        rows[place] = sources.row(frozen, found)

    goal = Place("target")
    opened(goal, target)
    influence = _influence(sources, rows, goal)
    for _ in range(rounds):
        ranked = [i for i in influence.argsort(descending=True).tolist() if sources.places[i].kind == "feature"]
        closed = [sources.places[i] for i in ranked if sources.places[i] not in rows and influence[i] > smallest]
        if not closed:
            break
        for place in closed[:branches]:
            opened(place, frozen.feature(place.layer, place.position, place.feature))
        influence = _influence(sources, rows, goal)
    return _record(sources, rows, influence, target, words, worst, smallest)


def _influence(sources: _Sources, rows: Mapping[Place, Tensor], goal: Place) -> Tensor:
    """Influence of every source: features feed later layers only, so one pass from the last to the first is enough."""
    found = _shares(rows[goal])
    for place in sorted((place for place in rows if place != goal), key=lambda place: -place.layer):
        found = found + found[sources.index[place]] * _shares(rows[place])
    return found


def _shares(row: Tensor) -> Tensor:
    return row.abs() / row.abs().sum().clamp(min=1e-30)


def _record(
    sources: _Sources,
    rows: Mapping[Place, Tensor],
    influence: Tensor,
    target: Reading,
    words: Sequence[str],
    worst: float,
    smallest: float,
) -> FeatureGraph:
    masses: dict[str, float] = {"embedding": 0.0, "error": 0.0, "unmodelled": 0.0, "bias": 0.0, "feature": 0.0}
    nodes = [GraphNode("target", "target", target.below, target.position, -1, target.value, 1.0, opened=True)]
    for i, place in enumerate(sources.places):
        share = influence[i].item()
        if place not in rows:
            masses[place.kind] += share
        if share >= smallest or place in rows:
            where = (place.kind, place.layer, place.position, place.feature)
            nodes.append(GraphNode(place.id, *where, sources.activations[i], share, opened=place in rows))
    names = {node.id for node in nodes}
    edges = [
        GraphEdge(source.id, place.id, row[i].item())
        for place, row in rows.items()
        for i, source in enumerate(sources.places)
        if row[i] != 0 and source.id in names
    ]
    errors = masses["error"] + masses["unmodelled"]
    tokens = masses["embedding"]
    return FeatureGraph(
        prompt=tuple(words),
        target=target.name,
        value=target.value,
        nodes=tuple(nodes),
        edges=tuple(edges),
        error_mass=errors,
        token_mass=tokens,
        closed_mass=masses["feature"] + masses["bias"],
        replacement_score=tokens / max(tokens + errors, 1e-30),
        relative_error=worst,
    )

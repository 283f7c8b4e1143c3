"""Token ids of a graph: every entity and every relation is one token (Wang et al., arXiv:2405.15071, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from wheatstone.bench.errors import UserError
from wheatstone.domains.kg.graph import Graph
from wheatstone.domains.kg.questions import Question

FORMAT = 1


@dataclass(frozen=True)
class Vocabulary:
    """Tokens in this order: entities, relations, specials. An entity's token is its id in the graph."""

    entities: tuple[str, ...]
    relations: tuple[str, ...]
    specials: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for kind in ("entities", "relations", "specials"):
            names = getattr(self, kind)
            if len(set(names)) != len(names):
                raise ValueError(f"{kind} of a vocabulary: a name is there twice")

    @classmethod
    def of(cls, graph: Graph, specials: Sequence[str] = ()) -> Vocabulary:
        return cls(graph.entities, graph.relations, tuple(specials))

    def __len__(self) -> int:
        return len(self.entities) + len(self.relations) + len(self.specials)

    @property
    def n_entity(self) -> int:
        """Also the token of the first relation."""
        return len(self.entities)

    def entity(self, name: str) -> int:
        """Raises KeyError for an unknown name, as the others do."""
        return self._ids[0][name]

    def relation(self, name: str) -> int:
        return self._ids[1][name]

    def special(self, name: str) -> int:
        return self._ids[2][name]

    def token(self, position: int) -> str:
        """The name of a token.

        Raises IndexError for one that is out of range.
        """
        if position < 0:
            raise IndexError(f"token {position} is negative")
        return self.tokens[position]

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """Every token's name, in order; an entity and a relation may share one."""
        return (*self.entities, *self.relations, *self.specials)

    def encoded(self, question: Question) -> list[int]:
        """Tokens of the head and of each relation."""
        return [self.entity(question.head), *map(self.relation, question.relations)]

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "entities": list(self.entities),
            "relations": list(self.relations),
            "specials": list(self.specials),
        }

    @classmethod
    def from_json(cls, value: Any, where: str = "vocabulary") -> Vocabulary:
        """The vocabulary that `to_json` gave.

        Raises UserError for anything else, and for a newer format.
        """
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: not a vocabulary. It is written beside a model when a graph is trained on.")
        fields = cast("Mapping[str, Any]", value)
        if fields.get("format") != FORMAT:
            raise UserError(f"{where}: format {fields.get('format')}, this version reads {FORMAT}. Update wheatstone.")
        parts: list[tuple[str, ...]] = []
        for kind in ("entities", "relations", "specials"):
            names = fields.get(kind)
            if not isinstance(names, list) or not all(isinstance(name, str) for name in cast("list[object]", names)):
                raise UserError(f"{where} field '{kind}': must be a list of names. The file is damaged; restore it.")
            parts.append(tuple(cast("list[str]", names)))
        try:
            return cls(*parts)
        except ValueError as error:
            raise UserError(f"{where}: {error}. The file is damaged; restore it.") from None

    @cached_property
    def _ids(self) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
        start, found = 0, list[dict[str, int]]()
        for names in (self.entities, self.relations, self.specials):
            found.append({name: start + position for position, name in enumerate(names)})
            start += len(names)
        return found[0], found[1], found[2]

"""A trained model with what it was trained on, kept in a run and asked again: answer, probability, decoded bridge.

A question of two relations is one forward pass. The bridge is read by the logit lens from the state at r1, after the
layer whose exchange changed most answers to the counterfactual ones; the interventions chose the place, the lens reads
it. Longer questions are answered two relations at a time, each pass starting from the answer of the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from wheatstone.bench.errors import UserError
from wheatstone.bench.record import TrialRecord
from wheatstone.bench.shape import TEXT, WHOLE, check
from wheatstone.bench.trial import Trial
from wheatstone.domains.kg.encode import Vocabulary
from wheatstone.domains.kg.graph import Chains, Graph
from wheatstone.domains.kg.questions import Question, follow
from wheatstone.interp.circuit import Circuit
from wheatstone.interp.lens import logit_lens
from wheatstone.interp.patching import states
from wheatstone.learn.models.transformer import Transformer
from wheatstone.studies.neural.grokking_in_the_wild.world import Config, World

KNOWLEDGE = {
    "vocabulary": {"entities": [TEXT], "relations": [TEXT]},
    "triples": [[WHOLE]],
    "n_real_entity": WHOLE,
    "n_real_relation": WHOLE,
    "real_train": [[WHOLE]],
    "bridge_layer": WHOLE,
}
"""The shape of the artifact beside the weights."""


@dataclass(frozen=True)
class Hop:
    """One forward pass: a head and one or two relations."""

    asked: tuple[str, ...]
    answer: str
    probability: float
    """Of the answer, among the whole vocabulary."""
    bridge: str | None
    """The top entity at r1, for two relations."""
    bridge_probability: float | None
    """Of the bridge among the entities, under the lens."""
    layer: int | None
    """The bridge was read after this layer."""


@dataclass(frozen=True)
class Answer:
    """What the weights say, and what the graph says."""

    question: str
    answer: str
    hops: tuple[Hop, ...]
    graph_says: str
    in_training: bool
    """This very question was a training question."""

    @property
    def right(self) -> bool:
        return self.answer == self.graph_says


@dataclass(frozen=True)
class Knowledge:
    """A trained model that can be asked."""

    model: Transformer
    graph: Graph
    """The real graph, which says what can be asked."""
    vocabulary: Vocabulary
    bridge_layer: int
    trained: frozenset[tuple[int, int, int]]
    """(head, r1, r2) of every real training question."""

    def ask(self, question: Question) -> Answer:
        """Answer from the weights.

        Raises UserError when the graph has no such fact on the way: then any answer would be a guess.
        """
        path = follow(self.graph, question)
        if len(path) <= len(question.relations):
            relation = question.relations[len(path) - 1]
            raise UserError(
                f"I don't know: the graph has no fact ({path[-1]}, {relation}), so '{question}' has no answer to learn."
            )
        hops: list[Hop] = []
        at, left = question.head, list(question.relations)
        while left:
            relations, left = left[:2], left[2:]
            hops.append(self._pass(at, relations))
            at = hops[-1].answer
            if at not in self.vocabulary.entities:
                break
        ids = self.vocabulary.encoded(question)
        key = (ids[0], *(token - self.vocabulary.n_entity for token in ids[1:]))
        return Answer(str(question), at, tuple(hops), path[-1], key in self.trained)

    @torch.no_grad()
    def _pass(self, head: str, relations: Sequence[str]) -> Hop:
        tokens = torch.tensor([[self.vocabulary.entity(head), *map(self.vocabulary.relation, relations)]])
        here = states(self.model, tokens)
        probabilities = self.model.unembed(here[-1][:, -1]).softmax(-1)[0]
        top = int(probabilities.argmax())
        answer, probability = self.vocabulary.token(top), probabilities[top].item()
        asked = (head, *relations)
        if len(relations) == 1:
            return Hop(asked, answer, probability, None, None, None)
        entities = logit_lens(self.model, here[self.bridge_layer][:, 1])[0, : self.vocabulary.n_entity].softmax(-1)
        bridge = int(entities.argmax())
        name = self.vocabulary.token(bridge)
        return Hop(asked, answer, probability, name, entities[bridge].item(), self.bridge_layer)


def bridge_layer(circuit: Circuit) -> int:
    """The layer whose state at r1 has the highest interchange accuracy; the first one where nothing was measured."""
    rows = circuit.interchange.get("bridge", [])[1 : circuit.depth]
    return 1 + max(range(len(rows)), key=lambda layer: rows[layer][1], default=0)


def save_knowledge(trial: Trial[Config], model: Transformer, world: World, circuit: Circuit) -> None:
    """Keep the weights and everything that `load_knowledge` needs beside them."""
    trial.save_tensors("model", model.state_dict())
    trial.write(
        "knowledge",
        {
            "vocabulary": world.vocabulary.to_json(),
            "triples": world.graph.triples.tolist(),
            "n_real_entity": len(world.graph.entities),
            "n_real_relation": len(world.graph.relations),
            "real_train": world.real_train.questions.tolist(),
            "bridge_layer": bridge_layer(circuit),
        },
    )


def load_knowledge(record: TrialRecord, cfg: Config) -> Knowledge:
    """The model that a finished trial has left. Raises UserError when it has not finished or is damaged."""
    if not record.is_finished:
        raise UserError(f"{record.path}: not trained yet. Run the same command again to go on.")
    stored, tensors = record.artifact("knowledge"), record.tensors("model")
    try:
        check(stored, KNOWLEDGE)
        return _known(stored, tensors, cfg)
    # torch reports weights of another shape as RuntimeError, numpy ids of another shape as ValueError.
    except (ValueError, RuntimeError, OverflowError) as error:
        why = " ".join(str(error).split())[:200]
        raise UserError(
            f"{record.file('knowledge.json')}: damaged, or not of this model ({why}). Train again in a new folder."
        ) from None


def _known(stored: dict[str, Any], tensors: dict[str, torch.Tensor], cfg: Config) -> Knowledge:
    vocabulary = Vocabulary.from_json(stored["vocabulary"])
    model = Transformer(cfg.transformer(len(vocabulary), 3), torch.Generator())
    model.load_state_dict(tensors)
    graph = Graph(
        vocabulary.entities[: stored["n_real_entity"]],
        vocabulary.relations[: stored["n_real_relation"]],
        np.array(stored["triples"], np.int32),
    )
    trained = frozenset((h, r1, r2) for h, r1, r2 in stored["real_train"])
    if not 1 <= stored["bridge_layer"] <= model.cfg.depth:
        raise ValueError(f"'bridge_layer' is {stored['bridge_layer']}")
    return Knowledge(model.eval(), graph, vocabulary, stored["bridge_layer"], trained)


def sample_answers(model: Transformer, world: World, chains: Chains, circuit: Circuit) -> list[dict[str, Any]]:
    """A few real questions with the model's answer, for the report."""
    trained = frozenset(map(tuple, world.real_train.questions.tolist()))
    was_training = model.training
    known = Knowledge(model.eval(), world.graph, world.vocabulary, bridge_layer(circuit), trained)
    rows: list[dict[str, Any]] = []
    names, relations = world.graph.entities, world.graph.relations
    for h, r1, b, r2, _ in chains.rows.tolist():
        answer = known.ask(Question(names[h], (relations[r1], relations[r2])))
        rows.append(
            {
                "question": answer.question,
                "answer": answer.answer,
                "probability": answer.hops[0].probability,
                "graph_says": answer.graph_says,
                "bridge_decoded": answer.hops[0].bridge,
                "bridge": names[b],
            }
        )
    model.train(was_training)
    return rows

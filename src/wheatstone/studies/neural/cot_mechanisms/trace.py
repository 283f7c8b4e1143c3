"""A trained model asked again: what it writes to a question, and what can be read in it at each stage.

Stage one is the question `h r1 r2`, stage two the question and the bridge that the model wrote itself. At every layer
the logit lens reads the states at r1 and r2 (stage one) and at r2 and b (stage two): the three most probable tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from wheatstone.bench.errors import UserError
from wheatstone.bench.record import TrialRecord
from wheatstone.bench.shape import TEXT, WHOLE, check
from wheatstone.domains.kg.encode import Vocabulary
from wheatstone.domains.kg.graph import Graph
from wheatstone.domains.kg.questions import Question, follow
from wheatstone.domains.steps import StepTokens
from wheatstone.interp.lens import logit_lens
from wheatstone.interp.patching import states
from wheatstone.learn.generation import generate
from wheatstone.learn.models.transformer import Transformer
from wheatstone.studies.neural.cot_mechanisms.config import Config
from wheatstone.studies.neural.cot_mechanisms.experiment import CONTEXT, graph_of

KNOWLEDGE = {
    "vocabulary": {"entities": [TEXT], "relations": [TEXT]},
    "triples": [[WHOLE]],
    "trained": [[WHOLE]],
}
"""The shape of the artifact beside the weights."""
TOP = 3
HOPS = 2


@dataclass(frozen=True)
class Token:
    """A token and its probability among all tokens."""

    name: str
    probability: float


@dataclass(frozen=True)
class Reading:
    """What the lens reads at one position after one layer: the most probable tokens."""

    layer: int
    position: str
    top: tuple[Token, ...]


@dataclass(frozen=True)
class Stage:
    """One look-up: what was read, token by token, what came out, and the states on the way."""

    read: tuple[str, ...]
    written: Token
    right: str
    follows: str | None
    """What the graph gives for what was read: something else after a wrong bridge; None where it has no fact."""
    readings: tuple[Reading, ...]


@dataclass(frozen=True)
class Trace:
    """Both stages of one question."""

    question: str
    one: Stage
    two: Stage
    ended: bool
    """The model then wrote the end, as it should."""
    in_training: bool
    """This very question was a training question."""


@dataclass(frozen=True)
class Reasoner:
    """A model that was trained to write the bridge, and the facts that it was trained on."""

    model: Transformer
    graph: Graph
    tokens: StepTokens
    vocabulary: Vocabulary
    trained: frozenset[tuple[int, int, int]]

    def trace(self, question: Question) -> Trace:
        """What the model writes, and what can be read in it.

        Raises UserError for another number of hops than it was trained on, and where the graph has no such chain.
        """
        if len(question.relations) != HOPS:
            raise UserError(
                f"'{question}': got {len(question.relations)} relations, must be {HOPS}: the model was trained on "
                "two-hop questions, and the positions of longer ones have no meaning to it."
            )
        path = follow(self.graph, question)
        if len(path) <= HOPS:
            relation = question.relations[len(path) - 1]
            raise UserError(
                f"'{question}': the graph has no fact ({path[-1]}, {relation}), so there is no "
                f"{'bridge' if len(path) == 1 else 'answer'} to write."
            )
        ids = self.vocabulary.encoded(question)
        prompt = torch.tensor([ids])
        bridge, _, end = generate(self.model, prompt, HOPS + 1)[0].tolist()
        head, *relations = ids
        key = (head, *(relation - self.tokens.n_entity for relation in relations))
        one = self._stage(prompt, ("r1", "r2"), path[1], path[1])
        led = int(self.graph.table[bridge, key[-1]]) if bridge < self.tokens.n_entity else -1
        follows = self.vocabulary.token(led) if led >= 0 else None
        two = self._stage(torch.cat([prompt, torch.tensor([[bridge]])], dim=1), ("r2", "b"), path[2], follows)
        return Trace(str(question), one, two, end == self.tokens.end, key in self.trained)

    @torch.no_grad()
    def _stage(self, tokens: torch.Tensor, labels: tuple[str, str], right: str, follows: str | None) -> Stage:
        here = states(self.model, tokens)
        places = {"r1": 1, "r2": 2, "b": 3}
        readings = tuple(
            Reading(layer, label, self._top(logit_lens(self.model, here[layer][0, places[label]])))
            for layer in range(1, len(here))
            for label in labels
        )
        (first, *_) = self._top(logit_lens(self.model, here[-1][0, -1]))
        return Stage(tuple(map(self.vocabulary.token, tokens[0].tolist())), first, right, follows, readings)

    def _top(self, logits: torch.Tensor) -> tuple[Token, ...]:
        found = logits.softmax(-1).topk(min(TOP, logits.shape[-1]))
        return tuple(
            Token(self.vocabulary.token(token), value)
            for token, value in zip(found.indices.tolist(), found.values.tolist(), strict=True)
        )


def load_reasoner(record: TrialRecord, config: Config) -> Reasoner:
    """The model that a finished trial has left. Raises UserError when it has not finished, is damaged, or is no CoT."""
    if config.form != "cot":
        raise UserError(f"arm '{record.arm}' writes no bridge (form {config.form}), so there are no stages to trace.")
    if not record.is_finished:
        raise UserError(f"{record.path}: not trained yet. Run the same command again to go on.")
    stored, tensors = record.artifact("knowledge"), record.tensors("weights")
    try:
        check(stored, KNOWLEDGE)
        return _known(stored, tensors, config)
    # torch reports weights of another shape as RuntimeError, numpy ids of another shape as ValueError.
    except (ValueError, RuntimeError, OverflowError) as error:
        why = " ".join(str(error).split())[:200]
        raise UserError(
            f"{record.file('knowledge.json')}: damaged, or not of this model ({why}). Train again in a new folder."
        ) from None


def _known(stored: dict[str, Any], tensors: dict[str, torch.Tensor], config: Config) -> Reasoner:
    vocabulary = Vocabulary.from_json(stored["vocabulary"])
    tokens = StepTokens(len(vocabulary.entities), len(vocabulary.relations))
    if len(vocabulary) != tokens.n_token:
        raise ValueError(f"{len(vocabulary)} tokens, must be {tokens.n_token}")
    model = Transformer(config.transformer(tokens.n_token, CONTEXT), torch.Generator())
    model.load_state_dict(tensors)
    trained = frozenset((h, r1, r2) for h, r1, r2 in stored["trained"])
    return Reasoner(model.eval(), graph_of(vocabulary, stored["triples"]), tokens, vocabulary, trained)

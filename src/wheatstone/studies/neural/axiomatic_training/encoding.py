"""How a question becomes a row of integers, and where the model that reads it answers: as statements, or as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from wheatstone.domains.causal import spelling
from wheatstone.domains.causal.closure import Bools, Ints
from wheatstone.domains.causal.encode import rows_of, stacked
from wheatstone.domains.causal.instances import Instances, Rng
from wheatstone.learn.models.statements import StatementTransformer, padding, yes_logit
from wheatstone.learn.models.transformer import Transformer
from wheatstone.learn.sequences import NO_TARGET, Sequences
from wheatstone.studies.neural.axiomatic_training.config import Config


class Encoding(Protocol):
    """One way of showing questions to a model."""

    @property
    def unit(self) -> str:
        """What a position holds, in the plural."""
        ...

    def rows(self, instances: Instances, rng: Rng) -> Ints:
        """[question, pos] with names drawn afresh for each question."""
        ...

    def training(self, groups: Sequence[Ints], answers: Bools) -> Sequences:
        """Rows of several lengths, with the answer at the place where it is asked for."""
        ...

    def model(self, context: int, init: torch.Generator) -> Transformer:
        """A model for rows of at most so many positions."""
        ...

    def says_yes(self, model: Transformer, rows: torch.Tensor) -> Bools:
        """[question] whether yes is likelier than no."""
        ...


@dataclass(frozen=True)
class Statements:
    """A position a statement: kind and two names (`StatementTransformer`). The answer is read at the question."""

    config: Config
    unit: str = "statements"

    def rows(self, instances: Instances, rng: Rng) -> Ints:
        return rows_of(instances, self.config.n_name, rng, self.config.order)

    def training(self, groups: Sequence[Ints], answers: Bools) -> Sequences:
        tokens = stacked(groups, padding(self.config.n_name))
        return _sequences(tokens, np.zeros(len(tokens), np.int64), answers.astype(np.int64))

    def model(self, context: int, init: torch.Generator) -> StatementTransformer:
        return StatementTransformer(self.config.network(self.config.n_name, context), init)

    def says_yes(self, model: Transformer, rows: torch.Tensor) -> Bools:
        assert isinstance(model, StatementTransformer)
        return (yes_logit(model, rows.to(model.embedding.device)) > 0).cpu().numpy()


@dataclass(frozen=True)
class Text:
    """A position a word or a character, the paper's way. The answer is the word after the '?'."""

    config: Config
    unit: str = "tokens"
    batch: int = 512
    """Questions that are answered at once."""

    def rows(self, instances: Instances, rng: Rng) -> Ints:
        separation = self.config.axiom == "d_separation"
        return spelling.spelled(instances, rng, self.config.order, separation=separation)

    def training(self, groups: Sequence[Ints], answers: Bools) -> Sequences:
        tokens = stacked(groups, spelling.PAD)
        return _sequences(tokens, spelling.asked_at(tokens), np.where(answers, spelling.YES, spelling.NO))

    def model(self, context: int, init: torch.Generator) -> Transformer:
        return Transformer(self.config.network(spelling.VOCAB, context), init)

    @torch.no_grad()
    def says_yes(self, model: Transformer, rows: torch.Tensor) -> Bools:
        model.eval()
        at = torch.from_numpy(spelling.asked_at(rows.numpy()))
        device = model.embedding.device
        found: list[torch.Tensor] = []
        for part, place in zip(rows.split(self.batch), at.split(self.batch), strict=True):
            logits = model.unembed(model.resid_at(part.to(device), place.to(device)))
            found.append(logits[:, spelling.YES] > logits[:, spelling.NO])
        return torch.cat(found).cpu().numpy()


def encoding_of(config: Config) -> Encoding:
    """The encoding that the config names."""
    return Text(config) if config.encoding == "text" else Statements(config)


def _sequences(tokens: Ints, at: Ints, answers: Ints) -> Sequences:
    targets = np.full_like(tokens, NO_TARGET)
    targets[np.arange(len(tokens)), at] = answers
    return Sequences(torch.from_numpy(tokens), torch.from_numpy(targets))

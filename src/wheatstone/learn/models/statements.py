"""A transformer over a set of statements: one position for each, with two names in it.

`cause -> effect` written as text costs five tokens and more, and the model first has to learn to put them together.
Here a position holds a whole statement, as its kind and two names; its vector is A e(first) + B e(second) + kind, where
e is one table of names. Position 0 holds the question. Every position sees every other, padding apart: a premise is a
set, and the order of its statements matters only to a model that is given positions.

A statement is one integer (`pack`), so rows of statements go through the training loop as rows of tokens do.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from wheatstone.learn.models.transformer import INIT_STD, Hooks, Mask, Transformer, TransformerConfig, tap

ANSWERS = ("no", "yes")
EDGE, GIVEN, QUESTION, PADDING = range(4)


def pack(kind: int, first: NDArray[np.int64], second: NDArray[np.int64], n_name: int) -> NDArray[np.int64]:
    """Statements as integers: kind, then two names below `n_name`."""
    return (kind * n_name + first) * n_name + second


def padding(n_name: int) -> int:
    """The integer of a position without a statement."""
    return PADDING * n_name * n_name


class StatementTransformer(Transformer):
    """Statements -> logits of `ANSWERS` at any position; the question is asked at position 0.

    `cfg.vocab` is the number of names. Sites, blocks and intervention are those of `Transformer`.
    """

    def __init__(self, cfg: TransformerConfig, init: torch.Generator) -> None:
        super().__init__(cfg, init)
        d_model = cfg.d_model
        self.first = nn.Linear(d_model, d_model, bias=False)
        self.second = nn.Linear(d_model, d_model, bias=False)
        self.kind = nn.Parameter(torch.empty(PADDING + 1, d_model))
        self.unembedding = nn.Parameter(torch.empty(len(ANSWERS), d_model))
        with torch.no_grad():
            # Names have to be told apart by their products from the first step on: unit vectors, and maps that keep
            # their length.
            self.embedding.normal_(0.0, d_model**-0.5, generator=init)
            for matrix in (self.first.weight, self.second.weight):
                matrix.normal_(0.0, d_model**-0.5, generator=init)
            for table in (self.kind, self.unembedding):
                table.normal_(0.0, INIT_STD, generator=init)

    def embed(
        self, tokens: Int[Tensor, "batch pos"], positions: Int[Tensor, " pos"] | None, hooks: Hooks | None
    ) -> tuple[Float[Tensor, "batch pos d_model"], Int[Tensor, " pos"]]:
        """The stream before the first block, and the positions of its columns."""
        n_name = self.cfg.vocab
        if positions is None:
            positions = torch.arange(tokens.shape[1], device=tokens.device)
        pair, kind = tokens % (n_name * n_name), tokens // (n_name * n_name)
        names = self.first(F.embedding(pair // n_name, self.embedding))
        names = names + self.second(F.embedding(pair % n_name, self.embedding))
        x = tap(hooks, "hook_embed", names + F.embedding(kind, self.kind))
        return self.dropout(self.placed(x, positions, hooks)), positions

    def resid(
        self,
        tokens: Int[Tensor, "batch pos"],
        *,
        mask: Mask | None = None,
        positions: Int[Tensor, " pos"] | None = None,
        hooks: Hooks | None = None,
    ) -> Float[Tensor, "batch pos d_model"]:
        """As `Transformer.resid`; without a mask every position sees every statement."""
        mask = self.statements(tokens) if mask is None else mask
        return super().resid(tokens, mask=mask, positions=positions, hooks=hooks)

    def resid_at(
        self,
        tokens: Int[Tensor, "batch pos"],
        at: Int[Tensor, " batch"],
        *,
        mask: Mask | None = None,
        positions: Int[Tensor, " pos"] | None = None,
    ) -> Float[Tensor, "batch d_model"]:
        """As `Transformer.resid_at`; without a mask every position sees every statement."""
        mask = self.statements(tokens) if mask is None else mask
        return super().resid_at(tokens, at, mask=mask, positions=positions)

    def statements(self, tokens: Int[Tensor, "batch pos"]) -> Bool[Tensor, "batch 1 1 pos"]:
        """Which positions hold a statement or the question."""
        return (tokens < padding(self.cfg.vocab))[:, None, None]

    def hidden_matrices(self) -> list[nn.Parameter]:
        """Those of the blocks, and the two maps from names into statements."""
        maps = cast("list[nn.Parameter]", [self.first.weight, self.second.weight])
        return [*super().hidden_matrices(), *maps]


@torch.no_grad()
def yes_logit(
    model: StatementTransformer, rows: Int[Tensor, "question pos"], *, batch: int = 4096
) -> Float[Tensor, " question"]:
    """log odds of yes against no, from the softmax over these two alone."""
    model.eval()
    parts = [model.unembed(model.resid_at(part, part.new_zeros(len(part)))) for part in rows.split(batch)]
    logits = torch.cat(parts) if parts else torch.zeros(0, len(ANSWERS))
    return logits[:, 1] - logits[:, 0]

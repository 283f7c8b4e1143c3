"""A pretrained language model as the studies use it: a decoder, its tokenizer and a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from wheatstone.bench.errors import UserError
from wheatstone.learn.models.decoder import Decoder
from wheatstone.learn.models.transformer import Hook


@runtime_checkable
class Tokenizer(Protocol):
    """Text to token ids and back."""

    @property
    def bos(self) -> int | None:
        """The token that begins a text, where the model knows one."""
        ...

    @property
    def eos(self) -> int | None:
        """The token that ends a text."""
        ...

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, without a token for its begin."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of these ids."""
        ...


@dataclass(frozen=True)
class LanguageModel:
    """A decoder in float32 and its tokenizer."""

    model: Decoder
    tokenizer: Tokenizer
    name: str
    """Where it came from, for reports: a known name, or the file's."""

    @property
    def block_count(self) -> int:
        return self.model.cfg.n_layer

    @property
    def head_count(self) -> int:
        """Query heads of a block."""
        return self.model.cfg.n_head

    @property
    def d_model(self) -> int:
        return self.model.cfg.d_model

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without a token for its begin.

        Raises UserError for a character that the tokenizer has no token for.
        """
        return self.tokenizer.encode(text)

    def decode(self, tokens: Sequence[int]) -> str:
        return self.tokenizer.decode(tokens)

    def token(self, text: str) -> int:
        """The one token of `text`.

        Raises UserError that shows the pieces when there are several.
        """
        ids = self.encode(text)
        if len(ids) != 1:
            pieces = " ".join(repr(self.decode([i])) for i in ids) or "none"
            raise UserError(f"{text!r} is {len(ids)} tokens for {self.name}, must be one: {pieces}")
        return ids[0]

    @torch.no_grad()
    def logits(
        self, tokens: Int[Tensor, "batch pos"], hooks: Mapping[str, Hook] | None = None
    ) -> Float[Tensor, "batch pos vocab"]:
        """Next-token logits at every position.

        Raises UserError for more positions than the model has.
        """
        if tokens.shape[1] > self.model.cfg.context:
            raise UserError(
                f"{self.name}: {tokens.shape[1]} tokens do not fit into its {self.model.cfg.context} positions"
            )
        return self.model(tokens, hooks=hooks)

"""Training data as two integer tensors: tokens, and at each position the token to predict there (or none).

Two layouts of the same questions:

`padded`          one question a row, padded on the right; under a causal mask padding changes nothing.
`shared_prefix`   questions that begin alike share the row of their prefix. The row `h r1 | r2 r2' r2''` holds three
                  two-hop questions; a mask hides the last tokens from each other and all stand at position 2, so each
                  gets exactly the logits of its own row `h r1 r2`. Twelve questions on one prefix cost 14 positions
                  instead of 36, and the position of r1 doubles as the one-hop question `h r1`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

NO_TARGET = -100

Ids = NDArray[np.integer]


@dataclass(frozen=True)
class Sequences:
    """Rows of tokens with the targets to predict; one mask and one position vector serve all rows."""

    tokens: Int[Tensor, "row pos"]
    targets: Int[Tensor, "row pos"]
    """Token to predict at each position; NO_TARGET where none is."""
    mask: Bool[Tensor, "pos pos"] | None = None
    """Which keys a query sees; None is causal."""
    positions: Int[Tensor, " pos"] | None = None
    """Position of each column; None is 0, 1, 2, ..."""

    def __len__(self) -> int:
        return len(self.tokens)

    def single_targets(self) -> Int[Tensor, " row"] | None:
        """The position of each row's only target; None when some row has none or several."""
        asked = self.targets != NO_TARGET
        return asked.int().argmax(1) if bool((asked.sum(1) == 1).all()) else None

    def target_positions(self) -> Int[Tensor, "row asked"] | None:
        """The positions of each row's targets in order; None when rows differ in how many they have."""
        asked = self.targets != NO_TARGET
        counts = asked.sum(1)
        return asked.nonzero()[:, 1].view(len(asked), -1) if bool((counts == counts[0]).all()) else None

    @property
    def n_target(self) -> int:
        """Number of predictions asked for."""
        return int((self.targets != NO_TARGET).sum())

    def to(self, device: torch.device | str) -> Sequences:
        mask = None if self.mask is None else self.mask.to(device)
        positions = None if self.positions is None else self.positions.to(device)
        return Sequences(self.tokens.to(device), self.targets.to(device), mask, positions)


def padded(prompts: Sequence[Ids], answers: Sequence[Ids], *, pad: int = 0) -> Sequences:
    """Groups of prompts of equal length, `prompts[g]` [question, pos] with one answer token each, as padded rows.

    The answer is predicted at the last token of the prompt.
    """
    length = max(group.shape[1] for group in prompts)
    tokens = np.full((sum(len(group) for group in prompts), length), pad, np.int64)
    targets = np.full_like(tokens, NO_TARGET)
    row = 0
    for group, answer in zip(prompts, answers, strict=True):
        rows = slice(row, row + len(group))
        tokens[rows, : group.shape[1]] = group
        targets[rows, group.shape[1] - 1] = answer
        row += len(group)
    return Sequences(torch.from_numpy(tokens), torch.from_numpy(targets))


def shared_prefix(
    prefixes: Ids, prefix_answers: Ids, last: Ids, answers: Ids, owner: Ids, *, width: int, pad: int = 0
) -> Sequences:
    """Questions `prefix + last token` grouped by prefix, at most `width` of them a row.

    Arguments:
        prefixes: [prefix, pos] token ids of each distinct prefix.
        prefix_answers: [prefix] the answer to the prefix read as a question of its own; NO_TARGET for none.
        last, answers: [question] the last token and the answer of each question.
        owner: [question] the index of its prefix.
        width: questions a row; a prefix with more gets several rows, and only the first asks the prefix itself.
    """
    n_prefix, p = prefixes.shape
    order = np.argsort(owner, kind="stable")
    count = np.bincount(owner, minlength=n_prefix)
    rank = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)  # 0, 1, ... within the prefix
    rows_of = np.maximum(1, -(-count // width))
    first_row = np.cumsum(rows_of) - rows_of
    n_row = int(rows_of.sum())
    tokens = np.full((n_row, p + width), pad, np.int64)
    targets = np.full_like(tokens, NO_TARGET)
    tokens[:, :p] = np.repeat(prefixes, rows_of, axis=0)
    targets[first_row, p - 1] = prefix_answers
    row, column = first_row[owner[order]] + rank // width, p + rank % width
    tokens[row, column] = last[order]
    targets[row, column] = answers[order]

    mask = torch.zeros(p + width, p + width, dtype=torch.bool)
    mask[:, :p] = True
    mask[:p, :p] = mask[:p, :p].tril()
    mask |= torch.eye(p + width, dtype=torch.bool)
    positions = torch.cat((torch.arange(p), torch.full((width,), p)))
    return Sequences(torch.from_numpy(tokens), torch.from_numpy(targets), mask, positions)

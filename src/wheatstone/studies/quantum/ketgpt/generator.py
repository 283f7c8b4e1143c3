"""The generator: a transformer on circuit tokens, its training rows, its loss, and drawing circuits from it.

Several circuits share a training row, each beginning with START; positions are rotary, so a circuit means the same
wherever it stands in its row. Of each circuit the rows hold several copies, some with their qubits renumbered where the
settings ask for it: a generator that knows an algorithm knows it under any names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wheatstone.bench.checkpoint import read_tensors, write_tensors
from wheatstone.bench.errors import UserError
from wheatstone.domains.quantum.circuit_text import (
    END,
    HEADER,
    LONGEST_GATE,
    PAD,
    START,
    UNKNOWN,
    CircuitText,
    Lines,
    Room,
    Words,
    text_from,
)
from wheatstone.domains.quantum.corpus import Split
from wheatstone.domains.quantum.program import Op, Program
from wheatstone.learn.generation import Allowed, Draw, generate
from wheatstone.learn.models.transformer import Transformer, TransformerConfig
from wheatstone.learn.sequences import NO_TARGET, Sequences
from wheatstone.learn.training import Training

if TYPE_CHECKING:
    from wheatstone.bench.run import Trial
    from wheatstone.studies.quantum.ketgpt.config import Config

MODEL = "model"
AT_ONCE = 256
"""Circuits that are drawn together."""
STAGE = 48
"""Tokens that are drawn before finished circuits leave the batch."""
MONITORED = 24
"""Unseen circuits whose loss is followed during training."""


class Loss(NamedTuple):
    """Mean loss of circuits."""

    nats_per_token: float
    nats_per_word: float
    """Total loss over gates, operands and angles, whatever the tokens are."""
    unknown: float
    """Share of the tokens that the vocabulary does not have."""


@dataclasses.dataclass(frozen=True)
class Generator:
    """A trained network with its tokens."""

    model: Transformer
    text: CircuitText
    sizes: tuple[tuple[int, int], ...]
    """(qubits, gates) of the training circuits, from which sizes are drawn."""

    @property
    def context(self) -> int:
        return self.model.cfg.context

    def drawn(
        self,
        sizes: Sequence[int],
        draw: Draw,
        families: Sequence[str] = (),
        *,
        constrained: bool = True,
        least: int = 1,
        most: int | None = None,
        prefix: Sequence[Op] = (),
        note: Callable[[int, int], None] | None = None,
    ) -> list[tuple[int, tuple[Op, ...]]]:
        """(qubits, gates) of one new circuit a register size; without the grammar anything may come out.

        `families` are those of the circuits (any when empty), `prefix` are gates that every circuit begins with; `note`
        is told (circuits done, circuits). Raises UserError when the prefix leaves no room.
        """
        found: list[tuple[int, tuple[Op, ...]]] = []
        room = Room(self.context, least, most)

        def grammar(sequences: Tensor) -> Tensor:
            return self.text.allowed(sequences, room)

        for start in range(0, len(sizes), AT_ONCE):
            part = range(start, min(start + AT_ONCE, len(sizes)))
            wanted = [Program(sizes[place], tuple(prefix), families[place] if families else "") for place in part]
            prompts = torch.tensor([self.text.encode(one, named=True)[:-1] for one in wanted])
            if bool((prompts == UNKNOWN).any()):
                raise UserError("the first gates have a statement that this model's vocabulary lacks.")
            if self.context - prompts.shape[1] < LONGEST_GATE + 1:
                raise UserError(f"{prompts.shape[1]} tokens of first gates leave no room in {self.context}.")
            rows = self._completed(prompts, draw, grammar if constrained else None)
            found += [self.text.decode(row) for row in rows]
            if note is not None:
                note(len(found), len(sizes))
        return found

    def _completed(self, prompts: Tensor, draw: Draw, grammar: Allowed | None) -> list[list[int]]:
        """The prompts' rows up to END. Finished ones leave the batch after every stage: most circuits are short."""
        rows: list[list[int]] = [[] for _ in prompts]
        places, live = torch.arange(len(prompts)), prompts
        while len(live):
            steps = min(STAGE, self.context - live.shape[1])
            live = torch.cat((live, generate(self.model, live, steps, draw=draw, stop=END, allowed=grammar)), 1)
            is_done = (live[:, -1] == END) | (live.shape[1] == self.context)
            for place, row in zip(places[is_done].tolist(), live[is_done].tolist(), strict=True):
                rows[place] = row
            places, live = places[~is_done], live[~is_done]
        return rows

    def save(self, path: Path) -> None:
        """One file: weights, vocabulary and sizes."""
        record = {"config": dataclasses.asdict(self.model.cfg), "text": self.text.to_json(), "sizes": self.sizes}
        write_tensors(path, self.model.state_dict(), record)

    @classmethod
    def load(cls, path: Path) -> Generator:
        """What `save` wrote.

        Raises UserError for any other file.
        """
        try:
            tensors, record = read_tensors(path)
            config = TransformerConfig(**record["config"])
            text = text_from(record["text"])
            sizes = tuple((int(n), int(gates)) for n, gates in record["sizes"])
            if tuple(tensors["embedding"].shape) != (config.vocab, config.d_model) or config.n_layer > len(tensors):
                raise ValueError("its weights are not of the size that it names")
            model = Transformer(config, torch.Generator())
            model.load_state_dict(tensors)
        except FileNotFoundError:
            raise UserError(f"{path}: no such file. A model is a run directory or its '{MODEL}.safetensors'.") from None
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as fault:
            raise UserError(f"{path}: not a model of ketgpt ({str(fault)[:80]}).") from None
        if config.vocab != text.size or not sizes:
            raise UserError(f"{path}: not a model of ketgpt (its vocabulary and its weights differ in size).")
        return cls(model.eval(), text, sizes)


def text_for(config: Config, training: Sequence[Program]) -> CircuitText:
    """The vocabulary that the settings ask for."""
    families = sorted({one.family for one in training}) if config.named else []
    if config.tokens == "words":
        return Words(config.max_qubits, families)
    return Lines.of(training, config.max_qubits, families)


def trained(trial: Trial[Config], text: CircuitText, split: Split) -> Generator:
    """A network trained on the split's training circuits; metrics, progress and checkpoints go to the trial."""
    config = trial.config
    longest = max(len(text.encode(one)) for one in (*split.train, *split.files, *split.other_families))
    shape = dataclasses.replace(config.transformer(text.size, longest + LONGEST_GATE), positions="rotary")
    model = Transformer(shape, torch.Generator().manual_seed(trial.seed_for("init")))
    rows = packed(copies(split.train, text, config, trial.rng("copies")), shape.context)
    watched = {"files": split.files[:MONITORED], "families": split.other_families[:MONITORED]}

    def evaluate(current: Transformer) -> dict[str, float]:
        return {f"nats_{name}": loss(current, text, known).nats_per_token for name, known in watched.items() if known}

    Training(model, rows, config.fitting(), order_seed=trial.seed_for("order"), evaluate=evaluate, keeper=trial).fit()
    return Generator(model, text, tuple((one.n, len(one.ops)) for one in split.train))


def copies(training: Sequence[Program], text: CircuitText, config: Config, rng: np.random.Generator) -> list[list[int]]:
    """Token rows of `config.copies` copies of every circuit, in random order within each round."""
    found: list[list[int]] = []
    for _ in range(config.copies):
        for place in rng.permutation(len(training)):
            one = training[place]
            if config.tokens == "words" and rng.random() < config.relabelled:
                one = one.relabelled(list(map(int, rng.permutation(one.n))))
            found.append(text.encode(one, named=rng.random() < config.named))
    return found


def packed(rows: Sequence[Sequence[int]], width: int) -> Sequences:
    """Rows of `width` positions that hold whole circuits one behind the other, each where there is room first."""
    bins: list[list[int]] = []
    open_bins: list[int] = []
    for row in rows:
        place = next((place for place in open_bins if len(bins[place]) + len(row) <= width), None)
        if place is None:
            place = len(bins)
            bins.append([])
            open_bins = [*open_bins, place][-8:]
        bins[place] += row
    tokens = torch.full((len(bins), width + 1), PAD)
    for place, row in enumerate(bins):
        tokens[place, : len(row)] = torch.tensor(row)
    targets = tokens[:, 1:].clone()
    given = tokens[:, :-1] == START  # the family is given, and one further on the register
    given[:, 1:] |= tokens[:, :-2] == START
    targets[(targets == PAD) | (targets == START) | given] = NO_TARGET
    return Sequences(tokens[:, :-1].contiguous(), targets)


@torch.no_grad()
def loss(model: Transformer, text: CircuitText, programs: Sequence[Program]) -> Loss:
    """Mean loss over all tokens behind the header, one circuit a row."""
    total, count, unknown = 0.0, 0, 0
    words = sum(1 + len(op.qubits) + len(op.angles) for one in programs for op in one.ops) + len(programs)
    encoded = sorted((text.encode(one) for one in programs), key=len)
    for start in range(0, len(encoded), 16):
        part = encoded[start : start + 16]
        tokens = torch.full((len(part), max(map(len, part))), PAD)
        for row, one in zip(tokens, part, strict=True):
            row[: len(one)] = torch.tensor(one)
        logits = model(tokens[:, :-1])[:, HEADER - 1 :]
        wanted = tokens[:, HEADER:]
        total += _summed(logits, wanted)
        count += int((wanted != PAD).sum())
        unknown += int((wanted == UNKNOWN).sum())
    if not count:
        return Loss(*[float("nan")] * 3)
    return Loss(total / count, total / words, unknown / count)


def _summed(logits: Tensor, wanted: Tensor) -> float:
    flat: Any = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=PAD, reduction="sum")
    return float(flat)

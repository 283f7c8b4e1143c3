"""The settings of the study: which model and text, which dictionaries, how they are trained and examined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt

from wheatstone.bench.errors import UserError
from wheatstone.interp.transcoders.dictionary import Activation, DictionaryConfig, Kind
from wheatstone.interp.transcoders.training import TrainConfig


@dataclass(frozen=True)
class Config:
    """One arm: dictionaries of one kind on some layers of one model."""

    subject: Literal["language", "planted"] = "language"
    """A language model, or the toy whose features are known."""
    model: str = "stories260K"
    """Name or path of the model; `small` is one with random weights, made on the spot (paper: GPT-2, Pythia)."""
    random_weights: bool = False
    """Shuffle each weight matrix of the model: a control for features that look meaningful in any network."""
    text: str = ""
    """WIKITEXT is that text in the data folder, INPUT the run's copy of a user's file, anything else a path; nothing
    means the model's own samples."""
    begin: bool = True
    """Begin every row with the model's begin of text."""
    layers: str = "all"
    """Layers, as `2` or `0,3`, or all."""
    kind: Kind = "transcoder"
    """What the dictionaries read: the feed-forward layer's input, or its output (sae)."""
    activation: Activation = "topk"
    """relu (paper), topk, batchtopk or jumprelu."""
    levels: str = "32"
    """Sparsity of each dictionary trained: active features a token, or weights of the L1 penalty for relu. The first
    one decides the claims, all are in the curve."""
    skip: bool = False
    """Also an affine path from input to output."""
    n_features: Annotated[int, Gt(0)] = 1024
    """Features of a dictionary (paper: 24 576)."""
    trained: bool = True
    """Whether the dictionaries are trained; False leaves them random, with the layer's mean as bias."""
    tokens: Annotated[int, Gt(0)] = 80_000
    """Tokens to train on (paper: 60 million)."""
    held_out: Annotated[int, Gt(0)] = 8_000
    """Tokens of other documents to evaluate on."""
    context: Annotated[int, Gt(3)] = 200
    """Tokens of a row (paper: 128)."""
    steps: Annotated[int, Gt(0)] = 1500
    """Optimiser steps of each dictionary."""
    batch: Annotated[int, Gt(0)] = 256
    """Tokens a step (paper: 4096)."""
    lr: Annotated[float, Gt(0)] = 2e-3
    """Peak learning rate of Adam, in standardised units (paper: 4e-4)."""
    sparsity: Annotated[float, Ge(0)] = 0.1
    """Weight of the jumprelu penalty (L0 / k - 1)^2."""
    prompt: str = ""
    """The prompt whose graph is drawn; the begin of a held-out row when empty."""
    prompts: Annotated[int, Ge(0)] = 6
    """Held-out prompts whose circuits are traced and checked; 0 traces none."""
    prompt_length: Annotated[int, Gt(2)] = 24
    """Tokens of a traced prompt."""
    cards: Annotated[int, Ge(0)] = 8
    """Features drawn at random for cards."""
    neurons: bool = False
    """Also keep only the largest neurons of a token, as many as active features, in place of a dictionary."""
    greater_than: bool = False
    """Also the greater-than task, on the first layer."""

    @property
    def level_values(self) -> tuple[float, ...]:
        """The levels as numbers. Raises UserError for what is none."""
        return tuple(_number(part, self.levels, "levels") for part in self.levels.split(","))

    def dictionary(self, d_model: int, level: float) -> DictionaryConfig:
        """The dictionary of a level. Raises UserError for a level that fits no dictionary."""
        k = 0 if self.activation == "relu" else int(level)
        try:
            return DictionaryConfig(d_model, d_model, self.n_features, self.kind, self.activation, k, self.skip)
        except ValueError as error:
            raise UserError(f"levels: {error}") from None

    def training(self, level: float) -> TrainConfig:
        """The training of a level."""
        sparsity = {"relu": level, "jumprelu": self.sparsity}.get(self.activation, 0.0)
        return TrainConfig(self.steps, self.batch, self.lr, warmup=max(1, self.steps // 20), sparsity=sparsity)

    def layer_numbers(self, depth: int) -> tuple[int, ...]:
        """The layers of a model with `depth` blocks. Raises UserError for one that it does not have."""
        if self.layers == "all":
            return tuple(range(depth))
        found = tuple(int(_number(part, self.layers, "layers")) for part in self.layers.split(","))
        for layer in found:
            if not 0 <= layer < depth:
                raise UserError(f"layers: got {layer}, must be from 0 to {depth - 1}: the model has {depth} layers")
        return tuple(sorted(set(found)))


def _number(part: str, whole: str, field: str) -> float:
    try:
        value = float(part)
    except ValueError:
        raise UserError(f"{field}: got '{whole}', must be numbers with commas between them") from None
    if value < 0:
        raise UserError(f"{field}: got {part}, must not be negative")
    return value

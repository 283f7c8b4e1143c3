"""The model of a trial, its text, and the activations of its feed-forward layers.

Own samples and the activations of a named text are kept in the cache (`<cache>/transcoders`): all arms of a run and all
runs share them. What is kept is named after the weights and the text, so nothing stale is ever read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from wheatstone.bench.checkpoint import read_tensors, write_tensors
from wheatstone.bench.errors import UserError
from wheatstone.bench.files import hold
from wheatstone.domains.data import require_file
from wheatstone.domains.kg.catalogue import cache_folder
from wheatstone.domains.lm import load_model
from wheatstone.domains.lm.corpus import own_samples, read_documents
from wheatstone.interp.transcoders.store import LayerStore, Split, collect, cut_documents, fingerprint
from wheatstone.learn.models.decoder import Decoder, DecoderConfig
from wheatstone.learn.models.language_model import LanguageModel
from wheatstone.learn.models.loading.tokenizers import NumberTokenizer
from wheatstone.studies.neural.transcoders.config import Config

SMALL = "small"
WIKITEXT, INPUT = "WIKITEXT", "INPUT"
TEXT = "text"
"""The run's input that INPUT stands for."""
WIKITEXT_FILE = "tasks/wikitext2_valid.txt"
SMALL_WEIGHTS_SEED = 260
SMALL_GAIN = 12.0
"""Times GPT-2's first weights: at those every next token is as probable as any other."""
LEAST_ROWS = 2


@dataclass(frozen=True)
class Subject:
    """A model, rows of text for both sides, and what identifies them."""

    model: LanguageModel
    rows: Split
    layers: tuple[int, ...]
    identity: str
    is_kept: bool
    """Activations are worth keeping on disk."""

    def words(self, tokens: Sequence[int]) -> str:
        """Tokens as text on one line."""
        return self.model.decode(tokens).replace("\n", "⏎")

    def stores(self, progress: Callable[[int, int], None] | None = None) -> dict[int, LayerStore]:
        """Inputs and outputs of all layers on the training rows."""
        if not self.is_kept:
            return collect(self.model.model, self.rows.train, self.layers, progress=progress)
        key = hashlib.sha256(f"{self.identity}/{self.layers}".encode() + self.rows.train.numpy().tobytes()).hexdigest()
        folder = cache_folder() / "transcoders" / key[:16]
        folder.parent.mkdir(parents=True, exist_ok=True)
        with hold(folder.with_suffix(".lock"), lambda who: f"{folder}: {who} is collecting it", patience=1800):
            return collect(
                self.model.model, self.rows.train, self.layers, folder=folder, identity=self.identity, progress=progress
            )


def subject_of(config: Config, text_seed: int, given: Path | None = None) -> Subject:
    """The model and text of a config; `text_seed` draws the model's own samples, `given` is the user's text.

    Raises UserError for a model that is not there, a layer that it does not have, or a text that is too short.
    """
    model = named_model(config.model)
    layers = config.layer_numbers(model.block_count)
    if config.context > model.model.cfg.context:
        raise UserError(f"context: got {config.context}, {model.name} has {model.model.cfg.context} positions")
    # Samples are the intact model's also where its weights are shuffled: both then read the same text.
    rows = _rows(model, config, text_seed, given)
    if config.random_weights:
        model = shuffled(model)
    return Subject(model, rows, layers, fingerprint(model.model.state_dict()), bool(config.text))


def named_model(name: str) -> LanguageModel:
    """The model of that name or path, or the small one with random weights."""
    return small_model() if name == SMALL else load_model(name)


def small_model() -> LanguageModel:
    """A decoder of two layers with large random weights: for trying things where no trained model is at hand."""
    cfg = DecoderConfig(
        vocab=48, context=64, d_model=24, n_layer=2, n_head=4, n_kv_head=2, d_head=6, d_mlp=48, norm_eps=1e-5, tied=True
    )
    model = Decoder(cfg, torch.Generator().manual_seed(SMALL_WEIGHTS_SEED))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(SMALL_GAIN)
    return LanguageModel(model.requires_grad_(False).eval(), NumberTokenizer(cfg.vocab, SMALL), SMALL)


def shuffled(model: LanguageModel) -> LanguageModel:
    """The same model with the entries of each weight matrix in random order: same sizes, nothing learnt."""
    generator = torch.Generator().manual_seed(0)
    state = {
        name: one.flatten()[torch.randperm(one.numel(), generator=generator)].view_as(one) if one.ndim == 2 else one
        for name, one in model.model.state_dict().items()
    }
    decoder = Decoder(model.model.cfg)
    decoder.load_state_dict(state, assign=True)
    return LanguageModel(decoder.requires_grad_(False).eval(), model.tokenizer, f"{model.name}, weights shuffled")


def text_path(config: Config, given: Path | None) -> Path:
    """Where the text of a config lies. Raises UserError when it is not there."""
    if config.text == WIKITEXT:
        return require_file(WIKITEXT_FILE, "WikiText-2's validation text")
    if config.text == INPUT:
        if given is None:
            raise UserError("text: INPUT is the copy of a file in a run; this one has none")
        return given
    return Path(config.text)


def _rows(model: LanguageModel, config: Config, text_seed: int, given: Path | None) -> Split:
    if not config.text:
        return _samples(model, config, text_seed)
    path = text_path(config, given)
    bos = model.tokenizer.bos if config.begin else None
    documents = [model.encode(document) for document in read_documents(path)]
    try:
        return cut_documents(documents, config.context, bos, config.tokens, config.held_out)
    except UserError as error:
        raise UserError(f"{path}: {str(error).removeprefix('text: ')}") from None


def _samples(model: LanguageModel, config: Config, text_seed: int) -> Split:
    """Rows that the model wrote: each a document of its own."""
    sizes = [max(LEAST_ROWS, -(-count // config.context)) for count in (config.held_out, config.tokens)]
    # Held-out rows come first from a stream of their own, so that more training text leaves them as they are.
    parts = [_sampled(model, n, config.context, text_seed + side) for side, n in enumerate(sizes)]
    return Split(train=parts[1], held_out=parts[0])


def _sampled(model: LanguageModel, n: int, length: int, seed: int) -> Int[Tensor, "row pos"]:
    weights = fingerprint(model.model.state_dict())
    name = hashlib.sha256(f"{weights}/{n}/{length}/{seed}".encode()).hexdigest()[:16]
    path = cache_folder() / "transcoders" / f"samples-{name}.safetensors"
    try:
        return read_tensors(path)[0]["rows"]
    except (FileNotFoundError, UserError, KeyError):
        rows = own_samples(model, n, length, torch.Generator().manual_seed(seed))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, {"rows": rows}, {})
        return rows

"""Trained dictionaries as the verbs find them: in a run of this study, or in folders of SAELens's layout."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from wheatstone.bench.errors import UserError
from wheatstone.bench.record import TrialRecord
from wheatstone.bench.run import Run
from wheatstone.bench.trial import derived_seed
from wheatstone.domains.lm.corpus import own_samples
from wheatstone.interp.transcoders.anatomy import Anatomy
from wheatstone.interp.transcoders.dictionary import Dictionary
from wheatstone.interp.transcoders.files import CONFIG, load_dictionary, save_dictionary
from wheatstone.interp.transcoders.frozen import Frozen, Reading
from wheatstone.interp.transcoders.replacement import check_fit
from wheatstone.interp.transcoders.store import Split
from wheatstone.learn.models.language_model import LanguageModel
from wheatstone.studies.neural.transcoders.checks import prediction
from wheatstone.studies.neural.transcoders.config import Config
from wheatstone.studies.neural.transcoders.experiment import Job, dictionary_from
from wheatstone.studies.neural.transcoders.subject import INPUT, TEXT, Subject, named_model, subject_of

NAME = "transcoders"
FEATURE = re.compile(r"L(\d+)\.f(\d+)@(-?\d+)")
SAMPLE_ROWS, SAMPLE_LENGTH = 24, 200


@dataclass(frozen=True)
class Source:
    """A model and dictionaries of some of its layers."""

    model: LanguageModel
    dictionaries: Mapping[int, Dictionary]
    begin: bool
    """Rows begin with the model's begin of text."""
    config: Config | None
    text_seed: int
    given: Path | None

    def subject(self) -> Subject:
        """The model with its text; samples of the model where a folder of dictionaries comes without one."""
        if self.config is not None:
            return subject_of(self.config, self.text_seed, self.given)
        length = min(SAMPLE_LENGTH, self.model.model.cfg.context)
        rows = own_samples(self.model, SAMPLE_ROWS, length, torch.Generator().manual_seed(0))
        return Subject(self.model, Split(rows[:0], rows), tuple(self.dictionaries), self.model.name, is_kept=False)

    def encode(self, prompt: str) -> list[int]:
        """Tokens of a prompt, with the begin of text where the dictionaries were trained with one.

        Raises UserError for a prompt of fewer than two tokens or of more than the model takes.
        """
        bos = self.model.tokenizer.bos if self.begin else None
        ids = ([] if bos is None else [bos]) + self.model.encode(prompt)
        if not 2 <= len(ids) <= self.model.model.cfg.context:
            raise UserError(
                f"prompt: {len(ids)} tokens, must be from 2 to {self.model.model.cfg.context}: the first position is "
                "not modelled"
            )
        return ids


def load_source(place: Path, model: str | None = None, arm: str | None = None, seed: int | None = None) -> Source:
    """The dictionaries of a run (its first arm and seed when none are named), or below a folder.

    Raises UserError when there are none, for a run that has not finished, and for dictionaries of another model.
    """
    if place.name == CONFIG:
        place = place.parent
    if (place / "run.json").is_file():
        return _from_run(place, arm, seed)
    folders = [place] if (place / CONFIG).is_file() else sorted(one.parent for one in place.glob(f"*/{CONFIG}"))
    if not folders:
        raise UserError(
            f"{place}: holds neither a run nor dictionaries (folders with {CONFIG}). Make them: wheatstone apply "
            f"{NAME} train MODEL"
        )
    stored = [(folder, load_dictionary(folder)) for folder in folders]
    name = model or str(stored[0][1].metadata.get("model_name", ""))
    if not name:
        raise UserError(f"{folders[0] / CONFIG}: names no model. Name it with --model.")
    loaded = named_model(name)
    dictionaries: dict[int, Dictionary] = {}
    for folder, one in stored:
        if one.layer is None or not 0 <= one.layer < loaded.block_count:
            raise UserError(
                f"{folder / CONFIG} field 'hook_name': names no layer of {loaded.name}, which has {loaded.block_count}"
            )
        check_fit(one.dictionary, loaded.d_model, str(folder))
        dictionaries[one.layer] = one.dictionary
    begin = bool(stored[0][1].metadata.get("prepend_bos", True))
    return Source(loaded, dictionaries, begin, None, 0, None)


def _from_run(place: Path, arm: str | None, seed: int | None) -> Source:
    from wheatstone.bench.registry import load

    run = Run.open(place)
    if run.study_name != NAME:
        raise UserError(f"{place}: a run of '{run.study_name}'. Make one: wheatstone apply {NAME} train MODEL")
    record = run.trial(run.arms[0] if arm is None else arm, run.seeds[0] if seed is None else seed)
    config = record.config(load(NAME))
    if config.subject != "language":
        raise UserError(f"{place}: arm '{record.arm}' is the planted toy, which has no text")
    model = named_model(config.model)
    dictionaries = dictionaries_of(record, config, model)
    given = run.input(TEXT) if config.text == INPUT else None
    text_seed = (int.from_bytes(derived_seed(record.seed, "text")[:8], "little") >> 1) % 2**32
    return Source(model, dictionaries, config.begin, config, text_seed, given)


def dictionaries_of(record: TrialRecord, config: Config, model: LanguageModel) -> dict[int, Dictionary]:
    """The dictionaries of the first level that a finished trial has left."""
    if not record.is_finished:
        raise UserError(f"{record.path}: not trained yet. Run the same command again to go on.")
    tensors, level = record.tensors("dictionaries"), config.level_values[0]
    return {
        layer: dictionary_from(tensors, f"{Job(layer, level).name}/", config.dictionary(model.d_model, level))
        for layer in config.layer_numbers(model.block_count)
    }


def export(source: Source, folder: Path, model: str) -> list[Path]:
    """Writes every dictionary in SAELens's layout, one folder a layer; returns the folders."""
    found: list[Path] = []
    for layer, dictionary in source.dictionaries.items():
        found.append(folder / f"layer-{layer}")
        save_dictionary(found[-1], dictionary, layer=layer, model=model, prepend_bos=source.begin)
    return found


def parse_target(target: str, source: Source, frozen: Frozen) -> Reading:
    """`" Mary- John"`, one token (against the mean of all), or `L8.f123@-1`; a logit is that of the last position.

    Raises UserError for a part that is not one token (with its pieces), and for a feature that is not there.
    """
    last = len(frozen.tokens) - 1
    if match := FEATURE.fullmatch(target.strip()):
        layer, feature, position = (int(part) for part in match.groups())
        at = position + len(frozen.tokens) if position < 0 else position
        dictionary = source.dictionaries.get(layer)
        if dictionary is None:
            raise UserError(f"target {target}: layer {layer} has no transcoder; there are {_list(source.dictionaries)}")
        if feature >= dictionary.cfg.n_features:
            raise UserError(f"target {target}: feature {feature}, must be below {dictionary.cfg.n_features}")
        if not 1 <= at <= last:
            raise UserError(f"target {target}: position {position} is not one of the {last + 1} tokens but the first")
        return frozen.feature(layer, at, feature)
    return frozen.logits(direction(target, source.model, frozen.anatomy), last, f"logit {target!r}")


def direction(target: str, model: LanguageModel, anatomy: Anatomy) -> Tensor:
    """The unembedding direction of a target: A-B, or A against the mean of all tokens."""
    rows = anatomy.unembedding
    # The first dash that leaves a token on either side separates them, so that '-' itself can be named.
    pairs = [
        (target[:i], target[i + 1 :]) for i, letter in enumerate(target) if letter == "-" and 0 < i < len(target) - 1
    ]
    for left, right in pairs:
        if len(_pieces(model, left)) == len(_pieces(model, right)) == 1:
            return rows[_pieces(model, left)[0]] - rows[_pieces(model, right)[0]]
    if pairs:
        return rows[_token(model, pairs[0][0])] - rows[_token(model, pairs[0][1])]
    return rows[_token(model, target)] - rows.mean(0)


def _pieces(model: LanguageModel, text: str) -> list[int]:
    """Tokens of a word. Some tokenizers put a space before every text: theirs is then the one that was typed."""
    ids = model.encode(text)
    if len(ids) > 1 and text.startswith(" ") and model.decode(ids[:1]) == " ":
        shorter = model.encode(text[1:])
        return shorter if model.decode(shorter).startswith(" ") else ids
    return ids


def _token(model: LanguageModel, text: str) -> int:
    """The one token of `text`. Raises UserError that shows the pieces when there are several."""
    ids = _pieces(model, text)
    return ids[0] if len(ids) == 1 else model.token(text)


def predicted_target(frozen: Frozen, source: Source) -> Reading:
    """The model's top prediction against the runner-up."""
    reading, _ = prediction(frozen, source.model.model)
    first, second = (source.model.decode([int(token)]) for token in reading.name.split("-"))
    return dataclasses.replace(reading, name=f"logit {first!r} over {second!r}")


def _list(layers: Sequence[int] | Mapping[int, object]) -> str:
    return ", ".join(map(str, sorted(layers)))

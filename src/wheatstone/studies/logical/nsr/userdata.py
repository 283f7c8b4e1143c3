"""A user's own pairs: sentences of any words, answers that are all lists of tokens or all whole numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from wheatstone.bench.errors import Fault, InputError, UserError, did_you_mean
from wheatstone.domains.sequences.pairs import Numbered, Pair, numbered_pairs
from wheatstone.studies.logical.nsr.config import Config
from wheatstone.studies.logical.nsr.tasks import Task, as_list, as_number, encoded

if TYPE_CHECKING:
    from wheatstone.bench.record import TrialRecord
    from wheatstone.bench.run import Run

EXAMPLES, ARITIES, TESTS = "examples", "arities", "test"
"""The run's inputs."""
LEAST = 4
"""Examples without which there is nothing to learn."""
LONGEST = 100
"""Words of a sentence at most: trees of longer ones are hopeless to find."""


def own_task(
    examples: Path, config: Config, rng: np.random.Generator, *, arities: Path | None = None, test: Path | None = None
) -> Task:
    """The user's pairs as a task; without a test file a share of the distinct sentences is kept out of training.

    Raises InputError and UserError for whatever the files get wrong.
    """
    pairs = _checked(examples, config.numbers)
    if test is None:
        train, asked = _parted(pairs, config.held_out, rng)
    else:
        train, asked = pairs, _checked(test, config.numbers)
        _require_known(train, numbered_pairs(test), test.name)
    names = tuple(sorted({word for pair in pairs for word in pair.source}))
    parts = {"train": train, "validation": asked, "test": asked}
    sentences = encoded(names, parts, as_number if config.numbers else as_list)
    return Task(
        names=names,
        arities=(None,) * len(names) if arities is None else load_arities(arities, names),
        train=sentences.pop("train"),
        tests=sentences,
        pairs=parts,
        main=("test",),
        extra=arities is not None,
    )


def answers_are_numbers(path: Path, wanted: Literal["auto", "lists", "numbers"]) -> bool:
    """Whether the answers of a file are whole numbers; in doubt only what `wanted` says counts.

    Raises InputError when some answers are one whole number and others are not.
    """
    if wanted != "auto":
        return wanted == "numbers"
    pairs = numbered_pairs(path)
    single = [_is_number(one.pair) for one in pairs]
    if any(single) and not all(single):
        number, other = pairs[single.index(True)], pairs[single.index(False)]
        text = (
            f"the answer '{_shown(other.pair)}' is a list, that of line {number.line} the number "
            f"'{_shown(number.pair)}'. Answers must be all of one kind: say which with --answers lists or --answers "
            "numbers."
        )
        raise InputError([Fault(path.name, other.line, "answer", text)])
    return all(single)


def load_arities(path: Path, names: tuple[str, ...]) -> tuple[int | None, ...]:
    """Children of each word from a JSON object word -> number; null where it is to be found.

    Raises InputError for words that are missing or unknown and for numbers that are none.
    """
    try:
        stored: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise InputError([Fault(path.name, None, None, f"not JSON: {error}")]) from None
    if not isinstance(stored, dict):
        raise InputError([Fault(path.name, None, None, 'not an object of words, as {"walk": 0, "twice": 1}.')])
    found = cast("dict[str, Any]", stored)
    faults = [
        Fault(path.name, None, word, f"is no word of the examples.{did_you_mean(word, names)}")
        for word in found
        if word not in names
    ]
    for word in names:
        if word not in found:
            faults.append(
                Fault(path.name, None, word, "missing. Give its number of children, or null to have it found.")
            )
        elif found[word] is not None and (not isinstance(found[word], int) or not 0 <= found[word] <= 4):
            faults.append(Fault(path.name, None, word, f"got {found[word]!r}, must be 0 to 4, or null."))
    if faults:
        raise InputError(faults)
    return tuple(found[word] for word in names)


def _checked(path: Path, numbers: bool) -> tuple[Pair, ...]:
    pairs = numbered_pairs(path)
    faults: list[Fault] = []
    for line, pair in pairs:
        if len(pair.source) > LONGEST:
            text = f"{len(pair.source)} words, at most {LONGEST} are allowed."
            faults.append(Fault(path.name, line, "sentence", text))
        if numbers and not _is_number(pair):
            text = f"'{_shown(pair)}' is not one whole number from 0 on."
            faults.append(Fault(path.name, line, "answer", text))
    if len(pairs) < LEAST:
        faults.append(Fault(path.name, None, None, f"{len(pairs)} pairs, at least {LEAST} are needed to learn from."))
    if faults:
        raise InputError(faults)
    return tuple(one.pair for one in pairs)


def _is_number(pair: Pair) -> bool:
    return len(pair.target) == 1 and pair.target[0].isdecimal()


def _shown(pair: Pair) -> str:
    return " ".join(pair.target[:6])


def _require_known(train: tuple[Pair, ...], asked: tuple[Numbered, ...], file: str) -> None:
    known = {word for pair in train for word in pair.source}
    unseen = {word: one.line for one in reversed(asked) for word in one.pair.source if word not in known}
    if unseen:
        raise InputError(
            [
                Fault(file, line, word, f"is in no training sentence, so it has no meaning.{did_you_mean(word, known)}")
                for word, line in sorted(unseen.items(), key=lambda item: item[1])
            ]
        )


def _parted(
    pairs: tuple[Pair, ...], share: float, rng: np.random.Generator
) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """Training pairs and others whose sentences, but not whose words, are new."""
    sources = list(dict.fromkeys(pair.source for pair in pairs))
    order = rng.permutation(len(sources))
    kept = {sources[int(at)] for at in order[: max(1, round(share * len(sources)))] if len(sources[int(at)]) > 1}
    known = {word for pair in pairs if pair.source not in kept for word in pair.source}
    kept = {source for source in kept if known.issuperset(source)}
    train = tuple(pair for pair in pairs if pair.source not in kept)
    return train, tuple(pair for pair in pairs if pair.source in kept) or train


def stored_task(record: TrialRecord, run: Run) -> Task:
    """The task of a finished trial, from the run's own copies of the files."""
    from wheatstone.bench.trial import derived_seed

    seed = np.random.SeedSequence(np.frombuffer(derived_seed(record.seed, "data"), np.uint32))
    values: dict[str, Any] = dict(record.values)
    return own_task(
        run.input(EXAMPLES),
        Config(**values),
        np.random.default_rng(seed),
        arities=run.input(ARITIES) if ARITIES in run.inputs else None,
        test=run.input(TESTS) if TESTS in run.inputs else None,
    )

"""What the machine is asked to learn: symbols, sentences with answers, tests, and what a rule would make of them.

The rules (trees and meanings of symbols) are for measuring alone. Nothing that learns sees them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from wheatstone.domains.programs.language import EMPTY, Inputs, List, Value
from wheatstone.domains.sequences import hint, pcfg, scan
from wheatstone.domains.sequences.pairs import Pair, Split, Tokens
from wheatstone.studies.logical.nsr.config import Config
from wheatstone.studies.logical.nsr.learner import Sentence

V = TypeVar("V", bound=Value)
Heads = Callable[[Tokens], tuple[int, ...]]
Meaning = Callable[[Any], Value | None]
"""The inputs as a tuple -> the value."""
LETTER_STRINGS = 4000
"""Letter strings beside the pairs of PCFG SET (paper: up to 5000)."""
COPIES = 30
"""Pictures of each single digit: sentences of one word are few, pictures are not."""


class Reference(NamedTuple):
    """What a symbol means by rule."""

    arity: int
    meaning: Meaning


@dataclass(frozen=True)
class Pictures:
    """Pictures of which sentences are made; the first `n_train` may be learnt from."""

    shown: NDArray[np.float32]
    n_train: int
    labels: NDArray[np.int64]
    """The true symbol of each picture, for measuring."""


@dataclass(frozen=True)
class Task:
    """One data set."""

    names: tuple[str, ...]
    """Every symbol."""
    arities: tuple[int | None, ...]
    train: tuple[Sentence, ...]
    tests: Mapping[str, tuple[Sentence, ...]]
    """Name -> questions; 'validation' is always among them."""
    pairs: Mapping[str, tuple[Pair, ...]]
    """The same as tokens, 'train' as well, in the same order."""
    main: tuple[str, ...]
    """The tests whose mean is the accuracy of the study."""
    heads: Heads | None = None
    extra: bool = False
    """Symbols without value may hang on a head beside its arguments."""
    references: Mapping[str, Reference] = field(default_factory=dict[str, Reference])
    probes: tuple[Inputs, ...] = ()
    """Values on which programs are compared with the references: tuples of two."""
    pictures: Pictures | None = None
    held_out: str | None = None
    """The word that training shows only alone, if the split is about one."""


def make_task(config: Config, rng: np.random.Generator, own: Task | None = None) -> Task:
    """The data of a trial. Raises UserError when a file is needed that is absent."""
    kind, _, split = config.task.partition("-")
    match kind:
        case "scan":
            task = _scan(split, config, rng)
        case "pcfg":
            task = _pcfg(split, config, rng)
        case "hint":
            task = _hint_images(config, rng) if split else _hint(config, rng)
        case "hieroglyph":
            task = _hieroglyph(config, rng)
        case _:
            if own is None:
                raise ValueError("the task 'own' needs the user's pairs")
            task = own
    if config.arities == "learned":
        task = replace(task, arities=(None,) * len(task.names), extra=False)
    return task


def encoded(
    names: Sequence[str], pairs: Mapping[str, Sequence[Pair]], value: Callable[[Tokens], Value]
) -> dict[str, tuple[Sentence, ...]]:
    """Pairs as symbol numbers and values."""
    number = {name: at for at, name in enumerate(names)}
    return {
        part: tuple(Sentence(tuple(number[word] for word in pair.source), value(pair.target)) for pair in some)
        for part, some in pairs.items()
    }


def as_list(target: Tokens) -> Value:
    return target


def as_number(target: Tokens) -> Value:
    return int(target[0])


def _drawn(split: Split, config: Config, rng: np.random.Generator) -> dict[str, tuple[Pair, ...]]:
    """Training pairs, validation pairs (whose sources are not in training) and test pairs, cut to size."""
    distinct = list(dict.fromkeys(pair.source for pair in split.train))
    many = len(distinct) >= 10 * config.n_validation
    chosen = rng.permutation(len(distinct))[: config.n_validation] if many else []
    kept = {distinct[int(at)] for at in chosen if len(distinct[int(at)]) > 1}
    limit = config.max_words or 10**6
    train = [pair for pair in split.train if pair.source not in kept and len(pair.source) <= limit]
    train = [train[int(at)] for at in np.sort(rng.permutation(len(train))[: config.n_train])]
    validation = {pair.source: pair for pair in split.train if pair.source in kept}
    test = [split.test[int(at)] for at in rng.permutation(len(split.test))[: config.n_test]]
    return {"train": tuple(train), "validation": tuple(validation.values()) or tuple(train), "test": tuple(test)}


def _scan(name: str, config: Config, rng: np.random.Generator) -> Task:
    split = scan.split(name, rng)
    if config.reorder:
        split = Split(*(tuple(Pair(scan.reordered(p.source), p.target) for p in part) for part in split))
    names = tuple(scan.ARITY)
    actions = tuple(sorted({token for pair in scan.commands() for token in pair.target}))
    word, action = dict(zip(names, names, strict=True)), dict(zip(actions, actions, strict=True))
    if config.relabel:
        word = {old: f"w{int(at)}" for old, at in zip(names, rng.permutation(len(names)), strict=True)}
        action = {old: f"a{int(at)}" for old, at in zip(actions, rng.permutation(len(actions)), strict=True)}
        split = Split(*(tuple(_renamed(pair, word, action) for pair in part) for part in split))
    back = {new: old for old, new in word.items()}
    pairs = _drawn(split, config, rng)
    sentences = encoded(tuple(word.values()), pairs, as_list)
    left, right = (action[f"I_TURN_{side}"] for side in ("LEFT", "RIGHT"))
    meanings: dict[str, Callable[[tuple[List, ...]], List]] = {
        **{actor: _fixed((action[f"I_{actor.upper()}"],)) for actor in scan.ACTORS},
        "turn": _fixed(()),
        "left": lambda inputs: (left, *inputs[0]),
        "right": lambda inputs: (right, *inputs[0]),
        "opposite": lambda inputs: inputs[0][:1] + inputs[0],
        "around": lambda inputs: inputs[0] * 4,
        "twice": lambda inputs: inputs[0] * 2,
        "thrice": lambda inputs: inputs[0] * 3,
        "and": lambda inputs: inputs[0] + inputs[1],
        "after": lambda inputs: inputs[1] + inputs[0],
    }
    probes = [((action["I_WALK"],), (left, action["I_RUN"])), ((right, action["I_JUMP"]), (left,) * 3)]
    return Task(
        names=tuple(word.values()),
        arities=tuple(scan.ARITY[name] for name in names),
        train=sentences.pop("train"),
        tests=sentences,
        pairs=pairs,
        main=("test",),
        heads=(lambda source: scan.heads(tuple(back[token] for token in source))) if config.reorder else None,
        references={word[name]: Reference(scan.ARITY[name], meanings[name]) for name in names},
        probes=tuple(probes),
        held_out=word["jump"] if name == "add-jump" else None,
    )


def _fixed(value: V) -> Callable[[Any], V]:
    return lambda _: value


def _edit(function: str) -> Callable[[tuple[List, ...]], List]:
    return lambda inputs: pcfg.apply(function, inputs)


def _calculation(operator: str) -> Callable[[tuple[int, ...]], int | None]:
    return lambda inputs: hint.calculate(operator, *inputs)


def _renamed(pair: Pair, word: Mapping[str, str], action: Mapping[str, str]) -> Pair:
    return Pair(tuple(word[token] for token in pair.source), tuple(action[token] for token in pair.target))


def _pcfg(name: str, config: Config, rng: np.random.Generator) -> Task:
    n_train = config.n_train + config.n_validation
    if config.published:
        split = pcfg.published_split(name, n_train, config.n_test, rng)
    else:
        split = pcfg.generated_split(name, n_train, config.n_test, rng, longest=config.longest)
    split = Split(*(tuple(Pair(pcfg.closed(p.source), p.target) for p in part) for part in split))
    pairs = _drawn(split, config, rng)
    n_strings = min(LETTER_STRINGS, 4 * config.n_train)
    strings = [Pair(pcfg.closed(p.source), p.target) for p in pcfg.letter_strings(n_strings, rng)]
    pairs["train"] = (*pairs["train"], *strings)
    names = (*pcfg.FUNCTIONS, pcfg.SEPARATOR, *pcfg.LETTERS)
    sentences = encoded(names, pairs, as_list)
    arity = {**dict.fromkeys(pcfg.UNARY, 1), **dict.fromkeys(pcfg.BINARY, 2), pcfg.SEPARATOR: 0}
    references = {name: Reference(arity[name], _edit(name)) for name in pcfg.FUNCTIONS}
    return Task(
        names=names,
        arities=tuple(arity.get(name, 1) for name in names),
        train=sentences.pop("train"),
        tests=sentences,
        pairs=pairs,
        main=("test",),
        heads=pcfg.heads,
        references=references,
        probes=((("A1", "B2", "C3"), ("D4", "E5")), (("F6", "G7"), ("H8", "I9", "J10", "K11"))),
    )


def _hint(config: Config, rng: np.random.Generator) -> Task:
    found = hint.split(config.n_train + config.n_validation, config.n_test, rng)
    pairs = _drawn(Split(found.train, ()), config, rng)
    del pairs["test"]
    pairs |= found.tests
    sentences = encoded(hint.SYMBOLS, pairs, as_number)
    return Task(
        names=hint.SYMBOLS,
        arities=tuple(2 if symbol in hint.OPERATORS else 0 for symbol in hint.SYMBOLS),
        train=sentences.pop("train"),
        tests=sentences,
        pairs=pairs,
        main=("SL", "LL"),
        heads=hint.heads,
        extra=True,
        references=_arithmetic(),
        probes=tuple(itertools.product((0, 3, 7, 24), (1, 2, 5, 11))),
    )


def _arithmetic() -> dict[str, Reference]:
    found = {digit: Reference(0, _fixed(int(digit))) for digit in hint.DIGITS}
    found |= {operator: Reference(2, _calculation(operator)) for operator in hint.OPERATORS}
    return found | {bracket: Reference(0, _fixed(EMPTY)) for bracket in "()"}


def _hint_images(config: Config, rng: np.random.Generator) -> Task:
    """HINT with a picture for each symbol: what the machine is told are pictures and answers, nothing else."""
    from wheatstone.domains.sequences.handwriting import handwriting

    task = _hint(config, rng)
    written = handwriting(rng)
    n_train = len(written.train.labels)
    labels = np.concatenate([written.train.labels, written.test.labels])
    of_symbol = {
        is_test: [
            np.flatnonzero((labels == symbol) & ((np.arange(len(labels)) >= n_train) == is_test))
            for symbol in range(len(hint.SYMBOLS))
        ]
        for is_test in (False, True)
    }

    def drawn(sentence: Sentence, is_test: bool) -> Sentence:
        pools = [of_symbol[is_test][symbol] for symbol in sentence.symbols]
        return Sentence(tuple(int(pool[rng.integers(len(pool))]) for pool in pools), sentence.answer)

    copies = [COPIES if len(sentence.symbols) == 1 else 1 for sentence in task.train]
    train = [drawn(sentence, False) for sentence, n in zip(task.train, copies, strict=True) for _ in range(n)]
    source = [pair for pair, n in zip(task.pairs["train"], copies, strict=True) for _ in range(n)]
    names = tuple(f"symbol {at}" for at in range(config.n_symbol))
    return Task(
        names=names,
        arities=(None,) * len(names),
        train=tuple(train),
        tests={name: tuple(drawn(one, True) for one in some) for name, some in task.tests.items()},
        pairs={**task.pairs, "train": tuple(source)},
        main=("I", "SS"),
        heads=hint.heads,
        references=task.references,
        probes=task.probes,
        pictures=Pictures(np.concatenate([written.train.pictures, written.test.pictures]), n_train, labels),
    )


def _hieroglyph(config: Config, rng: np.random.Generator) -> Task:
    found = hint.load_hieroglyphs()
    order = rng.permutation(len(found))
    n_test = min(config.n_test, len(found) // 3)
    split = Split(tuple(found[int(at)] for at in order[n_test:]), tuple(found[int(at)] for at in order[:n_test]))
    pairs = _drawn(split, config, rng)
    names = tuple(sorted({token for pair in found for token in pair.source}))
    sentences = encoded(names, pairs, as_number)
    return Task(
        names=names,
        arities=tuple(2 if name in hint.OPERATORS else 0 for name in names),
        train=sentences.pop("train"),
        tests=sentences,
        pairs=pairs,
        main=("test",),
        heads=hint.postfix_heads,
        references={name: one for name, one in _arithmetic().items() if name in names},
        probes=tuple(itertools.product((0, 3, 7, 24), (1, 2, 5, 11))),
    )

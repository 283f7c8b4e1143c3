"""SCAN: navigation commands and their actions, generated exactly, with the published splits.

Source   Lake, Baroni, ICML 2018, arXiv:1711.00350 (grammar, simple, length, add-primitive); Loula, Baroni, Lake,
         BlackboxNLP 2018, arXiv:1807.07545 (templates and fillers)
Grammar  C -> S | S and S | S after S;  S -> V | V twice | V thrice;
         V -> U | U D | U opposite D | U around D | turn D | turn opposite D | turn around D;
         U -> walk | look | run | jump;  D -> left | right: 20,910 commands in all.

Every split but `simple` follows from the commands by a rule, and its sizes are those of the published files; `simple`
is 80 % drawn at random there, so it is drawn here by a seed. The compound-divergence splits (MCD, arXiv:1912.09713)
exist as files only: read them with `pairs.load_pairs`. Which fillers a filler split shows is known of the first (look)
alone; all three are those other than `jump`, the asked one, so only the order of the other two is ours.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from wheatstone.domains.sequences.pairs import Pair, Split, Tokens

ACTORS = ("walk", "look", "run", "jump")
DIRECTIONS = ("left", "right")
ARITY = {
    **dict.fromkeys((*ACTORS, "turn"), 0),
    **dict.fromkeys((*DIRECTIONS, "opposite", "around", "twice", "thrice"), 1),
    "and": 2,
    "after": 2,
}
"""Children of each word once `opposite left` is written `left opposite` (see `reordered`)."""
LENGTH_LIMIT = 22
"""Actions of a training example of the length split, at most."""
SIMPLE_TRAIN = 16_728
"""Training examples of the simple split."""
REPEATED_SHARE = 9
"""The primitive that is added stands for one training example in so many others plus itself (10 %)."""


def interpret(command: Tokens) -> Tokens:
    """The actions of a command, by the phrase-structure interpretation of the paper's figure 7."""
    for word, swapped in (("and", False), ("after", True)):
        if word in command:
            at = command.index(word)
            first, second = interpret(command[:at]), interpret(command[at + 1 :])
            return second + first if swapped else first + second
    if command[-1] in ("twice", "thrice"):
        return interpret(command[:-1]) * (2 if command[-1] == "twice" else 3)
    action = () if command[0] == "turn" else (f"I_{command[0].upper()}",)
    if len(command) == 1:
        return action
    turn = (f"I_TURN_{command[-1].upper()}",)
    match command[1]:
        case "opposite":
            return turn * 2 + action
        case "around":
            return (turn + action) * 4
        case _:
            return turn + action


@functools.cache
def commands() -> tuple[Pair, ...]:
    """All 20,910 commands with their actions, in a fixed order."""
    modifiers = [(*extra, direction) for direction in DIRECTIONS for extra in ((), ("opposite",), ("around",))]
    verbs = [(actor,) for actor in ACTORS]
    verbs += [(actor, *words) for actor in (*ACTORS, "turn") for words in modifiers]
    phrases = [(*verb, *times) for verb in verbs for times in ((), ("twice",), ("thrice",))]
    sources = [*phrases]
    sources += [(*first, word, *second) for word in ("and", "after") for first in phrases for second in phrases]
    return tuple(Pair(source, interpret(source)) for source in sources)


def has(source: Tokens, *phrase: str) -> bool:
    """Whether the words stand next to each other in the command."""
    return any(source[at : at + len(phrase)] == phrase for at in range(len(source) - len(phrase) + 1))


def split(name: str, rng: np.random.Generator | None = None) -> Split:
    """A published split; `rng` is needed by 'simple' alone.

    Raises KeyError for a name that is not in `SPLITS`.
    """
    return SPLITS[name](rng)


def reordered(source: Tokens) -> Tokens:
    """The command with `opposite left` as `left opposite` (and so on), which makes its tree projective."""
    words = list(source)
    for at in range(len(words) - 1):
        if words[at] in ("opposite", "around") and words[at + 1] in DIRECTIONS:
            words[at], words[at + 1] = words[at + 1], words[at]
    return tuple(words)


def heads(source: Tokens) -> tuple[int, ...]:
    """Head of each word of a `reordered` command by rule, -1 for the root: the tree that a parser should find."""
    found = [-1] * len(source)

    def phrase(start: int, stop: int) -> int:
        """The root of a phrase without conjunction, whose words stack up from left to right."""
        for at in range(start, stop - 1):
            found[at] = at + 1
        return stop - 1

    joint = next((at for at, word in enumerate(source) if word in ("and", "after")), None)
    if joint is None:
        phrase(0, len(source))
    else:
        found[phrase(0, joint)] = joint
        found[phrase(joint + 1, len(source))] = joint
    return tuple(found)


def _simple(rng: np.random.Generator | None) -> Split:
    order = (rng or np.random.default_rng(0)).permutation(len(commands()))
    pairs = commands()
    return Split(
        tuple(pairs[at] for at in order[:SIMPLE_TRAIN]),
        tuple(pairs[at] for at in order[SIMPLE_TRAIN:]),
    )


def _by(is_test: Callable[[Pair], bool]) -> Split:
    return Split(
        tuple(pair for pair in commands() if not is_test(pair)), tuple(pair for pair in commands() if is_test(pair))
    )


def _length(_: object) -> Split:
    return _by(lambda pair: len(pair.target) > LENGTH_LIMIT)


def _add_primitive(*phrase: str) -> Callable[[object], Split]:
    """All compositions of the phrase are asked; in training it stands alone, as a tenth of all examples."""

    def make(_: object) -> Split:
        others, test = _by(lambda pair: has(pair.source, *phrase))
        alone = Pair(phrase, interpret(phrase))
        return Split(others + (alone,) * (len(others) // REPEATED_SHARE), tuple(p for p in test if p.source != phrase))

    return make


def _template(*phrase: str, asked: tuple[str, ...] = ACTORS, shown: tuple[str, ...] = ()) -> Callable[[object], Split]:
    """Commands that apply the phrase to an actor are asked; `turn` with the phrase is in neither part.

    With one actor `asked`, training holds the phrase with the `shown` actors.
    """

    def make(_: object) -> Split:
        train, test = [], []
        for pair in commands():
            applied = [actor for actor in (*ACTORS, "turn") if has(pair.source, actor, *phrase)]
            if "turn" in applied:
                continue
            if set(applied) & set(asked):
                test.append(pair)
            elif set(applied) <= set(shown):
                train.append(pair)
        return Split(tuple(train), tuple(test))

    return make


def _filler(count: int) -> Callable[[object], Split]:
    return _template("around", "right", asked=("jump",), shown=("look", "walk", "run")[:count])


SPLITS: dict[str, Callable[[np.random.Generator | None], Split]] = {
    "simple": _simple,
    "length": _length,
    "add-jump": _add_primitive("jump"),
    "add-turn-left": _add_primitive("turn", "left"),
    "around-right": _template("around", "right"),
    "opposite-right": _template("opposite", "right"),
    "right": _template("right"),
    "jump-around-right": _filler(3),
    "filler-0": _filler(0),
    "filler-1": _filler(1),
    "filler-2": _filler(2),
    "filler-3": _filler(3),
}

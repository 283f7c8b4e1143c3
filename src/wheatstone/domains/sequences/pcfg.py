"""PCFG SET: string edit functions applied to letter strings, nested, in prefix notation.

Source   Hupkes, Dankers, Mul, Bruni, JAIR 67 (2020), arXiv:1908.08351, section 4
Grammar  S -> F1 S | F2 S , S | X;  X -> two to five letters out of 520 (A1 .. Z20);  ten functions in all.

The published generator draws its rules with probabilities fitted to English trees, which are not published as numbers:
here a tree has a drawn number of functions, unary with the share that the published test sets have. Real published
sequences are read by `load_published`.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from wheatstone.domains.data import require_file
from wheatstone.domains.sequences.pairs import Pair, Split, Tokens, load_pairs

UNARY = ("copy", "reverse", "shift", "swap_first_last", "repeat", "echo")
BINARY = ("append", "prepend", "remove_first", "remove_second")
FUNCTIONS = (*UNARY, *BINARY)
SEPARATOR = ","
LETTERS = tuple(f"{letter}{index}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" for index in range(1, 21))
UNARY_SHARE = 0.63
"""Share of unary functions in the published test sets (176,202 of 277,685)."""
EXCLUDED_PAIRS = (
    ("swap_first_last", "repeat"),
    ("append", "remove_second"),
    ("repeat", "remove_second"),
    ("append", "swap_first_last"),
)
"""Neighbouring functions that the systematicity split keeps for its test."""
PRODUCTIVITY_LIMIT = 8
"""Functions of a training example of the productivity split, at most."""
PUBLISHED = "language/pcfgset_31k.tsv.gz"


class Node(NamedTuple):
    """A function with its arguments, or a string of letters (then `children` is empty)."""

    label: str
    children: tuple[Node, ...]
    letters: Tokens = ()


def apply(function: str, arguments: tuple[Tokens, ...]) -> Tokens:
    """One function on its arguments."""
    first = arguments[0]
    match function:
        case "copy":
            return first
        case "reverse":
            return first[::-1]
        case "shift":
            return first[1:] + first[:1]
        case "swap_first_last":
            return first if len(first) < 2 else (first[-1], *first[1:-1], first[0])
        case "repeat":
            return first + first
        case "echo":
            return first + first[-1:]
        case "append":
            return first + arguments[1]
        case "prepend":
            return arguments[1] + first
        case "remove_first":
            return arguments[1]
        case "remove_second":
            return first
        case _:
            raise ValueError(f"'{function}' is not a function of PCFG SET: {', '.join(FUNCTIONS)}")


def parse(source: Tokens) -> Node:
    """The tree of an input. Raises ValueError where the grammar has none."""
    at = 0

    def phrase() -> Node:
        nonlocal at
        word = source[at] if at < len(source) else ""
        if word in FUNCTIONS:
            at += 1
            first = phrase()
            if word in UNARY:
                return Node(word, (first,))
            if at >= len(source) or source[at] != SEPARATOR:
                raise ValueError(f"'{word}' needs a second argument after ',' at token {at + 1}")
            at += 1
            return Node(word, (first, phrase()))
        start = at
        while at < len(source) and source[at] not in FUNCTIONS and source[at] != SEPARATOR:
            at += 1
        if at == start:
            raise ValueError(f"a function or a letter is needed at token {at + 1}")
        return Node("", (), source[start:at])

    tree = phrase()
    if at < len(source):
        raise ValueError(f"token {at + 1}, '{source[at]}', belongs to nothing")
    return tree


def interpret(source: Tokens) -> Tokens:
    """The output of an input. Raises ValueError where the grammar has no tree for it."""
    return value(parse(source))


def value(node: Node) -> Tokens:
    return apply(node.label, tuple(value(child) for child in node.children)) if node.label else node.letters


def spelt(node: Node) -> Tokens:
    """The tokens of a tree."""
    if not node.label:
        return node.letters
    first, *rest = (spelt(child) for child in node.children)
    return (node.label, *first, *(token for words in rest for token in (SEPARATOR, *words)))


def n_functions(source: Tokens) -> int:
    return sum(token in FUNCTIONS for token in source)


def breaks_systematicity(source: Tokens) -> bool:
    """Whether two functions stand next to each other that the systematicity split keeps for its test."""
    return any(pair in EXCLUDED_PAIRS for pair in itertools.pairwise(source))


def generate(n: int, functions: range, rng: np.random.Generator, *, longest: int = 200) -> tuple[Pair, ...]:
    """`n` distinct pairs with a number of functions drawn from `functions`, outputs of `longest` letters at most."""
    found: dict[Tokens, Pair] = {}
    while len(found) < n:
        source = spelt(_tree(int(rng.integers(functions.start, functions.stop)), rng))
        target = interpret(source)
        if len(target) <= longest:
            found[source] = Pair(source, target)
    return tuple(found.values())


def _tree(budget: int, rng: np.random.Generator) -> Node:
    if budget == 0:
        letters = rng.choice(len(LETTERS), int(rng.integers(2, 6)), replace=False)
        return Node("", (), tuple(LETTERS[int(letter)] for letter in letters))
    if rng.random() < UNARY_SHARE:
        return Node(UNARY[int(rng.integers(len(UNARY)))], (_tree(budget - 1, rng),))
    left = int(rng.integers(budget))
    word = BINARY[int(rng.integers(len(BINARY)))]
    return Node(word, (_tree(left, rng), _tree(budget - 1 - left, rng)))


def letter_strings(n: int, rng: np.random.Generator, *, longest: int = 4) -> tuple[Pair, ...]:
    """Distinct strings of 0 to `longest` letters that mean themselves; the empty one and every single letter first."""
    strings: dict[Tokens, None] = dict.fromkeys([(), *((letter,) for letter in LETTERS)][:n])
    while len(strings) < n:
        picked = rng.choice(len(LETTERS), int(rng.integers(2, longest + 1)), replace=False)
        strings.setdefault(tuple(LETTERS[int(letter)] for letter in picked))
    return tuple(Pair(string, string) for string in strings)


def generated_split(name: str, n_train: int, n_test: int, rng: np.random.Generator, *, longest: int = 200) -> Split:
    """A split of generated pairs: 'iid', 'productivity' or 'systematicity'."""
    match name:
        case "productivity":
            train = generate(n_train, range(1, PRODUCTIVITY_LIMIT + 1), rng, longest=longest)
            return Split(
                train, generate(n_test, range(PRODUCTIVITY_LIMIT + 1, 2 * PRODUCTIVITY_LIMIT + 1), rng, longest=longest)
            )
        case "systematicity":
            pool = generate(4 * (n_train + n_test), range(2, PRODUCTIVITY_LIMIT + 1), rng, longest=longest)
            train = [pair for pair in pool if not breaks_systematicity(pair.source)]
            test = [pair for pair in pool if breaks_systematicity(pair.source)]
            return Split(tuple(train[:n_train]), tuple(test[:n_test]))
        case "iid":
            pool = generate(n_train + n_test, range(1, PRODUCTIVITY_LIMIT + 1), rng, longest=longest)
            return Split(pool[:n_train], pool[n_train:])
        case _:
            raise ValueError(f"'{name}' is not a split of PCFG SET: iid, productivity, systematicity")


def load_published() -> dict[str, tuple[Pair, ...]]:
    """The published sequences by part: pcfgset_dev, pcfgset_test, productivity_test, systematicity_test.

    Raises UserError when the file is absent: a TSV of part, input and output.
    """
    parts: dict[str, list[Pair]] = {}
    for part, source, target in load_pairs(require_file(PUBLISHED, "the published PCFG SET sequences")):
        parts.setdefault(part[0], []).append(Pair(source, tuple(target.split()), part[0]))
    return {part: tuple(pairs) for part, pairs in parts.items()}


def published_split(name: str, n_train: int, n_test: int, rng: np.random.Generator) -> Split:
    """Training on published sequences of the other parts, testing on the published part; both drawn.

    The published training file is not available: what stands in for it are the other parts' sequences that the split
    allows in training.
    """
    parts = load_published()
    test_part = {"iid": "pcfgset_test"}.get(name, f"{name}_test")
    asked = {pair.source for pair in parts[test_part]}
    allowed = [
        pair
        for part, pairs in parts.items()
        if part != test_part
        for pair in pairs
        if pair.source not in asked
        and not (name == "productivity" and n_functions(pair.source) > PRODUCTIVITY_LIMIT)
        and not (name == "systematicity" and breaks_systematicity(pair.source))
    ]
    distinct = list({pair.source: pair for pair in allowed}.values())
    chosen = rng.permutation(len(distinct))[:n_train]
    test = parts[test_part]
    picked = rng.permutation(len(test))[:n_test]
    return Split(tuple(distinct[int(at)] for at in chosen), tuple(test[int(at)] for at in picked))


def closed(source: Tokens) -> Tokens:
    """The input with a ',' at its end as well: then every letter applies to what follows it, and ',' is empty."""
    return (*source, SEPARATOR)


def heads(source: Tokens) -> tuple[int, ...]:
    """Head of each token of a `closed` input by rule, -1 for the root."""
    found = [-1] * len(source)
    at = 0

    def phrase() -> int:
        nonlocal at
        here = at
        at += 1
        word = source[here]
        for _ in range(0 if word == SEPARATOR else 2 if word in BINARY else 1):
            found[phrase()] = here
        return here

    phrase()
    return tuple(found)

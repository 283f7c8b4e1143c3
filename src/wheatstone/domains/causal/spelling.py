"""Questions as rows of tokens, as Vashishtha et al. 2025 (arXiv:2407.07612) write them: fixed words, spelled names.

`V causes jb. jb causes f2. Does V cause f2?` has 17 tokens: each fixed word and each mark is one, a name of one to
three letters and digits has one for each character. The model answers with the word that follows the '?'.

The paper's tokens are those of its training texts, so that a test may hold a character without one and a node named
'no' takes the token of the answer; here all letters and digits have tokens, and names are spelled whatever they say.
"""

from __future__ import annotations

import string
from collections.abc import Sequence

import numpy as np

from wheatstone.domains.causal.closure import Bools, Ints
from wheatstone.domains.causal.encode import Order
from wheatstone.domains.causal.instances import Instances, Rng

PAD, CAUSES, STOP, DOES, CAUSE, ARE, AND, SEPARATED, GIVEN, OPEN, COMMA, CLOSE, ASK, NO, YES = range(15)
WORDS = ("", "causes", ".", "Does", "cause", "Are", "and", "d-separated", "given", "{", ",", "}", "?", "no", "yes")
CHARACTERS = string.ascii_letters + string.digits
VOCAB = len(WORDS) + len(CHARACTERS)
LONGEST_NAME = 3
JOINED_LEFT = {STOP, COMMA, CLOSE, ASK}
"""Marks that stand without a blank before them."""


def spelled(instances: Instances, rng: Rng, order: Order = "written", *, separation: bool = False) -> Ints:
    """[question, token] statements, then the question, padded on the right; each question gets names of its own.

    `separation` asks whether the two are d-separated given the nodes in `given`, else whether the first causes the
    second.
    """
    n, n_edge = len(instances), instances.edges.shape[1]
    names = fresh_names(n, instances.n_node, rng)
    rows = np.arange(n)[:, None]
    cause, effect = (names[rows, instances.edges[..., side]] for side in (0, 1))  # question edge character
    statements = _beside(cause, CAUSES, effect, STOP)
    statements[instances.edges[..., 0] < 0] = PAD
    if order == "shuffled":
        places = np.argsort(rng.random((n, n_edge)), axis=1)
        statements = np.take_along_axis(statements, places[..., None], axis=1)
    first, second = (names[np.arange(n), instances.question[:, side]] for side in (0, 1))
    if separation:
        question = _beside(ARE, first, AND, second, SEPARATED, _given(names, instances.given, rng, order), ASK)
    else:
        question = _beside(DOES, first, CAUSE, second, ASK)
    return _closed_up(np.concatenate([statements.reshape(n, -1), question], axis=1))


def fresh_names(n: int, n_node: int, rng: Rng) -> Ints:
    """[question, node, character] tokens of names, all different within a question; PAD after a short name."""
    length = rng.integers(1, LONGEST_NAME + 1, (n, n_node, 1))
    characters = rng.integers(len(WORDS), VOCAB, (n, n_node, LONGEST_NAME))
    names = np.where(np.arange(LONGEST_NAME) < length, characters, PAD)
    while (again := _repeated(names)).any():
        length = rng.integers(1, LONGEST_NAME + 1, (int(again.sum()), 1))
        characters = rng.integers(len(WORDS), VOCAB, (len(length), LONGEST_NAME))
        names[again] = np.where(np.arange(LONGEST_NAME) < length, characters, PAD)
    return names


def asked_at(rows: Ints) -> Ints:
    """[question] the place of the '?', after which the answer stands."""
    return np.asarray((rows != PAD).sum(1) - 1, np.int64)


def text_of(row: Sequence[int]) -> str:
    """The text of a row of tokens."""
    text, spelling, opened = "", False, True
    for token in row:
        if token == PAD:
            continue
        is_character = token >= len(WORDS)
        if not (opened or token in JOINED_LEFT or (is_character and spelling)):
            text += " "
        text += CHARACTERS[token - len(WORDS)] if is_character else WORDS[token]
        spelling, opened = is_character, token == OPEN
    return text


def _beside(*parts: Ints | int) -> Ints:
    """Tokens next to each other along the last axis; a single token stands in every row."""
    shape = next(part.shape[:-1] for part in parts if not isinstance(part, int))
    wide = [np.full((*shape, 1), part) if isinstance(part, int) else part for part in parts]
    return np.concatenate(wide, axis=-1).astype(np.int64)


def _given(names: Ints, given: Bools, rng: Rng, order: Order) -> Ints:
    """[question, token] `given {A, B}`, PAD where nothing is given."""
    n, most = len(given), int(given.sum(1).max(initial=0))
    key = rng.random(given.shape) if order == "shuffled" else np.zeros(given.shape)
    nodes = np.argsort(~given + key / 2, axis=1, kind="stable")[:, :most]
    listed = _beside(COMMA, names[np.arange(n)[:, None], nodes])
    listed[~np.take_along_axis(given, nodes, axis=1)] = PAD
    listed[:, :1, 0] = PAD  # no comma before the first
    some = given.sum(1, keepdims=True) > 0
    return np.concatenate(
        [np.where(some, [GIVEN, OPEN], PAD), listed.reshape(n, -1), np.where(some, CLOSE, PAD)], axis=1
    )


def _repeated(names: Ints) -> Bools:
    """[question, node] names that an earlier node of the question has."""
    code = names @ VOCAB ** np.arange(LONGEST_NAME)
    order = np.argsort(code, axis=1, kind="stable")
    ordered = np.take_along_axis(code, order, axis=1)
    found = np.zeros(code.shape, bool)
    np.put_along_axis(found, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    return found


def _closed_up(tokens: Ints) -> Ints:
    """Rows without the gaps that short names leave."""
    is_token = tokens != PAD
    order = np.argsort(~is_token, axis=1, kind="stable")
    return np.take_along_axis(tokens, order, axis=1)[:, : int(is_token.sum(1).max(initial=0))]

"""Deduction and abduction on one tree: compute its value, and if that is wrong, the cheapest change that mends it.

Source   Li et al., ICLR 2024, arXiv:2210.01603, section 3 and algorithm 1 (deduction-abduction); Dai, Xu, Yu, Zhou,
         NeurIPS 2019 (abductive learning)
Method   1 values from the leaves up; a child without value (EMPTY) is not seen by its parent  2 words that nobody knows
         yet are tried as having no value, all at once  3 best-first search over (node, values that would be right
         there), from (root, the answer): a node may take one of these values as its own (semantics), or be another
         symbol (perception), or one of its children may be what is wrong, with the values it should have had

A change costs what it contradicts: the log-odds of the program that it overrules, or the difference of
log-probabilities of the symbols. Above `PATIENCE` the tree is given up, so that a solved program is not overruled by a
wrong tree.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from wheatstone.domains.programs.language import EMPTY, Inputs, Value
from wheatstone.studies.logical.nsr.parser import children_of
from wheatstone.studies.logical.nsr.semantics import Evidence, Key, Semantics

PATIENCE = 2.0
"""Cost above which no change is accepted: a program that seven examples and more confirm is not overruled."""
EXPANDED = 60
"""Nodes that one search expands."""
SLICES = 24
"""Longest list whose parts are tried as the value of a child."""
NUMBERS = 21
"""Numbers below this are tried as the value of a child."""


@dataclass
class Tree:
    """A grounded sentence: symbols, the tree over them, and the value of each node (None: it has none yet)."""

    symbols: list[int]
    heads: list[int]
    children: list[list[int]] = field(init=False)
    root: int = field(init=False)
    values: list[Value | None] = field(init=False)

    def __post_init__(self) -> None:
        self.children = children_of(self.heads)
        self.root = self.heads.index(-1)
        self.values = [None] * len(self.symbols)

    def inputs(self, node: int) -> Inputs | None:
        """Values of the children that have one; None as soon as one is missing."""
        found: list[Value] = []
        for child in self.children[node]:
            value = self.values[child]
            if value is None:
                return None
            if value != EMPTY:
                found.append(value)
        return tuple(found)

    def keys(self) -> set[Key]:
        """The meanings that its values come from."""
        found = [(symbol, self.inputs(node)) for node, symbol in enumerate(self.symbols)]
        return {Key(symbol, len(inputs)) for symbol, inputs in found if inputs is not None}

    def order(self) -> list[int]:
        """Every node after its children."""
        found, stack = list[int](), [self.root]
        while stack:
            node = stack.pop()
            found.append(node)
            stack += self.children[node]
        return found[::-1]

    def evaluate(self, semantics: Semantics, rng: np.random.Generator | None = None) -> Value | None:
        """Fills in all values and returns the root's."""
        for node in self.order():
            inputs = self.inputs(node)
            if inputs is not None:
                self.values[node] = semantics.value(Key(self.symbols[node], len(inputs)), inputs, rng)
        return self.values[self.root]


@dataclass(frozen=True)
class Explanation:
    """Why a tree gives the answer."""

    evidence: tuple[Evidence, ...]
    """What it says about symbols that are not certain yet."""
    is_deduced: bool
    """The tree gave the answer as it was."""
    changed: tuple[tuple[int, int], ...] = ()
    """(word, symbol) where another symbol was seen than the most probable one."""


Perceived = Callable[[int], Sequence[tuple[int, float]]]
"""Word -> other symbols that it may be, each with the cost of believing so."""


def deduce(
    tree: Tree, answer: Value, semantics: Semantics, rng: np.random.Generator, guesses: Sequence[Value] = ()
) -> Explanation | None:
    """The explanation by the tree as it is, None where its value is not the answer.

    With `guesses`, values that are missing are drawn from them: what learning by luck alone amounts to.
    """
    if tree.evaluate(semantics, rng) == answer:
        return Explanation(_open_evidence(tree, semantics), True)
    return _lucky(tree, answer, semantics, rng, guesses) if guesses else None


def abduce(
    tree: Tree, answer: Value, semantics: Semantics, rng: np.random.Generator, perceived: Perceived | None = None
) -> Explanation | None:
    """The explanation by the cheapest change of an evaluated tree; None where every change costs too much.

    `perceived` gives other symbols that a word may be, None where symbols are given.
    """
    if tree.values[tree.root] is None:
        blank = _blank_leaves(tree, answer, semantics, rng)
        if blank is not None:
            return blank
    return _search(tree, answer, semantics, rng, perceived)


def _open_evidence(tree: Tree, semantics: Semantics) -> tuple[Evidence, ...]:
    found: list[Evidence] = []
    for node, value in enumerate(tree.values):
        inputs = tree.inputs(node)
        if inputs is not None and value is not None:
            key = Key(tree.symbols[node], len(inputs))
            if not semantics.is_firm(key):
                found.append(Evidence(key, inputs, value))
    return tuple(found)


def _lucky(
    tree: Tree, answer: Value, semantics: Semantics, rng: np.random.Generator, guesses: Sequence[Value]
) -> Explanation | None:
    for node in tree.order():
        inputs = tree.inputs(node)
        if inputs is None:
            continue
        value = semantics.value(Key(tree.symbols[node], len(inputs)), inputs, rng)
        tree.values[node] = guesses[int(rng.integers(len(guesses)))] if value is None else value
    return Explanation(_open_evidence(tree, semantics), True) if tree.values[tree.root] == answer else None


def _blank_leaves(tree: Tree, answer: Value, semantics: Semantics, rng: np.random.Generator) -> Explanation | None:
    """All words that nobody knows yet as having no value, or as the empty list."""
    unknown = [
        node
        for node, value in enumerate(tree.values)
        if value is None and not tree.children[node] and Key(tree.symbols[node], 0) not in semantics.meanings
    ]
    if not unknown or len(unknown) == len(tree.symbols):
        return None
    for blank in (EMPTY, ()) if isinstance(answer, tuple) else (EMPTY,):
        trial = Tree(tree.symbols, tree.heads)
        for node in trial.order():
            if node in unknown:
                trial.values[node] = blank
                continue
            inputs = trial.inputs(node)
            if inputs is not None:
                trial.values[node] = semantics.value(Key(trial.symbols[node], len(inputs)), inputs, rng)
        if trial.values[trial.root] == answer:
            return Explanation(_open_evidence(trial, semantics), False)
    return None


def _search(
    tree: Tree, answer: Value, semantics: Semantics, rng: np.random.Generator, perceived: Perceived | None
) -> Explanation | None:
    """Best-first search for the cheapest change of one node."""
    tie = itertools.count()
    queue: list[tuple[float, int, int, frozenset[Value], Explanation | None]] = []
    heapq.heappush(queue, (0.0, next(tie), tree.root, frozenset([answer]), None))
    doubtful = _doubtful(tree, semantics, perceived)
    for _ in range(EXPANDED):
        if not queue:
            return None
        cost, _, node, wanted, found = heapq.heappop(queue)
        if cost > PATIENCE:
            return None
        if found is not None:
            return found
        inputs = tree.inputs(node)
        if inputs is not None:
            key = Key(tree.symbols[node], len(inputs))
            own = cost + _odds(semantics, key)
            if own <= PATIENCE:
                options = sorted(wanted, key=repr)
                value = options[int(rng.integers(len(options)))] if len(options) > 1 else options[0]
                change = Explanation((Evidence(key, inputs, value),), False)
                heapq.heappush(queue, (own, next(tie), node, wanted, change))
            for symbol, price in perceived(node) if perceived else ():
                other = Key(symbol, len(inputs))
                if semantics.value(other, inputs) in wanted:
                    change = Explanation((), False, ((node, symbol),))
                    heapq.heappush(queue, (cost + price, next(tie), node, wanted, change))
        for child in tree.children[node]:
            if doubtful[child]:
                values = _needed(tree, node, child, wanted, semantics)
                if values:
                    heapq.heappush(queue, (cost, next(tie), child, frozenset(values), None))
    return None


def _odds(semantics: Semantics, key: Key) -> float:
    """What it costs to overrule the program of a key: its log-odds, nothing while there is none in use."""
    meaning = semantics.meanings.get(key)
    return 0.0 if meaning is None else meaning.odds


def _doubtful(tree: Tree, semantics: Semantics, perceived: Perceived | None) -> list[bool]:
    """Whether something at or below each node may be changed at an acceptable cost."""
    found = [False] * len(tree.symbols)
    for node in tree.order():
        inputs = tree.inputs(node)
        own = inputs is not None and _odds(semantics, Key(tree.symbols[node], len(inputs))) <= PATIENCE
        seen = perceived is not None and any(price <= PATIENCE for _, price in perceived(node))
        found[node] = own or seen or any(found[child] for child in tree.children[node])
    return found


def _needed(tree: Tree, node: int, child: int, wanted: frozenset[Value], semantics: Semantics) -> list[Value]:
    """Values of the child with which the node's own would be wanted, its other children staying what they are."""
    before, after, at = list[Value](), list[Value](), False
    for sibling in tree.children[node]:
        value = tree.values[sibling]
        if sibling == child:
            at = True
        elif value is None:
            return []
        elif value != EMPTY:
            (after if at else before).append(value)
    hole, arity = len(before), len(before) + len(after) + 1
    symbol = tree.symbols[node]
    found: list[Value] = []
    without = (*before, *after)
    if semantics.value(Key(symbol, arity - 1), without) in wanted and arity > 1:
        found.append(EMPTY)
    meaning = semantics.meanings.get(Key(symbol, arity))
    if meaning is None:
        return found
    if meaning.program is None or meaning.likelihood <= 0.5:
        for inputs, outputs in meaning.cache.items():
            if inputs[:hole] == tuple(before) and inputs[hole + 1 :] == tuple(after):
                found += [inputs[hole]] if wanted & outputs.keys() else []
        return found
    for value in _pool(wanted):
        if meaning.program((*before, value, *after)) in wanted:
            found.append(value)
    return found


def _pool(wanted: frozenset[Value]) -> list[Value]:
    """What a child's value may be: parts of the wanted lists, or small numbers and those near the wanted ones."""
    pool: dict[Value, None] = {}
    for value in sorted(wanted, key=repr):
        if isinstance(value, tuple):
            pool[()] = None
            if len(value) <= SLICES:
                for start, stop in itertools.combinations(range(len(value) + 1), 2):
                    pool[value[start:stop]] = None
        elif isinstance(value, int):
            pool[value] = None
    if any(isinstance(value, int) for value in wanted):
        pool |= dict.fromkeys(range(NUMBERS))
    return list(pool)

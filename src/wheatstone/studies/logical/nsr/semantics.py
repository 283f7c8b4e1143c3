"""What each symbol means: examples that were abduced, and the program that explains them.

Source   Li et al., ICLR 2024, arXiv:2210.01603, section 3 (semantics as programs learnt from a cache of examples)
Method   For a symbol with n children the cache counts, for each tuple of children's values, how often which value was
         needed. New evidence for a tuple halves what was there; an output is trusted once its weight is at least 1 and
         above half of its tuple's. A program is worth its accuracy on the trusted examples, divided by a discount while
         examples are few; from 0.5 it is used, from 0.95 the symbol counts as solved.

Two departures, both measured by the authors' own rule failing on SCAN: the discount is 3 n over the number of examples
(theirs is 10 n, which `left` and `right` never pay off: SCAN has four or five inputs for them), and only tuples with
new evidence decay (theirs forgets a solved symbol once the batches no longer hold it).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import numpy as np

from wheatstone.domains.programs.induction import Example, accuracy, induce
from wheatstone.domains.programs.language import EMPTY, Inputs, Program, Value, from_json, to_json

USED, SOLVED, CERTAIN = 0.5, 0.95, 0.995
TRUSTED_WEIGHT = 1.0
FIRM = 12.0
"""Trusted examples with which a solved symbol is certain enough not to collect more, nor to be overruled."""
DOUBTS, DOUBTED, SURELY = 10.0, 0.2, 0.8
"""A program is doubtful once so many sentences with it went wrong, and a share of them that is so much above the share
of all sentences, or above the last number."""
FADE = 0.8
"""What is left of old counts after a round."""
VARIETY = 4
"""Trusted examples of one shape (lengths of lists, values of numbers) that count as support."""
FEW = 3.0
"""Distinct examples for each child below which a program is discounted."""
KEYS = 300
"""Tuples of inputs that a cache holds; the oldest go first."""
SEARCHED = 100
"""Examples that a search for a program sees."""


class Key(NamedTuple):
    """A symbol with a number of children."""

    symbol: int
    arity: int


class Evidence(NamedTuple):
    """One node whose value is known: what went in, what had to come out."""

    key: Key
    inputs: Inputs
    output: Value


@dataclass
class Meaning:
    """The cache of one key and the program found for it."""

    arity: int
    cache: dict[Inputs, dict[Value, float]] = field(default_factory=dict[Inputs, dict[Value, float]])
    program: Program | None = None
    likelihood: float = 0.0
    support: float = 0.0
    """Trusted examples, as far as they are unlike each other: lists of one length tell little about other lengths. For
    a symbol without children, which has but one example, its weight."""
    agreed: float = 0.0
    """Recent sentences with the symbol that came out right, older ones counting less."""
    failed: float = 0.0
    """The same for those that came out wrong."""
    is_doubtful: bool = False
    """Sentences with the symbol go wrong more often than others: its examples may be just those that a wrong program
    gets right, so it may be overruled."""
    searched: int = -1
    """Fingerprint of the trusted examples at the last search, so that nothing is searched twice."""

    @property
    def is_solved(self) -> bool:
        return self.likelihood >= SOLVED

    @property
    def is_firm(self) -> bool:
        """Solved by so much evidence that no more is collected."""
        return self.is_solved and self.support >= FIRM and not self.is_doubtful

    @property
    def odds(self) -> float:
        """Log-odds that the program is right, by Laplace's rule of succession; 0 without one or when it is doubtful."""
        if self.program is None or self.is_doubtful:
            return 0.0
        right = self.likelihood * self.support
        return max(0.0, math.log((right + 1) / (self.support - right + 1)))

    def trusted(self) -> list[Example]:
        """The examples that count, the best supported first."""
        found: list[Example] = []
        for inputs, outputs in self.cache.items():
            value, weight = max(outputs.items(), key=lambda item: item[1])
            if weight >= TRUSTED_WEIGHT and weight > 0.5 * sum(outputs.values()):
                found.append(Example(inputs, value, weight))
        return sorted(found, key=lambda example: -example.weight)

    def add(self, examples: Iterable[tuple[Inputs, Value]]) -> None:
        """New evidence; what was known about the same inputs counts half."""
        fresh: dict[Inputs, Counter[Value]] = {}
        for inputs, output in examples:
            fresh.setdefault(inputs, Counter())[output] += 1
        for inputs, counts in fresh.items():
            known = self.cache.pop(inputs, {})
            outputs = {value: weight / 2 for value, weight in known.items() if weight > 0.1}
            for value, count in counts.items():
                outputs[value] = outputs.get(value, 0.0) + count
            self.cache[inputs] = outputs
        while len(self.cache) > KEYS:
            del self.cache[next(iter(self.cache))]

    def value(self, inputs: Inputs, rng: np.random.Generator | None = None) -> Value | None:
        """The program's value; without one, what the cache holds (drawn by weight with `rng`); else None."""
        if self.program is not None and self.likelihood > USED:
            return self.program(inputs)
        outputs = self.cache.get(inputs)
        if not outputs:
            return None
        if rng is None or len(outputs) == 1:
            return max(outputs, key=lambda value: outputs[value])
        weights = np.array(list(outputs.values()))
        return list(outputs)[int(rng.choice(len(weights), p=weights / weights.sum()))]

    def judge(self) -> None:
        """Scores the program anew on what is trusted now."""
        examples = self.trusted()
        if self.arity == 0:
            self.support = sum(example.weight for example in examples)
        else:
            shapes = {tuple(map(_shape, example.inputs)) for example in examples}
            self.support = float(min(len(examples), VARIETY * len(shapes)))
        if self.program is None or not examples:
            return
        self.likelihood = accuracy(self.program, examples) / max(1.0, FEW * self.arity / len(examples))


class Semantics:
    """The meanings of all symbols."""

    def __init__(self, names: Sequence[str], *, recursion: bool = True) -> None:
        self.names = tuple(names)
        self.recursion = recursion
        self.meanings: dict[Key, Meaning] = {}

    def meaning(self, key: Key) -> Meaning:
        if key not in self.meanings:
            self.meanings[key] = Meaning(key.arity)
        return self.meanings[key]

    def value(self, key: Key, inputs: Inputs, rng: np.random.Generator | None = None) -> Value | None:
        meaning = self.meanings.get(key)
        return None if meaning is None else meaning.value(inputs, rng)

    def is_firm(self, key: Key) -> bool:
        meaning = self.meanings.get(key)
        return meaning is not None and meaning.is_firm

    def update(self, evidence: Sequence[Evidence]) -> None:
        """Adds what a batch has shown."""
        by_key: dict[Key, list[tuple[Inputs, Value]]] = {}
        for key, inputs, output in evidence:
            by_key.setdefault(key, []).append((inputs, output))
        for key, examples in by_key.items():
            meaning = self.meaning(key)
            meaning.add(examples)
            meaning.judge()

    def credit(self, used: Iterable[tuple[Iterable[Key], bool]]) -> None:
        """For each sentence the meanings that its tree used, and whether the answer was right."""
        for meaning in self.meanings.values():
            meaning.agreed, meaning.failed = FADE * meaning.agreed, FADE * meaning.failed
        total = wrong = 0
        for keys, is_right in used:
            total += 1
            wrong += not is_right
            for key in keys:
                meaning = self.meanings.get(key)
                if meaning is not None and is_right:
                    meaning.agreed += 1
                elif meaning is not None:
                    meaning.failed += 1
        limit = min(SURELY, wrong / max(1, total) + DOUBTED)
        for meaning in self.meanings.values():
            share = meaning.failed / max(1.0, meaning.failed + meaning.agreed)
            meaning.is_doubtful = meaning.failed >= DOUBTS and share > limit

    def induce(self) -> list[Key]:
        """Searches a program for every unsolved symbol with new evidence; returns keys with a better one."""
        changed: list[Key] = []
        for key in sorted(self.meanings):
            meaning = self.meanings[key]
            if meaning.likelihood >= CERTAIN:
                continue
            examples = meaning.trusted()
            fingerprint = len(examples) * 1_000_003 + sum(len(repr(example[:2])) for example in examples)
            if not examples or fingerprint == meaning.searched:
                continue
            meaning.searched = fingerprint
            found = induce(examples[:SEARCHED], self.library() if self.recursion else {}, recursion=self.recursion)
            if found is None:
                continue
            old, before = meaning.program, meaning.likelihood
            meaning.program = found.program
            meaning.judge()
            same = meaning.likelihood == before and old is not None and found.program.size >= old.size
            if old is not None and (meaning.likelihood < before or same):
                meaning.program, meaning.likelihood = old, before
            else:
                changed.append(key)
                if old is None or old.body != found.program.body:
                    meaning.agreed, meaning.failed, meaning.is_doubtful = 0.0, 0.0, False
        return changed

    def void(self) -> list[int]:
        """Symbols that are known to have no value."""
        return [
            key.symbol
            for key, meaning in sorted(self.meanings.items())
            if key.arity == 0 and meaning.is_firm and meaning.value(()) == EMPTY
        ]

    def library(self) -> dict[str, Program]:
        """Solved programs on numbers, which later ones may call."""
        return {
            self.names[key.symbol]: meaning.program
            for key, meaning in sorted(self.meanings.items())
            if meaning.is_solved and key.arity > 0 and meaning.program is not None and self._is_numeric(meaning)
        }

    def programs(self) -> dict[Key, Meaning]:
        """Every symbol that has a program in use."""
        return {key: one for key, one in sorted(self.meanings.items()) if one.program and one.likelihood > USED}

    def to_json(self) -> dict[str, Any]:
        """Caches and programs as JSON values; programs in the order in which they may call each other."""
        return {
            "meanings": [
                {
                    "symbol": key.symbol,
                    "arity": key.arity,
                    "cache": [
                        [list(inputs), [[value, weight] for value, weight in outputs.items()]]
                        for inputs, outputs in one.cache.items()
                    ],
                    "program": to_json(one.program) if one.program else None,
                    "likelihood": one.likelihood,
                    "support": one.support,
                    "agreed": one.agreed,
                    "failed": one.failed,
                    "doubtful": one.is_doubtful,
                    "searched": one.searched,
                }
                for key, one in self.meanings.items()
            ]
        }

    def load(self, stored: Mapping[str, Any]) -> None:
        """What `to_json` gave."""
        for item in stored["meanings"]:
            meaning = self.meaning(Key(item["symbol"], item["arity"]))
            meaning.cache = {
                tuple(value_of(one) for one in inputs): {value_of(value): weight for value, weight in outputs}
                for inputs, outputs in item["cache"]
            }
            meaning.program = from_json(item["program"]) if item["program"] else None
            meaning.likelihood, meaning.support = item["likelihood"], item["support"]
            meaning.agreed, meaning.failed = item["agreed"], item["failed"]
            meaning.is_doubtful = item["doubtful"]
            meaning.searched = item["searched"]

    @staticmethod
    def _is_numeric(meaning: Meaning) -> bool:
        return all(isinstance(value, int) for inputs in meaning.cache for value in inputs)


def _shape(value: Value) -> Value:
    return len(value) if isinstance(value, tuple) else value


def value_of(stored: Any) -> Value:
    """The value that was stored as JSON: a list is a list of tokens."""
    return tuple(cast("list[str]", stored)) if isinstance(stored, list) else cast("Value", stored)

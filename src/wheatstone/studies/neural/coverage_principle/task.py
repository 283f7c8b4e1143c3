"""A composition as tokens: training rows in the form that an arm asks for, and the tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from wheatstone.domains.compositions import Composition, Ints, Tests
from wheatstone.domains.steps import Written, written
from wheatstone.learn.generation import generate
from wheatstone.learn.models.transformer import Transformer
from wheatstone.learn.sequences import Sequences, padded
from wheatstone.learn.training import answers

Form = Literal["direct", "cot", "filler"]


@dataclass(frozen=True)
class Tokens:
    """How a composition is written: tokens 0 .. n_token - 1, then the filler."""

    composition: Composition
    form: Form

    @property
    def vocab(self) -> int:
        return self.composition.n_token + 1

    @property
    def filler(self) -> int:
        return self.composition.n_token

    @property
    def n_step(self) -> int:
        """Tokens that are written: the target, and what stands before it."""
        return 1 if self.form == "direct" else len(self.composition.shape.calls)

    @property
    def context(self) -> int:
        return self.composition.shape.arity + self.n_step

    def prompts(self, rows: Ints) -> Int[Tensor, "row arity"]:
        return torch.from_numpy(self.composition.inputs[rows])

    def targets(self, rows: Ints) -> Int[Tensor, " row"]:
        return torch.from_numpy(self.composition.targets[rows])

    def continuations(self, rows: Ints) -> Ints:
        """[row, step] what follows each input, the target last."""
        shape = self.composition.shape
        results = self.composition.slots[rows, shape.arity :]
        if self.form == "direct":
            return results[:, -1:]
        if self.form == "filler":
            results[:, :-1] = self.filler
        return results

    def train(self, rows: Ints, *, first_call_told: bool = False) -> Sequences:
        """The training rows, and with them the first call of each as a question of its own, once."""
        inputs = self.composition.inputs[rows]
        shape = self.composition.shape
        first = list(shape.calls[0])
        calls, at = np.unique(inputs[:, first], axis=0, return_index=True)
        bridges = self.composition.slots[rows[at], shape.arity]
        if self.form == "direct":
            told = ([calls], [bridges]) if first_call_told else ([], [])
            return padded([inputs, *told[0]], [self.composition.targets[rows], *told[1]])
        groups = [Written(inputs, self.continuations(rows))]
        if first_call_told:
            groups.append(Written(calls, bridges[:, None]))
        return written(groups)

    def given(self, model: Transformer, rows: Ints) -> Ints:
        """[row] the target that the model writes at the end, with steps of its own before it."""
        prompts = self.prompts(rows).to(next(model.parameters()).device)
        if self.form == "direct":
            return answers(model, prompts).cpu().numpy()
        return generate(model, prompts, self.n_step)[:, -1].cpu().numpy()

    def right(self, model: Transformer, rows: Ints) -> Ints:
        """[row] 1 where the target is written exactly, else 0."""
        return (self.given(model, rows) == self.composition.targets[rows]).astype(np.int64)


@dataclass(frozen=True)
class Sampled:
    """Row numbers of a trial's training rows and of those that it is tested on."""

    train: Ints
    train_asked: Ints
    test_id: Ints
    test_ood: Ints


def sampled(parts: Tests, asked: int, rng: np.random.Generator) -> Sampled:
    def some(rows: Ints) -> Ints:
        return np.sort(rng.permutation(rows)[:asked])

    return Sampled(parts.train, some(parts.train), some(parts.test_id), some(parts.test_ood))


def majority(composition: Composition, train: Ints, tests: Ints) -> float:
    """Accuracy of the most frequent training target, in [0, 1]: random tables have popular results."""
    if not len(tests):
        return float("nan")
    return float((composition.targets[tests] == np.bincount(composition.targets[train]).argmax()).mean())

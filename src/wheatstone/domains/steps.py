"""Questions that are answered in writing: steps first, then the answer, one token each, then an end.

Chain of thought on facts as in Yao et al. 2025, arXiv:2502.04667, section 3: the two-hop question `h r1 r2` is answered
`b t end` (bridge, then tail) instead of `t end`. Two controls have the same length or the same tokens without the
reasoning: `filler` writes one constant token where the bridge would stand, and shuffled bridges belong to another
question. Wrong steps are put into training questions alone, and what they replaced is kept beside them.

A model is always tested by what it writes itself (`Asked.written_by`): nothing of the right steps is ever fed to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

from wheatstone.bench.errors import UserError
from wheatstone.domains.kg.graph import Chains, Int32
from wheatstone.learn.generation import generate
from wheatstone.learn.models.transformer import Transformer
from wheatstone.learn.sequences import NO_TARGET, Ids, Sequences

Ints = npt.NDArray[np.int64]
Form = Literal["direct", "cot", "filler"]
"""What is written before the answer: nothing, the bridges, or as many constant tokens."""
Wrong = Literal["none", "t", "b", "both", "shuffled"]
"""What is wrong in training: nothing, the answer, the bridge, both; or every bridge is that of another question."""
NAN = float("nan")


@dataclass(frozen=True)
class StepTokens:
    """Entities keep their ids, relation r is token n_entity + r; then come the filler and the end."""

    n_entity: int
    n_relation: int

    @property
    def filler(self) -> int:
        return self.n_entity + self.n_relation

    @property
    def end(self) -> int:
        return self.filler + 1

    @property
    def n_token(self) -> int:
        return self.end + 1

    def question(self, head: Ids, relations: Ids) -> Ints:
        """[n, 1 + hop]: the head and relations [n, hop] as tokens."""
        return np.concatenate([head[:, None], relations + self.n_entity], axis=1).astype(np.int64)

    def continuation(self, path: Ids, form: Form) -> Ints:
        """[n, step]: what follows a question that leads through the entities `path` [n, hop], the answer last."""
        path = path.astype(np.int64)
        before = path[:, :-1]
        if form == "direct":
            before = before[:, :0]
        elif form == "filler":
            before = np.full_like(before, self.filler)
        return np.concatenate([before, path[:, -1:], np.full_like(path[:, -1:], self.end)], axis=1)


class Written(NamedTuple):
    """Questions of one length, and what is written after each: any tokens, so any number of steps."""

    prompts: Ids
    """[question, pos]"""
    continuations: Ids
    """[question, step]"""


def written(groups: Sequence[Written], *, pad: int = 0) -> Sequences:
    """One question a row, with every written token as a target; rows are padded on the right.

    The last written token is a target only: no row holds it.
    """
    width = max(group.prompts.shape[1] + group.continuations.shape[1] - 1 for group in groups)
    tokens = np.full((sum(len(group.prompts) for group in groups), width), pad, np.int64)
    targets = np.full_like(tokens, NO_TARGET)
    row = 0
    for prompts, continuations in groups:
        rows = slice(row, row + len(prompts))
        asked, steps = prompts.shape[1], continuations.shape[1]
        tokens[rows, :asked] = prompts
        tokens[rows, asked : asked + steps - 1] = continuations[:, :-1]
        targets[rows, asked - 1 : asked + steps - 1] = continuations
        row += len(prompts)
    return Sequences(torch.from_numpy(tokens), torch.from_numpy(targets))


@dataclass(frozen=True)
class Corrupted:
    """Paths [n, hop] as training writes them, beside the true ones."""

    written: Ints
    true: Ints

    @property
    def changed(self) -> tuple[float, float]:
        """Share of questions with a wrong bridge, and with a wrong answer, in training: the effective noise."""
        if not len(self.true):
            return NAN, NAN
        wrong = self.written != self.true
        return float(wrong[:, :-1].any(axis=1).mean()), float(wrong[:, -1].mean())


def corrupted(path: Ids, wrong: Wrong, rate: float, n_entity: int, rng: np.random.Generator) -> Corrupted:
    """Each question, with probability `rate`, gets a uniform entity for its bridge, its answer, or both.

    A uniform draw hits the true entity now and then, so the effective noise is rate (1 - 1 / n_entity). `shuffled`
    ignores the rate: each bridge comes from another question, so their frequencies stay what they were.

    Raises UserError for a rate outside [0, 1], and for fewer than two entities, which leave nothing wrong to write.
    """
    if not 0 <= rate <= 1:
        raise UserError(f"noise: got a rate of {rate:g}, must lie between 0 and 1 (share of the training questions).")
    true = path.astype(np.int64)
    noisy = true.copy()
    if wrong == "none":
        return Corrupted(noisy, true)
    if n_entity < 2:
        raise UserError(f"noise: got {n_entity} entity, a wrong step needs at least 2.")
    if wrong == "shuffled":
        noisy[:, :-1] = true[rng.permutation(len(true)), :-1]
        return Corrupted(noisy, true)
    # All are drawn, whatever is wrong: one seed then hits the same questions in every arm, and more at a higher rate.
    hit, drawn = rng.random(len(true)) < rate, rng.integers(n_entity, size=true.shape)
    columns = {"t": slice(-1, None), "b": slice(None, -1), "both": slice(None)}[wrong]
    noisy[hit, columns] = drawn[hit, columns]
    return Corrupted(noisy, true)


def parse_noise(text: str) -> tuple[Wrong, float]:
    """'t:0.2', 'b:0.4', 'both:0.1', 'none'. Raises UserError for anything else."""
    place, _, number = text.partition(":")
    places: dict[str, Wrong] = {"t": "t", "b": "b", "both": "both"}
    try:
        if text == "none":
            return "none", 0.0
        wrong, rate = places[place], float(number)
    except (KeyError, ValueError):
        raise UserError(f"noise: got '{text}', must be none, or t, b or both with a rate, as t:0.2.") from None
    if not 0 <= rate <= 1:
        raise UserError(f"noise: got a rate of {rate:g}, must lie between 0 and 1 (share of the training questions).")
    return wrong, rate


class Rates(NamedTuple):
    """How often what a model wrote is right, in [0, 1]; NaN without questions."""

    answer: float
    """The answer, whatever stands before it."""
    bridge: float
    """Every step before the answer; NaN where none is written, or only fillers."""
    exact: float
    """Everything, the end included: what a comparison of strings would say."""
    answer_if_bridge_wrong: float
    """The answer, among the questions with a wrong step; NaN if there are none."""
    consistent: float
    """The answer is the one that the last written step leads to; NaN where no bridge is written."""


@dataclass(frozen=True)
class Asked:
    """Questions of one length with the entities on the way; what stands in `path` is compared, and never fed."""

    prompts: Int[Tensor, "question pos"]
    path: Int[Tensor, "question hop"]
    """Bridges, then the answer."""

    def __len__(self) -> int:
        return len(self.prompts)

    def written_by(self, model: Transformer, form: Form, end: int) -> Int[Tensor, "question step"]:
        """What the model writes of its own accord, one token after the other, the end included."""
        device = next(model.parameters()).device
        steps = 2 if form == "direct" else self.path.shape[1] + 1
        return generate(model, self.prompts.to(device), steps, stop=end).cpu()

    def rates(self, model: Transformer, form: Form, tokens: StepTokens, table: Int32 | None = None) -> Rates:
        """How much of what the model writes is right. `table` [n_entity, n_relation] says where a step leads."""
        if not len(self):
            return Rates(NAN, NAN, NAN, NAN, NAN)
        return compared(self.written_by(model, form, tokens.end), self, form, tokens, table)


def compared(
    given: Int[Tensor, "question step"], asked: Asked, form: Form, tokens: StepTokens, table: Int32 | None = None
) -> Rates:
    """The rates of written continuations."""
    wanted = torch.from_numpy(tokens.continuation(asked.path.numpy(), form))
    right = given == wanted
    answer, exact = right[:, -2], right.all(dim=1)
    if form != "cot" or asked.path.shape[1] == 1:
        return Rates(_share(answer), NAN, _share(exact), NAN, NAN)
    bridge = right[:, :-2].all(dim=1)
    consistent = NAN
    if table is not None:
        step, relation = given[:, -3].numpy(), asked.prompts[:, -1].numpy() - tokens.n_entity
        is_entity = step < tokens.n_entity
        led = np.where(is_entity, table[np.where(is_entity, step, 0), relation], -1)
        consistent = float((led == given[:, -2].numpy()).mean())
    return Rates(_share(answer), _share(bridge), _share(exact), _share(answer[~bridge]), consistent)


def _share(hits: Tensor) -> float:
    return hits.float().mean().item() if len(hits) else NAN


def chain_paths(chains: Chains) -> Ints:
    """[n, 2]: bridge and tail of two-hop chains."""
    return chains.rows[:, [2, 4]].astype(np.int64)


def chain_questions(chains: Chains, tokens: StepTokens) -> Ints:
    """[n, 3]: h, r1, r2 as tokens."""
    return tokens.question(chains.head, chains.rows[:, [1, 3]])


def fact_questions(facts: Int32, tokens: StepTokens) -> Ints:
    """[n, 2]: h, r as tokens."""
    return tokens.question(facts[:, 0], facts[:, 1:2])


class ThreeHops(NamedTuple):
    """Chains of three facts."""

    prompts: Ints
    """[n, 4]: h, r1, r2, r3 as tokens."""
    path: Ints
    """[n, 3]: both bridges and the answer."""


def three_hops(pairs: Chains, facts: Int32, tokens: StepTokens, rng: np.random.Generator, limit: int) -> ThreeHops:
    """Up to `limit` distinct chains of a two-hop chain in `pairs` and a fact in `facts` that starts at its tail."""
    order = rng.permutation(len(pairs))
    by_head: dict[int, list[tuple[int, int]]] = {}
    for head, relation, tail in facts.tolist():
        by_head.setdefault(head, []).append((relation, tail))
    rows: list[tuple[int, ...]] = []
    for h, r1, b, r2, t in pairs.rows[order].tolist():
        if len(rows) >= limit:
            break
        following = by_head.get(t, [])
        if following:
            relation, tail = following[int(rng.integers(len(following)))]
            rows.append((h, r1, r2, relation, b, t, tail))
    found = np.array(rows, np.int64).reshape(-1, 7)
    return ThreeHops(tokens.question(found[:, 0], found[:, 1:4]), found[:, 4:])

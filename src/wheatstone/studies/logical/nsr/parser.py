"""A batched arc-standard dependency parser with a small network that chooses the transitions.

Source   Nivre, 2004 (arc-standard); Chen, Manning, EMNLP 2014 (features and network); Li et al., ICLR 2024,
         arXiv:2210.01603, section 3 (sampled while training, greedy when asked)
Method   Each step shifts a word, or makes the second of the two words on top of the stack a child of the first (left
         arc) or the first a child of the second (right arc); a sentence of n words takes 2 n - 1 steps and ends with
         its root alone. The network reads 18 words: three of the stack, three of the buffer, and of the two on top the
         two leftmost and rightmost children and their outermost children.

A step that no tree of the known arities contains is masked out. Beside its own vector a word has one of its arity
class, and in training its own is dropped at random: a word that was only ever seen alone is then parsed as its class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

SHIFT, LEFT, RIGHT = 0, 1, 2
FEATURES = 18
CLASSES = 6
"""Arity classes: 0, 1, 2, 3 and more, not known, and no word."""
UNKNOWN, NO_WORD = 4, 5
UNLIMITED = 1 << 14

EXPLORED = 2.0
"""Uniform steps in a sentence that explores, at most: with more of them hardly a long one would be explained."""

Int16 = NDArray[np.int16]


class Bounds(NamedTuple):
    """How many children a symbol takes, at least and at most, and which symbols have no value; each (symbol,).

    A symbol without value is no argument: it may only hang on a head that has all its arguments. So an opening
    parenthesis waits until what it opens is complete.
    """

    least: NDArray[np.int64]
    most: NDArray[np.int64]
    void: NDArray[np.bool_]

    @classmethod
    def of(cls, arities: Sequence[int | None], void: Sequence[int] = (), *, extra: bool = False) -> Bounds:
        """From known arities and symbols known to have no value.

        With `extra`, symbols with children may have more of them as long as no symbol is known to have no value: then
        those may be what hangs there.
        """
        loose = extra and not void
        least = np.array([arity or 0 for arity in arities], np.int64)
        most = np.array([UNLIMITED if arity is None or (loose and arity > 0) else arity for arity in arities], np.int64)
        return cls(least, most, np.isin(np.arange(len(arities)), np.array(void, np.int64)))

    def classes(self) -> NDArray[np.int64]:
        """Arity class of each symbol, then that of 'no word'."""
        known = np.where((self.least == 0) & (self.most > 0), UNKNOWN, np.minimum(self.least, 3))
        return np.append(known, NO_WORD)


@dataclass(frozen=True)
class Parses:
    """Trees of a batch with the steps that made them. B sentences of at most N words, T = 2 N - 1 steps."""

    heads: NDArray[np.int64]
    """(B, N): head of each word, -1 for the root and beyond the end."""
    features: Int16
    """(B, T, 18): the words that each step looked at, -1 for none."""
    actions: NDArray[np.int8]
    """(B, T): the step, -1 after the end."""
    legal: NDArray[np.bool_]
    """(B, T, 3): which steps were allowed."""
    fitting: NDArray[np.bool_]
    """(B,): whether every symbol has a number of children that it takes."""
    log_probability: NDArray[np.float64]
    """(B,): of all steps together, as the network sees them."""


class TransitionNet(nn.Module):
    """18 words -> scores of the three steps."""

    def __init__(self, n_symbol: int, width: int, hidden: int, init: torch.Generator) -> None:
        super().__init__()
        self.symbol = nn.Embedding(n_symbol + 1, width)
        self.arity = nn.Embedding(CLASSES, width)
        self.hidden = nn.Linear(FEATURES * width, hidden)
        self.out = nn.Linear(hidden, 3)
        with torch.no_grad():
            for parameter in self.parameters():
                if parameter.ndim == 2:
                    fan = parameter.shape[1] if parameter.shape[0] in (hidden, 3) else width
                    parameter.normal_(0.0, fan**-0.5, generator=init)
                else:
                    parameter.zero_()

    def forward(
        self, words: Int[Tensor, "row 18"], classes: Int[Tensor, " symbol"], kept: Bool[Tensor, "row 18"] | None = None
    ) -> Float[Tensor, "row 3"]:
        """Scores of shift, left arc and right arc; `kept` says which words show more than their arity class."""
        own = self.symbol(words)
        if kept is not None:
            own = own * kept[..., None]
        return self.out(F.relu(self.hidden((own + self.arity(classes[words])).flatten(1))))


class Parser:
    """The network with its optimiser, and the transition system around it."""

    def __init__(
        self, n_symbol: int, seed: int, *, width: int = 32, hidden: int = 128, lr: float = 1e-3, dropped: float = 0.3
    ) -> None:
        self.n_symbol, self.dropped = n_symbol, dropped
        self.net = TransitionNet(n_symbol, width, hidden, torch.Generator().manual_seed(seed))
        self.optimiser = torch.optim.Adam(self.net.parameters(), lr=lr, amsgrad=True)

    def parse(
        self,
        symbols: NDArray[np.int64],
        lengths: NDArray[np.int64],
        bounds: Bounds,
        rng: np.random.Generator | None = None,
        exploration: float = 0.0,
        attempt: int = 0,
    ) -> Parses:
        """Trees for a batch: greedy without `rng`; with it sampled, and in every second sentence a step is uniform with
        probability `exploration`, in long sentences so seldom that `EXPLORED` steps are expected to be.

        Arguments:
            symbols: (B, N) symbol numbers, anything beyond the end of a sentence.
            lengths: (B,) words of each sentence, at least 1.
        """
        state = _State(symbols, lengths, bounds)
        n_step = 2 * symbols.shape[1] - 1
        batch = len(symbols)
        features = np.full((batch, n_step, FEATURES), -1, np.int16)
        actions = np.full((batch, n_step), -1, np.int8)
        legal = np.zeros((batch, n_step, 3), bool)
        log_probability = np.zeros(batch)
        classes = torch.from_numpy(bounds.classes())
        padded = np.concatenate([symbols, np.full((batch, 1), self.n_symbol)], axis=1)
        for step in range(n_step):
            rows = np.flatnonzero(step < 2 * lengths - 1)
            if not len(rows):
                break
            seen = state.features(rows)
            allowed = state.legal(rows)
            words = np.take_along_axis(padded[rows], np.where(seen < 0, symbols.shape[1], seen), 1)
            with torch.no_grad():
                scores = self.net(torch.from_numpy(words), classes).numpy().astype(np.float64)
            scores[~allowed] = -np.inf
            weights = np.exp(scores - scores.max(1, keepdims=True))
            weights /= weights.sum(1, keepdims=True)
            own = weights
            if rng is None:
                chosen = scores.argmax(1)
            else:
                share = np.minimum(exploration, EXPLORED / (2 * lengths[rows] - 1)) * explores(rows, attempt)
                uniform = allowed / allowed.sum(1, keepdims=True)
                weights = (1 - share[:, None]) * weights + share[:, None] * uniform
                chosen = (rng.random((len(rows), 1)) > weights.cumsum(1)[:, :2]).sum(1)
                chosen = np.where(allowed[np.arange(len(rows)), chosen], chosen, scores.argmax(1))
            log_probability[rows] += np.log(own[np.arange(len(rows)), chosen] + 1e-12)
            features[rows, step], actions[rows, step], legal[rows, step] = seen, chosen, allowed
            state.apply(rows, chosen)
        return Parses(state.heads[:, :-1], features, actions, legal, state.fitting(), log_probability)

    def train(
        self,
        words: NDArray[np.int64],
        actions: NDArray[np.int64],
        legal: NDArray[np.bool_],
        weights: NDArray[np.float32],
        bounds: Bounds,
        rng: np.random.Generator,
        batch: int = 1024,
        *,
        rate: float | None = None,
    ) -> float:
        """One pass over steps of accepted trees; the mean loss.

        Arguments:
            words: (row, 18) symbol numbers, `n_symbol` for no word.
            actions, legal, weights: (row,), (row, 3), (row,) the step taken, the steps allowed, how much it counts.
        """
        classes = torch.from_numpy(bounds.classes())
        if rate is not None:
            for group in self.optimiser.param_groups:
                group["lr"] = rate
        order = rng.permutation(len(words))
        total = 0.0
        for start in range(0, len(words), batch):
            rows = order[start : start + batch]
            kept = torch.from_numpy(rng.random((len(rows), FEATURES)) >= self.dropped)
            scores = self.net(torch.from_numpy(words[rows]), classes, kept)
            scores = scores.masked_fill(torch.from_numpy(~legal[rows]), -1e9)
            logs = scores.log_softmax(1).gather(1, torch.from_numpy(actions[rows])[:, None])[:, 0]
            weight = torch.from_numpy(weights[rows])
            loss = -(weight * logs).sum() / weight.sum()
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            total += loss.item() * len(rows)
        return total / max(1, len(words))

    def scramble(self, symbol: int, seed: int) -> None:
        """Gives a symbol a random vector in place of its own."""
        with torch.no_grad():
            weight = self.net.symbol.weight
            weight[symbol] = torch.randn(weight.shape[1], generator=torch.Generator().manual_seed(seed)) * weight.std()

    def tensors(self) -> dict[str, Tensor]:
        """Weights and optimiser state, for a checkpoint."""
        found = {f"net.{name}": tensor for name, tensor in self.net.state_dict().items()}
        for at, state in self.optimiser.state_dict()["state"].items():
            found |= {f"adam.{at}.{name}": torch.as_tensor(value) for name, value in state.items()}
        return found

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """What `tensors` gave."""
        self.net.load_state_dict({n.removeprefix("net."): t for n, t in tensors.items() if n.startswith("net.")})
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("adam."):
                _, at, part = name.split(".")
                state.setdefault(int(at), {})[part] = tensor
        if state:
            groups = self.optimiser.state_dict()["param_groups"]
            self.optimiser.load_state_dict({"state": state, "param_groups": groups})


class _State:
    """Stacks, buffers and half-built trees of a batch. A word is its position; -1 is none, kept in a last column."""

    def __init__(self, symbols: NDArray[np.int64], lengths: NDArray[np.int64], bounds: Bounds) -> None:
        batch, longest = symbols.shape
        self.lengths = lengths
        inside = np.where(np.arange(longest) < lengths[:, None], symbols, 0)
        self.least, self.most, self.void = bounds.least[inside], bounds.most[inside], bounds.void[inside]
        self.stack = np.full((batch, longest + 3), -1, np.int64)
        """Three empty places at the bottom, so that looking below the stack finds none."""
        self.height = np.full(batch, 3, np.int64)
        self.next = np.zeros(batch, np.int64)
        self.heads = np.full((batch, longest + 1), -1, np.int64)
        self.count = np.zeros((batch, longest + 1), np.int64)
        self.outer = np.full((4, batch, longest + 1), -1, np.int64)
        """Leftmost, rightmost, second leftmost and second rightmost child of each word."""

    def features(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """(row, 18) words that the network reads."""
        height, ahead = self.height[rows], self.next[rows]
        tops = [self.stack[rows, height - depth] for depth in (1, 2, 3)]
        coming = [np.where(ahead + k < self.lengths[rows], ahead + k, -1) for k in range(3)]
        found = [*tops, *coming]
        for top in tops[:2]:
            children = [self.outer[k, rows, top] for k in range(4)]
            found += [*children, self.outer[0, rows, children[0]], self.outer[1, rows, children[1]]]
        return np.stack(found, 1)

    def legal(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(row, 3) steps that a tree of the known arities may contain; any possible step where there is none."""
        height = self.height[rows]
        first, second = self.stack[rows, height - 1], self.stack[rows, height - 2]
        possible = np.stack([self.next[rows] < self.lengths[rows], height >= 5, height >= 5], 1)
        left, right = self._takes(rows, first, second), self._takes(rows, second, first)
        fitting = possible & np.stack([possible[:, 0], left, right], 1)
        return np.where(fitting.any(1, keepdims=True), fitting, possible)

    def fitting(self) -> NDArray[np.bool_]:
        """(B,) whether every symbol has a number of children that it takes."""
        count = self.count[:, :-1]
        inside = np.arange(count.shape[1]) < self.lengths[:, None]
        return (((count >= self.least) & (count <= self.most)) | ~inside).all(1)

    def apply(self, rows: NDArray[np.int64], actions: NDArray[np.int64]) -> None:
        """Takes the steps."""
        shifted = rows[actions == SHIFT]
        self.stack[shifted, self.height[shifted]] = self.next[shifted]
        self.height[shifted] += 1
        self.next[shifted] += 1
        for action in (LEFT, RIGHT):
            some = rows[actions == action]
            height = self.height[some]
            first, second = self.stack[some, height - 1], self.stack[some, height - 2]
            head, child = (first, second) if action == LEFT else (second, first)
            self.heads[some, child] = head
            self.count[some, head] += ~self.void[some, child]
            self._attach(some, head, child)
            self.stack[some, height - 1] = -1
            self.stack[some, height - 2] = head
            self.height[some] -= 1

    def _attach(self, rows: NDArray[np.int64], head: NDArray[np.int64], child: NDArray[np.int64]) -> None:
        """A left arc adds the new leftmost child, or the new rightmost one; a right arc the new rightmost one."""
        left, right, left2, right2 = (self.outer[k, rows, head] for k in range(4))
        is_first = left < 0
        is_left, is_right = ~is_first & (child < left), ~is_first & (child > right)
        self.outer[2, rows, head] = np.where(is_left, left, np.where(is_right & (left2 < 0), child, left2))
        self.outer[3, rows, head] = np.where(is_right, right, np.where(is_left & (right2 < 0), child, right2))
        self.outer[0, rows, head] = np.where(is_first | is_left, child, left)
        self.outer[1, rows, head] = np.where(is_first | is_right, child, right)

    def _takes(self, rows: NDArray[np.int64], head: NDArray[np.int64], child: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the head may take the child: an argument while it lacks one, a word without value after that."""
        count, least, most = self.count[rows, head], self.least[rows, head], self.most[rows, head]
        complete = self.count[rows, child] >= self.least[rows, child]
        hangs = (count >= least) & (most > 0) & ~self.void[rows, head]
        return complete & np.where(self.void[rows, child], hangs, count < most)


def explores(rows: NDArray[np.int64], attempt: int) -> NDArray[np.bool_]:
    """Which sentences of a batch take uniform steps: every second one, and the others at the next attempt."""
    return (rows + attempt) % 2 == 1


def children_of(heads: Sequence[int]) -> list[list[int]]:
    """Children of each word from left to right."""
    found: list[list[int]] = [[] for _ in heads]
    for word, head in enumerate(heads):
        if head >= 0:
            found[head].append(word)
    return found

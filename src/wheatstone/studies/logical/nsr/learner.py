"""The machine that learns: parse, explain, update semantics, syntax and perception; answer and show its trees.

Source   Li et al., ICLR 2024, arXiv:2210.01603, section 3 (learning by deduction-abduction)
Method   A round takes a batch of sentences up to the current length, samples a few trees for each, explains the
         answers, adds the evidence to the caches, searches programs, and trains the parser on the most probable right
         tree of each sentence, of this round and the last ones. The length goes up once the longest sentences are
         understood.

Three departures from the paper's code, for trees that are right by chance, of which arithmetic is full: several trees
compete for a sentence, a sentence counts by the share of them that is wrong, and an answer that many trees give
whatever the question counts less.

Every draw of round i comes from a generator of (seed, i): a machine that was stored and loaded goes on bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wheatstone.domains.programs.language import Value
from wheatstone.studies.logical.nsr.abduction import Explanation, Perceived, Tree, abduce, deduce
from wheatstone.studies.logical.nsr.parser import Bounds, Parser, Parses, explores
from wheatstone.studies.logical.nsr.perception import Perception
from wheatstone.studies.logical.nsr.semantics import Key, Semantics, value_of

GUESSES = 200
"""Answers of short sentences from which a machine without abduction guesses."""
FADE = 0.8
"""What is left of old counts after a round."""
COMMON = 0.01
"""Share of all sampled trees above which an answer counts as likely by chance."""
KEPT_WEIGHT = 0.1
"""How much a right tree counts when all trees of its sentence are right."""
ABDUCED_WEIGHT = 0.5
"""How much a tree counts in the parser's loss that only an abduced value made right."""
PROVEN = 2
"""Trusted examples per child from which a solved symbol's number of children counts as known."""


class Sentence(NamedTuple):
    """What the machine learns from."""

    symbols: tuple[int, ...]
    """Symbol numbers, or numbers of pictures where symbols have to be perceived."""
    answer: Value


@dataclass(frozen=True)
class Settings:
    """How a machine learns."""

    rounds: int = 40
    """Rounds of the whole training: the parser's rate falls linearly to a tenth over them."""
    batch: int = 300
    exploration: float = 0.15
    tries: int = 4
    """Trees that are sampled for a sentence until one gives the answer."""
    gate: float = 0.55
    patience: int = 10
    """Rounds after which longer sentences come anyway."""
    abduction: bool = True
    recursion: bool = True
    curriculum: bool = True
    width: int = 32
    hidden: int = 128
    lr: float = 1e-3
    steps: int = 6000
    """Parser steps that one round trains on, at most."""
    replay: int = 3
    """Earlier rounds whose accepted trees are trained on again."""


class Round(NamedTuple):
    """What happened in one round."""

    length: int
    """Words of the longest sentences now."""
    explained: float
    """Share of the batch that was explained."""
    deduced: float
    """Share of the batch whose first tree gave the answer as it was."""
    solved: int
    """Symbols with a program at 0.95 or better."""
    loss: float
    """The parser's loss; NaN in a round without accepted trees."""


class Steps(NamedTuple):
    """Parser steps of accepted trees."""

    words: NDArray[np.int64]
    actions: NDArray[np.int64]
    legal: NDArray[np.bool_]
    weights: NDArray[np.float32]

    @classmethod
    def joined(cls, parts: Sequence[Steps]) -> Steps:
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


class Luck:
    """How often a tree gives an answer whatever the question: such an answer says little about its tree."""

    def __init__(self) -> None:
        self.counts: dict[Value, float] = {}
        self.total = 0.0

    def add(self, value: Value | None) -> None:
        """The value of one sampled tree, right or wrong."""
        if value is not None:
            self.counts[value] = self.counts.get(value, 0.0) + 1
            self.total += 1

    def fade(self) -> None:
        """The end of a round: what was counted before it counts less from now on."""
        self.counts = {value: FADE * count for value, count in self.counts.items() if count > 0.5}
        self.total = sum(self.counts.values())

    def weight(self, answer: Value) -> float:
        """How much a tree with this answer counts: less, the more often trees have it by chance."""
        share = self.counts.get(answer, 0.0) / max(1.0, self.total)
        return min(1.0, COMMON / share) if share else 1.0


class Machine:
    """Perception, parser and semantics over one vocabulary."""

    def __init__(
        self,
        names: Sequence[str],
        arities: Sequence[int | None],
        settings: Settings,
        seed: int,
        *,
        extra: bool = False,
        perception: Perception | None = None,
    ) -> None:
        """`names` of the symbols, their children where they are known, and whether more children may hang on a head."""
        self.names, self.settings, self.seed, self.extra = tuple(names), settings, seed, extra
        self.given = tuple(arities)
        self.arities = list(arities)
        self.parser = Parser(len(names), seed, width=settings.width, hidden=settings.hidden, lr=settings.lr)
        self.semantics = Semantics(names, recursion=settings.recursion)
        self.perception = perception
        self.rounds = 0
        self.level = 0
        self.waited = 0
        self.luck = Luck()
        self.replay: list[Steps] = []

    @property
    def bounds(self) -> Bounds:
        return Bounds.of(self.arities, self.semantics.void(), extra=self.extra)

    def round(self, sentences: Sentences) -> Round:
        """One round of learning."""
        rng = np.random.default_rng((self.seed, self.rounds))
        settings = self.settings
        batch = sentences.draw(settings.batch, self.level if settings.curriculum else None, rng)
        chosen = [sentences.all[at] for at in batch]
        symbols, lengths = self._symbols(chosen)
        bounds = self.bounds
        found: list[Explanation | None] = [None] * len(chosen)
        trees: list[Tree | None] = [None] * len(chosen)
        hits = np.zeros((settings.tries, len(chosen)), bool)
        sampled: list[Parses] = []
        guesses = () if settings.abduction else sentences.short_answers(GUESSES)
        for attempt in range(settings.tries):
            parses = self.parser.parse(symbols, lengths, bounds, rng, settings.exploration, attempt)
            sampled.append(parses)
            for row in np.flatnonzero(parses.fitting):
                sentence, size = chosen[row], lengths[row]
                tree = Tree(symbols[row, :size].tolist(), parses.heads[row, :size].tolist())
                explanation = deduce(tree, sentence.answer, self.semantics, rng, guesses)
                self.luck.add(tree.values[tree.root])
                hits[attempt, row] = explanation is not None
                if found[row] is None:
                    found[row] = explanation
                    trees[row] = tree if explanation or trees[row] is None else trees[row]
        deduced: NDArray[np.bool_] = hits.sum(0) > 0
        abduced = np.zeros(len(chosen), bool)
        for row in np.flatnonzero(~deduced) if settings.abduction else ():
            tree, sentence = trees[row], chosen[row]
            if tree is not None:
                perceived = self._perceived(sentence) if self.perception else None
                found[row] = abduce(tree, sentence.answer, self.semantics, rng, perceived)
                abduced[row] = found[row] is not None
        steps = self._contrasted(sampled, symbols, hits, chosen)
        steps.append(self._steps(sampled[0], symbols, abduced & sampled[0].fitting, ABDUCED_WEIGHT))
        for row, tree in enumerate(trees):
            if tree is not None:
                self._note_symbols(chosen[row], tree, found[row])
        self.luck.fade()
        self.semantics.credit((tree.keys(), bool(deduced[row])) for row, tree in enumerate(trees) if tree is not None)
        evidence = [one for explanation in found if explanation for one in explanation.evidence]
        self.semantics.update(evidence)
        self.semantics.induce()
        self._settle_arities()
        loss = self._train_parser(Steps.joined(steps), bounds, rng)
        if self.perception:
            self.perception.train(rng)
        usual = sentences.is_of_level(batch, self.level) & ~explores(np.arange(len(batch)), 0)
        self.waited += 1
        if settings.curriculum and (hits[0][usual].mean() >= settings.gate or self.waited >= settings.patience):
            self.level, self.waited = min(self.level + 1, len(sentences.levels) - 1), 0
        self.rounds += 1
        solved = sum(meaning.is_solved for meaning in self.semantics.meanings.values())
        explained = float((deduced | abduced).mean())
        return Round(sentences.levels[self.level], explained, float(hits[0].mean()), solved, loss)

    def trees(self, sources: Sequence[Sequence[int]], batch: int = 500) -> list[Tree]:
        """The most probable tree of each sentence with its values."""
        found: list[Tree] = []
        for start in range(0, len(sources), batch):
            some = [Sentence(tuple(source), 0) for source in sources[start : start + batch]]
            symbols, lengths = self._symbols(some)
            parses = self.parser.parse(symbols, lengths, self.bounds)
            for row, size in enumerate(lengths):
                tree = Tree(symbols[row, :size].tolist(), parses.heads[row, :size].tolist())
                tree.evaluate(self.semantics)
                found.append(tree)
        return found

    def _symbols(self, sentences: Sequence[Sentence]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(batch, longest) symbols, the most probable ones where they are perceived, and the lengths."""
        lengths = np.array([len(sentence.symbols) for sentence in sentences], np.int64)
        symbols = np.zeros((len(sentences), int(lengths.max())), np.int64)
        for row, sentence in enumerate(sentences):
            symbols[row, : lengths[row]] = sentence.symbols
        if self.perception:
            symbols = self.perception.symbols(symbols)
        return symbols, lengths

    def _perceived(self, sentence: Sentence) -> Perceived:
        perception = self.perception
        assert perception is not None
        return lambda node: perception.others(sentence.symbols[node])

    def _note_symbols(self, sentence: Sentence, tree: Tree, explanation: Explanation | None) -> None:
        """An explained sentence says which symbol each of its pictures shows."""
        if self.perception is None or explanation is None:
            return
        changed = dict(explanation.changed)
        for node, picture in enumerate(sentence.symbols):
            self.perception.note(picture, changed.get(node, tree.symbols[node]))

    def _settle_arities(self) -> None:
        """A symbol whose number of children was not given takes that of its first solved meaning."""
        for key, meaning in self.semantics.meanings.items():
            enough = max(1, PROVEN * key.arity)
            if self.arities[key.symbol] is None and meaning.is_solved and len(meaning.trusted()) >= enough:
                self.arities[key.symbol] = key.arity

    def _contrasted(
        self, sampled: Sequence[Parses], symbols: NDArray[np.int64], hits: NDArray[np.bool_], chosen: Sequence[Sentence]
    ) -> list[Steps]:
        """The steps of each sentence's most probable right tree.

        A sentence counts by the share of its trees that are wrong: where every way leads to the answer there is nothing
        to learn, and the most probable of several right trees makes one habit of them.
        """
        share = hits.mean(0)
        luck = np.array([self.luck.weight(sentence.answer) for sentence in chosen], np.float32)
        scores = np.where(hits, np.stack([parses.log_probability for parses in sampled]), -np.inf)
        best = scores.argmax(0)
        return [
            self._steps(parses, symbols, hits[attempt] & (best == attempt), luck * (KEPT_WEIGHT + 1 - share))
            for attempt, parses in enumerate(sampled)
        ]

    def _steps(
        self,
        parses: Parses,
        symbols: NDArray[np.int64],
        accepted: NDArray[np.bool_],
        weights: NDArray[np.floating[Any]] | float,
    ) -> Steps:
        """The steps of the accepted trees in which there was a choice."""
        choice = (parses.actions >= 0) & (parses.legal.sum(2) > 1)
        row, step = np.nonzero(choice & accepted[:, None])
        seen = parses.features[row, step].astype(np.int64)
        padded = np.concatenate([symbols, np.full((len(symbols), 1), self.parser.n_symbol)], axis=1)
        words = np.take_along_axis(padded[row], np.where(seen < 0, symbols.shape[1], seen), 1)
        weight = np.broadcast_to(np.asarray(weights, np.float32), len(symbols))[row]
        return Steps(words, parses.actions[row, step].astype(np.int64), parses.legal[row, step], weight)

    def _train_parser(self, steps: Steps, bounds: Bounds, rng: np.random.Generator) -> float:
        if len(steps.actions) > self.settings.steps:
            picked = rng.permutation(len(steps.actions))[: self.settings.steps]
            steps = Steps(*(part[picked] for part in steps))  # pyright: ignore[reportArgumentType]
        if len(steps.actions):
            self.replay = [*self.replay, steps][-self.settings.replay - 1 :]
        if not self.replay:
            return float("nan")
        left = max(0.1, 1 - self.rounds / self.settings.rounds)
        steps = Steps.joined(self.replay)
        rate = self.settings.lr * left
        return self.parser.train(steps.words, steps.actions, steps.legal, steps.weights, bounds, rng, rate=rate)

    def tensors(self) -> dict[str, Any]:
        """Everything that is an array, for a checkpoint; `state` holds the rest."""
        import torch

        found: dict[str, Any] = {f"parser.{name}": tensor for name, tensor in self.parser.tensors().items()}
        for at, steps in enumerate(self.replay):
            found |= {f"replay.{at}.{k}": torch.from_numpy(np.ascontiguousarray(part)) for k, part in enumerate(steps)}
        if self.perception:
            found |= {f"perception.{name}": tensor for name, tensor in self.perception.tensors().items()}
        return found

    def state(self) -> dict[str, Any]:
        return {
            "rounds": self.rounds,
            "level": self.level,
            "waited": self.waited,
            "arities": self.arities,
            "luck": [[value, count] for value, count in self.luck.counts.items()],
            "semantics": self.semantics.to_json(),
        }

    def load(self, tensors: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        """Goes back to what `tensors` and `state` held."""
        self.parser.load({n.removeprefix("parser."): t for n, t in tensors.items() if n.startswith("parser.")})
        held: dict[int, dict[int, NDArray[Any]]] = {}
        for name, tensor in tensors.items():
            if name.startswith("replay."):
                _, at, part = name.split(".")
                held.setdefault(int(at), {})[int(part)] = tensor.numpy()
        self.replay = [Steps(*(held[at][part] for part in range(len(Steps._fields)))) for at in sorted(held)]
        if self.perception:
            own = {n.removeprefix("perception."): t for n, t in tensors.items() if n.startswith("perception.")}
            self.perception.load(own)
        self.rounds, self.level, self.waited = state["rounds"], state["level"], state["waited"]
        self.arities = list(state["arities"])
        self.luck.counts = {value_of(value): count for value, count in state["luck"]}
        self.luck.total = sum(self.luck.counts.values())
        self.semantics.load(state["semantics"])


class Sentences:
    """Training sentences by length: what a round may draw."""

    def __init__(self, sentences: Sequence[Sentence]) -> None:
        self.all = tuple(sentences)
        self.lengths = np.array([len(sentence.symbols) for sentence in self.all])
        self.levels: list[int] = [int(length) for length in np.unique(self.lengths)]
        self._by_level = [np.flatnonzero(self.lengths == level) for level in self.levels]

    def draw(self, n: int, level: int | None, rng: np.random.Generator) -> NDArray[np.int64]:
        """Half of the batch has the length of the level, half any length up to it; without a level, any length."""
        if level is None:
            return rng.integers(0, len(self.all), n)
        newest = self._by_level[level]
        upto = np.flatnonzero(self.lengths <= self.levels[level])
        return np.concatenate(
            [newest[rng.integers(0, len(newest), n - n // 2)], upto[rng.integers(0, len(upto), n // 2)]]
        )

    def is_of_level(self, batch: NDArray[np.int64], level: int) -> NDArray[np.bool_]:
        return self.lengths[batch] == self.levels[level]

    def short_answers(self, n: int) -> tuple[Value, ...]:
        """Distinct answers, those of the shortest sentences first."""
        order = np.argsort(self.lengths, kind="stable")
        return tuple(dict.fromkeys(self.all[int(at)].answer for at in order[: 20 * n]))[:n]


def symbols_of(key: Key, names: Sequence[str]) -> str:
    """'twice(x)': a symbol with its variables."""
    from wheatstone.domains.programs.language import VARIABLES

    return f"{names[key.symbol]}({', '.join(VARIABLES[: key.arity])})" if key.arity else names[key.symbol]

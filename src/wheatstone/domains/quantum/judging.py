"""How real do circuits look, and are they only copies: judges, and measures of memory, that stand side by side.

`two_sample` trains a judge on real against the very candidates that are judged, on text without header, and tests it
on families that it has not seen: an area of 0.5 under the curve means that it cannot tell, 1 that it always can. A
candidate counts as of the family of its nearest training circuit. `fixed_judge` is the published test: trained once on
real against uniformly random statements, then asked about candidates. It is nearly empty, because circuits whose
statements have the right frequencies, in random order, pass it.

Both judges are logistic regressions, on runs of one to three words or on statements: they train in a second, and they
are enough to separate what they are asked to separate (a fine-tuned DistilBERT has 0.982 where ours has 0.97 to 0.99).

Source  two-sample tests by classifiers: Lopez-Paz and Oquab, ICLR 2017, arXiv:1610.06545; fixed judge: Apak et al.,
        KetGPT, arXiv:2402.13352
"""

from __future__ import annotations

import itertools
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wheatstone.domains.quantum.circuit_text import judged_lines, judged_words
from wheatstone.domains.quantum.program import Program
from wheatstone.domains.quantum.structure import first_use

FOLDS = 5
LONGEST_RUN = 3
FAR = 3
"""Distances beyond it count as it."""
Read = Callable[[Program], list[str]]
"""What a judge reads of a circuit, as words."""
PENALTY = 10.0
"""Inverse strength of the logistic regressions' penalty."""
FIRST_LINES = 46
"""Lines that 512 word pieces hold: what the published judge reads of a circuit."""
TEST_SHARE = 0.15
COPY_WORDS = 20
SHORTLIST = 8
"""Training circuits with the most similar runs of gates, among which the nearest by edit distance is looked for."""
Floats = NDArray[np.float64]


class Verdicts(NamedTuple):
    """What a judge said of every circuit when it was tested on it."""

    scores: Floats
    """[circuit] above 0: a candidate."""
    is_candidate: NDArray[np.bool_]
    folds: NDArray[np.int64]
    """[circuit] in which it was tested; -1 where the rest had only one kind to train on."""

    def auc(self) -> float:
        """Area under the ROC curve, mean over the folds weighted by their size; NaN when no fold has both kinds."""
        total, weight = 0.0, 0
        for fold in range(int(self.folds.max()) + 1):
            chosen = self.folds == fold
            value = area(self.scores[chosen], self.is_candidate[chosen])
            if not np.isnan(value):
                size = int(chosen.sum())
                total, weight = total + value * size, weight + size
        return total / weight if weight else float("nan")


class FixedJudge(NamedTuple):
    """A judge that was trained once."""

    accuracy: float
    """Share of held-out real and random circuits that it tells apart [0, 1]."""
    says_real: Callable[[Sequence[Program]], NDArray[np.bool_]]


class Nearest(NamedTuple):
    """The training circuit that is nearest to a candidate."""

    place: int
    """Its number in the training set."""
    distance: float
    """Edits of whole gates that turn one into the other, over the longer one's gates [0, 1]."""


def area(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the share of (positive, negative) pairs in the right order, ties half."""
    from scipy.stats import rankdata

    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return float("nan")
    return float((rankdata(scores)[positive].sum() - n * (n + 1) / 2) / (n * m))


def words_of(one: Program) -> list[str]:
    """Runs of one to three words, without a header."""
    return list(_runs(judged_words(one)))


def steps_of(one: Program) -> list[str]:
    """Runs of one to three steps from gate to gate.

    A step says whether the gate stays the same and where the operands move: a ladder of any gate on any qubits is a
    sequence of equal steps, which a family that the judge has not seen may share with those that it has.
    """
    return list(_runs(_steps(one)))


def lines_of(one: Program) -> list[str]:
    """What the published judge reads: the first statements."""
    return judged_lines(one)[:FIRST_LINES]


def header_of(one: Program) -> list[str]:
    """What is left of a header in normal form: the size of the register."""
    return [f"qreg {one.n}"]


def _steps(one: Program) -> list[str]:
    """One word for each two successive gates: same gate or not, and every operand as seen from the gate before."""
    found: list[str] = []
    for before, after in itertools.pairwise(one.ops):
        moves = [_move(before.qubits, qubit) for qubit in after.qubits]
        found.append(("same" if before.gate == after.gate else "other") + "".join(moves))
    return found


def _move(before: Sequence[int], qubit: int) -> str:
    """`=i` for operand i of the gate before, else the distance from its first operand, up to three."""
    if qubit in before:
        return f"={before.index(qubit)}"
    return f"{max(-FAR, min(FAR, qubit - before[0])):+d}"


def _runs(words: Sequence[str]) -> Iterator[str]:
    for length in range(1, LONGEST_RUN + 1):
        for start in range(len(words) - length + 1):
            yield " ".join(words[start : start + length])


def two_sample(
    real: Sequence[Program],
    real_groups: Sequence[str],
    candidates: Sequence[Program],
    candidate_groups: Sequence[str],
    rng: np.random.Generator,
    *reads: Read,
) -> Verdicts:
    """A judge's verdicts on real and candidates, each given while its group was kept from the judge's training.

    A group is a family of circuits, or a single circuit with all that is nearest to it. Each of `reads` (words and
    steps, when none is given) adds as much to what the judge sees of a circuit.
    """
    groups = [*real_groups, *candidate_groups]
    folds = _group_folds(groups, rng)
    counts = _side_by_side([_counts([read(one) for one in (*real, *candidates)]) for read in reads or WHOLE])
    is_candidate = np.arange(len(groups)) >= len(real)
    scores = np.zeros(len(groups))
    for fold in range(int(folds.max()) + 1):
        test = folds == fold
        if len(set(is_candidate[~test])) == 2:
            scores[test] = _fitted(counts[~test], is_candidate[~test]).decision_function(counts[test])
        else:
            folds[test] = -1
    return Verdicts(scores, is_candidate, folds)


def _group_folds(groups: Sequence[str], rng: np.random.Generator) -> NDArray[np.int64]:
    """Whole groups in folds of about equal size: largest first, each into the smallest fold."""
    size = Counter(groups)
    names = sorted(size)
    order = sorted(rng.permutation(len(names)), key=lambda place: -size[names[place]])
    load, fold_of = [0] * min(FOLDS, len(names)), dict[str, int]()
    for place in order:
        fold = load.index(min(load))
        fold_of[names[place]] = fold
        load[fold] += size[names[place]]
    return np.array([fold_of[name] for name in groups], np.int64)


def fixed_judge(real: Sequence[Program], random: Sequence[Program], rng: np.random.Generator) -> FixedJudge:
    """The published test: statements of real against uniformly random circuits, 15 % of both held out."""
    from sklearn.feature_extraction import text

    make: Any = text.CountVectorizer
    vectorizer = make(analyzer=lines_of, binary=True)
    counts = vectorizer.fit_transform([*real, *random])
    is_random = np.arange(len(real) + len(random)) >= len(real)
    test = np.zeros(len(is_random), bool)
    for kind in (False, True):
        rows = np.flatnonzero(is_random == kind)
        test[rng.permutation(rows)[: max(1, round(TEST_SHARE * len(rows)))]] = True
    model = _fitted(counts[~test], is_random[~test])
    accuracy = float((model.predict(counts[test]) == is_random[test]).mean())

    def says_real(programs: Sequence[Program]) -> NDArray[np.bool_]:
        return ~model.predict(vectorizer.transform(programs))

    return FixedJudge(accuracy, says_real)


WHOLE: tuple[Read, ...] = (words_of, steps_of)
"""What a judge reads of a whole circuit."""


def _side_by_side(counts: Sequence[Any]) -> Any:
    from scipy.sparse import hstack

    return hstack(counts).tocsr()


def _counts(documents: Sequence[list[str]]) -> Any:
    """Sparse [document, word]: logarithms of counts times inverse document frequency, each row of length 1."""
    from sklearn.feature_extraction import text

    make: Any = text.TfidfVectorizer
    return make(analyzer=_as_it_is, sublinear_tf=True).fit_transform(documents)


def _as_it_is(document: list[str]) -> list[str]:
    return document


def _fitted(counts: Any, labels: NDArray[np.bool_]) -> Any:
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says so when 500 steps are not enough; the judge is good enough then
        return LogisticRegression(C=PENALTY, max_iter=500, class_weight="balanced").fit(counts, labels)


def copied_share(candidates: Sequence[Program], training: Sequence[Program], length: int = COPY_WORDS) -> float:
    """Share of the candidates' runs of `length` words that a training circuit has too, whatever its qubits are called.

    NaN when no candidate is that long.
    """
    known = {run for one in training for run in _plain_runs(one, length)}
    found = [run in known for one in candidates for run in _plain_runs(one, length)]
    return float(np.mean(found)) if found else float("nan")


def _plain_runs(one: Program, length: int) -> Iterator[Hashable]:
    """Runs of words with the qubits numbered as the run meets them."""
    words = judged_words(one)
    for start in range(len(words) - length + 1):
        names: dict[str, int] = {}
        yield tuple(
            names.setdefault(word, len(names)) if word[0] == "q" else word for word in words[start : start + length]
        )


def nearest(candidates: Sequence[Program], training: Sequence[Program]) -> list[Nearest]:
    """The nearest training circuit of each candidate: whole gates are edited, qubits are numbered by first use.

    Looked for among the `SHORTLIST` with the most similar runs of gates.
    """
    known = [judged_gates(one) for one in training]
    asked = [judged_gates(one) for one in candidates]
    counts = _counts([gates + _pairs(gates) for gates in (*known, *asked)])
    alike = np.asarray((counts[len(known) :] @ counts[: len(known)].T).todense())
    best = np.argsort(-alike, axis=1, kind="stable")[:, :SHORTLIST]
    numbers: dict[str, int] = {}
    rows = [[numbers.setdefault(gate, len(numbers)) for gate in gates] for gates in (*known, *asked)]
    found: list[Nearest] = []
    for place, short in enumerate(best):
        mine = rows[len(known) + place]
        distance = edit_distances(mine, [rows[index] for index in short])
        longest = np.array([max(len(mine), len(rows[index]), 1) for index in short])
        winner = int(np.argmin(distance / longest))
        found.append(Nearest(int(short[winner]), float(distance[winner] / longest[winner])))
    return found


def judged_gates(one: Program) -> list[str]:
    """One word a gate with qubits by first use and angles as tokens say them."""
    words, found = judged_words(first_use(one)), list[str]()
    for op in one.ops:
        length = 1 + len(op.qubits) + len(op.angles)
        found.append(" ".join(words[:length]))
        words = words[length:]
    return found


def _pairs(gates: Sequence[str]) -> list[str]:
    return [f"{a};{b}" for a, b in itertools.pairwise(gates)]


def edit_distances(one: Sequence[int], others: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Levenshtein distance of one sequence to each of several: one pass for all of them.

    Along a row an insertion adds one to its left neighbour, which is a running minimum of (value - column) + column.
    """
    width = max(map(len, others), default=0)
    padded = np.full((len(others), width), -1, np.int64)
    for row, other in zip(padded, others, strict=True):
        row[: len(other)] = other
    column = np.arange(width + 1)
    current = np.tile(column, (len(others), 1))
    for step, symbol in enumerate(one, start=1):
        replaced = current[:, :-1] + (padded != symbol)
        start = np.full((len(others), 1), step)
        current = np.concatenate((start, np.minimum(replaced, current[:, 1:] + 1)), 1)
        current = np.minimum.accumulate(current - column, axis=1) + column
    return current[np.arange(len(others)), [len(other) for other in others]]

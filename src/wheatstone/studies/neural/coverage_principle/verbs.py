"""`wheatstone apply coverage-principle cover`: the coverage of a user's own table of examples, before any training."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le

from wheatstone.bench.errors import UserError
from wheatstone.bench.files import write_json
from wheatstone.bench.shown import say
from wheatstone.domains.coverage.classes import (
    Classes,
    Ints,
    Merging,
    Subset,
    classes,
    comparisons,
    proper_subsets,
)
from wheatstone.domains.coverage.graph import Coverage, SubstitutionGraph
from wheatstone.domains.coverage.plan import (
    PARTS,
    Growth,
    Suggestion,
    context_name,
    fragment_name,
    growth,
    next_rows,
    rows_to_cover,
    unseen_combinations,
)
from wheatstone.domains.coverage.predict import NONE, Substituted, substitute
from wheatstone.domains.coverage.table import Encoding, Examples, encode, read_examples
from wheatstone.domains.coverage.witness import in_words, witness

POOL = 2000
"""Unseen combinations that stand for the input space when no file of tests is given."""
SHOWN = 3
SAYS_EVERY = 10.0
"""Seconds between two lines that say how far it is."""


def cover(
    train: Path,
    *,
    test: Path | None = None,
    k: Annotated[int, Ge(1), Le(64)] = 2,
    k_max: Annotated[int, Ge(1), Le(64)] = 8,
    share: Annotated[float, Ge(0), Le(1)] = 0.9,
    suggest: Annotated[int, Ge(0)] = 5,
    explain: Annotated[int, Ge(0)] = SHOWN,
    columns: str = "",
    merging: Merging = "consistent",
    out: Path | None = None,
) -> int:
    """Say before any training which unseen inputs your examples cover, with what evidence, and what to label next.

    Args:
        train: rows of input tokens and a target: a CSV or TSV whose first line names the columns, as x1,x2,x3,target.
        test: inputs to be covered, with the same columns; targets are used to check answers, never to cover. Without a
            file, unseen combinations of the tokens of the training file are drawn.
        k: shared contexts that count as enough evidence.
        k_max: largest k that is told apart.
        share: the share of the tests that shall be covered.
        suggest: how many rows to label are suggested.
        explain: how many tests are explained by a chain of substitutions.
        columns: subsets of the columns that may be substituted, as 'x1+x2;x3'; all when not given.
        merging: consistent keeps fragments that contradict each other apart; chained is the paper's code.
        out: a JSON file for everything that is printed, and each test's k.
    """
    if k > k_max:
        raise UserError(f"--k: got {k}, must not be above --k-max, which is {k_max}.")
    examples = read_examples(train)
    asked = None if test is None else read_examples(test, like=examples)
    encoding = encode(examples, asked)
    rows, targets = encoding.inputs(examples), encoding.target_ids(examples)
    assert targets is not None, "a training file has targets"
    rng = np.random.default_rng(0)
    pool = unseen_combinations(rows, POOL, rng) if asked is None else encoding.inputs(asked)
    report: dict[str, Any] = {"train": str(train), "rows": len(rows), "repeated": examples.repeated, "k": k}
    _about_data(train, examples, len(rows), test, pool, encoding, report)
    subsets = _subsets(columns, examples.columns)
    with _comparing(rows, subsets) as tell:
        found = classes(rows, targets, k_max=k_max, subsets=subsets, merging=merging, on_subset=partial(tell, 1.0))
        graph = SubstitutionGraph(found, pool)
        grown = growth(graph, k, rng, on_subset=tell)
    covered = graph.coverage()
    _about_coverage(covered, k, asked is None, report)
    _about_fragments(found, k, examples.columns, report)
    answers = substitute(graph, least=k)
    _about_answers(answers, None if asked is None else encoding.target_ids(asked), k_max, report)
    _about_more(grown, covered, graph, k, share, suggest, encoding, report)
    _explain(graph, covered, k, explain, encoding)
    if out is not None:
        write_json(out, report | {"tests": _tests(covered, answers, pool, encoding)})
        say(f"Written: {out}")
    return 0


Tell = Callable[[float, Subset], None]
"""Takes a share of the rows and a subset of the columns whose fragments have been compared on it."""


@contextmanager
def _comparing(rows: Ints, subsets: Sequence[Subset]) -> Generator[Tell]:
    """Says on stderr how far the comparisons are, where they take long: they grow with the square of the rows."""
    from wheatstone.bench.progress import clock

    cost = {subset: comparisons(rows, subset) for subset in subsets}
    total = sum(cost.values()) * math.fsum(part**2 for part in PARTS)
    done, started = 0.0, time.monotonic()
    said = started

    def tell(part: float, subset: Subset) -> None:
        nonlocal done, said
        done += cost[subset] * part**2
        now = time.monotonic()
        if now - said >= SAYS_EVERY:
            said, spent = now, now - started
            left = spent * (total / done - 1)
            print(
                f"[{clock(spent)}] compared {done / total:.0%}, about {clock(left)} left", file=sys.stderr, flush=True
            )

    try:
        yield tell
    except KeyboardInterrupt:
        raise KeyboardInterrupt("Interrupted. Nothing is kept: the same command begins anew.") from None


def _subsets(text: str, columns: tuple[str, ...]) -> Sequence[Subset]:
    """The subsets that '--columns' names. Raises UserError for an unknown column or one that leaves no context."""
    if not text:
        return proper_subsets(len(columns))
    subsets: list[Subset] = []
    for part in text.split(";"):
        names = [name.strip() for name in part.split("+")]
        for name in names:
            if name not in columns:
                raise UserError(f"--columns: no column '{name}'. The file has {', '.join(columns)}.")
        places = tuple(sorted({columns.index(name) for name in names}))
        if len(places) == len(columns):
            raise UserError(f"--columns: '{part}' names every column, which leaves no context.")
        subsets.append(places)
    return subsets


def _about_data(
    train: Path,
    examples: Examples,
    n_rows: int,
    test: Path | None,
    pool: Ints,
    encoding: Encoding,
    report: dict[str, Any],
) -> None:
    say(f"{train}: {n_rows:,} distinct rows, {len(encoding.columns)} input columns, {_repeated(examples)}")
    tokens = ", ".join(f"{name} {n}" for name, n in zip(encoding.columns, encoding.n_trained, strict=True))
    space = float(np.prod([float(n) for n in encoding.n_trained]))
    say(f"  distinct tokens: {tokens}; the rows are {n_rows / space:.2%} of all combinations")
    unknown = int((encoding.unknown(pool) > 0).sum())
    if test is None:
        say(f"  no --test: {len(pool)} unseen combinations of these tokens stand for what may be asked")
    else:
        say(f"{test}: {len(pool)} tests; {unknown} hold a token that training does not have there: never covered")
    if not len(pool):
        raise UserError(f"{train}: every combination of its tokens is a row already, so nothing is left to cover.")
    report |= {"tests": len(pool), "unknown_token": unknown, "tokens": list(encoding.n_trained)}


def _repeated(examples: Examples) -> str:
    return "no row twice" if not examples.repeated else f"{examples.repeated} repeated rows left out"


def _about_coverage(covered: Coverage, k: int, drawn: bool, report: dict[str, Any]) -> None:
    shown = int((covered.shown >= 0).sum())
    say("")
    say("Coverage of the " + ("unseen combinations" if drawn else "tests") + ", by the evidence k that is asked for")
    for level in range(1, covered.k_max + 1):
        part = covered.share(level)
        say(f"  k >= {level:<3} {part:7.1%}  {'#' * round(40 * part)}{'   <- --k' if level == k else ''}")
    if shown:
        say(f"  {shown} of them are training rows")
    report["covered"] = {str(level): covered.share(level) for level in range(1, covered.k_max + 1)}
    report["are_training_rows"] = shown


def _about_fragments(found: Classes, k: int, columns: tuple[str, ...], report: dict[str, Any]) -> None:
    say("")
    say(f"Where substitution is possible at k = {k}")
    table: list[dict[str, Any]] = []
    for fragments in found.fragments:
        n, n_class = len(fragments.tokens), len(np.unique(fragments.at(k)))
        pairs = int((fragments.pairs.evidence >= k).sum())
        table.append({"columns": fragment_name(fragments.subset, columns), "fragments": n, "classes": n_class})
        if pairs:
            say(
                f"  {fragment_name(fragments.subset, columns)} (context {context_name(fragments.subset, columns)}): "
                f"{n} fragments in {n_class} classes, {pairs} equivalent pairs"
            )
    if all(row["fragments"] == row["classes"] for row in table):
        say("  nowhere: no two fragments share so many contexts without a contradiction")
    report["fragments"] = table


def _about_answers(answers: Substituted, expected: Ints | None, k_max: int, report: dict[str, Any]) -> None:
    reached = answers.targets != NONE
    disputed = int(answers.disputed.sum())
    say("")
    say(f"Answering by substitution alone reaches {reached.mean():.1%}, {disputed} of them with contradicting chains")
    report |= {"reached": float(reached.mean()), "disputed": disputed}
    if expected is None:
        return
    right = answers.targets == expected
    report["right"] = float(right.mean())
    report["right_where_reached"] = float(right[reached].mean()) if reached.any() else None
    say(
        f"  right: {right.mean():.1%} of all tests"
        + (f", {right[reached].mean():.1%} of these" if reached.any() else "")
    )
    found = reached & (answers.steps > 0)  # a test that is a training row needs no evidence
    levels = np.unique(answers.k[found]).tolist()
    by_k = {str(level): float(right[found & (answers.k == level)].mean()) for level in levels}
    report["right_by_k"] = by_k
    if by_k:
        n = np.bincount(answers.k[found])
        told = ", ".join(
            f"k {'>=' if level == k_max else '='} {level} {by_k[str(level)]:.1%} of {n[level]}" for level in levels
        )
        say(f"  by the evidence that was enough: {told}")


def _about_more(
    grown: Growth,
    covered: Coverage,
    graph: SubstitutionGraph,
    k: int,
    share: float,
    suggest: int,
    encoding: Encoding,
    report: dict[str, Any],
) -> None:
    say("")
    say(f"To cover {share:.0%} at k = {k}")
    curve = ", ".join(f"{part:.1%} with {n}" for n, part in zip(grown.rows, grown.covered, strict=True))
    say(f"  so far, by parts of the rows: {curve}")
    more = rows_to_cover(grown, share, covered.n)
    if more == 0:
        say("  it is covered")
    elif np.isnan(more):
        say("  coverage does not grow with the rows, so nothing can be said about more of them")
    elif np.isinf(more):
        say("  more than 100 times the rows, drawn as these were: substitution will not get there")
    else:
        say(f"  about {more:.0f} more rows, drawn as these were (extrapolated, indicative)")
    every = next_rows(graph, k, covered.n)
    missing = max(0, int(np.ceil(share * covered.n)) - int((covered.cutoff >= k).sum()))
    gained = np.cumsum([one.covers for one in every])
    chosen = int(np.searchsorted(gained, missing) + 1) if missing else 0
    if missing:
        say(f"  at most {chosen} if you choose which to label; each also adds evidence, so ask again after some")
    report |= {"rows_to_cover": more, "chosen_rows_to_cover": chosen, "share": share}
    report["suggested"] = [_suggested(one, graph, encoding) for one in every[:suggest]]
    if missing and suggest and every:
        say("  label next:")
        for one in report["suggested"]:
            say(f"    {one['row']}  covers {one['covers']} at once")


def _suggested(one: Suggestion, graph: SubstitutionGraph, encoding: Encoding) -> dict[str, Any]:
    row = graph.tests[one.row]
    return {"row": _words(row, encoding), "covers": one.covers, "compared": one.compared}


def _words(row: Ints, encoding: Encoding) -> str:
    return ", ".join(tokens[int(token)] for tokens, token in zip(encoding.tokens, row, strict=True))


def _explain(graph: SubstitutionGraph, covered: Coverage, k: int, limit: int, encoding: Encoding) -> None:
    worth = np.flatnonzero((covered.cutoff >= k) & (covered.shown < 0))
    chosen = worth[np.argsort(covered.cutoff[worth], kind="stable")][:limit]
    if len(chosen):
        say("")
        say(f"Why the {len(chosen)} with the least evidence are covered")
    for test in chosen.tolist():
        chain = witness(graph, test, int(covered.cutoff[test]))
        if chain is not None:
            for line in in_words(
                chain,
                encoding.columns,
                lambda place, token: encoding.tokens[place][token],
                encoding.targets.__getitem__,
            ):
                say(f"  {line}")


def _tests(covered: Coverage, answers: Substituted, pool: Ints, encoding: Encoding) -> list[dict[str, Any]]:
    return [
        {
            "row": _words(row, encoding),
            "k": int(covered.cutoff[index]),
            "answer": None if answers.targets[index] == NONE else encoding.targets[int(answers.targets[index])],
        }
        for index, row in enumerate(pool)
    ]

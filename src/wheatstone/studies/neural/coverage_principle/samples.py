"""Witnesses of a trial in words and as a small graph, for the report."""

from __future__ import annotations

from typing import Any

import numpy as np

from wheatstone.domains.coverage.classes import Classes
from wheatstone.domains.coverage.graph import SubstitutionGraph
from wheatstone.domains.coverage.witness import Witness, in_words, witness
from wheatstone.studies.neural.coverage_principle.task import Sampled, Tokens

SHOWN = 3


def witnesses(found: Classes, tokens: Tokens, rows: Sampled, cutoff: np.ndarray, right: np.ndarray) -> list[Any]:
    """One ID test of each of some cutoffs, from strong to weak, with the chain that covers it."""
    composition = tokens.composition
    graph = SubstitutionGraph(found, composition.inputs[rows.test_id], composition.targets[rows.test_id])
    columns = [f"x{position + 1}" for position in range(composition.shape.arity)]
    told: list[Any] = []
    levels = [int(k) for k in np.unique(cutoff) if k > 0][::-1]
    for k in levels[:: max(1, len(levels) // SHOWN)][:SHOWN]:
        test = int(np.flatnonzero(cutoff == k)[0])
        chain = witness(graph, test, k)
        if chain is None:
            continue
        lines = in_words(chain, columns, lambda _, token: f"t{token}", lambda token: f"t{token}")
        told.append(
            {
                "k": k,
                "input": named(chain.test),
                "target": f"t{composition.targets[rows.test_id[test]]}",
                "answered": int(right[test]),
                "path": path(chain),
                "words": lines,
            }
        )
    return told


def path(chain: Witness) -> list[dict[str, str]]:
    """The inputs on the way, the test first, each with the positions that are substituted next."""
    stops = [
        {"input": named(step.source), "next": " ".join(f"x{place + 1}" for place in step.because[0].subset)}
        for step in chain.steps
    ]
    return [*stops, {"input": named(chain.trained), "next": ""}]


def named(row: tuple[int, ...]) -> str:
    return " ".join(f"t{token}" for token in row)

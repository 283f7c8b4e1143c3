"""Where each stage holds the bridge, as a table over the seeds of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from wheatstone.bench.exhibit import Exhibit, Table
from wheatstone.bench.run import Run
from wheatstone.interp.circuit import HOLDS_VARIABLE, Circuit

WORTH_A_PLACE = 0.2
"""Below this share of right answers to the other questions there is nothing to be held."""


def places(run: Run, finished: Sequence[str]) -> list[Exhibit]:
    """Where the bridge is held, by exchange: every position, with the first block from which its state decides."""
    rows: list[tuple[str | float | None, ...]] = []
    for arm in finished:
        for artifact, writes in (("stage_one", "bridge"), ("stage_two", "answer"), ("direct", "answer")):
            records = [run.trial(arm, seed) for seed in run.seeds]
            found = [Circuit.from_json(one.artifact(artifact)) for one in records if one.has(artifact)]
            held = [sites(one) for one in found if one.n]
            if held:
                counted = Counter(one.places for one in held)
                told = [f"{place} ({n} of {len(held)} seeds)" for place, n in counted.items()]
                least = min((one.share for one in held if one.share is not None), default=None)
                n, most = sum(one.n for one in found), round(min(one.most for one in held), 3)
                rows.append((arm, ", ".join(found[0].labels), writes, n, "; ".join(told), least, most))
    if not rows:
        return []
    return [
        Table(
            "places",
            "Where the bridge of another question, put in place of its own, decides what is written",
            ("arm", "reads", "writes", "n, all seeds", "bridge held at", "least share there", "by the last state"),
            rows,
            "Exchanging the last state of all decides as often as the model is right about the other question (last "
            f"column). Named are positions whose exchanged state decides at least {HOLDS_VARIABLE:.0%} of that, with "
            "the first block from which it does. Two stages are a bridge held at r2, where it is written, and read at "
            "b. To answer at once it has to be held at r1, so that a later block can look up the answer at r2.",
        )
    ]


class Held(NamedTuple):
    """Where one network holds the bridge."""

    places: str
    """Positions with their first block, as 'r1 after block 1, r2 after block 2'; 'nowhere'."""
    share: float | None
    """Least of the shares that follow there."""
    most: float
    """Share that follows the last state of all: how often the model is right about the other question."""


def sites(circuit: Circuit) -> Held:
    """The positions that hold the bridge, each with its first layer, and the least share that follows there."""
    found = circuit.interchange["bridge"]
    most = found[-1][-1]
    named: list[str] = []
    shares: list[float] = []
    for position, label in enumerate(circuit.labels if most >= WORTH_A_PLACE else ()):
        layer = next((layer for layer, row in enumerate(found) if row[position] >= HOLDS_VARIABLE * most), None)
        if layer is not None:
            named.append(f"{label} {f'after block {layer}' if layer else 'as it is read'}")
            shares.append(found[layer][position])
    return Held(", ".join(named) or "nowhere", round(min(shares), 3) if shares else None, most)
